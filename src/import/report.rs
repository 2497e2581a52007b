//! The report of an import.

use std::fmt;

use uuid::Uuid;

use super::history::Losses;

/// Data that cannot be kept over the public API, for any thread.
const NOT_KEPT: &str = "Not kept: checkpoint ids, times, the authors of states, metadata of states except the \
                        node, states of subgraphs, pending tasks, interrupts and runs.";

/// Maximum number of problems that are listed.
const MOST_LISTED: usize = 100;

/// The outcome of one thread.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The thread was created.
    Imported,
    /// The thread existed in part, and was completed.
    Completed,
    /// The thread existed already.
    Unchanged,
    /// The thread was deleted in the source after the listing.
    Vanished,
    /// The thread could not be copied completely.
    Failed(String),
}

/// The result of one thread.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) thread_id: Uuid,
    pub(super) outcome: Outcome,
    /// Number of states that this run wrote.
    pub(super) written: usize,
    pub(super) losses: Losses,
    /// Whether the source returns only its newest values.
    pub(super) newest_only: bool,
    /// Whether it existed with other metadata.
    pub(super) other_metadata: bool,
}

impl Done {
    /// The result before the work begins.
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

    /// Number of threads that could not be copied.
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
            (self.completed, "threads completed: the destination had their first states"),
            (self.unchanged, "threads already in the destination"),
            (self.vanished, "threads deleted in the source during the import"),
            (self.newest_only, "threads without a history in the source: only their newest values"),
            (self.other_metadata, "threads with other metadata in the destination: not changed"),
            (self.losses.ids_given, "messages without an id: the import gave them one"),
            (
                self.losses.keys_kept,
                "keys that a later state no longer has: kept, because an update cannot remove them",
            ),
            (
                self.losses.parents_changed,
                "states whose parent is missing in the source: written onto the previous state",
            ),
            (self.losses.parts_added, "states added: one update holds at most 50000 messages"),
            (self.failed.len(), "threads that could not be copied"),
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
