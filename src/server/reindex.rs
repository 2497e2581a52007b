//! The `reindex` sub-command.

use std::io::Write as _;

use super::database::{open_database, open_store};
use super::error::StartError;
use crate::config::Config;
use crate::http::AppShares;

/// Rebuilds the digests of all threads, and prints their number. Servers may run at the same time
/// on an external database; a private Postgres belongs to one program at a time.
pub async fn reindex(config: &Config) -> Result<(), StartError> {
    let (options, database, _) = open_database(config).await?;
    let store = Box::pin(open_store(config, options, &AppShares::new(&config.limits))).await;
    let reindexed = match store {
        Ok(store) => {
            let threads = store.reindex().await;
            store.close().await;
            Ok(threads)
        }
        Err(error) => Err(error),
    };
    database.stop().await;
    let said = match reindexed? {
        1 => "1 thread was indexed".to_owned(),
        threads => format!("{threads} threads were indexed"),
    };
    let _ = writeln!(std::io::stdout(), "thread-store: {said}");
    Ok(())
}
