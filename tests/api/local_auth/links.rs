//! Links and codes that a mail would carry.

use super::*;

const LINK_EXPIRED: &str = "Email link is invalid or has expired";
const CODE_EXPIRED: &str = "Token has expired or is invalid";

impl Auth {
    async fn ask_for_link(&self, path: &str, body: &Value) {
        assert_eq!(self.post(path, body).await.ok(), json!({}));
    }

    async fn verify(&self, body: &Value) -> Answer {
        self.post("/verify", body).await
    }
}

#[tokio::test]
async fn a_forgotten_password_is_replaced_by_following_a_link() {
    let auth = Auth::start().await;
    let before = auth.sign_up("ada@example.com").await;
    let body = json!({ "email": "Ada@example.com" });
    auth.ask_for_link("/recover?redirect_to=http://localhost:3000/new%3Fa=1", &body).await;
    let (link, _) = auth.last_link();
    assert_eq!(in_query(&link, "type").as_deref(), Some("recovery"));

    let to = auth.follow(&link).await;
    assert!(to.as_str().starts_with("http://localhost:3000/new?a=1#"), "{to}");
    let of = |name| in_fragment(&to, name).unwrap();
    assert_eq!([of("token_type"), of("type"), of("expires_in")], ["bearer", "recovery", "3600"]);
    let claims = payload(&of("access_token"));
    assert_eq!(claims["exp"].to_string(), of("expires_at"));
    assert_eq!(
        (&claims["sub"], &claims["amr"][0]["method"]),
        (&before["user"]["id"], &json!("otp"))
    );
    auth.refresh(&of("refresh_token")).await.ok();
    auth.update(&of("access_token"), &json!({ "password": "battery staple" })).await.ok();
    auth.sign_in("ada@example.com", "battery staple").await.ok();
    let user = auth.user(&of("access_token")).await.ok();
    assert!(text(&user["recovery_sent_at"]).ends_with('Z'));
}

#[tokio::test]
async fn a_link_works_once() {
    let auth = Auth::start().await;
    auth.sign_up("ada@example.com").await;
    auth.ask_for_link("/recover", &json!({ "email": "ada@example.com" })).await;
    let (link, _) = auth.last_link();
    // Looking whether it is there does not use it up.
    let head = auth.client.head(link.clone()).send().await.unwrap();
    assert_eq!(head.status(), 405);
    let followed = join_all((0..6).map(|_| auth.follow(&link))).await;
    let (good, bad): (Vec<_>, Vec<_>) =
        followed.iter().partition(|to| in_fragment(to, "access_token").is_some());
    assert_eq!((good.len(), bad.len()), (1, 5));
    for to in bad {
        assert_eq!(in_fragment(to, "error").as_deref(), Some("access_denied"));
        assert_eq!(in_fragment(to, "error_code").as_deref(), Some("otp_expired"));
        let why = in_fragment(to, "error_description");
        assert_eq!(why.as_deref(), Some(LINK_EXPIRED));
    }
    let token = in_query(&link, "token").unwrap();
    let answer = auth.verify(&json!({ "type": "recovery", "token_hash": token })).await;
    answer.refused(403, "otp_expired", LINK_EXPIRED);
}

#[tokio::test]
async fn a_newer_link_an_hour_and_a_new_password_make_a_link_useless() {
    let auth = Auth::start().await;
    let session = auth.sign_up("ada@example.com").await;
    let ask = async || {
        auth.pass_a_minute().await;
        auth.ask_for_link("/recover", &json!({ "email": "ada@example.com" })).await;
        auth.last_link().0
    };
    let is_good =
        async |link: &Url| in_fragment(&auth.follow(link).await, "access_token").is_some();
    let (first, second) = (ask().await, ask().await);
    assert!(!is_good(&first).await && is_good(&second).await);

    let link = ask().await;
    let age = "update local_auth.one_time_tokens set created_at = now() - interval '3601 seconds'";
    auth.sql(age).await;
    assert!(!is_good(&link).await);

    let link = ask().await;
    auth.update(access(&session), &json!({ "password": "battery staple" })).await.ok();
    assert!(!is_good(&link).await);
    let link = ask().await;
    auth.update(access(&session), &json!({ "email": "eve@example.com" })).await.ok();
    assert!(!is_good(&link).await);
}

