//! The requests of one kind that wait for a batch.

use std::collections::{HashMap, VecDeque};

use tokio::sync::oneshot;

use super::{Answer, Request};
use crate::shares::Holder;

/// Most weight that one batch has.
const MAX_WEIGHT: usize = 128;
/// Most requests of one kind that wait. Those beyond are refused.
const MAX_WAITING: usize = 10_000;
/// A batch of this size is worth starting: a larger one costs each request little less.
const FULL: usize = 8;

/// A request that waits, and where its answer goes.
pub(super) struct Entry<R: Request> {
    pub(super) id: u64,
    pub(super) request: R,
    pub(super) reply: oneshot::Sender<Answer<R>>,
}

/// The requests that wait, by holder, and the batches that run.
pub(super) struct Queue<R: Request> {
    waiting: HashMap<Holder, VecDeque<Entry<R>>>,
    /// The holders with waiting requests, in the order in which the next batch takes one of each.
    turns: VecDeque<Holder>,
    length: usize,
    next_id: u64,
    /// Whether somebody is about to take a batch.
    pub(super) is_starting: bool,
    /// Batches that run and are not slow.
    pub(super) running: usize,
    max_running: usize,
    /// Batches of several requests that were started a moment ago, and the requests in them.
    pub(super) fresh: Fresh,
}

/// Batches that are expected to end soon.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fresh {
    pub(super) batches: usize,
    pub(super) requests: usize,
}

impl<R: Request> Queue<R> {
    pub(super) fn new(max_running: usize) -> Queue<R> {
        Queue {
            waiting: HashMap::new(),
            turns: VecDeque::new(),
            length: 0,
            next_id: 0,
            is_starting: false,
            running: 0,
            max_running,
            fresh: Fresh::default(),
        }
    }

    /// Adds a request. `None`: too many wait.
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

    /// Whether a batch should be started now. If not, the next batch to end asks again.
    ///
    /// While batches of several requests run that were started a moment ago, the next one waits
    /// until as many requests wait as one of those has on average, at most [`FULL`]: two batches of
    /// eight cost the database less than one of twelve, one of three and one of one.
    pub(super) fn should_start(&self) -> bool {
        let usual = self.fresh.requests.checked_div(self.fresh.batches).unwrap_or(0);
        self.length > 0
            && !self.is_starting
            && self.running < self.max_running
            && self.length >= usual.min(FULL)
    }

    /// The next batch: of each holder in turn its first request that can share a batch with the
    /// others. Requests whose callers have gone are dropped.
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
            if waiting.is_empty() {
                self.waiting.remove(&holder);
            } else {
                self.turns.push_back(holder);
            }
            match found {
                Some(entry) => {
                    self.length -= 1;
                    weight += entry.request.weight();
                    batch.push(entry);
                    passed_over = 0;
                }
                None => passed_over += 1,
            }
        }
        batch
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }
}
