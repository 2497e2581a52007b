use std::pin::pin;

use futures::poll;
use proptest::prelude::*;

use super::*;

const ADA: Holder = Holder(10);
const BOB: Holder = Holder(11);
const EVE: Holder = Holder(12);

#[test]
fn a_holder_at_its_share_is_refused_and_the_others_are_not() {
    let shares = Shares::new(4, 3);
    let held: Vec<_> = (0..3).map(|_| shares.try_take(ADA, 1).unwrap()).collect();
    assert_eq!(shares.try_take(ADA, 1).unwrap_err(), Full::Share);
    let bob = shares.try_take(BOB, 1).unwrap();
    assert_eq!(shares.try_take(BOB, 1).unwrap_err(), Full::Total);
    drop(bob);
    drop(held);
    assert_eq!((shares.taken(), shares.ledger().accounts.len()), (0, 0));
}

#[test]
fn a_share_of_nothing_refuses_everybody() {
    assert_eq!(Shares::new(0, 0).try_take(ADA, 0).unwrap_err(), Full::Share);
}

#[test]
fn an_amount_above_the_share_takes_the_whole_share() {
    let shares = Shares::new(100, 10);
    let permit = shares.try_take(ADA, 1_000).unwrap();
    assert_eq!((permit.amount(), shares.taken()), (10, 10));
}

#[tokio::test]
async fn waiting_holders_are_served_in_turn_and_not_by_the_length_of_their_queues() {
    let shares = Shares::new(1, 1);
    let first = shares.try_take(EVE, 1).unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for holder in [ADA, ADA, ADA, BOB] {
        let (shares, order) = (shares.clone(), Arc::clone(&order));
        tasks.push(tokio::spawn(async move {
            let permit = shares.take(holder, 1).await;
            order.lock().unwrap().push(holder);
            drop(permit);
        }));
        tokio::task::yield_now().await;
    }
    drop(first);
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), [ADA, BOB, ADA, ADA]);
}

#[tokio::test]
async fn a_holder_that_waits_for_its_own_share_holds_up_nobody() {
    let shares = Shares::new(4, 2);
    let held = shares.try_take(ADA, 2).unwrap();
    let mut ada = pin!(shares.take(ADA, 1));
    assert!(poll!(&mut ada).is_pending());
    let mut bob = pin!(shares.take(BOB, 2));
    assert!(poll!(&mut bob).is_ready());
    drop(held);
    assert!(poll!(&mut ada).is_ready());
}

#[tokio::test]
async fn a_large_amount_is_not_starved_by_small_ones() {
    let shares = Shares::new(4, 4);
    let held = [shares.try_take(ADA, 2).unwrap(), shares.try_take(ADA, 1).unwrap()];
    let mut large = pin!(shares.take(BOB, 4));
    assert!(poll!(&mut large).is_pending());
    let mut small = pin!(shares.take(EVE, 1));
    assert!(poll!(&mut small).is_pending());
    drop(held);
    assert!(poll!(&mut large).is_ready());
    assert!(poll!(&mut small).is_ready());
}

#[tokio::test]
async fn a_dropped_future_gives_up_its_turn_and_keeps_nothing() {
    let shares = Shares::new(1, 1);
    let held = shares.try_take(ADA, 1).unwrap();
    {
        let mut gone = pin!(shares.take(BOB, 1));
        assert!(poll!(&mut gone).is_pending());
    }
    {
        // Granted, but dropped before it was polled again.
        let mut late = pin!(shares.take(BOB, 1));
        assert!(poll!(&mut late).is_pending());
        drop(held);
        assert_eq!(shares.taken(), 1);
    }
    assert_eq!(shares.taken(), 0);
    let mut next = pin!(shares.take(EVE, 1));
    assert!(poll!(&mut next).is_ready());
    assert_eq!(shares.ledger().accounts.len(), 0);
}

#[test]
fn a_permit_can_be_split_and_merged() {
    let shares = Shares::new(10, 10);
    let mut permit = shares.try_take(ADA, 10).unwrap();
    let part = permit.split(4);
    drop(permit.split(3));
    assert_eq!((permit.amount(), part.amount(), shares.taken()), (3, 4, 7));
    permit.merge(part);
    assert_eq!((permit.amount(), shares.taken()), (7, 7));
    drop(permit);
    assert_eq!(shares.taken(), 0);
}

proptest! {
    #[test]
    fn no_bound_is_ever_exceeded_and_everything_comes_back(
        steps in prop::collection::vec((0..4_u64, 0..6_u64, any::<bool>()), 1..200),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let shares = Shares::new(10, 4);
            let mut held: VecDeque<Permit> = VecDeque::new();
            let mut waiting = Vec::new();
            for (holder, amount, returns) in steps {
                if returns {
                    held.pop_front();
                } else {
                    let shares = shares.clone();
                    waiting.push(Box::pin(async move {
                        shares.take(Holder(holder), amount).await
                    }));
                }
                let mut still = Vec::new();
                for mut future in waiting {
                    match poll!(&mut future) {
                        std::task::Poll::Ready(permit) => held.push_back(permit),
                        std::task::Poll::Pending => still.push(future),
                    }
                }
                waiting = still;
                let sum: u64 = held.iter().map(Permit::amount).sum();
                assert!(sum <= 10 && shares.taken() >= sum);
                for holder in 0..4 {
                    let of = held.iter().filter(|permit| permit.holder == Holder(holder));
                    assert!(of.map(Permit::amount).sum::<u64>() <= 4);
                }
            }
            // Nobody waits for ever while units come back.
            while !waiting.is_empty() {
                held.clear();
                let mut still = Vec::new();
                for mut future in waiting {
                    match poll!(&mut future) {
                        std::task::Poll::Ready(permit) => held.push_back(permit),
                        std::task::Poll::Pending => still.push(future),
                    }
                }
                assert!(still.is_empty() || !held.is_empty());
                waiting = still;
            }
            held.clear();
            assert_eq!((shares.taken(), shares.ledger().accounts.len()), (0, 0));
        });
    }
}
