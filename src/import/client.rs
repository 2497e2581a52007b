//! One of the two servers, over its public API: errors sorted by what can be done about them.

use std::time::Duration;

use axum::http::{Method, StatusCode, header};
use reqwest::redirect;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::states::{Found, Snapshot, Texts, Update};
use crate::config::Peer;
use crate::json::{Object, Raw};

/// Tries of a request before a server counts as not available.
const TRIES: u32 = 8;
/// Wait before the first repetition, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest wait that is ours to choose.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Longest wait that a server may ask for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(5);

/// Threads in a page of a listing.
const PAGE_OF_THREADS: usize = 500;
/// States in a page of a history, and fewer where a server finds that too much.
const PAGE_OF_STATES: usize = 50;
/// Longest part of a server's own words that is repeated, in characters.
const LONGEST_DETAIL: usize = 300;

/// A server with what it takes to be let in.
#[derive(Debug)]
pub(super) struct Server {
    /// For messages: `the source`.
    name: &'static str,
    base: String,
    http: reqwest::Client,
    /// For messages: where the credentials came from.
    credentials: String,
}

/// Why a request got no answer to work with.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Nothing else will go better: the import ends.
    #[error("{0}")]
    Fatal(String),
    /// The server does not take this request.
    #[error("{detail} ({status})")]
    Refused {
        /// A status that is no success.
        status: StatusCode,
        /// What the server said.
        detail: String,
    },
    /// The same request may go well later. It is not known whether it was carried out.
    #[error("{cause}")]
    Passing {
        /// What happened.
        cause: String,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
    },
}

/// A thread as the source lists it.
#[derive(Debug, Deserialize)]
pub(super) struct Thread {
    pub(super) metadata: Option<Object>,
    pub(super) values: Option<Raw>,
    /// Only with `include=ttl`, and only if it ends.
    pub(super) ttl: Option<Ttl>,
}

/// When a thread ends.
#[derive(Debug, Deserialize)]
pub(super) struct Ttl {
    strategy: Option<String>,
    ttl_minutes: Option<f64>,
}

/// A body for `POST /threads`.
#[derive(Debug, Serialize)]
pub(super) struct NewThread<'a> {
    thread_id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a Object>,
    if_exists: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<NewTtl<'a>>,
}

#[derive(Debug, Serialize)]
struct NewTtl<'a> {
    ttl: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    strategy: Option<&'a str>,
}

impl Thread {
    /// What makes it in the destination. Its ttl begins anew.
    pub(super) fn anew(&self, thread_id: Uuid) -> NewThread<'_> {
        let ttl = self.ttl.as_ref().and_then(|ttl| {
            Some(NewTtl { ttl: ttl.ttl_minutes?, strategy: ttl.strategy.as_deref() })
        });
        NewThread { thread_id, metadata: self.metadata.as_ref(), if_exists: "do_nothing", ttl }
    }
}

/// By id, because ids are in one order only, and what is new comes at the end as a rule.
#[derive(Serialize)]
struct Search<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a Object>,
    limit: usize,
    offset: usize,
    sort_by: &'static str,
    sort_order: &'static str,
    select: [&'static str; 1],
}

impl Default for Search<'_> {
    fn default() -> Self {
        let (sort_by, sort_order, select) = ("thread_id", "asc", ["thread_id"]);
        Search { metadata: None, limit: PAGE_OF_THREADS, offset: 0, sort_by, sort_order, select }
    }
}

#[derive(Deserialize)]
struct Listed {
    thread_id: Uuid,
}

#[derive(Deserialize)]
struct Written {
    checkpoint_id: Option<String>,
    checkpoint: Option<WrittenCheckpoint>,
}

#[derive(Deserialize)]
struct WrittenCheckpoint {
    checkpoint_id: String,
}

#[derive(Deserialize)]
struct ErrorBody {
    detail: String,
}

impl Server {
    pub(super) fn new(name: &'static str, peer: &Peer) -> Result<Server, reqwest::Error> {
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            // Between two parts of an answer: a long history takes its time.
            .read_timeout(Duration::from_mins(2))
            // A redirect would take the token elsewhere.
            .redirect(redirect::Policy::none())
            .default_headers(peer.headers.clone())
            .user_agent(concat!("thread-store/", env!("CARGO_PKG_VERSION")));
        let is_here = peer.url.host_str().is_some_and(|host| {
            let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
            host == "localhost" || address.is_ok_and(|address| address.is_loopback())
        });
        let http = if is_here { http.no_proxy().build()? } else { http.build()? };
        let credentials = match peer.variables.as_slice() {
            [] => "without credentials".to_owned(),
            variables => format!("with {}", variables.join(" and ")),
        };
        let base = peer.url.as_str().trim_end_matches('/').to_owned();
        Ok(Server { name, base, http, credentials })
    }

