//! The tables, and how a database comes to have them.

use futures::future::join_all;
use serde_json::{Value, json};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, Row as _};
use thread_store::store::{OpenError, Store, migrator};
use uuid::Uuid;

use crate::support::TestServer;
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
