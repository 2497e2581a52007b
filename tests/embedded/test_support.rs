//! The Postgres that the other tests share.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use sqlx::{ConnectOptions as _, Executor as _};

use crate::postgres::{test_cluster, url_of};
use crate::scratch::{Program, Result, alive, postmaster, wait_until};

#[tokio::test]
async fn every_test_gets_an_empty_database_of_its_own() -> Result {
    let cluster = test_cluster().await;
    let (one, other) = (cluster.database().await, cluster.database().await);
    one.connect().await?.execute("create table mine ()").await?;
    other.connect().await?.execute("create table mine ()").await?;
    Ok(())
}

#[tokio::test]
async fn the_url_leads_to_the_same_database() -> Result {
    let options = test_cluster().await.database().await;
    let parsed: sqlx::postgres::PgConnectOptions = url_of(&options).parse()?;
    let name: String = sqlx::query_scalar("select current_database()")
        .fetch_one(&mut parsed.connect().await?)
        .await?;
    ensure!(Some(name.as_str()) == options.get_database());
    Ok(())
}

#[tokio::test]
async fn nothing_is_left_when_the_test_process_is_killed() -> Result {
    let mut program = Program::run("test_support::user", std::path::Path::new("/"))?;
    let directory = PathBuf::from(program.next("directory ")?.context("it ended")?);
    let server = postmaster(&directory.join("pg")).context("no server")?;
    program.kill()?;
    wait_until("the directory is removed", || !directory.exists())?;
    ensure!(!alive(server)?, "the server still runs");
    Ok(())
}

/// Not a test: the test process that is killed above.
#[tokio::test]
#[ignore = "run by another test, as a process to be killed"]
async fn user() -> Result {
    let cluster = test_cluster().await;
    ensure!(cluster.database_url().await.contains("host=%2F"));
    let options = cluster.database().await;
    let directory = options.get_socket().and_then(|socket| socket.parent()).context("no socket")?;
    writeln!(std::io::stdout(), "directory {}", directory.display())?;
    std::future::pending().await
}
