//! The isolation matrix: every endpoint and method, asked by everybody who might ask.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use thread_store::auth::Action;
use uuid::Uuid;

use crate::support::{Answer, TestServer, User};
use thread_store::auth::private_threads as private;

/// Operations that need no token, each for its reason: they tell of the server, not of threads.
const SYSTEM: [&str; 5] = ["get /", "get /ok", "get /readyz", "get /info", "get /metrics"];

/// A thread with two checkpoints for one cell of the table.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) thread_id: String,
    pub(crate) checkpoint_id: String,
}

impl Subject {
    /// A thread of this user, with more metadata.
    pub(crate) async fn of(owner: &User, mut metadata: Value) -> Subject {
        let thread_id = Uuid::new_v4().to_string();
        metadata["mark"] = json!(thread_id);
        owner.thread(json!({ "thread_id": thread_id, "metadata": metadata })).await;
        let checkpoint_id = owner.write(&thread_id, json!({ "secret": "first" })).await;
        owner.write(&thread_id, json!({ "messages": [{ "role": "user", "content": "hi" }] })).await;
        Subject { thread_id, checkpoint_id }
    }

    /// One that exists nowhere.
    pub(crate) fn missing() -> Subject {
        Subject { thread_id: Uuid::new_v4().to_string(), checkpoint_id: Uuid::new_v4().to_string() }
    }
}

/// What somebody who may not see the thread is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hidden {
    /// 404, as for a missing thread.
    NotFound,
    /// 200 with this body: the thread is left out, as a missing one.
    LeftOut(&'static str),
    /// 200 with other threads of the caller.
    Unnamed,
    /// 409: the one thing that a client-chosen id gives away.
    InUse,
    /// The request names no thread: the caller gets a new one.
    Unrelated,
}

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) method: &'static str,
    /// As the `OpenAPI` document spells it.
    pub(crate) path: &'static str,
    /// More of the request: a query, or a word about the body.
    pub(crate) variant: &'static str,
    /// What the on handlers are asked about.
    pub(crate) action: Action,
    pub(crate) hidden: Hidden,
    /// The status of a success.
    pub(crate) success: u16,
    body: Option<fn(&Subject) -> Value>,
}

const fn row(method: &'static str, path: &'static str, action: Action, success: u16) -> Row {
    Row { method, path, variant: "", action, hidden: Hidden::NotFound, success, body: None }
}

impl Row {
    const fn body(self, body: fn(&Subject) -> Value) -> Row {
        Row { body: Some(body), ..self }
    }

    const fn hidden(self, hidden: Hidden) -> Row {
        Row { hidden, ..self }
    }

    const fn variant(self, variant: &'static str) -> Row {
        Row { variant, ..self }
    }

    /// The name of its operation.
    fn operation(&self) -> String {
        format!("{} {}", self.method.to_lowercase(), self.path)
    }

    pub(crate) fn request(&self, user: &User, subject: &Subject) -> reqwest::RequestBuilder {
        let path = self.path.replace("{thread_id}", &subject.thread_id);
        let mut path = path.replace("{checkpoint_id}", &subject.checkpoint_id);
        if self.variant.starts_with('?') {
            path.push_str(self.variant);
        }
        let request = user.request(Method::from_bytes(self.method.as_bytes()).unwrap(), &path);
        match self.body {
            Some(body) => request.json(&body(subject)),
            None => request,
        }
    }

    pub(crate) async fn send(&self, user: &User, subject: &Subject) -> Answer {
        Answer::but_for_streams(self.request(user, subject)).await
    }

    pub(crate) fn is_head(&self) -> bool {
        self.method == "HEAD"
    }
}

const THREAD: &str = "/threads/{thread_id}";
const STATE: &str = "/threads/{thread_id}/state";
const STATE_AT: &str = "/threads/{thread_id}/state/{checkpoint_id}";
const HISTORY: &str = "/threads/{thread_id}/history";
const EXPORT: &str = "/threads/{thread_id}/export";
const STORAGE: &str = "/threads/{thread_id}/storage";
const STREAM: &str = "/threads/{thread_id}/stream";

