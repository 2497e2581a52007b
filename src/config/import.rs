//! Settings of the `import` sub-command. Secrets are named, never given: the command line of a
//! process can be read by others.

use std::fmt;

use clap::Args;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::values::{http_url, number, text};
use super::{ConfigError, wrong};
use crate::json::Object;

/// The command line of `import`, before validation.
#[derive(Args)]
pub(super) struct ImportArguments {
    /// Server whose threads are read: its base URL
    #[arg(long, value_name = "URL", value_parser = http_url)]
    from: Url,

    /// Variable that holds the access token for it
    #[arg(long, value_name = "VARIABLE")]
    from_token_env: Option<String>,

    /// Header to send to it, and the variable that holds its value: `x-api-key=LANGSMITH_API_KEY`.
    /// May be given several times
    #[arg(long, value_name = "HEADER=VARIABLE")]
    from_header_env: Vec<String>,

    /// Server to which they are written: its base URL
    #[arg(long, value_name = "URL", value_parser = http_url)]
    to: Url,

    /// Variable that holds the access token for it. Threads become its user's
    #[arg(long, value_name = "VARIABLE")]
    to_token_env: Option<String>,

    /// Header to send to it, and the variable that holds its value. May be given several times
    #[arg(long, value_name = "HEADER=VARIABLE")]
    to_header_env: Vec<String>,

    /// Only threads whose metadata contains this JSON object
    #[arg(long, value_name = "JSON", value_parser = object)]
    metadata: Option<Object>,

    /// Node to write every state as. Unset: the one that the source names, if it names one
    #[arg(long, value_name = "NODE", value_parser = text)]
    as_node: Option<String>,

    /// Threads that are copied at the same time, 1 to 32
    #[arg(long, value_name = "NUMBER", default_value = "4", value_parser = number::<usize, 1, 32>)]
    concurrency: usize,
}

/// Threads to copy from one server to another.
#[derive(Debug, Clone)]
pub struct Import {
    /// The server to read from.
    pub from: Peer,
    /// The server to write to.
    pub to: Peer,
    /// Only threads whose metadata contains this.
    pub metadata: Object,
    /// The node to write every state as.
    pub as_node: Option<String>,
    /// Threads that are copied at the same time.
    pub concurrency: usize,
}

/// A server and the credentials for it.
#[derive(Clone)]
pub struct Peer {
    /// Its base URL.
    pub url: Url,
    /// Sent with every request.
    pub headers: HeaderMap,
    /// The variables that the headers came from, for messages.
    pub variables: Vec<String>,
}

/// By hand, so that the values of headers cannot print.
impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("url", &self.url.as_str())
            .field("variables", &self.variables)
            .finish_non_exhaustive()
    }
}

impl ImportArguments {
    pub(super) fn validate(self) -> Result<Import, ConfigError> {
        let from = ["--from-token-env", "--from-header-env"];
        let to = ["--to-token-env", "--to-header-env"];
        Ok(Import {
            from: peer(from, self.from, self.from_token_env, &self.from_header_env)?,
            to: peer(to, self.to, self.to_token_env, &self.to_header_env)?,
            metadata: self.metadata.unwrap_or_default(),
            as_node: self.as_node,
            concurrency: self.concurrency,
        })
    }
}

fn object(text: &str) -> Result<Object, &'static str> {
    let must_be = "must be a JSON object, such as '{\"team\":\"a\"}'";
    serde_json::from_str(text).map_err(|_| must_be)
}

/// `flags` are those for the token and other headers.
fn peer(
    flags: [&'static str; 2],
    url: Url,
    token: Option<String>,
    other: &[String],
) -> Result<Peer, ConfigError> {
    let [token_flag, header_flag] = flags;
    let (mut headers, mut variables) = (HeaderMap::new(), Vec::new());
    if let Some(variable) = token {
        let token = value_of(token_flag, &variable)?;
        // A variable may hold the whole header by habit.
        let token = token.strip_prefix("Bearer ").unwrap_or(&token).trim();
        headers.insert(AUTHORIZATION, secret(token_flag, &variable, &format!("Bearer {token}"))?);
        variables.push(variable);
    }
    for pair in other {
        let malformed =
            || wrong(header_flag, "must be HEADER=VARIABLE, such as x-api-key=MY_API_KEY");
        let (name, variable) = pair.split_once('=').ok_or_else(malformed)?;
        let name: HeaderName = name.trim().parse().map_err(|_| malformed())?;
        let variable = variable.trim();
        let value = value_of(header_flag, variable)?;
        headers.insert(name, secret(header_flag, variable, &value)?);
        variables.push(variable.to_owned());
    }
    Ok(Peer { url, headers, variables })
}

#[expect(clippy::disallowed_methods, reason = "this is `config`, and the name is the user's")]
fn value_of(flag: &'static str, variable: &str) -> Result<String, ConfigError> {
    // What cannot be the name of a variable may be the secret itself: it is not repeated.
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if variable.is_empty() || variable.len() > 100 || !variable.chars().all(is_name) {
        return Err(wrong(flag, "must be the name of a variable, not its value"));
    }
    match std::env::var(variable) {
        Ok(value) if !value.trim().is_empty() => Ok(value.trim().to_owned()),
        _ => Err(wrong(flag, format!("names the variable {variable}, which is not set or empty"))),
    }
}

fn secret(flag: &'static str, variable: &str, value: &str) -> Result<HeaderValue, ConfigError> {
    let unfit = |_| {
        wrong(
            flag,
            format!("names the variable {variable}, whose value cannot be sent in a header"),
        )
    };
    let mut value = HeaderValue::from_str(value).map_err(unfit)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::super::{Command, arguments::Arguments, command_line};

    fn import(arguments: &[&str]) -> Result<super::Import, String> {
        let servers = ["--from", "http://127.0.0.1:1", "--to", "http://127.0.0.1:2"];
        let arguments = [&["thread-store", "import"], &servers[..], arguments].concat();
        let read = command_line::parse_words(&arguments).and_then(Arguments::read);
        match read.map_err(|error| error.to_string())? {
            (Command::Import(asked), _) => Ok(*asked),
            (other, _) => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn a_wrong_flag_is_one_line_that_names_it() {
        for (arguments, flag) in [
            (&["--from-token-env", "THREAD_STORE_NOT_SET"][..], "--from-token-env"),
            (&["--to-token-env", "eyJhbGciOi.hunter2"], "--to-token-env"),
            (&["--to-header-env", "hunter2"], "--to-header-env"),
            (&["--from-header-env", "x y=PATH"], "--from-header-env"),
            (&["--from-header-env", "x-api-key=hunter2-x"], "--from-header-env"),
            (&["--metadata", "[\"hunter2\"]"], "--metadata"),
            (&["--concurrency", "0"], "--concurrency"),
        ] {
            let line = import(arguments).unwrap_err();
            assert!(line.starts_with(&format!("{flag}: ")), "{line}");
            assert!(!line.contains('\n') && !line.contains("hunter2"), "{line}");
        }
    }

    #[test]
    fn the_values_of_headers_are_not_in_debug_output() {
        // The one variable that is there wherever tests run.
        let arguments = ["--from-token-env", "PATH", "--to-header-env", "x-api-key=PATH"];
        let asked = import(&arguments).unwrap();
        let path = asked.to.headers["x-api-key"].to_str().unwrap();
        let debug = format!("{asked:?} {:?}", asked.from.headers);
        assert!(debug.contains("PATH") && !debug.contains(path), "{debug}");
    }
}
