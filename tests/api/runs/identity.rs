//! Who the agent is told is asking, and what it is told about them.

use serde_json::json;

use super::agent::{Agent, ordinary};
use super::{missing, run, server, settings};
use crate::raw::Raw;
use crate::support::TestServer;
use crate::support::steps::new_id;

#[tokio::test]
async fn a_run_is_forwarded_with_the_callers_identity_and_nothing_of_their_credentials() {
    let agent = Agent::start(ordinary).await;
    let server = server(&agent).await;
    let ada = server.user().await;
    let thread = ada.thread(json!({})).await;
    let answer = run(&ada, &thread, json!({ "stream_mode": ["values"] })).await;
    answer.expect(200);
    assert!(answer.text.ends_with("data: {\"messages\":[]}\r\n\r\n"), "{}", answer.text);
    let heard = agent.request(0).await;
    assert_eq!(heard.line(), format!("POST /threads/{thread}/runs/stream"));
    assert_eq!(heard.all("x-forwarded-user"), [ada.id.as_str()]);
    assert_eq!(heard.all("x-forwarded-email"), [ada.email.as_str()]);
    assert_eq!(heard.all("x-api-key"), ["agent-key"]);
    assert_eq!(heard.all("content-type"), ["application/json"]);
    assert!(!heard.head.contains(&ada.token), "{}", heard.head);
    let body = heard.json();
    assert_eq!(body["stream_mode"], json!(["values"]));
    assert_eq!(body["if_not_exists"], "create");
    assert_eq!(body["metadata"], json!({ "owner": ada.id, "user_id": ada.id }));
    assert_eq!(body["config"], json!({ "configurable": { "user_id": ada.id } }));
    // A list that is filtered by the graph has the thread from now on.
    let of_thread = ada.get(&format!("/threads/{thread}")).await.expect(200);
    assert_eq!(of_thread["metadata"]["graph_id"], "agent");
    assert_eq!(of_thread["metadata"]["assistant_id"], "agent");
    assert_eq!(of_thread["metadata"]["owner"], json!(ada.id));
}

#[tokio::test]
async fn identity_headers_of_a_client_never_reach_the_agent_in_any_spelling() {
    let agent = Agent::start(ordinary).await;
    let server = server(&agent).await;
    let ada = server.user().await;
    let thread = ada.thread(json!({})).await;
    let body = r#"{"assistant_id":"agent","input":{}}"#;
    let forged = [
        "X_Forwarded_User: root",
        "X_Forwarded_Email: r@x",
        "x-forwarded-user: root",
        "X-Forwarded-User: root2",
        "x-Forwarded_user: root3",
        "X-Forwarded-Email: r@y",
        "X-Forwarded-Groups: admin",
        "X-Forwarded-Access-Token: t",
        "X-Auth-Request-User: root",
        "x-auth-scheme: langsmith",
        "X-Real-IP: 127.0.0.1",
        "Remote-User: root",
        "Remote_User: root",
        "x-api-key: mine",
        "X_Api_Key: mine",
        "X-Service-Key: mine",
        "Cookie: session=1",
        "Proxy-Authorization: Basic eA==",
        "Forwarded: for=1.2.3.4",
        "X-HTTP-Method-Override: DELETE",
        "X-Original-URL: /threads/other",
        "Connection: close, X-Forwarded-User, x-api-key, X-Mine",
        "X-Mine: 1",
        "X-Kept: 2",
        "Accept-Encoding: gzip",
    ];
    let mut client = Raw::to(&server).await;
    client
        .send(&format!(
            "POST /threads/{thread}/runs/wait HTTP/1.1\r\nHost: localhost\r\n\
             Authorization: Bearer {}\r\nContent-Length: {}\r\n{}\r\n\r\n{body}",
            ada.token,
            body.len(),
            forged.join("\r\n"),
        ))
        .await;
    assert_eq!(client.answer().await.unwrap().status, 200);
    let heard = agent.request(0).await;
    for (name, values) in [
        ("x-forwarded-user", vec![ada.id.clone()]),
        ("x-forwarded-email", vec![ada.email.clone()]),
        ("x-api-key", vec!["agent-key".to_owned()]),
        ("x-kept", vec!["2".to_owned()]),
        ("accept-encoding", vec!["identity".to_owned()]),
        ("x-mine", vec![]),
        ("authorization", vec![]),
    ] {
        assert_eq!(heard.all(name), values, "{name} in {}", heard.head);
    }
    let lower = heard.head.to_lowercase();
    for gone in ["root", "r@", "admin", "langsmith", "cookie", "proxy-", "forwarded:", "override"] {
        assert!(!lower.contains(gone), "{gone} in {lower}");
    }
    for gone in ["x-forwarded-groups", "x-auth", "real-ip", "original", "service-key", "close"] {
        assert!(!lower.contains(gone), "{gone} in {lower}");
    }
}

