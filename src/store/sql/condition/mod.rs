//! Compiles authorization filters and the conditions of a search to SQL. No other module does.
//!
//! A condition is a text and its values. Clients' keys and values are never part of a text: they
//! are items of one JSON list, a column of `asked`. If a condition is only that metadata contains an
//! object, the column is that object.

mod filter;

use std::fmt::Write as _;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::state::NEWEST_MESSAGES;
use crate::authz::{Filter, Scope};
use crate::json::{Object, Raw};
use crate::messages::CHANNEL as MESSAGES;
use crate::store::Criteria;
use crate::store::criteria::AgentsValues;
use crate::text::Query;
use filter::Spelling;

/// Maximum bytes of JSON text that is compared. `jsonb` holds up to 256 MiB in one array, and is at
/// most eight times as large as the text.
const MAX_COMPARED: usize = 32 * 1024 * 1024;

/// A condition on a row of `thread`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Condition {
    /// The text. It is the same for conditions that differ only in keys and values.
    pub(in crate::store) text: Arc<str>,
    /// The JSON list of the keys and values, or the object that the metadata must contain.
    pub(in crate::store) values: String,
}

impl Condition {
    /// Whether a thread is visible in a scope: its filter holds, and the thread has not expired.
    /// Readers do not see an expired thread, whether or not it was deleted yet.
    pub(in crate::store) fn visible(scope: &Scope) -> Condition {
        Condition::passes(scope.filter())
    }

    fn passes(filter: Option<&Filter>) -> Condition {
        let mut writer = Writer::new("filter");
        // The filter of almost every policy. Its value is a parameter, which is cheaper than an
        // item of a list for each row.
        let wanted = filter.and_then(Filter::contained);
        if wanted.is_some() {
            writer.text.push_str("coalesce(thread.metadata @> asked.filter, false) and ");
        } else if let Some(filter) = filter {
            // Almost all threads of a tenant pass. The planner assumes that an equality is rare and
            // would sort rows that it could read in order, but it assumes nothing about the result
            // of a function.
            writer.text.push_str("coalesce(");
            writer.filter(filter);
            writer.text.push_str(", false) and ");
        }
        writer.text.push_str(
            "(thread.expires_at is null or thread.expires_at > statement_timestamp() \
             or thread.ttl_strategy = 'keep_latest')",
        );
        let Condition { text, values } = writer.finish();
        Condition { text, values: wanted.map_or(values, |wanted| wanted.to_text()) }
    }

    /// The same for a filter in a test, without a scope.
    #[cfg(test)]
    pub(in crate::store) fn of_filter(filter: Option<&Filter>) -> Condition {
        Condition::passes(filter)
    }

    /// The conditions of a search. With `index`, the condition on metadata is also in the form of
    /// the index on metadata. `agents`: the values of agents' threads that the search has read.
    pub(in crate::store) fn criteria(
        criteria: &Criteria,
        index: bool,
        agents: &AgentsValues,
    ) -> Condition {
        if !index && let Some(wanted) = criteria.contained() {
            // A parameter is cheaper than an item of a list for each row.
            let text = "true and thread.metadata @> asked.criteria".into();
            return Condition { text, values: wanted.text().to_owned() };
        }
        Condition::of(criteria, index, agents, Writer::new("criteria"))
    }

    /// The same for a statement that joins digests. Digests that the search made itself, a JSON
    /// object, are the first of the values.
    pub(in crate::store) fn criteria_with_digests(
        criteria: &Criteria,
        agents: &AgentsValues,
        fresh: &str,
    ) -> Condition {
        let mut writer = Writer::new("criteria");
        writer.item(fresh);
        Condition::of(criteria, true, agents, writer)
    }

