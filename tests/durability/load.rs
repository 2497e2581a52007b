//! Clients that write without a pause and remember what was acknowledged.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::client::Client;

const CLIENTS: usize = 6;

/// Several clients, each of which has one thread for all rounds and makes others beside it.
pub(crate) struct Load {
    writers: Vec<Writer>,
    running: Vec<JoinHandle<Writer>>,
    /// What all writers have been acknowledged in this round.
    acknowledged: Arc<AtomicUsize>,
    /// Tells the writers that go through faults to stop.
    is_over: Arc<AtomicBool>,
}

struct Writer {
    client: Client,
    name: usize,
    /// Every message gets a number of its own, whatever becomes of it.
    next: usize,
    threads: Vec<Thread>,
    missed: Missed,
}

/// Requests that were not acknowledged.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Missed {
    /// Answered with 503.
    pub(crate) unavailable: usize,
    /// Not answered: the connection broke.
    pub(crate) unanswered: usize,
    /// Twice in a row by one client.
    pub(crate) twice: usize,
    /// The longest that a client has waited for an answer.
    pub(crate) slowest: Duration,
}

struct Thread {
    id: String,
    /// Whether its creation was acknowledged.
    is_acknowledged: bool,
    /// Message id and checkpoint id of every acknowledged update.
    acknowledged: Vec<(String, String)>,
    /// Messages that were sent and of which we heard nothing.
    unknown: HashSet<String>,
}

/// What a check has found.
#[derive(Default)]
pub(crate) struct Counted {
    threads: usize,
    updates: usize,
    unknown: usize,
    landed: usize,
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "all {} acknowledged threads and {} acknowledged updates are there once, \
             and {} of {} updates without an answer",
            self.threads, self.updates, self.landed, self.unknown
        )
    }
}

impl Load {
    pub(crate) async fn new(url: &str) -> Load {
        let mut writers = Vec::new();
        for name in 0..CLIENTS {
            let client = Client::sign_up(url).await;
            let (threads, missed) = (Vec::new(), Missed::default());
            let mut writer = Writer { client, name, next: 0, threads, missed };
            writer.make_thread().await.unwrap();
            writers.push(writer);
        }
        Load { writers, running: Vec::new(), acknowledged: Arc::default(), is_over: Arc::default() }
    }

    /// Writes until so many updates were acknowledged, and goes on.
    pub(crate) async fn begin(&mut self, updates: usize) {
        self.acknowledged.store(0, Ordering::SeqCst);
        for writer in self.writers.drain(..) {
            self.running.push(tokio::spawn(writer.run(Arc::clone(&self.acknowledged))));
        }
        self.acknowledge(updates).await;
    }

    /// Writes until so many updates were acknowledged, and goes on through whatever happens.
    pub(crate) async fn begin_through(&mut self, updates: usize) {
        self.is_over.store(false, Ordering::SeqCst);
        for mut writer in self.writers.drain(..) {
            writer.missed = Missed::default();
            let (acknowledged, is_over) = (Arc::clone(&self.acknowledged), self.is_over.clone());
            self.running.push(tokio::spawn(writer.run_through(acknowledged, is_over)));
        }
        self.go_on(updates).await;
    }

    /// Waits until so many more updates were acknowledged.
    pub(crate) async fn go_on(&self, updates: usize) {
        self.acknowledged.store(0, Ordering::SeqCst);
        self.acknowledge(updates).await;
    }

    /// Stops those who go through whatever happens.
    pub(crate) async fn finish(&mut self) -> Missed {
        self.is_over.store(true, Ordering::SeqCst);
        self.end().await;
        let missed = self.writers.iter().map(|writer| writer.missed);
        missed.fold(Missed::default(), |all, one| Missed {
            unavailable: all.unavailable + one.unavailable,
            unanswered: all.unanswered + one.unanswered,
            twice: all.twice + one.twice,
            slowest: all.slowest.max(one.slowest),
        })
    }

