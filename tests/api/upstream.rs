//! What users see when Supabase is confused, slow or gone. Only its own word that a token is
//! bad may be a 401: everything else leaves the question open and is a 503.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use reqwest::Client;
use secrecy::SecretString;
use serde_json::{Value, json};
use thread_store::auth::{JwtIssuer, Mode};
use thread_store::config::SignIn;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::support::postgres::test_cluster;
use crate::support::program::Program;
use crate::support::supabase::{Reply, Supabase, token, token_of, user};
use crate::support::{Answer, TestServer, User};

const API_KEY: &str = "sb_publishable_of_the_test";
/// No answer takes longer than the deadline of 5 s and what a loaded machine adds.
const BOUND: Duration = Duration::from_secs(6);
/// Long enough that all who ask with one token wait together.
const TOGETHER: Duration = Duration::from_secs(2);

/// A server whose users are those of a stand-in.
async fn server_of(supabase: &Supabase) -> TestServer {
    let url = supabase.url.parse().unwrap();
    let api_key = Some(SecretString::from(API_KEY));
    TestServer::start_with(|config| {
        let issuer = JwtIssuer::default();
        config.sign_in = SignIn::Supabase { url, api_key, mode: Mode::Remote, issuer };
    })
    .await
}

/// Somebody with this token.
fn holder(server: &TestServer, token: &str) -> User {
    User { token: token.to_owned(), ..server.nobody() }
}

/// A request that needs nothing but a good token.
async fn count(user: &User) -> Answer {
    user.post("/threads/count", json!({})).await
}

/// Fifty requests at once, which must all get the same answer, in bounded time.
async fn fifty(user: &User, name: &str) -> Answer {
    let started = Instant::now();
    let answers = join_all((0..50).map(|_| count(user))).await;
    assert!(started.elapsed() < BOUND, "{name}: {:?}", started.elapsed());
    for answer in &answers {
        assert_eq!(answer.text, answers[0].text, "{name}");
        assert_eq!(answer.header("retry-after"), answers[0].header("retry-after"), "{name}");
        assert_eq!(answer.status, answers[0].status, "{name}");
    }
    answers.into_iter().next().unwrap()
}

#[track_caller]
fn unavailable(answer: &Answer, retry_after: &str, name: &str) {
    assert_eq!(answer.status, 503, "{name}: {}", answer.text);
    assert_eq!(answer.header("retry-after"), retry_after, "{name}");
    assert_eq!(answer.header("www-authenticate"), "", "{name}");
    let detail = "The authentication service is not available, try again shortly";
    assert_eq!(answer.json(), json!({ "detail": detail }), "{name}");
}

#[track_caller]
fn refused(answer: &Answer, name: &str) {
    assert_eq!(answer.status, 401, "{name}: {}", answer.text);
    assert_eq!(answer.header("www-authenticate"), "Bearer error=\"invalid_token\"", "{name}");
    assert_eq!(answer.header("retry-after"), "", "{name}");
    let detail = "The access token is not valid or has expired";
    assert_eq!(answer.json(), json!({ "detail": detail }), "{name}");
}

/// Asks with a token of its own for every reply, six replies at a time. Checks the answer, the
/// number of calls, and that an honest reply is taken at once.
async fn each(
    replies: Vec<(&str, Reply)>,
    calls: usize,
    check: impl Fn(&Answer, &str) + Send + Sync,
    recovers: bool,
) {
    let supabase = Supabase::start().await;
    let server = server_of(&supabase).await;
    let mut replies = replies.into_iter().peekable();
    while replies.peek().is_some() {
        let some = replies.by_ref().take(6).map(|(name, reply)| {
            let (server, supabase, check) = (&server, &supabase, &check);
            async move {
                let user = holder(server, &token());
                supabase.answer_to(&user.token, reply.after(TOGETHER));
                check(&fifty(&user, name).await, name);
                assert_eq!(supabase.asked_about(&user.token), calls, "{name}");
                supabase.answer_to(&user.token, Reply::json(200, &own(&user.token)));
                let again = count(&user).await;
                if recovers {
                    assert_eq!(again.status, 200, "{name}: {}", again.text);
                } else {
                    check(&again, name);
                    assert_eq!(supabase.asked_about(&user.token), calls, "{name}");
                }
            }
        });
        join_all(some).await;
    }
}

/// The honest answer to a token.
fn own(token: &str) -> Value {
    user(crate::support::supabase::claims(token)["sub"].as_str().unwrap())
}

#[tokio::test]
async fn a_good_answer_lets_fifty_waiting_requests_in_with_one_call() {
    let supabase = Supabase::start().await;
    let server = server_of(&supabase).await;
    let user = holder(&server, &token());
    supabase.answer(Reply::json(200, &own(&user.token)).after(TOGETHER));
    assert_eq!(fifty(&user, "good").await.status, 200);
    assert_eq!(supabase.asked(), 1);
}

