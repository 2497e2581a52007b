//! What is remembered of tokens: enough to spare Supabase a burst, never past their end, and
//! never at the cost of those who behave.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream::iter;
use serde_json::json;
use thread_store::auth::Mode;

use crate::fair::in_use;
use crate::raw::until;
use crate::support::supabase::{Reply, Supabase, honest, token, token_of, token_with};
use crate::support::{Answer, TestServer, User};

/// A server that remembers accepted tokens for so many seconds.
async fn server_of(supabase: &Supabase, ttl: u64) -> TestServer {
    TestServer::start_with(|config| {
        config.sign_in = supabase.sign_in(Mode::Remote);
        config.auth_cache_ttl = Duration::from_secs(ttl);
    })
    .await
}

fn holder(server: &TestServer, token: &str) -> User {
    User { token: token.to_owned(), ..server.nobody() }
}

/// So many users with tokens of their own, who share connections.
fn holders(server: &TestServer, number: usize) -> Vec<User> {
    let nobody = server.nobody();
    (0..number).map(|_| User { token: token(), ..nobody.clone() }).collect()
}

/// The cheapest request behind the sign-in: a path that does not exist, 404 for users.
async fn knock(user: &User) -> u16 {
    let status = user.get("/nothing-here").await.status.as_u16();
    assert_ne!(status, 500);
    status
}

const IN: u16 = 404;

