-- Every statement of the store, written by `UPDATE_STATEMENTS=1 cargo test --lib statements`.
--
-- 1. The conditions that a policy's filter becomes. Their values are in asked.filter.
-- 2. Every statement, as requests of the program's own policy share it on one Postgres.
-- 3. The same for other filters, databases and searches, as differences to those texts.


-- 1. Conditions ---------------------------------------------------

-- the owner's threads: asked.filter = '{"owner":"ada"}'
-- coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- all threads: asked.filter = '[]'
-- (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- members or one of some teams, and not archived: asked.filter = '["members","ada","team",["a","b"],"archived"]'
-- coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- no threads: asked.filter = '[]'
-- coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')


-- 2. Statements ---------------------------------------------------

-- threads/create
with entered as (
    insert into thread_store.thread_directory (thread_id, tenant)
    select asked.thread_id, asked.tenant
    from unnest($1::bigint[], $2::uuid[]) as asked (tenant, thread_id)
    on conflict (thread_id) do nothing
    returning thread_id
)
insert into thread_store.thread (
    tenant, thread_id, created_at, updated_at, state_updated_at, metadata,
    ttl_minutes, ttl_strategy, expires_at
)
select asked.tenant, asked.thread_id, moment, moment, moment, asked.metadata::jsonb,
    asked.ttl_minutes, asked.ttl_strategy,
    moment + make_interval(secs => asked.ttl_minutes * 60)
from unnest($1::bigint[], $2::uuid[], $3::text[], $4::float8[], $5::text[])
    as asked (tenant, thread_id, metadata, ttl_minutes, ttl_strategy)
join entered using (thread_id)
cross join statement_timestamp() as moment
returning thread.thread_id, thread.created_at, thread.updated_at, thread.state_updated_at, thread.metadata, thread.status, thread.ttl_strategy, thread.ttl_minutes, thread.expires_at, case when thread.agent_thread_id is not null then thread.agent_settled >= thread.last_seq end as is_settled, case when thread.agent_thread_id is not null then thread.state_updated_at < statement_timestamp() - interval '5 minutes' end as is_quiet;

-- threads/create_new
with entered as (
    insert into thread_store.thread_directory (thread_id, tenant)
    select asked.thread_id, asked.tenant
    from unnest($1::bigint[], $2::uuid[]) as asked (tenant, thread_id)
    returning thread_id
)
insert into thread_store.thread (
    tenant, thread_id, created_at, updated_at, state_updated_at, metadata,
    ttl_minutes, ttl_strategy, expires_at
)
select asked.tenant, asked.thread_id, moment, moment, moment, asked.metadata::jsonb,
    asked.ttl_minutes, asked.ttl_strategy,
    moment + make_interval(secs => asked.ttl_minutes * 60)
from unnest($1::bigint[], $2::uuid[], $3::text[], $4::float8[], $5::text[])
    as asked (tenant, thread_id, metadata, ttl_minutes, ttl_strategy)
join entered using (thread_id)
cross join statement_timestamp() as moment
returning thread.thread_id, thread.created_at, thread.updated_at, thread.state_updated_at, thread.metadata, thread.status, thread.ttl_strategy, thread.ttl_minutes, thread.expires_at, case when thread.agent_thread_id is not null then thread.agent_settled >= thread.last_seq end as is_settled, case when thread.agent_thread_id is not null then thread.state_updated_at < statement_timestamp() - interval '5 minutes' end as is_quiet;

-- threads/get
select thread.thread_id, thread.created_at, thread.updated_at, thread.state_updated_at, thread.metadata, thread.status, thread.ttl_strategy, thread.ttl_minutes, thread.expires_at, case when thread.agent_thread_id is not null then thread.agent_settled >= thread.last_seq end as is_settled, case when thread.agent_thread_id is not null then thread.state_updated_at < statement_timestamp() - interval '5 minutes' end as is_quiet, asked.n,
    case
        when thread.agent_thread_id is null and thread.state_bytes > asked.max_bytes
            then thread.state_bytes
    end as unread, case when thread.last_seq > 0 and thread.state_bytes <= asked.max_bytes then (
        select '{' || concat_ws(',', (
            select string_agg(to_json(entry.key)::text || ':' || stored.value::text, ',')
            from jsonb_each(head.channels) as entry
            cross join lateral (
                select value
                from thread_store.channel_value
                where channel_value.tenant = asked.tenant
                    and channel_value.thread_id = thread.thread_id
                    and channel_value.seq = (entry.value ->> 0)::bigint
                    and channel_value.channel = entry.key
                offset 0
            ) as stored
        ), case when head.messages_end is not null then (
            select '"messages":[' || coalesce(string_agg(visible.message::text, ','), '') || ']'
            from (
    select distinct on (written.position) written.position, written.seq, written.message
    from (
        select position, seq, message
        from thread_store.message
        where message.tenant = asked.tenant
            and message.thread_id = thread.thread_id
            and message.branch = head.branch
            and message.position >= head.messages_start
            and message.position < head.messages_end
            and message.seq <= head.seq
        union all
        select inherited.position, inherited.seq, inherited.message
        from jsonb_array_elements(head.ancestors) as ancestor
        cross join lateral (
            select position, seq, message
            from thread_store.message
            where message.tenant = asked.tenant
                and message.thread_id = thread.thread_id
                and message.branch = (ancestor ->> 0)::bigint
                and message.position >= head.messages_start
                and message.position < (ancestor ->> 2)::bigint
                and message.seq <= (ancestor ->> 1)::bigint
            offset 0
        ) as inherited
    ) as written
    order by written.position, written.seq desc
            ) as visible
            where visible.message is not null
        ) end) || '}'
        from thread_store.checkpoint as head
        where head.tenant = asked.tenant
            and head.thread_id = thread.thread_id
            and head.checkpoint_ns = ''
        order by head.checkpoint_id desc
        limit 1
    ) end as values
from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::bigint[])
    with ordinality as asked (tenant, filter, thread_id, max_bytes, n)
cross join lateral (
    select *
    from thread_store.thread
    where thread.tenant = asked.tenant
        and thread.thread_id = asked.thread_id
        and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
    offset 0
) as thread;

-- threads/patch
with mine as (
    select asked.*, statement_timestamp() as moment
    from unnest(
        $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[]::jsonb[], $5::float8[],
        $6::text[], $7::bool[]
    ) with ordinality as asked (
        tenant, filter, thread_id, metadata, ttl_minutes, ttl_strategy, clears_ttl, n
    )
    cross join lateral (
        select
        from thread_store.thread
        where thread.tenant = asked.tenant
            and thread.thread_id = asked.thread_id
            and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
        for no key update skip locked
    ) as thread
),
thread as (
    update thread_store.thread
    set metadata = thread.metadata || mine.metadata,
        updated_at = greatest(mine.moment, ((thread.updated_at at time zone 'UTC') + interval '1 microsecond') at time zone 'UTC'),
        ttl_minutes = case
            when mine.clears_ttl then null
            else coalesce(mine.ttl_minutes, thread.ttl_minutes)
        end,
        ttl_strategy = case
            when mine.clears_ttl then null
            when coalesce(mine.ttl_minutes, thread.ttl_minutes) is null then null
            when mine.ttl_minutes is null then coalesce(mine.ttl_strategy, thread.ttl_strategy)
            else coalesce(mine.ttl_strategy, thread.ttl_strategy, 'delete')
        end,
        expires_at = case
            when mine.clears_ttl then null
            when mine.ttl_minutes is null then thread.expires_at
            else (
                (mine.moment at time zone 'UTC')
                + make_interval(secs => mine.ttl_minutes * 60)
            ) at time zone 'UTC'
        end
    from mine
    where thread.tenant = mine.tenant and thread.thread_id = mine.thread_id
    returning thread.*, mine.n
)
select thread.thread_id, thread.created_at, thread.updated_at, thread.state_updated_at, thread.metadata, thread.status, thread.ttl_strategy, thread.ttl_minutes, thread.expires_at, case when thread.agent_thread_id is not null then thread.agent_settled >= thread.last_seq end as is_settled, case when thread.agent_thread_id is not null then thread.state_updated_at < statement_timestamp() - interval '5 minutes' end as is_quiet, thread.n, thread.last_seq > 0 as has_state
from thread;

-- threads/search
select thread.thread_id, thread.created_at, thread.updated_at, thread.state_updated_at, case
        when pg_column_size(thread.metadata) < 2000
            and pg_column_compression(thread.metadata) is null
            then thread.metadata
    end as metadata, thread.status, thread.ttl_strategy, thread.ttl_minutes, thread.expires_at, case when thread.agent_thread_id is not null then thread.agent_settled >= thread.last_seq end as is_settled, case when thread.agent_thread_id is not null then thread.state_updated_at < statement_timestamp() - interval '5 minutes' end as is_quiet,
    case
        when pg_column_size(thread.metadata) >= 2000
            or pg_column_compression(thread.metadata) is not null
            then octet_length(thread.metadata::text)
    end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n
