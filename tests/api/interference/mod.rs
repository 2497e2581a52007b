//! Non-interference: whatever two users do, each is answered as if they were alone.
//!
//! A random sequence of both users' calls runs on a server. Then the tables are emptied and each
//! user's calls run again without the other's. Answers must be the same, headers included. The
//! one exception is that a client-chosen id may be in use by the other: such a creation is left
//! out of the second run.
//!
//! Ids that clients choose are the same in all runs. Those that the server makes are replaced by
//! names, in the order in which the user meets them; times by one word.
//!
//! The same is done with an agent beside, whose tables are attached and which writes for both users.

mod agents;

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};
use reqwest::Method;
use serde_json::{Value, json};
use thread_store::auth::{Auth, Authenticate, Decision, Event, Everything, SlotTaken};
use uuid::Uuid;

use crate::interference::agents::{Agents, KINDS, Put};
use crate::support::events::{Events, Next};
use crate::support::{Answer, TestServer, User};
use thread_store::auth::private_threads as private;

/// Ids that each user chooses for threads, and takes up again after a deletion.
const SLOTS: u8 = 3;
/// A fair time for what happens at once, on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// A thread as a user names it. Of these only `Own` and `Made` can be theirs, unless they take
/// an id of the other's.
#[derive(Debug, Clone, Copy)]
enum Thread {
    /// By the id that the user chose.
    Own(u8),
    /// By one that the other chose, or may choose.
    Foreign(u8),
    /// By the id that the server gave the user at some time.
    Made(u8),
    /// By one that it gave the other.
    ForeignMade(u8),
    /// By the id that the server has for what the user's agent calls otherwise.
    Agents(u8),
    /// By one that it has for what the other's does.
    ForeignAgents(u8),
}

/// A checkpoint as a user names it.
#[derive(Debug, Clone, Copy)]
enum Checkpoint {
    Newest,
    Own(u8),
    Foreign(u8),
}

/// A call.
#[derive(Debug, Clone)]
enum Call {
    Create {
        thread: Option<Thread>,
        metadata: u8,
        keep: bool,
        with_state: bool,
    },
    Get(Thread),
    Patch(Thread, u8),
    Delete(Thread),
    Copy(Thread),
    Prune(Vec<Thread>, bool),
    Search {
        metadata: Option<u8>,
        ids: Vec<Thread>,
        shape: u8,
    },
    Count {
        metadata: Option<u8>,
        by_values: bool,
    },
    State(Thread),
    StateAt(Thread, Checkpoint),
    StateByObject(Thread, Checkpoint, Thread),
    Write(Thread, Checkpoint, Option<Thread>, u8),
    History(Thread, Checkpoint, bool),
    Storage(Thread),
    Replay(Thread),
    Follow(Thread),
    /// No call, but what the agent does for the user.
    Put(Put),
}

fn thread(with_agent: bool) -> BoxedStrategy<Thread> {
    let own = prop_oneof![
        5 => (0..SLOTS).prop_map(Thread::Own),
        3 => (0..SLOTS).prop_map(Thread::Foreign),
        2 => (0..3u8).prop_map(Thread::Made),
        2 => (0..3u8).prop_map(Thread::ForeignMade),
    ];
    if !with_agent {
        return own.boxed();
    }
    let agents = prop_oneof![
        3 => (0..SLOTS).prop_map(Thread::Agents),
        2 => (0..SLOTS).prop_map(Thread::ForeignAgents),
    ];
    prop_oneof![2 => own, 1 => agents].boxed()
}

fn put() -> impl Strategy<Value = Call> {
    let put = (thread(true), prop::bool::weighted(0.8), 0..KINDS);
    put.prop_map(|(thread, names_owner, kind)| Call::Put(Put { thread, names_owner, kind }))
}

fn checkpoint() -> impl Strategy<Value = Checkpoint> {
    prop_oneof![
        2 => Just(Checkpoint::Newest),
        2 => (0..3u8).prop_map(Checkpoint::Own),
        2 => (0..3u8).prop_map(Checkpoint::Foreign),
    ]
}

