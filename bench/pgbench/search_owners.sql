\set owner random(0, 99)
select thread_id, created_at, updated_at, state_updated_at, metadata, status
from thread_store.thread
where metadata -> 'owner' = to_jsonb(md5('owner-' || :owner)::uuid)
order by updated_at desc, thread_id desc
limit 10;
