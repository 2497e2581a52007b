//! Ids, queries, headers and bytes that are no request.

use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Bystander, WITH_BODY};
use crate::raw::Raw;
use crate::support::{Answer, TestServer, User};

#[tokio::test]
async fn every_endpoint_refuses_what_is_no_thread_id() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    let short = &id[..35];
    let ids = [
        "x",
        "0",
        "%00",
        "%FF",
        "%20",
        "..%2F..",
        "%2F",
        "null",
        "undefined",
        short,
        &format!("{id}0"),
        &id.replace('-', "_"),
        &format!("{id}%00"),
        &id.replace('0', "g"),
        "%F0%9F%98%80",
        "'%20or%201=1--",
        &"a".repeat(3000),
        &format!("{{{id}"),
        "-",
    ]
    .map(str::to_owned);
    for (method, path) in [
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/copy"),
        ("GET", "/state"),
        ("POST", "/state"),
        ("GET", "/state/x"),
        ("POST", "/state/checkpoint"),
        ("GET", "/history"),
        ("POST", "/history"),
        ("GET", "/storage"),
        ("GET", "/stream"),
        ("POST", "/stream/events"),
    ] {
        for bad in &ids {
            // The id counts before the body.
            let request = user.request(method.parse().unwrap(), &format!("/threads/{bad}{path}"));
            let answer = Answer::of(request.body("{")).await;
            assert_eq!(answer.status, 422, "{method} {bad} {path}: {}", answer.text);
            assert_eq!(answer.detail(), "Invalid thread ID: must be a UUID");
        }
    }
    assert_eq!(user.count(json!({})).await, 1);
}

#[tokio::test]
async fn queries_are_refused_by_name_or_ignored() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let id = user.thread(json!({})).await;
    let checkpoint = user.write(&id, json!({ "k": 1 })).await;
    for (query, named) in [
        ("history?limit=", "limit"),
        ("history?limit=x", "limit"),
        ("history?limit=1.5", "limit"),
        ("history?limit=0", "limit"),
        ("history?limit=-1", "limit"),
        ("history?limit=1001", "limit"),
        ("history?limit=99999999999999999999", "limit"),
        ("history?limit=5&limit=x", "limit"),
        ("history?limit=%00", "limit"),
        ("history?limit=1%FF", "limit"),
        ("history?before=", "before"),
        ("history?before=x", "before"),
        ("history?before=%00", "before"),
        ("history?select=x", "select"),
        ("history?select=values,x", "select"),
        ("state?select=%00", "select"),
        ("state?select=VALUES", "select"),
        ("state/x?select=%FF", "select"),
        ("stream?stream_modes=x", "stream mode"),
        ("stream?stream_mode=state_update,x", "stream mode"),
        ("stream?stream_mode=%00", "stream mode"),
    ] {
        let answer = user.get(&format!("/threads/{id}/{query}")).await;
        assert_eq!(answer.status, 422, "{query}: {}", answer.text);
        assert!(answer.detail().contains(named), "{query}: {}", answer.text);
    }
    for query in [
        "state?subgraphs=x",
        "state?%FF=%FF&&==",
        "state?select",
        "state?x=%",
        "history?limit=3&x",
        "history?LIMIT=x",
        "storage?limit=x",
        "state?select=&select=,",
    ] {
        user.get(&format!("/threads/{id}/{query}")).await.expect(200);
    }
    let path = format!("/threads/{id}/history?before={}", checkpoint.to_uppercase());
    assert_eq!(user.get(&path).await.expect(200), json!([]));
}

#[tokio::test]
async fn odd_headers_do_no_harm() {
    let server = TestServer::start().await;
    let bystander = Bystander::new(&server).await;
    let (user, path) = (&bystander.user, format!("/threads/{}", bystander.id));
    for (name, value) in [
        ("content-type", "text/plain"),
        ("content-type", ""),
        ("content-type", "application/json; charset=utf-16"),
        ("accept", "text/html"),
        ("accept-encoding", "br"),
        ("prefer", "x"),
        ("x-request-id", "a b\tc"),
        ("x-request-id", ""),
        ("origin", "null"),
        ("origin", "%%%"),
        ("if-match", "*"),
        ("range", "bytes=0-1"),
        ("cookie", "a=b; a=c"),
        ("x-http-method-override", "DELETE"),
        ("forwarded", "for=x"),
        ("te", "trailers"),
        ("last-event-id", "zzz"),
    ] {
        let request = user.request(Method::POST, "/threads/search").header(name, value);
        let answer = Answer::of(request.body("{\"limit\":1}")).await;
        assert_eq!(answer.status, 200, "{name}: {value}");
        assert!(answer.text.contains(&bystander.id));
    }
    let odd = reqwest::header::HeaderValue::from_bytes(b"\xff\xfe").unwrap();
    for name in ["x-request-id", "prefer", "origin", "accept", "content-type"] {
        let request = user.request(Method::GET, &path).header(name, &odd);
        assert_eq!(Answer::of(request).await.status, 200, "{name}");
    }
    for value in ["", "x", "1-", "-1", "1-2-3", "+1", "1-x", "١"] {
        let request = user.request(Method::GET, &format!("{path}/stream"));
        let answer = Answer::of(request.header("last-event-id", value)).await;
        assert_eq!(answer.status, 422, "{value}");
        assert!(answer.detail().contains("last-event-id"), "{}", answer.text);
    }
    let authorization = user.nobody_with(&odd);
    assert_eq!(Answer::of(authorization).await.status, 401);
    bystander.assert_untouched().await;
}

