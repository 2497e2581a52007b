//! The story that the product exists for.

use serde_json::json;

use crate::support::TestServer;

#[tokio::test]
async fn two_users_sign_up_and_one_cannot_see_the_others_thread() {
    let server = TestServer::start().await;
    let (one, two) = (server.user().await, server.user().await);
    let thread = one.post("/threads", json!({})).await.expect(200);
    assert_eq!(thread["metadata"], json!({ "owner": one.id }));
    let path = format!("/threads/{}", thread["thread_id"].as_str().unwrap());

    let refused = server.nobody().post("/threads", json!({})).await;
    assert_eq!(refused.status, 403);
    assert!(refused.detail().contains("Authorization"));

    assert_eq!(two.get(&path).await.status, 404);
    assert_eq!(one.get(&path).await.expect(200), thread);
}
