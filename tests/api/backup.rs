//! A dump of a database, by the documented commands, restored into another.

use serde_json::{Value, json};
use thread_store::auth::{JwtIssuer, Mode};
use thread_store::config::{Database, SignIn};

use crate::support::postgres::{test_cluster, url_of};
use crate::support::readme::{backup_commands, shell};
use crate::support::steps::{human, remove};
use crate::support::{TestServer, User};

/// All that a user can read of their threads, as it is sent.
async fn all(user: &User) -> Vec<Value> {
    let rows = user.post("/threads/search", json!({ "limit": 1000 })).await;
    let mut all = vec![json!(rows.text)];
    for id in user.found(json!({ "limit": 1000 })).await {
        let body = json!({ "limit": 1000 });
        all.push(json!(user.post(&format!("/threads/{id}/history"), body).await.text));
        all.push(json!(user.get(&format!("/threads/{id}?include=ttl")).await.text));
    }
    all
}

#[tokio::test]
async fn a_restored_dump_serves_the_same_threads_and_takes_new_ones() {
    let server = TestServer::start().await;
    let user = server.user().await;
    for n in 0..5 {
        let metadata = json!({ "n": n, "big": 12_345_678_901_234_567_890_u64 });
        let id = user.thread(json!({ "metadata": metadata, "ttl": { "ttl": 90 } })).await;
        let root = user.write(&id, json!({ "messages": [human("1", "ü")], "k": 1.50 })).await;
        user.write(&id, json!({ "messages": [human("2", "b"), remove("1")] })).await;
        user.fork(&id, &root, json!({ "messages": [human("3", "c")] })).await;
    }
    let before = all(&user).await;

    let socket = server.database.get_socket().unwrap();
    let options = socket.parent().unwrap().join("pg/postmaster.opts");
    let postgres = std::fs::read_to_string(options).unwrap();
    let bin = postgres.split_whitespace().next().unwrap().strip_suffix("/postgres").unwrap();
    let path = format!("{bin}:{}", std::env::var("PATH").unwrap());
    let restored = test_cluster().await.database().await;
    let variables = [
        ("PATH", &*path),
        ("DATABASE_URL", &*url_of(&server.database)),
        ("NEW_DATABASE_URL", &*url_of(&restored)),
    ];
    let directory = tempfile::tempdir().unwrap();
    shell(directory.path(), &backup_commands("\"$DATABASE_URL\""), &variables);
    shell(directory.path(), &backup_commands("\"$NEW_DATABASE_URL\""), &variables);

    let other = TestServer::start_with(|config| {
        config.database = Database::External { url: Box::new(restored), direct: None };
        config.sign_in = SignIn::Supabase {
            url: server.url.parse().unwrap(),
            api_key: None,
            mode: Mode::Remote,
            issuer: JwtIssuer::default(),
        };
    })
    .await;
    let user = user.at(&other);
    assert_eq!(all(&user).await, before);
    let id = user.found(json!({})).await.remove(0);
    user.write(&id, json!({ "k": 2 })).await;
    assert_eq!(user.history(&id).await.len(), 4);
}
