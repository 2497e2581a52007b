-- State: checkpoints, and what their values are made of. ARCHITECTURE.md, "State", has the
-- read and write paths with their costs.
--
-- Nothing here is written again, but that pruning takes the parent from what it leaves. A checkpoint does not hold its values: it says
-- which rows they are, so that writing one message costs one message however long the
-- conversation is.
--
-- Every key starts with thread_id, so that the tables can be distributed by it.

alter table thread_store.thread
    -- Checkpoints written so far, in all namespaces. Numbers the next one.
    add column last_seq bigint not null default 0,
    add column ttl_minutes double precision,
    add column ttl_strategy text
        constraint thread_ttl_strategy_is_known check (ttl_strategy in ('delete', 'keep_latest')),
    -- When the strategy is to be carried out. Null: never, or done.
    add column expires_at timestamptz;

create index thread_by_expiry
    on thread_store.thread (expires_at)
    where expires_at is not null;

create table thread_store.checkpoint (
    thread_id uuid not null references thread_store.thread on delete cascade,
    checkpoint_ns text not null,
    -- Version 6: sorts by time, and within a thread strictly by seq.
    checkpoint_id uuid not null,
    parent_checkpoint_id uuid,
    seq bigint not null,
    created_at timestamptz not null,
    -- What the API shows as metadata, but for thread_id, which a copy would have to rewrite.
    metadata jsonb not null,
    -- For each channel but messages, the seq of the channel_value row that holds its value.
    channels jsonb not null,
    -- The messages are those of this branch, or inherited by it, that were written up to seq at
    -- positions from messages_start to before messages_end. Null: there is no such channel.
    branch bigint not null,
    messages_start bigint,
    messages_end bigint,
    primary key (thread_id, checkpoint_ns, checkpoint_id)
);

-- A branch begins where a checkpoint is written onto one that is not the last of its own. It
-- inherits what its parent had written up to fork_seq at positions before fork_end. The first
-- branch of a namespace has no row.
create table thread_store.branch (
    thread_id uuid not null references thread_store.thread on delete cascade,
    -- The seq of its first checkpoint.
    branch bigint not null,
    parent_branch bigint not null,
    fork_seq bigint not null,
    fork_end bigint not null,
    primary key (thread_id, branch)
);

-- Values are json, not jsonb: they come back with the digits and key order they came with.
create table thread_store.channel_value (
    thread_id uuid not null references thread_store.thread on delete cascade,
    seq bigint not null,
    channel text not null,
    value json not null,
    primary key (thread_id, seq, channel)
);

-- A position keeps its message id for life. Of several rows at a position the one with the
-- greatest seq counts; without a message it says that the message was removed.
create table thread_store.message (
    thread_id uuid not null references thread_store.thread on delete cascade,
    branch bigint not null,
    position bigint not null,
    seq bigint not null,
    message_id text not null,
    message json,
    primary key (thread_id, branch, position, seq)
);

create index message_by_id on thread_store.message (thread_id, message_id);
