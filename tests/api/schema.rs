//! The tables, and how a database comes to have them.

use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _};
use thread_store::auth::Mode;
use thread_store::config::{Database, SignIn};
use thread_store::store::{OpenError, Store, migrate, migrator};
use uuid::Uuid;

use crate::support::TestServer;
use crate::support::policies::within;
use crate::support::postgres::test_cluster;
use crate::support::steps::human;

#[tokio::test]
async fn every_key_starts_with_thread_id() {
    let server = TestServer::start().await;
    let keys = sqlx::query(
        "select class.relname::text, con.conname::text, con.contype::text, \
             att.attname::text as first, refatt.attname::text as first_referenced \
         from pg_constraint as con \
         join pg_class as class on class.oid = con.conrelid \
         join pg_attribute as att on att.attrelid = con.conrelid and att.attnum = con.conkey[1] \
         left join pg_attribute as refatt \
             on refatt.attrelid = con.confrelid and refatt.attnum = con.confkey[1] \
         where con.connamespace = 'thread_store'::regnamespace \
             and con.contype in ('p', 'u', 'f') and class.relname <> '_sqlx_migrations' \
         union all \
         select class.relname::text, index.relname::text, 'i', att.attname::text, null \
         from pg_index as i \
         join pg_class as class on class.oid = i.indrelid \
         join pg_class as index on index.oid = i.indexrelid \
         left join pg_attribute as att on att.attrelid = i.indrelid and att.attnum = i.indkey[0] \
         where class.relnamespace = 'thread_store'::regnamespace \
             and i.indisunique and class.relname <> '_sqlx_migrations'",
    )
    .fetch_all(&server.pool)
    .await
    .unwrap();
    for key in &keys {
        let name = |column: &str| key.get::<Option<String>, _>(column);
        let thread_id = Some("thread_id".to_owned());
        assert_eq!(name("first"), thread_id, "{:?} of {:?}", name("conname"), name("relname"));
        if name("contype").as_deref() == Some("f") {
            assert_eq!(name("first_referenced"), thread_id, "{:?}", name("conname"));
        }
    }
    let of_kind = |kind: &str| {
        let keys = keys.iter().filter(|key| key.get::<String, _>("contype") == kind);
        keys.count()
    };
    let tables: i64 = sqlx::query_scalar(
        "select count(*) from pg_tables \
         where schemaname = 'thread_store' and tablename <> '_sqlx_migrations'",
    )
    .fetch_one(&server.pool)
    .await
    .unwrap();
    let tables = usize::try_from(tables).unwrap();
    assert!(tables >= 5);
    assert_eq!((of_kind("p"), of_kind("f")), (tables, tables - 1), "every table has its keys");
}

#[tokio::test]
async fn nothing_of_ours_is_in_the_public_schema() {
    let server = TestServer::start().await;
    let public: Vec<String> =
        sqlx::query_scalar("select tablename::text from pg_tables where schemaname = 'public'")
            .fetch_all(&server.pool)
            .await
            .unwrap();
    assert_eq!(public, [""; 0]);
}

#[tokio::test]
async fn instances_that_start_at_once_migrate_once() {
    let database = test_cluster().await.database().await;
    let stores = join_all((0..5).map(|_| Store::open(database.clone(), 2))).await;
    let mut connection = database.connect().await.unwrap();
    let applied: Vec<i64> =
        sqlx::query_scalar("select version from thread_store._sqlx_migrations order by version")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    let known: Vec<_> = migrator().iter().map(|migration| migration.version).collect();
    assert_eq!(applied, known);
    for store in stores {
        let store = store.unwrap();
        store.ping().await.unwrap();
        store.close().await;
    }
}

#[tokio::test]
async fn a_database_of_a_newer_release_is_refused() {
    let database = test_cluster().await.database().await;
    Store::open(database.clone(), 1).await.unwrap().close().await;
    let mut connection = database.connect().await.unwrap();
    connection
        .execute(
            "insert into thread_store._sqlx_migrations \
             (version, description, success, checksum, execution_time) \
             values (9000, 'of the future', true, '', 0)",
        )
        .await
        .unwrap();
    match Store::open(database.clone(), 1).await {
        Err(error @ OpenError::Newer(9000)) => {
            let text = error.to_string();
            assert!(text.contains("9000") && !text.contains('\n'), "{text}");
        }
        other => panic!("{other:?}"),
    }
    // The refusal changed nothing.
    connection
        .execute("delete from thread_store._sqlx_migrations where version = 9000")
        .await
        .unwrap();
    Store::open(database, 1).await.unwrap().close().await;
}

