//! Whose threads and runs the agent hears of.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use thread_store::auth::{Auth, Event, Everything, add_owner};

use super::agent::{Agent, Heard, Step, chunk, events_head, head, json as answer, last, ordinary};
use super::{ask, missing, run, run_id, server, settings};
use crate::raw::Raw;
use crate::support::steps::new_id;
use crate::support::{Answer, TestServer, User};

/// Every request that names a run by its id.
fn about_run(thread: &str, run: &str) -> Vec<(Method, String, Value)> {
    let of_run = format!("/threads/{thread}/runs/{run}");
    let none = Value::Null;
    vec![
        (Method::GET, of_run.clone(), none.clone()),
        (Method::HEAD, of_run.clone(), none.clone()),
        (Method::GET, format!("{of_run}/join"), none.clone()),
        (Method::GET, format!("{of_run}/stream?stream_mode=a&stream_mode=b"), none.clone()),
        (Method::POST, format!("{of_run}/cancel?wait=0&action=interrupt"), none.clone()),
        (Method::GET, format!("/threads/{thread}/runs?run_id={run}"), none),
        (
            Method::POST,
            format!("/threads/{thread}/stream/events"),
            json!({ "run_id": run, "channels": ["values"] }),
        ),
        (
            Method::POST,
            format!("/threads/{thread}/commands"),
            json!({ "id": 1, "method": "agent.getTree", "params": { "runId": run } }),
        ),
        (Method::POST, "/runs/cancel".into(), json!({ "thread_id": thread, "run_ids": [run] })),
        (Method::DELETE, of_run, Value::Null),
    ]
}

async fn send(user: &User, (method, path, body): &(Method, String, Value)) -> Answer {
    let request = user.request(method.clone(), path);
    Answer::of(if body.is_null() { request } else { request.json(body) }).await
}

#[tokio::test]
async fn a_run_is_known_in_its_own_thread_alone() {
    let agent = Agent::start(ordinary).await;
    let server = server(&agent).await;
    let (ada, bob) = (server.user().await, server.user().await);
    let (a, b) = (ada.thread(json!({})).await, bob.thread(json!({})).await);
    let (own, theirs) = (run(&ada, &a, json!({})).await, run(&bob, &b, json!({})).await);
    let (own, theirs) = (run_id(&own), run_id(&theirs));
    let before = agent.heard().len();
    for case in about_run(&a, &theirs).iter().chain(&about_run(&a, &new_id())) {
        let answer = send(&ada, case).await;
        assert_eq!(answer.status, 404, "{case:?}");
        assert!(case.0 == Method::HEAD || answer.detail() == "Run not found", "{case:?}");
    }
    for case in about_run(&b, &theirs) {
        let answer = send(&ada, &case).await;
        assert_eq!(answer.status, 404, "{case:?}");
        assert!(case.0 == Method::HEAD || answer.detail() == missing(&b), "{case:?}");
    }
    for body in [
        json!({ "status": "all" }),
        json!({ "status": "all", "thread_id": a }),
        json!({ "status": "pending", "thread_id": a, "run_ids": [own] }),
        json!({ "thread_id": a }),
        json!({ "run_ids": [own] }),
        json!({}),
    ] {
        let answer = ada.post("/runs/cancel", body.clone()).await;
        assert_eq!(answer.status, 404, "{body}");
        assert!(answer.detail().contains("are not forwarded"), "{body} {}", answer.text);
    }
    assert_eq!(agent.heard().len(), before);
    // Another instance knows it, too.
    let beside = server.start_beside_with(|config| config.agent = Some(settings(&agent.url))).await;
    let ada = ada.at(&beside);
    for (number, case) in about_run(&a, &own).iter().enumerate() {
        let answer = send(&ada, case).await;
        assert_eq!(answer.status, 200, "{case:?} {}", answer.text);
        let heard = agent.request(before + number).await;
        assert_eq!(heard.line(), format!("{} {}", case.0, case.1));
        assert_eq!(heard.all("x-forwarded-user"), [ada.id.as_str()]);
        assert_eq!(heard.all("content-length").len(), usize::from(case.0 == Method::POST));
    }
    // The last one deleted it.
    assert_eq!(ask(&ada, Method::GET, &format!("/threads/{a}/runs/{own}")).await.status, 404);
    for wrong in ["1", "x", "..%2f..", "search"] {
        let answer = ask(&ada, Method::GET, &format!("/threads/{a}/runs/{wrong}")).await;
        assert_eq!(answer.detail(), "Invalid run ID: must be a UUID", "{wrong}");
    }
}

