//! The key set of an issuer: fetched when it is needed, kept for a bounded time.
//!
//! Keys rotate in two directions. A *new* key is looked for at once: a token with an unknown key
//! id waits for a fetch that began after the token arrived. One fetch serves all that wait, and
//! fetches begin at least [`PACE`] apart, so made-up key ids cost the issuer one request a second
//! and nobody else anything: each of those fetches brings the good new key too. A *withdrawn* key
//! is believed for [`KEY_LIFE`] after the last fetch that listed it, and no longer, whether or not
//! the issuer can be reached.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tracing::warn;

use super::claims::LEEWAY;
use super::key_set::{JwkSet, KeySet};
use crate::authn::refusal::Throttle;
use crate::authn::token_cache::seconds_since_1970;

/// How long a key is believed after the issuer last listed it. Supabase publishes its key set with
/// `max-age=600`, and says not to keep it longer.
pub(super) const KEY_LIFE: Duration = Duration::from_mins(10);

/// After this time a set is fetched again beside the requests, so that no request waits for it and
/// an outage of the issuer for less than the rest of [`KEY_LIFE`] is not noticed.
pub(super) const REFRESH_AFTER: Duration = Duration::from_mins(5);

/// Least time between the beginnings of two fetches.
const PACE: Duration = Duration::from_secs(1);

/// For one fetch.
const FETCH_DEADLINE: Duration = Duration::from_secs(5);

/// Tokens that may wait for a fetch. More are told to come back: junk must not fill the server.
const MAX_WAITING: usize = 256;

/// Where a key set comes from.
pub(in crate::authn) trait KeySource: Send + Sync + 'static {
    /// Fetches the set. The error is for the log.
    fn fetch(&self) -> BoxFuture<'_, Result<Fetched, String>>;
}

/// A key set that was fetched.
#[derive(Debug)]
pub(in crate::authn) struct Fetched {
    /// The document.
    pub(in crate::authn) set: JwkSet,
    /// How long caches between here and the issuer had kept it (`Age`).
    pub(in crate::authn) age: Duration,
}

/// The answer about a key.
#[derive(Debug)]
pub(super) enum Lookup {
    /// The set to judge by, and how long it is believed. A key that is not in it is none of the
    /// issuer's.
    Found { set: Arc<KeySet>, life: Duration },
    /// Nobody knows now. The text is for the log.
    Open(Arc<str>),
    /// More tokens wait for a fetch than may.
    Crowded,
}

/// The set, and how to get a newer one. Clones share it.
#[derive(Clone)]
pub(super) struct KeySetCache(Arc<Shared>);

struct Shared {
    source: Box<dyn KeySource>,
    state: Mutex<State>,
    waiting: Semaphore,
    failures: Throttle<()>,
}

#[derive(Default)]
struct State {
    snapshot: Option<Snapshot>,
    /// The last fetch failed: its number, and why.
    failure: Option<(u64, Arc<str>)>,
    /// How many fetches have begun. Each has the count as its number.
    begun: u64,
    last_begun: Option<Instant>,
    /// Closed when the fetch is over.
    under_way: Option<watch::Receiver<()>>,
}

struct Snapshot {
    set: Arc<KeySet>,
    /// The number of the fetch that brought it.
    number: u64,
    /// When that fetch began.
    begun: Instant,
    /// When the issuer made the document, in seconds since 1970.
    made_at: f64,
    /// Whether a cache answered in the issuer's place.
    is_of_a_cache: bool,
}

/// What a token needs to know.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    /// The key id. `None`: any set will do.
    kid: Option<&'a str>,
    /// When the token says that it was issued, in seconds since 1970.
    issued: Option<f64>,
}

enum Step {
    Done(Lookup),
    Wait(watch::Receiver<()>),
    Pause(Instant),
}

impl KeySetCache {
    pub(super) fn new(source: impl KeySource) -> KeySetCache {
        KeySetCache(Arc::new(Shared {
            source: Box::new(source),
            state: Mutex::default(),
            waiting: Semaphore::new(MAX_WAITING),
            failures: Throttle::default(),
        }))
    }

    /// The set that settles whether a key is the issuer's. `issued`: when its token was, in
    /// seconds since 1970.
    pub(super) async fn with_key(&self, kid: &str, issued: Option<f64>) -> Lookup {
        self.lookup(Wanted { kid: Some(kid), issued }).await
    }

    /// The set, whatever is in it.
    pub(super) async fn any(&self) -> Lookup {
        self.lookup(Wanted { kid: None, issued: None }).await
    }

    /// The set that is there and believed now.
    pub(super) fn current(&self) -> Option<Arc<KeySet>> {
        self.state().believed().map(|snapshot| Arc::clone(&snapshot.set))
    }

