//! Routes for assistants, store items and crons. The agent may not distinguish the users of this
//! server, so only reading assistants, which belong to no user, is forwarded by default. The
//! operator enables the rest (D35).

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, MatchedPath, RawPathParams};
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use uuid::Uuid;

use super::forward::{Errand, Forward, Sent};
use super::stateless::own_names;
use crate::agent::Area;
use crate::authz::{Action, Resource};
use crate::http::{App, Error, parse_uuid};
use crate::json::Object;

/// A route of the agent for assistants, store items or crons.
#[derive(Debug, Clone, Copy)]
struct Route {
    method: MethodFilter,
    path: &'static str,
    resource: Resource,
    action: Action,
    /// The area that must be enabled. `None`: always forwarded.
    area: Option<Area>,
}

const fn route(
    method: MethodFilter,
    path: &'static str,
    resource: Resource,
    action: Action,
    area: Option<Area>,
) -> Route {
    Route { method, path, resource, action, area }
}

/// All of these routes, with the reference server's resources and actions.
const ROUTES: [Route; 24] = {
    use Action::{Create, Delete, Get, ListNamespaces, Put, Read, Search, Update};
    use Resource::{Assistants, Crons, Store};
    const GET: MethodFilter = MethodFilter::GET;
    const POST: MethodFilter = MethodFilter::POST;
    const WRITING: Option<Area> = Some(Area::Assistants);
    const ITEMS: Option<Area> = Some(Area::Store);
    const CRONS: Option<Area> = Some(Area::Crons);
    [
        route(POST, "/assistants/search", Assistants, Search, None),
        route(POST, "/assistants/count", Assistants, Search, None),
        route(GET, "/assistants/{assistant_id}", Assistants, Read, None),
        route(GET, "/assistants/{assistant_id}/graph", Assistants, Read, None),
        route(GET, "/assistants/{assistant_id}/schemas", Assistants, Read, None),
        route(GET, "/assistants/{assistant_id}/subgraphs", Assistants, Read, None),
        route(GET, "/assistants/{assistant_id}/subgraphs/{namespace}", Assistants, Read, None),
        route(POST, "/assistants/{assistant_id}/versions", Assistants, Read, None),
        route(POST, "/assistants", Assistants, Create, WRITING),
        route(MethodFilter::PATCH, "/assistants/{assistant_id}", Assistants, Update, WRITING),
        route(POST, "/assistants/{assistant_id}/latest", Assistants, Update, WRITING),
        route(MethodFilter::DELETE, "/assistants/{assistant_id}", Assistants, Delete, WRITING),
        route(MethodFilter::PUT, "/store/items", Store, Put, ITEMS),
        route(GET, "/store/items", Store, Get, ITEMS),
        route(MethodFilter::DELETE, "/store/items", Store, Delete, ITEMS),
        route(POST, "/store/items/search", Store, Search, ITEMS),
        route(POST, "/store/namespaces", Store, ListNamespaces, ITEMS),
        route(POST, "/runs/crons", Crons, Create, CRONS),
        route(POST, "/runs/crons/search", Crons, Search, CRONS),
        route(POST, "/runs/crons/count", Crons, Search, CRONS),
        route(GET, "/runs/crons/{cron_id}", Crons, Read, CRONS),
        route(MethodFilter::PATCH, "/runs/crons/{cron_id}", Crons, Update, CRONS),
        route(MethodFilter::DELETE, "/runs/crons/{cron_id}", Crons, Delete, CRONS),
        route(POST, "/threads/{thread_id}/runs/crons", Crons, Create, CRONS),
    ]
};

/// The routes.
pub(super) fn routes() -> Router<Arc<App>> {
    ROUTES.into_iter().fold(Router::new(), |router, route| {
        let handler = async move |forward: Forward, path: Path, sent: Sent| {
            send(forward, path, sent, route).await
        };
        router.route(route.path, on(route.method, handler))
    })
}

async fn send(
    forward: Forward,
    Path { path, thread_id }: Path,
    sent: Sent,
    route: Route,
) -> Result<Response, Error> {
    if route.area.is_some_and(|area| !forward.agent().forwards(area)) {
        return Err(Error::NotForwarded(match route.resource {
            Resource::Assistants => "changes to assistants",
            Resource::Store => "store items",
            _ => "crons",
        }));
    }
    let names = match thread_id {
        None => own_names(&forward, sent.0.as_deref()).await?,
        Some(_) => forward.names(sent.0.as_deref(), thread_id)?,
    };
    let Route { resource, action, .. } = route;
    let mut metadata = Object::default();
    forward.access.on_resource(resource, action, &names.threads, &mut metadata).await?;
    let mut errand = Errand { body: sent.0, ..Errand::to(path) };
    if let Some(thread_id) = thread_id {
        let thread = forward.thread(Action::Read, thread_id).await?;
        forward.own_runs(&thread, &names.runs).await?;
        errand.thread = Some(thread);
    }
    forward.send(errand)
}

/// The path of the request, rebuilt from checked segments: the agent could parse a segment that is
/// not a plain word as another path.
struct Path {
    path: String,
    /// The thread in the path.
    thread_id: Option<Uuid>,
}

impl FromRequestParts<Arc<App>> for Path {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        let params = RawPathParams::from_request_parts(parts, app).await;
        let params = params.map_err(|_| Error::NotFound)?;
        let route = parts.extensions.get::<MatchedPath>().map(MatchedPath::as_str);
        let mut path = route.unwrap_or_default().to_owned();
        let mut thread_id = None;
        for (name, value) in &params {
            if name == "thread_id" {
                thread_id = Some(parse_uuid(value).ok_or(Error::InvalidThreadId)?);
            }
            let value = word(value).ok_or(Error::NotFound)?;
            path = path.replace(&format!("{{{name}}}"), &value);
        }
        Ok(Path { path, thread_id })
    }
}

/// A segment, if it is an id or a plain name.
fn word(text: &str) -> Option<String> {
    if let Some(id) = parse_uuid(text) {
        return Some(id.to_string());
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~:|".contains(&byte);
    let is_name = !text.trim_matches('.').is_empty() && text.len() <= 256;
    (is_name && text.bytes().all(is_plain)).then(|| text.to_owned())
}
