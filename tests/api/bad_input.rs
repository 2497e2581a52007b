//! Malformed requests: always a 4xx with a detail that names the field, and nothing changes.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

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
const WITH_BODY: [(&str, &str); 8] = [
    ("POST", "/threads"),
    ("POST", "/threads/search"),
    ("POST", "/threads/count"),
    ("POST", "/threads/prune"),
    ("PATCH", "/threads/{id}"),
    ("POST", "/threads/{id}/state"),
    ("POST", "/threads/{id}/state/checkpoint"),
    ("POST", "/threads/{id}/history"),
];

/// Values of every type but the ones named.
fn all_but(types: &[&str]) -> Vec<Value> {
    let values = [
        ("null", json!(null)),
        ("bool", json!(true)),
        ("integer", json!(3)),
        ("number", json!(1.5)),
        ("string", json!("x")),
        ("array", json!([])),
        ("array", json!([1])),
        ("array", json!([[], null, {}])),
        ("object", json!({})),
        ("object", json!({ "x": null })),
    ];
    let rest = values.into_iter().filter(|(name, _)| !types.contains(name));
    rest.map(|(_, value)| value).collect()
}

/// An object as the list of its values, and a name as an object: serde would take both.
fn disguised(names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| json!({ *name: null })).collect()
}

/// Fields with values that they do not take: endpoint, the way to the field, values.
fn bad_fields() -> Vec<(usize, &'static str, Vec<Value>)> {
    let [create, search, count, prune, patch, state, at, history] = [0, 1, 2, 3, 4, 5, 6, 7];
    let cp = "1ef00000-0000-6000-8000-000000000000";
    let mut fields = vec![
        (create, "thread_id", all_but(&["string"])),
        (
            create,
            "thread_id",
            vec![json!("x"), json!("\u{1}"), json!("0".repeat(33)), json!(cp.replace('-', "_"))],
        ),
        (create, "if_exists", all_but(&[])),
        (create, "if_exists", [disguised(&["raise", "do_nothing"]), vec![json!("Raise")]].concat()),
        (create, "supersteps", all_but(&["array"])),
        (
            create,
            "supersteps",
            vec![
                json!([null]),
                json!([1]),
                json!([[]]),
                json!([[[]]]),
                json!([{}]),
                json!([{ "updates": null }]),
                json!([{ "updates": {} }]),
            ],
        ),
        (
            create,
            "supersteps",
            vec![
                json!([{ "updates": [[null, null, "x"]] }]),
                json!([{ "updates": ["x"] }]),
                json!([{ "updates": [{ "as_node": 5 }] }]),
            ],
        ),
        (search, "ids", all_but(&["array"])),
        (
            search,
            "ids",
            vec![
                json!([1]),
                json!([null]),
                json!(["x"]),
                json!([""]),
                json!([[cp]]),
                json!({ "0": cp }),
            ],
        ),
        (
            search,
            "limit",
            [
                all_but(&["integer"]),
                vec![json!(0), json!(-1), json!(1001), json!(1e300), json!("5"), json!(u64::MAX)],
            ]
            .concat(),
        ),
        (
            search,
            "offset",
            [
                all_but(&["integer"]),
                vec![json!(-1), json!(i64::MAX), json!(u64::MAX), json!(-1e30)],
            ]
            .concat(),
        ),
        (
            search,
            "sort_by",
            [
                all_but(&[]),
                disguised(&["status", "created_at"]),
                vec![json!("metadata"), json!("Status")],
            ]
            .concat(),
        ),
        (
            search,
            "sort_order",
            [all_but(&[]), disguised(&["asc", "desc"]), vec![json!("ASC")]].concat(),
        ),
        (
            search,
            "select",
            [
                all_but(&["array"]),
                vec![json!(["x"]), json!([null]), json!([["values"]]), json!([{ "values": null }])],
            ]
            .concat(),
        ),
        (search, "extract", all_but(&["object"])),
        (
            search,
            "extract",
            vec![
                json!({ "a": 1 }),
                json!({ "a": null }),
                json!({ "a": ["metadata.k"] }),
                json!([["a", "metadata.k"]]),
            ],
        ),
        (prune, "thread_ids", all_but(&["array"])),
        (prune, "thread_ids", vec![json!([1]), json!([null]), json!([["x"]]), json!([{}])]),
        (
            prune,
            "strategy",
            [all_but(&[]), disguised(&["delete", "keep_latest"]), vec![json!("Delete")]].concat(),
        ),
        (
            state,
            "values",
            [
                all_but(&["object", "array", "null"]),
                vec![json!([1]), json!([[]]), json!([null]), json!([{}, "x"])],
            ]
            .concat(),
        ),
        (state, "values", vec![json!({ "x".repeat(1025): 1 })]),
        (
            state,
            "values.messages",
            vec![
                json!({ "messages": 5 }),
                json!({ "messages": null }),
                json!({ "messages": true }),
                json!({ "messages": {} }),
            ],
        ),
        (
            state,
            "values.messages[0]",
            vec![
                json!({ "messages": [null] }),
                json!({ "messages": [[]] }),
                json!({ "messages": [{ "type": "remove" }] }),
            ],
        ),
        (
            state,
            "values.messages[1].id",
            vec![
                json!({ "messages": ["x", { "type": "ai", "id": 1.5 }] }),
                json!({ "messages": ["x", { "type": "ai", "id": [] }] }),
                json!({ "messages": ["x", { "type": "ai", "id": "x".repeat(1025) }] }),
            ],
        ),
        (state, "as_node", all_but(&["string"])),
        (state, "checkpoint_id", all_but(&["string"])),
        (at, "subgraphs", all_but(&["bool"])),
        (
            history,
            "limit",
            [all_but(&["integer"]), vec![json!(0), json!(-1), json!(1001), json!("5")]].concat(),
        ),
        (history, "before", all_but(&[])),
        (
            history,
            "before",
            vec![
                json!([cp, null]),
                json!({ "checkpoint_id": null }),
                json!({ "configurable": null }),
                json!({ "configurable": [cp, null] }),
                json!({ "configurable": cp }),
                json!({ "configurable": {} }),
                json!({ "checkpoint_id": ["x"] }),
                json!(""),
            ],
        ),
    ];
    for endpoint in [create, patch] {
        fields.push((endpoint, "ttl", all_but(&["object"])));
        let numbers = [json!(0), json!(-1), json!(-0.0), json!(1e10), json!(1e308), json!(-1e308)];
        let numbers = numbers.into_iter().chain(all_but(&["integer", "number"]));
        fields.push((endpoint, "ttl", numbers.map(|ttl| json!({ "ttl": ttl })).collect()));
        let strategies = [all_but(&[]), disguised(&["delete", "keep_latest"])].concat();
        let ttl = |strategy| json!({ "ttl": 5, "strategy": strategy });
        fields.push((endpoint, "ttl", strategies.into_iter().map(ttl).collect()));
    }
    for endpoint in [create, search, count, patch, history] {
        fields.push((endpoint, "metadata", all_but(&["object"])));
    }
    for endpoint in [search, count] {
        fields.push((endpoint, "values", all_but(&["object"])));
        let statuses = [all_but(&[]), disguised(&["idle", "busy"]), vec![json!("Idle")]].concat();
        fields.push((endpoint, "status", statuses));
    }
    for endpoint in [at, history] {
        let names =
            [all_but(&["array"]), vec![json!(["x"]), json!([1]), json!([{ "values": null }])]];
        fields.push((endpoint, "select", names.concat()));
    }
    for endpoint in [state, at, history] {
        fields.push((endpoint, "checkpoint", all_but(&["object"])));
        for field in ["checkpoint_id", "checkpoint_ns"] {
            let values = all_but(&["string"]).into_iter();
            fields.push((
                endpoint,
                "checkpoint",
                values.map(|value| json!({ field: value })).collect(),
            ));
        }
        let maps = all_but(&["object"]).into_iter();
        fields.push((
            endpoint,
            "checkpoint",
            maps.map(|map| json!({ "checkpoint_map": map })).collect(),
        ));
        fields.push((endpoint, "checkpoint", vec![json!([cp, "", {}])]));
    }
    fields
}

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

