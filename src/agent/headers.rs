//! Headers of requests to the agent, and of its answers.
//!
//! Headers about the connection and about the user's identity are not forwarded. A name with
//! characters other than letters, digits and hyphens is dropped, as by nginx: many frameworks read
//! `_` as `-`, and would accept `X_Forwarded_User` as the header that this server sets. Of the
//! agent's answers only the headers that clients read are passed on.

use http::header::{self, Entry};
use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

use super::error::Error;
use crate::authn::{API_KEY, BearerToken};
use crate::authz::User;

const FORWARDED_USER: HeaderName = HeaderName::from_static("x-forwarded-user");
const FORWARDED_EMAIL: HeaderName = HeaderName::from_static("x-forwarded-email");

/// Headers of a client's request that are only for this server: about the connection, the form of
/// the body, the credentials and the page that sent it.
const OURS: [&str; 25] = [
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "cookie2",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "origin",
    "range",
    "referer",
    "remote-user",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-api-key",
    "x-service-key",
    "x-tenant-id",
];

/// Prefixes of headers by which proxies name the user and the origin of a request, or that change
/// the meaning of a request.
const OF_PROXIES: [&str; 11] = [
    "access-control-",
    "if-",
    "proxy-",
    "x-auth-",
    "x-forwarded",
    "x-http-method",
    "x-method-override",
    "x-original-",
    "x-real-ip",
    "x-remote-",
    "x-rewrite-",
];

/// Headers of an agent's answer that are passed on unchanged.
const OF_ANSWERS: [HeaderName; 9] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::RETRY_AFTER,
    HeaderName::from_static("x-accel-buffering"),
    HeaderName::from_static("x-pagination-total"),
    HeaderName::from_static("x-pagination-next"),
    HeaderName::from_static("x-pagination-cursor"),
];

/// The access token of a request, as a header for the agent.
pub(super) fn token(headers: &HeaderMap) -> Option<HeaderValue> {
    BearerToken::from_headers(headers).ok()?.to_header()
}

/// The headers of a request to the agent.
pub(super) fn of_request(
    sent: &HeaderMap,
    user: &User,
    token: Option<HeaderValue>,
    api_key: Option<HeaderValue>,
) -> Result<HeaderMap, Error> {
    let nominated = nominated(sent);
    let passes = |name: &HeaderName| {
        let name = name.as_str();
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !OURS.contains(&name)
            && !OF_PROXIES.iter().any(|beginning| name.starts_with(beginning))
            && !nominated.iter().any(|other| other == name)
    };
    let mut headers = HeaderMap::new();
    for (name, value) in sent {
        if passes(name) {
            headers.append(name.clone(), value.clone());
        }
    }
    headers.entry(header::ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    // This server reads parts of the answers, and the encodings that the client accepts apply only
    // to the client's connection.
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let identity = exact(&user.identity)
        .ok_or(Error::NoHeader("the user's identity cannot be sent in a header"))?;
    headers.insert(FORWARDED_USER, identity);
    if let Some(email) = exact(&user.email) {
        headers.insert(FORWARDED_EMAIL, email);
    }
    if let Some(token) = token {
        headers.insert(header::AUTHORIZATION, token);
    }
    if let Some(mut key) = api_key {
        key.set_sensitive(true);
        headers.insert(API_KEY, key);
    }
    Ok(headers)
}

/// A text as a header value that arrives unchanged. `None`: it is empty, or would be altered.
fn exact(text: &str) -> Option<HeaderValue> {
    if text.is_empty() || text.trim() != text || text.chars().any(char::is_control) {
        return None;
    }
    HeaderValue::from_bytes(text.as_bytes()).ok()
}

/// The names in a `Connection` header.
fn nominated(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(header::CONNECTION).iter();
    let names = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    names.map(|name| String::from_utf8_lossy(name.trim_ascii()).to_ascii_lowercase()).collect()
}

/// The location of a run, as in `Location` and `Content-Location`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The thread. `None` for a run without a thread.
    pub(crate) thread_id: Option<Uuid>,
    /// The run.
    pub(crate) run_id: Uuid,
    end: &'static str,
}

impl Place {
    /// Reads the end of a path or URL, whatever the agent puts before it.
    pub(crate) fn read(value: &HeaderValue) -> Option<Place> {
        let mut path = value.to_str().ok()?.split(['?', '#']).next()?;
        let mut end = "";
        for known in ["/stream", "/join", "/wait"] {
            if let Some(rest) = path.strip_suffix(known) {
                (path, end) = (rest, known);
                break;
            }
        }
        let mut segments = path.rsplit('/');
        let run_id = Uuid::parse_str(segments.next()?).ok()?;
        if segments.next()? != "runs" {
            return None;
        }
        let thread_id = segments.next().and_then(|id| Uuid::parse_str(id).ok());
        let is_in_thread = thread_id.is_some() && segments.next() == Some("threads");
        Some(Place { thread_id: thread_id.filter(|_| is_in_thread), run_id, end })
    }

    /// The path on this server.
    fn path(self) -> String {
        let thread = self.thread_id.map(|id| format!("/threads/{id}")).unwrap_or_default();
        format!("{thread}/runs/{}{}", self.run_id, self.end)
    }
}

/// The headers of an answer about a run in this thread. Paths are those of this server, and a path
/// to another thread is dropped.
pub(crate) fn answer_headers(sent: &HeaderMap, thread_id: Option<Uuid>) -> HeaderMap {
    let nominated = nominated(sent);
    let mut headers = HeaderMap::new();
    for name in OF_ANSWERS {
        if let Some(value) = sent.get(&name)
            && !nominated.iter().any(|other| other == name.as_str())
        {
            headers.insert(name, value.clone());
        }
    }
    for name in [header::LOCATION, header::CONTENT_LOCATION] {
        let place = sent.get(&name).and_then(Place::read);
        let place = place.filter(|place| thread_id.is_none() || place.thread_id == thread_id);
        let value = place.and_then(|place| HeaderValue::try_from(place.path()).ok());
        if let (Some(value), Entry::Vacant(entry)) = (value, headers.entry(name)) {
            entry.insert(value);
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Option<String> {
        Place::read(&HeaderValue::from_str(text).unwrap()).map(Place::path)
    }

    #[test]
    fn a_place_is_read_behind_any_prefix_and_written_for_this_server() {
        const T: &str = "0195e6f0-0000-7000-8000-00000000000a";
        const R: &str = "0195e6f0-0000-7000-8000-00000000000b";
        for prefix in ["", "/api/v1", "http://inner:8123", "https://inner/x"] {
            for end in ["", "/stream", "/join"] {
                let path = format!("/threads/{T}/runs/{R}{end}");
                assert_eq!(place(&format!("{prefix}{path}")), Some(path));
                let stateless = format!("/runs/{R}{end}");
                assert_eq!(place(&format!("{prefix}{stateless}?x=1")), Some(stateless));
            }
        }
        for other in ["", "/", "/threads/x", "/threads/x/runs/y", "http://evil/", "//evil/runs/1"] {
            assert_eq!(place(other), None, "{other}");
        }
    }

    #[test]
    fn an_identity_that_would_arrive_as_another_is_no_header() {
        for text in ["", " ada", "ada\t", "a\nb", "a\r\nX-Api-Key: b", "a\u{7f}"] {
            assert!(exact(text).is_none(), "{text:?}");
        }
        for text in ["ada", "auth0|ada b", "zoë@example.com"] {
            assert_eq!(exact(text).unwrap().as_bytes(), text.as_bytes());
        }
    }
}
