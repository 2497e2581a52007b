//! A policy whose tenant is a team and not a user.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use thread_store::auth::{Auth, Authenticate, Decision, Event, Everything, SlotTaken, Tenant};
use thread_store::json::Raw;

use crate::support::{Answer, TestServer, User};

/// Threads belong to the team of who makes them. A user's team is a permission.
fn teams(authenticate: Box<dyn Authenticate>) -> Result<Auth, SlotTaken> {
    Auth::new(authenticate).on(Everything, |event: &mut Event<'_>| {
        let mut permissions = event.user.permissions.iter();
        let Some(team) = permissions.find(|held| held.starts_with("team:")) else {
            return Decision::forbidden();
        };
        let (tenant, team) = (Tenant::of(team), Raw::from(team.as_str()));
        Decision::Within { tenant, filter: event.stamp("team", team) }
    })
}

async fn member(server: &TestServer, team: &str) -> User {
    let user = server.user().await;
    let permissions = json!({ "permissions": [team] });
    server.change_user(&user, &format!("app_metadata = app_metadata || '{permissions}'")).await;
    user
}

#[tokio::test]
async fn a_team_shares_its_threads_and_their_rows_have_its_tenant() {
    let server = TestServer::start_policy(Duration::ZERO, teams).await;
    let (ada, bob) = (member(&server, "team:red").await, member(&server, "team:red").await);
    let eve = member(&server, "team:blue").await;
    let outsider = server.user().await;
    let id = ada.thread(json!({})).await;
    let path = format!("/threads/{id}");
    bob.write(&id, json!({ "messages": ["hello"], "n": 1 })).await;
    bob.patch(&path, json!({ "metadata": { "team": "team:blue", "k": 1 } })).await.expect(200);
    let copy = bob.copy(&id).await;
    assert_eq!(ada.get(&path).await.expect(200)["metadata"], json!({ "team": "team:red", "k": 1 }));
    assert_eq!(ada.found(json!({})).await, [copy.clone(), id.clone()]);
    assert_eq!(bob.count(json!({ "metadata": { "team": "team:blue" } })).await, 2);

    // Another team, and who has none.
    let own = eve.thread(json!({})).await;
    assert_eq!(eve.found(json!({})).await, [own.as_str()]);
    assert_eq!(eve.get(&path).await.status, 404);
    assert_eq!(eve.delete(&path).await.status, 404);
    let taken = eve.post("/threads", json!({ "thread_id": id, "if_exists": "do_nothing" })).await;
    assert_eq!(taken.status, 409);
    let list = outsider.request(Method::POST, "/threads/search").body("{}");
    assert_eq!(Answer::of(list).await.status, 403);

    let tenants: Vec<(i64, i64)> = sqlx::query_as(
        "select tenant, count(*) from ( \
             select tenant from thread_store.thread \
             union all select tenant from thread_store.thread_directory \
             union all select tenant from thread_store.checkpoint \
             union all select tenant from thread_store.message \
             union all select tenant from thread_store.channel_value \
         ) as rows group by tenant order by count(*)",
    )
    .fetch_all(&server.pool)
    .await
    .unwrap();
    let tenant = |team| Tenant::of(team).number();
    assert_eq!(tenants, [(tenant("team:blue"), 2), (tenant("team:red"), 2 * 5)]);
}
