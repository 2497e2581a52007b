//! Requests that share a statement against the same requests one after the other.

use std::collections::HashMap;

use futures::future::join_all;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use sqlx::Executor as _;

use crate::check;
use crate::support::steps::new_id;
use crate::support::{Answer, TestServer, User};

/// What a request is about. Each has a thread of its own, so their order does not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Own,
    Foreign,
    Missing,
    /// Its time is over, and nobody has swept it.
    Expired,
}

#[derive(Debug, Clone)]
enum Request {
    Read { with_ttl: bool },
    Create { if_exists: &'static str, metadata: Value, minutes: Option<f64> },
    Patch { metadata: Value, minutes: Option<f64> },
    Append(Value),
    List { by_other: bool, limit: u8, offset: u8 },
}

#[derive(Debug, Clone)]
struct Case {
    target: Target,
    /// Updates of state before the request.
    before: Vec<Value>,
    request: Request,
}

/// Also metadata that the database refuses.
fn metadata() -> impl Strategy<Value = Value> {
    select(vec![
        json!({}),
        json!({ "k": 1 }),
        json!({ "k": { "deep": ["x", null, 1.5] }, "other": "y" }),
        json!({ "owner": "somebody else" }),
        json!({ "boom": true }),
    ])
}

/// Also updates that are refused, before and after the thread was looked at.
fn values() -> impl Strategy<Value = Value> {
    let message =
        |id: &str, content: &str| json!({ "type": "human", "id": id, "content": content });
    select(vec![
        json!(null),
        json!({}),
        json!({ "a": 1 }),
        json!({ "a": { "b": [1, 2] }, "c": "x" }),
        json!({ "boom": "boom" }),
        json!({ "messages": [message("m1", "one")] }),
        json!({ "messages": [message("m1", "again"), message("m2", "two")], "a": 2 }),
        json!({ "messages": [{ "type": "remove", "id": "m1" }] }),
        json!({ "messages": [{ "type": "remove", "id": "__remove_all__" }, message("m3", "three")] }),
        json!({ "messages": "not a message" }),
        json!({ "messages": [{ "type": "no such type" }] }),
    ])
}

fn case() -> impl Strategy<Value = Case> {
    let minutes = || prop::option::weighted(0.2, Just(60.0));
    let request = prop_oneof![
        any::<bool>().prop_map(|with_ttl| Request::Read { with_ttl }),
        (select(vec!["raise", "do_nothing"]), metadata(), minutes()).prop_map(
            |(if_exists, metadata, minutes)| Request::Create { if_exists, metadata, minutes }
        ),
        (metadata(), minutes())
            .prop_map(|(metadata, minutes)| Request::Patch { metadata, minutes }),
        values().prop_map(Request::Append),
        values().prop_map(Request::Append),
        (any::<bool>(), 1..4_u8, 0..2_u8).prop_map(|(by_other, limit, offset)| Request::List {
            by_other,
            limit,
            offset
        }),
    ];
    let target = select(vec![
        Target::Own,
        Target::Own,
        Target::Own,
        Target::Foreign,
        Target::Missing,
        Target::Expired,
    ]);
    (target, vec(values(), 0..3), request).prop_map(|(target, before, request)| Case {
        target,
        before,
        request,
    })
}

/// One run of the cases: its users and threads are its own.
struct Run {
    /// By whom the requests are, of whom the foreign threads are, and of whom most lists are.
    users: [User; 3],
    threads: Vec<String>,
    cases: Vec<Case>,
}

impl Run {
    async fn prepare(server: &TestServer, cases: &[Case]) -> Run {
        let users = [server.user().await, server.user().await, server.user().await];
        let mut threads = Vec::new();
        for case in cases {
            let id = new_id();
            let owner = &users[usize::from(case.target == Target::Foreign)];
            if case.target != Target::Missing {
                owner.thread(json!({ "thread_id": id, "metadata": { "first": true } })).await;
                for values in &case.before {
                    let path = format!("/threads/{id}/state");
                    owner.post(&path, json!({ "values": values })).await;
                }
            }
            if case.target == Target::Expired {
                let expire = "update thread_store.thread set ttl_minutes = 1, \
                              ttl_strategy = 'delete', expires_at = now() - interval '1 hour' \
                              where thread_id = $1::uuid";
                let expired = sqlx::query(expire).bind(&id).execute(&server.pool).await;
                assert_eq!(expired.unwrap().rows_affected(), 1);
            }
            threads.push(id);
        }
        for number in 0..4 {
            let id = users[2].thread(json!({ "metadata": { "number": number } })).await;
            users[2].write(&id, json!({ "number": number })).await;
        }
        Run { users, threads, cases: cases.to_vec() }
    }

