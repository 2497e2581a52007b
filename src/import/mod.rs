//! The `import` sub-command: threads from one server to another, over the public API of both.
//!
//! Nothing is kept between two runs but what the destination has: a thread that is there with the
//! first states of the source's gets the rest, and one that is whole is left alone. So an import
//! can be ended at any moment and run again, and a second run writes nothing.

mod api;
mod failure;
mod history;
mod importer;
mod listing;
mod report;
mod server;
mod snapshot;
mod turns;
mod values;

use std::io::Write as _;

use anyhow::bail;

use crate::config::Import;
use importer::Importer;
use report::Report;

/// Copies threads with their state and history. An error says that the import did not come to its
/// end, or that threads could not be copied.
pub async fn run(asked: Import) -> anyhow::Result<()> {
    let import = Importer::new(asked)?;
    let mut report = Report::default();
    let outcome = tokio::select! {
        outcome = import.run(&mut report) => outcome,
        _ = tokio::signal::ctrl_c() => {
            Err(anyhow::anyhow!("stopped. Run the same command again, and it goes on from here"))
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