from unnest(
    $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
    $6::bigint[], $7::bigint[]
) with ordinality as asked (
    tenant, filter, criteria, behind, behind_id, max_threads, skipped, n
)
cross join lateral (
        select *
        from thread_store.thread
        where thread.tenant = asked.tenant
            and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
            and (thread.updated_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
            and true
        order by thread.updated_at desc, thread.thread_id desc
        limit asked.max_threads
        offset asked.skipped
) as thread;

-- threads/list
select thread.thread_id, thread.created_at, thread.updated_at, thread.state_updated_at, case
        when pg_column_size(thread.metadata) < 2000
            and pg_column_compression(thread.metadata) is null
            then thread.metadata
    end as metadata, thread.status, thread.ttl_strategy, thread.ttl_minutes, thread.expires_at, case when thread.agent_thread_id is not null then thread.agent_settled >= thread.last_seq end as is_settled, case when thread.agent_thread_id is not null then thread.state_updated_at < statement_timestamp() - interval '5 minutes' end as is_quiet,
    case
        when pg_column_size(thread.metadata) >= 2000
            or pg_column_compression(thread.metadata) is not null
            then octet_length(thread.metadata::text)
    end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n, digest.title, digest.preview, coalesce(digest.message_count, 0) as message_count, digest.last_message_at, digest.is_current as has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
from unnest(
    $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
    $6::bigint[], $7::bigint[]
) with ordinality as asked (
    tenant, filter, criteria, behind, behind_id, max_threads, skipped, n
)
cross join lateral (
        select *
        from thread_store.thread
        where thread.tenant = asked.tenant
            and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
            and (thread.updated_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
            and true
        order by thread.updated_at desc, thread.thread_id desc
        limit asked.max_threads
        offset asked.skipped
) as thread
cross join lateral (
    select digest.*, case when digest.seq is null then thread.last_seq = 0 and (case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end) is null else digest.created_at = thread.created_at and digest.seq = thread.last_seq and digest.named is not distinct from (case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end) end as is_current
    from (select) as always
    left join thread_store.digest
        on digest.tenant = asked.tenant and digest.thread_id = thread.thread_id
) as digest;

-- threads/search_recent
select thread.thread_id, thread.created_at, thread.updated_at, thread.state_updated_at, case
        when pg_column_size(thread.metadata) < 2000
            and pg_column_compression(thread.metadata) is null
            then thread.metadata
    end as metadata, thread.status, thread.ttl_strategy, thread.ttl_minutes, thread.expires_at, case when thread.agent_thread_id is not null then thread.agent_settled >= thread.last_seq end as is_settled, case when thread.agent_thread_id is not null then thread.state_updated_at < statement_timestamp() - interval '5 minutes' end as is_quiet,
    case
        when pg_column_size(thread.metadata) >= 2000
            or pg_column_compression(thread.metadata) is not null
            then octet_length(thread.metadata::text)
    end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n, thread.is_match
from unnest(
    $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
    $6::bigint[], $7::bigint[]
) with ordinality as asked (
    tenant, filter, criteria, behind, behind_id, max_threads, skipped, n
)
cross join lateral (
        (
            select thread.thread_id, thread.created_at, thread.updated_at, thread.state_updated_at,
                thread.metadata, thread.status, thread.last_seq, thread.state_bytes,
                thread.ttl_minutes, thread.ttl_strategy, thread.expires_at,
                thread.agent_thread_id, thread.agent_settled, thread.is_match
            from (
                select thread.thread_id, thread.created_at, thread.updated_at, thread.state_updated_at,
                thread.metadata, thread.status, thread.last_seq, thread.state_bytes,
                thread.ttl_minutes, thread.ttl_strategy, thread.expires_at,
                thread.agent_thread_id, thread.agent_settled, true as is_match
                from thread_store.thread
                where thread.tenant = asked.tenant
                    and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
                    and (thread.updated_at, thread.thread_id)
                        < (asked.behind::timestamptz, asked.behind_id)
                order by thread.updated_at desc, thread.thread_id desc
                limit 1000
            ) as thread
            where thread.is_match
            order by thread.updated_at desc, thread.thread_id desc
            limit asked.max_threads
        )
        union all
        (
            select null, null, null, null, null, null, null, null, null, null, null,
                null, null, false
            from (
                select from thread_store.thread
                where thread.tenant = asked.tenant
                    and true
                    and (thread.updated_at, thread.thread_id)
                        < (asked.behind::timestamptz, asked.behind_id)
                order by thread.updated_at desc, thread.thread_id desc
                limit 1 offset 999
            ) as older
        )
        limit asked.max_threads
) as thread;

-- threads/search_own
select thread.thread_id, thread.created_at, thread.updated_at, thread.state_updated_at, case
        when pg_column_size(thread.metadata) < 2000
            and pg_column_compression(thread.metadata) is null
            then thread.metadata
    end as metadata, thread.status, thread.ttl_strategy, thread.ttl_minutes, thread.expires_at, case when thread.agent_thread_id is not null then thread.agent_settled >= thread.last_seq end as is_settled, case when thread.agent_thread_id is not null then thread.state_updated_at < statement_timestamp() - interval '5 minutes' end as is_quiet,
    case
        when pg_column_size(thread.metadata) >= 2000
            or pg_column_compression(thread.metadata) is not null
            then octet_length(thread.metadata::text)
    end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n, thread.is_match
from unnest(
    $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
    $6::bigint[], $7::bigint[]
) with ordinality as asked (
    tenant, filter, criteria, behind, behind_id, max_threads, skipped, n
)
cross join lateral (
        (
            select thread.thread_id, thread.created_at, thread.updated_at, thread.state_updated_at,
                thread.metadata, thread.status, thread.last_seq, thread.state_bytes,
                thread.ttl_minutes, thread.ttl_strategy, thread.expires_at,
                thread.agent_thread_id, thread.agent_settled, thread.is_match
            from (
                select thread.thread_id, thread.created_at, thread.updated_at, thread.state_updated_at,
                thread.metadata, thread.status, thread.last_seq, thread.state_bytes,
                thread.ttl_minutes, thread.ttl_strategy, thread.expires_at,
                thread.agent_thread_id, thread.agent_settled, true and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') as is_match
                from thread_store.thread
                where thread.tenant = asked.tenant
                    and true
                    and (thread.updated_at, thread.thread_id)
                        < (asked.behind::timestamptz, asked.behind_id)
                order by thread.updated_at desc, thread.thread_id desc
                limit 1000
            ) as thread
            where thread.is_match
            order by thread.updated_at desc, thread.thread_id desc
            limit asked.max_threads
        )
        union all
        (
            select null, null, null, null, null, null, null, null, null, null, null,
                null, null, false
            from (
                select from thread_store.thread
                where thread.tenant = asked.tenant
                    and true
                    and (thread.updated_at, thread.thread_id)
                        < (asked.behind::timestamptz, asked.behind_id)
                order by thread.updated_at desc, thread.thread_id desc
                limit 1 offset 999
            ) as older
        )
        limit asked.max_threads
) as thread;

-- threads/count
select asked.n, counted.threads
from unnest($1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[])
    with ordinality as asked (tenant, filter, criteria, n)
cross join lateral (
    select count(*) as threads
    from thread_store.thread
    where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true
) as counted;

-- digest/stale
select thread.thread_id
from unnest($1::bigint[], $2::text[]::jsonb[])
    with ordinality as asked (tenant, filter, n)
cross join lateral (
    select thread.thread_id, thread.updated_at
    from thread_store.thread
    left join thread_store.digest
        on digest.tenant = asked.tenant and digest.thread_id = thread.thread_id
    where thread.tenant = asked.tenant
        and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
        and not (case when digest.seq is null then thread.last_seq = 0 and (case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end) is null else digest.created_at = thread.created_at and digest.seq = thread.last_seq and digest.named is not distinct from (case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end) end)
    order by thread.updated_at desc
    limit 1000
) as thread
order by thread.updated_at desc;

-- digest/of_page
select thread.tenant, thread.thread_id, thread.created_at, thread.last_seq,
    thread.state_bytes, thread.named, thread.parts, thread.is_current,
    thread.agent_thread_id is not null as is_agents, thread.state_updated_at,
    thread.is_read, coalesce(messages.text, '') as messages, moment.last_message_at
from (
    select *, true and (
            sum(case when true then state_bytes else 0 end) over (order by place) <= 8388608 or place = 1
        ) as is_read
    from (
        select thread.*, digest.parts, case when digest.seq is null then thread.last_seq = 0 and (case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end) is null else digest.created_at = thread.created_at and digest.seq = thread.last_seq and digest.named is not distinct from (case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end) end as is_current, case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end as named
        from (
            select thread.*, row_number() over (order by thread.updated_at desc) as place
            from unnest($1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[])
                with ordinality as asked (tenant, filter, ids, n)
            cross join lateral (
                select *
                from thread_store.thread
                where thread.tenant = asked.tenant
                    and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
                    and thread.thread_id = any(array(
                        select id::uuid from jsonb_array_elements_text(asked.ids) as id
                    ))
            ) as thread
        ) as thread
        cross join lateral (select thread.tenant) as asked
        left join thread_store.digest
            on digest.tenant = asked.tenant and digest.thread_id = thread.thread_id
    ) as thread
) as thread
cross join lateral (select thread.tenant) as asked
left join lateral (
    select *
    from thread_store.checkpoint
    where thread.last_seq > 0
        and checkpoint.tenant = asked.tenant
        and checkpoint.thread_id = thread.thread_id
        and checkpoint.checkpoint_ns = ''
        and thread.is_read and thread.state_bytes <= 67108864
    order by checkpoint.checkpoint_id desc
    limit 1
) as head on true
left join lateral (
    select string_agg(visible.message::text, ',') as text, max(visible.seq) as seq
    from (
    select distinct on (written.position) written.position, written.seq, written.message
    from (
        select position, seq, message
        from thread_store.message
        where message.tenant = asked.tenant
            and message.thread_id = thread.thread_id
            and message.branch = head.branch
            and message.position >= head.messages_start
            and message.position < head.messages_end
            and message.seq <= head.seq
        union all
        select inherited.position, inherited.seq, inherited.message
        from jsonb_array_elements(head.ancestors) as ancestor
        cross join lateral (
            select position, seq, message
            from thread_store.message
            where message.tenant = asked.tenant
                and message.thread_id = thread.thread_id
                and message.branch = (ancestor ->> 0)::bigint
                and message.position >= head.messages_start
                and message.position < (ancestor ->> 2)::bigint
                and message.seq <= (ancestor ->> 1)::bigint
            offset 0
        ) as inherited
    ) as written
    order by written.position, written.seq desc
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
order by thread.place;

-- threads/lock_owner
select pg_advisory_xact_lock($1);

-- threads/quota
select count(*) as threads
from unnest($1::bigint[], $2::text[]::jsonb[], $3::bigint[])
    with ordinality as asked (tenant, filter, max_threads, n)
cross join lateral (
    select 1
    from thread_store.thread
    where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
    limit asked.max_threads
) as own;

-- threads/directory
select tenant, thread_id
from thread_store.thread_directory
where thread_directory.thread_id = any($1) and thread_directory.tenant is not null
order by tenant, thread_id;

-- threads/lock_source
select thread.last_seq, thread.state_bytes, thread.stored_bytes
from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
    with ordinality as asked (tenant, filter, thread_id, n)
cross join lateral (
    select *
    from thread_store.thread
    where thread.tenant = asked.tenant
        and thread.thread_id = asked.thread_id
        and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
    for key share
) as thread;

-- threads/copy
with entered as (
    insert into thread_store.thread_directory (thread_id, tenant) values ($5, $4)
)
insert into thread_store.thread (
    tenant, thread_id, created_at, updated_at, state_updated_at, metadata, last_seq,
    state_bytes, stored_bytes, ttl_minutes, ttl_strategy, expires_at
)
select $4, $5, moment, moment, moment, source.metadata || $6::text::jsonb, $3, $7, $8,
    $9::float8, $10, moment + make_interval(secs => $9::float8 * 60)
from thread_store.thread as source
cross join lateral greatest(statement_timestamp(), ((source.state_updated_at at time zone 'UTC') + interval '1 microsecond') at time zone 'UTC') as moment
where source.tenant = $1 and source.thread_id = $2;

-- threads/copy_checkpoint
insert into thread_store.checkpoint (tenant, thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq, created_at, metadata, channels, branch, messages_start, messages_end, ancestors, state_bytes)
select $4, $5, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq, created_at, metadata, channels, branch, messages_start, messages_end, ancestors, state_bytes
from thread_store.checkpoint as source
where source.tenant = $1 and source.thread_id = $2 and source.seq <= $3;

-- threads/copy_channel_value
insert into thread_store.channel_value (tenant, thread_id, seq, channel, value)
select $4, $5, seq, channel, value
from thread_store.channel_value as source
where source.tenant = $1 and source.thread_id = $2 and source.seq <= $3;

-- threads/copy_message
insert into thread_store.message (tenant, thread_id, branch, position, seq, message_id, message)
select $4, $5, branch, position, seq, message_id, message
from thread_store.message as source
where source.tenant = $1 and source.thread_id = $2 and source.seq <= $3;

-- threads/delete
with asked as (
    select *
    from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::bigint[], $5::bigint[])
        with ordinality as asked (tenant, filter, thread_id, max_bytes, max_checkpoints, n)
),
gone as (
    delete from thread_store.thread
    using asked
    where thread.tenant = asked.tenant
        and thread.thread_id = asked.thread_id
        and thread.agent_thread_id is null
        and thread.stored_bytes <= asked.max_bytes
        and thread.last_seq <= asked.max_checkpoints
        and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
    returning asked.n, thread.thread_id
),
forgotten as (
    delete from thread_store.thread_directory
    using gone
    where thread_directory.thread_id = gone.thread_id
)
select n from gone;

-- threads/hide
with asked as (
    select *
    from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
        with ordinality as asked (tenant, filter, thread_id, n)
)
update thread_store.thread
set ttl_strategy = 'delete', expires_at = '-infinity'
from asked
where thread.tenant = asked.tenant
    and thread.thread_id = asked.thread_id
    and thread.agent_thread_id is null
    and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
returning asked.n;

-- threads/lock_expired
select thread.stored_bytes <= $3 and thread.last_seq <= $4 as is_short
from thread_store.thread
where thread.tenant = $1
    and thread.thread_id = $2
    and thread.ttl_strategy = 'delete'
    and thread.expires_at <= statement_timestamp()
for update skip locked;

-- threads/erase_message
delete from thread_store.message as erased
where erased.tenant = $1
    and erased.thread_id = $2
    and erased.ctid = any(array(
        select part.ctid
        from thread_store.message as part
        where part.tenant = $1 and part.thread_id = $2
        limit $3
    ));

-- threads/erase_channel_value
delete from thread_store.channel_value as erased
where erased.tenant = $1
    and erased.thread_id = $2
    and erased.ctid = any(array(
        select part.ctid
        from thread_store.channel_value as part
        where part.tenant = $1 and part.thread_id = $2
        limit $3
    ));

-- threads/erase_checkpoint
delete from thread_store.checkpoint as erased
where erased.tenant = $1
    and erased.thread_id = $2
    and erased.ctid = any(array(
        select part.ctid
        from thread_store.checkpoint as part
        where part.tenant = $1 and part.thread_id = $2
        limit $3
    ));

-- threads/erase_run
delete from thread_store.run as erased
where erased.tenant = $1
    and erased.thread_id = $2
    and erased.ctid = any(array(
        select part.ctid
        from thread_store.run as part
        where part.tenant = $1 and part.thread_id = $2
        limit $3
    ));

-- threads/erase
with gone as (
    delete from thread_store.thread
    where thread.tenant = $1 and thread.thread_id = $2
    returning thread.thread_id
)
delete from thread_store.thread_directory
using gone
where thread_directory.thread_id = gone.thread_id;

-- threads/lock_all
select thread.thread_id
from unnest($1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[])
    with ordinality as asked (tenant, filter, thread_ids, n)
join thread_store.thread
    on thread.tenant = asked.tenant
    and thread.thread_id = any(array(
        select id::uuid from jsonb_array_elements_text(asked.thread_ids) as id
    ))
    and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
order by thread.thread_id
for update of thread;

-- threads/keep_checkpoints
delete from thread_store.checkpoint
where checkpoint.tenant = $1
    and checkpoint.thread_id = $2
    and checkpoint.checkpoint_id < (
        select newest.checkpoint_id
        from thread_store.checkpoint as newest
        where newest.tenant = $1
            and newest.thread_id = $2
            and newest.checkpoint_ns = checkpoint.checkpoint_ns
        order by newest.checkpoint_id desc
        limit 1
    );

-- threads/drop_parents
update thread_store.checkpoint
set parent_checkpoint_id = null
where checkpoint.tenant = $1 and checkpoint.thread_id = $2;

-- threads/keep_values
delete from thread_store.channel_value
where channel_value.tenant = $1
    and channel_value.thread_id = $2
    and not exists (
        select
        from thread_store.checkpoint
        where checkpoint.tenant = $1
            and checkpoint.thread_id = $2
            and (checkpoint.channels -> channel_value.channel ->> 0)::bigint = channel_value.seq
    );

-- threads/keep_messages
with source as (
    select checkpoint_id, messages_start, branch, seq, messages_end
    from thread_store.checkpoint
    where checkpoint.tenant = $1
        and checkpoint.thread_id = $2
        and checkpoint.messages_end is not null
    union all
    select checkpoint_id, messages_start, (ancestor ->> 0)::bigint, (ancestor ->> 1)::bigint,
        (ancestor ->> 2)::bigint
    from thread_store.checkpoint
    cross join lateral jsonb_array_elements(checkpoint.ancestors) as ancestor
    where checkpoint.tenant = $1
        and checkpoint.thread_id = $2
        and checkpoint.messages_end is not null
),
visible as materialized (
    select distinct on (source.checkpoint_id, message.position)
        message.branch, message.position, message.seq, message.message is null as is_removed
    from source
    join thread_store.message
        on message.tenant = $1
        and message.thread_id = $2
        and message.branch = source.branch
        and message.position >= source.messages_start
        and message.position < source.messages_end
        and message.seq <= source.seq
    order by source.checkpoint_id, message.position, message.seq desc
)
delete from thread_store.message
where message.tenant = $1
    and message.thread_id = $2
    and (message.branch, message.position, message.seq) not in (
        select visible.branch, visible.position, visible.seq
        from visible
        where not visible.is_removed
    );

-- threads/pruned
update thread_store.thread
set pruned = thread.pruned + 1,
    stored_bytes = (
        select coalesce(sum(octet_length(channel_value.value::text)), 0)
        from thread_store.channel_value
        where channel_value.tenant = $1 and channel_value.thread_id = $2
    ) + (
        select coalesce(sum(octet_length(message.message::text)), 0)
        from thread_store.message
        where message.tenant = $1 and message.thread_id = $2
    )
where thread.tenant = $1 and thread.thread_id = $2;

-- threads/expired
select tenant, thread_id, ttl_strategy = 'delete' as is_deleted
from thread_store.thread
where expires_at <= statement_timestamp() and thread_id <> all($1)
order by expires_at
limit $2;

-- threads/lock_for_pruning
select
from thread_store.thread
where thread.tenant = $1
    and thread.thread_id = $2
    and thread.ttl_strategy = 'keep_latest'
    and thread.expires_at <= statement_timestamp()
for update skip locked;

-- threads/swept
update thread_store.thread
set expires_at = null
where thread.tenant = $1 and thread.thread_id = $2;

-- threads/lock
select
from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
    with ordinality as asked (tenant, filter, thread_id, n)
cross join lateral (
    select
    from thread_store.thread
    where thread.tenant = asked.tenant
        and thread.thread_id = asked.thread_id
        and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
    for no key update
) as thread;

-- state/parent
select asked.n, thread.created_at, thread.last_seq, thread.pruned, thread.stored_bytes,
    thread.agent_thread_id is not null as is_agents,
    greatest(statement_timestamp(), ((thread.state_updated_at at time zone 'UTC') + interval '1 microsecond') at time zone 'UTC') as moment,
    thread.metadata ->> 'graph_id' as graph_id,
    parent.checkpoint_id, parent.seq, parent.branch, parent.channels, parent.messages_start,
    parent.messages_end, parent.ancestors, parent.state_bytes,
    coalesce((parent.metadata ->> 'step')::bigint, -1) as step,
    parent.is_followed, named.messages
from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::uuid[], $6::jsonb[])
    with ordinality as asked (
        tenant, filter, thread_id, checkpoint_ns, checkpoint_id, message_ids, n
    )
cross join lateral (
    select *
    from thread_store.thread
    where thread.tenant = asked.tenant
        and thread.thread_id = asked.thread_id
        and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
    offset 0
) as thread
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
) as named on asked.message_ids is not null;

-- state/insert
with asked as (
    select *
    from unnest(
        $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::timestamptz[], $5::bigint[],
        $6::bigint[], $7::timestamptz[], $8::text[], $9::uuid[], $10::uuid[], $11::jsonb[],
        $12::jsonb[], $13::bigint[], $14::bigint[], $15::bigint[], $16::jsonb[],
        $17::bigint[], $18::bigint[]
    ) with ordinality as asked (
        tenant, filter, thread_id, created_at, pruned,
        seq, moment, checkpoint_ns, checkpoint_id, parent_checkpoint_id, metadata,
        channels, branch, messages_start, messages_end, ancestors,
        state_bytes, new_bytes, n
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
            and thread.last_seq = asked.seq - 1
            and thread.pruned = asked.pruned
            and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
        for no key update skip locked
    ) as thread
),
moved as (
    update thread_store.thread
    set last_seq = mine.seq,
        state_updated_at = mine.moment,
        updated_at = greatest(mine.moment, ((thread.updated_at at time zone 'UTC') + interval '1 microsecond') at time zone 'UTC'),
        state_bytes = case
            when mine.checkpoint_ns = '' then mine.state_bytes
            else thread.state_bytes
        end,
        stored_bytes = thread.stored_bytes + mine.new_bytes
    from mine
    where thread.tenant = mine.tenant and thread.thread_id = mine.thread_id
),
new_checkpoint as (
    insert into thread_store.checkpoint (
        tenant, thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq,
        created_at, metadata, channels, branch, messages_start, messages_end, ancestors,
        state_bytes
    )
    select mine.tenant, thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq,
        moment, metadata, channels, branch, messages_start, messages_end, ancestors,
        state_bytes
    from mine
),
new_message as (
    insert into thread_store.message (
        tenant, thread_id, branch, position, seq, message_id, message
    )
    select mine.tenant, mine.thread_id, mine.branch, new.position, mine.seq, new.message_id,
        new.message::json
    from unnest($19::bigint[], $20::bigint[], $21::text[], $22::text[])
        as new (n, position, message_id, message)
    join mine using (n)
),
new_value as (
    insert into thread_store.channel_value (tenant, thread_id, seq, channel, value)
    select mine.tenant, mine.thread_id, mine.seq, new.channel, new.value::json
    from unnest($23::bigint[], $24::text[], $25::text[]) as new (n, channel, value)
    join mine using (n)
)
select n from mine;

-- state/insert_messages
with asked as (
    select *
    from unnest(
        $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::timestamptz[], $5::bigint[],
        $6::bigint[], $7::timestamptz[], $8::text[], $9::uuid[], $10::uuid[], $11::jsonb[],
        $12::jsonb[], $13::bigint[], $14::bigint[], $15::bigint[], $16::jsonb[],
        $17::bigint[], $18::bigint[]
    ) with ordinality as asked (
        tenant, filter, thread_id, created_at, pruned,
        seq, moment, checkpoint_ns, checkpoint_id, parent_checkpoint_id, metadata,
        channels, branch, messages_start, messages_end, ancestors,
        state_bytes, new_bytes, n
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
            and thread.last_seq = asked.seq - 1
            and thread.pruned = asked.pruned
            and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
        for no key update skip locked
    ) as thread
),
moved as (
    update thread_store.thread
    set last_seq = mine.seq,
        state_updated_at = mine.moment,
        updated_at = greatest(mine.moment, ((thread.updated_at at time zone 'UTC') + interval '1 microsecond') at time zone 'UTC'),
        state_bytes = case
            when mine.checkpoint_ns = '' then mine.state_bytes
            else thread.state_bytes
        end,
        stored_bytes = thread.stored_bytes + mine.new_bytes
    from mine
    where thread.tenant = mine.tenant and thread.thread_id = mine.thread_id
),
new_checkpoint as (
    insert into thread_store.checkpoint (
        tenant, thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq,
        created_at, metadata, channels, branch, messages_start, messages_end, ancestors,
        state_bytes
    )
    select mine.tenant, thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq,
        moment, metadata, channels, branch, messages_start, messages_end, ancestors,
        state_bytes
    from mine
),
new_message as (
    insert into thread_store.message (
        tenant, thread_id, branch, position, seq, message_id, message
    )
    select mine.tenant, mine.thread_id, mine.branch, new.position, mine.seq, new.message_id,
        new.message::json
    from unnest($19::bigint[], $20::bigint[], $21::text[], $22::text[])
        as new (n, position, message_id, message)
    join mine using (n)
)
select n from mine;

-- state/read
select asked.n, thread.created_at as thread_created_at,
    thread.agent_thread_id is not null as is_agents, sized.sizes, picked.*,
    messages.branches as message_branches, messages.positions as message_positions,
    messages.seqs as message_seqs, messages.texts as message_texts,
    stored.seqs as value_seqs, stored.names as value_names, stored.texts as value_texts
from unnest(
    $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::uuid[], $6::uuid[],
    $7::bigint[], $8::text[]::jsonb[], $9::bigint[], $10::bool[], $11::text[]::jsonb[],
    $12::bigint[]
) with ordinality as asked (
    tenant, filter, thread_id, checkpoint_ns, oldest, newest,
    behind_seq, metadata, max_states, with_values, selected,
    max_bytes, n
)
cross join lateral (
    select *
    from thread_store.thread
    where thread.tenant = asked.tenant
        and thread.thread_id = asked.thread_id
        and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
    offset 0
) as thread
cross join lateral (
    select array_agg(page.bytes) as sizes, sum(page.bytes) as bytes
    from (
        select 300 + pg_column_size(checkpoint.metadata) + case
            when not asked.with_values then 0
            when asked.selected is null then checkpoint.state_bytes
            else (
                select coalesce(sum((entry.value ->> 1)::bigint), 0)::bigint
                from jsonb_each(checkpoint.channels) as entry
                where asked.selected ? entry.key
            ) + case
                when asked.selected ? 'messages' then checkpoint.state_bytes
                else 0
            end
        end as bytes
        from (
        select *
        from thread_store.checkpoint
        where checkpoint.tenant = asked.tenant
            and checkpoint.thread_id = asked.thread_id
            and checkpoint.checkpoint_ns = asked.checkpoint_ns
            and checkpoint.checkpoint_id >= asked.oldest
            and checkpoint.checkpoint_id <= asked.newest
            and checkpoint.seq > asked.behind_seq
            and (
                asked.metadata is null
                or checkpoint.metadata
                    || jsonb_build_object('thread_id', asked.thread_id)
                    @> asked.metadata
            )
        order by checkpoint.checkpoint_id desc
        limit asked.max_states
        ) as checkpoint
    ) as page
) as sized
cross join lateral (
    select array_agg(page.checkpoint_id) as checkpoint_ids,
        array_agg(page.parent_checkpoint_id) as parents,
        array_agg(page.seq) as seqs,
        array_agg(page.created_at) as created_ats,
        array_agg(page.metadata) as metadatas,
        array_agg(page.channels) as channels,
        array_agg(page.branch) as branches,
        array_agg(page.messages_start) as starts,
        array_agg(page.messages_end) as ends,
        array_agg(page.ancestors) as ancestors,
        min(page.messages_start) as messages_start,
        max(page.messages_end) as messages_end,
        max(page.seq) as last_seq,
        count(page.ancestors) > 0 as is_forked,
        bool_or(page.channels <> '{}') as has_channels
    from (
        select *
        from thread_store.checkpoint
        where checkpoint.tenant = asked.tenant
            and checkpoint.thread_id = asked.thread_id
            and checkpoint.checkpoint_ns = asked.checkpoint_ns
            and checkpoint.checkpoint_id >= asked.oldest
            and checkpoint.checkpoint_id <= asked.newest
            and checkpoint.seq > asked.behind_seq
            and (
                asked.metadata is null
                or checkpoint.metadata
                    || jsonb_build_object('thread_id', asked.thread_id)
                    @> asked.metadata
            )
        order by checkpoint.checkpoint_id desc
        limit asked.max_states
    ) as page
    where sized.bytes <= asked.max_bytes
) as picked
left join lateral (
    select array_agg(message.branch) as branches,
        array_agg(message.position) as positions,
        array_agg(message.seq) as seqs,
        array_agg(message.message::text) as texts
    from (
        select distinct unnest(picked.branches || case when picked.is_forked then array(
            select (ancestor ->> 0)::bigint
            from unnest(picked.ancestors) as list
            cross join lateral jsonb_array_elements(list) as ancestor
        ) end) as branch
    ) as source
    cross join lateral (
        select *
        from thread_store.message
        where message.tenant = asked.tenant
            and message.thread_id = asked.thread_id
            and message.branch = source.branch
            and message.position >= picked.messages_start
            and message.position < picked.messages_end
            and message.seq <= picked.last_seq
        offset 0
    ) as message
    where asked.with_values and (asked.selected is null or asked.selected ? 'messages')
) as messages on true
left join lateral (
    select array_agg(wanted.seq) as seqs,
        array_agg(wanted.channel) as names,
        array_agg(found.value::text) as texts
    from (
        select distinct entry.key as channel, (entry.value ->> 0)::bigint as seq
        from unnest(picked.channels) as list
        cross join lateral jsonb_each(list) as entry
        where picked.has_channels
            and asked.with_values
            and (asked.selected is null or asked.selected ? entry.key)
    ) as wanted
    cross join lateral (
        select value
        from thread_store.channel_value
        where channel_value.tenant = asked.tenant
            and channel_value.thread_id = asked.thread_id
            and channel_value.seq = wanted.seq
            and channel_value.channel = wanted.channel
        offset 0
    ) as found
) as stored on true;

-- state/read_one
select asked.n, thread.created_at as thread_created_at,
    thread.agent_thread_id is not null as is_agents, head.checkpoint_id, head.parent_checkpoint_id, head.seq, head.created_at,
    head.bytes, case when head.bytes <= asked.max_bytes then head.metadata end as metadata,
    case when asked.with_values and head.bytes <= asked.max_bytes then '{' || concat_ws(',', (
            select string_agg(to_json(entry.key)::text || ':' || stored.value::text, ',')
            from jsonb_each(head.channels) as entry
            cross join lateral (
                select value
                from thread_store.channel_value
                where channel_value.tenant = asked.tenant
                    and channel_value.thread_id = thread.thread_id
                    and channel_value.seq = (entry.value ->> 0)::bigint
                    and channel_value.channel = entry.key
                offset 0
            ) as stored
        ), case when head.messages_end is not null then (
            select '"messages":[' || coalesce(string_agg(visible.message::text, ','), '') || ']'
            from (
    select distinct on (written.position) written.position, written.seq, written.message
    from (
        select position, seq, message
        from thread_store.message
        where message.tenant = asked.tenant
            and message.thread_id = thread.thread_id
            and message.branch = head.branch
            and message.position >= head.messages_start
            and message.position < head.messages_end
            and message.seq <= head.seq
        union all
        select inherited.position, inherited.seq, inherited.message
        from jsonb_array_elements(head.ancestors) as ancestor
        cross join lateral (
            select position, seq, message
            from thread_store.message
            where message.tenant = asked.tenant
                and message.thread_id = thread.thread_id
                and message.branch = (ancestor ->> 0)::bigint
                and message.position >= head.messages_start
                and message.position < (ancestor ->> 2)::bigint
                and message.seq <= (ancestor ->> 1)::bigint
            offset 0
        ) as inherited
    ) as written
    order by written.position, written.seq desc
            ) as visible
            where visible.message is not null
        ) end) || '}' end as values
from unnest(
    $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::uuid[], $6::uuid[],
    $7::bigint[], $8::text[]::jsonb[], $9::bigint[], $10::bool[], $11::text[]::jsonb[],
    $12::bigint[]
) with ordinality as asked (
    tenant, filter, thread_id, checkpoint_ns, oldest, newest,
    behind_seq, metadata, max_states, with_values, selected,
    max_bytes, n
)
cross join lateral (
    select *
    from thread_store.thread
    where thread.tenant = asked.tenant
        and thread.thread_id = asked.thread_id
        and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
    offset 0
) as thread
left join lateral (
    select *, 300 + pg_column_size(checkpoint.metadata)
        + case when asked.with_values then checkpoint.state_bytes else 0 end as bytes
    from (
        select *
        from thread_store.checkpoint
        where checkpoint.tenant = asked.tenant
            and checkpoint.thread_id = asked.thread_id
            and checkpoint.checkpoint_ns = asked.checkpoint_ns
            and checkpoint.checkpoint_id >= asked.oldest
            and checkpoint.checkpoint_id <= asked.newest
            and checkpoint.seq > asked.behind_seq
            and (
                asked.metadata is null
                or checkpoint.metadata
                    || jsonb_build_object('thread_id', asked.thread_id)
                    @> asked.metadata
            )
        order by checkpoint.checkpoint_id desc
        limit 1
    ) as checkpoint
) as head on true;

-- state/progress
select asked.n, thread.created_at, thread.state_updated_at, thread.last_seq,
    thread.agent_thread_id is not null as is_agents
from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
    with ordinality as asked (tenant, filter, thread_id, n)
join thread_store.thread
    on thread.tenant = asked.tenant
    and thread.thread_id = asked.thread_id
    and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest');

-- state/storage
select asked.n, thread.agent_thread_id is not null as is_agents,
    checkpoints.count as checkpoints, checkpoints.bytes as checkpoint_bytes,
    channels.by_channel, channels.count as values, channels.bytes as value_bytes,
    0::bigint as writes, 0::bigint as write_bytes
from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
    with ordinality as asked (tenant, filter, thread_id, n)
cross join lateral (
    select *
    from thread_store.thread
    where thread.tenant = asked.tenant
        and thread.thread_id = asked.thread_id
        and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
    offset 0
) as thread
cross join lateral (
    select count(*), coalesce(sum(
        160 + pg_column_size(checkpoint.checkpoint_ns) + pg_column_size(checkpoint.metadata)
            + pg_column_size(checkpoint.channels)
            + coalesce(pg_column_size(checkpoint.ancestors), 0)
    ), 0)::bigint as bytes
    from thread_store.checkpoint
    where checkpoint.tenant = asked.tenant and checkpoint.thread_id = asked.thread_id
) as checkpoints
cross join lateral (
    select coalesce(sum(channel.count), 0)::bigint as count,
        coalesce(sum(channel.bytes), 0)::bigint as bytes,
        coalesce(jsonb_object_agg(
            channel.name, jsonb_build_object('count', channel.count, 'bytes', channel.bytes)
        ), '{}') as by_channel
    from (
        select channel_value.channel as name, count(*), sum(
            64 + pg_column_size(channel_value.channel) + pg_column_size(channel_value.value)
        )::bigint as bytes
        from thread_store.channel_value
        where channel_value.tenant = asked.tenant
            and channel_value.thread_id = asked.thread_id
        group by channel_value.channel
        union all
        select 'messages', count(*), coalesce(sum(
            80 + pg_column_size(message.message_id)
                + coalesce(pg_column_size(message.message), 0)
        ), 0)::bigint
        from thread_store.message
        where message.tenant = asked.tenant and message.thread_id = asked.thread_id
        having count(*) > 0
    ) as channel
) as channels;

-- runs/begin
with asked as (
    select *
    from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[]::jsonb[])
        with ordinality as asked (tenant, filter, thread_id, metadata, n)
)
update thread_store.thread
set metadata = asked.metadata || thread.metadata,
    updated_at = greatest(statement_timestamp(), ((thread.updated_at at time zone 'UTC') + interval '1 microsecond') at time zone 'UTC')
from asked
where thread.tenant = asked.tenant
    and thread.thread_id = asked.thread_id
    and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
returning asked.n;

-- runs/record
insert into thread_store.run (tenant, thread_id, run_id)
select asked.tenant, asked.thread_id, asked.run_id
from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::uuid[])
    with ordinality as asked (tenant, filter, thread_id, run_id, n)
join thread_store.thread
    on thread.tenant = asked.tenant
    and thread.thread_id = asked.thread_id
    and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
on conflict do nothing;

-- runs/known
select asked.run_id
from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::uuid[])
    with ordinality as asked (tenant, filter, thread_id, run_id, n)
join thread_store.thread
    on thread.tenant = asked.tenant
    and thread.thread_id = asked.thread_id
    and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
join thread_store.run
    on run.tenant = asked.tenant
    and run.thread_id = asked.thread_id
    and run.run_id = asked.run_id;

-- runs/forget
delete from thread_store.run
using unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::uuid[])
    with ordinality as asked (tenant, filter, thread_id, run_id, n)
join thread_store.thread
    on thread.tenant = asked.tenant
    and thread.thread_id = asked.thread_id
    and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
where run.tenant = asked.tenant
    and run.thread_id = asked.thread_id
    and run.run_id = asked.run_id;

-- digest/read
select thread.tenant, thread.thread_id, thread.created_at, thread.last_seq,
    thread.state_bytes, thread.named, thread.parts, thread.is_current,
    thread.agent_thread_id is not null as is_agents, thread.state_updated_at,
    thread.is_read, coalesce(messages.text, '') as messages, moment.last_message_at
