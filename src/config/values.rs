//! Parsers of single values, for `value_parser`. Their errors say what a value must be, and
//! `command_line` adds the name of the setting. No error contains the value, which may be a secret
//! that was given to the wrong setting.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

/// A whole number from `LEAST` to `MOST`.
pub(super) fn number<T: TryFrom<u64>, const LEAST: u64, const MOST: u64>(
    text: &str,
) -> Result<T, String> {
    let number = text.trim().parse().ok().filter(|number| (LEAST..=MOST).contains(number));
    let number = number.and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| format!("must be a number from {LEAST} to {MOST}"))
}

/// A whole number of seconds from `LEAST` to `MOST`.
pub(super) fn seconds<const LEAST: u64, const MOST: u64>(text: &str) -> Result<Duration, String> {
    let seconds = number::<u64, LEAST, MOST>(text);
    seconds
        .map(Duration::from_secs)
        .map_err(|_| format!("must be a number of seconds from {LEAST} to {MOST}"))
}

/// A parser of one word out of a fixed set.
pub(super) fn choice<T: Copy + Send + Sync>(
    words: &'static [(&'static str, T)],
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync {
    move |text| {
        let chosen = words.iter().find(|(word, _)| *word == text.trim());
        chosen.map(|(_, choice)| *choice).ok_or_else(|| {
            let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            format!("must be {}", one_of(&words))
        })
    }
}

/// `` `a`, `b` or `c` ``
pub(super) fn one_of(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// An IP address, with or without the brackets of a URL, or `localhost`.
pub(super) fn host(text: &str) -> Result<IpAddr, String> {
    match text.trim() {
        "localhost" => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        text => text
            .trim_matches(['[', ']'])
            .parse()
            .map_err(|_| "must be an IP address or `localhost`".to_owned()),
    }
}

/// An http(s) URL that paths can be appended to.
pub(super) fn http_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text.trim())
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or("must be an http:// or https:// URL")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must be a URL without a user name and password".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must be a URL without `?` and `#`".to_owned());
    }
    Ok(url)
}

/// A path, without the whitespace that `.env` files leave around values.
#[expect(clippy::unnecessary_wraps, reason = "a `value_parser`")]
pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    Ok(PathBuf::from(text.trim()))
}

/// A text, trimmed.
#[expect(clippy::unnecessary_wraps, reason = "a `value_parser`")]
pub(super) fn text(text: &str) -> Result<String, String> {
    Ok(text.trim().to_owned())
}
