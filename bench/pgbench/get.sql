\set n random(1, :threads)
select thread_id, created_at, updated_at, state_updated_at, metadata, status
from thread_store.thread
where tenant = :tenant and thread_id = md5('reader-'::text || :n::text)::uuid
    and metadata -> 'owner' = :owner::text::jsonb;
