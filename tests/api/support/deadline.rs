//! An end for every wait: a process that a test waits for in vain is killed, and so is what the
//! test reads from it.

use std::io;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// No process of a test takes so long, not even on a machine that does other things too.
pub(crate) const PATIENCE: Duration = Duration::from_mins(3);

/// Kills a process after [`PATIENCE`], unless it is dropped before.
#[derive(Debug)]
pub(crate) struct Deadline {
    _disarm: Sender<()>,
}

impl Deadline {
    /// For a process that is not waited for by then.
    pub(crate) fn of(process: u32) -> Deadline {
        let (disarm, disarmed) = channel::<()>();
        std::thread::spawn(move || {
            if disarmed.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                let _ = Command::new("kill").args(["-KILL", &process.to_string()]).status();
            }
        });
        Deadline { _disarm: disarm }
    }
}

/// Runs a command to its end, which comes.
pub(crate) fn output_of(command: &mut Command) -> io::Result<Output> {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn()?;
    let _deadline = Deadline::of(child.id());
    child.wait_with_output()
}
