//! The stored messages of a thread, as far as an update of them has to look.

use std::collections::HashMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::WriteError;
use super::writes::Base;
use crate::json::Raw;
use crate::messages::{self, Change, Plan};

/// What an update does to the messages of `base`. Looks up only the messages it names.
pub(super) async fn plan(
    connection: &mut PgConnection,
    thread_id: Uuid,
    base: Option<&Base>,
    changes: Vec<Change>,
) -> Result<Plan, WriteError> {
    let named = messages::ids_to_look_up(&changes);
    let present = match base {
        Some(base) if base.messages_end.is_some() && !named.is_empty() => {
            present_messages(connection, thread_id, base, &named).await?
        }
        _ => HashMap::new(),
    };
    let positions = present
        .iter()
        .map(|(id, (position, _))| (id.clone(), *position))
        .collect::<HashMap<_, _>>();
    let mut plan = messages::reduce(changes, &positions, base.map_or(0, Base::messages_end))?;
    // Clients that send the whole conversation each time must not make it grow each time.
    plan.rows.retain(|row| {
        let stored = present.get(&row.id).filter(|(position, _)| *position == row.position);
        stored.map(|(_, message)| message.text()) != row.message.as_ref().map(Raw::text)
            || stored.is_none()
    });
    Ok(plan)
}

/// The messages of `base` with one of these ids: their positions and contents.
async fn present_messages(
    connection: &mut PgConnection,
    thread_id: Uuid,
    base: &Base,
    ids: &[&str],
) -> Result<HashMap<String, (i64, Raw)>, sqlx::Error> {
    let rows: Vec<(String, i64, Option<Raw>)> = sqlx::query_as(
        "with recursive lineage (branch, seq, position) as ( \
             select $2::bigint, $3::bigint, $5::bigint \
             union all \
             select branch.parent_branch, branch.fork_seq, \
                 least(branch.fork_end, lineage.position) \
             from lineage \
             join thread_store.branch \
                 on branch.thread_id = $1 and branch.branch = lineage.branch \
         ), \
         named as materialized ( \
             select branch, position, seq from thread_store.message \
             where thread_id = $1 and message_id = any($6::text[]) \
         ), \
         latest as ( \
             select distinct on (named.position) named.branch, named.position, named.seq \
             from named \
             join lineage \
                 on lineage.branch = named.branch \
                 and named.position >= $4 \
                 and named.position < lineage.position \
                 and named.seq <= lineage.seq \
             order by named.position, named.seq desc \
         ) \
         select message.message_id, message.position, message.message \
         from latest \
         join thread_store.message using (branch, position, seq) \
         where message.thread_id = $1",
    )
    .bind(thread_id)
    .bind(base.branch)
    .bind(base.seq)
    .bind(base.messages_start.unwrap_or(0))
    .bind(base.messages_end())
    .bind(ids)
    .fetch_all(connection)
    .await?;
    let present = rows.into_iter();
    let present =
        present.filter_map(|(id, at, message)| message.map(|message| (id, (at, message))));
    Ok(present.collect())
}
