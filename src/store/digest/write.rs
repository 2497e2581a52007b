//! Writing digests.

use sha2::{Digest as _, Sha256};

use super::Source;
use crate::digest::Digest;
use crate::store::Error;
use crate::store::pool::Lease;
use crate::store::sql::Statement;

/// Bytes of the hash of a part.
const HASH: usize = 8;

/// Writes the digests of threads. A thread is skipped if it does not exist, is locked by a
/// deletion, got another digest since the source was read, or belongs to an agent whose tables were
/// detached since. Only the changed parts of the text are written.
///
/// Rows are written in the order of their keys, so that two servers cannot deadlock.
pub(in crate::store) static WRITE: Statement = Statement::new(
    "digest/write",
    "
    with asked as (
        select *
        from unnest(
            $1::bigint[], $2::uuid[], $3::timestamptz[], $4::bigint[], $5::text[], $6::text[],
            $7::text[], $8::bigint[], $9::timestamptz[], $10::bytea[], $11::bytea[], $12::bigint[]
        ) with ordinality as asked (
            tenant, thread_id, created_at, seq, named, title, preview, message_count,
            last_message_at, parts, old_parts, part_count, n
        )
    ),
    mine as (
        select asked.*
        from asked
        cross join lateral (
            select
            from thread_store.thread
            where thread.tenant = asked.tenant
                and thread.thread_id = asked.thread_id
                and thread.created_at = asked.created_at
                and (thread.agent_thread_id is null or exists (
                    select from thread_store.agent_attachment where is_attached
                ))
            for key share skip locked
        ) as thread
    ),
    written as (
        insert into thread_store.digest (
            tenant, thread_id, created_at, seq, named, title, preview, message_count,
            last_message_at, parts
        )
        select tenant, thread_id, created_at, seq, named, title, preview, message_count,
            last_message_at, parts
        from mine
        order by tenant, thread_id
        on conflict (tenant, thread_id) do update
        set created_at = excluded.created_at,
            seq = excluded.seq,
            named = excluded.named,
            title = excluded.title,
            preview = excluded.preview,
            message_count = excluded.message_count,
            last_message_at = excluded.last_message_at,
            parts = excluded.parts
        where digest.parts = (
            select mine.old_parts
            from mine
            where mine.tenant = excluded.tenant and mine.thread_id = excluded.thread_id
        )
            and (digest.created_at, digest.seq) <= (excluded.created_at, excluded.seq)
        returning tenant, thread_id
    ),
    cut as (
        delete from thread_store.digest_text
        using mine
        join written using (tenant, thread_id)
        where digest_text.tenant = mine.tenant
            and digest_text.thread_id = mine.thread_id
            and digest_text.part >= mine.part_count
    )
    insert into thread_store.digest_text (tenant, thread_id, part, text)
    select mine.tenant, mine.thread_id, new.part, new.text
    from unnest($13::bigint[], $14::bigint[], $15::text[]) as new (n, part, text)
    join mine using (n)
    join written using (tenant, thread_id)
    on conflict (tenant, thread_id, part) do update set text = excluded.text",
);

/// Writes digests.
pub(super) async fn write(lease: &mut Lease, made: &[(Source, Digest)]) -> Result<(), Error> {
    if made.is_empty() {
        return Ok(());
    }
    macro_rules! column {
        ($value:expr) => {
            made.iter().map($value).collect::<Vec<_>>()
        };
    }
    let hashes: Vec<Vec<u8>> = column!(|(_, digest)| hashes(digest));
    let changed = || {
        (1_i64..).zip(made).zip(&hashes).flat_map(|((n, (source, digest)), hashes)| {
            let old = source.parts.as_deref().unwrap_or_default();
            let same = old.chunks(HASH).zip(hashes.chunks(HASH)).map(|(old, new)| old == new);
            let same = same.chain(std::iter::repeat(false));
            let parts = (0_i64..).zip(&digest.parts).zip(same);
            parts.filter(|(_, same)| !same).map(move |((part, text), _)| (n, part, text.as_str()))
        })
    };
    let query = sqlx::query(WRITE.text())
        .bind(column!(|(source, _)| source.tenant))
        .bind(column!(|(source, _)| source.thread_id))
        .bind(column!(|(source, _)| source.created_at))
        .bind(column!(|(source, _)| source.seq))
        .bind(column!(|(source, _)| source.named.as_deref()))
        .bind(column!(|(_, digest)| digest.title.as_deref()))
        .bind(column!(|(_, digest)| digest.preview.as_deref()))
        .bind(column!(|(_, digest)| digest.message_count))
        .bind(column!(|(source, digest)| source.last_message_at(digest)))
        .bind(hashes.clone())
        .bind(column!(|(source, _)| source.parts.as_deref()))
        .bind(column!(|(_, digest)| i64::try_from(digest.parts.len()).unwrap_or(i64::MAX)))
        .bind(changed().map(|(n, ..)| n).collect::<Vec<_>>())
        .bind(changed().map(|(_, part, _)| part).collect::<Vec<_>>())
        .bind(changed().map(|(.., text)| text).collect::<Vec<_>>());
    lease.execute(query).await?;
    Ok(())
}

fn hashes(digest: &Digest) -> Vec<u8> {
    let hash = |part: &String| Sha256::digest(part).into_iter().take(HASH);
    digest.parts.iter().flat_map(hash).collect()
}
