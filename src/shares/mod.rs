//! A total limit, and a share of it for each holder.
//!
//! Each resource that a user can occupy on this server (requests, streams, database connections,
//! bytes) is handed out by one [`Shares`]. A holder at the end of its share waits or is refused, so
//! that the rest is left to the others. When permits are returned, waiting holders are served in
//! turn, one permit each, so a holder with a long queue does not delay one with a short queue.

mod kind;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

pub use kind::Kind;

/// The account that units are charged to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Holder(u64);

impl Holder {
    /// All clients without accepted credentials, which count as one holder.
    pub const STRANGERS: Holder = Holder(0);
    /// The server's own work, for which no request waits.
    pub const SERVER: Holder = Holder(1);

    /// A user. The hash is seeded for each process, so a client cannot choose an identity that
    /// shares its account with another user's.
    #[must_use]
    pub fn user(identity: &str) -> Holder {
        static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Holder(SEED.hash_one(identity).max(2))
    }
}

/// Uses a holder as its own hash, because it is one.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Why units could not be taken at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// The holder's share is exhausted.
    Share,
    /// The total is exhausted.
    Total,
}

/// Units of one kind, which holders take and return. Clones share the same units.
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
    accounts: HashMap<Holder, Account, BuildHasherDefault<Hashed>>,
    /// The waiting holders, in the order in which they are served next.
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
        // With a share of 0 every request is refused.
        if taken + amount > self.0.share || self.0.share == 0 {
            return Err(Full::Share);
        }
        if ledger.taken + amount > self.0.total {
            return Err(Full::Total);
        }
        Ok(self.grant(&mut ledger, holder, amount))
    }

    /// Takes `amount` units as soon as the holder's turn comes. An amount above the share counts as
    /// the whole share, and an amount of 0 is granted at once. Dropping the future gives up the
    /// turn.
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
        // The holders ahead may wait only for their own shares, while units for this one are free.
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

    /// Total number of units.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.total
    }

    /// Maximum number of units of one holder.
    #[must_use]
    pub fn share(&self) -> u64 {
        self.0.share
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn grant(&self, ledger: &mut Ledger, holder: Holder, amount: u64) -> Permit {
        // An account of 0 units would never be removed, because nothing is returned to it.
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

    /// Grants free units to waiting holders.
    fn serve(&self) {
        // Sent outside the lock: a permit that nobody receives is returned, which takes the lock.
        while let Some((granted, permit)) = self.next() {
            drop(granted.send(permit));
        }
    }

    /// The next grant. A holder at the end of its share is skipped. A holder that only lacks free
    /// units keeps its turn, so that small amounts do not starve a large one.
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
    /// The number of units.
    #[must_use]
    pub fn amount(&self) -> u64 {
        self.amount
    }

    /// Splits up to `amount` of these units off into a new permit.
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
