//! Copying a thread.

use sqlx::Row as _;
use uuid::Uuid;

use crate::authz::Scope;
use crate::store::agent::copy_of_agent;
use crate::store::operation::{Asked, Fit, run_one};
use crate::store::pool::Lease;
use crate::store::sql::{Statement, later};
use crate::store::threads::create::NewThread;
use crate::store::threads::get::Get;
use crate::store::{Error, Held, Store, Thread};

/// The thread to copy. During this transaction its history cannot be pruned, but may grow.
pub(in crate::store) static LOCK_SOURCE: Statement = Statement::new(
    "threads/lock_source",
    "
    select thread.last_seq, thread.state_bytes, thread.stored_bytes
    from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
        with ordinality as asked (tenant, filter, thread_id, n)
    cross join lateral (
        select *
        from thread_store.thread
        where thread.tenant = asked.tenant
            and thread.thread_id = asked.thread_id
            and {visible}
        for key share
    ) as thread",
);

/// The copy of a thread's row. Rows of state never change, so those with a `seq` up to `last_seq`
/// are a snapshot of the thread, even after later writes and across statements.
pub(in crate::store) static COPY: Statement = Statement::new(
    "threads/copy",
    concat!(
        "
    with entered as (
        insert into thread_store.thread_directory (thread_id, tenant) values ($5, $4)
    )
    insert into thread_store.thread (
        tenant, thread_id, created_at, updated_at, state_updated_at, metadata, last_seq,
        state_bytes, stored_bytes, ttl_minutes, ttl_strategy, expires_at
    )
    select $4, $5, moment, moment, moment, source.metadata || $6::text::jsonb, $3, $7, $8,
        $9::float8, $10, moment + make_interval(secs => $9::float8 * 60)
    from thread_store.thread as source
    cross join lateral greatest(statement_timestamp(), ",
        later!("source.state_updated_at"),
        ") as moment
    where source.tenant = $1 and source.thread_id = $2",
    ),
);

/// Copies a thread's rows of one table of state.
macro_rules! copy {
    ($table:literal, $columns:literal) => {
        Statement::new(
            concat!("threads/copy_", $table),
            concat!(
                "
    insert into thread_store.",
                $table,
                " (tenant, thread_id, ",
                $columns,
                ")
    select $4, $5, ",
                $columns,
                "
    from thread_store.",
                $table,
                " as source
    where source.tenant = $1 and source.thread_id = $2 and source.seq <= $3"
            ),
        )
    };
}

/// Copies a thread's state, table by table.
pub(in crate::store) static COPY_STATE: [Statement; 3] = [
    copy!(
        "checkpoint",
        "checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq, created_at, metadata, channels, \
         branch, messages_start, messages_end, ancestors, state_bytes"
    ),
    copy!("channel_value", "seq, channel, value"),
    copy!("message", "branch, position, seq, message_id, message"),
];

impl Store {
    /// Copies a thread with its state and history to `new`, for `owner`. `None`: there is no such
    /// thread.
    ///
    /// The new metadata overrides keys of the original's. Checkpoints keep their ids. The copy has
    /// its own timestamps and ttl, and is idle. A copy that would not be visible in `scope` is not
    /// created. If the thread is written to at the same time, the copy is a complete snapshot from
    /// before or after that write.
    pub async fn copy_thread(
        &self,
        scope: &Scope,
        owner: &Scope,
        thread_id: Uuid,
        new: &NewThread,
    ) -> Result<Option<Held<Thread>>, Error> {
        let Some(asked) = self.asked_about(scope, thread_id).await? else { return Ok(None) };
        let (mut transaction, _guard) = match self.begin_creating(owner).await {
            Err(at_quota @ Error::TooManyThreads(_)) => {
                let source = self.progress(scope, thread_id).await?;
                return source.map_or(Ok(None), |_| Err(at_quota));
            }
            begun => begun?,
        };
        let Some(source) = Source::lock(&mut transaction, &asked, thread_id).await? else {
            return Ok(None);
        };
        if let Some(max) = self.quotas.state_bytes.filter(|max| source.stored_bytes > *max) {
            return Err(Error::StateTooLarge(max));
        }
        let (home, copy_id) = (owner.home().number(), new.thread_id);
        let bind = |statement: &Statement| {
            let query = sqlx::query(statement.text()).bind(asked.tenant).bind(thread_id);
            query.bind(source.last_seq).bind(home).bind(copy_id)
        };
        let copy = bind(&COPY).bind(new.metadata.to_text());
        let copy = copy.bind(source.state_bytes).bind(source.stored_bytes);
        let copy = copy.bind(new.ttl.map(|ttl| ttl.minutes));
        let copy = copy.bind(new.ttl.map(|ttl| ttl.strategy.as_str()));
        transaction.execute(copy).await?;
        for statement in &COPY_STATE {
            transaction.execute(bind(statement)).await?;
        }
        let from = (asked.tenant, thread_id);
        copy_of_agent(&mut transaction, from, (home, copy_id)).await?;
        if scope.tenant().is_some_and(|tenant| tenant.number() != home) {
            return Ok(None);
        }
        let get = Get::new(self.asked_within(scope, home), copy_id);
        let Some(copied) = run_one(&mut transaction, &get).await? else { return Ok(None) };
        transaction.commit().await?;
        self.digests.add(home, copy_id);
        match copied {
            Fit::Whole(thread) => {
                let asked = self.asked_within(scope, home);
                self.with_agent_state(&asked, Some(Held::light(thread))).await
            }
            Fit::TooLarge(bytes) => self.large_thread(get, bytes).await,
        }
    }
}

/// The parts of a thread that are copied.
#[derive(Debug, Clone, Copy)]
struct Source {
    last_seq: i64,
    state_bytes: i64,
    stored_bytes: i64,
}

impl Source {
    async fn lock(
        transaction: &mut Lease,
        asked: &Asked,
        thread_id: Uuid,
    ) -> Result<Option<Source>, Error> {
        let query = asked.query(&LOCK_SOURCE).bind(vec![thread_id]);
        let Some(row) = transaction.fetch_optional(query).await? else { return Ok(None) };
        Ok(Some(Source {
            last_seq: row.try_get("last_seq")?,
            state_bytes: row.try_get("state_bytes")?,
            stored_bytes: row.try_get("stored_bytes")?,
        }))
    }
}
