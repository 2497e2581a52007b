//! Callers who leave before they are answered.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_while_waiting_is_not_answered() {
    let (batcher, database) = batcher(1, 1);
    database.takes(1, 50 * MS);
    let first = asked(&batcher, ask(1)).await;
    settle().await;
    let leaves = asked(&batcher, ask(2)).await;
    let stays = asked(&batcher, ask(3)).await;
    settle().await;
    leaves.abort();
    assert!(leaves.await.unwrap_err().is_cancelled());
    assert_eq!(first.await.unwrap(), Ok(10));
    assert_eq!(stays.await.unwrap(), Ok(30));
    assert_eq!(database.begun(), [[1], [3]]);
}

/// A caller of 1 and one of 2, whose batch waits so long for a connection.
async fn two_without_a_connection(
    time: Duration,
) -> (Batcher<Ask<0>>, Database, [JoinHandle<Answer<Ask<0>>>; 2]) {
    let (batcher, database) = batcher(1, 1);
    database.takes(0, 10 * MS);
    let _before = asked(&batcher, ask(0)).await;
    settle().await;
    *database.0.connecting.lock().unwrap() = time;
    let callers = [asked(&batcher, ask(1)).await, asked(&batcher, ask(2)).await];
    advance(10 * MS).await;
    settle().await;
    *database.0.connecting.lock().unwrap() = Duration::ZERO;
    (batcher, database, callers)
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_while_its_batch_waits_for_a_connection_is_not_answered() {
    let (_batcher, database, [leaves, stays]) = two_without_a_connection(100 * MS).await;
    leaves.abort();
    assert_eq!(stays.await.unwrap(), Ok(20));
    assert_eq!(database.begun(), [[0], [2]]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_waits_for_a_connection_ends_when_all_of_its_callers_leave() {
    let (batcher, database, callers) = two_without_a_connection(Duration::from_hours(1)).await;
    for caller in callers {
        caller.abort();
    }
    settle().await;
    let began = Instant::now();
    assert_eq!(batcher.answer(ask(3)).await, Ok(30));
    assert!(began.elapsed() < 10 * MS, "it waited for a connection of those who left");
    assert_eq!(database.begun(), [[0], [3]]);
}

#[tokio::test(start_paused = true)]
async fn the_statement_of_a_lone_caller_who_leaves_ends() {
    let (batcher, database) = batcher(1, 1);
    database.takes(1, Duration::from_hours(1));
    let leaves = asked(&batcher, ask(1)).await;
    settle().await;
    let waits = asked(&batcher, ask(2)).await;
    leaves.abort();
    assert_eq!(waits.await.unwrap(), Ok(20));
    assert_eq!(database.0.dropped.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn the_statement_of_several_callers_ends_when_the_last_of_them_leaves() {
    let (batcher, database) = batcher(1, 1);
    database.takes(0, 10 * MS);
    database.takes(1, 1000 * MS);
    let _before = asked(&batcher, ask(0)).await;
    settle().await;
    let (first, second) = (asked(&batcher, ask(1)).await, asked(&batcher, ask(2)).await);
    advance(10 * MS).await;
    settle().await;
    assert_eq!(database.begun(), [vec![0], vec![1, 2]]);
    first.abort();
    settle().await;
    assert_eq!(database.0.dropped.load(Ordering::SeqCst), 0);
    second.abort();
    settle().await;
    assert_eq!(database.0.dropped.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_takes_nobody_elses_answer_along() {
    let (batcher, database) = batcher(1, 1);
    database.takes(1, 50 * MS);
    let mut follows = Box::pin(batcher.answer(ask(2)));
    {
        // The first one starts the batch of both.
        let mut leads = Box::pin(batcher.answer(ask(1)));
        assert!(futures::poll!(&mut leads).is_pending());
        assert!(futures::poll!(&mut follows).is_pending());
        assert!(futures::poll!(&mut leads).is_pending());
        settle().await;
        assert_eq!(database.begun(), [[1, 2]]);
    }
    assert_eq!(follows.await, Ok(20));
    assert_eq!(database.0.dropped.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_while_waiting_for_a_worker_passes_the_turn_on() {
    let database = Database::default();
    let workers = Workers::new(1, 1);
    let busy = Batcher::<Ask<0>>::new(database.clone(), workers.clone());
    let batcher = Batcher::<Ask<1>>::new(database.clone(), workers);
    database.takes(0, 50 * MS);
    let first = asked(&busy, ask(0)).await;
    settle().await;
    let of =
        |value| Ask::<1> { value, holder: Holder::user("ada"), key: "", weight: 1, fails: None };
    let leads = asked(&batcher, of(1)).await;
    let follows = asked(&batcher, of(2)).await;
    settle().await;
    leads.abort();
    assert_eq!(first.await.unwrap(), Ok(0));
    assert_eq!(follows.await.unwrap(), Ok(20));
    assert_eq!(database.begun(), [[0], [2]]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_panics_leaves_the_others_as_they_are() {
    let (batcher, database) = batcher(1, 1);
    let answers = tokio::join!(batcher.answer(ask(BREAKS)), batcher.answer(ask(14)));
    assert_eq!(answers, (Err("overloaded".to_owned()), Err("overloaded".to_owned())));
    assert_eq!(batcher.answer(ask(1)).await, Ok(10));
    assert_eq!(database.begun(), [vec![BREAKS, 14], vec![1]]);
}

#[test]
fn a_batch_passes_over_users_who_have_left() {
    let mut queue = Queue::<Ask<0>>::new(1);
    let of = |user: &str, value| Ask { holder: Holder::user(user), ..ask(value) };
    for user in ["eve", "mallory"] {
        drop(queue.push(of(user, 1)));
    }
    let stays = queue.push(of("bob", 2)).unwrap();
    let values: Vec<_> = queue.take().iter().map(|entry| entry.request.value).collect();
    assert_eq!((values, queue.len()), (vec![2], 0));
    drop(stays);
}
