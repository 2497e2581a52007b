//! Selects the Postgres to run: the configured one, else an installed one, else a downloaded one.
//! If there is a cluster, its version must fit.

use std::path::{Path, PathBuf};

use super::account::Account;
use super::{Error, Options, archive};

const MAJORS: std::ops::RangeInclusive<u32> = 14..=18;

/// The directories of distributions with one directory per version: the parent and the prefix of
/// the names in it. Debian, Red Hat, Homebrew three times, Postgres.app.
const HOMES: [(&str, &str); 6] = [
    ("/usr/lib/postgresql", ""),
    ("/usr", "pgsql-"),
    ("/opt/homebrew/opt", "postgresql"),
    ("/usr/local/opt", "postgresql"),
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql"),
    ("/Applications/Postgres.app/Contents/Versions", ""),
];

/// A directory with `postgres`, `initdb` and `pg_ctl` of one version.
#[derive(Debug)]
pub(super) struct Binaries {
    directory: PathBuf,
    version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    major: u32,
    minor: u32,
}

impl Binaries {
    /// The programs to run, of major version `made_by` if the cluster exists.
    pub(super) async fn find(
        options: &Options,
        data_dir: &Path,
        account: &Account,
        made_by: Option<u32>,
    ) -> Result<Self, Error> {
        let home = data_dir.join("pg");
        if let Some(made_by) = made_by.filter(|major| !MAJORS.contains(major)) {
            return Err(Error::Unsupported { path: home, made_by });
        }
        if let Some(directory) = &options.bin_dir {
            return asked_for(directory, account).await?.fitting(made_by, &home);
        }
        if options.archive_url.is_none() {
            let installed = installed(account).await;
            let found = describe(&installed);
            if let Some(binaries) = installed.into_iter().find(|one| one.fits(made_by)) {
                return Ok(binaries);
            }
            if let Some(made_by) = made_by.filter(|major| *major != archive::MAJOR) {
                return Err(Error::WrongVersion { path: home, made_by, found });
            }
        }
        let directory = archive::unpacked(options.archive_url.as_ref(), data_dir).await?;
        let downloaded = Self::at(&directory, account).await.ok_or_else(|| Error::NoPostgres {
            because: format!("the programs in {} do not run on this machine", directory.display()),
        })?;
        downloaded.fitting(made_by, &home)
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    async fn at(directory: &Path, account: &Account) -> Option<Self> {
        if !["postgres", "initdb", "pg_ctl"].iter().all(|name| directory.join(name).is_file()) {
            return None;
        }
        let asked = account.command(directory.join("postgres")).arg("--version").output().await;
        let version = Version::parse(&String::from_utf8(asked.ok()?.stdout).ok()?)?;
        let directory = directory.to_owned();
        MAJORS.contains(&version.major).then_some(Self { directory, version })
    }

    fn fits(&self, made_by: Option<u32>) -> bool {
        made_by.is_none_or(|major| major == self.version.major)
    }

    fn fitting(self, made_by: Option<u32>, cluster: &Path) -> Result<Self, Error> {
        match made_by {
            Some(made_by) if made_by != self.version.major => Err(Error::WrongVersion {
                path: cluster.to_owned(),
                made_by,
                found: describe(&[self]),
            }),
            _ => Ok(self),
        }
    }
}

impl Version {
    /// Parses the output of `postgres --version`: `postgres (PostgreSQL) 15.18 (Debian …)`.
    fn parse(said: &str) -> Option<Self> {
        let mut numbers = said.split_whitespace().nth(2)?.split('.').map(leading_number);
        let major = numbers.next()??;
        Some(Self { major, minor: numbers.next().flatten().unwrap_or(0) })
    }
}

/// `19devel` and `18beta2` count as 19 and 18.
fn leading_number(text: &str) -> Option<u32> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

async fn asked_for(directory: &Path, account: &Account) -> Result<Binaries, Error> {
    let wrong = || Error::Binaries { path: directory.to_owned() };
    // The programs run in another working directory, where a relative path leads elsewhere.
    let absolute = directory.canonicalize().map_err(|_| wrong())?;
    account.check_may_enter(&absolute, "POSTGRES_BIN")?;
    Binaries::at(&absolute, account).await.ok_or_else(wrong)
}

/// The versions on the PATH, in its order, then other installed ones, newest first.
#[expect(clippy::disallowed_methods, reason = "where programs are installed, no setting of ours")]
async fn installed(account: &Account) -> Vec<Binaries> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = all_at(std::env::split_paths(&path).collect(), account).await;
    let mut others = all_at(HOMES.into_iter().flat_map(versions_in).collect(), account).await;
    others.sort_by_key(|one| std::cmp::Reverse(one.version));
    found.append(&mut others);
    found
}

async fn all_at(directories: Vec<PathBuf>, account: &Account) -> Vec<Binaries> {
    let mut found = Vec::new();
    for directory in directories.iter().filter(|one| one.is_absolute()) {
        if let Some(binaries) = Binaries::at(directory, account).await {
            found.push(binaries);
        }
    }
    found
}

fn versions_in((parent, beginning): (&str, &str)) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(beginning))
        .map(|entry| entry.path().join("bin"))
        .collect()
}

fn describe(found: &[Binaries]) -> String {
    let mut majors: Vec<u32> = found.iter().map(|one| one.version.major).collect();
    majors.sort_unstable();
    majors.dedup();
    match majors.as_slice() {
        [] => "none".to_owned(),
        majors => majors.iter().map(u32::to_string).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_what_postgres_says() {
        let parsed = |said| Version::parse(said).map(|it| (it.major, it.minor));
        assert_eq!(
            parsed("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"),
            Some((15, 18))
        );
        assert_eq!(parsed("postgres (PostgreSQL) 18beta2\n"), Some((18, 0)));
        assert_eq!(parsed("postgres: error while loading shared libraries"), None);
    }
}