#[tokio::test]
async fn a_head_that_could_be_read_in_two_ways_is_400_and_the_agent_hears_nothing() {
    let agent = Agent::start(ordinary).await;
    let server = server(&agent).await;
    let ada = server.user().await;
    let thread = ada.thread(json!({})).await;
    for line in [
        "X-Forwarded-User : root",
        "Content-Length: 3",
        "X-Forwarded-User\r\n : root",
        "Bad\u{1}Name: 1",
    ] {
        let mut client = Raw::to(&server).await;
        client
            .send(&format!(
                "POST /threads/{thread}/runs/wait HTTP/1.1\r\nHost: localhost\r\n\
                 Authorization: Bearer {}\r\n{line}\r\nContent-Length: 2\r\n\r\n{{}}",
                ada.token
            ))
            .await;
        assert_eq!(client.answer().await.unwrap().status, 400, "{line}");
    }
    assert_eq!(agent.heard().len(), 0);
}

#[tokio::test]
async fn the_access_token_passes_only_where_the_operator_says_so() {
    let agent = Agent::start(ordinary).await;
    let server = TestServer::start_with(|config| {
        config.agent = Some(thread_store::agent::Options {
            forward_token: true,
            api_key: None,
            ..settings(&agent.url)
        });
    })
    .await;
    let ada = server.user().await;
    let thread = ada.thread(json!({})).await;
    run(&ada, &thread, json!({})).await.expect(200);
    let heard = agent.request(0).await;
    assert_eq!(heard.all("authorization"), [format!("Bearer {}", ada.token)]);
    assert_eq!(heard.all("x-api-key"), Vec::<String>::new());
}

#[tokio::test]
async fn the_owner_in_a_body_is_the_caller_whatever_the_body_says() {
    let agent = Agent::start(ordinary).await;
    let server = server(&agent).await;
    let (ada, bob) = (server.user().await, server.user().await);
    let thread = ada.thread(json!({})).await;
    let forged = json!({
        "metadata": { "user_id": bob.id, "owner": bob.id, "kept": 1 },
        "config": {
            "configurable": {
                "user_id": bob.id, "langgraph_auth_user_id": bob.id, "thread_id": thread, "k": 2,
            },
            "metadata": { "user_id": bob.id },
        },
    });
    run(&ada, &thread, forged.clone()).await.expect(200);
    let heard = agent.request(0).await;
    assert!(!heard.body.contains(&bob.id), "{}", heard.body);
    let body = heard.json();
    assert_eq!(body["metadata"], json!({ "owner": ada.id, "user_id": ada.id, "kept": 1 }));
    let configurable = json!({ "k": 2, "user_id": ada.id, "thread_id": thread });
    assert_eq!(body["config"]["configurable"], configurable);
    assert_eq!(body["config"]["metadata"], json!({ "user_id": ada.id }));
    let mut stateless = forged;
    stateless["assistant_id"] = json!("agent");
    stateless["config"]["configurable"]["thread_id"] = json!(null);
    for (path, body) in [
        ("/runs/stream", stateless.clone()),
        ("/runs/wait", stateless.clone()),
        ("/runs", stateless.clone()),
        ("/runs/batch", json!([stateless])),
    ] {
        let before = agent.heard().len();
        ada.post(path, body).await.expect(200);
        let heard = agent.request(before).await;
        assert!(!heard.body.contains(&bob.id) && !heard.body.contains("thread_id"), "{heard:?}");
        assert!(heard.body.contains(&ada.id), "{heard:?}");
    }
    let command = json!({ "id": 1, "method": "run.start", "params": {
        "assistant_id": "agent", "input": {}, "metadata": { "user_id": bob.id },
        "config": { "configurable": { "user_id": bob.id } },
    }});
    let before = agent.heard().len();
    ada.post(&format!("/threads/{thread}/commands"), command).await.expect(200);
    let heard = agent.request(before).await;
    assert!(!heard.body.contains(&bob.id), "{heard:?}");
    assert_eq!(heard.json()["params"]["config"]["configurable"]["user_id"], json!(ada.id));
}

