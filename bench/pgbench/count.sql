select count(*) from thread_store.thread where metadata -> 'owner' = :owner::text::jsonb;
