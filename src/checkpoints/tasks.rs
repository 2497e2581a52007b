//! The next tasks at a checkpoint, the finished ones, and the pending interrupts.
//!
//! The graph itself is not available. A node is to run if a channel that triggers it has a value
//! and a version that the node has not seen: `branch:to:<node>`, `join:<a>+<b>:<node>`,
//! `__start__`, and the messages to single nodes in `__pregel_tasks`.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use serde_json::{Value, json};
use uuid::Uuid;

use super::AesKey;
use super::channels::{Values, is_state_channel};
use super::document::Document;
use super::stored::decode;
use crate::json::Raw;

/// The task id of writes to a step that come from none of its nodes.
const NULL_TASK_ID: &str = "00000000-0000-0000-0000-000000000000";
const START: &str = "__start__";
const SENDS: &str = "__pregel_tasks";
const PULL: &str = "__pregel_pull";
const PUSH: &str = "__pregel_push";
const INTERRUPT: &str = "__interrupt__";
const ERROR: &str = "__error__";
/// Channels about the outcome of a task, not its output.
const CONTROL: [&str; 4] = [ERROR, "__error_source_node__", INTERRUPT, "__resume__"];

/// A row of `checkpoint_writes`. Rows of one task follow each other by `idx`.
#[derive(Debug, Clone, Copy)]
pub struct Write<'a> {
    /// The task that wrote it.
    pub task_id: &'a str,
    /// The task's path in the graph. Empty: the checkpointer does not store it.
    pub task_path: &'a str,
    /// The channel that it was written to.
    pub channel: &'a str,
    /// How the bytes are to be read.
    pub r#type: &'a str,
    /// The value.
    pub bytes: &'a [u8],
}

/// The parts of a checkpoint on which ids of tasks depend.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub(super) checkpoint_id: &'a str,
    pub(super) checkpoint_ns: &'a str,
    pub(super) step: i64,
}

impl<'a> Place<'a> {
    /// A checkpoint of this id and namespace, whose metadata has this `step`.
    #[must_use]
    pub fn new(checkpoint_id: &'a str, checkpoint_ns: &'a str, step: i64) -> Place<'a> {
        Place { checkpoint_id, checkpoint_ns, step }
    }
}

/// The state of the run at a checkpoint.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// The nodes to run next.
    pub next: Vec<String>,
    /// The tasks of the step, in the reference server's form.
    pub tasks: Vec<Value>,
    /// The pending interrupts, by task.
    pub interrupts: IndexMap<String, Vec<Value>>,
    /// Whether a task of the step has failed and has not finished since then.
    pub has_error: bool,
    finished: BTreeSet<String>,
}

impl Run {
    /// All pending interrupts.
    #[must_use]
    pub fn all_interrupts(&self) -> Vec<Value> {
        self.interrupts.values().flatten().cloned().collect()
    }

    pub(super) fn is_finished(&self, task_id: &str) -> bool {
        self.finished.contains(task_id)
    }
}

