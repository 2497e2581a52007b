//! Checks of the statements by Postgres.

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection, Row as _,
};

use super::references::{calls, references};
use super::texts;
use crate::store::migrate;
use crate::test_postgres::test_cluster;

/// The tables of an agent, with the columns that statements use.
const AGENT: &str = "
    create table public.checkpoints (
        thread_id text, checkpoint_ns text, checkpoint_id text, parent_checkpoint_id text, type text,
        checkpoint jsonb, metadata jsonb
    );
    create table public.checkpoint_blobs (
        thread_id text, checkpoint_ns text, channel text, version text, type text, blob bytea
    );
    create table public.checkpoint_writes (
        thread_id text, checkpoint_ns text, checkpoint_id text, task_id text, task_path text, idx int,
        channel text, type text, blob bytea
    )";

async fn connection() -> PgConnection {
    let database = test_cluster().await.database().await;
    migrate(&database).await.unwrap();
    let mut connection = database.connect().await.unwrap();
    connection.execute(AGENT).await.unwrap();
    connection
}

#[tokio::test]
async fn postgres_prepares_every_statement() {
    let mut connection = connection().await;
    let texts = texts();
    assert!(texts.len() > 200, "{}", texts.len());
    for text in texts {
        let prepare = format!("prepare statement as {}", text.sql);
        let prepared = connection.execute(sqlx::raw_sql(AssertSqlSafe(prepare))).await;
        if let Err(error) = prepared {
            panic!("{} ({}): {error}\n{}", text.name, text.case, text.sql);
        }
        connection.execute("deallocate statement").await.unwrap();
    }
    connection.close().await.unwrap();
}

/// An engine that splits a statement would call a volatile function on each of its nodes.
#[tokio::test]
async fn no_write_calls_a_volatile_function() {
    let mut connection = connection().await;
    let question = "select proname::text from pg_proc \
                    where proname = any($1) and provolatile = 'v' order by proname";
    let mut called = 0;
    for text in texts() {
        let is_write = ["insert into", "update thread_store", "delete from", "for update"];
        if references(&text.sql).is_empty() || !is_write.iter().any(|word| text.sql.contains(word))
        {
            continue;
        }
        let calls: Vec<_> = calls(&text.sql).into_iter().collect();
        called += calls.iter().filter(|name| *name == "statement_timestamp").count();
        let volatile = sqlx::query(question).bind(&calls).fetch_all(&mut connection).await.unwrap();
        let volatile: Vec<String> = volatile.iter().map(|row| row.get(0)).collect();
        assert!(volatile.is_empty(), "{} ({}): {volatile:?}", text.name, text.case);
    }
    assert!(called > 20, "functions are not found: {called}");
    connection.close().await.unwrap();
}
