select thread_id, thread.created_at, updated_at, state_updated_at, metadata, status
from thread_store.thread
where tenant = :tenant and metadata -> 'owner' = :owner::text::jsonb
    and exists (
        select from thread_store.digest_text as found
        where found.tenant = :tenant and found.thread_id = thread.thread_id and strpos(text, 'about') > 0
    )
    and exists (
        select from thread_store.digest_text as found
        where found.tenant = :tenant and found.thread_id = thread.thread_id and strpos(text, 'conversation') > 0
    )
    and not exists (
        select from thread_store.digest_text as found
        where found.tenant = :tenant and found.thread_id = thread.thread_id and strpos(text, 'nothing') > 0
    )
order by updated_at desc, thread_id desc
limit 10;
