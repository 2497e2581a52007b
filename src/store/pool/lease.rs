//! A connection that is leased for a limited time.

use std::fmt;

use deadpool::managed::Object;
use futures::TryStreamExt as _;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, Postgres};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::health::Health;
use super::session::{Connector, Session};
use super::{Pool, Pooler, within};
use crate::shares::Permit;
use crate::store::tables::Tables;

/// A connection, until it is dropped.
pub(in crate::store) struct Lease {
    pool: Pool,
    /// `None` only during the drop.
    object: Option<Object<Connector>>,
    permit: Option<Permit>,
    condition: Condition,
    is_in_transaction: bool,
    ends: Instant,
}

/// The condition of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    /// Ready for the next statement.
    Ready,
    /// A statement was started, and its answer was not read to the end.
    Unread,
    /// Unusable.
    Lost,
}

impl Lease {
    pub(super) fn new(
        pool: Pool,
        object: Object<Connector>,
        permit: Option<Permit>,
        ends: Instant,
    ) -> Lease {
        let (object, condition) = (Some(object), Condition::Ready);
        Lease { pool, object, permit, condition, is_in_transaction: false, ends }
    }

    /// Runs statements that begin a transaction.
    pub(super) async fn begin(&mut self, begin: &str) -> Result<(), sqlx::Error> {
        self.is_in_transaction = true;
        self.command(begin).await
    }

    /// The kind of tables.
    pub(in crate::store) fn tables(&self) -> Tables {
        self.pool.tables()
    }

    /// Gives all statements of the transaction the same snapshot. Must be called before the first
    /// of them.
    pub(in crate::store) async fn see_one_moment(&mut self) -> Result<(), sqlx::Error> {
        self.command("set transaction isolation level repeatable read").await
    }

    /// Commits, and returns the connection to the pool.
    pub(in crate::store) async fn commit(mut self) -> Result<(), sqlx::Error> {
        if self.is_in_transaction {
            self.command("commit").await?;
            self.is_in_transaction = false;
        }
        Ok(())
    }

    /// All rows of a statement.
    pub(in crate::store) async fn fetch_all(
        &mut self,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        let is_pooled = self.pool.0.pooler == Pooler::Transaction;
        let query = if is_pooled { query.persistent(false) } else { query };
        self.run(async |session| query.fetch_all(&mut session.connection).await).await
    }

    /// The first row of a statement. The statement is run to its end, because it can fail after its
    /// first row.
    pub(in crate::store) async fn fetch_optional(
        &mut self,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Result<Option<PgRow>, sqlx::Error> {
        Ok(self.fetch_all(query).await?.into_iter().next())
    }

    /// Runs a statement, and returns the number of changed rows.
    pub(in crate::store) async fn execute(
        &mut self,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Result<u64, sqlx::Error> {
        let is_pooled = self.pool.0.pooler == Pooler::Transaction;
        let query = if is_pooled { query.persistent(false) } else { query };
        let done = self.run(async |session| query.execute(&mut session.connection).await).await?;
        Ok(done.rows_affected())
    }

    async fn command(&mut self, command: &str) -> Result<(), sqlx::Error> {
        let command = sqlx::raw_sql(AssertSqlSafe(command.to_owned()));
        self.run(async |session| {
            session.connection.execute_many(command).try_collect::<Vec<_>>().await.map(drop)
        })
        .await
    }

    async fn run<T>(
        &mut self,
        statement: impl AsyncFnOnce(&mut Session) -> Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        let Some(session) = &mut self.object else { return Err(sqlx::Error::PoolClosed) };
        self.condition = Condition::Unread;
        let outcome = within(self.ends, statement(session)).await;
        let is_lost = outcome.as_ref().is_err_and(|error| self.pool.0.health.note(error));
        self.condition = match &outcome {
            _ if is_lost => Condition::Lost,
            // A refusal by Postgres is a complete answer.
            Ok(_) | Err(sqlx::Error::Database(_)) => Condition::Ready,
            Err(_) => Condition::Unread,
        };
        outcome
    }
}

/// Returns the connection to the pool, if it is usable or can be made usable.
impl Drop for Lease {
    fn drop(&mut self) {
        let Some(mut object) = self.object.take() else { return };
        if self.condition == Condition::Ready && !self.is_in_transaction {
            // Frees the buffers of a large statement or answer.
            object.connection.shrink_buffers();
            return;
        }
        let runtime = Handle::try_current();
        let (Ok(runtime), true) = (runtime, self.condition != Condition::Lost) else {
            drop(Object::take(object));
            return;
        };
        // The permit is kept until the connection is free, so that callers who leave early get no
        // further connections.
        let (pool, permit) = (self.pool.clone(), self.permit.take());
        let (is_unread, ends) = (self.condition == Condition::Unread, self.ends);
        let is_in_transaction = self.is_in_transaction;
        runtime.spawn(async move {
            if let Some(process) = object.process.filter(|_| is_unread) {
                pool.cancel(process).await;
            }
            let settled = settle(&mut object, is_unread, is_in_transaction, ends, &pool.0.health);
            if !settled.await {
                drop(Object::take(object));
            }
            drop(permit);
        });
    }
}

/// Reads the rest of an answer, and ends the transaction. Returns whether that succeeded.
async fn settle(
    session: &mut Session,
    is_unread: bool,
    is_in_transaction: bool,
    ends: Instant,
    health: &Health,
) -> bool {
    let settled = async {
        if is_unread {
            // The first answer is that of the statement, which was usually cancelled.
            match session.connection.ping().await {
                Ok(()) | Err(sqlx::Error::Database(_)) => {}
                Err(error) => return Err(error),
            }
        }
        if is_in_transaction {
            session.connection.execute(sqlx::raw_sql("rollback")).await?;
        }
        session.connection.ping().await
    };
    let settled = within(ends, settled).await;
    if let Err(error) = &settled {
        health.note(error);
    }
    settled.is_ok()
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("condition", &self.condition).finish_non_exhaustive()
    }
}
