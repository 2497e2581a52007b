//! The rules of the reducer, one by one and against a model.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::messages::read;

/// The table of one thread's messages, as the store has it.
#[derive(Default)]
struct Store {
    rows: BTreeMap<i64, (String, Option<Raw>)>,
    end: i64,
}

impl Store {
    fn update(&mut self, sent: &str) -> Result<Plan<'static>, Refused> {
        let changes = read(sent)?.leak();
        let present = self.look_up(&ids_to_look_up(changes));
        let plan = reduce(changes, &present, self.end)?;
        self.write(&plan);
        Ok(plan)
    }

    fn look_up(&self, ids: &[&str]) -> HashMap<String, i64> {
        let rows = self.rows.iter().filter(|(_, (_, message))| message.is_some());
        rows.filter(|(_, (id, _))| ids.contains(&id.as_str()))
            .map(|(position, (id, _))| (id.clone(), *position))
            .collect()
    }

    fn write(&mut self, plan: &Plan<'_>) {
        let old_end = self.end;
        if let Some(start) = plan.start {
            self.rows.retain(|position, _| *position >= start);
        }
        let mut new = old_end..;
        for row in &plan.rows {
            let kept = (row.id.to_owned(), row.message.cloned());
            match self.rows.insert(row.position, kept) {
                Some((id, _)) => assert_eq!(id, row.id, "a position keeps its id"),
                None => assert_eq!(Some(row.position), new.next(), "no gaps"),
            }
        }
        assert_eq!(new.next(), Some(plan.end));
        self.end = plan.end;
    }

    /// Ids and contents of the list.
    fn list(&self) -> Vec<(String, String)> {
        let messages = self.rows.values().filter_map(|(id, message)| Some((id, message.as_ref()?)));
        messages.map(|(id, message)| (id.clone(), content(message))).collect()
    }
}

fn content(message: &Raw) -> String {
    let object: crate::json::Object = message.parse().unwrap();
    object.get("content").unwrap().parse().unwrap()
}

/// A store with the messages `a`, `b` and `c`.
fn abc() -> Store {
    let mut store = Store::default();
    store.update(&format!("[{},{},{}]", put("a", "A"), put("b", "B"), put("c", "C"))).unwrap();
    store
}

