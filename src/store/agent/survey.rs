//! Facts about attached tables: their size, and the values that cannot be read.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{AssertSqlSafe, Row as _};

use super::Attaching;
use super::attach::AttachError;
use crate::checkpoints::{AesKey, decode, is_state_channel};

/// Maximum number of large threads that are named.
const LARGEST: i64 = 3;
/// Minimum bytes of a large thread.
const LARGE: i64 = 10 * 1024 * 1024;

/// Threads by the bytes of their values and writes.
const SIZES: &str = "
    with size as (
        select thread_id, sum(bytes)::bigint as bytes
        from (
            select thread_id, sum(octet_length(blob)) as bytes
            from {agent}.checkpoint_blobs
            group by thread_id
            union all
            select thread_id, sum(octet_length(blob))
            from {agent}.checkpoint_writes
            group by thread_id
            union all
            select thread_id, sum(pg_column_size(checkpoint) + pg_column_size(metadata))
            from {agent}.checkpoints
            group by thread_id
        ) as part
        group by thread_id
    )
    select (select coalesce(sum(bytes), 0)::bigint from size) as bytes,
        (select count(*) from size) as threads,
        (select count(*) from thread_store.agent_thread where tenant is null and deleted_at is null)
            as ownerless,
        array_agg(largest.thread_id) as ids, array_agg(largest.bytes) as sizes
    from (select * from size where bytes >= $1 order by bytes desc limit $2) as largest";

/// One value of each channel and type: the newest by version.
const SAMPLES: &str = "
    select distinct on (channel, type) channel, type, blob
    from {agent}.checkpoint_blobs
    where blob is not null and octet_length(blob) < 1048576
    order by channel, type, version desc";

/// Facts about attached tables.
#[derive(Debug, Default)]
pub struct Survey {
    /// Number of the agent's threads.
    pub threads: u64,
    /// Number of threads without an owner.
    pub ownerless: u64,
    /// Bytes of all state, history included.
    pub bytes: i64,
    /// The largest of the large threads, each with its bytes.
    pub largest: Vec<(String, i64)>,
    /// The channels whose values cannot be read, by reason.
    pub unreadable: BTreeMap<String, BTreeSet<String>>,
}

impl Attaching {
    /// Measures the tables, and decodes one value of each channel and type.
    pub async fn survey(&mut self, key: Option<&AesKey>) -> Result<Survey, AttachError> {
        let of_agent = |text: &str| AssertSqlSafe(text.replace("{agent}", &self.place));
        let (sizes, samples) = (of_agent(SIZES), of_agent(SAMPLES));
        let sizes = sqlx::query(sizes).bind(LARGE).bind(LARGEST);
        let row = sizes.fetch_one(&mut self.connection).await?;
        let count =
            |name| row.try_get::<i64, _>(name).map(|count| u64::try_from(count).unwrap_or(0));
        let ids: Vec<String> = row.try_get::<Option<_>, _>("ids")?.unwrap_or_default();
        let bytes: Vec<i64> = row.try_get::<Option<_>, _>("sizes")?.unwrap_or_default();
        let mut survey = Survey {
            threads: count("threads")?,
            ownerless: count("ownerless")?,
            bytes: row.try_get("bytes")?,
            largest: ids.into_iter().zip(bytes).collect(),
            unreadable: BTreeMap::new(),
        };
        for row in sqlx::query(samples).fetch_all(&mut self.connection).await? {
            let (channel, r#type): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let blob: Vec<u8> = row.try_get(2)?;
            if !is_state_channel(&channel) {
                continue;
            }
            if let Err(why) = decode(&r#type, &blob, key) {
                survey.unreadable.entry(why.to_string()).or_default().insert(channel);
            }
        }
        Ok(survey)
    }
}
