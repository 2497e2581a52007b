//! How long a request waits for others to share its batch.

use std::ops::RangeInclusive;

use futures::future::join_all;

use super::*;

/// While the batch of the first requests runs, the next one begins when it has all of these, and no
/// sooner.
async fn waits_for_company(first: RangeInclusive<u32>, next: RangeInclusive<u32>) {
    let (batcher, database) = batcher(4, 2);
    database.takes(*first.start(), 4 * MS);
    let (running, values) = (batcher.clone(), first.clone());
    let mut tasks = vec![tokio::spawn(async move {
        join_all(values.map(|value| running.answer(ask(value)))).await.pop().unwrap()
    })];
    settle().await;
    for value in *next.start()..*next.end() {
        tasks.push(asked(&batcher, ask(value)).await);
    }
    settle().await;
    let (first, all): (Vec<_>, Vec<_>) = (first.collect(), next.clone().collect());
    assert_eq!(database.begun(), std::slice::from_ref(&first), "the others wait for the last");
    tasks.push(asked(&batcher, ask(*next.end())).await);
    settle().await;
    assert_eq!(database.begun(), [first, all]);
    for task in tasks {
        task.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_batch_waits_for_company_while_one_runs_that_was_just_started() {
    waits_for_company(1..=4, 5..=8).await;
}

#[tokio::test(start_paused = true)]
async fn beside_a_large_batch_the_next_one_is_full_with_sixteen() {
    waits_for_company(1..=20, 21..=36).await;
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_company_longer_than_a_batch_counts_as_just_started() {
    let (batcher, database) = batcher(4, 2);
    database.takes(1, 50 * MS);
    let two = batcher.clone();
    let two = tokio::spawn(async move { tokio::join!(two.answer(ask(1)), two.answer(ask(2))) });
    settle().await;
    let began = Instant::now();
    let single = asked(&batcher, ask(3)).await;
    assert_eq!(single.await.unwrap(), Ok(30));
    assert!(began.elapsed() <= 6 * MS, "{:?}", began.elapsed());
    assert_eq!(two.await.unwrap(), (Ok(10), Ok(20)));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_company_longer_beside_a_batch_that_has_run_for_long() {
    let (batcher, database) = batcher(4, 2);
    database.takes(1, 90 * MS);
    database.takes(2, 60 * MS);
    database.takes(3, 50 * MS);
    // Two batches of the kind are running, so 3 and 4 wait. They would wait until 1 counts as slow,
    // but 2 ends before that.
    let one = asked(&batcher, ask(1)).await;
    settle().await;
    let two = asked(&batcher, ask(2)).await;
    settle().await;
    let three = asked(&batcher, ask(3)).await;
    let four = asked(&batcher, ask(4)).await;
    settle().await;
    advance(60 * MS).await;
    settle().await;
    assert_eq!(database.begun(), [vec![1], vec![2], vec![3, 4]]);
    two.await.unwrap().unwrap();
    one.abort();
    settle().await;
    let began = Instant::now();
    let single = asked(&batcher, ask(5)).await;
    assert_eq!(single.await.unwrap(), Ok(50));
    assert!(began.elapsed() <= 6 * MS, "{:?}", began.elapsed());
    three.await.unwrap().unwrap();
    four.await.unwrap().unwrap();
}
