//! Slows down guesses of passwords and codes.
//!
//! Wrong guesses delay later attempts: those for the same address, and, after many, those for every
//! address. No user is locked out: an attempt waits for its turn in the order of arrival, for at
//! most [`PATIENCE`], and is then delayed by at most [`LONGEST`]. A correct password is accepted.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use moka::future::Cache;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::error::Refusal;

/// Number of wrong guesses for one address that cause no delay, because users mistype passwords.
const FREE_FOR_ADDRESS: f64 = 5.0;
/// Total number of wrong guesses without a delay.
const FREE_IN_ALL: f64 = 60.0;
/// Number of attempts for one address that may be under way without counting as wrong guesses.
const FREE_AT_ONCE: f64 = 16.0;
/// The time after which half of the guesses are forgotten.
const HALF_LIFE: Duration = Duration::from_mins(1);
/// The first delay. Each further guess doubles it.
const SHORTEST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(4);
/// Maximum number of concurrent delayed attempts, separately for those that are delayed because of
/// their own address and for all others. This limits the gain of concurrent guesses.
const AT_ONCE: usize = 16;
/// Longest wait for one of these [`AT_ONCE`] places. After it the attempt is refused.
const PATIENCE: Duration = Duration::from_secs(30);
/// Maximum number of remembered addresses.
const ADDRESSES: u64 = 10_000;

/// The recent guesses.
#[derive(Clone)]
pub(super) struct Guesses(Arc<Shared>);

struct Shared {
    of_address: Cache<[u8; 32], Arc<Mutex<Count>>>,
    in_all: Mutex<Count>,
    delayed_by_address: Semaphore,
    delayed_by_all: Semaphore,
}

/// A number of wrong guesses, which halves every [`HALF_LIFE`].
struct Count {
    wrong: f64,
    at: Instant,
    under_way: f64,
}

/// An admitted attempt. It counts as a wrong guess unless [`Attempt::succeeded`] is called.
pub(super) struct Attempt {
    guesses: Arc<Shared>,
    of_address: Arc<Mutex<Count>>,
    has_succeeded: bool,
}

impl Guesses {
    pub(super) fn new() -> Guesses {
        let of_address =
            Cache::builder().max_capacity(ADDRESSES).time_to_idle(HALF_LIFE * 10).build();
        Guesses(Arc::new(Shared {
            of_address,
            in_all: Mutex::new(Count::new()),
            delayed_by_address: Semaphore::new(AT_ONCE),
            delayed_by_all: Semaphore::new(AT_ONCE),
        }))
    }

    /// Waits until an attempt for an address may be made.
    pub(super) async fn attempt(&self, address: &str) -> Result<Attempt, Refusal> {
        let key = Sha256::digest(address.to_lowercase()).into();
        let fresh = async { Arc::new(Mutex::new(Count::new())) };
        let of_address = self.0.of_address.get_with(key, fresh).await;
        let own = change(&of_address, |count| {
            count.under_way += 1.0;
            delay(count.wrong + (count.under_way - 1.0 - FREE_AT_ONCE).max(0.0), FREE_FOR_ADDRESS)
        });
        let attempt = Attempt { guesses: Arc::clone(&self.0), of_address, has_succeeded: false };
        let of_all = change(&self.0.in_all, |count| delay(count.wrong, FREE_IN_ALL));
        let (delay, places) = if own.is_zero() {
            (of_all, &self.0.delayed_by_all)
        } else {
            (own.max(of_all), &self.0.delayed_by_address)
        };
        if !delay.is_zero() {
            let place = tokio::time::timeout(PATIENCE, places.acquire()).await;
            let _place = place.map_err(|_| Refusal::TOO_MANY_REQUESTS)?;
            tokio::time::sleep(delay).await;
        }
        Ok(attempt)
    }
}

impl Attempt {
    /// Records that the password or code was correct.
    pub(super) fn succeeded(mut self) {
        self.has_succeeded = true;
    }
}

/// A cancelled attempt counts too, because a client could otherwise disconnect after each guess.
impl Drop for Attempt {
    fn drop(&mut self) {
        let wrong = if self.has_succeeded { 0.0 } else { 1.0 };
        change(&self.of_address, |count| {
            count.under_way -= 1.0;
            count.wrong += wrong;
        });
        change(&self.guesses.in_all, |count| count.wrong += wrong);
    }
}

