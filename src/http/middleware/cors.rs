//! Cross-origin access. Without `CORS_ALLOW_ORIGINS` as on the reference server: any origin, no
//! credentials.

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
use crate::http::{Error, detail};

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
        CorsOrigins::These(origins) => {
            let origins = origins.clone();
            AllowOrigin::predicate(move |origin, _| {
                origins.iter().any(|allowed| allowed.matches(origin))
            })
        }
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

/// Middleware that passes requests with an `Origin` header to `across`, which has the [`layer`]. It
/// also answers 400 to a preflight for a method that does not exist, and 405 to an `OPTIONS` that
/// is no preflight, neither of which the layer does.
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
    response.headers_mut().append(header::VARY, HeaderValue::from_static("origin"));
    response
}
