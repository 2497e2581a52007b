-- Threads and their state. ARCHITECTURE.md, "State", has the read and write paths and their costs.
--
-- Everything is in a schema of its own. On a Supabase database the schema `public` is served to
-- every holder of the anon key; this one is not.
--
-- Every table of threads has the tenant as the first column of every key: 64 bits of a hash of
-- what the policy says that a thread belongs to, by default its owner. All rows of a tenant can
-- therefore be on one shard or in one partition, and every statement about a user's threads
-- touches only that one. The tenant says where to look; the policy's filter decides what is seen.

-- One small row for each thread. State lives elsewhere: finding threads must not read it.
create table thread_store.thread (
    tenant bigint not null,
    thread_id uuid not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    state_updated_at timestamptz not null,
    metadata jsonb not null
        constraint thread_metadata_is_an_object check (jsonb_typeof(metadata) = 'object'),
    status text not null default 'idle'
        constraint thread_status_is_known check (status in ('idle', 'busy', 'interrupted', 'error')),
    -- Checkpoints written so far, in all namespaces. Numbers the next one.
    last_seq bigint not null default 0,
    -- How often older checkpoints were deleted. A write is refused if this number has changed
    -- since its parent checkpoint was read.
    pruned bigint not null default 0,
    -- Bytes of JSON of its newest values, as an answer shows them.
    state_bytes bigint not null default 0,
    -- Bytes of JSON of all values and messages, history included.
    stored_bytes bigint not null default 0,
    ttl_minutes double precision,
    ttl_strategy text
        constraint thread_ttl_strategy_is_known check (ttl_strategy in ('delete', 'keep_latest')),
    -- When the strategy is to be carried out. Null: never, or done.
    expires_at timestamptz,
    primary key (tenant, thread_id)
);

-- The newest threads of a tenant, the default search, are one range of this index.
create index thread_by_update on thread_store.thread (tenant, updated_at desc, thread_id desc);

-- Conditions on metadata, within one tenant: the tenant is part of what is hashed, so that a
-- look-up costs the same whatever other tenants have. The owner is left out, because the tenant
-- stands for it. Containment is the only operator that jsonb_path_ops indexes.
create index thread_by_metadata on thread_store.thread
    using gin (jsonb_set('{}', array[tenant::text], metadata - 'owner') jsonb_path_ops)
    with (gin_pending_list_limit = 256);

create index thread_by_expiry on thread_store.thread (expires_at) where expires_at is not null;

-- The tenant of every thread. It keeps a thread id unique among all tenants, and finds threads for
-- policies that have no tenant. It is the only table whose key is the thread id alone.
create table thread_store.thread_directory (
    thread_id uuid primary key,
    tenant bigint not null
);

-- Runs that were forwarded to an agent, by the thread that they belong to. The agent keeps the data
-- of a run; a row only records that it was forwarded. A run without a row belongs to nobody.
create table thread_store.run (
    tenant bigint not null,
    thread_id uuid not null,
    run_id uuid not null,
    created_at timestamptz not null default statement_timestamp(),
    primary key (tenant, thread_id, run_id),
    foreign key (tenant, thread_id) references thread_store.thread on delete cascade
);

-- Checkpoints. Rows of a thread's state are never changed, except that pruning removes the parents
-- of the remaining checkpoints. A checkpoint does not hold its values: it says which rows they are,
-- so that writing one message costs one message however long the conversation is.
create table thread_store.checkpoint (
    tenant bigint not null,
    thread_id uuid not null,
    checkpoint_ns text not null,
    -- Version 6: sorts by time, and within a thread strictly by seq.
    checkpoint_id uuid not null,
    parent_checkpoint_id uuid,
    seq bigint not null,
    created_at timestamptz not null,
    -- What the API shows as metadata, except thread_id, which a copy would have to rewrite.
    metadata jsonb not null,
    -- For each channel except messages, [seq, bytes] of the channel_value row that holds its value.
    channels jsonb not null,
    -- The messages are those of this branch and of its ancestors, written up to seq, at positions
    -- from messages_start to before messages_end. Null: there is no such channel.
    branch bigint not null,
    messages_start bigint,
    messages_end bigint,
    -- The branches that this one was forked from, nearest first, as [branch, seq, end]: of each the
    -- messages written up to that seq at positions before that end. Null: none.
    ancestors jsonb,
    -- Bytes of JSON of its values, as an answer shows them.
    state_bytes bigint not null,
    primary key (tenant, thread_id, checkpoint_ns, checkpoint_id),
    foreign key (tenant, thread_id) references thread_store.thread on delete cascade
);

-- Values are json, not jsonb, which would change digits and the order of keys.
create table thread_store.channel_value (
    tenant bigint not null,
    thread_id uuid not null,
    seq bigint not null,
    channel text not null,
    value json not null,
    primary key (tenant, thread_id, seq, channel),
    foreign key (tenant, thread_id) references thread_store.thread on delete cascade
);

-- The message id of a position never changes. Of several rows at a position the one with the
-- greatest seq counts; without a message it says that the message was removed.
create table thread_store.message (
    tenant bigint not null,
    thread_id uuid not null,
    branch bigint not null,
    position bigint not null,
    seq bigint not null,
    message_id text not null,
    message json,
    primary key (tenant, thread_id, branch, position, seq),
    foreign key (tenant, thread_id) references thread_store.thread on delete cascade
);

-- The newest version of a message is the last of a range, however often it was replaced.
create index message_by_id on thread_store.message (tenant, thread_id, message_id, seq);

-- Data of a thread, so that it can be listed and searched without its state. A background task writes
-- a row after the thread, never with it. A row is used only if it is of the thread's current state.
create table thread_store.digest (
    tenant bigint not null,
    thread_id uuid not null,
    -- The thread that it was made from: its time of creation, which distinguishes it from a later one
    -- with the same id, its last_seq, and the title in its metadata.
    created_at timestamptz not null,
    seq bigint not null,
    named text,
    title text,
    preview text,
    message_count bigint not null,
    last_message_at timestamptz,
    -- Eight bytes of a hash of each part of the text, so that only parts that changed are written.
    parts bytea not null,
    primary key (tenant, thread_id),
    foreign key (tenant, thread_id) references thread_store.thread on delete cascade
);

-- The text of a thread, normalised: part 0 is its title, the others are whole messages in order, as
-- many as fit in a row. The compression is the one that is fastest to read.
create table thread_store.digest_text (
    tenant bigint not null,
    thread_id uuid not null,
    part bigint not null,
    text text not null,
    primary key (tenant, thread_id, part),
    foreign key (tenant, thread_id) references thread_store.thread on delete cascade
);
alter table thread_store.digest_text alter column text set storage main;
do $$
begin
    alter table thread_store.digest_text alter column text set compression lz4;
exception
    -- This Postgres was built without lz4.
    when feature_not_supported then null;
end
$$;