from (
    select *, not thread.is_current and (
            sum(case when not thread.is_current then state_bytes else 0 end) over (order by place) <= 8388608 or place = 1
        ) as is_read
    from (
        select thread.*, digest.parts, case when digest.seq is null then thread.last_seq = 0 and (case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end) is null else digest.created_at = thread.created_at and digest.seq = thread.last_seq and digest.named is not distinct from (case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end) end as is_current, case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end as named
        from (
            select thread.*, asked.place
            from unnest($1::bigint[], $2::uuid[])
                with ordinality as asked (tenant, thread_id, place)
            join thread_store.thread
                on thread.tenant = asked.tenant and thread.thread_id = asked.thread_id
        ) as thread
        cross join lateral (select thread.tenant) as asked
        left join thread_store.digest
            on digest.tenant = asked.tenant and digest.thread_id = thread.thread_id
    ) as thread
) as thread
cross join lateral (select thread.tenant) as asked
left join lateral (
    select *
    from thread_store.checkpoint
    where thread.last_seq > 0
        and checkpoint.tenant = asked.tenant
        and checkpoint.thread_id = thread.thread_id
        and checkpoint.checkpoint_ns = ''
        and thread.is_read and thread.state_bytes <= 67108864
    order by checkpoint.checkpoint_id desc
    limit 1
) as head on true
left join lateral (
    select string_agg(visible.message::text, ',') as text, max(visible.seq) as seq
    from (
    select distinct on (written.position) written.position, written.seq, written.message
    from (
        select position, seq, message
        from thread_store.message
        where message.tenant = asked.tenant
            and message.thread_id = thread.thread_id
            and message.branch = head.branch
            and message.position >= head.messages_start
            and message.position < head.messages_end
            and message.seq <= head.seq
        union all
        select inherited.position, inherited.seq, inherited.message
        from jsonb_array_elements(head.ancestors) as ancestor
        cross join lateral (
            select position, seq, message
            from thread_store.message
            where message.tenant = asked.tenant
                and message.thread_id = thread.thread_id
                and message.branch = (ancestor ->> 0)::bigint
                and message.position >= head.messages_start
                and message.position < (ancestor ->> 2)::bigint
                and message.seq <= (ancestor ->> 1)::bigint
            offset 0
        ) as inherited
    ) as written
    order by written.position, written.seq desc
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
order by thread.place;

-- digest/write
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
on conflict (tenant, thread_id, part) do update set text = excluded.text;

-- digest/next
select thread.tenant, thread.thread_id, case when digest.seq is null then thread.last_seq = 0 and (case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end) is null else digest.created_at = thread.created_at and digest.seq = thread.last_seq and digest.named is not distinct from (case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end) end as is_current
from (
    select *
    from thread_store.thread
    where (thread.tenant, thread.thread_id) > ($1, $2)
    order by thread.tenant, thread.thread_id
    limit $3
) as thread
left join thread_store.digest
    on digest.tenant = thread.tenant and digest.thread_id = thread.thread_id
order by thread.tenant, thread.thread_id;

-- digest/forget
update thread_store.digest
set seq = -1,
    parts = ''
from unnest($1::bigint[], $2::uuid[]) as asked (tenant, thread_id)
where digest.tenant = asked.tenant and digest.thread_id = asked.thread_id;

-- changes/recheck
select thread.thread_id, thread.last_seq
from unnest($1::bigint[], $2::uuid[]) as asked (tenant, thread_id)
join thread_store.thread
    on thread.tenant = asked.tenant and thread.thread_id = asked.thread_id
where thread.expires_at is null or thread.expires_at > statement_timestamp();

-- changes/notify
select pg_notify($1, $2);

-- schema/ping
select from thread_store.thread limit 0;

-- agent/states
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
)
cross join lateral (
    select *
    from thread_store.thread
    where thread.tenant = asked.tenant
        and thread.thread_id = asked.thread_id
        and thread.agent_thread_id is not null
        and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
    offset 0
) as thread
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
            from public.checkpoints as saved
            where saved.thread_id = thread.agent_thread_id
                and saved.checkpoint_ns = asked.checkpoint_ns
                and saved.checkpoint_id >= asked.oldest
                and saved.checkpoint_id <= asked.newest
                and (
                    asked.metadata is null
                    or saved.metadata || jsonb_build_object('thread_id', asked.thread_id)
                        @> asked.metadata
                )
            order by saved.checkpoint_id desc
            limit asked.max_states
        ) as saved
        cross join lateral (
            select array_agg(blob.place) as places, coalesce(sum(blob.size), 0) as size
            from jsonb_each_text(saved.versions) as version
            cross join lateral (
                select stored.ctid as place, octet_length(stored.blob) as size
                from public.checkpoint_blobs as stored
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
            from public.checkpoint_writes as written
            where written.thread_id = thread.agent_thread_id
                and written.checkpoint_ns = asked.checkpoint_ns
                and written.checkpoint_id = saved.checkpoint_id
        ) as written
        window page as (order by saved.checkpoint_id desc)
    ) as saved
) as page on true
left join lateral (
    select array_agg(blob.channel) as channels,
        array_agg(blob.type) as types,
        array_agg(blob.blob) as blobs
    from (
        select *
        from public.checkpoint_blobs as stored
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
        from public.checkpoint_writes as written
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
        from public.checkpoint_writes as written
        where written.thread_id = thread.agent_thread_id
            and written.checkpoint_ns = asked.checkpoint_ns
            and written.checkpoint_id = page.parent_checkpoint_id
            and written.channel = '__pregel_tasks'
    ) as row
    where page.fits and page.checkpoint -> 'v' < '4'
) as sent on true
order by asked.n, page.place;

-- agent/chain
with recursive asked as (
    select *
    from unnest(
        $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::text[], $6::text[]
    ) with ordinality as asked (
        tenant, filter, thread_id, checkpoint_ns, checkpoint_id, channel, n
    )
),
chain (thread_id, agent_thread_id, checkpoint_ns, channel, checkpoint_id) as (
    select asked.thread_id, thread.agent_thread_id, asked.checkpoint_ns, asked.channel,
        asked.checkpoint_id
    from asked
cross join lateral (
    select *
    from thread_store.thread
    where thread.tenant = asked.tenant
        and thread.thread_id = asked.thread_id
        and thread.agent_thread_id is not null
        and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
    offset 0
) as thread
    union
    select chain.thread_id, chain.agent_thread_id, chain.checkpoint_ns, chain.channel,
        saved.parent_checkpoint_id
    from chain
    cross join lateral (
        select parent_checkpoint_id, checkpoint
        from public.checkpoints
        where checkpoints.thread_id = chain.agent_thread_id
            and checkpoints.checkpoint_ns = chain.checkpoint_ns
            and checkpoints.checkpoint_id = chain.checkpoint_id
        offset 0
    ) as saved
    where saved.parent_checkpoint_id is not null
        and coalesce(saved.checkpoint -> 'channel_values' -> chain.channel, 'true') = 'true'
        and not exists (
            select
            from public.checkpoint_blobs as stored
            where stored.thread_id = chain.agent_thread_id
                and stored.checkpoint_ns = chain.checkpoint_ns
                and stored.channel = chain.channel
                and stored.version = saved.checkpoint -> 'channel_versions' ->> chain.channel
                and stored.type <> 'empty'
        )
)
select link.thread_id, link.channel, link.checkpoint_id,
    saved.checkpoint_id is not null as is_there, saved.parent_checkpoint_id,
    nullif(saved.checkpoint -> 'channel_values' -> link.channel, 'true')::text as inlined,
    stored.type, stored.blob, written.types, written.blobs
from (select * from chain limit $7) as link
left join lateral (
    select *
    from public.checkpoints
    where checkpoints.thread_id = link.agent_thread_id
        and checkpoints.checkpoint_ns = link.checkpoint_ns
        and checkpoints.checkpoint_id = link.checkpoint_id
    offset 0
) as saved on true
left join lateral (
    select type, blob
    from public.checkpoint_blobs as stored
    where stored.thread_id = link.agent_thread_id
        and stored.checkpoint_ns = link.checkpoint_ns
        and stored.channel = link.channel
        and stored.version = saved.checkpoint -> 'channel_versions' ->> link.channel
        and stored.type <> 'empty'
    offset 0
) as stored on true
left join lateral (
    select array_agg(row.type order by row.task_path, row.task_id, row.idx) as types,
        array_agg(row.blob order by row.task_path, row.task_id, row.idx) as blobs
    from (select '' as task_path) as absent
    cross join lateral (
        select task_id, task_path, idx, type, blob
        from public.checkpoint_writes as written
        where written.thread_id = link.agent_thread_id
            and written.checkpoint_ns = link.checkpoint_ns
            and written.checkpoint_id = link.checkpoint_id
            and written.channel = link.channel
    ) as row
) as written on true;

-- agent/storage
select asked.n, true as is_agents, checkpoints.count as checkpoints, checkpoints.bytes as checkpoint_bytes,
    channels.by_channel, channels.count as values, channels.bytes as value_bytes,
    writes.count as writes, writes.bytes as write_bytes
from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
    with ordinality as asked (tenant, filter, thread_id, n)
cross join lateral (
    select *
    from thread_store.thread
    where thread.tenant = asked.tenant
        and thread.thread_id = asked.thread_id
        and thread.agent_thread_id is not null
        and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
    offset 0
) as thread
cross join lateral (
    select count(*), coalesce(sum(
        160 + pg_column_size(saved.checkpoint) + pg_column_size(saved.metadata)
    ), 0)::bigint as bytes
    from public.checkpoints as saved
    where saved.thread_id = thread.agent_thread_id
) as checkpoints
cross join lateral (
    select coalesce(sum(channel.count), 0)::bigint as count,
        coalesce(sum(channel.bytes), 0)::bigint as bytes,
        coalesce(jsonb_object_agg(
            channel.channel, jsonb_build_object('count', channel.count, 'bytes', channel.bytes)
        ), '{}') as by_channel
    from (
        select stored.channel, count(*),
            sum(100 + coalesce(pg_column_size(stored.blob), 0))::bigint as bytes
        from public.checkpoint_blobs as stored
        where stored.thread_id = thread.agent_thread_id
        group by stored.channel
    ) as channel
) as channels
cross join lateral (
    select count(*), coalesce(sum(160 + pg_column_size(written.blob)), 0)::bigint as bytes
    from public.checkpoint_writes as written
    where written.thread_id = thread.agent_thread_id
) as writes;

-- agent/candidates
select thread.thread_id
from unnest(
    $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::uuid[], $5::bigint[]
) with ordinality as asked (tenant, filter, criteria, behind, max_threads, n)
cross join lateral (
    select thread.thread_id
    from thread_store.thread
    where thread.tenant = asked.tenant
        and thread.agent_thread_id is not null
        and thread.thread_id > asked.behind
        and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
        and true
    order by thread.thread_id
    limit asked.max_threads
) as thread
order by thread.thread_id;

-- agent/of_agents
select thread.tenant, thread.thread_id, thread.agent_thread_id
from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
    with ordinality as asked (tenant, filter, thread_id, n)
cross join lateral (
    select *
    from thread_store.thread
    where thread.tenant = asked.tenant
        and thread.thread_id = asked.thread_id
        and thread.agent_thread_id is not null
        and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
    offset 0
) as thread
order by thread.agent_thread_id;

-- agent/attachment
select schema_name, owner_key, namespace
from thread_store.agent_attachment
where is_attached;

-- agent/changed
select agent_thread_id, max(id) as last
from (
    select agent_thread_id, id
    from thread_store.agent_change
    where agent_thread_id is null or agent_thread_id <> all($1)
    order by id
    limit $2
) as change
group by agent_thread_id
order by last;

-- agent/settle
select thread_store.agent_settle($1, $2) as what;

-- agent/forget
delete from thread_store.agent_change
where agent_change.agent_thread_id is not distinct from $1 and agent_change.id <= $2;

-- agent/truncated
insert into thread_store.agent_change (agent_thread_id)
select entry.agent_thread_id
from thread_store.agent_thread as entry
where entry.deleted_at is null
    and not exists (
        select
        from public.checkpoints as saved
        where saved.thread_id = entry.agent_thread_id
    );

-- agent/stragglers
select entry.agent_thread_id
from thread_store.agent_thread as entry
where entry.deleted_at > statement_timestamp() - $1::text::interval
    and (
        exists (
            select
            from public.checkpoints as saved
            where saved.thread_id = entry.agent_thread_id
        )
        or exists (
            select
            from public.checkpoint_writes as written
            where written.thread_id = entry.agent_thread_id
        )
        or exists (
            select
            from public.checkpoint_blobs as stored
            where stored.thread_id = entry.agent_thread_id
        )
    )
limit 200;

-- agent/remembered
delete from thread_store.agent_thread
where agent_thread.deleted_at < statement_timestamp() - $1::text::interval;

-- agent/hidden
select name,
    coalesce(row_security_active(to_regclass($1 || '.' || name)), false) as is_hidden,
    to_regclass($1 || '.' || name) is null as is_gone,
    current_user::text as role
from unnest(array['checkpoints', 'checkpoint_blobs', 'checkpoint_writes']) as name;

-- agent/unsettled
select thread.tenant, thread.thread_id, thread.last_seq,
    thread.state_updated_at < statement_timestamp() - interval '5 minutes' as is_quiet
from thread_store.thread
where thread.agent_thread_id is not null
    and (thread.agent_settled < thread.last_seq or thread.status = 'busy')
    and (
        thread.agent_settled < thread.last_seq
        or thread.state_updated_at < statement_timestamp() - interval '5 minutes'
    )
    and ($1::bigint is null or thread.tenant = $1)
order by thread.tenant, thread.thread_id
limit $2;

-- agent/settled
with found as (
    select *
    from unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::text[], $5::bigint[])
        as found (tenant, thread_id, seq, status, bytes)
),
free as (
    select found.*
    from found
    cross join lateral (
        select
        from thread_store.thread
        where thread.tenant = found.tenant
            and thread.thread_id = found.thread_id
            and thread.last_seq = found.seq
        for no key update skip locked
    ) as thread
)
update thread_store.thread
set status = free.status,
    state_bytes = free.bytes,
    agent_settled = free.seq
from free
where thread.tenant = free.tenant
    and thread.thread_id = free.thread_id
    and thread.last_seq = free.seq;

-- agent/lock_entry
select
from thread_store.agent_thread
where agent_thread.agent_thread_id = $1 and agent_thread.deleted_at is null
for update;

-- agent/lock_free_entry
select
from thread_store.agent_thread
where agent_thread.agent_thread_id = $1
for update skip locked;

-- agent/lock_thread
select
from thread_store.thread
where thread.tenant = $1 and thread.thread_id = $2 and thread.agent_thread_id = $3
for update;

-- agent/id
select thread.agent_thread_id
from thread_store.thread
where thread.tenant = $1 and thread.thread_id = $2;

-- agent/bury
update thread_store.agent_thread
set deleted_at = statement_timestamp(), tenant = null
where agent_thread.agent_thread_id = $1;

-- agent/forget_entry
delete from thread_store.agent_thread
where agent_thread.agent_thread_id = $1;

-- agent/has_deltas
select exists (
    select
    from public.checkpoints as saved
    where saved.thread_id = $1
        and (
            saved.metadata ? 'counters_since_delta_snapshot'
            or saved.metadata ? 'delta_writes_versioned'
            or exists (
                select
                from jsonb_each(
                    case
                        when jsonb_typeof(saved.checkpoint -> 'channel_values') = 'object'
                        then saved.checkpoint -> 'channel_values'
                    end
                ) as value
                cross join lateral (
                    select
                    from public.checkpoint_blobs as stored
                    where stored.thread_id = saved.thread_id
                        and stored.checkpoint_ns = saved.checkpoint_ns
                        and stored.channel = value.key
                        and stored.version
                            = saved.checkpoint -> 'channel_versions' ->> value.key
                    offset 0
                ) as stored
                where value.value = 'true'
            )
        )
) as has_deltas;

-- agent/keep_latest
with newest as (
    select distinct on (saved.checkpoint_ns) saved.*
    from public.checkpoints as saved
    where saved.thread_id = $1
    order by saved.checkpoint_ns desc, saved.checkpoint_id desc
),
root as (
    select checkpoint_id from newest where newest.checkpoint_ns = ''
),
kept as materialized (
    select newest.checkpoint_ns, newest.checkpoint_id, newest.parent_checkpoint_id,
        newest.checkpoint
    from newest
    where newest.checkpoint_ns !~ ':'
        or newest.metadata -> 'parents' ->> '' in (select root.checkpoint_id from root)
        or not exists (select from root)
    union all
    select parent.checkpoint_ns, parent.checkpoint_id, parent.parent_checkpoint_id,
        parent.checkpoint
    from newest
    join public.checkpoints as parent
        on parent.thread_id = $1
        and parent.checkpoint_ns = newest.checkpoint_ns
        and parent.checkpoint_id = newest.parent_checkpoint_id
    where newest.checkpoint -> 'v' < '4'
        and exists (
            select
            from public.checkpoint_writes as written
            where written.thread_id = $1
                and written.checkpoint_ns = parent.checkpoint_ns
                and written.checkpoint_id = parent.checkpoint_id
                and written.channel = '__pregel_tasks'
        )
),
version as materialized (
    select kept.checkpoint_ns, version.key as channel, version.value as version
    from kept
    cross join lateral jsonb_each_text(
        case
            when jsonb_typeof(kept.checkpoint -> 'channel_versions') = 'object'
            then kept.checkpoint -> 'channel_versions'
        end
    ) as version
),
blobs as (
    delete from public.checkpoint_blobs as stored
    where stored.thread_id = $1
        and (stored.checkpoint_ns, stored.channel, stored.version) not in (
            select version.checkpoint_ns, version.channel, version.version from version
        )
),
gone as materialized (
    select saved.checkpoint_ns, saved.checkpoint_id
    from public.checkpoints as saved
    where saved.thread_id = $1
        and (saved.checkpoint_ns, saved.checkpoint_id) not in (
            select kept.checkpoint_ns, kept.checkpoint_id from kept
        )
),
writes as (
    delete from public.checkpoint_writes as written
    using gone
    where written.thread_id = $1
        and written.checkpoint_ns = gone.checkpoint_ns
        and written.checkpoint_id = gone.checkpoint_id
),
parents as (
    update public.checkpoints as saved
    set parent_checkpoint_id = null
    from kept
    join gone
        on gone.checkpoint_ns = kept.checkpoint_ns
        and gone.checkpoint_id = kept.parent_checkpoint_id
    where saved.thread_id = $1
        and saved.checkpoint_ns = kept.checkpoint_ns
        and saved.checkpoint_id = kept.checkpoint_id
)
delete from public.checkpoints as saved
using gone
where saved.thread_id = $1
    and saved.checkpoint_ns = gone.checkpoint_ns
    and saved.checkpoint_id = gone.checkpoint_id;

-- agent/link_copy
with entry as (
    insert into thread_store.agent_thread (agent_thread_id, thread_id, tenant)
    values ($2::uuid::text, $2, $1)
)
update thread_store.thread
set agent_thread_id = $2::uuid::text, agent_made = true,
    metadata = thread.metadata - 'agent_thread_id', last_seq = thread.last_seq + 1
where thread.tenant = $1 and thread.thread_id = $2;

-- agent/has_task_path
select exists (
    select
    from pg_attribute
    where attrelid = to_regclass($1) and attname = 'task_path' and not attisdropped
);

-- agent/erase_checkpoint_writes
delete from public.checkpoint_writes as erased where erased.thread_id = $1;

-- agent/erase_checkpoint_blobs
delete from public.checkpoint_blobs as erased where erased.thread_id = $1;

-- agent/erase_checkpoints
delete from public.checkpoints as erased where erased.thread_id = $1;

-- agent/copy_rows
with blobs as (
    insert into public.checkpoint_blobs
        (thread_id, checkpoint_ns, channel, version, type, blob)
    select $2, checkpoint_ns, channel, version, type, blob
    from public.checkpoint_blobs
    where checkpoint_blobs.thread_id = $1
),
writes as (
    insert into public.checkpoint_writes
        (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, blob, task_path)
    select $2, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, blob, task_path
    from public.checkpoint_writes
    where checkpoint_writes.thread_id = $1
)
insert into public.checkpoints
    (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata)
select $2, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata
from public.checkpoints
where checkpoints.thread_id = $1;

-- agent/copy_rows_without_paths
with blobs as (
    insert into public.checkpoint_blobs
        (thread_id, checkpoint_ns, channel, version, type, blob)
    select $2, checkpoint_ns, channel, version, type, blob
    from public.checkpoint_blobs
    where checkpoint_blobs.thread_id = $1
),
writes as (
    insert into public.checkpoint_writes
        (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, blob)
    select $2, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, blob
    from public.checkpoint_writes
    where checkpoint_writes.thread_id = $1
)
insert into public.checkpoints
    (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata)
select $2, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata
from public.checkpoints
where checkpoints.thread_id = $1;

-- threads/find
select thread.thread_id, thread.created_at, thread.updated_at, thread.state_updated_at, case
        when pg_column_size(thread.metadata) < 2000
            and pg_column_compression(thread.metadata) is null
            then thread.metadata
    end as metadata, thread.status, thread.ttl_strategy, thread.ttl_minutes, thread.expires_at, case when thread.agent_thread_id is not null then thread.agent_settled >= thread.last_seq end as is_settled, case when thread.agent_thread_id is not null then thread.state_updated_at < statement_timestamp() - interval '5 minutes' end as is_quiet,
    case
        when pg_column_size(thread.metadata) >= 2000
            or pg_column_compression(thread.metadata) is not null
            then octet_length(thread.metadata::text)
    end as metadata_bytes, thread.state_bytes, $1::bigint as tenant, asked.n, thread.title, thread.preview, thread.message_count, thread.last_message_at, thread.has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
from unnest(
    array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
    $6::bigint[], $7::bigint[]
) with ordinality as asked (
    tenant, filter, criteria, behind, behind_id, max_threads, skipped, n
)
cross join lateral (
        select *
        from (
            select thread.*,
                case when fresh.digest is null then digest.title
                    else fresh.digest ->> 'title' end as title,
                case when fresh.digest is null then digest.preview
                    else fresh.digest ->> 'preview' end as preview,
                case when fresh.digest is null then coalesce(digest.message_count, 0)
                    else (fresh.digest ->> 'message_count')::bigint end as message_count,
                case when fresh.digest is null then digest.last_message_at
                    else (fresh.digest ->> 'last_message_at')::timestamptz
                end as last_message_at,
                fresh.digest ->> 'text' as fresh_text,
                fresh.digest is not null or coalesce(case when digest.seq is null then thread.last_seq = 0 and (case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end) is null else digest.created_at = thread.created_at and digest.seq = thread.last_seq and digest.named is not distinct from (case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end) end, false) as has_digest
            from thread_store.thread
            left join lateral (
                select *
                from thread_store.digest
                where digest.tenant = $1::bigint
                    and digest.thread_id = thread.thread_id
                offset 0
            ) as digest on true
            cross join lateral (
                select ($3::text[]::jsonb[])[1] #> array['0', thread.thread_id::text] as digest
                offset 0
            ) as fresh
            where thread.tenant = $1::bigint
        ) as thread
        where coalesce(thread.metadata @> ($2::text[]::jsonb[])[1], false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
            and (thread.updated_at, thread.thread_id) < (($4::text[])[1]::timestamptz, ($5::uuid[])[1])
            and true
        order by thread.updated_at desc, thread.thread_id desc
        limit ($6::bigint[])[1]
        offset ($7::bigint[])[1]
) as thread;

-- threads/count_found
select asked.n, (
    select count(*)
    from (
            select thread.*,
                case when fresh.digest is null then digest.title
                    else fresh.digest ->> 'title' end as title,
                case when fresh.digest is null then digest.preview
                    else fresh.digest ->> 'preview' end as preview,
                case when fresh.digest is null then coalesce(digest.message_count, 0)
                    else (fresh.digest ->> 'message_count')::bigint end as message_count,
                case when fresh.digest is null then digest.last_message_at
                    else (fresh.digest ->> 'last_message_at')::timestamptz
                end as last_message_at,
                fresh.digest ->> 'text' as fresh_text,
                fresh.digest is not null or coalesce(case when digest.seq is null then thread.last_seq = 0 and (case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end) is null else digest.created_at = thread.created_at and digest.seq = thread.last_seq and digest.named is not distinct from (case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end) end, false) as has_digest
            from thread_store.thread
            left join lateral (
                select *
                from thread_store.digest
                where digest.tenant = $1::bigint
                    and digest.thread_id = thread.thread_id
                offset 0
            ) as digest on true
            cross join lateral (
                select asked.criteria #> array['0', thread.thread_id::text] as digest
                offset 0
            ) as fresh
            where thread.tenant = $1::bigint
    ) as thread
    where coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true
) as threads
from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[])
    with ordinality as asked (tenant, filter, criteria, n);


-- 3. Differences --------------------------------------------------