#[tokio::test]
async fn every_field_refuses_values_of_other_types_by_its_name() {
    let server = TestServer::start().await;
    let bystander = Bystander::new(&server).await;
    let mut wrong = Vec::new();
    for (endpoint, field, values) in bad_fields() {
        let (method, path) = WITH_BODY[endpoint];
        for value in values {
            let key = field.split('.').next().unwrap();
            let mut body = json!({ key: value });
            for (endpoint, key, value) in
                [(3, "thread_ids", json!([])), (6, "checkpoint", json!({}))]
            {
                if WITH_BODY[endpoint] == (method, path) && body.get(key).is_none() {
                    body[key] = value;
                }
            }
            let answer = bystander.send(method, path, body.to_string().into()).await;
            let names_it = answer.status == 422 && {
                let detail = answer.detail();
                detail.starts_with(field) || detail == "Invalid thread ID: must be a UUID"
            };
            if !names_it {
                wrong.push(format!(
                    "{method} {path} {body:.100}: {} {}",
                    answer.status, answer.text
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (endpoint, field) in [(3, "thread_ids"), (6, "checkpoint")] {
        let (method, path) = WITH_BODY[endpoint];
        let answer = bystander.send(method, path, b"{}".to_vec()).await;
        assert_eq!(answer.status, 422, "{path}");
        assert!(answer.detail().contains(field), "{}", answer.text);
    }
    bystander.assert_untouched().await;
}

#[tokio::test]
async fn what_no_index_holds_is_refused_or_stored_but_never_fails() {
    let server = TestServer::start().await;
    let bystander = Bystander::new(&server).await;
    // Incompressible, and longer than an entry of an index may be.
    let noise = (0..400).map(|_| uuid::Uuid::new_v4().to_string()).collect::<String>();
    let at = json!({ "checkpoint_ns": noise });
    let answer = bystander
        .user
        .post(
            &format!("/threads/{}/state", bystander.id),
            json!({ "values": {}, "checkpoint": at }),
        )
        .await;
    assert_eq!(answer.status, 422);
    assert!(answer.detail().contains("checkpoint_ns"), "{}", answer.text);
    for values in
        [json!({ noise.clone(): 1 }), json!({ "messages": [{ "type": "ai", "id": noise }] })]
    {
        let answer = bystander
            .user
            .post(&format!("/threads/{}/state", bystander.id), json!({ "values": values }))
            .await;
        assert_eq!(answer.status, 422);
        assert!(answer.detail().starts_with("values"), "{}", answer.text);
    }
    bystander.assert_untouched().await;
    let path = format!("/threads/{}/history", bystander.id);
    assert_eq!(
        bystander.user.post(&path, json!({ "checkpoint": at })).await.expect(200),
        json!([])
    );
    let metadata = json!({ "metadata": { noise.clone(): { "k": noise } } });
    let id = bystander.user.thread(metadata.clone()).await;
    assert_eq!(bystander.user.found(metadata).await, [id]);
}

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
        format!("POST /threads HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n{more}")
    };
    let huge = head(&format!("x: {}\r\n\r\n", "x".repeat(1 << 20)));
    let many = head(&format!("{}\r\n", "a: b\r\n".repeat(5000)));
    let url = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(1 << 17));
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
