//! Creates the cluster, starts its server or takes over a running one, and stops it.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{Connection as _, Executor as _};
use tokio::time::timeout;

use super::account::Account;
use super::binaries::Binaries;
use super::{Durability, Error};

/// The database inside the cluster.
pub(super) const DATABASE: &str = "thread_store";
const USER: &str = "postgres";

/// How long a start is retried while the processes of a killed run end: until then the pid file
/// looks valid and the shared memory is in use.
const WAIT_FOR_THE_DEAD: Duration = Duration::from_secs(15);
/// Longest time for a killed server's recovery.
const WAIT_FOR_RECOVERY: Duration = Duration::from_mins(5);
/// A suspended server accepts the connection but does not answer.
const WAIT_FOR_AN_ANSWER: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);
/// Parts of the server's messages about the processes of a killed run.
const TRACES_OF_THE_DEAD: [&str; 2] = ["lock file", "shared memory block"];

/// A cluster and everything needed to run it.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) home: PathBuf,
    pub(super) sockets: PathBuf,
    pub(super) account: Account,
    pub(super) binaries: Binaries,
    pub(super) durability: Durability,
}

/// The condition of the socket. The pid file is not used: after a kill it may name a zombie or a
/// process of another program.
enum Socket {
    Silent,
    Busy(sqlx::Error),
    Answers,
}

/// The major version of the cluster. `None`: there is no cluster yet.
pub(super) fn made_by(home: &Path) -> Result<Option<u32>, Error> {
    let path = home.join("PG_VERSION");
    let not_a_cluster = || Error::NotACluster { path: home.to_owned() };
    match std::fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().map(Some).map_err(|_| not_a_cluster()),
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::directory(path)(error)),
        Err(_) => match std::fs::read_dir(home).map(|mut entries| entries.next().is_none()) {
            Ok(false) => Err(not_a_cluster()),
            _ => Ok(None),
        },
    }
}

impl Cluster {
    /// Creates the cluster beside its final directory and renames it, so that a killed `initdb`
    /// leaves no incomplete cluster.
    pub(super) async fn create(&self) -> Result<(), Error> {
        let data_dir = self.home.parent().unwrap_or(&self.home);
        remove_drafts(data_dir);
        // With the process id, because the `initdb` of a killed run may still be writing.
        let draft = data_dir.join(format!("{DRAFT}{}", std::process::id()));
        std::fs::create_dir(&draft).map_err(Error::directory(&draft))?;
        self.account.own(&draft)?;
        self.initdb(&draft).await?;
        std::fs::rename(&draft, &self.home).map_err(Error::directory(&self.home))?;
        // Without this a power cut could undo the rename after rows were acknowledged.
        let synced = File::open(data_dir).and_then(|directory| directory.sync_all());
        synced.map_err(Error::directory(data_dir))
    }

    async fn initdb(&self, directory: &Path) -> Result<(), Error> {
        let mut command = self.account.command(self.binaries.program("initdb"));
        command
            .arg("--pgdata")
            .arg(directory)
            .args(["--username", USER, "--auth=trust", "--encoding=UTF8", "--locale=C"])
            .arg("--no-instructions")
            .kill_on_drop(true);
        if self.durability == Durability::Test {
            command.arg("--no-sync");
        }
        let failed = |because| Error::Create { because };
        let output = command.output().await.map_err(|error| failed(error.to_string()))?;
        if output.status.success() { Ok(()) } else { Err(failed(complaint(&output))) }
    }

