//! How far an import is: a line on standard error now and then.

use std::io::Write as _;
use std::time::{Duration, Instant};

use super::report::Report;

/// Wait between two lines.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// Shows how far an import is.
pub(super) struct Progress {
    threads: usize,
    last: Instant,
}

impl Progress {
    /// Of so many threads.
    pub(super) fn of(threads: usize) -> Progress {
        line(&format!("{threads} threads in the source"));
        Progress { threads, last: Instant::now() }
    }

    /// Another thread is done with.
    pub(super) fn advance(&mut self, report: &Report) {
        if self.last.elapsed() >= BETWEEN_LINES {
            self.last = Instant::now();
            let (done, states) = (report.threads(), report.written());
            line(&format!("{done} of {} threads, {states} states written", self.threads));
        }
    }
}

fn line(text: &str) {
    let _ = writeln!(std::io::stderr(), "thread-store: {text}");
}
