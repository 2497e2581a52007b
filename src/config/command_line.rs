//! Parses the command line and the environment into [`Arguments`], and shortens `clap`'s errors of
//! several lines to one line that names the setting.

use std::ffi::{OsStr, OsString};

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, FromArgMatches as _};

use super::arguments::Arguments;
use super::{ConfigError, wrong};

/// Reads the command line and the environment.
///
/// Empty values count as unset: a compose file passes `NAME=` for a variable that its `.env`
/// leaves out. `--help` and `--version` end the process.
pub(super) fn parse(words: impl Iterator<Item = OsString>) -> Result<Arguments, ConfigError> {
    let words = without_empty(words);
    let command = without_empty_variables(Arguments::command())?;
    let error = match command.try_get_matches_from(&words) {
        Ok(matches) => return arguments(&matches),
        Err(error) => error,
    };
    if !error.use_stderr() {
        // Parsed again with all variables, because the help text lists them.
        Arguments::command().get_matches_from(&words);
    }
    Err(one_line(&error))
}

/// Reads a command line alone, as if no variable were set.
#[cfg(any(test, feature = "local-auth"))]
pub(super) fn parse_words(words: &[&str]) -> Result<Arguments, ConfigError> {
    let command = Arguments::command().mut_args(|argument| argument.env(Resettable::Reset));
    let matches = command.try_get_matches_from(without_empty(words.iter().map(Into::into)));
    arguments(&matches.map_err(|error| one_line(&error))?)
}

fn arguments(matches: &clap::ArgMatches) -> Result<Arguments, ConfigError> {
    Arguments::from_arg_matches(matches).map_err(|error| one_line(&error))
}

/// The words without `--name=`, and without `--name` if the next word is empty.
fn without_empty(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut kept: Vec<OsString> = Vec::new();
    for word in words {
        let is_flag = |word: &OsStr| word.as_encoded_bytes().starts_with(b"--");
        let has_value = |word: &OsStr| word.as_encoded_bytes().contains(&b'=');
        if is_blank(&word) && kept.last().is_some_and(|last| is_flag(last) && !has_value(last)) {
            kept.pop();
        } else if !(is_flag(&word) && word.as_encoded_bytes().ends_with(b"=")) {
            kept.push(word);
        }
    }
    kept
}

/// The command as if variables that are empty were not set.
#[expect(clippy::disallowed_methods, reason = "this is `config`, which reads the environment")]
fn without_empty_variables(command: clap::Command) -> Result<clap::Command, ConfigError> {
    let mut unreadable = None;
    let command = command.mut_args(|argument| {
        let Some(name) = argument.get_env().map(OsStr::to_owned) else { return argument };
        match std::env::var_os(&name) {
            Some(value) if is_blank(&value) => argument.env(Resettable::Reset),
            Some(value) if value.to_str().is_none() => {
                unreadable = Some(name.to_string_lossy().into_owned());
                argument
            }
            _ => argument,
        }
    });
    match unreadable {
        Some(name) => Err(wrong(name, "must be UTF-8")),
        None => Ok(command),
    }
}

fn is_blank(value: &OsStr) -> bool {
    value.to_str().is_some_and(|value| value.trim().is_empty())
}

const NOT_A_COMMAND: &str = "is not a command, see `thread-store --help`";

/// The problem, without the value, which may be a secret.
fn one_line(error: &clap::Error) -> ConfigError {
    let flag = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(flag)) => flag.as_str(),
        Some(ContextValue::Strings(flags)) => flags.first().map_or("", String::as_str),
        _ => "",
    };
    // `--port <PORT>`
    let flag = flag.split([' ', '=']).next().unwrap_or_default();
    let setting = variable_of(flag).unwrap_or_else(|| flag.to_owned());
    match error.kind() {
        ErrorKind::ValueValidation => match std::error::Error::source(error) {
            Some(problem) => wrong(setting, problem.to_string()),
            None => wrong(setting, "cannot be used"),
        },
        ErrorKind::UnknownArgument if flag.starts_with('-') => match suggestion(error) {
            Some(known) => wrong(shown(flag), format!("is not a flag, did you mean {known}?")),
            None => wrong(shown(flag), "is not a flag, see `thread-store --help`"),
        },
        ErrorKind::UnknownArgument => wrong(shown(flag), NOT_A_COMMAND),
        ErrorKind::InvalidSubcommand => match error.get(ContextKind::InvalidSubcommand) {
            Some(ContextValue::String(name)) => wrong(shown(name), NOT_A_COMMAND),
            _ => wrong("command line", NOT_A_COMMAND),
        },
        ErrorKind::InvalidValue if !setting.is_empty() => wrong(setting, "must have a value"),
        ErrorKind::MissingRequiredArgument => wrong(setting, "is required"),
        ErrorKind::ArgumentConflict => wrong(setting, "must be given once"),
        _ => wrong("command line", "cannot be read, see `thread-store --help`"),
    }
}

/// The variable of a flag, which is the name of its setting.
fn variable_of(flag: &str) -> Option<String> {
    let name = flag.strip_prefix("--")?;
    let command = Arguments::command();
    let argument = command.get_arguments().find(|argument| argument.get_long() == Some(name))?;
    Some(argument.get_env()?.to_string_lossy().into_owned())
}

fn suggestion(error: &clap::Error) -> Option<&str> {
    match error.get(ContextKind::SuggestedArg)? {
        ContextValue::String(flag) => Some(flag),
        _ => None,
    }
}

fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}
