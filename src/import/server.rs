//! One of the two servers, over its public API, with errors classified by their remedy.

use std::time::Duration;

use axum::http::{Method, StatusCode, header};
use reqwest::redirect;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::api::{Listed, NewThread, Search, Thread, Update, Written, page_of_history};
use super::failure::{Backoff, Failure, causes, detail, found};
use super::snapshot::Snapshot;
use crate::config::Peer;
use crate::http_client;
use crate::json::Object;

/// Number of threads in a page of a listing.
const PAGE_OF_THREADS: usize = 500;
/// Maximum number of states in a page of a history. A server may return fewer.
const PAGE_OF_STATES: usize = 50;
/// Number of bytes from which a server may have shortened a page, so that more states may follow
/// although the page has fewer than the limit.
const MAX_BYTES_OF_LAST_PAGE: usize = 1 << 20;

/// A server and the credentials for it.
#[derive(Debug)]
pub(super) struct Server {
    /// For messages: `the source`.
    name: &'static str,
    base: String,
    http: reqwest::Client,
    /// For messages: the source of the credentials.
    credentials: String,
}

impl Server {
    pub(super) fn new(name: &'static str, peer: &Peer) -> Result<Server, reqwest::Error> {
        let http = http_client::builder()
            .connect_timeout(Duration::from_secs(10))
            // Limits the time between two parts of an answer, because a long history takes time.
            .read_timeout(Duration::from_mins(2))
            // A redirect would send the token to another server.
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

    /// Checks that the server has the API and accepts the credentials.
    pub(super) async fn check(&self) -> Result<(), Failure> {
        let listed: Result<Vec<Listed>, _> =
            self.read("/threads/search", &Search::page(None, 1, 0)).await;
        match listed {
            Ok(_) => Ok(()),
            Err(Failure::Refused { status, detail }) => Err(Failure::Fatal(format!(
                "{} at {} does not list threads {}: {detail} ({status})",
                self.name, self.base, self.credentials
            ))),
            Err(failure) => Err(failure),
        }
    }

    /// A page of threads, in the order of their ids.
    pub(super) async fn list(
        &self,
        metadata: &Object,
        offset: usize,
    ) -> Result<Vec<Listed>, Failure> {
        let metadata = Some(metadata).filter(|metadata| !metadata.is_empty());
        let body = Search::page(metadata, PAGE_OF_THREADS, offset);
        self.read("/threads/search", &body).await
    }

    /// `None`: there is no such thread, or it is another user's.
    pub(super) async fn thread(&self, id: Uuid) -> Result<Option<Thread>, Failure> {
        let path = format!("/threads/{id}?include=ttl");
        found(self.with_retries(Method::GET, &path, None).await.and_then(|text| self.parse(&text)))
    }

    /// Passes all states of a thread to `take`, newest first. Pages are small because a state
    /// contains all of its messages.
    pub(super) async fn history(
        &self,
        id: Uuid,
        mut take: impl FnMut(Snapshot) -> Result<(), String> + Send,
    ) -> Result<Result<(), String>, Failure> {
        let path = format!("/threads/{id}/history");
        let (mut limit, mut before) = (PAGE_OF_STATES, None::<String>);
        loop {
            let body = self.text(&page_of_history(before.as_deref(), limit))?;
            let text = match self.with_retries(Method::POST, &path, Some(body)).await {
                // The answer would be too large.
                Err(Failure::Refused { status: StatusCode::UNPROCESSABLE_ENTITY, .. })
                    if limit > 1 =>
                {
                    limit /= 2;
                    continue;
                }
                text => text?,
            };
            let page: Vec<Snapshot> = self.parse(&text)?;
            let is_last = page.len() < limit && text.len() < MAX_BYTES_OF_LAST_PAGE;
            let oldest = page.last().and_then(|state| state.id().map(str::to_owned));
            for state in page {
                if let Err(why) = take(state) {
                    return Ok(Err(why));
                }
            }
            // A server without `before` would send the same page for ever.
            if is_last || oldest.is_none() || oldest == before {
                return Ok(Ok(()));
            }
            before = oldest;
        }
    }

    /// Creates a thread. `false`: the id is in use.
    pub(super) async fn create(&self, thread: &NewThread<'_>) -> Result<bool, Failure> {
        match self.with_retries(Method::POST, "/threads", Some(self.text(thread)?)).await {
            Err(Failure::Refused { status: StatusCode::CONFLICT, .. }) => Ok(false),
            outcome => outcome.map(|_| true),
        }
    }

    /// Writes a state and returns its checkpoint id. It is sent once, because after a transient
    /// failure only the history shows whether it was written.
    pub(super) async fn write(&self, id: Uuid, update: &Update<'_>) -> Result<String, Failure> {
        let path = format!("/threads/{id}/state");
        let text = self.once(Method::POST, &path, Some(self.text(update)?)).await?;
        let written: Written = self.parse(&text)?;
        written
            .checkpoint_id()
            .ok_or_else(|| Failure::Fatal(format!("{} returned no checkpoint id", self.name)))
    }

    async fn read<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, Failure> {
        self.parse(&self.with_retries(Method::POST, path, Some(self.text(body)?)).await?)
    }

    /// Serialises to text at once, so that numbers keep their digits.
    fn text(&self, body: &impl Serialize) -> Result<String, Failure> {
        let text = serde_json::to_string(body);
        text.map_err(|error| Failure::Fatal(format!("a request to {}: {error}", self.name)))
    }

    fn parse<T: DeserializeOwned>(&self, text: &str) -> Result<T, Failure> {
        serde_json::from_str(text).map_err(|_| {
            Failure::Fatal(format!(
                "{} at {} returned an answer that does not match the threads API",
                self.name, self.base
            ))
        })
    }

    /// Retries an idempotent request until it gets an answer.
    async fn with_retries(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<String, Failure> {
        let mut backoff = Backoff::default();
        loop {
            match self.once(method.clone(), path, body.clone()).await {
                Err(Failure::Transient { cause, retry_after }) => {
                    backoff.wait(cause, retry_after).await?;
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
        let transient = |error: reqwest::Error| Failure::Transient {
            cause: format!("{} cannot be reached: {}", self.name, causes(error)),
            retry_after: None,
        };
        let response = request.send().await.map_err(transient)?;
        let status = response.status();
        let retry_after = response.headers().get(header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let text = response.text().await.map_err(transient)?;
        if status.is_success() {
            return Ok(text);
        }
        let detail = detail(&text);
        match status.as_u16() {
            401 => Err(Failure::Fatal(format!(
                "{} refused the credentials (401, {}): {detail}. If the token has expired, set a \
                 new one and run the same command again to continue from here",
                self.name, self.credentials
            ))),
            408 | 425 | 429 | 502..=504 => Err(Failure::Transient {
                cause: format!("{} answered {status}: {detail}", self.name),
                retry_after: retry_after.map(Duration::from_secs),
            }),
            _ => Err(Failure::Refused { status, detail }),
        }
    }
}
