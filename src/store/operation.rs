//! The common part of all operations of the store: the caller's scope, and the execution of
//! batches.

use std::sync::Arc;

use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use uuid::Uuid;

use super::batch::{Answer, Failed, Request};
use super::pool::{Account, Lease, Pool};
use super::sql::condition::Condition;
use super::sql::{Form, Holes, Statement};
use super::tables::Tables;
use super::{Error, Store};
use crate::authz::{Scope, Tenant};
use crate::shares::{Holder, Permit};

/// Maximum bytes of an answer in a batch.
pub(super) const LIGHT: i64 = 256 * 1024;
/// Maximum bytes of an answer of several items. Further items are left to the next page.
pub(super) const MAX_PAGE: i64 = 32 * 1024 * 1024;

/// The caller's scope, in the form of statements' parameters.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) tenant: i64,
    /// The values in the scope's condition ([`Condition::values`]).
    pub(super) filter: String,
    pub(super) holder: Holder,
    pub(super) key: Key,
}

impl Asked {
    /// The server itself, for any thread of a tenant, for work without a caller. Only for tables
    /// that are whole.
    pub(super) fn of_server(tenant: i64) -> Asked {
        let holes = Holes::visible(&"true".into());
        let key = Key { form: Form::Batch, holes, tenant: None, statement: "" };
        Asked { tenant, filter: "[]".to_owned(), holder: Holder::SERVER, key }
    }

    /// A statement for one request, with the scope in its first two columns.
    pub(super) fn query(&self, statement: &Statement) -> Query<'static, Postgres, PgArguments> {
        self.key.query(statement, vec![self.tenant]).bind(vec![self.filter.as_str()])
    }

    /// A fingerprint of the caller's scope, for locks within this process.
    pub(super) fn fingerprint(&self) -> i64 {
        self.condition().fingerprint() ^ self.tenant
    }

    /// For a thread that the current transaction has created, which is the caller's even if it has
    /// already expired.
    pub(super) fn own(mut self) -> Asked {
        self.key.holes.visible = "true".into();
        self
    }

    /// The condition of the scope.
    pub(super) fn condition(&self) -> Condition {
        Condition { text: Arc::clone(&self.key.holes.visible), values: self.filter.clone() }
    }
}

/// The common part of the requests of one statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) form: Form,
    pub(super) holes: Holes,
    /// The tenant of the statement, if the tables are split by tenant.
    tenant: Option<i64>,
    /// The name of the statement, for operations that have several.
    pub(super) statement: &'static str,
}

impl Asked {
    fn new(pool: &Pool, scope: &Scope, tenant: Option<i64>) -> Asked {
        let Condition { text, values } = Condition::visible(scope);
        let holes = Holes::visible(&text);
        let key = Key { form: Form::AllTenants, holes, tenant: None, statement: "" };
        let all = Asked { tenant: 0, filter: values, holder: scope.holder(), key };
        match tenant {
            None => all,
            Some(tenant) => all.about(tenant, pool.tables()),
        }
    }

    /// The same scope for threads of one tenant.
    pub(super) fn about(&self, tenant: i64, tables: Tables) -> Asked {
        let is_split = tables != Tables::Whole;
        let form = if is_split { Form::OneTenant } else { Form::Batch };
        let holes = Holes::visible(&self.key.holes.visible);
        let key = Key { form, holes, tenant: is_split.then_some(tenant), statement: "" };
        Asked { tenant, filter: self.filter.clone(), holder: self.holder, key }
    }
}

impl Key {
    /// A statement for requests of this key, with only their tenants bound.
    pub(super) fn query(
        &self,
        statement: &Statement,
        tenants: Vec<i64>,
    ) -> Query<'static, Postgres, PgArguments> {
        let query = sqlx::query(statement.render(self.form, self.holes.clone()));
        match self.form {
            Form::Batch | Form::AllTenants => query.bind(tenants),
            Form::OneTenant => query.bind(tenants.into_iter().next()),
            // A text that is planned each time would only evict others from a connection's cache.
            Form::Single => query.bind(tenants.into_iter().next()).persistent(false),
        }
    }

    /// The same requests, planned for their values.
    pub(super) fn planned(mut self) -> Key {
        if self.form != Form::AllTenants {
            self.form = Form::Single;
        }
        self
    }
}

/// An operation that can share a statement with others of its kind.
pub(super) trait Operation: Sized + Send + Sync + 'static {
    /// The result of the operation.
    type Answer: Send + 'static;
    /// The name of this kind in metrics.
    const KIND: &'static str;

    /// The caller's scope.
    fn asked(&self) -> &Asked;

    /// Its cost, relative to reading a thread.
    fn weight(&self) -> usize {
        1
    }

    /// Called after the answer is committed.
    fn committed(&self, _answer: &Self::Answer) {}

    /// Answers these operations, in their order. They have the same [`Key`].
    fn run(
        lease: &mut Lease,
        operations: &[&Self],
    ) -> impl Future<Output = Result<Vec<Result<Self::Answer, Error>>, Error>> + Send;
}

