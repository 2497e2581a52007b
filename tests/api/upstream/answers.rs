//! What answers of Supabase mean.

use super::*;

#[tokio::test]
async fn a_good_answer_lets_fifty_waiting_requests_in_with_one_call() {
    let supabase = Supabase::start().await;
    let server = server_of(&supabase).await;
    let user = holder(&server, &token());
    supabase.answer(Reply::json(200, &own(&user.token)).after(TOGETHER));
    assert_eq!(fifty(&user, "good").await.status, 200);
    assert_eq!(supabase.asked(), 1);
}

#[tokio::test]
async fn every_refusal_that_supabase_words_is_a_401_and_only_a_bad_jwt_is_remembered() {
    let codes = [
        (401, "no_authorization"),
        (403, "session_not_found"),
        (403, "user_not_found"),
        (403, "user_banned"),
        (403, "session_expired"),
        (400, "validation_failed"),
        (400, "user_not_found"),
        (401, "session_not_found"),
    ];
    let replies = codes.map(|(status, code)| (code, Reply::error(status, code)));
    each(replies.into(), 1, refused, true).await;
    let bad = [403, 401, 400].map(|status| ("bad_jwt", Reply::error(status, "bad_jwt")));
    each(bad.into(), 1, refused, false).await;
}

#[tokio::test]
async fn a_user_who_is_gone_or_banned_is_refused_although_an_old_supabase_answers_200() {
    let supabase = Supabase::start().await;
    let server = server_of(&supabase).await;
    let cases: [(&str, &str, u16); 6] = [
        ("banned_until", "2999-01-01T00:00:00Z", 401),
        ("banned_until", "2126-10-30T13:46:40.123456+02:00", 401),
        ("banned_until", "some day", 401),
        ("banned_until", "2020-01-01T00:00:00.5Z", 200),
        ("deleted_at", "2020-01-01T00:00:00Z", 401),
        ("deleted_at", "2999-01-01T00:00:00Z", 401),
    ];
    for (field, value, status) in cases {
        let user = holder(&server, &token());
        let mut gone = own(&user.token);
        gone[field] = value.into();
        supabase.answer_to(&user.token, Reply::json(200, &gone));
        let answer = count(&user).await;
        assert_eq!(answer.status, status, "{field} {value}: {}", answer.text);
        if status == 401 {
            refused(&answer, field);
            supabase.answer_to(&user.token, Reply::json(200, &own(&user.token)));
            assert_eq!(count(&user).await.status, 200, "{field} {value} was remembered");
        }
    }
}

#[tokio::test]
async fn an_answer_that_settles_nothing_is_a_503_after_one_call() {
    let gateway = json!({ "message": "Invalid API key", "hint": "Double check your key." });
    let other = user("7e0a5e0c-4b7f-4d0e-9a55-2f3f4b1f0001");
    let mut nameless = other.clone();
    nameless.as_object_mut().unwrap().remove("id");
    let large = format!("{{\"id\":\"{}\"}}", "x".repeat(2_000_000));
    let replies = vec![
        ("gateway 401", Reply::json(401, &gateway)),
        ("gateway 401 in plain text", Reply::text(401, "text/plain", "Unauthorized")),
        ("gateway 401 without a body", Reply::text(401, "text/plain", "")),
        ("gateway 403", Reply::json(403, &gateway)),
        ("unknown code", Reply::error(403, "over_quota")),
        ("unknown code, 400", Reply::error(400, "unexpected_failure")),
        ("400 without a code", Reply::json(400, &gateway)),
        ("a code that is no string", Reply::json(403, &json!({ "error_code": 1 }))),
        ("bad_jwt with a status that is none of its own", Reply::error(422, "bad_jwt")),
        ("newer form of an error", Reply::json(403, &json!({ "code": "bad_jwt", "message": "" }))),
        ("404", Reply::text(404, "text/plain", "404 page not found")),
        ("404 with a code", Reply::error(404, "user_not_found")),
        ("302", Reply::text(302, "text/plain", "").with_header("location", "/auth/v1/else")),
        ("304", Reply::text(304, "text/plain", "")),
        ("201 with a user", Reply::json(201, &other)),
        ("204", Reply::text(204, "text/plain", "")),
        ("200 HTML", Reply::text(200, "text/html", "<html>A captive portal</html>")),
        ("200 empty", Reply::text(200, "application/json", "")),
        ("200 null", Reply::json(200, &Value::Null)),
        ("200 without an id", Reply::json(200, &nameless)),
        ("200 with an id that is no UUID", Reply::json(200, &user("1"))),
        ("200 with another user's id", Reply::json(200, &other)),
        ("200 with 2 MB", Reply::text(200, "application/json", large.clone())),
        ("403 with 2 MB", Reply::text(403, "application/json", large)),
        ("429", Reply::error(429, "over_request_rate_limit")),
        ("429 with a date", {
            let date = "Sun, 22 Nov 2026 10:00:00 GMT";
            Reply::error(429, "over_request_rate_limit").with_header("retry-after", date)
        }),
    ];
    each(replies, 1, |answer, name| unavailable(answer, "2", name), true).await;
}

#[tokio::test]
async fn a_429_passes_its_retry_after_on() {
    let limited = || Reply::error(429, "over_request_rate_limit");
    for (sent, passed) in [("37", "37"), ("0", "1"), ("7200", "7200")] {
        let reply = limited().with_header("retry-after", sent);
        each(vec![(sent, reply)], 1, |answer, name| unavailable(answer, passed, name), true).await;
    }
}

#[tokio::test]
async fn a_server_error_is_a_503_after_one_retry() {
    let page = "<html><h1>502 Bad Gateway</h1>upstream secret-host:9999</html>";
    let replies = vec![
        ("500", Reply::error(500, "unexpected_failure")),
        ("500 with a refusal", Reply::error(500, "bad_jwt")),
        ("502", Reply::text(502, "text/html", page)),
        ("503", Reply::text(503, "text/plain", "").with_header("retry-after", "60")),
        ("504", Reply::error(504, "request_timeout")),
        ("520", Reply::text(520, "text/html", page)),
    ];
    each(replies, 2, |answer, name| unavailable(answer, "2", name), true).await;
}