    async fn ask(&self, number: usize) -> Answer {
        let id = &self.threads[number];
        let path = format!("/threads/{id}");
        let ttl = |minutes: &Option<f64>| minutes.map(|minutes| json!({ "ttl": minutes }));
        let [user, other, lister] = &self.users;
        match &self.cases[number].request {
            Request::Read { with_ttl: true } => user.get(&format!("{path}?include=ttl")).await,
            Request::Read { with_ttl: false } => user.get(&path).await,
            Request::Create { if_exists, metadata, minutes } => {
                let mut body =
                    json!({ "thread_id": id, "if_exists": if_exists, "metadata": metadata });
                if let Some(ttl) = ttl(minutes) {
                    body["ttl"] = ttl;
                }
                user.post("/threads", body).await
            }
            Request::Patch { metadata, minutes } => {
                let mut body = json!({ "metadata": metadata });
                if let Some(ttl) = ttl(minutes) {
                    body["ttl"] = ttl;
                }
                user.patch(&path, body).await
            }
            Request::Append(values) => {
                user.post(&format!("{path}/state"), json!({ "values": values })).await
            }
            Request::List { by_other, limit, offset } => {
                let lister = if *by_other { other } else { lister };
                lister.post("/threads/search", json!({ "limit": limit, "offset": offset })).await
            }
        }
    }

    /// What two runs must have in common of a text: all but ids and times.
    fn plain(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (number, id) in self.threads.iter().enumerate() {
            text = text.replace(id, &format!("thread {number}"));
        }
        for (number, user) in self.users.iter().enumerate() {
            text = text.replace(&user.id, &format!("user {number}"));
        }
        let mut seen = HashMap::new();
        let words = text.split('"').map(|word| {
            let is_id = uuid::Uuid::parse_str(word).is_ok();
            if is_id || (word.starts_with("20") && word.ends_with("+00:00")) {
                let next = seen.len();
                format!(
                    "{} {}",
                    if is_id { "id" } else { "time" },
                    seen.entry(word).or_insert(next)
                )
            } else {
                word.to_owned()
            }
        });
        words.collect::<Vec<_>>().join("\"")
    }

    fn outcomes(&self, answers: &[Answer]) -> Vec<String> {
        let plain = |answer: &Answer| format!("{} {}", answer.status, self.plain(&answer.text));
        answers.iter().map(plain).collect()
    }

    /// What is there afterwards.
    async fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        for id in &self.threads {
            for user in &self.users {
                let history = format!("/threads/{id}/history");
                for path in [&format!("/threads/{id}?include=ttl"), &history] {
                    let answer = user.get(path).await;
                    left.push(format!("{} {}", answer.status, self.plain(&answer.text)));
                }
            }
        }
        left
    }
}

/// Requests answered by a statement for several so far.
async fn shared(server: &TestServer) -> u64 {
    let metrics = server.nobody().get("/metrics").await.text;
    let lines = metrics
        .lines()
        .filter(|line| line.starts_with("thread_store_database_batched_requests_total{"));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

/// The database refuses what has the key or the value `boom`, as it refuses numbers out of range.
const BOOM: &str = "
    create or replace function boom() returns trigger language plpgsql as $$
    begin
        raise exception 'boom' using errcode = '22003';
    end $$;
    create or replace trigger boom before insert or update on thread_store.thread
        for each row when (new.metadata ? 'boom') execute function boom();
    create or replace trigger boom before insert on thread_store.channel_value
        for each row when (new.channel = 'boom') execute function boom();
";

#[test]
fn requests_that_share_a_statement_are_answered_as_one_by_one() {
    check(10, &vec(case(), 40..80), &async |server, cases: Vec<Case>| {
        server.pool.execute(BOOM).await.unwrap();
        let alone = Run::prepare(server, &cases).await;
        let mut one_by_one = Vec::new();
        for number in 0..cases.len() {
            one_by_one.push(alone.ask(number).await);
        }
        let together = Run::prepare(server, &cases).await;
        let before = shared(server).await;
        let at_once = join_all((0..cases.len()).map(|number| together.ask(number))).await;
        assert!(shared(server).await > before, "none shared a statement");
        assert_eq!(together.outcomes(&at_once), alone.outcomes(&one_by_one));
        assert_eq!(together.left().await, alone.left().await);
    });
}
