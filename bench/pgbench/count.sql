select count(*) from thread_store.thread where tenant = :tenant and metadata -> 'owner' = :owner::text::jsonb;
