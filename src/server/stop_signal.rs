//! The signal to stop.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// The signal to stop: SIGINT and SIGTERM, or the other end of a channel.
#[derive(Debug)]
pub struct StopSignal(mpsc::UnboundedReceiver<()>);

impl StopSignal {
    /// Receives the signals of this process from now on.
    ///
    /// Signals that the process inherited as ignored are received too. A script that starts the
    /// server with `&` passes on an ignored SIGINT; without this, interrupting the script would
    /// leave the server running on its port.
    pub fn of_process() -> std::io::Result<StopSignal> {
        // If SIGCHLD were ignored, the server could not wait for the Postgres programs that it
        // starts.
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

    /// Receives from a sender. Dropping the sender also means stop.
    #[must_use]
    pub fn of_channel() -> (mpsc::UnboundedSender<()>, StopSignal) {
        let (sender, signals) = mpsc::unbounded_channel();
        (sender, StopSignal(signals))
    }

    /// Resolves at the next signal to stop.
    pub async fn next(&mut self) {
        self.0.recv().await;
    }
}
