-- Threads of agents that write with LangGraph's own checkpointers (`thread-store attach`). Their
-- state stays in the agent's tables; a row of `thread` stands for each of them.

-- Which tables are attached. There is at most one row. It stays when the tables are detached, so that
-- ids made from the agent's ids stay the same.
create table thread_store.agent_attachment (
    is_only boolean primary key default true
        constraint agent_attachment_is_only_one check (is_only),
    schema_name text not null,
    -- The key in a checkpoint's metadata that names the owner.
    owner_key text not null,
    -- Ids of threads whose id in the agent's tables is no UUID are made in this namespace. It is
    -- random, so that nobody can make a thread of that id before the agent does.
    namespace uuid not null default gen_random_uuid(),
    is_attached boolean not null default true,
    -- The last existing thread of the agent that got a row here. Null: all were processed.
    taken_in_to text
);

-- The threads of agents by the id that the agent gives them. The agent
-- has this text in a key of its own, so it is not too long for one.
create table thread_store.agent_thread (
    agent_thread_id text primary key,
    thread_id uuid not null,
    -- Null: it has no owner. Nobody sees it, and its id is taken.
    tenant bigint,
    -- When it was deleted here. Later writes of an active run are deleted too.
    deleted_at timestamptz
);

create index agent_thread_by_deletion on thread_store.agent_thread (deleted_at)
    where deleted_at is not null;

-- Changes that the trigger could not process at once, because it never waits. Servers process them.
create table thread_store.agent_change (
    id bigint generated always as identity primary key,
    -- Null: rows of any thread may be gone.
    agent_thread_id text
);

-- An id that is taken by nobody's thread has no tenant.
alter table thread_store.thread_directory alter column tenant drop not null;

alter table thread_store.thread
    -- The id in the agent's tables, which hold the state. Null: the state is in tables of this schema.
    add column agent_thread_id text,
    -- Whether there was no such thread before the agent wrote.
    add column agent_made boolean not null default false,
    -- The `last_seq` to which `status` and `state_bytes` belong.
    add column agent_settled bigint not null default 0;

create index thread_unsettled on thread_store.thread (tenant, thread_id)
    where agent_thread_id is not null and (agent_settled < last_seq or status = 'busy');

