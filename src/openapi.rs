//! The OpenAPI document, made from the code, and a page to read it, without the internet.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Components, SecurityRequirement};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::app::App;
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
            .merge(system::routes());
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
    let page = SwaggerUi::new("/docs").config(Config::from("/openapi.json"));
    Router::new().route("/openapi.json", get(async || json().into_response())).merge(Router::<
        Arc<App>,
    >::from(
        page
    ))
}

fn json() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], document())
}
