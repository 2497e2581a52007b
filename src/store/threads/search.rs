//! Searching threads: pages of those that meet some conditions.

use std::hash::{Hash, Hasher};

use indexmap::IndexSet;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::page::{Page, SortKey};
use crate::authz::Scope;
use crate::store::error::MAX_STATE_ANSWER;
use crate::store::operation::{Asked, LIGHT, MAX_PAGE, Operation, column, query};
use crate::store::pool::Lease;
use crate::store::sql::condition::Condition;
use crate::store::sql::state::{newest_checkpoint, value_columns, visible_messages};
use crate::store::sql::{Statement, index};
use crate::store::thread::thread_columns;
use crate::store::{Criteria, Error, Held, Store, Thread};

/// Newest threads of a tenant that a search with conditions looks through before it is planned for
/// them. Few enough to read all, and more than nearly all tenants have.
const RECENT: i64 = 1_000;

/// Bytes of a row without its values.
macro_rules! row_bytes {
    () => {
        "200 + case
                    when pg_column_size(thread.metadata) < 2000 then pg_column_size(thread.metadata)
                    else octet_length(thread.metadata::text)
                end"
    };
}

/// What both statements of a search do with the rows of a page, which are `thread`. `place` counts
/// them, `bytes` adds up the bytes of their answers. Rows beyond `max_bytes` come without values.
macro_rules! page {
    ($rows:expr) => {
        concat!(
            "
    select asked.n, thread.place, thread.is_match, thread.bytes, thread.last_seq,
        thread.state_bytes, ",
            thread_columns!(),
            ", ",
            value_columns!(),
            "
    from unnest(
        $1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[], $4::text[], $5::uuid[],
        $6::bigint[], $7::bigint[], $8::bool[], $9::bigint[], $10::bigint[]
    ) with ordinality as asked (
        tenant, filter, criteria, behind, behind_id, max_threads, skipped, with_values, max_bytes,
        min_threads, n
    )
    cross join lateral (
        select *,
            row_number() over page as place,
            (sum((",
            row_bytes!(),
            " + case when asked.with_values then state_bytes else 0 end)::float8) over page)::bigint as bytes
        from (",
            $rows,
            "
        ) as thread
        window page as (
            order by {key} {direction}, thread.thread_id {direction} rows unbounded preceding
        )
    ) as thread",
            newest_checkpoint!(
                "asked.with_values
            and thread.state_bytes <= 67108864
            and (thread.bytes <= asked.max_bytes or thread.place <= asked.min_threads)"
            ),
        )
    };
}

/// Threads in any order.
pub(in crate::store) static SEARCH: Statement = Statement::new(
    "threads/search",
    page!(
        "
            select *, true as is_match
            from thread_store.thread
            where thread.tenant = asked.tenant
                and {visible}
                and ({key}, thread.thread_id) {behind} (asked.behind::{type}, asked.behind_id)
                and {criteria}
            order by {key} {direction}, thread.thread_id {direction}
            limit asked.max_threads
            offset asked.skipped"
    ),
);

/// Threads among the newest of a tenant, for a plan that does not depend on how rare the conditions
/// are. If there are as many as are looked through, the last one is in the answer in any case.
pub(in crate::store) static SEARCH_RECENT: Statement = Statement::new(
    "threads/search_recent",
    page!(
        "
            select *
            from (
                select *,
                    row_number() over (
                        order by thread.updated_at desc, thread.thread_id desc
                    ) as nth,
                    {criteria} as is_match
                from (
                    select *
                    from thread_store.thread
                    where thread.tenant = asked.tenant
                        and {visible}
                        and (thread.updated_at, thread.thread_id)
                            < (asked.behind::timestamptz, asked.behind_id)
                    order by thread.updated_at desc, thread.thread_id desc
                    limit 1000
                ) as thread
            ) as thread
            where thread.is_match or thread.nth = 1000
            order by {key} {direction}, thread.thread_id {direction}
            limit asked.max_threads"
    ),
);

/// A page of threads.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The threads, in the order asked for.
    pub threads: Vec<Thread>,
    /// Whether the page ends before its limit, because its answer would be too large.
    pub is_cut: bool,
}

/// A search.
#[derive(Debug, Clone)]
pub(in crate::store) struct Search {
    asked: Asked,
    criteria: String,
    statement: &'static Statement,
    page: Page,
    with_values: bool,
    max_bytes: i64,
    /// Threads that are in the answer in any case.
    min_threads: i64,
}

/// What a search has found.
#[derive(Debug, Clone)]
pub(in crate::store) enum Outcome {
    Page(Found),
    /// The answer has more bytes than are taken from a batch.
    TooLarge(i64),
    /// The page goes on behind the threads that were looked through.
    GoesOn,
}

impl Operation for Search {
    type Answer = Outcome;
    const KIND: &'static str = "search";

    fn asked(&self) -> &Asked {
        &self.asked
    }

    fn weight(&self) -> usize {
        // A condition is tried on many threads.
        let conditions = if self.criteria.len() > 2 { 16 } else { 0 };
        1 + conditions + usize::try_from(self.page.limit / 16).unwrap_or(0)
    }

    async fn run(
        lease: &mut Lease,
        searches: &[&Search],
    ) -> Result<Vec<Result<Outcome, Error>>, Error> {
        // Equal searches of those who may see the same are one search.
        let mut unique = IndexSet::new();
        let places: Vec<_> =
            searches.iter().map(|search| unique.insert_full(Question(search)).0).collect();
        let searches: Vec<_> = unique.into_iter().map(|Question(search)| search).collect();
        let searches = searches.as_slice();
        let Some(first) = searches.first() else { return Ok(Vec::new()) };
        let begins: Vec<_> = searches.iter().map(|search| search.page.begin()).collect();
        let query = query(first.statement, &first.asked, searches)
            .bind(column(searches, |search| search.criteria.as_str()))
            .bind(begins.iter().map(|begin| begin.value.as_str()).collect::<Vec<_>>())
            .bind(begins.iter().map(|begin| begin.thread_id).collect::<Vec<_>>())
            .bind(column(searches, |search| search.page.limit))
            .bind(column(searches, |search| search.page.offset))
            .bind(column(searches, |search| search.with_values))
            .bind(column(searches, |search| search.max_bytes))
            .bind(column(searches, |search| search.min_threads));
        let mut pages: Vec<_> = searches.iter().map(|_| Vec::new()).collect();
        for row in lease.fetch_all(query).await? {
            if let Some(page) = pages.get_mut(index(&row, "n")?) {
                page.push(Placed::read(&row)?);
            }
        }
        let answers = searches.iter().zip(pages).map(|(search, rows)| search.answer(rows));
        let answers: Vec<_> = answers.collect();
        Ok(places.into_iter().filter_map(|place| answers.get(place).cloned()).collect())
    }
}

/// A search by what it asks. The searches of a batch have equal keys.
struct Question<'a>(&'a Search);

impl Question<'_> {
    fn parts(&self) -> (i64, &str, &str, &Page, bool, i64, i64) {
        let Search { asked, criteria, page, with_values, max_bytes, min_threads, .. } = self.0;
        (asked.tenant, &asked.filter, criteria, page, *with_values, *max_bytes, *min_threads)
    }
}

