//! The sub-commands `attach` and `detach`: threads of an agent that writes with LangGraph's own
//! checkpointers, served as this server's (D30).

mod report;

use std::io::{IsTerminal as _, Write as _};

use indicatif::{ProgressBar, ProgressStyle};
use sqlx::postgres::PgConnectOptions;

use crate::config::{Attach, Database};
use crate::store::{self, Attaching, TakenIn};
use report::report;

/// Attaches the tables, takes in what is there already, and prints a report.
///
/// Killed in the middle, the next one goes on where it was.
pub async fn attach(asked: Attach) -> anyhow::Result<()> {
    let options = external(&asked.database)?;
    let mut attaching = Attaching::begin(options, &asked.schema, &asked.owner_key).await?;
    let mut taken_in = TakenIn::default();
    let bar = bar(attaching.estimate().await?);
    loop {
        let some = attaching.take_in_some(&mut taken_in).await?;
        if some == 0 {
            break;
        }
        bar.inc(some);
    }
    bar.finish_and_clear();
    let survey = attaching.survey(asked.aes_key.as_ref()).await?;
    say(&report(&attaching, &taken_in, &survey));
    Ok(())
}

/// Takes the triggers off the agent's tables.
pub async fn detach(database: &Database) -> anyhow::Result<()> {
    let attachment = store::detach(external(database)?).await?;
    say(&format!(
        "thread-store: schema {} is detached. Its threads stay, without state; `thread-store attach` \
         brings it back\n",
        attachment.schema
    ));
    Ok(())
}

fn external(database: &Database) -> anyhow::Result<&PgConnectOptions> {
    match database {
        Database::External { url, direct } => Ok(direct.as_ref().unwrap_or(url)),
        #[cfg(feature = "embedded")]
        Database::Embedded { .. } => anyhow::bail!("DATABASE_URL must name the agent's database"),
    }
}

fn bar(threads: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(threads);
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} threads, {eta} left") {
        bar.set_style(style);
    }
    bar
}

fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
