//! Cross-origin access. Unless `CORS_ALLOW_ORIGINS` says otherwise as the reference server grants
//! it: any origin, no credentials (`THREADS_API.md` section 2).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tower::{Service, ServiceExt};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use crate::config::CorsOrigins;
use crate::error::{Error, detail};

const ALLOWED: [&str; 8] = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY"];

const EXPOSED: [HeaderName; 4] = [
    HeaderName::from_static("x-pagination-total"),
    HeaderName::from_static("x-pagination-next"),
    HeaderName::from_static("x-pagination-cursor"),
    header::CONTENT_LOCATION,
];

/// The headers of every answer to another origin, and the answers to preflights.
pub(crate) fn layer(origins: &CorsOrigins) -> CorsLayer {
    let origins = match origins {
        CorsOrigins::Any => AllowOrigin::any(),
        CorsOrigins::These(origins) => AllowOrigin::list(origins.iter().cloned()),
    };
    let methods = ALLOWED.iter().filter_map(|name| Method::from_bytes(name.as_bytes()).ok());
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods(methods.collect::<Vec<_>>())
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(EXPOSED)
        .max_age(Duration::from_mins(10))
        .vary([header::ORIGIN])
}

/// Middleware that sends requests from other origins the way `across`, which has the [`layer`]. It
/// also does what that does not: 400 for a preflight that asks for a method which does not exist,
/// and 405 for an `OPTIONS` that is no preflight.
pub(crate) async fn across_origins<S>(
    State(across): State<Arc<S>>,
    request: Request,
    next: Next,
) -> Response
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync,
{
    let headers = request.headers();
    let has_origin = headers.contains_key(header::ORIGIN);
    let asks_for = headers.get(header::ACCESS_CONTROL_REQUEST_METHOD);
    if request.method() == Method::OPTIONS {
        match asks_for.filter(|_| has_origin) {
            // Not a preflight, which the layer would answer all the same.
            None => return Error::MethodNotAllowed.into_response(),
            Some(name) if !ALLOWED.iter().any(|allowed| name == allowed) => {
                let mut refusal = detail(StatusCode::BAD_REQUEST, "Disallowed CORS method");
                let headers = refusal.headers_mut();
                headers.insert(header::VARY, HeaderValue::from_static("origin"));
                return refusal;
            }
            Some(_) => {}
        }
    }
    // Supabase Auth answers preflights in its own way, and so does the local sign-in.
    let is_preflight_of_sign_in =
        request.method() == Method::OPTIONS && request.uri().path().starts_with("/auth/v1/");
    if has_origin {
        let Ok(mut response) = S::clone(&across).oneshot(request).await;
        if is_preflight_of_sign_in {
            *response.status_mut() = StatusCode::NO_CONTENT;
        }
        return response;
    }
    let mut response = next.run(request).await;
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("origin"));
    response
}