impl PartialEq for Question<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for Question<'_> {}

impl Hash for Question<'_> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.parts().hash(hasher);
    }
}

/// A row of a page.
struct Placed {
    place: i64,
    is_match: bool,
    /// Bytes of the page up to this row.
    bytes: i64,
    /// Bytes of this row's state, whose values were not read.
    unread: i64,
    thread: Thread,
}

impl Placed {
    fn read(row: &PgRow) -> Result<Placed, sqlx::Error> {
        let thread = Thread::read_with_values(row)?;
        let state_bytes = row.try_get("state_bytes")?;
        Ok(Placed {
            place: row.try_get("place")?,
            is_match: row.try_get("is_match")?,
            bytes: row.try_get("bytes")?,
            unread: if thread.values.is_some() || thread.is_agents { 0 } else { state_bytes },
            thread,
        })
    }
}

impl Search {
    fn answer(&self, mut rows: Vec<Placed>) -> Result<Outcome, Error> {
        rows.sort_by_key(|row| row.place);
        let bytes = rows.last().map_or(0, |row| row.bytes);
        let fits = |row: &Placed| row.bytes <= self.max_bytes || row.place <= self.min_threads;
        let is_cut = !rows.iter().all(fits);
        if is_cut && self.min_threads == 0 {
            return Ok(Outcome::TooLarge(bytes));
        }
        rows.retain(fits);
        if rows.iter().any(|row| !row.is_match) {
            return Ok(Outcome::GoesOn);
        }
        if let Some(row) = rows.iter().find(|row| self.with_values && row.unread > 0) {
            return Err(Error::StateUnreadable(row.unread));
        }
        let threads = rows.into_iter().map(|row| row.thread).collect();
        Ok(Outcome::Page(Found { threads, is_cut }))
    }
}

