\set n random(0, 99)
select thread_id, created_at, updated_at, state_updated_at, metadata, status
from (select md5('owner-' || :n)::uuid::text as owner) as asked
cross join lateral (
    select * from thread_store.thread
    where tenant = ('x' || encode(substr(sha256(convert_to(owner, 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint
    order by updated_at desc, thread_id desc
    limit 10
) as thread;
