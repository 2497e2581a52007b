//! Changes a thread's own row: its metadata and its ttl.

use sqlx::Row as _;
use uuid::Uuid;

use crate::authz::Scope;
use crate::json::Object;
use crate::store::digest::TITLE;
use crate::store::keyed_lock::Guard;
use crate::store::operation::{Asked, Operation, column, query, run_one};
use crate::store::pool::Lease;
use crate::store::sql::{Statement, index, later};
use crate::store::thread::thread_columns;
use crate::store::thread_lock::lock;
use crate::store::{Error, Held, Store, Strategy, Thread};

/// Changes those of these threads that exist, are visible and are not locked.
///
/// Values are read by a [`Get`](super::Get) afterwards. Parts that read them would take half as
/// long to set up as the rest of the statement, and be useless for a thread without state.
pub(in crate::store) static PATCH: Statement = Statement::new(
    "threads/patch",
    concat!(
        "
    with mine as (
        select asked.*, statement_timestamp() as moment
        from unnest(
            $1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::text[]::jsonb[], $5::float8[],
            $6::text[], $7::bool[]
        ) with ordinality as asked (
            tenant, filter, thread_id, metadata, ttl_minutes, ttl_strategy, clears_ttl, n
        )
        cross join lateral (
            select
            from thread_store.thread
            where thread.tenant = asked.tenant
                and thread.thread_id = asked.thread_id
                and {visible}
            for no key update skip locked
        ) as thread
    ),
    thread as (
        update thread_store.thread
        set metadata = thread.metadata || mine.metadata,
            updated_at = greatest(mine.moment, ",
        later!("thread.updated_at"),
        "),
            ttl_minutes = case
                when mine.clears_ttl then null
                else coalesce(mine.ttl_minutes, thread.ttl_minutes)
            end,
            ttl_strategy = case
                when mine.clears_ttl then null
                when coalesce(mine.ttl_minutes, thread.ttl_minutes) is null then null
                when mine.ttl_minutes is null then coalesce(mine.ttl_strategy, thread.ttl_strategy)
                else coalesce(mine.ttl_strategy, thread.ttl_strategy, 'delete')
            end,
            expires_at = case
                when mine.clears_ttl then null
                when mine.ttl_minutes is null then thread.expires_at
                else (
                    (mine.moment at time zone 'UTC')
                    + make_interval(secs => mine.ttl_minutes * 60)
                ) at time zone 'UTC'
            end
        from mine
        where thread.tenant = mine.tenant and thread.thread_id = mine.thread_id
        returning thread.*, mine.n
    )
    select ",
        thread_columns!(),
        ", thread.n, thread.last_seq > 0 as has_state
    from thread",
    ),
);

/// The changes.
#[derive(Debug, Clone, Default)]
pub struct Patch {
    /// Merged into the metadata, key by key at the top level.
    pub metadata: Object,
    /// The change of the ttl. `None`: unchanged.
    pub ttl: Option<TtlChange>,
}

/// A change of a thread's ttl.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TtlChange {
    /// A new time in minutes from now on, with a new strategy or the current one.
    Minutes(f64, Option<Strategy>),
    /// A new strategy. The end does not change.
    Strategy(Strategy),
    /// The ttl is removed.
    Clear,
}

/// A change of one thread.
#[derive(Debug)]
pub(in crate::store) struct Change {
    asked: Asked,
    thread_id: Uuid,
    metadata: String,
    ttl: Option<TtlChange>,
    /// Held until the change is done, so that no two changes of one thread share a statement.
    _guard: Option<Guard<(Uuid, i64)>>,
}

/// A thread that was changed.
#[derive(Debug)]
pub(in crate::store) struct Changed {
    thread: Thread,
    /// Whether state was ever written. Its values were not read.
    has_state: bool,
}

/// `None`: there is no such thread, or it is locked.
impl Operation for Change {
    type Answer = Option<Changed>;
    const KIND: &'static str = "patch";

