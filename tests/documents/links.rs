//! Links between the documents lead somewhere, and the README stays short.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

/// Lines that a newcomer reads before the rest of the documentation.
const MAX_README: usize = 200;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn documents() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for directory in [root().to_owned(), root().join("docs")] {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// The text without what is between fences.
fn prose(text: &str) -> String {
    let mut is_code = false;
    let mut prose = String::new();
    for line in text.lines() {
        if line.starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    prose
}

/// The names by which a document's sections are linked.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text);
    let headings = headings.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
            title.chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

/// What the links of a document point to.
fn targets(text: &str) -> Vec<String> {
    let text = prose(text);
    let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    links.filter(|link| !link.contains("://")).map(str::to_owned).collect()
}

#[test]
fn every_link_between_documents_leads_to_a_file_and_a_section() -> Result<()> {
    let mut broken = Vec::new();
    let mut checked = 0;
    for document in documents()? {
        let text = fs::read_to_string(&document)?;
        for target in targets(&text) {
            let (file, section) = target.split_once('#').unwrap_or((&target, ""));
            let path = match file {
                "" => document.clone(),
                file => document.with_file_name(file),
            };
            let is_there = path.exists()
                && (section.is_empty() || anchors(&fs::read_to_string(&path)?).contains(section));
            if !is_there {
                broken.push(format!("{}: {target}", document.display()));
            }
            checked += 1;
        }
    }
    ensure!(broken.is_empty() && checked > 30, "of {checked} links: {broken:#?}");
    Ok(())
}

#[test]
fn the_readme_is_short() -> Result<()> {
    let lines = fs::read_to_string(root().join("README.md"))?.lines().count();
    ensure!(lines <= MAX_README, "README.md has {lines} lines, more than {MAX_README}");
    Ok(())
}
