//! What is stored comes back.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use reqwest::Method;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::check;
use crate::support::{Answer, TestServer};

/// JSON text, before white space is put between its tokens.
#[derive(Debug, Clone)]
enum Text {
    /// A number, a string or a word, as it is written.
    Atom(String),
    Array(Vec<Text>),
    Object(Vec<(String, Text)>),
}

impl Text {
    /// Writes the text with the white space that `spaces` has next, again and again.
    fn write(&self, to: &mut String, spaces: &mut impl Iterator<Item = &'static str>) {
        let mut space = |to: &mut String| to.push_str(spaces.next().unwrap_or_default());
        space(to);
        match self {
            Text::Atom(text) => to.push_str(text),
            Text::Array(items) => {
                to.push('[');
                for (number, item) in items.iter().enumerate() {
                    if number > 0 {
                        to.push(',');
                    }
                    item.write(to, spaces);
                }
                to.push(']');
            }
            Text::Object(entries) => {
                to.push('{');
                for (number, (key, value)) in entries.iter().enumerate() {
                    if number > 0 {
                        to.push(',');
                    }
                    to.push_str(spaces.next().unwrap_or_default());
                    to.push_str(key);
                    to.push_str(spaces.next().unwrap_or_default());
                    to.push(':');
                    value.write(to, spaces);
                }
                to.push('}');
            }
        }
        to.push_str(spaces.next().unwrap_or_default());
    }

    fn compact(&self) -> String {
        let mut text = String::new();
        self.write(&mut text, &mut std::iter::empty());
        text
    }

    fn spaced(&self) -> String {
        let mut text = String::new();
        let spaces = ["", " ", "", "\n", "\t", "", "\r\n  "];
        self.write(&mut text, &mut spaces.into_iter().cycle());
        text
    }
}

fn string() -> impl Strategy<Value = String> {
    let escaped = any::<char>().prop_map(|character| {
        let mut units = [0; 2];
        let units = character.encode_utf16(&mut units).iter();
        units.map(|unit| format!("\\u{unit:04x}")).collect::<Vec<_>>().concat()
    });
    let piece = prop_oneof![
        6 => "[ -~]".prop_filter("escaped", |text| text != "\"" && text != "\\"),
        3 => any::<char>().prop_filter("escaped", |c| *c >= ' ' && *c != '"' && *c != '\\')
            .prop_map(String::from),
        2 => escaped.prop_filter("cannot be stored", |text| text != "\\u0000"),
        2 => prop::sample::select(vec!["\\n", "\\\"", "\\\\", "\\/", "\\b", "\\f", "\\r", "\\t"])
            .prop_map(str::to_owned),
    ];
    vec(piece, 0..8).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => prop::sample::select(vec!["\"a\"", "\"\\u0061\"", "\"b\"", "\"\"", "\"id\""])
            .prop_map(str::to_owned),
        2 => string(),
    ]
}

fn text() -> impl Strategy<Value = Text> {
    let atom = prop_oneof![
        prop::sample::select(vec!["null", "true", "false", "0", "-0", "-0.0", "1.50", "1E+2"])
            .prop_map(str::to_owned),
        "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,30})?([eE][-+]?[0-9]{1,2})?",
        string(),
    ];
    atom.prop_map(Text::Atom).prop_recursive(6, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Text::Array),
            vec((key(), inner), 0..6).prop_map(Text::Object),
        ]
    })
}

fn object() -> impl Strategy<Value = Vec<(String, Text)>> {
    vec((key(), text()), 0..6)
}

type Entries = IndexMap<String, Box<RawValue>>;

fn entries(text: &str) -> Entries {
    serde_json::from_str(text).unwrap()
}

/// What JSON text means, with numbers of any length: sign, digits without zeros around them, and
/// the power of ten of the last one.
#[derive(Debug, PartialEq)]
enum Meaning {
    Word(String),
    Number(bool, String, i64),
    String(String),
    Array(Vec<Meaning>),
    Object(BTreeMap<String, Meaning>),
}

fn meaning(text: &str) -> Meaning {
    match text.as_bytes()[0] {
        b'{' => Meaning::Object(
            entries(text).into_iter().map(|(key, value)| (key, meaning(value.get()))).collect(),
        ),
        b'[' => {
            let items: Vec<Box<RawValue>> = serde_json::from_str(text).unwrap();
            Meaning::Array(items.iter().map(|item| meaning(item.get())).collect())
        }
        b'"' => Meaning::String(serde_json::from_str(text).unwrap()),
        b'-' | b'0'..=b'9' => number(text),
        _ => Meaning::Word(text.to_owned()),
    }
}

fn number(text: &str) -> Meaning {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{integer}{fraction}");
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Meaning::Number(false, String::new(), 0);
    }
    let zeros = i64::try_from(digits.len() - significant.len()).unwrap();
    let scale = i64::try_from(fraction.len()).unwrap();
    let power = exponent.parse::<i64>().unwrap() - scale + zeros;
    Meaning::Number(negative, significant.to_owned(), power)
}

#[test]
fn values_come_back_as_they_were_written() {
    check(60, &object(), &async |server: &TestServer, sent| {
        let user = one_user(server).await;
        let id = user.thread(json!({})).await;
        let sent: Vec<_> = sent.into_iter().filter(|(key, _)| key != "\"messages\"").collect();
        let values = Text::Object(sent);
        let path = format!("/threads/{id}/state");
        let body = format!("{{\"values\":{}}}", values.spaced());
        user.post_text(&path, body).await.expect(200);

        let expected = entries(&values.compact());
        let texts = |entries: &Entries| {
            let texts = entries.iter().map(|(key, value)| (key.clone(), value.get().to_owned()));
            texts.collect::<BTreeMap<_, _>>()
        };
        let expected = texts(&expected);
        let copy = user.copy(&id).await;
        for path in [path, format!("/threads/{id}"), format!("/threads/{copy}/state")] {
            let answer = entries(&user.get(&path).await.text);
            assert_eq!(texts(&entries(answer["values"].get())), expected, "{path}");
        }
    });
}

