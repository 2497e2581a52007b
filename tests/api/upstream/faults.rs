//! Supabase is away, slow or breaks off.

use super::*;

#[tokio::test]
async fn one_lost_connection_or_restart_upstream_is_not_seen() {
    for fault in [Reply::Reset, Reply::HalfBody, Reply::error(500, "unexpected_failure")] {
        let supabase = Supabase::start().await;
        let server = server_of(&supabase).await;
        let user = holder(&server, &token());
        supabase.answer_once(fault);
        assert_eq!(count(&user).await.status, 200);
        assert_eq!(supabase.asked(), 2);
    }
}

#[tokio::test]
async fn a_lost_connection_is_a_503_after_one_retry() {
    for (name, fault) in [("reset", Reply::Reset), ("half a body", Reply::HalfBody)] {
        let supabase = Supabase::start().await;
        let server = server_of(&supabase).await;
        let user = holder(&server, &token());
        supabase.answer(fault);
        let answer = count(&user).await;
        unavailable(&answer, "2", name);
        assert_eq!(supabase.asked(), 2, "{name}");
        unavailable(&fifty(&user, name).await, "2", name);
        supabase.recover();
        assert_eq!(count(&user).await.status, 200, "{name}");
    }
}

#[tokio::test]
async fn nobody_listening_is_a_503_until_somebody_does() {
    let supabase = Supabase::start().await;
    let server = server_of(&supabase).await;
    let user = holder(&server, &token());
    let known = holder(&server, &token());
    count(&known).await.expect(200);
    supabase.stop().await;
    unavailable(&fifty(&user, "refused").await, "2", "refused");
    assert_eq!(count(&known).await.status, 200, "a remembered user goes on");
    supabase.start_again().await;
    assert_eq!(count(&user).await.status, 200);
}

/// Supabase answers nothing whole within the deadline.
async fn silence(name: &str, fault: Reply) {
    let supabase = Supabase::start().await;
    let server = server_of(&supabase).await;
    let user = holder(&server, &token());
    supabase.answer(fault);
    let started = Instant::now();
    unavailable(&fifty(&user, name).await, "2", name);
    assert!(started.elapsed() > Duration::from_secs(4), "{name}: nothing was waited for");
    // The second is the retry, where the budget is not used up by the first.
    assert!((1..=2).contains(&supabase.asked()), "{name}: {} calls", supabase.asked());
    supabase.recover();
    let started = Instant::now();
    assert_eq!(count(&user).await.status, 200, "{name}");
    assert!(started.elapsed() < Duration::from_secs(2), "{name}: recovery is immediate");
}

#[tokio::test]
async fn a_black_hole_is_a_503_in_bounded_time() {
    silence("black hole", Reply::BlackHole).await;
}

#[tokio::test]
async fn a_head_that_comes_too_slowly_is_a_503_in_bounded_time() {
    silence("slow head", Reply::SlowHead).await;
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_a_503_in_bounded_time() {
    silence("slow body", Reply::SlowBody).await;
}
