//! `thread-store import` between two servers, as its user runs it.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;
use wiremock::matchers::{body_partial_json, method, path, path_regex};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::program::{PATIENCE, output_of};
use crate::support::steps::{human, new_id, noise, remove, texts};
use crate::support::{TestServer, User};

/// What a run of the program said.
struct Said {
    code: Option<i32>,
    report: String,
    errors: String,
}

/// The number in a line of the report.
impl Said {
    #[track_caller]
    fn number(&self, what: &str) -> usize {
        let line = self.report.lines().find(|line| line.trim().ends_with(what));
        line.map_or(0, |line| line.split_whitespace().next().unwrap().parse().unwrap())
    }

    #[track_caller]
    fn succeeded(&self) -> &Said {
        assert_eq!(self.code, Some(0), "{}{}", self.report, self.errors);
        self
    }

    /// The one line that says what ended it, apart from the log.
    #[track_caller]
    fn error(&self) -> &str {
        let mut errors = self.errors.lines().filter(|line| line.starts_with("thread-store: the "));
        let error = errors.next().unwrap();
        assert_eq!(errors.next(), None);
        error
    }

    fn written(&self) -> usize {
        let first = self.report.lines().next().unwrap();
        let (_, rest) = first.split_once("source, ").unwrap();
        rest.split(' ').next().unwrap().parse().unwrap()
    }
}

