//! Access tokens, and whom they are taken from.

use super::*;

#[tokio::test]
async fn an_access_token_carries_the_claims_of_supabase() {
    let auth = Auth::start().await;
    let session = auth.sign_up("ada@example.com").await;
    let claims = payload(access(&session));

    assert_eq!(claims["iss"], format!("{}/auth/v1", auth.server.url));
    assert_eq!(claims["sub"], session["user"]["id"]);
    assert_eq!(claims["aud"], "authenticated");
    assert_eq!(claims["role"], "authenticated");
    assert_eq!(claims["email"], "ada@example.com");
    assert_eq!(claims["phone"], "");
    assert_eq!(claims["aal"], "aal1");
    assert_eq!(claims["amr"][0]["method"], "password");
    assert!(claims["amr"][0]["timestamp"].is_i64());
    assert_eq!(claims["app_metadata"], session["user"]["app_metadata"]);
    assert_eq!(claims["user_metadata"], session["user"]["user_metadata"]);
    assert_eq!(claims["is_anonymous"], false);
    Uuid::try_parse(text(&claims["session_id"])).unwrap();
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 3600);
}

#[tokio::test]
async fn a_missing_or_odd_authorization_header_is_401() {
    let auth = Auth::start().await;
    let session = auth.sign_up("ada@example.com").await;
    let token = access(&session);
    send(auth.request(Method::GET, "/user")).await.refused(
        401,
        "no_authorization",
        NO_AUTHORIZATION,
    );
    let odd = [
        format!("Bearer  {token}"),
        format!("Bearer {token} x"),
        format!("Bearer\t{token}"),
        format!("Basic {token}"),
        token.to_owned(),
        "Bearer".to_owned(),
        String::new(),
    ];
    for value in odd {
        let answer = send(auth.request(Method::GET, "/user").header("authorization", value)).await;
        answer.refused(401, "no_authorization", NO_AUTHORIZATION);
    }
    for scheme in ["bearer", "BEARER", "bEaReR"] {
        let header = format!("{scheme} {token}");
        send(auth.request(Method::GET, "/user").header("authorization", header)).await.ok();
    }
}

#[tokio::test]
async fn a_token_that_does_not_verify_is_403_bad_jwt() {
    let dir = TempDir::new().unwrap();
    let auth = Auth::start_in(dir.path()).await;
    let session = auth.sign_up("ada@example.com").await;
    let (head, rest) = access(&session).split_once('.').unwrap();
    let (body, signature) = rest.split_once('.').unwrap();
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    let other = auth.sign_up("bob@example.com").await;
    let foreign = access(&other).rsplit('.').next().unwrap();
    let expired = json!({ "sub": Uuid::new_v4(), "exp": get_current_timestamp() - 1 });

    let wrong_signature = format!("{head}.{body}.{foreign}");
    let msg = format!("{BAD_JWT}token signature is invalid: signature is invalid");
    auth.user(&wrong_signature).await.refused(403, "bad_jwt", &msg);
    let msg = format!("{BAD_JWT}token has invalid claims: token is expired");
    let expired = forge(dir.path(), Algorithm::HS256, &expired);
    auth.user(&expired).await.refused(403, "bad_jwt", &msg);
    let others = [
        "x".to_owned(),
        "a.b.c".to_owned(),
        format!("{head}.{body}"),
        format!("{head}.{body}."),
        format!("{none}.{body}."),
        format!("{none}.{body}.{signature}"),
        format!("{head}.{body}.{signature}.{signature}"),
        forge(dir.path(), Algorithm::HS384, &json!({ "sub": Uuid::new_v4() })),
        forge(dir.path(), Algorithm::HS256, &json!({ "sub": 7 })),
        forge(dir.path(), Algorithm::HS256, &json!({ "sub": Uuid::new_v4(), "exp": null })),
        forge(dir.path(), Algorithm::HS256, &json!({ "sub": Uuid::new_v4(), "exp": "soon" })),
    ];
    for token in others {
        let answer = auth.user(&token).await;
        assert_eq!(answer.status, 403, "{token}");
        assert_eq!(answer.body["error_code"], "bad_jwt");
        assert!(text(&answer.body["msg"]).starts_with(BAD_JWT));
    }
}

