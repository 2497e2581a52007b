//! The API version that a client requests, which determines the form of errors.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use chrono::NaiveDate;

use super::error::Refusal;

const API_VERSION: HeaderName = HeaderName::from_static("x-supabase-api-version");
const NEWEST: &str = "2024-01-01";

/// supabase-js requests the form of 2024-01-01, in which `code` is the error code. Other clients
/// get the older form.
pub(super) async fn negotiate(request: Request, next: Next) -> Response {
    let is_newest = wants_newest(request.headers());
    let mut response = next.run(request).await;
    if !is_newest {
        return response;
    }
    if let Some(refusal) = response.extensions().get::<Refusal>().cloned() {
        response = refusal.to_response(true);
        response.headers_mut().insert(API_VERSION, HeaderValue::from_static(NEWEST));
    }
    response
}

fn wants_newest(headers: &HeaderMap) -> bool {
    let asked = headers.get(API_VERSION).and_then(|value| value.to_str().ok());
    let date = asked.and_then(|text| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok());
    date >= NaiveDate::from_ymd_opt(2024, 1, 1)
}
