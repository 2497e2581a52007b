//! Every metric that `/metrics` shows: its name, its help, and its handle.
//!
//! Handles are registered once, so that recording is an atomic operation. All except those of
//! requests are registered at start, so that a dashboard finds each metric before its first event.

use std::collections::HashMap;
use std::sync::{LazyLock, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::shares::{Full, Kind, Shares};
use crate::store::{BATCHED_REQUESTS, BATCHES, DATABASE_WAIT};

/// Upper bounds of the buckets of every duration, in seconds. They extend beyond the default
/// timeout of the database, or all faults would look alike.
const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 10.0, 30.0];

const REQUEST: &str = "http_request_duration_seconds";
const AUTH_UPSTREAM: &str = "thread_store_auth_upstream_seconds";
const AGENT: &str = "thread_store_agent_seconds";
const AGENT_STREAMS: &str = "thread_store_agent_answers_total";
const IN_USE: &str = "thread_store_in_use";
const LIMIT: &str = "thread_store_limit";
const REFUSED: &str = "thread_store_refused_total";
const CONNECTIONS: &str = "thread_store_database_connections";
const CONNECTIONS_MAX: &str = "thread_store_database_connections_max";
const AUTH_CACHE: &str = "thread_store_auth_cache_total";
const AUTH_AVAILABLE: &str = "thread_store_auth_available";
const SWEEPS: &str = "thread_store_sweeper_runs_total";
const SWEPT: &str = "thread_store_sweeper_threads_total";
const READY: &str = "thread_store_ready";
const BUILD: &str = "thread_store_build_info";

/// Names of the histograms. All are in seconds.
const HISTOGRAMS: [&str; 4] = [REQUEST, DATABASE_WAIT, AUTH_UPSTREAM, AGENT];

/// The kind of the database connections for requests outside of batches. Users have a share of
/// these too.
const DATABASE_CONNECTIONS: &str = "database_connections";

/// The handles of all metrics except those of requests, whose labels vary ([`record_request`]).
pub(crate) struct Metrics {
    /// Tokens that were in the cache.
    pub(crate) auth_hits: Counter,
    /// Tokens that had to be verified.
    pub(crate) auth_misses: Counter,
    /// Calls for the user of a token.
    pub(crate) auth_user_calls: Calls,
    /// Calls for signing keys and discovery documents.
    pub(crate) auth_key_calls: Calls,
    /// Whether the last verification had a result: 1 or 0.
    pub(crate) auth_available: Gauge,
    /// Requests to the agent, until the head of the answer.
    pub(crate) agent_calls: AgentCalls,
    /// The outcomes of the agent's answers.
    pub(crate) agent_answers: AgentAnswers,
    /// Sweeps that succeeded.
    pub(crate) sweeps: Counter,
    /// Sweeps that failed.
    pub(crate) failed_sweeps: Counter,
    /// Threads that sweeps deleted.
    pub(crate) swept_deleted: Counter,
    /// Threads that sweeps pruned.
    pub(crate) swept_pruned: Counter,
    refused: [(Kind, Counter, Counter); Kind::ALL.len()],
    connections_in_use: Gauge,
    connections_idle: Gauge,
    connections_max: Gauge,
    ready: Gauge,
}

/// The values that are read when `/metrics` is requested.
pub(crate) struct Gauges<'a> {
    /// Whether the server is ready.
    pub(crate) is_ready: bool,
    /// The shares of users by kind.
    pub(crate) shares: Vec<(Kind, &'a Shares)>,
    /// The database connections for requests outside of batches.
    pub(crate) single_connections: &'a Shares,
    /// Database connections: open, idle, and the maximum.
    pub(crate) connections: (usize, usize, usize),
}

/// Durations of calls to the auth server, by outcome.
pub(crate) struct Calls {
    /// The auth server accepted the token.
    pub(crate) accepted: Histogram,
    /// The auth server refused the token.
    pub(crate) refused: Histogram,
    /// The call had no result.
    pub(crate) unavailable: Histogram,
}

impl Calls {
    fn of(call: &'static str) -> Calls {
        let ended =
            |outcome: &'static str| histogram!(AUTH_UPSTREAM, "call" => call, "outcome" => outcome);
        Calls {
            accepted: ended("accepted"),
            refused: ended("refused"),
            unavailable: ended("unavailable"),
        }
    }
}

