-- Ids that sort by time, as the server's do: random ones would write to many more pages.
with made as (
    insert into thread_store.thread (tenant, thread_id, created_at, updated_at, state_updated_at, metadata)
    select :tenant,
        (lpad(to_hex((extract(epoch from moment) * 1000000)::bigint), 16, '0')
            || right(gen_random_uuid()::text, 12) || to_hex(4096 + :client_id))::uuid,
        moment, moment, moment, :metadata::text::jsonb
    from clock_timestamp() as moment
    returning thread_id, created_at, updated_at, state_updated_at, metadata, status
), directory as (
    insert into thread_store.thread_directory (thread_id, tenant) select thread_id, :tenant from made
)
select * from made;
