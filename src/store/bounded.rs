//! Reading many rows that may each be large, up to a bound on memory.

use sqlx::postgres::{PgArguments, PgColumn, PgRow};
use sqlx::query::Query;
use sqlx::{Column, Postgres, Row, TypeInfo, ValueRef};

use super::pool::{Connection, Pool};

/// Most bytes of rows that one answer is made of. A single row may be larger: a thread must
/// stay readable.
pub(super) const MOST_BYTES: usize = 128 * 1024 * 1024;

/// More than one answer can hold. Travels as a decoding error of the driver, so that reading
/// has one error type; `error` tells it apart.
#[derive(Debug, thiserror::Error)]
#[error("limit: the answer would be larger than {} MiB, ask for fewer at a time", MOST_BYTES >> 20)]
pub(crate) struct AnswerTooLarge;

impl AnswerTooLarge {
    /// Whether this is why a statement failed.
    pub(crate) fn is(error: &sqlx::Error) -> bool {
        matches!(error, sqlx::Error::Decode(cause) if cause.is::<AnswerTooLarge>())
    }
}

/// All rows of a statement on a connection of its own.
pub(super) async fn fetch_all_from(
    pool: &Pool,
    query: Query<'_, Postgres, PgArguments>,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let rows = fetch_all(&mut connection, query).await?;
    connection.commit().await?;
    Ok(rows)
}

/// All rows of a statement.
pub(super) async fn fetch_all(
    connection: &mut Connection,
    query: Query<'_, Postgres, PgArguments>,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let mut rows = Vec::new();
    let mut bytes = 0;
    let mut long = None;
    let take = |row: PgRow| {
        let long = long.get_or_insert_with(|| long_columns(&row));
        bytes += long.iter().map(|column| length(&row, *column)).sum::<usize>();
        if bytes > MOST_BYTES && !rows.is_empty() {
            return Err(sqlx::Error::Decode(Box::new(AnswerTooLarge)));
        }
        rows.push(row);
        Ok(())
    };
    connection.each_row(query, take).await?;
    Ok(rows)
}

/// The columns whose values may be long. Texts are names of ours.
fn long_columns(row: &PgRow) -> Vec<usize> {
    let is_long = |column: &&PgColumn| ["JSON", "JSONB"].contains(&column.type_info().name());
    row.columns().iter().filter(is_long).map(Column::ordinal).collect()
}

fn length(row: &PgRow, column: usize) -> usize {
    let value = row.try_get_raw(column).ok().filter(|value| !value.is_null());
    value.and_then(|value| value.as_bytes().ok()).map_or(0, <[u8]>::len)
}
