//! JSON request bodies, which are parsed in place.

use std::sync::OnceLock;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::Error;
use crate::json::{self, Members, excerpt, without_position};

/// A JSON request body. `Content-Type` is ignored, as on the reference server.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        JsonBody::from_request(request, state).await?.read().map(Body)
    }
}

/// A JSON request body to be parsed in place, so that its values are not copied before they have
/// their types.
#[derive(Debug)]
pub struct JsonBody(JsonText);

impl JsonBody {
    /// Checks that these bytes are an object that can be stored.
    pub(crate) fn new(bytes: Vec<u8>) -> Result<JsonBody, Error> {
        json::check(&bytes)?;
        let text = String::from_utf8(bytes).map_err(|_| json::Unstorable::Invalid)?;
        let text = JsonText::new(text);
        if !text.is_object() {
            return Err(Error::Invalid("request body: expected an object".into()));
        }
        Ok(JsonBody(text))
    }

    /// The text of the body.
    pub(crate) fn into_text(self) -> String {
        self.0.text
    }

    /// Parses the body.
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Error> {
        self.0.read().map_err(|_| self.0.explain::<T>())
    }
}

/// The bytes of a request's body, read by `admit` before the handler runs.
#[derive(Clone)]
pub(crate) struct Received(pub(crate) Bytes);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Error;

    async fn from_request(mut request: Request, _: &S) -> Result<Self, Error> {
        // Checked here too, because `admit` does not inspect a request without a body.
        refuse_encodings(request.headers())?;
        let received = request.extensions_mut().remove::<Received>();
        JsonBody::new(received.map(|Received(bytes)| bytes.into()).unwrap_or_default())
    }
}

/// The JSON text of an object that is parsed into a struct. Of duplicate keys the last counts,
/// whereas serde by itself refuses them.
#[derive(Debug)]
pub(crate) struct JsonText<S = String> {
    text: S,
    /// The text with only the last of duplicate keys, made when it is needed.
    rewritten: OnceLock<String>,
}

impl<S: AsRef<str>> JsonText<S> {
    pub(crate) fn new(text: S) -> JsonText<S> {
        JsonText { text, rewritten: OnceLock::new() }
    }

    /// Whether it is an object. serde also accepts a list with the values of the fields.
    pub(crate) fn is_object(&self) -> bool {
        self.text.as_ref().trim_ascii_start().starts_with('{')
    }

    /// Parses the object in place.
    pub(crate) fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        if let Ok(value) = serde_json::from_str(self.text.as_ref()) {
            return Ok(value);
        }
        let rewritten = Members::read(self.text.as_ref())?.to_text();
        serde_json::from_str(self.rewritten.get_or_init(|| rewritten))
    }

    /// Parses it again after a refusal, and finds the field that is wrong.
    fn explain<'a, T: Deserialize<'a>>(&'a self) -> Error {
        let text = self.rewritten.get().map_or(self.text.as_ref(), String::as_str);
        let mut deserializer = serde_json::Deserializer::from_str(text);
        match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
            Ok(_) => Error::Internal("a body was refused without a reason".into()),
            Err(error) => {
                let path = error.path().to_string();
                let field = if path == "." { "request body" } else { &path };
                let why = error.inner().to_string();
                let (field, why) = (excerpt(field), excerpt(without_position(&why)));
                Error::Invalid(format!("{field}: {why}"))
            }
        }
    }
}

/// Refuses a body with a `Content-Encoding`, because the limits are for the bytes that are sent.
pub(crate) fn refuse_encodings(headers: &HeaderMap) -> Result<(), Error> {
    for value in headers.get_all(header::CONTENT_ENCODING) {
        let codings = String::from_utf8_lossy(value.as_bytes());
        let mut codings = codings.split(',').map(str::trim).filter(|coding| !coding.is_empty());
        if let Some(coding) = codings.find(|coding| !coding.eq_ignore_ascii_case("identity")) {
            return Err(Error::UnsupportedEncoding(excerpt(coding)));
        }
    }
    Ok(())
}