impl Store {
    /// The threads that meet `criteria`, with their values if those are asked for.
    pub async fn search_threads(
        &self,
        scope: &Scope,
        criteria: &Criteria,
        page: Page,
        with_values: bool,
    ) -> Result<Held<Found>, Error> {
        let is_by_status = criteria.status.is_some() || page.sort_by == SortKey::Status;
        self.settle_before(scope, is_by_status).await?;
        let asked = self.asked(scope);
        let mut held = self.search_rows(scope, criteria, page, with_values).await?;
        let (threads, memory) = (&mut held.value.threads, &mut held.memory);
        self.add_agent_states(&asked, threads, with_values, memory).await?;
        Ok(held)
    }

    /// The same with rows alone.
    async fn search_rows(
        &self,
        scope: &Scope,
        criteria: &Criteria,
        page: Page,
        with_values: bool,
    ) -> Result<Held<Found>, Error> {
        let criteria = criteria.without_implied(scope);
        let agents = self.agents_with_values(scope, &criteria).await?;
        let is_recent = page.is_newest_first()
            && page.offset == 0
            && page.limit < RECENT
            && criteria.ids.is_empty()
            && criteria.values.is_none()
            && scope.tenant().is_some()
            && !criteria.is_empty();
        let mut search = Search {
            asked: self.asked(scope),
            criteria: String::new(),
            statement: if is_recent { &SEARCH_RECENT } else { &SEARCH },
            page,
            with_values,
            max_bytes: LIGHT,
            min_threads: 0,
        };
        search.asked.key.holes.order = Some(search.page.order());
        search.set_criteria(&Condition::criteria(&criteria, false, &agents));
        let outcome = if is_recent || criteria.is_empty() {
            self.searches.answer(search.clone()).await?
        } else {
            Outcome::GoesOn
        };
        match outcome {
            Outcome::Page(found) => Ok(Held::light(found)),
            Outcome::TooLarge(bytes) => self.search_alone(search, bytes).await,
            Outcome::GoesOn => {
                search.statement = &SEARCH;
                search.set_criteria(&Condition::criteria(&criteria, true, &agents));
                search.asked.key = search.asked.key.planned();
                match self.run_planned(&search).await? {
                    Outcome::Page(found) => Ok(Held::light(found)),
                    Outcome::TooLarge(bytes) => self.search_alone(search, bytes).await,
                    Outcome::GoesOn => Ok(Held::light(Found::default())),
                }
            }
        }
    }

    /// A page with a large answer, of which as much is read as an answer can have.
    async fn search_alone(&self, search: Search, bytes: i64) -> Result<Held<Found>, Error> {
        let bytes = bytes.min(MAX_PAGE.max(MAX_STATE_ANSWER));
        let memory = Some(self.memory(search.asked.holder, bytes).await);
        let search = Search { max_bytes: MAX_PAGE, min_threads: 1, ..search };
        match self.run_planned(&search).await? {
            Outcome::Page(value) => Ok(Held { value, memory }),
            Outcome::TooLarge(_) | Outcome::GoesOn => Err(Error::Overloaded),
        }
    }
}

impl Search {
    fn set_criteria(&mut self, criteria: &Condition) {
        self.asked.key.holes.criteria = Some(criteria.text.clone());
        self.criteria.clone_from(&criteria.values);
    }
}
