//! A stand-in for Supabase Auth on a raw socket: it answers for each token what a test wants,
//! faults included, and remembers what it was asked.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Header, get_current_timestamp};
use serde_json::{Value, json};
use thread_store::auth::{JwtIssuer, Mode};
use thread_store::config::SignIn;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::jwt::{self, Key};

const USER: &str = "/auth/v1/user";

/// What is answered to one request.
#[derive(Clone)]
pub(crate) enum Reply {
    /// A whole answer.
    Answer {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: String,
        /// Waits before the first byte.
        delay: Duration,
    },
    /// The connection is reset.
    Reset,
    /// Nothing, ever.
    BlackHole,
    /// One byte of the head every 100 ms.
    SlowHead,
    /// A head at once, then one byte of the body every 100 ms.
    SlowBody,
    /// The connection ends in the middle of the body.
    HalfBody,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &Value) -> Reply {
        Reply::text(status, "application/json", body.to_string())
    }

    pub(crate) fn text(status: u16, content_type: &str, body: impl Into<String>) -> Reply {
        Reply::Answer {
            status,
            headers: vec![("content-type", content_type.to_owned())],
            body: body.into(),
            delay: Duration::ZERO,
        }
    }

    /// An error as Supabase Auth writes it.
    pub(crate) fn error(status: u16, code: &str) -> Reply {
        Reply::json(status, &json!({ "code": status, "error_code": code, "msg": "as it is" }))
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: &str) -> Reply {
        if let Reply::Answer { headers, .. } = &mut self {
            headers.push((name, value.to_owned()));
        }
        self
    }

    pub(crate) fn after(mut self, wait: Duration) -> Reply {
        if let Reply::Answer { delay, .. } = &mut self {
            *delay = wait;
        }
        self
    }
}

/// A request that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
}

impl Call {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    fn token(&self) -> &str {
        self.header("authorization").and_then(|value| value.strip_prefix("Bearer ")).unwrap_or("")
    }
}

/// The stand-in. Its connections end with it.
pub(crate) struct Supabase {
    /// Its base URL, for `SUPABASE_URL`.
    pub(crate) url: String,
    address: SocketAddr,
    desk: Arc<Desk>,
    listening: Mutex<Option<JoinSet<()>>>,
}

#[derive(Default)]
struct Desk {
    calls: Mutex<Vec<Call>>,
    /// To the next one who asks.
    next: Mutex<Option<Reply>>,
    /// Instead of the honest answer, to everybody.
    all: Mutex<Option<Reply>>,
    /// Before all others, to some tokens.
    some: Mutex<HashMap<String, Reply>>,
    /// The document at `/auth/v1/.well-known/jwks.json`.
    keys: Mutex<Option<Reply>>,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
}

impl Supabase {
    /// Answers honestly: every token is good, its user has the id that it names.
    pub(crate) async fn start() -> Supabase {
        Supabase::listen(None).await
    }

    /// The same over TLS, as `localhost`.
    pub(crate) async fn start_tls(tls: TlsAcceptor) -> Supabase {
        Supabase::listen(Some(tls)).await
    }

    async fn listen(tls: Option<TlsAcceptor>) -> Supabase {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let desk = Arc::new(Desk::default());
        let url = match &tls {
            Some(_) => format!("https://localhost:{}", address.port()),
            None => format!("http://{address}"),
        };
        let listening = Mutex::new(Some(serve(listener, tls, Arc::clone(&desk))));
        Supabase { url, address, desk, listening }
    }

    /// The sign-in of a server that verifies in this way, without an API key.
    pub(crate) fn sign_in(&self, mode: Mode) -> SignIn {
        let (url, issuer) = (self.url.parse().unwrap(), JwtIssuer::default());
        SignIn::Supabase { url, api_key: None, mode, issuer }
    }

    /// Refuses connections from now on, and ends those that are open.
    pub(crate) async fn stop(&self) {
        let tasks = self.listening.lock().unwrap().take();
        if let Some(mut tasks) = tasks {
            tasks.shutdown().await;
        }
    }

    /// On the same port again.
    pub(crate) async fn start_again(&self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        *self.listening.lock().unwrap() = Some(serve(listener, None, Arc::clone(&self.desk)));
    }

    /// From now on, to everybody.
    pub(crate) fn answer(&self, reply: Reply) {
        *self.desk.all.lock().unwrap() = Some(reply);
    }

    /// To the next request for a user.
    pub(crate) fn answer_once(&self, reply: Reply) {
        *self.desk.next.lock().unwrap() = Some(reply);
    }

    /// From now on, to one token.
    pub(crate) fn answer_to(&self, token: &str, reply: Reply) {
        self.desk.some.lock().unwrap().insert(token.to_owned(), reply);
    }

    /// Honest from now on, to everybody.
    pub(crate) fn recover(&self) {
        *self.desk.all.lock().unwrap() = None;
        self.desk.some.lock().unwrap().clear();
    }

    /// What the key set's address answers.
    pub(crate) fn publish(&self, reply: Reply) {
        *self.desk.keys.lock().unwrap() = Some(reply);
    }

