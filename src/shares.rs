//! A bound in all, and a share of it for each holder.
//!
//! Whatever one user can take up on this server (requests, streams, database connections, bytes)
//! is handed out by one [`Shares`]. A holder at the end of its share waits or is refused, and
//! leaves the rest to the others. When permits are returned, waiting holders are served in turn,
//! one permit each, so a holder with a long queue does not delay one with a short queue.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// On whose account something is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Holder(u64);

impl Holder {
    /// Everybody without accepted credentials: together they count as one.
    pub const STRANGERS: Holder = Holder(0);
    /// The server's own work, which no request waits for.
    pub const SERVER: Holder = Holder(1);

    /// A user. The hash is seeded for each process, so nobody can choose an identity that shares
    /// its account with another user's.
    #[must_use]
    pub fn user(identity: &str) -> Holder {
        static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Holder(SEED.hash_one(identity).max(2))
    }
}

/// Why nothing could be taken at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// The holder has all of its share.
    Share,
    /// All holders together have everything.
    Total,
}

/// Units of one kind that holders take and return. Clones hand out the same units.
#[derive(Clone)]
pub struct Shares(Arc<Inner>);

struct Inner {
    total: u64,
    share: u64,
    ledger: Mutex<Ledger>,
}

#[derive(Default)]
struct Ledger {
    taken: u64,
    accounts: HashMap<Holder, Account>,
    /// The holders that wait, in the order in which they are served next.
    turns: VecDeque<Holder>,
}

#[derive(Default)]
struct Account {
    taken: u64,
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    amount: u64,
    granted: oneshot::Sender<Permit>,
}

impl Shares {
    /// `total` units, of which one holder has at most `share`.
    #[must_use]
    pub fn new(total: u64, share: u64) -> Shares {
        let share = share.min(total);
        Shares(Arc::new(Inner { total, share, ledger: Mutex::default() }))
    }

    /// Takes `amount` units without waiting. An amount above the share counts as the whole share.
    pub fn try_take(&self, holder: Holder, amount: u64) -> Result<Permit, Full> {
        let amount = amount.min(self.0.share);
        let mut ledger = self.ledger();
        let taken = ledger.accounts.get(&holder).map_or(0, |account| account.taken);
        // A share of nothing holds nothing, whatever is asked for.
        if taken + amount > self.0.share || self.0.share == 0 {
            return Err(Full::Share);
        }
        if ledger.taken + amount > self.0.total {
            return Err(Full::Total);
        }
        Ok(self.grant(&mut ledger, holder, amount))
    }

    /// Takes `amount` units as soon as the holder's turn comes. An amount above the share counts
    /// as the whole share, and an amount of nothing is granted at once. Dropping the future gives up the turn.
    pub async fn take(&self, holder: Holder, amount: u64) -> Permit {
        let amount = amount.min(self.0.share);
        if amount == 0 {
            return Permit { shares: self.clone(), holder, amount };
        }
        let granted = {
            let mut ledger = self.ledger();
            let account = ledger.accounts.entry(holder).or_default();
            let fits = account.waiting.is_empty() && account.taken + amount <= self.0.share;
            if fits && ledger.taken + amount <= self.0.total && ledger.turns.is_empty() {
                return self.grant(&mut ledger, holder, amount);
            }
            let (sender, granted) = oneshot::channel();
            let account = ledger.accounts.entry(holder).or_default();
            account.waiting.push_back(Waiting { amount, granted: sender });
            if account.waiting.len() == 1 {
                ledger.turns.push_back(holder);
            }
            granted
        };
        // Others may wait for their own share only, while units for this holder are free.
        self.serve();
        match granted.await {
            Ok(permit) => permit,
            // Unreachable while `self` exists, which holds the other end.
            Err(_) => std::future::pending().await,
        }
    }

    /// Units that are taken now.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.ledger().taken
    }

    /// Units in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.total
    }

    /// The most units that one holder can have.
    #[must_use]
    pub fn share(&self) -> u64 {
        self.0.share
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn grant(&self, ledger: &mut Ledger, holder: Holder, amount: u64) -> Permit {
        // An account of nothing would stay, because nothing is ever returned to it.
        if amount > 0 {
            ledger.taken += amount;
            ledger.accounts.entry(holder).or_default().taken += amount;
        }
        Permit { shares: self.clone(), holder, amount }
    }

    fn release(&self, holder: Holder, amount: u64) {
        {
            let mut ledger = self.ledger();
            ledger.taken -= amount;
            if let Some(account) = ledger.accounts.get_mut(&holder) {
                account.taken -= amount;
                if account.taken == 0 && account.waiting.is_empty() {
                    ledger.accounts.remove(&holder);
                }
            }
            if ledger.turns.is_empty() {
                return;
            }
        }
        self.serve();
    }

    /// Grants what is free to those that wait.
    fn serve(&self) {
        // Granted outside of the lock: a waiting future that was dropped returns its permit.
        while let Some((granted, permit)) = self.next() {
            drop(granted.send(permit));
        }
    }

    /// The next grant. A holder at the end of its share is passed over. A holder that only lacks
    /// free units keeps its turn, so that small amounts do not starve a large one.
    fn next(&self) -> Option<(oneshot::Sender<Permit>, Permit)> {
        let mut guard = self.ledger();
        let ledger = &mut *guard;
        for _ in 0..ledger.turns.len() {
            let holder = ledger.turns.pop_front()?;
            let Some(account) = ledger.accounts.get_mut(&holder) else { continue };
            while account.waiting.front().is_some_and(|first| first.granted.is_closed()) {
                account.waiting.pop_front();
            }
            let Some(first) = account.waiting.front() else {
                if account.taken == 0 {
                    ledger.accounts.remove(&holder);
                }
                continue;
            };
            if account.taken + first.amount > self.0.share {
                ledger.turns.push_back(holder);
                continue;
            }
            if ledger.taken + first.amount > self.0.total {
                ledger.turns.push_front(holder);
                return None;
            }
            let Some(Waiting { amount, granted }) = account.waiting.pop_front() else { continue };
            if !account.waiting.is_empty() {
                ledger.turns.push_back(holder);
            }
            let permit = self.grant(ledger, holder, amount);
            return Some((granted, permit));
        }
        None
    }
}

impl fmt::Debug for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shares")
            .field("taken", &self.taken())
            .field("total", &self.0.total)
            .field("share", &self.0.share)
            .finish()
    }
}

/// Units that a holder has taken. Dropping the permit returns them.
pub struct Permit {
    shares: Shares,
    holder: Holder,
    amount: u64,
}

impl Permit {
    /// How many units these are.
    #[must_use]
    pub fn amount(&self) -> u64 {
        self.amount
    }

    /// Takes up to `amount` of these units into a permit of their own.
    #[must_use]
    pub fn split(&mut self, amount: u64) -> Permit {
        let amount = amount.min(self.amount);
        self.amount -= amount;
        Permit { shares: self.shares.clone(), holder: self.holder, amount }
    }

    /// Adds the units of another permit of the same holder.
    pub fn merge(&mut self, mut other: Permit) {
        debug_assert_eq!(self.holder, other.holder);
        self.amount += std::mem::take(&mut other.amount);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.amount > 0 {
            self.shares.release(self.holder, self.amount);
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("amount", &self.amount).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
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
}