#[tokio::test]
async fn a_run_is_known_from_wherever_the_agent_first_names_it() {
    const R: &str = "0195e6f0-0000-7000-8000-00000000000b";
    let first = format!("event: metadata\ndata: {{\"run_id\": \"{R}\"}}\n\n");
    let answers = move |heard: &Heard| match heard.path().rsplit('/').next().unwrap() {
        "stream" => vec![
            head("200 OK", &["Content-Type: text/event-stream", "Transfer-Encoding: chunked"]),
            chunk(&first[..20]),
            chunk(&first[20..]),
            last(),
        ],
        "commands" => {
            answer("200 OK", &[], &format!(r#"{{"type":"success","result":{{"run_id":"{R}"}}}}"#))
        }
        "wait" => answer(
            "200 OK",
            &[&format!("Location: http://inner:8123/api{}/{R}/join", &heard.path()[..50])],
            "{}",
        ),
        "runs" => answer("200 OK", &[], &format!(r#"{{"x":1,"run_id":"{R}"}}"#)),
        _ => answer("200 OK", &[], "{}"),
    };
    let agent = Agent::start(answers).await;
    let server = server(&agent).await;
    let ada = server.user().await;
    let command = json!({ "id": 1, "method": "run.start", "params": { "assistant_id": "a" } });
    for (end, body) in [
        ("runs/stream", json!({ "assistant_id": "a" })),
        ("runs/wait", json!({ "assistant_id": "a" })),
        ("runs", json!({ "assistant_id": "a" })),
        ("commands", command),
    ] {
        let thread = ada.thread(json!({})).await;
        let known = format!("/threads/{thread}/runs/{R}");
        assert_eq!(ada.get(&known).await.status, 404);
        let started = ada.post(&format!("/threads/{thread}/{end}"), body).await;
        started.expect(200);
        assert_eq!(ada.get(&known).await.status, 200, "{end}");
        if end == "runs/wait" {
            assert_eq!(started.header("location"), format!("{known}/join"));
        }
    }
}

#[tokio::test]
async fn a_run_of_another_thread_is_not_taken_for_one_of_this() {
    let (other, run) = (new_id(), new_id());
    let place = format!("Content-Location: /threads/{other}/runs/{run}");
    let agent = Agent::start(move |_| answer("200 OK", &[&place], "{}")).await;
    let server = server(&agent).await;
    let ada = server.user().await;
    let thread = ada.thread(json!({})).await;
    let started = ada.post(&format!("/threads/{thread}/runs/wait"), json!({})).await;
    started.expect(200);
    assert_eq!(started.header("content-location"), "");
    assert_eq!(ada.get(&format!("/threads/{thread}/runs/{run}")).await.status, 404);
}

#[tokio::test]
async fn a_path_is_sent_as_it_was_checked_or_not_at_all() {
    let agent = Agent::start(ordinary).await;
    let server = server(&agent).await;
    let (ada, bob) = (server.user().await, server.user().await);
    let (a, b) = (ada.thread(json!({})).await, bob.thread(json!({})).await);
    let raw = async |target: &str| {
        let mut client = Raw::to(&server).await;
        client
            .send(&format!(
                "POST {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
                 Content-Length: 2\r\n\r\n{{}}",
                ada.token
            ))
            .await;
        client.answer().await.unwrap().status
    };
    for target in [
        format!("/threads/{a}/../{b}/runs"),
        format!("/threads/{a}/%2e%2e/{b}/runs"),
        format!("/threads/{a}%2F..%2F{b}/runs"),
        format!("/threads/{a}%2Fruns"),
        format!("/threads/{a}/runs/../../{b}/runs/stream"),
        format!("/threads/{a}/runs/..%2F..%2F{b}%2Fruns%2Fstream"),
        format!("/threads/{a}/runs/%2e%2e/%2e%2e/{b}/runs/stream"),
        format!("/threads//{a}/runs/stream"),
        format!("/threads/{a}//runs/stream"),
        format!("/threads/{a}/runs/stream/"),
        format!("/threads/{a}/runs/"),
        format!("/threads/{a}/./runs/stream"),
        format!("/threads/{a}/Runs/stream"),
        format!("/threads/{a};x=/runs/stream"),
        "/threads/..%2F/runs/stream".to_owned(),
        "/runs/../threads/x/runs".to_owned(),
        "/assistants/..%2Fthreads%2Fx%2Fruns/versions".to_owned(),
        "/assistants/%2e%2e/versions".to_owned(),
        "/assistants/a%2Fb/versions".to_owned(),
        "/assistants/a%3Fb/versions".to_owned(),
    ] {
        let status = raw(&target).await;
        assert!((400..500).contains(&status), "{target} {status}");
    }
    assert_eq!(agent.heard().len(), 0);
    let plain = a.replace('-', "");
    for spelling in [
        a.to_uppercase(),
        format!("%7B{a}%7D"),
        format!("urn:uuid:{a}"),
        plain.clone(),
        format!("%3{}{}", &plain[..1], &plain[1..]),
    ] {
        let before = agent.heard().len();
        assert_eq!(raw(&format!("/threads/{spelling}/runs/wait?b=%ff&a=1&a=2+3%20")).await, 200);
        let heard = agent.request(before).await;
        assert_eq!(heard.path(), format!("/threads/{a}/runs/wait?b=%ff&a=1&a=2+3%20"));
        assert!(heard.head.contains(&format!("host: {}", &agent.url[7..])), "{}", heard.head);
    }
}

#[tokio::test]
async fn a_thread_is_made_where_the_reference_makes_one_and_is_the_callers() {
    let agent = Agent::start(ordinary).await;
    let server = server(&agent).await;
    let (ada, bob) = (server.user().await, server.user().await);
    let create = json!({ "if_not_exists": "create", "metadata": { "topic": "x" } });
    let first = new_id();
    run(&ada, &first, create.clone()).await.expect(200);
    let thread = ada.get(&format!("/threads/{first}")).await.expect(200);
    let expected = json!({
        "graph_id": "agent", "assistant_id": "agent", "topic": "x", "owner": ada.id,
    });
    assert_eq!(thread["metadata"], expected);
    assert_eq!(run(&bob, &first, create).await.detail(), missing(&first));
    let second = new_id();
    let start = json!({ "id": 1, "method": "run.start", "params": { "assistant_id": "agent" } });
    let commands = format!("/threads/{second}/commands");
    ada.post(&commands, start.clone()).await.expect(200);
    ada.get(&format!("/threads/{second}")).await.expect(200);
    assert_eq!(bob.post(&commands, start).await.detail(), missing(&second));
    assert_eq!(agent.heard().len(), 2);
    for body in [
        json!({ "if_not_exists": "reject" }),
        json!({ "if_not_exists": "raise" }),
        json!({ "if_not_exists": 1 }),
    ] {
        let answer = run(&ada, &new_id(), body.clone()).await;
        assert!(answer.status.is_client_error(), "{body}");
    }
    let respond = json!({ "id": 1, "method": "input.respond", "params": {} });
    let never = new_id();
    let answer = ada.post(&format!("/threads/{never}/commands"), respond).await;
    assert_eq!(answer.detail(), missing(&never));
    assert_eq!(agent.heard().len(), 2);
}

#[tokio::test]
async fn a_stream_of_events_waits_for_the_thread_that_is_made_beside_it() {
    let agent = Agent::start(ordinary).await;
    let server = server(&agent).await;
    let (ada, bob) = (server.user().await, server.user().await);
    let thread = new_id();
    let path = format!("/threads/{thread}/stream/events");
    let body = json!({ "channels": ["values"] });
    let opened = tokio::spawn({
        let (ada, path, body) = (ada.clone(), path.clone(), body.clone());
        async move { ada.post(&path, body).await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(agent.heard().len(), 0);
    let start = json!({ "id": 1, "method": "run.start", "params": { "assistant_id": "agent" } });
    ada.post(&format!("/threads/{thread}/commands"), start).await.expect(200);
    opened.await.unwrap().expect(200);
    agent.request(1).await;
    // Whichever came first: the stream goes on as soon as there is the thread.
    let heard = agent.heard().into_iter().find(|heard| heard.path() == path);
    assert_eq!(heard.map(|heard| heard.json()), Some(body.clone()));
    let begun = std::time::Instant::now();
    assert_eq!(bob.post(&path, body).await.detail(), missing(&thread));
    assert!(begun.elapsed() >= Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(agent.heard().len(), 2);
}

#[tokio::test]
async fn what_names_no_thread_is_closed_unless_the_operator_opens_it() {
    use thread_store::agent::Area;
    let agent = Agent::start(ordinary).await;
    let closed = server(&agent).await;
    let ada = closed.user().await;
    let id = new_id();
    let open = [
        (Method::POST, "/assistants/search".to_owned()),
        (Method::POST, "/assistants/count".to_owned()),
        (Method::GET, "/assistants/agent".to_owned()),
        (Method::GET, format!("/assistants/{id}/graph?xray=1")),
        (Method::GET, "/assistants/agent/schemas".to_owned()),
        (Method::GET, "/assistants/agent/subgraphs/a:b|c?recurse=true".to_owned()),
        (Method::POST, format!("/assistants/{id}/versions")),
    ];
    let shut = [
        (Method::POST, "/assistants".to_owned(), Area::Assistants),
        (Method::PATCH, format!("/assistants/{id}"), Area::Assistants),
        (Method::POST, format!("/assistants/{id}/latest?version=2"), Area::Assistants),
        (Method::DELETE, format!("/assistants/{id}?delete_threads=true"), Area::Assistants),
        (Method::PUT, "/store/items".to_owned(), Area::Store),
        (Method::GET, "/store/items?namespace=a.b&key=k".to_owned(), Area::Store),
        (Method::DELETE, "/store/items".to_owned(), Area::Store),
        (Method::POST, "/store/items/search".to_owned(), Area::Store),
        (Method::POST, "/store/namespaces".to_owned(), Area::Store),
        (Method::POST, "/runs/crons".to_owned(), Area::Crons),
        (Method::POST, "/runs/crons/search".to_owned(), Area::Crons),
        (Method::PATCH, format!("/runs/crons/{id}"), Area::Crons),
        (Method::POST, "/runs/cancel".to_owned(), Area::Cancel),
    ];
    let send = async |user: &User, method: &Method, path: &str| {
        let request = user.request(method.clone(), path);
        Answer::of(if *method == Method::GET { request } else { request.body("{}") }).await
    };
    for (number, (method, path)) in open.iter().enumerate() {
        assert_eq!(send(&ada, method, path).await.status, 200, "{method} {path}");
        let heard = agent.request(number).await;
        assert_eq!(
            heard.line().replace('|', "%7C"),
            format!("{method} {path}").replace('|', "%7C")
        );
    }
    let before = agent.heard().len();
    for (method, path, _) in &shut {
        let answer = send(&ada, method, path).await;
        assert_eq!(answer.status, 404, "{method} {path}");
        assert!(answer.detail().contains("not forwarded to the agent"), "{}", answer.text);
    }
    for (method, path) in
        [("POST", "/mcp"), ("POST", "/a2a/agent"), ("GET", "/runs/x"), ("GET", "/ui")]
    {
        let answer = send(&ada, &method.parse().unwrap(), path).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    assert_eq!(agent.heard().len(), before);
    let url = agent.url.clone();
    let opened = closed
        .start_beside_with(|config| {
            let forward = shut.iter().map(|(.., area)| *area).collect();
            config.agent = Some(thread_store::agent::Options { forward, ..settings(&url) });
        })
        .await;
    let (ada, bob) = (ada.at(&opened), closed.user().await);
    for (number, (method, path, _)) in shut.iter().enumerate() {
        assert_eq!(send(&ada, method, path).await.status, 200, "{method} {path}");
        let heard = agent.request(before + number).await;
        assert_eq!(heard.line(), format!("{method} {path}"));
        assert_eq!(heard.all("x-forwarded-user"), [ada.id.as_str()]);
    }
    // A thread in a body is looked at all the same.
    let theirs = bob.thread(json!({})).await;
    let before = agent.heard().len();
    let search = ada.post("/runs/crons/search", json!({ "thread_id": theirs })).await;
    assert_eq!(search.detail(), missing(&theirs));
    let of_thread = ada.post(&format!("/threads/{theirs}/runs/crons"), json!({})).await;
    assert_eq!(of_thread.detail(), missing(&theirs));
    assert_eq!(agent.heard().len(), before);
}

#[tokio::test]
async fn the_on_handlers_of_the_reference_are_asked_and_can_refuse() {
    let agent = Agent::start(ordinary).await;
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let (list, url) = (Arc::clone(&asked), agent.url.clone());
    let server = TestServer::start_policy_with(
        move |config| config.agent = Some(settings(&url)),
        move |authenticate| {
            Auth::new(authenticate).on(Everything, move |event: &mut Event<'_>| {
                let name = format!("{:?}.{:?}", event.resource, event.action);
                list.lock().unwrap().push(name);
                if event.metadata.get("refuse").is_some() {
                    return thread_store::auth::Decision::forbidden();
                }
                add_owner(event)
            })
        },
    )
    .await;
    let ada = server.user().await;
    let thread = ada.thread(json!({})).await;
    let run_id = run_id(&run(&ada, &thread, json!({})).await);
    let of_run = format!("/threads/{thread}/runs/{run_id}");
    let begin = json!({ "id": 1, "method": "run.start", "params": { "assistant_id": "a" } });
    let other = json!({ "id": 1, "method": "agent.getTree", "params": {} });
    let named = json!({ "thread_id": thread, "run_ids": [run_id] });
    let none = Value::Null;
    for (method, path, body, expected) in [
        ("POST", format!("/threads/{thread}/runs"), json!({}), "Threads.CreateRun"),
        ("POST", format!("/threads/{thread}/commands"), begin, "Threads.CreateRun"),
        ("POST", format!("/threads/{thread}/commands"), other, "Threads.Read"),
        ("POST", "/runs/wait".to_owned(), json!({}), "Threads.CreateRun"),
        ("POST", "/runs/batch".to_owned(), json!([{}, {}]), "Threads.CreateRun Threads.CreateRun"),
        ("POST", "/runs/cancel".to_owned(), named, "Threads.Update"),
        ("GET", format!("/threads/{thread}/runs"), none.clone(), "Threads.Read Threads.Search"),
        ("GET", of_run.clone(), none.clone(), "Threads.Read"),
        ("GET", format!("{of_run}/join"), none.clone(), "Threads.Read"),
        ("GET", format!("{of_run}/stream"), none.clone(), "Threads.Read"),
        ("POST", format!("{of_run}/cancel"), none.clone(), "Threads.Update"),
        ("DELETE", of_run, none, "Threads.Delete"),
        ("POST", "/assistants/search".to_owned(), json!({}), "Assistants.Search"),
    ] {
        asked.lock().unwrap().clear();
        let answer = send(&ada, &(method.parse().unwrap(), path.clone(), body)).await;
        assert_eq!(answer.status, 200, "{path} {}", answer.text);
        assert_eq!(asked.lock().unwrap().join(" "), expected, "{method} {path}");
    }
    let before = agent.heard().len();
    let refused = run(&ada, &thread, json!({ "metadata": { "refuse": 1 } })).await;
    assert_eq!(refused.status, 403, "{}", refused.text);
    assert_eq!(agent.heard().len(), before);
}

#[tokio::test]
async fn deleting_a_thread_forgets_its_runs() {
    let agent = Agent::start(ordinary).await;
    let server = server(&agent).await;
    let ada = server.user().await;
    let thread = ada.thread(json!({})).await;
    for _ in 0..3 {
        run(&ada, &thread, json!({})).await.expect(200);
    }
    let count = async || {
        let count = sqlx::query_scalar::<_, i64>("select count(*) from thread_store.run");
        count.fetch_one(&server.pool).await.unwrap()
    };
    assert_eq!(count().await, 3);
    ada.delete(&format!("/threads/{thread}")).await.expect(204);
    assert_eq!(count().await, 0);
}

#[tokio::test]
async fn an_answer_that_is_an_error_makes_no_run() {
    let busy = r#"{"detail":"Thread is already running a task."}"#;
    let agent = Agent::start(move |heard: &Heard| {
        if heard.path().ends_with("/stream") {
            let mut steps = vec![events_head(heard, &new_id())];
            steps[0] = match &steps[0] {
                Step::Send(head) => Step::Send(
                    String::from_utf8(head.clone())
                        .unwrap()
                        .replace("200 OK", "409 Conflict")
                        .into(),
                ),
                step => step.clone(),
            };
            steps.extend([chunk("data: 1\n\n"), last()]);
            return steps;
        }
        answer("409 Conflict", &[], busy)
    })
    .await;
    let server = server(&agent).await;
    let ada = server.user().await;
    let thread = ada.thread(json!({})).await;
    let stream = run(&ada, &thread, json!({})).await;
    assert_eq!(stream.status, 409);
    assert_eq!(ada.get(stream.header("content-location")).await.status, 404);
    let plain = ada.post(&format!("/threads/{thread}/runs"), json!({})).await;
    assert_eq!((plain.status.as_u16(), plain.text.as_str()), (409, busy));
}

#[tokio::test]
async fn an_assistant_of_somebody_else_is_what_the_agent_says_it_is_to_the_caller_themselves() {
    use thread_store::agent::Area;
    let owners = Arc::<Mutex<Vec<String>>>::default();
    let list = Arc::clone(&owners);
    // It keeps users apart by the header alone: an assistant is that of whoever made it.
    let agent = Agent::start(move |heard: &Heard| {
        let user = heard.all("x-forwarded-user").join(",");
        let mut owners = list.lock().unwrap();
        if heard.path() == "/assistants" {
            owners.push(user);
            return answer("200 OK", &[], r#"{"assistant_id":"x"}"#);
        }
        if owners.contains(&user) {
            return ordinary(heard);
        }
        answer("404 Not Found", &[], r#"{"detail":"Thread or assistant not found."}"#)
    })
    .await;
    let url = agent.url.clone();
    let server = TestServer::start_with(|config| {
        let forward = vec![Area::Assistants];
        config.agent = Some(thread_store::agent::Options { forward, ..settings(&url) });
    })
    .await;
    let (ada, bob) = (server.user().await, server.user().await);
    ada.post("/assistants", json!({ "graph_id": "agent" })).await.expect(200);
    let (a, b) = (ada.thread(json!({})).await, bob.thread(json!({})).await);
    run(&ada, &a, json!({ "assistant_id": new_id() })).await.expect(200);
    let before = agent.heard().len();
    let forged = json!({
        "assistant_id": new_id(),
        "metadata": { "owner": ada.id, "user_id": ada.id },
        "config": { "configurable": { "user_id": ada.id, "langgraph_auth_user_id": ada.id } },
    });
    let refused = run(&bob, &b, forged).await;
    assert_eq!(
        (refused.status.as_u16(), refused.detail().as_str()),
        (404, "Thread or assistant not found.")
    );
    let heard = agent.request(before).await;
    assert_eq!(heard.all("x-forwarded-user"), [bob.id.as_str()]);
    assert!(!heard.body.contains(&ada.id) && !heard.head.contains(&ada.id), "{heard:?}");
    let count = sqlx::query_scalar::<_, i64>("select count(*) from thread_store.run");
    assert_eq!(count.fetch_one(&server.pool).await.unwrap(), 1);
}