fn call(with_agent: bool) -> BoxedStrategy<Call> {
    let thread = || thread(with_agent);
    let ids = || prop::collection::vec(thread(), 0..4);
    let one = prop_oneof![
        2 => thread().prop_map(Call::Get),
        3 => (thread(), 0..METADATA).prop_map(|(thread, metadata)| Call::Patch(thread, metadata)),
        1 => thread().prop_map(Call::Delete),
        2 => thread().prop_map(Call::Copy),
        1 => thread().prop_map(Call::Storage),
        1 => thread().prop_map(Call::Replay),
        1 => thread().prop_map(Call::Follow),
    ];
    let many = prop_oneof![
        1 => (ids(), any::<bool>()).prop_map(|(ids, delete)| Call::Prune(ids, delete)),
        3 => (prop::option::of(0..METADATA), ids(), 0..5u8)
            .prop_map(|(metadata, ids, shape)| Call::Search { metadata, ids, shape }),
        1 => (prop::option::of(0..METADATA), any::<bool>())
            .prop_map(|(metadata, by_values)| Call::Count { metadata, by_values }),
    ];
    let state = prop_oneof![
        2 => thread().prop_map(Call::State),
        2 => (thread(), checkpoint()).prop_map(|(thread, at)| Call::StateAt(thread, at)),
        2 => (thread(), checkpoint(), thread())
            .prop_map(|(thread, at, other)| Call::StateByObject(thread, at, other)),
        5 => (thread(), checkpoint(), prop::option::of(thread()), 0..4u8)
            .prop_map(|(thread, at, other, values)| Call::Write(thread, at, other, values)),
        2 => (thread(), checkpoint(), any::<bool>())
            .prop_map(|(thread, at, get)| Call::History(thread, at, get)),
    ];
    // Not an id that the other is given later: a user who had taken it would have two names for it.
    let chosen = thread().prop_map(|thread| match thread {
        Thread::ForeignMade(number) => Thread::Foreign(number),
        thread => thread,
    });
    let create = (prop::option::of(chosen), 0..METADATA, any::<bool>(), any::<bool>());
    let create = create.prop_map(|(thread, metadata, keep, with_state)| Call::Create {
        thread,
        metadata,
        keep,
        with_state,
    });
    let calls = prop_oneof![3 => create, 5 => one, 3 => many, 6 => state];
    if with_agent { prop_oneof![3 => calls, 1 => put()].boxed() } else { calls.boxed() }
}

/// How every sequence begins, so that most of it meets something: a thread of each user's with
/// states.
fn prelude(with_agent: bool) -> Vec<(bool, Call)> {
    let own = Thread::Own(0);
    let create = Call::Create { thread: Some(own), metadata: 6, keep: false, with_state: false };
    let write = |kind| Call::Write(own, Checkpoint::Newest, None, kind);
    let calls = [create, write(0), write(1)];
    let puts = [Thread::Own(1), Thread::Agents(0)]
        .map(|thread| Call::Put(Put { thread, names_owner: true, kind: 1 }));
    let puts = puts.into_iter().take(if with_agent { 2 } else { 0 });
    let both = calls.into_iter().chain(puts);
    both.flat_map(|call| [(false, call.clone()), (true, call)]).collect()
}

/// How many kinds of metadata there are.
const METADATA: u8 = 9;

/// Metadata to write or to search by, with forged owners and with what looks like operators.
fn metadata(kind: u8, users: &[User; 2]) -> Value {
    match kind {
        0 => json!({}),
        1 => json!({ "owner": users[0].id }),
        2 => json!({ "owner": users[1].id, "k": 1 }),
        3 => json!({ "owner": null }),
        4 => json!({ "owner": [users[0].id, users[1].id], "list": [1, { "x": 1, "y": 2 }] }),
        5 => json!({ "owner": { "$ne": "" }, "$or": [{ "owner": users[0].id }, {}] }),
        6 => json!({ "k": 1 }),
        7 => json!({ "list": [{ "x": 1 }] }),
        _ => json!({ "thread_id": users[0].id, "graph_id": "g", "owner": true }),
    }
}

fn values(kind: u8) -> Value {
    match kind {
        0 => json!({ "k": 1 }),
        1 => json!({ "messages": [{ "role": "user", "content": "hi" }] }),
        2 => json!({ "messages": [{ "role": "user", "content": "again", "id": "m" }], "k": 2 }),
        _ => json!(null),
    }
}

/// One run of one or both users' calls.
struct Run<'a> {
    users: &'a [User; 2],
    agents: Option<&'a Agents>,
    sides: [Side; 2],
}

