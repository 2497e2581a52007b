//! Links whose session goes to the client that asked for them (PKCE).

use sha2::{Digest, Sha256};

use super::*;

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

fn challenged(method: &str) -> Value {
    let challenge = match method.to_lowercase().as_str() {
        "plain" => VERIFIER.to_owned(),
        _ => URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER)),
    };
    json!({
        "email": "ada@example.com", "code_challenge": challenge, "code_challenge_method": method,
    })
}

impl Auth {
    async fn code(&self, path: &str, method: &str) -> String {
        self.sql("update local_auth.users set recovery_sent_at = null").await;
        self.post(path, &challenged(method)).await.ok();
        let (link, _) = self.links().pop().unwrap();
        assert!(in_query(&link, "token").unwrap().starts_with("pkce_"), "{link}");
        let to = self.follow(&link).await;
        assert_eq!(to.fragment(), None, "no session in an address");
        in_query(&to, "code").unwrap()
    }

    async fn exchange(&self, code: &str, verifier: &str) -> Answer {
        let body = json!({ "auth_code": code, "code_verifier": verifier });
        self.post("/token?grant_type=pkce", &body).await
    }
}

#[tokio::test]
async fn a_link_leads_to_a_code_that_its_client_exchanges_once() {
    let auth = Auth::start().await;
    let sub = auth.sign_up("ada@example.com").await["user"]["id"].clone();
    let invalid = "invalid flow state, no valid flow state found";
    for path in ["/recover?redirect_to=http://localhost:3000/x", "/otp", "/magiclink"] {
        for method in ["s256", "S256", "plain"] {
            let code = auth.code(path, method).await;
            let wrong = auth.exchange(&code, &VERIFIER.to_lowercase()).await;
            let msg = "code challenge does not match previously saved code verifier";
            wrong.refused(400, "bad_code_verifier", msg);
            let session = auth.exchange(&code, VERIFIER).await.ok();
            assert_eq!(session["user"]["id"], sub);
            let purpose = if path.contains("recover") { "recovery" } else { "magiclink" };
            assert_eq!(payload(access(&session))["amr"][0]["method"], purpose);
            auth.user(access(&session)).await.ok();
            auth.refresh(renewal(&session)).await.ok();
            auth.exchange(&code, VERIFIER).await.refused(404, "flow_state_not_found", invalid);
        }
    }
}

#[tokio::test]
async fn an_exchange_that_supabase_refuses_is_refused_in_the_same_words() {
    let auth = Auth::start().await;
    auth.sign_up("ada@example.com").await;
    let invalid = "invalid flow state, no valid flow state found";
    let unknown = Uuid::new_v4().to_string();
    auth.exchange(&unknown, VERIFIER).await.refused(404, "flow_state_not_found", invalid);
    let empty = "invalid request: both auth code and code verifier should be non-empty";
    for (code, verifier) in [("", VERIFIER), (unknown.as_str(), ""), ("", "")] {
        auth.exchange(code, verifier).await.refused(400, "validation_failed", empty);
    }
    let answer = auth.post("/token?grant_type=pkce", &json!({})).await;
    answer.refused(400, "validation_failed", empty);

    let code = auth.code("/otp", "s256").await;
    auth.sql("update local_auth.one_time_tokens set created_at = now() - interval '301 s'").await;
    let late = auth.exchange(&code, VERIFIER).await;
    late.refused(422, "flow_state_expired", "invalid flow state, flow state has expired");

    let code = auth.code("/otp", "s256").await;
    auth.sql("update local_auth.users set deleted_at = now()").await;
    assert_eq!(auth.exchange(&code, VERIFIER).await.status.as_u16() / 100, 4);
}

#[tokio::test]
async fn a_challenge_of_another_form_is_refused() {
    let auth = Auth::start().await;
    auth.sign_up("ada@example.com").await;
    let good = "a".repeat(43);
    for (challenge, method) in [
        (Some(good.as_str()), None),
        (None, Some("s256")),
        (Some("short"), Some("s256")),
        (Some(good.as_str()), Some("s512")),
        (Some(&"a".repeat(129)), Some("s256")),
        (Some(&"+".repeat(43)), Some("s256")),
    ] {
        let body = json!({
            "email": "ada@example.com", "code_challenge": challenge, "code_challenge_method": method,
        });
        for path in ["/recover", "/otp"] {
            let answer = auth.post(path, &body).await;
            assert_eq!(answer.status, 400, "{body}");
            assert_eq!(answer.body["error_code"], "validation_failed", "{body}");
        }
    }
    assert_eq!(auth.links().len(), 0);
    // Nothing was changed by a request that was refused.
    let body = json!({ "email": "eve@example.com", "code_challenge": good });
    assert_eq!(auth.post("/otp", &body).await.status, 400);
    let users: i64 = sqlx::query_scalar("select count(*) from local_auth.users")
        .fetch_one(&auth.pool)
        .await
        .unwrap();
    assert_eq!(users, 1);
}
