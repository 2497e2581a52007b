//! Start, restart, take over: what was acknowledged is still there.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use sqlx::Executor as _;
use thread_store::embedded_postgres::{Durability, Embedded};
use tokio::signal::unix::{self, SignalKind};

use crate::scratch::{
    DIRECTORY, Program, Result, Scratch, alive, connect, family, options, postmaster, rows, signal,
    wait_until,
};

#[tokio::test]
async fn data_survives_a_restart() -> Result {
    let scratch = Scratch::new()?;
    let data_dir = scratch.path().join("made/on/the/way");
    let first = Embedded::start(options(&data_dir)).await?;
    let mut connection = connect(&first).await?;
    connection.execute("create table numbers (id bigint)").await?;
    connection.execute("insert into numbers values (1), (2)").await?;
    ensure!(first.describe().ends_with(&format!(" in {}/pg", data_dir.display())));
    first.stop().await?;
    ensure!(postmaster(&data_dir.join("pg")).is_none(), "it still runs");

    let second = Embedded::start(options(&data_dir)).await?;
    ensure!(rows(&second).await? == [1, 2]);
    second.stop().await.map_err(Into::into)
}

#[tokio::test]
async fn it_is_private_durable_and_independent_of_the_machine() -> Result {
    let scratch = Scratch::new()?;
    let durable = thread_store::embedded_postgres::Options {
        durability: Durability::Durable,
        ..scratch.options()
    };
    let embedded = Embedded::start(durable).await?;
    let mut connection = connect(&embedded).await?;
    for (setting, expected) in [
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
        ("listen_addresses", ""),
        ("jit", "off"),
        ("max_connections", "100"),
        ("server_encoding", "UTF8"),
        ("lc_messages", "C"),
        ("TimeZone", "UTC"),
    ] {
        let found: String = sqlx::query_scalar("select current_setting($1)")
            .bind(setting)
            .fetch_one(&mut connection)
            .await?;
        ensure!(found == expected, "{setting} is {found:?}, not {expected:?}");
    }
    let socket = embedded.connect_options().get_socket().context("no socket")?.clone();
    let mode = std::os::unix::fs::PermissionsExt::mode(&socket.metadata()?.permissions());
    ensure!(mode & 0o777 == 0o700, "the socket directory has mode {mode:o}");
    embedded.stop().await?;
    Ok(())
}

#[tokio::test]
async fn the_server_of_a_killed_program_is_taken_over() -> Result {
    let scratch = Scratch::new()?;
    let mut owner = Program::run("life::owner", scratch.path())?;
    for _ in 0..50 {
        owner.next("acknowledged ")?.context("the owner ended")?;
    }
    let server = postmaster(&scratch.path().join("pg")).context("no server")?;
    owner.kill()?;

    let begun = Instant::now();
    let embedded = Embedded::start(scratch.options()).await?;
    ensure!(begun.elapsed() < Duration::from_secs(2), "it took {:?}", begun.elapsed());
    ensure!(postmaster(&scratch.path().join("pg")) == Some(server), "it is another server");
    ensure!(rows(&embedded).await?.len() >= 50);
    embedded.stop().await?;
    Ok(())
}

#[tokio::test]
async fn ctrl_c_reaches_the_program_and_not_its_server() -> Result {
    let scratch = Scratch::new()?;
    let mut owner = Program::run("life::owner", scratch.path())?;
    owner.next("acknowledged ")?.context("the owner ended")?;
    let server = postmaster(&scratch.path().join("pg")).context("no server")?;
    owner.interrupt()?;
    // A server that was interrupted too would not take this connection, nor the next one.
    let embedded = Embedded::start(scratch.options()).await?;
    ensure!(alive(server)?, "the server was interrupted as well");
    ensure!(postmaster(&scratch.path().join("pg")) == Some(server), "it is another server");
    ensure!(!rows(&embedded).await?.is_empty());
    embedded.stop().await?;
    Ok(())
}

