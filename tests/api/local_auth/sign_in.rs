//! Signing in with a password.

use super::*;

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_get_the_same_answer() {
    let auth = Auth::start().await;
    auth.sign_up("ada@example.com").await;
    let msg = "Invalid login credentials";
    for (email, password) in [
        ("ada@example.com", "not this one"),
        ("ada@example.com", ""),
        ("bob@example.com", PASSWORD),
        ("not an address", PASSWORD),
    ] {
        auth.sign_in(email, password).await.refused(400, "invalid_credentials", msg);
    }
}

#[tokio::test]
async fn a_sign_in_that_supabase_refuses_is_refused_in_the_same_words() {
    let auth = Auth::start().await;
    let both = "Only an email address or phone number should be provided on login.";
    let rows = [
        (json!({ "password": PASSWORD }), 400, "validation_failed", "missing email or phone"),
        (
            json!({ "email": "a@b.c", "phone": "1", "password": PASSWORD }),
            400,
            "validation_failed",
            both,
        ),
        (
            json!({ "phone": "1", "password": PASSWORD }),
            422,
            "phone_provider_disabled",
            "Phone logins are disabled",
        ),
        (json!({ "email": "a@b.c" }), 400, "invalid_credentials", "Invalid login credentials"),
    ];
    for (body, status, code, msg) in rows {
        let answer = auth.post("/token?grant_type=password", &body).await;
        answer.refused(status, code, msg);
    }
    for query in ["", "?grant_type=", "?grant_type=magic", "?grant_type=%ff"] {
        let answer = auth.post(&format!("/token{query}"), &json!({})).await;
        answer.refused(400, "invalid_credentials", "unsupported_grant_type");
    }
}

#[tokio::test]
async fn a_banned_user_is_refused_everywhere_until_the_ban_is_over() {
    let auth = Auth::start().await;
    let session = auth.sign_up("ada@example.com").await;
    auth.sql("update local_auth.users set banned_until = now() + interval '1 hour'").await;
    auth.user(access(&session)).await.refused(403, "user_banned", "User is banned");
    let sign_in = auth.sign_in("ada@example.com", PASSWORD).await;
    sign_in.refused(400, "user_banned", "User is banned");
    let wrong = auth.sign_in("ada@example.com", "not this one").await;
    wrong.refused(400, "invalid_credentials", "Invalid login credentials");
    let refresh = auth.refresh(renewal(&session)).await;
    refresh.refused(400, "user_banned", "Invalid Refresh Token: User Banned");

    auth.sql("update local_auth.users set banned_until = now() - interval '1 hour'").await;
    assert!(auth.user(access(&session)).await.ok()["banned_until"].is_string());
    auth.refresh(renewal(&session)).await.ok();
}

#[tokio::test]
async fn a_deleted_user_is_gone_and_its_address_free() {
    let auth = Auth::start().await;
    let session = auth.sign_up("ada@example.com").await;
    auth.sql("update local_auth.users set deleted_at = now()").await;
    auth.user(access(&session)).await.refused(403, "session_not_found", SESSION_GONE);
    auth.refresh(renewal(&session)).await.refused(400, "refresh_token_not_found", NOT_FOUND);
    let sign_in = auth.sign_in("ada@example.com", PASSWORD).await;
    sign_in.refused(400, "invalid_credentials", "Invalid login credentials");
    let second = auth.sign_up("ada@example.com").await;
    assert_ne!(second["user"]["id"], session["user"]["id"]);

    auth.sql("delete from local_auth.users").await;
    let gone = "User from sub claim in JWT does not exist";
    auth.user(access(&second)).await.refused(403, "user_not_found", gone);
    auth.refresh(renewal(&second)).await.refused(400, "refresh_token_not_found", NOT_FOUND);
}