fn put(id: &str, content: &str) -> String {
    format!(r#"{{"type":"human","content":"{content}","id":"{id}"}}"#)
}

fn remove(id: &str) -> String {
    format!(r#"{{"type":"remove","id":"{id}"}}"#)
}

#[test]
fn each_rule() {
    let all = &remove("__remove_all__");
    let table: [(&[&str], &str); 17] = [
        (&[], "aA bB cC"),
        (&[&put("d", "D")], "aA bB cC dD"),
        (&[&put("b", "X")], "aA bX cC"),
        (&[&put("b", "X"), &put("d", "D"), &put("b", "Y"), &put("d", "E")], "aA bY cC dE"),
        (&[&remove("b")], "aA cC"),
        (&[&remove("b"), &remove("b")], "aA cC"),
        (&[&remove("b"), &put("b", "X")], "aA bX cC"),
        (&[&put("b", "X"), &remove("b")], "aA cC"),
        (&[&put("d", "D"), &remove("d")], "aA bB cC"),
        (&[&put("d", "D"), &remove("d"), &remove("d")], "aA bB cC"),
        (&[&put("d", "D"), &put("e", "E"), &remove("d"), &put("d", "F")], "aA bB cC dF eE"),
        (&[&put("d", "D"), &remove("d"), &put("e", "E")], "aA bB cC eE"),
        (&[all], ""),
        (&[&remove("nope"), &put("d", "D"), all, &put("e", "E")], "eE"),
        (&[all, &put("b", "X"), &put("e", "E"), &put("b", "Y")], "bY eE"),
        (&[all, &put("b", "X"), &remove("b")], ""),
        (&[all, &put("b", "X"), all, &put("c", "Y")], "cY"),
    ];
    for (update, expected) in table {
        let mut store = abc();
        store.update(&format!("[{}]", update.join(","))).unwrap();
        let list: Vec<_> = store.list().iter().map(|(id, text)| format!("{id}{text}")).collect();
        assert_eq!(list.join(" "), expected, "{update:?}");
    }
}

#[test]
fn removing_what_is_not_there_is_refused_by_name() {
    let all = remove("__remove_all__");
    for update in [
        remove("no\u{e9}pe"),
        format!("[{},{}]", remove("no\u{e9}pe"), put("no\u{e9}pe", "X")),
        format!("[{all},{}]", remove("no\u{e9}pe")),
    ] {
        let refused = abc().update(&update).unwrap_err().to_string();
        let expected = "values.messages: there is no message with the id \"no\u{e9}pe\" to remove";
        assert_eq!(refused, expected, "{update}");
    }
    assert!(abc().update(&format!("[{all},{}]", remove("a"))).is_err());
    let mut store = abc();
    store.update(&remove("a")).unwrap();
    assert!(store.update(&remove("a")).is_err());
}

#[test]
fn a_message_removed_earlier_comes_back_at_the_end() {
    let mut store = abc();
    store.update(&remove("a")).unwrap();
    store.update(&put("a", "X")).unwrap();
    let ids: Vec<_> = store.list().into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["b", "c", "a"]);
}

#[test]
fn a_cleared_list_starts_where_it_ended() {
    let mut store = abc();
    let update = format!("[{},{}]", remove("__remove_all__"), put("b", "X"));
    let plan = store.update(&update).unwrap();
    assert_eq!((plan.start, plan.end), (Some(3), 4));
    assert_eq!(plan.rows.first().map(|row| row.position), Some(3));
    let plan = Store::default().update(&remove("__remove_all__")).unwrap();
    assert_eq!(plan, Plan { start: Some(0), rows: Vec::new(), end: 0 });
}

#[test]
fn a_message_that_comes_and_goes_in_one_update_takes_no_place() {
    let update = format!("[{},{},{}]", put("d", "D"), put("e", "E"), remove("d"));
    let plan = abc().update(&update).unwrap();
    let rows: Vec<_> = plan.rows.iter().map(|row| (row.position, row.id)).collect();
    assert_eq!((rows.as_slice(), plan.end), ([(3, "e")].as_slice(), 4));
}

#[test]
fn what_is_present_does_not_count_after_clearing() {
    let update = format!("[{},{}]", remove("__remove_all__"), put("a", "X"));
    let changes = read(&update).unwrap();
    let plan = reduce(&changes, &HashMap::from([("a".to_owned(), 0)]), 3).unwrap();
    assert_eq!(plan.rows.first().map(|row| row.position), Some(3));
}

#[test]
fn only_ids_that_decide_are_looked_up() {
    let ids = |update: &str| {
        let changes = read(update).unwrap();
        ids_to_look_up(&changes).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let update = format!(r#"["x",{},{},{}]"#, put("b", "X"), remove("a"), put("b", "Y"));
    assert_eq!(ids(&update), ["b", "a"]);
    let update = format!("[{},{},{}]", put("a", "X"), remove("__remove_all__"), put("b", "Y"));
    assert_eq!(ids(&update), [""; 0]);
}

#[test]
fn generated_ids_are_the_ones_written() {
    let mut store = Store::default();
    let plan = store.update(r#"["x","y"]"#).unwrap();
    let [x, y] = plan.rows.as_slice() else { panic!("{plan:?}") };
    assert_ne!(x.id, y.id);
    assert!(x.message.as_ref().unwrap().text().ends_with(&format!(r#""id":"{}"}}"#, x.id)));
}

/// An update in the model's words.
#[derive(Debug, Clone)]
enum Op {
    Put(Option<u8>, u8),
    Remove(u8),
    Clear,
}

impl Op {
    fn sent(&self) -> String {
        match self {
            Op::Put(Some(id), content) => put(&id.to_string(), &content.to_string()),
            Op::Put(None, content) => format!("\"{content}\""),
            Op::Remove(id) => remove(&id.to_string()),
            Op::Clear => remove("__remove_all__"),
        }
    }
}

/// The rules, plainly: a list whose entries are replaced and marked, then swept. The content
/// of a removed entry is `None`. `None` as a whole: refused.
type Model = Vec<(Option<u8>, Option<u8>)>;

fn model(mut list: Model, update: &[Op]) -> Option<Model> {
    let from = update.iter().rposition(|op| matches!(op, Op::Clear)).map_or(0, |clear| {
        list.clear();
        clear + 1
    });
    for op in &update[from..] {
        match *op {
            Op::Put(id, content) => {
                match list.iter_mut().find(|(known, _)| id.is_some() && *known == id) {
                    Some(entry) => entry.1 = Some(content),
                    None => list.push((id, Some(content))),
                }
            }
            Op::Remove(id) => list.iter_mut().find(|(known, _)| *known == Some(id))?.1 = None,
            Op::Clear => {}
        }
    }
    list.retain(|(_, content)| content.is_some());
    Some(list)
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (prop::option::weighted(0.8, 0..8_u8), any::<u8>()).prop_map(|(id, content)| Op::Put(id, content)),
        4 => (0..8_u8).prop_map(Op::Remove),
        1 => Just(Op::Clear),
    ]
}

/// An update of any ids, as clients may spell them.
fn sent() -> impl Strategy<Value = String> {
    let id = || prop_oneof!["[ab]", ".{0,3}", Just("__remove_all__".to_owned())];
    let entry = prop_oneof![
        4 => (id(), any::<bool>()).prop_map(|(id, removes)| {
            let kind = if removes { "remove" } else { "ai" };
            serde_json::json!({ "type": kind, "content": "", "id": id }).to_string()
        }),
        1 => prop::sample::select(vec![
            r#"{"role":"user","content":""}"#, r#"["user","x"]"#, r#"{"type":"remove","id":1}"#, r#"{"type":"ai","content":"","id":-1}"#,
            r#""x""#, "null", "{}",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(entry, 0..8).prop_map(|entries| format!("[{}]", entries.join(",")))
}

proptest! {
    #[test]
    fn any_update_is_refused_or_makes_a_sound_plan(
        sent in sent(), places in prop::collection::vec(prop::option::of(0..40_i64), 8), end in 40..1000_i64,
    ) {
        let Ok(changes) = read(&sent) else { return Ok(()) };
        let looked_up = ids_to_look_up(&changes).into_iter().zip(places).enumerate();
        let present: HashMap<_, _> = looked_up
            .filter_map(|(nth, (id, place))| {
                // A place has one message.
                Some((id.to_owned(), place? / 8 * 8 + i64::try_from(nth).unwrap()))
            })
            .collect();
        let Ok(plan) = reduce(&changes, &present, end) else { return Ok(()) };
        let positions: HashSet<_> = plan.rows.iter().map(|row| row.position).collect();
        let ids: HashSet<_> = plan.rows.iter().map(|row| row.id).collect();
        prop_assert_eq!((positions.len(), ids.len()), (plan.rows.len(), plan.rows.len()));
        let (new, old): (Vec<_>, Vec<_>) = plan.rows.iter().partition(|row| row.position >= end);
        let new: Vec<_> = new.iter().map(|row| row.position).collect();
        prop_assert_eq!(new, (end..plan.end).collect::<Vec<_>>());
        prop_assert!(plan.start.is_none_or(|start| start == end && old.is_empty()));
        prop_assert!(old.iter().all(|row| present.get(row.id) == Some(&row.position)));
    }

    #[test]
    fn updates_do_what_the_rules_say(
        updates in prop::collection::vec(prop::collection::vec(op(), 0..6), 0..20),
    ) {
        let (mut store, mut list) = (Store::default(), Model::new());
        for update in &updates {
            let sent: Vec<_> = update.iter().map(Op::sent).collect();
            let result = store.update(&format!("[{}]", sent.join(",")));
            let next = model(list.clone(), update);
            prop_assert_eq!(result.is_ok(), next.is_some(), "{:?}", result);
            list = next.unwrap_or(list);
            let stored = store.list();
            prop_assert_eq!(stored.len(), list.len());
            for ((id, content), (known, expected)) in stored.iter().zip(&list) {
                if let Some(known) = known {
                    prop_assert_eq!(id, &known.to_string());
                }
                prop_assert_eq!(content, &expected.unwrap().to_string());
            }
        }
    }
}
