//! What holds for every endpoint.

use super::*;

#[tokio::test]
async fn errors_take_the_shape_of_the_api_version_asked_for() {
    let auth = Auth::start().await;
    let body = json!({ "email": "a@b.c", "password": "12345" });
    for (version, newest) in
        [("2024-01-01", true), ("2030-12-31", true), ("2023-12-31", false), ("tomorrow", false)]
    {
        let request = auth.request(Method::POST, "/signup").json(&body);
        let answer = send(request.header("x-supabase-api-version", version)).await;
        assert_eq!(answer.status, 422);
        assert_eq!(answer.body["weak_password"]["reasons"], json!(["length"]));
        let code = if newest { json!("weak_password") } else { json!(422) };
        assert_eq!(answer.body["code"], code, "{version}");
        let echoed = answer.headers.get("x-supabase-api-version");
        assert_eq!(echoed.is_some(), newest, "{version}");
    }
}

#[tokio::test]
async fn an_api_key_may_be_anything_or_missing() {
    let auth = Auth::start().await;
    let body = json!({ "email": "ada@example.com", "password": PASSWORD });
    let signup = format!("{}/signup", auth.url);
    let session = send(auth.client.post(signup).json(&body)).await.ok();
    let user = format!("{}/user", auth.url);
    send(auth.client.get(&user).bearer_auth(access(&session))).await.ok();
    let odd = auth.client.get(&user).bearer_auth(access(&session)).header("apikey", "; drop");
    send(odd).await.ok();
}

#[tokio::test]
async fn the_open_endpoints_say_what_this_server_is() {
    let auth = Auth::start().await;
    let get = async |path: &str| send(auth.request(Method::GET, path)).await;
    assert_eq!(get("/health").await.ok()["name"], "GoTrue");
    let settings = get("/settings").await.ok();
    assert_eq!(settings["external"]["email"], true);
    assert_eq!(settings["mailer_autoconfirm"], true);
    let keys = get("/.well-known/jwks.json").await;
    assert_eq!(keys.headers["cache-control"], "public, max-age=600");
    assert_eq!(keys.ok(), json!({ "keys": [] }));
}

#[tokio::test]
async fn an_unknown_path_or_method_gets_a_json_error() {
    let auth = Auth::start().await;
    for path in ["/callback", "/signup/", "/otp/x", "/%00"] {
        let answer = send(auth.request(Method::POST, path)).await;
        assert_eq!((answer.status.as_u16(), &answer.body["code"]), (404, &json!(404)), "{path}");
    }
    for (method, path) in [
        (Method::GET, "/signup"),
        (Method::DELETE, "/user"),
        (Method::GET, "/token?grant_type=password"),
        (Method::GET, "/logout"),
    ] {
        let answer = send(auth.request(method, path)).await;
        assert_eq!((answer.status.as_u16(), &answer.body["code"]), (405, &json!(405)), "{path}");
    }
}

#[tokio::test]
async fn a_malformed_body_is_a_4xx_with_a_json_error() {
    let auth = Auth::start().await;
    let session = auth.sign_up("ada@example.com").await;
    let endpoints = [
        (Method::POST, "/signup"),
        (Method::POST, "/token?grant_type=password"),
        (Method::POST, "/token?grant_type=refresh_token"),
        (Method::PUT, "/user"),
    ];
    let deep = format!(r#"{{"data":{}{}}}"#, "[".repeat(5000), "]".repeat(5000));
    let large = format!(r#"{{"email":"{}"}}"#, "x".repeat(70_000));
    let bodies: [&[u8]; 16] = [
        b"",
        b"{",
        b"null",
        b"7",
        b"[]",
        b"\"text\"",
        b"{} {}",
        b"\xff\xfe",
        b"{\"email\":\"\xc3\x28\"}",
        br#"{"email":7,"refresh_token":7,"data":7}"#,
        br#"{"email":{},"refresh_token":[],"data":[]}"#,
        br#"{"email":"\ud800","refresh_token":"\ud800"}"#,
        br#"{"email":"a@b.c","email":"a@b.c","refresh_token":"","refresh_token":""}"#,
        br#"{"data":{"n":1e999},"email":1e999,"refresh_token":1e999}"#,
        deep.as_bytes(),
        large.as_bytes(),
    ];
    for (method, path) in endpoints {
        for body in bodies {
            let request = auth.request(method.clone(), path).bearer_auth(access(&session));
            let answer = send(request.body(body.to_vec())).await;
            let shown = String::from_utf8_lossy(&body[..body.len().min(60)]);
            assert!(answer.status.is_client_error(), "{path} {shown}: {}", answer.status);
            assert!(answer.body["msg"].is_string(), "{path} {shown}");
        }
    }
}

#[tokio::test]
async fn what_postgres_cannot_store_is_the_fault_of_the_request() {
    let auth = Auth::start().await;
    let session = auth.sign_up("ada@example.com").await;
    for data in [json!({ "a": "\0" }), json!({ "\0": 1 }), json!({ "a": [{ "b": "x\0" }] })] {
        let body = json!({ "email": "b@c.d", "password": PASSWORD, "data": data });
        let answer = auth.post("/signup", &body).await;
        assert_eq!((answer.status.as_u16(), &answer.body["code"]), (400, &json!(400)), "{body}");
        let answer = auth.update(access(&session), &json!({ "data": data })).await;
        assert_eq!((answer.status.as_u16(), &answer.body["code"]), (400, &json!(400)), "{body}");
    }
    let answer = auth.sign_in("a\0@b.c", PASSWORD).await;
    assert!(answer.status.is_client_error());
    // A password is only hashed: it may hold anything.
    let body = json!({ "email": "nul@example.com", "password": "\0\u{1f600}\0\0\0" });
    auth.post("/signup", &body).await.ok();
    auth.sign_in("nul@example.com", "\0\u{1f600}\0\0\0").await.ok();
}