#[tokio::test]
async fn a_database_of_the_first_release_keeps_its_threads() {
    let server = TestServer::start().await;
    let (user, other) = (server.user().await, server.user().await);
    // Back to what the first release left: its one migration, and rows as it wrote them.
    let mut connection = server.database.connect().await.unwrap();
    connection.execute("drop schema thread_store cascade").await.unwrap();
    migrator().run_to(1, &mut connection).await.unwrap();
    let columns: Vec<String> = sqlx::query_scalar(
        "select column_name::text from information_schema.columns \
         where table_schema = 'thread_store' and table_name = 'thread' order by ordinal_position",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let first = ["thread_id", "created_at", "updated_at", "state_updated_at", "metadata", "status"];
    assert_eq!(columns, first);
    let ids = [Uuid::now_v7(), Uuid::now_v7()];
    for (id, owner) in ids.iter().zip([&user.id, &other.id]) {
        sqlx::query(
            "insert into thread_store.thread \
             (thread_id, created_at, updated_at, state_updated_at, metadata) \
             values ($1, '2026-01-02 03:04:05.678901Z', '2026-02-03Z', '2026-01-02 03:04:05.678901Z', $2)",
        )
        .bind(id)
        .bind(json!({ "owner": owner, "k": { "n": [1, null] } }))
        .execute(&mut connection)
        .await
        .unwrap();
    }
    connection.close().await.unwrap();

    let upgraded = server.start_beside().await;
    let (user, other) = (user.at(&upgraded), other.at(&upgraded));
    let id = ids[0].to_string();
    let thread = user.get(&format!("/threads/{id}?include=ttl")).await.expect(200);
    let expected = json!({
        "thread_id": id, "created_at": "2026-01-02T03:04:05.678901+00:00",
        "updated_at": "2026-02-03T00:00:00+00:00",
        "state_updated_at": "2026-01-02T03:04:05.678901+00:00",
        "metadata": { "k": { "n": [1, null] }, "owner": user.id }, "status": "idle", "config": {},
        "values": null, "error": null, "interrupts": {},
    });
    assert_eq!(thread, expected);
    assert_eq!(user.found(json!({ "metadata": { "k": { "n": [1] } } })).await, [id.as_str()]);
    assert_eq!(other.found(json!({})).await, [ids[1].to_string()]);
    assert_eq!(other.get(&format!("/threads/{id}")).await.status, 404);
    // And it takes what the first release did not have.
    assert_eq!(user.state(&id).await["checkpoint"], Value::Null);
    user.write(&id, json!({ "messages": [human("1", "x")], "k": 1 })).await;
    user.patch(&format!("/threads/{id}"), json!({ "ttl": { "ttl": 5 } })).await.expect(200);
    let copy = user.copy(&id).await;
    assert_eq!(user.values(&copy).await, user.values(&id).await);
    assert_eq!(user.state(&id).await["metadata"]["step"], json!(0));
}

/// Databases that are there already, made for something else.
#[tokio::test]
async fn a_database_that_is_not_utf8_is_refused_by_the_name_of_its_encoding() {
    let database = test_cluster().await.database().await;
    let mut connection = database.connect().await.unwrap();
    for encoding in ["LATIN1", "SQL_ASCII", "EUC_JP", "WIN1252"] {
        let name = format!("test_{}", Uuid::new_v4().simple());
        let create =
            format!("create database {name} encoding '{encoding}' template template0 locale 'C'");
        connection.execute(AssertSqlSafe(create)).await.unwrap();
        let options = database.clone().database(&name);
        for refused in [
            Store::open(options.clone(), 1).await.map(drop),
            Store::open_unchanged(options.clone(), 1).await.map(drop),
            migrate(&options).await.map(drop),
        ] {
            let error = refused.unwrap_err();
            assert!(matches!(&error, OpenError::Encoding(name) if name == encoding), "{error}");
            let text = error.to_string();
            assert!(text.contains(encoding) && !text.contains('\n'), "{text}");
        }
        let mut there = options.connect().await.unwrap();
        let schema: Option<String> =
            sqlx::query_scalar("select to_regnamespace('thread_store')::text")
                .fetch_one(&mut there)
                .await
                .unwrap();
        assert_eq!(schema, None, "the refusal left something in it");
        there.close().await.unwrap();
    }
}

/// What an operator may have given a database or a role for other programs.
const SET_FOR_OTHERS: [&str; 14] = [
    "search_path = elsewhere, pg_catalog",
    "client_encoding = 'LATIN1'",
    "timezone = 'Asia/Tokyo'",
    "datestyle = 'SQL, DMY'",
    "intervalstyle = 'sql_standard'",
    "standard_conforming_strings = off",
    "bytea_output = 'escape'",
    "extra_float_digits = -15",
    "default_transaction_isolation = 'serializable'",
    "statement_timeout = '2ms'",
    "lock_timeout = '2ms'",
    "idle_in_transaction_session_timeout = '1s'",
    "idle_session_timeout = '1s'",
    "application_name = 'theirs'",
];

/// In every schema that is looked into before Postgres's own, what its functions could be taken for.
const ELSEWHERE: &str = "create schema elsewhere;
    create function elsewhere.clock_timestamp() returns timestamptz immutable language sql
        as $$ select '2000-01-01'::timestamptz $$;
    create function elsewhere.jsonb_typeof(jsonb) returns text immutable language sql
        as $$ select 'number' $$;
    create function elsewhere.current_setting(text) returns text immutable language sql
        as $$ select 'x' $$;
    create table elsewhere.thread ();";

#[tokio::test]
async fn settings_of_the_database_and_the_role_for_others_change_nothing() {
    let database = test_cluster().await.database().await;
    let name = database.get_database().unwrap().to_owned();
    let role = format!("set_{}", Uuid::new_v4().simple());
    let mut connection = database.connect().await.unwrap();
    connection.execute(ELSEWHERE).await.unwrap();
    for setting in SET_FOR_OTHERS {
        let alter = format!("alter database {name} set {setting}");
        connection.execute(AssertSqlSafe(alter)).await.unwrap();
    }
    let create =
        format!("create role {role} login superuser; alter role {role} set role = postgres");
    connection.execute(AssertSqlSafe(create)).await.unwrap();
    let database = database.username(&role);
    migrate(&database).await.unwrap();

    let at = database.clone();
    let server = TestServer::start_with(|config| config.database = Database::external(at)).await;
    let user = server.user().await;
    let ttl = json!({ "ttl": 0.1 + 0.2, "strategy": "keep_latest" });
    let metadata = json!({ "a": "\\'; \u{1f600}", "n": 0.1 });
    let id = user.thread(json!({ "metadata": metadata, "ttl": ttl })).await;
    let values = json!({ "messages": [human("1", "\u{1f600} \\")], "f": 0.1, "k": "\\x41" });
    user.write(&id, values.clone()).await;
    assert_eq!(user.values(&id).await["f"], values["f"]);
    assert_eq!(user.values(&id).await["k"], values["k"]);
    let thread = user.get(&format!("/threads/{id}?include=ttl")).await.expect(200);
    assert_eq!(thread["ttl"]["ttl_minutes"], json!(0.1 + 0.2));
    for time in ["created_at", "updated_at"] {
        let time = chrono::DateTime::parse_from_rfc3339(thread[time].as_str().unwrap()).unwrap();
        assert!(time.timestamp() > 1_700_000_000, "{thread}");
    }
    for metadata in [metadata, json!({ "n": 0.1 })] {
        assert_eq!(user.found(json!({ "metadata": metadata })).await, [id.as_str()]);
        assert_eq!(user.count(json!({ "metadata": metadata })).await, 1);
    }
    // Two instances that write one thread find out of each other, and neither is refused for it.
    let at =
        server.start_beside_with(|config| config.database = Database::external(database)).await;
    let both = [user.clone(), user.at(&at)];
    let writes = both.iter().cycle().take(20).map(|user| user.write(&id, json!({ "k": 1 })));
    join_all(writes).await;
    assert_eq!(user.history(&id).await.len(), 21);
}

/// As a host does with a database that is full.
#[tokio::test]
async fn a_database_that_is_made_read_only_is_read() {
    let database = test_cluster().await.database().await;
    let name = database.get_database().unwrap().to_owned();
    let sign_in = TestServer::start().await;
    let user = sign_in.user().await;
    let start = async |database: PgConnectOptions| {
        TestServer::start_with(|config| {
            config.database = Database::external(database);
            config.sign_in = sign_in_at(&sign_in);
        })
        .await
    };
    let writable = start(database.clone()).await;
    let id = user.at(&writable).thread(json!({})).await;
    let mut connection = database.connect().await.unwrap();
    let alter = format!("alter database {name} set default_transaction_read_only = on");
    connection.execute(AssertSqlSafe(alter)).await.unwrap();
    assert_eq!(migrate(&database).await.unwrap(), 0);
    let server = start(database.clone()).await;
    let user = user.at(&server);
    user.get(&format!("/threads/{id}")).await.expect(200);
    assert_eq!(user.found(json!({})).await, [id.as_str()]);
    let refused = user.post("/threads", json!({})).await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    assert!(!refused.header("retry-after").is_empty());
    // And is written again when it may be, over connections that are new.
    let reset = format!("alter database {name} reset default_transaction_read_only");
    connection.execute(AssertSqlSafe(reset)).await.unwrap();
    let is_made = async || user.post("/threads", json!({})).await.status == 200;
    assert!(within(Duration::from_secs(20), is_made).await);
}

/// The users of another server.
pub(crate) fn sign_in_at(server: &TestServer) -> SignIn {
    SignIn::Supabase { url: server.url.parse().unwrap(), api_key: None, mode: Mode::Remote }
}
