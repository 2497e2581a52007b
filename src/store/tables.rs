//! Where the tables are: on one Postgres as a whole or partitioned, or spread over the nodes of a
//! Citus cluster.

use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{Connection as _, PgConnection, Row as _};

use super::schema::{OpenError, ask, connect};

/// Where the rows of a tenant are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tables {
    /// With those of all other tenants.
    Whole,
    /// In one partition of each table.
    Partitioned,
    /// On one node of a cluster.
    Distributed,
}

impl Tables {
    /// Asks the database.
    pub(super) async fn of(options: &PgConnectOptions) -> Result<Tables, OpenError> {
        let mut connection = connect(options).await?;
        let tables = Tables::ask(&mut connection).await;
        let _ = connection.close().await;
        tables.map_err(OpenError::Connect)
    }

    async fn ask(connection: &mut PgConnection) -> Result<Tables, sqlx::Error> {
        let is = |row: PgRow| row.try_get::<bool, _>(0);
        let is_partitioned = "select exists (select from pg_class \
             where oid = to_regclass('thread_store.thread') and relkind = 'p')";
        if ask(connection, is_partitioned).await.and_then(is)? {
            return Ok(Tables::Partitioned);
        }
        let has_citus = "select exists (select from pg_extension where extname = 'citus')";
        if !ask(connection, has_citus).await.and_then(is)? {
            return Ok(Tables::Whole);
        }
        let is_distributed = "select exists (select from pg_dist_partition \
             where logicalrelid = to_regclass('thread_store.thread') and partmethod = 'h')";
        let is_distributed = ask(connection, is_distributed).await.and_then(is)?;
        Ok(if is_distributed { Tables::Distributed } else { Tables::Whole })
    }
}
