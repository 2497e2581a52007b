//! The waiting requests of one kind.

use std::collections::{HashMap, VecDeque};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Answer, FRESH, Request, SLOW};
use crate::shares::Holder;

/// Maximum weight of a batch.
const MAX_WEIGHT: usize = 128;
/// Maximum number of waiting requests of one kind. Further ones are refused.
const MAX_WAITING: usize = 10_000;
/// A batch of this size is worth starting: a larger one would reduce the cost per request only
/// slightly. With half of it 64 connections got 2 % fewer answers to searches.
const FULL: usize = 16;

/// A waiting request, and the channel for its answer.
pub(super) struct Entry<R: Request> {
    pub(super) id: u64,
    pub(super) request: R,
    pub(super) reply: oneshot::Sender<Answer<R>>,
}

/// The waiting requests by holder, and the running batches.
pub(super) struct Queue<R: Request> {
    waiting: HashMap<Holder, VecDeque<Entry<R>>>,
    /// The holders with waiting requests, in the order in which the next batch takes one of each.
    turns: VecDeque<Holder>,
    length: usize,
    next_id: u64,
    /// Whether a batch is about to be taken.
    pub(super) is_starting: bool,
    running: Vec<Run>,
    max_running: usize,
    /// The moment for which a task waits, to ask for the next [`Turn`] again.
    pub(super) watched: Option<Instant>,
}

/// Whether a batch should be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Now.
    Now,
    /// This is to be asked again when a batch ends, and at this moment, when one becomes old.
    At(Instant),
    /// No request waits, or another batch is about to be taken.
    Later,
}

/// A running batch.
struct Run {
    id: u64,
    began: Instant,
    requests: usize,
}

impl Run {
    /// Whether it is expected to end soon. A batch of one request does not count, because nobody
    /// waits for it.
    fn is_fresh(&self, now: Instant) -> bool {
        self.requests > 1 && now < self.began + FRESH
    }

    fn is_slow(&self, now: Instant) -> bool {
        now >= self.began + SLOW
    }
}

impl<R: Request> Queue<R> {
    pub(super) fn new(max_running: usize) -> Queue<R> {
        Queue {
            waiting: HashMap::new(),
            turns: VecDeque::new(),
            length: 0,
            next_id: 0,
            is_starting: false,
            running: Vec::new(),
            max_running,
            watched: None,
        }
    }

    /// Adds a request. `None`: too many requests wait.
    pub(super) fn push(&mut self, request: R) -> Option<(u64, oneshot::Receiver<Answer<R>>)> {
        if self.length >= MAX_WAITING {
            return None;
        }
        let (reply, answer) = oneshot::channel();
        let (id, holder) = (self.next_id, request.holder());
        self.next_id += 1;
        self.length += 1;
        let waiting = self.waiting.entry(holder).or_default();
        if waiting.is_empty() {
            self.turns.push_back(holder);
        }
        waiting.push_back(Entry { id, request, reply });
        Some((id, answer))
    }

    /// Whether a batch should be started.
    ///
    /// While fresh batches of several requests run, the next one waits until the number of waiting
    /// requests reaches their average size, at most [`FULL`]: two batches of eight cost the
    /// database less than one of twelve, one of three and one of one.
    pub(super) fn turn(&self) -> Turn {
        if self.length == 0 || self.is_starting {
            return Turn::Later;
        }
        if self.running.is_empty() {
            return Turn::Now;
        }
        let now = Instant::now();
        let (mut batches, mut requests, mut running, mut next) = (0, 0, 0, None);
        for run in self.running.iter().filter(|run| !run.is_slow(now)) {
            running += 1;
            let age = if run.is_fresh(now) { FRESH } else { SLOW };
            next = [next, Some(run.began + age)].into_iter().flatten().min();
            if run.is_fresh(now) {
                batches += 1;
                requests += run.requests;
            }
        }
        let usual = usize::checked_div(requests, batches).unwrap_or(0);
        match next {
            Some(next) if running >= self.max_running || self.length < usual.min(FULL) => {
                Turn::At(next)
            }
            _ => Turn::Now,
        }
    }

    /// A batch of so many requests begins. Returns its id.
    pub(super) fn begin(&mut self, requests: usize) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.running.push(Run { id, began: Instant::now(), requests });
        id
    }

    /// A batch has ended.
    pub(super) fn end(&mut self, id: u64) {
        self.running.retain(|run| run.id != id);
    }

    /// The next batch: from each holder in turn the first request that can share a batch with the
    /// others. Requests whose callers have left are dropped.
    pub(super) fn take(&mut self) -> Vec<Entry<R>> {
        let mut batch: Vec<Entry<R>> = Vec::new();
        let mut weight = 0;
        let mut passed_over = 0;
        while weight < MAX_WEIGHT
            && passed_over < self.turns.len()
            && let Some(holder) = self.turns.pop_front()
        {
            let Some(waiting) = self.waiting.get_mut(&holder) else { continue };
            while waiting.front().is_some_and(|first| first.reply.is_closed()) {
                waiting.pop_front();
                self.length -= 1;
            }
            let fits = |entry: &Entry<R>| {
                let request = &entry.request;
                !entry.reply.is_closed()
                    && batch.first().is_none_or(|first| {
                        first.request.key() == request.key()
                            && weight + request.weight() <= MAX_WEIGHT
                    })
            };
            let found = waiting.iter().position(fits).and_then(|at| waiting.remove(at));
            let has_more = !waiting.is_empty();
            if has_more {
                self.turns.push_back(holder);
            } else {
                self.waiting.remove(&holder);
            }
            match found {
                Some(entry) => {
                    self.length -= 1;
                    weight += entry.request.weight();
                    batch.push(entry);
                    passed_over = 0;
                }
                // A holder that has left is not counted, because it has no turn any more.
                None => passed_over += usize::from(has_more),
            }
        }
        batch
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }
}
