//! The private Postgres, saved and brought back as the documentation says.

use std::path::Path;

use serde_json::{Value, json};

use crate::Home;
use crate::client::Client;
use crate::readme::{backup_commands, shell};

/// A user with threads that have a history.
async fn filled(url: &str) -> Client {
    let user = Client::sign_up(url).await;
    for n in 0..5 {
        let thread = json!({ "metadata": { "n": n }, "ttl": { "ttl": 60 } });
        let (_, thread) = user.post("/threads", &thread).await.unwrap();
        let path = format!("/threads/{}/state", thread["thread_id"].as_str().unwrap());
        for text in ["one", "two"] {
            let values = json!({ "values": { "messages": [text], "n": 0.1 } });
            user.post(&path, &values).await.unwrap();
        }
    }
    user
}

/// All that a user can read.
async fn all(user: &Client) -> Vec<Value> {
    let (_, threads) = user.post("/threads/search", &json!({ "limit": 1000 })).await.unwrap();
    let mut all = Vec::new();
    for thread in threads.as_array().unwrap() {
        let path = format!("/threads/{}/history", thread["thread_id"].as_str().unwrap());
        all.push(user.get(&path).await.unwrap().1);
    }
    all.push(threads);
    all
}

/// The documented commands where the data directory is `data`.
fn run(directory: &Path, commands: &str) {
    shell(directory, &commands.replace(".thread-store/", "data/"), &[]);
}

#[tokio::test]
async fn a_dump_of_the_private_postgres_is_restored_into_a_new_one() {
    let (home, other) = (Home::new(), Home::new());
    let mut program = home.start().await;
    let user = filled(&program.url).await;
    let before = all(&user).await;
    assert_eq!(before.len(), 6);
    let address = backup_commands("postmaster.pid");
    run(home.directory.path(), &address);
    let dump = Path::new("threads.dump");
    std::fs::copy(home.directory.path().join(dump), other.directory.path().join(dump)).unwrap();
    assert_eq!(program.end("-TERM").await.code(), Some(0));

    let mut program = other.start().await;
    let (variables, _) = address.split_once("\"$bin/pg_dump\"").unwrap();
    run(other.directory.path(), &format!("{variables}{}", backup_commands("--clean")));
    assert_eq!(program.end("-TERM").await.code(), Some(0), "{}", program.log());
    let secret = Path::new("data/local-auth-secret");
    std::fs::copy(home.directory.path().join(secret), other.directory.path().join(secret)).unwrap();
    let mut program = other.start().await;
    let user = user.at(&program.url).sign_in().await;
    assert_eq!(all(&user).await, before);
    filled(&program.url).await;
    assert_eq!(program.end("-TERM").await.code(), Some(0));
}

#[tokio::test]
async fn a_copy_of_the_data_directory_serves_the_same() {
    let (home, other) = (Home::new(), Home::new());
    let mut program = home.start().await;
    let user = filled(&program.url).await;
    let before = all(&user).await;
    assert_eq!(program.end("-TERM").await.code(), Some(0));
    let to = other.directory.path().display().to_string();
    shell(home.directory.path(), "cp -a data \"$TO\"", &[("TO", &to)]);
    let mut program = other.start().await;
    assert_eq!(all(&user.at(&program.url)).await, before);
    assert_eq!(program.end("-TERM").await.code(), Some(0));
}