#[tokio::test]
async fn links_and_codes_are_exchanged_without_a_redirect_too() {
    let auth = Auth::start().await;
    let sub = auth.sign_up("ada@example.com").await["user"]["id"].clone();
    for kind in ["magiclink", "email", "recovery"] {
        for is_code in [true, false] {
            auth.pass_a_minute().await;
            auth.ask_for_link("/magiclink", &json!({ "email": "ada@example.com" })).await;
            let (link, code) = auth.last_link();
            let token = in_query(&link, "token").unwrap();
            let body = if is_code {
                json!({ "type": kind, "email": "ADA@example.com", "token": code })
            } else {
                json!({ "type": kind, "token_hash": token })
            };
            let session = auth.verify(&body).await.ok();
            assert_eq!(session["user"]["id"], sub);
            auth.user(access(&session)).await.ok();
            auth.refresh(renewal(&session)).await.ok();
            let msg = if is_code { CODE_EXPIRED } else { LINK_EXPIRED };
            auth.verify(&body).await.refused(403, "otp_expired", msg);
        }
    }
}

#[tokio::test]
async fn a_token_or_code_that_nobody_was_sent_is_refused() {
    let auth = Auth::start().await;
    auth.sign_up("ada@example.com").await;
    auth.sign_up("bob@example.com").await;
    for email in ["ada@example.com", "bob@example.com"] {
        auth.ask_for_link("/otp", &json!({ "email": email })).await;
    }
    let links = auth.links();
    let [(ada, code), _] = &links[..] else { unreachable!("{links:?}") };
    let token = in_query(ada, "token").unwrap();
    let wrong = if code == "000000" { "000001" } else { "000000" };
    for (body, msg) in [
        (json!({ "type": "magiclink", "token_hash": "x" }), LINK_EXPIRED),
        (json!({ "type": "magiclink", "token_hash": format!("{token}x") }), LINK_EXPIRED),
        (json!({ "type": "signup", "token_hash": token }), LINK_EXPIRED),
        (json!({ "type": "invite", "token_hash": token }), LINK_EXPIRED),
        (json!({ "type": "signup", "email": "ada@example.com", "token": code }), CODE_EXPIRED),
        (json!({ "type": "email", "email": "ada@example.com", "token": wrong }), CODE_EXPIRED),
        (json!({ "type": "email", "email": "bob@example.com", "token": code }), CODE_EXPIRED),
        (json!({ "type": "email", "email": "eve@example.com", "token": code }), CODE_EXPIRED),
        (json!({ "type": "sms", "phone": "123", "token": code }), CODE_EXPIRED),
    ] {
        auth.verify(&body).await.refused(403, "otp_expired", msg);
    }
    for query in ["?token=x&type=magiclink", "?token=x&type=signup", "?token=pkce_x&type=recovery"]
    {
        let to = auth.follow(&format!("{}/verify{query}", auth.url).parse().unwrap()).await;
        assert_eq!(in_fragment(&to, "error_code").as_deref(), Some("otp_expired"), "{query}");
        let is_pkce = query.contains("pkce_");
        assert_eq!(in_query(&to, "error_code").is_some(), is_pkce, "{query}");
    }
    let session = auth.verify(&json!({ "type": "magiclink", "token_hash": token })).await.ok();
    auth.user(access(&session)).await.ok();
}

#[tokio::test]
async fn a_banned_or_deleted_user_has_no_use_of_a_link() {
    let auth = Auth::start().await;
    auth.sign_up("ada@example.com").await;
    auth.ask_for_link("/otp", &json!({ "email": "ada@example.com" })).await;
    let (link, _) = auth.last_link();
    auth.sql("update local_auth.users set banned_until = now() + interval '1 hour'").await;
    let to = auth.follow(&link).await;
    assert_eq!(in_fragment(&to, "error_code").as_deref(), Some("user_banned"));
    assert_eq!(in_fragment(&to, "error_description").as_deref(), Some("User is banned"));
    auth.sql("update local_auth.users set banned_until = null, deleted_at = now()").await;
    let to = auth.follow(&link).await;
    assert_eq!(in_fragment(&to, "error_code").as_deref(), Some("otp_expired"));
}

