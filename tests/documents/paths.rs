//! The files and directories that the guides for contributors name exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

/// The documents whose paths are checked.
const GUIDES: [&str; 2] = ["ARCHITECTURE.md", "CONTRIBUTING.md"];

/// Endings by which a name without a directory counts as a file.
const ENDINGS: [&str; 9] = ["rs", "md", "json", "sql", "toml", "yml", "mjs", "txt", "example"];

/// Directories that a checkout does not have.
const OUTSIDE: [&str; 2] = ["../", "target/"];

/// Whether a text in backticks is the path of a file or directory, and not an address or a name in code.
fn is_path(text: &str) -> bool {
    let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    let is_outside = text.starts_with('/') || OUTSIDE.iter().any(|begin| text.starts_with(begin));
    let extension = Path::new(text).extension().and_then(|extension| extension.to_str());
    let is_file = extension.is_some_and(|extension| ENDINGS.contains(&extension));
    is_plain && !is_outside && (text.contains('/') || is_file)
}

/// The paths in a text's backticks.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2).filter(|text| is_path(text))
}

/// The commands of an indented block that are files of this repository.
fn commands(line: &str) -> impl Iterator<Item = &str> {
    let command = line.strip_prefix("    ").and_then(|line| line.split('#').next());
    let words = command.unwrap_or_default().split(' ').skip_while(|word| word.contains('='));
    words.take(1).filter(|word| is_path(word))
}

/// A text's paragraphs. Each row of a table and each item of a list is one.
fn paragraphs(text: &str) -> Vec<String> {
    let mut paragraphs = vec![String::new()];
    for line in text.lines() {
        let is_item = line.split_once(". ").is_some_and(|(number, _)| number.parse::<u8>().is_ok());
        if line.is_empty() || line.starts_with(['|', '-', '#']) || is_item {
            paragraphs.push(String::new());
        }
        if let Some(last) = paragraphs.last_mut() {
            last.push_str(line);
            last.push('\n');
        }
    }
    paragraphs
}

/// The file or directory that a path means: below the root, below `src`, or below one of the
/// directories that its paragraph has named before. A module may be named without `.rs`.
fn found(path: &str, near: &BTreeSet<PathBuf>) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let bases = [root.to_owned(), root.join("src")];
    let bases = bases.iter().chain(near);
    let mut places = bases.flat_map(|base| [base.join(path), base.join(format!("{path}.rs"))]);
    places.find(|place| place.exists())
}

/// The paths of a document that name nothing, and the number of all its paths.
fn missing(text: &str) -> (Vec<String>, usize) {
    let (mut missing, mut checked) = (Vec::new(), 0);
    for paragraph in paragraphs(text) {
        let mut near = BTreeSet::new();
        for path in paths(&paragraph).chain(paragraph.lines().flat_map(commands)) {
            checked += 1;
            match found(path, &near) {
                Some(place) => near.extend(place.ancestors().take(2).map(Path::to_owned)),
                None => missing.push(path.to_owned()),
            }
        }
    }
    (missing, checked)
}

#[test]
fn every_path_in_the_guides_exists() -> Result<()> {
    for guide in GUIDES {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(guide))?;
        let (missing, checked) = missing(&text);
        ensure!(missing.is_empty(), "{guide} names what is not there: {missing:?}");
        ensure!(checked > 40, "{guide} has only {checked} paths");
    }
    Ok(())
}

#[test]
fn a_path_that_names_nothing_is_found() {
    let text = "| `src/store/pool/none` | `static/` |\n\n1. `src/store/threads/patch.rs`, `create.rs`, \
                `gone.rs`, `/app`, `json::check`, `target/ci`.\n\n    bench/run  # all\n    A=1 bench/none 500\n";
    let (missing, checked) = missing(text);
    assert_eq!(missing, ["src/store/pool/none", "static/", "gone.rs", "bench/none"]);
    assert_eq!(checked, 7);
}
