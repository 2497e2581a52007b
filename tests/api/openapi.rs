//! `openapi.json`: committed, true to the routes, and the same over the wire.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, TestServer};

/// `UPDATE_OPENAPI=1 cargo test --test api openapi` writes the file anew.
#[test]
fn the_committed_document_is_that_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    let document = format!("{}\n", thread_store::openapi());
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(path, &document).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == document, "run `UPDATE_OPENAPI=1 cargo test --test api openapi`");
}

fn document() -> Value {
    serde_json::from_str(thread_store::openapi()).unwrap()
}

/// Paths with their methods, as the document has them.
fn operations() -> Vec<(String, BTreeSet<String>)> {
    let document = document();
    let paths = document["paths"].as_object().unwrap().iter();
    let methods = |of: &Value| of.as_object().unwrap().keys().map(|m| m.to_uppercase()).collect();
    paths.map(|(path, of)| (path.clone(), methods(of))).collect()
}

#[tokio::test]
async fn every_operation_answers_and_every_method_that_answers_is_an_operation() {
    let server = TestServer::start().await;
    let user = server.user().await;
    for (path, methods) in operations() {
        let concrete = async || {
            let id = user.thread(json!({})).await;
            path.replace("{thread_id}", &id).replace("{checkpoint_id}", "x")
        };
        for method in &methods {
            // A body that is no JSON shows the way to the handler and changes nothing.
            let method: Method = method.parse().unwrap();
            let request = user.request(method.clone(), &concrete().await).body("{");
            let status = request.send().await.unwrap().status().as_u16();
            assert!([200, 204, 422].contains(&status), "{method} {path}: {status}");
        }
        let answer = Answer::of(user.request(Method::PUT, &concrete().await)).await;
        assert_eq!(answer.status, 405, "{path}");
        let allowed = answer.header("allow").split(',').filter(|name| *name != "HEAD");
        let mut allowed: BTreeSet<_> = allowed.map(str::to_owned).collect();
        if ["/threads/search", "/threads/count", "/threads/prune"].contains(&path.as_str()) {
            // These are methods of a thread, with what is no id.
            for method in ["GET", "PATCH", "DELETE"] {
                assert!(allowed.remove(method), "{method} {path}");
            }
        }
        if path.ends_with("/state/checkpoint") {
            assert!(allowed.remove("GET"), "reads as a checkpoint id");
        }
        assert_eq!(allowed, methods, "{path}");
    }
}

#[test]
fn the_whole_threads_api_is_documented() {
    let mut operations = operations();
    operations.sort();
    let operations: Vec<_> = operations
        .iter()
        .flat_map(|(path, methods)| methods.iter().map(move |method| format!("{method} {path}")))
        .collect();
    let expected = [
        "GET /",
        "GET /export",
        "GET /info",
        "GET /metrics",
        "GET /ok",
        "GET /readyz",
        "POST /threads",
        "POST /threads/count",
        "POST /threads/prune",
        "POST /threads/search",
        "DELETE /threads/{thread_id}",
        "GET /threads/{thread_id}",
        "PATCH /threads/{thread_id}",
        "POST /threads/{thread_id}/copy",
        "GET /threads/{thread_id}/export",
        "GET /threads/{thread_id}/history",
        "POST /threads/{thread_id}/history",
        "GET /threads/{thread_id}/state",
        "POST /threads/{thread_id}/state",
        "POST /threads/{thread_id}/state/checkpoint",
        "GET /threads/{thread_id}/state/{checkpoint_id}",
        "GET /threads/{thread_id}/storage",
        "GET /threads/{thread_id}/stream",
        "POST /threads/{thread_id}/stream/events",
    ];
    assert_eq!(operations, expected);
}

#[test]
fn every_reference_leads_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(entries) => {
                found.extend(entries.get("$ref").and_then(Value::as_str));
                entries.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[tokio::test]
async fn answers_have_the_fields_that_the_document_requires() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    let document = document();
    for path in ["", "/state", "/storage"] {
        for _ in 0..2 {
            let answer = user.get(&format!("/threads/{id}{path}")).await.expect(200);
            let operation = &document["paths"][format!("/threads/{{thread_id}}{path}")]["get"];
            let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
            let pointer = schema["$ref"].as_str().unwrap().strip_prefix('#').unwrap();
            let schema = document.pointer(pointer).unwrap();
            let fields = answer.as_object().unwrap();
            let known = schema["properties"].as_object().unwrap();
            assert!(fields.keys().all(|field| known.contains_key(field)), "{answer}");
            for field in schema["required"].as_array().into_iter().flatten() {
                assert!(fields.contains_key(field.as_str().unwrap()), "{path}: {field}");
            }
            user.write(&id, json!({ "k": 1 })).await;
        }
    }
}
