//! The digests that a search makes itself, for threads that the background task has not reached
//! yet.

use serde_json::{Map, Value, json};
use sqlx::Row as _;
use uuid::Uuid;

use super::source::{Source, digest_all, is_current, sources};
use crate::digest::Digest;
use crate::store::operation::Asked;
use crate::store::pool::Lease;
use crate::store::sql::Statement;
use crate::store::sql::state::{newest_checkpoint, visible_messages};
use crate::store::{Error, Store};

/// The newest threads of a scope whose digests are not up to date, at most 1,000. The background
/// task makes the others.
pub(in crate::store) static STALE: Statement = Statement::new(
    "digest/stale",
    concat!(
        "
    select thread.thread_id
    from unnest($1::bigint[], $2::text[]::jsonb[])
        with ordinality as asked (tenant, filter, n)
    cross join lateral (
        select thread.thread_id, thread.updated_at
        from thread_store.thread
        left join thread_store.digest
            on digest.tenant = asked.tenant and digest.thread_id = thread.thread_id
        where thread.tenant = asked.tenant
            and {visible}
            and not (",
        is_current!(),
        ")
        order by thread.updated_at desc
        limit 1000
    ) as thread
    order by thread.updated_at desc"
    ),
);

/// Threads of a scope by their ids, with their messages. The newest threads are read first, up to 8 MiB of
/// state.
pub(in crate::store) static OF_PAGE: Statement = Statement::new(
    "digest/of_page",
    sources!(
        "true",
        "8388608",
        "
                select thread.*, row_number() over (order by thread.updated_at desc) as place
                from unnest($1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[])
                    with ordinality as asked (tenant, filter, ids, n)
                cross join lateral (
                    select *
                    from thread_store.thread
                    where thread.tenant = asked.tenant
                        and {visible}
                        and thread.thread_id = any(array(
                            select id::uuid from jsonb_array_elements_text(asked.ids) as id
                        ))
                ) as thread"
    ),
);

/// Digests by the ids of their threads.
#[derive(Debug, Default)]
pub(in crate::store) struct Fresh(Map<String, Value>);

impl Fresh {
    /// These digests as the item of a condition's values.
    pub(in crate::store) fn into_json(self) -> String {
        Value::Object(self.0).to_string()
    }
}

impl Store {
    /// Makes the digests that a scope lacks.
    pub(in crate::store) async fn fresh_digests(
        &self,
        lease: &mut Lease,
        asked: &Asked,
    ) -> Result<Fresh, Error> {
        let stale = lease.fetch_all(asked.query(&STALE)).await?;
        if stale.is_empty() {
            return Ok(Fresh::default());
        }
        let stale = stale.iter().map(|row| row.try_get(0)).collect::<Result<Vec<_>, _>>()?;
        let sources = self.sources_of(lease, asked, &stale).await?;
        let read = sources.into_iter().filter(|source| source.messages.is_some()).collect();
        let made = digest_all(read).await?;
        Ok(Fresh(made.into_iter().map(|(source, digest)| entry(&source, &digest)).collect()))
    }

    /// Reads the messages of threads of a scope. Threads beyond the maximum of bytes have no messages.
    pub(in crate::store) async fn sources_of(
        &self,
        lease: &mut Lease,
        asked: &Asked,
        ids: &[Uuid],
    ) -> Result<Vec<Source>, Error> {
        let ids = serde_json::to_string(ids).unwrap_or_default();
        let rows = lease.fetch_all(asked.query(&OF_PAGE).bind(vec![ids])).await?;
        let mut sources = rows.iter().map(Source::from_row).collect::<Result<Vec<_>, _>>()?;
        self.add_messages_of_agents(lease, asked, &mut sources).await?;
        Ok(sources)
    }
}

fn entry(source: &Source, digest: &Digest) -> (String, Value) {
    let summary = source.summary(digest);
    let value = json!({
        "title": summary.title,
        "preview": summary.preview,
        "message_count": summary.message_count,
        "last_message_at": summary.last_message_at,
        "text": digest.parts.join("\n"),
    });
    (source.thread_id.to_string(), value)
}