/// The table. Every operation of the `OpenAPI` document is in it, GET as HEAD too.
pub(crate) fn table() -> Vec<Row> {
    let mut table = creating();
    table.extend(many_at_once());
    table.extend(one_thread());
    table.extend(state());
    table
}

fn creating() -> Vec<Row> {
    let create = row("POST", "/threads", Action::Create, 200);
    let with_state = |t: &Subject| {
        let updates = json!([{ "values": { "secret": 2 }, "as_node": "n" }]);
        json!({
            "thread_id": t.thread_id,
            "if_exists": "do_nothing",
            "supersteps": [{ "updates": updates }],
        })
    };
    vec![
        create.hidden(Hidden::Unrelated).body(|_| json!({ "metadata": { "new": true } })),
        create
            .variant("an id in use")
            .hidden(Hidden::InUse)
            .body(|t| json!({ "thread_id": t.thread_id, "if_exists": "do_nothing" })),
        create.variant("an id in use, with state").hidden(Hidden::InUse).body(with_state),
        row("POST", "/threads/{thread_id}/copy", Action::Read, 200),
    ]
}

fn many_at_once() -> Vec<Row> {
    let search = row("POST", "/threads/search", Action::Search, 200).hidden(Hidden::LeftOut("[]"));
    let count = row("POST", "/threads/count", Action::Search, 200).hidden(Hidden::LeftOut("0"));
    let prune = row("POST", "/threads/prune", Action::Delete, 200);
    vec![
        search.variant("by id").body(|t| json!({ "ids": [t.thread_id] })),
        search.variant("by metadata").body(|t| json!({ "metadata": { "mark": t.thread_id } })),
        search.variant("by values").body(|t| {
            json!({ "ids": [t.thread_id], "values": { "secret": "first" }, "select": ["values"] })
        }),
        search.variant("extracting").body(|t| {
            json!({
                "ids": [t.thread_id],
                "select": ["thread_id"],
                "extract": { "secret": "values.secret" },
            })
        }),
        count.body(|t| json!({ "metadata": { "mark": t.thread_id } })),
        count.variant("by values").body(|t| {
            json!({ "metadata": { "mark": t.thread_id }, "values": { "secret": "first" } })
        }),
        search.variant("by conditions").body(
            |t| json!({ "filter": { "metadata.mark": { "$in": [t.thread_id, "x"] } } }),
        ),
        search.variant("by words").body(|t| json!({ "ids": [t.thread_id], "query": "hi" })),
        count
            .variant("by words")
            .body(|t| json!({ "metadata": { "mark": t.thread_id }, "query": "hi" })),
        row("GET", "/export", Action::Search, 200).hidden(Hidden::Unnamed),
        row("HEAD", "/export", Action::Search, 200).hidden(Hidden::Unnamed),
        prune.body(|t| json!({ "thread_ids": [t.thread_id] })),
        prune
            .variant("keep_latest")
            .body(|t| json!({ "thread_ids": [t.thread_id], "strategy": "keep_latest" })),
    ]
}

fn one_thread() -> Vec<Row> {
    vec![
        row("GET", THREAD, Action::Read, 200),
        row("GET", THREAD, Action::Read, 200).variant("?include=ttl"),
        row("HEAD", THREAD, Action::Read, 200),
        row("PATCH", THREAD, Action::Update, 200).body(|_| json!({ "metadata": { "seen": 1 } })),
        row("PATCH", THREAD, Action::Update, 200).variant("empty").body(|_| json!({})),
        row("PATCH", THREAD, Action::Delete, 200)
            .variant("with an end")
            .body(|_| json!({ "ttl": { "ttl": 60, "strategy": "delete" } })),
        row("DELETE", THREAD, Action::Delete, 204),
        row("GET", EXPORT, Action::Read, 200),
        row("GET", EXPORT, Action::Read, 200).variant("?format=markdown"),
        row("HEAD", EXPORT, Action::Read, 200),
        row("GET", STORAGE, Action::Read, 200),
        row("HEAD", STORAGE, Action::Read, 200),
        row("GET", STREAM, Action::Read, 200),
        row("GET", STREAM, Action::Read, 200).variant("?stream_modes=state_update"),
        row("HEAD", STREAM, Action::Read, 200),
        row("POST", "/threads/{thread_id}/stream/events", Action::Read, 200)
            .body(|_| json!({ "channels": ["lifecycle"] })),
    ]
}

