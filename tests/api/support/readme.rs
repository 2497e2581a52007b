//! Commands as the documentation gives them.

use std::path::Path;
use std::process::Command;

/// The commands of "Backup and restore" that hold a word, in their order, with the lines between them
/// that belong to them.
pub(crate) fn backup_commands(word: &str) -> String {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/database.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, rest) = page.split_once("\n## Backup and restore\n").unwrap();
    let section = rest.split("\n## ").next().unwrap();
    let mut blocks = vec![String::new()];
    for line in section.lines() {
        match (line.strip_prefix("    "), blocks.last_mut().unwrap()) {
            (Some(command), block) => block.extend([command, "\n"]),
            (None, block) if !block.is_empty() => blocks.push(String::new()),
            (None, _) => {}
        }
    }
    let mut found = blocks.into_iter().filter(|block| block.contains(word));
    let block = found.next().unwrap();
    assert_eq!(found.next(), None, "{word} is in several blocks");
    block
}

/// Runs commands of a shell, which all have to succeed.
pub(crate) fn shell(directory: &Path, commands: &str, variables: &[(&str, &str)]) {
    let mut shell = Command::new("sh");
    let shell = shell.args(["-euc", commands]).current_dir(directory);
    let output = super::deadline::output_of(shell.envs(variables.iter().copied())).unwrap();
    assert!(output.status.success(), "{commands}{}", String::from_utf8_lossy(&output.stderr));
}
