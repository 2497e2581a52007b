//! The steps of every request for threads before its handler runs.
//!
//! 1. Its user is authenticated. A known token is accepted at once. A token that must be verified
//!    waits among the strangers, whose number is limited.
//! 2. Its body is read and charged to its user, while the request holds nothing that others need.
//! 3. It takes one of its user's slots for active requests. A request with a large body also waits
//!    for one of its user's operating system threads.
//! 4. From then on the database must answer in time. An answer by another server is awaited
//!    afterwards, without a time limit and without a request slot ([`Later`]).
//!
//! The bytes of the answer are charged to the user until the client has taken them.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::{MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, poll};
use tokio::time::timeout;

use super::large_body::{LARGE, in_own_thread};
use crate::authz::User;
use crate::http::{App, Error, Later, Received, answer, refuse_encodings};
use crate::shares::{Full, Holder, Kind, Permit};
use crate::store::too_late;

/// Admits a request, or refuses it.
///
/// It runs before the routes and their fallbacks, so that a client without credentials cannot learn
/// which paths exist.
pub(crate) async fn admit(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let mut response = match authenticate(&app, &parts).await {
        Ok(user) => admit_user(&app, user, parts, body, next).await,
        Err(error) => error.into_response(),
    };
    // The answer is for one caller. No cache of a proxy or a shared browser may store it.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn admit_user(
    app: &App,
    user: Arc<User>,
    mut parts: Parts,
    body: Body,
    next: Next,
) -> Response {
    let holder = Holder::user(&user.identity);
    parts.extensions.insert(Arc::clone(&user));
    let mut response = match serve(app, parts, body, holder, next).await {
        Ok(response) => answer::counted(response, &app.shares.answer_bytes, holder),
        Err(error) => error.into_response(),
    };
    // For the access log.
    response.extensions_mut().insert(user);
    response
}

async fn authenticate(app: &App, parts: &Parts) -> Result<Arc<User>, Error> {
    let mut authenticated = Box::pin(app.auth.authenticate(parts));
    if let std::task::Poll::Ready(known) = poll!(&mut authenticated) {
        return Ok(known?);
    }
    let _permit = app.shares.take(Kind::Verifications, Holder::STRANGERS, 1)?;
    Ok(authenticated.await?)
}

async fn serve(
    app: &App,
    mut parts: Parts,
    body: Body,
    holder: Holder,
    next: Next,
) -> Result<Response, Error> {
    // A missing path or method is answered before the body has arrived.
    let is_route = parts.extensions.get::<MatchedPath>().is_some();
    let mut body = Some(body);
    let mut _bytes = None;
    let mut is_large = false;
    if is_route && let Some(body) = body.take_if(|body| !body.is_end_stream()) {
        refuse_encodings(&parts.headers)?;
        let (received, permit) = read(app, body, holder).await?;
        is_large = received.len() > LARGE;
        parts.extensions.insert(Received(received));
        _bytes = Some(permit);
    }
    let place = app.shares.take(Kind::Requests, holder, 1)?;
    let request = Request::from_parts(parts, body.unwrap_or_default());
    let limit = app.store.timeout();
    let mut response = if is_large {
        // The wait for its turn does not count as its time, like the wait for its body.
        let turn = timeout(app.limits.body_timeout, app.shares.large_bodies.take(holder, 1)).await;
        let thread = turn.map_err(|_| Error::full(Kind::LargeBodies, Full::Share))?;
        in_time(limit, in_own_thread(thread, next.run(request))).await?
    } else {
        in_time(limit, next.run(request)).await?
    };
    match response.extensions_mut().remove::<Later>().and_then(|later| later.take()) {
        None => Ok(response),
        Some(answer) => {
            drop(place);
            Ok(answer.await)
        }
    }
}

/// Limits the time for the head of an answer.
pub(crate) async fn in_time(
    limit: Duration,
    answer: impl Future<Output = Response>,
) -> Result<Response, Error> {
    timeout(limit, answer).await.map_err(|_| Error::Store(too_late()))
}

/// Bytes of each body that need no reservation.
const SMALL: usize = 64 * 1024;

/// Reads a body and charges it to its user. If the length is known, the bytes beyond [`SMALL`] are
/// reserved before any is read, so that two such bodies never wait for each other.
async fn read(app: &App, body: Body, holder: Holder) -> Result<(Bytes, [Permit; 2]), Error> {
    let limit = app.limits.body_bytes;
    let length = body.size_hint();
    if length.lower() > limit as u64 {
        return Err(Error::BodyTooLarge { limit });
    }
    let place = app.shares.take(Kind::Bodies, holder, 1)?;
    let beyond = |bytes: usize| bytes.saturating_sub(SMALL) as u64;
    let reading = async {
        let known = usize::try_from(length.lower()).unwrap_or(limit);
        let mut permit = app.shares.body_bytes.take(holder, beyond(known)).await;
        let mut received = BytesMut::new();
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| Error::BodyUnreadable)?;
            let bytes = received.len() + chunk.len();
            if bytes > limit {
                return Err(Error::BodyTooLarge { limit });
            }
            if let Some(more) = beyond(bytes).checked_sub(permit.amount()) {
                permit.merge(app.shares.body_bytes.take(holder, more).await);
            }
            // Most bodies have one chunk, which is not copied.
            if length.exact() == Some(chunk.len() as u64) {
                return Ok((chunk, permit));
            }
            received.extend_from_slice(&chunk);
        }
        Ok((received.freeze(), permit))
    };
    let body_timeout = app.limits.body_timeout;
    let read =
        timeout(body_timeout, reading).await.unwrap_or(Err(Error::BodyTooSlow(body_timeout)));
    read.map(|(received, permit)| (received, [place, permit]))
}
