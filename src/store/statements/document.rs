//! Writes `tests/statements.sql`, the text of every statement, for reading from top to bottom.
//!
//! The first part has the conditions of the filters. The second has the whole text of every
//! statement under the default policy on one Postgres. The third has every other text as a
//! difference from that.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Text, filters, texts};
use crate::store::sql::condition::Condition;

/// `UPDATE_STATEMENTS=1 cargo test --lib statements` rewrites the file.
#[test]
#[expect(clippy::disallowed_methods, reason = "not a setting of the program")]
fn the_committed_statements_are_those_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/statements.sql");
    let document = document();
    if std::env::var_os("UPDATE_STATEMENTS").is_some() {
        std::fs::write(path, &document).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == document,
        "look at the change, and run `UPDATE_STATEMENTS=1 cargo test --lib statements`"
    );
}

fn document() -> String {
    let mut document = String::from(
        "-- Every statement of the store, written by `UPDATE_STATEMENTS=1 cargo test --lib statements`.\n\
         --\n\
         -- 1. The conditions that a policy's filter becomes. Their values are in asked.filter.\n\
         -- 2. Every statement, as requests of the program's own policy share it on one Postgres.\n\
         -- 3. The same for other filters, databases and searches, as differences to those texts.\n",
    );
    document.push_str("\n\n-- 1. Conditions ---------------------------------------------------\n");
    for (name, filter) in filters() {
        let condition = Condition::of_filter(filter.as_ref());
        let _ = write!(document, "\n-- {name}: asked.filter = '{}'\n", condition.values);
        let _ = writeln!(document, "-- {}", condition.text);
    }
    let texts = texts();
    let mut whole: BTreeMap<&str, &Text> = BTreeMap::new();
    document.push_str("\n\n-- 2. Statements ---------------------------------------------------\n");
    for text in &texts {
        if !whole.contains_key(text.name) {
            whole.insert(text.name, text);
            let _ = write!(document, "\n-- {}\n{};\n", text.name, dedented(&text.sql));
        }
    }
    document.push_str("\n\n-- 3. Differences --------------------------------------------------\n");
    for text in &texts {
        let first = whole[text.name];
        if text.is_shown && first.sql != text.sql {
            let _ = write!(document, "\n-- {} ({})\n", text.name, text.case);
            document.push_str(&difference(&dedented(&first.sql), &dedented(&text.sql)));
        }
    }
    document
}

/// A text without the indentation that it has in the source.
fn dedented(sql: &str) -> String {
    let lines: Vec<_> = sql.trim_matches('\n').lines().map(str::trim_end).collect();
    let indented = lines.iter().filter(|line| !line.is_empty());
    let indent = indented.map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
    let lines = lines.iter().map(|line| line.get(indent..).unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// The lines that are only in one of two texts.
fn difference(one: &str, other: &str) -> String {
    let (one, other): (Vec<_>, Vec<_>) = (one.lines().collect(), other.lines().collect());
    // For each pair of suffixes the number of common lines.
    let mut common = vec![vec![0; other.len() + 1]; one.len() + 1];
    for (i, left) in one.iter().enumerate().rev() {
        for (j, right) in other.iter().enumerate().rev() {
            common[i][j] = if left == right {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut lines = String::new();
    while i < one.len() || j < other.len() {
        if i < one.len() && j < other.len() && one[i] == other[j] {
            (i, j) = (i + 1, j + 1);
        } else if i < one.len() && (j == other.len() || common[i + 1][j] >= common[i][j + 1]) {
            let _ = writeln!(lines, "-- - {}", one[i].trim_start());
            i += 1;
        } else {
            let _ = writeln!(lines, "-- + {}", other[j].trim_start());
            j += 1;
        }
    }
    lines
}
