//! Connections that were just given back, for whoever comes next.
//!
//! sqlx asks a connection whether it still answers each time that it is given back. For a busy
//! server that is a round trip for every statement, so a connection only goes back to sqlx if
//! somebody waits for one there, or after a while: then sqlx also closes those that are too old
//! or that nobody needs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use super::pool::Health;

/// How long a connection may stay away from sqlx.
const AWAY: Duration = Duration::from_mins(1);
/// For a connection to answer that goes back to sqlx.
const ANSWER: Duration = Duration::from_secs(1);

/// A connection, and since when it is away from sqlx.
pub(super) struct Taken {
    pub(super) connection: PoolConnection<Postgres>,
    since: Instant,
}

/// A connection of which there is doubt. Unless it was vouched for it is dropped, also if whoever
/// asks goes away meanwhile: given back to sqlx it would hold its place until it answers.
pub(super) struct Doubtful(Option<Taken>);

impl Doubtful {
    pub(super) fn of(taken: Taken) -> Doubtful {
        Doubtful(Some(taken))
    }

    pub(super) fn connection(&mut self) -> Option<&mut PgConnection> {
        self.0.as_mut().map(|taken| &mut *taken.connection)
    }

    pub(super) fn vouched_for(mut self) -> Option<Taken> {
        self.0.take()
    }
}

impl Drop for Doubtful {
    fn drop(&mut self) {
        if let Some(taken) = self.0.take() {
            drop(taken.connection.detach());
        }
    }
}

/// The connections of a pool that nobody uses now and that sqlx does not know of.
#[derive(Clone)]
pub(super) struct Spares(Arc<Shared>);

struct Shared {
    pool: PgPool,
    /// Most connections that are away from sqlx, lent ones included.
    most: usize,
    health: Arc<Health>,
    stack: Mutex<Stack>,
}

#[derive(Default)]
struct Stack {
    /// The last one is the one that was used last.
    spares: Vec<Spare>,
    /// How many wait for a connection from sqlx.
    waiting: usize,
}

struct Spare {
    taken: Taken,
    idle_since: Instant,
}

impl Spares {
    /// At most `most` connections of a pool stay away from it: the others are for those who use it
    /// directly.
    pub(super) fn of(pool: PgPool, most: u32, health: Arc<Health>) -> Spares {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let shared = Arc::new(Shared { pool, most, health, stack: Mutex::default() });
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(return_idle(Arc::downgrade(&shared)));
        }
        Spares(shared)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.stack().spares.len()
    }

    /// A connection, and for how long it was idle if sqlx has not looked at it since.
    pub(super) async fn take(&self) -> Result<(Taken, Option<Duration>), sqlx::Error> {
        let waits = {
            let mut stack = self.0.stack();
            if let Some(Spare { taken, idle_since }) = stack.spares.pop() {
                return Ok((taken, Some(idle_since.elapsed())));
            }
            // Known from now on to all who give one back.
            stack.waiting += 1;
            Waits(&self.0)
        };
        let connection = self.0.pool.acquire().await?;
        drop(waits);
        Ok((Taken { connection, since: Instant::now() }, None))
    }

    /// Takes back a connection that nothing is under way on.
    pub(super) fn put(&self, taken: Taken) {
        let mut stack = self.0.stack();
        let is_wanted = stack.waiting == 0
            && self.0.away() <= self.0.most
            && taken.since.elapsed() < AWAY
            && !self.0.pool.is_closed();
        if is_wanted {
            stack.spares.push(Spare { taken, idle_since: Instant::now() });
            return;
        }
        drop(stack);
        self.0.return_to_pool(taken);
    }

    /// Ends all connections, those that are lent once they are given back.
    pub(super) async fn close(&self) {
        // Marked as closed by now, so that nothing is put here any more.
        let closed = self.0.pool.close();
        for spare in std::mem::take(&mut self.0.stack().spares) {
            self.0.return_to_pool(spare.taken);
        }
        closed.await;
    }
}

/// Where there is no runtime any more, in which they could be given back.
impl Drop for Shared {
    fn drop(&mut self) {
        for spare in std::mem::take(&mut self.stack().spares) {
            drop(spare.taken.connection.detach());
        }
    }
}

impl Shared {
    fn stack(&self) -> MutexGuard<'_, Stack> {
        self.stack.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many connections sqlx has opened and cannot lend now.
    fn away(&self) -> usize {
        let opened = usize::try_from(self.pool.size()).unwrap_or(usize::MAX);
        opened.saturating_sub(self.pool.num_idle())
    }

    /// Without waiting. One that does not answer is dropped.
    fn return_to_pool(&self, mut taken: Taken) {
        let Ok(runtime) = Handle::try_current() else { return drop(taken.connection.detach()) };
        let health = Arc::clone(&self.health);
        runtime.spawn(async move {
            if timeout(ANSWER, taken.connection.return_to_pool()).await.is_err() {
                health.happened(&health.silent);
            }
        });
    }

    /// Those that were idle for long, and those that sqlx has not seen for long.
    fn idle(&self) -> Vec<Taken> {
        let mut stack = self.stack();
        let spares = std::mem::take(&mut stack.spares);
        let (idle, used) = spares.into_iter().partition(|spare: &Spare| {
            spare.idle_since.elapsed() >= AWAY || spare.taken.since.elapsed() >= AWAY
        });
        stack.spares = used;
        let idle: Vec<Spare> = idle;
        idle.into_iter().map(|spare| spare.taken).collect()
    }
}

/// Somebody who waits for a connection, also if they go away.
struct Waits<'a>(&'a Shared);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.stack().waiting -= 1;
    }
}

/// Returns connections that are not needed, as long as there is a pool.
async fn return_idle(shared: Weak<Shared>) {
    loop {
        tokio::time::sleep(AWAY).await;
        let Some(shared) = shared.upgrade() else { return };
        shared.idle().into_iter().for_each(|taken| shared.return_to_pool(taken));
    }
}
