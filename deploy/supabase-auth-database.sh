#!/bin/sh
# Prepares a Postgres for Supabase Auth, which then creates its own tables. May run again.
#
# Needs PGHOST, PGUSER and PGDATABASE of a superuser named postgres, because one of Supabase Auth's
# migrations grants rights to a role of that name. database-role.sh has written the superuser's
# password to SUPERUSER_DIRECTORY.
set -eu

# The secrets are checked here, because Supabase Auth itself would start with an empty secret.
: "${SUPABASE_AUTH_DB_PASSWORD:?set it in .env: the password of the database role of Supabase Auth}"
: "${SUPABASE_JWT_SECRET:?set it in .env: the secret that signs access tokens}"
if [ "${#SUPABASE_JWT_SECRET}" -lt 32 ]; then
    echo "SUPABASE_JWT_SECRET: must have 32 characters or more" >&2
    exit 64
fi
PGPASSWORD=$(cat "${SUPERUSER_DIRECTORY:-/superuser}/password")
export PGPASSWORD

psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 <<'SQL'
\getenv password SUPABASE_AUTH_DB_PASSWORD
select 'create role supabase_auth_admin'
where not exists (select from pg_roles where rolname = 'supabase_auth_admin')
\gexec
alter role supabase_auth_admin login noinherit createrole password :'password';
create schema if not exists auth authorization supabase_auth_admin;
select format('grant create on database %I to supabase_auth_admin', current_database())
\gexec
alter role supabase_auth_admin set search_path = auth;
SQL