/// The program with these tokens and arguments, where there is no `.env`.
fn command(directory: &Path, from: (&str, &str), to: (&str, &str), more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thread-store"));
    command
        .env_clear()
        .envs([("SOURCE_TOKEN", from.1), ("DESTINATION_TOKEN", to.1), ("RUST_LOG", "trace")])
        .args(["import", "--from", from.0, "--from-token-env", "SOURCE_TOKEN"])
        .args(["--to", to.0, "--to-token-env", "DESTINATION_TOKEN"])
        .args(more)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn import_with(from: (&str, &str), to: (&str, &str), more: &[&str]) -> Said {
    let directory = tempfile::tempdir().unwrap();
    let output = output_of(command(directory.path(), from, to, more)).await;
    let said = Said {
        code: output.status.code(),
        report: String::from_utf8(output.stdout).unwrap(),
        errors: String::from_utf8(output.stderr).unwrap(),
    };
    for token in [from.1, to.1] {
        assert!(!said.report.contains(token) && !said.errors.contains(token), "it shows a token");
    }
    said
}

async fn import(from: &User, to: &User) -> Said {
    import_with((&from.url, &from.token), (&to.url, &to.token), &[]).await
}

/// Two servers with a user each.
async fn servers() -> (TestServer, TestServer, User, User) {
    let (source, destination) = (TestServer::start().await, TestServer::start().await);
    let (from, to) = (source.user().await, destination.user().await);
    (source, destination, from, to)
}

/// A thread with all that states can do.
async fn eventful(user: &User, number: usize) -> String {
    let metadata =
        json!({ "number": number, "big": 12_345_678_901_234_567_890_u64, "n": { "x": [1, null] } });
    let id = user.thread(json!({ "metadata": metadata })).await;
    let first =
        json!({ "messages": [human("1", "a"), human("2", "b")], "n": 1.5, "k": { "a": [1] } });
    let body = json!({ "values": first, "as_node": "begin" });
    let root = user.checkpoint(&id, body).await;
    user.write(&id, json!({ "messages": [human("3", "ü \u{1F600}")], "k": null })).await;
    user.checkpoint(&id, json!({ "values": null })).await;
    user.write(&id, json!({ "messages": [human("2", "B"), remove("1")] })).await;
    let fork = user.fork(&id, &root, json!({ "messages": [human("4", "fork")], "n": 2 })).await;
    user.write(&id, json!({ "messages": [remove("__remove_all__"), human("1", "anew")] })).await;
    user.fork(&id, &fork, json!({ "other": [true], "messages": [remove("2"), human("5", "e")] }))
        .await;
    user.write(&id, json!({ "messages": [human("1", "A"), human("6", "f")] })).await;
    id
}

/// What an import has to keep of a history, newest first: values, parents by place, nodes.
async fn kept(user: &User, thread_id: &str) -> Vec<Value> {
    let history = user.history(thread_id).await;
    let places: HashMap<_, _> = history
        .iter()
        .enumerate()
        .map(|(place, state)| (state["checkpoint_id"].clone(), place))
        .collect();
    let states = history.iter().map(|state| {
        json!([
            state["values"],
            places.get(&state["parent_checkpoint_id"]),
            state["metadata"]["as_node"],
            state["metadata"]["step"],
        ])
    });
    states.collect()
}

/// All rows by id, without what an import cannot keep.
async fn rows(user: &User) -> Vec<Value> {
    let body = json!({ "limit": 1000, "sort_by": "thread_id", "sort_order": "asc" });
    let mut threads = user.post("/threads/search", body).await.expect(200);
    for thread in threads.as_array_mut().unwrap() {
        let fields = thread.as_object_mut().unwrap();
        for field in ["created_at", "updated_at", "state_updated_at"] {
            fields.remove(field).unwrap();
        }
        fields["metadata"].as_object_mut().unwrap().remove("owner").unwrap();
    }
    threads.as_array().unwrap().clone()
}

#[track_caller]
fn same<T: PartialEq + std::fmt::Debug>(one: &T, other: &T) {
    assert_eq!(one, other);
}

async fn is_faithful(from: &User, to: &User) {
    let (source, destination) = (rows(from).await, rows(to).await);
    same(&source, &destination);
    for id in texts(&json!(source), "thread_id") {
        same(&kept(from, &id).await, &kept(to, &id).await);
    }
}

#[tokio::test]
async fn threads_arrive_with_their_values_history_and_forks_and_once_only() {
    let (_source, _destination, from, to) = servers().await;
    for number in 0..30 {
        eventful(&from, number).await;
    }
    from.thread(json!({ "metadata": { "empty": true } })).await;
    let said = import(&from, &to).await;
    assert_eq!(said.succeeded().number("threads imported"), 31, "{}", said.report);
    assert_eq!(said.written(), 30 * 8);
    is_faithful(&from, &to).await;

    let again = import(&from, &to).await;
    assert_eq!(again.succeeded().number("threads were there already"), 31);
    assert_eq!(again.written(), 0);
    is_faithful(&from, &to).await;

    // What the source wrote since is added.
    let grown = eventful(&from, 30).await;
    let body = json!({ "metadata": { "number": 3 } });
    let one = from.found(body).await.remove(0);
    from.write(&one, json!({ "messages": [human("7", "later")] })).await;
    let third = import(&from, &to).await;
    assert_eq!(third.succeeded().number("threads imported"), 1);
    assert_eq!(third.number("threads completed that were there in part"), 1);
    assert_eq!(third.written(), 8 + 1);
    assert!(to.found(json!({ "limit": 100 })).await.contains(&grown));
    is_faithful(&from, &to).await;
}

#[tokio::test]
async fn an_import_that_was_killed_goes_on_where_it_was() {
    let (_source, _destination, from, to) = servers().await;
    for number in 0..30 {
        eventful(&from, number).await;
    }
    let directory = TempDir::new().unwrap();
    let mut kills = 0;
    for _ in 0..4 {
        let states = states_of(&to).await;
        let (source, destination) = ((&*from.url, &*from.token), (&*to.url, &*to.token));
        let mut command = command(directory.path(), source, destination, &["--concurrency", "2"]);
        let mut child = command.spawn().unwrap();
        // Killed in the midst of its writing, wherever that is.
        while child.try_wait().unwrap().is_none() {
            if states_of(&to).await >= states + 25 {
                kills += usize::from(child.try_wait().unwrap().is_none());
                child.start_kill().unwrap();
                break;
            }
        }
        tokio::time::timeout(PATIENCE, child.wait()).await.unwrap().unwrap();
    }
    let states = states_of(&to).await;
    assert!(kills > 0 && states > 0, "{kills} kills");
    let said = import(&from, &to).await;
    assert_eq!(said.succeeded().written(), 30 * 8 - states);
    is_faithful(&from, &to).await;
}

/// All states of all threads.
async fn states_of(user: &User) -> usize {
    let mut states = 0;
    for id in user.found(json!({ "limit": 1000 })).await {
        states +=
            user.history_of(&id, json!({ "limit": 1000, "select": ["checkpoint_id"] })).await.len();
    }
    states
}

#[tokio::test]
async fn a_long_history_is_read_in_pages() {
    let (_source, _destination, from, to) = servers().await;
    let id = from.thread(json!({})).await;
    for n in 0..120 {
        from.write(&id, json!({ "messages": [human(&n.to_string(), "x")], "n": n })).await;
    }
    assert_eq!(import(&from, &to).await.succeeded().written(), 120);
    is_faithful(&from, &to).await;
}

#[tokio::test]
async fn a_listing_of_many_threads_is_read_in_pages_and_can_be_narrowed() {
    let (_source, _destination, from, to) = servers().await;
    for n in 0..505 {
        from.thread(json!({ "metadata": { "half": n % 2 } })).await;
    }
    let (source, destination) = ((&*from.url, &*from.token), (&*to.url, &*to.token));
    let half = import_with(source, destination, &["--metadata", r#"{"half":1}"#]).await;
    assert_eq!(half.succeeded().number("threads imported"), 252);
    let said = import_with(source, destination, &["--concurrency", "16"]).await;
    assert_eq!(said.succeeded().number("threads imported"), 253);
    assert_eq!(said.number("threads were there already"), 252);
    assert_eq!(to.count(json!({})).await, 505);
}

#[tokio::test]
async fn a_ttl_begins_anew() {
    let (_source, _destination, from, to) = servers().await;
    let ttl = json!({ "ttl": 90.5, "strategy": "keep_latest" });
    let id = from.thread(json!({ "ttl": ttl })).await;
    import(&from, &to).await.succeeded();
    let thread = to.get(&format!("/threads/{id}?include=ttl")).await.expect(200);
    assert_eq!(thread["ttl"]["ttl_minutes"], json!(90.5));
    assert_eq!(thread["ttl"]["strategy"], json!("keep_latest"));
}

#[tokio::test]
async fn threads_that_went_on_in_the_destination_are_left_as_they_are() {
    let (_source, _destination, from, to) = servers().await;
    let (went_on, parted) = (eventful(&from, 1).await, eventful(&from, 2).await);
    import(&from, &to).await.succeeded();
    for id in [&went_on, &parted] {
        to.write(id, json!({ "there": 1 })).await;
    }
    to.patch(&format!("/threads/{went_on}"), json!({ "metadata": { "number": -1 } })).await;
    from.write(&parted, json!({ "here": 1 })).await;
    let before = (kept(&to, &went_on).await, kept(&to, &parted).await);
    let said = import(&from, &to).await;
    assert_eq!((said.code, said.written()), (Some(1), 0), "{}", said.report);
    assert_eq!(said.number("threads were there already"), 1);
    assert_eq!(said.number("threads have other metadata in the destination: left as it is"), 1);
    let parting = format!("{parted}  the destination has states of its own, from the 9. on");
    assert!(said.report.contains(&parting), "{}", said.report);
    assert!(
        said.errors.contains("thread-store: 1 thread could not be copied\n"),
        "{}",
        said.errors
    );
    same(&(kept(&to, &went_on).await, kept(&to, &parted).await), &before);
}

#[tokio::test]
async fn a_thread_of_somebody_else_is_reported_and_the_rest_is_imported() {
    let (source, destination, from, to) = servers().await;
    let other = destination.user().await;
    let taken = eventful(&from, 1).await;
    other.thread(json!({ "thread_id": taken })).await;
    let own = eventful(&from, 2).await;
    eventful(&source.user().await, 3).await;
    let said = import(&from, &to).await;
    assert_eq!((said.code, said.number("threads imported")), (Some(1), 1), "{}", said.report);
    assert!(said.report.contains(&format!("{taken}  the id belongs to somebody else")));
    assert_eq!(to.found(json!({})).await, [own]);
    assert_eq!(kept(&other, &taken).await, [Value::Null; 0]);
}

#[tokio::test]
async fn refused_credentials_end_the_import_with_one_line_that_names_the_variable() {
    let (_source, _destination, from, to) = servers().await;
    eventful(&from, 1).await;
    for (source, destination, named) in [
        ("not-a-token", &*to.token, "SOURCE_TOKEN"),
        (&*from.token, "not-a-token", "DESTINATION_TOKEN"),
    ] {
        let said = import_with((&from.url, source), (&to.url, destination), &[]).await;
        assert_eq!(said.code, Some(1));
        let error = said.error();
        assert!(error.contains(named) && error.contains("401"), "{error}");
    }
    let token = to.token.as_str();
    let directory = tempfile::tempdir().unwrap();
    let mut nobody = Command::new(env!("CARGO_BIN_EXE_thread-store"));
    nobody.env_clear().env("T", token).current_dir(directory.path());
    nobody.args(["import", "--from", &from.url, "--to", &to.url, "--to-token-env", "T"]);
    let output = output_of(nobody).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("the source") && said.contains("without credentials: "), "{said}");
    assert_eq!((output.status.code(), to.count(json!({})).await), (Some(1), 0));
}

#[tokio::test]
async fn caps_of_the_destination_are_reported_and_a_later_run_goes_on_from_there() {
    let source = TestServer::start().await;
    let from = source.user().await;
    let destination = TestServer::start_with(|config| {
        config.limits.threads_per_user = Some(2);
        config.limits.state_bytes = Some(20_000);
    })
    .await;
    let to = destination.user().await;
    let long = from.thread(json!({})).await;
    for _ in 0..3 {
        from.write(&long, json!({ "k": noise(9_000) })).await;
    }
    for number in 0..3 {
        eventful(&from, number).await;
    }
    let said =
        import_with((&from.url, &from.token), (&to.url, &to.token), &["--concurrency", "1"]).await;
    assert_eq!((said.code, to.count(json!({})).await), (Some(1), 2), "{}", said.report);
    let refused = said.report.matches("A user can have at most 2 threads").count();
    assert_eq!((refused, said.report.matches("(403").count()), (2, 3), "{}", said.report);
    let too_long = format!("{long}  state 3 of 3: The state of a thread can take at most 20000 ");
    assert!(said.report.contains(&too_long), "{}", said.report);
    assert_eq!(to.history(&long).await.len(), 2);

    // Without the caps the same command does the rest.
    let uncapped = destination.start_beside().await;
    let said = import(&from, &to.at(&uncapped)).await;
    assert_eq!(said.succeeded().number("threads imported"), 2);
    for id in from.found(json!({})).await {
        assert_eq!(kept(&to, &id).await, kept(&from, &id).await);
    }
}

/// A source that is no server of ours: `histories` by thread id, each newest first.
async fn stub(histories: &[(String, Value)]) -> MockServer {
    let server = MockServer::start().await;
    let listed: Vec<_> = histories.iter().map(|(id, _)| json!({ "thread_id": id })).collect();
    let first = json!({ "offset": 0 });
    for (offset, page) in [(first, json!(listed)), (json!({}), json!(listed[listed.len() - 1..]))] {
        Mock::given(method("POST"))
            .and(path("/threads/search"))
            .and(body_partial_json(offset))
            .respond_with(ResponseTemplate::new(200).set_body_json(page))
            .mount(&server)
            .await;
    }
    for (id, history) in histories {
        let row = json!({ "thread_id": id, "metadata": { "from": "elsewhere" }, "values": { "newest": 1 } });
        Mock::given(method("GET"))
            .and(path(format!("/threads/{id}")))
            .respond_with(ResponseTemplate::new(200).set_body_json(row))
            .mount(&server)
            .await;
        let answer = match history {
            Value::Null => ResponseTemplate::new(404)
                .set_body_json(json!({ "detail": "Graph 'gone' not found" })),
            Value::String(text) => ResponseTemplate::new(500).set_body_string(text),
            history => ResponseTemplate::new(200).set_body_json(history),
        };
        Mock::given(method("POST"))
            .and(path(format!("/threads/{id}/history")))
            .respond_with(answer)
            .mount(&server)
            .await;
    }
    server
}

fn state(id: &str, parent: Option<&str>, values: &Value) -> Value {
    let parent = parent.map(|parent| json!({ "checkpoint_id": parent }));
    json!({ "checkpoint": { "checkpoint_id": id }, "parent_checkpoint": parent, "values": values, "metadata": {} })
}

#[tokio::test]
async fn what_another_server_tells_is_made_to_fit_and_said() {
    let destination = TestServer::start().await;
    let to = destination.user().await;
    let ids: Vec<_> = (0..7).map(|_| new_id()).collect();
    let histories = vec![
        // No history for this one.
        (ids[0].clone(), Value::Null),
        // Values that are no object.
        (ids[1].clone(), json!([state("a", None, &json!([1, 2]))])),
        // A key that is gone later, messages without ids, and a parent that was pruned.
        (
            ids[2].clone(),
            json!([
                state("c", Some("pruned"), &json!({ "k": 3, "messages": ["hi", "ho"] })),
                state("b", Some("a"), &json!({ "k": 2, "messages": ["hi"] })),
                state("a", Some("pruned before"), &json!({ "gone": 1, "messages": [] })),
            ]),
        ),
        // No values at all.
        (ids[3].clone(), json!([state("a", None, &Value::Null)])),
        // Order of messages that no appending makes.
        (
            ids[4].clone(),
            json!([
                state("b", Some("a"), &json!({ "messages": [human("3", "c"), human("1", "a")] })),
                state("a", None, &json!({ "messages": [human("1", "a"), human("2", "b")] })),
            ]),
        ),
        // A history that cannot be read today. Its newest values alone would be in its way.
        (ids[6].clone(), json!("Internal\nServer \u{1b}[31mError")),
        // Messages that are none.
        (ids[5].clone(), json!([state("a", None, &json!({ "messages": [1] }))])),
    ];
    let source = stub(&histories).await;
    let said = import_with((&source.uri(), "hunter2"), (&to.url, &to.token), &[]).await;
    assert_eq!((said.code, said.number("threads imported")), (Some(1), 4), "{}", said.report);
    for part in [
        format!("{}  state a cannot be written: its values are not an object", ids[1]),
        format!("{}  state a cannot be written: values.messages[0]", ids[5]),
        format!("{}  Internal Server  [31mError (500", ids[6]),
        "1  threads without a history in the source".to_owned(),
        "1  states whose parent the source has no more".to_owned(),
        "3  messages of states without an id".to_owned(),
        "2  keys that a state had no more".to_owned(),
    ] {
        assert!(said.report.contains(&part), "{part}: {}", said.report);
    }
    assert_eq!(to.count(json!({})).await, 4);
    assert_eq!(to.values(&ids[0]).await, json!({ "newest": 1 }));
    let history = to.history(&ids[2]).await;
    let contents: Vec<Vec<_>> = history
        .iter()
        .map(|state| state["values"]["messages"].as_array().unwrap())
        .map(|list| list.iter().map(|message| message["content"].as_str().unwrap()).collect())
        .collect();
    assert_eq!(contents, [vec!["hi", "ho"], vec!["hi"], vec![]]);
    assert_eq!(history[0]["values"]["gone"], json!(1));
    assert_eq!(history[0]["parent_checkpoint_id"], history[1]["checkpoint_id"]);
    assert_eq!(to.values(&ids[3]).await, json!({}));
    assert_eq!(to.values(&ids[4]).await["messages"], json!([human("3", "c"), human("1", "a")]));
    // All the same, a second run recognises them.
    let again = import_with((&source.uri(), "hunter2"), (&to.url, &to.token), &[]).await;
    assert_eq!((again.written(), again.number("threads were there already")), (0, 4));
}

#[tokio::test]
async fn threads_deleted_while_the_source_is_listed_hide_no_others() {
    let destination = TestServer::start().await;
    let to = destination.user().await;
    let mut ids: Vec<_> = (0..4).map(|_| new_id()).collect();
    ids.sort();
    let source = stub(&ids.iter().map(|id| (id.clone(), json!([]))).collect::<Vec<_>>()).await;
    let rows =
        |ids: &[String]| json!(ids.iter().map(|id| json!({ "thread_id": id })).collect::<Vec<_>>());
    // The first two are listed and deleted, so that the third is where the first was.
    for (offset, page, times) in
        [(0, rows(&ids[..2]), 1), (0, rows(&ids[2..]), 9), (1, rows(&ids[3..]), 9)]
    {
        Mock::given(path("/threads/search"))
            .and(body_partial_json(json!({ "offset": offset, "limit": 500 })))
            .respond_with(ResponseTemplate::new(200).set_body_json(page))
            .up_to_n_times(times)
            .with_priority(1)
            .mount(&source)
            .await;
    }
    import_with((&source.uri(), "hunter2"), (&to.url, &to.token), &[]).await.succeeded();
    let mut found = to.found(json!({})).await;
    found.sort();
    assert_eq!(found, ids);
}

#[tokio::test]
async fn a_busy_source_is_asked_again_and_a_thread_that_vanished_is_no_failure() {
    let destination = TestServer::start().await;
    let to = destination.user().await;
    let (stays, goes) = (new_id(), new_id());
    let history = json!([state("a", None, &json!({ "k": 1 }))]);
    let source = stub(&[(stays.clone(), history.clone()), (goes.clone(), history)]).await;
    let busy = |status: u16| ResponseTemplate::new(status).insert_header("retry-after", "1");
    for (status, route) in
        [(429, format!("/threads/{stays}")), (503, format!("/threads/{stays}/history"))]
    {
        let mock = Mock::given(path(route)).respond_with(busy(status));
        mock.up_to_n_times(2).with_priority(1).expect(2).mount(&source).await;
    }
    Mock::given(path(format!("/threads/{goes}")))
        .respond_with(ResponseTemplate::new(404).set_body_json(json!({ "detail": "not found" })))
        .with_priority(1)
        .mount(&source)
        .await;
    let said = import_with((&source.uri(), "hunter2"), (&to.url, &to.token), &[]).await;
    assert_eq!(said.succeeded().number("threads imported"), 1);
    assert_eq!(said.number("threads vanished from the source meanwhile"), 1);
    assert_eq!(to.found(json!({})).await, [stays]);
}

#[tokio::test]
async fn a_write_without_an_answer_is_not_written_twice() {
    let (_source, destination, from, to) = servers().await;
    let id = eventful(&from, 1).await;
    // Every third write is carried out, and its answer lost.
    let between = MockServer::start().await;
    let (url, client) = (destination.url.clone(), reqwest::Client::new());
    let writes = std::sync::atomic::AtomicUsize::new(0);
    let handle = tokio::runtime::Handle::current();
    let pass_on = move |request: &Request| {
        let mut target = url::Url::parse(&url).unwrap();
        target.set_path(request.url.path());
        target.set_query(request.url.query());
        let passed = client
            .request(request.method.clone(), target)
            .header("authorization", request.headers["authorization"].clone())
            .body(request.body.clone());
        let handle = handle.clone();
        let answer = std::thread::spawn(move || {
            handle.block_on(async {
                let answer = passed.send().await.unwrap();
                (answer.status().as_u16(), answer.bytes().await.unwrap())
            })
        });
        let (status, body) = answer.join().unwrap();
        let is_write = request.method.as_str() == "POST" && request.url.path().ends_with("/state");
        let number = writes.fetch_add(usize::from(is_write), std::sync::atomic::Ordering::SeqCst);
        if is_write && number % 3 == 2 {
            return ResponseTemplate::new(504).set_body_string("gateway timeout");
        }
        ResponseTemplate::new(status).set_body_bytes(body)
    };
    Mock::given(path_regex(".*")).respond_with(pass_on).mount(&between).await;
    let said = import_with((&from.url, &from.token), (&between.uri(), &to.token), &[]).await;
    assert_eq!(said.succeeded().number("threads imported"), 1);
    same(&kept(&from, &id).await, &kept(&to, &id).await);
}
