-- The local sign-in keeps to its own schema, which the migrator has made
-- before this runs, so that dropping it leaves the threads untouched.

create table local_auth.users (
  id uuid primary key default gen_random_uuid(),
  -- What Supabase Auth shows as identities[].identity_id: it must not change
  -- between two answers.
  identity_id uuid not null default gen_random_uuid(),
  email text not null,
  password_hash text not null,
  user_metadata jsonb not null default '{}',
  -- What was known of the address at the sign-up, as identities[].identity_data.
  identity_data jsonb not null default '{}',
  app_metadata jsonb not null default '{"provider": "email", "providers": ["email"]}',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  email_confirmed_at timestamptz not null default now(),
  last_sign_in_at timestamptz,
  -- When a link to sign in was last asked for.
  recovery_sent_at timestamptz,
  banned_until timestamptz,
  deleted_at timestamptz,
  constraint users_user_metadata_is_object check (jsonb_typeof(user_metadata) = 'object'),
  constraint users_identity_data_is_object check (jsonb_typeof(identity_data) = 'object'),
  constraint users_app_metadata_is_object check (jsonb_typeof(app_metadata) = 'object'),
  -- 'infinity' has no RFC 3339 form and would break every answer about the user.
  constraint users_banned_until_is_a_date
    check (isfinite(banned_until) and banned_until < '10000-01-01 00:00:00+00'),
  constraint users_deleted_at_is_a_date
    check (isfinite(deleted_at) and deleted_at < '10000-01-01 00:00:00+00')
);

-- A soft-deleted user keeps the row, but the address becomes free.
create unique index users_email_key
  on local_auth.users (lower(email))
  where deleted_at is null;

create table local_auth.sessions (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references local_auth.users (id) on delete cascade,
  -- How the user signed in, as the claim amr of its access tokens says it.
  method text not null,
  -- The counter of the one refresh token that is in force. Refresh token rows
  -- never change, so locking the session row is enough to rotate safely.
  refresh_counter bigint not null default 0,
  -- Set when an old refresh token came back: none of the family works again.
  refresh_revoked_at timestamptz,
  created_at timestamptz not null default now(),
  refreshed_at timestamptz
);

create index sessions_user_id_idx
  on local_auth.sessions (user_id);

create table local_auth.refresh_tokens (
  token_sha256 bytea primary key check (octet_length(token_sha256) = 32),
  session_id uuid not null references local_auth.sessions (id) on delete cascade,
  counter bigint not null,
  created_at timestamptz not null default now(),
  unique (session_id, counter)
);

-- Tokens that are exchanged for a session, once: the link that a mail would carry, and the code to
-- which it leads if the client sent a code challenge (PKCE, RFC 7636). A new token replaces the
-- previous one.
create table local_auth.one_time_tokens (
  user_id uuid not null references local_auth.users (id) on delete cascade,
  kind text not null check (kind in ('link', 'code')),
  purpose text not null check (purpose in ('recovery', 'magiclink')),
  token_sha256 bytea not null unique check (octet_length(token_sha256) = 32),
  code_challenge text,
  code_challenge_method text check (code_challenge_method in ('s256', 'plain')),
  created_at timestamptz not null default now(),
  primary key (user_id, kind),
  check ((code_challenge is null) = (code_challenge_method is null))
);