/// What one user has met in this run.
#[derive(Default)]
struct Side {
    names: HashMap<String, String>,
    news: usize,
    made: Vec<String>,
    checkpoints: Vec<String>,
    follow: Option<(Thread, String, Events)>,
    transcript: Vec<String>,
}

/// An id for something of the other's that is not there in this run.
fn stand_in(kind: u128, number: u8) -> String {
    Uuid::from_u128(0x0dea_d000_0000_4000_8000_0000_0000_0000 + (kind << 8) + u128::from(number))
        .to_string()
}

impl Run<'_> {
    /// The id of a thread, which in answers is called by the name under which it was asked for.
    fn id(&mut self, who: usize, thread: Thread) -> String {
        let chosen = |of: usize, slot: u8| stand_in(0x10 + of as u128, slot);
        let made = |of: &Side, number: u8| of.made.get(usize::from(number)).cloned();
        let other = 1 - who;
        match thread {
            Thread::Own(slot) => chosen(who, slot),
            Thread::Foreign(slot) => chosen(other, slot),
            // Its name is the one it got in the answer that told of it.
            Thread::Made(number) => {
                made(&self.sides[who], number).unwrap_or_else(|| stand_in(0x20, number))
            }
            Thread::ForeignMade(number) => {
                let id = made(&self.sides[other], number);
                let id = id.unwrap_or_else(|| stand_in(0x30, number));
                self.name(who, &id, format!("<other's thread {number}>"));
                id
            }
            Thread::Agents(slot) => self.agents.unwrap().named(who, slot).1,
            Thread::ForeignAgents(slot) => self.agents.unwrap().named(other, slot).1,
        }
    }

    fn checkpoint(&mut self, who: usize, checkpoint: Checkpoint) -> Option<String> {
        match checkpoint {
            Checkpoint::Newest => None,
            Checkpoint::Own(number) => {
                let own = &self.sides[who].checkpoints;
                let own = own.get(usize::from(number)).cloned();
                Some(own.unwrap_or_else(|| stand_in(0x40, number)))
            }
            Checkpoint::Foreign(number) => {
                let id = self.sides[1 - who].checkpoints.get(usize::from(number)).cloned();
                let id = id.unwrap_or_else(|| stand_in(0x50, number));
                self.name(who, &id, format!("<other's checkpoint {number}>"));
                Some(id)
            }
        }
    }

    fn name(&mut self, who: usize, id: &str, name: String) {
        self.sides[who].names.insert(id.to_owned(), name);
    }

    /// Answers whether there was anything for the agent to do for this user.
    async fn put(&mut self, who: usize, put: Put) -> bool {
        let checkpoint = self.agents.unwrap().put(self.users, who, put).await;
        let is_done = checkpoint.is_some();
        self.sides[who].checkpoints.extend(checkpoint);
        is_done
    }

    async fn call(&mut self, who: usize, call: &Call) -> Answer {
        let request = self.request(who, call);
        let answer = Answer::but_for_streams(request).await;
        let seen = self.normal(who, &answer);
        self.sides[who].transcript.push(format!("{call:?}\n    {seen}"));
        if answer.status.is_success() {
            self.learn(who, call, &answer).await;
        }
        answer
    }

    /// Takes note of ids, and reads streams.
    async fn learn(&mut self, who: usize, call: &Call, answer: &Answer) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match call {
            Call::Create { thread: None, .. } | Call::Copy(_) => {
                self.sides[who].made.push(text(&answer.json()["thread_id"]));
            }
            Call::Write(..) => {
                self.sides[who].checkpoints.push(text(&answer.json()["checkpoint_id"]));
            }
            // How far the stream had come by then is a matter of time.
            Call::Delete(thread) => self.unfollow(who, &[*thread]),
            Call::Prune(threads, _) => self.unfollow(who, threads),
            Call::Replay(thread) => self.replay(who, *thread).await,
            Call::Follow(thread) => {
                let id = self.id(who, *thread);
                let events = self.users[who].events(&id, false).await;
                self.sides[who].follow = Some((*thread, id, events));
            }
            _ => {}
        }
    }

    fn unfollow(&mut self, who: usize, threads: &[Thread]) {
        let ids: Vec<_> = threads.iter().map(|thread| self.id(who, *thread)).collect();
        self.sides[who].follow.take_if(|(_, followed, _)| ids.contains(followed));
    }

    fn request(&mut self, who: usize, call: &Call) -> reqwest::RequestBuilder {
        match call {
            Call::Create { .. } | Call::Prune(..) | Call::Search { .. } | Call::Count { .. } => {
                self.request_for_many(who, call)
            }
            Call::StateAt(..) | Call::StateByObject(..) | Call::Write(..) | Call::History(..) => {
                self.request_for_state(who, call)
            }
            Call::Put(_) => unreachable!("no call"),
            Call::Get(thread) => self.plain(who, Method::GET, *thread, "?include=ttl"),
            Call::Delete(thread) => self.plain(who, Method::DELETE, *thread, ""),
            Call::Copy(thread) => self.plain(who, Method::POST, *thread, "/copy"),
            Call::State(thread) => self.plain(who, Method::GET, *thread, "/state"),
            Call::Storage(thread) => self.plain(who, Method::GET, *thread, "/storage"),
            Call::Replay(thread) | Call::Follow(thread) => {
                self.plain(who, Method::GET, *thread, "/stream?stream_modes=state_update")
            }
            Call::Patch(thread, kind) => {
                let body = json!({ "metadata": metadata(*kind, self.users) });
                self.plain(who, Method::PATCH, *thread, "").json(&body)
            }
        }
    }

    fn plain(
        &mut self,
        who: usize,
        method: Method,
        thread: Thread,
        rest: &str,
    ) -> reqwest::RequestBuilder {
        let id = self.id(who, thread);
        self.users[who].request(method, &format!("/threads/{id}{rest}"))
    }

    fn request_for_many(&mut self, who: usize, call: &Call) -> reqwest::RequestBuilder {
        let (path, body) = match call {
            Call::Create { thread, metadata: kind, keep, with_state } => {
                let mut body = json!({ "metadata": metadata(*kind, self.users) });
                if let Some(thread) = thread {
                    body["thread_id"] = json!(self.id(who, *thread));
                }
                if *keep {
                    body["if_exists"] = json!("do_nothing");
                }
                if *with_state {
                    let update = json!({ "values": values(1), "as_node": "n" });
                    body["supersteps"] = json!([{ "updates": [update] }]);
                }
                ("/threads", body)
            }
            Call::Prune(threads, delete) => {
                let ids: Vec<_> = threads.iter().map(|thread| self.id(who, *thread)).collect();
                let strategy = if *delete { "delete" } else { "keep_latest" };
                ("/threads/prune", json!({ "thread_ids": ids, "strategy": strategy }))
            }
            Call::Search { metadata: kind, ids, shape } => {
                let ids: Vec<_> = ids.iter().map(|thread| self.id(who, *thread)).collect();
                ("/threads/search", self.search(*kind, &ids, *shape))
            }
            Call::Count { metadata: kind, by_values } => {
                let mut body = self.search(*kind, &[], 0);
                if *by_values {
                    body["values"] = json!({ "k": 1 });
                }
                ("/threads/count", body)
            }
            _ => unreachable!("not about many"),
        };
        self.users[who].request(Method::POST, path).json(&body)
    }

    fn search(&self, kind: Option<u8>, ids: &[String], shape: u8) -> Value {
        let mut body = match shape {
            0 => json!({ "limit": 100 }),
            1 => json!({ "limit": 2, "offset": 1, "sort_by": "created_at", "sort_order": "asc" }),
            2 => json!({ "values": { "messages": [{ "content": "hi" }] } }),
            3 => json!({ "select": ["values"], "extract": { "o": "metadata.owner" } }),
            _ => json!({ "limit": 1, "sort_by": "thread_id", "status": "idle" }),
        };
        if let Some(kind) = kind {
            body["metadata"] = metadata(kind, self.users);
        }
        if !ids.is_empty() {
            body["ids"] = json!(ids);
        }
        body
    }

    fn request_for_state(&mut self, who: usize, call: &Call) -> reqwest::RequestBuilder {
        match call {
            Call::StateAt(thread, at) => {
                let at = self.checkpoint(who, *at).unwrap_or_else(|| "none".to_owned());
                self.plain(who, Method::GET, *thread, &format!("/state/{at}"))
            }
            Call::StateByObject(thread, at, other) => {
                let at = self.checkpoint(who, *at);
                let named = self.id(who, *other);
                let checkpoint =
                    json!({ "checkpoint_id": at.unwrap_or_default(), "thread_id": named });
                let request = self.plain(who, Method::POST, *thread, "/state/checkpoint");
                request.json(&json!({ "checkpoint": checkpoint }))
            }
            Call::Write(thread, at, other, kind) => {
                let mut body = json!({ "values": values(*kind) });
                if let Some(at) = self.checkpoint(who, *at) {
                    body["checkpoint"] = json!({ "checkpoint_id": at });
                    if let Some(other) = other {
                        body["checkpoint"]["thread_id"] = json!(self.id(who, *other));
                    }
                }
                self.plain(who, Method::POST, *thread, "/state").json(&body)
            }
            Call::History(thread, before, true) => {
                // An id says a time, whosever it is: a stand-in for a foreign one would say another.
                let before = match *before {
                    Checkpoint::Foreign(number) => Checkpoint::Own(number),
                    before => before,
                };
                let before = self.checkpoint(who, before);
                let before = before.map_or(String::new(), |before| format!("?before={before}"));
                self.plain(who, Method::GET, *thread, &format!("/history{before}"))
            }
            Call::History(thread, at, false) => {
                let body = match self.checkpoint(who, *at) {
                    Some(at) => json!({ "checkpoint": { "checkpoint_id": at } }),
                    None => json!({ "metadata": { "thread_id": self.id(who, *thread) } }),
                };
                self.plain(who, Method::POST, *thread, "/history").json(&body)
            }
            _ => unreachable!("not about state"),
        }
    }

    /// Reads the stream of a thread from its beginning: as many events as there are states.
    async fn replay(&mut self, who: usize, thread: Thread) {
        let id = self.id(who, thread);
        let history = self.users[who].get(&format!("/threads/{id}/history?limit=1000")).await;
        let states = history.expect(200).as_array().unwrap().len();
        let mut events = self.users[who].events(&id, true).await;
        for _ in 0..states {
            let Next::Event(event) = events.next(SOON).await else { unreachable!("no event") };
            let event = self.named(who, &event);
            self.sides[who].transcript.push(event);
        }
        let more = events.next(Duration::from_millis(20)).await;
        assert_eq!(more, Next::Silence, "more events than states");
    }

    /// Writes a last word into the followed thread, if it is there, and reads up to it.
    async fn end(&mut self, who: usize) {
        let Some((thread, id, mut events)) = self.sides[who].follow.take() else { return };
        let word = json!({ "values": { "last": "word" } });
        let written = self.users[who].post(&format!("/threads/{id}/state"), word).await;
        let told = self.normal(who, &written);
        self.sides[who].transcript.push(format!("last word to {thread:?}\n    {told}"));
        if written.status != 200 {
            return;
        }
        loop {
            let Next::Event(event) = events.next(SOON).await else { unreachable!("no event") };
            let seen = self.named(who, &event);
            self.sides[who].transcript.push(seen);
            if event.contains("\"last\":\"word\"") {
                return;
            }
        }
    }

    /// An answer without what differs between runs.
    fn normal(&mut self, who: usize, answer: &Answer) -> String {
        let (status, headers, text) = answer.visible();
        let mut seen = status.to_string();
        let has_bytes = text.contains("total_bytes");
        for (name, value) in headers {
            if has_bytes && name == "content-length" {
                continue;
            }
            let value = if name == "content-length" {
                length(&value, &text)
            } else if name == "x-pagination-cursor" {
                // Times and ids, which are not the same in all runs.
                let cursor = BASE64_URL_SAFE_NO_PAD.decode(value).unwrap();
                self.named(who, &String::from_utf8(cursor).unwrap())
            } else {
                value
            };
            let _ = write!(seen, " {name}:{value}");
        }
        format!("{seen}\n    {}", self.named(who, &text))
    }

    /// Text with names for ids and times.
    fn named(&mut self, who: usize, text: &str) -> String {
        let fixed: HashSet<String> = self.users.iter().map(|user| user.id.clone()).collect();
        let side = &mut self.sides[who];
        let mut named = String::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if let Some(id) =
                rest.get(..36).filter(|id| id.is_ascii() && Uuid::parse_str(id).is_ok())
            {
                if fixed.contains(id) || id.starts_with("0dead000") && !side.names.contains_key(id)
                {
                    named.push_str(id);
                } else {
                    let new = format!("<{}>", side.news);
                    let name = side.names.entry(id.to_owned()).or_insert_with(|| {
                        side.news += 1;
                        new
                    });
                    named.push_str(name);
                }
                rest = &rest[36..];
            } else if let Some(length) = time(rest) {
                named.push_str("<time>");
                rest = &rest[length..];
            } else if let Some((name, digits)) = number(rest) {
                named.push_str(name);
                rest = digits.trim_start_matches(|c: char| c.is_ascii_digit());
            } else {
                named.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
        named
    }
}