#[tokio::test]
async fn every_refusal_that_supabase_words_is_a_401_and_only_a_bad_jwt_is_remembered() {
    let codes = [
        (401, "no_authorization"),
        (403, "session_not_found"),
        (403, "user_not_found"),
        (403, "user_banned"),
        (403, "session_expired"),
        (400, "validation_failed"),
        (400, "user_not_found"),
        (401, "session_not_found"),
    ];
    let replies = codes.map(|(status, code)| (code, Reply::error(status, code)));
    each(replies.into(), 1, refused, true).await;
    let bad = [403, 401, 400].map(|status| ("bad_jwt", Reply::error(status, "bad_jwt")));
    each(bad.into(), 1, refused, false).await;
}

#[tokio::test]
async fn a_user_who_is_gone_or_banned_is_refused_although_an_old_supabase_answers_200() {
    let supabase = Supabase::start().await;
    let server = server_of(&supabase).await;
    let cases: [(&str, &str, u16); 6] = [
        ("banned_until", "2999-01-01T00:00:00Z", 401),
        ("banned_until", "2126-10-30T13:46:40.123456+02:00", 401),
        ("banned_until", "some day", 401),
        ("banned_until", "2020-01-01T00:00:00.5Z", 200),
        ("deleted_at", "2020-01-01T00:00:00Z", 401),
        ("deleted_at", "2999-01-01T00:00:00Z", 401),
    ];
    for (field, value, status) in cases {
        let user = holder(&server, &token());
        let mut gone = own(&user.token);
        gone[field] = value.into();
        supabase.answer_to(&user.token, Reply::json(200, &gone));
        let answer = count(&user).await;
        assert_eq!(answer.status, status, "{field} {value}: {}", answer.text);
        if status == 401 {
            refused(&answer, field);
            supabase.answer_to(&user.token, Reply::json(200, &own(&user.token)));
            assert_eq!(count(&user).await.status, 200, "{field} {value} was remembered");
        }
    }
}

#[tokio::test]
async fn an_answer_that_settles_nothing_is_a_503_after_one_call() {
    let gateway = json!({ "message": "Invalid API key", "hint": "Double check your key." });
    let other = user("7e0a5e0c-4b7f-4d0e-9a55-2f3f4b1f0001");
    let mut nameless = other.clone();
    nameless.as_object_mut().unwrap().remove("id");
    let large = format!("{{\"id\":\"{}\"}}", "x".repeat(2_000_000));
    let replies = vec![
        ("gateway 401", Reply::json(401, &gateway)),
        ("gateway 401 in plain text", Reply::text(401, "text/plain", "Unauthorized")),
        ("gateway 401 without a body", Reply::text(401, "text/plain", "")),
        ("gateway 403", Reply::json(403, &gateway)),
        ("unknown code", Reply::error(403, "over_quota")),
        ("unknown code, 400", Reply::error(400, "unexpected_failure")),
        ("400 without a code", Reply::json(400, &gateway)),
        ("a code that is no string", Reply::json(403, &json!({ "error_code": 1 }))),
        ("bad_jwt with a status that is none of its own", Reply::error(422, "bad_jwt")),
        ("newer form of an error", Reply::json(403, &json!({ "code": "bad_jwt", "message": "" }))),
        ("404", Reply::text(404, "text/plain", "404 page not found")),
        ("404 with a code", Reply::error(404, "user_not_found")),
        ("302", Reply::text(302, "text/plain", "").with_header("location", "/auth/v1/else")),
        ("304", Reply::text(304, "text/plain", "")),
        ("201 with a user", Reply::json(201, &other)),
        ("204", Reply::text(204, "text/plain", "")),
        ("200 HTML", Reply::text(200, "text/html", "<html>A captive portal</html>")),
        ("200 empty", Reply::text(200, "application/json", "")),
        ("200 null", Reply::json(200, &Value::Null)),
        ("200 without an id", Reply::json(200, &nameless)),
        ("200 with an id that is no UUID", Reply::json(200, &user("1"))),
        ("200 with another user's id", Reply::json(200, &other)),
        ("200 with 2 MB", Reply::text(200, "application/json", large.clone())),
        ("403 with 2 MB", Reply::text(403, "application/json", large)),
        ("429", Reply::error(429, "over_request_rate_limit")),
        ("429 with a date", {
            let date = "Sun, 22 Nov 2026 10:00:00 GMT";
            Reply::error(429, "over_request_rate_limit").with_header("retry-after", date)
        }),
    ];
    each(replies, 1, |answer, name| unavailable(answer, "2", name), true).await;
}