    /// All requests so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.desk.calls.lock().unwrap().clone()
    }

    /// How often it was asked for a user.
    pub(crate) fn asked(&self) -> usize {
        self.desk.calls.lock().unwrap().iter().filter(|call| call.path == USER).count()
    }

    /// How often it was asked for the user of this token.
    pub(crate) fn asked_about(&self, token: &str) -> usize {
        let calls = self.desk.calls.lock().unwrap();
        calls.iter().filter(|call| call.path == USER && call.token() == token).count()
    }

    /// How often the key set was fetched.
    pub(crate) fn fetched(&self) -> usize {
        let calls = self.desk.calls.lock().unwrap();
        calls.iter().filter(|call| call.path.ends_with("/jwks.json")).count()
    }

    /// Most requests that waited for their answers at the same time.
    pub(crate) fn most_under_way(&self) -> usize {
        self.desk.most_under_way.load(Ordering::SeqCst)
    }
}

impl Desk {
    fn reply(&self, call: &Call) -> Reply {
        if call.path.ends_with("/jwks.json") {
            let keys = self.keys.lock().unwrap().clone();
            return keys.unwrap_or_else(|| Reply::json(200, &json!({ "keys": [] })));
        }
        if let Some(reply) = self.next.lock().unwrap().take() {
            return reply;
        }
        if let Some(reply) = self.some.lock().unwrap().get(call.token()) {
            return reply.clone();
        }
        if let Some(reply) = self.all.lock().unwrap().clone() {
            return reply;
        }
        if call.path != USER {
            return Reply::text(404, "text/plain", "404 page not found");
        }
        honest(call.token())
    }
}

fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, desk: Arc<Desk>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (desk, tls) = (Arc::clone(&desk), tls.clone());
            connections.spawn(async move {
                if let Some(tls) = tls {
                    if let Ok(stream) = tls.accept(stream).await {
                        connection(stream, &desk, drop).await;
                    }
                } else {
                    let reset = |stream: TcpStream| stream.set_zero_linger().unwrap();
                    connection(stream, &desk, reset).await;
                }
            });
            while connections.try_join_next().is_some() {}
        }
    });
    tasks
}

async fn connection<S>(mut stream: S, desk: &Desk, reset: impl FnOnce(S))
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(call) = read(&mut stream).await {
        let reply = desk.reply(&call);
        desk.calls.lock().unwrap().push(call);
        let under_way = desk.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        desk.most_under_way.fetch_max(under_way, Ordering::SeqCst);
        let sent = send(&mut stream, &reply).await;
        desk.under_way.fetch_sub(1, Ordering::SeqCst);
        if matches!(reply, Reply::Reset) {
            return reset(stream);
        }
        if sent.is_err() || !matches!(reply, Reply::Answer { .. }) {
            return;
        }
    }
}

/// A request without a body, or nothing at the end.
async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Call> {
    let mut head = Vec::with_capacity(4096);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ').map(str::to_owned);
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    Some(Call { method: words.next()?, path: words.next()?, headers })
}

async fn send(
    stream: &mut (impl AsyncWrite + AsyncRead + Unpin),
    reply: &Reply,
) -> std::io::Result<()> {
    const HEAD: &str =
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n";
    match reply {
        Reply::Answer { status, headers, body, delay } => {
            tokio::time::sleep(*delay).await;
            let mut answer = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n", body.len());
            for (name, value) in headers {
                answer.extend([name, ": ", value, "\r\n"]);
            }
            answer.extend(["\r\n", body]);
            stream.write_all(answer.as_bytes()).await
        }
        Reply::Reset => Ok(()),
        Reply::BlackHole => until_hung_up(stream).await,
        Reply::SlowHead => drip(stream, HEAD).await,
        Reply::SlowBody => {
            stream.write_all(HEAD.as_bytes()).await?;
            drip(stream, &" ".repeat(1000)).await
        }
        Reply::HalfBody => stream.write_all(format!("{HEAD}{{\"id\":").as_bytes()).await,
    }
}

async fn until_hung_up(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<()> {
    while stream.read(&mut [0; 1024]).await? > 0 {}
    Ok(())
}

async fn drip(stream: &mut (impl AsyncWrite + Unpin), text: &str) -> std::io::Result<()> {
    for byte in text.bytes() {
        stream.write_all(&[byte]).await?;
        stream.flush().await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// What is answered to a good token.
pub(crate) fn honest(token: &str) -> Reply {
    Reply::json(200, &user(claims(token)["sub"].as_str().unwrap_or_default()))
}

/// A user as Supabase Auth shows one.
pub(crate) fn user(id: &str) -> Value {
    json!({
        "id": id, "aud": "authenticated", "role": "authenticated", "email": "ada@example.com",
        "phone": "", "app_metadata": { "provider": "email", "providers": ["email"] },
        "user_metadata": {}, "identities": [], "is_anonymous": false,
        "created_at": "2026-11-22T10:00:00.123456Z", "updated_at": "2026-11-22T10:00:00.123456Z",
    })
}

/// A token of a new user for one hour, signed with a secret that nobody else knows.
pub(crate) fn token() -> String {
    token_of(&uuid::Uuid::new_v4().to_string(), 3600)
}

/// A token of a user that ends in some seconds.
pub(crate) fn token_of(sub: &str, seconds: i64) -> String {
    token_with(&json!({ "sub": sub, "exp": get_current_timestamp().cast_signed() + seconds }))
}

/// A token with these claims.
pub(crate) fn token_with(claims: &Value) -> String {
    let key = Key::Secret(uuid::Uuid::new_v4().as_bytes().to_vec());
    jwt::encode(&Header::default(), claims, &key)
}

/// What a token says.
pub(crate) fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap_or_default();
    let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
    serde_json::from_slice(&payload).unwrap_or_default()
}
