//! Why the embedded database did not start, each in one line that says what to do.

use std::path::PathBuf;

/// Why the embedded database could not be started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another program holds the lock of the data directory.
    #[error("DATA_DIR {} is in use by another thread-store{}", data_dir.display(), process(*owner))]
    InUse {
        /// The data directory.
        data_dir: PathBuf,
        /// The process that wrote itself down as the holder.
        owner: Option<u32>,
    },

    /// A file or directory could not be read, made or changed.
    #[error("cannot use {}: {because}; set DATA_DIR to a directory this program may write", path.display())]
    Directory {
        /// What could not be used.
        path: PathBuf,
        /// What the operating system said.
        because: std::io::Error,
    },

    /// `pg_ctl` hands the path to a shell in double quotes, where these mean something.
    #[error(
        "DATA_DIR {} has a character PostgreSQL's pg_ctl cannot take (one of \" $ ` \\, \
         a control character, or not UTF-8): set another DATA_DIR",
        path.display()
    )]
    Unquotable {
        /// The absolute path.
        path: PathBuf,
    },

    /// `pg` in the data directory holds something else.
    #[error(
        "{} is not empty and not a PostgreSQL cluster (it has no PG_VERSION): \
         move it away or set another DATA_DIR",
        path.display()
    )]
    NotACluster {
        /// The directory where the cluster should be.
        path: PathBuf,
    },

    /// The cluster was made under another user of this machine.
    #[error("{} belongs to another user of this machine: run as that user or set another DATA_DIR", path.display())]
    Foreign {
        /// The cluster.
        path: PathBuf,
    },

    /// Root may not run Postgres, and there is no one else to run it.
    #[error(
        "PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it: \
         run as another user or set DATABASE_URL"
    )]
    NoAccount,

    /// A directory on the way is closed to the user who has to run Postgres.
    #[error(
        "{} is closed to user {account}, who has to run PostgreSQL because root may not: \
         open it (chmod o+x) or set {setting} to a place outside it",
        directory.display()
    )]
    Closed {
        /// The outermost closed directory.
        directory: PathBuf,
        /// The user who has to pass it.
        account: String,
        /// The setting that leads there.
        setting: &'static str,
    },

    /// `POSTGRES_BIN` is not what it should be.
    #[error(
        "POSTGRES_BIN {} takes a directory that holds postgres, initdb and pg_ctl \
         of PostgreSQL 14 to 18",
        path.display()
    )]
    Binaries {
        /// The directory it names.
        path: PathBuf,
    },

    /// The cluster is older or newer than what this program supports; nothing was touched.
    #[error(
        "{} was made by PostgreSQL {made_by}, and thread-store takes 14 to 18: \
         set another DATA_DIR, or set DATABASE_URL",
        path.display()
    )]
    Unsupported {
        /// The cluster.
        path: PathBuf,
        /// Its major version.
        made_by: u32,
    },

    /// The cluster cannot be run by the programs at hand; nothing was touched.
    #[error(
        "{} was made by PostgreSQL {made_by}, which is not here (found: {found}): install it, \
         set POSTGRES_BIN to its directory of programs, or set another DATA_DIR",
        path.display()
    )]
    WrongVersion {
        /// The cluster.
        path: PathBuf,
        /// Its major version.
        made_by: u32,
        /// What was found in its place.
        found: String,
    },

    /// Nothing to run: neither installed nor downloadable.
    #[error(
        "no PostgreSQL to run: {because}. Install it (apt install postgresql, or \
         brew install postgresql), or run docker compose up, or set DATABASE_URL"
    )]
    NoPostgres {
        /// Why the last resort failed.
        because: String,
    },

    /// The directory of the socket is someone else's.
    #[error("{} is not a directory that only {account} may enter: remove it", path.display())]
    Sockets {
        /// The directory.
        path: PathBuf,
        /// Who should own it.
        account: String,
    },

    /// `initdb` failed.
    #[error("PostgreSQL's initdb failed: {because}")]
    Create {
        /// What it said last.
        because: String,
    },

    /// The server did not come up.
    #[error("PostgreSQL did not start: {because} (more in {})", log.display())]
    Start {
        /// What it said last.
        because: String,
        /// The server's log.
        log: PathBuf,
    },

    /// The server is up and cannot be used.
    #[error("the embedded PostgreSQL cannot be used: {because}")]
    Connect {
        /// What the driver said.
        because: sqlx::Error,
    },

    /// The server did not end.
    #[error("PostgreSQL did not stop: {because}")]
    Stop {
        /// What `pg_ctl` said.
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
