//! The page's files, which are compiled in.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::OnceLock;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

use super::is_zero_quality;

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const PAGE: &str = "text/html; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

/// What the document has in the place of [`version`].
const VERSION_MARK: &str = "{version}";

/// What the document has in the place of the links that let all scripts load at once, whichever
/// imports which.
const PRELOAD_MARK: &str = "<!-- preload -->";

/// One file of the page.
#[derive(Debug)]
pub(super) struct File {
    name: &'static str,
    content_type: &'static str,
    source: &'static [u8],
    prepared: OnceLock<Prepared>,
}

/// What is sent of a file.
#[derive(Debug)]
struct Prepared {
    plain: Bytes,
    /// With gzip, if that is smaller.
    compressed: Option<Bytes>,
    etag: HeaderValue,
}

/// How long a browser may keep a file without asking again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// The address changes with the content.
    ForEver,
    /// The address stays.
    Never,
}

/// The document.
pub(super) static INDEX: File = File::new("index.html", PAGE, include_bytes!("static/index.html"));

macro_rules! files {
    ($($name:literal: $content_type:ident),* $(,)?) => {
        static FILES: [File; [$($name),*].len()] =
            [$(File::new($name, $content_type, include_bytes!(concat!("static/", $name)))),*];
    };
}

files! {
    "api.js": SCRIPT,
    "clock.js": SCRIPT,
    "composer.js": SCRIPT,
    "content.js": SCRIPT,
    "diff.js": SCRIPT,
    "dom.js": SCRIPT,
    "export.js": SCRIPT,
    "feed.js": SCRIPT,
    "gotrue.js": SCRIPT,
    "icon.svg": IMAGE,
    "list.js": SCRIPT,
    "main.js": SCRIPT,
    "markdown.js": SCRIPT,
    "message.js": SCRIPT,
    "oidc.js": SCRIPT,
    "pkce.js": SCRIPT,
    "session.js": SCRIPT,
    "signin.js": SCRIPT,
    "store.js": SCRIPT,
    "stream.js": SCRIPT,
    "style.css": STYLE,
    "thread.js": SCRIPT,
    "tidy.js": SCRIPT,
    "time.js": SCRIPT,
    "tree.js": SCRIPT,
}

impl File {
    const fn new(name: &'static str, content_type: &'static str, source: &'static [u8]) -> File {
        File { name, content_type, source, prepared: OnceLock::new() }
    }

    /// The file with this name, the document apart.
    pub(super) fn named(name: &str) -> Option<&'static File> {
        FILES.iter().find(|file| file.name == name)
    }

    /// The file, or that the client has it, in a form that the client can read.
    pub(super) fn answer(&self, request: &HeaderMap, kept: Kept) -> Response {
        let prepared = self.prepared.get_or_init(|| self.prepare());
        let cache = match kept {
            Kept::ForEver => "public, max-age=31536000, immutable",
            Kept::Never => "no-cache",
        };
        let mut headers = HeaderMap::from_iter([
            (header::CACHE_CONTROL, HeaderValue::from_static(cache)),
            (header::ETAG, prepared.etag.clone()),
            (header::VARY, HeaderValue::from_static("accept-encoding")),
        ]);
        if has_it(request, &prepared.etag) {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        let compressed = prepared.compressed.as_ref().filter(|_| takes_gzip(request));
        if compressed.is_some() {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        (headers, compressed.unwrap_or(&prepared.plain).clone()).into_response()
    }

    fn prepare(&self) -> Prepared {
        let plain = match self.content_type {
            PAGE => Bytes::from(document(&String::from_utf8_lossy(self.source))),
            SCRIPT => Bytes::from(without_comments(&String::from_utf8_lossy(self.source))),
            STYLE => Bytes::from(without_blanks(&String::from_utf8_lossy(self.source))),
            _ => Bytes::from_static(self.source),
        };
        let compressed = compress(&plain).filter(|compressed| compressed.len() < plain.len());
        // Weak: both forms of a file have the same.
        let etag = format!("W/\"{}\"", hash(&[&plain]));
        let etag = HeaderValue::try_from(etag).unwrap_or(HeaderValue::from_static("W/\"\""));
        Prepared { plain, compressed, etag }
    }
}

/// A name of all files as they are: scripts import each other by relative addresses, so they belong
/// together.
pub(super) fn version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| hash(&FILES.iter().map(|file| file.source).collect::<Vec<_>>()))
}

