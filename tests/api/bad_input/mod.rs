//! Malformed requests: always a 4xx with a detail that names the field, and nothing changes.

mod echoes;
mod fields;
mod requests;

use reqwest::Method;
use serde_json::json;

use crate::support::{Answer, TestServer, User};

/// Bodies that no endpoint takes, and what the refusal says.
fn bad_everywhere() -> Vec<(Vec<u8>, &'static str)> {
    let invalid = "Invalid JSON in request body";
    let mut bodies: Vec<(Vec<u8>, &'static str)> = [
        &b""[..],
        b" ",
        b"{",
        b"}",
        b"{}{}",
        b"{} x",
        b"{'a':1}",
        b"{\"a\":1,}",
        b"{a:1}",
        b"{\"a\":NaN}",
        b"{\"a\":Infinity}",
        b"{\"a\":01}",
        b"{\"a\":+1}",
        b"{\"a\":.5}",
        b"{\"a\":1e400}",
        b"{\"a\":-1e99999999999999999999}",
        b"{\"a\":\"\t\"}",
        b"{\"a\":\"\\x\"}",
        b"{\"a\":\"\\ud800\"}",
        b"{\"a\":\"\\ud800\\ud800\"}",
        b"{\"\\udc00\":1}",
        b"{\"a\":\"\xff\"}",
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b"{}\0",
        b"\0",
        b"{\"a\":\"\0\"}",
        b"\x1f\x8b\x08\0\0\0",
        b"metadata=1",
        b"--x\r\n\r\n",
    ]
    .into_iter()
    .map(|body| (body.to_vec(), invalid))
    .collect();
    for body in ["[]", "null", "true", "5", "\"{}\"", "[{}]", "1.5"] {
        bodies.push((body.into(), "request body: expected an object"));
    }
    bodies.push((b"{\"a\":\"\\u0000\"}".to_vec(), "a: the character U+0000 cannot be stored"));
    bodies.push((b"{\"a\":{\"b\":[\"x\\u0000\"]}}".to_vec(), "a: the character U+0000"));
    bodies.push((b"{\"a\\u0000\":1}".to_vec(), "request body: the character U+0000"));
    for depth in [512, 5_000, 200_000] {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        bodies.push((deep.into(), "a: nested deeper than 512 levels"));
        let deep = format!("{}1{}", "{\"a\":".repeat(depth + 1), "}".repeat(depth + 1));
        bodies.push((deep.into(), "a: nested deeper than 512 levels"));
    }
    bodies.push(("[".repeat(100_000).into(), invalid));
    bodies
        .push((format!("{{\"a\":{}}}", "9".repeat(131_073)).into(), "a: a number has more digits"));
    bodies.push((
        format!("{{\"a\":0.{}}}", "1".repeat(16_384)).into(),
        "a: a number has more digits",
    ));
    bodies.push((b"{\"a\":1e-99999}".to_vec(), "a: a number has more digits"));
    bodies.push((b"{\"a\":0e999999}".to_vec(), "a: a number has more digits"));
    bodies
}

/// Endpoints with a body. `{id}` stands for a thread.
const WITH_BODY: [(&str, &str); 9] = [
    ("POST", "/threads"),
    ("POST", "/threads/search"),
    ("POST", "/threads/count"),
    ("POST", "/threads/prune"),
    ("PATCH", "/threads/{id}"),
    ("POST", "/threads/{id}/state"),
    ("POST", "/threads/{id}/state/checkpoint"),
    ("POST", "/threads/{id}/history"),
    ("POST", "/threads/{id}/stream/events"),
];

/// A user with one thread, and all that can be read of it.
struct Bystander {
    user: User,
    id: String,
    before: Vec<String>,
}

impl Bystander {
    async fn new(server: &TestServer) -> Bystander {
        let user = server.user().await;
        let id = user.thread(json!({ "metadata": { "k": 1 }, "ttl": { "ttl": 99 } })).await;
        user.write(&id, json!({ "k": 1, "messages": ["x"] })).await;
        let mut bystander = Bystander { user, id, before: Vec::new() };
        bystander.before = bystander.all().await;
        bystander
    }

    async fn all(&self) -> Vec<String> {
        let mut all = Vec::new();
        for path in ["?include=ttl", "/history?limit=1000", "/storage"] {
            all.push(self.user.get(&format!("/threads/{}{path}", self.id)).await.text);
        }
        all.push(self.user.count(json!({})).await.to_string());
        all
    }

    async fn assert_untouched(&self) {
        assert_eq!(self.all().await, self.before);
    }

    async fn send(&self, method: &str, path: &str, body: Vec<u8>) -> Answer {
        let method: Method = method.parse().unwrap();
        let path = path.replace("{id}", &self.id);
        Answer::of(self.user.request(method, &path).body(body)).await
    }
}

#[tokio::test]
async fn every_endpoint_refuses_what_is_no_object_of_json() {
    let server = TestServer::start().await;
    let bystander = Bystander::new(&server).await;
    for (method, path) in WITH_BODY {
        for (body, expected) in bad_everywhere() {
            let answer = bystander.send(method, path, body.clone()).await;
            let shown: String = String::from_utf8_lossy(&body).chars().take(60).collect();
            assert_eq!(answer.status, 422, "{method} {path} {shown:?}: {}", answer.text);
            let detail = answer.detail();
            assert!(detail.starts_with(expected), "{method} {path} {shown:?}: {detail}");
        }
    }
    bystander.assert_untouched().await;
}
