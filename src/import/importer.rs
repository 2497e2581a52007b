//! The import itself: reads, compares and writes each thread.

use anyhow::Context as _;
use futures::StreamExt as _;
use futures::stream;
use uuid::Uuid;

use super::api::{Thread, Update};
use super::failure::{Backoff, Failure};
use super::history::{History, Reading, State};
use super::report::{Done, Outcome, Report};
use super::server::Server;
use super::snapshot::{Found, Snapshot};
use super::source::Source;
use super::turns::{Turn, Turns};
use super::values::{Interner, Values};
use crate::config::Import;
use crate::json::{self, Object, Raw};
use crate::progress::{Progress, say};

/// Metadata that is not compared: the owner is the destination's user, and the other keys are about
/// runs.
const OWN_METADATA: [&str; 6] =
    ["owner", "thread_id", "run_id", "assistant_id", "cron_id", "counters_since_delta_snapshot"];

/// Maximum number of threads that wait for their turn, as a multiple of the concurrency.
const WAITING: usize = 3;

/// An import from one server to another.
pub(super) struct Importer {
    to: Server,
    asked: Import,
}

/// A thread that is being copied.
struct Copy<'a> {
    thread_id: Uuid,
    thread: &'a Thread,
    history: &'a History,
    texts: Interner,
    turn: Turn,
    /// Number of states that this run wrote.
    written: usize,
    is_new: bool,
    other_metadata: bool,
}

impl Importer {
    pub(super) fn new(asked: Import) -> Result<Importer, reqwest::Error> {
        Ok(Importer { to: Server::new("the destination", &asked.to)?, asked })
    }

    /// Copies all threads in the order of `updated_at`.
    pub(super) async fn run(&self, report: &mut Report) -> anyhow::Result<()> {
        let from = Source::open(&self.asked).await?;
        self.to.check().await?;
        let ids = from.list(&self.asked).await;
        let ids = ids.context("cannot list the threads of the source")?;
        say(&format!("{} threads in the source", ids.len()));
        let mut progress = Progress::of(ids.len());
        let concurrency = self.asked.concurrency;
        let mut turns = Turns::new(concurrency);
        let copies = stream::iter(ids).map(|id| self.thread(&from, id, turns.next()));
        let mut copies = std::pin::pin!(copies.buffer_unordered((1 + WAITING) * concurrency));
        while let Some(done) = copies.next().await {
            report.add(done?);
            let states = format!(", {} states written", report.written());
            progress.advance(report.threads(), states);
        }
        Ok(())
    }

    /// Copies one thread. An error ends the import; a fault of this thread alone is in the outcome.
    async fn thread(&self, from: &Source, thread_id: Uuid, turn: Turn) -> Result<Done, Failure> {
        let mut done = Done::new(thread_id);
        match self.copy(from, thread_id, turn, &mut done).await {
            Err(Failure::Refused { status, detail }) => {
                done.outcome = Outcome::Failed(format!("{detail} ({status})"));
            }
            Err(failure) => return Err(failure),
            Ok(outcome) => done.outcome = outcome,
        }
        Ok(done)
    }

    async fn copy(
        &self,
        from: &Source,
        thread_id: Uuid,
        mut turn: Turn,
        done: &mut Done,
    ) -> Result<Outcome, Failure> {
        turn.work().await;
        let Some(thread) = from.thread(thread_id).await? else {
            return Ok(Outcome::Vanished);
        };
        let mut texts = Interner::default();
        let (history, newest_only) =
            match self.history(from, thread_id, thread.values.as_ref(), &mut texts).await? {
                Read::Vanished => return Ok(Outcome::Vanished),
                Read::Unfit(why) => return Ok(Outcome::Failed(why)),
                Read::History(history) => (history, false),
                Read::Newest(history) => (history, true),
            };
        done.losses = history.losses;
        done.newest_only = newest_only;
        let mut copy = Copy {
            thread_id,
            thread: &thread,
            history: &history,
            texts,
            turn,
            written: 0,
            is_new: false,
            other_metadata: false,
        };
        let outcome = self.write_with_retries(&mut copy).await;
        done.written = copy.written;
        done.other_metadata = copy.other_metadata;
        if let Some(why) = outcome? {
            return Ok(Outcome::Failed(why));
        }
        Ok(match copy {
            Copy { is_new: true, .. } => Outcome::Imported,
            Copy { written: 0, .. } => Outcome::Unchanged,
            Copy { .. } => Outcome::Completed,
        })
    }

