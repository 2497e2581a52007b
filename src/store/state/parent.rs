//! Reads the thread and the parent checkpoint of an update of state.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use indexmap::IndexMap;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use uuid::Uuid;

use super::update::Append;
use crate::json::Raw;
use crate::messages::{self, Change, Plan, Refused, ids_to_look_up};
use crate::store::Error;
use crate::store::operation::{column, query};
use crate::store::pool::Lease;
use crate::store::sql::{Statement, index, later, visible_thread};

/// Threads with the parent checkpoint of an update, and those of its messages that the update
/// names.
///
/// It takes no lock: a checkpoint is inserted only if the thread has not changed since.
pub(in crate::store) static PARENT: Statement = Statement::new(
    "state/parent",
    concat!(
        "
    select asked.n, thread.created_at, thread.last_seq, thread.pruned, thread.stored_bytes,
        thread.agent_thread_id is not null as is_agents,
        greatest(statement_timestamp(), ",
        later!("thread.state_updated_at"),
        ") as moment,
        thread.metadata ->> 'graph_id' as graph_id,
        parent.checkpoint_id, parent.seq, parent.branch, parent.channels, parent.messages_start,
        parent.messages_end, parent.ancestors, parent.state_bytes,
        coalesce((parent.metadata ->> 'step')::bigint, -1) as step,
        parent.is_followed, named.messages
    from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::uuid[], $6::jsonb[])
        with ordinality as asked (
            tenant, filter, thread_id, checkpoint_ns, checkpoint_id, message_ids, n
        )",
        visible_thread!(),
        "
    left join lateral (
        select checkpoint.*, exists (
            select
            from thread_store.checkpoint as later
            where later.tenant = asked.tenant
                and later.thread_id = asked.thread_id
                and later.checkpoint_ns = asked.checkpoint_ns
                and later.checkpoint_id > checkpoint.checkpoint_id
                and later.branch = checkpoint.branch
        ) as is_followed
        from thread_store.checkpoint
        where thread.last_seq > 0
            and checkpoint.tenant = asked.tenant
            and checkpoint.thread_id = asked.thread_id
            and checkpoint.checkpoint_ns = asked.checkpoint_ns
            and checkpoint.checkpoint_id <= asked.checkpoint_id
        order by checkpoint.checkpoint_id desc
        limit 1
    ) as parent on true
    left join lateral (
        select json_agg(json_build_array(named.id, found.position, found.message)) as messages
        from jsonb_array_elements_text(asked.message_ids) as named (id)
        cross join lateral (
            select written.position, written.message
            from thread_store.message as written
            where written.tenant = asked.tenant
                and written.thread_id = asked.thread_id
                and written.message_id = named.id
                and written.position >= parent.messages_start
                and (
                    (
                        written.branch = parent.branch
                        and written.position < parent.messages_end
                        and written.seq <= parent.seq
                    )
                    or exists (
                        select
                        from jsonb_array_elements(parent.ancestors) as ancestor
                        where written.branch = (ancestor ->> 0)::bigint
                            and written.seq <= (ancestor ->> 1)::bigint
                            and written.position < (ancestor ->> 2)::bigint
                    )
                )
            order by written.seq desc
            limit 1
        ) as found
        where found.message is not null
    ) as named on asked.message_ids is not null",
    ),
);

/// A snapshot of a thread before a write.
#[derive(Debug)]
pub(super) struct ThreadHead {
    /// Distinguishes the thread from a later one with the same id.
    pub(super) created_at: DateTime<Utc>,
    /// The number of its last checkpoint.
    pub(super) last_seq: i64,
    /// The number of prunes of its history.
    pub(super) pruned: i64,
    /// Bytes of its state, including its history.
    pub(super) stored_bytes: i64,
    /// Time of the next checkpoint: now, but later than the previous one.
    pub(super) moment: DateTime<Utc>,
    pub(super) graph_id: Option<String>,
    /// Whether an agent writes its state.
    pub(super) is_agents: bool,
    pub(super) parent: Option<Parent>,
}

/// A branch that a checkpoint inherits messages from: its number, the newest visible seq, and the
/// end position of its messages.
pub(super) type Ancestor = (i64, i64, i64);

/// The parent of a new checkpoint.
#[derive(Debug)]
pub(super) struct Parent {
    pub(super) checkpoint_id: Uuid,
    pub(super) seq: i64,
    pub(super) branch: i64,
    /// For each channel the number of the row with its value, and the bytes of the value.
    pub(super) channels: IndexMap<String, (i64, i64)>,
    /// The start and the end of its messages, if it has any.
    pub(super) messages: Option<(i64, i64)>,
    /// Branch, seq and end of the branches that it inherits from, nearest first.
    pub(super) ancestors: Vec<Ancestor>,
    pub(super) state_bytes: i64,
    pub(super) step: i64,
    /// Whether its branch has later checkpoints.
    pub(super) is_followed: bool,
    /// The messages that the update names, by id, with their positions.
    named: HashMap<String, (i64, Raw)>,
}

