//! What it will not do, and says so in one line without touching anything.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use thread_store::embedded_postgres::{Embedded, Options};

use crate::scratch::{Program, Result, Scratch, names, options, refusal};

#[tokio::test]
async fn a_second_program_on_the_same_directory_is_refused() -> Result {
    let scratch = Scratch::new()?;
    let mut owner = Program::run("life::owner", scratch.path())?;
    owner.next("acknowledged ")?.context("the owner ended")?;
    let begun = Instant::now();
    let line = refusal(scratch.options()).await?;
    ensure!(begun.elapsed() < Duration::from_secs(1), "it took {:?}", begun.elapsed());
    let expected = format!(
        "DATA_DIR {} is in use by another thread-store (process {})",
        scratch.path().canonicalize()?.display(),
        owner.id()
    );
    ensure!(line == expected, "{line}");
    owner.next("acknowledged ")?.context("the owner was disturbed")?;
    Ok(())
}

#[tokio::test]
async fn a_cluster_of_an_unsupported_version_is_refused_and_left_alone() -> Result {
    let scratch = Scratch::new()?;
    let home = cluster_of(&scratch, 13)?;
    let line = refusal(scratch.options()).await?;
    ensure!(
        line.contains("was created by PostgreSQL 13, and thread-store supports 14 to 18"),
        "{line}"
    );
    ensure!(line.contains("DATA_DIR") && names(&home)? == ["PG_VERSION"], "{line}");
    Ok(())
}

#[tokio::test]
async fn a_cluster_of_a_version_that_is_not_here_is_refused_and_left_alone() -> Result {
    let scratch = Scratch::new()?;
    let home = cluster_of(&scratch, 17)?;
    let programs = scratch.path().join("bin");
    std::fs::create_dir(&programs)?;
    for name in ["postgres", "initdb", "pg_ctl"] {
        std::fs::write(programs.join(name), "#!/bin/sh\necho 'postgres (PostgreSQL) 16.4'\n")?;
        std::fs::set_permissions(programs.join(name), Permissions::from_mode(0o755))?;
    }
    let line = refusal(Options { bin_dir: Some(programs), ..scratch.options() }).await?;
    ensure!(line.contains("created by PostgreSQL 17, which was not found (found: 16)"), "{line}");
    ensure!(line.contains("POSTGRES_BIN") && names(&home)? == ["PG_VERSION"], "{line}");
    Ok(())
}

fn cluster_of(scratch: &Scratch, major: u32) -> Result<PathBuf> {
    let home = scratch.path().join("pg");
    std::fs::create_dir(&home)?;
    std::fs::write(home.join("PG_VERSION"), format!("{major}\n"))?;
    Ok(home)
}

#[tokio::test]
async fn a_directory_that_is_no_cluster_is_left_alone() -> Result {
    let scratch = Scratch::new()?;
    let home = scratch.path().join("pg");
    std::fs::create_dir(&home)?;
    std::fs::write(home.join("thesis.txt"), "years of work")?;
    let line = refusal(scratch.options()).await?;
    ensure!(line.contains("not a PostgreSQL cluster"), "{line}");
    ensure!(home.join("thesis.txt").exists());
    Ok(())
}

#[tokio::test]
async fn a_postgres_bin_without_the_programs_is_refused() -> Result {
    let scratch = Scratch::new()?;
    let empty = scratch.path().to_owned();
    let line = refusal(Options { bin_dir: Some(empty), ..scratch.options() }).await?;
    ensure!(line.starts_with("POSTGRES_BIN ") && line.contains("14 to 18"), "{line}");
    Ok(())
}

#[tokio::test]
async fn a_path_that_a_shell_would_change_is_refused() -> Result {
    let scratch = Scratch::new()?;
    let line = refusal(options(&scratch.path().join("$HOME"))).await?;
    ensure!(line.contains("$HOME") && line.contains("set another DATA_DIR"), "{line}");
    Ok(())
}

#[tokio::test]
async fn a_socket_directory_that_others_may_enter_is_refused() -> Result {
    let scratch = Scratch::new()?;
    let sockets = scratch.path().join("socket");
    std::fs::create_dir(&sockets)?;
    std::fs::set_permissions(&sockets, Permissions::from_mode(0o777))?;
    let line = refusal(scratch.options()).await?;
    ensure!(line.contains("socket") && line.contains("remove it"), "{line}");
    Ok(())
}

/// Only root has somebody else run Postgres, to whom a directory can be closed.
#[tokio::test]
async fn a_directory_closed_to_the_user_of_postgres_is_named() -> Result {
    let scratch = Scratch::new()?;
    let closed = scratch.path().join("closed");
    std::fs::create_dir_all(closed.join("data"))?;
    std::fs::set_permissions(&closed, Permissions::from_mode(0o700))?;
    match Embedded::start(options(&closed.join("data"))).await {
        Ok(embedded) => embedded.stop().await?,
        Err(error) => {
            let line = error.to_string();
            let expected = format!("{} is closed to user ", closed.canonicalize()?.display());
            ensure!(line.starts_with(&expected) && line.contains("set DATA_DIR"), "{line}");
        }
    }
    Ok(())
}
