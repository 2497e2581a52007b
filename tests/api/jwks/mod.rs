//! Tokens that are verified here, with a Supabase project's public keys.

mod remote;
mod rotation;
mod verification;

use std::time::Duration;

use serde_json::{Value, json};
use thread_store::auth::Mode;

use crate::support::signer::{Signer, seconds_from_now};
use crate::support::supabase::{Reply, Supabase};
use crate::support::{Answer, TestServer, User};

/// A server, the stand-in that it verifies for, and how it does that. Nothing is remembered.
struct Here {
    supabase: Supabase,
    nobody: User,
    _server: TestServer,
}

impl Here {
    async fn start(mode: Mode, keys: Reply) -> Here {
        let supabase = Supabase::start().await;
        supabase.publish(keys);
        let server = TestServer::start_with(|config| {
            config.sign_in = supabase.sign_in(mode);
            config.auth_cache_ttl = Duration::ZERO;
        })
        .await;
        Here { supabase, nobody: server.nobody(), _server: server }
    }

    fn holder(&self, token: &str) -> User {
        User { token: token.to_owned(), ..self.nobody.clone() }
    }

    async fn knock(&self, token: &str) -> Answer {
        self.holder(token).post("/threads/count", json!({})).await
    }

    /// The claims of a good token of a user, but for some changes. A null takes a claim away.
    fn claims(&self, sub: &str, changes: &Value) -> Value {
        let mut claims = json!({
            "iss": format!("{}/auth/v1", self.supabase.url), "aud": "authenticated", "sub": sub,
            "exp": seconds_from_now(3600), "iat": seconds_from_now(0), "email": "ada@example.com",
            "role": "authenticated", "aal": "aal1", "is_anonymous": false,
            "session_id": uuid::Uuid::new_v4(), "app_metadata": {}, "user_metadata": {},
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        claims
    }

    fn good(&self, signer: &Signer) -> String {
        signer.sign(&self.claims(&id(), &json!({})))
    }
}

fn id() -> String {
    uuid::Uuid::new_v4().to_string()
}

#[track_caller]
fn refused(answer: &Answer, name: &str) {
    assert_eq!(answer.status, 401, "{name}: {}", answer.text);
    assert_eq!(answer.header("www-authenticate"), "Bearer error=\"invalid_token\"", "{name}");
}

#[track_caller]
fn unavailable(answer: &Answer, name: &str) {
    assert_eq!(answer.status, 503, "{name}: {}", answer.text);
    assert_eq!(answer.header("retry-after"), "2", "{name}");
    let detail = "The authentication service is not available, try again shortly";
    assert_eq!(answer.detail(), detail, "{name}");
}
