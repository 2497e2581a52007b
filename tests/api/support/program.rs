//! The real program as a child process, for what only a process of its own shows: what it
//! writes, and settings that it takes from its environment.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use tempfile::TempDir;

use super::deadline::Deadline;

/// A running program, with no setting but those it was given. It ends with the test.
pub(crate) struct Program {
    /// Its base URL.
    pub(crate) url: String,
    child: Child,
    deadline: Deadline,
    output: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
    _directory: TempDir,
}

impl Program {
    /// Starts it on a free port and waits for its banner.
    pub(crate) fn start(settings: &[(&str, &str)]) -> Program {
        let directory = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_thread-store"))
            .env_clear()
            .env("PORT", "0")
            .envs(settings.iter().copied())
            .current_dir(directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let deadline = Deadline::of(child.id());
        let output = Arc::new(Mutex::new(String::new()));
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut readers = vec![collect(child.stderr.take().unwrap(), &output)];
        let mut banner = String::new();
        while !banner.contains("- API:") || !banner.ends_with('\n') {
            let read = stdout.read_line(&mut banner).unwrap();
            assert!(read > 0, "it did not start: {}", output.lock().unwrap());
        }
        let url = banner.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
        let url = url.to_owned();
        output.lock().unwrap().push_str(&banner);
        readers.push(collect(stdout, &output));
        Program { url, child, deadline, output, readers, _directory: directory }
    }

    /// Ends it, and answers with all it wrote.
    pub(crate) fn stop(mut self) -> String {
        self.deadline = Deadline::of(self.child.id());
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        std::mem::take(&mut *self.output.lock().unwrap())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(mut from: impl Read + Send + 'static, to: &Arc<Mutex<String>>) -> JoinHandle<()> {
    let to = Arc::clone(to);
    std::thread::spawn(move || {
        let mut chunk = vec![0; 65536];
        while let Ok(read @ 1..) = from.read(&mut chunk) {
            to.lock().unwrap().push_str(&String::from_utf8_lossy(chunk.get(..read).unwrap()));
        }
    })
}
