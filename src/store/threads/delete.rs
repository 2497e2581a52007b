//! Deleting threads, of any length.
//!
//! A short thread is deleted with its state in one statement. A long one would exceed the time of a
//! request: it is hidden at once, as if it had expired, and its rows are erased in the background,
//! some thousand at a time.

use sqlx::Row as _;
use uuid::Uuid;

use crate::authz::Scope;
use crate::shares::Holder;
use crate::store::agent::erase_expired_rows;
use crate::store::operation::{Asked, Operation, column, query};
use crate::store::pool::{Account, Lease};
use crate::store::sql::{Statement, index};
use crate::store::thread::ERASE_THREAD;
use crate::store::{Error, Store};

/// Maximum bytes of state of a short thread.
const SHORT_BYTES: i64 = 4 * 1024 * 1024;
/// Maximum number of checkpoints of a short thread.
const SHORT_CHECKPOINTS: i64 = 2_000;
/// Maximum number of threads that one statement deletes.
const TOGETHER: usize = 128;
/// Maximum number of rows of one table that are erased at once.
const ROWS: i64 = 5_000;

/// Deletes short threads with all of their rows.
pub(in crate::store) static DELETE: Statement = Statement::new(
    "threads/delete",
    "
    with asked as (
        select *
        from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[], $4::bigint[], $5::bigint[])
            with ordinality as asked (tenant, filter, thread_id, max_bytes, max_checkpoints, n)
    ),
    gone as (
        delete from thread_store.thread
        using asked
        where thread.tenant = asked.tenant
            and thread.thread_id = asked.thread_id
            and thread.agent_thread_id is null
            and thread.stored_bytes <= asked.max_bytes
            and thread.last_seq <= asked.max_checkpoints
            and {visible}
        returning asked.n, thread.thread_id
    ),
    forgotten as (
        delete from thread_store.thread_directory
        using gone
        where thread_directory.thread_id = gone.thread_id
    )
    select n from gone",
);

/// Hides threads of any length from all readers.
pub(in crate::store) static HIDE: Statement = Statement::new(
    "threads/hide",
    "
    with asked as (
        select *
        from unnest($1::bigint[], $2::text[]::jsonb[], $3::uuid[])
            with ordinality as asked (tenant, filter, thread_id, n)
    )
    update thread_store.thread
    set ttl_strategy = 'delete', expires_at = '-infinity'
    from asked
    where thread.tenant = asked.tenant
        and thread.thread_id = asked.thread_id
        and thread.agent_thread_id is null
        and {visible}
    returning asked.n",
);

/// Locks an expired thread against other erasers, and reads its length.
pub(in crate::store) static LOCK_EXPIRED: Statement = Statement::new(
    "threads/lock_expired",
    "
    select thread.stored_bytes <= $3 and thread.last_seq <= $4 as is_short
    from thread_store.thread
    where thread.tenant = $1
        and thread.thread_id = $2
        and thread.ttl_strategy = 'delete'
        and thread.expires_at <= statement_timestamp()
    for update skip locked",
);

/// Erases at most `$3` rows of a table of state.
macro_rules! erase {
    ($table:literal) => {
        Statement::new(
            concat!("threads/erase_", $table),
            concat!(
                "
    delete from thread_store.",
                $table,
                " as erased
    where erased.tenant = $1
        and erased.thread_id = $2
        and erased.ctid = any(array(
            select part.ctid
            from thread_store.",
                $table,
                " as part
            where part.tenant = $1 and part.thread_id = $2
            limit $3
        ))"
            ),
        )
    };
}

/// Erases a thread's state, table by table.
pub(in crate::store) static ERASE_STATE: [Statement; 4] =
    [erase!("message"), erase!("channel_value"), erase!("checkpoint"), erase!("run")];

/// The progress of erasing a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Erased {
    /// The thread is erased.
    All,
    /// A part is erased, and rows are left.
    Some,
    /// The thread is not expired, or is being erased elsewhere.
    None,
}

/// A thread to delete.
#[derive(Debug)]
struct Delete {
    asked: Asked,
    thread_id: Uuid,
}

/// Whether a short thread was deleted.
impl Operation for Delete {
    type Answer = bool;
    const KIND: &'static str = "delete";

    fn asked(&self) -> &Asked {
        &self.asked
    }