impl<O: Operation> Request for O {
    type Executor = Pool;
    type Connection = Lease;
    type Key = Key;
    type Answer = O::Answer;
    type Error = Error;
    const KIND: &'static str = O::KIND;

    fn key(&self) -> &Key {
        &self.asked().key
    }

    fn holder(&self) -> Holder {
        self.asked().holder
    }

    fn weight(&self) -> usize {
        Operation::weight(self)
    }

    async fn connect(pool: &Pool) -> Result<Lease, Error> {
        Ok(pool.acquire(Account::Batch).await?)
    }

    async fn run(mut lease: Lease, operations: &[&O]) -> Result<Vec<Answer<O>>, Failed<Error>> {
        let run = async {
            let answers = O::run(&mut lease, operations).await?;
            lease.commit().await?;
            for (operation, answer) in operations.iter().zip(&answers) {
                if let Ok(answer) = answer {
                    operation.committed(answer);
                }
            }
            Ok(answers)
        };
        run.await.map_err(|error: Error| Failed { is_of_one: error.is_of_data(), error })
    }

    fn overloaded() -> Error {
        Error::Overloaded
    }
}

/// A value with the memory that was reserved for it. Keep the permit until the value is sent.
#[derive(Debug)]
pub struct Held<T> {
    /// The value.
    pub value: T,
    /// The reservation. `None`: the value is small.
    pub memory: Option<Permit>,
}

impl<T> Held<T> {
    /// A small value.
    pub(super) fn light(value: T) -> Held<T> {
        Held { value, memory: None }
    }

    /// Converts the value to another one of the same size.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Held<U> {
        Held { value: change(self.value), memory: self.memory }
    }
}

/// An answer, or its number of bytes if it is too large for a batch.
#[derive(Debug)]
pub(super) enum Fit<T> {
    Whole(T),
    TooLarge(i64),
}

impl Store {
    /// The scope of a request about one thread. `None`: there is no such thread.
    pub(super) async fn asked_about(
        &self,
        scope: &Scope,
        thread_id: Uuid,
    ) -> Result<Option<Asked>, Error> {
        let tenant = match scope.tenant() {
            Some(tenant) => Some(tenant.number()),
            None => self.tenant_of(scope.holder(), thread_id).await?,
        };
        Ok(tenant.map(|tenant| Asked::new(&self.pool, scope, Some(tenant))))
    }

    /// The scope of a request about many threads.
    pub(super) fn asked(&self, scope: &Scope) -> Asked {
        Asked::new(&self.pool, scope, scope.tenant().map(Tenant::number))
    }

    /// The same within one tenant.
    pub(super) fn asked_within(&self, scope: &Scope, tenant: i64) -> Asked {
        Asked::new(&self.pool, scope, Some(tenant))
    }

    /// Runs an operation alone, on a connection of its holder's share.
    pub(super) async fn run_alone<O: Operation>(&self, operation: &O) -> Result<O::Answer, Error> {
        let mut lease = self.pool.acquire(Account::Holder(operation.asked().holder)).await?;
        let answer = run_one(&mut lease, operation).await?;
        lease.commit().await?;
        operation.committed(&answer);
        Ok(answer)
    }

    /// Runs an operation alone, planned for its values.
    pub(super) async fn run_planned<O: Operation>(
        &self,
        operation: &O,
    ) -> Result<O::Answer, Error> {
        let mut lease = self.pool.begin_planned(operation.asked().holder).await?;
        let answer = run_one(&mut lease, operation).await?;
        lease.commit().await?;
        Ok(answer)
    }

    /// Reserves memory for an answer of this many bytes, as soon as the holder's share allows it.
    /// Two copies exist while the answer is made.
    pub(super) async fn memory(&self, holder: Holder, bytes: i64) -> Permit {
        self.memory.take(holder, u64::try_from(bytes).unwrap_or(0).saturating_mul(2)).await
    }
}

/// Answers one operation on a connection.
pub(super) async fn run_one<O: Operation>(
    lease: &mut Lease,
    operation: &O,
) -> Result<O::Answer, Error> {
    let answers = O::run(lease, &[operation]).await?;
    answers.into_iter().next().unwrap_or(Err(Error::Overloaded))
}

/// A statement for operations of one key, with the scopes in the first two columns: no batch is run
/// without the condition of its scopes.
pub(super) fn query<O: Operation>(
    statement: &Statement,
    first: &Asked,
    operations: &[&O],
) -> Query<'static, Postgres, PgArguments> {
    let tenants = column(operations, |operation| operation.asked().tenant);
    first
        .key
        .query(statement, tenants)
        .bind(column(operations, |operation| operation.asked().filter.as_str()))
}

/// A column of `asked`.
pub(super) fn column<'a, O, T>(operations: &[&'a O], value: impl Fn(&'a O) -> T) -> Vec<T> {
    operations.iter().map(|operation| value(operation)).collect()
}
