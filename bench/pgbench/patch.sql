\set n random(1, :threads)
update thread_store.thread
set metadata = metadata || :patch::text::jsonb, updated_at = clock_timestamp()
where tenant = :tenant and thread_id = md5('writer-'::text || :n::text)::uuid
    and metadata -> 'owner' = :owner::text::jsonb
returning thread_id, created_at, updated_at, state_updated_at, metadata, status;
