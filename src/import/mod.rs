//! The `import` sub-command: copies threads from one server to another, over the public API of
//! both, or from an exported file.
//!
//! Between two runs only the destination keeps data: a thread that has the first states of the
//! source gets the others, and a complete one is left alone. So an import can be stopped at any
//! time and run again, and a second run writes nothing.

mod api;
mod archive;
mod failure;
mod history;
mod importer;
mod listing;
mod report;
mod server;
mod snapshot;
mod source;
mod turns;
mod values;

use std::io::Write as _;

use anyhow::bail;

use crate::config::Import;
use importer::Importer;
use report::Report;

/// Copies threads with their state and history. It fails if the import was not completed or if
/// threads could not be copied.
pub async fn run(asked: Import) -> anyhow::Result<()> {
    let import = Importer::new(asked)?;
    let mut report = Report::default();
    let outcome = tokio::select! {
        outcome = import.run(&mut report) => outcome,
        _ = tokio::signal::ctrl_c() => {
            Err(anyhow::anyhow!("stopped. Run the same command again to continue from here"))
        }
    };
    if outcome.is_ok() || report.threads() > 0 {
        let _ = write!(std::io::stdout(), "{report}");
    }
    outcome?;
    match report.failed() {
        0 => Ok(()),
        1 => bail!("1 thread could not be copied"),
        failed => bail!("{failed} threads could not be copied"),
    }
}