#[test]
fn metadata_means_what_was_written() {
    check(60, &(object(), object()), &async |server: &TestServer, (first, second)| {
        let user = one_user(server).await;
        let reserved = [
            "owner",
            "thread_id",
            "run_id",
            "assistant_id",
            "cron_id",
            "counters_since_delta_snapshot",
        ];
        let body = |metadata: Vec<(String, Text)>| {
            format!("{{\"metadata\":{}}}", Text::Object(metadata).spaced())
        };
        let created = user.post_text("/threads", body(first.clone())).await;
        let id = created.expect(200)["thread_id"].as_str().unwrap().to_owned();
        let path = format!("/threads/{id}");
        let mut expected = entries(&Text::Object(first).compact());
        for patch in [None, Some(second)] {
            if let Some(patch) = patch {
                let request = user.request(Method::PATCH, &path).body(body(patch.clone()));
                Answer::of(request).await.expect(200);
                expected.extend(entries(&Text::Object(patch).compact()));
            }
            expected.retain(|key, _| !reserved.contains(&key.as_str()));
            let mut got = entries(entries(&user.get(&path).await.text)["metadata"].get());
            let owner = got.shift_remove("owner").unwrap();
            assert_eq!(owner.get(), json!(user.id).to_string());
            let meanings = |entries: &Entries| {
                let entries = entries.iter();
                entries.map(|(k, v)| (k.clone(), meaning(v.get()))).collect::<BTreeMap<_, _>>()
            };
            assert_eq!(meanings(&got), meanings(&expected));
        }
    });
}

/// A request that is nearly good: the body of a good one, with some bytes replaced.
#[test]
fn no_body_whatsoever_is_a_server_error() {
    let good = prop::sample::select(vec![
        r#"{"metadata":{"k":[1,{"x":null}]},"ttl":{"ttl":5,"strategy":"delete"},"if_exists":"raise","supersteps":[{"updates":[{"values":{"k":1},"as_node":"n"}]}]}"#,
        r#"{"values":{"messages":[{"type":"human","content":"x","id":"1"}]},"checkpoint":{"checkpoint_ns":""},"as_node":"x"}"#,
        r#"{"limit":3,"offset":1,"sort_by":"status","sort_order":"asc","select":["values"],"extract":{"a":"values.k[0].x"},"ids":[],"status":"idle","metadata":{"a":[1]}}"#,
        r#"{"limit":3,"before":{"configurable":{"checkpoint_id":"1ef00000-0000-6000-8000-000000000000"}},"checkpoint":{},"metadata":{},"select":["next"]}"#,
        r#"{"thread_ids":[],"strategy":"keep_latest","checkpoint":{"checkpoint_id":"x"},"subgraphs":true}"#,
    ]);
    let piece = prop_oneof![
        vec(any::<u8>(), 0..3),
        text().prop_map(|text| text.compact().into_bytes()),
        prop::sample::select(vec![
            "null", "[", "{", "]", "}", "\"", "\\", "\\u0000", "\\ud800", "1e999", "-", ":", ","
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    let edits = vec((any::<Index>(), 0..4_usize, piece), 0..4);
    check(60, &(good, edits), &async |server: &TestServer, (good, edits)| {
        let mut body = good.as_bytes().to_vec();
        for (at, length, piece) in edits {
            let at = at.index(body.len() + 1);
            let end = body.len().min(at + length);
            body.splice(at..end, piece);
        }
        let user = one_user(server).await;
        let id = user.thread(json!({})).await;
        for (method, path) in [
            (Method::POST, "/threads".to_owned()),
            (Method::POST, "/threads/search".to_owned()),
            (Method::POST, "/threads/count".to_owned()),
            (Method::POST, "/threads/prune".to_owned()),
            (Method::POST, format!("/threads/{id}/state")),
            (Method::POST, format!("/threads/{id}/state/checkpoint")),
            (Method::POST, format!("/threads/{id}/history")),
            (Method::PATCH, format!("/threads/{id}")),
        ] {
            let answer = Answer::of(user.request(method, &path).body(body.clone())).await;
            let status = answer.status.as_u16();
            let shown = String::from_utf8_lossy(&body).into_owned();
            assert!(status == 200 || (400..500).contains(&status), "{path} {status}: {shown}");
            if status != 200 {
                assert!(!answer.detail().is_empty(), "{path}: {shown}");
            }
        }
        user.get(&format!("/threads/{id}")).await.expect(200);
    });
}

/// The user of all cases: signing up is the slowest step.
async fn one_user(server: &TestServer) -> crate::support::User {
    static USERS: tokio::sync::Mutex<BTreeMap<String, crate::support::User>> =
        tokio::sync::Mutex::const_new(BTreeMap::new());
    let mut users = USERS.lock().await;
    if let Some(user) = users.get(&server.url) {
        return user.clone();
    }
    let user = server.user().await;
    users.insert(server.url.clone(), user.clone());
    user
}

#[test]
fn meanings_tell_numbers_apart() {
    assert_eq!(meaning("100"), meaning("1E2"));
    assert_eq!(meaning("-0.0"), meaning("0e5"));
    assert_eq!(meaning("0.10"), meaning("1e-1"));
    assert_ne!(meaning("12345678901234567890123"), meaning("12345678901234567890124"));
    assert_ne!(meaning("1"), meaning("-1"));
    assert_ne!(meaning("1"), meaning(&Value::from("1").to_string()));
}
