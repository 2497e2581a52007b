//! The progress of a sub-command, as lines on standard error.

use std::fmt::Display;
use std::io::Write as _;
use std::time::{Duration, Instant};

/// Pause between two lines.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// Shows the progress of a sub-command.
pub(crate) struct Progress {
    threads: usize,
    last: Instant,
}

impl Progress {
    /// The progress for this number of threads.
    pub(crate) fn of(threads: usize) -> Progress {
        Progress { threads, last: Instant::now() }
    }

    /// Shows the number of finished threads, and an additional text.
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
