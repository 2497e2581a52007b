//! The tables, and how a database comes to have them.

use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _};
use thread_store::auth::{JwtIssuer, Mode};
use thread_store::config::{Database, SignIn};
use thread_store::store::{OpenError, Store, migrate, migrator};
use uuid::Uuid;

use crate::support::TestServer;
use crate::support::policies::within;
use crate::support::postgres::test_cluster;
use crate::support::steps::human;

#[tokio::test]
async fn every_key_of_threads_starts_with_the_tenant_and_the_thread() {
    let server = TestServer::start().await;
    let keys = sqlx::query(
        "select class.relname::text, con.conname::text, con.contype::text, \
             array_to_string(array(select attname from unnest(con.conkey) with ordinality as k (n, o) \
                 join pg_attribute on attrelid = con.conrelid and attnum = k.n order by o), ',') as columns \
         from pg_constraint as con \
         join pg_class as class on class.oid = con.conrelid \
         where con.connamespace = 'thread_store'::regnamespace \
             and con.contype in ('p', 'u', 'f') and class.relname <> '_sqlx_migrations' \
         union all \
         select class.relname::text, index.relname::text, 'i', \
             array_to_string(array(select attname from unnest(i.indkey) with ordinality as k (n, o) \
                 join pg_attribute on attrelid = i.indrelid and attnum = k.n order by o), ',') \
         from pg_index as i \
         join pg_class as class on class.oid = i.indrelid \
         join pg_class as index on index.oid = i.indexrelid \
         where class.relnamespace = 'thread_store'::regnamespace \
             and i.indisunique and class.relname <> '_sqlx_migrations'",
    )
    .fetch_all(&server.pool)
    .await
    .unwrap();
    assert!(keys.len() > 10, "{}", keys.len());
    for key in &keys {
        let name = |column: &str| key.get::<String, _>(column);
        let columns = name("columns");
        let expected = match name("relname").as_str() {
            // The one table that finds the tenant of a thread.
            "thread_directory" => "thread_id",
            // Those that find a thread by what an agent calls it, and what agents have changed.
            "agent_thread" | "agent_change" | "agent_attachment" => "",
            _ => "tenant,thread_id",
        };
        assert!(columns.starts_with(expected), "{} of {}", name("conname"), name("relname"));
    }
    let of_kind = |kind: &str| {
        let keys = keys.iter().filter(|key| key.get::<String, _>("contype") == kind);
        keys.count()
    };
    // State hangs on its thread.
    assert_eq!((of_kind("p"), of_kind("f")), (11, 6), "every table has its keys");
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
    // Before the server sets its own, a busy machine may let a statement wait for some milliseconds.
    "statement_timeout = '50ms'",
    "lock_timeout = '50ms'",
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
    let server = TestServer::start_at(at, |_| ()).await;
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
    let lock = "select from thread_store.thread where thread_id = $1::uuid for update";
    let mut transaction = server.pool.begin().await.unwrap();
    transaction.execute(sqlx::query(lock).bind(&id)).await.unwrap();
    let (path, change) = (format!("/threads/{id}"), json!({ "metadata": { "waited": true } }));
    let (changed, ()) = tokio::join!(user.patch(&path, change), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        transaction.commit().await.unwrap();
    });
    assert_eq!(changed.expect(200)["metadata"]["waited"], true);
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
    SignIn::Supabase {
        url: server.url.parse().unwrap(),
        api_key: None,
        mode: Mode::Remote,
        issuer: JwtIssuer::default(),
    }
}
