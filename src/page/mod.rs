//! The page at `/app`: a user's view of their threads. It calls the public API with the user's
//! token, like any other client, and holds no credentials on the server.
//!
//! Its files are compiled in. They refer to each other and to the API by relative addresses, so the
//! page works below any path prefix of a proxy.

mod files;
mod scripts;
mod sign_in;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;

use crate::config::Config;
use crate::http::{Error, Json};
use files::{File, INDEX, Kept};
use sign_in::{Described, SignInOfPage};

/// The browser features that the page does not need, and that a browser must not grant to users'
/// content.
const PERMISSIONS: &str = "camera=(), geolocation=(), microphone=(), payment=(), usb=()";

/// `/app` and the paths below it, unless the settings turn it off.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(config: &Config) -> Router<S> {
    let Some(page) = &config.page else { return Router::new() };
    let sign_in = Arc::new(SignInOfPage::new(page, &config.sign_in));
    let agent = config.agent.is_some();
    Router::new()
        .route("/app", get(async || to("app/", StatusCode::PERMANENT_REDIRECT)))
        .route("/app/", get(index))
        .route("/app/config.json", get(move |sign_in| configuration(sign_in, agent)))
        .route("/app/{version}/{file}", get(file))
        .method_not_allowed_fallback(async || Error::MethodNotAllowed)
        .with_state(sign_in)
}

/// Redirects a browser from `/` to the page.
pub(crate) fn redirect_from_root() -> Response {
    to("app/", StatusCode::SEE_OTHER)
}

/// Whether a request prefers a page to JSON: its `Accept` names `text/html`, as in browsers and
/// unlike clients of an API.
pub(crate) fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accept.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_html = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("text/html"));
        is_html && !parts.any(is_zero_quality)
    })
}

/// Whether a parameter of a media range or of a coding is `q=0`.
fn is_zero_quality(parameter: &str) -> bool {
    let weight = parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q="));
    weight.is_some_and(|weight| weight.trim().parse::<f32>().is_ok_and(|weight| weight <= 0.0))
}

/// A redirect to an address that is relative to the request's.
fn to(location: &'static str, status: StatusCode) -> Response {
    let headers = [
        (header::LOCATION, HeaderValue::from_static(location)),
        (header::VARY, HeaderValue::from_static("accept")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers).into_response()
}

async fn index(State(sign_in): State<Arc<SignInOfPage>>, headers: HeaderMap) -> Response {
    let mut response = INDEX.answer(&headers, Kept::Never);
    let policy = HeaderValue::try_from(content_security_policy(&sign_in.origins().await));
    // Origins come from parsed URLs, so they are always valid in a header. Without a policy the
    // page is not served.
    let Ok(policy) = policy else {
        return Error::Internal("the page's policy cannot be sent in a header".to_owned())
            .into_response();
    };
    let named = [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            HeaderValue::from_static("same-origin"),
        ),
        (HeaderName::from_static("permissions-policy"), HeaderValue::from_static(PERMISSIONS)),
    ];
    response.headers_mut().extend(named);
    response
}

/// The sources that the page's document may use: its own files, the API and the sign-in.
fn content_security_policy(sign_in: &[String]) -> String {
    let mut connect = String::from("'self'");
    for origin in sign_in {
        connect.push(' ');
        connect.push_str(origin);
    }
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
         connect-src {connect}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'"
    )
}

/// The configuration of the page before the sign-in. Nothing in it is secret.
#[derive(Serialize)]
struct Configuration<'a> {
    version: &'static str,
    sign_in: Described<'a>,
    /// Whether messages can be sent to an agent.
    agent: bool,
}

async fn configuration(
    State(sign_in): State<Arc<SignInOfPage>>,
    agent: bool,
) -> Result<Response, Error> {
    let sign_in = sign_in.described().await?;
    let configuration = Configuration { version: env!("CARGO_PKG_VERSION"), sign_in, agent };
    Ok(([(header::CACHE_CONTROL, "no-cache")], Json(configuration)).into_response())
}

/// A file below the version of the whole page, which a browser may cache for ever.
async fn file(uri: Uri, headers: HeaderMap) -> Result<Response, Error> {
    let mut segments = uri.path().rsplit('/');
    // No name of a file has a character that a path would encode.
    let found = segments.next().and_then(File::named);
    let is_current = segments.next() == Some(files::version());
    let found = found.filter(|_| is_current).ok_or(Error::NotFound)?;
    Ok(found.answer(&headers, Kept::ForEver))
}