#[tokio::test]
async fn a_429_passes_its_retry_after_on() {
    let limited = || Reply::error(429, "over_request_rate_limit");
    for (sent, passed) in [("37", "37"), ("0", "1"), ("7200", "7200")] {
        let reply = limited().with_header("retry-after", sent);
        each(vec![(sent, reply)], 1, |answer, name| unavailable(answer, passed, name), true).await;
    }
}

#[tokio::test]
async fn a_server_error_is_a_503_after_one_retry() {
    let page = "<html><h1>502 Bad Gateway</h1>upstream secret-host:9999</html>";
    let replies = vec![
        ("500", Reply::error(500, "unexpected_failure")),
        ("500 with a refusal", Reply::error(500, "bad_jwt")),
        ("502", Reply::text(502, "text/html", page)),
        ("503", Reply::text(503, "text/plain", "").with_header("retry-after", "60")),
        ("504", Reply::error(504, "request_timeout")),
        ("520", Reply::text(520, "text/html", page)),
    ];
    each(replies, 2, |answer, name| unavailable(answer, "2", name), true).await;
}

#[tokio::test]
async fn one_lost_connection_or_restart_upstream_is_not_seen() {
    for fault in [Reply::Reset, Reply::HalfBody, Reply::error(500, "unexpected_failure")] {
        let supabase = Supabase::start().await;
        let server = server_of(&supabase).await;
        let user = holder(&server, &token());
        supabase.answer_once(fault);
        assert_eq!(count(&user).await.status, 200);
        assert_eq!(supabase.asked(), 2);
    }
}

#[tokio::test]
async fn a_lost_connection_is_a_503_after_one_retry() {
    for (name, fault) in [("reset", Reply::Reset), ("half a body", Reply::HalfBody)] {
        let supabase = Supabase::start().await;
        let server = server_of(&supabase).await;
        let user = holder(&server, &token());
        supabase.answer(fault);
        let answer = count(&user).await;
        unavailable(&answer, "2", name);
        assert_eq!(supabase.asked(), 2, "{name}");
        unavailable(&fifty(&user, name).await, "2", name);
        supabase.recover();
        assert_eq!(count(&user).await.status, 200, "{name}");
    }
}

#[tokio::test]
async fn nobody_listening_is_a_503_until_somebody_does() {
    let supabase = Supabase::start().await;
    let server = server_of(&supabase).await;
    let user = holder(&server, &token());
    let known = holder(&server, &token());
    count(&known).await.expect(200);
    supabase.stop().await;
    unavailable(&fifty(&user, "refused").await, "2", "refused");
    assert_eq!(count(&known).await.status, 200, "a remembered user goes on");
    supabase.start_again().await;
    assert_eq!(count(&user).await.status, 200);
}

/// Supabase answers nothing whole within the deadline.
async fn silence(name: &str, fault: Reply) {
    let supabase = Supabase::start().await;
    let server = server_of(&supabase).await;
    let user = holder(&server, &token());
    supabase.answer(fault);
    let started = Instant::now();
    unavailable(&fifty(&user, name).await, "2", name);
    assert!(started.elapsed() > Duration::from_secs(4), "{name}: nothing was waited for");
    // The second is the retry, where the budget is not used up by the first.
    assert!((1..=2).contains(&supabase.asked()), "{name}: {} calls", supabase.asked());
    supabase.recover();
    let started = Instant::now();
    assert_eq!(count(&user).await.status, 200, "{name}");
    assert!(started.elapsed() < Duration::from_secs(2), "{name}: recovery is immediate");
}

#[tokio::test]
async fn a_black_hole_is_a_503_in_bounded_time() {
    silence("black hole", Reply::BlackHole).await;
}

