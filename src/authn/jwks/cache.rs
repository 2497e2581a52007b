//! The key set of an issuer, which is fetched when it is needed and kept for a bounded time.
//!
//! Keys rotate in two directions. A *new* key is looked for at once: a token with an unknown key id
//! waits for a fetch that began after the token arrived. One fetch serves all waiting tokens, and
//! fetches begin at least [`PACE`] apart. So invented key ids cost the issuer one request a second
//! and delay no other token: each of these fetches also brings a real new key. A *withdrawn* key is
//! accepted for [`KEY_LIFE`] after the last fetch that listed it, and no longer, whether or not the
//! issuer can be reached.

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

/// How long a key is accepted after the issuer last listed it. Supabase publishes its key set with
/// `max-age=600`, and documents that it must not be kept longer.
pub(super) const KEY_LIFE: Duration = Duration::from_mins(10);

/// After this time a set is fetched again in the background, so that no request waits for it. An
/// outage of the issuer that is shorter than the rest of [`KEY_LIFE`] has no effect.
pub(super) const REFRESH_AFTER: Duration = Duration::from_mins(5);

/// Minimum time between the beginnings of two fetches.
const PACE: Duration = Duration::from_secs(1);

/// Longest time of one fetch.
const FETCH_DEADLINE: Duration = Duration::from_secs(5);

/// Maximum number of tokens that wait for a fetch. Further ones get 503, so that junk does not fill
/// the server.
const MAX_WAITING: usize = 256;

/// A source of key sets.
pub(in crate::authn) trait KeySource: Send + Sync + 'static {
    /// Fetches the set. The error is for the log.
    fn fetch(&self) -> BoxFuture<'_, Result<Fetched, String>>;
}

/// A fetched key set.
#[derive(Debug)]
pub(in crate::authn) struct Fetched {
    /// The document.
    pub(in crate::authn) set: JwkSet,
    /// The time for which caches between this server and the issuer had stored it (`Age`).
    pub(in crate::authn) age: Duration,
}

/// The result of a lookup.
#[derive(Debug)]
pub(super) enum Lookup {
    /// The set that decides, and how long it is accepted. A key that is not in it is not the
    /// issuer's.
    Found { set: Arc<KeySet>, life: Duration },
    /// It cannot be decided now whether the key is the issuer's. The text is for the log.
    Open(Arc<str>),
    /// Too many tokens wait for a fetch.
    Crowded,
}

/// The set, and the way to get a newer one. Clones share both.
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
    /// The number and the cause of the last fetch, if it failed.
    failure: Option<(u64, Arc<str>)>,
    /// The number of fetches that have begun, which is the number of the last one.
    begun: u64,
    last_begun: Option<Instant>,
    /// Closed when the running fetch ends.
    under_way: Option<watch::Receiver<()>>,
}

struct Snapshot {
    set: Arc<KeySet>,
    /// The number of its fetch.
    number: u64,
    /// The time when that fetch began.
    begun: Instant,
    /// The time when the issuer made the document, in seconds since 1970.
    made_at: f64,
    /// Whether the answer came from a cache.
    is_of_a_cache: bool,
}

/// What a token needs from a key set.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    /// The key id. `None`: any set will do.
    kid: Option<&'a str>,
    /// The `iat` of the token, in seconds since 1970.
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

    /// The set that decides whether a key is the issuer's. `issued`: the `iat` of its token, in
    /// seconds since 1970.
    pub(super) async fn with_key(&self, kid: &str, issued: Option<f64>) -> Lookup {
        self.lookup(Wanted { kid: Some(kid), issued }).await
    }

    /// The set, regardless of its keys.
    pub(super) async fn any(&self) -> Lookup {
        self.lookup(Wanted { kid: None, issued: None }).await
    }

    /// The set that is currently accepted.
    pub(super) fn current(&self) -> Option<Arc<KeySet>> {
        self.state().believed().map(|snapshot| Arc::clone(&snapshot.set))
    }

    /// Why there is no set, if the last fetch failed.
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
                // An error means that the fetch has ended.
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

    /// Fetches in a separate task, so that a client that disconnects does not end the fetch for
    /// others.
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

    /// The earliest time of the next fetch, if none is running.
    fn may_begin_at(&self) -> Instant {
        let paced = self.last_begun.map(|begun| begun + PACE);
        match self.fetch_under_way() {
            Some(_) => Instant::now() + PACE,
            None => paced.unwrap_or_else(Instant::now),
        }
    }
}

impl Snapshot {
    /// Whether the set decides about the key of a token. It does if it has the key. If it does not
    /// have the key, it must have been fetched after the token arrived, and a set from a cache must
    /// also be newer than the token.
    fn settles(&self, wanted: Wanted<'_>, begun_before: u64) -> bool {
        let Some(kid) = wanted.kid else { return true };
        let is_after_issue = wanted.issued.is_some_and(|issued| issued + LEEWAY <= self.made_at);
        let is_newest = self.number > begun_before && (!self.is_of_a_cache || is_after_issue);
        self.set.has(kid) || is_newest
    }
}

#[cfg(test)]
mod tests;
