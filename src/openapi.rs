//! The OpenAPI document, made from the code, and a page to read it, without the internet.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Components, SecurityRequirement};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::Config;

use crate::app::App;
use crate::error::Error;
use crate::extract::Segment;
use crate::{system, threads};

/// Name of the security scheme.
const BEARER: &str = "bearer";

#[derive(OpenApi)]
#[openapi(
    info(description = "The threads API of the LangGraph Server, with private threads for every user."),
    tags(
        (name = "threads", description = "Threads and their metadata"),
        (name = "state", description = "State and history of a thread"),
        (name = "system", description = "The server itself; no access token needed"),
    )
)]
struct Base;

/// The document as JSON text.
pub fn document() -> &'static str {
    static DOCUMENT: OnceLock<String> = OnceLock::new();
    DOCUMENT.get_or_init(|| {
        let routes: OpenApiRouter<Arc<App>> = OpenApiRouter::with_openapi(Base::openapi())
            .merge(threads::routes())
            .merge(system::routes())
            .merge(system::metrics_routes());
        let mut document = routes.into_openapi();
        let scheme = Http::builder().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        let components = document.components.get_or_insert_with(Components::new);
        components.add_security_scheme(BEARER, SecurityScheme::Http(scheme));
        let requirement = SecurityRequirement::new(BEARER, Vec::<String>::new());
        document.security = Some(vec![requirement]);
        document.to_pretty_json().unwrap_or_default()
    })
}

/// `/openapi.json`, and `/docs` with the page's assets below it.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/openapi.json", get(async || json()))
        .route("/docs", get(async || asset("index.html")))
        .route("/docs/{asset}", get(async |Segment(name): Segment| asset(&name)))
}

fn json() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], document())
}

/// A file of Swagger UI, which is compiled in.
fn asset(name: &str) -> Response {
    let config = Arc::new(Config::from("/openapi.json").validator_url("none"));
    match utoipa_swagger_ui::serve(name, config) {
        Ok(Some(file)) => {
            let mut bytes = file.bytes.into_owned();
            if name == "index.html" {
                // The page is at `/docs`, without a slash, so its links need the directory.
                let page = String::from_utf8_lossy(&bytes);
                let page =
                    page.replace("\"./", "\"/docs/").replace("\"index.css", "\"/docs/index.css");
                bytes = page.into_bytes();
            }
            ([(header::CONTENT_TYPE, file.content_type)], bytes).into_response()
        }
        Ok(None) => Error::NotFound.into_response(),
        Err(error) => Error::Internal(format!("docs page: {error}")).into_response(),
    }
}