impl Count {
    fn new() -> Count {
        Count { wrong: 0.0, at: Instant::now(), under_way: 0.0 }
    }
}

fn change<T>(count: &Mutex<Count>, change: impl FnOnce(&mut Count) -> T) -> T {
    let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    let half_lives = now.duration_since(count.at).div_duration_f64(HALF_LIFE);
    count.wrong *= (-half_lives).exp2();
    count.at = now;
    change(&mut count)
}

fn delay(wrong: f64, free: f64) -> Duration {
    let beyond = wrong - free;
    if beyond < 0.0 {
        return Duration::ZERO;
    }
    // Beyond 2^10 the delay is the longest in any case, and the product could overflow.
    SHORTEST.mul_f64(beyond.min(10.0).exp2()).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::*;

    async fn guess(guesses: &Guesses, address: &str, is_right: bool) -> Duration {
        let begun = Instant::now();
        let attempt = guesses.attempt(address).await;
        if is_right {
            attempt.unwrap_or_else(|_| unreachable!("refused")).succeeded();
        }
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_guesses_for_an_address_delay_the_next_and_are_forgotten() {
        let guesses = Guesses::new();
        for _ in 0..5 {
            assert_eq!(guess(&guesses, "ada@example.com", false).await, Duration::ZERO);
        }
        let mut last = Duration::ZERO;
        for _ in 0..20 {
            let delay = guess(&guesses, "ADA@example.com", false).await;
            assert!(delay >= SHORTEST && delay + Duration::from_millis(200) > last, "{delay:?}");
            last = delay;
        }
        assert!(last > LONGEST.mul_f64(0.95), "{last:?}");
        assert_eq!(guess(&guesses, "bob@example.com", false).await, Duration::ZERO);
        tokio::time::sleep(HALF_LIFE * 3).await;
        assert_eq!(guess(&guesses, "ada@example.com", false).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn right_passwords_delay_nothing() {
        let guesses = Guesses::new();
        for _ in 0..100 {
            assert_eq!(guess(&guesses, "ada@example.com", true).await, Duration::ZERO);
        }
        let at_once = join_all((0..16).map(|_| guess(&guesses, "ada@example.com", true))).await;
        assert!(at_once.iter().all(Duration::is_zero));
    }

    #[tokio::test(start_paused = true)]
    async fn guessing_many_times_at_once_gains_little_and_keeps_nobody_out() {
        let guesses = Guesses::new();
        let tried = Arc::new(Mutex::new(0));
        let flood = (0..50).map(|_| {
            let (guesses, tried) = (guesses.clone(), Arc::clone(&tried));
            tokio::spawn(async move {
                loop {
                    guess(&guesses, "ada@example.com", false).await;
                    *tried.lock().unwrap() += 1;
                }
            })
        });
        let flood: Vec<_> = flood.collect();
        tokio::time::sleep(Duration::from_mins(1)).await;
        let before = *tried.lock().unwrap();
        let waited = guess(&guesses, "ada@example.com", true).await;
        assert!(waited < Duration::from_secs(25), "{waited:?}");
        assert_eq!(guess(&guesses, "bob@example.com", true).await.min(LONGEST), LONGEST);
        assert!(before < 5 * 60, "{before} guesses in a minute");
        flood.iter().for_each(tokio::task::JoinHandle::abort);
    }

    #[tokio::test(start_paused = true)]
    async fn guesses_for_many_addresses_delay_all() {
        let guesses = Guesses::new();
        let address = |number: u32| format!("{number}@example.com");
        for number in 0..60 {
            assert_eq!(guess(&guesses, &address(number), false).await, Duration::ZERO);
        }
        let begun = Instant::now();
        for number in 60..120 {
            guess(&guesses, &address(number), false).await;
        }
        assert!(begun.elapsed() > Duration::from_mins(1), "{:?}", begun.elapsed());
        let waited = guess(&guesses, "ada@example.com", true).await;
        assert!(waited <= LONGEST, "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_is_given_up_counts() {
        let guesses = Guesses::new();
        for _ in 0..50 {
            let given_up = guess(&guesses, "ada@example.com", false);
            let _ = tokio::time::timeout(Duration::from_millis(1), given_up).await;
        }
        assert!(guess(&guesses, "ada@example.com", true).await > LONGEST / 2);
    }
}
