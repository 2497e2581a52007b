//! The `distribute` sub-command, for a store on a Citus cluster.

use std::io::Write as _;

use crate::config::Database;
use crate::store;

/// Distributes the tables of an external database over the nodes of its cluster, and prints the
/// result.
///
/// Fails for a private Postgres, which is not a cluster, and behind a pooler in transaction mode.
pub async fn distribute(database: &Database) -> anyhow::Result<()> {
    let options = match database {
        Database::External { url, direct } => direct.as_ref().unwrap_or(url),
        #[cfg(feature = "embedded")]
        Database::Embedded { .. } => anyhow::bail!("a private Postgres is not a cluster"),
    };
    store::refuse_unknown_pooler(options).await?;
    let said = match store::distribute(options).await? {
        0 => "the tables were already distributed".to_owned(),
        tables => format!("{tables} tables were distributed: restart all servers"),
    };
    let _ = writeln!(std::io::stdout(), "thread-store: {said}");
    Ok(())
}