#[tokio::test]
async fn a_body_in_a_content_encoding_is_415_before_it_is_read() {
    let server = TestServer::start().await;
    let bystander = Bystander::new(&server).await;
    for (method, path) in WITH_BODY {
        for (encoding, named) in [
            ("gzip", "gzip"),
            ("GZIP", "GZIP"),
            ("br", "br"),
            ("deflate, gzip", "deflate"),
            ("identity, zstd", "zstd"),
            ("x", "x"),
        ] {
            let path = path.replace("{id}", &bystander.id);
            let request = bystander.user.request(method.parse().unwrap(), &path);
            let answer =
                Answer::of(request.header("content-encoding", encoding).body(GZIPPED)).await;
            assert_eq!(answer.status, 415, "{method} {path}: {}", answer.text);
            let named = format!("Content-Encoding {named} is not supported");
            assert!(answer.detail().starts_with(&named), "{}", answer.text);
            assert_eq!(answer.header("accept-encoding"), "identity");
        }
    }
    bystander.assert_untouched().await;
    // Sign-in counts before it, and what is no encoding is none.
    let request = |user: &User, path: &str| user.request(Method::POST, path).body("{\"limit\":1}");
    let gzipped = |user: &User, path: &str| request(user, path).header("content-encoding", "gzip");
    let answer = Answer::of(gzipped(&server.nobody(), "/threads/search")).await;
    assert_eq!(answer.status, 403);
    for encoding in ["identity", "Identity", "", " , identity"] {
        let request = request(&bystander.user, "/threads/search");
        Answer::of(request.header("content-encoding", encoding)).await.expect(200);
    }
}

/// Of a body that is announced nothing has to come.
#[tokio::test]
async fn an_encoding_is_refused_while_the_body_is_still_to_come() {
    let server = TestServer::start().await;
    let user = server.user().await;
    let mut connection = Raw::to(&server).await;
    let head = format!(
        "POST /threads HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
         content-encoding: gzip\r\ncontent-length: 1000000\r\n\r\n",
        user.token
    );
    connection.send(&head).await;
    let answer = connection.answer().await.unwrap();
    assert_eq!(answer.status, 415, "{answer:?}");
    assert!(answer.head.contains("accept-encoding: identity"), "{answer:?}");
}

/// `{}`, as gzip writes it.
const GZIPPED: &[u8] =
    &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xab, 0xae, 5, 0, 0x43, 0xbf, 0xa6, 0xa3, 2, 0, 0, 0];

impl User {
    /// A request with this and nothing else as its credentials.
    fn nobody_with(&self, authorization: &reqwest::header::HeaderValue) -> reqwest::RequestBuilder {
        let url = format!("{}/threads/search", self.url);
        self.client.post(url).header("authorization", authorization).body("{}")
    }
}

/// Sends bytes and reads until the server closes the connection.
async fn raw(server: &TestServer, bytes: &[u8]) -> String {
    let address = server.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may refuse before it has read everything.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn bytes_that_are_no_request_end_the_connection_and_nothing_else() {
    let server = TestServer::start().await;
    let bystander = Bystander::new(&server).await;
    let token = &bystander.user.token;
    let head = |more: &str| {
        format!(
            "POST /threads HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n{more}"
        )
    };
    let huge = head(&format!("x: {}\r\n\r\n", "x".repeat(1 << 20)));
    let many = head(&format!("{}\r\n", "a: b\r\n".repeat(5000)));
    let url = format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "x".repeat(1 << 17));
    for bytes in [
        &b"\0\0\0\0"[..],
        b"GET\r\n\r\n",
        b"\r\n\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        b"SSH-2.0-x\r\n",
        b"GET /ok HTTP/9.9\r\n\r\n",
        b"POST /threads HTTP/1.1\r\ncontent-length: x\r\n\r\n",
        b"POST /threads HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST /threads HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}",
        b"GET /ok HTTP/1.1\r\nbad header\r\n\r\n",
        b"GET /ok HTTP/1.1\r\nx: a\0b\r\n\r\n",
        huge.as_bytes(),
        many.as_bytes(),
        url.as_bytes(),
        head("transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n").as_bytes(),
        head("content-length: 100\r\n\r\n{\"metadata\"").as_bytes(),
        head("transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n").as_bytes(),
    ] {
        let answer = raw(&server, bytes).await;
        let is_refused = answer.is_empty() || answer.starts_with("HTTP/1.1 4");
        assert!(is_refused, "{:.60}: {answer:.300}", String::from_utf8_lossy(bytes));
    }
    bystander.assert_untouched().await;
}
