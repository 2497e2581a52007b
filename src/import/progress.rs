//! How far an import is: a bar on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::report::Report;

/// Wait between two lines.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// Shows on standard error how far an import is.
pub(super) enum Progress {
    Bar(ProgressBar),
    Lines { threads: usize, last: Instant },
}

impl Progress {
    /// Of so many threads.
    pub(super) fn of(threads: usize) -> Progress {
        if !std::io::stderr().is_terminal() {
            line(&format!("{threads} threads in the source"));
            return Progress::Lines { threads, last: Instant::now() };
        }
        let bar = ProgressBar::new(threads.try_into().unwrap_or(u64::MAX));
        let form = "{wide_bar} {pos}/{len} threads, {msg}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(form) {
            bar.set_style(style);
        }
        bar.set_message("0 states written");
        Progress::Bar(bar)
    }

    /// Another thread is done with.
    pub(super) fn advance(&mut self, report: &Report) {
        match self {
            Progress::Bar(bar) => {
                bar.set_message(format!("{} states written", report.written()));
                bar.inc(1);
            }
            Progress::Lines { threads, last } if last.elapsed() >= BETWEEN_LINES => {
                *last = Instant::now();
                let (done, states) = (report.threads(), report.written());
                line(&format!("{done} of {threads} threads, {states} states written"));
            }
            Progress::Lines { .. } => {}
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Progress::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn line(text: &str) {
    let _ = writeln!(std::io::stderr(), "thread-store: {text}");
}