fn state() -> Vec<Row> {
    let update = row("POST", STATE, Action::Update, 200);
    vec![
        row("GET", STATE, Action::Read, 200),
        row("HEAD", STATE, Action::Read, 200),
        update.body(|_| json!({ "values": { "secret": "second" } })),
        update
            .variant("onto a checkpoint")
            .body(|t| json!({ "values": { "x": 1 }, "checkpoint_id": t.checkpoint_id })),
        row("GET", STATE_AT, Action::Read, 200),
        row("HEAD", STATE_AT, Action::Read, 200),
        row("POST", "/threads/{thread_id}/state/checkpoint", Action::Read, 200)
            .body(|t| json!({ "checkpoint": { "checkpoint_id": t.checkpoint_id } })),
        row("GET", HISTORY, Action::Read, 200),
        row("HEAD", HISTORY, Action::Read, 200),
        row("POST", HISTORY, Action::Read, 200).body(|_| json!({ "limit": 5 })),
    ]
}

/// Those who are not let in, with the status that each is answered.
struct Strangers(Vec<(&'static str, u16, User, Option<String>)>);

impl Strangers {
    async fn at(server: &TestServer, owner: &User) -> Strangers {
        let (signed_out, banned) = (server.user().await, server.user().await);
        for user in [&signed_out, &banned] {
            // Both were good once, and what they carry is well-formed.
            user.post("/threads/count", json!({})).await.expect(200);
        }
        signed_out.sign_out().await;
        server.change_user(&banned, "banned_until = now() + interval '1 hour'").await;
        let nobody = server.nobody();
        let header = |text: String| Some(text);
        let (head, _) = owner.token.rsplit_once('.').unwrap();
        let bad = format!("{head}.{}", "A".repeat(43));
        let expired = server.forge(owner, -10);
        Strangers(vec![
            ("no token", 403, nobody.clone(), None),
            ("malformed header", 403, nobody.clone(), header(owner.token.clone())),
            ("another scheme", 403, nobody.clone(), header(format!("Basic {}", owner.token))),
            (
                "two words too many",
                403,
                nobody.clone(),
                header(format!("Bearer {} x", owner.token)),
            ),
            ("bad token", 401, nobody.with_token(bad), None),
            ("not a token", 401, nobody.with_token("abc"), None),
            ("expired token", 401, nobody.with_token(expired), None),
            ("revoked token", 401, signed_out, None),
            ("banned user", 401, banned, None),
        ])
    }
}

/// A whole server with the people of the table.
pub(crate) struct Cast {
    pub(crate) server: TestServer,
    pub(crate) owner: User,
    other: User,
    strangers: Strangers,
}

impl Cast {
    pub(crate) async fn assemble() -> Cast {
        let server = TestServer::start_policy(Duration::ZERO, private).await;
        let (owner, other) = (server.user().await, server.user().await);
        let strangers = Strangers::at(&server, &owner).await;
        Cast { server, owner, other, strangers }
    }

    /// All that the owner can see of a thread.
    pub(crate) async fn all_of(&self, subject: &Subject) -> [Value; 2] {
        let path = format!("/threads/{}", subject.thread_id);
        let thread = self.owner.get(&format!("{path}?include=ttl")).await.expect(200);
        let history = self.owner.get(&format!("{path}/history?limit=1000")).await.expect(200);
        [thread, history]
    }

    pub(crate) async fn strangers_are_refused(&self, row: &Row, subject: &Subject) {
        for (name, status, user, authorization) in &self.strangers.0 {
            let mut request = row.request(user, subject);
            if let Some(authorization) = authorization {
                request = request.header("authorization", authorization);
            }
            let answer = Answer::but_for_streams(request).await;
            assert_eq!(answer.status, *status, "{name}: {row:?}: {}", answer.text);
            assert!(row.is_head() || !answer.detail().is_empty(), "{name}: {row:?}");
            let challenge = answer.header("www-authenticate");
            assert_eq!(challenge.contains("invalid_token"), *status == 401, "{name}: {row:?}");
        }
    }

    /// What the other user is answered about the owner's thread.
    pub(crate) async fn others_see_nothing(&self, row: &Row, subject: &Subject) -> Answer {
        let answer = row.send(&self.other, subject).await;
        let id = &subject.thread_id;
        let expected = match row.hidden {
            Hidden::NotFound if row.path == "/threads/prune" => {
                (404, json!({ "detail": "At least one thread not found or not authorized" }))
            }
            Hidden::NotFound => {
                (404, json!({ "detail": format!("Thread with ID {id} not found") }))
            }
            Hidden::LeftOut(body) => (200, serde_json::from_str(body).unwrap()),
            Hidden::Unnamed => {
                assert!(answer.status == 200 && !answer.text.contains(id), "{row:?}");
                return answer;
            }
            Hidden::InUse => {
                (409, json!({ "detail": format!("Thread with ID {id} already exists") }))
            }
            Hidden::Unrelated => {
                let thread = answer.expect(200);
                assert_eq!(thread["metadata"]["owner"], self.other.id.as_str());
                assert_ne!(thread["thread_id"], id.as_str());
                self.other
                    .delete(&format!("/threads/{}", thread["thread_id"].as_str().unwrap()))
                    .await;
                return answer;
            }
        };
        assert_eq!(answer.status, expected.0, "other user: {row:?}: {}", answer.text);
        assert!(row.is_head() || answer.json() == expected.1, "{row:?}: {}", answer.text);
        answer
    }

    /// The control: with the owner's token the same request does what it says.
    pub(crate) async fn owner_succeeds(&self, row: &Row, subject: &Subject) {
        let answer = row.send(&self.owner, subject).await;
        assert_eq!(answer.status, row.success, "owner: {row:?}: {}", answer.text);
        match row.hidden {
            Hidden::LeftOut("[]") => assert_eq!(answer.json().as_array().unwrap().len(), 1),
            Hidden::Unnamed => {
                let is_there = answer.text.contains(&subject.thread_id);
                assert!(row.is_head() || is_there, "{row:?}: {}", answer.text);
            }
            Hidden::LeftOut(_) => assert_eq!(answer.json(), 1, "{row:?}"),
            _ => {}
        }
    }

    /// With the thread gone, everybody is answered what the other user was before.
    pub(crate) async fn missing_looks_like_foreign(
        &self,
        row: &Row,
        subject: &Subject,
        foreign: &Answer,
    ) {
        self.owner.delete(&format!("/threads/{}", subject.thread_id)).await;
        for user in [&self.other, &self.owner] {
            let missing = row.send(user, subject).await;
            assert_eq!(missing.visible(), foreign.visible(), "{row:?}");
        }
        let never = Subject::missing();
        let mut missing = row.send(&self.other, &never).await;
        missing.text = missing.text.replace(&never.thread_id, &subject.thread_id);
        assert_eq!(missing.visible(), foreign.visible(), "{row:?}");
    }
}

#[tokio::test]
async fn nobody_but_the_owner_gets_anywhere_on_any_endpoint() {
    let cast = Cast::assemble().await;
    for row in table() {
        let subject = Subject::of(&cast.owner, json!({})).await;
        let (before, in_all) = (cast.all_of(&subject).await, cast.server.threads_in_all().await);
        cast.strangers_are_refused(&row, &subject).await;
        let foreign = cast.others_see_nothing(&row, &subject).await;
        assert_eq!(cast.all_of(&subject).await, before, "changed by others: {row:?}");
        assert_eq!(cast.server.threads_in_all().await, in_all, "left something: {row:?}");
        cast.owner_succeeds(&row, &subject).await;
        if matches!(row.hidden, Hidden::NotFound | Hidden::LeftOut(_)) {
            cast.missing_looks_like_foreign(&row, &subject, &foreign).await;
        }
    }
}

#[tokio::test]
async fn a_forged_expiry_is_all_that_the_expired_token_lacks() {
    let cast = Cast::assemble().await;
    let good = cast.owner.with_token(cast.server.forge(&cast.owner, 60));
    assert_eq!(good.post("/threads/count", json!({})).await.expect(200), 0);
}

/// `method path` of every operation of the document.
fn documented() -> BTreeSet<String> {
    let document: Value = serde_json::from_str(thread_store::openapi()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let of_path = |(path, item): (&String, &Value)| {
        let methods = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];
        let present = methods.into_iter().filter(|method| item.get(*method).is_some());
        present.map(|method| format!("{method} {path}")).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of_path).collect()
}

#[test]
fn every_documented_operation_is_in_the_table() {
    let tested: BTreeSet<String> = table().iter().map(Row::operation).collect();
    let system: BTreeSet<String> = SYSTEM.iter().map(|name| (*name).to_owned()).collect();
    let documented = documented();
    let private: BTreeSet<String> = documented.difference(&system).cloned().collect();
    let missing: Vec<_> = private.difference(&tested).collect();
    assert!(missing.is_empty(), "not in the isolation matrix: {missing:?}");
    assert!(system.is_subset(&documented), "an exception for what is not there");
    // And nothing in the table has gone: but for HEAD, which is GET without the body.
    let as_get = |operation: &String| operation.replace("head ", "get ");
    let gone: Vec<_> = tested.iter().filter(|o| !private.contains(&as_get(o))).collect();
    assert!(gone.is_empty(), "in the isolation matrix, but not documented: {gone:?}");
}

#[tokio::test]
async fn the_exceptions_need_no_token_and_are_the_only_ones() {
    let server = TestServer::start().await;
    for operation in documented() {
        let (method, path) = operation.split_once(' ').unwrap();
        let path = path.replace("{thread_id}", &Uuid::new_v4().to_string());
        let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
        let answer = Answer::but_for_streams(server.nobody().request(method, &path)).await;
        let expected = if SYSTEM.contains(&operation.as_str()) { 200 } else { 403 };
        assert_eq!(answer.status, expected, "{operation}");
    }
}

#[tokio::test]
async fn without_a_token_nobody_learns_which_paths_and_methods_exist() {
    let server = TestServer::start().await;
    let (nobody, user) = (server.nobody(), server.user().await);
    let expected = nobody.get("/threads/search").await;
    assert_eq!(expected.status, 403);
    let id = Uuid::new_v4();
    for (method, path, to_a_user) in [
        (Method::GET, "/nowhere".to_owned(), 404),
        (Method::GET, format!("/threads/{id}"), 404),
        (Method::PUT, format!("/threads/{id}"), 405),
        (Method::GET, "/threads/not-an-id".to_owned(), 422),
        (Method::POST, format!("/threads/{id}/runs"), 404),
        (Method::GET, "/assistants".to_owned(), 404),
        (Method::PATCH, format!("/threads/{id}/state"), 405),
        (Method::POST, "/threads/".to_owned(), 404),
    ] {
        let refused = Answer::of(nobody.request(method.clone(), &path)).await;
        assert_eq!(refused.visible(), expected.visible(), "{method} {path}");
        let answer = Answer::of(user.request(method.clone(), &path)).await;
        assert_eq!(answer.status, to_a_user, "{method} {path}");
    }
}
