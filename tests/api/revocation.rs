//! Users who are no longer let in: signed out, deleted, banned, or with a new password.
//!
//! The local sign-in speaks Supabase's API and is asked in the mode `remote`.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::events::{Events, Next};
use crate::support::policies::within;
use crate::support::{Answer, TestServer, User};
use thread_store::auth::private_threads as private;

/// How long an open stream may outlive its token: the interval of its check, and some air.
const STREAMS_END: Duration = Duration::from_secs(10 + 5);

/// What can happen to a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    SignedOut,
    Deleted,
    /// As Supabase's soft deletion leaves it.
    MarkedAsDeleted,
    Banned,
    PasswordChanged,
}

const EVENTS: [Event; 5] = [
    Event::SignedOut,
    Event::Deleted,
    Event::MarkedAsDeleted,
    Event::Banned,
    Event::PasswordChanged,
];

impl Event {
    async fn happen(self, server: &TestServer, user: &User) {
        match self {
            Event::SignedOut => user.sign_out().await,
            Event::Deleted => {
                let done = sqlx::query("delete from local_auth.users where id = $1::uuid")
                    .bind(&user.id)
                    .execute(&server.pool)
                    .await;
                assert_eq!(done.unwrap().rows_affected(), 1);
            }
            Event::MarkedAsDeleted => server.change_user(user, "deleted_at = now()").await,
            Event::Banned => {
                server.change_user(user, "banned_until = now() + interval '1 hour'").await;
            }
            Event::PasswordChanged => {
                // Elsewhere: that session stays, all others end.
                let session = user.another_session().await;
                let body = json!({ "password": "a new horse" });
                let request = session.request(Method::PUT, "/auth/v1/user").json(&body);
                Answer::of(request).await.expect(200);
                session.post("/threads/count", json!({})).await.expect(200);
            }
        }
    }
}

async fn server(ttl: Duration) -> TestServer {
    TestServer::start_policy(ttl, private).await
}

async fn is_refused(user: &User) -> bool {
    let answer = user.post("/threads/count", json!({})).await;
    if answer.status == 401 {
        assert_eq!(answer.header("www-authenticate"), "Bearer error=\"invalid_token\"");
    } else {
        assert_eq!(answer.expect(200), 0);
    }
    answer.status == 401
}

#[tokio::test]
async fn without_a_cache_a_token_is_refused_at_once() {
    let server = server(Duration::ZERO).await;
    for event in EVENTS {
        let user = server.user().await;
        assert!(!is_refused(&user).await, "{event:?}");
        event.happen(&server, &user).await;
        assert!(is_refused(&user).await, "{event:?}");
    }
}

#[tokio::test]
async fn with_a_cache_a_token_is_refused_when_its_time_there_is_over() {
    let ttl = Duration::from_secs(1);
    let server = server(ttl).await;
    for event in EVENTS {
        let user = server.user().await;
        assert!(!is_refused(&user).await, "{event:?}");
        event.happen(&server, &user).await;
        let happened = Instant::now();
        // Asking all the time does not lengthen it.
        assert!(within(ttl * 10, || is_refused(&user)).await, "{event:?}");
        let late = happened.elapsed().saturating_sub(ttl);
        assert!(late < Duration::from_millis(800), "{event:?}: {late:?} late");
        assert!(is_refused(&user).await, "{event:?}: let in again");
    }
}

#[tokio::test]
async fn with_the_default_cache_a_token_is_refused_within_ten_seconds() {
    let server = TestServer::start().await;
    let user = server.user().await;
    assert!(!is_refused(&user).await);
    Event::SignedOut.happen(&server, &user).await;
    let happened = Instant::now();
    // The control: that there is a cache at all, as the settings say.
    assert!(!is_refused(&user).await);
    assert!(within(Duration::from_secs(30), || is_refused(&user)).await);
    assert!(happened.elapsed() < Duration::from_secs(12), "{:?}", happened.elapsed());
}

#[tokio::test]
async fn what_happens_to_one_user_or_session_is_nothing_to_the_others() {
    let server = server(Duration::ZERO).await;
    for event in EVENTS {
        let (user, other) = (server.user().await, server.user().await);
        event.happen(&server, &user).await;
        assert!(!is_refused(&other).await, "{event:?}");
    }
    let user = server.user().await;
    let session = user.another_session().await;
    let local = session.post("/auth/v1/logout?scope=local", json!({})).await;
    assert_eq!(local.status, 204);
    assert!(is_refused(&session).await);
    assert!(!is_refused(&user).await);
}

#[tokio::test]
async fn a_refused_token_is_let_in_again_when_its_user_is() {
    let server = server(Duration::from_mins(1)).await;
    let user = server.user().await;
    server.change_user(&user, "banned_until = now() + interval '1 hour'").await;
    assert!(is_refused(&user).await);
    server.change_user(&user, "banned_until = null").await;
    assert!(!is_refused(&user).await, "a ban was remembered");
}

struct Follower {
    event: Option<Event>,
    user: User,
    thread_id: String,
    stream: Events,
}

impl Follower {
    async fn of(server: &TestServer, event: Option<Event>) -> Follower {
        let user = server.user().await;
        let thread_id = user.thread(json!({})).await;
        let mut stream = user.events(&thread_id, false).await;
        user.write(&thread_id, json!({ "word": 1 })).await;
        assert!(matches!(stream.next(STREAMS_END).await, Next::Event(_)), "{event:?}");
        Follower { event, user, thread_id, stream }
    }
}

#[tokio::test]
async fn an_open_stream_ends_with_its_token() {
    let server = server(Duration::from_secs(1)).await;
    let mut followers = Vec::new();
    for event in EVENTS.map(Some).into_iter().chain([None]) {
        followers.push(Follower::of(&server, event).await);
    }
    for follower in &followers {
        if let Some(event) = follower.event {
            event.happen(&server, &follower.user).await;
        }
    }
    let deadline = Instant::now() + STREAMS_END;
    for follower in &mut followers {
        let left = deadline.saturating_duration_since(Instant::now());
        if let Some(event) = follower.event {
            assert_eq!(follower.stream.next(left).await, Next::End, "{event:?}");
        } else {
            // The control: whose token still counts goes on reading.
            follower.user.write(&follower.thread_id, json!({ "word": 2 })).await;
            let Next::Event(event) = follower.stream.next(STREAMS_END).await else {
                unreachable!("a good token's stream ended")
            };
            let data = event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
            let data: Value = serde_json::from_str(data).unwrap();
            assert_eq!(data["state"]["values"]["word"], 2);
        }
    }
}
