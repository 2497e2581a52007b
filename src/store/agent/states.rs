//! Pages of an agent's checkpoints, with the rows of their values.

use std::sync::Arc;

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::agents_thread;
use crate::store::operation::{Asked, Operation, column, query};
use crate::store::pool::Lease;
use crate::store::sql::{Order, Statement, index};
use crate::store::state::ReadStates;
use crate::store::{Channels, Error};
use crate::time::Timestamp;

/// Pages of checkpoints of the threads in a scope, one row per checkpoint. The scope's condition on the
/// row of the thread is checked first; then one range of the agent's key is read.
///
/// A thread without checkpoints has one row. The sizes of values are added up first, and values
/// beyond `max_bytes` are not read. A value that is in the checkpoint has no row of its own, or an
/// equal one; `true` in the checkpoint may mean that the value has a row. If the table has no
/// column `task_path`, the name means the column of `absent`.
pub(in crate::store) static STATES: Statement = Statement::new(
    "agent/states",
    concat!(
        "
    select asked.n, thread.created_at as thread_created_at, page.place, page.bytes, page.fits,
        page.checkpoint_id, page.parent_checkpoint_id, page.checkpoint::text as checkpoint,
        page.metadata::text as metadata, stored.channels, stored.types, stored.blobs,
        written.task_ids, written.task_paths, written.channels as write_channels,
        written.types as write_types, written.blobs as write_blobs, sent.types as send_types,
        sent.blobs as send_blobs
    from unnest(
        $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::text[], $6::text[],
        $7::text[]::jsonb[], $8::bigint[], $9::bool[], $10::text[]::jsonb[], $11::bigint[],
        $12::bigint[]
    ) with ordinality as asked (
        tenant, filter, thread_id, checkpoint_ns, oldest, newest,
        metadata, max_states, with_values, selected, max_bytes,
        min_states, n
    )",
        agents_thread!(),
        r"
    left join lateral (
        select *, bytes <= asked.max_bytes
            or (place <= asked.min_states and bytes <= 67108864) as fits
        from (
            select saved.*, stored.places as value_places, written.places as write_places,
                row_number() over page as place,
                (sum(
                    300 + pg_column_size(saved.metadata) + pg_column_size(saved.checkpoint)
                    + stored.size + written.size
                ) over page)::bigint as bytes
            from (
                select saved.checkpoint_id, saved.parent_checkpoint_id, saved.checkpoint,
                    saved.metadata, case
                        when jsonb_typeof(saved.checkpoint -> 'channel_versions') = 'object'
                        then saved.checkpoint -> 'channel_versions'
                    end as versions
                from {agent}.checkpoints as saved
                where saved.thread_id = thread.agent_thread_id
                    and saved.checkpoint_ns = asked.checkpoint_ns
                    and saved.checkpoint_id >= asked.oldest
                    and saved.checkpoint_id <= asked.newest
                    and (
                        asked.metadata is null
                        or saved.metadata || jsonb_build_object('thread_id', asked.thread_id)
                            @> asked.metadata
                    )
                order by saved.checkpoint_id {direction}
                limit asked.max_states
            ) as saved
            cross join lateral (
                select array_agg(blob.place) as places, coalesce(sum(blob.size), 0) as size
                from jsonb_each_text(saved.versions) as version
                cross join lateral (
                    select stored.ctid as place, octet_length(stored.blob) as size
                    from {agent}.checkpoint_blobs as stored
                    where stored.thread_id = thread.agent_thread_id
                        and stored.checkpoint_ns = asked.checkpoint_ns
                        and stored.channel = version.key
                        and stored.version = version.value
                    offset 0
                ) as blob
                where (
                        version.key like '\_\_%'
                        or version.key like 'branch:%'
                        or version.key like 'join:%'
                        or (
                            asked.with_values
                            and (asked.selected is null or asked.selected ? version.key)
                        )
                    )
                    and coalesce(
                        saved.checkpoint -> 'channel_values' -> version.key, 'true'
                    ) = 'true'
            ) as stored
            cross join lateral (
                select array_agg(written.ctid) as places,
                    coalesce(sum(octet_length(written.blob)), 0) as size
                from {agent}.checkpoint_writes as written
                where written.thread_id = thread.agent_thread_id
                    and written.checkpoint_ns = asked.checkpoint_ns
                    and written.checkpoint_id = saved.checkpoint_id
            ) as written
            window page as (order by saved.checkpoint_id {direction})
        ) as saved
    ) as page on true
    left join lateral (
        select array_agg(blob.channel) as channels,
            array_agg(blob.type) as types,
            array_agg(blob.blob) as blobs
        from (
            select *
            from {agent}.checkpoint_blobs as stored
            where stored.ctid = any(page.value_places)
            offset 0
        ) as blob
        where page.fits
            and blob.thread_id = thread.agent_thread_id
            and blob.checkpoint_ns = asked.checkpoint_ns
            and blob.version = page.versions ->> blob.channel
    ) as stored on true
    left join lateral (
        select array_agg(row.task_id order by row.task_path, row.task_id, row.idx) as task_ids,
            array_agg(row.task_path order by row.task_path, row.task_id, row.idx) as task_paths,
            array_agg(row.channel order by row.task_path, row.task_id, row.idx) as channels,
            array_agg(row.type order by row.task_path, row.task_id, row.idx) as types,
            array_agg(row.blob order by row.task_path, row.task_id, row.idx) as blobs
        from (select '' as task_path) as absent
        cross join lateral (
            select thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type,
                blob
            from {agent}.checkpoint_writes as written
            where written.ctid = any(page.write_places)
            offset 0
        ) as row
        where page.fits
            and row.thread_id = thread.agent_thread_id
            and row.checkpoint_ns = asked.checkpoint_ns
            and row.checkpoint_id = page.checkpoint_id
    ) as written on true
    left join lateral (
        select array_agg(row.type order by row.task_path, row.task_id, row.idx) as types,
            array_agg(row.blob order by row.task_path, row.task_id, row.idx) as blobs
        from (select '' as task_path) as absent
        cross join lateral (
            select task_id, task_path, idx, type, blob
            from {agent}.checkpoint_writes as written
            where written.thread_id = thread.agent_thread_id
                and written.checkpoint_ns = asked.checkpoint_ns
                and written.checkpoint_id = page.parent_checkpoint_id
                and written.channel = '__pregel_tasks'
        ) as row
        where page.fits and page.checkpoint -> 'v' < '4'
    ) as sent on true
    order by asked.n, page.place"
    ),
);

