//! The pool of connections, with a measurement of how long statements wait for one.

use std::time::Instant;

use futures::future::BoxFuture;
use futures::stream::{BoxStream, TryStreamExt, once};
use futures::{FutureExt, StreamExt};
use sqlx::pool::{MaybePoolConnection, PoolConnection};
use sqlx::postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Describe, Either, Execute, Executor, PgPool, Postgres, SqlStr, Transaction};

use crate::meters::meters;

/// A [`PgPool`] that measures waits. Used as one: statements run on `&pool`.
#[derive(Debug, Clone)]
pub(super) struct Pool(PgPool);

impl Pool {
    pub(super) fn new(pool: PgPool) -> Pool {
        Pool(pool)
    }

    /// The pool itself, for what is not to be measured.
    pub(super) fn unmeasured(&self) -> &PgPool {
        &self.0
    }

    pub(super) async fn acquire(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        let started = Instant::now();
        let acquired = self.0.acquire().await;
        meters().database_wait.record(started.elapsed());
        acquired
    }

    pub(super) async fn begin(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        let connection = MaybePoolConnection::PoolConnection(self.acquire().await?);
        Transaction::begin(connection, None).await
    }
}

impl<'p> Executor<'p> for &'p Pool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let rows = async move {
            let mut connection = self.acquire().await?;
            let mut rows = Vec::new();
            let mut stream = connection.fetch_many(query);
            while let Some(row) = stream.try_next().await? {
                rows.push(Ok(row));
            }
            Ok::<_, sqlx::Error>(futures::stream::iter(rows))
        };
        once(rows).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        async move { self.acquire().await?.fetch_optional(query).await }.boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'p: 'e,
    {
        async move { self.acquire().await?.prepare_with(sql, parameters).await }.boxed()
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'p: 'e,
    {
        async move { self.acquire().await?.describe(sql).await }.boxed()
    }
}
