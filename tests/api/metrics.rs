//! What `/metrics` shows of what happened.

use serde_json::json;

use crate::raw::until;
use crate::sse::Events;
use crate::support::program::Program;
use crate::support::supabase::{Reply, Supabase, honest, token};
use crate::support::{TestServer, User};

/// A process of its own, because counters are the process's.
async fn start(settings: Vec<(&'static str, String)>) -> Program {
    let start = move || {
        let settings: Vec<_> =
            settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Program::start(&settings)
    };
    tokio::task::spawn_blocking(start).await.unwrap()
}

/// The number on the line of a metric with these labels.
async fn metric(client: &User, name: &str) -> u64 {
    let text = client.get("/metrics").await.text;
    let mut lines = text.lines();
    let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic_without(name, &text)).parse().unwrap()
}

#[expect(clippy::panic, reason = "a finding")]
fn panic_without(name: &str, text: &str) -> &'static str {
    panic!("no {name} in {text}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_is_counted() {
    let beside = TestServer::start().await;
    let somebody = beside.user().await;
    let expired = somebody.thread(json!({})).await;
    somebody.expire(&expired, "delete").await;

    let supabase = Supabase::start().await;
    let program = start(vec![
        ("DATABASE_URL", crate::support::postgres::url_of(&beside.database)),
        ("DATABASE_MAX_CONNECTIONS", "7".into()),
        ("SUPABASE_URL", supabase.url.clone()),
        ("SUPABASE_SERVICE_KEY", "sb_publishable_x".into()),
    ])
    .await;
    let good = token();
    supabase.answer_to(&good, honest(&good));
    let user = User { token: good, url: program.url.clone(), ..beside.nobody() };

    let version = env!("CARGO_PKG_VERSION");
    let build = format!("thread_store_build_info{{version=\"{version}\"}}");
    let count = async |name: &str| metric(&user, name).await;
    assert_eq!(count(&build).await, 1);
    assert_eq!(count("thread_store_database_connections_max").await, 7);

    let waits = count("thread_store_database_wait_seconds_count").await;
    let id = user.thread(json!({})).await;
    user.get(&format!("/threads/{id}")).await.expect(200);
    assert!(count("thread_store_database_wait_seconds_count").await >= waits + 2);
    let state = |state: &str| format!("thread_store_database_connections{{state=\"{state}\"}}");
    until(async || (count(&state("in_use")).await == 0).then_some(())).await;
    assert!(count(&state("idle")).await >= 1);

    let cache = |result: &str| format!("thread_store_auth_cache_total{{result=\"{result}\"}}");
    assert_eq!((count(&cache("miss")).await, count(&cache("hit")).await), (1, 1));
    let bad = User { token: token(), ..user.clone() };
    supabase.answer_to(&bad.token, Reply::error(403, "session_not_found"));
    bad.get(&format!("/threads/{id}")).await.expect(401);
    let gone = User { token: token(), ..user.clone() };
    supabase.answer_to(&gone.token, Reply::text(500, "text/plain", ""));
    gone.get(&format!("/threads/{id}")).await.expect(503);
    let calls = |outcome: &str| {
        let labels = format!("{{call=\"user\",outcome=\"{outcome}\"}}");
        format!("thread_store_auth_upstream_seconds_count{labels}")
    };
    assert_eq!(count(&calls("accepted")).await, 1);
    assert_eq!(count(&calls("refused")).await, 1);
    // It was tried twice.
    assert_eq!(count(&calls("unavailable")).await, 2);

    let requests = |status: u16| {
        let labels =
            format!("{{method=\"GET\",route=\"/threads/{{thread_id}}\",status=\"{status}\"}}");
        format!("http_request_duration_seconds_count{labels}")
    };
    for status in [200, 401, 503] {
        assert_eq!(count(&requests(status)).await, 1, "{status}");
    }

    assert_eq!(count("thread_store_in_use{kind=\"streams\"}").await, 0);
    let events = Events::of(&user, &id).await;
    assert_eq!(count("thread_store_in_use{kind=\"streams\"}").await, 1);
    // A stream is no request under way.
    assert_eq!(count("thread_store_in_use{kind=\"requests\"}").await, 0);
    drop(events);
    until(async || (count("thread_store_in_use{kind=\"streams\"}").await == 0).then_some(())).await;

    let deleted = "thread_store_sweeper_threads_total{action=\"deleted\"}";
    until(async || (count(deleted).await == 1).then_some(())).await;
    assert!(count("thread_store_sweeper_runs_total{outcome=\"ok\"}").await >= 1);
    assert_eq!(count("thread_store_sweeper_runs_total{outcome=\"error\"}").await, 0);
}

#[tokio::test]
async fn metrics_may_have_a_port_of_their_own_and_are_then_nowhere_else() {
    let server = TestServer::start_with(|config| config.metrics_port = Some(0)).await;
    let user = server.user().await;
    assert_eq!(server.nobody().get("/metrics").await.status, 403);
    assert_eq!(user.get("/metrics").await.status, 404);
    let apart = User { url: server.metrics_url.clone().unwrap(), ..server.nobody() };
    let metrics = apart.get("/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.header("content-type").starts_with("text/plain; version=0.0.4"));
    assert!(metrics.text.contains("thread_store_database_connections{state=\"idle\"}"));
    for path in ["/ok", "/threads", "/", "/auth/v1/health"] {
        assert_eq!(apart.get(path).await.status, 404, "{path}");
    }
    server.stop();
    server.stopped().await;
    assert!(apart.client.get(apart.url).send().await.is_err());
}
