//! `thread-store migrate`, and servers that may not change the schema.

use std::process::{Command, Output};

use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};
use thread_store::auth::{JwtIssuer, Mode};
use thread_store::config::{Database, Schema, SignIn};
use thread_store::store::{OpenError, Store, check_schema, migrate, migrator};

use crate::support::TestServer;
use crate::support::postgres::{test_cluster, url_of};
use crate::support::program::Program;
use crate::support::steps::human;

/// Settings of a server whose sign-in makes no tables. Nobody is asked while it starts.
const SIGN_IN: (&str, &str) = ("SUPABASE_URL", "http://127.0.0.1:1");

fn program(arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_thread-store"));
    let command = command.args(arguments).env_clear().env("PORT", "0");
    command.envs(settings.iter().copied()).current_dir(directory.path()).output().unwrap()
}

#[track_caller]
fn one_line(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    let said = [&*output.stdout, &*output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

#[tokio::test]
async fn migrate_brings_a_database_up_to_date_and_says_what_it_did() {
    let database = test_cluster().await.database().await;
    let url = url_of(&database);
    let all = migrator().iter().count();
    let run = || one_line(&program(&["migrate"], &[("DATABASE_URL", &url)]), 0);
    assert_eq!(run(), format!("thread-store: {all} migrations ran, the schema is up to date\n"));
    assert_eq!(run(), "thread-store: the schema was up to date\n");
    check_schema(&database).await.unwrap();
}

#[test]
fn migrate_asks_for_a_database_and_for_nothing_else() {
    let line = one_line(&program(&["migrate"], &[]), 64);
    assert!(line.starts_with("thread-store: DATABASE_URL: is required"), "{line}");
    // No sign-in is needed, and a HOST that needs one is no matter.
    let settings = [("DATABASE_URL", "postgres://user@127.0.0.1:1/none"), ("HOST", "0.0.0.0")];
    let line = one_line(&program(&["migrate"], &settings), 1);
    assert!(line.starts_with("thread-store: cannot connect to the database"), "{line}");
}

#[tokio::test]
async fn a_server_that_may_not_migrate_refuses_a_database_that_is_behind() {
    let database = test_cluster().await.database().await;
    let url = url_of(&database);
    let settings = [("DATABASE_URL", &*url), ("DATABASE_MIGRATE", "false"), SIGN_IN];
    let all = migrator().iter().count();
    let line = one_line(&program(&[], &settings), 1);
    let expected =
        format!("thread-store: the database has 0 of the {all} migrations of this release");
    assert!(line.starts_with(&expected) && line.contains("`thread-store migrate`"), "{line}");
    let mut connection = database.connect().await.unwrap();
    let is_there: bool = sqlx::query_scalar("select to_regnamespace('thread_store') is not null")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert!(!is_there, "the refused start changed the database");

    migrator().run_to(1, &mut connection).await.unwrap();
    let line = one_line(&program(&[], &settings), 1);
    assert!(line.contains(&format!("has 1 of the {all} migrations")), "{line}");

    migrate(&database).await.unwrap();
    let server = Program::start(&settings);
    let answer = reqwest::get(format!("{}/ok?check_db=1", server.url)).await.unwrap();
    assert_eq!(answer.status(), 200);
    server.stop();
}

#[tokio::test]
async fn a_check_refuses_a_newer_database_and_a_migration_that_was_edited() {
    let database = test_cluster().await.database().await;
    migrate(&database).await.unwrap();
    let mut connection = database.connect().await.unwrap();
    let mut after = async |sql: &'static str| {
        connection.execute(sql).await.unwrap();
        check_schema(&database).await
    };
    let edited =
        after("update thread_store._sqlx_migrations set checksum = '\\x00' where version = 1");
    assert!(matches!(edited.await, Err(OpenError::Migrate(_))));
    let newer = after("update thread_store._sqlx_migrations set version = 9000 where version = 1");
    assert!(matches!(newer.await, Err(OpenError::Newer(9000))));
    let broken = after("update thread_store._sqlx_migrations set success = false");
    assert!(matches!(broken.await, Err(OpenError::Migrate(_))));
}

/// The role of the README's SQL under a name of its own, for this database.
async fn restricted(database: &PgConnectOptions) -> PgConnectOptions {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let (_, rest) = readme.split_once("```sql\n").unwrap();
    let (sql, _) = rest.split_once("```").unwrap();
    assert_eq!(rest.matches("```sql").count(), 0, "which of them?");
    let role = format!("server_{}", uuid::Uuid::new_v4().simple());
    let sql = sql.replace("thread_store_server", &role);
    assert!(sql.contains(&role));
    let mut connection = database.connect().await.unwrap();
    connection.execute(AssertSqlSafe(sql)).await.unwrap();
    connection.close().await.unwrap();
    database.clone().username(&role)
}

#[tokio::test]
async fn a_server_works_with_a_role_that_may_only_read_and_write_rows() {
    let sign_in = TestServer::start().await;
    let user = sign_in.user().await;
    let database = test_cluster().await.database().await;
    migrate(&database).await.unwrap();
    let role = restricted(&database).await;
    assert!(Store::open(role.clone(), 1).await.is_err(), "it may migrate");
    let mut connection = role.connect().await.unwrap();
    connection.execute("create table thread_store.mine ()").await.unwrap_err();
    let server = TestServer::start_with(|config| {
        config.database = Database::External { url: Box::new(role), direct: None };
        config.schema = Schema::Check;
        config.sign_in = SignIn::Supabase {
            url: sign_in.url.parse().unwrap(),
            api_key: None,
            mode: Mode::Remote,
            issuer: JwtIssuer::default(),
        };
    })
    .await;
    let user = user.at(&server);
    let id = user.thread(json!({ "metadata": { "a": 1 }, "ttl": { "ttl": 60 } })).await;
    let first = user.write(&id, json!({ "messages": [human("1", "x")], "k": 1 })).await;
    user.write(&id, json!({ "k": 2 })).await;
    user.fork(&id, &first, json!({ "k": 3 })).await;
    assert_eq!(user.history(&id).await.len(), 3);
    let copy = user.copy(&id).await;
    user.keep_latest(&copy).await;
    user.patch(&format!("/threads/{id}"), json!({ "metadata": { "b": 2 } })).await.expect(200);
    assert_eq!(user.found(json!({ "values": { "k": 3 } })).await.len(), 2);
    user.delete(&format!("/threads/{id}")).await;
    assert_eq!(user.count(json!({})).await, 1);
}

#[tokio::test]
async fn migrations_run_over_the_direct_connection_if_there_is_one() {
    let database = test_cluster().await.database().await;
    // The role of DATABASE_URL may not do it.
    let mut connection = database.connect().await.unwrap();
    let role = format!("server_{}", uuid::Uuid::new_v4().simple());
    connection.execute(AssertSqlSafe(format!("create role {role} login"))).await.unwrap();
    let (url, direct) = (url_of(&database.clone().username(&role)), url_of(&database));
    let alone = [("DATABASE_URL", &*url), SIGN_IN];
    let line = one_line(&program(&["migrate"], &alone), 1);
    assert!(line.starts_with("thread-store: cannot migrate the database"), "{line}");
    let both = [("DATABASE_URL", &*url), ("DATABASE_DIRECT_URL", &*direct), SIGN_IN];
    Program::start(&both).stop();
    check_schema(&database).await.unwrap();
    assert_eq!(
        one_line(&program(&["migrate"], &both), 0),
        "thread-store: the schema was up to date\n"
    );
}
