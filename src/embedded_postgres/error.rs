//! Why the embedded database did not start, each in one line with the remedy.

use std::path::PathBuf;

/// Why the embedded database could not be started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another program holds the lock of the data directory.
    #[error("DATA_DIR {} is in use by another thread-store{}", data_dir.display(), process(*owner))]
    InUse {
        /// The data directory.
        data_dir: PathBuf,
        /// The process that the lock file names.
        owner: Option<u32>,
    },

    /// A file or directory could not be read, created or changed.
    #[error("cannot use {}: {because}; set DATA_DIR to a directory that this program can write to", path.display())]
    Directory {
        /// The file or directory.
        path: PathBuf,
        /// The error of the operating system.
        because: std::io::Error,
    },

    /// `pg_ctl` passes the path to a shell in double quotes, in which these characters are special.
    #[error(
        "DATA_DIR {} contains a character that PostgreSQL's pg_ctl does not accept (one of \" $ ` \\, \
         a control character, or not UTF-8): set another DATA_DIR",
        path.display()
    )]
    Unquotable {
        /// The absolute path.
        path: PathBuf,
    },

    /// `pg` in the data directory is not a cluster.
    #[error(
        "{} is not empty, and not a PostgreSQL cluster (it has no PG_VERSION): \
         move it away or set another DATA_DIR",
        path.display()
    )]
    NotACluster {
        /// The directory where the cluster should be.
        path: PathBuf,
    },

    /// The cluster belongs to another user of this machine.
    #[error("{} belongs to another user of this machine: run as that user or set another DATA_DIR", path.display())]
    Foreign {
        /// The cluster.
        path: PathBuf,
    },

    /// Root may not run Postgres, and there is no other user to run it.
    #[error(
        "PostgreSQL refuses to run as root, and neither user postgres nor user nobody exists: \
         run as another user or set DATABASE_URL"
    )]
    NoAccount,

    /// The user who must run Postgres may not enter a directory in the path.
    #[error(
        "{} is closed to user {account}, which runs PostgreSQL because root may not: \
         open it (chmod o+x) or set {setting} to a path outside it",
        directory.display()
    )]
    Closed {
        /// The outermost closed directory.
        directory: PathBuf,
        /// The user who must enter it.
        account: String,
        /// The setting of the path.
        setting: &'static str,
    },

    /// `POSTGRES_BIN` is not a directory with the needed programs.
    #[error(
        "POSTGRES_BIN {} must be a directory with postgres, initdb and pg_ctl \
         of PostgreSQL 14 to 18",
        path.display()
    )]
    Binaries {
        /// The directory it names.
        path: PathBuf,
    },

    /// The cluster's version is not supported; nothing was changed.
    #[error(
        "{} was created by PostgreSQL {made_by}, and thread-store supports 14 to 18: \
         set another DATA_DIR, or set DATABASE_URL",
        path.display()
    )]
    Unsupported {
        /// The cluster.
        path: PathBuf,
        /// Its major version.
        made_by: u32,
    },

    /// The available programs cannot run the cluster; nothing was changed.
    #[error(
        "{} was created by PostgreSQL {made_by}, which was not found (found: {found}): install it, \
         set POSTGRES_BIN to the directory of its programs, or set another DATA_DIR",
        path.display()
    )]
    WrongVersion {
        /// The cluster.
        path: PathBuf,
        /// Its major version.
        made_by: u32,
        /// The available versions.
        found: String,
    },

    /// No Postgres is installed or can be downloaded.
    #[error(
        "no usable PostgreSQL was found or downloaded: {because}. Install it (apt install postgresql, \
         or brew install postgresql), run docker compose up, or set DATABASE_URL"
    )]
    NoPostgres {
        /// Why the download failed.
        because: String,
    },

    /// The directory of the socket belongs to another user.
    #[error("{} must be a directory that only {account} may enter: remove it", path.display())]
    Sockets {
        /// The directory.
        path: PathBuf,
        /// Who should own it.
        account: String,
    },

    /// `initdb` failed.
    #[error("PostgreSQL's initdb failed: {because}")]
    Create {
        /// Its last message.
        because: String,
    },

    /// The server did not start.
    #[error("PostgreSQL did not start: {because} (more in {})", log.display())]
    Start {
        /// Its last message.
        because: String,
        /// The server's log.
        log: PathBuf,
    },

    /// The server runs but cannot be used.
    #[error("the embedded PostgreSQL cannot be used: {because}")]
    Connect {
        /// The error of the driver.
        because: sqlx::Error,
    },

    /// The server did not stop.
    #[error("PostgreSQL did not stop: {because}")]
    Stop {
        /// The message of `pg_ctl`.
        because: String,
    },
}

impl Error {
    pub(super) fn directory(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |because| Self::Directory { path, because }
    }
}

fn process(owner: Option<u32>) -> String {
    owner.map_or_else(String::new, |id| format!(" (process {id})"))
}
