//! Detects a pooler in transaction mode.

use sqlx::{AssertSqlSafe, Executor as _, PgConnection, Row as _};
use uuid::Uuid;

/// Whether a setting of one connection is visible on another: then a pooler assigns connections of
/// Postgres per transaction. `false` proves nothing.
pub(in crate::store) async fn is_behind_transaction_pooler(
    one: &mut PgConnection,
    other: &mut PgConnection,
) -> Result<bool, sqlx::Error> {
    let mark = Uuid::new_v4();
    for _ in 0..3 {
        let set = AssertSqlSafe(format!("set thread_store.mark = '{mark}'"));
        one.execute(sqlx::raw_sql(set)).await?;
        let get = sqlx::raw_sql("select current_setting('thread_store.mark', true)");
        let seen: Option<String> = other.fetch_one(get).await?.try_get(0)?;
        one.execute(sqlx::raw_sql("reset thread_store.mark")).await?;
        if seen == Some(mark.to_string()) {
            return Ok(true);
        }
    }
    Ok(false)
}
