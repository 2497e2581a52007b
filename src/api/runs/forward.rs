//! Forwards a request to the agent, and passes the answer on.

use std::future::pending;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Response, header};
use axum::response::IntoResponse as _;
use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use uuid::Uuid;

use super::events::run_of;
use super::lasting::Lasting;
use super::names::Names;
use super::record::Record;
use super::relay::Relay;
use crate::agent::{self, Agent, Ask, Content, Place, answer_headers};
use crate::authz::Action;
use crate::http::{Access, App, Credentials, Error, Later, Received, refuse_encodings};
use crate::json;
use crate::shares::{Kind, Permit};

/// Maximum bytes of an answer that are read to find the id of its run.
const MAX_LEARNT: usize = 1024 * 1024;

/// A client's request that is to be forwarded.
pub(crate) struct Forward {
    /// This server.
    pub(super) app: Arc<App>,
    /// The user of the request.
    pub(super) access: Access,
    /// The credentials of the request.
    pub(super) credentials: Credentials,
    agent: Arc<Agent>,
    method: Method,
    /// The query, as it was sent.
    pub(super) query: Option<String>,
    headers: HeaderMap,
}

impl FromRequestParts<Arc<App>> for Forward {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        let agent = app.agent.clone().ok_or(Error::NotServed("runs"))?;
        let access = Access::from_request_parts(parts, app).await?;
        let Ok(credentials) = Credentials::from_request_parts(parts, app).await;
        Ok(Forward {
            app: Arc::clone(app),
            headers: agent.headers(parts, access.user())?,
            access,
            credentials,
            agent,
            method: parts.method.clone(),
            query: parts.uri.query().map(str::to_owned),
        })
    }
}

/// `None`: there is no agent.
impl OptionalFromRequestParts<Arc<App>> for Forward {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Option<Self>, Error> {
        if app.agent.is_none() {
            return Ok(None);
        }
        <Forward as FromRequestParts<_>>::from_request_parts(parts, app).await.map(Some)
    }
}

/// The JSON text that was sent, if there is a body.
pub(super) struct Sent(pub(super) Option<String>);

impl Sent {
    /// The text of a required body.
    pub(super) fn text(&self) -> Result<&str, Error> {
        self.0.as_deref().ok_or_else(|| Error::Invalid("request body: expected an object".into()))
    }
}

impl<S: Send + Sync> FromRequest<S> for Sent {
    type Rejection = Error;

    async fn from_request(mut request: Request, _: &S) -> Result<Self, Error> {
        refuse_encodings(request.headers())?;
        let received = request.extensions_mut().remove::<Received>();
        let bytes: Vec<u8> = received.map(|Received(bytes)| bytes.into()).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(Sent(None));
        }
        json::check(&bytes)?;
        Ok(Sent(Some(String::from_utf8(bytes).map_err(|_| json::Unstorable::Invalid)?)))
    }
}

/// The part of an answer that names the started run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Learn {
    /// None: no run is started.
    Nothing,
    /// The head.
    Head,
    /// The head, or the first event.
    Events,
    /// The head, or the JSON body, which is short.
    Json,
}

/// A request to the agent.
pub(super) struct Errand {
    /// The path, built from checked parts.
    pub(super) path: String,
    /// The JSON body, if there is one.
    pub(super) body: Option<String>,
    /// The thread of the request, if it has one.
    pub(super) thread: Option<Lasting>,
    /// The part of the answer that names the started run.
    pub(super) learn: Learn,
    /// The run that this server forgets if the agent deletes it.
    pub(super) forgets: Option<Uuid>,
    /// Whether the answer continues after its run.
    pub(super) is_endless: bool,
    /// Work to do while the agent answers. The client's answer waits for both.
    pub(super) beside: BoxFuture<'static, ()>,
}

impl Errand {
    /// A request for a path, without a body.
    pub(super) fn to(path: String) -> Errand {
        Errand {
            path,
            body: None,
            thread: None,
            learn: Learn::Nothing,
            forgets: None,
            is_endless: false,
            beside: Box::pin(std::future::ready(())),
        }
    }
}

impl Forward {
    /// The agent.
    pub(super) fn agent(&self) -> &Agent {
        &self.agent
    }

    /// The names in a request. Each thread must be `thread_id`, unless that is `None`.
    pub(super) fn names(
        &self,
        body: Option<&str>,
        thread_id: Option<Uuid>,
    ) -> Result<Names, Error> {
        let names = body.map_or(Ok(Names::default()), Names::of_body)?;
        let names = names.and_of_query(self.query.as_deref())?;
        let mut others = names.threads.iter().filter(|id| Some(**id) != thread_id);
        match (thread_id, others.next()) {
            (Some(_), Some(other)) => Err(Error::ThreadNotFound(*other)),
            _ => Ok(names),
        }
    }

    /// A thread on which the caller may act.
    pub(super) async fn thread(&self, action: Action, thread_id: Uuid) -> Result<Lasting, Error> {
        let scope = self.access.on(action, &[thread_id]).await?;
        Lasting::open(&self.app.store, self.access.clone(), scope, thread_id).await
    }

