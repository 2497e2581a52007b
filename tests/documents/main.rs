//! What is written about the program agrees with the program: the settings in docs/settings.md and
//! in `.env.example` with `--help`, and wrong settings with what was promised for them.

#[cfg(all(feature = "embedded", feature = "local-auth"))]
mod dashboard;
#[path = "../api/support/deadline.rs"]
mod deadline;
mod links;
mod modules;
mod paths;

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

/// What is written about a setting.
#[derive(Debug, PartialEq, Eq)]
struct Setting {
    /// Empty for none.
    default: String,
    meaning: String,
}

/// Settings by their names.
type Settings = BTreeMap<String, Setting>;

#[test]
fn the_page_of_settings_has_every_one_as_help_has_it() -> Result<()> {
    let page = document("docs/settings.md")?;
    let mut written = Settings::new();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row.split(" | ").map(|cell| cell.trim_matches(['|', ' '])).collect();
        let [name, default, meaning] = cells[..] else { anyhow::bail!("not three cells: {row}") };
        let default = if default == "unset" { "" } else { default.trim_matches('`') };
        // A row may say more, where a setting has a section of its own.
        let meaning = meaning.split(". See [").next().unwrap_or_default();
        let setting = Setting { default: default.to_owned(), meaning: meaning.to_owned() };
        written.insert(name.trim_matches('`').to_owned(), setting);
    }
    agree("docs/settings.md", &written, &settings()?)
}

#[test]
fn the_example_has_every_setting_as_help_has_it() -> Result<()> {
    let example = document(".env.example")?;
    let (server, _) = example.split_once(COMPOSE_SECTION).context("no section for compose")?;
    let mut written = Settings::new();
    for paragraph in server.split("\n\n") {
        let (text, assignments): (Vec<_>, Vec<_>) =
            paragraph.lines().partition(|line| line.starts_with("# "));
        let Some((name, default)) = assignments.first().and_then(|line| line.split_once('='))
        else {
            continue;
        };
        let meaning: Vec<_> = text.iter().filter_map(|line| line.strip_prefix("# ")).collect();
        let meaning = meaning.join(" ").trim_end_matches('.').to_owned();
        let name = name.trim_start_matches('#').to_owned();
        written.insert(name, Setting { default: default.to_owned(), meaning });
    }
    let mut settings = settings()?;
    for setting in settings.values_mut() {
        setting.meaning = setting.meaning.replace('`', "");
    }
    agree(".env.example", &written, &settings)
}

