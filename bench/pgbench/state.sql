\set n random(1, :threads)
select message_id, message
from thread_store.message
where tenant = :tenant and thread_id = md5('listener-'::text || :n::text)::uuid
order by position;
