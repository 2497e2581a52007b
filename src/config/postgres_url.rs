//! `postgres://` URLs, read as libpq reads them.
//!
//! The driver's own parser fails on IPv6 addresses and on empty hosts, and logs the values of
//! unknown parameters. It only gets parameters that this parser has read and checked.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::postgres_parameters::Parameter;

const MUST_BE: &str = "must be a URL, postgres://user:password@host:port/database";
const ENCODE: &str = "percent-encode special characters of the user name and the password";

/// Where a database is, and how to connect to it: libpq's parameters by their names. Those that
/// have no effect are left out.
#[derive(Clone, Default)]
pub(super) struct Address(pub(super) BTreeMap<&'static str, String>);

impl Address {
    /// The value of a parameter. An empty value counts as absent, as in libpq.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn put(&mut self, name: &'static str, value: String) -> Result<(), String> {
        if value.contains('\0') {
            return Err(format!("`{name}` must not contain U+0000"));
        }
        if !value.is_empty() {
            self.0.insert(name, value);
        }
        Ok(())
    }
}

/// Parses a URL. The error contains no part of it except names of parameters.
pub(super) fn address(text: &str) -> Result<Address, String> {
    let text = text.trim();
    let (scheme, rest) = text.split_once("://").ok_or(MUST_BE)?;
    if !["postgres", "postgresql"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Err(MUST_BE.to_owned());
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if host.contains(',') {
        return Err("must name one host".to_owned());
    }
    // As in `postgres://user@/database?host=/directory`, which other parsers refuse.
    let has_no_host = host.is_empty() || host.starts_with(':');
    let url = if has_no_host {
        let behind = rest.get(authority.len()..).unwrap_or_default();
        Url::parse(&format!("postgres://{user}@none{host}{behind}"))
    } else {
        Url::parse(text)
    };
    let url = url.map_err(|_| format!("{MUST_BE}; {ENCODE}"))?;
    if url.fragment().is_some() || url.path().contains('@') {
        return Err(format!("must not contain `#`, or `@` after the host: {ENCODE}"));
    }
    let mut address = Address::default();
    address.put("user", decoded("user", url.username())?)?;
    address.put("password", decoded("password", url.password().unwrap_or_default())?)?;
    if !has_no_host {
        address.put("host", host_of(&url)?)?;
    }
    address.put("port", url.port().map(|port| port.to_string()).unwrap_or_default())?;
    let database = url.path().strip_prefix('/').unwrap_or_default();
    address.put("dbname", decoded("dbname", database)?)?;
    for (name, value) in parameters(&url)? {
        address.put(name, value)?;
    }
    Ok(address)
}

fn host_of(url: &Url) -> Result<String, String> {
    match url.host() {
        None => Ok(String::new()),
        Some(Host::Domain(name)) => decoded("host", name),
        Some(Host::Ipv4(address)) => Ok(address.to_string()),
        Some(Host::Ipv6(address)) => Ok(address.to_string()),
    }
}

/// The used parameters of the query. They take precedence over the part before the `?`.
fn parameters(url: &Url) -> Result<BTreeMap<&'static str, String>, String> {
    let mut parameters = BTreeMap::new();
    let pairs = url.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    for pair in pairs {
        // Not decoded as a form: in libpq a plus is a plus.
        let (name, value) = pair.split_once('=').ok_or("has a parameter without `=`")?;
        let name = decoded("a parameter", name)?;
        let parameter = Parameter::of(&name).ok_or_else(|| unknown(&name))?;
        let value = decoded(parameter.name, value)?;
        let is_used = parameter.is_used(&value);
        if is_used.map_err(|why| format!("`{}` {why}", parameter.name))?
            && parameters.insert(parameter.name, value).is_some()
        {
            return Err(format!("`{}` must be given once", parameter.name));
        }
    }
    Ok(parameters)
}

/// The error shows the name unless it may be part of a password that contains a `?`.
fn unknown(name: &str) -> String {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.len() <= 40 && name.chars().all(is_name) {
        format!("`{name}` is not a known connection parameter")
    } else {
        "has an unknown parameter".to_owned()
    }
}

fn decoded(name: &str, text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| format!("`{name}` must be UTF-8"))
}
