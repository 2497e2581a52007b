//! One Postgres for all tests of a process, through the same runner as `cargo run`,
//! with a fresh database for every test. It is gone when the process ends, however it
//! ends.

#![expect(clippy::panic, reason = "a test without its database has nothing to check")]

use std::cell::RefCell;
use std::fmt::{Display, Write as _};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgPool};
use thread_store::config::CorsOrigins;
use thread_store::embedded_postgres::{Durability, Embedded, Options};
use thread_store::local_sign_in::LocalAuth;
use tokio::sync::OnceCell;

/// The Postgres of this test process, started by the first test that asks for it.
pub(crate) async fn test_cluster() -> &'static TestCluster {
    static CLUSTER: OnceCell<TestCluster> = OnceCell::const_new();
    CLUSTER.get_or_init(TestCluster::start).await
}

/// Where Linux has files in memory.
const MEMORY: &str = "/dev/shm";

/// What the databases of the tests of a moment need at most, with the log of their changes.
const ROOM_IN_KIB: u64 = 3 << 20;

/// The databases of a test.
#[derive(Debug, Default)]
struct Databases(Vec<String>);

thread_local! {
    static OF_THIS_TEST: RefCell<Databases> = RefCell::default();
}

impl Drop for Databases {
    fn drop(&mut self) {
        ended().append(&mut self.0);
    }
}

/// The databases of tests that have ended.
fn ended() -> std::sync::MutexGuard<'static, Vec<String>> {
    static ENDED: Mutex<Vec<String>> = Mutex::new(Vec::new());
    ENDED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the cluster can be in memory. A database is hundreds of files, and on a disk making them
/// takes longer than most tests.
fn has_room_in_memory() -> bool {
    if std::env::var_os("TMPDIR").is_some() {
        return false;
    }
    let asked = Command::new("df").args(["-Pk", MEMORY]).stderr(Stdio::null()).output();
    let said = asked.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let free = said.ok().and_then(|text| {
        let line = text.lines().nth(1)?;
        line.split_whitespace().nth(3)?.parse::<u64>().ok()
    });
    free.is_some_and(|free| free > ROOM_IN_KIB)
}

/// A running Postgres in a directory of its own.
#[derive(Debug)]
pub(crate) struct TestCluster {
    embedded: Embedded,
    is_in_memory: bool,
    log: PathBuf,
    migrated: OnceCell<String>,
    partitioned: OnceCell<String>,
    _watcher: Child,
}

impl TestCluster {
    async fn start() -> Self {
        let is_in_memory = has_room_in_memory();
        let parent = if is_in_memory { PathBuf::from(MEMORY) } else { std::env::temp_dir() };
        let directory = tempfile::Builder::new()
            .prefix("thread-store-test-")
            .permissions(Permissions::from_mode(0o711))
            .tempdir_in(parent)
            .unwrap_or_else(|error| failed("making a directory", &error))
            .keep();
        let watcher = watch(&directory);
        let log = directory.join("pg/server.log");
        let embedded = Embedded::start(Options {
            data_dir: directory,
            bin_dir: std::env::var_os("POSTGRES_BIN").map(PathBuf::from),
            archive_url: None,
            durability: Durability::Test,
        })
        .await
        .unwrap_or_else(|error| failed("starting Postgres", &error));
        Self {
            embedded,
            is_in_memory,
            log,
            migrated: OnceCell::new(),
            partitioned: OnceCell::new(),
            _watcher: watcher,
        }
    }

    /// What the server writes of itself.
    pub(crate) fn log(&self) -> PathBuf {
        self.log.clone()
    }

    /// A new empty database.
    pub(crate) async fn database(&self) -> PgConnectOptions {
        self.copy_of("template1").await
    }

    /// A new database with the schemas of the thread store and of the local sign-in.
    pub(crate) async fn migrated_database(&self) -> PgConnectOptions {
        let template = self.migrated.get_or_init(|| self.template(false)).await;
        self.copy_of(template).await
    }

    /// The same with the tables of threads split by tenant: the stand-in for a cluster.
    pub(crate) async fn partitioned_database(&self) -> PgConnectOptions {
        let template = self.partitioned.get_or_init(|| self.template(true)).await;
        self.copy_of(template).await
    }

    async fn template(&self, is_partitioned: bool) -> String {
        let database = self.create("template1", &[]).await;
        let made = migrate(&database, is_partitioned).await;
        made.unwrap_or_else(|error| failed("migrating a database", &error));
        database.get_database().unwrap_or_default().to_owned()
    }

    async fn copy_of(&self, template: &str) -> PgConnectOptions {
        // On a disk they stay: their files would have to be removed, after which some file systems
        // take long to make new ones.
        if !self.is_in_memory {
            return self.create(template, &[]).await;
        }
        let ended = std::mem::take(&mut *ended());
        let database = self.create(template, &ended).await;
        // The thread of a test has its name, and ends with it.
        if std::thread::current().name().is_some_and(|name| name.contains("::")) {
            let name = database.get_database().unwrap_or_default().to_owned();
            OF_THIS_TEST.with_borrow_mut(|databases| databases.0.push(name));
        }
        database
    }