    /// Whether this is a server that speaks the API and lets us in.
    pub(super) async fn check(&self) -> Result<(), Failure> {
        let listed: Result<Vec<Listed>, _> =
            self.read("/threads/search", &Search { limit: 1, ..Search::default() }).await;
        match listed {
            Ok(_) => Ok(()),
            Err(Failure::Refused { status, detail }) => Err(Failure::Fatal(format!(
                "{} at {} does not list threads {}: {detail} ({status})",
                self.name, self.base, self.credentials
            ))),
            Err(failure) => Err(failure),
        }
    }

    /// The ids of a page of threads, in the order of ids.
    pub(super) async fn list(
        &self,
        metadata: &Object,
        offset: usize,
    ) -> Result<Vec<Uuid>, Failure> {
        let body = Search {
            metadata: Some(metadata).filter(|metadata| !metadata.is_empty()),
            limit: PAGE_OF_THREADS,
            offset,
            ..Search::default()
        };
        let listed: Vec<Listed> = self.read("/threads/search", &body).await?;
        Ok(listed.into_iter().map(|thread| thread.thread_id).collect())
    }

    /// `None`: there is no such thread, or it is somebody else's.
    pub(super) async fn thread(&self, id: Uuid) -> Result<Option<Thread>, Failure> {
        let path = format!("/threads/{id}?include=ttl");
        found(self.patiently(Method::GET, &path, None).await.and_then(|text| self.parse(&text)))
    }

    /// All states of a thread, newest first, each handed over as it comes. Pages are small: a
    /// state holds all of its messages.
    pub(super) async fn history(
        &self,
        id: Uuid,
        mut take: impl FnMut(Snapshot) -> Result<(), String> + Send,
    ) -> Result<Result<(), String>, Failure> {
        let path = format!("/threads/{id}/history");
        let (mut limit, mut before) = (PAGE_OF_STATES, None::<String>);
        loop {
            let page: Vec<Snapshot> =
                match self.read(&path, &older_than(before.as_deref(), limit)).await {
                    // Its answer would be too large.
                    Err(Failure::Refused { status: StatusCode::UNPROCESSABLE_ENTITY, .. })
                        if limit > 1 =>
                    {
                        limit /= 2;
                        continue;
                    }
                    page => page?,
                };
            let is_last = page.len() < limit;
            let oldest = page.last().and_then(|state| state.id().map(str::to_owned));
            for state in page {
                if let Err(why) = take(state) {
                    return Ok(Err(why));
                }
            }
            // A server that does not know `before` would send the same page for ever.
            if is_last || oldest.is_none() || oldest == before {
                return Ok(Ok(()));
            }
            before = oldest;
        }
    }

    /// Makes a thread. `false`: the id is in use.
    pub(super) async fn create(&self, thread: &NewThread<'_>) -> Result<bool, Failure> {
        match self.patiently(Method::POST, "/threads", Some(self.text(thread)?)).await {
            Err(Failure::Refused { status: StatusCode::CONFLICT, .. }) => Ok(false),
            outcome => outcome.map(|_| true),
        }
    }

    /// Writes a state and answers with its checkpoint id. Sent once: after a failure that
    /// passes, only the history can tell whether it was written.
    pub(super) async fn write(&self, id: Uuid, update: &Update<'_>) -> Result<String, Failure> {
        let path = format!("/threads/{id}/state");
        let text = self.once(Method::POST, &path, Some(self.text(update)?)).await?;
        let written: Written = self.parse(&text)?;
        let id = written.checkpoint_id.or(written.checkpoint.map(|it| it.checkpoint_id));
        id.ok_or_else(|| Failure::Fatal(format!("{} named no checkpoint", self.name)))
    }

    async fn read<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, Failure> {
        self.parse(&self.patiently(Method::POST, path, Some(self.text(body)?)).await?)
    }

