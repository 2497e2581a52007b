//! The directory: which tenant a thread belongs to.

use sqlx::Row as _;
use uuid::Uuid;

use crate::shares::Holder;
use crate::store::pool::Account;
use crate::store::sql::Statement;
use crate::store::{Error, Store};

/// The tenants of threads.
pub(in crate::store) static TENANTS: Statement = Statement::new(
    "threads/directory",
    "
    select tenant, thread_id
    from thread_store.thread_directory
    where thread_directory.thread_id = any($1) and thread_directory.tenant is not null
    order by tenant, thread_id",
);

impl Store {
    /// The tenant of a thread, for a scope that has none. `None`: there is no such thread.
    pub(in crate::store) async fn tenant_of(
        &self,
        holder: Holder,
        thread_id: Uuid,
    ) -> Result<Option<i64>, Error> {
        let tenants = self.tenants_of(holder, &[thread_id]).await?;
        Ok(tenants.first().map(|(tenant, _)| *tenant))
    }

    /// The tenants of those of these threads that exist, in the order of tenant and id.
    pub(in crate::store) async fn tenants_of(
        &self,
        holder: Holder,
        thread_ids: &[Uuid],
    ) -> Result<Vec<(i64, Uuid)>, Error> {
        let mut lease = self.pool.acquire(Account::Holder(holder)).await?;
        let rows = lease.fetch_all(sqlx::query(TENANTS.text()).bind(thread_ids)).await?;
        lease.commit().await?;
        let read = |row: &sqlx::postgres::PgRow| Ok((row.try_get(0)?, row.try_get(1)?));
        Ok(rows.iter().map(read).collect::<Result<_, sqlx::Error>>()?)
    }
}
