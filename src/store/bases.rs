//! What updates of state are written onto.

use chrono::{DateTime, Utc};
use indexmap::IndexMap;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{FromRow, QueryBuilder, Row};
use uuid::Uuid;

use super::Update;
use super::filter::Shape;
use super::lanes::place;
use super::pool::Connection;
use super::storage::state_bytes;
use crate::auth::Scope;
use crate::json::Raw;
use crate::messages::ids_to_look_up;

/// A thread that is to be written to, as it was at one moment.
#[derive(FromRow)]
pub(super) struct Origin {
    /// Tells the thread from a later one with the same id.
    pub(super) created_at: DateTime<Utc>,
    /// Checkpoints it has had. Writing another needs it to have had no more.
    pub(super) last_seq: i64,
    /// Time of the next checkpoint: now, but later than the one before.
    pub(super) moment: DateTime<Utc>,
    pub(super) graph_id: Option<Raw>,
    /// What its state takes, if that was measured.
    #[sqlx(default)]
    pub(super) state_bytes: i64,
    #[sqlx(skip)]
    pub(super) base: Option<Base>,
}

/// A checkpoint that is written onto.
#[derive(FromRow)]
pub(super) struct Base {
    pub(super) checkpoint_id: Uuid,
    pub(super) seq: i64,
    pub(super) branch: i64,
    #[sqlx(json)]
    pub(super) channels: IndexMap<String, i64>,
    pub(super) messages_start: Option<i64>,
    messages_end: Option<i64>,
    pub(super) step: i64,
    /// Whether its branch goes on behind it.
    pub(super) is_followed: bool,
    /// Those of its messages that the update names, with their positions.
    #[sqlx(skip)]
    pub(super) present: Vec<(String, i64, Raw)>,
}

impl Base {
    /// Where its messages begin and end, if it has any.
    pub(super) fn messages(&self) -> Option<(i64, i64)> {
        self.messages_start.zip(self.messages_end)
    }

    pub(super) fn messages_end(&self) -> i64 {
        self.messages_end.unwrap_or(0)
    }
}

/// An update with the thread it is for.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) thread_id: Uuid,
    /// `None`: the transaction under way has made the thread.
    pub(super) scope: Option<&'a Scope>,
    pub(super) update: &'a Update,
    /// `None`: as much as it takes.
    pub(super) room: Option<Room>,
}

/// How large the state of a thread may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Bytes in all.
    pub(super) most: i64,
    /// Those that are taken. `None`: that has to be measured.
    pub(super) taken: Option<i64>,
}

/// Reads what these updates, whose scopes must be of one shape, are written onto, in their order.
/// `None`: no such thread.
pub(super) async fn origins(
    connection: &mut Connection,
    shape: &Shape,
    asked: &[Asked<'_>],
) -> Result<Vec<Option<Origin>>, sqlx::Error> {
    let named = asked.iter().map(|asked| {
        let named = ids_to_look_up(asked.update.messages.as_deref().unwrap_or_default());
        (!named.is_empty()).then_some(Json(named))
    });
    let mut sql = QueryBuilder::new(
        "select asked.n, thread.created_at, thread.last_seq, \
             greatest(clock_timestamp(), thread.state_updated_at + interval '1 microsecond') \
                 as moment, \
             thread.metadata -> 'graph_id' as graph_id, base.*, present.messages",
    );
    let is_measured = asked.iter().any(|asked| asked.room.is_some_and(|room| room.taken.is_none()));
    if is_measured {
        sql.push(", ").push(state_bytes()).push(" as state_bytes");
    }
    sql.push(" from unnest(");
    sql.push_bind(asked.iter().map(|asked| asked.thread_id).collect::<Vec<_>>());
    let namespaces = asked.iter().map(|asked| asked.update.checkpoint_ns.clone());
    sql.push(", ").push_bind(namespaces.collect::<Vec<_>>());
    let ids = asked.iter().map(|asked| asked.update.checkpoint_id.unwrap_or(Uuid::max()));
    sql.push(", ").push_bind(ids.collect::<Vec<_>>());
    sql.push(", ").push_bind(named.collect::<Vec<_>>());
    shape.push_values(&mut sql, asked.iter().filter_map(|asked| asked.scope));
    sql.push(") with ordinality as asked (thread_id, checkpoint_ns, checkpoint_id, named");
    shape.push_names(&mut sql);
    sql.push(
        ", n) cross join lateral ( \
             select * from thread_store.thread where thread.thread_id = asked.thread_id and ",
    );
    shape.push_visible(&mut sql);
    // `offset 0` keeps the planner from using a wider range of another index.
    sql.push(
        " offset 0 ) as thread \
         left join lateral ( \
             select checkpoint.checkpoint_id, seq, branch, channels, messages_start, \
                 messages_end, coalesce((checkpoint.metadata ->> 'step')::bigint, -1) as step, \
                 exists ( \
                     select from thread_store.checkpoint as later \
                     where later.thread_id = checkpoint.thread_id \
                         and later.checkpoint_ns = checkpoint.checkpoint_ns \
                         and later.checkpoint_id > checkpoint.checkpoint_id \
                         and later.branch = checkpoint.branch \
                 ) as is_followed \
             from thread_store.checkpoint \
             where thread.last_seq > 0 and checkpoint.thread_id = thread.thread_id \
                 and checkpoint.checkpoint_ns = asked.checkpoint_ns \
                 and checkpoint.checkpoint_id <= asked.checkpoint_id \
             order by checkpoint.checkpoint_id desc limit 1 \
         ) as base on true \
         left join lateral ( \
             select json_agg(json_build_array(named.id, found.position, found.message)) as messages \
             from jsonb_array_elements_text(asked.named) as named (id) \
             cross join lateral ( \
                 with recursive lineage (branch, seq, position) as ( \
                     select base.branch, base.seq, base.messages_end \
                     union all \
                     select branch.parent_branch, branch.fork_seq, \
                         least(branch.fork_end, lineage.position) \
                     from lineage \
                     join thread_store.branch \
                         on branch.thread_id = thread.thread_id \
                         and branch.branch = lineage.branch \
                 ) \
                 select written.position, written.message \
                 from ( \
                     select branch, position, seq, message from thread_store.message \
                     where message.thread_id = thread.thread_id \
                         and message.message_id = named.id \
                     offset 0 \
                 ) as written \
                 join lineage \
                     on lineage.branch = written.branch \
                     and written.position >= base.messages_start \
                     and written.position < lineage.position \
                     and written.seq <= lineage.seq \
                 order by written.seq desc, written.position desc limit 1 \
             ) as found \
             where found.message is not null \
         ) as present on asked.named is not null and base.messages_end is not null",
    );
    let mut origins: Vec<_> = asked.iter().map(|_| None).collect();
    for row in sql.build().fetch_all(connection).await? {
        if let Some(origin) = origins.get_mut(place(&row, 0)?) {
            *origin = Some(read(&row)?);
        }
    }
    Ok(origins)
}

fn read(row: &PgRow) -> Result<Origin, sqlx::Error> {
    let mut origin = Origin::from_row(row)?;
    if row.try_get::<Option<Uuid>, _>("checkpoint_id")?.is_some() {
        let mut base = Base::from_row(row)?;
        let present: Option<Json<_>> = row.try_get("messages")?;
        base.present = present.map(|Json(present)| present).unwrap_or_default();
        origin.base = Some(base);
    }
    Ok(origin)
}
