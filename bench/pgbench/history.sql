\set n random(1, :threads)
select checkpoint_id, parent_checkpoint_id, created_at, metadata, channels, messages_start, messages_end
from thread_store.checkpoint
where tenant = :tenant and thread_id = md5('listener-'::text || :n::text)::uuid and checkpoint_ns = ''
order by checkpoint_id desc
limit 10;
