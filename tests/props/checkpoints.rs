//! Random sequences of writes, forks, copies and prunes against a model that keeps, for every
//! checkpoint, its whole values.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Map, Value, json};

use crate::check;
use crate::support::steps::{human, remove};
use crate::support::{TestServer, User};

const NAMESPACES: [&str; 2] = ["", "sub"];

#[derive(Debug, Clone)]
enum Op {
    /// Writes onto the newest checkpoint, or onto any.
    Write {
        thread: Index,
        ns: usize,
        onto: Option<Index>,
        update: Update,
    },
    /// Sends the messages of a checkpoint again, as chat clients do.
    Resend {
        thread: Index,
        onto: Option<Index>,
    },
    Copy {
        thread: Index,
    },
    KeepLatest {
        thread: Index,
    },
    Read {
        thread: Index,
        ns: usize,
        at: Index,
    },
    Patch {
        thread: Index,
    },
}

#[derive(Debug, Clone, Default)]
struct Update {
    channels: BTreeMap<String, u8>,
    messages: Option<Vec<Message>>,
}

#[derive(Debug, Clone)]
enum Message {
    Put(u8, u8),
    /// Without an id: the server makes one.
    New(u8),
    Remove(u8),
    RemoveAll,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let message = prop_oneof![
        8 => (0..6_u8, any::<u8>()).prop_map(|(id, content)| Message::Put(id, content)),
        2 => any::<u8>().prop_map(Message::New),
        4 => (0..6_u8).prop_map(Message::Remove),
        1 => Just(Message::RemoveAll),
    ];
    let channels = prop::collection::btree_map("[a-c]", any::<u8>(), 0..3);
    let update = (channels, option::weighted(0.7, vec(message, 0..5)))
        .prop_map(|(channels, messages)| Update { channels, messages });
    let ns = prop_oneof![5 => Just(0_usize), 1 => Just(1_usize)];
    let thread = any::<Index>;
    let op = prop_oneof![
        16 => (thread(), ns.clone(), option::weighted(0.4, any::<Index>()), update)
            .prop_map(|(thread, ns, onto, update)| Op::Write { thread, ns, onto, update }),
        2 => (thread(), option::of(any::<Index>())).prop_map(|(thread, onto)| Op::Resend { thread, onto }),
        2 => thread().prop_map(|thread| Op::Copy { thread }),
        2 => thread().prop_map(|thread| Op::KeepLatest { thread }),
        2 => (thread(), ns, any::<Index>()).prop_map(|(thread, ns, at)| Op::Read { thread, ns, at }),
        1 => thread().prop_map(|thread| Op::Patch { thread }),
    ];
    vec(op, 1..40)
}

#[derive(Debug, Clone)]
struct Checkpoint {
    id: String,
    parent: Option<String>,
    step: u64,
    channels: BTreeMap<String, u8>,
    /// Ids that the server made are not known.
    messages: Option<Vec<(Option<u8>, u8)>>,
}

#[derive(Debug, Clone, Default)]
struct Thread {
    id: String,
    /// By namespace, in the order of writing.
    checkpoints: [Vec<Checkpoint>; 2],
}

impl Update {
    fn sent(&self) -> Value {
        let mut values: Map<String, Value> =
            self.channels.iter().map(|(channel, value)| (channel.clone(), json!(value))).collect();
        if let Some(messages) = &self.messages {
            let sent = messages.iter().map(|message| match message {
                Message::Put(id, content) => human(&id.to_string(), &content.to_string()),
                Message::New(content) => json!(content.to_string()),
                Message::Remove(id) => remove(&id.to_string()),
                Message::RemoveAll => remove("__remove_all__"),
            });
            values.insert("messages".to_owned(), sent.collect());
        }
        Value::Object(values)
    }