-- threads/search (the owner's threads; requests of any tenants; by UpdatedAt, ascending)
-- - and (thread.updated_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
-- + and (thread.updated_at, thread.thread_id) > (asked.behind::timestamptz, asked.behind_id)
-- - order by thread.updated_at desc, thread.thread_id desc
-- + order by thread.updated_at asc, thread.thread_id asc

-- threads/search (the owner's threads; requests of any tenants; by CreatedAt, descending)
-- - and (thread.updated_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
-- + and (thread.created_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
-- - order by thread.updated_at desc, thread.thread_id desc
-- + order by thread.created_at desc, thread.thread_id desc

-- threads/search (the owner's threads; requests of any tenants; by CreatedAt, ascending)
-- - and (thread.updated_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
-- + and (thread.created_at, thread.thread_id) > (asked.behind::timestamptz, asked.behind_id)
-- - order by thread.updated_at desc, thread.thread_id desc
-- + order by thread.created_at asc, thread.thread_id asc

-- threads/search (the owner's threads; requests of any tenants; by StateUpdatedAt, descending)
-- - and (thread.updated_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
-- + and (thread.state_updated_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
-- - order by thread.updated_at desc, thread.thread_id desc
-- + order by thread.state_updated_at desc, thread.thread_id desc

-- threads/search (the owner's threads; requests of any tenants; by StateUpdatedAt, ascending)
-- - and (thread.updated_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
-- + and (thread.state_updated_at, thread.thread_id) > (asked.behind::timestamptz, asked.behind_id)
-- - order by thread.updated_at desc, thread.thread_id desc
-- + order by thread.state_updated_at asc, thread.thread_id asc

-- threads/search (the owner's threads; requests of any tenants; by Status, descending)
-- - and (thread.updated_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
-- + and (thread.status collate "C", thread.thread_id) < (asked.behind::text, asked.behind_id)
-- - order by thread.updated_at desc, thread.thread_id desc
-- + order by thread.status collate "C" desc, thread.thread_id desc

-- threads/search (the owner's threads; requests of any tenants; by Status, ascending)
-- - and (thread.updated_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
-- + and (thread.status collate "C", thread.thread_id) > (asked.behind::text, asked.behind_id)
-- - order by thread.updated_at desc, thread.thread_id desc
-- + order by thread.status collate "C" asc, thread.thread_id asc

-- threads/search (the owner's threads; requests of any tenants; by ThreadId, descending)
-- - and (thread.updated_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
-- + and (thread.thread_id, thread.thread_id) < (asked.behind::uuid, asked.behind_id)
-- - order by thread.updated_at desc, thread.thread_id desc
-- + order by thread.thread_id desc, thread.thread_id desc

-- threads/search (the owner's threads; requests of any tenants; by ThreadId, ascending)
-- - and (thread.updated_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
-- + and (thread.thread_id, thread.thread_id) > (asked.behind::uuid, asked.behind_id)
-- - order by thread.updated_at desc, thread.thread_id desc
-- + order by thread.thread_id asc, thread.thread_id asc

-- threads/search (the owner's threads; requests of any tenants; by metadata)
-- - and true
-- + and true and thread.metadata @> asked.criteria

-- threads/search (the owner's threads; requests of any tenants; by values)
-- - and true
-- + and true and ((thread.agent_thread_id is null and exists (select from ( select * from thread_store.checkpoint where thread.last_seq > 0 and checkpoint.tenant = asked.tenant and checkpoint.thread_id = thread.thread_id and checkpoint.checkpoint_ns = '' order by checkpoint.checkpoint_id desc limit 1 ) as head where true and exists (select from thread_store.channel_value where channel_value.tenant = asked.tenant and channel_value.thread_id = thread.thread_id and channel_value.seq = (head.channels -> (asked.criteria ->> 0) ->> 0)::bigint and channel_value.channel = (asked.criteria ->> 0) and (head.channels -> (asked.criteria ->> 0) ->> 1)::bigint < 33554432 and jsonb_build_object((asked.criteria ->> 0), channel_value.value::jsonb) @> (asked.criteria -> 1)) and head.state_bytes < 33554432 and jsonb_build_object((asked.criteria ->> 2), (select case when head.messages_end is not null then coalesce(jsonb_agg(visible.message::jsonb), '[]') end from (
-- + select distinct on (written.position) written.position, written.seq, written.message
-- + from (
-- + select position, seq, message
-- + from thread_store.message
-- + where message.tenant = asked.tenant
-- + and message.thread_id = thread.thread_id
-- + and message.branch = head.branch
-- + and message.position >= head.messages_start
-- + and message.position < head.messages_end
-- + and message.seq <= head.seq
-- + union all
-- + select inherited.position, inherited.seq, inherited.message
-- + from jsonb_array_elements(head.ancestors) as ancestor
-- + cross join lateral (
-- + select position, seq, message
-- + from thread_store.message
-- + where message.tenant = asked.tenant
-- + and message.thread_id = thread.thread_id
-- + and message.branch = (ancestor ->> 0)::bigint
-- + and message.position >= head.messages_start
-- + and message.position < (ancestor ->> 2)::bigint
-- + and message.seq <= (ancestor ->> 1)::bigint
-- + offset 0
-- + ) as inherited
-- + ) as written
-- + order by written.position, written.seq desc) as visible where visible.message is not null)) @> (asked.criteria -> 3))))

-- threads/search (the owner's threads; requests of any tenants; by status)
-- - and true
-- + and true and thread.status = (asked.criteria ->> 0)

-- threads/search (the owner's threads; requests of any tenants; by ids)
-- - and true
-- + and true and thread.thread_id = any(array(select id::uuid from jsonb_array_elements_text((asked.criteria -> 0)) as id))

-- threads/search (the owner's threads; requests of any tenants; by all of these)
-- - and true
-- + and true and thread.metadata @> (asked.criteria -> 0) and ((thread.agent_thread_id is null and exists (select from ( select * from thread_store.checkpoint where thread.last_seq > 0 and checkpoint.tenant = asked.tenant and checkpoint.thread_id = thread.thread_id and checkpoint.checkpoint_ns = '' order by checkpoint.checkpoint_id desc limit 1 ) as head where true and exists (select from thread_store.channel_value where channel_value.tenant = asked.tenant and channel_value.thread_id = thread.thread_id and channel_value.seq = (head.channels -> (asked.criteria ->> 1) ->> 0)::bigint and channel_value.channel = (asked.criteria ->> 1) and (head.channels -> (asked.criteria ->> 1) ->> 1)::bigint < 33554432 and jsonb_build_object((asked.criteria ->> 1), channel_value.value::jsonb) @> (asked.criteria -> 2)) and head.state_bytes < 33554432 and jsonb_build_object((asked.criteria ->> 3), (select case when head.messages_end is not null then coalesce(jsonb_agg(visible.message::jsonb), '[]') end from (
-- + select distinct on (written.position) written.position, written.seq, written.message
-- + from (
-- + select position, seq, message
-- + from thread_store.message
-- + where message.tenant = asked.tenant
-- + and message.thread_id = thread.thread_id
-- + and message.branch = head.branch
-- + and message.position >= head.messages_start
-- + and message.position < head.messages_end
-- + and message.seq <= head.seq
-- + union all
-- + select inherited.position, inherited.seq, inherited.message
-- + from jsonb_array_elements(head.ancestors) as ancestor
-- + cross join lateral (
-- + select position, seq, message
-- + from thread_store.message
-- + where message.tenant = asked.tenant
-- + and message.thread_id = thread.thread_id
-- + and message.branch = (ancestor ->> 0)::bigint
-- + and message.position >= head.messages_start
-- + and message.position < (ancestor ->> 2)::bigint
-- + and message.seq <= (ancestor ->> 1)::bigint
-- + offset 0
-- + ) as inherited
-- + ) as written
-- + order by written.position, written.seq desc) as visible where visible.message is not null)) @> (asked.criteria -> 4)))) and thread.status = (asked.criteria ->> 5) and thread.thread_id = any(array(select id::uuid from jsonb_array_elements_text((asked.criteria -> 6)) as id))

-- threads/search (the owner's threads; requests of any tenants; by a filter)
-- - and true
-- + and true and ((((thread.metadata -> (asked.criteria ->> 0)) -> (asked.criteria ->> 1)) = any(array(select jsonb_array_elements((asked.criteria -> 2))))) or (coalesce(thread.metadata ->> (asked.criteria ->> 3) = any(array(select jsonb_array_elements_text((asked.criteria -> 4)))) and jsonb_typeof(thread.metadata -> (asked.criteria ->> 3)) = 'string', not thread.metadata ? (asked.criteria ->> 3))) or (not coalesce((select one.held = (asked.criteria -> 6) from (select (select newest.value from ( select * from thread_store.checkpoint where thread.last_seq > 0 and checkpoint.tenant = asked.tenant and checkpoint.thread_id = thread.thread_id and checkpoint.checkpoint_ns = '' order by checkpoint.checkpoint_id desc limit 1 ) as head cross join lateral (select channel_value.value::jsonb as value from thread_store.channel_value where channel_value.tenant = asked.tenant and channel_value.thread_id = thread.thread_id and channel_value.seq = (head.channels -> (asked.criteria ->> 5) ->> 0)::bigint and channel_value.channel = (asked.criteria ->> 5) and (head.channels -> (asked.criteria ->> 5) ->> 1)::bigint < 33554432) as newest) as held offset 0) as one), false)) or (thread.updated_at < ((asked.criteria ->> 7))::timestamptz))

-- threads/list (the owner's threads; requests of any tenants; by UpdatedAt, ascending)
-- - and (thread.updated_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
-- + and (thread.updated_at, thread.thread_id) > (asked.behind::timestamptz, asked.behind_id)
-- - order by thread.updated_at desc, thread.thread_id desc
-- + order by thread.updated_at asc, thread.thread_id asc

-- threads/list (the owner's threads; requests of any tenants; by CreatedAt, descending)
-- - and (thread.updated_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
-- + and (thread.created_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
-- - order by thread.updated_at desc, thread.thread_id desc
-- + order by thread.created_at desc, thread.thread_id desc

-- threads/list (the owner's threads; requests of any tenants; by CreatedAt, ascending)
-- - and (thread.updated_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
-- + and (thread.created_at, thread.thread_id) > (asked.behind::timestamptz, asked.behind_id)
-- - order by thread.updated_at desc, thread.thread_id desc
-- + order by thread.created_at asc, thread.thread_id asc

-- threads/list (the owner's threads; requests of any tenants; by StateUpdatedAt, descending)
-- - and (thread.updated_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
-- + and (thread.state_updated_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
-- - order by thread.updated_at desc, thread.thread_id desc
-- + order by thread.state_updated_at desc, thread.thread_id desc

-- threads/list (the owner's threads; requests of any tenants; by StateUpdatedAt, ascending)
-- - and (thread.updated_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
-- + and (thread.state_updated_at, thread.thread_id) > (asked.behind::timestamptz, asked.behind_id)
-- - order by thread.updated_at desc, thread.thread_id desc
-- + order by thread.state_updated_at asc, thread.thread_id asc

-- threads/list (the owner's threads; requests of any tenants; by Status, descending)
-- - and (thread.updated_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
-- + and (thread.status collate "C", thread.thread_id) < (asked.behind::text, asked.behind_id)
-- - order by thread.updated_at desc, thread.thread_id desc
-- + order by thread.status collate "C" desc, thread.thread_id desc

-- threads/list (the owner's threads; requests of any tenants; by Status, ascending)
-- - and (thread.updated_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
-- + and (thread.status collate "C", thread.thread_id) > (asked.behind::text, asked.behind_id)
-- - order by thread.updated_at desc, thread.thread_id desc
-- + order by thread.status collate "C" asc, thread.thread_id asc

-- threads/list (the owner's threads; requests of any tenants; by ThreadId, descending)
-- - and (thread.updated_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
-- + and (thread.thread_id, thread.thread_id) < (asked.behind::uuid, asked.behind_id)
-- - order by thread.updated_at desc, thread.thread_id desc
-- + order by thread.thread_id desc, thread.thread_id desc

-- threads/list (the owner's threads; requests of any tenants; by ThreadId, ascending)
-- - and (thread.updated_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
-- + and (thread.thread_id, thread.thread_id) > (asked.behind::uuid, asked.behind_id)
-- - order by thread.updated_at desc, thread.thread_id desc
-- + order by thread.thread_id asc, thread.thread_id asc

-- threads/list (the owner's threads; requests of any tenants; by metadata)
-- - and true
-- + and true and thread.metadata @> asked.criteria

-- threads/list (the owner's threads; requests of any tenants; by values)
-- - and true
-- + and true and ((thread.agent_thread_id is null and exists (select from ( select * from thread_store.checkpoint where thread.last_seq > 0 and checkpoint.tenant = asked.tenant and checkpoint.thread_id = thread.thread_id and checkpoint.checkpoint_ns = '' order by checkpoint.checkpoint_id desc limit 1 ) as head where true and exists (select from thread_store.channel_value where channel_value.tenant = asked.tenant and channel_value.thread_id = thread.thread_id and channel_value.seq = (head.channels -> (asked.criteria ->> 0) ->> 0)::bigint and channel_value.channel = (asked.criteria ->> 0) and (head.channels -> (asked.criteria ->> 0) ->> 1)::bigint < 33554432 and jsonb_build_object((asked.criteria ->> 0), channel_value.value::jsonb) @> (asked.criteria -> 1)) and head.state_bytes < 33554432 and jsonb_build_object((asked.criteria ->> 2), (select case when head.messages_end is not null then coalesce(jsonb_agg(visible.message::jsonb), '[]') end from (
-- + select distinct on (written.position) written.position, written.seq, written.message
-- + from (
-- + select position, seq, message
-- + from thread_store.message
-- + where message.tenant = asked.tenant
-- + and message.thread_id = thread.thread_id
-- + and message.branch = head.branch
-- + and message.position >= head.messages_start
-- + and message.position < head.messages_end
-- + and message.seq <= head.seq
-- + union all
-- + select inherited.position, inherited.seq, inherited.message
-- + from jsonb_array_elements(head.ancestors) as ancestor
-- + cross join lateral (
-- + select position, seq, message
-- + from thread_store.message
-- + where message.tenant = asked.tenant
-- + and message.thread_id = thread.thread_id
-- + and message.branch = (ancestor ->> 0)::bigint
-- + and message.position >= head.messages_start
-- + and message.position < (ancestor ->> 2)::bigint
-- + and message.seq <= (ancestor ->> 1)::bigint
-- + offset 0
-- + ) as inherited
-- + ) as written
-- + order by written.position, written.seq desc) as visible where visible.message is not null)) @> (asked.criteria -> 3))))

-- threads/list (the owner's threads; requests of any tenants; by status)
-- - and true
-- + and true and thread.status = (asked.criteria ->> 0)

-- threads/list (the owner's threads; requests of any tenants; by ids)
-- - and true
-- + and true and thread.thread_id = any(array(select id::uuid from jsonb_array_elements_text((asked.criteria -> 0)) as id))

-- threads/list (the owner's threads; requests of any tenants; by all of these)
-- - and true
-- + and true and thread.metadata @> (asked.criteria -> 0) and ((thread.agent_thread_id is null and exists (select from ( select * from thread_store.checkpoint where thread.last_seq > 0 and checkpoint.tenant = asked.tenant and checkpoint.thread_id = thread.thread_id and checkpoint.checkpoint_ns = '' order by checkpoint.checkpoint_id desc limit 1 ) as head where true and exists (select from thread_store.channel_value where channel_value.tenant = asked.tenant and channel_value.thread_id = thread.thread_id and channel_value.seq = (head.channels -> (asked.criteria ->> 1) ->> 0)::bigint and channel_value.channel = (asked.criteria ->> 1) and (head.channels -> (asked.criteria ->> 1) ->> 1)::bigint < 33554432 and jsonb_build_object((asked.criteria ->> 1), channel_value.value::jsonb) @> (asked.criteria -> 2)) and head.state_bytes < 33554432 and jsonb_build_object((asked.criteria ->> 3), (select case when head.messages_end is not null then coalesce(jsonb_agg(visible.message::jsonb), '[]') end from (
-- + select distinct on (written.position) written.position, written.seq, written.message
-- + from (
-- + select position, seq, message
-- + from thread_store.message
-- + where message.tenant = asked.tenant
-- + and message.thread_id = thread.thread_id
-- + and message.branch = head.branch
-- + and message.position >= head.messages_start
-- + and message.position < head.messages_end
-- + and message.seq <= head.seq
-- + union all
-- + select inherited.position, inherited.seq, inherited.message
-- + from jsonb_array_elements(head.ancestors) as ancestor
-- + cross join lateral (
-- + select position, seq, message
-- + from thread_store.message
-- + where message.tenant = asked.tenant
-- + and message.thread_id = thread.thread_id
-- + and message.branch = (ancestor ->> 0)::bigint
-- + and message.position >= head.messages_start
-- + and message.position < (ancestor ->> 2)::bigint
-- + and message.seq <= (ancestor ->> 1)::bigint
-- + offset 0
-- + ) as inherited
-- + ) as written
-- + order by written.position, written.seq desc) as visible where visible.message is not null)) @> (asked.criteria -> 4)))) and thread.status = (asked.criteria ->> 5) and thread.thread_id = any(array(select id::uuid from jsonb_array_elements_text((asked.criteria -> 6)) as id))

-- threads/list (the owner's threads; requests of any tenants; by a filter)
-- - and true
-- + and true and ((((thread.metadata -> (asked.criteria ->> 0)) -> (asked.criteria ->> 1)) = any(array(select jsonb_array_elements((asked.criteria -> 2))))) or (coalesce(thread.metadata ->> (asked.criteria ->> 3) = any(array(select jsonb_array_elements_text((asked.criteria -> 4)))) and jsonb_typeof(thread.metadata -> (asked.criteria ->> 3)) = 'string', not thread.metadata ? (asked.criteria ->> 3))) or (not coalesce((select one.held = (asked.criteria -> 6) from (select (select newest.value from ( select * from thread_store.checkpoint where thread.last_seq > 0 and checkpoint.tenant = asked.tenant and checkpoint.thread_id = thread.thread_id and checkpoint.checkpoint_ns = '' order by checkpoint.checkpoint_id desc limit 1 ) as head cross join lateral (select channel_value.value::jsonb as value from thread_store.channel_value where channel_value.tenant = asked.tenant and channel_value.thread_id = thread.thread_id and channel_value.seq = (head.channels -> (asked.criteria ->> 5) ->> 0)::bigint and channel_value.channel = (asked.criteria ->> 5) and (head.channels -> (asked.criteria ->> 5) ->> 1)::bigint < 33554432) as newest) as held offset 0) as one), false)) or (thread.updated_at < ((asked.criteria ->> 7))::timestamptz))

-- threads/search_recent (the owner's threads; requests of any tenants; by metadata)
-- - thread.agent_thread_id, thread.agent_settled, true as is_match
-- + thread.agent_thread_id, thread.agent_settled, true and thread.metadata @> asked.criteria as is_match

-- threads/search_recent (the owner's threads; requests of any tenants; by values)
-- - thread.agent_thread_id, thread.agent_settled, true as is_match
-- + thread.agent_thread_id, thread.agent_settled, true and ((thread.agent_thread_id is null and exists (select from ( select * from thread_store.checkpoint where thread.last_seq > 0 and checkpoint.tenant = asked.tenant and checkpoint.thread_id = thread.thread_id and checkpoint.checkpoint_ns = '' order by checkpoint.checkpoint_id desc limit 1 ) as head where true and exists (select from thread_store.channel_value where channel_value.tenant = asked.tenant and channel_value.thread_id = thread.thread_id and channel_value.seq = (head.channels -> (asked.criteria ->> 0) ->> 0)::bigint and channel_value.channel = (asked.criteria ->> 0) and (head.channels -> (asked.criteria ->> 0) ->> 1)::bigint < 33554432 and jsonb_build_object((asked.criteria ->> 0), channel_value.value::jsonb) @> (asked.criteria -> 1)) and head.state_bytes < 33554432 and jsonb_build_object((asked.criteria ->> 2), (select case when head.messages_end is not null then coalesce(jsonb_agg(visible.message::jsonb), '[]') end from (
-- + select distinct on (written.position) written.position, written.seq, written.message
-- + from (
-- + select position, seq, message
-- + from thread_store.message
-- + where message.tenant = asked.tenant
-- + and message.thread_id = thread.thread_id
-- + and message.branch = head.branch
-- + and message.position >= head.messages_start
-- + and message.position < head.messages_end
-- + and message.seq <= head.seq
-- + union all
-- + select inherited.position, inherited.seq, inherited.message
-- + from jsonb_array_elements(head.ancestors) as ancestor
-- + cross join lateral (
-- + select position, seq, message
-- + from thread_store.message
-- + where message.tenant = asked.tenant
-- + and message.thread_id = thread.thread_id
-- + and message.branch = (ancestor ->> 0)::bigint
-- + and message.position >= head.messages_start
-- + and message.position < (ancestor ->> 2)::bigint
-- + and message.seq <= (ancestor ->> 1)::bigint
-- + offset 0
-- + ) as inherited
-- + ) as written
-- + order by written.position, written.seq desc) as visible where visible.message is not null)) @> (asked.criteria -> 3)))) as is_match

-- threads/search_recent (the owner's threads; requests of any tenants; by status)
-- - thread.agent_thread_id, thread.agent_settled, true as is_match
-- + thread.agent_thread_id, thread.agent_settled, true and thread.status = (asked.criteria ->> 0) as is_match

-- threads/search_recent (the owner's threads; requests of any tenants; by ids)
-- - thread.agent_thread_id, thread.agent_settled, true as is_match
-- + thread.agent_thread_id, thread.agent_settled, true and thread.thread_id = any(array(select id::uuid from jsonb_array_elements_text((asked.criteria -> 0)) as id)) as is_match

-- threads/search_recent (the owner's threads; requests of any tenants; by all of these)
-- - thread.agent_thread_id, thread.agent_settled, true as is_match
-- + thread.agent_thread_id, thread.agent_settled, true and thread.metadata @> (asked.criteria -> 0) and ((thread.agent_thread_id is null and exists (select from ( select * from thread_store.checkpoint where thread.last_seq > 0 and checkpoint.tenant = asked.tenant and checkpoint.thread_id = thread.thread_id and checkpoint.checkpoint_ns = '' order by checkpoint.checkpoint_id desc limit 1 ) as head where true and exists (select from thread_store.channel_value where channel_value.tenant = asked.tenant and channel_value.thread_id = thread.thread_id and channel_value.seq = (head.channels -> (asked.criteria ->> 1) ->> 0)::bigint and channel_value.channel = (asked.criteria ->> 1) and (head.channels -> (asked.criteria ->> 1) ->> 1)::bigint < 33554432 and jsonb_build_object((asked.criteria ->> 1), channel_value.value::jsonb) @> (asked.criteria -> 2)) and head.state_bytes < 33554432 and jsonb_build_object((asked.criteria ->> 3), (select case when head.messages_end is not null then coalesce(jsonb_agg(visible.message::jsonb), '[]') end from (
-- + select distinct on (written.position) written.position, written.seq, written.message
-- + from (
-- + select position, seq, message
-- + from thread_store.message
-- + where message.tenant = asked.tenant
-- + and message.thread_id = thread.thread_id
-- + and message.branch = head.branch
-- + and message.position >= head.messages_start
-- + and message.position < head.messages_end
-- + and message.seq <= head.seq
-- + union all
-- + select inherited.position, inherited.seq, inherited.message
-- + from jsonb_array_elements(head.ancestors) as ancestor
-- + cross join lateral (
-- + select position, seq, message
-- + from thread_store.message
-- + where message.tenant = asked.tenant
-- + and message.thread_id = thread.thread_id
-- + and message.branch = (ancestor ->> 0)::bigint
-- + and message.position >= head.messages_start
-- + and message.position < (ancestor ->> 2)::bigint
-- + and message.seq <= (ancestor ->> 1)::bigint
-- + offset 0
-- + ) as inherited
-- + ) as written
-- + order by written.position, written.seq desc) as visible where visible.message is not null)) @> (asked.criteria -> 4)))) and thread.status = (asked.criteria ->> 5) and thread.thread_id = any(array(select id::uuid from jsonb_array_elements_text((asked.criteria -> 6)) as id)) as is_match

-- threads/search_recent (the owner's threads; requests of any tenants; by a filter)
-- - thread.agent_thread_id, thread.agent_settled, true as is_match
-- + thread.agent_thread_id, thread.agent_settled, true and ((((thread.metadata -> (asked.criteria ->> 0)) -> (asked.criteria ->> 1)) = any(array(select jsonb_array_elements((asked.criteria -> 2))))) or (coalesce(thread.metadata ->> (asked.criteria ->> 3) = any(array(select jsonb_array_elements_text((asked.criteria -> 4)))) and jsonb_typeof(thread.metadata -> (asked.criteria ->> 3)) = 'string', not thread.metadata ? (asked.criteria ->> 3))) or (not coalesce((select one.held = (asked.criteria -> 6) from (select (select newest.value from ( select * from thread_store.checkpoint where thread.last_seq > 0 and checkpoint.tenant = asked.tenant and checkpoint.thread_id = thread.thread_id and checkpoint.checkpoint_ns = '' order by checkpoint.checkpoint_id desc limit 1 ) as head cross join lateral (select channel_value.value::jsonb as value from thread_store.channel_value where channel_value.tenant = asked.tenant and channel_value.thread_id = thread.thread_id and channel_value.seq = (head.channels -> (asked.criteria ->> 5) ->> 0)::bigint and channel_value.channel = (asked.criteria ->> 5) and (head.channels -> (asked.criteria ->> 5) ->> 1)::bigint < 33554432) as newest) as held offset 0) as one), false)) or (thread.updated_at < ((asked.criteria ->> 7))::timestamptz)) as is_match

-- threads/search_own (the owner's threads; requests of any tenants; by metadata)
-- - thread.agent_thread_id, thread.agent_settled, true and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') as is_match
-- + thread.agent_thread_id, thread.agent_settled, true and thread.metadata @> asked.criteria and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') as is_match

-- threads/search_own (the owner's threads; requests of any tenants; by values)
-- - thread.agent_thread_id, thread.agent_settled, true and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') as is_match
-- + thread.agent_thread_id, thread.agent_settled, true and ((thread.agent_thread_id is null and exists (select from ( select * from thread_store.checkpoint where thread.last_seq > 0 and checkpoint.tenant = asked.tenant and checkpoint.thread_id = thread.thread_id and checkpoint.checkpoint_ns = '' order by checkpoint.checkpoint_id desc limit 1 ) as head where true and exists (select from thread_store.channel_value where channel_value.tenant = asked.tenant and channel_value.thread_id = thread.thread_id and channel_value.seq = (head.channels -> (asked.criteria ->> 0) ->> 0)::bigint and channel_value.channel = (asked.criteria ->> 0) and (head.channels -> (asked.criteria ->> 0) ->> 1)::bigint < 33554432 and jsonb_build_object((asked.criteria ->> 0), channel_value.value::jsonb) @> (asked.criteria -> 1)) and head.state_bytes < 33554432 and jsonb_build_object((asked.criteria ->> 2), (select case when head.messages_end is not null then coalesce(jsonb_agg(visible.message::jsonb), '[]') end from (
-- + select distinct on (written.position) written.position, written.seq, written.message
-- + from (
-- + select position, seq, message
-- + from thread_store.message
-- + where message.tenant = asked.tenant
-- + and message.thread_id = thread.thread_id
-- + and message.branch = head.branch
-- + and message.position >= head.messages_start
-- + and message.position < head.messages_end
-- + and message.seq <= head.seq
-- + union all
-- + select inherited.position, inherited.seq, inherited.message
-- + from jsonb_array_elements(head.ancestors) as ancestor
-- + cross join lateral (
-- + select position, seq, message
-- + from thread_store.message
-- + where message.tenant = asked.tenant
-- + and message.thread_id = thread.thread_id
-- + and message.branch = (ancestor ->> 0)::bigint
-- + and message.position >= head.messages_start
-- + and message.position < (ancestor ->> 2)::bigint
-- + and message.seq <= (ancestor ->> 1)::bigint
-- + offset 0
-- + ) as inherited
-- + ) as written
-- + order by written.position, written.seq desc) as visible where visible.message is not null)) @> (asked.criteria -> 3)))) and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') as is_match

-- threads/search_own (the owner's threads; requests of any tenants; by status)
-- - thread.agent_thread_id, thread.agent_settled, true and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') as is_match
-- + thread.agent_thread_id, thread.agent_settled, true and thread.status = (asked.criteria ->> 0) and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') as is_match

-- threads/search_own (the owner's threads; requests of any tenants; by ids)
-- - thread.agent_thread_id, thread.agent_settled, true and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') as is_match
-- + thread.agent_thread_id, thread.agent_settled, true and thread.thread_id = any(array(select id::uuid from jsonb_array_elements_text((asked.criteria -> 0)) as id)) and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') as is_match

-- threads/search_own (the owner's threads; requests of any tenants; by all of these)
-- - thread.agent_thread_id, thread.agent_settled, true and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') as is_match
-- + thread.agent_thread_id, thread.agent_settled, true and thread.metadata @> (asked.criteria -> 0) and ((thread.agent_thread_id is null and exists (select from ( select * from thread_store.checkpoint where thread.last_seq > 0 and checkpoint.tenant = asked.tenant and checkpoint.thread_id = thread.thread_id and checkpoint.checkpoint_ns = '' order by checkpoint.checkpoint_id desc limit 1 ) as head where true and exists (select from thread_store.channel_value where channel_value.tenant = asked.tenant and channel_value.thread_id = thread.thread_id and channel_value.seq = (head.channels -> (asked.criteria ->> 1) ->> 0)::bigint and channel_value.channel = (asked.criteria ->> 1) and (head.channels -> (asked.criteria ->> 1) ->> 1)::bigint < 33554432 and jsonb_build_object((asked.criteria ->> 1), channel_value.value::jsonb) @> (asked.criteria -> 2)) and head.state_bytes < 33554432 and jsonb_build_object((asked.criteria ->> 3), (select case when head.messages_end is not null then coalesce(jsonb_agg(visible.message::jsonb), '[]') end from (
-- + select distinct on (written.position) written.position, written.seq, written.message
-- + from (
-- + select position, seq, message
-- + from thread_store.message
-- + where message.tenant = asked.tenant
-- + and message.thread_id = thread.thread_id
-- + and message.branch = head.branch
-- + and message.position >= head.messages_start
-- + and message.position < head.messages_end
-- + and message.seq <= head.seq
-- + union all
-- + select inherited.position, inherited.seq, inherited.message
-- + from jsonb_array_elements(head.ancestors) as ancestor
-- + cross join lateral (
-- + select position, seq, message
-- + from thread_store.message
-- + where message.tenant = asked.tenant
-- + and message.thread_id = thread.thread_id
-- + and message.branch = (ancestor ->> 0)::bigint
-- + and message.position >= head.messages_start
-- + and message.position < (ancestor ->> 2)::bigint
-- + and message.seq <= (ancestor ->> 1)::bigint
-- + offset 0
-- + ) as inherited
-- + ) as written
-- + order by written.position, written.seq desc) as visible where visible.message is not null)) @> (asked.criteria -> 4)))) and thread.status = (asked.criteria ->> 5) and thread.thread_id = any(array(select id::uuid from jsonb_array_elements_text((asked.criteria -> 6)) as id)) and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') as is_match

-- threads/search_own (the owner's threads; requests of any tenants; by a filter)
-- - thread.agent_thread_id, thread.agent_settled, true and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') as is_match
-- + thread.agent_thread_id, thread.agent_settled, true and ((((thread.metadata -> (asked.criteria ->> 0)) -> (asked.criteria ->> 1)) = any(array(select jsonb_array_elements((asked.criteria -> 2))))) or (coalesce(thread.metadata ->> (asked.criteria ->> 3) = any(array(select jsonb_array_elements_text((asked.criteria -> 4)))) and jsonb_typeof(thread.metadata -> (asked.criteria ->> 3)) = 'string', not thread.metadata ? (asked.criteria ->> 3))) or (not coalesce((select one.held = (asked.criteria -> 6) from (select (select newest.value from ( select * from thread_store.checkpoint where thread.last_seq > 0 and checkpoint.tenant = asked.tenant and checkpoint.thread_id = thread.thread_id and checkpoint.checkpoint_ns = '' order by checkpoint.checkpoint_id desc limit 1 ) as head cross join lateral (select channel_value.value::jsonb as value from thread_store.channel_value where channel_value.tenant = asked.tenant and channel_value.thread_id = thread.thread_id and channel_value.seq = (head.channels -> (asked.criteria ->> 5) ->> 0)::bigint and channel_value.channel = (asked.criteria ->> 5) and (head.channels -> (asked.criteria ->> 5) ->> 1)::bigint < 33554432) as newest) as held offset 0) as one), false)) or (thread.updated_at < ((asked.criteria ->> 7))::timestamptz)) and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') as is_match

-- threads/count (the owner's threads; requests of any tenants; by metadata)
-- - where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true
-- + where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true and thread.metadata @> asked.criteria

-- threads/count (the owner's threads; requests of any tenants; by values)
-- - where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true
-- + where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true and ((thread.agent_thread_id is null and exists (select from ( select * from thread_store.checkpoint where thread.last_seq > 0 and checkpoint.tenant = asked.tenant and checkpoint.thread_id = thread.thread_id and checkpoint.checkpoint_ns = '' order by checkpoint.checkpoint_id desc limit 1 ) as head where true and exists (select from thread_store.channel_value where channel_value.tenant = asked.tenant and channel_value.thread_id = thread.thread_id and channel_value.seq = (head.channels -> (asked.criteria ->> 0) ->> 0)::bigint and channel_value.channel = (asked.criteria ->> 0) and (head.channels -> (asked.criteria ->> 0) ->> 1)::bigint < 33554432 and jsonb_build_object((asked.criteria ->> 0), channel_value.value::jsonb) @> (asked.criteria -> 1)) and head.state_bytes < 33554432 and jsonb_build_object((asked.criteria ->> 2), (select case when head.messages_end is not null then coalesce(jsonb_agg(visible.message::jsonb), '[]') end from (
-- + select distinct on (written.position) written.position, written.seq, written.message
-- + from (
-- + select position, seq, message
-- + from thread_store.message
-- + where message.tenant = asked.tenant
-- + and message.thread_id = thread.thread_id
-- + and message.branch = head.branch
-- + and message.position >= head.messages_start
-- + and message.position < head.messages_end
-- + and message.seq <= head.seq
-- + union all
-- + select inherited.position, inherited.seq, inherited.message
-- + from jsonb_array_elements(head.ancestors) as ancestor
-- + cross join lateral (
-- + select position, seq, message
-- + from thread_store.message
-- + where message.tenant = asked.tenant
-- + and message.thread_id = thread.thread_id
-- + and message.branch = (ancestor ->> 0)::bigint
-- + and message.position >= head.messages_start
-- + and message.position < (ancestor ->> 2)::bigint
-- + and message.seq <= (ancestor ->> 1)::bigint
-- + offset 0
-- + ) as inherited
-- + ) as written
-- + order by written.position, written.seq desc) as visible where visible.message is not null)) @> (asked.criteria -> 3))))

-- threads/count (the owner's threads; requests of any tenants; by status)
-- - where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true
-- + where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true and thread.status = (asked.criteria ->> 0)

-- threads/count (the owner's threads; requests of any tenants; by ids)
-- - where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true
-- + where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true and thread.thread_id = any(array(select id::uuid from jsonb_array_elements_text((asked.criteria -> 0)) as id))

-- threads/count (the owner's threads; requests of any tenants; by all of these)
-- - where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true
-- + where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true and thread.metadata @> (asked.criteria -> 0) and ((thread.agent_thread_id is null and exists (select from ( select * from thread_store.checkpoint where thread.last_seq > 0 and checkpoint.tenant = asked.tenant and checkpoint.thread_id = thread.thread_id and checkpoint.checkpoint_ns = '' order by checkpoint.checkpoint_id desc limit 1 ) as head where true and exists (select from thread_store.channel_value where channel_value.tenant = asked.tenant and channel_value.thread_id = thread.thread_id and channel_value.seq = (head.channels -> (asked.criteria ->> 1) ->> 0)::bigint and channel_value.channel = (asked.criteria ->> 1) and (head.channels -> (asked.criteria ->> 1) ->> 1)::bigint < 33554432 and jsonb_build_object((asked.criteria ->> 1), channel_value.value::jsonb) @> (asked.criteria -> 2)) and head.state_bytes < 33554432 and jsonb_build_object((asked.criteria ->> 3), (select case when head.messages_end is not null then coalesce(jsonb_agg(visible.message::jsonb), '[]') end from (
-- + select distinct on (written.position) written.position, written.seq, written.message
-- + from (
-- + select position, seq, message
-- + from thread_store.message
-- + where message.tenant = asked.tenant
-- + and message.thread_id = thread.thread_id
-- + and message.branch = head.branch
-- + and message.position >= head.messages_start
-- + and message.position < head.messages_end
-- + and message.seq <= head.seq
-- + union all
-- + select inherited.position, inherited.seq, inherited.message
-- + from jsonb_array_elements(head.ancestors) as ancestor
-- + cross join lateral (
-- + select position, seq, message
-- + from thread_store.message
-- + where message.tenant = asked.tenant
-- + and message.thread_id = thread.thread_id
-- + and message.branch = (ancestor ->> 0)::bigint
-- + and message.position >= head.messages_start
-- + and message.position < (ancestor ->> 2)::bigint
-- + and message.seq <= (ancestor ->> 1)::bigint
-- + offset 0
-- + ) as inherited
-- + ) as written
-- + order by written.position, written.seq desc) as visible where visible.message is not null)) @> (asked.criteria -> 4)))) and thread.status = (asked.criteria ->> 5) and thread.thread_id = any(array(select id::uuid from jsonb_array_elements_text((asked.criteria -> 6)) as id))

-- threads/count (the owner's threads; requests of any tenants; by a filter)
-- - where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true
-- + where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true and ((((thread.metadata -> (asked.criteria ->> 0)) -> (asked.criteria ->> 1)) = any(array(select jsonb_array_elements((asked.criteria -> 2))))) or (coalesce(thread.metadata ->> (asked.criteria ->> 3) = any(array(select jsonb_array_elements_text((asked.criteria -> 4)))) and jsonb_typeof(thread.metadata -> (asked.criteria ->> 3)) = 'string', not thread.metadata ? (asked.criteria ->> 3))) or (not coalesce((select one.held = (asked.criteria -> 6) from (select (select newest.value from ( select * from thread_store.checkpoint where thread.last_seq > 0 and checkpoint.tenant = asked.tenant and checkpoint.thread_id = thread.thread_id and checkpoint.checkpoint_ns = '' order by checkpoint.checkpoint_id desc limit 1 ) as head cross join lateral (select channel_value.value::jsonb as value from thread_store.channel_value where channel_value.tenant = asked.tenant and channel_value.thread_id = thread.thread_id and channel_value.seq = (head.channels -> (asked.criteria ->> 5) ->> 0)::bigint and channel_value.channel = (asked.criteria ->> 5) and (head.channels -> (asked.criteria ->> 5) ->> 1)::bigint < 33554432) as newest) as held offset 0) as one), false)) or (thread.updated_at < ((asked.criteria ->> 7))::timestamptz))

-- state/read (the owner's threads; requests of any tenants; oldest first)
-- - order by checkpoint.checkpoint_id desc
-- + order by checkpoint.checkpoint_id asc
-- - order by checkpoint.checkpoint_id desc
-- + order by checkpoint.checkpoint_id asc

-- agent/states (the owner's threads; requests of any tenants; oldest first)
-- - order by saved.checkpoint_id desc
-- + order by saved.checkpoint_id asc
-- - window page as (order by saved.checkpoint_id desc)
-- + window page as (order by saved.checkpoint_id asc)

-- agent/candidates (the owner's threads; requests of any tenants; by metadata)
-- - and true
-- + and true and thread.metadata @> asked.criteria

-- agent/candidates (the owner's threads; requests of any tenants; by values)
-- - and true
-- + and true and ((thread.agent_thread_id is null and exists (select from ( select * from thread_store.checkpoint where thread.last_seq > 0 and checkpoint.tenant = asked.tenant and checkpoint.thread_id = thread.thread_id and checkpoint.checkpoint_ns = '' order by checkpoint.checkpoint_id desc limit 1 ) as head where true and exists (select from thread_store.channel_value where channel_value.tenant = asked.tenant and channel_value.thread_id = thread.thread_id and channel_value.seq = (head.channels -> (asked.criteria ->> 0) ->> 0)::bigint and channel_value.channel = (asked.criteria ->> 0) and (head.channels -> (asked.criteria ->> 0) ->> 1)::bigint < 33554432 and jsonb_build_object((asked.criteria ->> 0), channel_value.value::jsonb) @> (asked.criteria -> 1)) and head.state_bytes < 33554432 and jsonb_build_object((asked.criteria ->> 2), (select case when head.messages_end is not null then coalesce(jsonb_agg(visible.message::jsonb), '[]') end from (
-- + select distinct on (written.position) written.position, written.seq, written.message
-- + from (
-- + select position, seq, message
-- + from thread_store.message
-- + where message.tenant = asked.tenant
-- + and message.thread_id = thread.thread_id
-- + and message.branch = head.branch
-- + and message.position >= head.messages_start
-- + and message.position < head.messages_end
-- + and message.seq <= head.seq
-- + union all
-- + select inherited.position, inherited.seq, inherited.message
-- + from jsonb_array_elements(head.ancestors) as ancestor
-- + cross join lateral (
-- + select position, seq, message
-- + from thread_store.message
-- + where message.tenant = asked.tenant
-- + and message.thread_id = thread.thread_id
-- + and message.branch = (ancestor ->> 0)::bigint
-- + and message.position >= head.messages_start
-- + and message.position < (ancestor ->> 2)::bigint
-- + and message.seq <= (ancestor ->> 1)::bigint
-- + offset 0
-- + ) as inherited
-- + ) as written
-- + order by written.position, written.seq desc) as visible where visible.message is not null)) @> (asked.criteria -> 3))))

-- agent/candidates (the owner's threads; requests of any tenants; by status)
-- - and true
-- + and true and thread.status = (asked.criteria ->> 0)

-- agent/candidates (the owner's threads; requests of any tenants; by ids)
-- - and true
-- + and true and thread.thread_id = any(array(select id::uuid from jsonb_array_elements_text((asked.criteria -> 0)) as id))

-- agent/candidates (the owner's threads; requests of any tenants; by all of these)
-- - and true
-- + and true and thread.metadata @> (asked.criteria -> 0) and ((thread.agent_thread_id is null and exists (select from ( select * from thread_store.checkpoint where thread.last_seq > 0 and checkpoint.tenant = asked.tenant and checkpoint.thread_id = thread.thread_id and checkpoint.checkpoint_ns = '' order by checkpoint.checkpoint_id desc limit 1 ) as head where true and exists (select from thread_store.channel_value where channel_value.tenant = asked.tenant and channel_value.thread_id = thread.thread_id and channel_value.seq = (head.channels -> (asked.criteria ->> 1) ->> 0)::bigint and channel_value.channel = (asked.criteria ->> 1) and (head.channels -> (asked.criteria ->> 1) ->> 1)::bigint < 33554432 and jsonb_build_object((asked.criteria ->> 1), channel_value.value::jsonb) @> (asked.criteria -> 2)) and head.state_bytes < 33554432 and jsonb_build_object((asked.criteria ->> 3), (select case when head.messages_end is not null then coalesce(jsonb_agg(visible.message::jsonb), '[]') end from (
-- + select distinct on (written.position) written.position, written.seq, written.message
-- + from (
-- + select position, seq, message
-- + from thread_store.message
-- + where message.tenant = asked.tenant
-- + and message.thread_id = thread.thread_id
-- + and message.branch = head.branch
-- + and message.position >= head.messages_start
-- + and message.position < head.messages_end
-- + and message.seq <= head.seq
-- + union all
-- + select inherited.position, inherited.seq, inherited.message
-- + from jsonb_array_elements(head.ancestors) as ancestor
-- + cross join lateral (
-- + select position, seq, message
-- + from thread_store.message
-- + where message.tenant = asked.tenant
-- + and message.thread_id = thread.thread_id
-- + and message.branch = (ancestor ->> 0)::bigint
-- + and message.position >= head.messages_start
-- + and message.position < (ancestor ->> 2)::bigint
-- + and message.seq <= (ancestor ->> 1)::bigint
-- + offset 0
-- + ) as inherited
-- + ) as written
-- + order by written.position, written.seq desc) as visible where visible.message is not null)) @> (asked.criteria -> 4)))) and thread.status = (asked.criteria ->> 5) and thread.thread_id = any(array(select id::uuid from jsonb_array_elements_text((asked.criteria -> 6)) as id))

-- agent/candidates (the owner's threads; requests of any tenants; by a filter)
-- - and true
-- + and true and ((((thread.metadata -> (asked.criteria ->> 0)) -> (asked.criteria ->> 1)) = any(array(select jsonb_array_elements((asked.criteria -> 2))))) or (coalesce(thread.metadata ->> (asked.criteria ->> 3) = any(array(select jsonb_array_elements_text((asked.criteria -> 4)))) and jsonb_typeof(thread.metadata -> (asked.criteria ->> 3)) = 'string', not thread.metadata ? (asked.criteria ->> 3))) or (not coalesce((select one.held = (asked.criteria -> 6) from (select (select newest.value from ( select * from thread_store.checkpoint where thread.last_seq > 0 and checkpoint.tenant = asked.tenant and checkpoint.thread_id = thread.thread_id and checkpoint.checkpoint_ns = '' order by checkpoint.checkpoint_id desc limit 1 ) as head cross join lateral (select channel_value.value::jsonb as value from thread_store.channel_value where channel_value.tenant = asked.tenant and channel_value.thread_id = thread.thread_id and channel_value.seq = (head.channels -> (asked.criteria ->> 5) ->> 0)::bigint and channel_value.channel = (asked.criteria ->> 5) and (head.channels -> (asked.criteria ->> 5) ->> 1)::bigint < 33554432) as newest) as held offset 0) as one), false)) or (thread.updated_at < ((asked.criteria ->> 7))::timestamptz))

-- threads/create (the owner's threads; requests of one tenant)
-- - select asked.thread_id, asked.tenant
-- - from unnest($1::bigint[], $2::uuid[]) as asked (tenant, thread_id)
-- + select asked.thread_id, $1::bigint
-- + from unnest(array[$1::bigint], $2::uuid[]) as asked (tenant, thread_id)
-- - select asked.tenant, asked.thread_id, moment, moment, moment, asked.metadata::jsonb,
-- + select $1::bigint, asked.thread_id, moment, moment, moment, asked.metadata::jsonb,
-- - from unnest($1::bigint[], $2::uuid[], $3::text[], $4::float8[], $5::text[])
-- + from unnest(array[$1::bigint], $2::uuid[], $3::text[], $4::float8[], $5::text[])

-- threads/create_new (the owner's threads; requests of one tenant)
-- - select asked.thread_id, asked.tenant
-- - from unnest($1::bigint[], $2::uuid[]) as asked (tenant, thread_id)
-- + select asked.thread_id, $1::bigint
-- + from unnest(array[$1::bigint], $2::uuid[]) as asked (tenant, thread_id)
-- - select asked.tenant, asked.thread_id, moment, moment, moment, asked.metadata::jsonb,
-- + select $1::bigint, asked.thread_id, moment, moment, moment, asked.metadata::jsonb,
-- - from unnest($1::bigint[], $2::uuid[], $3::text[], $4::float8[], $5::text[])
-- + from unnest(array[$1::bigint], $2::uuid[], $3::text[], $4::float8[], $5::text[])

-- threads/get (the owner's threads; requests of one tenant)
-- - where channel_value.tenant = asked.tenant
-- + where channel_value.tenant = $1::bigint
-- - where message.tenant = asked.tenant
-- + where message.tenant = $1::bigint
-- - where message.tenant = asked.tenant
-- + where message.tenant = $1::bigint
-- - where head.tenant = asked.tenant
-- + where head.tenant = $1::bigint
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::bigint[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::bigint[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint

-- threads/patch (the owner's threads; requests of one tenant)
-- - $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[]::jsonb[], $5::float8[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::text[]::jsonb[], $5::float8[],
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - where thread.tenant = mine.tenant and thread.thread_id = mine.thread_id
-- + where thread.tenant = $1::bigint and thread.thread_id = mine.thread_id

-- threads/search (the owner's threads; requests of one tenant)
-- - end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n
-- + end as metadata_bytes, thread.state_bytes, $1::bigint as tenant, asked.n
-- - $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint

-- threads/search (the owner's threads; requests of one tenant; by metadata)
-- - end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n
-- + end as metadata_bytes, thread.state_bytes, $1::bigint as tenant, asked.n
-- - $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and true
-- + and true and thread.metadata @> asked.criteria

-- threads/list (the owner's threads; requests of one tenant)
-- - end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n, digest.title, digest.preview, coalesce(digest.message_count, 0) as message_count, digest.last_message_at, digest.is_current as has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- + end as metadata_bytes, thread.state_bytes, $1::bigint as tenant, asked.n, digest.title, digest.preview, coalesce(digest.message_count, 0) as message_count, digest.last_message_at, digest.is_current as has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- - $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - on digest.tenant = asked.tenant and digest.thread_id = thread.thread_id
-- + on digest.tenant = $1::bigint and digest.thread_id = thread.thread_id

-- threads/list (the owner's threads; requests of one tenant; by metadata)
-- - end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n, digest.title, digest.preview, coalesce(digest.message_count, 0) as message_count, digest.last_message_at, digest.is_current as has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- + end as metadata_bytes, thread.state_bytes, $1::bigint as tenant, asked.n, digest.title, digest.preview, coalesce(digest.message_count, 0) as message_count, digest.last_message_at, digest.is_current as has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- - $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and true
-- + and true and thread.metadata @> asked.criteria
-- - on digest.tenant = asked.tenant and digest.thread_id = thread.thread_id
-- + on digest.tenant = $1::bigint and digest.thread_id = thread.thread_id

-- threads/search_recent (the owner's threads; requests of one tenant)
-- - end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n, thread.is_match
-- + end as metadata_bytes, thread.state_bytes, $1::bigint as tenant, asked.n, thread.is_match
-- - $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint

-- threads/search_own (the owner's threads; requests of one tenant)
-- - end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n, thread.is_match
-- + end as metadata_bytes, thread.state_bytes, $1::bigint as tenant, asked.n, thread.is_match
-- - $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint

-- threads/count (the owner's threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[])
-- - where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true
-- + where thread.tenant = $1::bigint and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true

-- threads/count (the owner's threads; requests of one tenant; by metadata)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[])
-- - where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true
-- + where thread.tenant = $1::bigint and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true and thread.metadata @> asked.criteria

-- digest/stale (the owner's threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[])
-- - on digest.tenant = asked.tenant and digest.thread_id = thread.thread_id
-- - where thread.tenant = asked.tenant
-- + on digest.tenant = $1::bigint and digest.thread_id = thread.thread_id
-- + where thread.tenant = $1::bigint

-- digest/of_page (the owner's threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - on digest.tenant = asked.tenant and digest.thread_id = thread.thread_id
-- + on digest.tenant = $1::bigint and digest.thread_id = thread.thread_id
-- - and checkpoint.tenant = asked.tenant
-- + and checkpoint.tenant = $1::bigint
-- - where message.tenant = asked.tenant
-- + where message.tenant = $1::bigint
-- - where message.tenant = asked.tenant
-- + where message.tenant = $1::bigint
-- - where checkpoint.tenant = asked.tenant
-- + where checkpoint.tenant = $1::bigint

-- threads/quota (the owner's threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::bigint[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::bigint[])
-- - where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + where thread.tenant = $1::bigint and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/lock_source (the owner's threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint

-- threads/delete (the owner's threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::bigint[], $5::bigint[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::bigint[], $5::bigint[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint

-- threads/hide (the owner's threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint

-- threads/lock_all (the owner's threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[])
-- - on thread.tenant = asked.tenant
-- + on thread.tenant = $1::bigint

-- threads/lock (the owner's threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint

-- state/parent (the owner's threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::uuid[], $6::jsonb[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::uuid[], $6::jsonb[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - where later.tenant = asked.tenant
-- + where later.tenant = $1::bigint
-- - and checkpoint.tenant = asked.tenant
-- + and checkpoint.tenant = $1::bigint
-- - where written.tenant = asked.tenant
-- + where written.tenant = $1::bigint

-- state/insert (the owner's threads; requests of one tenant)
-- - $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::timestamptz[], $5::bigint[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::timestamptz[], $5::bigint[],
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - where thread.tenant = mine.tenant and thread.thread_id = mine.thread_id
-- + where thread.tenant = $1::bigint and thread.thread_id = mine.thread_id
-- - select mine.tenant, thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq,
-- + select $1::bigint, thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq,
-- - select mine.tenant, mine.thread_id, mine.branch, new.position, mine.seq, new.message_id,
-- + select $1::bigint, mine.thread_id, mine.branch, new.position, mine.seq, new.message_id,
-- - select mine.tenant, mine.thread_id, mine.seq, new.channel, new.value::json
-- + select $1::bigint, mine.thread_id, mine.seq, new.channel, new.value::json

-- state/insert_messages (the owner's threads; requests of one tenant)
-- - $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::timestamptz[], $5::bigint[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::timestamptz[], $5::bigint[],
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - where thread.tenant = mine.tenant and thread.thread_id = mine.thread_id
-- + where thread.tenant = $1::bigint and thread.thread_id = mine.thread_id
-- - select mine.tenant, thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq,
-- + select $1::bigint, thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq,
-- - select mine.tenant, mine.thread_id, mine.branch, new.position, mine.seq, new.message_id,
-- + select $1::bigint, mine.thread_id, mine.branch, new.position, mine.seq, new.message_id,

-- state/read (the owner's threads; requests of one tenant)
-- - $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::uuid[], $6::uuid[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::uuid[], $6::uuid[],
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - where checkpoint.tenant = asked.tenant
-- + where checkpoint.tenant = $1::bigint
-- - where checkpoint.tenant = asked.tenant
-- + where checkpoint.tenant = $1::bigint
-- - where message.tenant = asked.tenant
-- + where message.tenant = $1::bigint
-- - where channel_value.tenant = asked.tenant
-- + where channel_value.tenant = $1::bigint

-- state/read_one (the owner's threads; requests of one tenant)
-- - where channel_value.tenant = asked.tenant
-- + where channel_value.tenant = $1::bigint
-- - where message.tenant = asked.tenant
-- + where message.tenant = $1::bigint
-- - where message.tenant = asked.tenant
-- + where message.tenant = $1::bigint
-- - $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::uuid[], $6::uuid[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::uuid[], $6::uuid[],
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - where checkpoint.tenant = asked.tenant
-- + where checkpoint.tenant = $1::bigint

-- state/progress (the owner's threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[])
-- - on thread.tenant = asked.tenant
-- + on thread.tenant = $1::bigint

-- state/storage (the owner's threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - where checkpoint.tenant = asked.tenant and checkpoint.thread_id = asked.thread_id
-- + where checkpoint.tenant = $1::bigint and checkpoint.thread_id = asked.thread_id
-- - where channel_value.tenant = asked.tenant
-- + where channel_value.tenant = $1::bigint
-- - where message.tenant = asked.tenant and message.thread_id = asked.thread_id
-- + where message.tenant = $1::bigint and message.thread_id = asked.thread_id

-- runs/begin (the owner's threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[]::jsonb[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::text[]::jsonb[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint

-- runs/record (the owner's threads; requests of one tenant)
-- - select asked.tenant, asked.thread_id, asked.run_id
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::uuid[])
-- + select $1::bigint, asked.thread_id, asked.run_id
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::uuid[])
-- - on thread.tenant = asked.tenant
-- + on thread.tenant = $1::bigint

-- runs/known (the owner's threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::uuid[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::uuid[])
-- - on thread.tenant = asked.tenant
-- + on thread.tenant = $1::bigint
-- - on run.tenant = asked.tenant
-- + on run.tenant = $1::bigint

-- runs/forget (the owner's threads; requests of one tenant)
-- - using unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::uuid[])
-- + using unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::uuid[])
-- - on thread.tenant = asked.tenant
-- + on thread.tenant = $1::bigint
-- - where run.tenant = asked.tenant
-- + where run.tenant = $1::bigint

-- agent/states (the owner's threads; requests of one tenant)
-- - $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::text[], $6::text[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::text[], $6::text[],
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint

-- agent/chain (the owner's threads; requests of one tenant)
-- - $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::text[], $6::text[]
-- + array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::text[], $6::text[]
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint

-- agent/storage (the owner's threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint

-- agent/candidates (the owner's threads; requests of one tenant)
-- - $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::uuid[], $5::bigint[]
-- + array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::uuid[], $5::bigint[]
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint

-- agent/candidates (the owner's threads; requests of one tenant; by metadata)
-- - $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::uuid[], $5::bigint[]
-- + array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::uuid[], $5::bigint[]
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and true
-- + and true and thread.metadata @> asked.criteria

-- agent/of_agents (the owner's threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint

-- threads/search (the owner's threads; one request)
-- - end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n
-- + end as metadata_bytes, thread.state_bytes, $1::bigint as tenant, asked.n
-- - $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- - where thread.tenant = asked.tenant
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - and (thread.updated_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
-- + where thread.tenant = $1::bigint
-- + and coalesce(thread.metadata @> ($2::text[]::jsonb[])[1], false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.updated_at, thread.thread_id) < (($4::text[])[1]::timestamptz, ($5::uuid[])[1])
-- - limit asked.max_threads
-- - offset asked.skipped
-- + limit ($6::bigint[])[1]
-- + offset ($7::bigint[])[1]

-- threads/search (the owner's threads; one request; by metadata)
-- - end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n
-- + end as metadata_bytes, thread.state_bytes, $1::bigint as tenant, asked.n
-- - $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- - where thread.tenant = asked.tenant
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - and (thread.updated_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
-- - and true
-- + where thread.tenant = $1::bigint
-- + and coalesce(thread.metadata @> ($2::text[]::jsonb[])[1], false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.updated_at, thread.thread_id) < (($4::text[])[1]::timestamptz, ($5::uuid[])[1])
-- + and true and coalesce(thread.metadata @> (($3::text[]::jsonb[])[1] -> 0), false) and jsonb_set('{}', array[thread.tenant::text], thread.metadata - 'owner') @> jsonb_set('{}', array[$1::bigint::text], (($3::text[]::jsonb[])[1] -> 0) - 'owner')
-- - limit asked.max_threads
-- - offset asked.skipped
-- + limit ($6::bigint[])[1]
-- + offset ($7::bigint[])[1]

-- threads/list (the owner's threads; one request)
-- - end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n, digest.title, digest.preview, coalesce(digest.message_count, 0) as message_count, digest.last_message_at, digest.is_current as has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- + end as metadata_bytes, thread.state_bytes, $1::bigint as tenant, asked.n, digest.title, digest.preview, coalesce(digest.message_count, 0) as message_count, digest.last_message_at, digest.is_current as has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- - $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- - where thread.tenant = asked.tenant
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - and (thread.updated_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
-- + where thread.tenant = $1::bigint
-- + and coalesce(thread.metadata @> ($2::text[]::jsonb[])[1], false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.updated_at, thread.thread_id) < (($4::text[])[1]::timestamptz, ($5::uuid[])[1])
-- - limit asked.max_threads
-- - offset asked.skipped
-- + limit ($6::bigint[])[1]
-- + offset ($7::bigint[])[1]
-- - on digest.tenant = asked.tenant and digest.thread_id = thread.thread_id
-- + on digest.tenant = $1::bigint and digest.thread_id = thread.thread_id

-- threads/list (the owner's threads; one request; by metadata)
-- - end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n, digest.title, digest.preview, coalesce(digest.message_count, 0) as message_count, digest.last_message_at, digest.is_current as has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- + end as metadata_bytes, thread.state_bytes, $1::bigint as tenant, asked.n, digest.title, digest.preview, coalesce(digest.message_count, 0) as message_count, digest.last_message_at, digest.is_current as has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- - $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- - where thread.tenant = asked.tenant
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - and (thread.updated_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
-- - and true
-- + where thread.tenant = $1::bigint
-- + and coalesce(thread.metadata @> ($2::text[]::jsonb[])[1], false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.updated_at, thread.thread_id) < (($4::text[])[1]::timestamptz, ($5::uuid[])[1])
-- + and true and coalesce(thread.metadata @> (($3::text[]::jsonb[])[1] -> 0), false) and jsonb_set('{}', array[thread.tenant::text], thread.metadata - 'owner') @> jsonb_set('{}', array[$1::bigint::text], (($3::text[]::jsonb[])[1] -> 0) - 'owner')
-- - limit asked.max_threads
-- - offset asked.skipped
-- + limit ($6::bigint[])[1]
-- + offset ($7::bigint[])[1]
-- - on digest.tenant = asked.tenant and digest.thread_id = thread.thread_id
-- + on digest.tenant = $1::bigint and digest.thread_id = thread.thread_id

-- threads/count (the owner's threads; one request; by metadata)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[])
-- - where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true
-- + where thread.tenant = $1::bigint and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true and coalesce(thread.metadata @> (asked.criteria -> 0), false) and jsonb_set('{}', array[thread.tenant::text], thread.metadata - 'owner') @> jsonb_set('{}', array[$1::bigint::text], (asked.criteria -> 0) - 'owner')

-- threads/find (the owner's threads; one request; by Title, descending)
-- - and (thread.updated_at, thread.thread_id) < (($4::text[])[1]::timestamptz, ($5::uuid[])[1])
-- + and (coalesce(thread.title, '') collate "C", thread.thread_id) < (($4::text[])[1]::text, ($5::uuid[])[1])
-- - order by thread.updated_at desc, thread.thread_id desc
-- + order by coalesce(thread.title, '') collate "C" desc, thread.thread_id desc

-- threads/find (the owner's threads; one request; by words)
-- - and true
-- + and true and thread.has_digest and (case when thread.fresh_text is null then exists ( select from thread_store.digest_text where digest_text.tenant = $1::bigint and digest_text.thread_id = thread.thread_id and strpos(digest_text.text, (($3::text[]::jsonb[])[1] ->> 1)) > 0 ) else strpos(thread.fresh_text, (($3::text[]::jsonb[])[1] ->> 1)) > 0 end) and (case when thread.fresh_text is null then exists ( select from thread_store.digest_text where digest_text.tenant = $1::bigint and digest_text.thread_id = thread.thread_id and strpos(digest_text.text, (($3::text[]::jsonb[])[1] ->> 2)) > 0 ) else strpos(thread.fresh_text, (($3::text[]::jsonb[])[1] ->> 2)) > 0 end) and not (case when thread.fresh_text is null then exists ( select from thread_store.digest_text where digest_text.tenant = $1::bigint and digest_text.thread_id = thread.thread_id and strpos(digest_text.text, (($3::text[]::jsonb[])[1] ->> 3)) > 0 ) else strpos(thread.fresh_text, (($3::text[]::jsonb[])[1] ->> 3)) > 0 end)

-- threads/find (the owner's threads; one request; by the title)
-- - and true
-- + and true and (thread.title collate "C" = ((($3::text[]::jsonb[])[1] ->> 1))::text) and thread.has_digest

-- threads/count_found (the owner's threads; one request; by words)
-- - where coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true
-- + where coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true and thread.has_digest and (case when thread.fresh_text is null then exists ( select from thread_store.digest_text where digest_text.tenant = $1::bigint and digest_text.thread_id = thread.thread_id and strpos(digest_text.text, (asked.criteria ->> 1)) > 0 ) else strpos(thread.fresh_text, (asked.criteria ->> 1)) > 0 end) and (case when thread.fresh_text is null then exists ( select from thread_store.digest_text where digest_text.tenant = $1::bigint and digest_text.thread_id = thread.thread_id and strpos(digest_text.text, (asked.criteria ->> 2)) > 0 ) else strpos(thread.fresh_text, (asked.criteria ->> 2)) > 0 end) and not (case when thread.fresh_text is null then exists ( select from thread_store.digest_text where digest_text.tenant = $1::bigint and digest_text.thread_id = thread.thread_id and strpos(digest_text.text, (asked.criteria ->> 3)) > 0 ) else strpos(thread.fresh_text, (asked.criteria ->> 3)) > 0 end)

-- threads/count_found (the owner's threads; one request; by the title)
-- - where coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true
-- + where coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true and (thread.title collate "C" = ((asked.criteria ->> 1))::text) and thread.has_digest

-- agent/candidates (the owner's threads; one request)
-- - $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::uuid[], $5::bigint[]
-- + array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::uuid[], $5::bigint[]
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and thread.thread_id > asked.behind
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and thread.thread_id > ($4::uuid[])[1]
-- + and coalesce(thread.metadata @> ($2::text[]::jsonb[])[1], false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - limit asked.max_threads
-- + limit ($5::bigint[])[1]

-- agent/candidates (the owner's threads; one request; by metadata)
-- - $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::uuid[], $5::bigint[]
-- + array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::uuid[], $5::bigint[]
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and thread.thread_id > asked.behind
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - and true
-- + and thread.thread_id > ($4::uuid[])[1]
-- + and coalesce(thread.metadata @> ($2::text[]::jsonb[])[1], false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and true and coalesce(thread.metadata @> (($3::text[]::jsonb[])[1] -> 0), false) and jsonb_set('{}', array[thread.tenant::text], thread.metadata - 'owner') @> jsonb_set('{}', array[$1::bigint::text], (($3::text[]::jsonb[])[1] -> 0) - 'owner')
-- - limit asked.max_threads
-- + limit ($5::bigint[])[1]

-- threads/search (the owner's threads; requests without a tenant)
-- - end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n
-- + end as metadata_bytes, thread.state_bytes, thread.tenant as tenant, asked.n
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = thread.tenant

-- threads/search (the owner's threads; requests without a tenant; by metadata)
-- - end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n
-- + end as metadata_bytes, thread.state_bytes, thread.tenant as tenant, asked.n
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = thread.tenant
-- - and true
-- + and true and thread.metadata @> asked.criteria

-- threads/list (the owner's threads; requests without a tenant)
-- - end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n, digest.title, digest.preview, coalesce(digest.message_count, 0) as message_count, digest.last_message_at, digest.is_current as has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- + end as metadata_bytes, thread.state_bytes, thread.tenant as tenant, asked.n, digest.title, digest.preview, coalesce(digest.message_count, 0) as message_count, digest.last_message_at, digest.is_current as has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = thread.tenant
-- - on digest.tenant = asked.tenant and digest.thread_id = thread.thread_id
-- + on digest.tenant = thread.tenant and digest.thread_id = thread.thread_id

-- threads/list (the owner's threads; requests without a tenant; by metadata)
-- - end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n, digest.title, digest.preview, coalesce(digest.message_count, 0) as message_count, digest.last_message_at, digest.is_current as has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- + end as metadata_bytes, thread.state_bytes, thread.tenant as tenant, asked.n, digest.title, digest.preview, coalesce(digest.message_count, 0) as message_count, digest.last_message_at, digest.is_current as has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = thread.tenant
-- - and true
-- + and true and thread.metadata @> asked.criteria
-- - on digest.tenant = asked.tenant and digest.thread_id = thread.thread_id
-- + on digest.tenant = thread.tenant and digest.thread_id = thread.thread_id

-- threads/count (the owner's threads; requests without a tenant)
-- - where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true
-- + where thread.tenant = thread.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true

-- threads/count (the owner's threads; requests without a tenant; by metadata)
-- - where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true
-- + where thread.tenant = thread.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true and thread.metadata @> asked.criteria

-- threads/find (the owner's threads; requests without a tenant)
-- - end as metadata_bytes, thread.state_bytes, $1::bigint as tenant, asked.n, thread.title, thread.preview, thread.message_count, thread.last_message_at, thread.has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- + end as metadata_bytes, thread.state_bytes, thread.tenant as tenant, asked.n, thread.title, thread.preview, thread.message_count, thread.last_message_at, thread.has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- - array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- + $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- - where digest.tenant = $1::bigint
-- + where digest.tenant = thread.tenant
-- - select ($3::text[]::jsonb[])[1] #> array['0', thread.thread_id::text] as digest
-- + select asked.criteria #> array['0', thread.thread_id::text] as digest
-- - where thread.tenant = $1::bigint
-- + where thread.tenant = thread.tenant
-- - where coalesce(thread.metadata @> ($2::text[]::jsonb[])[1], false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - and (thread.updated_at, thread.thread_id) < (($4::text[])[1]::timestamptz, ($5::uuid[])[1])
-- + where coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.updated_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
-- - limit ($6::bigint[])[1]
-- - offset ($7::bigint[])[1]
-- + limit asked.max_threads
-- + offset asked.skipped

-- threads/find (the owner's threads; requests without a tenant; by Title, descending)
-- - end as metadata_bytes, thread.state_bytes, $1::bigint as tenant, asked.n, thread.title, thread.preview, thread.message_count, thread.last_message_at, thread.has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- + end as metadata_bytes, thread.state_bytes, thread.tenant as tenant, asked.n, thread.title, thread.preview, thread.message_count, thread.last_message_at, thread.has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- - array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- + $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- - where digest.tenant = $1::bigint
-- + where digest.tenant = thread.tenant
-- - select ($3::text[]::jsonb[])[1] #> array['0', thread.thread_id::text] as digest
-- + select asked.criteria #> array['0', thread.thread_id::text] as digest
-- - where thread.tenant = $1::bigint
-- + where thread.tenant = thread.tenant
-- - where coalesce(thread.metadata @> ($2::text[]::jsonb[])[1], false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - and (thread.updated_at, thread.thread_id) < (($4::text[])[1]::timestamptz, ($5::uuid[])[1])
-- + where coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (coalesce(thread.title, '') collate "C", thread.thread_id) < (asked.behind::text, asked.behind_id)
-- - order by thread.updated_at desc, thread.thread_id desc
-- - limit ($6::bigint[])[1]
-- - offset ($7::bigint[])[1]
-- + order by coalesce(thread.title, '') collate "C" desc, thread.thread_id desc
-- + limit asked.max_threads
-- + offset asked.skipped

-- threads/find (the owner's threads; requests without a tenant; by words)
-- - end as metadata_bytes, thread.state_bytes, $1::bigint as tenant, asked.n, thread.title, thread.preview, thread.message_count, thread.last_message_at, thread.has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- + end as metadata_bytes, thread.state_bytes, thread.tenant as tenant, asked.n, thread.title, thread.preview, thread.message_count, thread.last_message_at, thread.has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- - array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- + $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- - where digest.tenant = $1::bigint
-- + where digest.tenant = thread.tenant
-- - select ($3::text[]::jsonb[])[1] #> array['0', thread.thread_id::text] as digest
-- + select asked.criteria #> array['0', thread.thread_id::text] as digest
-- - where thread.tenant = $1::bigint
-- + where thread.tenant = thread.tenant
-- - where coalesce(thread.metadata @> ($2::text[]::jsonb[])[1], false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - and (thread.updated_at, thread.thread_id) < (($4::text[])[1]::timestamptz, ($5::uuid[])[1])
-- - and true
-- + where coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.updated_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
-- + and true and thread.has_digest and (case when thread.fresh_text is null then exists ( select from thread_store.digest_text where digest_text.tenant = thread.tenant and digest_text.thread_id = thread.thread_id and strpos(digest_text.text, (asked.criteria ->> 1)) > 0 ) else strpos(thread.fresh_text, (asked.criteria ->> 1)) > 0 end) and (case when thread.fresh_text is null then exists ( select from thread_store.digest_text where digest_text.tenant = thread.tenant and digest_text.thread_id = thread.thread_id and strpos(digest_text.text, (asked.criteria ->> 2)) > 0 ) else strpos(thread.fresh_text, (asked.criteria ->> 2)) > 0 end) and not (case when thread.fresh_text is null then exists ( select from thread_store.digest_text where digest_text.tenant = thread.tenant and digest_text.thread_id = thread.thread_id and strpos(digest_text.text, (asked.criteria ->> 3)) > 0 ) else strpos(thread.fresh_text, (asked.criteria ->> 3)) > 0 end)
-- - limit ($6::bigint[])[1]
-- - offset ($7::bigint[])[1]
-- + limit asked.max_threads
-- + offset asked.skipped

-- threads/find (the owner's threads; requests without a tenant; by the title)
-- - end as metadata_bytes, thread.state_bytes, $1::bigint as tenant, asked.n, thread.title, thread.preview, thread.message_count, thread.last_message_at, thread.has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- + end as metadata_bytes, thread.state_bytes, thread.tenant as tenant, asked.n, thread.title, thread.preview, thread.message_count, thread.last_message_at, thread.has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- - array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- + $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- - where digest.tenant = $1::bigint
-- + where digest.tenant = thread.tenant
-- - select ($3::text[]::jsonb[])[1] #> array['0', thread.thread_id::text] as digest
-- + select asked.criteria #> array['0', thread.thread_id::text] as digest
-- - where thread.tenant = $1::bigint
-- + where thread.tenant = thread.tenant
-- - where coalesce(thread.metadata @> ($2::text[]::jsonb[])[1], false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - and (thread.updated_at, thread.thread_id) < (($4::text[])[1]::timestamptz, ($5::uuid[])[1])
-- - and true
-- + where coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.updated_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
-- + and true and (thread.title collate "C" = ((asked.criteria ->> 1))::text) and thread.has_digest
-- - limit ($6::bigint[])[1]
-- - offset ($7::bigint[])[1]
-- + limit asked.max_threads
-- + offset asked.skipped

-- threads/count_found (the owner's threads; requests without a tenant)
-- - where digest.tenant = $1::bigint
-- + where digest.tenant = thread.tenant
-- - where thread.tenant = $1::bigint
-- + where thread.tenant = thread.tenant
-- - from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[])
-- + from unnest($1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[])

-- threads/count_found (the owner's threads; requests without a tenant; by words)
-- - where digest.tenant = $1::bigint
-- + where digest.tenant = thread.tenant
-- - where thread.tenant = $1::bigint
-- + where thread.tenant = thread.tenant
-- - where coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true
-- + where coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true and thread.has_digest and (case when thread.fresh_text is null then exists ( select from thread_store.digest_text where digest_text.tenant = thread.tenant and digest_text.thread_id = thread.thread_id and strpos(digest_text.text, (asked.criteria ->> 1)) > 0 ) else strpos(thread.fresh_text, (asked.criteria ->> 1)) > 0 end) and (case when thread.fresh_text is null then exists ( select from thread_store.digest_text where digest_text.tenant = thread.tenant and digest_text.thread_id = thread.thread_id and strpos(digest_text.text, (asked.criteria ->> 2)) > 0 ) else strpos(thread.fresh_text, (asked.criteria ->> 2)) > 0 end) and not (case when thread.fresh_text is null then exists ( select from thread_store.digest_text where digest_text.tenant = thread.tenant and digest_text.thread_id = thread.thread_id and strpos(digest_text.text, (asked.criteria ->> 3)) > 0 ) else strpos(thread.fresh_text, (asked.criteria ->> 3)) > 0 end)
-- - from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[])
-- + from unnest($1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[])

-- threads/count_found (the owner's threads; requests without a tenant; by the title)
-- - where digest.tenant = $1::bigint
-- + where digest.tenant = thread.tenant
-- - where thread.tenant = $1::bigint
-- + where thread.tenant = thread.tenant
-- - where coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true
-- + where coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true and (thread.title collate "C" = ((asked.criteria ->> 1))::text) and thread.has_digest
-- - from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[])
-- + from unnest($1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[])

-- digest/stale (the owner's threads; requests without a tenant)
-- - on digest.tenant = asked.tenant and digest.thread_id = thread.thread_id
-- - where thread.tenant = asked.tenant
-- + on digest.tenant = thread.tenant and digest.thread_id = thread.thread_id
-- + where thread.tenant = thread.tenant

-- threads/quota (the owner's threads; requests without a tenant)
-- - where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + where thread.tenant = thread.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- agent/candidates (the owner's threads; requests without a tenant)
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = thread.tenant

-- agent/candidates (the owner's threads; requests without a tenant; by metadata)
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = thread.tenant
-- - and true
-- + and true and thread.metadata @> asked.criteria

-- threads/get (all threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/patch (all threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/search (all threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/list (all threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/search_recent (all threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/search_own (all threads; requests of any tenants)
-- - thread.agent_thread_id, thread.agent_settled, true and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') as is_match
-- + thread.agent_thread_id, thread.agent_settled, true and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') as is_match

-- threads/count (all threads; requests of any tenants)
-- - where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true
-- + where thread.tenant = asked.tenant and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true

-- digest/stale (all threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- digest/of_page (all threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/quota (all threads; requests of any tenants)
-- - where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + where thread.tenant = asked.tenant and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/lock_source (all threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/delete (all threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/hide (all threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/lock_all (all threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/lock (all threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- state/parent (all threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- state/insert (all threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- state/insert_messages (all threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- state/read (all threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- state/read_one (all threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- state/progress (all threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- state/storage (all threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- runs/begin (all threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- runs/record (all threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- runs/known (all threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- runs/forget (all threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- agent/states (all threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- agent/chain (all threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- agent/storage (all threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- agent/candidates (all threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- agent/of_agents (all threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/get (all threads; requests of one tenant)
-- - where channel_value.tenant = asked.tenant
-- + where channel_value.tenant = $1::bigint
-- - where message.tenant = asked.tenant
-- + where message.tenant = $1::bigint
-- - where message.tenant = asked.tenant
-- + where message.tenant = $1::bigint
-- - where head.tenant = asked.tenant
-- + where head.tenant = $1::bigint
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::bigint[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::bigint[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/patch (all threads; requests of one tenant)
-- - $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[]::jsonb[], $5::float8[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::text[]::jsonb[], $5::float8[],
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - where thread.tenant = mine.tenant and thread.thread_id = mine.thread_id
-- + where thread.tenant = $1::bigint and thread.thread_id = mine.thread_id

-- threads/search (all threads; requests of one tenant)
-- - end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n
-- + end as metadata_bytes, thread.state_bytes, $1::bigint as tenant, asked.n
-- - $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- - where thread.tenant = asked.tenant
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + where thread.tenant = $1::bigint
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/list (all threads; requests of one tenant)
-- - end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n, digest.title, digest.preview, coalesce(digest.message_count, 0) as message_count, digest.last_message_at, digest.is_current as has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- + end as metadata_bytes, thread.state_bytes, $1::bigint as tenant, asked.n, digest.title, digest.preview, coalesce(digest.message_count, 0) as message_count, digest.last_message_at, digest.is_current as has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- - $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- - where thread.tenant = asked.tenant
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + where thread.tenant = $1::bigint
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - on digest.tenant = asked.tenant and digest.thread_id = thread.thread_id
-- + on digest.tenant = $1::bigint and digest.thread_id = thread.thread_id

-- threads/search_recent (all threads; requests of one tenant)
-- - end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n, thread.is_match
-- + end as metadata_bytes, thread.state_bytes, $1::bigint as tenant, asked.n, thread.is_match
-- - $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- - where thread.tenant = asked.tenant
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + where thread.tenant = $1::bigint
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint

-- threads/search_own (all threads; requests of one tenant)
-- - end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n, thread.is_match
-- + end as metadata_bytes, thread.state_bytes, $1::bigint as tenant, asked.n, thread.is_match
-- - $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- - thread.agent_thread_id, thread.agent_settled, true and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') as is_match
-- + thread.agent_thread_id, thread.agent_settled, true and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') as is_match
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint

-- threads/count (all threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[])
-- - where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true
-- + where thread.tenant = $1::bigint and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true

-- digest/stale (all threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[])
-- - on digest.tenant = asked.tenant and digest.thread_id = thread.thread_id
-- - where thread.tenant = asked.tenant
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + on digest.tenant = $1::bigint and digest.thread_id = thread.thread_id
-- + where thread.tenant = $1::bigint
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- digest/of_page (all threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[])
-- - where thread.tenant = asked.tenant
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + where thread.tenant = $1::bigint
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - on digest.tenant = asked.tenant and digest.thread_id = thread.thread_id
-- + on digest.tenant = $1::bigint and digest.thread_id = thread.thread_id
-- - and checkpoint.tenant = asked.tenant
-- + and checkpoint.tenant = $1::bigint
-- - where message.tenant = asked.tenant
-- + where message.tenant = $1::bigint
-- - where message.tenant = asked.tenant
-- + where message.tenant = $1::bigint
-- - where checkpoint.tenant = asked.tenant
-- + where checkpoint.tenant = $1::bigint

-- threads/quota (all threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::bigint[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::bigint[])
-- - where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + where thread.tenant = $1::bigint and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/lock_source (all threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/delete (all threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::bigint[], $5::bigint[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::bigint[], $5::bigint[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/hide (all threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/lock_all (all threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[])
-- - on thread.tenant = asked.tenant
-- + on thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/lock (all threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- state/parent (all threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::uuid[], $6::jsonb[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::uuid[], $6::jsonb[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - where later.tenant = asked.tenant
-- + where later.tenant = $1::bigint
-- - and checkpoint.tenant = asked.tenant
-- + and checkpoint.tenant = $1::bigint
-- - where written.tenant = asked.tenant
-- + where written.tenant = $1::bigint

-- state/insert (all threads; requests of one tenant)
-- - $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::timestamptz[], $5::bigint[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::timestamptz[], $5::bigint[],
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - where thread.tenant = mine.tenant and thread.thread_id = mine.thread_id
-- + where thread.tenant = $1::bigint and thread.thread_id = mine.thread_id
-- - select mine.tenant, thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq,
-- + select $1::bigint, thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq,
-- - select mine.tenant, mine.thread_id, mine.branch, new.position, mine.seq, new.message_id,
-- + select $1::bigint, mine.thread_id, mine.branch, new.position, mine.seq, new.message_id,
-- - select mine.tenant, mine.thread_id, mine.seq, new.channel, new.value::json
-- + select $1::bigint, mine.thread_id, mine.seq, new.channel, new.value::json

-- state/insert_messages (all threads; requests of one tenant)
-- - $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::timestamptz[], $5::bigint[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::timestamptz[], $5::bigint[],
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - where thread.tenant = mine.tenant and thread.thread_id = mine.thread_id
-- + where thread.tenant = $1::bigint and thread.thread_id = mine.thread_id
-- - select mine.tenant, thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq,
-- + select $1::bigint, thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq,
-- - select mine.tenant, mine.thread_id, mine.branch, new.position, mine.seq, new.message_id,
-- + select $1::bigint, mine.thread_id, mine.branch, new.position, mine.seq, new.message_id,

-- state/read (all threads; requests of one tenant)
-- - $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::uuid[], $6::uuid[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::uuid[], $6::uuid[],
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - where checkpoint.tenant = asked.tenant
-- + where checkpoint.tenant = $1::bigint
-- - where checkpoint.tenant = asked.tenant
-- + where checkpoint.tenant = $1::bigint
-- - where message.tenant = asked.tenant
-- + where message.tenant = $1::bigint
-- - where channel_value.tenant = asked.tenant
-- + where channel_value.tenant = $1::bigint

-- state/read_one (all threads; requests of one tenant)
-- - where channel_value.tenant = asked.tenant
-- + where channel_value.tenant = $1::bigint
-- - where message.tenant = asked.tenant
-- + where message.tenant = $1::bigint
-- - where message.tenant = asked.tenant
-- + where message.tenant = $1::bigint
-- - $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::uuid[], $6::uuid[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::uuid[], $6::uuid[],
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - where checkpoint.tenant = asked.tenant
-- + where checkpoint.tenant = $1::bigint

-- state/progress (all threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[])
-- - on thread.tenant = asked.tenant
-- + on thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- state/storage (all threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - where checkpoint.tenant = asked.tenant and checkpoint.thread_id = asked.thread_id
-- + where checkpoint.tenant = $1::bigint and checkpoint.thread_id = asked.thread_id
-- - where channel_value.tenant = asked.tenant
-- + where channel_value.tenant = $1::bigint
-- - where message.tenant = asked.tenant and message.thread_id = asked.thread_id
-- + where message.tenant = $1::bigint and message.thread_id = asked.thread_id

-- runs/begin (all threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[]::jsonb[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::text[]::jsonb[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- runs/record (all threads; requests of one tenant)
-- - select asked.tenant, asked.thread_id, asked.run_id
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::uuid[])
-- + select $1::bigint, asked.thread_id, asked.run_id
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::uuid[])
-- - on thread.tenant = asked.tenant
-- + on thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- runs/known (all threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::uuid[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::uuid[])
-- - on thread.tenant = asked.tenant
-- + on thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - on run.tenant = asked.tenant
-- + on run.tenant = $1::bigint

-- runs/forget (all threads; requests of one tenant)
-- - using unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::uuid[])
-- + using unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::uuid[])
-- - on thread.tenant = asked.tenant
-- + on thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - where run.tenant = asked.tenant
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + where run.tenant = $1::bigint

-- agent/states (all threads; requests of one tenant)
-- - $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::text[], $6::text[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::text[], $6::text[],
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- agent/chain (all threads; requests of one tenant)
-- - $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::text[], $6::text[]
-- + array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::text[], $6::text[]
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- agent/storage (all threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- agent/candidates (all threads; requests of one tenant)
-- - $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::uuid[], $5::bigint[]
-- + array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::uuid[], $5::bigint[]
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- agent/of_agents (all threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/search (all threads; one request)
-- - end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n
-- + end as metadata_bytes, thread.state_bytes, $1::bigint as tenant, asked.n
-- - $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- - where thread.tenant = asked.tenant
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - and (thread.updated_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
-- + where thread.tenant = $1::bigint
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.updated_at, thread.thread_id) < (($4::text[])[1]::timestamptz, ($5::uuid[])[1])
-- - limit asked.max_threads
-- - offset asked.skipped
-- + limit ($6::bigint[])[1]
-- + offset ($7::bigint[])[1]

-- threads/list (all threads; one request)
-- - end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n, digest.title, digest.preview, coalesce(digest.message_count, 0) as message_count, digest.last_message_at, digest.is_current as has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- + end as metadata_bytes, thread.state_bytes, $1::bigint as tenant, asked.n, digest.title, digest.preview, coalesce(digest.message_count, 0) as message_count, digest.last_message_at, digest.is_current as has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- - $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- - where thread.tenant = asked.tenant
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - and (thread.updated_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
-- + where thread.tenant = $1::bigint
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.updated_at, thread.thread_id) < (($4::text[])[1]::timestamptz, ($5::uuid[])[1])
-- - limit asked.max_threads
-- - offset asked.skipped
-- + limit ($6::bigint[])[1]
-- + offset ($7::bigint[])[1]
-- - on digest.tenant = asked.tenant and digest.thread_id = thread.thread_id
-- + on digest.tenant = $1::bigint and digest.thread_id = thread.thread_id

-- threads/find (all threads; one request)
-- - where coalesce(thread.metadata @> ($2::text[]::jsonb[])[1], false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + where (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/count_found (all threads; one request)
-- - where coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true
-- + where (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true

-- agent/candidates (all threads; one request)
-- - $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::uuid[], $5::bigint[]
-- + array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::uuid[], $5::bigint[]
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and thread.thread_id > asked.behind
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and thread.thread_id > ($4::uuid[])[1]
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - limit asked.max_threads
-- + limit ($5::bigint[])[1]

-- threads/search (all threads; requests without a tenant)
-- - end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n
-- + end as metadata_bytes, thread.state_bytes, thread.tenant as tenant, asked.n
-- - where thread.tenant = asked.tenant
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + where thread.tenant = thread.tenant
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/list (all threads; requests without a tenant)
-- - end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n, digest.title, digest.preview, coalesce(digest.message_count, 0) as message_count, digest.last_message_at, digest.is_current as has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- + end as metadata_bytes, thread.state_bytes, thread.tenant as tenant, asked.n, digest.title, digest.preview, coalesce(digest.message_count, 0) as message_count, digest.last_message_at, digest.is_current as has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- - where thread.tenant = asked.tenant
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + where thread.tenant = thread.tenant
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - on digest.tenant = asked.tenant and digest.thread_id = thread.thread_id
-- + on digest.tenant = thread.tenant and digest.thread_id = thread.thread_id

-- threads/count (all threads; requests without a tenant)
-- - where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true
-- + where thread.tenant = thread.tenant and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true

-- threads/find (all threads; requests without a tenant)
-- - end as metadata_bytes, thread.state_bytes, $1::bigint as tenant, asked.n, thread.title, thread.preview, thread.message_count, thread.last_message_at, thread.has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- + end as metadata_bytes, thread.state_bytes, thread.tenant as tenant, asked.n, thread.title, thread.preview, thread.message_count, thread.last_message_at, thread.has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- - array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- + $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- - where digest.tenant = $1::bigint
-- + where digest.tenant = thread.tenant
-- - select ($3::text[]::jsonb[])[1] #> array['0', thread.thread_id::text] as digest
-- + select asked.criteria #> array['0', thread.thread_id::text] as digest
-- - where thread.tenant = $1::bigint
-- + where thread.tenant = thread.tenant
-- - where coalesce(thread.metadata @> ($2::text[]::jsonb[])[1], false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - and (thread.updated_at, thread.thread_id) < (($4::text[])[1]::timestamptz, ($5::uuid[])[1])
-- + where (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.updated_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
-- - limit ($6::bigint[])[1]
-- - offset ($7::bigint[])[1]
-- + limit asked.max_threads
-- + offset asked.skipped

-- threads/count_found (all threads; requests without a tenant)
-- - where digest.tenant = $1::bigint
-- + where digest.tenant = thread.tenant
-- - where thread.tenant = $1::bigint
-- + where thread.tenant = thread.tenant
-- - where coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true
-- + where (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true
-- - from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[])
-- + from unnest($1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[])

-- digest/stale (all threads; requests without a tenant)
-- - on digest.tenant = asked.tenant and digest.thread_id = thread.thread_id
-- - where thread.tenant = asked.tenant
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + on digest.tenant = thread.tenant and digest.thread_id = thread.thread_id
-- + where thread.tenant = thread.tenant
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/quota (all threads; requests without a tenant)
-- - where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + where thread.tenant = thread.tenant and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- agent/candidates (all threads; requests without a tenant)
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = thread.tenant
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/get (members or one of some teams, and not archived; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/patch (members or one of some teams, and not archived; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/search (members or one of some teams, and not archived; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/list (members or one of some teams, and not archived; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/search_recent (members or one of some teams, and not archived; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/search_own (members or one of some teams, and not archived; requests of any tenants)
-- - thread.agent_thread_id, thread.agent_settled, true and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') as is_match
-- + thread.agent_thread_id, thread.agent_settled, true and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') as is_match

-- threads/count (members or one of some teams, and not archived; requests of any tenants)
-- - where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true
-- + where thread.tenant = asked.tenant and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true

-- digest/stale (members or one of some teams, and not archived; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- digest/of_page (members or one of some teams, and not archived; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/quota (members or one of some teams, and not archived; requests of any tenants)
-- - where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + where thread.tenant = asked.tenant and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/lock_source (members or one of some teams, and not archived; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/delete (members or one of some teams, and not archived; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/hide (members or one of some teams, and not archived; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/lock_all (members or one of some teams, and not archived; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/lock (members or one of some teams, and not archived; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- state/parent (members or one of some teams, and not archived; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- state/insert (members or one of some teams, and not archived; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- state/insert_messages (members or one of some teams, and not archived; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- state/read (members or one of some teams, and not archived; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- state/read_one (members or one of some teams, and not archived; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- state/progress (members or one of some teams, and not archived; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- state/storage (members or one of some teams, and not archived; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- runs/begin (members or one of some teams, and not archived; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- runs/record (members or one of some teams, and not archived; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- runs/known (members or one of some teams, and not archived; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- runs/forget (members or one of some teams, and not archived; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- agent/states (members or one of some teams, and not archived; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- agent/chain (members or one of some teams, and not archived; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- agent/storage (members or one of some teams, and not archived; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- agent/candidates (members or one of some teams, and not archived; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- agent/of_agents (members or one of some teams, and not archived; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/get (members or one of some teams, and not archived; requests of one tenant)
-- - where channel_value.tenant = asked.tenant
-- + where channel_value.tenant = $1::bigint
-- - where message.tenant = asked.tenant
-- + where message.tenant = $1::bigint
-- - where message.tenant = asked.tenant
-- + where message.tenant = $1::bigint
-- - where head.tenant = asked.tenant
-- + where head.tenant = $1::bigint
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::bigint[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::bigint[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/patch (members or one of some teams, and not archived; requests of one tenant)
-- - $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[]::jsonb[], $5::float8[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::text[]::jsonb[], $5::float8[],
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - where thread.tenant = mine.tenant and thread.thread_id = mine.thread_id
-- + where thread.tenant = $1::bigint and thread.thread_id = mine.thread_id

-- threads/search (members or one of some teams, and not archived; requests of one tenant)
-- - end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n
-- + end as metadata_bytes, thread.state_bytes, $1::bigint as tenant, asked.n
-- - $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- - where thread.tenant = asked.tenant
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + where thread.tenant = $1::bigint
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/list (members or one of some teams, and not archived; requests of one tenant)
-- - end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n, digest.title, digest.preview, coalesce(digest.message_count, 0) as message_count, digest.last_message_at, digest.is_current as has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- + end as metadata_bytes, thread.state_bytes, $1::bigint as tenant, asked.n, digest.title, digest.preview, coalesce(digest.message_count, 0) as message_count, digest.last_message_at, digest.is_current as has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- - $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- - where thread.tenant = asked.tenant
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + where thread.tenant = $1::bigint
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - on digest.tenant = asked.tenant and digest.thread_id = thread.thread_id
-- + on digest.tenant = $1::bigint and digest.thread_id = thread.thread_id

-- threads/search_recent (members or one of some teams, and not archived; requests of one tenant)
-- - end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n, thread.is_match
-- + end as metadata_bytes, thread.state_bytes, $1::bigint as tenant, asked.n, thread.is_match
-- - $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- - where thread.tenant = asked.tenant
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + where thread.tenant = $1::bigint
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint

-- threads/search_own (members or one of some teams, and not archived; requests of one tenant)
-- - end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n, thread.is_match
-- + end as metadata_bytes, thread.state_bytes, $1::bigint as tenant, asked.n, thread.is_match
-- - $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- - thread.agent_thread_id, thread.agent_settled, true and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') as is_match
-- + thread.agent_thread_id, thread.agent_settled, true and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') as is_match
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint

-- threads/count (members or one of some teams, and not archived; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[])
-- - where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true
-- + where thread.tenant = $1::bigint and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true

-- digest/stale (members or one of some teams, and not archived; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[])
-- - on digest.tenant = asked.tenant and digest.thread_id = thread.thread_id
-- - where thread.tenant = asked.tenant
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + on digest.tenant = $1::bigint and digest.thread_id = thread.thread_id
-- + where thread.tenant = $1::bigint
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- digest/of_page (members or one of some teams, and not archived; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[])
-- - where thread.tenant = asked.tenant
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + where thread.tenant = $1::bigint
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - on digest.tenant = asked.tenant and digest.thread_id = thread.thread_id
-- + on digest.tenant = $1::bigint and digest.thread_id = thread.thread_id
-- - and checkpoint.tenant = asked.tenant
-- + and checkpoint.tenant = $1::bigint
-- - where message.tenant = asked.tenant
-- + where message.tenant = $1::bigint
-- - where message.tenant = asked.tenant
-- + where message.tenant = $1::bigint
-- - where checkpoint.tenant = asked.tenant
-- + where checkpoint.tenant = $1::bigint

-- threads/quota (members or one of some teams, and not archived; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::bigint[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::bigint[])
-- - where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + where thread.tenant = $1::bigint and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/lock_source (members or one of some teams, and not archived; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/delete (members or one of some teams, and not archived; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::bigint[], $5::bigint[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::bigint[], $5::bigint[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/hide (members or one of some teams, and not archived; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/lock_all (members or one of some teams, and not archived; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[])
-- - on thread.tenant = asked.tenant
-- + on thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/lock (members or one of some teams, and not archived; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- state/parent (members or one of some teams, and not archived; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::uuid[], $6::jsonb[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::uuid[], $6::jsonb[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - where later.tenant = asked.tenant
-- + where later.tenant = $1::bigint
-- - and checkpoint.tenant = asked.tenant
-- + and checkpoint.tenant = $1::bigint
-- - where written.tenant = asked.tenant
-- + where written.tenant = $1::bigint

-- state/insert (members or one of some teams, and not archived; requests of one tenant)
-- - $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::timestamptz[], $5::bigint[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::timestamptz[], $5::bigint[],
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - where thread.tenant = mine.tenant and thread.thread_id = mine.thread_id
-- + where thread.tenant = $1::bigint and thread.thread_id = mine.thread_id
-- - select mine.tenant, thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq,
-- + select $1::bigint, thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq,
-- - select mine.tenant, mine.thread_id, mine.branch, new.position, mine.seq, new.message_id,
-- + select $1::bigint, mine.thread_id, mine.branch, new.position, mine.seq, new.message_id,
-- - select mine.tenant, mine.thread_id, mine.seq, new.channel, new.value::json
-- + select $1::bigint, mine.thread_id, mine.seq, new.channel, new.value::json

-- state/insert_messages (members or one of some teams, and not archived; requests of one tenant)
-- - $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::timestamptz[], $5::bigint[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::timestamptz[], $5::bigint[],
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - where thread.tenant = mine.tenant and thread.thread_id = mine.thread_id
-- + where thread.tenant = $1::bigint and thread.thread_id = mine.thread_id
-- - select mine.tenant, thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq,
-- + select $1::bigint, thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq,
-- - select mine.tenant, mine.thread_id, mine.branch, new.position, mine.seq, new.message_id,
-- + select $1::bigint, mine.thread_id, mine.branch, new.position, mine.seq, new.message_id,

-- state/read (members or one of some teams, and not archived; requests of one tenant)
-- - $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::uuid[], $6::uuid[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::uuid[], $6::uuid[],
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - where checkpoint.tenant = asked.tenant
-- + where checkpoint.tenant = $1::bigint
-- - where checkpoint.tenant = asked.tenant
-- + where checkpoint.tenant = $1::bigint
-- - where message.tenant = asked.tenant
-- + where message.tenant = $1::bigint
-- - where channel_value.tenant = asked.tenant
-- + where channel_value.tenant = $1::bigint

-- state/read_one (members or one of some teams, and not archived; requests of one tenant)
-- - where channel_value.tenant = asked.tenant
-- + where channel_value.tenant = $1::bigint
-- - where message.tenant = asked.tenant
-- + where message.tenant = $1::bigint
-- - where message.tenant = asked.tenant
-- + where message.tenant = $1::bigint
-- - $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::uuid[], $6::uuid[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::uuid[], $6::uuid[],
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - where checkpoint.tenant = asked.tenant
-- + where checkpoint.tenant = $1::bigint

-- state/progress (members or one of some teams, and not archived; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[])
-- - on thread.tenant = asked.tenant
-- + on thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- state/storage (members or one of some teams, and not archived; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - where checkpoint.tenant = asked.tenant and checkpoint.thread_id = asked.thread_id
-- + where checkpoint.tenant = $1::bigint and checkpoint.thread_id = asked.thread_id
-- - where channel_value.tenant = asked.tenant
-- + where channel_value.tenant = $1::bigint
-- - where message.tenant = asked.tenant and message.thread_id = asked.thread_id
-- + where message.tenant = $1::bigint and message.thread_id = asked.thread_id

-- runs/begin (members or one of some teams, and not archived; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[]::jsonb[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::text[]::jsonb[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- runs/record (members or one of some teams, and not archived; requests of one tenant)
-- - select asked.tenant, asked.thread_id, asked.run_id
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::uuid[])
-- + select $1::bigint, asked.thread_id, asked.run_id
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::uuid[])
-- - on thread.tenant = asked.tenant
-- + on thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- runs/known (members or one of some teams, and not archived; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::uuid[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::uuid[])
-- - on thread.tenant = asked.tenant
-- + on thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - on run.tenant = asked.tenant
-- + on run.tenant = $1::bigint

-- runs/forget (members or one of some teams, and not archived; requests of one tenant)
-- - using unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::uuid[])
-- + using unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::uuid[])
-- - on thread.tenant = asked.tenant
-- + on thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - where run.tenant = asked.tenant
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + where run.tenant = $1::bigint

-- agent/states (members or one of some teams, and not archived; requests of one tenant)
-- - $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::text[], $6::text[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::text[], $6::text[],
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- agent/chain (members or one of some teams, and not archived; requests of one tenant)
-- - $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::text[], $6::text[]
-- + array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::text[], $6::text[]
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- agent/storage (members or one of some teams, and not archived; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- agent/candidates (members or one of some teams, and not archived; requests of one tenant)
-- - $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::uuid[], $5::bigint[]
-- + array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::uuid[], $5::bigint[]
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- agent/of_agents (members or one of some teams, and not archived; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/search (members or one of some teams, and not archived; one request)
-- - end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n
-- + end as metadata_bytes, thread.state_bytes, $1::bigint as tenant, asked.n
-- - $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- - where thread.tenant = asked.tenant
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - and (thread.updated_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
-- + where thread.tenant = $1::bigint
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (($2::text[]::jsonb[])[1] ->> 0))) = 'array' then (thread.metadata -> (($2::text[]::jsonb[])[1] ->> 0)) end) as item where item = (($2::text[]::jsonb[])[1] -> 1))) or (exists (select from jsonb_array_elements((($2::text[]::jsonb[])[1] -> 3)) as item where item = (thread.metadata -> (($2::text[]::jsonb[])[1] ->> 2))))) and (not coalesce(((thread.metadata -> (($2::text[]::jsonb[])[1] ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.updated_at, thread.thread_id) < (($4::text[])[1]::timestamptz, ($5::uuid[])[1])
-- - limit asked.max_threads
-- - offset asked.skipped
-- + limit ($6::bigint[])[1]
-- + offset ($7::bigint[])[1]

-- threads/list (members or one of some teams, and not archived; one request)
-- - end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n, digest.title, digest.preview, coalesce(digest.message_count, 0) as message_count, digest.last_message_at, digest.is_current as has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- + end as metadata_bytes, thread.state_bytes, $1::bigint as tenant, asked.n, digest.title, digest.preview, coalesce(digest.message_count, 0) as message_count, digest.last_message_at, digest.is_current as has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- - $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- - where thread.tenant = asked.tenant
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - and (thread.updated_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
-- + where thread.tenant = $1::bigint
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (($2::text[]::jsonb[])[1] ->> 0))) = 'array' then (thread.metadata -> (($2::text[]::jsonb[])[1] ->> 0)) end) as item where item = (($2::text[]::jsonb[])[1] -> 1))) or (exists (select from jsonb_array_elements((($2::text[]::jsonb[])[1] -> 3)) as item where item = (thread.metadata -> (($2::text[]::jsonb[])[1] ->> 2))))) and (not coalesce(((thread.metadata -> (($2::text[]::jsonb[])[1] ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.updated_at, thread.thread_id) < (($4::text[])[1]::timestamptz, ($5::uuid[])[1])
-- - limit asked.max_threads
-- - offset asked.skipped
-- + limit ($6::bigint[])[1]
-- + offset ($7::bigint[])[1]
-- - on digest.tenant = asked.tenant and digest.thread_id = thread.thread_id
-- + on digest.tenant = $1::bigint and digest.thread_id = thread.thread_id

-- threads/find (members or one of some teams, and not archived; one request)
-- - where coalesce(thread.metadata @> ($2::text[]::jsonb[])[1], false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + where coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (($2::text[]::jsonb[])[1] ->> 0))) = 'array' then (thread.metadata -> (($2::text[]::jsonb[])[1] ->> 0)) end) as item where item = (($2::text[]::jsonb[])[1] -> 1))) or (exists (select from jsonb_array_elements((($2::text[]::jsonb[])[1] -> 3)) as item where item = (thread.metadata -> (($2::text[]::jsonb[])[1] ->> 2))))) and (not coalesce(((thread.metadata -> (($2::text[]::jsonb[])[1] ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/count_found (members or one of some teams, and not archived; one request)
-- - where coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true
-- + where coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true

-- agent/candidates (members or one of some teams, and not archived; one request)
-- - $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::uuid[], $5::bigint[]
-- + array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::uuid[], $5::bigint[]
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and thread.thread_id > asked.behind
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and thread.thread_id > ($4::uuid[])[1]
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (($2::text[]::jsonb[])[1] ->> 0))) = 'array' then (thread.metadata -> (($2::text[]::jsonb[])[1] ->> 0)) end) as item where item = (($2::text[]::jsonb[])[1] -> 1))) or (exists (select from jsonb_array_elements((($2::text[]::jsonb[])[1] -> 3)) as item where item = (thread.metadata -> (($2::text[]::jsonb[])[1] ->> 2))))) and (not coalesce(((thread.metadata -> (($2::text[]::jsonb[])[1] ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - limit asked.max_threads
-- + limit ($5::bigint[])[1]

-- threads/search (members or one of some teams, and not archived; requests without a tenant)
-- - end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n
-- + end as metadata_bytes, thread.state_bytes, thread.tenant as tenant, asked.n
-- - where thread.tenant = asked.tenant
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + where thread.tenant = thread.tenant
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/list (members or one of some teams, and not archived; requests without a tenant)
-- - end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n, digest.title, digest.preview, coalesce(digest.message_count, 0) as message_count, digest.last_message_at, digest.is_current as has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- + end as metadata_bytes, thread.state_bytes, thread.tenant as tenant, asked.n, digest.title, digest.preview, coalesce(digest.message_count, 0) as message_count, digest.last_message_at, digest.is_current as has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- - where thread.tenant = asked.tenant
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + where thread.tenant = thread.tenant
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - on digest.tenant = asked.tenant and digest.thread_id = thread.thread_id
-- + on digest.tenant = thread.tenant and digest.thread_id = thread.thread_id

-- threads/count (members or one of some teams, and not archived; requests without a tenant)
-- - where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true
-- + where thread.tenant = thread.tenant and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true

-- threads/find (members or one of some teams, and not archived; requests without a tenant)
-- - end as metadata_bytes, thread.state_bytes, $1::bigint as tenant, asked.n, thread.title, thread.preview, thread.message_count, thread.last_message_at, thread.has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- + end as metadata_bytes, thread.state_bytes, thread.tenant as tenant, asked.n, thread.title, thread.preview, thread.message_count, thread.last_message_at, thread.has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- - array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- + $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- - where digest.tenant = $1::bigint
-- + where digest.tenant = thread.tenant
-- - select ($3::text[]::jsonb[])[1] #> array['0', thread.thread_id::text] as digest
-- + select asked.criteria #> array['0', thread.thread_id::text] as digest
-- - where thread.tenant = $1::bigint
-- + where thread.tenant = thread.tenant
-- - where coalesce(thread.metadata @> ($2::text[]::jsonb[])[1], false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - and (thread.updated_at, thread.thread_id) < (($4::text[])[1]::timestamptz, ($5::uuid[])[1])
-- + where coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.updated_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
-- - limit ($6::bigint[])[1]
-- - offset ($7::bigint[])[1]
-- + limit asked.max_threads
-- + offset asked.skipped

-- threads/count_found (members or one of some teams, and not archived; requests without a tenant)
-- - where digest.tenant = $1::bigint
-- + where digest.tenant = thread.tenant
-- - where thread.tenant = $1::bigint
-- + where thread.tenant = thread.tenant
-- - where coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true
-- + where coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true
-- - from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[])
-- + from unnest($1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[])

-- digest/stale (members or one of some teams, and not archived; requests without a tenant)
-- - on digest.tenant = asked.tenant and digest.thread_id = thread.thread_id
-- - where thread.tenant = asked.tenant
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + on digest.tenant = thread.tenant and digest.thread_id = thread.thread_id
-- + where thread.tenant = thread.tenant
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/quota (members or one of some teams, and not archived; requests without a tenant)
-- - where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + where thread.tenant = thread.tenant and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- agent/candidates (members or one of some teams, and not archived; requests without a tenant)
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = thread.tenant
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((((exists (select from jsonb_array_elements(case when jsonb_typeof((thread.metadata -> (asked.filter ->> 0))) = 'array' then (thread.metadata -> (asked.filter ->> 0)) end) as item where item = (asked.filter -> 1))) or (exists (select from jsonb_array_elements((asked.filter -> 3)) as item where item = (thread.metadata -> (asked.filter ->> 2))))) and (not coalesce(((thread.metadata -> (asked.filter ->> 4)) is not null), false))), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/get (no threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/patch (no threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/search (no threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/list (no threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/search_recent (no threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/search_own (no threads; requests of any tenants)
-- - thread.agent_thread_id, thread.agent_settled, true and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') as is_match
-- + thread.agent_thread_id, thread.agent_settled, true and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') as is_match

-- threads/count (no threads; requests of any tenants)
-- - where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true
-- + where thread.tenant = asked.tenant and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true

-- digest/stale (no threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- digest/of_page (no threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/quota (no threads; requests of any tenants)
-- - where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + where thread.tenant = asked.tenant and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/lock_source (no threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/delete (no threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/hide (no threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/lock_all (no threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/lock (no threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- state/parent (no threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- state/insert (no threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- state/insert_messages (no threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- state/read (no threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- state/read_one (no threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- state/progress (no threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- state/storage (no threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- runs/begin (no threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- runs/record (no threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- runs/known (no threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- runs/forget (no threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- agent/states (no threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- agent/chain (no threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- agent/storage (no threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- agent/candidates (no threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- agent/of_agents (no threads; requests of any tenants)
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/get (no threads; requests of one tenant)
-- - where channel_value.tenant = asked.tenant
-- + where channel_value.tenant = $1::bigint
-- - where message.tenant = asked.tenant
-- + where message.tenant = $1::bigint
-- - where message.tenant = asked.tenant
-- + where message.tenant = $1::bigint
-- - where head.tenant = asked.tenant
-- + where head.tenant = $1::bigint
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::bigint[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::bigint[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/patch (no threads; requests of one tenant)
-- - $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[]::jsonb[], $5::float8[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::text[]::jsonb[], $5::float8[],
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - where thread.tenant = mine.tenant and thread.thread_id = mine.thread_id
-- + where thread.tenant = $1::bigint and thread.thread_id = mine.thread_id

-- threads/search (no threads; requests of one tenant)
-- - end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n
-- + end as metadata_bytes, thread.state_bytes, $1::bigint as tenant, asked.n
-- - $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- - where thread.tenant = asked.tenant
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + where thread.tenant = $1::bigint
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/list (no threads; requests of one tenant)
-- - end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n, digest.title, digest.preview, coalesce(digest.message_count, 0) as message_count, digest.last_message_at, digest.is_current as has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- + end as metadata_bytes, thread.state_bytes, $1::bigint as tenant, asked.n, digest.title, digest.preview, coalesce(digest.message_count, 0) as message_count, digest.last_message_at, digest.is_current as has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- - $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- - where thread.tenant = asked.tenant
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + where thread.tenant = $1::bigint
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - on digest.tenant = asked.tenant and digest.thread_id = thread.thread_id
-- + on digest.tenant = $1::bigint and digest.thread_id = thread.thread_id

-- threads/search_recent (no threads; requests of one tenant)
-- - end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n, thread.is_match
-- + end as metadata_bytes, thread.state_bytes, $1::bigint as tenant, asked.n, thread.is_match
-- - $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- - where thread.tenant = asked.tenant
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + where thread.tenant = $1::bigint
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint

-- threads/search_own (no threads; requests of one tenant)
-- - end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n, thread.is_match
-- + end as metadata_bytes, thread.state_bytes, $1::bigint as tenant, asked.n, thread.is_match
-- - $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- - thread.agent_thread_id, thread.agent_settled, true and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') as is_match
-- + thread.agent_thread_id, thread.agent_settled, true and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') as is_match
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint

-- threads/count (no threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[])
-- - where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true
-- + where thread.tenant = $1::bigint and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true

-- digest/stale (no threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[])
-- - on digest.tenant = asked.tenant and digest.thread_id = thread.thread_id
-- - where thread.tenant = asked.tenant
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + on digest.tenant = $1::bigint and digest.thread_id = thread.thread_id
-- + where thread.tenant = $1::bigint
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- digest/of_page (no threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[])
-- - where thread.tenant = asked.tenant
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + where thread.tenant = $1::bigint
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - on digest.tenant = asked.tenant and digest.thread_id = thread.thread_id
-- + on digest.tenant = $1::bigint and digest.thread_id = thread.thread_id
-- - and checkpoint.tenant = asked.tenant
-- + and checkpoint.tenant = $1::bigint
-- - where message.tenant = asked.tenant
-- + where message.tenant = $1::bigint
-- - where message.tenant = asked.tenant
-- + where message.tenant = $1::bigint
-- - where checkpoint.tenant = asked.tenant
-- + where checkpoint.tenant = $1::bigint

-- threads/quota (no threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::bigint[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::bigint[])
-- - where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + where thread.tenant = $1::bigint and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/lock_source (no threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/delete (no threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::bigint[], $5::bigint[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::bigint[], $5::bigint[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/hide (no threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/lock_all (no threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[])
-- - on thread.tenant = asked.tenant
-- + on thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/lock (no threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- state/parent (no threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::uuid[], $6::jsonb[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::uuid[], $6::jsonb[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - where later.tenant = asked.tenant
-- + where later.tenant = $1::bigint
-- - and checkpoint.tenant = asked.tenant
-- + and checkpoint.tenant = $1::bigint
-- - where written.tenant = asked.tenant
-- + where written.tenant = $1::bigint

-- state/insert (no threads; requests of one tenant)
-- - $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::timestamptz[], $5::bigint[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::timestamptz[], $5::bigint[],
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - where thread.tenant = mine.tenant and thread.thread_id = mine.thread_id
-- + where thread.tenant = $1::bigint and thread.thread_id = mine.thread_id
-- - select mine.tenant, thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq,
-- + select $1::bigint, thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq,
-- - select mine.tenant, mine.thread_id, mine.branch, new.position, mine.seq, new.message_id,
-- + select $1::bigint, mine.thread_id, mine.branch, new.position, mine.seq, new.message_id,
-- - select mine.tenant, mine.thread_id, mine.seq, new.channel, new.value::json
-- + select $1::bigint, mine.thread_id, mine.seq, new.channel, new.value::json

-- state/insert_messages (no threads; requests of one tenant)
-- - $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::timestamptz[], $5::bigint[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::timestamptz[], $5::bigint[],
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - where thread.tenant = mine.tenant and thread.thread_id = mine.thread_id
-- + where thread.tenant = $1::bigint and thread.thread_id = mine.thread_id
-- - select mine.tenant, thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq,
-- + select $1::bigint, thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq,
-- - select mine.tenant, mine.thread_id, mine.branch, new.position, mine.seq, new.message_id,
-- + select $1::bigint, mine.thread_id, mine.branch, new.position, mine.seq, new.message_id,

-- state/read (no threads; requests of one tenant)
-- - $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::uuid[], $6::uuid[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::uuid[], $6::uuid[],
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - where checkpoint.tenant = asked.tenant
-- + where checkpoint.tenant = $1::bigint
-- - where checkpoint.tenant = asked.tenant
-- + where checkpoint.tenant = $1::bigint
-- - where message.tenant = asked.tenant
-- + where message.tenant = $1::bigint
-- - where channel_value.tenant = asked.tenant
-- + where channel_value.tenant = $1::bigint

-- state/read_one (no threads; requests of one tenant)
-- - where channel_value.tenant = asked.tenant
-- + where channel_value.tenant = $1::bigint
-- - where message.tenant = asked.tenant
-- + where message.tenant = $1::bigint
-- - where message.tenant = asked.tenant
-- + where message.tenant = $1::bigint
-- - $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::uuid[], $6::uuid[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::uuid[], $6::uuid[],
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - where checkpoint.tenant = asked.tenant
-- + where checkpoint.tenant = $1::bigint

-- state/progress (no threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[])
-- - on thread.tenant = asked.tenant
-- + on thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- state/storage (no threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - where checkpoint.tenant = asked.tenant and checkpoint.thread_id = asked.thread_id
-- + where checkpoint.tenant = $1::bigint and checkpoint.thread_id = asked.thread_id
-- - where channel_value.tenant = asked.tenant
-- + where channel_value.tenant = $1::bigint
-- - where message.tenant = asked.tenant and message.thread_id = asked.thread_id
-- + where message.tenant = $1::bigint and message.thread_id = asked.thread_id

-- runs/begin (no threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[]::jsonb[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::text[]::jsonb[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- runs/record (no threads; requests of one tenant)
-- - select asked.tenant, asked.thread_id, asked.run_id
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::uuid[])
-- + select $1::bigint, asked.thread_id, asked.run_id
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::uuid[])
-- - on thread.tenant = asked.tenant
-- + on thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- runs/known (no threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::uuid[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::uuid[])
-- - on thread.tenant = asked.tenant
-- + on thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - on run.tenant = asked.tenant
-- + on run.tenant = $1::bigint

-- runs/forget (no threads; requests of one tenant)
-- - using unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::uuid[])
-- + using unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::uuid[])
-- - on thread.tenant = asked.tenant
-- + on thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - where run.tenant = asked.tenant
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + where run.tenant = $1::bigint

-- agent/states (no threads; requests of one tenant)
-- - $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::text[], $6::text[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::text[], $6::text[],
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- agent/chain (no threads; requests of one tenant)
-- - $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::text[], $6::text[]
-- + array[$1::bigint], $2::text[]::jsonb[], $3::uuid[], $4::text[], $5::text[], $6::text[]
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- agent/storage (no threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- agent/candidates (no threads; requests of one tenant)
-- - $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::uuid[], $5::bigint[]
-- + array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::uuid[], $5::bigint[]
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- agent/of_agents (no threads; requests of one tenant)
-- - from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
-- + from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::uuid[])
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/search (no threads; one request)
-- - end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n
-- + end as metadata_bytes, thread.state_bytes, $1::bigint as tenant, asked.n
-- - $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- - where thread.tenant = asked.tenant
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - and (thread.updated_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
-- + where thread.tenant = $1::bigint
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.updated_at, thread.thread_id) < (($4::text[])[1]::timestamptz, ($5::uuid[])[1])
-- - limit asked.max_threads
-- - offset asked.skipped
-- + limit ($6::bigint[])[1]
-- + offset ($7::bigint[])[1]

-- threads/list (no threads; one request)
-- - end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n, digest.title, digest.preview, coalesce(digest.message_count, 0) as message_count, digest.last_message_at, digest.is_current as has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- + end as metadata_bytes, thread.state_bytes, $1::bigint as tenant, asked.n, digest.title, digest.preview, coalesce(digest.message_count, 0) as message_count, digest.last_message_at, digest.is_current as has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- - $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- + array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- - where thread.tenant = asked.tenant
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - and (thread.updated_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
-- + where thread.tenant = $1::bigint
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.updated_at, thread.thread_id) < (($4::text[])[1]::timestamptz, ($5::uuid[])[1])
-- - limit asked.max_threads
-- - offset asked.skipped
-- + limit ($6::bigint[])[1]
-- + offset ($7::bigint[])[1]
-- - on digest.tenant = asked.tenant and digest.thread_id = thread.thread_id
-- + on digest.tenant = $1::bigint and digest.thread_id = thread.thread_id

-- threads/find (no threads; one request)
-- - where coalesce(thread.metadata @> ($2::text[]::jsonb[])[1], false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + where coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/count_found (no threads; one request)
-- - where coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true
-- + where coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true

-- agent/candidates (no threads; one request)
-- - $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::uuid[], $5::bigint[]
-- + array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::uuid[], $5::bigint[]
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = $1::bigint
-- - and thread.thread_id > asked.behind
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and thread.thread_id > ($4::uuid[])[1]
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - limit asked.max_threads
-- + limit ($5::bigint[])[1]

-- threads/search (no threads; requests without a tenant)
-- - end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n
-- + end as metadata_bytes, thread.state_bytes, thread.tenant as tenant, asked.n
-- - where thread.tenant = asked.tenant
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + where thread.tenant = thread.tenant
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/list (no threads; requests without a tenant)
-- - end as metadata_bytes, thread.state_bytes, asked.tenant as tenant, asked.n, digest.title, digest.preview, coalesce(digest.message_count, 0) as message_count, digest.last_message_at, digest.is_current as has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- + end as metadata_bytes, thread.state_bytes, thread.tenant as tenant, asked.n, digest.title, digest.preview, coalesce(digest.message_count, 0) as message_count, digest.last_message_at, digest.is_current as has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- - where thread.tenant = asked.tenant
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + where thread.tenant = thread.tenant
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - on digest.tenant = asked.tenant and digest.thread_id = thread.thread_id
-- + on digest.tenant = thread.tenant and digest.thread_id = thread.thread_id

-- threads/count (no threads; requests without a tenant)
-- - where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true
-- + where thread.tenant = thread.tenant and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true

-- threads/find (no threads; requests without a tenant)
-- - end as metadata_bytes, thread.state_bytes, $1::bigint as tenant, asked.n, thread.title, thread.preview, thread.message_count, thread.last_message_at, thread.has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- + end as metadata_bytes, thread.state_bytes, thread.tenant as tenant, asked.n, thread.title, thread.preview, thread.message_count, thread.last_message_at, thread.has_digest, case when thread.last_seq = 0 then case when jsonb_typeof(thread.metadata -> 'title') = 'string' then left(thread.metadata ->> 'title', 1000) end end as named
-- - array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- + $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
-- - where digest.tenant = $1::bigint
-- + where digest.tenant = thread.tenant
-- - select ($3::text[]::jsonb[])[1] #> array['0', thread.thread_id::text] as digest
-- + select asked.criteria #> array['0', thread.thread_id::text] as digest
-- - where thread.tenant = $1::bigint
-- + where thread.tenant = thread.tenant
-- - where coalesce(thread.metadata @> ($2::text[]::jsonb[])[1], false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- - and (thread.updated_at, thread.thread_id) < (($4::text[])[1]::timestamptz, ($5::uuid[])[1])
-- + where coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and (thread.updated_at, thread.thread_id) < (asked.behind::timestamptz, asked.behind_id)
-- - limit ($6::bigint[])[1]
-- - offset ($7::bigint[])[1]
-- + limit asked.max_threads
-- + offset asked.skipped

-- threads/count_found (no threads; requests without a tenant)
-- - where digest.tenant = $1::bigint
-- + where digest.tenant = thread.tenant
-- - where thread.tenant = $1::bigint
-- + where thread.tenant = thread.tenant
-- - where coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true
-- + where coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest') and true
-- - from unnest(array[$1::bigint], $2::text[]::jsonb[], $3::text[]::jsonb[])
-- + from unnest($1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[])

-- digest/stale (no threads; requests without a tenant)
-- - on digest.tenant = asked.tenant and digest.thread_id = thread.thread_id
-- - where thread.tenant = asked.tenant
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + on digest.tenant = thread.tenant and digest.thread_id = thread.thread_id
-- + where thread.tenant = thread.tenant
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- threads/quota (no threads; requests without a tenant)
-- - where thread.tenant = asked.tenant and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + where thread.tenant = thread.tenant and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')

-- agent/candidates (no threads; requests without a tenant)
-- - where thread.tenant = asked.tenant
-- + where thread.tenant = thread.tenant
-- - and coalesce(thread.metadata @> asked.filter, false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
-- + and coalesce((false), false) and (thread.expires_at is null or thread.expires_at > statement_timestamp() or thread.ttl_strategy = 'keep_latest')
