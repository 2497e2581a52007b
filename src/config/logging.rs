//! Which lines are logged, and in which form.

use tracing_subscriber::filter::Targets;

use super::values::choice;

/// Which lines are logged, and in which form.
#[derive(Debug, Clone, clap::Args)]
pub struct Logging {
    /// Log lines to write, as `tracing` filters such as `info` or `thread_store=debug`
    #[arg(long = "rust-log", env = "RUST_LOG", default_value = "info")]
    #[arg(value_name = "FILTERS", value_parser = filter)]
    pub filter: Targets,

    /// Form of the log lines: `pretty` or `json`
    #[arg(long = "log-format", env = "LOG_FORMAT", default_value = "pretty")]
    #[arg(value_name = "FORM", value_parser = choice(&FORMATS))]
    pub format: LogFormat,
}

/// Form of the log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For reading in a terminal.
    Pretty,
    /// One JSON object per line.
    Json,
}

const FORMATS: [(&str, LogFormat); 2] = [("pretty", LogFormat::Pretty), ("json", LogFormat::Json)];

/// How the line of a request names its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogUsers {
    /// By a hash of the id: the lines of one user can be found, but do not contain the id.
    Hash,
    /// By the id.
    Plain,
    /// Not at all.
    Off,
}

/// The words of `LOG_USERS`.
pub(super) const LOG_USERS: [(&str, LogUsers); 3] =
    [("hash", LogUsers::Hash), ("plain", LogUsers::Plain), ("off", LogUsers::Off)];

fn filter(text: &str) -> Result<Targets, &'static str> {
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    let filters = words.collect::<Vec<_>>().join(",").parse();
    filters.map_err(|_| "must be tracing filters such as `info` or `thread_store=debug`")
}
