//! The migrations of this release, compiled in.
//!
//! The macro of sqlx for this would build sqlx and its dependencies a second time, for the
//! compiler.

use std::borrow::Cow;

use sqlx::SqlStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// A migration: the name of its file, which begins with its version, and its SQL.
pub(crate) type File = (&'static str, &'static str);

/// The migrations of the thread store. A test compares them with the directory.
pub(super) const FILES: [File; 2] = [
    ("0001_threads.sql", include_str!("../../migrations/0001_threads.sql")),
    ("0002_agent_threads.sql", include_str!("../../migrations/0002_agent_threads.sql")),
];

/// A migrator for files, like that of sqlx for a directory. A name without a version is left out.
pub(crate) fn migrator_of(files: &[File]) -> Migrator {
    let migrations = files.iter().filter_map(|&(name, sql)| {
        let (version, description) = name.strip_suffix(".sql")?.split_once('_')?;
        let description = Cow::Owned(description.replace('_', " "));
        let no_transaction = sql.starts_with("-- no-transaction");
        let (version, sql) = (version.parse().ok()?, SqlStr::from_static(sql));
        Some(Migration::new(version, description, MigrationType::Simple, sql, no_transaction))
    });
    Migrator::with_migrations(migrations.collect())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The parts in which two migrations can differ.
    fn parts(migrator: &Migrator) -> Vec<(i64, String, Vec<u8>, bool, String)> {
        let parts = migrator.iter().map(|one| {
            let (checksum, sql) = (one.checksum.to_vec(), one.sql.as_str().to_owned());
            (one.version, one.description.to_string(), checksum, one.no_tx, sql)
        });
        parts.collect()
    }

    async fn are_those_of(files: &[File], directory: &str) {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
        let read = Migrator::new(directory.as_path()).await.unwrap();
        assert_ne!(read.iter().count(), 0);
        assert_eq!(parts(&migrator_of(files)), parts(&read));
    }

    #[tokio::test]
    async fn the_migrations_are_those_of_the_directory() {
        are_those_of(&FILES, "migrations").await;
    }

    #[cfg(feature = "local-auth")]
    #[tokio::test]
    async fn the_migrations_of_the_local_sign_in_are_those_of_the_directory() {
        are_those_of(&crate::local_sign_in::MIGRATIONS, "migrations/local_auth").await;
    }
}
