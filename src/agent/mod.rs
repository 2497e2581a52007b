//! The agent that runs are forwarded to: how it is asked, and which of its answers are passed on.
//!
//! Each request has a connection of its own, which is closed behind the answer. An agent closes
//! connections that are idle for some seconds, and a request on one that is just being closed
//! could be neither repeated, because the run may have begun, nor answered. No redirect is
//! followed and no request is repeated. A run may be silent for hours, so nothing but connecting
//! has a deadline.

mod error;
mod headers;

use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use reqwest::{Client, redirect, retry};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

pub use error::Error;
pub(crate) use headers::{Place, answer_headers};

use crate::authn::{describe, is_loopback};
use crate::authz::User;
use crate::http_client;
use crate::metrics::metrics;

/// For a connection.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// How long a connection is silent before the system asks whether the agent's machine is there, and
/// how long it waits between two questions.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Where the agent is, and what it is told and asked.
#[derive(Debug, Clone)]
pub struct Options {
    /// `AGENT_URL`. Its path is put before the path of every request.
    pub url: Url,
    /// Sent as `x-api-key`, so that the agent can refuse requests of others.
    pub api_key: Option<SecretString>,
    /// Whether the agent gets the caller's access token.
    pub forward_token: bool,
    /// What is forwarded beside runs, although it names no thread of the caller.
    pub forward: Vec<Area>,
    /// The key of a run's metadata and configuration that names the owner of its thread.
    pub owner_key: String,
}

/// A part of the agent's API under which all users of this server are one, unless the agent tells
/// them apart by `X-Forwarded-User`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Area {
    /// Making, changing and deleting assistants. Reading them is always forwarded.
    Assistants,
    /// Store items.
    Store,
    /// Crons.
    Crons,
    /// Cancelling runs by their status, whoever's they are.
    Cancel,
}

/// The agent.
#[derive(Debug)]
pub(crate) struct Agent {
    client: Client,
    options: Options,
}

/// What the agent is asked.
#[derive(Debug)]
pub(crate) struct Ask {
    /// The method.
    pub(crate) method: Method,
    /// The path, made of checked parts.
    pub(crate) path: String,
    /// The query as the client has sent it.
    pub(crate) query: Option<String>,
    /// All headers.
    pub(crate) headers: HeaderMap,
    /// A JSON body, if there is one.
    pub(crate) body: Option<Bytes>,
}

impl Agent {
    /// An agent as the settings have it.
    pub(crate) fn new(options: &Options) -> Result<Agent, reqwest::Error> {
        let client = http_client::builder()
            .http1_only()
            .connect_timeout(CONNECT_DEADLINE)
            .tcp_keepalive(KEEP_ALIVE)
            .tcp_keepalive_interval(KEEP_ALIVE)
            .pool_max_idle_per_host(0)
            .retry(retry::never())
            .redirect(redirect::Policy::none())
            .referer(false);
        let is_here = options.url.host().is_some_and(|host| is_loopback(&host));
        let client = if is_here { client.no_proxy() } else { client };
        Ok(Agent { client: client.build()?, options: options.clone() })
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &Url {
        &self.options.url
    }

    /// Whether a part of its API is open that names no threads.
    pub(crate) fn forwards(&self, area: Area) -> bool {
        self.options.forward.contains(&area)
    }

    /// The key under which a run says whose it is.
    pub(crate) fn owner_key(&self) -> &str {
        &self.options.owner_key
    }

    /// The headers of a request to the agent, for a client's request.
    pub(crate) fn headers(&self, request: &Parts, user: &User) -> Result<HeaderMap, Error> {
        let token = self.options.forward_token.then(|| headers::token(&request.headers)).flatten();
        let key =
            self.options.api_key.as_ref().map(|key| HeaderValue::from_str(key.expose_secret()));
        let key = key.transpose();
        let key = key.map_err(|_| Error::NoHeader("AGENT_API_KEY is no header value"))?;
        headers::of_request(&request.headers, user, token, key)
    }

    /// Asks the agent, and answers with what can be passed on. Dropping the future or the body of
    /// the answer closes the connection.
    pub(crate) async fn send(&self, ask: Ask) -> Result<Response<reqwest::Body>, Error> {
        let mut url = self.options.url.clone();
        url.set_path(&format!("{}{}", self.options.url.path().trim_end_matches('/'), ask.path));
        url.set_query(ask.query.as_deref());
        let mut request = self.client.request(ask.method, url).headers(ask.headers);
        if let Some(body) = ask.body {
            request = request.body(body);
        }
        let started = std::time::Instant::now();
        let calls = &metrics().agent_calls;
        let answer = match request.send().await {
            Ok(answer) => usable(Response::from(answer)),
            Err(error) if error.is_connect() => {
                calls.unreachable.record(started.elapsed());
                return Err(Error::Unavailable { cause: cause_of(error) });
            }
            Err(error) => Err(Error::Failed {
                detail: "The agent broke off without an answer",
                cause: cause_of(error),
            }),
        };
        let ended = if answer.is_ok() { &calls.answered } else { &calls.failed };
        ended.record(started.elapsed());
        answer
    }
}

/// Why a connection to the agent did not do, for the log.
pub(crate) fn cause_of(error: reqwest::Error) -> String {
    format!("AGENT_URL: {}", describe(error))
}

/// What a body holds, by its `Content-Type`.
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

/// Refuses what a client must not see: that the agent does not know this server, a way to somewhere
/// else, and a page where JSON was asked for.
fn usable(answer: Response<reqwest::Body>) -> Result<Response<reqwest::Body>, Error> {
    let status = answer.status();
    let failed = |detail, cause: &str| {
        Err(Error::Failed { detail, cause: format!("AGENT_URL answered {status}: {cause}") })
    };
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED) {
        return failed("The agent refused this server's key", "it does not take AGENT_API_KEY");
    }
    if status.is_redirection() || status.is_informational() {
        return failed("The agent's answer cannot be used", "a redirect, which is not followed");
    }
    let is_empty = http_body::Body::is_end_stream(answer.body());
    let is_readable = Content::of(answer.headers()) != Content::Other;
    if is_empty && status.is_success() || is_readable {
        return Ok(answer);
    }
    if status.is_client_error() {
        return Err(Error::Refused(status));
    }
    failed("The agent's answer cannot be used", "neither JSON nor events")
}
