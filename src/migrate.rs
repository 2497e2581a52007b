//! The `migrate` sub-command, for deployments in which servers may not change the schema.

use std::io::Write as _;

use crate::config::Database;
use crate::store;

/// Brings the schema of an external database up to date, and prints the result.
///
/// Fails for a private Postgres, which its own server migrates, and behind a pooler in transaction
/// mode.
pub async fn migrate(database: &Database) -> anyhow::Result<()> {
    let options = match database {
        Database::External { url, direct } => direct.as_ref().unwrap_or(url),
        #[cfg(feature = "embedded")]
        Database::Embedded { .. } => anyhow::bail!("a private Postgres is migrated by its server"),
    };
    store::refuse_unknown_pooler(options).await?;
    let ran = store::migrate(options).await?;
    let said = match ran {
        0 => "the schema was up to date".to_owned(),
        1 => "1 migration ran, the schema is up to date".to_owned(),
        ran => format!("{ran} migrations ran, the schema is up to date"),
    };
    let _ = writeln!(std::io::stdout(), "thread-store: {said}");
    Ok(())
}
