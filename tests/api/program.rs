//! The program itself, as a process. What a test waits for comes within [`PATIENCE`], or fails it.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// No process of a test takes so long, not even on a machine that does other things too.
pub(crate) const PATIENCE: Duration = Duration::from_mins(3);

/// A directory that Postgres may enter when we are root and it is not.
pub(crate) fn directory() -> TempDir {
    let mode = Permissions::from_mode(0o711);
    tempfile::Builder::new().prefix("thread-store-test-").permissions(mode).tempdir().unwrap()
}

/// The program with nothing but these settings, where there is no `.env`.
/// `THREAD_STORE_TEST_PROGRAM` names another build of it.
pub(crate) fn command(directory: &Path, settings: &[(&str, &str)]) -> Command {
    let program = std::env::var_os("THREAD_STORE_TEST_PROGRAM");
    let program = program.unwrap_or_else(|| env!("CARGO_BIN_EXE_thread-store").into());
    let mut command = Command::new(program);
    command.env_clear().current_dir(directory);
    for name in ["PATH", "POSTGRES_BIN"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command.envs(settings.iter().copied()).kill_on_drop(true);
    command
}

/// A server that runs as a process of its own. Dropping it kills it.
pub(crate) struct Program {
    pub(crate) url: String,
    child: Child,
    log: PathBuf,
    /// Open, so that the program can write to it.
    _stdout: BufReader<ChildStdout>,
}

impl Program {
    /// Starts it and waits for its banner.
    pub(crate) async fn start(directory: &Path, settings: &[(&str, &str)]) -> Program {
        Self::run(command(directory, settings), directory).await
    }

    /// Starts a command that becomes it.
    pub(crate) async fn run(mut command: Command, directory: &Path) -> Program {
        let log = directory.join("log");
        let mut child =
            command.stdout(Stdio::piped()).stderr(File::create(&log).unwrap()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        loop {
            line.clear();
            let length = timeout(PATIENCE, stdout.read_line(&mut line)).await.unwrap().unwrap();
            assert!(length > 0, "it ended: {}", std::fs::read_to_string(&log).unwrap());
            if let Some(url) = line.trim().strip_prefix("- API:") {
                let url = url.trim().to_owned();
                return Program { url, child, log, _stdout: stdout };
            }
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// What it wrote to standard error.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Sends a signal and waits for the end.
    pub(crate) async fn end(&mut self, signal: &str) -> ExitStatus {
        kill(signal, &[self.id()]);
        timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap()
    }
}

/// Runs a command to its end.
pub(crate) async fn output_of(mut command: Command) -> Output {
    timeout(PATIENCE, command.kill_on_drop(true).output()).await.unwrap().unwrap()
}

/// Sends a signal to all of them at once. Some may be gone already.
pub(crate) fn kill(signal: &str, ids: &[u32]) {
    let ids = ids.iter().map(u32::to_string);
    let mut kill = std::process::Command::new("kill");
    let _ = kill.arg(signal).args(ids).stderr(Stdio::null()).status();
}
