//! Signing up.

use super::*;

#[tokio::test]
async fn signing_up_gives_a_session_and_the_user_object() {
    let auth = Auth::start().await;
    let body = json!({ "email": "Ada@Example.com", "password": PASSWORD, "data": { "n": 1 } });
    let session = auth.post("/signup", &body).await.ok();

    assert_eq!(session["token_type"], "bearer");
    assert_eq!(session["expires_in"], 3600);
    assert_eq!(session["expires_at"], payload(access(&session))["exp"]);
    let user = &session["user"];
    assert_eq!(user["email"], "ada@example.com");
    assert_eq!(user["aud"], "authenticated");
    assert_eq!(user["role"], "authenticated");
    assert_eq!(user["phone"], "");
    assert_eq!(user["is_anonymous"], false);
    let sub = &user["id"];
    let known = |is_verified: bool| {
        json!({
            "email": "ada@example.com", "email_verified": is_verified, "n": 1,
            "phone_verified": false, "sub": sub,
        })
    };
    assert_eq!(user["user_metadata"], known(true));
    assert_eq!(user["identities"][0]["identity_data"], known(true));
    assert_eq!(user["app_metadata"], json!({ "provider": "email", "providers": ["email"] }));
    assert_eq!(user["identities"][0]["user_id"], user["id"]);
    for present in ["created_at", "updated_at", "email_confirmed_at", "last_sign_in_at"] {
        assert!(text(&user[present]).ends_with('Z'), "{present}");
    }
    for absent in ["confirmed_at", "banned_until", "deleted_at", "new_email", "invited_at"] {
        assert!(user.get(absent).is_none(), "{absent}");
    }
    let mut read = auth.user(access(&session)).await.ok();
    assert_eq!(read["confirmed_at"], user["email_confirmed_at"]);
    read.as_object_mut().unwrap().remove("confirmed_at");
    let identity = &mut read["identities"][0]["identity_data"];
    assert_eq!(identity, &known(false));
    *identity = known(true);
    assert_eq!(&read, user);
}

#[tokio::test]
async fn an_address_is_taken_whatever_its_case() {
    let auth = Auth::start().await;
    auth.sign_up("ada@example.com").await;
    let body = json!({ "email": "ADA@example.COM", "password": PASSWORD });
    let again = auth.post("/signup", &body).await;
    again.refused(422, "user_already_exists", "User already registered");
    auth.sign_in("aDa@example.com", PASSWORD).await.ok();
}

#[tokio::test]
async fn a_sign_up_that_supabase_refuses_is_refused_in_the_same_words() {
    let auth = Auth::start().await;
    let invalid = "Unable to validate email address: invalid format";
    let both = "Only an email address or phone number should be provided on signup.";
    let rows = [
        (json!({}), 422, "anonymous_provider_disabled", "Anonymous sign-ins are disabled"),
        (
            json!({ "data": {} }),
            422,
            "anonymous_provider_disabled",
            "Anonymous sign-ins are disabled",
        ),
        (json!({ "email": "a@b.c" }), 400, "validation_failed", "Signup requires a valid password"),
        (
            json!({ "email": "a@b.c", "password": "" }),
            400,
            "validation_failed",
            "Signup requires a valid password",
        ),
        (
            json!({ "email": "a@b.c", "password": "x".repeat(73) }),
            400,
            "validation_failed",
            "Password cannot be longer than 72 characters",
        ),
        (json!({ "email": "nobody", "password": PASSWORD }), 400, "validation_failed", invalid),
        (json!({ "email": "a b@c.d", "password": PASSWORD }), 400, "validation_failed", invalid),
        (json!({ "email": "a\0@c.d", "password": PASSWORD }), 400, "validation_failed", invalid),
        (
            json!({ "email": format!("{}@b.c", "a".repeat(255)), "password": PASSWORD }),
            400,
            "validation_failed",
            "An email address is too long",
        ),
        (
            json!({ "email": "a@b.c", "phone": "1", "password": PASSWORD }),
            400,
            "validation_failed",
            both,
        ),
        (
            json!({ "phone": "123", "password": PASSWORD }),
            400,
            "phone_provider_disabled",
            "Phone signups are disabled",
        ),
    ];
    for (body, status, code, msg) in rows {
        auth.post("/signup", &body).await.refused(status, code, msg);
    }
}

#[tokio::test]
async fn a_weak_password_names_its_reasons() {
    let auth = Auth::start().await;
    let weak = auth.post("/signup", &json!({ "email": "a@b.c", "password": "12345" })).await;
    assert_eq!(weak.status, 422);
    let msg = "Password should be at least 6 characters.";
    let reasons = json!({ "reasons": ["length"] });
    let expected =
        json!({ "code": 422, "error_code": "weak_password", "msg": msg, "weak_password": reasons });
    assert_eq!(weak.body, expected);
    assert_eq!(weak.headers["x-sb-error-code"], "weak_password");
}

#[tokio::test]
async fn of_racing_sign_ups_for_one_address_one_wins() {
    let auth = Auth::start().await;
    let body = json!({ "email": "ada@example.com", "password": PASSWORD });
    let answers = join_all((0..6).map(|_| auth.post("/signup", &body))).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|it| it.status == 200);
    assert_eq!(won.len(), 1);
    for answer in lost {
        answer.refused(422, "user_already_exists", "User already registered");
    }
}

#[tokio::test]
async fn sign_ups_do_not_hold_other_requests_up() {
    let auth = Auth::start().await;
    let session = auth.sign_up("ada@example.com").await;
    let flood = join_all((0..12).map(|n| {
        let body = json!({ "email": format!("{n}@example.com"), "password": PASSWORD });
        async { auth.post("/signup", &{ body }).await.ok() }
    }));
    let reads = async {
        for _ in 0..20 {
            auth.user(access(&session)).await.ok();
        }
    };
    tokio::join!(flood, reads);
}
