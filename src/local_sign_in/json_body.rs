//! Request bodies, which are parsed as JSON regardless of the content type, as in Supabase Auth.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
};
use serde::de::DeserializeOwned;

use super::error::Refusal;
use crate::http::refuse_encodings;

/// A request body, parsed.
pub(super) struct JsonBody<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        parse(&read(request, state).await?).map(Self)
    }
}

/// Reads a body, unless it has a `Content-Encoding`.
pub(super) async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Refusal> {
    refuse_encodings(request.headers()).map_err(|error| Refusal::encoding(error.to_string()))?;
    let read = Bytes::from_request(request, state).await;
    read.map_err(|rejection| Refusal::body(rejection.status()))
}

/// The error shows only the position, because serde's own message may contain a password.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Refusal::bad_json(format!(
            "Could not parse request body as JSON: error at line {line} column {column}"
        ))
    })
}