    fn asked(&self) -> &Asked {
        &self.asked
    }

    fn weight(&self) -> usize {
        1 + self.metadata.len() / 8192
    }

    async fn run(
        lease: &mut Lease,
        changes: &[&Change],
    ) -> Result<Vec<Result<Self::Answer, Error>>, Error> {
        let Some(first) = changes.first() else { return Ok(Vec::new()) };
        let minutes = |change: &Change| match change.ttl {
            Some(TtlChange::Minutes(minutes, _)) => Some(minutes),
            _ => None,
        };
        let strategy = |change: &Change| match change.ttl {
            Some(TtlChange::Minutes(_, strategy)) => strategy.map(Strategy::as_str),
            Some(TtlChange::Strategy(strategy)) => Some(strategy.as_str()),
            _ => None,
        };
        let query = query(&PATCH, &first.asked, changes)
            .bind(column(changes, |change| change.thread_id))
            .bind(column(changes, |change| change.metadata.as_str()))
            .bind(column(changes, minutes))
            .bind(column(changes, strategy))
            .bind(column(changes, |change| change.ttl == Some(TtlChange::Clear)));
        let mut answers: Vec<_> = changes.iter().map(|_| Ok(None)).collect();
        for row in lease.fetch_all(query).await? {
            if let Some(answer) = answers.get_mut(index(&row, "n")?) {
                let (thread, has_state) = (Thread::read(&row)?, row.try_get("has_state")?);
                *answer = Ok(Some(Changed { thread, has_state }));
            }
        }
        Ok(answers)
    }
}

impl Store {
    /// Changes a thread. `None`: there is no such thread. `with_values`: whether to read its
    /// values. There are none if the caller can no longer see the thread, because it was deleted or
    /// has expired, or because the change moved it out of the scope.
    pub async fn update_thread(
        &self,
        scope: &Scope,
        thread_id: Uuid,
        patch: &Patch,
        with_values: bool,
    ) -> Result<Option<Held<Thread>>, Error> {
        let Some(asked) = self.asked_about(scope, thread_id).await? else { return Ok(None) };
        let guard = self.writers.lock((thread_id, asked.fingerprint())).await;
        let (metadata, ttl) = (patch.metadata.to_text(), patch.ttl);
        let change = |guard| Change {
            asked: asked.clone(),
            thread_id,
            metadata: metadata.clone(),
            ttl,
            _guard: guard,
        };
        let mut changed = self.changes_of_threads.answer(change(Some(guard))).await?;
        if changed.is_none() {
            changed = Box::pin(self.change_locked(&change(None))).await?;
        }
        if patch.metadata.get(TITLE).is_some() && changed.is_some() {
            self.digests.add(asked.tenant, thread_id);
        }
        let Some(Changed { thread, has_state }) = changed else { return Ok(None) };
        if !with_values {
            return Ok(Some(Held::light(thread)));
        }
        if thread.is_agents || !has_state {
            return self.with_agent_state(&asked, Some(Held::light(thread))).await;
        }
        let found = self.thread_about(asked, thread_id).await?;
        // The row is that of this change. Since then another change may have followed, or another
        // thread may have taken the id.
        let found = found.filter(|found| found.value.created_at == thread.created_at);
        Ok(Some(match found {
            None => Held::light(thread),
            Some(found) if found.value.is_agents => found,
            Some(found) => found.map(|found| Thread {
                values: found.values,
                state_updated_at: found.state_updated_at,
                ..thread
            }),
        }))
    }

    /// Changes a locked thread after its lock is released.
    async fn change_locked(&self, change: &Change) -> Result<Option<Changed>, Error> {
        let mut transaction = self.pool.begin(change.asked.holder).await?;
        if !lock(&mut transaction, &change.asked, change.thread_id).await? {
            return Ok(None);
        }
        let changed = run_one(&mut transaction, change).await?;
        transaction.commit().await?;
        Ok(changed)
    }
}