    fn of(
        criteria: &Criteria,
        index: bool,
        agents: &AgentsValues,
        mut writer: Writer,
    ) -> Condition {
        writer.text.push_str("true");
        if !criteria.metadata.is_empty() {
            writer.metadata(&criteria.metadata, index);
        }
        if let Some(values) = &criteria.values {
            writer.text.push_str(" and ((thread.agent_thread_id is null");
            writer.values_of_thread(values);
            writer.text.push(')');
            if !agents.matching.is_empty() {
                writer.text.push_str(" or ");
                writer.ids(&agents.matching);
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
        if let Some(filter) = &criteria.filter {
            writer.agents_values = agents.of_filter.as_ref().map(|values| {
                let values =
                    values.iter().map(|(id, values)| format!("\"{id}\":{}", values.text()));
                let values = values.collect::<Vec<_>>().join(",");
                writer.item(&format!("{{{values}}}"));
                writer.count - 1
            });
            writer.text.push_str(" and ");
            writer.search_filter(filter, Spelling { index });
        }
        if criteria.is_about_digests() {
            writer.text.push_str(" and thread.has_digest");
        }
        if let Some(query) = &criteria.query {
            writer.query(query);
        }
        writer.finish()
    }

    /// A unique name of a condition, which is the same in every instance.
    pub(in crate::store) fn fingerprint(&self) -> i64 {
        let hash = Sha256::new()
            // With the length of the text, so that different parts cannot give the same input.
            .chain_update(self.text.len().to_be_bytes())
            .chain_update(&*self.text)
            .chain_update(&self.values)
            .finalize();
        i64::from_be_bytes(hash.first_chunk::<8>().copied().unwrap_or_default())
    }
}

impl Filter {
    /// The object that metadata must contain, if that is the whole filter. A list or an object is
    /// also contained in values that do not equal it.
    fn contained(&self) -> Option<Object> {
        let Filter::Equal { key, value } = self else { return None };
        let is_scalar = !value.text().trim_start().starts_with(['{', '[']);
        let mut wanted = Object::default();
        wanted.insert(key, value.clone());
        (is_scalar && !key.contains('\0')).then_some(wanted)
    }
}

/// The text of a condition while it is written, and its values.
struct Writer {
    text: String,
    column: &'static str,
    values: String,
    count: usize,
    /// The index of the item with the values of agents' threads.
    agents_values: Option<usize>,
}

impl Writer {
    fn new(column: &'static str) -> Writer {
        let text = String::with_capacity(256);
        Writer { text, column, values: "[".to_owned(), count: 0, agents_values: None }
    }

    fn finish(mut self) -> Condition {
        self.values.push(']');
        Condition { text: self.text.into(), values: self.values }
    }

    /// Adds a value as JSON text, and returns the SQL expression for it.
    fn item(&mut self, json: &str) -> String {
        self.add(json, "->")
    }

    /// The same for a string as SQL text.
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

    /// Whether the thread is one of these.
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
    /// contain one.
    fn metadata_value(&mut self, key: &str) -> String {
        if key.contains('\0') {
            return "null::jsonb".to_owned();
        }
        let key = self.value_text(&Raw::from(key));
        format!("(thread.metadata -> {key})")
    }

    /// A condition in parentheses. An unknown result (a missing key is null in SQL) counts as
    /// false: `where` drops null like false, and `not` is never applied to null.
    fn filter(&mut self, filter: &Filter) {
        self.text.push('(');
        match filter {
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
        if !index {
            let _ = write!(self.text, " and thread.metadata @> {value}");
            return;
        }
        // A planner that knows the value would estimate this from the metadata of all users. It
        // assumes nothing about the result of a function.
        let _ = write!(self.text, " and coalesce(thread.metadata @> {value}, false)");
        if metadata.iter().any(|(key, _)| key != "owner") {
            let _ = write!(
                self.text,
                " and jsonb_set('{{}}', array[thread.tenant::text], thread.metadata - 'owner') \
                 @> jsonb_set('{{}}', array[asked.tenant::text], {value} - 'owner')"
            );
        }
    }

    /// Whether words occur in the text of a thread: in the text that the search has read, or else
    /// in the stored text.
    fn query(&mut self, query: &Query) {
        let with = query.with.iter().map(|word| (word, ""));
        for (word, not) in with.chain(query.without.iter().map(|word| (word, "not "))) {
            let word = self.value_text(&Raw::from(word.as_str()));
            let _ = write!(
                self.text,
                " and {not}(case when thread.fresh_text is null then exists ( \
                     select from thread_store.digest_text \
                     where digest_text.tenant = asked.tenant \
                         and digest_text.thread_id = thread.thread_id \
                         and strpos(digest_text.text, {word}) > 0 \
                 ) else strpos(thread.fresh_text, {word}) > 0 end)"
            );
        }
    }

    /// Whether the newest values of a thread contain an object, channel by channel. Only the
    /// channels of the object are read. Values that are too large to compare do not match.
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