#[tokio::test]
async fn a_foreign_thread_anywhere_in_a_request_is_404_and_the_agent_hears_nothing() {
    let agent = Agent::start(ordinary).await;
    let server = server(&agent).await;
    let (ada, bob) = (server.user().await, server.user().await);
    let (a, b) = (ada.thread(json!({})).await, bob.thread(json!({})).await);
    let in_config = json!({ "config": { "configurable": { "thread_id": b } } });
    let deep = json!({ "config": { "x": [{ "y": { "thread_id": b } }] } });
    let (path, other) = (format!("/threads/{a}/runs"), format!("/threads/{b}/runs"));
    let mut cases = vec![];
    for end in ["", "/stream", "/wait"] {
        cases.push((format!("{other}{end}"), json!({})));
        cases.push((format!("{other}{end}"), json!({ "if_not_exists": "create" })));
        cases.push((format!("{path}{end}?thread_id={b}"), json!({})));
        for body in [
            in_config.clone(),
            deep.clone(),
            json!({ "thread_id": b }),
            json!({ "thread_id": b.to_uppercase() }),
            json!({ "checkpoint": { "thread_id": b } }),
            json!({ "metadata": { "thread_id": b } }),
            json!({ "context": { "thread_id": b } }),
        ] {
            cases.push((format!("{path}{end}"), body.clone()));
            cases.push((format!("/runs{end}"), body));
        }
    }
    for path in [format!("/threads/{b}/commands"), format!("/threads/{a}/commands?thread_id={b}")] {
        for method in ["run.start", "input.respond", "agent.getTree", "x"] {
            cases.push((path.clone(), json!({ "id": 1, "method": method, "params": {} })));
        }
    }
    let params = json!({ "id": 1, "method": "run.start", "params": in_config });
    cases.push((format!("/threads/{a}/commands"), params));
    let cancel = json!({ "thread_id": b, "run_ids": [new_id()] });
    cases.push(("/runs/cancel".to_owned(), cancel));
    for (path, mut body) in cases {
        body["assistant_id"] = json!("agent");
        let answer = ada.post(&path, body.clone()).await;
        assert_eq!(answer.status, 404, "{path} {body} {}", answer.text);
        assert_eq!(answer.detail(), missing(&b), "{path} {body}");
    }
    let batch = json!([{ "assistant_id": "agent" }, in_config]);
    assert_eq!(ada.post("/runs/batch", batch).await.detail(), missing(&b));
    assert_eq!(ada.get(&other).await.detail(), missing(&b));
    for (text, field) in [
        (r#"{"config":{},"config":{"configurable":{}}}"#, "config"),
        (r#"{"config":{"configurable":{"user_id":1,"user_id":2}}}"#, "user_id"),
    ] {
        let answer = ada.post_text(&format!("{path}/stream"), text).await;
        answer.expect(422);
        assert_eq!(answer.detail(), format!("{field}: must be given once"));
    }
    assert_eq!(agent.heard().len(), 0);
    // Missing looks the same.
    let never = new_id();
    assert_eq!(run(&ada, &never, json!({})).await.detail(), missing(&never));
    assert_eq!(agent.heard().len(), 0);
}
