//! Log lines.

use std::io::{self, BufWriter, IsTerminal, Write, stderr};
use std::time::Duration;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogFormat, Logging};

/// How long the writer collects lines that follow other lines.
const GATHERING: Duration = Duration::from_millis(2);

/// Starts writing log lines to standard error, on a separate thread. Pending lines are written when
/// the guard is dropped.
pub fn init(logging: &Logging) -> anyhow::Result<WorkerGuard> {
    // Writes many lines at once, but does not delay a line that no other line precedes. No line is
    // lost: a caller that logs faster than lines are written waits.
    let (lines_out, guard) =
        NonBlockingBuilder::default().lossy(false).finish(Gathering(BufWriter::new(stderr())));
    // At each start Postgres notifies that objects of the migrations already exist.
    let filter = logging.filter.clone().with_target("sqlx::postgres::notice", LevelFilter::WARN);
    let lines =
        tracing_subscriber::fmt::layer().with_writer(lines_out).with_ansi(stderr().is_terminal());
    let registry = tracing_subscriber::registry().with(filter);
    match logging.format {
        LogFormat::Pretty => registry.with(lines.with_target(false)).try_init()?,
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init()?,
    }
    Ok(guard)
}

/// Batches log lines: waking the writer for each line costs more than formatting it.
struct Gathering<W: Write>(BufWriter<W>);

impl<W: Write> Write for Gathering<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write(line)
    }

    /// Called when no more lines are queued.
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()?;
        std::thread::sleep(GATHERING);
        Ok(())
    }
}
