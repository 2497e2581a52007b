//! An agent that writes for both users while they call.

use serde_json::{Value, json};
use thread_store::store::{Settled, Store, thread_id_of};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{SLOTS, Thread, stand_in};
use crate::attach::agent::{Agent, Put as Saved, Write};
use crate::support::{TestServer, User};

/// What the agent does for a user.
#[derive(Debug, Clone, Copy)]
pub(super) struct Put {
    /// By the id that the agent has for it.
    pub(super) thread: Thread,
    /// Whether the saver names the owner, as Python's does.
    pub(super) names_owner: bool,
    pub(super) kind: u8,
}

/// How many kinds there are.
pub(super) const KINDS: u8 = 4;

/// The agent's tables, attached to the server's database.
pub(super) struct Agents {
    agent: Mutex<Agent>,
    /// Works off what the triggers leave to servers at once, and not when a server comes to it.
    store: Store,
    settled: Mutex<Settled>,
    namespace: Uuid,
}

impl Agents {
    pub(super) async fn beside(server: &TestServer) -> Agents {
        let agent = Agent::at(server.database.clone(), "public").await;
        agent.attach().await;
        let namespace = "select namespace from thread_store.agent_attachment";
        let namespace = sqlx::query_scalar(namespace).fetch_one(&server.pool).await.unwrap();
        let store = Store::open(server.database.clone(), 2).await.unwrap();
        Agents { agent: Mutex::new(agent), store, settled: Mutex::default(), namespace }
    }

    /// Takes everything away that a run has left, the agent's side first.
    pub(super) async fn empty(&self) {
        let mut agent = self.agent.lock().await;
        agent
            .run("truncate SCHEMA.checkpoints, SCHEMA.checkpoint_blobs, SCHEMA.checkpoint_writes")
            .await;
        for table in ["agent_change", "agent_thread"] {
            agent.run(&format!("delete from thread_store.{table}")).await;
        }
    }

    /// The agent's id of a thread that it has by a text of its own, and the id that it has here.
    pub(super) fn named(&self, of: usize, slot: u8) -> (String, String) {
        let text = format!("chat:{of}:{slot}");
        let id = thread_id_of(&text, self.namespace).to_string();
        (text, id)
    }

    /// Every such thread: its id here, and what the test calls it.
    pub(super) fn names(&self) -> Vec<(String, String)> {
        let all = (0..2).flat_map(|of| (0..SLOTS).map(move |slot| (of, slot)));
        all.map(|(of, slot)| (self.named(of, slot).1, format!("<agent's {of} {slot}>"))).collect()
    }

    /// Writes a checkpoint for a user, and answers its id. `None`: the id is another's, and an agent
    /// that keeps its users apart does not write there for this one.
    pub(super) async fn put(&self, users: &[User; 2], who: usize, put: Put) -> Option<String> {
        let text = match put.thread {
            Thread::Own(slot) | Thread::Made(slot) => stand_in(0x10 + who as u128, slot),
            Thread::Foreign(slot) | Thread::ForeignMade(slot) => {
                stand_in(0x10 + (1 - who) as u128, slot)
            }
            Thread::Agents(slot) => self.named(who, slot).0,
            Thread::ForeignAgents(slot) => self.named(1 - who, slot).0,
        };
        let owner = &users[who].id;
        let mut agent = self.agent.lock().await;
        let id = thread_id_of(&text, self.namespace);
        let is_others = "select tenant is distinct from thread_store.tenant_of($2) \
                         from thread_store.thread_directory where thread_id = $1";
        let is_others = sqlx::query_scalar(is_others).bind(id).bind(owner);
        if is_others.fetch_optional(&mut agent.connection).await.unwrap() == Some(true) {
            return None;
        }
        let newest = "select max(checkpoint_id) from checkpoints where thread_id = $1";
        let newest = sqlx::query_scalar(newest).bind(&text);
        let newest: Option<String> = newest.fetch_one(&mut agent.connection).await.unwrap();
        let mut metadata = json!({ "source": "loop", "step": 1, "parents": {} });
        if put.names_owner {
            metadata["user_id"] = json!(owner);
        }
        let (thread, parent) = (text.as_str(), newest.as_deref());
        let values = values(put.kind);
        let checkpoint = agent.put(Saved { thread, values, metadata, parent, id: None }).await;
        let (idx, channel) = match put.kind {
            2 => (-3, "__interrupt__"),
            3 => (-1, "__error__"),
            _ => (0, "k"),
        };
        let value = json!([{ "value": "go on?", "id": "q" }]);
        agent.write(thread, &checkpoint, Write { node: "ask", idx, channel, value }).await;
        drop(agent);
        self.settle().await;
        Some(checkpoint)
    }

    async fn settle(&self) {
        let mut settled = self.settled.lock().await;
        assert!(self.store.settle_agents(&mut settled).await.unwrap(), "nothing is attached");
    }
}

fn values(kind: u8) -> Value {
    let messages = |text: &str| json!([{ "type": "human", "content": text, "id": "m" }]);
    match kind {
        0 => json!({ "k": 1 }),
        1 => json!({ "k": 2, "messages": messages("hi") }),
        2 => json!({ "messages": messages("again"), "branch:to:ask": null }),
        _ => json!({ "k": { "deep": [1] }, "branch:to:ask": null }),
    }
}
