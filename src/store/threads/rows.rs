//! The rows of a page of a search, and the parts that are read after their sizes are known.

use indexmap::IndexMap;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::get::Get;
use super::page::{Page, at};
use crate::store::error::MAX_STATE_ANSWER;
use crate::store::operation::{Asked, Fit, LIGHT, Operation as _};
use crate::store::pool::Lease;
use crate::store::sql::Statement;
use crate::store::summary::Summary;
use crate::store::tables::Tables;
use crate::store::{Error, Thread};

/// Bytes of a row without metadata and values.
const ROW: i64 = 200;

/// A page of threads.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The threads, in the requested order.
    pub threads: Vec<Thread>,
    /// Whether the page ends before its limit, because its answer would be too large.
    pub is_cut: bool,
}

/// A search.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent of each other")]
pub(in crate::store) struct Search {
    pub(super) asked: Asked,
    pub(super) criteria: String,
    pub(super) statement: &'static Statement,
    pub(super) page: Page,
    pub(super) with_values: bool,
    pub(super) max_bytes: i64,
    /// Whether the first thread is always in the answer.
    pub(super) has_one: bool,
    /// Whether the statement scans the newest threads only, and reports whether there are more.
    pub(super) is_recent: bool,
    /// Whether the statement reads digests.
    pub(super) with_digests: bool,
}

/// The outcome of a search.
#[derive(Debug, Clone)]
pub(in crate::store) enum Outcome {
    Page(Found),
    /// The answer has too many bytes for a batch.
    TooLarge(i64),
    /// The page extends beyond the scanned threads.
    GoesOn,
}

/// A row of a page.
pub(super) struct Row {
    thread: Thread,
    /// Its tenant, if a part of it was not read.
    tenant: Option<i64>,
    /// Bytes of its metadata, if that was not read.
    metadata_bytes: Option<i32>,
    /// Bytes of its values, which were not read.
    state_bytes: i64,
}

/// A page with known sizes.
pub(super) enum Read {
    /// Its rows, and whether rows were cut off.
    Rows(Vec<Row>, bool),
    /// The final outcome.
    Done(Result<Outcome, Error>),
}

impl Row {
    /// `None`: the row is not a thread, but shows that older threads were not scanned.
    pub(super) fn read(row: &PgRow, search: &Search) -> Result<Option<Row>, sqlx::Error> {
        if search.is_recent && !row.try_get("is_match")? {
            return Ok(None);
        }
        let mut thread = Thread::read(row)?;
        if search.with_digests {
            thread.digest = Summary::read(row)?;
        }
        let has_values = search.with_values && !thread.is_agents;
        let state_bytes = if has_values { row.try_get(at::STATE_BYTES)? } else { 0 };
        let metadata_bytes: Option<i32> = row.try_get(at::METADATA_BYTES)?;
        let is_complete = state_bytes == 0 && metadata_bytes.is_none();
        let tenant = if is_complete { None } else { Some(row.try_get(at::TENANT)?) };
        Ok(Some(Row { thread, tenant, metadata_bytes, state_bytes }))
    }

    fn bytes(&self) -> i64 {
        let read = || i64::try_from(self.thread.metadata.text().len()).unwrap_or(i64::MAX);
        ROW + self.metadata_bytes.map_or_else(read, i64::from) + self.state_bytes
    }

    /// Adds the parts that were read later. Returns the bytes of its values if they have become too
    /// many.
    fn complete(&mut self, read: Option<Fit<Thread>>) -> Option<i64> {
        match read {
            Some(Fit::Whole(thread)) => {
                if self.metadata_bytes.take().is_some() {
                    self.thread.metadata = thread.metadata;
                }
                self.thread.values = thread.values;
                None
            }
            Some(Fit::TooLarge(bytes)) => Some(bytes),
            // The thread was deleted since.
            None => None,
        }
    }
}

impl Search {
    /// The first rows of a page, as many as an answer may have.
    pub(super) fn cut(&self, rows: Vec<Option<Row>>) -> Read {
        // Regardless of the size: the next statement would find the same rows again.
        let Some(mut rows) = rows.into_iter().collect::<Option<Vec<_>>>() else {
            return Read::Done(Ok(Outcome::GoesOn));
        };
        let (mut bytes, mut fitting) = (0, 0);
        for row in &rows {
            bytes += row.bytes();
            fitting += usize::from(bytes <= self.max_bytes);
        }
        let fitting = fitting.max(usize::from(self.has_one));
        let is_cut = fitting < rows.len();
        if is_cut && !self.has_one {
            return Read::Done(Ok(Outcome::TooLarge(bytes)));
        }
        rows.truncate(fitting);
        Read::Rows(rows, is_cut)
    }

    /// The operation that reads the missing parts of a row. `None`: the row is complete.
    fn get(&self, row: &Row, tables: Tables) -> Option<Get> {
        let tenant = row.tenant?;
        let max_bytes = if self.has_one { MAX_STATE_ANSWER } else { LIGHT };
        let get = Get::new(self.asked.about(tenant, tables), row.thread.thread_id);
        Some(get.with_values(Some(max_bytes).filter(|_| row.state_bytes > 0)))
    }

    /// The answer, from complete rows.
    fn found(rows: Vec<Row>, is_cut: bool) -> Outcome {
        let whole = rows.into_iter().filter(|row| row.metadata_bytes.is_none());
        Outcome::Page(Found { threads: whole.map(|row| row.thread).collect(), is_cut })
    }
}

/// Reads the missing parts of these pages' rows: values, and large metadata. With tables that are
/// split by tenant, each statement is about one tenant.
pub(super) async fn complete(
    lease: &mut Lease,
    searches: &[&Search],
    mut pages: Vec<Read>,
) -> Result<Vec<Result<Outcome, Error>>, Error> {
    let tables = lease.tables();
    let mut lacking: IndexMap<Option<i64>, Vec<(usize, usize, Get)>> = IndexMap::new();
    for (place, (search, page)) in searches.iter().zip(&pages).enumerate() {
        let Read::Rows(rows, _) = page else { continue };
        for (number, row) in rows.iter().enumerate() {
            if let Some(get) = search.get(row, tables) {
                let tenant = row.tenant.filter(|_| tables != Tables::Whole);
                lacking.entry(tenant).or_default().push((place, number, get));
            }
        }
    }
    for lacking in lacking.into_values() {
        let gets: Vec<_> = lacking.iter().map(|(.., get)| get).collect();
        let answers = Get::run(lease, &gets).await?;
        for ((place, number, _), answer) in lacking.iter().zip(answers) {
            let (Some(search), Some(page)) = (searches.get(*place), pages.get_mut(*place)) else {
                continue;
            };
            let Read::Rows(rows, _) = page else { continue };
            let too_large = match (answer, rows.get_mut(*number)) {
                (Ok(read), Some(row)) => row.complete(read),
                (Err(error), _) => {
                    *page = Read::Done(Err(error));
                    continue;
                }
                (Ok(_), None) => None,
            };
            if let Some(bytes) = too_large {
                let others: i64 = rows.iter().map(Row::bytes).sum();
                *page = Read::Done(if search.has_one {
                    Err(Error::StateUnreadable(bytes))
                } else {
                    Ok(Outcome::TooLarge(others + bytes))
                });
            }
        }
    }
    let outcomes = pages.into_iter().map(|page| match page {
        Read::Rows(rows, is_cut) => Ok(Search::found(rows, is_cut)),
        Read::Done(outcome) => outcome,
    });
    Ok(outcomes.collect())
}
