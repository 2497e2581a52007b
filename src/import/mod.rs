//! The `import` sub-command: threads from one server to another, over the public API of both.
//!
//! Nothing is kept between two runs but what the destination has: a thread that is there with the
//! first states of the source's gets the rest, and one that is whole is left alone. So an import
//! can be ended at any moment and run again, and a second run writes nothing.

mod client;
mod progress;
mod report;
mod states;

use std::collections::HashSet;
use std::io::Write as _;

use anyhow::{Context as _, bail};
use futures::StreamExt as _;
use futures::stream;
use uuid::Uuid;

use crate::config::Import;
use crate::json::Object;
use client::{Failure, Patience, Server, Thread, found_states};
use progress::Progress;
use report::{Done, Outcome, Report};
use states::{History, Reading, Snapshot, Texts, Update, Values};

/// How often a listing begins anew because threads vanished under it.
const LISTINGS: usize = 10;

/// Metadata that is the destination's own business: it says who owns a thread, and the rest is
/// about runs.
const OWN_METADATA: [&str; 6] =
    ["owner", "thread_id", "run_id", "assistant_id", "cron_id", "counters_since_delta_snapshot"];

/// Copies threads with their state and history. An error says that the import did not come to its
/// end, or that threads could not be copied.
pub async fn run(asked: Import) -> anyhow::Result<()> {
    let import = Importer {
        from: Server::new("the source", &asked.from)?,
        to: Server::new("the destination", &asked.to)?,
        asked,
    };
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

struct Importer {
    from: Server,
    to: Server,
    asked: Import,
}

/// What a run did to one thread so far.
struct Copied {
    written: usize,
    is_new: bool,
    other_metadata: bool,
}

impl Importer {
    async fn run(&self, report: &mut Report) -> anyhow::Result<()> {
        self.from.check().await?;
        self.to.check().await?;
        let ids = self.list().await.context("cannot list the threads of the source")?;
        let mut progress = Progress::of(ids.len());
        let copies = stream::iter(ids).map(|id| self.thread(id));
        let mut copies = std::pin::pin!(copies.buffer_unordered(self.asked.concurrency));
        while let Some(done) = copies.next().await {
            report.add(done?);
            progress.advance(report);
        }
        Ok(())
    }

    /// All ids first: it is cheap, and says how much there is to do.
    async fn list(&self) -> Result<Vec<Uuid>, Failure> {
        let (mut ids, mut seen) = (Vec::new(), HashSet::new());
        for _ in 0..LISTINGS {
            let mut offset = 0_usize;
            let mut is_whole = true;
            loop {
                // One place back: if that thread is not known, others have moved past us.
                let page = self.from.list(&self.asked.metadata, offset.saturating_sub(1)).await?;
                is_whole &= offset == 0 || page.first().is_some_and(|id| seen.contains(id));
                let has_more = page.len() > usize::from(offset > 0);
                offset = offset.saturating_sub(1) + page.len();
                ids.extend(page.into_iter().filter(|id| seen.insert(*id)));
                // A source that does not know `offset` would go round for ever.
                if !has_more || offset > seen.len() {
                    break;
                }
            }
            if is_whole {
                break;
            }
        }
        Ok(ids)
    }

    /// Copies one thread. An error ends the import; what is wrong with this thread alone is in the
    /// answer.
    async fn thread(&self, thread_id: Uuid) -> Result<Done, Failure> {
        let mut done = Done {
            thread_id,
            outcome: Outcome::Vanished,
            written: 0,
            losses: states::Losses::default(),
            newest_only: false,
            other_metadata: false,
        };
        match self.copy(thread_id, &mut done).await {
            Err(Failure::Refused { status, detail }) => {
                done.outcome = Outcome::Failed(format!("{detail} ({status})"));
            }
            Err(failure) => return Err(failure),
            Ok(outcome) => done.outcome = outcome,
        }
        Ok(done)
    }

    async fn copy(&self, thread_id: Uuid, done: &mut Done) -> Result<Outcome, Failure> {
        let Some(thread) = self.from.thread(thread_id).await? else {
            return Ok(Outcome::Vanished);
        };
        let mut texts = Texts::default();
        let (history, newest_only) =
            match self.history(thread_id, thread.values.as_ref(), &mut texts).await? {
                Source::Vanished => return Ok(Outcome::Vanished),
                Source::Unfit(why) => return Ok(Outcome::Failed(why)),
                Source::History(history) => (history, false),
                Source::Newest(history) => (history, true),
            };
        done.losses = history.losses;
        done.newest_only = newest_only;
        let mut copied = Copied { written: 0, is_new: false, other_metadata: false };
        let mut patience = Patience::default();
        let outcome = loop {
            match self.write(thread_id, &thread, &history, &mut texts, &mut copied).await {
                // What was written by then is found in the destination.
                Err(Failure::Passing { cause, retry_after }) => {
                    patience.wait(cause, retry_after).await?;
                }
                outcome => break outcome,
            }
        };
        done.written = copied.written;
        done.other_metadata = copied.other_metadata;
        if let Some(why) = outcome? {
            return Ok(Outcome::Failed(why));
        }
        Ok(match copied {
            Copied { is_new: true, .. } => Outcome::Imported,
            Copied { written: 0, .. } => Outcome::Unchanged,
            Copied { .. } => Outcome::Completed,
        })
    }

    async fn history(
        &self,
        thread_id: Uuid,
        newest: Option<&crate::json::Raw>,
        texts: &mut Texts,
    ) -> Result<Source, Failure> {
        let mut reading = Reading::of(thread_id);
        let read = self.from.history(thread_id, |state| reading.take(&state, texts)).await;
        let is_refused = match read {
            Ok(Err(why)) => return Ok(Source::Unfit(why)),
            Ok(Ok(())) => false,
            // The graph may be unknown to the source by now, or the history switched off. Anything
            // else may pass, and half a thread would be in its way then.
            Err(Failure::Refused { status, .. })
                if [400, 404, 405, 501].contains(&status.as_u16()) =>
            {
                true
            }
            Err(failure) => return Err(failure),
        };
        let newest = newest.filter(|values| !values.is_null());
        if !is_refused && (newest.is_none() || !reading.is_empty()) {
            return Ok(Source::History(reading.end()));
        }
        if is_refused && self.from.thread(thread_id).await?.is_none() {
            return Ok(Source::Vanished);
        }
        let mut reading = Reading::of(thread_id);
        if let Some(values) = newest
            && let Err(why) = reading.take(&Snapshot::newest(values.clone()), texts)
        {
            return Ok(Source::Unfit(why));
        }
        Ok(Source::Newest(reading.end()))
    }

    /// Makes the thread if it is missing and writes the states that are missing. The answer says
    /// why that is not possible.
    async fn write(
        &self,
        thread_id: Uuid,
        thread: &Thread,
        history: &History,
        texts: &mut Texts,
        copied: &mut Copied,
    ) -> Result<Option<String>, Failure> {
        match self.to.thread(thread_id).await? {
            Some(there) => {
                copied.other_metadata =
                    !copied.is_new && !has_all(&there, thread.metadata.as_ref());
            }
            None if !self.to.create(&thread.anew(thread_id)).await? => {
                return Ok(Some("the id belongs to somebody else in the destination".to_owned()));
            }
            None => copied.is_new = true,
        }
        let found = match found_states(&self.to, thread_id, texts).await? {
            Ok(found) => found,
            Err(why) => return Ok(Some(format!("the destination has a state of its own: {why}"))),
        };
        if let Err(place) = history.begins_with(&found) {
            return Ok(Some(format!(
                "the destination has states of its own, from the {}. on: left as it is",
                place + 1
            )));
        }
        let mut ids: Vec<_> = found.into_iter().map(|state| state.id).collect();
        // It may have more: then it went on there.
        if ids.len() >= history.states.len() {
            return Ok(None);
        }
        let nothing = Values::default();
        for state in history.states.iter().skip(ids.len()) {
            let parent = state.parent;
            let before = parent.and_then(|parent| history.states.get(parent));
            let values = state.values.change(before.map_or(&nothing, |before| &before.values));
            let update = Update {
                values: values.map_err(|error| Failure::Fatal(error.to_string()))?,
                as_node: self.asked.as_node.as_deref().or(state.as_node.as_deref()),
                // The newest is not named: the LangGraph Server would take it for a fork, and show
                // the values of the state before as those of the thread.
                checkpoint_id: parent
                    .filter(|parent| parent + 1 < ids.len())
                    .and_then(|parent| ids.get(parent))
                    .map(String::as_str),
            };
            match self.to.write(thread_id, &update).await {
                Ok(id) => ids.push(id),
                Err(Failure::Refused { status, detail }) => {
                    let (place, all) = (ids.len() + 1, history.states.len());
                    return Ok(Some(format!("state {place} of {all}: {detail} ({status})")));
                }
                Err(failure) => return Err(failure),
            }
            copied.written += 1;
        }
        // What counts is what the destination tells now.
        let found = match found_states(&self.to, thread_id, texts).await? {
            Ok(found) => found,
            Err(why) => return Ok(Some(format!("the destination tells another state: {why}"))),
        };
        Ok(match history.begins_with(&found) {
            Ok(()) if found.len() == history.states.len() => None,
            Ok(()) => Some(format!(
                "the destination tells {} of {} states after they were written",
                found.len(),
                history.states.len()
            )),
            Err(place) => {
                Some(format!("the destination tells another state {} than was written", place + 1))
            }
        })
    }
}

/// What the source has of a thread.
enum Source {
    History(History),
    /// Its newest values alone.
    Newest(History),
    Vanished,
    /// The destination could not hold it.
    Unfit(String),
}

/// Whether a thread of the destination has the metadata of the source's.
fn has_all(there: &Thread, metadata: Option<&Object>) -> bool {
    let parsed = |raw: &crate::json::Raw| raw.parse::<serde_json::Value>().ok();
    let none = Object::default();
    let of_destination = there.metadata.as_ref().unwrap_or(&none);
    let mut wanted =
        metadata.unwrap_or(&none).iter().filter(|(key, _)| !OWN_METADATA.contains(key));
    wanted.all(|(key, value)| of_destination.get(key).and_then(parsed) == parsed(value))
}
