//! Every metric that `/metrics` shows: its name, its help, and its handle.
//!
//! Handles are registered once, all of them at start, so that recording is an atomic operation
//! and a dashboard finds each metric before anything has happened.

use std::collections::HashMap;
use std::sync::{LazyLock, PoisonError, RwLock};
use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};

use crate::app::App;
use crate::telemetry;

/// Names of histograms, which need their buckets before they are registered. All in seconds.
pub(crate) const HISTOGRAMS: [&str; 3] = [REQUEST, DATABASE_WAIT, AUTH_UPSTREAM];

const REQUEST: &str = "http_request_duration_seconds";
const DATABASE_WAIT: &str = "thread_store_database_wait_seconds";
const AUTH_UPSTREAM: &str = "thread_store_auth_upstream_seconds";
const IN_FLIGHT: &str = "thread_store_http_requests_in_flight";
const REFUSED: &str = "thread_store_http_requests_refused_total";
const STREAMS: &str = "thread_store_streams_open";
const CONNECTIONS: &str = "thread_store_database_connections";
const CONNECTIONS_MAX: &str = "thread_store_database_connections_max";
const SHARED_STATEMENTS: &str = "thread_store_database_shared_statements_total";
const SHARED_REQUESTS: &str = "thread_store_database_shared_requests_total";
const AUTH_CACHE: &str = "thread_store_auth_cache_total";
const AUTH_AVAILABLE: &str = "thread_store_auth_available";
const SWEEPS: &str = "thread_store_sweeper_runs_total";
const SWEPT: &str = "thread_store_sweeper_threads_total";
const READY: &str = "thread_store_ready";
const BUILD: &str = "thread_store_build_info";

/// The handles of all metrics but those of requests, which have labels of their own.
pub(crate) struct Meters {
    /// Requests that were turned away because too many were worked on.
    pub(crate) refused_requests: Counter,
    /// Streams that were turned away because too many were open.
    pub(crate) refused_streams: Counter,
    /// Waits for a database connection, those without a connection at their end included.
    pub(crate) database_wait: Histogram,
    /// Tokens that were known.
    pub(crate) auth_hits: Counter,
    /// Tokens that had to be verified.
    pub(crate) auth_misses: Counter,
    /// Calls that ask whose token it is.
    pub(crate) auth_user_calls: Calls,
    /// Calls that fetch signing keys and what leads to them.
    pub(crate) auth_key_calls: Calls,
    /// Whether the last verification found out about its token: 1 or 0.
    pub(crate) auth_available: Gauge,
    /// Sweeps that went through.
    pub(crate) sweeps: Counter,
    /// Sweeps that failed.
    pub(crate) failed_sweeps: Counter,
    /// Threads that sweeps deleted.
    pub(crate) swept_deleted: Counter,
    /// Threads that sweeps made smaller.
    pub(crate) swept_shrunk: Counter,
    in_flight: Gauge,
    streams: Gauge,
    connections_in_use: Gauge,
    connections_idle: Gauge,
    connections_max: Gauge,
    ready: Gauge,
}

/// How long calls to the auth server took, by how they ended.
pub(crate) struct Calls {
    /// It has said yes.
    pub(crate) accepted: Histogram,
    /// It has said no.
    pub(crate) refused: Histogram,
    /// It has said nothing that settles the question.
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

/// Statements that answered several requests of one kind.
#[derive(Clone)]
pub(crate) struct SharedStatements {
    /// How many there were.
    pub(crate) statements: Counter,
    /// How many requests they answered.
    pub(crate) requests: Counter,
}

impl SharedStatements {
    /// Those of one kind of request.
    pub(crate) fn of(kind: &'static str) -> SharedStatements {
        // Described first.
        let _ = meters();
        SharedStatements {
            statements: counter!(SHARED_STATEMENTS, "kind" => kind),
            requests: counter!(SHARED_REQUESTS, "kind" => kind),
        }
    }
}

/// The meters of this process.
pub(crate) fn meters() -> &'static Meters {
    static METERS: LazyLock<Meters> = LazyLock::new(Meters::register);
    &METERS
}

