//! Threads do their last write in turn, so that the destination has them in the order of the
//! source. All other work is done for several threads concurrently.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Hands out turns, one per thread, in the order of the threads.
#[derive(Debug)]
pub(super) struct Turns {
    shared: Arc<Shared>,
    handed_out: usize,
}

#[derive(Debug)]
struct Shared {
    permits: Arc<Semaphore>,
    /// The number of the thread whose turn it is.
    current: watch::Sender<usize>,
    /// Later threads that no longer need a turn.
    passed: Mutex<BTreeSet<usize>>,
}

impl Turns {
    /// Turns for threads of which at most `concurrency` are worked on at the same time. A thread
    /// that waits for its turn does not count.
    pub(super) fn new(concurrency: usize) -> Turns {
        let shared = Shared {
            permits: Arc::new(Semaphore::new(concurrency)),
            current: watch::Sender::new(0),
            passed: Mutex::default(),
        };
        Turns { shared: Arc::new(shared), handed_out: 0 }
    }

    /// The turn of the next thread.
    pub(super) fn next(&mut self) -> Turn {
        let number = self.handed_out;
        self.handed_out += 1;
        Turn { shared: Arc::clone(&self.shared), number, permit: None, is_passed: false }
    }
}

/// A thread's turn. Dropping it passes it on.
#[derive(Debug)]
pub(super) struct Turn {
    shared: Arc<Shared>,
    number: usize,
    permit: Option<OwnedSemaphorePermit>,
    is_passed: bool,
}

impl Turn {
    /// Waits until work on the thread may begin.
    pub(super) async fn work(&mut self) {
        if self.permit.is_none() {
            // The semaphore is never closed.
            self.permit = Arc::clone(&self.shared.permits).acquire_owned().await.ok();
        }
    }

    /// Waits until all earlier threads have passed their turns on. The waiting thread does not
    /// count as worked on.
    pub(super) async fn come(&mut self) {
        self.permit = None;
        let mut current = self.shared.current.subscribe();
        // The sender exists as long as this turn.
        let _ = current.wait_for(|current| *current >= self.number).await;
    }

    /// Passes the turn on, as soon as all earlier threads have.
    pub(super) fn pass(&mut self) {
        if std::mem::replace(&mut self.is_passed, true) {
            return;
        }
        let mut passed = self.shared.passed.lock().unwrap_or_else(PoisonError::into_inner);
        passed.insert(self.number);
        self.shared.current.send_if_modified(|current| {
            let before = *current;
            while passed.remove(current) {
                *current += 1;
            }
            *current != before
        });
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.pass();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use futures::FutureExt as _;
    use futures::stream::{self, StreamExt as _};
    use proptest::prelude::*;
    use tokio::task::yield_now;

    use super::*;

    /// Some work, and the greatest number that was worked on at the same time.
    #[derive(Default)]
    struct Busy {
        now: AtomicUsize,
        most: AtomicUsize,
    }

    impl Busy {
        async fn work(&self, steps: usize) {
            let now = self.now.fetch_add(1, SeqCst) + 1;
            self.most.fetch_max(now, SeqCst);
            for _ in 0..steps {
                yield_now().await;
            }
            self.now.fetch_sub(1, SeqCst);
        }
    }

    /// Works on threads for these numbers of steps before, in and after their turn; `None`: a
    /// thread ends without a turn. Returns the order of turns, and the greatest concurrency.
    async fn order_of(
        threads: &[(usize, Option<usize>, usize)],
        concurrency: usize,
    ) -> (Vec<usize>, usize) {
        let (order, busy) = (Mutex::new(Vec::new()), Busy::default());
        let mut turns = Turns::new(concurrency);
        let copies = threads.iter().enumerate().map(|(number, (before, own, after))| {
            let mut turn = turns.next();
            let (order, busy) = (&order, &busy);
            async move {
                turn.work().await;
                busy.work(*before).await;
                let Some(own) = own else { return };
                turn.come().await;
                for _ in 0..*own {
                    yield_now().await;
                }
                order.lock().unwrap().push(number);
                turn.pass();
                turn.work().await;
                busy.work(*after).await;
            }
        });
        let copies: Vec<_> = copies.collect();
        stream::iter(copies).buffer_unordered(4 * concurrency).collect::<Vec<_>>().await;
        (order.into_inner().unwrap(), busy.most.into_inner())
    }

    proptest! {
        #[test]
        fn turns_come_in_order_and_no_more_are_worked_on_than_may_be(
            threads in prop::collection::vec(
                (0..30_usize, prop::option::weighted(0.8, 0..10_usize), 0..30_usize), 0..30,
            ),
            concurrency in 1..5_usize,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (order, most) = runtime.block_on(order_of(&threads, concurrency));
            let expected = threads.iter().enumerate().filter(|(_, (_, own, _))| own.is_some());
            prop_assert_eq!(order, expected.map(|(number, _)| number).collect::<Vec<_>>());
            prop_assert!(most <= concurrency, "{} at once", most);
        }
    }

    #[test]
    fn one_that_waits_for_its_turn_holds_up_no_others_work() {
        let mut turns = Turns::new(1);
        let [mut slow, mut waiting, mut next] = [(); 3].map(|()| turns.next());
        assert!(waiting.work().now_or_never().is_some());
        assert!(next.work().now_or_never().is_none());
        assert!(waiting.come().now_or_never().is_none());
        assert!(next.work().now_or_never().is_some());
        drop(next);
        assert!(slow.work().now_or_never().is_some());
        slow.pass();
        assert!(waiting.come().now_or_never().is_some());
    }
}