/// The state of the run at a checkpoint.
///
/// `is_live`: the current state, without finished tasks in `next` and without their interrupts in
/// `interrupts`. Otherwise it is the record of a step. `sends`: messages to single nodes in the
/// previous checkpoint, as in checkpoints older than version 4.
#[must_use]
pub fn run_of(
    document: &Document<'_>,
    values: &Values,
    writes: &[Write<'_>],
    place: Place<'_>,
    sends: &[Raw],
    is_live: bool,
    key: Option<&AesKey>,
) -> Run {
    let statuses = statuses(writes, key);
    let finished = statuses.iter().filter(|(_, status)| !status.output.is_empty());
    let finished: BTreeSet<_> = finished.map(|(id, _)| (*id).to_owned()).collect();
    let mut run = Run { finished, ..Run::default() };
    let planned = planned(document, values, sends);
    let is_alone = planned.len() == 1;
    for task in planned {
        let known = statuses.iter().find(|(id, status)| {
            task.is(id, status.path, place) || (is_alone && status.path.is_empty())
        });
        let is_finished = known.is_some_and(|(_, status)| !status.output.is_empty());
        if !(is_live && is_finished) {
            run.next.push(task.node.clone());
        }
        run.has_error |= known.is_some_and(|(_, status)| status.error.is_some() && !is_finished);
        let id = known.map(|(id, _)| (*id).to_owned()).or_else(|| task.javascript_id(place));
        let id = id.filter(|_| known.is_some() || !is_python(document));
        let interrupts = match known {
            Some((_, status)) if !(is_live && is_finished) => status.interrupts.clone(),
            _ => Vec::new(),
        };
        run.tasks.push(json!({
            "id": id,
            "name": task.node,
            "path": task.path(),
            "error": known.and_then(|(_, status)| status.error.clone()),
            "interrupts": interrupts,
            "checkpoint": null,
            "state": null,
            "result": known.filter(|_| is_finished).map(|(_, status)| status.result(document)),
        }));
        if let Some(id) = id.filter(|_| !interrupts.is_empty()) {
            run.interrupts.insert(id, interrupts);
        }
    }
    run
}

/// Versions of channels are numbers in JavaScript and texts in Python.
fn is_python(document: &Document<'_>) -> bool {
    document.channel_versions.values().any(|version| version.get().starts_with('"'))
}

/// A task of the next step.
struct Planned {
    node: String,
    /// The channel that triggers it. `None`: a message triggers it.
    trigger: Option<String>,
    /// The index of its message to a single node.
    index: usize,
}

impl Planned {
    /// Whether this task is the writer of a row.
    fn is(&self, task_id: &str, task_path: &str, place: Place<'_>) -> bool {
        if task_path.is_empty() {
            return self.javascript_id(place).is_some_and(|id| id == task_id);
        }
        let Self { node, index, .. } = self;
        match self.trigger {
            Some(_) => task_path.strip_prefix("~__pregel_pull, ") == Some(node.as_str()),
            None => task_path == format!("~{PUSH}, {index:010}, {:010}", 0),
        }
    }

    /// The id of the task in LangGraph for JavaScript.
    fn javascript_id(&self, place: Place<'_>) -> Option<String> {
        let namespace = Uuid::try_parse(place.checkpoint_id).ok()?;
        let Self { node, index, .. } = self;
        let checkpoint_ns = match place.checkpoint_ns {
            "" => node.clone(),
            outer => format!("{outer}|{node}"),
        };
        let step = (place.step + 1).to_string();
        let name = match &self.trigger {
            Some(trigger) => json!([checkpoint_ns, step, node, PULL, [trigger]]),
            None => json!([checkpoint_ns, step, node, PUSH, index.to_string()]),
        };
        Some(Uuid::new_v5(&namespace, name.to_string().as_bytes()).to_string())
    }

    fn path(&self) -> Value {
        match self.trigger {
            Some(_) => json!([PULL, self.node]),
            None => json!([PUSH, self.index, false]),
        }
    }
}

fn planned(document: &Document<'_>, values: &Values, sends: &[Raw]) -> Vec<Planned> {
    let own: Vec<Value> = values
        .channels
        .get(SENDS)
        .and_then(|sends| serde_json::from_str(sends.text()).ok())
        .unwrap_or_default();
    let sends = sends.iter().filter_map(|send| send.parse().ok());
    let nodes: Vec<_> =
        without_seen(own).into_iter().chain(sends).filter_map(|send| target(&send)).collect();
    let mut planned: Vec<_> = nodes
        .into_iter()
        .enumerate()
        .map(|(index, node)| Planned { node, trigger: None, index })
        .collect();
    let mut pulled = BTreeMap::new();
    for channel in document.channel_versions.keys() {
        let Some(node) = node_of(channel) else { continue };
        let is_unreadable = values.unreadable.contains_key(&**channel);
        let value = values.channels.get(&**channel);
        let is_ready = value.map_or(is_unreadable, |value| is_available(channel, value));
        if is_ready && document.is_news(channel, node) {
            pulled.entry(node.to_owned()).or_insert_with(|| channel.to_string());
        }
    }
    // The channel of an edge has the name of its source node, which its target has seen before.
    for (node, seen) in document.versions_seen.iter().filter(|_| document.v < 4) {
        let news = seen.keys().find(|channel| {
            let value = values.channels.get(&***channel).map(Raw::text);
            value.is_some() && document.is_mark(channel, value) && document.is_news(channel, node)
        });
        if let Some(channel) = news {
            pulled.entry(node.to_string()).or_insert_with(|| channel.to_string());
        }
    }
    let pulled = pulled.into_iter();
    planned.extend(pulled.map(|(node, trigger)| Planned {
        node,
        trigger: Some(trigger),
        index: 0,
    }));
    planned
}

/// Old libraries store two lists: one of messages that were seen, which is always empty, and one of
/// the messages to single nodes.
fn without_seen(mut sends: Vec<Value>) -> Vec<Value> {
    match sends.as_mut_slice() {
        [Value::Array(seen), Value::Array(messages)] if seen.is_empty() => std::mem::take(messages),
        _ => sends,
    }
}

/// The target node of a message.
fn target(send: &Value) -> Option<String> {
    let node = send.get("node").or_else(|| send.get(0))?;
    node.as_str().map(str::to_owned)
}

/// The node that a channel triggers.
fn node_of(channel: &str) -> Option<&str> {
    if channel == START {
        return Some(START);
    }
    if let Some(node) = channel.strip_prefix("branch:to:") {
        return Some(node);
    }
    // Older than version 4: `start:<node>` and `branch:<from>:<condition>:<node>`.
    if let Some(node) = channel.strip_prefix("start:") {
        return Some(node);
    }
    if let Some(branch) = channel.strip_prefix("branch:") {
        return Some(branch.rsplit_once(':')?.1);
    }
    channel.strip_prefix("join:").and_then(|join| Some(join.rsplit_once(':')?.1))
}

/// Whether the value of a channel triggers its node. A join waits for all of its names; the value
/// of a deferred node is a pair of which the second item must be true.
fn is_available(channel: &str, value: &Raw) -> bool {
    let parsed: Option<Value> = value.parse().ok();
    let Some(names) = channel.strip_prefix("join:").and_then(|join| Some(join.rsplit_once(':')?.0))
    else {
        let pair = parsed.as_ref().and_then(Value::as_array).filter(|pair| pair.len() == 2);
        return pair.is_none_or(|pair| pair.get(1) != Some(&Value::Bool(false)));
    };
    let Some(Value::Array(seen)) = parsed else { return false };
    let seen = match seen.as_slice() {
        [Value::Array(seen), Value::Bool(is_finished)] => {
            if !is_finished {
                return false;
            }
            seen.clone()
        }
        _ => seen,
    };
    let seen: BTreeSet<_> = seen.iter().filter_map(Value::as_str).collect();
    seen == names.split('+').collect()
}

/// The writes of a task.
#[derive(Default)]
struct Status<'a> {
    path: &'a str,
    /// Its output by channel, in order. Empty: it has not finished.
    output: Vec<(&'a str, Value)>,
    interrupts: Vec<Value>,
    error: Option<Value>,
}

impl Status<'_> {
    /// Its writes to the channels of the state. Several writes to one channel are `$writes`.
    fn result(&self, document: &Document<'_>) -> Value {
        let mut result: IndexMap<&str, Vec<Value>> = IndexMap::new();
        for (channel, value) in self.output.iter().filter(|(name, value)| {
            is_state_channel(name) && !document.is_mark(name, Some(&value.to_string()))
        }) {
            result.entry(channel).or_default().push(value.clone());
        }
        let one = |(channel, mut values): (&str, Vec<Value>)| {
            let value = match values.len() {
                1 => values.pop().unwrap_or_default(),
                _ => json!({ "$writes": values }),
            };
            (channel.to_owned(), value)
        };
        Value::Object(result.into_iter().map(one).collect())
    }
}

