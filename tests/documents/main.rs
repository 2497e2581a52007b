//! What is written about the program agrees with the program: the settings in the README and
//! in `.env.example` with `--help`, and wrong settings with what was promised for them.

#[cfg(all(feature = "embedded", feature = "local-auth"))]
mod dashboard;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};

/// From here on `.env.example` is about docker-compose.yml.
const COMPOSE_SECTION: &str = "# ---- Read by docker-compose.yml alone ----";

/// Variables that `SUPABASE_SERVICE_KEY` may go by too.
const OTHER_KEYS: [&str; 3] =
    ["SUPABASE_SECRET_KEY", "SUPABASE_ANON_KEY", "SUPABASE_PUBLISHABLE_KEY"];

/// What a build without the embedded database asks for before anything else. Never connected to.
const REQUIRED: (&str, &str) = ("DATABASE_URL", "postgres://user@127.0.0.1:1/none");

/// A setting's name and its default, empty for none.
type Settings = BTreeMap<String, String>;

#[test]
fn the_readme_has_every_setting_with_its_default() -> Result<()> {
    let readme = document("README.md")?;
    let (_, rest) = readme.split_once("\n## Settings\n").context("README.md has no Settings")?;
    let section = rest.split("\n## ").next().unwrap_or_default();
    let mut written = Settings::new();
    for row in section.lines().filter(|line| line.starts_with("| `")) {
        let mut cells = row.split('|').map(str::trim).skip(1);
        let (name, default) = (cells.next(), cells.next());
        let name = name.context("a row without a name")?.trim_matches('`');
        let default = default.context("a row without a default")?;
        let default = if default == "unset" { "" } else { default.trim_matches('`') };
        written.insert(name.to_owned(), default.to_owned());
    }
    agree("README.md", &written)
}

#[test]
fn the_example_has_every_setting_with_its_default() -> Result<()> {
    let example = document(".env.example")?;
    let (server, _) = example.split_once(COMPOSE_SECTION).context("no section for compose")?;
    agree(".env.example", &assignments(server))
}

#[test]
fn copying_the_example_changes_nothing() -> Result<()> {
    let example = document(".env.example")?;
    let set: Vec<_> =
        example.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    ensure!(set.is_empty(), "not commented out: {set:?}");
    Ok(())
}

#[test]
fn the_example_has_every_variable_of_the_compose_file() -> Result<()> {
    let (compose, example) = (document("docker-compose.yml")?, document(".env.example")?);
    let used: BTreeSet<_> = compose.split("${").skip(1).filter_map(name_at_start).collect();
    let (server, rest) = example.split_once(COMPOSE_SECTION).context("no section for compose")?;
    let (server, own) = (assignments(server), assignments(rest));
    let unknown: Vec<_> = used
        .iter()
        .filter(|name| !server.contains_key(**name) && !own.contains_key(**name))
        .filter(|name| !OTHER_KEYS.contains(name))
        .collect();
    ensure!(unknown.is_empty(), "not in .env.example: {unknown:?}");
    let unused: Vec<_> = own.keys().filter(|name| !used.contains(name.as_str())).collect();
    ensure!(unused.is_empty(), "not in docker-compose.yml: {unused:?}");
    Ok(())
}

#[test]
fn every_name_of_the_api_key_is_documented() -> Result<()> {
    let (readme, help) = (document("README.md")?, help()?);
    for name in OTHER_KEYS {
        ensure!(readme.contains(name) && help.contains(name), "{name}");
    }
    Ok(())
}

#[test]
fn a_wrong_setting_is_one_line_and_exit_code_64() -> Result<()> {
    for (name, value, says) in [
        ("PORT", "70000", "takes a number from 0 to 65535"),
        ("HOST", "example", "takes an IP address"),
        ("DATABASE_URL", "mysql://user:hunter2@host/x", "takes postgres://"),
        ("DATABASE_DIRECT_URL", "mysql://user:hunter2@host/x", "takes postgres://"),
        ("DATABASE_MIGRATE", "hunter2", "takes `true` or `false`"),
        ("DATABASE_MAX_CONNECTIONS", "none", "takes a number from 1 to 1000"),
        ("SUPABASE_URL", "https://user:hunter2@example.com", "without a user name and password"),
        ("SUPABASE_SERVICE_KEY", "hunter2 hunter2", "takes an API key"),
        ("LOG_FORMAT", "xml", "takes `pretty` or `json`"),
        ("LOG_USERS", "name", "takes `hash`, `plain` or `off`"),
        ("METRICS_PORT", "70000", "takes a number from 0 to 65535"),
        ("CORS_ALLOW_ORIGINS", "app.example", "takes `*`, or origins"),
        ("MAX_BODY_BYTES", "1", "takes a number from 1024 to 1073741824"),
        ("MAX_THREADS_PER_USER", "0", "takes a number from 1 to 1000000"),
        ("MAX_STATE_BYTES", "1GB", "takes a number from 1024 to 1099511627776"),
        ("SHUTDOWN_DELAY", "1h", "takes a number from 0 to 600"),
    ] {
        refused(name, says, &program(&[], &[REQUIRED, (name, value)])?)?;
        let flag = format!("--{}", name.to_lowercase().replace('_', "-"));
        refused(name, says, &program(&[&flag, value], &[REQUIRED])?)?;
    }
    Ok(())
}

