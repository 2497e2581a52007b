//! Request bodies. Like Supabase Auth we read JSON whatever the content type.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
};
use serde::de::DeserializeOwned;

use super::error::Refusal;

/// A request body, parsed.
pub(super) struct JsonBody<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| Refusal::body(rejection.status()))?;
        parse(&bytes).map(Self)
    }
}

/// Only the place of an error is told: serde's own message may quote a password.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Refusal::bad_json(format!(
            "Could not parse request body as JSON: error at line {line} column {column}"
        ))
    })
}
