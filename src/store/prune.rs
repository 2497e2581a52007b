//! Making threads smaller or gone: prune, and the sweep of threads whose time is over.

use sqlx::QueryBuilder;
use tracing::warn;
use uuid::Uuid;

use super::Store;
use super::Strategy;
use super::filter::push_visible;
use super::pool::Connection;
use crate::auth::Scope;

/// Most threads that one sweep takes on, so that it never holds many locks for long.
const SWEEP_BATCH: i64 = 100;

impl Store {
    /// Deletes these threads, or all but their latest state. All of them or, if the caller may
    /// not see every one, none: then the answer is `None`, else how many there were.
    pub async fn prune_threads(
        &self,
        scope: &Scope,
        thread_ids: &[Uuid],
        strategy: Strategy,
    ) -> Result<Option<usize>, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let mut sql = QueryBuilder::new(
            "select thread.thread_id from thread_store.thread where thread.thread_id = any(",
        );
        sql.push_bind(thread_ids).push(") and ");
        push_visible(&mut sql, scope);
        // In one order everywhere, so that two prunes of the same threads cannot deadlock.
        sql.push(" order by thread.thread_id for update of thread");
        let found: Vec<Uuid> = sql.build_query_scalar().fetch_all(&mut transaction).await?;
        if found.len() != thread_ids.len() {
            return Ok(None);
        }
        match strategy {
            Strategy::Delete => delete(&mut transaction, &found).await?,
            Strategy::KeepLatest => keep_latest(&mut transaction, &found).await?,
        }
        transaction.commit().await?;
        if strategy == Strategy::Delete {
            for thread_id in &found {
                self.changes.announce(*thread_id);
            }
        }
        Ok(Some(found.len()))
    }

    /// Carries out the strategy of some threads whose time is over.
    ///
    /// Skips rows that somebody has locked, so that any number of instances can sweep at once
    /// and none waits for traffic. Threads that are deleted go in one batch; the histories of
    /// the others may be long, so each is shrunk in a transaction of its own, and one that
    /// fails is put off and holds up nobody.
    pub async fn sweep(&self) -> Result<Swept, sqlx::Error> {
        let mut transaction = self.pool.begin_in_background().await?;
        let deleted: Vec<Uuid> = sqlx::query_scalar(
            "delete from thread_store.thread where thread_id in ( \
                 select thread_id from thread_store.thread \
                 where expires_at <= clock_timestamp() and ttl_strategy = 'delete' \
                 order by expires_at \
                 limit $1 \
                 for update skip locked \
             ) \
             returning thread_id",
        )
        .bind(SWEEP_BATCH)
        .fetch_all(&mut transaction)
        .await?;
        transaction.commit().await?;
        for thread_id in &deleted {
            self.changes.announce(*thread_id);
        }
        let mut shrunk = 0;
        while shrunk < SWEEP_BATCH && self.shrink_one().await? {
            shrunk += 1;
        }
        let full = usize::try_from(SWEEP_BATCH).unwrap_or(usize::MAX);
        let is_last = deleted.len() < full && shrunk < SWEEP_BATCH;
        Ok(Swept { deleted: deleted.len(), shrunk: usize::try_from(shrunk).unwrap_or(0), is_last })
    }

    /// Answers whether there was a thread to shrink.
    async fn shrink_one(&self) -> Result<bool, sqlx::Error> {
        let mut transaction = self.pool.begin_in_background().await?;
        let expired: Option<Uuid> = sqlx::query_scalar(
            "select thread_id from thread_store.thread \
             where expires_at <= clock_timestamp() and ttl_strategy = 'keep_latest' \
             order by expires_at \
             limit 1 \
             for update skip locked",
        )
        .fetch_optional(&mut transaction)
        .await?;
        let Some(thread_id) = expired else { return Ok(false) };
        let outcome = keep_latest(&mut transaction, &[thread_id]).await;
        let next = if outcome.is_ok() {
            "null"
        } else {
            drop(transaction);
            transaction = self.pool.begin_in_background().await?;
            "clock_timestamp() + interval '1 hour'"
        };
        let mut sql = QueryBuilder::new("update thread_store.thread set expires_at = ");
        sql.push(next).push(" where thread_id = ").push_bind(thread_id);
        sql.build().execute(&mut transaction).await?;
        transaction.commit().await?;
        if let Err(error) = outcome {
            warn!(thread.id = %thread_id, %error, "could not shrink a thread: put off by an hour");
        }
        Ok(true)
    }
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// Threads that are gone.
    pub deleted: usize,
    /// Threads that lost all but their latest state.
    pub shrunk: usize,
    /// Whether nothing is left to sweep now.
    pub is_last: bool,
}

async fn delete(connection: &mut Connection, thread_ids: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query("delete from thread_store.thread where thread_id = any($1)")
        .bind(thread_ids)
        .execute(connection)
        .await
        .map(drop)
}

/// Drops every checkpoint that has a newer one in its namespace, then what no checkpoint that
/// is left shows.
async fn keep_latest(connection: &mut Connection, thread_ids: &[Uuid]) -> Result<(), sqlx::Error> {
    for statement in [
        "delete from thread_store.checkpoint \
         where thread_id = any($1) \
             and checkpoint_id < ( \
                 select newest.checkpoint_id from thread_store.checkpoint as newest \
                 where newest.thread_id = checkpoint.thread_id \
                     and newest.checkpoint_ns = checkpoint.checkpoint_ns \
                 order by newest.checkpoint_id desc limit 1 \
             )",
        "update thread_store.checkpoint set parent_checkpoint_id = null \
         where thread_id = any($1)",
        "delete from thread_store.channel_value \
         where thread_id = any($1) \
             and not exists ( \
                 select from thread_store.checkpoint \
                 where checkpoint.thread_id = channel_value.thread_id \
                     and (checkpoint.channels ->> channel_value.channel)::bigint \
                         = channel_value.seq \
             )",
        // Of what is visible to a checkpoint, a tombstone counts for nothing once the row that
        // it hides is gone too, and both go here.
        "with recursive lineage (thread_id, head, branch, seq, position, start) as ( \
             select thread_id, checkpoint_id, branch, seq, messages_end, messages_start \
             from thread_store.checkpoint \
             where thread_id = any($1) and messages_end is not null \
             union all \
             select lineage.thread_id, lineage.head, branch.parent_branch, branch.fork_seq, \
                 least(branch.fork_end, lineage.position), lineage.start \
             from lineage \
             join thread_store.branch \
                 on branch.thread_id = lineage.thread_id and branch.branch = lineage.branch \
         ), \
         visible as materialized ( \
             select distinct on (message.thread_id, lineage.head, message.position) \
                 message.thread_id, message.branch, message.position, message.seq, \
                 message.message is null as is_removed \
             from lineage \
             join thread_store.message \
                 on message.thread_id = lineage.thread_id \
                 and message.branch = lineage.branch \
                 and message.position >= lineage.start \
                 and message.position < lineage.position \
                 and message.seq <= lineage.seq \
             order by message.thread_id, lineage.head, message.position, message.seq desc \
         ) \
         delete from thread_store.message \
         where thread_id = any($1) \
             and not exists ( \
                 select from visible \
                 where visible.thread_id = message.thread_id \
                     and visible.branch = message.branch \
                     and visible.position = message.position \
                     and visible.seq = message.seq \
                     and not visible.is_removed \
             )",
    ] {
        sqlx::query(statement).bind(thread_ids).execute(&mut *connection).await?;
    }
    Ok(())
}
