//! Every route and every middleware, on one screen.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
#[cfg(feature = "local-auth")]
use axum::middleware::from_fn;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::sensitive_headers::SetSensitiveRequestHeadersLayer;

use crate::api::{not_served, openapi, runs, state, system, threads};
use crate::authn::API_KEY;
use crate::config::Config;
#[cfg(feature = "local-auth")]
use crate::config::SignIn;
use crate::http::middleware::{access_log, admit, cors};
use crate::http::{App, Error};
#[cfg(feature = "local-auth")]
use crate::local_sign_in;

/// The whole server. `sign_in` holds the routes of the local sign-in, if it runs.
pub(crate) fn router(app: Arc<App>, sign_in: Option<Router>, config: &Config) -> Router {
    let private = Router::from(threads::routes().merge(state::routes()))
        .merge(if app.agent.is_some() { runs::routes() } else { not_served::routes() })
        .fallback(async || Error::NotFound)
        .method_not_allowed_fallback(async || Error::MethodNotAllowed)
        // Around the fallbacks too: a stranger does not learn which paths exist.
        .layer(from_fn_with_state(Arc::clone(&app), admit::admit));
    let public = match config.metrics_port {
        None => system::routes().merge(system::metrics_routes()),
        Some(_) => system::routes(),
    };
    let public = Router::from(public)
        .merge(openapi::routes())
        .layer(from_fn_with_state(app.store.timeout(), answer_in_time))
        .method_not_allowed_fallback(async || Error::MethodNotAllowed);
    let routes = private.merge(public).with_state(app).merge(sign_in.unwrap_or_default());
    around(routes, config)
}

async fn answer_in_time(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    admit::in_time(limit, next.run(request)).await.unwrap_or_else(IntoResponse::into_response)
}

/// What is served until the database is open: that the server lives, and to come back later.
pub(crate) fn starting(config: &Config) -> Router {
    let metrics = match config.metrics_port {
        None => system::metrics_routes_while_starting(),
        Some(_) => Router::new(),
    };
    let routes = system::routes_while_starting()
        .merge(metrics)
        .fallback(async || Error::Starting)
        .method_not_allowed_fallback(async || Error::MethodNotAllowed);
    around(routes, config)
}

/// What is served on `METRICS_PORT`. `app`: once there is one.
pub(crate) fn metrics(app: Option<Arc<App>>, config: &Config) -> Router {
    let routes = match app {
        Some(app) => Router::from(system::metrics_routes()).with_state(app),
        None => system::metrics_routes_while_starting(),
    };
    for_right_hosts(routes.fallback(async || Error::NotFound), config)
}

/// With the local sign-in only hosts of this machine are served.
#[cfg_attr(not(feature = "local-auth"), expect(unused_variables, reason = "for the local sign-in"))]
fn for_right_hosts(routes: Router, config: &Config) -> Router {
    #[cfg(feature = "local-auth")]
    if matches!(config.sign_in, SignIn::Local) {
        return routes.layer(from_fn(local_sign_in::loopback_host));
    }
    routes
}

/// The middleware of every route, in the order in which a request passes it.
fn around(routes: Router, config: &Config) -> Router {
    let routes = routes.layer(
        ServiceBuilder::new()
            .layer(SetSensitiveRequestHeadersLayer::new([header::AUTHORIZATION, API_KEY]))
            .map_request(access_log::drop_long_request_id)
            .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
            .layer(from_fn_with_state(config.log_users, access_log::access_log))
            .layer(PropagateRequestIdLayer::x_request_id())
            .layer(CatchPanicLayer::custom(panicked)),
    );
    let routes = for_right_hosts(routes, config);
    let finished = ServiceBuilder::new().map_response(last_headers).service(routes);
    let across = ServiceBuilder::new().layer(cors::layer(&config.cors)).service(finished.clone());
    // Around the routes as a whole, so that a preflight is answered without looking at them.
    let across_origins = from_fn_with_state(Arc::new(across), cors::across_origins);
    Router::new().fallback_service(finished).layer(across_origins)
}

/// The routes add `allow` outside of their layers, to whatever those answered: also to a stranger
/// who was sent away, and who must not learn which paths exist.
///
/// And what users wrote is never to be taken for a page: a browser must not guess a type.
fn last_headers(mut response: Response) -> Response {
    const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
    let is_405 = response.status() == StatusCode::METHOD_NOT_ALLOWED;
    let headers = response.headers_mut();
    // First: taking out a header moves the last one to its place, which would show.
    if !is_405 {
        headers.remove(header::ALLOW);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    response
}

#[expect(clippy::needless_pass_by_value, reason = "the layer's signature")]
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    Error::Internal(format!("a handler panicked: {text}")).into_response()
}
