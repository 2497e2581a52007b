//! What tells a server to stop.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// What tells a server to stop: SIGINT and SIGTERM, or the other end of a channel.
#[derive(Debug)]
pub struct StopSignal(mpsc::UnboundedReceiver<()>);

impl StopSignal {
    /// From the signals of this process, from now on.
    ///
    /// Signals that the process inherited as ignored are honoured like others: a script that runs
    /// the server with `&` hands down an ignored SIGINT, and would leave it behind on its port when
    /// it is interrupted itself.
    pub fn of_process() -> std::io::Result<StopSignal> {
        // With SIGCHLD ignored, Postgres's programs could be run and not be waited for.
        drop(signal(SignalKind::child())?);
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (sender, signals) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if sender.send(()).is_err() {
                    return;
                }
            }
        });
        Ok(StopSignal(signals))
    }

    /// From whoever holds the sender. Dropping it says stop, too.
    #[must_use]
    pub fn of_channel() -> (mpsc::UnboundedSender<()>, StopSignal) {
        let (sender, signals) = mpsc::unbounded_channel();
        (sender, StopSignal(signals))
    }

    /// Resolves when told to stop once more than before.
    pub async fn next(&mut self) {
        self.0.recv().await;
    }
}
