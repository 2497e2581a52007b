//! An agent's database: tables as LangGraph's savers make them, and rows that they wrote.

use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _, PgConnection};
use thread_store::checkpoints::AesKey;
use thread_store::store::{AttachError, Attaching, Survey, TakenIn};
use uuid::{Timestamp, Uuid};

use crate::support::postgres::test_cluster;
use crate::support::{TestServer, User};

/// The tables of the Python saver.
pub(crate) const PYTHON: &str = "
    create table SCHEMA.checkpoint_migrations (v integer primary key);
    insert into SCHEMA.checkpoint_migrations select generate_series(0, 9);
    create table SCHEMA.checkpoints (
        thread_id text not null, checkpoint_ns text not null default '', checkpoint_id text not null,
        parent_checkpoint_id text, type text, checkpoint jsonb not null,
        metadata jsonb not null default '{}',
        primary key (thread_id, checkpoint_ns, checkpoint_id)
    );
    create table SCHEMA.checkpoint_blobs (
        thread_id text not null, checkpoint_ns text not null default '', channel text not null,
        version text not null, type text not null, blob bytea,
        primary key (thread_id, checkpoint_ns, channel, version)
    );
    create table SCHEMA.checkpoint_writes (
        thread_id text not null, checkpoint_ns text not null default '', checkpoint_id text not null,
        task_id text not null, idx integer not null, channel text not null, type text,
        blob bytea not null, task_path text not null default '',
        primary key (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
    );
    create index checkpoints_thread_id_idx on SCHEMA.checkpoints (thread_id);
    create index checkpoint_blobs_thread_id_idx on SCHEMA.checkpoint_blobs (thread_id);
    create index checkpoint_writes_thread_id_idx on SCHEMA.checkpoint_writes (thread_id);";

/// What the tables of the JavaScript saver differ in.
pub(crate) const JAVASCRIPT: &str = "
    alter table SCHEMA.checkpoint_writes drop column task_path;
    delete from SCHEMA.checkpoint_migrations where v > 4";

/// The database of an agent.
pub(crate) struct Agent {
    pub(crate) database: PgConnectOptions,
    pub(crate) connection: PgConnection,
    pub(crate) schema: String,
}

impl Agent {
    /// One in Python with empty tables, in a database of its own.
    pub(crate) async fn start() -> Agent {
        Agent::at(test_cluster().await.database().await, "public").await
    }

    /// The same in a schema of this database.
    pub(crate) async fn at(database: PgConnectOptions, schema: &str) -> Agent {
        let mut connection = database.connect().await.unwrap();
        connection
            .execute(AssertSqlSafe(format!("create schema if not exists {schema}")))
            .await
            .unwrap();
        let mut agent = Agent { database, connection, schema: schema.to_owned() };
        agent.run(PYTHON).await;
        agent
    }

    /// Runs SQL, with the agent's schema for `SCHEMA`.
    pub(crate) async fn run(&mut self, sql: &str) {
        let sql = sql.replace("SCHEMA", &self.schema);
        self.connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
    }

    /// Restores rows that a saver wrote.
    pub(crate) async fn restore(&mut self, dump: &str) {
        let rows = dump.lines().filter(|line| line.starts_with("INSERT INTO public.checkpoint"));
        let rows = rows.filter(|line| !line.contains("checkpoint_migrations"));
        let rows: Vec<_> = rows.map(|line| line.replace("public.", "SCHEMA.")).collect();
        self.run(&rows.join("\n")).await;
    }

    /// Writes an owner's id over a name in the metadata of all checkpoints.
    pub(crate) async fn name_owner(&mut self, name: &str, user: &User) {
        let sql = format!(
            "update {}.checkpoints set metadata = jsonb_set(metadata, '{{user_id}}', to_jsonb($1)) \
             where metadata ->> 'user_id' = $2",
            self.schema
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(&user.id).bind(name);
        query.execute(&mut self.connection).await.unwrap();
    }

    /// Attaches, and answers what has become of the threads.
    pub(crate) async fn attach(&self) -> TakenIn {
        self.try_attach(None).await.unwrap().0
    }

    pub(crate) async fn try_attach(
        &self,
        key: Option<AesKey>,
    ) -> Result<(TakenIn, Survey), AttachError> {
        attach(&self.database, &self.schema, key).await
    }

    /// A server on the database.
    pub(crate) async fn server(&self) -> TestServer {
        TestServer::start_at(self.database.clone(), |_| ()).await
    }

    /// Writes a checkpoint as the saver does, and answers its id. `values` are inlined.
    pub(crate) async fn put(&mut self, put: Put<'_>) -> String {
        let id = put.id.map_or_else(checkpoint_id, str::to_owned);
        let versions: serde_json::Map<_, _> = put
            .values
            .as_object()
            .unwrap()
            .keys()
            .map(|channel| (channel.clone(), json!("00000000000000000000000000000002.0.1")))
            .collect();
        let checkpoint = json!({
            "v": 4, "id": id, "channel_values": put.values,
            "channel_versions": versions, "versions_seen": {}, "updated_channels": null,
        });
        let sql = format!(
            "insert into {}.checkpoints (thread_id, checkpoint_ns, checkpoint_id, \
             parent_checkpoint_id, checkpoint, metadata) values ($1, '', $2, $3, $4 || jsonb_build_object('ts', to_char(\
             clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"+00:00\"')), $5) \
             on conflict (thread_id, checkpoint_ns, checkpoint_id) do update \
             set checkpoint = excluded.checkpoint, metadata = excluded.metadata",
            self.schema
        );
        sqlx::query(AssertSqlSafe(sql))
            .bind(put.thread)
            .bind(&id)
            .bind(put.parent)
            .bind(checkpoint)
            .bind(put.metadata)
            .execute(&mut self.connection)
            .await
            .unwrap();
        id
    }

    /// The first checkpoint of a thread of this user.
    pub(crate) async fn begin(&mut self, thread: &str, user: &User, values: Value) -> String {
        let metadata = json!({ "user_id": user.id, "source": "input", "step": -1, "parents": {} });
        self.put(Put { thread, values, metadata, parent: None, id: None }).await
    }

    /// How many rows of a thread there are in the tables.
    pub(crate) async fn rows(&mut self, thread: &str) -> i64 {
        let count = |table: &str| {
            format!("(select count(*) from {}.{table} where thread_id = $1)", self.schema)
        };
        let tables = ["checkpoints", "checkpoint_blobs", "checkpoint_writes"];
        let sql = format!("select {}", tables.map(count).join(" + "));
        let query = sqlx::query_scalar(AssertSqlSafe(sql)).bind(thread);
        query.fetch_one(&mut self.connection).await.unwrap()
    }

    /// Another connection to its database.
    pub(crate) async fn clone_connection(&self) -> PgConnection {
        self.database.connect().await.unwrap()
    }

    /// A row of `checkpoint_writes`, as JSON.
    pub(crate) async fn write(&mut self, thread: &str, checkpoint: &str, write: Write<'_>) {
        let sql = format!(
            "insert into {}.checkpoint_writes (thread_id, checkpoint_ns, checkpoint_id, task_id, \
             task_path, idx, channel, type, blob) values ($1, '', $2, $3, $4, $5, $6, 'json', $7) \
             on conflict (thread_id, checkpoint_ns, checkpoint_id, task_id, idx) do update \
             set channel = excluded.channel, type = excluded.type, blob = excluded.blob",
            self.schema
        );
        sqlx::query(AssertSqlSafe(sql))
            .bind(thread)
            .bind(checkpoint)
            .bind(format!("task-{}", write.node))
            .bind(format!("~__pregel_pull, {}", write.node))
            .bind(write.idx)
            .bind(write.channel)
            .bind(write.value.to_string().into_bytes())
            .execute(&mut self.connection)
            .await
            .unwrap();
    }
}

/// A checkpoint to write.
pub(crate) struct Put<'a> {
    pub(crate) thread: &'a str,
    pub(crate) values: Value,
    pub(crate) metadata: Value,
    pub(crate) parent: Option<&'a str>,
    pub(crate) id: Option<&'a str>,
}

/// What a task writes.
pub(crate) struct Write<'a> {
    pub(crate) node: &'a str,
    pub(crate) idx: i32,
    pub(crate) channel: &'a str,
    pub(crate) value: Value,
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..200 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(is_so().await, "waited 10 seconds: {what}");
}

/// Attaches the tables of a schema.
pub(crate) async fn attach(
    database: &PgConnectOptions,
    schema: &str,
    key: Option<AesKey>,
) -> Result<(TakenIn, Survey), AttachError> {
    let mut attaching = Attaching::begin(database, schema, "user_id").await?;
    let mut taken_in = TakenIn::default();
    while attaching.take_in_some(&mut taken_in).await? > 0 {}
    let survey = attaching.survey(key.as_ref()).await?;
    Ok((taken_in, survey))
}

/// A new id as the savers make them.
pub(crate) fn checkpoint_id() -> String {
    let time = Timestamp::now(uuid::timestamp::context::NoContext);
    Uuid::new_v6(time, &[1, 2, 3, 4, 5, 6]).to_string()
}
