//! The user who runs Postgres: this program's user, unless that is root, which Postgres refuses.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::Error;

/// The user of Postgres's programs.
#[derive(Debug)]
pub(super) enum Account {
    /// The user of this program.
    Ourselves,
    /// This program is root and runs them as another user.
    Other { name: String, uid: u32, gid: u32 },
}

/// The environment variables that are passed to Postgres's programs. Others are not: no `PG*`
/// variable may affect these programs, and no secret may be readable in their environment.
const PASSED_ON: [&str; 3] = ["PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"];

impl Account {
    /// The owner of an existing cluster, else `postgres`, else `nobody`.
    pub(super) fn choose(cluster: &Path) -> Result<Self, Error> {
        let us = rustix::process::geteuid();
        let owner = std::fs::metadata(cluster).ok();
        if !us.is_root() {
            return match owner {
                Some(owner) if owner.uid() != us.as_raw() => {
                    Err(Error::Foreign { path: cluster.to_owned() })
                }
                _ => Ok(Self::Ourselves),
            };
        }
        if let Some(owner) = owner.filter(|owner| owner.uid() != 0) {
            let number = owner.uid().to_string();
            let name = ask_id(&["-un", &number]).unwrap_or(number);
            return Ok(Self::Other { name, uid: owner.uid(), gid: owner.gid() });
        }
        ["postgres", "nobody"].into_iter().find_map(named).ok_or(Error::NoAccount)
    }

    /// For messages: `user postgres`.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Ourselves => "the user of this program".to_owned(),
            Self::Other { name, .. } => format!("user {name}"),
        }
    }

    pub(super) fn uid(&self) -> u32 {
        match self {
            Self::Ourselves => rustix::process::geteuid().as_raw(),
            Self::Other { uid, .. } => *uid,
        }
    }

    /// A command under this account, in a directory that it can enter, with messages and times that
    /// do not depend on the environment of this program.
    #[expect(
        clippy::disallowed_methods,
        reason = "what child programs inherit, no setting of ours"
    )]
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("LC_ALL", "C").env("TZ", "UTC").current_dir("/");
        for name in PASSED_ON {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        if let Self::Other { uid, gid, .. } = self {
            command.uid(*uid).gid(*gid);
        }
        command.stdin(Stdio::null());
        command
    }

    /// Changes the owner of a file or directory to this account.
    pub(super) fn own(&self, path: &Path) -> Result<(), Error> {
        match self {
            Self::Ourselves => Ok(()),
            Self::Other { uid, gid, .. } => {
                chown(path, Some(*uid), Some(*gid)).map_err(Error::directory(path))
            }
        }
    }

    /// Fails with the outermost directory in `path` that this account may not enter. `setting` is
    /// the setting of the path.
    pub(super) fn check_may_enter(&self, path: &Path, setting: &'static str) -> Result<(), Error> {
        let Self::Other { name, uid, gid } = self else {
            return Ok(());
        };
        let path = path.canonicalize().map_err(Error::directory(path))?;
        let mut outermost_first: Vec<&Path> = path.ancestors().collect();
        outermost_first.reverse();
        for directory in outermost_first {
            let found = directory.metadata().map_err(Error::directory(directory))?;
            if !may_pass(&found, *uid, *gid) {
                let (directory, account) = (directory.to_owned(), name.clone());
                return Err(Error::Closed { directory, account, setting });
            }
        }
        Ok(())
    }
}

fn may_pass(directory: &Metadata, uid: u32, gid: u32) -> bool {
    let needed = if directory.uid() == uid {
        0o100
    } else if directory.gid() == gid {
        0o010
    } else {
        0o001
    };
    directory.mode() & needed != 0
}

fn named(name: &str) -> Option<Account> {
    let number = |flag| ask_id(&[flag, name])?.parse().ok();
    Some(Account::Other { name: name.to_owned(), uid: number("-u")?, gid: number("-g")? })
}

/// `/etc/passwd` is not used, because it does not list all users on every system.
fn ask_id(arguments: &[&str]) -> Option<String> {
    let output = std::process::Command::new("id").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
