//! What a long conversation costs.

use std::io::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{Executor as _, PgPool};

use crate::program::{Program, directory};
use crate::stream::sign_up;
use crate::support::{TestServer, User};

const MESSAGES: usize = 1_000;
const BYTES: usize = 1_024;

/// A message whose content has a kilobyte that does not compress well.
fn message() -> Value {
    let content: String = std::iter::repeat_with(|| uuid::Uuid::new_v4().simple().to_string())
        .take(BYTES / 32)
        .collect();
    json!({ "role": "user", "content": content })
}

async fn append(user: &User, thread: &str) {
    user.write(thread, json!({ "messages": [message()] })).await;
}

/// Bytes of the tables of the schema with all that belongs to them, after a vacuum: those of threads, and
/// those of their digests.
async fn size(pool: &PgPool) -> [i64; 2] {
    pool.execute("vacuum").await.unwrap();
    let size = "select coalesce(sum(pg_total_relation_size(oid)), 0)::bigint from pg_class \
                where relnamespace = 'thread_store'::regnamespace and relkind = 'r' \
                    and (relname like 'digest%') = $1";
    let of = |is_digest: bool| sqlx::query_scalar(size).bind(is_digest).fetch_one(pool);
    [of(false).await.unwrap(), of(true).await.unwrap()]
}

#[tokio::test]
async fn a_thousand_messages_with_a_checkpoint_each_take_at_most_three_times_their_bytes() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let empty = size(&server.pool).await;
    let thread = user.thread(json!({})).await;
    for _ in 0..MESSAGES {
        append(&user, &thread).await;
    }
    let full = size(&server.pool).await;
    let [grown, digests] = [full[0] - empty[0], full[1] - empty[1]];

    let state = user.get(&format!("/threads/{thread}/state")).await.expect(200);
    assert_eq!(state["values"]["messages"].as_array().unwrap().len(), MESSAGES);
    assert_eq!(state["metadata"]["step"], json!(MESSAGES - 1));
    let messages = i64::try_from(MESSAGES * BYTES).unwrap();
    let tenths = grown * 10 / messages;
    let line = format!(
        "{messages} bytes of messages grew to {grown}: {tenths} tenths, and {digests} of digests\n"
    );
    let _ = std::io::stderr().write_all(line.as_bytes());
    assert!(grown <= 3 * messages && digests * 10 <= 15 * messages, "{line}");
}

/// Against a release build:
/// `THREAD_STORE_TEST_PROGRAM=target/release/thread-store cargo test --test api \
/// time_of_an_append -- --ignored --nocapture`
#[tokio::test]
#[ignore = "a measurement, to be run by hand on a machine that does nothing else"]
async fn time_of_an_append_to_short_and_long_conversations() {
    let directory = directory();
    let mut program =
        Program::start(directory.path(), &[("PORT", "0"), ("DATA_DIR", "data")]).await;
    let user = sign_up(&program.url).await;
    let warm = user.thread(json!({})).await;
    for _ in 0..100 {
        append(&user, &warm).await;
    }
    // Five threads, and of each the ten appends around the 10th and around the 1,000th.
    let (mut early, mut late) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let thread = user.thread(json!({})).await;
        for n in 1..=1_005 {
            let begun = Instant::now();
            append(&user, &thread).await;
            match n {
                6..=15 => early.push(begun.elapsed()),
                996..=1_005 => late.push(begun.elapsed()),
                _ => {}
            }
        }
    }
    let (early, late) = (median(early), median(late));
    let ratio = late.as_secs_f64() / early.as_secs_f64();
    let line = format!("append: 10th {early:?}, 1,000th {late:?}, ratio {ratio:.2}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
    assert_eq!(program.end("-TERM").await.code(), Some(0));
    assert!(ratio <= 1.3, "{line}");
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