impl Meters {
    fn register() -> Meters {
        // The recorder has to be there before the first handle.
        let _ = telemetry::metrics();
        describe();
        gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        // No complaint before the first verification.
        gauge!(AUTH_AVAILABLE).set(1.0);
        Meters {
            refused_requests: counter!(REFUSED, "limit" => "requests"),
            refused_streams: counter!(REFUSED, "limit" => "streams"),
            database_wait: histogram!(DATABASE_WAIT),
            auth_hits: counter!(AUTH_CACHE, "result" => "hit"),
            auth_misses: counter!(AUTH_CACHE, "result" => "miss"),
            auth_user_calls: Calls::of("user"),
            auth_key_calls: Calls::of("keys"),
            auth_available: gauge!(AUTH_AVAILABLE),
            sweeps: counter!(SWEEPS, "outcome" => "ok"),
            failed_sweeps: counter!(SWEEPS, "outcome" => "error"),
            swept_deleted: counter!(SWEPT, "action" => "deleted"),
            swept_shrunk: counter!(SWEPT, "action" => "shrunk"),
            in_flight: gauge!(IN_FLIGHT),
            streams: gauge!(STREAMS),
            connections_in_use: gauge!(CONNECTIONS, "state" => "in_use"),
            connections_idle: gauge!(CONNECTIONS, "state" => "idle"),
            connections_max: gauge!(CONNECTIONS_MAX),
            ready: gauge!(READY),
        }
    }

    /// All metrics in Prometheus' text format. What is a state and no event is read off `app`
    /// now; there is none while the server starts.
    pub(crate) fn render(&self, app: Option<&App>) -> String {
        self.ready.set(f64::from(app.is_some_and(|app| !app.draining.is_cancelled())));
        if let Some(app) = app {
            let pool = app.store.pool();
            let idle = count(pool.idle());
            self.connections_idle.set(idle);
            self.connections_in_use.set((f64::from(pool.size()) - idle).max(0.0));
            self.connections_max.set(f64::from(pool.max_size()));
            let requests = app.limits.requests;
            self.in_flight.set(count(requests.saturating_sub(app.requests.available_permits())));
            self.streams
                .set(count(app.limits.streams.saturating_sub(app.streams.available_permits())));
        }
        telemetry::metrics().render()
    }
}

fn describe() {
    describe_histogram!(REQUEST, "Time until the head of an answer, by route, method and status");
    describe_gauge!(IN_FLIGHT, "Requests for threads that are worked on");
    describe_counter!(REFUSED, "Requests and streams over their limit, answered with 503");
    describe_gauge!(STREAMS, "Open streams");
    describe_gauge!(CONNECTIONS, "Connections to the database, by state");
    describe_gauge!(CONNECTIONS_MAX, "Most connections to the database");
    describe_histogram!(DATABASE_WAIT, "Wait for a connection from the pool");
    describe_counter!(SHARED_STATEMENTS, "Statements that answered several requests, by kind");
    describe_counter!(SHARED_REQUESTS, "Requests that were answered together, by kind");
    describe_counter!(AUTH_CACHE, "Tokens that were known (hit) or had to be verified (miss)");
    describe_histogram!(AUTH_UPSTREAM, "Calls to the auth server, by call and outcome");
    describe_gauge!(AUTH_AVAILABLE, "1 if the last verification of a token came to an end, else 0");
    describe_counter!(SWEEPS, "Sweeps of expired threads, by outcome");
    describe_counter!(SWEPT, "Expired threads that were deleted or shrunk");
    describe_gauge!(READY, "1 if the server is ready, 0 while it starts or stops");
    describe_gauge!(BUILD, "Always 1; the version is a label");
}

#[expect(clippy::cast_precision_loss, reason = "exact for any number of things that fit here")]
fn count(number: usize) -> f64 {
    number as f64
}

/// Measures one request. `route` is a template and `method` a known one, so that the labels are
/// few.
pub(crate) fn record_request(route: &str, method: &'static str, status: u16, took: Duration) {
    type Routes = HashMap<Box<str>, HashMap<(&'static str, u16), Histogram>>;
    static ROUTES: LazyLock<RwLock<Routes>> = LazyLock::new(RwLock::default);
    let seconds = took.as_secs_f64();
    {
        let routes = ROUTES.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(histogram) = routes.get(route).and_then(|of| of.get(&(method, status))) {
            return histogram.record(seconds);
        }
    }
    let labels = [
        ("method", method.to_owned()),
        ("route", route.to_owned()),
        ("status", status.to_string()),
    ];
    let histogram = histogram!(REQUEST, &labels);
    histogram.record(seconds);
    let mut routes = ROUTES.write().unwrap_or_else(PoisonError::into_inner);
    routes.entry(route.into()).or_default().insert((method, status), histogram);
}
