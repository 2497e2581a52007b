//! The sources of digests: the messages of the newest state, and the title in the metadata.

use chrono::{DateTime, Utc};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::digest::Digest;
use crate::store::Error;
use crate::store::sql::Statement;
use crate::store::sql::state::{newest_checkpoint, visible_messages};
use crate::store::summary::Summary;
use crate::time::Timestamp;

/// Maximum bytes of messages whose digests are made on the calling thread.
const IN_PLACE: usize = 65_536;

/// The title in the metadata of `thread`.
macro_rules! named {
    () => {
        "case when jsonb_typeof(thread.metadata -> 'title') = 'string' \
         then left(thread.metadata ->> 'title', 1000) end"
    };
}

/// Whether `digest`, a row or null, is up to date with `thread`. A thread without state and title needs no
/// digest.
macro_rules! is_current {
    () => {
        concat!(
            "case when digest.seq is null then thread.last_seq = 0 and (",
            $crate::store::digest::named!(),
            ") is null else digest.created_at = thread.created_at and digest.seq = thread.last_seq \
             and digest.named is not distinct from (",
            $crate::store::digest::named!(),
            ") end"
        )
    };
}

/// The sources of the threads that `$threads` selects as `thread`, in the order of `place`. Messages are
/// read only for `$wanted` threads, up to `$max` bytes in total.
macro_rules! sources {
    ($wanted:literal, $max:literal, $threads:expr) => {
        concat!(
            "
    select thread.tenant, thread.thread_id, thread.created_at, thread.last_seq,
        thread.state_bytes, thread.named, thread.parts, thread.is_current,
        thread.agent_thread_id is not null as is_agents, thread.state_updated_at,
        thread.is_read, coalesce(messages.text, '') as messages, moment.last_message_at
    from (
        select *, ",
            $wanted,
            " and (
                sum(case when ",
            $wanted,
            " then state_bytes else 0 end) over (order by place) <= ",
            $max,
            " or place = 1
            ) as is_read
        from (
            select thread.*, digest.parts, ",
            $crate::store::digest::is_current!(),
            " as is_current, ",
            $crate::store::digest::named!(),
            " as named
            from (",
            $threads,
            "
            ) as thread
            cross join lateral (select thread.tenant) as asked
            left join thread_store.digest
                on digest.tenant = asked.tenant and digest.thread_id = thread.thread_id
        ) as thread
    ) as thread
    cross join lateral (select thread.tenant) as asked",
            newest_checkpoint!("thread.is_read and thread.state_bytes <= 67108864"),
            "
    left join lateral (
        select string_agg(visible.message::text, ',') as text, max(visible.seq) as seq
        from (",
            visible_messages!(),
            "
        ) as visible
        where visible.message is not null
    ) as messages on head.messages_end is not null
    left join lateral (
        select coalesce((
            select checkpoint.created_at
            from thread_store.checkpoint
            where checkpoint.tenant = asked.tenant
                and checkpoint.thread_id = thread.thread_id
                and checkpoint.checkpoint_ns = ''
                and checkpoint.checkpoint_id <= head.checkpoint_id
                and checkpoint.seq <= messages.seq
            order by checkpoint.checkpoint_id desc
            limit 1
        ), head.created_at) as last_message_at
    ) as moment on messages.seq is not null
    order by thread.place"
        )
    };
}

pub(in crate::store) use {is_current, named, sources};

/// The sources of threads by their ids, for the task that makes digests.
pub(in crate::store) static READ: Statement = Statement::new(
    "digest/read",
    sources!(
        "not thread.is_current",
        "8388608",
        "
                select thread.*, asked.place
                from unnest($1::bigint[], $2::uuid[])
                    with ordinality as asked (tenant, thread_id, place)
                join thread_store.thread
                    on thread.tenant = asked.tenant and thread.thread_id = asked.thread_id"
    ),
);

/// The source of a digest.
#[derive(Debug, Clone)]
pub(in crate::store) struct Source {
    pub(in crate::store) tenant: i64,
    pub(in crate::store) thread_id: Uuid,
    pub(super) created_at: DateTime<Utc>,
    pub(super) seq: i64,
    pub(super) state_bytes: i64,
    /// The title in the metadata.
    pub(in crate::store) named: Option<String>,
    /// Whether its state is in the tables of an agent.
    pub(super) is_agents: bool,
    /// When its state last changed.
    pub(super) state_updated_at: DateTime<Utc>,
    /// The messages of the newest state, a JSON list. `None`: they were not read.
    pub(in crate::store) messages: Option<String>,
    /// When a message was last written, unless the thread is an agent's.
    last_message_at: Option<DateTime<Utc>>,
    /// The hashes of the parts of the stored digest.
    pub(super) parts: Option<Vec<u8>>,
    /// Whether the stored digest is up to date.
    pub(super) is_current: bool,
}

impl Source {
    pub(super) fn from_row(row: &PgRow) -> Result<Source, sqlx::Error> {
        let is_read: bool = row.try_get("is_read")?;
        let messages: &str = row.try_get("messages")?;
        Ok(Source {
            tenant: row.try_get("tenant")?,
            thread_id: row.try_get("thread_id")?,
            created_at: row.try_get("created_at")?,
            seq: row.try_get("last_seq")?,
            state_bytes: row.try_get("state_bytes")?,
            named: row.try_get("named")?,
            is_agents: row.try_get("is_agents")?,
            state_updated_at: row.try_get("state_updated_at")?,
            messages: is_read.then(|| format!("[{messages}]")),
            last_message_at: row.try_get("last_message_at")?,
            parts: row.try_get("parts")?,
            is_current: row.try_get("is_current")?,
        })
    }

    /// What a list shows of the thread.
    pub(in crate::store) fn summary(&self, digest: &Digest) -> Summary {
        Summary {
            title: digest.title.clone(),
            preview: digest.preview.clone(),
            message_count: digest.message_count,
            last_message_at: self.last_message_at(digest).map(Timestamp::from),
            matches: Vec::new(),
        }
    }

    /// When a message was last written. The agent's tables do not tell which write was a message, so for
    /// an agent's thread this is the time of its last write.
    pub(super) fn last_message_at(&self, digest: &Digest) -> Option<DateTime<Utc>> {
        let of_agents = self.is_agents && digest.message_count > 0;
        if of_agents { Some(self.state_updated_at) } else { self.last_message_at }
    }

    /// Its digest.
    pub(in crate::store) fn digest(&self) -> Digest {
        Digest::of(self.named.as_deref(), self.messages.as_deref().unwrap_or("[]"))
    }
}

/// Digests of sources.
pub(super) async fn digest_all(sources: Vec<Source>) -> Result<Vec<(Source, Digest)>, Error> {
    let with_digest = |source: Source| {
        let digest = source.digest();
        (source, digest)
    };
    read_all(sources, move |sources| sources.into_iter().map(with_digest).collect()).await
}

/// Reads the messages of sources. Long ones are read on a blocking thread, so that they delay no other
/// request.
pub(in crate::store) async fn read_all<T: Send + 'static>(
    sources: Vec<Source>,
    read: impl FnOnce(Vec<Source>) -> T + Send + 'static,
) -> Result<T, Error> {
    let bytes: usize =
        sources.iter().map(|source| source.messages.as_ref().map_or(0, String::len)).sum();
    if bytes <= IN_PLACE {
        return Ok(read(sources));
    }
    tokio::task::spawn_blocking(move || read(sources)).await.map_err(|_| Error::Overloaded)
}
