//! Joins the page's scripts into one file, so that a browser waits for one answer and the common
//! parts are compressed once.
//!
//! Each module becomes a function that is called once and returns the exports, in an order in which
//! no module needs a later one. The parser supports only the forms that the page's modules use: an
//! import is one line of names or of `* as`, an export is a declaration, and no template literal
//! spans lines. Tests check this. Comments are left out, and so are blanks and line ends that
//! separate nothing.

use std::fmt::Write as _;

/// A module.
struct Module {
    name: &'static str,
    source: &'static str,
}

macro_rules! modules {
    ($($name:literal),* $(,)?) => {
        &[$(Module { name: $name, source: include_str!(concat!("static/", $name, ".js")) }),*]
    };
}

/// All modules, each after the ones that it imports.
const MODULES: &[Module] = modules![
    "dom", "clock", "pkce", "gotrue", "oidc", "session", "api", "content", "stream", "tree",
    "markdown", "example", "message", "feed", "diff", "time", "composer", "list", "export", "tidy",
    "store", "thread", "signin", "main",
];

/// The joined file.
pub(super) fn joined() -> String {
    let mut joined = String::new();
    for Module { name, source } in MODULES {
        let _ = write!(joined, "const {name}_=(()=>{{");
        let mut exported = Vec::new();
        for line in lines(source) {
            if let Some(import) = Import::of(line) {
                let _ = write!(joined, "const {}={}_;", import.names, import.module);
                continue;
            }
            let declaration = line.strip_prefix("export ");
            exported.extend(declaration.and_then(declared));
            joined.push_str(&without_blanks(declaration.unwrap_or(line)));
            if !joined.ends_with([';', '{', ',', '(']) {
                joined.push('\n');
            }
        }
        let _ = writeln!(joined, "return{{{}}}}})();", exported.join(","));
    }
    joined
}

/// The lines of a script without comment lines and indentation.
fn lines(source: &str) -> impl Iterator<Item = &str> {
    source.lines().map(str::trim).filter(|line| {
        !line.is_empty() && !["//", "/*", "*/", "* "].iter().any(|mark| line.starts_with(mark))
    })
}

/// A line of a script without comments, and without blanks beside a sign that separates words by
/// itself. Literals are unchanged.
fn without_blanks(line: &str) -> String {
    let mut kept = String::with_capacity(line.len());
    // The literals and the braces that are open, `$` for code in a template literal and `[` for a
    // character class.
    let mut open = Vec::new();
    let mut chars = line.chars().peekable();
    while let Some(char) = chars.next() {
        let next = chars.peek().copied();
        match (open.last(), char) {
            (Some('"' | '\'' | '`' | '/' | '['), '\\') => {
                kept.push(char);
                kept.extend(chars.next());
                continue;
            }
            (Some('`'), '$') if next == Some('{') => {
                open.push('$');
                kept.extend(['$', '{']);
                chars.next();
                continue;
            }
            (Some('/'), '[') => open.push('['),
            (Some('['), ']') => drop(open.pop()),
            (Some(end @ ('"' | '\'' | '`' | '/')), _) if *end == char => drop(open.pop()),
            (Some('"' | '\'' | '`' | '/' | '['), _) => {}
            (_, ' ') if kept.ends_with(separates) || next.is_none_or(separates) => continue,
            (_, '/') if next == Some('/') => break,
            (_, '/') if next == Some('*') => {
                chars.next();
                while chars.next().is_some_and(|char| char != '*' || chars.peek() != Some(&'/')) {}
                chars.next();
                continue;
            }
            (_, '/') if begins_expression(&kept) => open.push('/'),
            (_, '"' | '\'' | '`' | '{') => open.push(char),
            (_, '}') => drop(open.pop()),
            _ => {}
        }
        kept.push(char);
    }
    kept
}

/// Whether an expression begins after this code, so that a slash begins a regular expression.
fn begins_expression(code: &str) -> bool {
    code.is_empty()
        || code.ends_with("return ")
        || code.ends_with(|end| "(=,:[!&|?{};>".contains(end))
}

