//! The download, from a server on this machine that offers the installed Postgres.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};
use sha2::{Digest as _, Sha256};
use thread_store::embedded_postgres::{Embedded, Options};
use url::Url;
use wiremock::matchers::{method, path_regex};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::scratch::{Result, Scratch, connect, names, refusal};

const ARCHIVE: &str = r"^/releases/[0-9.]+/postgresql-[0-9.]+-[a-z0-9_-]+\.tar\.gz$";
const SUM: &str = r"^/releases/[0-9.]+/postgresql-[0-9.]+-[a-z0-9_-]+\.tar\.gz\.sha256$";

#[tokio::test]
async fn a_downloaded_postgres_is_checked_unpacked_once_and_run() -> Result {
    let Some(archive) = debian_archive()? else {
        // Only Debian's layout is known here well enough to pack it.
        return Ok(());
    };
    let scratch = Scratch::new()?;
    let server = serve(&archive, &sum(&archive)).await;
    let options = Options { archive_url: Some(base(&server)?), bin_dir: None, ..scratch.options() };
    for _ in 0..2 {
        let embedded = Embedded::start(options.clone()).await?;
        connect(&embedded).await?;
        embedded.stop().await?;
    }
    let requests = server.received_requests().await.context("not recorded")?;
    ensure!(requests.len() == 2, "fetched {} times, not once with its sum", requests.len());
    ensure!(names(scratch.path())?.iter().any(|name| name.starts_with("postgres-")));
    Ok(())
}

#[tokio::test]
async fn an_archive_with_another_checksum_is_thrown_away() -> Result {
    let scratch = Scratch::new()?;
    let server = serve(b"not what was promised", &sum(b"what was promised")).await;
    let options = Options { archive_url: Some(base(&server)?), bin_dir: None, ..scratch.options() };
    let line = refusal(options).await?;
    ensure!(line.contains("has SHA-256") && line.contains("discarded"), "{line}");
    ensure!(!names(scratch.path())?.iter().any(|name| name.starts_with("postgres-")));
    Ok(())
}

#[tokio::test]
async fn an_archive_that_is_none_is_refused() -> Result {
    let scratch = Scratch::new()?;
    let server = serve(b"no archive at all", &sum(b"no archive at all")).await;
    let options = Options { archive_url: Some(base(&server)?), bin_dir: None, ..scratch.options() };
    let line = refusal(options).await?;
    ensure!(line.contains("could not be unpacked"), "{line}");
    ensure!(!names(scratch.path())?.iter().any(|name| name == "postgres-18.4.0"));
    Ok(())
}

#[tokio::test]
async fn without_any_postgres_it_names_the_three_ways_out() -> Result {
    let scratch = Scratch::new()?;
    let server = MockServer::start().await;
    let mut mirror = base(&server)?;
    mirror.set_password(Some("hunter2")).ok().context("no password")?;
    let options = Options { archive_url: Some(mirror), bin_dir: None, ..scratch.options() };
    let line = refusal(options).await?;
    for way in
        ["apt install postgresql", "brew install", "docker compose up", "DATABASE_URL", "404"]
    {
        ensure!(line.contains(way), "no {way} in: {line}");
    }
    ensure!(!line.contains("hunter2"), "{line}");
    Ok(())
}

async fn serve(archive: &[u8], sum: &str) -> MockServer {
    let server = MockServer::start().await;
    for (path, body) in [(ARCHIVE, archive), (SUM, sum.as_bytes())] {
        Mock::given(method("GET"))
            .and(path_regex(path))
            .respond_with(ResponseTemplate::new(200).set_body_bytes(body))
            .mount(&server)
            .await;
    }
    server
}

fn base(server: &MockServer) -> Result<Url> {
    Ok(Url::parse(&format!("{}/releases", server.uri()))?)
}

fn sum(archive: &[u8]) -> String {
    let bytes = Sha256::digest(archive);
    let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}  archive.tar.gz\n", hex.concat())
}

/// The installed Postgres as the release packs one: `bin`, `lib` and `share` in one
/// directory. Postgres finds its files from where its program really is, so Debian's
/// paths are kept and `bin` is a link to the directory of programs.
fn debian_archive() -> Result<Option<Vec<u8>>> {
    let Some(version) = (14..=18).rev().find(|major| debian(*major).is_dir()) else {
        return Ok(None);
    };
    let tree = tempfile::tempdir()?;
    let top = tree.path().join("postgresql");
    let packed = Command::new("sh")
        .args(["-ec", PACK, "pack"])
        .arg(&top)
        .arg(version.to_string())
        .output()?;
    ensure!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
    Ok(Some(std::fs::read(tree.path().join("postgresql.tar.gz"))?))
}

fn debian(major: u32) -> PathBuf {
    PathBuf::from(format!("/usr/lib/postgresql/{major}/bin"))
}

const PACK: &str = r#"
    lib="lib/postgresql/$2" share="share/postgresql"
    mkdir -p "$1/$lib/bin" "$1/$lib/lib" "$1/$share"
    for program in postgres initdb pg_ctl; do
        cp "/usr/$lib/bin/$program" "$1/$lib/bin/"
    done
    find "/usr/$lib/lib" -maxdepth 1 -name '*.so' ! -name 'llvmjit*' -exec cp {} "$1/$lib/lib/" \;
    cp -R "/usr/$share/$2" "$1/$share/"
    ln -s "$lib/bin" "$1/bin"
    cd "$1/.."
    tar -cf - postgresql | gzip -1 >postgresql.tar.gz
"#;