    async fn history(
        &self,
        from: &Source,
        thread_id: Uuid,
        newest: Option<&Raw>,
        texts: &mut Interner,
    ) -> Result<Read, Failure> {
        let mut reading = Reading::of(thread_id);
        let read = from.history(thread_id, |state| reading.take(&state, texts)).await;
        let is_refused = match read {
            Ok(Err(why)) => return Ok(Read::Unfit(why)),
            Ok(Ok(())) => false,
            // The source may no longer have the graph, or may have its history switched off. Other
            // refusals may be temporary, and a partial copy would be in the way of a later one.
            Err(Failure::Refused { status, .. })
                if [400, 404, 405, 501].contains(&status.as_u16()) =>
            {
                true
            }
            Err(failure) => return Err(failure),
        };
        let newest = newest.filter(|values| !values.is_null());
        if !is_refused && (newest.is_none() || !reading.is_empty()) {
            return Ok(Read::History(reading.end()));
        }
        if is_refused && from.thread(thread_id).await?.is_none() {
            return Ok(Read::Vanished);
        }
        let mut reading = Reading::of(thread_id);
        if let Some(values) = newest
            && let Err(why) = reading.take(&Snapshot::newest(values.clone()), texts)
        {
            return Ok(Read::Unfit(why));
        }
        Ok(Read::Newest(reading.end()))
    }

    async fn write_with_retries(&self, copy: &mut Copy<'_>) -> Result<Option<String>, Failure> {
        let mut backoff = Backoff::default();
        loop {
            match self.write(copy).await {
                // The next try finds the states that were already written.
                Err(Failure::Transient { cause, retry_after }) => {
                    backoff.wait(cause, retry_after).await?;
                }
                outcome => return outcome,
            }
        }
    }

    /// Creates the thread if it is missing and writes the missing states. Returns the reason if
    /// that is not possible.
    async fn write(&self, copy: &mut Copy<'_>) -> Result<Option<String>, Failure> {
        if let Err(why) = self.create(copy).await? {
            return Ok(Some(why));
        }
        let found = match self.found(copy).await? {
            Ok(found) => found,
            Err(why) => {
                return Ok(Some(format!("a state in the destination cannot be compared: {why}")));
            }
        };
        if let Err(place) = copy.history.begins_with(&found) {
            return Ok(Some(format!(
                "the destination has other states, from state {} on: the thread was not changed",
                place + 1
            )));
        }
        // The destination may have more states if the thread grew there.
        if found.len() >= copy.history.states.len() {
            return Ok(None);
        }
        let ids = found.into_iter().map(|state| state.id).collect();
        match self.write_states(copy, ids).await? {
            Some(why) => Ok(Some(why)),
            None => self.verify(copy).await,
        }
    }

    /// Creates the thread if it is missing. The inner error is the reason why that is not possible.
    async fn create(&self, copy: &mut Copy<'_>) -> Result<Result<(), String>, Failure> {
        let Copy { thread_id, thread, .. } = *copy;
        if let Some(there) = self.to.thread(thread_id).await? {
            copy.other_metadata = !copy.is_new && !has_all(&there, thread.metadata.as_ref());
            return Ok(Ok(()));
        }
        if copy.history.states.is_empty() {
            copy.turn.come().await;
        }
        if !self.to.create(&thread.to_create(thread_id)).await? {
            return Ok(Err("the id belongs to another user in the destination".to_owned()));
        }
        copy.is_new = true;
        Ok(Ok(()))
    }

