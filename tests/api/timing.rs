//! Whether foreign and missing threads can be told apart by how long the answer takes. A
//! measurement, for a release build on a quiet machine:
//!
//! ```text
//! cargo test --release --test api timing -- --ignored --nocapture
//! ```

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

use serde_json::json;
use uuid::Uuid;

use crate::support::{TestServer, User};
use thread_store::auth::private_threads as private;

/// Requests of each kind.
const ROUNDS: usize = 3000;
/// Threads of each kind.
const THREADS: usize = 200;

/// Microseconds.
async fn timed(user: &User, path: &str) -> f64 {
    let begin = Instant::now();
    let answer = user.get(path).await;
    let elapsed = begin.elapsed();
    assert_eq!(answer.status, 404);
    elapsed.as_secs_f64() * 1e6
}

fn quantile(sorted: &[f64], part: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let at = ((sorted.len() - 1) as f64 * part) as usize;
    sorted[at]
}

/// How likely a random member of `one` is greater than one of `other`: 0.5 if nothing tells
/// them apart (the Mann-Whitney statistic by the number of pairs). And its z score.
#[expect(clippy::cast_precision_loss, reason = "some thousands")]
fn superiority(one: &[f64], other: &[f64]) -> (f64, f64) {
    let below = |value: f64| other.partition_point(|x| *x < value) as f64;
    let up_to = |value: f64| other.partition_point(|x| *x <= value) as f64;
    let wins: f64 = one.iter().map(|value| f64::midpoint(below(*value), up_to(*value))).sum();
    let (n, m) = (one.len() as f64, other.len() as f64);
    let chance = wins / (n * m);
    (chance, (chance - 0.5) / ((n + m + 1.0) / (12.0 * n * m)).sqrt())
}

/// Interleaves requests for both kinds, in an order that changes with every pair.
async fn measure(user: &User, kinds: [&[String]; 2], suffix: &str) -> [Vec<f64>; 2] {
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS + 200 {
        let first = usize::from(rand::random::<bool>());
        for kind in [first, 1 - first] {
            let id = &kinds[kind][rand::random_range(0..kinds[kind].len())];
            let time = timed(user, &format!("/threads/{id}{suffix}")).await;
            if round >= 200 {
                times[kind].push(time);
            }
        }
    }
    times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, for release builds"]
async fn foreign_and_missing_take_the_same_time() {
    let server = TestServer::start_policy(Duration::from_mins(10), private).await;
    let (owner, other) = (server.user().await, server.user().await);
    let (mut foreign, mut missing, mut missing_too) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..THREADS {
        let id = owner.thread(json!({ "metadata": { "topic": "timing" } })).await;
        owner.write(&id, json!({ "messages": [{ "role": "user", "content": "hi" }] })).await;
        foreign.push(id);
        missing.push(Uuid::now_v7().to_string());
        missing_too.push(Uuid::now_v7().to_string());
    }
    let mut report = String::new();
    for (name, kinds, suffix) in [
        ("foreign / missing, thread", [&foreign[..], &missing[..]], ""),
        ("missing / missing, thread", [&missing_too[..], &missing[..]], ""),
        ("foreign / missing, history", [&foreign[..], &missing[..]], "/history"),
        ("missing / missing, history", [&missing_too[..], &missing[..]], "/history"),
    ] {
        let [one, two] = measure(&other, kinds, suffix).await;
        let (chance, z) = superiority(&one, &two);
        let of = |times: &[f64]| [0.05, 0.5, 0.95].map(|part| quantile(times, part).round());
        let _ = writeln!(
            report,
            "{name}: p5, median, p95 in us {:?} / {:?}, P(first slower) {chance:.4}, z {z:.1}",
            of(&one),
            of(&two),
        );
        assert!((chance - 0.5).abs() < 0.1, "{report}");
    }
    let _ = std::io::stderr().write_all(report.as_bytes());
}
