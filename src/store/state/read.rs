//! Reading state: one checkpoint, or a page of a thread's history.
//!
//! A row that several checkpoints of a page show is read once. The checkpoints are assembled here.

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::checkpoint::{AsOf, Channels, History, Position, Selection};
use super::pages::{READ, READ_ONE};
use super::states::{list, state, states};
use crate::authz::Scope;
use crate::store::error::MAX_STATE_ANSWER;
use crate::store::operation::{Asked, LIGHT, MAX_PAGE, Operation, column, query};
use crate::store::pool::Lease;
use crate::store::sql::{Order, index};
use crate::store::{Error, Held, Store};

/// Maximum number of reads of a large page that grows in between.
const ATTEMPTS: usize = 3;

/// A page of checkpoints to read.
#[derive(Debug, Clone)]
pub(in crate::store) struct ReadStates {
    pub(in crate::store) asked: Asked,
    pub(in crate::store) thread_id: Uuid,
    pub(in crate::store) checkpoint_ns: String,
    pub(in crate::store) oldest: Uuid,
    pub(in crate::store) newest: Uuid,
    pub(in crate::store) behind_seq: i64,
    pub(in crate::store) metadata: Option<String>,
    pub(in crate::store) limit: i64,
    pub(in crate::store) channels: Channels,
    pub(in crate::store) max_bytes: i64,
}

/// The outcome of reading a page.
#[derive(Debug)]
pub(in crate::store) enum Outcome {
    Page(History),
    /// The page has more than the maximum number of bytes. These are the bytes of its checkpoints.
    TooLarge(Vec<i64>),
}

impl Operation for ReadStates {
    type Answer = Option<Outcome>;
    const KIND: &'static str = "read_state";

    fn asked(&self) -> &Asked {
        &self.asked
    }

    fn weight(&self) -> usize {
        let conditions = if self.metadata.is_some() { 16 } else { 0 };
        1 + conditions + usize::try_from(self.limit / 8).unwrap_or(0)
    }

    async fn run(
        lease: &mut Lease,
        reads: &[&ReadStates],
    ) -> Result<Vec<Result<Self::Answer, Error>>, Error> {
        let Some(first) = reads.first() else { return Ok(Vec::new()) };
        let statement = if first.is_one() { &READ_ONE } else { &READ };
        let query = query(statement, &first.asked, reads)
            .bind(column(reads, |read| read.thread_id))
            .bind(column(reads, |read| read.checkpoint_ns.as_str()))
            .bind(column(reads, |read| read.oldest))
            .bind(column(reads, |read| read.newest))
            .bind(column(reads, |read| read.behind_seq))
            .bind(column(reads, |read| read.metadata.as_deref()))
            .bind(column(reads, |read| read.limit))
            .bind(column(reads, |read| read.channels != Channels::None))
            .bind(column(reads, ReadStates::selected))
            .bind(column(reads, |read| read.max_bytes));
        let mut answers: Vec<_> = reads.iter().map(|_| Ok(None)).collect();
        for row in lease.fetch_all(query).await? {
            let place = index(&row, "n")?;
            if let (Some(read), Some(answer)) = (reads.get(place), answers.get_mut(place)) {
                *answer = Ok(Some(read.outcome(&row)?));
            }
        }
        Ok(answers)
    }
}

impl ReadStates {
    /// The names of the selected channels, as a JSON list. `None`: all.
    fn selected(&self) -> Option<String> {
        match &self.channels {
            Channels::Only(names) => Some(serde_json::Value::from(names.as_slice()).to_string()),
            Channels::None | Channels::All => None,
        }
    }

    /// Whether the statement for one checkpoint answers it.
    fn is_one(&self) -> bool {
        self.asked.key.statement == READ_ONE.name
    }

    fn outcome(&self, row: &PgRow) -> Result<Outcome, sqlx::Error> {
        let created_at = row.try_get("thread_created_at")?;
        let is_agents = row.try_get("is_agents")?;
        let page = |checkpoints| {
            Outcome::Page(History { created_at, checkpoints, is_cut: false, is_agents })
        };
        // State that the thread had before an agent wrote it is not its state any more.
        if is_agents {
            return Ok(page(Vec::new()));
        }
        let sizes: Vec<i64> = if self.is_one() {
            Vec::from_iter(row.try_get::<Option<i64>, _>("bytes")?)
        } else {
            list(row, "sizes")?
        };
        if sizes.iter().sum::<i64>() > self.max_bytes {
            return Ok(Outcome::TooLarge(sizes));
        }
        let checkpoints = if self.is_one() {
            Vec::from_iter(state(row, self.thread_id)?)
        } else {
            states(row, self.thread_id, &self.channels)?
        };
        Ok(page(checkpoints))
    }
}