    async fn run(
        lease: &mut Lease,
        deletes: &[&Delete],
    ) -> Result<Vec<Result<bool, Error>>, Error> {
        let Some(first) = deletes.first() else { return Ok(Vec::new()) };
        let query = query(&DELETE, &first.asked, deletes)
            .bind(column(deletes, |delete| delete.thread_id))
            .bind(column(deletes, |_| SHORT_BYTES))
            .bind(column(deletes, |_| SHORT_CHECKPOINTS));
        let mut answers: Vec<_> = deletes.iter().map(|_| Ok(false)).collect();
        for row in lease.fetch_all(query).await? {
            if let Some(answer) = answers.get_mut(index(&row, "n")?) {
                *answer = Ok(true);
            }
        }
        Ok(answers)
    }
}

impl Store {
    /// Deletes a thread with all of its rows. Returns whether there was one.
    pub async fn delete_thread(&self, scope: &Scope, thread_id: Uuid) -> Result<bool, Error> {
        let Some(asked) = self.asked_about(scope, thread_id).await? else { return Ok(false) };
        let mut lease = self.pool.acquire(Account::Holder(scope.holder())).await?;
        let mut is_gone = delete_all(&mut lease, &asked, &[thread_id]).await? > 0;
        lease.commit().await?;
        if !is_gone {
            is_gone = self.delete_of_agent(&asked, thread_id).await?;
        }
        if is_gone {
            self.changes.announce(thread_id);
        }
        Ok(is_gone)
    }

    /// Erases an expired thread, so that its id can be used again.
    pub(in crate::store) async fn erase_expired(
        &self,
        holder: Holder,
        thread_id: Uuid,
    ) -> Result<Erased, Error> {
        let Some(tenant) = self.tenant_of(holder, thread_id).await? else {
            // The sweeper has already erased it.
            return Ok(Erased::All);
        };
        loop {
            match self.erase_some(tenant, thread_id).await? {
                Erased::Some => {}
                end => return Ok(end),
            }
        }
    }

    /// Erases an expired thread, or a part of it, in one transaction.
    pub(in crate::store) async fn erase_some(
        &self,
        tenant: i64,
        thread_id: Uuid,
    ) -> Result<Erased, Error> {
        let mut transaction = self.pool.begin_in_background().await?;
        let lock = sqlx::query(LOCK_EXPIRED.text()).bind(tenant).bind(thread_id);
        let lock = lock.bind(SHORT_BYTES).bind(SHORT_CHECKPOINTS);
        let Some(row) = transaction.fetch_optional(lock).await? else { return Ok(Erased::None) };
        if !erase_expired_rows(&mut transaction, tenant, thread_id).await? {
            return Ok(Erased::None);
        }
        let mut erased = 0;
        if !row.try_get::<bool, _>("is_short")? {
            for statement in &ERASE_STATE {
                let erase = sqlx::query(statement.text()).bind(tenant).bind(thread_id).bind(ROWS);
                erased += transaction.execute(erase).await?;
            }
        }
        if erased == 0 {
            let erase = sqlx::query(ERASE_THREAD.text()).bind(tenant).bind(thread_id);
            transaction.execute(erase).await?;
        }
        transaction.commit().await?;
        Ok(if erased == 0 { Erased::All } else { Erased::Some })
    }
}

/// Deletes threads of one tenant, each at once or by hiding it. Returns the number of threads.
pub(in crate::store) async fn delete_all(
    lease: &mut Lease,
    asked: &Asked,
    thread_ids: &[Uuid],
) -> Result<usize, Error> {
    let delete = |thread_id: &Uuid| Delete { asked: asked.clone(), thread_id: *thread_id };
    let deletes: Vec<_> = thread_ids.iter().map(delete).collect();
    let mut gone = 0;
    for some in deletes.chunks(TOGETHER) {
        let some: Vec<_> = some.iter().collect();
        let answers = Delete::run(lease, &some).await?;
        let is_long = |answer: &Result<bool, Error>| matches!(answer, Ok(false));
        let long: Vec<_> =
            some.into_iter().zip(&answers).filter(|(_, answer)| is_long(answer)).collect();
        gone += answers.len() - long.len();
        for (delete, _) in long {
            gone += hide(lease, delete).await?;
        }
    }
    Ok(gone)
}

async fn hide(lease: &mut Lease, delete: &Delete) -> Result<usize, Error> {
    let query = delete.asked.query(&HIDE).bind(vec![delete.thread_id]);
    Ok(lease.fetch_all(query).await?.len())
}
