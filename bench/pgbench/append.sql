\set n random(1, :threads)
\set position random(1, 1000000000000000000)
insert into thread_store.message (tenant, thread_id, branch, position, seq, message_id, message)
values (:tenant, md5('talker-'::text || :n::text)::uuid, 1, :position, 1, gen_random_uuid()::text, :message::text::json);
