//! Changing a user.

use super::*;

#[tokio::test]
async fn an_update_merges_the_data_and_a_null_takes_a_key_away() {
    let auth = Auth::start().await;
    let session = auth.sign_up("ada@example.com").await;
    let token = access(&session);
    auth.update(token, &json!({ "data": { "a": 1, "b": { "c": null } } })).await.ok();
    let user = auth.update(token, &json!({ "data": { "a": null, "d": [2] } })).await.ok();
    for user in [user, auth.update(token, &json!({})).await.ok()] {
        let metadata = &user["user_metadata"];
        let fields = ["a", "b", "d"].map(|name| metadata.get(name).cloned());
        assert_eq!(fields, [None, Some(json!({ "c": null })), Some(json!([2]))]);
        assert_eq!(metadata["sub"], user["id"]);
    }
    let user = auth.user(token).await.ok();
    let renewed = auth.refresh(renewal(&session)).await.ok();
    assert_eq!(payload(access(&renewed))["user_metadata"], user["user_metadata"]);
}

#[tokio::test]
async fn a_new_password_signs_the_other_sessions_out() {
    let auth = Auth::start().await;
    let kept = auth.sign_up("ada@example.com").await;
    let other = auth.sign_in("ada@example.com", PASSWORD).await.ok();
    let same = auth.update(access(&kept), &json!({ "password": PASSWORD })).await;
    let msg = "New password should be different from the old password.";
    same.refused(422, "same_password", msg);
    auth.update(access(&kept), &json!({ "password": "battery staple" })).await.ok();
    auth.user(access(&kept)).await.ok();
    auth.refresh(renewal(&kept)).await.ok();
    auth.user(access(&other)).await.refused(403, "session_not_found", SESSION_GONE);
    let old = auth.sign_in("ada@example.com", PASSWORD).await;
    old.refused(400, "invalid_credentials", "Invalid login credentials");
    auth.sign_in("ada@example.com", "battery staple").await.ok();
}

#[tokio::test]
async fn no_session_outlives_a_password_change_it_raced_with() {
    let auth = Auth::start().await;
    let kept = auth.sign_up("ada@example.com").await;
    let change = json!({ "password": "battery staple" });
    let sign_ins = join_all((0..6).map(|_| auth.sign_in("ada@example.com", PASSWORD)));
    let (changed, raced) = tokio::join!(auth.update(access(&kept), &change), sign_ins);
    changed.ok();
    for answer in raced {
        if answer.status == 200 {
            assert_eq!(auth.user(access(&answer.body)).await.status, 403);
        } else {
            answer.refused(400, "invalid_credentials", "Invalid login credentials");
        }
    }
}

#[tokio::test]
async fn a_new_address_holds_at_once_unless_it_is_taken() {
    let auth = Auth::start().await;
    let session = auth.sign_up("ada@example.com").await;
    auth.sign_up("bob@example.com").await;
    let taken = auth.update(access(&session), &json!({ "email": "BOB@example.com" })).await;
    let msg = "A user with this email address has already been registered";
    taken.refused(422, "email_exists", msg);
    let user = auth.update(access(&session), &json!({ "email": "Eve@example.com" })).await.ok();
    assert_eq!(user["email"], "eve@example.com");
    let identity = &user["identities"][0];
    assert_eq!([&identity["email"], &identity["identity_data"]["email"]], ["eve@example.com"; 2]);
    auth.sign_in("eve@example.com", PASSWORD).await.ok();
    let old = auth.sign_in("ada@example.com", PASSWORD).await;
    old.refused(400, "invalid_credentials", "Invalid login credentials");
}

#[tokio::test]
async fn an_update_that_supabase_refuses_changes_nothing() {
    let auth = Auth::start().await;
    let session = auth.sign_up("ada@example.com").await;
    let before = auth.user(access(&session)).await.ok();
    let rows = [
        (json!({ "data": { "a": 1 }, "email": "nobody" }), 400, "validation_failed"),
        (json!({ "data": { "a": 1 }, "phone": "123" }), 400, "phone_provider_disabled"),
        (json!({ "data": { "a": 1 }, "password": "12345" }), 422, "weak_password"),
        (json!({ "data": { "a": 1 }, "password": "" }), 422, "weak_password"),
        (json!({ "data": { "a": 1 }, "app_metadata": { "admin": true } }), 403, "not_admin"),
        (json!({ "data": "text" }), 400, "bad_json"),
    ];
    for (body, status, code) in rows {
        let answer = auth.update(access(&session), &body).await;
        assert_eq!(answer.status, status, "{body}");
        assert_eq!(answer.body["error_code"], code);
    }
    assert_eq!(auth.user(access(&session)).await.ok(), before);
    // Who calls is settled before what they sent is looked at.
    let nobody = send(auth.request(Method::PUT, "/user").body("{")).await;
    nobody.refused(401, "no_authorization", NO_AUTHORIZATION);
}
