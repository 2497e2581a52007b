//! `thread-store migrate`, and servers that may not change the schema.

use std::process::{Command, Output};

use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};
use thread_store::config::{Database, Schema};
use thread_store::store::{OpenError, check_schema, migrate, migrator};

use crate::schema::sign_in_at;
use crate::support::deadline::output_of;
use crate::support::postgres::{test_cluster, url_of};
use crate::support::program::Program;
use crate::support::steps::human;
use crate::support::{TestServer, User};

/// Settings of a server whose sign-in makes no tables. Nobody is asked while it starts.
const SIGN_IN: (&str, &str) = ("SUPABASE_URL", "http://127.0.0.1:1");

fn program(arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_thread-store"));
    let command = command.args(arguments).env_clear().env("PORT", "0");
    output_of(command.envs(settings.iter().copied()).current_dir(directory.path())).unwrap()
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
    let run = || one_line(&program(&["migrate"], &[("DATABASE_URL", &url)]), 0);
    let ran = run();
    assert!(ran.starts_with(&format!("thread-store: {} migration", migrator().iter().count())));
    assert!(ran.ends_with(" ran, the schema is up to date\n"), "{ran}");
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
async fn distribute_says_what_is_missing_and_changes_nothing() {
    let database = test_cluster().await.database().await;
    let url = url_of(&database);
    let run = |command: &str, code| one_line(&program(&[command], &[("DATABASE_URL", &url)]), code);
    assert!(run("distribute", 1).contains("the database has 0 of the"));
    run("migrate", 0);
    let refused = run("distribute", 1);
    assert!(
        refused.starts_with("thread-store: the database has no Citus: run `create"),
        "{refused}"
    );
    check_schema(&database).await.unwrap();
    let mut connection = database.connect().await.unwrap();
    // Those of this database: others' tests make settings of theirs.
    let settings = "select from pg_db_role_setting \
                    join pg_database on oid = setdatabase and datname = current_database()";
    let settings = sqlx::query(settings).fetch_all(&mut connection).await;
    assert!(settings.unwrap().is_empty());

    let line = one_line(&program(&["distribute"], &[]), 64);
    assert!(line.starts_with("thread-store: DATABASE_URL: is required"), "{line}");
    let partitioned = url_of(&test_cluster().await.partitioned_database().await);
    let line = one_line(&program(&["distribute"], &[("DATABASE_URL", &partitioned)]), 1);
    assert!(line.starts_with("thread-store: the tables are partitioned"), "{line}");
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

    migrate(&database).await.unwrap();
    let server = Program::start(&settings);
    let answer = thread_store::http_client::builder()
        .build()
        .unwrap()
        .get(format!("{}/ok?check_db=1", server.url))
        .send()
        .await
        .unwrap();
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

/// The blocks of SQL in the documentation's section about roles, with names of roles that are this
/// database's own: roles are those of all databases.
fn sql_of_the_documentation(database: &PgConnectOptions) -> [String; 2] {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/database.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, section) = page.split_once("\n## Database role\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let blocks = section.split("```sql\n").skip(1).map(|block| {
        let (sql, _) = block.split_once("```").unwrap();
        let name = |role: &str| role_name(database, role);
        sql.replace("thread_store_owner", &name("owner"))
            .replace("thread_store_server", &name("server"))
    });
    blocks.collect::<Vec<_>>().try_into().unwrap()
}

fn role_name(database: &PgConnectOptions, role: &str) -> String {
    format!("{role}_of_{}", database.get_database().unwrap())
}

async fn run(database: &PgConnectOptions, sql: String) {
    let mut connection = database.connect().await.unwrap();
    connection.execute(AssertSqlSafe(sql)).await.unwrap();
    connection.close().await.unwrap();
}

