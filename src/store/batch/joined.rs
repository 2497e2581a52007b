//! Equal waiting questions are answered once.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use futures::future::{BoxFuture, WeakShared};

/// The questions whose lookup has not begun.
pub(in crate::store) struct Joined<Q, A>(Arc<Mutex<Waiting<Q, A>>>);

type Waiting<Q, A> = HashMap<Q, WeakShared<BoxFuture<'static, A>>>;

impl<Q, A> Joined<Q, A>
where
    Q: Clone + Eq + Hash + Send + 'static,
    A: Clone + Send + Sync + 'static,
{
    /// The answer to a question. `look` is started unless an equal question already waits. `look`
    /// must drop its argument when its answer becomes too old for further callers. Its future is
    /// dropped when all callers have left.
    pub(in crate::store) async fn join<F>(
        &self,
        question: Q,
        look: impl FnOnce(Waits<Q, A>) -> F,
    ) -> A
    where
        F: Future<Output = A> + Send + 'static,
    {
        let answer = {
            let mut waiting = self.waiting();
            let known = waiting.get(&question).and_then(WeakShared::upgrade);
            known.unwrap_or_else(|| {
                let waits = Waits(Arc::clone(&self.0), question.clone());
                let answer = look(waits).boxed().shared();
                if let Some(weak) = answer.downgrade() {
                    waiting.insert(question, weak);
                }
                answer
            })
        };
        answer.await
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting<Q, A>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question that equal questions can join, until this is dropped.
pub(in crate::store) struct Waits<Q: Eq + Hash, A>(Arc<Mutex<Waiting<Q, A>>>, Q);

impl<Q: Eq + Hash, A> Drop for Waits<Q, A> {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

impl<Q, A> Default for Joined<Q, A> {
    fn default() -> Self {
        Joined(Arc::default())
    }
}

impl<Q, A> Clone for Joined<Q, A> {
    fn clone(&self) -> Self {
        Joined(Arc::clone(&self.0))
    }
}

impl<Q, A> fmt::Debug for Joined<Q, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Joined").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;

    /// A lookup that waits for a permit, and counts its calls.
    #[derive(Clone, Default)]
    struct Counted {
        joined: Joined<&'static str, usize>,
        looked: Arc<AtomicUsize>,
    }

    impl Counted {
        async fn ask(
            &self,
            question: &'static str,
            free: Arc<Semaphore>,
            end: Arc<Semaphore>,
        ) -> usize {
            let looked = Arc::clone(&self.looked);
            self.joined
                .join(question, |waits| async move {
                    let _free = free.acquire().await;
                    drop(waits);
                    let number = looked.fetch_add(1, Ordering::SeqCst) + 1;
                    let _end = end.acquire().await;
                    number
                })
                .await
        }
    }

    fn gate(permits: usize) -> Arc<Semaphore> {
        Arc::new(Semaphore::new(permits))
    }

    #[tokio::test]
    async fn questions_that_wait_are_answered_once() {
        let (counted, free) = (Counted::default(), gate(0));
        let asked = join_all((0..5).map(|_| counted.ask("a", Arc::clone(&free), gate(1))));
        let other = counted.ask("b", Arc::clone(&free), gate(1));
        let (answers, other, ()) = tokio::join!(asked, other, async { free.add_permits(2) });
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
        assert_ne!(other, answers[0]);
        assert_eq!(counted.looked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_question_that_is_looked_for_is_joined_by_nobody() {
        let (counted, end) = (Counted::default(), gate(0));
        let first = counted.ask("a", gate(1), Arc::clone(&end));
        let second = async {
            tokio::task::yield_now().await;
            let answer = counted.ask("a", gate(1), gate(1)).await;
            end.add_permits(1);
            answer
        };
        assert_eq!(tokio::join!(first, second), (1, 2));
    }

    #[tokio::test]
    async fn a_question_that_everybody_has_left_is_forgotten() {
        let (counted, free) = (Counted::default(), gate(0));
        {
            let left = counted.ask("a", Arc::clone(&free), gate(1));
            futures::pin_mut!(left);
            assert!(futures::poll!(left).is_pending());
            assert_eq!(counted.joined.waiting().len(), 1);
        }
        assert!(counted.joined.waiting().is_empty());
        free.add_permits(1);
        assert_eq!(counted.looked.load(Ordering::SeqCst), 0);
    }
}