    /// Takes over a running server or starts one, and waits until it answers.
    pub(super) async fn bring_up(&self) -> Result<(), Error> {
        let begun = Instant::now();
        loop {
            let waited = begun.elapsed();
            match self.ask_socket().await {
                Socket::Answers => return Ok(()),
                Socket::Busy(because) if waited > WAIT_FOR_RECOVERY => {
                    return Err(Error::Connect { because });
                }
                Socket::Busy(_) => {}
                Socket::Silent => match self.launch().await {
                    Err(error) if waited > WAIT_FOR_THE_DEAD || !passes_with_time(&error) => {
                        return Err(error);
                    }
                    Err(error) => tracing::debug!(%error, "PostgreSQL has not started yet"),
                    Ok(()) => continue,
                },
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn ask_socket(&self) -> Socket {
        let options = self.connect_options("postgres");
        let Ok(asked) = timeout(WAIT_FOR_AN_ANSWER, PgConnection::connect_with(&options)).await
        else {
            return Socket::Silent;
        };
        match asked {
            Ok(connection) => {
                let _ = connection.close().await;
                Socket::Answers
            }
            Err(error @ sqlx::Error::Database(_)) => Socket::Busy(error),
            Err(_) => Socket::Silent,
        }
    }

    async fn launch(&self) -> Result<(), Error> {
        let log = self.home.join("server.log");
        let failed = |because| Error::Start { because, log: log.clone() };
        let already_logged = read_log(&log).len();
        let mut command = self.pg_ctl("start", WAIT_FOR_RECOVERY);
        command.arg("--log").arg(&log).arg("--options").arg(self.server_options());
        let output = command.output().await.map_err(|error| failed(error.to_string()))?;
        if output.status.success() {
            return Ok(());
        }
        let logged = read_log(&log);
        let mut news = logged.get(already_logged..).unwrap_or_default().lines();
        let fatal = news.find_map(|line| line.split_once("FATAL:"));
        Err(failed(match fatal {
            Some((_, why)) => why.trim().to_owned(),
            None => complaint(&output),
        }))
    }

    /// `pg_ctl` passes these through a shell; `directory` ensures that the path of the socket needs
    /// no quotes. Errors of statements are not logged, because the client gets them, and they would
    /// fill the log with users' data.
    fn server_options(&self) -> String {
        let mut options = format!(
            "-p 5432 -k {} -c listen_addresses='' -c jit=off \
             -c timezone=UTC -c log_timezone=UTC \
             -c log_checkpoints=off -c log_min_messages=log",
            self.sockets.display()
        );
        options.push_str(match self.durability {
            Durability::Durable => " -c max_connections=100",
            Durability::Test => {
                " -c max_connections=300 -c fsync=off -c synchronous_commit=off \
                 -c full_page_writes=off"
            }
        });
        options
    }

    /// Creates the database if it is missing. Returns the server's version.
    pub(super) async fn prepare_database(&self) -> Result<String, Error> {
        let prepare = async {
            let mut connection =
                PgConnection::connect_with(&self.connect_options("postgres")).await?;
            let exists: bool = sqlx::query_scalar(
                "select exists (select from pg_database where datname = 'thread_store')",
            )
            .fetch_one(&mut connection)
            .await?;
            if !exists {
                connection.execute("create database thread_store").await?;
            }
            let version = connection.server_version_num().unwrap_or_default();
            connection.close().await?;
            Ok(format!("{}.{}", version / 10_000, version % 10_000))
        };
        prepare.await.map_err(|because| Error::Connect { because })
    }

    pub(super) fn connect_options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.sockets)
            .port(5432)
            .username(USER)
            .database(database)
            .ssl_mode(PgSslMode::Disable)
    }

    /// Stops fast, which ends sessions and writes all data. If that takes too long it stops
    /// immediately, and the next start recovers.
    pub(super) async fn stop(&self) -> Result<(), Error> {
        if let Err(slow) = self.stop_in(Duration::from_secs(30), "fast").await {
            tracing::warn!(error = %slow, "stopping PostgreSQL at once");
            self.stop_in(Duration::from_secs(10), "immediate").await?;
        }
        // Removes this program's directory in /tmp if it is empty.
        let _ = std::fs::remove_dir(&self.sockets);
        Ok(())
    }

    async fn stop_in(&self, timeout: Duration, mode: &str) -> Result<(), Error> {
        let stopped = self.pg_ctl("stop", timeout).args(["--mode", mode]).output().await;
        let because = match stopped {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => complaint(&output),
            Err(error) => error.to_string(),
        };
        let gone = !self.home.join("postmaster.pid").exists();
        if gone { Ok(()) } else { Err(Error::Stop { because }) }
    }

    /// In a separate process group, so that Ctrl-C in the terminal reaches only this program, which
    /// then stops the server.
    fn pg_ctl(&self, action: &str, timeout: Duration) -> tokio::process::Command {
        let mut command = self.account.command(self.binaries.program("pg_ctl"));
        command
            .arg(action)
            .arg("--pgdata")
            .arg(&self.home)
            .args(["--wait", "--timeout", &timeout.as_secs().to_string()])
            .process_group(0);
        command
    }
}

const DRAFT: &str = "pg.new.";

/// Removes the drafts of killed runs. Failures are ignored, because a draft does no harm.
fn remove_drafts(data_dir: &Path) {
    for entry in std::fs::read_dir(data_dir).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(DRAFT) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn passes_with_time(error: &Error) -> bool {
    let text = error.to_string();
    TRACES_OF_THE_DEAD.iter().any(|trace| text.contains(trace))
}

fn read_log(path: &Path) -> String {
    std::fs::read(path)
        .map_or_else(|_| String::new(), |log| String::from_utf8_lossy(&log).into_owned())
}

/// The line with the reason in a failed program's output.
fn complaint(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let error = lines.clone().find(|line| line.contains("error:") || line.contains("FATAL:"));
    error.or_else(|| lines.next_back()).unwrap_or("it gave no reason").to_owned()
}