/// Everything that the API does with the database.
async fn work_through(user: &User) {
    let id = user.thread(json!({ "metadata": { "a": 1 }, "ttl": { "ttl": 60 } })).await;
    let first = user.write(&id, json!({ "messages": [human("1", "x")], "k": 1 })).await;
    user.write(&id, json!({ "k": 2 })).await;
    user.fork(&id, &first, json!({ "k": 3 })).await;
    assert_eq!(user.history(&id).await.len(), 3);
    let copy = user.copy(&id).await;
    user.keep_latest(&copy).await;
    user.patch(&format!("/threads/{id}"), json!({ "metadata": { "b": 2 } })).await.expect(200);
    assert_eq!(user.found(json!({ "values": { "k": 3 } })).await.len(), 2);
    user.get(&format!("/threads/{id}/storage")).await.expect(200);
    user.delete(&format!("/threads/{id}")).await;
    let left = user.found(json!({})).await;
    assert_eq!(left, [copy]);
    user.post("/threads/prune", json!({ "thread_ids": left })).await.expect(200);
    assert_eq!(user.count(json!({})).await, 0);
}

#[tokio::test]
async fn a_role_needs_no_more_than_a_schema_of_its_own() {
    let sign_in = TestServer::start().await;
    let user = sign_in.user().await;
    let database = test_cluster().await.database().await;
    let [make, _] = sql_of_the_documentation(&database);
    let owner = database.clone().username(&role_name(&database, "owner"));

    // Without the schema it says what is missing.
    let (role, _) = make.split_once('\n').unwrap();
    run(&database, role.to_owned()).await;
    let settings = [("DATABASE_URL", &*url_of(&owner))];
    let line = one_line(&program(&["migrate"], &settings), 1);
    assert!(line.contains("run `create schema thread_store authorization owner_of_"), "{line}");
    let schema = make.split_once('\n').unwrap().1;
    run(&database, schema.to_owned()).await;

    let mut connection = owner.connect().await.unwrap();
    connection.execute("create schema another").await.unwrap_err();
    let line = one_line(&program(&["migrate"], &settings), 0);
    assert!(line.ends_with(" ran, the schema is up to date\n"), "{line}");
    let line = one_line(&program(&["migrate"], &settings), 0);
    assert_eq!(line, "thread-store: the schema was up to date\n");
    let server = TestServer::start_with(|config| {
        config.database = Database::external(owner.clone());
        config.sign_in = sign_in_at(&sign_in);
    })
    .await;
    work_through(&user.at(&server)).await;

    // A server whose users are its own makes tables in a schema that is there.
    let local = "create schema local_auth authorization ";
    run(&database, format!("{local}{}", role_name(&database, "owner"))).await;
    let server = TestServer::start_at(owner, |_| ()).await;
    work_through(&server.user().await).await;
}

#[tokio::test]
async fn a_server_that_does_not_migrate_works_with_a_role_that_may_only_read_and_write_rows() {
    let sign_in = TestServer::start().await;
    let user = sign_in.user().await;
    let database = test_cluster().await.database().await;
    let [make, grant] = sql_of_the_documentation(&database);
    run(&database, make).await;
    let owner = database.clone().username(&role_name(&database, "owner"));
    migrate(&owner).await.unwrap();
    run(&database, grant).await;
    let role = database.clone().username(&role_name(&database, "server"));
    let mut connection = role.connect().await.unwrap();
    for change in ["create table thread_store.mine ()", "drop table thread_store.message"] {
        connection.execute(change).await.unwrap_err();
    }
    for schema in [Schema::Check, Schema::Migrate] {
        let server = TestServer::start_with(|config| {
            config.database = Database::external(role.clone());
            config.schema = schema;
            config.sign_in = sign_in_at(&sign_in);
        })
        .await;
        work_through(&user.at(&server)).await;
    }
    // There is nothing to migrate, so it may.
    let settings = [("DATABASE_URL", &*url_of(&role))];
    let line = one_line(&program(&["migrate"], &settings), 0);
    assert_eq!(line, "thread-store: the schema was up to date\n");
    // And it may use what a later migration makes.
    run(&owner, "create table thread_store.later (id bigint)".to_owned()).await;
    connection.execute("insert into thread_store.later values (1)").await.unwrap();
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
    assert!(line.contains("may not create the schema thread_store"), "{line}");
    let both = [("DATABASE_URL", &*url), ("DATABASE_DIRECT_URL", &*direct), SIGN_IN];
    Program::start(&both).stop();
    check_schema(&database).await.unwrap();
    assert_eq!(
        one_line(&program(&["migrate"], &both), 0),
        "thread-store: the schema was up to date\n"
    );
}