fn statuses<'a>(writes: &[Write<'a>], key: Option<&AesKey>) -> IndexMap<&'a str, Status<'a>> {
    let mut statuses: IndexMap<&str, Status<'_>> = IndexMap::new();
    for write in writes.iter().filter(|write| write.task_id != NULL_TASK_ID) {
        let status = statuses.entry(write.task_id).or_default();
        if !write.task_path.is_empty() {
            status.path = write.task_path;
        }
        // Values of channels that are not state are not shown.
        let is_shown = is_state_channel(write.channel) || CONTROL.contains(&write.channel);
        let value = if is_shown { shown(write, key) } else { Value::Null };
        match write.channel {
            INTERRUPT => match value {
                Value::Array(several) => {
                    status.interrupts.extend(several.into_iter().map(interrupt));
                }
                one => status.interrupts.push(interrupt(one)),
            },
            ERROR => status.error = Some(value),
            channel if CONTROL.contains(&channel) => {}
            channel => status.output.push((channel, value)),
        }
    }
    statuses
}

/// The value of a write, or the reason why it cannot be read.
fn shown(write: &Write<'_>, key: Option<&AesKey>) -> Value {
    match decode(write.r#type, write.bytes, key) {
        Ok(value) => value.and_then(|value| value.parse().ok()).unwrap_or_default(),
        Err(why) => Value::String(format!("unreadable: {why}")),
    }
}

/// An interrupt in the reference server's form, without an empty schema.
fn interrupt(mut value: Value) -> Value {
    if let Some(object) = value.as_object_mut()
        && object.get("response_schema") == Some(&Value::Null)
    {
        object.shift_remove("response_schema");
    }
    value
}
