//! Cross-origin access. The default is that of the reference server: any origin, without
//! credentials.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tower::{Layer as _, Service};
use tower_http::cors::{AllowHeaders, AllowOrigin, Cors, CorsLayer};

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
fn layer(origins: &CorsOrigins) -> CorsLayer {
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

/// Routes that pages of other origins may call. This is not a layer of the router, because a layer
/// would box every request once more.
pub(crate) struct AcrossOrigins<S> {
    same: S,
    /// The same routes with the [`layer`]. `None`: other origins have no access.
    across: Option<Cors<S>>,
}

impl<S> AcrossOrigins<S>
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync,
{
    /// These routes, for these origins.
    pub(crate) fn new(routes: S, origins: &CorsOrigins) -> AcrossOrigins<S> {
        AcrossOrigins { across: Some(layer(origins).layer(routes.clone())), same: routes }
    }

    /// These routes as they are.
    pub(crate) fn none(routes: S) -> AcrossOrigins<S> {
        AcrossOrigins { same: routes, across: None }
    }

    /// Passes requests with an `Origin` header to the routes with the layer. It also answers 400 to
    /// a preflight for an unknown method, and 405 to an `OPTIONS` that is not a preflight, because
    /// the layer does neither.
    pub(crate) async fn answer(&self, request: Request) -> Response {
        let Some(across) = &self.across else { return answer(self.same.clone(), request).await };
        let has_origin = request.headers().contains_key(header::ORIGIN);
        if request.method() != Method::OPTIONS && !has_origin {
            let mut response = answer(self.same.clone(), request).await;
            response.headers_mut().append(header::VARY, HeaderValue::from_static("origin"));
            return response;
        }
        Box::pin(answer_across(across.clone(), request)).await
    }
}

async fn answer<S>(mut routes: S, request: Request) -> Response
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Send,
{
    // The routes are always ready.
    routes.call(request).await.unwrap_or_else(|never| match never {})
}

async fn answer_across<S>(across: Cors<S>, request: Request) -> Response
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Send,
{
    let asks_for = request.headers().get(header::ACCESS_CONTROL_REQUEST_METHOD);
    let is_options = request.method() == Method::OPTIONS;
    if is_options {
        let has_origin = request.headers().contains_key(header::ORIGIN);
        match asks_for.filter(|_| has_origin) {
            // Not a preflight, although the layer would answer it as one.
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
    // Supabase Auth answers preflights with 204, and so does the local sign-in.
    let is_preflight_of_sign_in = is_options && request.uri().path().starts_with("/auth/v1/");
    let mut response = answer(across, request).await;
    if is_preflight_of_sign_in {
        *response.status_mut() = StatusCode::NO_CONTENT;
    }
    response
}