/// A page to read.
#[derive(Debug, Clone)]
pub(in crate::store) struct ReadAgentStates {
    pub(in crate::store) asked: Asked,
    pub(in crate::store) thread_id: Uuid,
    pub(in crate::store) checkpoint_ns: String,
    pub(in crate::store) oldest: Uuid,
    pub(in crate::store) newest: Uuid,
    pub(in crate::store) metadata: Option<String>,
    pub(in crate::store) limit: i64,
    pub(in crate::store) channels: Channels,
    pub(in crate::store) max_bytes: i64,
    pub(in crate::store) min_states: i64,
}

/// Rows of `checkpoint_blobs` or `checkpoint_writes`: channels, types, and bytes.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) channels: Vec<String>,
    pub(super) types: Vec<Option<String>>,
    pub(super) blobs: Vec<Option<Vec<u8>>>,
}

/// A checkpoint as it is stored.
#[derive(Debug)]
pub(super) struct Saved {
    pub(super) checkpoint_id: String,
    pub(super) parent_checkpoint_id: Option<String>,
    pub(super) document: String,
    pub(super) metadata: String,
    pub(super) values: Rows,
    pub(super) writes: Rows,
    pub(super) task_ids: Vec<String>,
    pub(super) task_paths: Vec<String>,
    pub(super) send_types: Vec<Option<String>>,
    pub(super) send_blobs: Vec<Option<Vec<u8>>>,
}

/// A page as it is stored.
#[derive(Debug)]
pub(in crate::store) struct SavedPage {
    pub(super) thread_created_at: Timestamp,
    pub(super) saved: Vec<Saved>,
    /// Bytes of all checkpoints of the page.
    pub(super) bytes: i64,
    /// Whether checkpoints were left out because of their size.
    pub(super) is_cut: bool,
}

/// `None`: there is no such thread, or it is not an agent's thread.
impl Operation for ReadAgentStates {
    type Answer = Option<SavedPage>;
    const KIND: &'static str = "read_agent_state";

    fn asked(&self) -> &Asked {
        &self.asked
    }

    fn weight(&self) -> usize {
        4 + usize::try_from(self.limit / 4).unwrap_or(0)
    }

    async fn run(
        lease: &mut Lease,
        reads: &[&ReadAgentStates],
    ) -> Result<Vec<Result<Self::Answer, Error>>, Error> {
        let Some(first) = reads.first() else { return Ok(Vec::new()) };
        let query = query(&STATES, &first.asked, reads)
            .bind(column(reads, |read| read.thread_id))
            .bind(column(reads, |read| read.checkpoint_ns.as_str()))
            .bind(column(reads, |read| read.oldest.to_string()))
            .bind(column(reads, |read| read.newest.to_string()))
            .bind(column(reads, |read| read.metadata.as_deref()))
            .bind(column(reads, |read| read.limit))
            .bind(column(reads, |read| read.channels != Channels::None))
            .bind(column(reads, ReadAgentStates::selected))
            .bind(column(reads, |read| read.max_bytes))
            .bind(column(reads, |read| read.min_states));
        let mut answers: Vec<_> = reads.iter().map(|_| Ok(None)).collect();
        for row in lease.fetch_all(query).await? {
            let Some(Ok(answer)) = answers.get_mut(index(&row, "n")?) else { continue };
            let page = match answer {
                Some(page) => page,
                None => answer.insert(SavedPage {
                    thread_created_at: row.try_get("thread_created_at")?,
                    saved: Vec::new(),
                    bytes: 0,
                    is_cut: false,
                }),
            };
            page.add(&row)?;
        }
        Ok(answers)
    }
}