impl ThreadHead {
    /// Reads the heads of the threads of these updates, in their order. `None`: no such thread.
    pub(super) async fn read_all(
        lease: &mut Lease,
        appends: &[&Append],
    ) -> Result<Vec<Option<ThreadHead>>, Error> {
        let Some(first) = appends.first() else { return Ok(Vec::new()) };
        let query = query(&PARENT, &first.asked, appends)
            .bind(column(appends, |append| append.thread_id))
            .bind(column(appends, |append| append.update.checkpoint_ns.as_str()))
            .bind(column(appends, |append| append.update.checkpoint_id.unwrap_or(Uuid::max())))
            .bind(column(appends, |append| named(append.update.messages.as_deref())));
        let mut heads: Vec<_> = appends.iter().map(|_| None).collect();
        for row in lease.fetch_all(query).await? {
            if let Some(head) = heads.get_mut(index(&row, "n")?) {
                *head = Some(ThreadHead::read(&row)?);
            }
        }
        Ok(heads)
    }

    fn read(row: &PgRow) -> Result<ThreadHead, sqlx::Error> {
        let checkpoint_id: Option<Uuid> = row.try_get("checkpoint_id")?;
        let parent = checkpoint_id.map(|id| Parent::read(row, id)).transpose()?;
        Ok(ThreadHead {
            created_at: row.try_get("created_at")?,
            last_seq: row.try_get("last_seq")?,
            pruned: row.try_get("pruned")?,
            stored_bytes: row.try_get("stored_bytes")?,
            moment: row.try_get("moment")?,
            graph_id: row.try_get("graph_id")?,
            is_agents: row.try_get("is_agents")?,
            parent,
        })
    }
}

/// The ids on whose presence the effect of an update depends. `None`: there are none.
fn named(changes: Option<&[Change]>) -> Option<Json<Vec<&str>>> {
    let ids = ids_to_look_up(changes.unwrap_or_default());
    (!ids.is_empty()).then_some(Json(ids))
}

impl Parent {
    fn read(row: &PgRow, checkpoint_id: Uuid) -> Result<Parent, sqlx::Error> {
        let Json(channels) = row.try_get("channels")?;
        let start: Option<i64> = row.try_get("messages_start")?;
        let end: Option<i64> = row.try_get("messages_end")?;
        let ancestors: Option<Json<_>> = row.try_get("ancestors")?;
        let named: Option<Json<Vec<(String, i64, Raw)>>> = row.try_get("messages")?;
        let named = named.map(|Json(named)| named).unwrap_or_default();
        Ok(Parent {
            checkpoint_id,
            seq: row.try_get("seq")?,
            branch: row.try_get("branch")?,
            channels,
            messages: start.zip(end),
            ancestors: ancestors.map(|Json(ancestors)| ancestors).unwrap_or_default(),
            state_bytes: row.try_get("state_bytes")?,
            step: row.try_get("step")?,
            is_followed: row.try_get("is_followed")?,
            named: named.into_iter().map(|(id, at, message)| (id, (at, message))).collect(),
        })
    }

    pub(super) fn messages_end(&self) -> i64 {
        self.messages.map_or(0, |(_, end)| end)
    }
}

/// The effect of an update on the messages of its parent, and the bytes by which they grow.
pub(super) fn plan<'a>(
    changes: &'a [Change],
    parent: Option<&Parent>,
) -> Result<(Plan<'a>, i64), Refused> {
    let none = HashMap::new();
    let named = parent.map_or(&none, |parent| &parent.named);
    let positions = named.iter().map(|(id, (at, _))| (id.clone(), *at)).collect::<HashMap<_, _>>();
    let mut plan = messages::reduce(changes, &positions, parent.map_or(0, Parent::messages_end))?;
    let stored: HashMap<_, _> =
        named.values().map(|(position, message)| (*position, message.text())).collect();
    let mut growth = 0;
    // Unchanged messages are left out: clients may send the whole conversation each time.
    plan.rows.retain(|row| {
        let (before, after) = (
            stored.get(&row.position).copied(),
            row.message.as_ref().map(|message| message.text()),
        );
        growth += listed(after) - listed(before);
        before.is_none() || before != after
    });
    Ok((plan, growth))
}

/// Bytes of a message in a list.
fn listed(message: Option<&str>) -> i64 {
    message.map_or(0, |message| i64::try_from(message.len() + 1).unwrap_or(i64::MAX))
}
