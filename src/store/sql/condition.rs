//! Authorization filters and the conditions of a search as SQL. The one place that compiles them.
//!
//! A condition is a text and the values in it. Keys and values of clients are never part of a
//! text: they are items of one JSON list, a column of `asked`.

use std::fmt::Write as _;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::state::NEWEST_MESSAGES;
use crate::authz::{Filter, Scope};
use crate::json::{Object, Raw};
use crate::messages::CHANNEL as MESSAGES;
use crate::store::Criteria;

/// Bytes of JSON text up to which values are compared. `jsonb` holds up to 256 MiB in one array, and
/// its form takes at most eight times the text.
const MAX_COMPARED: usize = 32 * 1024 * 1024;

/// A condition on a row of `thread`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Condition {
    /// The text. It is the same for conditions that differ in keys and values only.
    pub(in crate::store) text: Arc<str>,
    /// The JSON list of the keys and values.
    pub(in crate::store) values: String,
}

impl Condition {
    /// Whether a scope shows a thread: its filter holds, and the thread has not expired. A thread is
    /// gone for readers when its time is over, whether or not it was deleted yet.
    pub(in crate::store) fn visible(scope: &Scope) -> Condition {
        Condition::passes(scope.filter())
    }

    fn passes(filter: Option<&Filter>) -> Condition {
        let mut writer = Writer::new("filter");
        if let Some(filter) = filter {
            // Nearly all threads of a tenant pass. The planner takes an equation for rare and would
            // sort what it could read in order, but knows nothing about the result of a function.
            writer.text.push_str("coalesce(");
            writer.filter(filter);
            writer.text.push_str(", false) and ");
        }
        writer.text.push_str(
            "(thread.expires_at is null or thread.expires_at > statement_timestamp() \
             or thread.ttl_strategy = 'keep_latest')",
        );
        writer.finish()
    }

    /// The same for a filter of a test, which needs no scope.
    #[cfg(test)]
    pub(in crate::store) fn of_filter(filter: Option<&Filter>) -> Condition {
        Condition::passes(filter)
    }

    /// The conditions of a search. With `index`, the one on metadata is also spelled as the
    /// index on metadata has it.
    /// `agents`: the threads of agents whose values are known to meet the condition on values.
    pub(in crate::store) fn criteria(
        criteria: &Criteria,
        index: bool,
        agents: &[Uuid],
    ) -> Condition {
        let mut writer = Writer::new("criteria");
        writer.text.push_str("true");
        if !criteria.metadata.is_empty() {
            writer.metadata(&criteria.metadata, index);
        }
        if let Some(values) = &criteria.values {
            writer.text.push_str(" and ((thread.agent_thread_id is null");
            writer.values_of_thread(values);
            writer.text.push(')');
            if !agents.is_empty() {
                writer.text.push_str(" or ");
                writer.ids(agents);
            }
            writer.text.push(')');
        }
        if let Some(status) = criteria.status {
            let status = writer.value_text(&Raw::from(status.as_str()));
            let _ = write!(writer.text, " and thread.status = {status}");
        }
        if !criteria.ids.is_empty() {
            writer.text.push_str(" and ");
            writer.ids(&criteria.ids);
        }
        writer.finish()
    }

    /// A name for a condition, which no other has and which is the same in every instance.
    pub(in crate::store) fn fingerprint(&self) -> i64 {
        let hash = Sha256::new()
            // With its length, so that the parts cannot be taken for others.
            .chain_update(self.text.len().to_be_bytes())
            .chain_update(&*self.text)
            .chain_update(&self.values)
            .finalize();
        i64::from_be_bytes(hash.first_chunk::<8>().copied().unwrap_or_default())
    }
}

/// Whether a value contains nothing but itself.
fn is_scalar(value: &Raw) -> bool {
    !value.text().trim_start().starts_with(['{', '['])
}

/// A text that grows, and its values.
struct Writer {
    text: String,
    column: &'static str,
    values: String,
    count: usize,
}

impl Writer {
    fn new(column: &'static str) -> Writer {
        Writer { text: String::with_capacity(256), column, values: "[".to_owned(), count: 0 }
    }

    fn finish(mut self) -> Condition {
        self.values.push(']');
        Condition { text: self.text.into(), values: self.values }
    }

    /// Adds a value, given as JSON text, and answers with what stands for it.
    fn item(&mut self, json: &str) -> String {
        self.add(json, "->")
    }

    /// The same for a string that stands for itself.
    fn value_text(&mut self, string: &Raw) -> String {
        self.add(string.text(), "->>")
    }

    fn add(&mut self, json: &str, operator: &str) -> String {
        if self.count > 0 {
            self.values.push(',');
        }
        self.values.push_str(json);
        self.count += 1;
        format!("(asked.{} {operator} {})", self.column, self.count - 1)
    }

