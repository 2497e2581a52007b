//! Behind `PgBouncer` in transaction mode. These tests leave themselves out where it is not
//! installed, and fail then where `CI` is set.

use std::io::Write as _;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _};
use thread_store::config::{Config, Database, SignIn};
use thread_store::store::{OpenError, Options, Pooler, Store};
use url::Url;

use crate::sse::{Events, PATIENCE};
use crate::support::TestServer;
use crate::support::postgres::test_cluster;

/// A `PgBouncer` with two connections to Postgres, which it hands out in turn. It ends with the
/// test.
struct PgBouncer {
    child: Child,
    port: u16,
    _directory: tempfile::TempDir,
}

impl PgBouncer {
    async fn start(database: &PgConnectOptions) -> Option<PgBouncer> {
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
        let program = std::env::split_paths(&path).map(|directory| directory.join("pgbouncer"));
        let Some(program) = program.into_iter().find(|program: &PathBuf| program.exists()) else {
            let _ = writeln!(std::io::stderr(), "left out: pgbouncer is not installed");
            assert!(std::env::var_os("CI").is_none(), "pgbouncer is not installed");
            return None;
        };
        let directory = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempdir()
            .unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let settings = format!(
            "[databases]\n* = host={} port={} user={}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = any\npool_mode = transaction\ndefault_pool_size = 2\n",
            database.get_socket().unwrap().display(),
            database.get_port(),
            database.get_username(),
        );
        let file = directory.path().join("pgbouncer.ini");
        std::fs::write(&file, settings).unwrap();
        let mut command = Command::new(program);
        if rustix::process::geteuid().is_root() {
            // Who may enter the directory of the socket.
            command.args(["-u", "postgres"]);
        }
        let child = command.arg(&file).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let bouncer = PgBouncer { child, port, _directory: directory };
        let listens = async {
            while TcpStream::connect(("127.0.0.1", port)).is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, listens).await.unwrap();
        Some(bouncer)
    }

