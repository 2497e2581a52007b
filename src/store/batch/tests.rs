use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, advance, sleep};

use super::*;

mod company;
mod leaving;

/// Answers requests: records the batches, and ends each after some time.
#[derive(Clone, Default)]
struct Database(Arc<Records>);

#[derive(Default)]
struct Records {
    /// The values of each batch that was begun.
    begun: Mutex<Vec<Vec<u32>>>,
    ended: AtomicUsize,
    /// Batches that were dropped before their end.
    dropped: AtomicUsize,
    takes: Mutex<HashMap<u32, Duration>>,
    /// How long it takes until a connection is free.
    connecting: Mutex<Duration>,
}

impl Database {
    fn begun(&self) -> Vec<Vec<u32>> {
        self.0.begun.lock().unwrap().clone()
    }

    /// A batch with this value takes this long. Others take no time.
    fn takes(&self, value: u32, time: Duration) {
        self.0.takes.lock().unwrap().insert(value, time);
    }
}

struct Ask<const KIND: usize> {
    value: u32,
    holder: Holder,
    key: &'static str,
    weight: usize,
    fails: Option<bool>,
}

fn ask(value: u32) -> Ask<0> {
    Ask { value, holder: Holder::user("ada"), key: "", weight: 1, fails: None }
}

struct DropGuard<'a>(&'a Records, bool);

impl Drop for DropGuard<'_> {
    fn drop(&mut self) {
        let counter = if self.1 { &self.0.ended } else { &self.0.dropped };
        counter.fetch_add(1, Ordering::SeqCst);
    }
}

impl<const KIND: usize> Request for Ask<KIND> {
    type Executor = Database;
    type Connection = Database;
    type Key = str;
    type Answer = u32;
    type Error = String;
    const KIND: &'static str = "test";

    fn key(&self) -> &str {
        self.key
    }

    fn holder(&self) -> Holder {
        self.holder
    }

    fn weight(&self) -> usize {
        self.weight
    }

    async fn connect(database: &Database) -> Result<Database, String> {
        let wait = *database.0.connecting.lock().unwrap();
        if !wait.is_zero() {
            sleep(wait).await;
        }
        Ok(database.clone())
    }

    async fn run(
        Database(records): Database,
        requests: &[&Self],
    ) -> Result<Vec<Answer<Self>>, Failed<String>> {
        let values: Vec<_> = requests.iter().map(|request| request.value).collect();
        records.begun.lock().unwrap().push(values.clone());
        let mut guard = DropGuard(&records, false);
        let times: Vec<_> = {
            let takes = records.takes.lock().unwrap();
            values.iter().filter_map(|value| takes.get(value).copied()).collect()
        };
        if let Some(time) = times.into_iter().max() {
            sleep(time).await;
        }
        assert!(!values.contains(&BREAKS), "a batch that breaks");
        guard.1 = true;
        if let Some(is_of_one) = requests.iter().find_map(|request| request.fails) {
            return Err(Failed { error: format!("{values:?} failed"), is_of_one });
        }
        Ok(values.into_iter().map(|value| Ok(value * 10)).collect())
    }

    fn overloaded() -> String {
        "overloaded".to_owned()
    }
}

fn batcher(workers: usize, each: usize) -> (Batcher<Ask<0>>, Database) {
    let database = Database::default();
    (Batcher::new(database.clone(), Workers::new(workers, each)), database)
}

/// Makes a request in a new task, which has begun when this returns.
async fn asked<const KIND: usize>(
    batcher: &Batcher<Ask<KIND>>,
    ask: Ask<KIND>,
) -> JoinHandle<Answer<Ask<KIND>>> {
    let batcher = batcher.clone();
    let (started, begins) = oneshot::channel();
    let task = tokio::spawn(async move {
        let _ = started.send(());
        batcher.answer(ask).await
    });
    begins.await.unwrap();
    task
}

