//! Signing out.

use super::*;

#[tokio::test]
async fn signing_out_keeps_to_its_scope() {
    let auth = Auth::start().await;
    let mut sessions = vec![auth.sign_up("ada@example.com").await];
    for _ in 0..2 {
        sessions.push(auth.sign_in("ada@example.com", PASSWORD).await.ok());
    }
    let stranger = auth.sign_up("bob@example.com").await;
    let living = async || {
        let answers = sessions.iter().map(|session| auth.user(access(session)));
        join_all(answers).await.iter().map(|it| it.status == 200).collect::<Vec<_>>()
    };
    assert_eq!(auth.logout(access(&sessions[0]), "?scope=local").await.status, 204);
    assert_eq!(living().await, [false, true, true]);
    auth.refresh(renewal(&sessions[0])).await.refused(400, "refresh_token_not_found", NOT_FOUND);
    assert_eq!(auth.logout(access(&sessions[1]), "?scope=others").await.status, 204);
    assert_eq!(living().await, [false, true, false]);
    assert_eq!(auth.logout(access(&sessions[1]), "?scope=global").await.status, 204);
    assert_eq!(living().await, [false, false, false]);
    let again = auth.logout(access(&sessions[1]), "").await;
    again.refused(403, "session_not_found", SESSION_GONE);
    auth.user(access(&stranger)).await.ok();
}

#[tokio::test]
async fn signing_out_without_a_scope_ends_every_session() {
    let auth = Auth::start().await;
    let first = auth.sign_up("ada@example.com").await;
    let second = auth.sign_in("ada@example.com", PASSWORD).await.ok();
    let unknown = auth.logout(access(&first), "?scope=galactic").await;
    unknown.refused(400, "validation_failed", "Unsupported logout scope \"galactic\"");
    let answer = auth.logout(access(&first), "").await;
    assert_eq!((answer.status.as_u16(), answer.body), (204, Value::Null));
    for session in [first, second] {
        auth.user(access(&session)).await.refused(403, "session_not_found", SESSION_GONE);
    }
    let nobody = send(auth.request(Method::POST, "/logout")).await;
    nobody.refused(401, "no_authorization", NO_AUTHORIZATION);
}

#[tokio::test]
async fn sign_outs_that_end_each_other_never_fail() {
    let auth = Auth::start().await;
    auth.sign_up("ada@example.com").await;
    for _ in 0..5 {
        let sign_ins = (0..6).map(|_| auth.sign_in("ada@example.com", PASSWORD));
        let sessions: Vec<_> = join_all(sign_ins).await.into_iter().map(Answer::ok).collect();
        let outs = sessions.iter().map(|it| auth.logout(access(it), "?scope=others"));
        for answer in join_all(outs).await {
            assert!(matches!(answer.status.as_u16(), 204 | 403), "{}", answer.status);
        }
    }
}
