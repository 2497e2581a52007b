//! The real client libraries, as their users run them. `tests/clients` has the scripts and
//! says which versions.
//!
//! `THREAD_STORE_TEST_PYTHON` names a Python with what `requirements.txt` lists,
//! `THREAD_STORE_TEST_NODE_MODULES` a folder with what `package.json` lists. Where they are
//! missing these tests are left out, but never on CI.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::program::{PATIENCE, Program, directory, output_of};
use crate::support::postgres::test_cluster;

#[tokio::test]
async fn the_tutorials_client_runs_unchanged_in_python() {
    python("langgraph_py/tutorial.py").await;
}

#[tokio::test]
async fn every_method_of_the_python_threads_clients_works() {
    python("langgraph_py/threads.py").await;
}

#[tokio::test]
async fn messages_become_what_langgraphs_own_reducer_makes_of_them() {
    python("langgraph_py/messages.py").await;
}

#[tokio::test]
async fn every_method_of_the_javascript_threads_client_of_line_1_works() {
    node("langgraph_js/threads.mjs", &["@langchain/langgraph-sdk"]).await;
}

#[tokio::test]
async fn every_method_of_the_javascript_threads_client_of_line_2_works() {
    node("langgraph_js/threads.mjs", &["langgraph-sdk-2"]).await;
}

#[tokio::test]
async fn the_python_supabase_client_signs_up_in_and_out() {
    python("supabase_py/smoke.py").await;
}

#[tokio::test]
async fn the_javascript_supabase_client_signs_up_in_and_out() {
    node("supabase_js/smoke.mjs", &[]).await;
}

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

async fn python(script: &str) {
    let named = std::env::var_os("THREAD_STORE_TEST_PYTHON");
    let python = named.clone().unwrap_or_else(|| OsString::from("python3"));
    let mut probe = Command::new(&python);
    let packages = "import httpx, langgraph, langgraph_sdk, supabase";
    let probe = probe.args(["-c", packages]).kill_on_drop(true);
    let probe = tokio::time::timeout(PATIENCE, probe.output()).await.unwrap();
    let is_there = probe.is_ok_and(|probe| probe.status.success());
    assert!(is_there || named.is_none(), "THREAD_STORE_TEST_PYTHON lacks the packages");
    if !is_there {
        return skipped(script, "THREAD_STORE_TEST_PYTHON");
    }
    let mut command = Command::new(python);
    command.arg(clients().join(script)).env("PYTHONDONTWRITEBYTECODE", "1");
    run(command).await;
}

async fn node(script: &str, arguments: &[&str]) {
    let named = std::env::var_os("THREAD_STORE_TEST_NODE_MODULES").map(PathBuf::from);
    let modules = named.clone().unwrap_or_else(|| clients().join("node_modules"));
    let is_there = modules.join("langgraph-sdk-2").is_dir();
    assert!(is_there || named.is_none(), "THREAD_STORE_TEST_NODE_MODULES lacks the packages");
    if !is_there {
        return skipped(script, "THREAD_STORE_TEST_NODE_MODULES");
    }
    // Node looks for packages beside the script alone.
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("script.mjs");
    std::fs::copy(clients().join(script), &copy).unwrap();
    let modules = modules.canonicalize().unwrap();
    std::os::unix::fs::symlink(modules, directory.path().join("node_modules")).unwrap();
    let mut command = Command::new("node");
    command.arg(copy).args(arguments);
    run(command).await;
}

/// Against a server of its own, whose log it can read.
async fn run(mut command: Command) {
    let directory = directory();
    let database = test_cluster().await.database_url().await;
    let settings = [("PORT", "0"), ("DATABASE_URL", database.as_str())];
    let server = Program::start(directory.path(), &settings).await;
    command
        .envs([("BASE_URL", &server.url), ("SUPABASE_URL", &server.url)])
        .envs([("SUPABASE_KEY", "any-key"), ("NO_PROXY", "127.0.0.1")])
        .env("SERVER_LOG", directory.path().join("log"))
        .kill_on_drop(true);
    let output = output_of(command).await;
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// Past the test harness, which shows what a test prints only if it fails.
fn skipped(script: &str, variable: &str) {
    assert!(std::env::var_os("CI").is_none(), "{script} has to run on CI: set {variable}");
    let line = format!("\n**** SKIPPED {script}: set {variable}, see CONTRIBUTING.md ****\n\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}
