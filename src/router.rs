//! Every route and every middleware, on one screen.

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::sensitive_headers::SetSensitiveRequestHeadersLayer;

use crate::app::App;
use crate::error::Error;
use crate::extract::BODY_LIMIT;
use crate::{access_log, auth, cors, deadline, not_served, openapi, system, threads};

/// The whole server. `sign_in` holds the routes of the local sign-in, if it runs.
pub fn router(app: Arc<App>, sign_in: Option<Router>) -> Router {
    let private = Router::from(threads::routes())
        .merge(not_served::routes())
        .fallback(async || Error::NotFound)
        .method_not_allowed_fallback(async || Error::MethodNotAllowed)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(from_fn_with_state(app.store.timeout(), deadline::within))
        // Around the fallbacks too: a stranger does not learn which paths exist.
        .layer(from_fn_with_state(Arc::clone(&app), auth::authenticate));
    let public = Router::from(system::routes())
        .merge(openapi::routes())
        .layer(from_fn_with_state(app.store.timeout(), deadline::within))
        .method_not_allowed_fallback(async || Error::MethodNotAllowed);

    // Read from the bottom, the way a request comes in.
    let routes = private
        .merge(public)
        .with_state(app)
        .merge(sign_in.unwrap_or_default())
        .layer(CatchPanicLayer::custom(panicked))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(from_fn(access_log::access_log))
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(from_fn(access_log::drop_long_request_id))
        .layer(SetSensitiveRequestHeadersLayer::new([header::AUTHORIZATION]));
    // Around the routes as a whole, so that a preflight is answered without looking at them.
    Router::new()
        .fallback_service(routes)
        .layer(map_response(allow_only_with_405))
        .layer(cors::layer())
        .layer(from_fn(cors::only_across_origins))
}

/// The routes add `allow` outside of their layers, to whatever those answered: also to a stranger
/// who was sent away, and who must not learn which paths exist.
async fn allow_only_with_405(mut response: Response) -> Response {
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().remove(header::ALLOW);
    }
    response
}

#[expect(clippy::needless_pass_by_value, reason = "the layer's signature")]
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    Error::Internal(format!("a handler panicked: {text}")).into_response()
}