    async fn acknowledge(&self, updates: usize) {
        let enough = async {
            while self.acknowledged.load(Ordering::SeqCst) < updates {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(2), enough).await.unwrap();
    }

    /// Waits until every client has noticed that the server is gone.
    pub(crate) async fn end(&mut self) {
        for running in self.running.drain(..) {
            self.writers.push(running.await.unwrap());
        }
    }

    /// Compares everything of all rounds with what the server has.
    pub(crate) async fn check(&self) -> Counted {
        let mut counted = Counted::default();
        for writer in &self.writers {
            for thread in &writer.threads {
                thread.check(&writer.client, &mut counted).await;
            }
        }
        counted
    }
}

impl Writer {
    /// Until a request fails.
    async fn run(mut self, acknowledged: Arc<AtomicUsize>) -> Writer {
        loop {
            if self.next % 10 == 9 && self.make_thread().await.is_none() {
                return self;
            }
            if self.append(self.target()).await.is_none() {
                return self;
            }
            acknowledged.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Until it is over.
    async fn run_through(
        mut self,
        acknowledged: Arc<AtomicUsize>,
        is_over: Arc<AtomicBool>,
    ) -> Writer {
        let mut has_missed = false;
        while !is_over.load(Ordering::SeqCst) {
            let makes_thread = self.next % 10 == 9 && !has_missed;
            let done = if makes_thread {
                self.make_thread().await
            } else {
                self.append(self.target()).await
            };
            if done.is_some() {
                acknowledged.fetch_add(usize::from(!makes_thread), Ordering::SeqCst);
                // A thread was made instead of an update.
                self.next += usize::from(makes_thread);
            } else {
                self.missed.twice += usize::from(has_missed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            has_missed = done.is_none();
        }
        self
    }

    /// The first thread grows in every round.
    fn target(&self) -> usize {
        let last = self.threads.iter().rposition(|thread| thread.is_acknowledged).unwrap();
        if self.next.is_multiple_of(2) { 0 } else { last }
    }

    /// `None`: no answer.
    async fn make_thread(&mut self) -> Option<()> {
        let id = uuid::Uuid::new_v4().to_string();
        let body = json!({ "thread_id": id, "metadata": { "name": self.name } });
        let answer = self.client.post("/threads", &body).await;
        let is_acknowledged = self.accepted(answer).is_some();
        self.threads.push(Thread {
            id,
            is_acknowledged,
            acknowledged: Vec::new(),
            unknown: HashSet::new(),
        });
        is_acknowledged.then_some(())
    }

    async fn append(&mut self, target: usize) -> Option<()> {
        let message_id = format!("{}-{}", self.name, self.next);
        self.next += 1;
        let thread = &self.threads[target];
        let message = json!({ "type": "human", "content": "hello", "id": message_id });
        let body = json!({ "values": { "messages": [message], "last": message_id } });
        let asked = std::time::Instant::now();
        let answer = self.client.post(&format!("/threads/{}/state", thread.id), &body).await;
        self.missed.slowest = self.missed.slowest.max(asked.elapsed());
        let accepted = self.accepted(answer);
        let thread = &mut self.threads[target];
        if let Some(written) = accepted {
            let checkpoint_id = written["checkpoint_id"].as_str().unwrap().to_owned();
            thread.acknowledged.push((message_id, checkpoint_id));
            Some(())
        } else {
            thread.unknown.insert(message_id);
            None
        }
    }

    /// The answer with 200, or none. The database may die before the program: that is a 503, and
    /// no acknowledgement either.
    fn accepted(&mut self, answer: reqwest::Result<(u16, Value)>) -> Option<Value> {
        let (status, body) = match answer {
            Ok(answer) => answer,
            Err(error) => {
                assert!(!error.is_timeout(), "a request hangs: {error}");
                self.missed.unanswered += 1;
                return None;
            }
        };
        assert!(status == 200 || status == 503, "{status} {body}");
        self.missed.unavailable += usize::from(status == 503);
        (status == 200).then_some(body)
    }
}

impl Thread {
    async fn check(&self, client: &Client, counted: &mut Counted) {
        let path = format!("/threads/{}", self.id);
        let (status, _) = client.get(&path).await.unwrap();
        if status == 404 && !self.is_acknowledged {
            return;
        }
        assert_eq!(status, 200, "thread {} is lost", self.id);
        let (_, state) = client.get(&format!("{path}/state")).await.unwrap();
        let messages = state["values"]["messages"].as_array().cloned().unwrap_or_default();
        let messages: Vec<_> = messages.iter().map(|it| it["id"].as_str().unwrap()).collect();
        let checkpoints = self.checkpoints(client, &path).await;

        // Nothing lost: each acknowledged message is there, written by its own checkpoint.
        let steps: HashMap<_, _> =
            checkpoints.iter().enumerate().map(|(step, id)| (id.as_str(), step)).collect();
        for (message_id, checkpoint_id) in &self.acknowledged {
            let step = steps.get(checkpoint_id.as_str());
            let step = *step.unwrap_or_else(|| lost(message_id, checkpoint_id, &self.id));
            assert_eq!(messages.get(step), Some(&message_id.as_str()), "in {}", self.id);
        }
        // Nothing doubled, and nothing that was not sent.
        let acknowledged = self.acknowledged.iter().map(|(message_id, _)| message_id.as_str());
        let acknowledged: HashSet<_> = acknowledged.collect();
        let unknown: HashSet<_> = self.unknown.iter().map(String::as_str).collect();
        let found: HashSet<_> = messages.iter().copied().collect();
        assert_eq!(found.len(), messages.len(), "a message twice in {}", self.id);
        assert_eq!(steps.len(), messages.len(), "a checkpoint for each message in {}", self.id);
        let landed = found.difference(&acknowledged).count();
        assert!(found.difference(&acknowledged).all(|id| unknown.contains(id)), "{found:?}");

        counted.threads += usize::from(self.is_acknowledged);
        counted.updates += self.acknowledged.len();
        counted.unknown += self.unknown.len();
        counted.landed += landed;
    }

    /// All of them, oldest first, after checking that they are one chain.
    async fn checkpoints(&self, client: &Client, path: &str) -> Vec<String> {
        let mut newest_first: Vec<Value> = Vec::new();
        loop {
            let before = newest_first.last().map(|state| state["checkpoint_id"].clone());
            let select = ["checkpoint_id", "parent_checkpoint_id"];
            let mut body = json!({ "limit": 1000, "select": select });
            if let Some(before) = before {
                body["before"] = before;
            }
            let (_, page) = client.post(&format!("{path}/history"), &body).await.unwrap();
            let page = page.as_array().unwrap();
            newest_first.extend_from_slice(page);
            if page.len() < 1000 {
                break;
            }
        }
        let mut parent = Value::Null;
        let mut ids = Vec::new();
        for state in newest_first.iter().rev() {
            assert_eq!(state["parent_checkpoint_id"], parent, "a broken chain in {}", self.id);
            parent = state["checkpoint_id"].clone();
            ids.push(parent.as_str().unwrap().to_owned());
        }
        ids
    }
}

#[expect(clippy::panic, reason = "what the test is for")]
fn lost(message_id: &str, checkpoint_id: &str, thread_id: &str) -> ! {
    panic!("message {message_id} with checkpoint {checkpoint_id} of thread {thread_id} is lost")
}
