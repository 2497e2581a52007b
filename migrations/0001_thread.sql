-- Threads, one small row each. State lives elsewhere: finding threads must not read it.
--
-- Everything is in a schema of its own. On a Supabase database the schema `public` is served
-- to every holder of the anon key; this one is not.

create table thread_store.thread (
    thread_id uuid primary key,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    state_updated_at timestamptz not null,
    metadata jsonb not null
        constraint thread_metadata_is_an_object check (jsonb_typeof(metadata) = 'object'),
    status text not null default 'idle'
        constraint thread_status_is_known check (status in ('idle', 'busy', 'interrupted', 'error'))
);

-- An owner's newest threads, the default search, are one range of this index.
create index thread_by_owner
    on thread_store.thread ((metadata -> 'owner'), updated_at desc, thread_id desc);

-- Metadata filters are containment, the only operator that jsonb_path_ops indexes.
create index thread_by_metadata
    on thread_store.thread using gin (metadata jsonb_path_ops);