/// Times until the head of the agent's answer, by outcome.
pub(crate) struct AgentCalls {
    /// The agent answered.
    pub(crate) answered: Histogram,
    /// The agent broke off, or its answer cannot be used.
    pub(crate) failed: Histogram,
    /// There was no connection.
    pub(crate) unreachable: Histogram,
}

/// The outcomes of the agent's answers.
pub(crate) struct AgentAnswers {
    /// The agent ended the answer.
    pub(crate) ended: Counter,
    /// The agent broke off the answer.
    pub(crate) lost: Counter,
    /// The client left.
    pub(crate) left: Counter,
    /// The thread was deleted, or is no longer the user's.
    pub(crate) gone: Counter,
}

impl AgentCalls {
    fn register() -> AgentCalls {
        let ended = |outcome: &'static str| histogram!(AGENT, "outcome" => outcome);
        AgentCalls {
            answered: ended("answered"),
            failed: ended("failed"),
            unreachable: ended("unreachable"),
        }
    }
}

impl AgentAnswers {
    fn register() -> AgentAnswers {
        let ended = |outcome: &'static str| counter!(AGENT_STREAMS, "outcome" => outcome);
        AgentAnswers {
            ended: ended("ended"),
            lost: ended("lost"),
            left: ended("left"),
            gone: ended("gone"),
        }
    }
}

/// The metrics of this process, recorded from the first call on.
pub(crate) fn metrics() -> &'static Metrics {
    static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::register);
    &METRICS
}

fn recorder() -> &'static PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER.get_or_init(|| {
        let recorder = HISTOGRAMS
            .into_iter()
            .try_fold(PrometheusBuilder::new(), |builder, name| {
                builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), &SECONDS)
            })
            .unwrap_or_else(|_| PrometheusBuilder::new())
            .build_recorder();
        let handle = recorder.handle();
        // Only a second recorder in the process would be refused, and only this function creates
        // one.
        let _ = metrics::set_global_recorder(recorder);
        handle
    })
}

impl Metrics {
    fn register() -> Metrics {
        // The recorder must exist before the first handle.
        let _ = recorder();
        describe();
        gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        // No alarm before the first verification.
        gauge!(AUTH_AVAILABLE).set(1.0);
        let refused = |kind: Kind, by: &'static str| counter!(REFUSED, "kind" => kind.as_str(), "limit" => by);
        Metrics {
            auth_hits: counter!(AUTH_CACHE, "result" => "hit"),
            auth_misses: counter!(AUTH_CACHE, "result" => "miss"),
            auth_user_calls: Calls::of("user"),
            auth_key_calls: Calls::of("keys"),
            auth_available: gauge!(AUTH_AVAILABLE),
            agent_calls: AgentCalls::register(),
            agent_answers: AgentAnswers::register(),
            sweeps: counter!(SWEEPS, "outcome" => "ok"),
            failed_sweeps: counter!(SWEEPS, "outcome" => "error"),
            swept_deleted: counter!(SWEPT, "action" => "deleted"),
            swept_pruned: counter!(SWEPT, "action" => "pruned"),
            refused: Kind::ALL.map(|kind| (kind, refused(kind, "user"), refused(kind, "all"))),
            connections_in_use: gauge!(CONNECTIONS, "state" => "in_use"),
            connections_idle: gauge!(CONNECTIONS, "state" => "idle"),
            connections_max: gauge!(CONNECTIONS_MAX),
            ready: gauge!(READY),
        }
    }

    /// Requests that were refused because a limit was reached.
    pub(crate) fn refused(&self, kind: Kind, full: Full) -> &Counter {
        let [(_, first, _), ..] = &self.refused;
        let counters = self.refused.iter().find(|(own, ..)| *own == kind);
        counters.map_or(first, |(_, share, total)| match full {
            Full::Share => share,
            Full::Total => total,
        })
    }