#[test]
fn without_supabase_an_open_address_is_refused() -> Result<()> {
    let output = program(&[], &[REQUIRED, ("HOST", "0.0.0.0")])?;
    refused("SUPABASE_URL", "is required", &output)
}

#[test]
fn an_unknown_flag_is_exit_code_64() -> Result<()> {
    let output = program(&["--prot", "1"], &[])?;
    ensure!(output.status.code() == Some(64), "{output:?}");
    Ok(())
}

#[test]
fn nothing_listening_fails_the_health_check() -> Result<()> {
    // Nobody listens on port 1.
    let output = program(
        &["healthcheck"],
        &[REQUIRED, ("PORT", "1"), ("SUPABASE_URL", "http://127.0.0.1:2")],
    )?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    one_line(&output).map(drop)
}

#[test]
fn every_flag_of_the_import_is_in_the_readme() -> Result<()> {
    let (readme, output) = (document("README.md")?, program(&["import", "--help"], &[])?);
    let (_, rest) = readme.split_once("\n## Moving in and out\n").context("no such section")?;
    let section = rest.split("\n## ").next().unwrap_or_default();
    let words = std::str::from_utf8(&output.stdout)?.split_whitespace();
    let flags: BTreeSet<_> = words.filter(|word| word.starts_with("--")).collect();
    ensure!(flags.contains("--from"), "it has no flags: {output:?}");
    let missing: Vec<_> =
        flags.iter().filter(|flag| **flag != "--help" && !section.contains(**flag)).collect();
    ensure!(missing.is_empty(), "not in README.md: {missing:?}");
    Ok(())
}

/// Databases have run them: they never change and never go away. A new one is added to the list
/// with the change that brings it.
#[test]
fn migrations_are_those_of_the_list() -> Result<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut found = BTreeMap::new();
    for part in ["", "local_auth/"] {
        for entry in std::fs::read_dir(directory.join(part))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "sql") {
                let name = path.file_name().and_then(|name| name.to_str()).context("its name")?;
                let digest = Sha256::digest(std::fs::read(&path)?);
                let digest = digest.iter().fold(String::new(), |mut text, byte| {
                    let _ = write!(text, "{byte:02x}");
                    text
                });
                found.insert(format!("{part}{name}"), digest);
            }
        }
    }
    let list = document("migrations/SHA256SUMS")?;
    let listed = list.lines().map(|line| {
        let (digest, name) = line.split_once("  ").context("not a line of sha256sum")?;
        Ok((name.to_owned(), digest.to_owned()))
    });
    let listed = listed.collect::<Result<BTreeMap<_, _>>>()?;
    for (name, digest) in &listed {
        let now = found.get(name).with_context(|| format!("{name} is gone"))?;
        ensure!(now == digest, "{name} was changed: add a new migration instead");
    }
    let new: Vec<_> = found.keys().filter(|name| !listed.contains_key(*name)).collect();
    ensure!(new.is_empty(), "not in migrations/SHA256SUMS: {new:?}");
    Ok(())
}

/// Runs the program where no `.env` and no variable of the tests' own environment reach it.
fn program(arguments: &[&str], environment: &[(&str, &str)]) -> io::Result<Output> {
    let directory = tempfile::tempdir()?;
    Command::new(env!("CARGO_BIN_EXE_thread-store"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .current_dir(directory.path())
        .output()
}

fn refused(setting: &str, says: &str, output: &Output) -> Result<()> {
    ensure!(output.status.code() == Some(64), "{setting}: {output:?}");
    let line = one_line(output)?;
    ensure!(line.starts_with(&format!("thread-store: {setting}: ")), "{line}");
    ensure!(line.contains(says) && !line.contains("hunter2"), "{line}");
    Ok(())
}

fn one_line(output: &Output) -> Result<&str> {
    let text = std::str::from_utf8(&output.stderr)?;
    ensure!(output.stdout.is_empty() && text.lines().count() == 1, "{output:?}");
    Ok(text.trim_end())
}

fn help() -> Result<String> {
    let output = program(&["--help"], &[])?;
    ensure!(output.status.success(), "{output:?}");
    // Words only, because lines are wrapped.
    let words: Vec<_> = std::str::from_utf8(&output.stdout)?.split_whitespace().collect();
    Ok(words.join(" "))
}

/// The settings that `--help` names.
fn settings() -> Result<Settings> {
    let help = help()?;
    let settings = help.split("[env: ").skip(1).filter_map(|entry| {
        let rest = entry.split_once(']')?.1.trim_start();
        let default = rest.strip_prefix("[default: ").and_then(|rest| rest.split(']').next());
        Some((name_at_start(entry)?.to_owned(), default.unwrap_or_default().to_owned()))
    });
    Ok(settings.collect())
}

fn agree(name: &str, written: &Settings) -> Result<()> {
    let settings = settings()?;
    ensure!(settings.contains_key("PORT"), "--help names no settings");
    ensure!(*written == settings, "{name} has\n{written:#?}\nand --help\n{settings:#?}");
    Ok(())
}

/// `#NAME=value` lines.
fn assignments(text: &str) -> Settings {
    let lines = text.lines().filter_map(|line| line.strip_prefix('#')?.split_once('='));
    let settings = lines.filter(|(name, _)| name_at_start(name) == Some(name));
    settings.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The name of a variable that a text starts with.
fn name_at_start(text: &str) -> Option<&str> {
    let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let end = text.find(|c| !is_name(c)).unwrap_or(text.len());
    text.get(..end).filter(|name| !name.is_empty())
}

fn document(name: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}
