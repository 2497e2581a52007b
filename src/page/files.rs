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

use super::{is_zero_quality, scripts};

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const PAGE: &str = "text/html; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

/// The placeholder for [`version`] in the document.
const VERSION_MARK: &str = "{version}";

/// One file of the page.
#[derive(Debug)]
pub(super) struct File {
    name: &'static str,
    content_type: &'static str,
    text: fn() -> String,
    prepared: OnceLock<Prepared>,
}

/// The bytes of a file to send.
#[derive(Debug)]
struct Prepared {
    plain: Bytes,
    /// Compressed with gzip, if that is smaller.
    compressed: Option<Bytes>,
    etag: HeaderValue,
}

/// How long a browser may cache a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// For ever, because the address changes with the content.
    ForEver,
    /// Not without revalidation, because the address does not change.
    Never,
}

/// The document.
pub(super) static INDEX: File = File::new("index.html", PAGE, document);

static FILES: [File; 3] = [
    File::new("app.js", SCRIPT, scripts::joined),
    File::new("icon.svg", IMAGE, || include_str!("static/icon.svg").to_owned()),
    File::new("style.css", STYLE, || without_blanks(include_str!("static/style.css"))),
];

impl File {
    const fn new(name: &'static str, content_type: &'static str, text: fn() -> String) -> File {
        File { name, content_type, text, prepared: OnceLock::new() }
    }

    /// The file with this name, except the document.
    pub(super) fn named(name: &str) -> Option<&'static File> {
        FILES.iter().find(|file| file.name == name)
    }

    /// The file in an encoding that the client accepts, or 304 if the client has it.
    pub(super) fn answer(&self, request: &HeaderMap, kept: Kept) -> Response {
        let prepared = self.prepared();
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

    fn prepared(&self) -> &Prepared {
        self.prepared.get_or_init(|| Prepared::of((self.text)()))
    }
}

impl Prepared {
    fn of(text: String) -> Prepared {
        let plain = Bytes::from(text);
        let compressed = compress(&plain).filter(|compressed| compressed.len() < plain.len());
        // A weak tag, because both encodings of a file have the same one.
        let etag = format!("W/\"{}\"", hash(&[&plain]));
        let etag = HeaderValue::try_from(etag).unwrap_or(HeaderValue::from_static("W/\"\""));
        Prepared { plain, compressed, etag }
    }
}

/// A version of all files together, made from their contents.
pub(super) fn version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| hash(&FILES.each_ref().map(|file| &*file.prepared().plain)))
}

fn document() -> String {
    include_str!("static/index.html").replace(VERSION_MARK, version())
}

/// A style sheet without unneeded whitespace. The page's style sheet has no strings with such
/// whitespace.
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

/// Compresses with gzip. `None`: it failed, which counts as not smaller.
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

    /// The bytes that a first visit downloads, with and without compression.
    #[test]
    fn all_files_together_are_small() {
        let files = || FILES.iter().chain([&INDEX]).map(File::prepared);
        let sent = |file: &Prepared| file.compressed.as_ref().unwrap_or(&file.plain).len();
        let plain: usize = files().map(|file| file.plain.len()).sum();
        let compressed: usize = files().map(sent).sum();
        assert!(plain < 150_000, "{plain} bytes");
        assert!(compressed < 40_000, "{compressed} bytes compressed");
    }

    #[test]
    fn every_file_of_the_folder_is_served() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/page/static");
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if std::path::Path::new(&name).extension().is_some_and(|end| end == "js") {
                continue;
            }
            assert!(name == INDEX.name || File::named(&name).is_some(), "{name}");
        }
    }
}