#[tokio::test]
async fn an_unknown_address_gets_the_same_answer_and_no_link_or_is_signed_up() {
    let auth = Auth::start().await;
    auth.ask_for_link("/recover", &json!({ "email": "eve@example.com" })).await;
    auth.ask_for_link("/recover", &json!({ "email": "eve@example.com" })).await;
    assert_eq!(auth.links().len(), 0);
    let body = json!({ "email": "eve@example.com", "create_user": false });
    let refused = auth.post("/otp", &body).await;
    refused.refused(422, "otp_disabled", "Signups not allowed for otp");

    let body = json!({ "email": "Eve@example.com", "data": { "name": "Eve" } });
    auth.ask_for_link("/otp", &body).await;
    let to = auth.follow(&auth.last_link().0).await;
    let user = auth.user(&in_fragment(&to, "access_token").unwrap()).await.ok();
    assert_eq!(
        (&user["email"], &user["user_metadata"]["name"]),
        (&json!("eve@example.com"), &json!("Eve"))
    );
    let sign_in = auth.sign_in("eve@example.com", "").await;
    sign_in.refused(400, "invalid_credentials", "Invalid login credentials");
}

#[tokio::test]
async fn a_user_is_sent_one_mail_a_minute() {
    let auth = Auth::start().await;
    auth.sign_up("ada@example.com").await;
    auth.sign_up("bob@example.com").await;
    let ask = async |path: &str, email: &str| auth.post(path, &json!({ "email": email })).await;
    ask("/recover", "ada@example.com").await.ok();
    for path in ["/recover", "/otp", "/magiclink"] {
        let again = ask(path, "ada@example.com").await;
        assert_eq!(again.body["error_code"], "over_email_send_rate_limit");
        let msg = text(&again.body["msg"]);
        let seconds = msg.strip_prefix("For security purposes, you can only request this after ");
        let seconds = seconds.and_then(|rest| rest.strip_suffix(" seconds.")).unwrap();
        assert!((50..=60).contains(&seconds.parse::<u32>().unwrap()), "{msg}");
        assert_eq!(again.status, 429);
    }
    ask("/recover", "bob@example.com").await.ok();
    // Following the link does not make room for the next.
    auth.follow(&auth.links()[0].0).await;
    assert_eq!(ask("/recover", "ada@example.com").await.status, 429);
    auth.pass_a_minute().await;
    ask("/recover", "ada@example.com").await.ok();
}

#[tokio::test]
async fn a_request_for_a_link_that_supabase_refuses_is_refused_in_the_same_words() {
    let auth = Auth::start().await;
    let invalid = "Unable to validate email address: invalid format";
    let no_mail = "Password recovery requires an email";
    let one = "Only an email address or phone number should be provided";
    let types = "Missing one of these types: signup, email_change, sms, phone_change";
    let phone_off = "phone_provider_disabled";
    for (path, body, status, code, msg) in [
        ("/recover", json!({}), 400, "validation_failed", no_mail),
        ("/recover", json!({ "email": "x" }), 400, "validation_failed", invalid),
        ("/magiclink", json!({}), 422, "validation_failed", no_mail),
        ("/magiclink", json!({ "email": "x" }), 400, "validation_failed", invalid),
        ("/otp", json!({}), 400, "validation_failed", "One of email or phone must be set"),
        ("/otp", json!({ "email": "x" }), 400, "validation_failed", invalid),
        ("/otp", json!({ "email": "a@b.c", "phone": "1" }), 400, "validation_failed", one),
        ("/otp", json!({ "phone": "1" }), 400, phone_off, "Unsupported phone provider"),
        ("/resend", json!({}), 400, "validation_failed", types),
        ("/resend", json!({ "type": "recovery" }), 400, "validation_failed", types),
        (
            "/resend",
            json!({ "type": "signup" }),
            400,
            "validation_failed",
            "Type provided requires an email address",
        ),
        (
            "/resend",
            json!({ "type": "sms", "phone": "1" }),
            400,
            phone_off,
            "Phone logins are disabled",
        ),
    ] {
        auth.post(path, &body).await.refused(status, code, msg);
    }
    auth.ask_for_link("/resend", &json!({ "type": "signup", "email": "ada@example.com" })).await;
    assert_eq!(auth.links().len(), 0);
}

