//! What was acknowledged is there, however the program ends. Real processes on the embedded
//! database, with everything as `cargo run` has it.

#![cfg(all(feature = "embedded", feature = "local-auth"))]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "what is missing has to fail its test"
)]

mod agents;
mod backup;
mod client;
#[path = "../api/support/deadline.rs"]
mod deadline;
mod faults;
mod load;
mod network;
#[path = "../api/program.rs"]
mod program;
#[path = "../api/support/readme.rs"]
mod readme;
mod starts;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use client::Client;
use load::Load;
use program::{Program, directory, kill};

/// A data directory and the port of its server. Takes the database with it.
struct Home {
    directory: tempfile::TempDir,
    port: String,
}

impl Home {
    fn new() -> Home {
        Home { directory: directory(), port: starts::free_port().to_string() }
    }

    async fn start(&self) -> Program {
        let settings = [("PORT", self.port.as_str()), ("DATA_DIR", "data")];
        Program::start(self.directory.path(), &settings).await
    }

    fn postmaster(&self) -> Option<u32> {
        let path = self.directory.path().join("data/pg/postmaster.pid");
        std::fs::read_to_string(path).ok()?.lines().next()?.parse().ok()
    }

    /// All processes of the database.
    fn database(&self) -> Vec<u32> {
        with_children(self.postmaster().unwrap())
    }
}

/// A process and its children.
fn with_children(postmaster: u32) -> Vec<u32> {
    let listed = Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let children = listed.lines().filter_map(|line| {
        let (pid, parent) = line.trim().split_once(char::is_whitespace)?;
        (parent.trim().parse() == Ok(postmaster)).then(|| pid.parse().ok())?
    });
    std::iter::once(postmaster).chain(children).collect()
}

impl Drop for Home {
    fn drop(&mut self) {
        // The program is gone by now; a killed one has left its database running.
        if let Some(postmaster) = self.postmaster() {
            kill("-QUIT", &[postmaster]);
            wait_for_end(postmaster);
        }
    }
}

fn wait_for_end(pid: u32) {
    let is_there = || {
        let mut probe = Command::new("kill");
        let probe = probe.args(["-0", &pid.to_string()]).stderr(Stdio::null()).status();
        probe.is_ok_and(|status| status.success())
    };
    for _ in 0..500 {
        if !is_there() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[tokio::test]
async fn a_restart_keeps_users_sessions_threads_and_state() {
    let home = Home::new();
    let mut program = home.start().await;
    let user = Client::sign_up(&program.url).await;
    let thread = json!({ "metadata": { "a": 1 }, "ttl": { "ttl": 60 } });
    let (_, thread) = user.post("/threads", &thread).await.unwrap();
    let path = format!("/threads/{}", thread["thread_id"].as_str().unwrap());
    let values = json!({ "values": { "messages": ["hello"], "n": 0.1 } });
    user.post(&format!("{path}/state"), &values).await.unwrap();
    let (_, before) = user.get(&format!("{path}?include=ttl")).await.unwrap();
    assert_eq!(before["values"]["n"], json!(0.1));
    let (_, history) = user.get(&format!("{path}/history")).await.unwrap();
    assert_eq!(program.end("-TERM").await.code(), Some(0), "{}", program.log());
    assert!(home.postmaster().is_none(), "the database still runs");

    let mut program = home.start().await;
    assert_eq!(user.get(&format!("{path}?include=ttl")).await.unwrap(), (200, before.clone()));
    let again = user.sign_in().await;
    assert_eq!(again.get(&format!("{path}?include=ttl")).await.unwrap(), (200, before));
    assert_eq!(again.get(&format!("{path}/history")).await.unwrap(), (200, history));
    user.refresh().await;
    assert_eq!(program.end("-TERM").await.code(), Some(0), "{}", program.log());
}

/// `KILL_ROUNDS` says how many rounds. In the first round and every other one the program alone is
/// killed, in the others it and all processes of its database, one or the other first.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_or_doubled_by_kill_9_under_load() {
    let rounds = std::env::var("KILL_ROUNDS").map_or(2, |rounds| rounds.parse().unwrap());
    let home = Home::new();
    let mut program = home.start().await;
    let mut load = Load::new(&program.url).await;
    for round in 0..rounds {
        load.begin(100 + round * 7 % 50).await;
        let mut doomed = vec![program.id()];
        match round % 4 {
            1 => doomed.splice(0..0, home.database()).for_each(drop),
            3 => doomed.extend(home.database()),
            _ => {}
        }
        kill("-KILL", &doomed);
        load.end().await;
        program.end("-KILL").await;
        program = home.start().await;
        let counted = load.check().await;
        let _ = writeln!(std::io::stderr(), "round {round}: {} killed, {counted}", doomed.len());
    }
    assert_eq!(program.end("-TERM").await.code(), Some(0), "{}", program.log());
    assert!(home.postmaster().is_none(), "the database still runs");
}

async fn stops_cleanly_under_load(signal: &str) {
    let home = Home::new();
    let mut program = home.start().await;
    let mut load = Load::new(&program.url).await;
    load.begin(100).await;
    assert_eq!(program.end(signal).await.code(), Some(0), "{}", program.log());
    load.end().await;
    assert!(home.postmaster().is_none(), "the database still runs");
    for complaint in ["cut off", "lost the connection", "did not stop cleanly"] {
        assert!(!program.log().contains(complaint), "{}", program.log());
    }
    let mut program = home.start().await;
    load.check().await;
    assert_eq!(program.end(signal).await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_under_load_loses_nothing_and_exits_0() {
    stops_cleanly_under_load("-TERM").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigint_under_load_loses_nothing_and_exits_0() {
    stops_cleanly_under_load("-INT").await;
}

/// As a script starts it with `&`, or `nohup`: such a process inherits that SIGINT and SIGQUIT, or
/// SIGHUP, are ignored. A careless parent may hand down more.
#[tokio::test(flavor = "multi_thread")]
async fn signals_that_were_ignored_at_the_start_still_stop_it() {
    const IGNORE: &str = "$SIG{$_} = 'IGNORE' for qw(INT QUIT TERM HUP CHLD); exec @ARGV or die;";
    if Command::new("perl").arg("-v").stdout(Stdio::null()).status().is_err() {
        let _ = writeln!(std::io::stderr(), "left out: perl is not installed");
        assert!(std::env::var_os("CI").is_none(), "perl is not installed");
        return;
    }
    for signal in ["-INT", "-TERM"] {
        let home = Home::new();
        let settings = [("PORT", home.port.as_str()), ("DATA_DIR", "data")];
        let careless = |program: tokio::process::Command| {
            let program = program.into_std();
            let mut command = tokio::process::Command::new("perl");
            command.args(["-e", IGNORE]).arg(program.get_program());
            command.env_clear().current_dir(home.directory.path()).kill_on_drop(true);
            command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
            command
        };
        let command = careless(program::command(home.directory.path(), &settings));
        let mut program = Program::run(command, home.directory.path()).await;
        let user = Client::sign_up(&program.url).await;
        user.post("/threads", &json!({})).await.unwrap();
        assert_eq!(program.end(signal).await.code(), Some(0), "{}", program.log());
        assert!(home.postmaster().is_none(), "the database still runs");
    }
}

/// Runs the program to its end: its exit code and the lines of its standard error.
async fn refused(directory: &Path, settings: &[(&str, &str)]) -> (Option<i32>, Vec<String>) {
    let output = program::output_of(program::command(directory, settings)).await;
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), said.lines().map(str::to_owned).collect())
}
