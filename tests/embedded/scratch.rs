//! A data directory for one test, and the processes a test makes in it.

use std::fs::Permissions;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnection;
use tempfile::TempDir;
use thread_store::embedded_postgres::{Durability, Embedded, Options};

use crate::deadline::Deadline;

pub(crate) type Result<T = ()> = anyhow::Result<T>;

/// The variable that tells a child process of a test where its data directory is.
pub(crate) const DIRECTORY: &str = "THREAD_STORE_TEST_DIRECTORY";

/// A directory that takes its server with it.
pub(crate) struct Scratch {
    directory: TempDir,
}

impl Scratch {
    pub(crate) fn new() -> Result<Self> {
        // Root runs Postgres as another user, who has to get in.
        let directory = tempfile::Builder::new()
            .prefix("thread-store-test-")
            .permissions(Permissions::from_mode(0o711))
            .tempdir()?;
        Ok(Self { directory })
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn options(&self) -> Options {
        options(self.path())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A directory that a test put between, as the one with the long path does.
        for home in [self.path().join("pg"), self.path().join("x".repeat(100)).join("pg")] {
            if let Some(pid) = postmaster(&home) {
                signal("-QUIT", pid);
                wait_until("the server of a test ends", || postmaster(&home).is_none()).ok();
            }
        }
    }
}

pub(crate) fn options(data_dir: &Path) -> Options {
    Options {
        data_dir: data_dir.to_owned(),
        bin_dir: std::env::var_os("POSTGRES_BIN").map(PathBuf::from),
        archive_url: None,
        durability: Durability::Test,
    }
}

pub(crate) fn names(directory: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(directory)?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// The one line of the error that a start has to fail with.
pub(crate) async fn refusal(options: Options) -> Result<String> {
    let Err(error) = Embedded::start(options).await else { anyhow::bail!("it started") };
    let line = error.to_string();
    anyhow::ensure!(!line.contains('\n'), "more than one line: {line}");
    Ok(line)
}

pub(crate) async fn connect(embedded: &Embedded) -> Result<PgConnection> {
    Ok(embedded.connect_options().connect().await?)
}

pub(crate) async fn rows(embedded: &Embedded) -> Result<Vec<i64>> {
    let mut connection = connect(embedded).await?;
    let select = sqlx::query_scalar("select id from numbers order by id");
    Ok(select.fetch_all(&mut connection).await?)
}

/// The number of the server's first process, while it runs.
pub(crate) fn postmaster(home: &Path) -> Option<u32> {
    std::fs::read_to_string(home.join("postmaster.pid")).ok()?.lines().next()?.parse().ok()
}

/// The server's processes, the first of them first.
pub(crate) fn family(postmaster: u32) -> Result<Vec<u32>> {
    let output = Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output()?;
    let listed = String::from_utf8(output.stdout)?;
    let children = listed.lines().filter_map(|line| {
        let (pid, parent) = line.trim().split_once(char::is_whitespace)?;
        (parent.trim().parse() == Ok(postmaster)).then(|| pid.parse().ok())?
    });
    Ok(std::iter::once(postmaster).chain(children).collect())
}

pub(crate) fn signal(name: &str, pid: u32) {
    // It may be gone already.
    let _ = Command::new("kill").args([name, &pid.to_string()]).stderr(Stdio::null()).status();
}

/// A zombie, which waits for a slow init to look at it, is not alive.
pub(crate) fn alive(pid: u32) -> Result<bool> {
    let output = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output()?;
    Ok(!output.stdout.is_empty() && !output.stdout.starts_with(b"Z"))
}

pub(crate) fn wait_until(what: &str, mut met: impl FnMut() -> bool) -> Result {
    let begun = Instant::now();
    while !met() {
        anyhow::ensure!(begun.elapsed() < Duration::from_secs(20), "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// This test program once more, running only the ignored test `name`, which plays the
/// program that owns the data directory. It is killed if it takes too long, so that no test
/// waits for it, or for what it says, without an end.
pub(crate) struct Program {
    child: Child,
    deadline: Deadline,
    lines: BufReader<ChildStdout>,
}

impl Program {
    pub(crate) fn run(name: &str, data_dir: &Path) -> Result<Self> {
        Self::run_with(name, data_dir, &[])
    }

    /// With more variables, and in a process group of its own, as a shell does it.
    pub(crate) fn run_with(
        name: &str,
        data_dir: &Path,
        variables: &[(&str, &str)],
    ) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--exact", name, "--ignored", "--nocapture"])
            .env(DIRECTORY, data_dir)
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let deadline = Deadline::of(child.id());
        let lines = BufReader::new(child.stdout.take().context("its output")?);
        Ok(Self { child, deadline, lines })
    }

    /// What the child says next that begins with `beginning`, without it.
    pub(crate) fn next(&mut self, beginning: &str) -> Result<Option<String>> {
        let mut line = String::new();
        while self.lines.read_line(&mut line)? > 0 {
            if let Some((_, rest)) = line.trim_end().split_once(beginning) {
                return Ok(Some(rest.to_owned()));
            }
            line.clear();
        }
        Ok(None)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What Ctrl-C in a terminal does: a signal to every process of the group.
    pub(crate) fn interrupt(&mut self) -> Result {
        self.deadline = Deadline::of(self.child.id());
        let group = format!("-{}", self.child.id());
        Command::new("kill").args(["-INT", "--", &group]).status()?;
        self.child.wait()?;
        Ok(())
    }

    pub(crate) fn kill(&mut self) -> Result {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