/// Numbers that are not the same in all runs: the milliseconds of an event's id, and how many
/// bytes a row takes, which Postgres counts with or without some of its own (how many rows there
/// are is compared).
fn number(text: &str) -> Option<(&'static str, &str)> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    // The number of an agent's checkpoint is a time too.
    let time = text.strip_prefix('-').filter(|text| digits(text) > 16);
    if let Some(time) = time {
        return Some(("-<time>", time));
    }
    let event = text.strip_prefix("id: ").map(|digits| ("id: <ms>", digits));
    event.or_else(|| text.strip_prefix("bytes\":").map(|digits| ("bytes\":<bytes>", digits)))
}

/// The length of a time at the beginning: `2026-11-22T14:00:21.293053+00:00`, or [`WHOLE`].
fn time(text: &str) -> Option<usize> {
    [32, WHOLE].into_iter().find(|length| {
        text.get(..*length).is_some_and(|text| {
            text.starts_with("20") && text.as_bytes()[10] == b'T' && text.ends_with("+00:00")
        })
    })
}

/// The length of a time that is a whole second, which is written without a fraction.
const WHOLE: usize = 25;

/// The length of an answer in which no time is a whole second.
fn length(header: &str, text: &str) -> String {
    let wholes = text.char_indices().filter(|(at, _)| time(&text[*at..]) == Some(WHOLE)).count();
    (header.parse::<usize>().unwrap() + (32 - WHOLE) * wholes).to_string()
}