    /// Writes the states after those with these ids, the last one at the thread's turn.
    async fn write_states(
        &self,
        copy: &mut Copy<'_>,
        mut ids: Vec<String>,
    ) -> Result<Option<String>, Failure> {
        let states = &copy.history.states;
        for state in states.iter().skip(ids.len()) {
            if ids.len() + 1 == states.len() {
                copy.turn.come().await;
            }
            let update = self.update(state, states, &ids)?;
            match self.to.write(copy.thread_id, &update).await {
                Ok(id) => ids.push(id),
                Err(Failure::Refused { status, detail }) => {
                    let (place, all) = (ids.len() + 1, states.len());
                    return Ok(Some(format!("state {place} of {all}: {detail} ({status})")));
                }
                Err(failure) => return Err(failure),
            }
            copy.written += 1;
        }
        Ok(None)
    }

    /// The update that writes a state after those with these ids.
    fn update<'a>(
        &'a self,
        state: &'a State,
        states: &'a [State],
        ids: &'a [String],
    ) -> Result<Update<'a>, Failure> {
        let nothing = Values::default();
        let before = state.parent.and_then(|parent| states.get(parent));
        let values = state.values.change(before.map_or(&nothing, |before| &before.values));
        Ok(Update {
            values: values.map_err(|error| Failure::Fatal(error.to_string()))?,
            as_node: self.asked.as_node.as_deref().or(state.as_node.as_deref()),
            // The newest state is not named, because the LangGraph Server would treat the update
            // as a fork, and show the previous state's values as those of the thread.
            checkpoint_id: state
                .parent
                .filter(|parent| parent + 1 < ids.len())
                .and_then(|parent| ids.get(parent))
                .map(String::as_str),
        })
    }

    /// Reads a written thread back. Returns the difference, if there is one.
    async fn verify(&self, copy: &mut Copy<'_>) -> Result<Option<String>, Failure> {
        copy.turn.pass();
        copy.turn.work().await;
        let found = match self.found(copy).await? {
            Ok(found) => found,
            Err(why) => {
                return Ok(Some(format!("a state that was written cannot be compared: {why}")));
            }
        };
        let written = copy.history.states.len();
        Ok(match copy.history.begins_with(&found) {
            Ok(()) if found.len() == written => None,
            Ok(()) => Some(format!(
                "the destination returns {} states after {written} were written",
                found.len(),
            )),
            Err(place) => Some(format!(
                "the destination returns a state {} that differs from the written one",
                place + 1
            )),
        })
    }

    /// All states of the thread in the destination, oldest first. The inner error is the problem
    /// with a state.
    async fn found(&self, copy: &mut Copy<'_>) -> Result<Result<Vec<Found>, String>, Failure> {
        let (mut states, texts) = (Vec::new(), &mut copy.texts);
        let read = self.to.history(copy.thread_id, |snapshot| {
            states.push(Found::read(&snapshot, texts)?);
            Ok(())
        });
        let read = read.await?;
        states.reverse();
        Ok(read.map(|()| states))
    }
}

/// The data of a thread in the source.
enum Read {
    History(History),
    /// Only its newest values.
    Newest(History),
    Vanished,
    /// Data that the destination cannot store.
    Unfit(String),
}

/// Whether a thread of the destination has the metadata of the source.
fn has_all(there: &Thread, metadata: Option<&Raw>) -> bool {
    let object = |raw: Option<&Raw>| raw.and_then(|raw| raw.parse::<Object>().ok());
    let of_destination = object(there.metadata.as_ref()).unwrap_or_default();
    let wanted = object(metadata).unwrap_or_default();
    let mut wanted = wanted.iter().filter(|(key, _)| !OWN_METADATA.contains(key));
    wanted.all(|(key, value)| {
        of_destination.get(key).is_some_and(|there| json::equal(there.text(), value.text()))
    })
}
