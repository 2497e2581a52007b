//! What users see when Supabase is confused, slow or gone. Only its own word that a token is
//! bad may be a 401: everything else leaves the question open and is a 503.

mod answers;
mod faults;
mod request;
pub(crate) mod tls;

use std::time::{Duration, Instant};

use futures::future::join_all;
use secrecy::SecretString;
use serde_json::{Value, json};
use thread_store::auth::{JwtIssuer, Mode};
use thread_store::config::SignIn;

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