/// A server whose tables are emptied between runs, and its two users.
struct Stage {
    server: TestServer,
    users: [User; 2],
    agents: Option<Agents>,
}

impl Stage {
    async fn build(policy: impl FnOnce(Box<dyn Authenticate>) -> Result<Auth, SlotTaken>) -> Stage {
        let server = TestServer::start_policy(Duration::from_mins(10), policy).await;
        let users = [server.user().await, server.user().await];
        Stage { server, users, agents: None }
    }

    /// The same with an agent beside.
    async fn with_agent(self) -> Stage {
        let agents = Agents::beside(&self.server).await;
        Stage { agents: Some(agents), ..self }
    }

    async fn owner_of(&self, thread_id: &str) -> Option<String> {
        sqlx::query_scalar(
            "select metadata ->> 'owner' from thread_store.thread where thread_id = $1::uuid",
        )
        .bind(thread_id)
        .fetch_optional(&self.server.pool)
        .await
        .unwrap()
        .flatten()
    }

    /// Takes away what the run before has left.
    async fn empty(&self) {
        if let Some(agents) = &self.agents {
            agents.empty().await;
        }
        for table in ["thread", "thread_directory"] {
            let delete = sqlx::AssertSqlSafe(format!("delete from thread_store.{table}"));
            sqlx::query(delete).execute(&self.server.pool).await.unwrap();
        }
    }

