//! Decides whether an idle connection can be used.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tokio::time::Instant;

use super::within;

/// Longest wait for the answer of a probed connection.
pub(super) const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// When a connection last failed. Connections that were idle at that moment are probed before they
/// are used, or are not used at all.
#[derive(Debug)]
pub(super) struct Health {
    started: Instant,
    failed: Last,
    silent: Last,
}

/// The time of the last event, in milliseconds since the start, at least 1. 0: never.
#[derive(Debug, Default)]
struct Last(AtomicU64);

impl Health {
    pub(super) fn new() -> Arc<Health> {
        Arc::new(Health {
            started: Instant::now(),
            failed: Last::default(),
            silent: Last::default(),
        })
    }

    /// Records the error of a use of a connection. Returns whether the connection is lost.
    pub(super) fn note(&self, error: &sqlx::Error) -> bool {
        if is_silence(error) {
            self.happened(&self.silent);
        }
        let is_lost = match error {
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => true,
            sqlx::Error::Database(refusal) => match refusal.code().as_deref() {
                // Postgres closed this connection and others.
                Some("57P01" | "57P02" | "57P03") => true,
                // A session stays read-only even after the database has become writable again.
                Some("25006") => return true,
                _ => false,
            },
            _ => false,
        };
        if is_lost {
            self.happened(&self.failed);
        }
        is_lost
    }

    /// Whether a connection that was idle for `idle` can be used. Probes it in case of doubt.
    pub(super) async fn check(
        &self,
        connection: &mut PgConnection,
        idle: Duration,
    ) -> Result<bool, sqlx::Error> {
        if self.has_happened_within(&self.silent, idle) {
            // A network that silently drops one connection usually drops all. Probing each of them
            // would take the whole timeout every time.
            return Ok(false);
        }
        if self.has_happened_within(&self.failed, idle) {
            let probe = Box::pin(within(Instant::now() + PROBE_TIMEOUT, connection.ping())).await;
            if let Err(error) = probe {
                self.note(&error);
                return Err(error);
            }
        }
        Ok(true)
    }

    fn happened(&self, what: &Last) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        what.0.store(now.max(1), Ordering::Relaxed);
    }

    fn has_happened_within(&self, what: &Last, time: Duration) -> bool {
        let last = what.0.load(Ordering::Relaxed);
        last > 0 && self.started.elapsed().saturating_sub(Duration::from_millis(last)) <= time
    }
}

/// Whether a request or its answer was lost silently.
fn is_silence(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut)
}
