//! The client of the agent that runs are forwarded to: how requests are sent, and which answers are
//! passed on.
//!
//! Each request uses a new connection, which is closed after the answer. An agent closes
//! connections that are idle for some seconds. A request on a connection that is being closed could
//! neither be repeated, because the run may have started, nor answered. No redirect is followed and
//! no request is repeated. A run may be silent for hours, so only connecting has a deadline.

mod body;
mod client;
mod error;
mod exchange;
mod framing;
mod headers;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

pub(crate) use body::Body;
pub use error::Error;
pub(crate) use headers::{Place, answer_headers};

use crate::authz::User;
use crate::metrics::metrics;
use client::{Client, Failure};

/// The address of the agent, and the options of requests to it.
#[derive(Debug, Clone)]
pub struct Options {
    /// `AGENT_URL`. Its path is put before the path of every request.
    pub url: Url,
    /// Sent as `x-api-key`, so that the agent can refuse other requests.
    pub api_key: Option<SecretString>,
    /// Whether the agent gets the caller's access token.
    pub forward_token: bool,
    /// The areas that are forwarded in addition to runs, although their requests name no thread of
    /// the caller.
    pub forward: Vec<Area>,
    /// The key in a run's metadata and configuration for the id of the owner of its thread.
    pub owner_key: String,
}

/// A part of the agent's API that does not separate the users of this server, unless the agent does
/// so by `X-Forwarded-User`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Area {
    /// Creating, changing and deleting assistants. Reading them is always forwarded.
    Assistants,
    /// Store items.
    Store,
    /// Crons.
    Crons,
    /// Cancelling the runs of all users by their status.
    Cancel,
}

/// The agent.
#[derive(Debug)]
pub(crate) struct Agent {
    client: Client,
    options: Options,
}

/// A request to the agent.
#[derive(Debug)]
pub(crate) struct Ask {
    /// The method.
    pub(crate) method: Method,
    /// The path, built from checked parts.
    pub(crate) path: String,
    /// The query as the client sent it.
    pub(crate) query: Option<String>,
    /// All headers.
    pub(crate) headers: HeaderMap,
    /// A JSON body, if there is one.
    pub(crate) body: Option<Bytes>,
}

impl Agent {
    /// The agent of the settings.
    pub(crate) fn new(options: &Options) -> Result<Agent, reqwest::Error> {
        Ok(Agent { client: Client::to(&options.url)?, options: options.clone() })
    }

    /// Its address.
    pub(crate) fn url(&self) -> &Url {
        &self.options.url
    }

    /// Whether this part of its API is forwarded.
    pub(crate) fn forwards(&self, area: Area) -> bool {
        self.options.forward.contains(&area)
    }

    /// The key for the owner of a run.
    pub(crate) fn owner_key(&self) -> &str {
        &self.options.owner_key
    }

    /// The headers of a request to the agent, for a client's request.
    pub(crate) fn headers(&self, request: &Parts, user: &User) -> Result<HeaderMap, Error> {
        let token = self.options.forward_token.then(|| headers::token(&request.headers)).flatten();
        let key =
            self.options.api_key.as_ref().map(|key| HeaderValue::from_str(key.expose_secret()));
        let key = key.transpose();
        let key = key.map_err(|_| Error::NoHeader("AGENT_API_KEY cannot be sent in a header"))?;
        headers::of_request(&request.headers, user, token, key)
    }

    /// Sends a request to the agent, and returns an answer that can be passed on. Dropping the
    /// future or the body of the answer closes the connection.
    pub(crate) async fn send(&self, ask: Ask) -> Result<Response<Body>, Error> {
        let mut url = self.options.url.clone();
        url.set_path(&format!("{}{}", self.options.url.path().trim_end_matches('/'), ask.path));
        url.set_query(ask.query.as_deref());
        let started = std::time::Instant::now();
        let calls = &metrics().agent_calls;
        let answer = match self.client.send(url, ask).await {
            Ok(answer) => usable(answer),
            Err(Failure::Unreachable(cause)) => {
                calls.unreachable.record(started.elapsed());
                return Err(Error::Unavailable { cause: format!("AGENT_URL: {cause}") });
            }
            Err(Failure::Lost(cause)) => Err(Error::Failed {
                detail: "The agent closed the connection without an answer",
                cause: format!("AGENT_URL: {cause}"),
            }),
        };
        let ended = if answer.is_ok() { &calls.answered } else { &calls.failed };
        ended.record(started.elapsed());
        answer
    }
}

/// The content of a body, by its `Content-Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// JSON.
    Json,
    /// Server-sent events.
    Events,
    /// Anything else.
    Other,
}

impl Content {
    /// Reads the header.
    pub(crate) fn of(headers: &HeaderMap) -> Content {
        let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = value.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        match essence.to_ascii_lowercase().as_str() {
            "application/json" => Content::Json,
            "text/event-stream" => Content::Events,
            _ => Content::Other,
        }
    }
}

/// Refuses answers that a client must not see: a refusal of this server's key, a redirect, and a
/// page where JSON was expected.
fn usable(answer: Response<Body>) -> Result<Response<Body>, Error> {
    let status = answer.status();
    let failed = |detail, cause: &str| {
        Err(Error::Failed { detail, cause: format!("AGENT_URL answered {status}: {cause}") })
    };
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED) {
        return failed("The agent refused this server's key", "the agent refuses AGENT_API_KEY");
    }
    if status.is_redirection() || status.is_informational() {
        return failed("The agent's answer cannot be used", "redirects are not followed");
    }
    let is_empty = http_body::Body::is_end_stream(answer.body());
    let is_readable = Content::of(answer.headers()) != Content::Other;
    if is_empty && status.is_success() || is_readable {
        return Ok(answer);
    }
    if status.is_client_error() {
        return Err(Error::Refused(status));
    }
    failed("The agent's answer cannot be used", "it is neither JSON nor events")
}
