//! The OpenAPI document, generated from the code, and a page that displays it without access to
//! the internet.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Components, Content, Ref, RefOr, Response, SecurityRequirement, Server};
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::Config;

use super::{export, state, system, threads};
use crate::http::{App, Error, Segment};

/// The refusals of every operation that needs an access token.
const REFUSALS: [(&str, &str); 5] = [
    ("401", "The access token is refused: bad, expired, signed out"),
    ("403", "No usable credentials, or not allowed"),
    ("422", "The request is not valid"),
    ("500", "A fault of the server"),
    ("503", "The server, its database or the auth server is busy or not available"),
];

/// Additional refusals of operations with a body.
const REFUSALS_OF_BODIES: [(&str, &str); 4] = [
    ("400", "The body ended early"),
    ("408", "The body did not arrive in time"),
    ("413", "The body is too large"),
    ("415", "The body has a `Content-Encoding`"),
];

/// Name of the security scheme.
const BEARER: &str = "bearer";

/// Description of the security scheme in the document.
const BEARER_DESCRIPTION: &str =
    "An access token. Without an Authorization header a JWT in x-api-key is the access token.";

#[derive(OpenApi)]
#[openapi(
    info(description = "The threads API of the LangGraph Server, with private threads for every user."),
    components(schemas(Refusal, state::SelectedNames, state::StreamModes)),
    tags(
        (name = "threads", description = "Threads and their metadata"),
        (name = "state", description = "State and history of a thread"),
        (name = "export", description = "Threads to be kept or imported elsewhere"),
        (name = "system", description = "The server itself; no access token needed"),
    )
)]
struct Base;

/// The body of every error answer.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the document is made of it")]
struct Refusal {
    /// The reason.
    detail: String,
}

/// The document as JSON text.
pub fn document() -> &'static str {
    static DOCUMENT: OnceLock<String> = OnceLock::new();
    DOCUMENT.get_or_init(|| {
        let routes: OpenApiRouter<Arc<App>> = OpenApiRouter::with_openapi(Base::openapi())
            .merge(threads::routes())
            .merge(state::routes())
            .merge(export::routes())
            .merge(system::root_routes())
            .merge(system::routes())
            .merge(system::metrics_routes());
        let mut document = routes.into_openapi();
        let scheme = Http::builder().scheme(HttpAuthScheme::Bearer).bearer_format("JWT");
        let scheme = scheme.description(Some(BEARER_DESCRIPTION)).build();
        let components = document.components.get_or_insert_with(Components::new);
        components.add_security_scheme(BEARER, SecurityScheme::Http(scheme));
        let requirement = SecurityRequirement::new(BEARER, Vec::<String>::new());
        document.security = Some(vec![requirement]);
        // Relative to the document, so that the URL is right below any path prefix of a proxy.
        document.servers = Some(vec![Server::new(".")]);
        for operation in document.paths.paths.values_mut().flat_map(operations) {
            complete(operation);
        }
        document.to_pretty_json().unwrap_or_default()
    })
}

fn operations(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut path.get, &mut path.post, &mut path.patch, &mut path.delete].into_iter().flatten()
}

/// Adds to an operation what all operations of its kind have in common: its refusals and its
/// security scheme.
fn complete(operation: &mut Operation) {
    let is_public = operation.tags.iter().flatten().any(|tag| tag == "system");
    if is_public {
        operation.security = Some(Vec::new());
    } else {
        for (status, why) in REFUSALS {
            add_refusal(operation, status, why);
        }
        if operation.request_body.is_some() {
            for (status, why) in REFUSALS_OF_BODIES {
                add_refusal(operation, status, why);
            }
        }
    }
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && !status.starts_with('2')
        {
            describe_refusal(status, response);
        }
    }
}

/// Adds a refusal, unless the operation documents the status itself.
fn add_refusal(operation: &mut Operation, status: &str, why: &str) {
    let responses = &mut operation.responses.responses;
    responses.entry(status.to_owned()).or_insert_with(|| Response::new(why).into());
}

fn describe_refusal(status: &str, response: &mut Response) {
    let body = Content::new(Some(Ref::from_schema_name("Refusal")));
    response.content.insert("application/json".to_owned(), body.into());
    let header = match status {
        "401" => ("WWW-Authenticate", Type::String, "`Bearer error=\"invalid_token\"`"),
        "503" => ("Retry-After", Type::Integer, "Seconds to wait"),
        _ => return,
    };
    let (name, kind, description) = header;
    let header = HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(kind)))
        .description(Some(description))
        .build();
    response.headers.insert(name.to_owned(), header.into());
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

/// A file of Swagger UI, which is compiled in. All links are relative, so that the page works below
/// any path prefix of a proxy.
fn asset(name: &str) -> axum::response::Response {
    let config = Arc::new(Config::from("openapi.json").validator_url("none"));
    match utoipa_swagger_ui::serve(name, config) {
        Ok(Some(file)) => {
            let mut bytes = file.bytes.into_owned();
            if name == "index.html" {
                // The page is at `/docs`, without a slash, so its links need the directory.
                let page = String::from_utf8_lossy(&bytes);
                let page =
                    page.replace("\"./", "\"docs/").replace("\"index.css", "\"docs/index.css");
                bytes = page.into_bytes();
            }
            ([(header::CONTENT_TYPE, file.content_type)], bytes).into_response()
        }
        Ok(None) => Error::NotFound.into_response(),
        Err(error) => Error::Internal(format!("docs page: {error}")).into_response(),
    }
}