    /// Refuses runs that were not started in this thread.
    pub(super) async fn own_runs(&self, thread: &Lasting, run_ids: &[Uuid]) -> Result<(), Error> {
        let (scope, thread_id) = (thread.scope(), thread.thread_id());
        if run_ids.is_empty() || self.app.store.has_runs(scope, thread_id, run_ids).await? {
            return Ok(());
        }
        Err(Error::RunNotFound)
    }

    /// Takes the permit for one open stream, which a lasting answer holds.
    pub(super) fn place(&self) -> Result<Permit, Error> {
        self.app.shares.take(Kind::Streams, self.access.holder(), 1)
    }

    /// Sends the request, with a permit for one open stream.
    pub(super) fn send(self, errand: Errand) -> Result<Response<Body>, Error> {
        let place = self.place()?;
        Ok(Later::answer(async move {
            self.answer(errand, place).await.unwrap_or_else(Error::into_response)
        }))
    }

    /// The part of the agent's answer that is passed on.
    pub(super) async fn answer(
        self,
        errand: Errand,
        place: Permit,
    ) -> Result<Response<Body>, Error> {
        let thread_id = errand.thread.as_ref().map(Lasting::thread_id);
        let record = errand.thread.as_ref().map(|thread| Record::of(&self.app.store, thread));
        let mut end: BoxFuture<'static, ()> = match errand.thread {
            Some(thread) => Box::pin(thread.end()),
            None => Box::pin(pending()),
        };
        let (method, query, headers) = (self.method, self.query, self.headers);
        let body = errand.body.map(Bytes::from);
        let headers = headers_of(headers, &method, body.as_ref());
        let ask = Ask { body, headers, method, path: errand.path, query };
        let answer = async { futures::join!(self.agent.send(ask), errand.beside).0 };
        let answer = tokio::select! {
            answer = answer => answer?,
            () = &mut end => return Err(gone(thread_id)),
        };
        let (head, mut body) = answer.into_parts();
        let is_plain = !head.headers.contains_key(header::CONTENT_ENCODING);
        let mut record = record.filter(|_| head.status.is_success());
        if let (Some(record), Some(run_id)) = (&record, errand.forgets) {
            record.erase(run_id).await;
        }
        record = record.filter(|_| errand.learn != Learn::Nothing && is_plain);
        if let (Some(writer), Some(run_id)) = (&record, run_in(&head.headers, thread_id)) {
            writer.write(run_id).await;
            record = None;
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = head.status;
        *response.headers_mut() = answer_headers(&head.headers, thread_id);
        if body.is_end_stream() {
            response.headers_mut().remove(header::CONTENT_LENGTH);
            return Ok(response);
        }
        let content = Content::of(&head.headers);
        let mut read = Bytes::new();
        if content == Content::Json
            && errand.learn == Learn::Json
            && let Some(record) = record.take()
        {
            read = tokio::select! {
                read = beginning(&mut body) => read?,
                () = &mut end => return Err(gone(thread_id)),
            };
            if let Some(run_id) = std::str::from_utf8(&read).ok().and_then(run_of) {
                record.write(run_id).await;
            }
        }
        let (holder, bytes) = (self.access.holder(), self.app.shares.answer_bytes.clone());
        let mut relay = Relay::new(body, end, holder, bytes, place).behind(read);
        if content == Content::Events && is_plain {
            relay = relay.of_events(record.filter(|_| errand.learn == Learn::Events));
        }
        if errand.is_endless {
            relay = relay.until(self.app.stopping.clone());
        }
        *response.body_mut() = relay.into_body();
        Ok(response)
    }
}

fn gone(thread_id: Option<Uuid>) -> Error {
    thread_id.map_or(Error::NotFound, Error::ThreadNotFound)
}

fn headers_of(mut headers: HeaderMap, method: &Method, body: Option<&Bytes>) -> HeaderMap {
    if body.is_some() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    } else if *method == Method::POST {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    headers
}

/// The run in an answer's head, if it belongs to this thread.
fn run_in(headers: &HeaderMap, thread_id: Option<Uuid>) -> Option<Uuid> {
    let names = [header::CONTENT_LOCATION, header::LOCATION];
    let mut places = names.iter().filter_map(|name| Place::read(headers.get(name)?));
    places.find(|place| place.thread_id == thread_id).map(|place| place.run_id)
}

/// A short body, or the beginning of a long one.
async fn beginning(body: &mut agent::Body) -> Result<Bytes, Error> {
    let mut read = BytesMut::new();
    while read.len() < MAX_LEARNT {
        match body.frame().await {
            None => break,
            Some(Err(error)) => {
                let (detail, cause) = ("The agent broke off its answer", error.to_string());
                return Err(agent::Error::Failed { detail, cause }.into());
            }
            Some(Ok(frame)) => {
                if let Ok(bytes) = frame.into_data() {
                    read.extend_from_slice(&bytes);
                }
            }
        }
    }
    Ok(read.freeze())
}
