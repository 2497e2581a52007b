//! The policy of `examples/team`: threads with an owner and members.

#[path = "../../examples/team/policy.rs"]
mod policy;

use std::time::Duration;

use serde_json::{Value, json};
use thread_store::auth::Action;

use crate::matrix::{Hidden, Row, Subject, table};
use crate::support::events::Next;
use crate::support::{Answer, TestServer, User};
use policy::{ADMIN, team};

/// Long enough for anything that is to happen at once.
const SOON: Duration = Duration::from_secs(5);

struct Team {
    server: TestServer,
    owner: User,
    member: User,
    stranger: User,
    admin: User,
}

impl Team {
    async fn assemble() -> Team {
        let server = TestServer::start_policy(Duration::ZERO, team).await;
        let (owner, member) = (server.user().await, server.user().await);
        let (stranger, admin) = (server.user().await, server.user().await);
        let team = Team { server, owner, member, stranger, admin };
        team.permit(&[ADMIN]).await;
        team
    }

    /// Gives the admin these permissions and no others.
    async fn permit(&self, permissions: &[&str]) {
        let permissions = json!({ "permissions": permissions });
        let assignment = format!("app_metadata = app_metadata || '{permissions}'");
        self.server.change_user(&self.admin, &assignment).await;
    }

    /// A thread of the owner with the member.
    async fn shared(&self) -> Subject {
        Subject::of(&self.owner, json!({ "members": [self.member.id] })).await
    }

    async fn metadata(&self, subject: &Subject) -> Value {
        self.owner.get(&path(subject)).await.expect(200)["metadata"].clone()
    }
}

fn path(subject: &Subject) -> String {
    format!("/threads/{}", subject.thread_id)
}

async fn set_members(user: &User, subject: &Subject, members: Value) -> Answer {
    user.patch(&path(subject), json!({ "metadata": { "members": members } })).await
}

/// The request finds the thread.
fn assert_found(role: &str, row: &Row, answer: &Answer) {
    assert_eq!(answer.status, row.success, "{role}: {row:?}: {}", answer.text);
    match row.hidden {
        Hidden::LeftOut("[]") => assert_eq!(answer.json().as_array().unwrap().len(), 1, "{row:?}"),
        Hidden::LeftOut(_) => assert_eq!(answer.json(), 1, "{role}: {row:?}"),
        Hidden::Unnamed => {
            assert!(row.is_head() || answer.text.contains("thread_id"), "{role}: {row:?}");
        }
        _ => {}
    }
}

/// The answer is the one about a thread that does not exist.
fn assert_hidden(role: &str, row: &Row, subject: &Subject, answer: &Answer) {
    match row.hidden {
        Hidden::NotFound => assert_eq!(answer.status, 404, "{role}: {row:?}: {}", answer.text),
        Hidden::LeftOut(body) => assert_eq!(answer.text, body, "{role}: {row:?}"),
        Hidden::Unnamed => {
            let is_there = answer.text.contains(&subject.thread_id);
            assert!(answer.status == 200 && !is_there, "{role}: {row:?}");
        }
        Hidden::InUse => assert_eq!(answer.status, 409, "{role}: {row:?}: {}", answer.text),
        Hidden::Unrelated => assert_eq!(answer.status, 200, "{role}: {row:?}: {}", answer.text),
    }
}

#[tokio::test]
async fn owner_member_stranger_and_admin_get_on_every_endpoint_what_the_policy_says() {
    let team = Team::assemble().await;
    for row in table() {
        let subject = team.shared().await;
        let hidden = row.send(&team.stranger, &subject).await;
        assert_hidden("stranger", &row, &subject, &hidden);
        let of_member = row.send(&team.member, &subject).await;
        if row.action == Action::Delete {
            assert_hidden("member", &row, &subject, &of_member);
            if row.hidden == Hidden::NotFound {
                let missing =
                    Subject { thread_id: uuid::Uuid::new_v4().to_string(), ..subject.clone() };
                let mut missing_answer = row.send(&team.member, &missing).await;
                missing_answer.text =
                    missing_answer.text.replace(&missing.thread_id, &subject.thread_id);
                assert_eq!(missing_answer.visible(), of_member.visible(), "{row:?}");
            }
        } else {
            assert_found("member", &row, &of_member);
        }
        assert_found("owner", &row, &row.send(&team.owner, &subject).await);
        let another = team.shared().await;
        assert_found("admin", &row, &row.send(&team.admin, &another).await);
    }
}

