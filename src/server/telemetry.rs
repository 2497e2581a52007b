//! Log lines.

use std::io::{self, BufWriter, IsTerminal, Write, stderr};
use std::time::Duration;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogFormat, Logging};

/// How long lines gather that come right behind others.
const GATHERING: Duration = Duration::from_millis(2);

/// Starts writing log lines to standard error, on a thread of their own. Lines that wait are
/// written when the guard is dropped.
pub fn init(logging: &Logging) -> anyhow::Result<WorkerGuard> {
    // Many lines in one write, but none is kept back while nothing else is logged. None is lost
    // either: whoever logs more than can be written waits.
    let (lines_out, guard) =
        NonBlockingBuilder::default().lossy(false).finish(Gathering(BufWriter::new(stderr())));
    // Postgres tells at each start that what the migrations need is there already.
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

/// Lets lines gather. Whoever wakes the thread of the log for each line pays more for that than for
/// all else about it.
struct Gathering<W: Write>(BufWriter<W>);

impl<W: Write> Write for Gathering<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write(line)
    }

    /// Called when no more lines wait.
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()?;
        std::thread::sleep(GATHERING);
        Ok(())
    }
}
