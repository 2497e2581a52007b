//! Every route and every middleware, on one screen.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
#[cfg(any(feature = "app", feature = "local-auth"))]
use axum::middleware::from_fn;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tower::ServiceBuilder;
use tower::layer::layer_fn;
use tower::util::MapResponse;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::sensitive_headers::SetSensitiveRequestHeadersLayer;

use crate::api::{export, not_served, openapi, runs, state, system, threads};
use crate::authn::API_KEY;
use crate::config::Config;
#[cfg(feature = "local-auth")]
use crate::config::SignIn;
use crate::http::middleware::{AcrossOrigins, access_log, admit};
use crate::http::{App, Error};
#[cfg(feature = "local-auth")]
use crate::local_sign_in;
#[cfg(feature = "app")]
use crate::page;

/// All routes of a port, with all middleware.
pub(crate) type Routes = AcrossOrigins<MapResponse<Router, LastHeaders>>;

/// Changes the headers of an answer after the router.
type LastHeaders = fn(Response) -> Response;

/// The whole server. `sign_in` holds the routes of the local sign-in, if it runs.
pub(crate) fn router(app: Arc<App>, sign_in: Option<Router>, config: &Config) -> Routes {
    let private = Router::from(threads::routes().merge(state::routes()).merge(export::routes()))
        .merge(if app.agent.is_some() { runs::routes() } else { not_served::routes() })
        .fallback(async || Error::NotFound)
        .method_not_allowed_fallback(async || Error::MethodNotAllowed)
        // Around the fallbacks too, so that a stranger does not learn which paths exist.
        .layer(from_fn_with_state(Arc::clone(&app), admit::admit));
    let public = match config.metrics_port {
        None => system::routes().merge(system::metrics_routes()),
        Some(_) => system::routes(),
    };
    let root = with_page(Router::from(system::root_routes()), config);
    let public = Router::from(public)
        .merge(root)
        .merge(openapi::routes())
        .layer(from_fn_with_state(app.store.timeout(), answer_in_time))
        .method_not_allowed_fallback(async || Error::MethodNotAllowed);
    let routes = private.merge(public).with_state(app).merge(sign_in.unwrap_or_default());
    around(routes, config)
}

/// Adds the page at `/app`, and a redirect of browsers from `/` to it.
#[cfg(feature = "app")]
fn with_page(root: Router<Arc<App>>, config: &Config) -> Router<Arc<App>> {
    if config.page.is_none() {
        return root;
    }
    let root = root.layer(from_fn(async |request: Request, next: Next| {
        if request.method().is_safe() && page::wants_page(request.headers()) {
            return page::redirect_from_root();
        }
        next.run(request).await
    }));
    root.merge(page::routes(config))
}

#[cfg(not(feature = "app"))]
fn with_page(root: Router<Arc<App>>, _: &Config) -> Router<Arc<App>> {
    root
}

async fn answer_in_time(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    admit::in_time(limit, next.run(request)).await.unwrap_or_else(IntoResponse::into_response)
}

/// The routes until the database is open. All that need it answer 503.
pub(crate) fn starting(config: &Config) -> Routes {
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

/// The routes of `METRICS_PORT`. `app` is `None` until the database is open.
pub(crate) fn metrics(app: Option<Arc<App>>, config: &Config) -> Routes {
    let routes = match app {
        Some(app) => Router::from(system::metrics_routes()).with_state(app),
        None => system::metrics_routes_while_starting(),
    };
    let routes = for_right_hosts(routes.fallback(async || Error::NotFound), config);
    AcrossOrigins::none(MapResponse::new(routes, std::convert::identity as LastHeaders))
}

/// With the local sign-in only requests to a host name or address of this machine are served.
#[cfg_attr(not(feature = "local-auth"), expect(unused_variables, reason = "for the local sign-in"))]
fn for_right_hosts(routes: Router, config: &Config) -> Router {
    #[cfg(feature = "local-auth")]
    if matches!(config.sign_in, SignIn::Local) {
        return routes.layer(from_fn(local_sign_in::loopback_host));
    }
    routes
}

/// The middleware of every route, in the order in which a request passes it.
fn around(routes: Router, config: &Config) -> Routes {
    let users = config.log_users;
    let routes = routes.layer(
        ServiceBuilder::new()
            .layer(SetSensitiveRequestHeadersLayer::new([header::AUTHORIZATION, API_KEY]))
            .map_request(access_log::drop_long_request_id)
            .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
            .layer(layer_fn(move |inner| access_log::logged(inner, users)))
            .layer(PropagateRequestIdLayer::x_request_id())
            .layer(CatchPanicLayer::custom(panicked)),
    );
    let routes = for_right_hosts(routes, config);
    // Around all routes, so that a preflight is answered without matching one.
    AcrossOrigins::new(MapResponse::new(routes, last_headers as LastHeaders), &config.cors)
}

/// Removes `allow` unless the answer is 405. The router adds it outside its layers to every answer,
/// even for a stranger who was refused and must not learn which paths exist.
///
/// Also forbids browsers to guess a type, so that users' data is never interpreted as a page.
fn last_headers(mut response: Response) -> Response {
    const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
    let is_405 = response.status() == StatusCode::METHOD_NOT_ALLOWED;
    let headers = response.headers_mut();
    // Before the insertion, because removing a header moves the last one to its place, and clients
    // would see that.
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