    /// All metrics in Prometheus' text format. `gauges` is `None` while the server starts.
    pub(crate) fn render(&self, gauges: Option<Gauges<'_>>) -> String {
        self.ready.set(f64::from(gauges.as_ref().is_some_and(|gauges| gauges.is_ready)));
        if let Some(gauges) = gauges {
            let (open, idle, max) = gauges.connections;
            self.connections_idle.set(count(idle as u64));
            self.connections_in_use.set(count(open.saturating_sub(idle) as u64));
            self.connections_max.set(count(max as u64));
            let named = gauges.shares.iter().map(|(kind, shares)| (kind.as_str(), *shares));
            for (kind, shares) in named.chain([(DATABASE_CONNECTIONS, gauges.single_connections)]) {
                gauge!(IN_USE, "kind" => kind).set(count(shares.taken()));
                gauge!(LIMIT, "kind" => kind, "of" => "all").set(count(shares.total()));
                gauge!(LIMIT, "kind" => kind, "of" => "user").set(count(shares.share()));
            }
        }
        recorder().render()
    }

    /// Merges samples, which would otherwise accumulate until the metrics are read.
    pub(crate) fn run_upkeep() {
        recorder().run_upkeep();
    }
}

fn describe() {
    describe_histogram!(REQUEST, "Time until the head of an answer, by route, method and status");
    describe_gauge!(IN_USE, "Units in use, by kind");
    describe_gauge!(LIMIT, "Maximum units of a kind, for all users and for one user");
    describe_counter!(REFUSED, "Requests refused because of a user's share or the total of a kind");
    describe_gauge!(CONNECTIONS, "Connections to the database, by state");
    describe_gauge!(CONNECTIONS_MAX, "Maximum number of connections to the database");
    describe_histogram!(DATABASE_WAIT, "Time spent waiting for a connection, timeouts included");
    describe_counter!(BATCHES, "Statements that answered several requests, by kind");
    describe_counter!(BATCHED_REQUESTS, "Requests that were answered in batches, by kind");
    describe_counter!(
        AUTH_CACHE,
        "Tokens that were in the cache (hit) or had to be verified (miss)"
    );
    describe_histogram!(AUTH_UPSTREAM, "Calls to the auth server, by call and outcome");
    describe_gauge!(AUTH_AVAILABLE, "1 if the last verification of a token had a result, else 0");
    describe_histogram!(AGENT, "Time until the head of the agent's answer, by outcome");
    describe_counter!(AGENT_STREAMS, "Answers of the agent that were passed on, by outcome");
    describe_counter!(SWEEPS, "Sweeps of expired threads, by outcome");
    describe_counter!(SWEPT, "Expired threads that were deleted or pruned");
    describe_gauge!(READY, "1 if the server is ready, 0 while it starts or stops");
    describe_gauge!(BUILD, "Always 1; the version is a label");
}

#[expect(clippy::cast_precision_loss, reason = "exact for any number of things that fit here")]
fn count(number: u64) -> f64 {
    number as f64
}

/// Measures one request. `route` is a template and `method` a known method, so that the labels have
/// few values.
pub(crate) fn record_request(route: &str, method: &'static str, status: u16, took: Duration) {
    let seconds = took.as_secs_f64();
    let requests = REQUESTS.read().unwrap_or_else(PoisonError::into_inner);
    let mut of_route = requests.get(route).into_iter().flatten();
    let known = of_route.find(|known| known.is_of(method, status));
    if let Some(known) = known {
        known.histogram.record(seconds);
        return;
    }
    drop(requests);
    let labels = [
        ("method", method.to_owned()),
        ("route", route.to_owned()),
        ("status", status.to_string()),
    ];
    let histogram = histogram!(REQUEST, &labels);
    histogram.record(seconds);
    let mut requests = REQUESTS.write().unwrap_or_else(PoisonError::into_inner);
    let of_route = requests.entry(route.to_owned()).or_default();
    if !of_route.iter().any(|known| known.is_of(method, status)) {
        of_route.push(KnownRequest { method, status, histogram });
    }
}

/// The histograms of requests, by their routes. A registry copies and hashes the labels for each
/// lookup.
static REQUESTS: LazyLock<RwLock<HashMap<String, Vec<KnownRequest>>>> =
    LazyLock::new(RwLock::default);

struct KnownRequest {
    method: &'static str,
    status: u16,
    histogram: Histogram,
}

impl KnownRequest {
    fn is_of(&self, method: &str, status: u16) -> bool {
        self.method == method && self.status == status
    }
}