impl Store {
    /// The newest `limit` checkpoints of a selection, newest first. `None`: there is no such
    /// thread.
    pub async fn checkpoints(
        &self,
        scope: &Scope,
        thread_id: Uuid,
        selection: &Selection,
        limit: i64,
        channels: &Channels,
    ) -> Result<Option<Held<History>>, Error> {
        let Some(asked) = self.asked_about(scope, thread_id).await? else { return Ok(None) };
        let before = selection.before.map(|before| before.as_u128().saturating_sub(1));
        let newest = selection.checkpoint_id.unwrap_or(Uuid::max()).as_u128();
        let metadata = &selection.metadata;
        let read = ReadStates {
            asked,
            thread_id,
            checkpoint_ns: selection.checkpoint_ns.clone(),
            oldest: selection.checkpoint_id.unwrap_or_default(),
            newest: Uuid::from_u128(before.map_or(newest, |before| before.min(newest))),
            behind_seq: 0,
            metadata: (!metadata.is_empty()).then(|| metadata.to_text()),
            limit,
            channels: channels.clone(),
            max_bytes: LIGHT,
        };
        let as_of = if selection.is_now { AsOf::NowWithWrites } else { AsOf::Step };
        self.read_states(read, false, as_of).await
    }

    /// Up to `limit` checkpoints of the root namespace after a position, in the order of writing.
    /// `None`: there is no such thread, or it is a later one with the same id.
    pub async fn checkpoints_since(
        &self,
        scope: &Scope,
        thread_id: Uuid,
        position: &Position,
        limit: i64,
    ) -> Result<Option<Held<History>>, Error> {
        let Some(asked) = self.asked_about(scope, thread_id).await? else { return Ok(None) };
        let read = ReadStates {
            asked,
            thread_id,
            checkpoint_ns: String::new(),
            oldest: position.not_before,
            newest: Uuid::max(),
            behind_seq: position.seq,
            metadata: None,
            limit,
            channels: Channels::All,
            max_bytes: LIGHT,
        };
        let found = self.read_states(read, true, AsOf::Step).await?;
        Ok(found.filter(|found| found.value.created_at == position.created_at))
    }

    async fn read_states(
        &self,
        mut read: ReadStates,
        ascending: bool,
        as_of: AsOf,
    ) -> Result<Option<Held<History>>, Error> {
        // Only the direction is used.
        read.asked.key.holes.order = Some(Order { key: "", r#type: "", ascending });
        if read.limit == 1 && !ascending && !matches!(read.channels, Channels::Only(_)) {
            read.asked.key.statement = READ_ONE.name;
        }
        match self.reads.answer(read.clone()).await? {
            None => Ok(None),
            Some(Outcome::Page(history)) if history.is_agents => {
                Box::pin(self.agent_history(read, history, ascending, as_of)).await
            }
            Some(Outcome::Page(history)) => Ok(Some(Held::light(history))),
            Some(Outcome::TooLarge(sizes)) => Box::pin(self.read_alone(read, sizes)).await,
        }
    }

    /// The first checkpoints of a large page, as many as an answer may have. `sizes`: their bytes.
    async fn read_alone(
        &self,
        mut read: ReadStates,
        mut sizes: Vec<i64>,
    ) -> Result<Option<Held<History>>, Error> {
        let mut is_cut = false;
        for _ in 0..ATTEMPTS {
            let (kept, bytes) = fitting(&sizes);
            if bytes > MAX_STATE_ANSWER {
                return Err(Error::StateUnreadable(bytes));
            }
            is_cut |= kept < sizes.len();
            read.limit = i64::try_from(kept).unwrap_or(i64::MAX);
            // With room for state that is written before this read.
            read.max_bytes = (bytes + bytes / 4 + LIGHT).min(MAX_STATE_ANSWER);
            let memory = Some(self.memory(read.asked.holder, read.max_bytes).await);
            match self.run_alone(&read).await? {
                None => return Ok(None),
                Some(Outcome::Page(history)) => {
                    return Ok(Some(Held { value: History { is_cut, ..history }, memory }));
                }
                // Much larger checkpoints were written since.
                Some(Outcome::TooLarge(again)) => sizes = again,
            }
        }
        Err(Error::Overloaded)
    }
}

/// The number of checkpoints of these sizes that an answer may have, at least one, and their bytes.
fn fitting(sizes: &[i64]) -> (usize, i64) {
    let first = sizes.first().copied().unwrap_or(0);
    let mut fitting = (1, first);
    for size in sizes.iter().skip(1) {
        if fitting.1 + size > MAX_PAGE {
            break;
        }
        fitting = (fitting.0 + 1, fitting.1 + size);
    }
    fitting
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_as_many_checkpoints_as_fit_and_at_least_one() {
        assert_eq!(fitting(&[MAX_PAGE + 1, 1]), (1, MAX_PAGE + 1));
        assert_eq!(fitting(&[MAX_PAGE - 1, 1, 1]), (2, MAX_PAGE));
        assert_eq!(fitting(&[1, 2, 3]), (3, 6));
    }
}