    /// One of these threads.
    fn ids(&mut self, ids: &[Uuid]) {
        let ids = ids.iter().map(|id| format!("\"{id}\"")).collect::<Vec<_>>();
        let ids = self.item(&format!("[{}]", ids.join(",")));
        let _ = write!(
            self.text,
            "thread.thread_id = any(array(\
             select id::uuid from jsonb_array_elements_text({ids}) as id))"
        );
    }

    /// The value of a key of the metadata. No metadata has a key with a NUL, and no JSON list can
    /// hold one.
    fn metadata_value(&mut self, key: &str) -> String {
        if key.contains('\0') {
            return "null::jsonb".to_owned();
        }
        let key = self.value_text(&Raw::from(key));
        format!("(thread.metadata -> {key})")
    }

    /// A condition in parentheses. What is not known to hold (a missing key is null in SQL) does
    /// not: `where` drops null as it drops false, and `not` is given no null.
    fn filter(&mut self, filter: &Filter) {
        self.text.push('(');
        match filter {
            // One look into the metadata instead of two values to take apart for each row.
            Filter::Equal { key, value } if is_scalar(value) && !key.contains('\0') => {
                let mut wanted = Object::default();
                wanted.insert(key, value.clone());
                let wanted = self.item(&wanted.to_text());
                let _ = write!(self.text, "thread.metadata @> {wanted}");
            }
            Filter::Equal { key, value } => {
                let (held, value) = (self.metadata_value(key), self.item(value.text()));
                let _ = write!(self.text, "{held} = {value}");
            }
            Filter::Contains { key, value } => {
                let (held, value) = (self.metadata_value(key), self.item(value.text()));
                let _ = write!(
                    self.text,
                    "exists (select from jsonb_array_elements(\
                     case when jsonb_typeof({held}) = 'array' then {held} end) as item \
                     where item = {value})"
                );
            }
            Filter::In { key, values } => {
                let values = values.iter().map(Raw::text).collect::<Vec<_>>().join(",");
                let held = self.metadata_value(key);
                let values = self.item(&format!("[{values}]"));
                let _ = write!(
                    self.text,
                    "exists (select from jsonb_array_elements({values}) as item \
                     where item = {held})"
                );
            }
            Filter::Exists { key } => {
                let held = self.metadata_value(key);
                let _ = write!(self.text, "{held} is not null");
            }
            Filter::All(filters) => self.joined(filters, " and "),
            Filter::Any(filters) => self.joined(filters, " or "),
            Filter::Not(filter) => {
                self.text.push_str("not coalesce(");
                self.filter(filter);
                self.text.push_str(", false)");
            }
        }
        self.text.push(')');
    }

    fn joined(&mut self, filters: &[Filter], word: &str) {
        if filters.is_empty() {
            self.text.push_str("false");
        }
        for (number, filter) in filters.iter().enumerate() {
            if number > 0 {
                self.text.push_str(word);
            }
            self.filter(filter);
        }
    }

    fn metadata(&mut self, metadata: &Object, index: bool) {
        let value = self.item(&metadata.to_text());
        let _ = write!(self.text, " and thread.metadata @> {value}");
        let is_indexed = metadata.iter().any(|(key, _)| key != "owner");
        if index && is_indexed {
            let _ = write!(
                self.text,
                " and jsonb_set('{{}}', array[thread.tenant::text], thread.metadata - 'owner') \
                 @> jsonb_set('{{}}', array[asked.tenant::text], {value} - 'owner')"
            );
        }
    }

    /// Whether the newest values of a thread contain an object, channel by channel: only those that
    /// are asked for are read. Values that are too large to be compared do not match.
    fn values_of_thread(&mut self, values: &Object) {
        self.text.push_str(
            " and exists (select from ( \
                 select * from thread_store.checkpoint \
                 where thread.last_seq > 0 and checkpoint.tenant = asked.tenant \
                     and checkpoint.thread_id = thread.thread_id \
                     and checkpoint.checkpoint_ns = '' \
                 order by checkpoint.checkpoint_id desc limit 1 \
             ) as head where true",
        );
        for (channel, value) in values.iter() {
            let mut wanted = Object::default();
            wanted.insert(channel, value.clone());
            let (key, wanted) =
                (self.value_text(&Raw::from(channel)), self.item(&wanted.to_text()));
            if channel == MESSAGES {
                let _ = write!(
                    self.text,
                    " and head.state_bytes < {MAX_COMPARED} \
                     and jsonb_build_object({key}, ({NEWEST_MESSAGES})) @> {wanted}"
                );
            } else {
                let _ = write!(
                    self.text,
                    " and exists (select from thread_store.channel_value \
                     where channel_value.tenant = asked.tenant \
                         and channel_value.thread_id = thread.thread_id \
                         and channel_value.seq = (head.channels -> {key} ->> 0)::bigint \
                         and channel_value.channel = {key} \
                         and (head.channels -> {key} ->> 1)::bigint < {MAX_COMPARED} \
                         and jsonb_build_object({key}, channel_value.value::jsonb) @> {wanted})"
                );
            }
        }
        self.text.push(')');
    }
}
