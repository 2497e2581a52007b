//! How far a sub-command is: a line on standard error now and then.

use std::fmt::Display;
use std::io::Write as _;
use std::time::{Duration, Instant};

/// Wait between two lines.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// Shows how far a sub-command is.
pub(crate) struct Progress {
    threads: usize,
    last: Instant,
}

impl Progress {
    /// Of so many threads.
    pub(crate) fn of(threads: usize) -> Progress {
        Progress { threads, last: Instant::now() }
    }

    /// So many are done with, and this is what else there is to say.
    pub(crate) fn advance(&mut self, done: usize, more: impl Display) {
        if self.last.elapsed() >= BETWEEN_LINES {
            self.last = Instant::now();
            say(&format!("{done} of {} threads{more}", self.threads));
        }
    }
}

/// Writes a line to standard error.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "thread-store: {text}");
}
