//! What all operations of the store have in common: who asks, and how a batch of them is run.

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

/// Bytes of an answer up to which a request shares a batch with others.
pub(super) const LIGHT: i64 = 256 * 1024;
/// Bytes of an answer of several items. What does not fit is left to the next page.
pub(super) const MAX_PAGE: i64 = 32 * 1024 * 1024;

/// Who asks, as statements need it.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) tenant: i64,
    /// The values of the condition of the scope, a JSON list.
    pub(super) filter: String,
    pub(super) holder: Holder,
    pub(super) key: Key,
}

impl Asked {
    /// The server itself, about any thread of a tenant: what it does for nobody.
    /// Only where the tables are whole.
    pub(super) fn of_server(tenant: i64) -> Asked {
        let holes = Holes::visible(&"true".into());
        let key = Key { form: Form::Batch, holes, tenant: None };
        Asked { tenant, filter: "[]".to_owned(), holder: Holder::SERVER, key }
    }

    /// A statement about one thing, with who asks in its first two columns.
    pub(super) fn query(&self, statement: &Statement) -> Query<'static, Postgres, PgArguments> {
        self.key.query(statement, vec![self.tenant]).bind(vec![self.filter.as_str()])
    }

    /// What tells what the caller may see, for locks within this process.
    pub(super) fn fingerprint(&self) -> i64 {
        self.condition().fingerprint() ^ self.tenant
    }

    /// About a thread that the transaction under way has created, which is the caller's even if its
    /// time is over already.
    pub(super) fn own(mut self) -> Asked {
        self.key.holes.visible = "true".into();
        self
    }

    /// The condition of the scope.
    pub(super) fn condition(&self) -> Condition {
        Condition { text: Arc::clone(&self.key.holes.visible), values: self.filter.clone() }
    }
}

/// What the requests of one statement have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) form: Form,
    pub(super) holes: Holes,
    /// Where the tables are split by tenant, the one that the statement is about.
    tenant: Option<i64>,
}

impl Asked {
    fn new(pool: &Pool, scope: &Scope, tenant: Option<i64>) -> Asked {
        let Condition { text, values } = Condition::visible(scope);
        let is_split = pool.tables() != Tables::Whole;
        let form = match tenant {
            None => Form::AllTenants,
            Some(_) if is_split => Form::OneTenant,
            Some(_) => Form::Batch,
        };
        Asked {
            tenant: tenant.unwrap_or_default(),
            filter: values,
            holder: scope.holder(),
            key: Key { form, holes: Holes::visible(&text), tenant: tenant.filter(|_| is_split) },
        }
    }
}

impl Key {
    /// A statement for requests of this key, to which their tenants are bound and nothing else.
    pub(super) fn query(
        &self,
        statement: &Statement,
        tenants: Vec<i64>,
    ) -> Query<'static, Postgres, PgArguments> {
        let query = sqlx::query(statement.render(self.form, self.holes.clone()));
        match self.form {
            Form::Batch | Form::AllTenants => query.bind(tenants),
            Form::OneTenant => query.bind(tenants.into_iter().next()),
            // A text that is planned each time would only push others out of a connection's cache.
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

/// An operation of which several can share a statement.
pub(super) trait Operation: Sized + Send + Sync + 'static {
    /// What its caller gets.
    type Answer: Send + 'static;
    /// What this kind is called in metrics.
    const KIND: &'static str;

    /// Who asks.
    fn asked(&self) -> &Asked;

    /// What it costs, compared with reading a thread.
    fn weight(&self) -> usize {
        1
    }

    /// What is left to do once the answer counts.
    fn committed(&self, _answer: &Self::Answer) {}

    /// Answers these, in their order. They have one [`Key`].
    fn run(
        lease: &mut Lease,
        operations: &[&Self],
    ) -> impl Future<Output = Result<Vec<Result<Self::Answer, Error>>, Error>> + Send;
}

impl<O: Operation> Request for O {
    type Executor = Pool;
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

    async fn run(pool: &Pool, operations: &[&O]) -> Result<Vec<Answer<O>>, Failed<Error>> {
        let run = async {
            let mut lease = pool.acquire(Account::Batch).await?;
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

    /// Another value that takes as much memory.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Held<U> {
        Held { value: change(self.value), memory: self.memory }
    }
}

/// An answer, or how many bytes it would have if it is too large for a batch.
#[derive(Debug)]
pub(super) enum Fit<T> {
    Whole(T),
    TooLarge(i64),
}

impl Store {
    /// Who asks about one thread. `None`: there is no such thread.
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

    /// Who asks about many threads.
    pub(super) fn asked(&self, scope: &Scope) -> Asked {
        Asked::new(&self.pool, scope, scope.tenant().map(Tenant::number))
    }

    /// The same within one tenant.
    pub(super) fn asked_within(&self, scope: &Scope, tenant: i64) -> Asked {
        Asked::new(&self.pool, scope, Some(tenant))
    }

    /// Runs an operation by itself, on a connection of its holder's share.
    pub(super) async fn run_alone<O: Operation>(&self, operation: &O) -> Result<O::Answer, Error> {
        let mut lease = self.pool.acquire(Account::Holder(operation.asked().holder)).await?;
        let answer = run_one(&mut lease, operation).await?;
        lease.commit().await?;
        operation.committed(&answer);
        Ok(answer)
    }

    /// Runs an operation by itself, planned for its values.
    pub(super) async fn run_planned<O: Operation>(
        &self,
        operation: &O,
    ) -> Result<O::Answer, Error> {
        let mut lease = self.pool.begin_planned(operation.asked().holder).await?;
        let answer = run_one(&mut lease, operation).await?;
        lease.commit().await?;
        Ok(answer)
    }

    /// Waits until a holder may have an answer of this many bytes. While it is made there is a copy.
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

/// A statement for operations of one key, with whom they are asked for in the first two columns: no
/// batch is run without the condition of its scopes.
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