    /// Why there is no set now, if the last fetch failed.
    pub(super) fn outage(&self) -> Option<Arc<str>> {
        let state = self.state();
        let failure = state.failure.as_ref().filter(|_| state.believed().is_none());
        failure.map(|(_, cause)| Arc::clone(cause))
    }

    async fn lookup(&self, wanted: Wanted<'_>) -> Lookup {
        let begun_before = self.state().begun;
        let mut place = None;
        loop {
            let step = self.step(wanted, begun_before);
            if !matches!(step, Step::Done(_)) && place.is_none() {
                place = self.0.waiting.try_acquire().ok();
                if place.is_none() {
                    return Lookup::Crowded;
                }
            }
            match step {
                Step::Done(lookup) => return lookup,
                // An error says that it is over.
                Step::Wait(mut over) => while over.changed().await.is_ok() {},
                Step::Pause(until) => tokio::time::sleep_until(until).await,
            }
        }
    }

    fn step(&self, wanted: Wanted<'_>, begun_before: u64) -> Step {
        let mut state = self.state();
        if let Some(snapshot) = state.believed()
            && snapshot.settles(wanted, begun_before)
        {
            let elapsed = snapshot.begun.elapsed();
            let set = Arc::clone(&snapshot.set);
            if elapsed >= REFRESH_AFTER && state.may_begin_at() <= Instant::now() {
                self.begin_fetch(&mut state);
            }
            return Step::Done(Lookup::Found { set, life: KEY_LIFE.saturating_sub(elapsed) });
        }
        if let Some((number, cause)) = &state.failure
            && *number > begun_before
        {
            return Step::Done(Lookup::Open(Arc::clone(cause)));
        }
        if state.snapshot.as_ref().is_some_and(|snapshot| snapshot.number > begun_before) {
            let cause = "the key set came from a cache, which may not have a new key yet";
            return Step::Done(Lookup::Open(cause.into()));
        }
        if let Some(over) = state.fetch_under_way() {
            return Step::Wait(over);
        }
        match state.may_begin_at() {
            at if at > Instant::now() => Step::Pause(at),
            _ => Step::Wait(self.begin_fetch(&mut state)),
        }
    }

    /// Fetches in a task of its own: a client that hangs up does not end it for all.
    fn begin_fetch(&self, state: &mut State) -> watch::Receiver<()> {
        let (over, under_way) = watch::channel(());
        let begun = Instant::now();
        state.begun += 1;
        state.last_begun = Some(begun);
        state.under_way = Some(under_way.clone());
        let (cache, number, begun_at) = (self.clone(), state.begun, seconds_since_1970());
        tokio::spawn(async move {
            let fetching = tokio::time::timeout(FETCH_DEADLINE, cache.0.source.fetch());
            let outcome = fetching
                .await
                .unwrap_or_else(|_| Err(format!("no signing keys within {FETCH_DEADLINE:?}")));
            let outcome = outcome.map(|fetched| Snapshot {
                set: Arc::new(fetched.set.into()),
                number,
                begun,
                made_at: begun_at - fetched.age.as_secs_f64(),
                is_of_a_cache: !fetched.age.is_zero(),
            });
            cache.put(number, outcome);
            drop(over);
        });
        under_way
    }

    fn put(&self, number: u64, outcome: Result<Snapshot, String>) {
        let mut state = self.state();
        match outcome {
            Ok(snapshot) => {
                state.snapshot = Some(snapshot);
                state.failure = None;
            }
            Err(cause) => {
                if self.0.failures.allows(()) {
                    warn!(%cause, "could not fetch the signing keys");
                }
                state.failure = Some((number, cause.into()));
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn believed(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref().filter(|snapshot| snapshot.begun.elapsed() < KEY_LIFE)
    }

    fn fetch_under_way(&self) -> Option<watch::Receiver<()>> {
        self.under_way.clone().filter(|over| over.has_changed().is_ok())
    }

    /// When the next fetch may begin, if none is under way.
    fn may_begin_at(&self) -> Instant {
        let paced = self.last_begun.map(|begun| begun + PACE);
        match self.fetch_under_way() {
            Some(_) => Instant::now() + PACE,
            None => paced.unwrap_or_else(Instant::now),
        }
    }
}

impl Snapshot {
    /// Whether the set tells what a token needs to know. It does where it has the key. That it
    /// does not have the key counts if it was fetched after the token arrived, and out of a cache
    /// only if the document is newer than the token.
    fn settles(&self, wanted: Wanted<'_>, begun_before: u64) -> bool {
        let Some(kid) = wanted.kid else { return true };
        let is_after_issue = wanted.issued.is_some_and(|issued| issued + LEEWAY <= self.made_at);
        let is_newest = self.number > begun_before && (!self.is_of_a_cache || is_after_issue);
        self.set.has(kid) || is_newest
    }
}

#[cfg(test)]
mod tests;
