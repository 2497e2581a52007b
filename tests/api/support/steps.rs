//! Steps that many tests take.

use serde_json::{Value, json};
use thread_store::store::{PutOff, Store};
use uuid::Uuid;

use super::deadline::PATIENCE;
use super::{TestServer, User};

impl User {
    /// Writes state with this whole body and answers the id of the checkpoint.
    pub(crate) async fn checkpoint(&self, thread_id: &str, body: Value) -> String {
        let written = self.post(&format!("/threads/{thread_id}/state"), body).await.expect(200);
        written["checkpoint_id"].as_str().unwrap().to_owned()
    }

    /// Writes state onto a checkpoint.
    pub(crate) async fn fork(&self, thread_id: &str, from: &str, values: Value) -> String {
        self.checkpoint(thread_id, json!({ "values": values, "checkpoint_id": from })).await
    }

    /// The newest state.
    pub(crate) async fn state(&self, thread_id: &str) -> Value {
        self.get(&format!("/threads/{thread_id}/state")).await.expect(200)
    }

    /// The values of the newest state.
    pub(crate) async fn values(&self, thread_id: &str) -> Value {
        self.state(thread_id).await["values"].take()
    }

    /// The values at a checkpoint.
    pub(crate) async fn values_at(&self, thread_id: &str, checkpoint_id: &str) -> Value {
        let path = format!("/threads/{thread_id}/state/{checkpoint_id}");
        self.get(&path).await.expect(200)["values"].take()
    }

    /// All states, newest first.
    pub(crate) async fn history(&self, thread_id: &str) -> Vec<Value> {
        self.history_of(thread_id, json!({ "limit": 1000 })).await
    }

    /// The states that a body asks for.
    pub(crate) async fn history_of(&self, thread_id: &str, body: Value) -> Vec<Value> {
        let history = self.post(&format!("/threads/{thread_id}/history"), body).await.expect(200);
        history.as_array().unwrap().clone()
    }

    /// The ids of the threads that a search finds, in its order.
    pub(crate) async fn found(&self, body: Value) -> Vec<String> {
        let threads = self.post("/threads/search", body).await.expect(200);
        texts(&threads, "thread_id")
    }

    pub(crate) async fn count(&self, body: Value) -> u64 {
        self.post("/threads/count", body).await.expect(200).as_u64().unwrap()
    }

    /// Copies a thread and answers the copy's id.
    pub(crate) async fn copy(&self, thread_id: &str) -> String {
        let copy = self.post(&format!("/threads/{thread_id}/copy"), json!({})).await.expect(200);
        copy["thread_id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn keep_latest(&self, thread_id: &str) {
        let body = json!({ "thread_ids": [thread_id], "strategy": "keep_latest" });
        let pruned = self.post("/threads/prune", body).await.expect(200);
        assert_eq!(pruned, json!({ "pruned_count": 1 }));
    }

    /// Lets the time of a thread be over.
    pub(crate) async fn expire(&self, thread_id: &str, strategy: &str) {
        let body = json!({ "ttl": { "ttl": 1e-7, "strategy": strategy } });
        self.patch(&format!("/threads/{thread_id}"), body).await.expect(200);
    }
}

impl TestServer {
    /// Sweeps until no thread is left whose time is over. A sweep leaves out a thread that is locked at
    /// this moment, for example because its digest is written.
    pub(crate) async fn swept(&self) {
        let store = Store::open(self.database.clone(), 2).await.unwrap();
        let left = "select count(*) from thread_store.thread where expires_at <= now()";
        let sweeps = async {
            loop {
                store.sweep(&mut PutOff::default()).await.unwrap();
                let left: i64 = sqlx::query_scalar(left).fetch_one(&self.pool).await.unwrap();
                if left == 0 {
                    break;
                }
            }
        };
        tokio::time::timeout(PATIENCE, sweeps).await.unwrap();
        store.close().await;
    }
}

/// An id that nothing has.
pub(crate) fn new_id() -> String {
    Uuid::new_v4().to_string()
}

/// Text that Postgres does not compress to less than half.
pub(crate) fn noise(bytes: usize) -> String {
    let ids = std::iter::repeat_with(|| Uuid::new_v4().simple().to_string());
    ids.take(bytes.div_ceil(32)).collect::<String>()[..bytes].to_owned()
}

pub(crate) fn human(id: &str, content: &str) -> Value {
    json!({ "type": "human", "content": content, "id": id })
}

pub(crate) fn remove(id: &str) -> Value {
    json!({ "type": "remove", "id": id })
}

/// The messages of values, as `id=content`.
pub(crate) fn messages(values: &Value) -> Vec<String> {
    let text = |message: &Value, key: &str| message[key].as_str().unwrap().to_owned();
    let messages = values["messages"].as_array().unwrap().iter();
    messages.map(|message| text(message, "id") + "=" + &text(message, "content")).collect()
}

/// A text field of every object in a list.
pub(crate) fn texts(list: &Value, field: &str) -> Vec<String> {
    let list = list.as_array().unwrap().iter();
    list.map(|object| object[field].as_str().unwrap().to_owned()).collect()
}