    fn begin(&self) -> Run<'_> {
        let agents = self.agents.as_ref();
        let mut run = Run { users: &self.users, agents, sides: <[Side; 2]>::default() };
        for (id, name) in agents.map(Agents::names).unwrap_or_default() {
            run.name(0, &id, name.clone());
            run.name(1, &id, name);
        }
        run
    }

    /// Runs these calls and answers each user's transcript, with the numbers of the calls that
    /// met an id which the other had taken.
    async fn run(&self, calls: &[(usize, usize, Call)]) -> ([Vec<String>; 2], HashSet<usize>) {
        self.empty().await;
        let mut run = self.begin();
        let mut taken = HashSet::new();
        for (number, who, call) in calls {
            if let Call::Put(put) = call {
                if !run.put(*who, *put).await {
                    taken.insert(*number);
                }
                continue;
            }
            let answer = run.call(*who, call).await;
            let Call::Create { thread: Some(thread), .. } = call else { continue };
            let id = run.id(*who, *thread);
            if answer.status == 409 && self.owner_of(&id).await != Some(self.users[*who].id.clone())
            {
                assert_eq!(answer.detail(), format!("Thread with ID {id} already exists"));
                run.sides[*who].transcript.pop();
                taken.insert(*number);
            }
        }
        for who in 0..2 {
            run.end(who).await;
        }
        (run.sides.map(|side| side.transcript), taken)
    }

    /// `None`: each user was answered as if alone. Otherwise the first difference.
    async fn difference(&self, calls: &[(bool, Call)]) -> Option<String> {
        let calls: Vec<_> = calls
            .iter()
            .enumerate()
            .map(|(number, (second, call))| (number, usize::from(*second), call.clone()))
            .collect();
        let (together, taken) = self.run(&calls).await;
        for who in 0..2 {
            let mut own = calls.clone();
            own.retain(|(number, caller, _)| *caller == who && !taken.contains(number));
            let (alone, _) = self.run(&own).await;
            let pairs = together[who].iter().zip(&alone[who]);
            if let Some((one, other)) = pairs.into_iter().find(|(one, other)| one != other) {
                return Some(format!("user {who}\ntogether: {one}\nalone: {other}"));
            }
            if together[who].len() != alone[who].len() {
                return Some(format!("user {who}: {} answers", together[who].len()));
            }
        }
        None
    }

    /// Looks for a sequence of calls by which one user can tell that the other is there.
    fn search_for_interference(
        &self,
        runtime: &tokio::runtime::Runtime,
        config: Config,
    ) -> Result<(), TestError<Vec<(bool, Call)>>> {
        let with_agent = self.agents.is_some();
        let calls = prop::collection::vec((any::<bool>(), call(with_agent)), 1..40);
        let begin = move |random: Vec<_>| prelude(with_agent).into_iter().chain(random).collect();
        let calls = calls.prop_map(begin);
        TestRunner::new(config).run(&calls, |calls| {
            let calls: Vec<_> = calls;
            match runtime.block_on(self.difference(&calls)) {
                None => Ok(()),
                Some(difference) => Err(TestCaseError::fail(difference)),
            }
        })
    }
}