fn document(source: &str) -> String {
    let mut preload = String::new();
    for file in FILES.iter().filter(|file| file.content_type == SCRIPT) {
        let _ =
            writeln!(preload, "<link rel=\"modulepreload\" href=\"{VERSION_MARK}/{}\">", file.name);
    }
    source.replace(PRELOAD_MARK, preload.trim_end()).replace(VERSION_MARK, version())
}

/// A script without what is for its readers: lines that are comments, and indentation.
fn without_comments(source: &str) -> String {
    let lines = source.lines().map(str::trim);
    let lines = lines.filter(|line| {
        !line.is_empty() && !["//", "/*", "*/", "* "].iter().any(|mark| line.starts_with(mark))
    });
    lines.fold(String::with_capacity(source.len()), |mut text, line| {
        text.push_str(line);
        text.push('\n');
        text
    })
}

/// A style without the blanks that only its readers need. Ours has no text with such blanks.
fn without_blanks(source: &str) -> String {
    let joined = source.lines().map(str::trim).collect::<String>();
    [" {", "{ ", "; ", ", ", ": ", " }"]
        .iter()
        .fold(joined, |style, blank| style.replace(blank, blank.trim()))
}

/// The first 16 hexadecimal digits of a hash over all parts and their lengths.
fn hash(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(8).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Nothing if it cannot be done, which is as good as not smaller.
fn compress(bytes: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

fn has_it(request: &HeaderMap, etag: &HeaderValue) -> bool {
    let plain = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let Ok(etag) = etag.to_str().map(plain) else { return false };
    let sent = request.get_all(header::IF_NONE_MATCH).iter();
    let mut sent = sent.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    sent.any(|tag| plain(tag) == etag)
}

fn takes_gzip(request: &HeaderMap) -> bool {
    let sent = request.get_all(header::ACCEPT_ENCODING).iter();
    let mut codings =
        sent.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    codings.any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        is_gzip && !parts.any(is_zero_quality)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a newcomer loads over a slow line, and what the repository keeps.
    #[test]
    fn all_files_together_are_small() {
        let all: Vec<u8> =
            FILES.iter().chain([&INDEX]).flat_map(|file| file.prepare().plain).collect();
        let compressed = compress(&all).unwrap().len();
        assert!(all.len() < 150 * 1024, "{} bytes", all.len());
        assert!(compressed < 42 * 1024, "{compressed} bytes compressed");
    }

    /// What is taken out of a script must not be within a text of several lines.
    #[test]
    fn no_text_in_a_script_goes_on_in_the_next_line() {
        assert!(is_open("const a = `b") && !is_open("const a = /[`/]/.test(`b`) // `"));
        for file in FILES.iter().filter(|file| file.content_type == SCRIPT) {
            let source = std::str::from_utf8(file.source).unwrap();
            for line in source.lines().filter(|line| !line.trim().starts_with(['*', '/'])) {
                assert!(!is_open(line), "{}: {line}", file.name);
            }
        }
    }

    /// Whether a text in backticks that begins in this line of a script does not end in it.
    fn is_open(line: &str) -> bool {
        let (mut within, mut is_class, mut before) = (None, false, '(');
        let mut chars = line.chars().peekable();
        while let Some(char) = chars.next() {
            match within {
                Some(_) if char == '\\' => drop(chars.next()),
                Some('/') if char == '[' || char == ']' => is_class = char == '[',
                Some(end) if end == char && !is_class => within = None,
                None if char == '/' && chars.peek() == Some(&'/') => break,
                None if char == '/' && "(=,:[!&|?{};".contains(before) => within = Some('/'),
                None if matches!(char, '"' | '\'' | '`') => within = Some(char),
                Some(_) | None => {}
            }
            if !char.is_whitespace() {
                before = char;
            }
        }
        within == Some('`')
    }

    #[test]
    fn every_file_of_the_folder_is_served() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/page/static");
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(name == INDEX.name || File::named(&name).is_some(), "{name}");
        }
    }
}
