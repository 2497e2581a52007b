//! What Supabase is asked, and where.

use super::*;

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
    let request = thread_store::http_client::builder()
        .build()
        .unwrap()
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
