#!/bin/sh
# Gives the server a database role of its own, which owns the schema thread_store and may do nothing
# else, and passwords that nobody has to choose. May run again.
#
# Takes PGHOST, PGUSER and PGDATABASE of a superuser, and the INITIAL_PASSWORD that it was made with:
# the image of Postgres does not start without one. This script replaces it before the server starts.
# SUPERUSER_DIRECTORY keeps the new one, for this script and others that need a superuser.
# PASSFILE_DIRECTORY gets the password of the server's role, as a PGPASSFILE owned by SERVER_USER.
set -eu
umask 077

superuser=${SUPERUSER_DIRECTORY:-/superuser}
passfile=${PASSFILE_DIRECTORY:-/passfile}/passfile

random() {
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}

sql() {
    psql --no-psqlrc --quiet --no-password --set=ON_ERROR_STOP=1 "$@"
}

# The superuser's current password, of those that it may have. A new one is stored before it takes
# effect, so that an interrupted run does not lock everybody out.
superusers_password() {
    for known in "$superuser/password" "$superuser/next"; do
        if [ -s "$known" ] && PGPASSWORD=$(cat "$known") sql --command 'select' >/dev/null 2>&1; then
            cat "$known"
            return
        fi
    done
    printf %s "$INITIAL_PASSWORD"
}

PGPASSWORD=$(superusers_password)
export PGPASSWORD
if ! [ -s "$superuser/password" ] || [ "$PGPASSWORD" != "$(cat "$superuser/password")" ]; then
    random >"$superuser/next"
    NEXT_PASSWORD=$(cat "$superuser/next")
    export NEXT_PASSWORD
    sql <<'SQL'
\getenv password NEXT_PASSWORD
alter role current_user password :'password';
SQL
    mv "$superuser/next" "$superuser/password"
    PGPASSWORD=$NEXT_PASSWORD
fi

if [ -s "$passfile" ]; then
    SERVER_PASSWORD=$(sed 's/.*://' "$passfile")
else
    SERVER_PASSWORD=$(random)
fi
export SERVER_PASSWORD
sql <<'SQL'
\getenv password SERVER_PASSWORD
set client_min_messages = warning;
select 'create role thread_store'
where not exists (select from pg_roles where rolname = 'thread_store')
\gexec
alter role thread_store login nosuperuser nocreatedb nocreaterole noreplication nobypassrls password :'password';
create schema if not exists thread_store authorization thread_store;
SQL

printf '*:*:*:thread_store:%s\n' "$SERVER_PASSWORD" >"$passfile.new"
chown "${SERVER_USER:-65532}" "$passfile.new"
mv "$passfile.new" "$passfile"
