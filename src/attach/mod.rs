//! The sub-commands `attach` and `detach`: this server serves the threads of an agent that writes
//! with LangGraph's own checkpointers (D30).

mod report;

use std::io::Write as _;

use sqlx::postgres::PgConnectOptions;

use crate::config::{Attach, Database};
use crate::progress::Progress;
use crate::store::{self, Attaching, TakenIn};
use report::report;

/// Attaches the tables, registers the existing threads, and prints a report.
///
/// If it is killed, the next call continues where it stopped.
pub async fn attach(asked: Attach) -> anyhow::Result<()> {
    let options = external(&asked.database)?;
    let mut attaching = Attaching::begin(options, &asked.schema, &asked.owner_key).await?;
    let mut taken_in = TakenIn::default();
    let mut progress = Progress::of(usize::try_from(attaching.estimate().await?)?);
    let mut done = 0;
    loop {
        let some = attaching.take_in_some(&mut taken_in).await?;
        if some == 0 {
            break;
        }
        done += usize::try_from(some)?;
        progress.advance(done, "");
    }
    let survey = attaching.survey(asked.aes_key.as_ref()).await?;
    say(&report(&attaching, &taken_in, &survey));
    Ok(())
}

/// Removes the triggers from the agent's tables.
pub async fn detach(database: &Database) -> anyhow::Result<()> {
    let attachment = store::detach(external(database)?).await?;
    say(&format!(
        "thread-store: schema {} is detached. Its threads stay, without state; `thread-store attach` \
         brings it back\n",
        attachment.schema
    ));
    Ok(())
}

#[cfg_attr(
    not(feature = "embedded"),
    expect(clippy::unnecessary_wraps, reason = "there is a private database in other builds")
)]
fn external(database: &Database) -> anyhow::Result<&PgConnectOptions> {
    match database {
        Database::External { url, direct } => Ok(direct.as_ref().unwrap_or(url)),
        #[cfg(feature = "embedded")]
        Database::Embedded { .. } => anyhow::bail!("DATABASE_URL must name the agent's database"),
    }
}

fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