    /// The list of messages afterwards. `None`: one to remove is not there.
    fn reduce(&self, before: &[(Option<u8>, u8)]) -> Option<Vec<(Option<u8>, u8)>> {
        let mut list: Vec<_> = before.iter().map(|(id, content)| (*id, Some(*content))).collect();
        let changes = self.messages.as_deref().unwrap_or_default();
        let clear = changes.iter().rposition(|change| matches!(change, Message::RemoveAll));
        if clear.is_some() {
            list.clear();
        }
        for change in &changes[clear.map_or(0, |clear| clear + 1)..] {
            match *change {
                Message::New(content) => list.push((None, Some(content))),
                Message::Put(id, content) => {
                    match list.iter_mut().find(|(known, _)| *known == Some(id)) {
                        Some(entry) => entry.1 = Some(content),
                        None => list.push((Some(id), Some(content))),
                    }
                }
                Message::Remove(id) => {
                    list.iter_mut().find(|(known, _)| *known == Some(id))?.1 = None;
                }
                Message::RemoveAll => {}
            }
        }
        Some(list.into_iter().filter_map(|(id, content)| Some((id, content?))).collect())
    }
}

impl Checkpoint {
    /// Compares everything that a state object says.
    fn assert_is(&self, thread: &Thread, ns: usize, state: &Value) {
        let at = |id: &str| json!({ "thread_id": thread.id, "checkpoint_ns": NAMESPACES[ns], "checkpoint_id": id });
        assert_eq!(state["checkpoint"], at(&self.id));
        assert_eq!(state["parent_checkpoint"], self.parent.as_deref().map_or(Value::Null, at));
        assert_eq!(state["metadata"]["step"], json!(self.step));
        assert_eq!(state["metadata"]["thread_id"], json!(thread.id));
        self.assert_values(&state["values"]);
    }

    fn assert_values(&self, values: &Value) {
        let mut values = values.as_object().unwrap().clone();
        let messages = values.remove("messages");
        assert_eq!(Value::Object(values), json!(self.channels), "checkpoint {}", self.id);
        let messages = messages.map(|messages| messages.as_array().unwrap().clone());
        let contents = messages.as_ref().map(|messages| {
            let contents = messages.iter().map(|message| message["content"].as_str().unwrap());
            contents.map(|content| content.parse().unwrap()).collect::<Vec<u8>>()
        });
        let expected = self.messages.as_deref();
        let expected_contents = expected.map(|list| list.iter().map(|(_, c)| *c).collect());
        assert_eq!(contents, expected_contents, "checkpoint {}", self.id);
        for (message, (id, _)) in messages.iter().flatten().zip(expected.unwrap_or_default()) {
            if let Some(id) = id {
                assert_eq!(message["id"], json!(id.to_string()), "checkpoint {}", self.id);
            }
        }
    }
}

impl Thread {
    async fn write(&mut self, user: &User, ns: usize, onto: Option<&Index>, update: &Update) {
        let chain = &self.checkpoints[ns];
        let base = match onto {
            Some(index) if !chain.is_empty() => Some(index.get(chain)),
            _ => chain.last(),
        };
        let mut checkpoint = json!({ "checkpoint_ns": NAMESPACES[ns] });
        if let (Some(_), Some(base)) = (onto, base) {
            checkpoint["checkpoint_id"] = json!(base.id);
        }
        let body = json!({ "values": update.sent(), "checkpoint": checkpoint });
        let answer = user.post(&format!("/threads/{}/state", self.id), body).await;
        let before = base.and_then(|base| base.messages.clone());
        let Some(messages) = update.reduce(before.as_deref().unwrap_or_default()) else {
            assert_eq!(answer.status, 422, "{}", answer.text);
            return;
        };
        let id = answer.expect(200)["checkpoint_id"].as_str().unwrap().to_owned();
        let mut channels = base.map(|base| base.channels.clone()).unwrap_or_default();
        channels.extend(update.channels.clone());
        let is_new = chain.last().is_none_or(|last| last.id < id);
        assert!(is_new, "ids sort by time");
        let checkpoint = Checkpoint {
            id,
            parent: base.map(|base| base.id.clone()),
            step: base.map_or(0, |base| base.step + 1),
            channels,
            messages: if update.messages.is_some() { Some(messages) } else { before },
        };
        self.checkpoints[ns].push(checkpoint);
    }

