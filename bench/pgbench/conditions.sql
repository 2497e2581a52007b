select thread_id, created_at, updated_at, state_updated_at, metadata, status
from thread_store.thread
where tenant = :tenant and metadata -> 'owner' = :owner::text::jsonb
    and (metadata -> 'topic' in ('"t3"', '"t4"') or metadata -> 'topic' is null)
    and metadata -> 'resolved' is distinct from 'true'
order by updated_at desc, thread_id desc
limit 10;
