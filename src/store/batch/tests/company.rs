//! How long a request waits for others to share its batch.

use super::*;

#[tokio::test(start_paused = true)]
async fn the_next_batch_waits_for_company_while_one_runs_that_was_just_started() {
    let (batcher, database) = batcher(4, 2);
    for value in 1..=4 {
        database.takes(value, 4 * MS);
    }
    let mut tasks = Vec::new();
    let four = batcher.clone();
    tasks.push(tokio::spawn(async move {
        let answers = (1..=4).map(|value| four.answer(ask(value)));
        futures::future::join_all(answers).await.pop().unwrap()
    }));
    settle().await;
    for value in 5..=7 {
        tasks.push(asked(&batcher, ask(value)).await);
    }
    settle().await;
    assert_eq!(database.begun(), [[1, 2, 3, 4]], "three wait for the fourth");
    tasks.push(asked(&batcher, ask(8)).await);
    settle().await;
    assert_eq!(database.begun(), [[1, 2, 3, 4], [5, 6, 7, 8]]);
    for task in tasks {
        task.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn beside_a_large_batch_the_next_one_is_full_with_sixteen() {
    let (batcher, database) = batcher(4, 2);
    let (large, full): (Vec<_>, Vec<_>) = ((1..=20).collect(), (21..=36).collect());
    database.takes(1, 4 * MS);
    let first = batcher.clone();
    let mut tasks = Vec::new();
    tasks.push(tokio::spawn(async move {
        let answers = (1..=20).map(|value| first.answer(ask(value)));
        futures::future::join_all(answers).await.pop().unwrap()
    }));
    settle().await;
    for value in 21..=35 {
        tasks.push(asked(&batcher, ask(value)).await);
    }
    settle().await;
    assert_eq!(database.begun(), std::slice::from_ref(&large), "fifteen wait");
    tasks.push(asked(&batcher, ask(36)).await);
    settle().await;
    assert_eq!(database.begun(), [large, full]);
    for task in tasks {
        task.await.unwrap().unwrap();
    }
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