    fn options(&self, database: &PgConnectOptions) -> PgConnectOptions {
        let database = database.get_database().unwrap();
        PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port)
            .username("postgres")
            .database(database)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pooled(direct: Option<&PgConnectOptions>) -> Options {
    let direct = direct.cloned().map(Box::new);
    Options { max_connections: 4, pooler: Pooler::Transaction, direct, ..Options::default() }
}

#[tokio::test]
async fn a_pooler_that_is_not_in_the_settings_is_refused() {
    let database = test_cluster().await.database().await;
    Store::open(database.clone(), 2).await.unwrap().close().await;
    let Some(bouncer) = PgBouncer::start(&database).await else { return };
    for open in [
        Store::open(bouncer.options(&database), 2).await,
        Store::open_unchanged(bouncer.options(&database), 2).await,
    ] {
        assert!(matches!(open, Err(OpenError::TransactionPooler)), "{open:?}");
    }
    // Nor by the command, which would lose its lock there.
    let migrated = thread_store::migrate(&Database::external(bouncer.options(&database))).await;
    assert!(migrated.unwrap_err().to_string().contains("pooler in transaction mode"));
}

#[tokio::test]
async fn a_pooler_without_a_way_around_it_changes_no_schema() {
    let database = test_cluster().await.database().await;
    let Some(bouncer) = PgBouncer::start(&database).await else { return };
    let refused = Store::open(bouncer.options(&database), pooled(None)).await;
    assert!(matches!(refused, Err(OpenError::Behind { found: 0, .. })), "{refused:?}");
    let opened = Store::open(bouncer.options(&database), pooled(Some(&database))).await;
    opened.unwrap().close().await;
    Store::open(bouncer.options(&database), pooled(None)).await.unwrap().close().await;
}

#[tokio::test]
async fn nothing_that_is_set_for_our_statements_is_left_for_other_clients_of_the_pooler() {
    let database = test_cluster().await.database().await;
    let Some(bouncer) = PgBouncer::start(&database).await else { return };
    // Set for others, whom it is left to.
    let name = database.get_database().unwrap();
    let mut connection = database.connect().await.unwrap();
    for setting in ["search_path = elsewhere", "default_transaction_isolation = 'serializable'"] {
        let alter = format!("alter database {name} set {setting}");
        connection.execute(AssertSqlSafe(alter)).await.unwrap();
    }
    let opened = Store::open(bouncer.options(&database), pooled(Some(&database))).await;
    let store = opened.unwrap();
    for _ in 0..10 {
        store.ping().await.unwrap();
    }
    let other = sqlx::PgPool::connect_with(
        bouncer.options(&database).extra_float_digits(None).statement_cache_capacity(0),
    );
    let other = other.await.unwrap();
    for _ in 0..4 {
        let all = "select current_setting('lock_timeout') || current_setting('statement_timeout') \
                   || current_setting('idle_in_transaction_session_timeout') \
                   || current_setting('enable_seqscan') || current_setting('search_path') \
                   || current_setting('transaction_isolation') \
                   || (select count(*) from pg_prepared_statements)";
        let row = sqlx::Executor::fetch_one(&other, sqlx::raw_sql(all)).await.unwrap();
        assert_eq!(sqlx::Row::get::<String, _>(&row, 0), "000onelsewhereserializable0");
    }
}

/// A server on the same database, with nothing but a pooler in front of it, and for the same users.
async fn second_instance(
    one: &TestServer,
    bouncer: &PgBouncer,
    configure: impl FnOnce(&mut Config),
) -> TestServer {
    let url = Box::new(bouncer.options(&one.database));
    let sign_in = Url::parse(&one.url).unwrap();
    TestServer::start_with(|config| {
        configure(config);
        config.database = Database::External { url, direct: None };
        config.database_pooler = Pooler::Transaction;
        config.sign_in = SignIn::Supabase {
            url: sign_in,
            api_key: None,
            mode: thread_store::auth::Mode::Remote,
            issuer: thread_store::auth::JwtIssuer::default(),
        };
    })
    .await
}

/// Writes through one instance, with streams on one that hears of nothing.
#[tokio::test]
async fn streams_follow_other_instances_without_a_way_around_the_pooler() {
    let one = TestServer::start().await;
    let Some(bouncer) = PgBouncer::start(&one.database).await else { return };
    let two = second_instance(&one, &bouncer, |_| ()).await;
    let user = one.user().await;
    let thread = user.thread(json!({})).await;
    let mut events = Events::of(&user.at(&two), &thread).await;
    for n in 0..3 {
        let written = user.write(&thread, json!({ "n": n })).await;
        let event = tokio::time::timeout(PATIENCE, events.next()).await.unwrap();
        assert_eq!(event.unwrap().checkpoint_id(), written);
        // And the other way.
        let written = user.at(&two).write(&thread, json!({ "n": n })).await;
        let event = tokio::time::timeout(PATIENCE, events.next()).await.unwrap();
        assert_eq!(event.unwrap().checkpoint_id(), written);
    }
}

/// What a cap takes to hold among servers ends with each transaction.
#[tokio::test(flavor = "multi_thread")]
async fn a_cap_on_threads_holds_behind_the_pooler() {
    let with_cap = |config: &mut Config| config.limits.threads_per_user = Some(5);
    let one = TestServer::start_with(with_cap).await;
    let Some(bouncer) = PgBouncer::start(&one.database).await else { return };
    let two = second_instance(&one, &bouncer, with_cap).await;
    let user = one.user().await;
    let at = [user.clone(), user.at(&two)];
    // Known to both, so that they race from the start.
    for user in &at {
        assert_eq!(user.count(json!({})).await, 0);
    }
    for _ in 0..8 {
        let racing = at.iter().cycle().take(24).map(|user| user.post("/threads", json!({})));
        let answers = futures::future::join_all(racing).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 5);
        assert_eq!(answers.iter().filter(|answer| answer.status == 403).count(), 19);
        let threads = at[1].found(json!({})).await;
        let prune = json!({ "thread_ids": threads });
        assert_eq!(at[1].post("/threads/prune", prune).await.expect(200)["pruned_count"], json!(5));
    }
}
