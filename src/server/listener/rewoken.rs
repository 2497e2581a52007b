//! Wakes of a connection's task that come from the task itself.
//!
//! While the HTTP library polls a connection it also wakes the task of that connection, for example
//! when a handler takes the request's body. The runtime would put the task at the end of its queue,
//! and wake another thread to look for work. Here such a wake only causes one more poll.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures::task::AtomicWaker;
use pin_project_lite::pin_project;

/// Maximum number of polls in sequence. Then other tasks have their turn.
const POLLS: usize = 4;

/// The bits of the state.
const POLLING: u8 = 1;
const WOKEN: u8 = 2;

pin_project! {
    /// A future that is polled again at once if it was woken while it was polled.
    pub(super) struct Rewoken<F> {
        #[pin]
        future: F,
        wakes: Arc<Wakes>,
        waker: Waker,
    }
}

struct Wakes {
    task: AtomicWaker,
    state: AtomicU8,
}

impl<F> Rewoken<F> {
    pub(super) fn new(future: F) -> Rewoken<F> {
        let wakes = Arc::new(Wakes { task: AtomicWaker::new(), state: AtomicU8::new(0) });
        Rewoken { future, waker: Waker::from(Arc::clone(&wakes)), wakes }
    }
}

impl<F: Future> Future for Rewoken<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        this.wakes.task.register(cx.waker());
        for _ in 0..POLLS {
            this.wakes.state.swap(POLLING, Ordering::AcqRel);
            let polled = this.future.as_mut().poll(&mut Context::from_waker(this.waker));
            let was_woken = this.wakes.state.swap(0, Ordering::AcqRel) & WOKEN != 0;
            if polled.is_ready() || !was_woken {
                return polled;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Writes even if the bit is set, so that the poll that reads it sees this thread's writes.
        if self.state.fetch_or(WOKEN, Ordering::AcqRel) == 0 {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Mutex;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Polls a future once. Returns whether it is ready, and how often the poll woke its task.
    fn poll_once(future: Pin<&mut impl Future<Output = ()>>) -> (bool, usize) {
        let counted = Arc::new(Counted::default());
        let waker = Waker::from(Arc::clone(&counted));
        let is_ready = future.poll(&mut Context::from_waker(&waker)).is_ready();
        (is_ready, counted.0.load(Ordering::SeqCst))
    }

    /// A future that wakes itself this often before it is ready.
    fn wakes_itself(mut times: usize) -> impl Future<Output = ()> {
        poll_fn(move |cx| {
            if times == 0 {
                return Poll::Ready(());
            }
            times -= 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }

    #[test]
    fn a_future_that_wakes_itself_is_polled_again_without_its_task_being_woken() {
        let future = std::pin::pin!(Rewoken::new(wakes_itself(POLLS - 1)));
        assert_eq!(poll_once(future), (true, 0));
    }

    #[test]
    fn a_future_that_always_wakes_itself_lets_other_tasks_run() {
        let mut future = std::pin::pin!(Rewoken::new(wakes_itself(2 * POLLS)));
        assert_eq!(poll_once(future.as_mut()), (false, 1));
        assert_eq!(poll_once(future.as_mut()), (false, 1));
        assert_eq!(poll_once(future), (true, 0));
    }

    #[test]
    fn a_wake_between_polls_wakes_the_task_that_polled_last() {
        let inner = Mutex::new(None::<Waker>);
        let waits = poll_fn(|cx| {
            *inner.lock().unwrap() = Some(cx.waker().clone());
            Poll::<()>::Pending
        });
        let mut future = std::pin::pin!(Rewoken::new(waits));
        assert_eq!(poll_once(future.as_mut()), (false, 0));
        let counted = Arc::new(Counted::default());
        let waker = Waker::from(Arc::clone(&counted));
        assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        inner.lock().unwrap().take().unwrap().wake();
        assert_eq!(counted.0.load(Ordering::SeqCst), 1);
    }
}