    /// A new database, after dropping those of tests that have ended.
    async fn create(&self, template: &str, ended: &[String]) -> PgConnectOptions {
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        let options = self.embedded.connect_options();
        let create = async {
            let mut connection = options.clone().database("postgres").connect().await?;
            for name in ended {
                let drop = format!("drop database if exists {name} with (force)");
                // One that cannot be dropped, for a test left something in it, stays.
                let _ = connection.execute(AssertSqlSafe(drop)).await;
            }
            let create = format!("create database {name} template {template}");
            connection.execute(AssertSqlSafe(create)).await?;
            connection.close().await
        };
        create.await.unwrap_or_else(|error| failed("creating a database", &error));
        options.database(&name)
    }

    /// A new database for a server, with partitioned tables if the tests are run on them
    /// (`THREAD_STORE_TEST_TABLES=partitioned`).
    pub(crate) async fn database_of_a_server(&self) -> PgConnectOptions {
        match std::env::var("THREAD_STORE_TEST_TABLES").as_deref() {
            Ok("partitioned") => self.partitioned_database().await,
            Ok("whole") | Err(_) => self.migrated_database().await,
            Ok(other) => failed("reading THREAD_STORE_TEST_TABLES", &other),
        }
    }

    /// A new empty database as a `DATABASE_URL`, for a child process.
    pub(crate) async fn database_url(&self) -> String {
        url_of(&self.database().await)
    }
}

async fn migrate(
    database: &PgConnectOptions,
    is_partitioned: bool,
) -> Result<(), Box<dyn std::error::Error>> {
    thread_store::store::migrate(database).await?;
    if is_partitioned {
        let mut connection = database.clone().connect().await?;
        connection.execute(AssertSqlSafe(partitioned())).await?;
        connection.close().await?;
    }
    let (pool, directory) = (PgPool::connect_with(database.clone()).await?, tempfile::tempdir()?);
    let site = url::Url::parse("http://localhost")?;
    LocalAuth::open(pool.clone(), directory.path(), site, CorsOrigins::Any).await?;
    pool.close().await;
    Ok(())
}

/// Partitions of each table.
pub(crate) const PARTITIONS: usize = 8;

/// All tables but the one of migrations, and all functions.
const DROP_TABLES: &str = "do $$ declare name text; begin
    for name in select relname from pg_class
        where relnamespace = 'thread_store'::regnamespace and relkind = 'r'
            and relname <> '_sqlx_migrations'
    loop execute format('drop table thread_store.%I cascade', name); end loop;
    for name in select oid::regprocedure::text from pg_proc
        where pronamespace = 'thread_store'::regnamespace
    loop execute 'drop routine ' || name || ' cascade'; end loop;
end $$";

/// The tables of the migrations once more, each with a tenant as a table of [`PARTITIONS`] partitions.
fn partitioned() -> String {
    let mut text = format!("begin; set search_path = pg_catalog;\n{DROP_TABLES};\n");
    let mut partitions = String::new();
    for migration in thread_store::store::migrator().iter() {
        for (number, part) in migration.sql.as_str().split("create table thread_store.").enumerate()
        {
            if number == 0 {
                text.push_str(part);
                continue;
            }
            text.push_str("create table thread_store.");
            let (name, _) = part.split_once(' ').unwrap_or_default();
            let Some((columns, rest)) = part.split_once("\n);") else { continue };
            let is_split =
                columns.contains(" tenant bigint not null") && name != "thread_directory";
            let by = if is_split { "\n) partition by hash (tenant);" } else { "\n);" };
            text.extend([columns, by, rest]);
            for part in (0..PARTITIONS).filter(|_| is_split) {
                let _ = writeln!(
                    partitions,
                    "create table thread_store.{name}_p{part} partition of thread_store.{name} \
                     for values with (modulus {PARTITIONS}, remainder {part});"
                );
            }
        }
    }
    text + &partitions + "commit;"
}

/// `postgres://postgres@localhost/name?host=%2Fpath%2Fof%2Fthe%2Fsocket`.
pub(crate) fn url_of(options: &PgConnectOptions) -> String {
    let socket = options.get_socket().map(|path| path.display().to_string());
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("host", &socket.unwrap_or_default())
        .finish();
    let (user, database) = (options.get_username(), options.get_database().unwrap_or_default());
    format!("postgres://{user}@localhost:{}/{database}?{query}", options.get_port())
}

/// A child that outlives us: once the pipe that only we hold is closed, which even
/// `kill -9` does, it stops the server and removes the directory. In a process group of
/// its own, so that Ctrl-C does not reach it first.
fn watch(directory: &Path) -> Child {
    const SCRIPT: &str = r#"
        cat >/dev/null
        for attempt in $(seq 100); do
            pid=$(head -n 1 "$1/pg/postmaster.pid" 2>/dev/null) || break
            [ "$attempt" -eq 60 ] && kill -KILL "$pid"
            kill -QUIT "$pid" 2>/dev/null || break
            sleep 0.1
        done
        rm -rf "$1"
    "#;
    Command::new("sh")
        .args(["-c", SCRIPT, "watcher"])
        .arg(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap_or_else(|error| failed("starting the watcher", &error))
}

fn failed(doing: &str, error: &dyn Display) -> ! {
    panic!("{doing} for the tests failed: {error}")
}