#[tokio::test]
async fn the_environment_of_the_caller_changes_nothing() -> Result {
    let scratch = Scratch::new()?;
    let variables = [
        ("PGDATA", "/nowhere"),
        ("PGHOST", "db.example"),
        ("PGPORT", "1"),
        ("PGUSER", "someone"),
        ("PGPASSWORD", "secret"),
        ("PGDATABASE", "other"),
        ("PGSSLMODE", "require"),
        ("PGTZ", "Asia/Tokyo"),
        ("TZ", "Asia/Tokyo"),
        ("LC_ALL", "xx_XX.none"),
        ("TMPDIR", "/nowhere"),
    ];
    let mut owner = Program::run_with("life::owner", scratch.path(), &variables)?;
    owner.next("acknowledged ")?.context("the owner ended")?;
    Ok(())
}

#[tokio::test]
async fn no_acknowledged_row_is_lost_when_everything_is_killed() -> Result {
    let scratch = Scratch::new()?;
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let mut owner = Program::run("life::owner", scratch.path())?;
        for _ in 0..100 {
            let row = owner.next("acknowledged ")?.context("the owner ended")?;
            acknowledged.push(row.parse::<i64>()?);
        }
        let server = postmaster(&scratch.path().join("pg")).context("no server")?;
        let mut doomed = family(server)?;
        // Either may die first.
        doomed.insert(if round % 2 == 0 { 0 } else { doomed.len() }, owner.id());
        for pid in doomed {
            signal("-KILL", pid);
        }
        while let Some(row) = owner.next("acknowledged ")? {
            acknowledged.push(row.parse()?);
        }
        owner.kill()?;
    }

    let embedded = Embedded::start(scratch.options()).await?;
    let found = rows(&embedded).await?;
    let lost = acknowledged.iter().filter(|row| found.binary_search(row).is_err()).count();
    ensure!(lost == 0, "{lost} of {} rows are lost", acknowledged.len());
    embedded.stop().await?;
    Ok(())
}

/// Not a test: the program that the tests above kill.
#[tokio::test]
#[ignore = "run by other tests, as a process to be killed"]
async fn owner() -> Result {
    let data_dir = std::env::var_os(DIRECTORY).context("run by hand")?;
    let durable = thread_store::embedded_postgres::Options {
        durability: Durability::Durable,
        ..options(&PathBuf::from(data_dir))
    };
    let embedded = Embedded::start(durable).await?;
    let mut connection = connect(&embedded).await?;
    connection
        .execute("create table if not exists numbers (id bigint generated always as identity)")
        .await?;
    // As the program does, and for the same reason: it may have been started with it ignored.
    let mut interrupt = unix::signal(SignalKind::interrupt())?;
    loop {
        let insert = sqlx::query_scalar("insert into numbers default values returning id");
        let row: i64 = tokio::select! {
            row = insert.fetch_one(&mut connection) => row?,
            _ = interrupt.recv() => return Ok(()),
        };
        writeln!(std::io::stdout(), "acknowledged {row}")?;
    }
}

#[tokio::test]
async fn what_a_killed_initdb_left_is_swept_away() -> Result {
    let scratch = Scratch::new()?;
    let half = scratch.path().join("pg.new.4711");
    std::fs::create_dir_all(half.join("base/1"))?;
    std::fs::write(half.join("PG_VERSION"), "15\n")?;
    let embedded = Embedded::start(scratch.options()).await?;
    ensure!(!half.exists(), "the half-made cluster is still there");
    embedded.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_works() -> Result {
    let scratch = Scratch::new()?;
    let data_dir = scratch.path().join("x".repeat(100));
    let embedded = Embedded::start(options(&data_dir)).await?;
    connect(&embedded).await?.execute("create table numbers (id bigint)").await?;
    let socket = embedded.connect_options().get_socket().context("no socket")?.clone();
    ensure!(!socket.starts_with(scratch.path()) && socket.as_os_str().len() < 60, "{socket:?}");
    embedded.stop().await?;
    wait_until("the short directory is removed", || !socket.exists())
}

#[tokio::test]
async fn a_path_with_spaces_and_quotes_works() -> Result {
    let scratch = Scratch::new()?;
    let data_dir = scratch.path().join("it's my data, (really)");
    let embedded = Embedded::start(options(&data_dir)).await?;
    connect(&embedded).await?;
    embedded.stop().await?;
    Ok(())
}
