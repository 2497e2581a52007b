//! Downloads one pinned version of Postgres into the data directory, as the last resort.
//!
//! An archive from GitHub must have the SHA-256 in this file, if its platform is listed here. The
//! sums come from several other projects that pin the same release and agree. The tests of this
//! project never download the archives.

use std::fmt::Write as _;
use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use sha2::{Digest as _, Sha256};
use tar::Archive;
use url::Url;

use super::Error;
use crate::http_client;

const VERSION: &str = "18.4.0";
/// The major version of the archive.
pub(super) const MAJOR: u32 = 18;

const GITHUB: &str = "https://github.com/theseus-rs/postgresql-binaries/releases/download";
const SHA256: [(&str, &str); 4] = [
    (
        "x86_64-unknown-linux-gnu",
        "65c06cf318b9a57525d842d658d6d18cd461d12b3a89b57d6d8ed7cccbe2db53",
    ),
    (
        "aarch64-unknown-linux-gnu",
        "569984d426365c6ca3c197d2b3a999b73161ff1f3abc963824a8c3624620e5dd",
    ),
    ("x86_64-apple-darwin", "cbc38067a795d10bbddc730e61c835df0b351c36a7bd2544d388790fcf50aa4d"),
    ("aarch64-apple-darwin", "1b68828f524b638a24918e258b173d0f16773547a0d3b83d9ba74473b61649f2"),
];

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("POSTGRES_ARCHIVE_URL must be an http or https URL")]
    Base,
    #[error("downloading {url} failed: {because}")]
    Fetch { url: String, because: String },
    #[error("{url} has SHA-256 {found}, not {expected}, and was discarded")]
    Checksum { url: String, found: String, expected: String },
    #[error("{url} could not be unpacked: {because}")]
    Unpack { url: String, because: String },
}

/// The directory of the pinned Postgres's programs, which are downloaded if they are missing.
pub(super) async fn unpacked(base: Option<&Url>, data_dir: &Path) -> Result<PathBuf, Error> {
    let home = data_dir.join(format!("postgres-{VERSION}"));
    if !home.is_dir() {
        download(base, &home)
            .await
            .map_err(|failure| Error::NoPostgres { because: failure.to_string() })?;
    }
    Ok(home.join("bin"))
}

async fn download(base: Option<&Url>, home: &Path) -> Result<(), Failure> {
    let url = asset(base)?;
    tracing::info!("downloading PostgreSQL {VERSION} from {}", shown(&url));
    let start = Instant::now();
    // A mirror's own sums are trusted, GitHub's only for a platform without a pinned sum.
    let pinned = if base.is_none() { pinned() } else { None };
    let expected = match pinned {
        Some(sum) => sum.to_owned(),
        None => published_sum(&url).await?,
    };
    let archive = fetch(&url).await?;
    verify(&url, &archive, &expected)?;
    let (size, tree) = (archive.len(), home.to_owned());
    let unpacked = tokio::task::spawn_blocking(move || unpack(&archive, &tree)).await;
    unpacked
        .unwrap_or_else(|error| Err(error.to_string()))
        .map_err(|because| Failure::Unpack { url: shown(&url), because })?;
    tracing::info!(
        archive.size_bytes = size,
        duration_ms = start.elapsed().as_millis(),
        "PostgreSQL {VERSION} is in {}",
        home.display()
    );
    Ok(())
}

fn asset(base: Option<&Url>) -> Result<Url, Failure> {
    let base = base.map_or(GITHUB, Url::as_str).trim_end_matches('/');
    let name = format!("postgresql-{VERSION}-{}.tar.gz", target());
    Url::parse(&format!("{base}/{VERSION}/{name}"))
        .ok()
        .filter(|url| ["http", "https"].contains(&url.scheme()))
        .ok_or(Failure::Base)
}

/// The name of this platform in the releases: a target triple of Rust.
fn target() -> String {
    let system = match std::env::consts::OS {
        "macos" => "apple-darwin",
        _ if cfg!(target_env = "musl") => "unknown-linux-musl",
        _ => "unknown-linux-gnu",
    };
    format!("{}-{system}", std::env::consts::ARCH)
}

fn pinned() -> Option<&'static str> {
    let own = target();
    SHA256.iter().find(|(target, _)| *target == own).map(|(_, sum)| *sum)
}

/// The sum in the file beside the archive: `<sum>` or `<sum>  <name>`.
async fn published_sum(archive: &Url) -> Result<String, Failure> {
    let mut url = archive.clone();
    url.set_path(&format!("{}.sha256", archive.path()));
    let text = String::from_utf8_lossy(&fetch(&url).await?).into_owned();
    let sum = text.split_whitespace().next().filter(|sum| sum.len() == 64);
    sum.map(str::to_lowercase).ok_or_else(|| Failure::Fetch {
        url: shown(&url),
        because: "it contains no SHA-256".to_owned(),
    })
}

async fn fetch(url: &Url) -> Result<Vec<u8>, Failure> {
    let get = async {
        let client = http_client::builder()
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(Duration::from_secs(30))
            .build()?;
        client.get(url.clone()).send().await?.error_for_status()?.bytes().await
    };
    let failed = |error: reqwest::Error| Failure::Fetch {
        url: shown(url),
        because: said(&error.without_url()),
    };
    Ok(get.await.map_err(failed)?.to_vec())
}

fn verify(url: &Url, archive: &[u8], expected: &str) -> Result<(), Failure> {
    let found = Sha256::digest(archive).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    if found == expected {
        return Ok(());
    }
    Err(Failure::Checksum { url: shown(url), found, expected: expected.to_owned() })
}

/// Unpacks beside the final directory and renames, so that a killed run leaves no incomplete
/// directory.
fn unpack(archive: &[u8], home: &Path) -> Result<(), String> {
    let draft = home.with_added_extension("new");
    let unpacked = remove_if_there(&draft)
        .and_then(|()| Archive::new(GzDecoder::new(archive)).unpack(&draft))
        .and_then(|()| std::fs::read_dir(&draft)?.collect::<Result<Vec<_>, _>>());
    // The archive has one directory.
    let tree = match unpacked.map_err(|error| said(&error))?.as_slice() {
        [tree] => tree.path(),
        _ => return Err("it does not consist of one directory".to_owned()),
    };
    if !tree.join("bin/postgres").is_file() {
        return Err("it contains no bin/postgres".to_owned());
    }
    // If this program is root, the server's user must be able to enter the directory too.
    std::fs::set_permissions(&tree, Permissions::from_mode(0o755))
        .and_then(|()| std::fs::rename(&tree, home))
        .and_then(|()| remove_if_there(&draft))
        .map_err(|error| error.to_string())
}

fn remove_if_there(directory: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The URL without the user and password that a mirror may need.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    url.set_query(None);
    url.into()
}

/// The error with its causes, because reqwest's own line only says that a request failed.
fn said(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_asset_is_found_under_any_base_and_its_secrets_are_not_shown()
    -> Result<(), Box<dyn std::error::Error>> {
        let github = asset(None)?;
        assert!(github.as_str().starts_with(&format!("{GITHUB}/{VERSION}/postgresql-{VERSION}-")));
        let mirror = asset(Some(&Url::parse("https://me:secret@mirror.example/pg/")?))?;
        assert!(shown(&mirror).starts_with(&format!("https://mirror.example/pg/{VERSION}/")));
        assert!(asset(Some(&Url::parse("file:///srv/pg")?)).is_err());
        Ok(())
    }
}
