//! Refresh tokens.

use super::*;
use crate::raw::until;

#[tokio::test]
async fn a_refresh_rotates_the_token_and_keeps_the_session() {
    let auth = Auth::start().await;
    let first = auth.sign_up("ada@example.com").await;
    let second = auth.refresh(renewal(&first)).await.ok();
    let third = auth.refresh(renewal(&second)).await.ok();
    assert_ne!(renewal(&first), renewal(&second));
    assert_ne!(renewal(&second), renewal(&third));
    let [a, c] = [&first, &third].map(|session| payload(access(session))["session_id"].clone());
    assert_eq!(a, c);
    assert_eq!(third["user"]["email"], "ada@example.com");
    auth.user(access(&third)).await.ok();
}

#[tokio::test]
async fn the_token_just_exchanged_gets_the_one_in_force() {
    let auth = Auth::start().await;
    let first = auth.sign_up("ada@example.com").await;
    let second = auth.refresh(renewal(&first)).await.ok();
    age_refresh_tokens(&auth).await;
    let again = auth.refresh(renewal(&first)).await.ok();
    assert_eq!(renewal(&again), renewal(&second));
    auth.refresh(renewal(&second)).await.ok();
}

#[tokio::test]
async fn an_older_token_is_forgiven_for_ten_seconds() {
    let auth = Auth::start().await;
    let first = auth.sign_up("ada@example.com").await;
    let second = auth.refresh(renewal(&first)).await.ok();
    let third = auth.refresh(renewal(&second)).await.ok();
    let again = auth.refresh(renewal(&first)).await.ok();
    assert_eq!(renewal(&again), renewal(&third));
}

#[tokio::test]
async fn an_older_token_after_that_ends_the_whole_family() {
    let auth = Auth::start().await;
    let first = auth.sign_up("ada@example.com").await;
    let other_session = auth.sign_in("ada@example.com", PASSWORD).await.ok();
    let second = auth.refresh(renewal(&first)).await.ok();
    let third = auth.refresh(renewal(&second)).await.ok();
    age_refresh_tokens(&auth).await;
    for stolen in [&first, &third, &second, &first] {
        let answer = auth.refresh(renewal(stolen)).await;
        answer.refused(400, "refresh_token_already_used", ALREADY_USED);
    }
    auth.user(access(&third)).await.ok();
    auth.refresh(renewal(&other_session)).await.ok();
}

async fn age_refresh_tokens(auth: &Auth) {
    let age = "update local_auth.refresh_tokens set created_at = created_at - interval '1 minute'";
    auth.sql(age).await;
}

#[tokio::test]
async fn a_refresh_token_nobody_was_given_is_not_found() {
    let auth = Auth::start().await;
    for unknown in ["x".repeat(43), "-_".repeat(21) + "A", "fjroia46z6ve".to_owned()] {
        auth.refresh(&unknown).await.refused(400, "refresh_token_not_found", NOT_FOUND);
    }
    for odd in ["x", "\0", "'; drop schema local_auth cascade; --", &"x".repeat(5000)] {
        let answer = auth.refresh(odd).await;
        answer.refused(400, "validation_failed", "Refresh token is not valid");
    }
    for body in [json!({}), json!({ "refresh_token": "" }), json!({ "refresh_token": null })] {
        let answer = auth.post("/token?grant_type=refresh_token", &body).await;
        answer.refused(400, "validation_failed", "Refresh token is not valid");
    }
}

#[tokio::test]
async fn racing_refreshes_of_one_token_all_get_the_same_next_token() {
    let auth = Auth::start().await;
    let session = auth.sign_up("ada@example.com").await;
    // Whoever holds the session makes every refresh wait, so that they all start
    // from the same state.
    let mut gate = auth.pool.begin().await.unwrap();
    let lock = "select 1 from local_auth.sessions for update";
    sqlx::raw_sql(lock).execute(&mut *gate).await.unwrap();
    let open_gate = async {
        until(async || (waiting_for_a_lock(&mut gate).await >= 3).then_some(())).await;
        gate.commit().await.unwrap();
    };
    let race = join_all((0..3).map(|_| auth.refresh(renewal(&session))));
    let (raced, ()) = tokio::join!(race, open_gate);

    let raced: Vec<Value> = raced.into_iter().map(Answer::ok).collect();
    for answer in &raced {
        assert_eq!(renewal(answer), renewal(&raced[0]));
        auth.user(access(answer)).await.ok();
    }
    auth.refresh(renewal(&raced[0])).await.ok();
}

async fn waiting_for_a_lock(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar(
        "select count(*)
         from pg_stat_clear_snapshot(), pg_stat_activity
         where datname = current_database()
           and wait_event_type = 'Lock'",
    )
    .fetch_one(connection)
    .await
    .unwrap()
}