#[tokio::test]
async fn a_head_that_comes_too_slowly_is_a_503_in_bounded_time() {
    silence("slow head", Reply::SlowHead).await;
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_a_503_in_bounded_time() {
    silence("slow body", Reply::SlowBody).await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (elsewhere, supabase) = (Supabase::start().await, Supabase::start().await);
    let server = server_of(&supabase).await;
    for status in [301, 302, 303, 307, 308] {
        let user = holder(&server, &token());
        let location = format!("{}/auth/v1/user", elsewhere.url);
        let reply = Reply::text(status, "text/plain", "").with_header("location", &location);
        supabase.answer_to(&user.token, reply);
        unavailable(&count(&user).await, "2", &status.to_string());
    }
    assert_eq!(elsewhere.calls().len(), 0, "a token and the API key went elsewhere");
    assert_eq!(supabase.asked(), 5);
}

#[tokio::test]
async fn only_the_token_is_forwarded_of_what_a_client_sends() {
    let supabase = Supabase::start().await;
    let server = server_of(&supabase).await;
    let token = token();
    let request = Client::new()
        .post(format!("{}/threads/count?x=1", server.url))
        .header("authorization", format!("bEaReR {token}"))
        .header("x-jwt-aud", "somebody-else")
        .header("x-supabase-api-version", "2024-01-01")
        .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0")
        .header("cookie", "sb-access-token=stolen")
        .header("apikey", "of-the-client")
        .header("x-forwarded-for", "10.1.2.3")
        .header("x-request-id", "of-the-client")
        .header("origin", "https://example.com")
        .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        .json(&json!({}));
    assert_eq!(Answer::of(request).await.status, 200);
    let calls = supabase.calls();
    assert_eq!(calls.len(), 1);
    let call = &calls[0];
    assert_eq!((call.method.as_str(), call.path.as_str()), ("GET", "/auth/v1/user"));
    let mut names: Vec<_> = call.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.retain(|name| !name.is_empty());
    names.sort_unstable();
    assert_eq!(names, ["accept", "apikey", "authorization", "host", "user-agent"]);
    assert_eq!(call.header("authorization").unwrap(), format!("Bearer {token}"));
    assert_eq!(call.header("apikey"), Some(API_KEY));
    assert!(call.header("user-agent").unwrap().starts_with("thread-store/"));
}

#[tokio::test]
async fn a_token_for_another_spelling_of_its_user_is_that_user() {
    let supabase = Supabase::start().await;
    let server = server_of(&supabase).await;
    let id = uuid::Uuid::new_v4().to_string();
    let user_of = holder(&server, &token_of(&id, 3600));
    supabase.answer(Reply::json(200, &user(&id.to_uppercase())));
    let thread = user_of.post("/threads", json!({})).await.expect(200);
    assert_eq!(thread["metadata"]["owner"], id);
}

/// Makes certificates that the program can be told to trust.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// A file with its own certificate.
    file: tempfile::NamedTempFile,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), certificate.pem()).unwrap();
        Authority { issuer: Issuer::new(params, key), file }
    }

    /// What a server for a name needs, until the first day of a year.
    fn acceptor(&self, name: &str, until: i32) -> TlsAcceptor {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

#[tokio::test]
async fn a_certificate_that_is_expired_or_somebody_elses_is_a_503_and_sees_no_token() {
    let authority = Authority::new();
    let database = test_cluster().await.database_url().await;
    for (name, certificate_of, until, status) in [
        ("good", "localhost", 2100, 200),
        ("expired", "localhost", 2021, 503),
        ("of another host", "example.com", 2100, 503),
    ] {
        let supabase = Supabase::start_tls(authority.acceptor(certificate_of, until)).await;
        let trusted = authority.file.path().to_str().unwrap().to_owned();
        let settings = [
            ("DATABASE_URL", database.clone()),
            ("SUPABASE_URL", supabase.url.clone()),
            ("SUPABASE_ANON_KEY", API_KEY.to_owned()),
            ("SSL_CERT_FILE", trusted),
        ];
        let program = tokio::task::spawn_blocking(move || {
            Program::start(&settings.each_ref().map(|(name, value)| (*name, value.as_str())))
        });
        let program = program.await.unwrap();
        let user = User {
            id: String::new(),
            token: token(),
            email: String::new(),
            url: program.url.clone(),
            client: Client::new(),
        };
        let answer = count(&user).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.text);
        if status == 503 {
            unavailable(&answer, "2", name);
            unavailable(&fifty(&user, name).await, "2", name);
            assert_eq!(supabase.calls().len(), 0, "{name}");
        }
        let output = tokio::task::spawn_blocking(move || program.stop()).await.unwrap();
        assert_eq!(output.contains("invalid peer certificate"), status == 503, "{output}");
    }
}

#[tokio::test]
async fn a_supabase_url_with_a_path_or_a_slash_at_the_end_is_asked_below_it() {
    let supabase = Supabase::start().await;
    for (end, path) in
        [("", "/auth/v1/user"), ("/", "/auth/v1/user"), ("/a/b/", "/a/b/auth/v1/user")]
    {
        let url = format!("{}{end}", supabase.url).parse().unwrap();
        let server = TestServer::start_with(|config| {
            let issuer = JwtIssuer::default();
            config.sign_in = SignIn::Supabase { url, api_key: None, mode: Mode::Remote, issuer };
        })
        .await;
        count(&holder(&server, &token())).await;
        let calls = supabase.calls();
        let call = calls.last().unwrap();
        assert_eq!(call.path, path);
        assert_eq!(call.header("apikey"), None);
    }
}
