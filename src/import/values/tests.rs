//! Updates from one state to another, checked against the reducer itself.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::messages::{ids_to_look_up, reduce};

fn raw(value: &Value) -> Raw {
    Raw::of(value).unwrap()
}

fn values(value: &Value) -> Values {
    Values::read(Some(&raw(value)), Uuid::nil(), &mut Interner::default()).unwrap().0
}

fn message(id: &str, content: &str) -> Value {
    json!({ "type": "human", "content": content, "id": id })
}

/// What the reducer makes of a list and an update, as ids and texts in order.
fn reduced(before: &[Message], entries: &[String]) -> Vec<(String, String)> {
    let changes = messages::read(&format!("[{}]", entries.join(",")));
    let changes = changes.unwrap();
    let place = |id: &str| before.iter().position(|message| &*message.id == id);
    let present: HashMap<String, i64> = ids_to_look_up(&changes)
        .into_iter()
        .filter_map(|id| Some((id.to_owned(), i64::try_from(place(id)?).unwrap())))
        .collect();
    let plan = reduce(&changes, &present, i64::try_from(before.len()).unwrap()).unwrap();
    let mut list: std::collections::BTreeMap<i64, (String, String)> = before
        .iter()
        .enumerate()
        .map(|(at, one)| (i64::try_from(at).unwrap(), (one.id.to_string(), one.text.to_string())))
        .filter(|(at, _)| plan.start.is_none_or(|start| *at >= start))
        .collect();
    for row in plan.rows {
        match row.message {
            Some(message) => {
                list.insert(row.position, (row.id.to_owned(), message.text().to_owned()))
            }
            None => list.remove(&row.position),
        };
    }
    list.into_values().collect()
}

fn any_list() -> impl Strategy<Value = Vec<Message>> {
    let entries = prop::collection::btree_map(0..12_u8, 0..3_u8, 0..8)
        .prop_flat_map(|map| Just(map.into_iter().collect::<Vec<_>>()).prop_shuffle());
    entries.prop_map(|entries| {
        let texts = &mut Interner::default();
        let list: Vec<_> =
            entries.iter().map(|(id, text)| message(&id.to_string(), &text.to_string())).collect();
        read_messages(raw(&json!(list)).text(), Uuid::nil(), texts).unwrap().0
    })
}

proptest! {
    #[test]
    fn a_change_makes_one_list_of_another(before in any_list(), after in any_list()) {
        let expected: Vec<_> =
            after.iter().map(|one| (one.id.to_string(), one.text.to_string())).collect();
        if let Some(entries) = change_of_messages(&after, Some(&before)) {
            prop_assert_eq!(reduced(&before, &entries), expected);
        } else {
            prop_assert_eq!(before, after);
        }
    }
}

#[test]
fn a_message_more_costs_one_entry() {
    let before = values(&json!({ "messages": [message("1", "a"), message("2", "b")], "k": 1 }));
    let after = json!({ "messages": [message("1", "a"), message("2", "b"), message("3", "c")] });
    let mut after = values(&after);
    assert_eq!(after.inherit(&before), 1);
    let change = after.change(&before).unwrap().unwrap();
    assert_eq!(change.to_text(), format!("{{\"messages\":[{}]}}", raw(&message("3", "c")).text()));
    assert_eq!(after.change(&after).unwrap(), None);
}

#[test]
fn messages_without_an_id_get_one_that_the_next_run_gives_too() {
    let sent = raw(&json!(["a", ["ai", "b"], message("1", "c"), message("1", "d")]));
    let thread_id = Uuid::now_v7();
    let read = || read_messages(sent.text(), thread_id, &mut Interner::default()).unwrap();
    let (list, without_id) = read();
    assert_eq!(without_id, 3);
    let ids: HashSet<_> = list.iter().map(|message| &message.id).collect();
    assert_eq!(ids.len(), 4);
    assert!(list.iter().all(|one| one.text.contains(&*one.id)), "{list:?}");
    assert_eq!(read().0, list);
}

#[test]
fn spelling_and_empty_fields_are_no_difference_but_contents_are() {
    let ours = values(&json!({ "messages": [message("1", "a")], "n": 1.50 }));
    let told = json!({ "n": 1.5, "messages": [
        { "content": "a", "additional_kwargs": {}, "type": "human", "name": null, "id": "1" },
    ] });
    assert!(ours.is_same_as(&values(&told)));
    for other in [
        json!({ "n": 1.5, "messages": [message("1", "b")] }),
        json!({ "n": 1.5, "messages": [message("2", "a")] }),
        json!({ "n": 2, "messages": [message("1", "a")] }),
        json!({ "n": 1.5, "messages": [message("1", "a"), message("2", "a")] }),
        json!({ "n": 1.5, "m": 1, "messages": [message("1", "a")] }),
        json!({ "messages": [message("1", "a")] }),
        json!({ "n": 1.5 }),
    ] {
        assert!(!ours.is_same_as(&values(&other)), "{other}");
    }
}
