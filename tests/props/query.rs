//! Queries of a search against a plain scan, on own threads and on those of an agent.
//!
//! Texts are put together from units whose compared form is written down beside them, so that nothing of
//! the program says what is right.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::agent::{Agent, Put, until};
use crate::check;
use crate::filter::pages;
use crate::support::{TestServer, User};

/// A spelling, and the form in which it is compared.
type Unit = (&'static str, &'static str);

const UNITS: [Unit; 34] = [
    ("a", "a"),
    ("A", "a"),
    ("b", "b"),
    ("e", "e"),
    ("É", "e"),
    ("E\u{301}", "e"),
    ("ß", "ss"),
    ("s", "s"),
    ("ﬁ", "fi"),
    ("ｆ", "f"),
    ("i", "i"),
    ("1", "1"),
    ("①", "1"),
    ("½", "1⁄2"),
    ("й", "й"),
    ("и\u{306}", "й"),
    ("И", "и"),
    ("猫", "猫"),
    ("咪", "咪"),
    ("ไท", "ไท"),
    ("ย", "ย"),
    ("ｶﾞ", "ガ"),
    ("ガ", "ガ"),
    ("カ", "カ"),
    ("👍🏽", "👍🏽"),
    ("%", "%"),
    ("_", "_"),
    ("\\", "\\"),
    ("'", "'"),
    ("-", "-"),
    (" ", " "),
    ("\u{3000}", " "),
    ("\n", " "),
    (" ", " "),
];

fn text(units: impl Into<proptest::collection::SizeRange>) -> impl Strategy<Value = Vec<Unit>> {
    vec(select(UNITS.to_vec()), units)
}

fn sent(units: &[Unit]) -> String {
    units.iter().map(|(sent, _)| *sent).collect()
}

/// The form: blanks are one space, and none at an end.
fn form(units: &[Unit]) -> String {
    let form: String = units.iter().map(|(_, form)| *form).collect();
    form.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// A word of a query, as it is typed and as it is compared.
#[derive(Debug, Clone)]
struct Word {
    is_excluded: bool,
    is_phrase: bool,
    units: Vec<Unit>,
}

impl Word {
    fn typed(&self) -> String {
        let minus = if self.is_excluded { "-" } else { "" };
        let quote = if self.is_phrase { "\"" } else { "" };
        format!("{minus}{quote}{}{quote}", sent(&self.units))
    }

    fn is_usable(&self) -> bool {
        let blank = |unit: &Unit| unit.1 == " ";
        let begins_word = self
            .units
            .first()
            .is_some_and(|unit| unit.0.chars().next().is_some_and(char::is_alphanumeric));
        // A minus has a meaning before a letter, and a word has no blanks.
        !form(&self.units).is_empty()
            && (self.is_phrase || (begins_word && !self.units.iter().any(blank)))
    }
}

fn word() -> impl Strategy<Value = Word> {
    let word = (prop::bool::weighted(0.3), any::<bool>(), text(1..4));
    word.prop_map(|(is_excluded, is_phrase, units)| Word { is_excluded, is_phrase, units })
        .prop_filter("usable", Word::is_usable)
}

#[derive(Debug, Clone)]
struct Thread {
    is_agents: bool,
    title: Option<Vec<Unit>>,
    messages: Vec<(&'static str, Vec<Unit>)>,
}

fn thread() -> impl Strategy<Value = Thread> {
    let message = (select(vec!["human", "ai", "system", "tool"]), text(0..12));
    (any::<bool>(), option::weighted(0.3, text(0..6)), vec(message, 0..4))
        .prop_map(|(is_agents, title, messages)| Thread { is_agents, title, messages })
}

impl Thread {
    /// Whether a scan of its texts finds what a query asks for.
    fn matches(&self, query: &[Word]) -> bool {
        let said = self.messages.iter().filter(|(kind, _)| *kind != "tool");
        let said = said.map(|(_, units)| form(units));
        let texts: Vec<_> = said.chain(self.title.iter().map(|title| form(title))).collect();
        query.iter().all(|word| {
            let form = form(&word.units);
            texts.iter().any(|text| text.contains(&form)) != word.is_excluded
        })
    }

    fn messages(&self) -> Value {
        let messages = self.messages.iter().enumerate().map(|(n, (kind, units))| {
            json!({ "type": kind, "id": n.to_string(), "tool_call_id": "t", "content": sent(units) })
        });
        json!({ "messages": messages.collect::<Vec<_>>() })
    }

    async fn make(&self, user: &User, agent: &mut Agent) -> String {
        let title = self.title.as_ref().map(|title| json!({ "title": sent(title) }));
        let metadata = title.unwrap_or_else(|| json!({}));
        if !self.is_agents {
            let id = user.thread(json!({ "metadata": metadata })).await;
            if !self.messages.is_empty() {
                user.write(&id, self.messages()).await;
            }
            return id;
        }
        let id = Uuid::new_v4().to_string();
        let named = json!({ "user_id": user.id, "source": "input", "step": -1 });
        let values = self.messages();
        agent.put(Put { thread: &id, values, metadata: named, parent: None, id: None }).await;
        user.patch(&format!("/threads/{id}"), json!({ "metadata": metadata })).await.expect(200);
        id
    }
}

#[test]
fn a_query_finds_what_a_plain_scan_finds() {
    let query = vec(word(), 1..4)
        .prop_filter("a word that occurs", |words| words.iter().any(|word| !word.is_excluded));
    let case = (vec(thread(), 1..12), vec(query, 1..12));
    let agent = Mutex::new(None);
    check(12, &case, &async |server: &TestServer, (threads, queries)| {
        let mut agent = agent.lock().await;
        if agent.is_none() {
            let options = server.pool.connect_options().as_ref().clone();
            let started = Agent::at(options, "agent").await;
            started.attach().await;
            *agent = Some(started);
        }
        let agent = agent.as_mut().unwrap();
        let (user, other) = (server.user().await, server.user().await);
        let mut made = Vec::new();
        for thread in threads {
            thread.make(&other, agent).await;
            made.push((thread.make(&user, agent).await, thread));
        }
        for is_caught_up in [false, true] {
            if is_caught_up {
                until("threads have digests", async || {
                    let behind = "select count(*) from thread_store.thread \
                                  left join thread_store.digest using (tenant, thread_id) \
                                  where last_seq > 0 and seq is distinct from last_seq";
                    sqlx::query_scalar::<_, i64>(behind).fetch_one(&server.pool).await.unwrap() == 0
                })
                .await;
            }
            for words in &queries {
                let typed = words.iter().map(Word::typed).collect::<Vec<_>>().join(" ");
                let matching = made.iter().filter(|(_, thread)| thread.matches(words));
                let mut expected: Vec<_> = matching.map(|(id, _)| id.clone()).collect();
                expected.sort_unstable();
                let count = user.count(json!({ "query": typed })).await;
                assert_eq!(count, expected.len() as u64, "{typed:?} {made:?}");
                let body = json!({ "query": typed, "limit": 3, "sort_by": "created_at" });
                let mut found = pages(&user, body).await;
                found.sort_unstable();
                assert_eq!(found, expected, "{typed:?} {made:?}");
            }
        }
    });
}