    async fn resend(&mut self, user: &User, onto: Option<&Index>) {
        let Some(newest) = self.checkpoints[0].last() else { return };
        let base = onto.map_or(newest, |index| index.get(&self.checkpoints[0])).clone();
        let values = user.values_at(&self.id, &base.id).await;
        let Some(messages) = values.get("messages") else { return };
        let id = user.fork(&self.id, &base.id, json!({ "messages": messages })).await;
        let parent = Some(base.id.clone());
        self.checkpoints[0].push(Checkpoint { id, parent, step: base.step + 1, ..base });
    }

    async fn keep_latest(&mut self, user: &User) {
        user.keep_latest(&self.id).await;
        for chain in &mut self.checkpoints {
            let mut newest: Vec<_> = chain.pop().into_iter().collect();
            for checkpoint in &mut newest {
                checkpoint.parent = None;
            }
            *chain = newest;
        }
    }

    async fn read(&self, user: &User, ns: usize, at: &Index) {
        if self.checkpoints[ns].is_empty() {
            return;
        }
        let checkpoint = at.get(&self.checkpoints[ns]);
        let at = json!({ "checkpoint_ns": NAMESPACES[ns], "checkpoint_id": checkpoint.id });
        let path = format!("/threads/{}/state/checkpoint", self.id);
        let state = user.post(&path, json!({ "checkpoint": at })).await.expect(200);
        checkpoint.assert_is(self, ns, &state);
    }

    async fn assert_history(&self, user: &User) {
        for (ns, chain) in self.checkpoints.iter().enumerate() {
            let body = json!({ "limit": 1000, "checkpoint": { "checkpoint_ns": NAMESPACES[ns] } });
            let history = user.history_of(&self.id, body).await;
            assert_eq!(history.len(), chain.len());
            for (checkpoint, state) in chain.iter().rev().zip(&history) {
                checkpoint.assert_is(self, ns, state);
            }
        }
        let thread = user.get(&format!("/threads/{}", self.id)).await.expect(200);
        match self.checkpoints[0].last() {
            Some(newest) => newest.assert_values(&thread["values"]),
            None => assert_eq!(thread["values"], Value::Null),
        }
    }
}

#[test]
fn every_checkpoint_keeps_its_values_whatever_happens_around_it() {
    check(40, &ops(), &async |server: &TestServer, ops| {
        let user = server.user().await;
        let mut threads = vec![Thread { id: user.thread(json!({})).await, ..Thread::default() }];
        for op in &ops {
            match op {
                Op::Write { thread, ns, onto, update } => {
                    let thread = thread.get_mut(&mut threads);
                    thread.write(&user, *ns, onto.as_ref(), update).await;
                }
                Op::Resend { thread, onto } => {
                    thread.get_mut(&mut threads).resend(&user, onto.as_ref()).await;
                }
                Op::Copy { thread } => {
                    let mut copy = thread.get(&threads).clone();
                    copy.id = user.copy(&copy.id).await;
                    threads.push(copy);
                }
                Op::KeepLatest { thread } => thread.get_mut(&mut threads).keep_latest(&user).await,
                Op::Read { thread, ns, at } => thread.get(&threads).read(&user, *ns, at).await,
                Op::Patch { thread } => {
                    let path = format!("/threads/{}", thread.get(&threads).id);
                    user.patch(&path, json!({ "metadata": { "k": 1 } })).await.expect(200);
                }
            }
        }
        for thread in &threads {
            thread.assert_history(&user).await;
        }
        let ids: Vec<_> = threads.iter().map(|thread| &thread.id).collect();
        assert_eq!(user.count(json!({})).await, ids.len() as u64);
    });
}
