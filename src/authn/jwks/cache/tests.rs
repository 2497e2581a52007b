use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::join_all;
use serde_json::{Value, json};

use super::super::jwt::Key;
use super::*;

/// An issuer that a test can change.
#[derive(Clone)]
struct Issuer {
    key: Arc<Value>,
    kids: Arc<Mutex<Option<Vec<&'static str>>>>,
    delay: Arc<Mutex<Duration>>,
    age: Arc<Mutex<Duration>>,
    fetches: Arc<AtomicUsize>,
}

impl KeySource for Issuer {
    fn fetch(&self) -> BoxFuture<'_, Result<Fetched, String>> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        // The keys that are published when the request arrives.
        let kids = self.kids.lock().unwrap().clone();
        let (delay, age) = (*self.delay.lock().unwrap(), *self.age.lock().unwrap());
        Box::pin(async move {
            tokio::time::sleep(delay).await;
            let keys = kids.ok_or("down")?.into_iter().map(|kid| {
                let mut key = (*self.key).clone();
                key["kid"] = kid.into();
                key
            });
            let set = json!({ "keys": keys.collect::<Vec<_>>() });
            Ok(Fetched { set: serde_json::from_value(set).unwrap(), age })
        })
    }
}

impl Issuer {
    fn of(kids: &[&'static str]) -> Issuer {
        let issuer = Issuer {
            key: Arc::new(Key::es256().0.public()),
            kids: Arc::default(),
            delay: Arc::default(),
            age: Arc::default(),
            fetches: Arc::default(),
        };
        issuer.publish(kids);
        issuer
    }

    fn publish(&self, kids: &[&'static str]) {
        *self.kids.lock().unwrap() = Some(kids.to_owned());
    }

    fn fail(&self) {
        *self.kids.lock().unwrap() = None;
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}

/// The answer for a token with this key id that is issued now.
async fn ask(cache: &KeySetCache, kid: &str) -> &'static str {
    ask_for(cache, kid, Some(seconds_since_1970())).await
}

async fn ask_for(cache: &KeySetCache, kid: &str, issued: Option<f64>) -> &'static str {
    match cache.with_key(kid, issued).await {
        Lookup::Found { set, .. } if set.has(kid) => "known",
        Lookup::Found { .. } => "unknown",
        Lookup::Open(_) | Lookup::Crowded => "open",
    }
}

async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

const MOMENT: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn one_fetch_serves_all_who_wait() {
    let issuer = Issuer::of(&["1"]);
    *issuer.delay.lock().unwrap() = Duration::from_millis(200);
    let cache = KeySetCache::new(issuer.clone());
    let answers = join_all((0..MAX_WAITING).map(|_| ask(&cache, "1"))).await;
    assert!(answers.iter().all(|answer| *answer == "known"));
    assert_eq!(issuer.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_set_is_fetched_again_beside_the_requests() {
    let issuer = Issuer::of(&["1"]);
    let cache = KeySetCache::new(issuer.clone());
    assert_eq!(ask(&cache, "1").await, "known");
    // An issuer that would hold up everybody who waits for it.
    *issuer.delay.lock().unwrap() = Duration::from_hours(1);
    pass(REFRESH_AFTER).await;
    let asked = Instant::now();
    assert_eq!(ask(&cache, "1").await, "known");
    assert_eq!(asked.elapsed(), Duration::ZERO);
    pass(MOMENT).await;
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_found_at_once() {
    let issuer = Issuer::of(&["1"]);
    let cache = KeySetCache::new(issuer.clone());
    assert_eq!(ask(&cache, "1").await, "known");
    pass(PACE).await;
    issuer.publish(&["1", "2"]);
    let asked = Instant::now();
    assert_eq!(ask(&cache, "2").await, "known");
    assert_eq!(asked.elapsed(), Duration::ZERO);
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_began_before_the_token_came_does_not_refuse_it() {
    let issuer = Issuer::of(&["1"]);
    *issuer.delay.lock().unwrap() = Duration::from_secs(2);
    let cache = KeySetCache::new(issuer.clone());
    let early = ask(&cache, "1");
    let late = async {
        pass(Duration::from_secs(1)).await;
        issuer.publish(&["1", "2"]);
        ask(&cache, "2").await
    };
    assert_eq!(tokio::join!(early, late), ("known", "known"));
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn made_up_keys_cause_one_fetch_a_second_and_each_is_refused_by_it() {
    let issuer = Issuer::of(&["1"]);
    let cache = KeySetCache::new(issuer.clone());
    let begun = Instant::now();
    for number in 0..50 {
        assert_eq!(ask(&cache, &format!("junk {number}")).await, "unknown");
    }
    assert_eq!((issuer.fetches(), begun.elapsed()), (50, 49 * PACE));
    let flood = (0..MAX_WAITING).map(async |number| ask(&cache, &format!("junk {number}")).await);
    assert!(join_all(flood).await.iter().all(|answer| *answer == "unknown"));
    assert_eq!((issuer.fetches(), begun.elapsed()), (51, 50 * PACE));
}

#[tokio::test(start_paused = true)]
async fn junk_cannot_keep_a_good_new_key_out() {
    let issuer = Issuer::of(&["1"]);
    let cache = KeySetCache::new(issuer.clone());
    assert_eq!(ask(&cache, "1").await, "known");
    // At any time more junk tokens than may wait.
    let flood = (0..2 * MAX_WAITING).map(|number| {
        let cache = cache.clone();
        tokio::spawn(async move {
            loop {
                ask(&cache, &format!("junk {number}")).await;
                pass(Duration::from_millis(10)).await;
            }
        })
    });
    let flood: Vec<_> = flood.collect();
    pass(Duration::from_millis(3500)).await;
    issuer.publish(&["1", "2"]);
    let published = Instant::now();
    let mut answer = ask(&cache, "2").await;
    while answer == "open" {
        pass(MOMENT).await;
        answer = ask(&cache, "2").await;
    }
    assert_eq!(answer, "known");
    assert!(published.elapsed() <= PACE, "{:?}", published.elapsed());
    assert!(issuer.fetches() <= 6, "{}", issuer.fetches());
    flood.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_comes_back_counts_at_once_for_old_tokens_too() {
    let issuer = Issuer::of(&["1"]);
    let cache = KeySetCache::new(issuer.clone());
    let before = Some(seconds_since_1970() - 600.0);
    assert_eq!(ask_for(&cache, "1", before).await, "known");
    issuer.publish(&["2"]);
    pass(KEY_LIFE).await;
    assert_eq!(ask_for(&cache, "1", before).await, "unknown");
    issuer.publish(&["1", "2"]);
    assert_eq!(ask_for(&cache, "1", before).await, "known");
}

#[tokio::test(start_paused = true)]
async fn a_set_out_of_a_cache_does_not_refuse_a_newer_token() {
    let issuer = Issuer::of(&["1"]);
    *issuer.age.lock().unwrap() = Duration::from_mins(9);
    let cache = KeySetCache::new(issuer.clone());
    assert_eq!(ask(&cache, "2").await, "open");
    let before = seconds_since_1970() - 8.0 * 60.0;
    assert_eq!(ask_for(&cache, "2", Some(before)).await, "open");
    assert_eq!(ask_for(&cache, "2", Some(before - 120.0)).await, "unknown");
    *issuer.age.lock().unwrap() = Duration::ZERO;
    assert_eq!(ask(&cache, "2").await, "unknown");
    issuer.publish(&["1", "2"]);
    assert_eq!(ask(&cache, "2").await, "known");
}

#[tokio::test(start_paused = true)]
async fn a_withdrawn_key_is_believed_for_ten_minutes_at_most() {
    let issuer = Issuer::of(&["1", "2"]);
    let cache = KeySetCache::new(issuer.clone());
    assert_eq!(ask(&cache, "1").await, "known");
    issuer.publish(&["2"]);
    // No request comes in between, so nothing has caused a fetch.
    pass(KEY_LIFE.saturating_sub(MOMENT)).await;
    let Lookup::Found { life, .. } = cache.with_key("1", None).await else { unreachable!() };
    assert_eq!(life, MOMENT, "what is accepted by it is not remembered for longer");
    pass(2 * MOMENT).await;
    assert_eq!((ask(&cache, "1").await, ask(&cache, "2").await), ("unknown", "known"));
}

#[tokio::test(start_paused = true)]
async fn with_requests_a_withdrawn_key_goes_with_the_next_fetch() {
    let issuer = Issuer::of(&["1", "2"]);
    let cache = KeySetCache::new(issuer.clone());
    assert_eq!(ask(&cache, "1").await, "known");
    issuer.publish(&["2"]);
    pass(REFRESH_AFTER).await;
    assert_eq!(ask(&cache, "2").await, "known");
    pass(PACE).await;
    assert_eq!(ask(&cache, "1").await, "unknown");
}

#[tokio::test(start_paused = true)]
async fn an_outage_does_not_lengthen_the_life_of_a_key() {
    let issuer = Issuer::of(&["1"]);
    let cache = KeySetCache::new(issuer.clone());
    assert_eq!(ask(&cache, "1").await, "known");
    issuer.fail();
    let begun = Instant::now();
    while begun.elapsed() + MOMENT < KEY_LIFE {
        assert_eq!(ask(&cache, "1").await, "known");
        // An unknown key is undetermined while no key set can be fetched.
        assert_eq!(ask(&cache, "2").await, "open");
        pass(Duration::from_secs(10)).await;
    }
    assert_eq!(ask(&cache, "1").await, "open");
    issuer.publish(&["1"]);
    pass(PACE).await;
    assert_eq!(ask(&cache, "1").await, "known");
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_is_down_is_asked_once_a_second() {
    let issuer = Issuer::of(&["1"]);
    issuer.fail();
    let cache = KeySetCache::new(issuer.clone());
    for _ in 0..1000 {
        assert_eq!(ask(&cache, "1").await, "open");
    }
    let seconds = usize::try_from(cache.state().last_begun.unwrap().elapsed().as_secs()).unwrap();
    assert!(issuer.fetches() <= 1000 + seconds);
    let before = issuer.fetches();
    let begun = Instant::now();
    join_all((0..100).map(|_| ask(&cache, "1"))).await;
    assert!(issuer.fetches() - before <= 1 && begun.elapsed() <= PACE);
    issuer.publish(&["1"]);
    assert_eq!(ask(&cache, "1").await, "known");
}

#[tokio::test(start_paused = true)]
async fn a_fetch_ends_in_bounded_time() {
    let issuer = Issuer::of(&["1"]);
    *issuer.delay.lock().unwrap() = Duration::from_hours(1);
    let cache = KeySetCache::new(issuer.clone());
    let begun = Instant::now();
    assert_eq!(ask(&cache, "1").await, "open");
    assert_eq!(begun.elapsed(), FETCH_DEADLINE);
    *issuer.delay.lock().unwrap() = Duration::ZERO;
    assert_eq!(ask(&cache, "1").await, "known");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hangs_up_does_not_end_a_fetch() {
    let issuer = Issuer::of(&["1"]);
    *issuer.delay.lock().unwrap() = Duration::from_millis(100);
    let cache = KeySetCache::new(issuer.clone());
    let hung_up = tokio::time::timeout(Duration::from_millis(10), ask(&cache, "1")).await;
    assert!(hung_up.is_err());
    assert_eq!(ask(&cache, "1").await, "known");
    assert_eq!(issuer.fetches(), 1);
}
