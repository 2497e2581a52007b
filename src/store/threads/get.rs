//! Reads one thread with its newest values.

use sqlx::Row as _;
use uuid::Uuid;

use crate::authz::Scope;
use crate::store::error::MAX_STATE_ANSWER;
use crate::store::operation::{Asked, Fit, LIGHT, Operation, column, query};
use crate::store::pool::Lease;
use crate::store::sql::state::{newest_values, values_of_head, visible_messages};
use crate::store::sql::{Statement, index, visible_thread};
use crate::store::thread::thread_columns;
use crate::store::{Error, Held, Store, Thread};

/// Threads by their ids, each with its values if they have at most `max_bytes`. Null: without
/// values.
pub(in crate::store) static GET: Statement = Statement::new(
    "threads/get",
    concat!(
        "
    select ",
        thread_columns!(),
        ", asked.n,
        case
            when thread.agent_thread_id is null and thread.state_bytes > asked.max_bytes
                then thread.state_bytes
        end as unread, ",
        newest_values!("thread.state_bytes <= asked.max_bytes"),
        "
    from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::bigint[])
        with ordinality as asked (tenant, filter, thread_id, max_bytes, n)",
        visible_thread!(),
    ),
);

/// A thread to read.
#[derive(Debug, Clone)]
pub(in crate::store) struct Get {
    asked: Asked,
    thread_id: Uuid,
    /// `None`: without values.
    max_bytes: Option<i64>,
}

impl Get {
    /// A thread with values that are small enough for a batch.
    pub(super) fn new(asked: Asked, thread_id: Uuid) -> Get {
        Get { asked, thread_id, max_bytes: Some(LIGHT) }
    }

    /// The same with values of another maximum size, or without values.
    pub(super) fn with_values(self, max_bytes: Option<i64>) -> Get {
        Get { max_bytes, ..self }
    }
}

impl Operation for Get {
    type Answer = Option<Fit<Thread>>;
    const KIND: &'static str = "get";

    fn asked(&self) -> &Asked {
        &self.asked
    }

    async fn run(
        lease: &mut Lease,
        gets: &[&Get],
    ) -> Result<Vec<Result<Self::Answer, Error>>, Error> {
        let Some(first) = gets.first() else { return Ok(Vec::new()) };
        let query = query(&GET, &first.asked, gets)
            .bind(column(gets, |get| get.thread_id))
            .bind(column(gets, |get| get.max_bytes));
        let mut answers: Vec<_> = gets.iter().map(|_| Ok(None)).collect();
        for row in lease.fetch_all(query).await? {
            if let Some(answer) = answers.get_mut(index(&row, "n")?) {
                let thread = Thread::read_with_values(&row)?;
                let unread = row.try_get::<Option<i64>, _>("unread")?;
                *answer = Ok(Some(unread.map_or(Fit::Whole(thread), Fit::TooLarge)));
            }
        }
        Ok(answers)
    }
}

impl Store {
    /// One thread with its values. `None`: there is no such thread.
    pub async fn thread(
        &self,
        scope: &Scope,
        thread_id: Uuid,
    ) -> Result<Option<Held<Thread>>, Error> {
        match self.asked_about(scope, thread_id).await? {
            None => Ok(None),
            Some(asked) => self.thread_about(asked, thread_id).await,
        }
    }

    /// The same for a caller whose scope is known.
    pub(super) async fn thread_about(
        &self,
        asked: Asked,
        thread_id: Uuid,
    ) -> Result<Option<Held<Thread>>, Error> {
        let get = Get::new(asked, thread_id);
        match self.gets.answer(get.clone()).await? {
            None => Ok(None),
            Some(Fit::Whole(thread)) => {
                self.with_agent_state(&get.asked, Some(Held::light(thread))).await
            }
            Some(Fit::TooLarge(bytes)) => Box::pin(self.large_thread(get, bytes)).await,
        }
    }

    pub(super) async fn large_thread(
        &self,
        get: Get,
        bytes: i64,
    ) -> Result<Option<Held<Thread>>, Error> {
        if bytes > MAX_STATE_ANSWER {
            return Err(Error::StateUnreadable(bytes));
        }
        let memory = Some(self.memory(get.asked.holder, bytes).await);
        match self.run_alone(&get.with_values(Some(MAX_STATE_ANSWER))).await? {
            None => Ok(None),
            Some(Fit::Whole(value)) => Ok(Some(Held { value, memory })),
            // The thread has grown since.
            Some(Fit::TooLarge(bytes)) => Err(Error::StateUnreadable(bytes)),
        }
    }
}