/// Many at once, with so many under way.
async fn knock_all(users: impl IntoIterator<Item = User>, at_once: usize) -> Vec<u16> {
    let knocks = users.into_iter().map(|user| async move { knock(&user).await });
    iter(knocks).buffer_unordered(at_once).collect().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cold_burst_of_1000_requests_with_one_token_makes_one_call() {
    let supabase = Supabase::start().await;
    let server = server_of(&supabase, 10).await;
    let token = token();
    let own = honest(&token);
    supabase.answer_to(&token, own.after(Duration::from_secs(1)));
    let user = holder(&server, &token);
    let statuses = knock_all(vec![user; 1000], 1000).await;
    assert_eq!(statuses, vec![IN; 1000]);
    assert_eq!(supabase.asked(), 1);
}

#[tokio::test]
async fn without_a_cache_every_request_is_one_call() {
    let supabase = Supabase::start().await;
    let server = server_of(&supabase, 0).await;
    let user = holder(&server, &token());
    for _ in 0..5 {
        assert_eq!(knock(&user).await, IN);
    }
    assert_eq!(knock_all(vec![user; 20], 20).await, vec![IN; 20]);
    assert_eq!(supabase.asked(), 25);
}

#[tokio::test]
async fn an_accepted_token_is_asked_about_again_after_the_time_set() {
    let supabase = Supabase::start().await;
    let server = server_of(&supabase, 1).await;
    let user = holder(&server, &token());
    let started = Instant::now();
    assert_eq!(knock(&user).await, IN);
    supabase.answer(Reply::error(403, "session_not_found"));
    let mut status = IN;
    while status == IN {
        assert!(started.elapsed() < Duration::from_secs(3), "a sign-out was not seen");
        tokio::time::sleep(Duration::from_millis(50)).await;
        status = knock(&user).await;
    }
    assert_eq!(status, 401);
    assert!(started.elapsed() > Duration::from_millis(900), "nothing was remembered");
    assert_eq!(supabase.asked(), 2);
}

#[tokio::test]
async fn a_token_is_not_remembered_past_its_end() {
    let supabase = Supabase::start().await;
    let server = server_of(&supabase, 10).await;
    let user = holder(&server, &token_of(&uuid::Uuid::new_v4().to_string(), 2));
    assert_eq!(knock(&user).await, IN);
    assert_eq!(knock(&user).await, IN);
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert_eq!(knock(&user).await, 401);
    assert_eq!(supabase.asked(), 1, "its own end is enough to refuse it");
}

#[tokio::test]
async fn the_time_that_verification_took_is_not_added_to_a_tokens_end() {
    let supabase = Supabase::start().await;
    let server = server_of(&supabase, 10).await;
    let token = token_of(&uuid::Uuid::new_v4().to_string(), 3);
    let own = honest(&token);
    supabase.answer_to(&token, own.after(Duration::from_millis(1800)));
    let started = Instant::now();
    let user = holder(&server, &token);
    assert_eq!(knock(&user).await, IN);
    tokio::time::sleep(Duration::from_millis(3200).saturating_sub(started.elapsed())).await;
    assert_eq!(knock(&user).await, 401);
}

#[tokio::test]
async fn an_expired_token_is_refused_without_a_call() {
    let supabase = Supabase::start().await;
    let server = server_of(&supabase, 10).await;
    let sub = uuid::Uuid::new_v4().to_string();
    for exp in [json!(0), json!(-1), json!(1_700_000_000), json!(1.5e9), json!(-1e300)] {
        let token = token_with(&json!({ "sub": sub, "exp": exp }));
        let refused = holder(&server, &token).get("/threads/x").await;
        assert_eq!(refused.status, 401, "{exp}");
        assert_eq!(refused.header("www-authenticate"), "Bearer error=\"invalid_token\"");
    }
    assert_eq!(supabase.asked(), 0);
    // Supabase decides where the token does not say.
    for exp in [json!(4_000_000_000_u64), json!(1e300), json!(u64::MAX), json!(null)] {
        let user = holder(&server, &token_with(&json!({ "sub": sub, "exp": exp })));
        assert_eq!(knock(&user).await, IN, "{exp}");
    }
    assert_eq!(supabase.asked(), 4);
}

#[tokio::test]
async fn a_token_of_an_odd_shape_is_refused_without_a_call() {
    let supabase = Supabase::start().await;
    let server = server_of(&supabase, 10).await;
    let good = token();
    let parts: Vec<_> = good.split('.').collect();
    let (head, payload, signature) = (parts[0], parts[1], parts[2]);
    let encode = |payload: &str| BASE64_URL_SAFE_NO_PAD.encode(payload);
    let nested = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let odd = [
        "x".to_owned(),
        ".".to_owned(),
        "..".to_owned(),
        "...".to_owned(),
        "a.b".to_owned(),
        format!("{head}.{payload}"),
        format!("{head}.{payload}.{signature}.{signature}"),
        format!("{head}..{signature}"),
        format!("{head}.{payload}={signature}.x"),
        format!("{head}.{payload}==.{signature}"),
        format!("{head}.{payload}+.{signature}"),
        format!("{head}.{payload}/.{signature}"),
        format!("{head}.{payload}%00.{signature}"),
        format!("{good}!"),
        format!("{good},{good}"),
        format!("{head}.{}.{signature}", encode("not JSON")),
        format!("{head}.{}.{signature}", encode("")),
        format!("{head}.{}.{signature}", encode("[]")),
        format!("{head}.{}.{signature}", encode("null")),
        format!("{head}.{}.{signature}", encode("{\"sub\":1}")),
        format!("{head}.{}.{signature}", encode("{\"exp\":\"4000000000\"}")),
        format!("{head}.{}.{signature}", encode("{\"exp\":1e999}")),
        format!("{head}.{}.{signature}", encode("{\"sub\":\"a\",\"sub\":\"b\"}")),
        format!("{head}.{}.{signature}", encode("{\"exp\":4000000000,\"exp\":1}")),
        format!("{head}.{}.{signature}", encode("{\"sub\":\"a\"} {}")),
        format!("{head}.{}.{signature}", encode(&nested[..10_000])),
        format!("{head}.{payload}.{}", "s".repeat(16 * 1024)),
        format!("{head}.{payload}.{}", "s".repeat(100_000)),
    ];
    for token in odd {
        let shown: String = token.chars().take(80).collect();
        let answer = holder(&server, &token).get("/threads").await;
        assert_eq!(answer.status, 401, "{shown}: {}", answer.text);
        assert_eq!(answer.header("www-authenticate"), "Bearer error=\"invalid_token\"", "{shown}");
    }
    assert_eq!(supabase.asked(), 0);
    // The limit is where it is said to be.
    let longest =
        format!("{head}.{payload}.{}", "s".repeat(16 * 1024 - head.len() - payload.len() - 2));
    assert_eq!(knock(&holder(&server, &longest)).await, IN);
    let bytes = "Bearer \u{e9}.b.c".as_bytes();
    let request = server.nobody().request(reqwest::Method::GET, "/threads");
    let answer = Answer::of(request.header("authorization", bytes)).await;
    assert_eq!(answer.status, 401);
    assert_eq!(supabase.asked(), 1);
}

#[tokio::test]
async fn only_a_bad_jwt_is_remembered_as_bad_and_for_5_seconds() {
    let supabase = Supabase::start().await;
    let server = server_of(&supabase, 10).await;
    let (bad, signed_out) = (holder(&server, &token()), holder(&server, &token()));
    supabase.answer_to(&bad.token, Reply::error(403, "bad_jwt"));
    supabase.answer_to(&signed_out.token, Reply::error(403, "session_not_found"));
    let started = Instant::now();
    for _ in 0..3 {
        assert_eq!((knock(&bad).await, knock(&signed_out).await), (401, 401));
    }
    assert_eq!((supabase.asked_about(&bad.token), supabase.asked_about(&signed_out.token)), (1, 3));
    // Supabase changes its mind, as it does about sessions.
    supabase.recover();
    assert_eq!(knock(&signed_out).await, IN);
    if started.elapsed() < Duration::from_secs(4) {
        assert_eq!(knock(&bad).await, 401);
    }
    tokio::time::sleep(Duration::from_millis(5100).saturating_sub(started.elapsed())).await;
    assert_eq!(knock(&bad).await, IN);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn junk_does_not_push_out_accepted_tokens() {
    let supabase = Supabase::start().await;
    let server = server_of(&supabase, 600).await;
    let honest = holders(&server, 20);
    assert_eq!(knock_all(honest.clone(), 20).await, vec![IN; 20]);
    supabase.answer(Reply::error(403, "bad_jwt"));
    let junk = holders(&server, 3000);
    assert_eq!(knock_all(junk, 100).await, vec![401; 3000]);
    assert_eq!(knock_all(honest.clone(), 20).await, vec![IN; 20]);
    for user in &honest {
        assert_eq!(supabase.asked_about(&user.token), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_most_64_calls_are_in_flight_and_known_tokens_have_half_of_them() {
    let supabase = Supabase::start().await;
    // Without a cache a known token costs a call too.
    let server = server_of(&supabase, 0).await;
    let known = holders(&server, 100);
    assert_eq!(knock_all(known.clone(), 30).await, vec![IN; 100]);
    let slow = Duration::from_millis(300);
    for user in &known {
        supabase.answer_to(&user.token, honest(&user.token).after(slow));
    }
    supabase.answer(Reply::error(403, "session_not_found").after(slow));
    let strangers = holders(&server, 100);
    let (statuses, refused) = tokio::join!(knock_all(known, 100), knock_all(strangers, 100));
    assert_eq!((statuses, refused), (vec![IN; 100], vec![401; 100]));
    assert_eq!(supabase.most_under_way(), 64);
}

#[tokio::test]
async fn strangers_cannot_take_all_the_calls() {
    let supabase = Supabase::start().await;
    let server = server_of(&supabase, 0).await;
    let known = holder(&server, &token());
    assert_eq!(knock(&known).await, IN);
    let own = honest(&known.token);
    supabase.answer_to(&known.token, own);
    supabase.answer(Reply::BlackHole);
    let strangers = holders(&server, 100);
    let flood = tokio::spawn(knock_all(strangers, 100));
    until(async || (supabase.asked() > 32).then_some(())).await;
    let started = Instant::now();
    assert_eq!(knock(&known).await, IN);
    assert!(started.elapsed() < Duration::from_secs(2), "a known user waited for strangers");
    assert_eq!(supabase.most_under_way(), 33);
    assert_eq!(HashSet::from_iter(flood.await.unwrap()), HashSet::from([503]));
}

#[tokio::test]
async fn whoever_hangs_up_does_not_take_the_answer_from_those_who_wait() {
    let supabase = Supabase::start().await;
    let server = server_of(&supabase, 10).await;
    let token = token();
    let own = honest(&token);
    supabase.answer_to(&token, own.after(Duration::from_secs(1)));
    let user = holder(&server, &token);
    let first = tokio::spawn({
        let user = user.clone();
        async move { knock(&user).await }
    });
    until(async || (supabase.asked() > 0).then_some(())).await;
    let waiting = join_all((0..10).map(|_| knock(&user)));
    let hang_up = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        first.abort();
    };
    let (statuses, ()) = tokio::join!(waiting, hang_up);
    assert_eq!(statuses, vec![IN; 10]);
    assert!(supabase.asked() <= 2, "{}", supabase.asked());
}

/// Middle of the times that requests took, one after the other.
async fn median(user: &User, requests: usize) -> Duration {
    let mut times = Vec::with_capacity(requests);
    for _ in 0..requests {
        let started = Instant::now();
        assert_eq!(user.post("/threads/count", json!({})).await.status, 200);
        times.push(started.elapsed());
    }
    times.sort_unstable();
    times[requests / 2]
}

/// Memory of this process in KiB: the server is a part of it, as are its clients.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A measurement, for a machine that does nothing else:
/// `cargo test --release --test api -- --ignored --nocapture junk_tokens`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures time"]
#[expect(clippy::print_stderr, reason = "a measurement")]
async fn a_thousand_junk_tokens_in_flight_do_not_slow_a_known_user_by_2() {
    for ttl in [10, 0] {
        let supabase = Supabase::start().await;
        let server = server_of(&supabase, ttl).await;
        let user = holder(&server, &token());
        median(&user, 100).await;
        let slow = Duration::from_millis(50);
        supabase.answer_to(&user.token, honest(&user.token).after(slow));
        // Not remembered, so that every one of them costs a call every time.
        supabase.answer(Reply::error(403, "session_not_found").after(slow));
        let quiet = median(&user, 200).await;
        let junk = holders(&server, 1000);
        let flood = tokio::spawn(async move {
            loop {
                knock_all(junk.clone(), 1000).await;
            }
        });
        tokio::time::sleep(Duration::from_secs(3)).await;
        let before = resident();
        let flooded = median(&user, 200).await;
        let after = resident();
        flood.abort();
        let ratio = flooded.as_secs_f64() / quiet.as_secs_f64();
        eprintln!(
            "cache {ttl} s: median {quiet:?} alone, {flooded:?} with 1,000 junk tokens in flight, \
             {ratio:.2} times; memory {before} KiB at first, {after} KiB at last",
        );
        assert!(ratio < 2.0, "{ratio}");
        assert!(after < before + 32 * 1024, "{before} KiB, {after} KiB");
    }
}

#[tokio::test]
async fn strangers_whose_tokens_are_verified_take_no_place_of_a_known_user() {
    let supabase = Supabase::start().await;
    let server = TestServer::start_with(|config| {
        config.sign_in = supabase.sign_in(Mode::Remote);
        config.auth_cache_ttl = Duration::from_mins(1);
        config.limits.requests = 2;
    })
    .await;
    let known = holder(&server, &token());
    supabase.answer_to(&known.token, honest(&known.token));
    assert_eq!(knock(&known).await, IN);
    supabase.answer(Reply::BlackHole);
    let flood = tokio::spawn(knock_all(holders(&server, 100), 100));
    until(async || (in_use(&server, "verifications").await == 100).then_some(())).await;
    for _ in 0..20 {
        known.post("/threads/search", json!({})).await.expect(200);
    }
    assert!(!flood.is_finished());
    assert_eq!(HashSet::from_iter(flood.await.unwrap()), HashSet::from([503]));
}
