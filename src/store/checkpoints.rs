//! Reading state: one checkpoint, or the history.

use sqlx::postgres::PgRow;
use sqlx::{FromRow, Postgres, QueryBuilder, Row};
use uuid::Uuid;

use super::filter::{push_jsonb, push_where_thread};
use super::values::push_join_values;
use super::{Store, bounded};
use crate::auth::Scope;
use crate::json::{Object, Raw};
use crate::messages::CHANNEL as MESSAGES;
use crate::time::Timestamp;

/// Which checkpoints of a thread are meant.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// The namespace; empty for the root.
    pub checkpoint_ns: String,
    /// Just this one.
    pub checkpoint_id: Option<Uuid>,
    /// Only older ones than this.
    pub before: Option<Uuid>,
    /// Contained in the checkpoint's metadata.
    pub metadata: Object,
}

/// Which channels' values are read with a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Channels {
    /// None: the values are absent.
    None,
    /// These, as far as the checkpoint has them.
    Only(Vec<String>),
    /// All.
    All,
}

/// A stored checkpoint.
#[derive(Debug)]
pub struct Checkpoint {
    /// Its id.
    pub checkpoint_id: Uuid,
    /// What it was written onto.
    pub parent_checkpoint_id: Option<Uuid>,
    /// Its number in the thread.
    pub seq: i64,
    /// When it was written.
    pub created_at: Timestamp,
    /// How it came to be.
    pub metadata: Raw,
    /// The values of the channels that were asked for; absent if none were.
    pub values: Option<Raw>,
}

/// A place in the sequence of a thread's checkpoints.
#[derive(Debug, Clone, Copy)]
pub struct Position {
    /// Tells the thread from a later one with the same id.
    pub created_at: Timestamp,
    /// No checkpoint with a smaller id is wanted. Saves looking at the old ones.
    pub not_before: Uuid,
    /// Nor one with this number or a smaller one.
    pub seq: i64,
}

/// Where a thread's sequence of checkpoints stands.
#[derive(Debug, Clone, Copy, FromRow)]
pub struct Progress {
    /// Tells the thread from a later one with the same id.
    pub created_at: Timestamp,
    /// When its newest checkpoint was written; without any, when it was made.
    pub state_updated_at: Timestamp,
    /// How many checkpoints it has had.
    pub last_seq: i64,
}

/// A row of a thread joined with its checkpoints: without any, the checkpoint's columns are null.
struct Joined(Option<Checkpoint>);

impl FromRow<'_, PgRow> for Joined {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let Some(checkpoint_id) = row.try_get("checkpoint_id")? else {
            return Ok(Joined(None));
        };
        Ok(Joined(Some(Checkpoint {
            checkpoint_id,
            parent_checkpoint_id: row.try_get("parent_checkpoint_id")?,
            seq: row.try_get("seq")?,
            created_at: row.try_get("created_at")?,
            metadata: row.try_get("metadata")?,
            values: row.try_get("values")?,
        })))
    }
}

impl Store {
    /// The newest `limit` checkpoints of a selection, newest first. `None`: no such thread.
    pub async fn checkpoints(
        &self,
        scope: &Scope,
        thread_id: Uuid,
        selection: &Selection,
        limit: i64,
        channels: &Channels,
    ) -> Result<Option<Vec<Checkpoint>>, sqlx::Error> {
        let with_values = *channels != Channels::None;
        let mut sql = QueryBuilder::new("");
        push_select(&mut sql, with_values);
        sql.push(" left join lateral ( select ");
        push_columns(&mut sql, channels);
        sql.push(" from thread_store.checkpoint where ");
        push_selection(&mut sql, selection);
        sql.push(" order by checkpoint.checkpoint_id desc limit ").push_bind(limit);
        sql.push(" ) as picked on true");
        if with_values {
            push_join_values(&mut sql, "picked");
        }
        push_where_thread(&mut sql, scope, thread_id);
        sql.push(" order by picked.checkpoint_id desc");
        self.joined(sql).await
    }

