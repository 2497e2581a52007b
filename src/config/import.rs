//! Settings of the `import` sub-command. The command line names the variables that hold secrets
//! instead of the secrets, because other users can read the command line of a process.

use std::fmt;
use std::path::PathBuf;

use clap::Args;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::values::{http_url, number, text};
use super::{ConfigError, wrong};
use crate::json::Object;

/// The command line of `import`, before validation.
#[derive(Args)]
pub(super) struct ImportArguments {
    /// Base URL of the source, the server whose threads are copied
    #[arg(long, value_name = "URL", value_parser = http_url)]
    from: Option<Url>,

    /// File with exported threads, to use as the source instead of a server
    #[arg(long, value_name = "PATH", conflicts_with = "from")]
    from_file: Option<PathBuf>,

    /// Variable that holds the access token for the source
    #[arg(long, value_name = "VARIABLE")]
    from_token_env: Option<String>,

    /// Header for the source, and the variable that holds its value: `x-api-key=LANGSMITH_API_KEY`.
    /// May be given several times
    #[arg(long, value_name = "HEADER=VARIABLE")]
    from_header_env: Vec<String>,

    /// Base URL of the destination, the server that the threads are written to
    #[arg(long, value_name = "URL", value_parser = http_url)]
    to: Url,

    /// Variable that holds the access token for the destination. Its user becomes the owner
    #[arg(long, value_name = "VARIABLE")]
    to_token_env: Option<String>,

    /// Header for the destination, and the variable that holds its value. May be given several
    /// times
    #[arg(long, value_name = "HEADER=VARIABLE")]
    to_header_env: Vec<String>,

    /// Only threads whose metadata contains this JSON object
    #[arg(long, value_name = "JSON", value_parser = object)]
    metadata: Option<Object>,

    /// Node to write every state as. Unset: the node in the source, if there is one
    #[arg(long, value_name = "NODE", value_parser = text)]
    as_node: Option<String>,

    /// Number of threads that are copied at the same time, 1 to 32
    #[arg(long, value_name = "NUMBER", default_value = "4", value_parser = number::<usize, 1, 32>)]
    concurrency: usize,
}

/// Threads to copy from one server to another.
#[derive(Debug, Clone)]
pub struct Import {
    /// The source.
    pub from: ImportFrom,
    /// The server to write to.
    pub to: Peer,
    /// Only threads whose metadata contains this.
    pub metadata: Object,
    /// The node to write every state as.
    pub as_node: Option<String>,
    /// Number of threads that are copied at the same time.
    pub concurrency: usize,
}

/// Where threads are read from.
#[derive(Debug, Clone)]
pub enum ImportFrom {
    /// A server.
    Server(Peer),
    /// A file that a server exported.
    File(PathBuf),
}

/// A server and the credentials for it.
#[derive(Clone)]
pub struct Peer {
    /// Its base URL.
    pub url: Url,
    /// Sent with every request.
    pub headers: HeaderMap,
    /// The variables that the headers come from, for messages.
    pub variables: Vec<String>,
}

/// Written by hand, so that the values of headers are not printed.
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
        let source = match (self.from, self.from_file) {
            (Some(url), _) => {
                ImportFrom::Server(peer(from, url, self.from_token_env, &self.from_header_env)?)
            }
            (None, Some(path)) => ImportFrom::File(path),
            (None, None) => return Err(wrong("--from", "is required, or --from-file")),
        };
        Ok(Import {
            from: source,
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
        // Some variables contain the whole header.
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
    // A word that cannot be the name of a variable may be the secret itself, so the error omits it.
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if variable.is_empty() || variable.len() > 100 || !variable.chars().all(is_name) {
        return Err(wrong(flag, "must be the name of a variable, not its value"));
    }
    match std::env::var(variable) {
        Ok(value) if !value.trim().is_empty() => Ok(value.trim().to_owned()),
        _ => Err(wrong(flag, format!("names the variable {variable}, which is unset or empty"))),
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
        let super::ImportFrom::Server(from) = &asked.from else { panic!("{asked:?}") };
        let debug = format!("{asked:?} {:?}", from.headers);
        assert!(debug.contains("PATH") && !debug.contains(path), "{debug}");
    }
}