fn config() -> Config {
    let mut config = Config { failure_persistence: None, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 64;
    }
    config
}

#[test]
fn each_user_is_answered_as_if_alone() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stage = runtime.block_on(Stage::build(private));
    if let Err(found) = stage.search_for_interference(&runtime, config()) {
        unreachable!("{found}");
    }
}

#[test]
fn each_user_is_answered_as_if_alone_beside_an_agent_that_writes_for_both() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stage = runtime.block_on(async { Stage::build(private).await.with_agent().await });
    if let Err(found) = stage.search_for_interference(&runtime, config()) {
        unreachable!("{found}");
    }
    // Or there was nothing of the agent's to be told apart.
    let search = Call::Search { metadata: None, ids: Vec::new(), shape: 0 };
    let calls =
        prelude(true).into_iter().filter(|(second, _)| !second).map(|(_, call)| (0, 0, call));
    let calls: Vec<_> = calls.chain([(0, 0, search)]).collect();
    let (told, _) = runtime.block_on(stage.run(&calls));
    assert!(told[0].last().unwrap().contains("<agent's 0 0>"), "{:?}", told[0]);
}

/// The control: the search finds the difference where there is one.
#[test]
fn the_search_for_interference_finds_it_where_nothing_is_private() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let open = |authenticate| {
        Auth::new(authenticate).on(Everything, |event: &mut Event<'_>| {
            let owner = event.user.identity.as_str().into();
            event.stamp("by", owner);
            Decision::Allow
        })
    };
    let stage = runtime.block_on(Stage::build(open));
    let config = Config { cases: 200, max_shrink_iters: 0, ..config() };
    assert!(stage.search_for_interference(&runtime, config).is_err());
}

#[test]
fn a_time_that_is_a_whole_second_is_a_time_like_any_other() {
    let whole = "[\"2026-11-22T14:00:21+00:00\"]";
    assert_eq!((time(&whole[2..]), length("29", whole)), (Some(25), "36".to_owned()));
    let other = "[\"2026-11-22T14:00:21.293053+00:00\"]";
    assert_eq!((time(&other[2..]), length("36", other)), (Some(32), "36".to_owned()));
}