-- The tenant of an owner: the first 64 bits of the SHA-256 of its name.
create or replace function thread_store.tenant_of(name text) returns bigint
language sql immutable parallel safe
set search_path = pg_catalog
as $$ select ('x' || encode(substr(sha256(convert_to(name, 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint $$;

-- Makes the row of an agent's thread, or links the one that was made here before. `owned` is the
-- metadata of its first checkpoint. Returns the outcome: made, linked, ownerless, or refused because
-- the id belongs to somebody else.
create or replace function thread_store.agent_enter(
    agent_id text, id uuid, owned jsonb, began timestamptz, written timestamptz
) returns text
language plpgsql
set search_path = pg_catalog
as $$
declare
    owner text;
    home bigint;
    taken bigint;
begin
    select case
            when jsonb_typeof(owned -> attachment.owner_key) in ('string', 'number')
            then nullif(owned ->> attachment.owner_key, '')
        end
    into owner
    from thread_store.agent_attachment as attachment;
    home := thread_store.tenant_of(owner);
    insert into thread_store.thread_directory (thread_id, tenant)
    values (id, home)
    on conflict (thread_id) do nothing;
    if found then
        insert into thread_store.agent_thread as entry (agent_thread_id, thread_id, tenant)
        values (agent_id, id, home)
        on conflict (agent_thread_id) do update
        set thread_id = excluded.thread_id, tenant = excluded.tenant, deleted_at = null;
        if home is null then
            return 'ownerless';
        end if;
        insert into thread_store.thread (
            tenant, thread_id, created_at, updated_at, state_updated_at, metadata, last_seq,
            agent_thread_id, agent_made
        )
        values (
            home, id, began, written, written,
            jsonb_build_object('owner', owner) || case
                when agent_id = id::text then '{}' else jsonb_build_object('agent_thread_id', agent_id)
            end,
            1, agent_id, true
        );
        return 'made';
    end if;
    select directory.tenant into taken
    from thread_store.thread_directory as directory
    where directory.thread_id = id;
    -- Only the exact text of an id means that thread, and only if no other owner is named.
    if agent_id <> id::text or taken is null or (home is not null and home <> taken) then
        return 'refused';
    end if;
    update thread_store.thread
    set agent_thread_id = agent_id,
        last_seq = thread.last_seq + 1,
        updated_at = greatest(written, thread.updated_at + interval '1 microsecond'),
        state_updated_at = greatest(written, thread.state_updated_at + interval '1 microsecond')
    where thread.tenant = taken and thread.thread_id = id and thread.agent_thread_id is null;
    if not found then
        return 'refused';
    end if;
    insert into thread_store.agent_thread as entry (agent_thread_id, thread_id, tenant)
    values (agent_id, id, taken)
    on conflict (agent_thread_id) do update
    set thread_id = excluded.thread_id, tenant = excluded.tenant, deleted_at = null;
    return 'linked';
end
$$;

-- Updates the rows of an agent's thread from the agent's tables. `id` is the thread's id here, or the
-- one that it would get. Returns the outcome: as `agent_enter`, or touched, emptied, gone, swept.
create or replace function thread_store.agent_settle(agent_id text, id uuid) returns text
language plpgsql
set search_path = pg_catalog
as $$
declare
    place text;
    known record;
    one record;
    made boolean;
begin
    select schema_name into place from thread_store.agent_attachment where is_attached;
    if place is null then
        return 'detached';
    end if;
    select * into known
    from thread_store.agent_thread as entry
    where entry.agent_thread_id = agent_id
    for update;
    -- The row is locked before the agent's tables are read: earlier writes are seen, and for later
    -- ones, which find the row locked, the trigger adds a change.
    select thread.agent_made into made
    from thread_store.thread
    where thread.tenant = known.tenant and thread.thread_id = known.thread_id
    for update;
    if known.deleted_at is null then
        execute format(
            'select saved.metadata, saved.checkpoint ->> ''ts'' as began, (
                 select newest.checkpoint ->> ''ts''
                 from %1$I.checkpoints as newest
                 where newest.thread_id = $1 and newest.checkpoint_ns = saved.checkpoint_ns
                 order by newest.checkpoint_id desc
                 limit 1
             ) as written
             from %1$I.checkpoints as saved
             where saved.thread_id = $1 and saved.checkpoint_ns = ''''
             order by saved.checkpoint_id
             limit 1', place
        ) into one using agent_id;
    else
        -- The last checkpoint without a parent begins a new thread.
        execute format(
            'select saved.metadata, saved.checkpoint ->> ''ts'' as began,
                 saved.checkpoint ->> ''ts'' as written, saved.checkpoint_id
             from %1$I.checkpoints as saved
             where saved.thread_id = $1 and saved.checkpoint_ns = ''''
                 and saved.parent_checkpoint_id is null
             order by saved.checkpoint_id desc
             limit 1', place
        ) into one using agent_id;
        execute format(
            'delete from %1$I.checkpoint_writes where thread_id = $1 and ($2 is null or checkpoint_id < $2)',
            place
        ) using agent_id, one.checkpoint_id;
        execute format(
            'delete from %1$I.checkpoints where thread_id = $1 and ($2 is null or checkpoint_id < $2)', place
        ) using agent_id, one.checkpoint_id;
        if one.checkpoint_id is null then
            execute format('delete from %1$I.checkpoint_blobs where thread_id = $1', place) using agent_id;
            return 'swept';
        end if;
        return thread_store.agent_enter(
            agent_id, id, one.metadata, one.began::timestamptz, one.written::timestamptz
        );
    end if;
    if one.metadata is not null then
        if known.agent_thread_id is null then
            return thread_store.agent_enter(
                agent_id, id, one.metadata, one.began::timestamptz, one.written::timestamptz
            );
        end if;
        update thread_store.thread
        set last_seq = thread.last_seq + 1,
            updated_at = greatest(one.written::timestamptz, thread.updated_at),
            state_updated_at = greatest(one.written::timestamptz, thread.state_updated_at)
        where thread.tenant = known.tenant and thread.thread_id = known.thread_id;
        return 'touched';
    end if;
    if known.agent_thread_id is null then
        return 'gone';
    end if;
    delete from thread_store.agent_thread as entry where entry.agent_thread_id = agent_id;
    if made is false then
        update thread_store.thread
        set agent_thread_id = null,
            status = 'idle',
            state_bytes = 0,
            last_seq = thread.last_seq + 1,
            updated_at = greatest(statement_timestamp(), thread.updated_at + interval '1 microsecond')
        where thread.tenant = known.tenant and thread.thread_id = known.thread_id;
        return 'emptied';
    end if;
    delete from thread_store.thread
    where thread.tenant = known.tenant and thread.thread_id = known.thread_id;
    delete from thread_store.thread_directory as directory
    where directory.thread_id = known.thread_id;
    return 'gone';
end
$$;

-- After a checkpoint, a question or an error of an agent. It never waits and never fails: what it
-- cannot do is left to the servers, and an error becomes a warning.
create or replace function thread_store.agent_wrote() returns trigger
language plpgsql security definer
set search_path = pg_catalog
set lock_timeout = '20ms'
as $$
declare
    known record;
    is_first boolean := false;
begin
    begin
        if tg_argv[0] = 'checkpoints' then
            is_first := new.parent_checkpoint_id is null;
        end if;
        select entry.tenant, entry.thread_id, entry.deleted_at into known
        from thread_store.agent_thread as entry
        where entry.agent_thread_id = new.thread_id;
        if found and known.deleted_at is null then
            if known.tenant is null then
                return null;
            end if;
            perform
            from thread_store.thread
            where thread.tenant = known.tenant and thread.thread_id = known.thread_id
            for no key update skip locked;
            if found then
                update thread_store.thread
                set last_seq = thread.last_seq + 1,
                    updated_at = greatest(statement_timestamp(), thread.updated_at + interval '1 microsecond'),
                    state_updated_at = greatest(statement_timestamp(), thread.updated_at + interval '1 microsecond')
                where thread.tenant = known.tenant and thread.thread_id = known.thread_id;
                return null;
            end if;
        elsif not found and is_first
            and new.thread_id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
        then
            perform thread_store.agent_enter(
                new.thread_id, new.thread_id::uuid, new.metadata, statement_timestamp(), statement_timestamp()
            );
            return null;
        end if;
        insert into thread_store.agent_change (agent_thread_id) values (new.thread_id);
    exception when others then
        begin
            insert into thread_store.agent_change (agent_thread_id) values (new.thread_id);
        exception when others then
            raise warning 'thread-store did not hear of thread %: %', new.thread_id, sqlerrm;
        end;
    end;
    return null;
end
$$;

-- After rows of checkpoints were deleted or truncated.
create or replace function thread_store.agent_deleted() returns trigger
language plpgsql security definer
set search_path = pg_catalog
set lock_timeout = '20ms'
as $$
begin
    begin
        if tg_op = 'TRUNCATE' then
            insert into thread_store.agent_change (agent_thread_id) values (null);
        else
            insert into thread_store.agent_change (agent_thread_id)
            select distinct gone.thread_id
            from gone
            -- A deletion by this server needs no change.
            where not exists (
                select
                from thread_store.agent_thread as entry
                where entry.agent_thread_id = gone.thread_id and entry.deleted_at is not null
            );
        end if;
    exception when others then
        raise warning 'thread-store did not hear of deleted checkpoints: %', sqlerrm;
    end;
    return null;
end
$$;

revoke all on function thread_store.agent_wrote() from public;
revoke all on function thread_store.agent_deleted() from public;