/// What a setting must be is asked of the program itself, by a value that none can have.
#[test]
fn every_bound_and_every_word_of_a_setting_is_in_its_text() -> Result<()> {
    let mut bounds = 0;
    for (name, Setting { meaning, .. }) in settings()? {
        let output = program(&[], &[REQUIRED, (&name, "no such value\u{1}")])?;
        let line = one_line(&output)?;
        let Some((_, must_be)) = line.split_once(": must be ") else { continue };
        let range = ["a number from ", "a number of seconds from "];
        let range = range.iter().find_map(|prefix| must_be.strip_prefix(prefix));
        let words: Vec<_> = match range {
            Some(range) => vec![range.to_owned()],
            None if must_be.starts_with('`') => {
                let quoted = must_be.split('`').skip(1).step_by(2);
                quoted.map(|word| format!("`{word}`")).collect()
            }
            None => continue,
        };
        bounds += words.len();
        for word in words {
            ensure!(meaning.contains(&word), "{name}: {word} is not in {meaning:?}");
        }
    }
    ensure!(bounds > 25, "the program says of {bounds} values only what they must be");
    Ok(())
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

/// What `.env` sets, the server of the compose file gets, but for what that file decides by itself.
#[test]
fn the_compose_file_passes_every_setting_on() -> Result<()> {
    const DECIDED: [&str; 8] = [
        "DATABASE_DIRECT_URL",
        "DATABASE_POOLER",
        "DATABASE_URL",
        "DATA_DIR",
        "HOST",
        "POSTGRES_ARCHIVE_URL",
        "POSTGRES_BIN",
        "PORT",
    ];
    let (compose, example) = (document("docker-compose.yml")?, document(".env.example")?);
    let (server, _) = example.split_once(COMPOSE_SECTION).context("no section for compose")?;
    let (_, service) = compose.split_once("\n  server: ").context("no service")?;
    let (service, _) = service.split_once("\n    volumes:").context("no end of the settings")?;
    let passes = |name: &str| service.contains(&format!("\n      {name}: ${{{name}"));
    let dropped: Vec<_> = assignments(server)
        .into_keys()
        .filter(|name| !DECIDED.contains(&name.as_str()) && !passes(name))
        .collect();
    ensure!(dropped.is_empty(), "not passed on: {dropped:?}");
    // A default is written once, in the program. One differs on purpose: machines read these logs.
    let defaults: Vec<_> =
        service.lines().filter(|line| line.contains(":-") && !line.contains(":-}")).collect();
    ensure!(defaults == ["      LOG_FORMAT: ${LOG_FORMAT:-json}"], "{defaults:?}");
    Ok(())
}

#[test]
fn every_name_of_the_api_key_is_documented() -> Result<()> {
    let (page, help) = (document("docs/settings.md")?, help()?);
    for name in OTHER_KEYS {
        ensure!(page.contains(name) && help.contains(name), "{name}");
    }
    Ok(())
}

#[test]
fn a_wrong_setting_is_one_line_and_exit_code_64() -> Result<()> {
    for (name, value, says) in [
        ("PORT", "70000", "must be a number from 0 to 65535"),
        ("HOST", "example", "must be an IP address"),
        ("DATABASE_URL", "mysql://user:hunter2@host/x", "must be a URL, postgres://"),
        ("DATABASE_DIRECT_URL", "mysql://user:hunter2@host/x", "must be a URL, postgres://"),
        ("DATABASE_MIGRATE", "hunter2", "must be `true` or `false`"),
        ("DATABASE_MAX_CONNECTIONS", "none", "must be a number from 1 to 1000"),
        ("SUPABASE_URL", "https://user:hunter2@example.com", "without a user name and password"),
        ("SUPABASE_SERVICE_KEY", "hunter2 hunter2", "must be an API key"),
        ("LOG_FORMAT", "xml", "must be `pretty` or `json`"),
        ("LOG_USERS", "name", "must be `hash`, `plain` or `off`"),
        ("METRICS_PORT", "70000", "must be a number from 0 to 65535"),
        ("METRICS_PORT", "2024", "must differ from PORT"),
        ("CORS_ALLOW_ORIGINS", "app.example", "must be `*`, or origins"),
        ("CORS_ALLOW_ORIGINS", "https://app-*.example.com", "must have a `*` only in the form"),
        ("LANGGRAPH_THREAD_TTL", "30d", "must be a number of minutes, or JSON"),
        ("MAX_BODY_BYTES", "1", "must be a number from 1024 to 1073741824"),
        ("MAX_THREADS_PER_USER", "0", "must be a number from 1 to 1000000"),
        ("MAX_STATE_BYTES", "1GB", "must be a number from 1024 to 1099511627776"),
        ("SHUTDOWN_DELAY", "1h", "must be a number of seconds from 0 to 600"),
    ] {
        refused(name, says, &program(&[], &[REQUIRED, (name, value)])?)?;
        refused(name, says, &program(&[&flag_of(name), value], &[REQUIRED])?)?;
    }
    Ok(())
}

#[test]
fn without_supabase_an_open_address_is_refused() -> Result<()> {
    let output = program(&[], &[REQUIRED, ("HOST", "0.0.0.0")])?;
    refused("SUPABASE_URL", "is required", &output)
}

#[test]
fn a_wrong_command_line_is_one_line_and_exit_code_64() -> Result<()> {
    for (words, what, says) in [
        (&["--prot", "1"][..], "--prot", "did you mean --port?"),
        (&["--nothing-like-it=hunter2"], "--nothing-like-it", "is not a flag"),
        (&["--port"], "PORT", "must have a value"),
        (&["--port", "1", "--port", "2"], "PORT", "must be given once"),
        (&["frobnicate"], "frobnicate", "is not a command"),
        (&["migrate", "frobnicate"], "frobnicate", "is not a command"),
        (&["import", "--to", "http://x"], "--from", "is required"),
        (&["import"], "--to", "is required"),
        (&["import", "--from", "x", "--to", "http://x"], "--from", "must be an http://"),
    ] {
        refused(what, says, &program(words, &[])?)?;
    }
    Ok(())
}

#[test]
fn an_empty_value_counts_as_unset() -> Result<()> {
    let empty: Vec<_> = settings()?.into_keys().collect();
    let empty: Vec<_> = empty.iter().map(|name| (name.as_str(), " ")).collect();
    // The first thing that is missed is a server to ask: every setting was read.
    let mut environment = empty.clone();
    environment.extend([REQUIRED, ("PORT", "1"), ("SUPABASE_URL", "http://127.0.0.1:2")]);
    let output = program(&["healthcheck"], &environment)?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    let flags: Vec<_> = empty.iter().map(|(name, _)| flag_of(name)).collect();
    let mut words: Vec<_> = flags.iter().map(|flag| format!("{flag}=")).collect();
    words.extend(flags.iter().flat_map(|flag| [flag.clone(), String::new()]));
    words.push("healthcheck".to_owned());
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let set = [REQUIRED, ("PORT", "1"), ("SUPABASE_URL", "http://127.0.0.1:2")];
    let output = program(&words, &set)?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    // And help still names the variable.
    let output = program(&["--help"], &[("PORT", "")])?;
    ensure!(std::str::from_utf8(&output.stdout)?.contains("[env: PORT=]"), "{output:?}");
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
fn every_flag_of_the_import_is_documented() -> Result<()> {
    let (page, output) = (document("docs/import.md")?, program(&["import", "--help"], &[])?);
    let words = std::str::from_utf8(&output.stdout)?.split_whitespace();
    let flags: BTreeSet<_> = words.filter(|word| word.starts_with("--")).collect();
    ensure!(flags.contains("--from"), "it has no flags: {output:?}");
    let missing: Vec<_> =
        flags.iter().filter(|flag| **flag != "--help" && !page.contains(**flag)).collect();
    ensure!(missing.is_empty(), "not in docs/import.md: {missing:?}");
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
    let mut command = Command::new(env!("CARGO_BIN_EXE_thread-store"));
    let command = command.args(arguments).env_clear().envs(environment.iter().copied());
    deadline::output_of(command.current_dir(directory.path()))
}

fn flag_of(setting: &str) -> String {
    format!("--{}", setting.to_lowercase().replace('_', "-"))
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
    let (_, options) = help.split_once("Options: ").context("--help names no options")?;
    let mut settings = Settings::new();
    // `--port <PORT> Port to listen on [env: PORT=] [default: 2024]`
    for entry in options.split(" --").filter(|entry| entry.contains("[env: ")) {
        let (_, entry) = entry.split_once("> ").with_context(|| format!("no value: {entry}"))?;
        let (meaning, rest) = entry.split_once(" [env: ").context("no variable")?;
        let name = name_at_start(rest).context("no name")?.to_owned();
        let default = rest.split_once("[default: ").and_then(|(_, rest)| rest.split(']').next());
        let default = default.unwrap_or_default().to_owned();
        settings.insert(name, Setting { default, meaning: meaning.to_owned() });
    }
    ensure!(settings.contains_key("PORT"), "--help names no settings");
    Ok(settings)
}

fn agree(name: &str, written: &Settings, settings: &Settings) -> Result<()> {
    let names: BTreeSet<_> = written.keys().chain(settings.keys()).collect();
    for setting in names {
        let (written, meant) = (written.get(setting), settings.get(setting));
        ensure!(written == meant, "{setting}: {name} has\n{written:#?}\nand --help\n{meant:#?}");
    }
    Ok(())
}

/// `#NAME=value` lines.
fn assignments(text: &str) -> BTreeMap<String, String> {
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