fn separates(char: char) -> bool {
    "=,{}:;?()<>&|![]".contains(char)
}

/// `import {a, b} from "./module.js";` or `import * as names from "./module.js";`
struct Import<'a> {
    names: &'a str,
    module: &'a str,
}

impl<'a> Import<'a> {
    fn of(line: &'a str) -> Option<Import<'a>> {
        let (names, from) = line.strip_prefix("import ")?.split_once(" from \"./")?;
        let module = from.strip_suffix(".js\";")?;
        Some(Import { names: names.strip_prefix("* as ").unwrap_or(names), module })
    }
}

/// The name that a declaration declares.
fn declared(declaration: &str) -> Option<&str> {
    let mut words = declaration.split(' ').filter(|word| *word != "async");
    let is_declaration = matches!(words.next(), Some("function" | "function*" | "class" | "const"));
    let name = words.next().filter(|_| is_declaration)?;
    name.split(|char: char| !char.is_alphanumeric() && char != '_').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_of_the_folder_is_in_the_file() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/page/static");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let scripts =
            files.filter_map(|name| name.to_str()?.strip_suffix(".js").map(str::to_owned));
        let mut scripts: Vec<_> = scripts.collect();
        scripts.sort();
        let mut named: Vec<_> = MODULES.iter().map(|module| module.name).collect();
        named.sort_unstable();
        assert_eq!(scripts, named);
    }

    #[test]
    fn a_module_imports_what_an_earlier_one_exports() {
        let mut earlier: Vec<(&str, Vec<&str>)> = Vec::new();
        for Module { name, source } in MODULES {
            for import in lines(source).filter_map(Import::of) {
                let exported = earlier.iter().find(|(one, _)| *one == import.module);
                let (_, exported) = exported.unwrap_or_else(|| panic!("{name}: {}", import.module));
                let Some(names) = import.names.strip_prefix('{') else { continue };
                for one in names.trim_end_matches('}').split(',').map(str::trim) {
                    assert!(exported.contains(&one), "{name}: {one} of {}", import.module);
                }
            }
            let exports = lines(source).filter_map(|line| line.strip_prefix("export "));
            let exports =
                exports.map(|line| declared(line).unwrap_or_else(|| panic!("{name}: {line}")));
            earlier.push((name, exports.collect()));
        }
        let joined = joined();
        for word in ["import ", "export "] {
            let begins = |(at, _): (usize, &str)| joined[..at].ends_with([';', '{', '\n']);
            assert!(!joined.match_indices(word).any(begins), "{word}");
        }
    }

    #[test]
    fn blanks_in_literals_stay() {
        for (line, expected) in [
            ("const { a, b } = c ?? (d + e);", "const{a,b}=c??(d + e);"),
            (r#"f("a = b", 'c : d', /[ /] = /g) // g"#, r#"f("a = b",'c : d',/[ /] = /g)"#),
            ("`a = ${b ? `c , ${d} ( )` : { e: 1 }} ; f`", "`a = ${b?`c , ${d} ( )`:{e:1}} ; f`"),
            (r#"} catch { /* " */ a = b / c / d }"#, "}catch{a=b / c / d}"),
            (r"return /^a:\/\/ = /.test(a); // b", r"return /^a:\/\/ = /.test(a);"),
            ("const f = (a) => / : /.test(a) / [1] / 2;", "const f=(a)=>/ : /.test(a)/[1]/ 2;"),
            (r#"return "\" = " + ' ';"#, r#"return "\" = " + ' ';"#),
        ] {
            assert_eq!(without_blanks(line), expected);
        }
    }

    /// Lines are processed one by one, so no template literal may span lines.
    #[test]
    fn no_text_in_a_script_goes_on_in_the_next_line() {
        assert!(is_open("const a = `b") && !is_open("const a = /[`/]/.test(`b`) // `"));
        for Module { name, source } in MODULES {
            for line in source.lines().filter(|line| !line.trim().starts_with(['*', '/'])) {
                assert!(!is_open(line), "{name}: {line}");
            }
        }
    }

    /// Whether a template literal begins in this line of a script and does not end in it.
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
}
