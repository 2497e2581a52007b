//! Spreading the tables over the nodes of a Citus cluster, and telling where they are.

use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{Connection as _, PgConnection, Row as _};

use super::schema::{OpenError, ask, connect};
use super::tables::Tables;

/// Where the tables of a database are.
pub(super) async fn tables_of(options: &PgConnectOptions) -> Result<Tables, OpenError> {
    let mut connection = connect(options).await?;
    let tables = read(&mut connection).await;
    let _ = connection.close().await;
    tables.map_err(OpenError::Connect)
}

async fn read(connection: &mut PgConnection) -> Result<Tables, sqlx::Error> {
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
