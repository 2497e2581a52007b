//! Extractors for the path and the query of a request.

use std::convert::Infallible;

use axum::RequestPartsExt;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use uuid::Uuid;

use super::error::Error;

/// The query string: names with values, in order. All routes ignore unknown names.
#[derive(Debug)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// The last value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All values of a name: repeated, separated by commas, or both.
    pub fn list<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(key, _)| key == name)
            .flat_map(|(_, value)| value.split(','))
            .filter(|value| !value.is_empty())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Query(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()))
    }
}

/// The thread id of the path, in any of the spellings that the reference server accepts: upper
/// case, without dashes, in braces, as `urn:uuid:`.
#[derive(Debug, Clone, Copy)]
pub struct ThreadId(pub Uuid);

impl<S: Send + Sync> FromRequestParts<S> for ThreadId {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let path = parts.extract::<axum::extract::RawPathParams>().await;
        let path = path.map_err(|_| Error::InvalidThreadId)?;
        path.iter()
            .find(|(name, _)| *name == "thread_id")
            .and_then(|(_, value)| parse_uuid(value))
            .map(ThreadId)
            .ok_or(Error::InvalidThreadId)
    }
}

/// The last segment of the path, percent-decoded.
#[derive(Debug, Clone)]
pub struct Segment(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let segment = parts.uri.path().rsplit('/').next().unwrap_or_default();
        let decoded = percent_encoding::percent_decode_str(segment).decode_utf8();
        decoded.map(|text| Segment(text.into_owned())).map_err(|_| Error::NotFound)
    }
}

/// Parses a UUID in any spelling.
#[must_use]
pub fn parse_uuid(text: &str) -> Option<Uuid> {
    Uuid::parse_str(text).ok()
}