    /// Up to `limit` checkpoints of the root namespace behind a position, in the order they were
    /// written. `None`: no such thread, or another one by now.
    pub async fn checkpoints_since(
        &self,
        scope: &Scope,
        thread_id: Uuid,
        position: &Position,
        limit: i64,
    ) -> Result<Option<Vec<Checkpoint>>, sqlx::Error> {
        let mut sql = QueryBuilder::new("");
        push_select(&mut sql, true);
        sql.push(
            " left join lateral ( select * from thread_store.checkpoint \
             where checkpoint.thread_id = thread.thread_id and checkpoint.checkpoint_ns = '' \
             and checkpoint.checkpoint_id >= ",
        );
        sql.push_bind(position.not_before);
        sql.push(" and checkpoint.seq > ").push_bind(position.seq);
        sql.push(" order by checkpoint.checkpoint_id limit ").push_bind(limit);
        sql.push(" ) as picked on true");
        push_join_values(&mut sql, "picked");
        push_where_thread(&mut sql, scope, thread_id);
        sql.push(" and thread.created_at = ").push_bind(position.created_at);
        sql.push(" order by picked.checkpoint_id");
        self.joined(sql).await
    }

    async fn joined(
        &self,
        mut sql: QueryBuilder<Postgres>,
    ) -> Result<Option<Vec<Checkpoint>>, sqlx::Error> {
        let rows = bounded::fetch_all_from(&self.pool, sql.build()).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        // Each row is let go of as soon as it is read: together they may be large.
        let read =
            rows.into_iter().map(|row| Joined::from_row(&row).map(|Joined(checkpoint)| checkpoint));
        read.filter_map(Result::transpose).collect::<Result<_, _>>().map(Some)
    }

    /// Where a thread's sequence of checkpoints stands. `None`: no such thread.
    pub async fn progress(
        &self,
        scope: &Scope,
        thread_id: Uuid,
    ) -> Result<Option<Progress>, sqlx::Error> {
        let mut sql = QueryBuilder::new(
            "select thread.created_at, thread.state_updated_at, thread.last_seq \
             from thread_store.thread",
        );
        push_where_thread(&mut sql, scope, thread_id);
        sql.build_query_as().fetch_optional(&self.pool).await
    }
}

fn push_select(sql: &mut QueryBuilder<Postgres>, with_values: bool) {
    sql.push(
        "select picked.checkpoint_id, picked.parent_checkpoint_id, picked.seq, picked.created_at, \
         picked.metadata || jsonb_build_object('thread_id', thread.thread_id) as metadata, ",
    );
    sql.push(if with_values { "state.values" } else { "null::json as values" });
    sql.push(" from thread_store.thread");
}

/// The columns of `checkpoint`, but as if it had no other channels than these, so that the others
/// are not looked up.
fn push_columns(sql: &mut QueryBuilder<Postgres>, channels: &Channels) {
    let Channels::Only(names) = channels else {
        sql.push("*");
        return;
    };
    sql.push(
        "thread_id, checkpoint_id, parent_checkpoint_id, seq, created_at, metadata, branch, \
         messages_start, ( \
             select coalesce(jsonb_object_agg(key, value), '{}') \
             from jsonb_each(channels) where key = any(",
    );
    sql.push_bind(names.clone());
    sql.push(") ) as channels, case when ").push_bind(names.iter().any(|name| name == MESSAGES));
    sql.push(" then messages_end end as messages_end");
}

fn push_selection(sql: &mut QueryBuilder<Postgres>, selection: &Selection) {
    sql.push("checkpoint.thread_id = thread.thread_id and checkpoint.checkpoint_ns = ");
    sql.push_bind(selection.checkpoint_ns.clone());
    if let Some(checkpoint_id) = selection.checkpoint_id {
        sql.push(" and checkpoint.checkpoint_id = ").push_bind(checkpoint_id);
    }
    if let Some(before) = selection.before {
        sql.push(" and checkpoint.checkpoint_id < ").push_bind(before);
    }
    if !selection.metadata.is_empty() {
        sql.push(
            " and checkpoint.metadata || jsonb_build_object('thread_id', thread.thread_id) @> ",
        );
        push_jsonb(sql, &selection.metadata.to_text());
    }
}