#[tokio::test]
async fn a_redirect_stays_on_this_machine() {
    let auth = Auth::start().await;
    auth.sign_up("ada@example.com").await;
    let site = auth.url.strip_suffix("/auth/v1").unwrap();
    for (asked, leads_to) in [
        ("http://localhost:3000/x", "http://localhost:3000/x"),
        ("http://127.0.0.1:5173", "http://127.0.0.1:5173/"),
        ("https://evil.example/x", site),
        ("http://localhost.evil.example", site),
        ("javascript:alert(1)", site),
        ("", site),
    ] {
        auth.pass_a_minute().await;
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("redirect_to", asked)
            .finish();
        auth.ask_for_link(&format!("/otp?{query}"), &json!({ "email": "ada@example.com" })).await;
        let to = auth.follow(&auth.last_link().0).await;
        assert!(to.as_str().starts_with(leads_to), "{asked}: {to}");
        assert!(in_fragment(&to, "access_token").is_some());
        // A changed link leads no further.
        let other = format!("{}/verify?token=x&type=magiclink&{query}", auth.url);
        let to = auth.follow(&other.parse().unwrap()).await;
        assert!(to.as_str().starts_with(leads_to), "{asked}: {to}");
    }
}

#[tokio::test]
async fn guesses_of_a_code_are_slowed() {
    let auth = Auth::start().await;
    auth.sign_up("ada@example.com").await;
    auth.ask_for_link("/otp", &json!({ "email": "ada@example.com" })).await;
    let (_, code) = auth.last_link();
    let body = |code: &str| json!({ "type": "email", "email": "ada@example.com", "token": code });
    let begun = std::time::Instant::now();
    for wrong in 0..8 {
        auth.verify(&body(&format!("x{wrong}"))).await.refused(403, "otp_expired", CODE_EXPIRED);
    }
    assert!(begun.elapsed() > Duration::from_secs(1), "{:?}", begun.elapsed());
    auth.verify(&body(&code)).await.ok();
}

#[tokio::test]
async fn a_verification_that_supabase_refuses_is_refused_in_the_same_words() {
    let auth = Auth::start().await;
    let needs_type = "Verify requires a verification type";
    let either = "Verify requires either a token or a token hash";
    let invalid = "Invalid email verification type";
    let only_hash = "Only the token_hash and type should be provided";
    let one = "Only an email address or phone number should be provided on verify";
    for (body, status, msg) in [
        (json!({}), 400, needs_type),
        (json!({ "token_hash": "x" }), 400, needs_type),
        (json!({ "type": "recovery" }), 400, either),
        (json!({ "type": "recovery", "token_hash": "" }), 400, either),
        (json!({ "type": "email", "token_hash": "x", "token": "1" }), 400, either),
        (json!({ "type": "other", "token_hash": "x" }), 400, invalid),
        (json!({ "type": "email", "token_hash": "x", "email": "a@b.c" }), 400, only_hash),
        (json!({ "type": "email", "token": "1" }), 400, one),
        (json!({ "type": "sms", "token": "1", "email": "a@b.c", "phone": "1" }), 400, one),
        (json!({ "type": "email", "token": "1", "email": "x" }), 422, "Invalid email format"),
    ] {
        auth.verify(&body).await.refused(status, "validation_failed", msg);
    }
    for (query, msg) in [
        ("", needs_type),
        ("?token=x", needs_type),
        ("?type=recovery", "Verify requires a token or a token hash"),
    ] {
        let answer = send(auth.request(Method::GET, &format!("/verify{query}"))).await;
        answer.refused(400, "validation_failed", msg);
    }
    let link = format!("{}/verify?token=x&type=other", auth.url).parse().unwrap();
    let to = auth.follow(&link).await;
    assert_eq!(in_fragment(&to, "error").as_deref(), Some("invalid_request"));
    assert_eq!(in_fragment(&to, "error_description").as_deref(), Some(invalid));
}
