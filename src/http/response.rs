//! Answers with JSON bodies.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::answer::{Chunks, Reserved};
use super::error::Error;
use crate::store::Held;

/// A success, as compact JSON with `content-type: application/json`.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        let mut chunks = Chunks::new();
        match serde_json::to_writer(&mut chunks, &self.0) {
            Ok(()) => {
                ([(header::CONTENT_TYPE, "application/json")], chunks.into_body()).into_response()
            }
            Err(error) => {
                Error::Internal(format!("serialising a response: {error}")).into_response()
            }
        }
    }
}

impl<T: Serialize> IntoResponse for Reserving<T> {
    fn into_response(self) -> Response {
        let Reserving(Held { value, memory }) = self;
        let mut response = Json(value).into_response();
        if let Some(permit) = memory {
            response.extensions_mut().insert(Reserved::new(permit));
        }
        response
    }
}

/// A [`Json`] answer for which memory was reserved.
#[derive(Debug)]
pub struct Reserving<T>(pub Held<T>);
