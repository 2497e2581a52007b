//! What arrives, and what a second run does.

use serde_json::json;
use tempfile::TempDir;

use super::{command, eventful, import, import_with, is_faithful, servers};
use crate::support::User;
use crate::support::steps::human;

#[tokio::test]
async fn threads_arrive_with_their_values_history_and_forks_and_once_only() {
    let (_source, _destination, from, to) = servers().await;
    for number in 0..30 {
        eventful(&from, number).await;
    }
    from.thread(json!({ "metadata": { "empty": true } })).await;
    let said = import(&from, &to).await;
    assert_eq!(said.succeeded().number("threads imported"), 31, "{}", said.report);
    assert_eq!(said.written(), 30 * 8);
    is_faithful(&from, &to).await;

    let again = import(&from, &to).await;
    assert_eq!(again.succeeded().number("threads already in the destination"), 31);
    assert_eq!(again.written(), 0);
    is_faithful(&from, &to).await;

    // What the source wrote since is added.
    let grown = eventful(&from, 30).await;
    let body = json!({ "metadata": { "number": 3 } });
    let one = from.found(body).await.remove(0);
    from.write(&one, json!({ "messages": [human("7", "later")] })).await;
    let third = import(&from, &to).await;
    assert_eq!(third.succeeded().number("threads imported"), 1);
    assert_eq!(third.number("threads completed: the destination had their first states"), 1);
    assert_eq!(third.written(), 8 + 1);
    assert!(to.found(json!({ "limit": 100 })).await.contains(&grown));
    is_faithful(&from, &to).await;
}

#[tokio::test]
async fn an_import_that_was_killed_goes_on_where_it_was() {
    let (_source, _destination, from, to) = servers().await;
    for number in 0..30 {
        eventful(&from, number).await;
    }
    let directory = TempDir::new().unwrap();
    let mut kills = 0;
    for _ in 0..4 {
        let states = states_of(&to).await;
        let (source, destination) = ((&*from.url, &*from.token), (&*to.url, &*to.token));
        let mut command = command(directory.path(), source, destination, &["--concurrency", "2"]);
        let mut child = command.spawn().unwrap();
        // Killed in the midst of its writing, wherever that is.
        while child.try_wait().unwrap().is_none() {
            if states_of(&to).await >= states + 25 {
                kills += usize::from(child.try_wait().unwrap().is_none());
                child.start_kill().unwrap();
                break;
            }
        }
        child.wait().await.unwrap();
    }
    let states = states_of(&to).await;
    assert!(kills > 0 && states > 0, "{kills} kills");
    let said = import(&from, &to).await;
    assert_eq!(said.succeeded().written(), 30 * 8 - states);
    is_faithful(&from, &to).await;
}

/// All states of all threads.
async fn states_of(user: &User) -> usize {
    let mut states = 0;
    for id in user.found(json!({ "limit": 1000 })).await {
        states +=
            user.history_of(&id, json!({ "limit": 1000, "select": ["checkpoint_id"] })).await.len();
    }
    states
}

#[tokio::test]
async fn a_long_history_is_read_in_pages() {
    let (_source, _destination, from, to) = servers().await;
    let id = from.thread(json!({})).await;
    for n in 0..120 {
        from.write(&id, json!({ "messages": [human(&n.to_string(), "x")], "n": n })).await;
    }
    assert_eq!(import(&from, &to).await.succeeded().written(), 120);
    is_faithful(&from, &to).await;
}

#[tokio::test]
async fn a_listing_of_many_threads_is_read_in_pages_and_can_be_narrowed() {
    let (_source, _destination, from, to) = servers().await;
    for n in 0..505 {
        from.thread(json!({ "metadata": { "half": n % 2 } })).await;
    }
    let (source, destination) = ((&*from.url, &*from.token), (&*to.url, &*to.token));
    let half = import_with(source, destination, &["--metadata", r#"{"half":1}"#]).await;
    assert_eq!(half.succeeded().number("threads imported"), 252);
    let said = import_with(source, destination, &["--concurrency", "16"]).await;
    assert_eq!(said.succeeded().number("threads imported"), 253);
    assert_eq!(said.number("threads already in the destination"), 252);
    assert_eq!(to.count(json!({})).await, 505);
}

#[tokio::test]
async fn a_ttl_begins_anew() {
    let (_source, _destination, from, to) = servers().await;
    let ttl = json!({ "ttl": 90.5, "strategy": "keep_latest" });
    let id = from.thread(json!({ "ttl": ttl })).await;
    import(&from, &to).await.succeeded();
    let thread = to.get(&format!("/threads/{id}?include=ttl")).await.expect(200);
    assert_eq!(thread["ttl"]["ttl_minutes"], json!(90.5));
    assert_eq!(thread["ttl"]["strategy"], json!("keep_latest"));
}

#[tokio::test]
async fn a_state_of_more_messages_than_an_update_holds_is_written_in_parts() {
    let (_source, _destination, from, to) = servers().await;
    let id = from.thread(json!({})).await;
    let many = |begin: usize, count: usize| {
        let messages = (begin..begin + count).map(|n| human(&n.to_string(), "x"));
        json!({ "messages": messages.collect::<Vec<_>>(), "n": begin })
    };
    for begin in [0, 26_000] {
        from.write(&id, many(begin, 26_000)).await;
    }
    // What is left is one state, which no update has made.
    from.keep_latest(&id).await;
    from.write(&id, json!({ "messages": [human("0", "y")] })).await;
    let said = import(&from, &to).await;
    assert_eq!(said.succeeded().number("threads imported"), 1, "{}", said.report);
    let added = said.number("states added: one update holds at most 50000 messages");
    assert_eq!((added, said.written()), (1, 3), "{}", said.report);
    assert!(from.values(&id).await == to.values(&id).await);
    assert_eq!(to.history_of(&id, json!({ "select": ["checkpoint_id"] })).await.len(), 3);
    // The parts are recognised.
    let again = import(&from, &to).await;
    assert_eq!((again.written(), again.number("threads already in the destination")), (0, 1));
}