    /// As text at once, so that numbers keep their digits.
    fn text(&self, body: &impl Serialize) -> Result<String, Failure> {
        let text = serde_json::to_string(body);
        text.map_err(|error| Failure::Fatal(format!("a request to {}: {error}", self.name)))
    }

    fn parse<T: DeserializeOwned>(&self, text: &str) -> Result<T, Failure> {
        serde_json::from_str(text).map_err(|_| {
            Failure::Fatal(format!(
                "{} at {} gave an answer that is not one of the threads API",
                self.name, self.base
            ))
        })
    }

    /// Repeats a request that can be repeated until it gets an answer.
    async fn patiently(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<String, Failure> {
        let mut patience = Patience::default();
        loop {
            match self.once(method.clone(), path, body.clone()).await {
                Err(Failure::Passing { cause, retry_after }) => {
                    patience.wait(cause, retry_after).await?;
                }
                outcome => return outcome,
            }
        }
    }

    async fn once(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<String, Failure> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.header(header::CONTENT_TYPE, "application/json").body(body);
        }
        let passing = |error: reqwest::Error| Failure::Passing {
            cause: format!("{} cannot be reached: {}", self.name, described(error)),
            retry_after: None,
        };
        let response = request.send().await.map_err(passing)?;
        let status = response.status();
        let retry_after = response.headers().get(header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let text = response.text().await.map_err(passing)?;
        if status.is_success() {
            return Ok(text);
        }
        let detail = detail(&text);
        match status.as_u16() {
            401 => Err(Failure::Fatal(format!(
                "{} refused the credentials (401, {}): {detail}. A token that has expired is \
                 replaced by a new one: run the same command again, and it goes on from here",
                self.name, self.credentials
            ))),
            408 | 425 | 429 | 502..=504 => Err(Failure::Passing {
                cause: format!("{} answered {status}: {detail}", self.name),
                retry_after: retry_after.map(Duration::from_secs),
            }),
            _ => Err(Failure::Refused { status, detail }),
        }
    }
}

/// A page of a history. `before` in the one form that every server takes.
fn older_than(before: Option<&str>, limit: usize) -> serde_json::Value {
    match before {
        None => json!({ "limit": limit }),
        Some(id) => {
            json!({ "limit": limit, "before": { "configurable": { "checkpoint_id": id } } })
        }
    }
}

/// Waits between tries, and when to stop trying.
#[derive(Debug, Default)]
pub(super) struct Patience {
    tries: u32,
}

impl Patience {
    /// Waits, or gives up.
    pub(super) async fn wait(
        &mut self,
        cause: String,
        retry_after: Option<Duration>,
    ) -> Result<(), Failure> {
        self.tries += 1;
        if self.tries >= TRIES {
            return Err(Failure::Fatal(format!(
                "{cause}. Run the same command again later, and it goes on from here"
            )));
        }
        let ours = FIRST_PAUSE.saturating_mul(1 << (self.tries - 1)).min(LONGEST_PAUSE);
        let pause = retry_after.map_or(ours, |asked| asked.clamp(ours, LONGEST_RETRY_AFTER));
        tracing::debug!(%cause, ?pause, "trying again");
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

/// Not found is an answer.
fn found<T>(outcome: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match outcome {
        Err(Failure::Refused { status: StatusCode::NOT_FOUND, .. }) => Ok(None),
        outcome => outcome.map(Some),
    }
}

/// What a server said, as one line that cannot do anything to a terminal.
fn detail(text: &str) -> String {
    let said = serde_json::from_str::<ErrorBody>(text).map_or(text.to_owned(), |body| body.detail);
    let line: Vec<_> = said.split(|c: char| c.is_whitespace() || c.is_control()).collect();
    line.join(" ").chars().take(LONGEST_DETAIL).collect()
}

/// The chain of causes, without the URL.
fn described(error: reqwest::Error) -> String {
    let error = anyhow::Error::new(error.without_url());
    format!("{error:#}")
}

/// All states of a thread of the destination, oldest first, or what is odd about them.
pub(super) async fn found_states(
    server: &Server,
    id: Uuid,
    texts: &mut Texts,
) -> Result<Result<Vec<Found>, String>, Failure> {
    let mut states = Vec::new();
    let taken = server
        .history(id, |snapshot| {
            states.push(Found::read(&snapshot, texts)?);
            Ok(())
        })
        .await?;
    states.reverse();
    Ok(taken.map(|()| states))
}
