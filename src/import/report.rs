//! The report of an import.

use std::fmt;

use uuid::Uuid;

use super::history::Losses;

/// What cannot be kept over the public API, whatever the thread.
const NOT_KEPT: &str = "Not kept: checkpoint ids, times, who wrote a state, metadata of states but the node, \
                        states of subgraphs, pending tasks, interrupts and runs.";

/// Problems that are listed one by one.
const MOST_LISTED: usize = 100;

/// What became of one thread.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It was not there, and is now.
    Imported,
    /// It was there in part, and is whole now.
    Completed,
    /// It was there already.
    Unchanged,
    /// The source lost it after it was listed.
    Vanished,
    /// It could not be copied, or not all of it.
    Failed(String),
}

/// One thread, done with.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) thread_id: Uuid,
    pub(super) outcome: Outcome,
    /// States that this run wrote.
    pub(super) written: usize,
    pub(super) losses: Losses,
    /// The source returns nothing but its newest values.
    pub(super) newest_only: bool,
    /// It was there, with other metadata.
    pub(super) other_metadata: bool,
}

impl Done {
    /// Nothing is known of it yet.
    pub(super) fn new(thread_id: Uuid) -> Done {
        Done {
            thread_id,
            outcome: Outcome::Vanished,
            written: 0,
            losses: Losses::default(),
            newest_only: false,
            other_metadata: false,
        }
    }
}

/// All threads.
#[derive(Debug, Default)]
pub(super) struct Report {
    imported: usize,
    completed: usize,
    unchanged: usize,
    vanished: usize,
    failed: Vec<(Uuid, String)>,
    written: usize,
    losses: Losses,
    newest_only: usize,
    other_metadata: usize,
}

impl Report {
    pub(super) fn add(&mut self, done: Done) {
        match done.outcome {
            Outcome::Imported => self.imported += 1,
            Outcome::Completed => self.completed += 1,
            Outcome::Unchanged => self.unchanged += 1,
            Outcome::Vanished => self.vanished += 1,
            Outcome::Failed(why) => self.failed.push((done.thread_id, why)),
        }
        self.written += done.written;
        self.losses.ids_given += done.losses.ids_given;
        self.losses.keys_kept += done.losses.keys_kept;
        self.losses.parents_changed += done.losses.parents_changed;
        self.losses.parts_added += done.losses.parts_added;
        self.newest_only += usize::from(done.newest_only);
        self.other_metadata += usize::from(done.other_metadata);
    }

    /// Threads that could not be copied.
    pub(super) fn failed(&self) -> usize {
        self.failed.len()
    }

    pub(super) fn threads(&self) -> usize {
        self.imported + self.completed + self.unchanged + self.vanished + self.failed.len()
    }

    pub(super) fn written(&self) -> usize {
        self.written
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} threads in the source, {} states written", self.threads(), self.written)?;
        let lines = [
            (self.imported, "threads imported"),
            (self.completed, "threads completed that were there in part"),
            (self.unchanged, "threads were there already"),
            (self.vanished, "threads vanished from the source meanwhile"),
            (self.newest_only, "threads without a history in the source: their newest values only"),
            (self.other_metadata, "threads have other metadata in the destination: left as it is"),
            (
                self.losses.ids_given,
                "messages of states without an id of their own: they have one now",
            ),
            (
                self.losses.keys_kept,
                "keys that a state had no more: still there, an update cannot drop them",
            ),
            (
                self.losses.parents_changed,
                "states whose parent the source has no more: onto the state before",
            ),
            (self.losses.parts_added, "states added: one update holds at most 50000 messages"),
            (self.failed.len(), "threads FAILED"),
        ];
        for (number, what) in lines.iter().filter(|(number, _)| *number > 0) {
            writeln!(f, "  {number:>8}  {what}")?;
        }
        for (thread_id, why) in self.failed.iter().take(MOST_LISTED) {
            writeln!(f, "  {thread_id}  {why}")?;
        }
        if self.failed.len() > MOST_LISTED {
            writeln!(f, "  and {} more", self.failed.len() - MOST_LISTED)?;
        }
        writeln!(f, "{NOT_KEPT}")
    }
}