#[tokio::test]
async fn a_search_finds_own_and_shared_threads_and_an_admins_finds_all() {
    let team = Team::assemble().await;
    let shared = team.shared().await.thread_id;
    let private = team.owner.thread(json!({})).await;
    let own = team.member.thread(json!({})).await;
    let found = async |user: &User, body: Value| {
        let threads = user.post("/threads/search", body).await.expect(200);
        let ids = threads.as_array().unwrap().iter().map(|thread| thread["thread_id"].clone());
        let mut ids: Vec<_> = ids.map(|id| id.as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    let sorted = |ids: &[&String]| {
        let mut ids: Vec<_> = ids.iter().map(|id| (*id).clone()).collect();
        ids.sort();
        ids
    };
    assert_eq!(found(&team.owner, json!({})).await, sorted(&[&shared, &private]));
    assert_eq!(found(&team.member, json!({})).await, sorted(&[&shared, &own]));
    assert_eq!(found(&team.stranger, json!({})).await, sorted(&[]));
    assert_eq!(found(&team.admin, json!({})).await, sorted(&[&shared, &private, &own]));
    // What a client asks for narrows that, and never widens it.
    let of_owner = json!({ "metadata": { "owner": team.owner.id } });
    assert_eq!(found(&team.member, of_owner.clone()).await, sorted(&[&shared]));
    assert_eq!(found(&team.stranger, of_owner).await, sorted(&[]));
}

#[tokio::test]
async fn only_the_owner_and_an_admin_change_the_members() {
    let team = Team::assemble().await;
    let subject = team.shared().await;
    let before = team.metadata(&subject).await;
    for (user, wish) in [
        (&team.stranger, json!([team.stranger.id])),
        (&team.member, json!([team.member.id, team.stranger.id])),
        (&team.member, json!([])),
    ] {
        let refused = set_members(user, &subject, wish).await;
        assert_eq!(refused.status, 404, "{}", refused.text);
        assert_eq!(team.metadata(&subject).await, before);
    }
    for user in [&team.owner, &team.admin] {
        set_members(user, &subject, json!([team.stranger.id])).await.expect(200);
        assert_eq!(team.stranger.get(&path(&subject)).await.status, 200);
        assert_eq!(team.member.get(&path(&subject)).await.status, 404);
        set_members(user, &subject, json!([team.member.id])).await.expect(200);
        assert_eq!(team.stranger.get(&path(&subject)).await.status, 404);
        assert_eq!(team.member.get(&path(&subject)).await.status, 200);
    }
}

#[tokio::test]
async fn a_stranger_cannot_join_by_any_other_way() {
    let team = Team::assemble().await;
    let subject = team.shared().await;
    let before = team.metadata(&subject).await;
    let me = json!({ "members": [team.stranger.id], "owner": team.stranger.id });
    let create =
        json!({ "thread_id": subject.thread_id, "metadata": me, "if_exists": "do_nothing" });
    assert_eq!(team.stranger.post("/threads", create).await.status, 409);
    let state = json!({ "values": me });
    let answer = team.stranger.post(&format!("{}/state", path(&subject)), state).await;
    assert_eq!(answer.status, 404);
    assert_eq!(team.stranger.patch(&path(&subject), json!({ "metadata": me })).await.status, 404);
    let owner_only = json!({ "metadata": { "owner": team.stranger.id } });
    assert_eq!(team.stranger.patch(&path(&subject), owner_only).await.status, 404);
    assert_eq!(team.metadata(&subject).await, before);
}

#[tokio::test]
async fn a_thread_does_not_change_hands() {
    let team = Team::assemble().await;
    let subject = team.shared().await;
    for user in [&team.member, &team.admin, &team.owner] {
        let body = json!({ "metadata": { "owner": user.id, "by": user.id } });
        let thread = user.patch(&path(&subject), body).await.expect(200);
        assert_eq!(thread["metadata"]["owner"], team.owner.id.as_str());
        assert_eq!(thread["metadata"]["by"], user.id.as_str());
    }
    let forged = json!({ "metadata": { "owner": team.owner.id } });
    let thread = team.stranger.post("/threads", forged).await.expect(200);
    assert_eq!(thread["metadata"]["owner"], team.stranger.id.as_str());
}

#[tokio::test]
async fn members_must_be_a_list_of_identities() {
    let team = Team::assemble().await;
    let subject = team.shared().await;
    for members in [json!(null), json!("x"), json!({}), json!([1]), json!(["x", null])] {
        let refused = set_members(&team.owner, &subject, members.clone()).await;
        assert_eq!(refused.status, 422, "{members}");
        assert_eq!(refused.detail(), "metadata.members: expected a list of user ids");
        let create = json!({ "metadata": { "members": members } });
        assert_eq!(team.owner.post("/threads", create).await.status, 422, "{members}");
    }
}

#[tokio::test]
async fn a_copy_belongs_to_who_made_it_and_to_nobody_else() {
    let team = Team::assemble().await;
    let subject = team.shared().await;
    for maker in [&team.member, &team.admin, &team.owner] {
        let copied = maker.post(&format!("{}/copy", path(&subject)), json!({})).await.expect(200);
        assert_eq!(copied["metadata"]["owner"], maker.id.as_str());
        assert_eq!(copied["metadata"]["members"], json!([]));
        assert_eq!(copied["values"]["secret"], "first");
        let copy = format!("/threads/{}", copied["thread_id"].as_str().unwrap());
        for user in [&team.owner, &team.member, &team.stranger] {
            let expected = if user.id == maker.id { 200 } else { 404 };
            assert_eq!(user.get(&copy).await.status, expected);
        }
        assert_eq!(maker.delete(&copy).await.status, 204);
    }
    let taken = team.stranger.post(&format!("{}/copy", path(&subject)), json!({})).await;
    assert_eq!(taken.status, 404);
}

#[tokio::test]
async fn a_members_stream_ends_with_the_membership() {
    let team = Team::assemble().await;
    let subject = team.shared().await;
    let mut stream = team.member.events(&subject.thread_id, false).await;
    team.owner.write(&subject.thread_id, json!({ "word": "for the team" })).await;
    let Next::Event(event) = stream.next(SOON).await else { unreachable!("no event") };
    assert!(event.contains("for the team"), "{event}");
    set_members(&team.owner, &subject, json!([])).await.expect(200);
    team.owner.write(&subject.thread_id, json!({ "word": "without them" })).await;
    assert_eq!(stream.next(SOON).await, Next::End);
}

#[tokio::test]
async fn an_admins_stream_ends_with_the_permission() {
    let team = Team::assemble().await;
    let subject = team.shared().await;
    let mut stream = team.admin.events(&subject.thread_id, false).await;
    let mut of_owner = team.owner.events(&subject.thread_id, false).await;
    team.owner.write(&subject.thread_id, json!({ "word": "one" })).await;
    assert!(matches!(stream.next(SOON).await, Next::Event(_)));
    team.permit(&[]).await;
    assert_eq!(team.admin.get(&path(&subject)).await.status, 404);
    assert_eq!(stream.next(Duration::from_secs(20)).await, Next::End);
    // The control: who may still read goes on reading.
    team.owner.write(&subject.thread_id, json!({ "word": "two" })).await;
    for _ in ["one", "two"] {
        assert!(matches!(of_owner.next(SOON).await, Next::Event(_)));
    }
}

#[tokio::test]
async fn permissions_that_users_write_themselves_count_for_nothing() {
    let team = Team::assemble().await;
    let subject = team.shared().await;
    let body = json!({ "data": { "permissions": [ADMIN] } });
    let request = team.stranger.request(reqwest::Method::PUT, "/auth/v1/user").json(&body);
    Answer::of(request).await.expect(200);
    assert_eq!(team.stranger.get(&path(&subject)).await.status, 404);
    assert_eq!(team.admin.get(&path(&subject)).await.status, 200);
}