#[tokio::test]
async fn a_signed_token_with_bad_claims_is_refused_row_by_row() {
    let dir = TempDir::new().unwrap();
    let auth = Auth::start_in(dir.path()).await;
    let sub = auth.sign_up("ada@example.com").await["user"]["id"].clone();
    let gone = "User from sub claim in JWT does not exist";
    let rows = [
        (json!({ "role": "anon" }), 403, "bad_jwt", "invalid claim: missing sub claim"),
        (json!({ "sub": "" }), 403, "bad_jwt", "invalid claim: missing sub claim"),
        (json!({ "sub": "ada" }), 400, "bad_jwt", "invalid claim: sub claim must be a UUID"),
        (json!({ "sub": Uuid::new_v4() }), 403, "user_not_found", gone),
        (json!({ "sub": Uuid::new_v4(), "session_id": "x" }), 403, "user_not_found", gone),
        (
            json!({ "sub": sub, "session_id": "x" }),
            403,
            "bad_jwt",
            "invalid claim: session_id claim must be a UUID",
        ),
        (
            json!({ "sub": sub, "session_id": Uuid::new_v4() }),
            403,
            "session_not_found",
            SESSION_GONE,
        ),
        (
            json!({ "sub": sub, "aud": null }),
            400,
            "validation_failed",
            "Token audience doesn't match request audience",
        ),
    ];
    for (claims, status, code, msg) in rows {
        let token = forge(dir.path(), Algorithm::HS256, &claims);
        auth.user(&token).await.refused(status, code, msg);
    }
}

#[tokio::test]
async fn a_session_of_another_user_does_not_count() {
    let dir = TempDir::new().unwrap();
    let auth = Auth::start_in(dir.path()).await;
    let ada = auth.sign_up("ada@example.com").await;
    let bob = auth.sign_up("bob@example.com").await;
    let session_id = payload(access(&bob))["session_id"].clone();
    let mixed = json!({ "sub": ada["user"]["id"], "session_id": session_id });
    let token = forge(dir.path(), Algorithm::HS256, &mixed);
    auth.user(&token).await.refused(403, "session_not_found", SESSION_GONE);
}

#[tokio::test]
async fn a_token_without_a_session_is_not_asked_for_one() {
    let dir = TempDir::new().unwrap();
    let auth = Auth::start_in(dir.path()).await;
    let sub = auth.sign_up("ada@example.com").await["user"]["id"].clone();
    for session_id in [Value::Null, json!(""), json!(Uuid::nil())] {
        let claims = json!({ "sub": sub, "session_id": session_id });
        let token = forge(dir.path(), Algorithm::HS256, &claims);
        assert_eq!(auth.user(&token).await.ok()["id"], sub);
    }
    auth.sql("update local_auth.users set deleted_at = now()").await;
    let token = forge(dir.path(), Algorithm::HS256, &json!({ "sub": sub }));
    assert!(auth.user(&token).await.ok()["deleted_at"].is_string());
}

#[tokio::test]
async fn the_audience_is_compared_with_the_request_header() {
    let dir = TempDir::new().unwrap();
    let auth = Auth::start_in(dir.path()).await;
    let session = auth.sign_up("ada@example.com").await;
    let ask = async |token: &str, aud: &str| {
        let request = auth.request(Method::GET, "/user").bearer_auth(token);
        send(request.header("x-jwt-aud", aud)).await
    };
    ask(access(&session), "authenticated").await.ok();
    ask(access(&session), "").await.ok();
    let msg = "Token audience doesn't match request audience";
    ask(access(&session), "other").await.refused(400, "validation_failed", msg);
    let claims = json!({ "sub": session["user"]["id"], "aud": ["first", "second"] });
    let several = forge(dir.path(), Algorithm::HS256, &claims);
    auth.user(&several).await.ok();
    ask(&several, "second").await.refused(400, "validation_failed", msg);
}