/// Runs all tasks that can proceed.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// A batch with this value panics.
const BREAKS: u32 = u32::MAX;
const MS: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn a_lone_request_is_answered_alone_and_at_once() {
    let (batcher, database) = batcher(4, 2);
    let began = Instant::now();
    assert_eq!(batcher.answer(ask(1)).await, Ok(10));
    assert_eq!((database.begun(), began.elapsed()), (vec![vec![1]], Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn requests_of_one_moment_share_a_batch() {
    let (batcher, database) = batcher(4, 2);
    let answers = tokio::join!(batcher.answer(ask(1)), batcher.answer(ask(2)));
    assert_eq!(answers, (Ok(10), Ok(20)));
    assert_eq!(database.begun(), [[1, 2]]);
}

#[tokio::test(start_paused = true)]
async fn requests_wait_for_others_only_while_some_are_concurrent() {
    let (batcher, database) = batcher(4, 2);
    for value in 0..16 {
        batcher.answer(ask(value)).await.unwrap();
    }
    database.takes(100, 10 * MS);
    let mut alone = std::pin::pin!(batcher.answer(ask(100)));
    assert!(futures::poll!(&mut alone).is_pending());
    assert_eq!(database.begun().last(), Some(&vec![100]), "it waits for others");
    let answers = tokio::join!(alone, batcher.answer(ask(1)), batcher.answer(ask(2)));
    assert_eq!(answers, (Ok(1_000), Ok(10), Ok(20)));
    let answers = tokio::join!(batcher.answer(ask(3)), batcher.answer(ask(4)));
    assert_eq!(answers, (Ok(30), Ok(40)));
    assert_eq!(database.begun()[17..], [[1, 2], [3, 4]]);
}

#[tokio::test(start_paused = true)]
async fn requests_that_waited_together_make_others_wait_again() {
    let (batcher, database) = batcher(4, 1);
    for value in 0..16 {
        batcher.answer(ask(value)).await.unwrap();
    }
    database.takes(100, 10 * MS);
    let alone = asked(&batcher, ask(100)).await;
    settle().await;
    let waiting = [asked(&batcher, ask(1)).await, asked(&batcher, ask(2)).await];
    settle().await;
    advance(11 * MS).await;
    assert_eq!(alone.await.unwrap(), Ok(1_000));
    for one in waiting {
        one.await.unwrap().unwrap();
    }
    let answers = tokio::join!(batcher.answer(ask(3)), batcher.answer(ask(4)));
    assert_eq!(answers, (Ok(30), Ok(40)));
    assert_eq!(database.begun()[16..], [vec![100], vec![1, 2], vec![3, 4]]);
}

#[tokio::test(start_paused = true)]
async fn requests_with_different_keys_share_none() {
    let (batcher, database) = batcher(4, 2);
    let other = Ask { key: "other", ..ask(2) };
    let answers =
        tokio::join!(batcher.answer(ask(1)), batcher.answer(other), batcher.answer(ask(3)));
    assert_eq!(answers, (Ok(10), Ok(20), Ok(30)));
    assert_eq!(database.begun(), [vec![1, 3], vec![2]]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_has_a_bounded_weight() {
    let (batcher, database) = batcher(4, 2);
    let heavy = |value| Ask { weight: 100, ..ask(value) };
    let answers = tokio::join!(batcher.answer(heavy(1)), batcher.answer(heavy(2)));
    assert_eq!(answers, (Ok(10), Ok(20)));
    assert_eq!(database.begun(), [[1], [2]]);
}

#[tokio::test(start_paused = true)]
async fn one_holders_many_requests_do_not_delay_anothers_single_one() {
    let (batcher, database) = batcher(1, 1);
    database.takes(0, 50 * MS);
    let first = asked(&batcher, ask(0)).await;
    settle().await;
    let mut tasks = Vec::new();
    for value in 1..=1_000 {
        tasks.push(asked(&batcher, ask(value)).await);
    }
    let bob = asked(&batcher, Ask { holder: Holder::user("bob"), ..ask(7_777) }).await;
    settle().await;
    advance(51 * MS).await;
    assert_eq!(bob.await.unwrap(), Ok(77_770));
    assert_eq!(first.await.unwrap(), Ok(0));
    let begun = database.begun();
    assert!(begun[1].contains(&7_777), "not in the first batch that could have it: {begun:?}");
    for task in tasks {
        task.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_fails_for_one_requests_data_is_answered_one_by_one() {
    let (batcher, database) = batcher(1, 1);
    database.takes(0, 20 * MS);
    let first = asked(&batcher, ask(0)).await;
    settle().await;
    let good = asked(&batcher, ask(1)).await;
    let bad = asked(&batcher, Ask { fails: Some(true), ..ask(2) }).await;
    let leaves = asked(&batcher, ask(3)).await;
    database.takes(1, 20 * MS);
    first.await.unwrap().unwrap();
    settle().await;
    leaves.abort();
    assert_eq!(good.await.unwrap(), Ok(10));
    assert_eq!(bad.await.unwrap(), Err("[2] failed".to_owned()));
    assert_eq!(database.begun(), [vec![0], vec![1, 2, 3], vec![1], vec![2]]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_fails_for_any_other_reason_is_not_tried_again() {
    let (batcher, database) = batcher(1, 1);
    let fails = Ask { fails: Some(false), ..ask(2) };
    let answers =
        tokio::join!(batcher.answer(ask(1)), batcher.answer(fails), batcher.answer(ask(3)));
    let failed = || Err("[1, 2, 3] failed".to_owned());
    assert_eq!(answers, (failed(), failed(), failed()));
    assert_eq!(database.begun(), [[1, 2, 3]]);
}

#[tokio::test(start_paused = true)]
async fn slow_batches_do_not_hold_up_others_of_their_kind() {
    let (batcher, database) = batcher(4, 2);
    database.takes(1, Duration::from_mins(1));
    database.takes(2, Duration::from_mins(1));
    let mut slow = Vec::new();
    for value in 1..=2 {
        slow.push(asked(&batcher, ask(value)).await);
        settle().await;
    }
    let began = Instant::now();
    assert_eq!(batcher.answer(ask(3)).await, Ok(30));
    assert!(began.elapsed() <= 101 * MS, "{:?}", began.elapsed());
    assert_eq!(database.begun(), [[1], [2], [3]]);
    slow.iter().for_each(JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn all_kinds_share_the_workers_first_come_first_served() {
    let database = Database::default();
    let workers = Workers::new(1, 1);
    let one = Batcher::<Ask<0>>::new(database.clone(), workers.clone());
    let other = Batcher::<Ask<1>>::new(database.clone(), workers);
    for value in [1, 2] {
        database.takes(value, 10 * MS);
    }
    let of =
        |value| Ask::<1> { value, holder: Holder::user("ada"), key: "", weight: 1, fails: None };
    let first = asked(&one, ask(1)).await;
    settle().await;
    let second = asked(&other, of(2)).await;
    settle().await;
    let third = asked(&one, ask(3)).await;
    for task in [first, third] {
        task.await.unwrap().unwrap();
    }
    second.await.unwrap().unwrap();
    assert_eq!(database.begun(), [[1], [2], [3]]);
}

#[tokio::test(start_paused = true)]
async fn too_many_requests_are_refused_and_none_is_lost() {
    let (batcher, database) = batcher(1, 1);
    database.takes(0, 50 * MS);
    let first = asked(&batcher, ask(0)).await;
    settle().await;
    let mut tasks = Vec::new();
    for value in 1..=10_001 {
        tasks.push(asked(&batcher, ask(value)).await);
    }
    settle().await;
    let mut refused = 0;
    first.await.unwrap().unwrap();
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error, "overloaded");
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 1);
}