impl ReadAgentStates {
    /// The same request for an agent's thread.
    pub(super) fn of(read: ReadStates) -> ReadAgentStates {
        ReadAgentStates {
            asked: read.asked,
            thread_id: read.thread_id,
            checkpoint_ns: read.checkpoint_ns,
            oldest: read.oldest,
            newest: read.newest,
            metadata: read.metadata,
            limit: read.limit,
            channels: read.channels,
            max_bytes: read.max_bytes,
            min_states: 0,
        }
    }

    /// The newest states of threads, each with its tenant.
    pub(in crate::store) fn newest(
        asked: &Asked,
        schema: Arc<str>,
        threads: &[(i64, Uuid)],
        channels: &Channels,
        max_bytes: i64,
    ) -> Vec<ReadAgentStates> {
        let mut asked = asked.clone();
        asked.key.holes.agent = Some(schema);
        asked.key.holes.criteria = None;
        asked.key.holes.order = Some(Order { key: "", r#type: "", ascending: false });
        let read = |(tenant, thread_id): &(i64, Uuid)| ReadAgentStates {
            asked: Asked { tenant: *tenant, ..asked.clone() },
            thread_id: *thread_id,
            checkpoint_ns: String::new(),
            oldest: Uuid::nil(),
            newest: Uuid::max(),
            metadata: None,
            limit: 1,
            channels: channels.clone(),
            max_bytes,
            min_states: 0,
        };
        threads.iter().map(read).collect()
    }

    /// The names of the selected channels, as a JSON list. `None`: all.
    fn selected(&self) -> Option<String> {
        match &self.channels {
            Channels::Only(names) => Some(serde_json::Value::from(names.as_slice()).to_string()),
            Channels::None | Channels::All => None,
        }
    }
}

impl SavedPage {
    /// Whether checkpoints were left out because of their size.
    pub(in crate::store) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Bytes of all checkpoints of the page.
    pub(in crate::store) fn bytes(&self) -> i64 {
        self.bytes
    }

    fn add(&mut self, row: &PgRow) -> Result<(), sqlx::Error> {
        let Some(checkpoint_id) = row.try_get("checkpoint_id")? else { return Ok(()) };
        self.bytes = row.try_get("bytes")?;
        if !row.try_get::<bool, _>("fits")? {
            self.is_cut = true;
            return Ok(());
        }
        self.saved.push(Saved {
            checkpoint_id,
            parent_checkpoint_id: row.try_get("parent_checkpoint_id")?,
            document: row.try_get("checkpoint")?,
            metadata: row.try_get("metadata")?,
            values: Rows::read(row, ["channels", "types", "blobs"])?,
            writes: Rows::read(row, ["write_channels", "write_types", "write_blobs"])?,
            task_ids: row.try_get::<Option<_>, _>("task_ids")?.unwrap_or_default(),
            task_paths: row.try_get::<Option<_>, _>("task_paths")?.unwrap_or_default(),
            send_types: row.try_get::<Option<_>, _>("send_types")?.unwrap_or_default(),
            send_blobs: row.try_get::<Option<_>, _>("send_blobs")?.unwrap_or_default(),
        });
        Ok(())
    }
}

impl Rows {
    fn read(row: &PgRow, [channels, types, blobs]: [&str; 3]) -> Result<Rows, sqlx::Error> {
        Ok(Rows {
            channels: row.try_get::<Option<_>, _>(channels)?.unwrap_or_default(),
            types: row.try_get::<Option<_>, _>(types)?.unwrap_or_default(),
            blobs: row.try_get::<Option<_>, _>(blobs)?.unwrap_or_default(),
        })
    }

    /// Channel, type and bytes of each row.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str, &[u8])> {
        let values = self.types.iter().zip(&self.blobs).map(|(r#type, blob)| {
            (r#type.as_deref().unwrap_or("empty"), blob.as_deref().unwrap_or_default())
        });
        self.channels
            .iter()
            .zip(values)
            .map(|(channel, (r#type, blob))| (channel.as_str(), r#type, blob))
    }
}
