//! Distributes the tables over the nodes of a Citus cluster, and detects where they are.

use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _, raw_sql};

use super::schema::{OpenError, UNBOUNDED, ask, check_schema, connect};
use super::session::{SESSION, set};
use super::tables::Tables;

/// The tables with their distribution column and the table that they are colocated with. Referenced
/// tables come first.
const DISTRIBUTED: [(&str, &str, &str); 8] = [
    ("thread", "tenant", "none"),
    ("checkpoint", "tenant", "thread_store.thread"),
    ("channel_value", "tenant", "thread_store.thread"),
    ("message", "tenant", "thread_store.thread"),
    ("run", "tenant", "thread_store.thread"),
    ("digest", "tenant", "thread_store.thread"),
    ("digest_text", "tenant", "thread_store.thread"),
    ("thread_directory", "thread_id", "none"),
];

/// Settings that cannot be passed to workers with each statement: settings of a session apply only
/// to the coordinator, settings of a role in a database to every node.
const OF_THE_ROLE: [(&str, &str); 3] =
    [("lock_timeout", "4s"), ("jit", "off"), ("enable_seqscan", "off")];

/// Where the tables of a database are.
pub(super) async fn tables_of(options: &PgConnectOptions) -> Result<Tables, OpenError> {
    let mut connection = connect(options).await?;
    let tables = read(&mut connection).await;
    let _ = connection.close().await;
    tables.map_err(OpenError::Connect)
}

async fn read(connection: &mut PgConnection) -> Result<Tables, sqlx::Error> {
    if is(connection, IS_PARTITIONED).await? {
        return Ok(Tables::Partitioned);
    }
    let is_distributed =
        has_citus(connection).await? && is_distributed(connection, "thread").await?;
    Ok(if is_distributed { Tables::Distributed } else { Tables::Whole })
}

/// Distributes the tables and their rows over the nodes of a cluster by tenant, and returns the
/// number of newly distributed tables. The schema must be up to date.
///
/// Servers detect distributed tables when they connect, so none may run during the distribution.
pub async fn distribute(options: &PgConnectOptions) -> Result<usize, OpenError> {
    check_schema(options).await?;
    let mut connection = connect(options).await?;
    let done = distribute_over(&mut connection).await;
    let _ = connection.close().await;
    done
}

async fn distribute_over(connection: &mut PgConnection) -> Result<usize, OpenError> {
    if is(connection, IS_PARTITIONED).await.map_err(OpenError::Connect)? {
        return Err(OpenError::Partitioned);
    }
    if !has_citus(connection).await.map_err(OpenError::Connect)? {
        return Err(OpenError::NoCitus);
    }
    distribute_tables(connection).await.map_err(OpenError::Distribute)
}

/// Distributes all of the tables or none.
async fn distribute_tables(connection: &mut PgConnection) -> Result<usize, sqlx::Error> {
    run(connection, set(SESSION) + UNBOUNDED + "; begin").await?;
    let mut distributed = Vec::new();
    for (table, column, beside) in DISTRIBUTED {
        if is_distributed(connection, table).await? {
            continue;
        }
        let distribute = format!(
            "select {CITUS}.create_distributed_table(\
                 'thread_store.{table}', '{column}', colocate_with => '{beside}')"
        );
        run(connection, distribute).await?;
        distributed.push(table);
    }
    let database: String =
        ask(connection, "select quote_ident(current_database())").await?.try_get(0)?;
    for (name, value) in OF_THE_ROLE {
        let set = format!("alter role current_user in database {database} set {name} = '{value}'");
        run(connection, set).await?;
    }
    run(connection, "commit".to_owned()).await?;
    // The rows are on the nodes now. Their copies here only occupy space.
    if distributed.contains(&"thread") {
        for table in ["thread", "thread_directory"] {
            let truncate = format!(
                "select {CITUS}.truncate_local_data_after_distributing_table('thread_store.{table}')"
            );
            run(connection, truncate).await?;
        }
    }
    Ok(distributed.len())
}

/// The schema of the functions of Citus.
const CITUS: &str = "pg_catalog";

/// Finds the tables by name, which needs no right on their schema.
const IS_PARTITIONED: &str = "select exists (select from pg_class \
     join pg_namespace on pg_namespace.oid = relnamespace \
     where nspname = 'thread_store' and relname = 'thread' and relkind = 'p')";

async fn has_citus(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    is(connection, "select exists (select from pg_extension where extname = 'citus')").await
}

async fn is_distributed(connection: &mut PgConnection, table: &str) -> Result<bool, sqlx::Error> {
    let question = format!(
        "select exists (select from pg_dist_partition \
         join pg_class on pg_class.oid = logicalrelid \
         join pg_namespace on pg_namespace.oid = relnamespace \
         where nspname = 'thread_store' and relname = '{table}' and partmethod = 'h')"
    );
    is(connection, &question).await
}

async fn is(connection: &mut PgConnection, question: &str) -> Result<bool, sqlx::Error> {
    ask(connection, question).await.and_then(|row: PgRow| row.try_get(0))
}

async fn run(connection: &mut PgConnection, command: String) -> Result<(), sqlx::Error> {
    connection.execute(raw_sql(AssertSqlSafe(command))).await.map(drop)
}
