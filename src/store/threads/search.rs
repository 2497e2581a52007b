//! Searches threads: pages of the threads that meet some conditions.

use std::hash::{Hash, Hasher};

use indexmap::IndexSet;

use super::page::{Page, SortKey, Wanted, at, page};
use super::rows::{self, Found, Outcome, Row, Search};
use crate::authz::Scope;
use crate::store::criteria::AgentsValues;
use crate::store::digest::{is_current, named};
use crate::store::error::MAX_STATE_ANSWER;
use crate::store::operation::{Asked, LIGHT, MAX_PAGE, Operation, column, query};
use crate::store::pool::Lease;
use crate::store::sql::condition::Condition;
use crate::store::sql::{Statement, index};
use crate::store::tables::Tables;
use crate::store::thread::thread_columns;
use crate::store::{Criteria, Error, Held, Store};

/// Number of a tenant's newest threads that a search with conditions scans before it is planned for
/// its conditions. The number is small enough to read all of them, and almost no tenant has more.
const RECENT: i64 = 1_000;

/// The threads of a page.
macro_rules! threads {
    () => {
        "
            select *
            from thread_store.thread
            where thread.tenant = asked.tenant
                and {visible}
                and ({key}, thread.thread_id) {behind} (asked.behind::{type}, asked.behind_id)
                and {criteria}
            order by {key} {direction}, thread.thread_id {direction}
            limit asked.max_threads
            offset asked.skipped"
    };
}

/// Threads in any order.
pub(in crate::store) static SEARCH: Statement = Statement::new("threads/search", page!(threads!()));

/// The same with their digests. A digest that is not of the current state is not used.
pub(in crate::store) static LIST: Statement = Statement::new(
    "threads/list",
    page!(
        concat!(
            ", digest.title, digest.preview, coalesce(digest.message_count, 0) as message_count, \
             digest.last_message_at, digest.is_current as has_digest, \
             case when thread.last_seq = 0 then ",
            named!(),
            " end as named"
        ),
        threads!(),
        concat!(
            "
    cross join lateral (
        select digest.*, ",
            is_current!(),
            " as is_current
        from (select) as always
        left join thread_store.digest
            on digest.tenant = asked.tenant and digest.thread_id = thread.thread_id
    ) as digest"
        )
    ),
);

/// The columns of `thread` that a page is made of. A `union` copies rows with all of their columns,
/// so the other columns are left out.
macro_rules! page_columns {
    () => {
        "thread.thread_id, thread.created_at, thread.updated_at, thread.state_updated_at,
                    thread.metadata, thread.status, thread.last_seq, thread.state_bytes,
                    thread.ttl_minutes, thread.ttl_strategy, thread.expires_at,
                    thread.agent_thread_id, thread.agent_settled"
    };
}

/// A tenant's threads behind the position that meet this condition, newest first.
macro_rules! newest {
    ($condition:literal) => {
        concat!(
            "from thread_store.thread
                    where thread.tenant = asked.tenant
                        and ",
            $condition,
            "
                        and (thread.updated_at, thread.thread_id)
                            < (asked.behind::timestamptz, asked.behind_id)
                    order by thread.updated_at desc, thread.thread_id desc"
        )
    };
}

/// Threads among the newest of a tenant that meet `$scanned`. Those that also meet `$is_match` are found.
///
/// The plan does not depend on the selectivity of the conditions. If these threads are too few for the
/// page, and the tenant has older threads that may not have been scanned, a row without a thread follows.
/// Only then is the second select executed. It tests no thread, so that it needs no more than the index.
macro_rules! recent {
    ($scanned:literal, $is_match:literal) => {
        page!(
            ", thread.is_match",
            concat!(
                "
            (
                select ",
                page_columns!(),
                ", thread.is_match
                from (
                    select ",
                page_columns!(),
                ", ",
                $is_match,
                " as is_match
                    ",
                newest!($scanned),
                "
                    limit 1000
                ) as thread
                where thread.is_match
                order by thread.updated_at desc, thread.thread_id desc
                limit asked.max_threads
            )
            union all
            (
                select null, null, null, null, null, null, null, null, null, null, null,
                    null, null, false
                from (
                    select ",
                newest!("true"),
                "
                    limit 1 offset 999
                ) as older
            )
            limit asked.max_threads"
            )
        )
    };
}

/// Threads among the newest visible ones of a tenant.
pub(in crate::store) static SEARCH_RECENT: Statement =
    Statement::new("threads/search_recent", recent!("{visible}", "{criteria}"));

/// The same in a tenant of one owner. Almost all of its threads are visible and few meet the
/// conditions, so the conditions are tested first. In any other tenant they would be tested on
/// threads of others.
pub(in crate::store) static SEARCH_OWN: Statement =
    Statement::new("threads/search_own", recent!("true", "{criteria} and {visible}"));

impl Operation for Search {
    type Answer = Outcome;
    const KIND: &'static str = "search";

    fn asked(&self) -> &Asked {
        &self.asked
    }

    fn weight(&self) -> usize {
        // A condition is tested on many threads.
        let conditions = if self.criteria.len() > 2 { 16 } else { 0 };
        1 + conditions + usize::try_from(self.page.limit / 16).unwrap_or(0)
    }

    async fn run(
        lease: &mut Lease,
        searches: &[&Search],
    ) -> Result<Vec<Result<Outcome, Error>>, Error> {
        // Equal searches in equal scopes are one search.
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
            .bind(column(searches, |search| search.page.offset));
        let mut pages: Vec<_> = searches.iter().map(|_| Vec::new()).collect();
        for row in lease.fetch_all(query).await? {
            let place = index(&row, at::N)?;
            if let (Some(search), Some(page)) = (searches.get(place), pages.get_mut(place)) {
                page.push(Row::read(&row, search)?);
            }
        }
        let pages = searches.iter().zip(pages).map(|(search, rows)| search.cut(rows));
        let pages = rows::complete(lease, searches, pages.collect()).await?;
        Ok(shared(&places, pages))
    }
}

/// The answers at these indexes. Each caller except the last one of an index gets a copy.
fn shared<T: Clone>(places: &[usize], answers: Vec<T>) -> Vec<T> {
    let mut answers: Vec<_> = answers.into_iter().map(Some).collect();
    let mut callers = vec![0_usize; answers.len()];
    for place in places {
        if let Some(callers) = callers.get_mut(*place) {
            *callers += 1;
        }
    }
    let mut next = |place: &usize| {
        let (answer, callers) = (answers.get_mut(*place)?, callers.get_mut(*place)?);
        *callers -= 1;
        if *callers == 0 { answer.take() } else { answer.clone() }
    };
    places.iter().filter_map(&mut next).collect()
}

/// A search for comparison. The searches of a batch have equal keys.
struct Question<'a>(&'a Search);

impl Question<'_> {
    fn parts(&self) -> (i64, &str, &str, &Page, bool, i64, bool) {
        let Search { asked, criteria, page, with_values, max_bytes, has_one, .. } = self.0;
        (asked.tenant, &asked.filter, criteria, page, *with_values, *max_bytes, *has_one)
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

impl Store {
    /// The threads that meet `criteria`, with the requested parts.
    pub async fn search_threads(
        &self,
        scope: &Scope,
        criteria: &Criteria,
        page: Page,
        wanted: Wanted,
    ) -> Result<Held<Found>, Error> {
        let is_by_status = criteria.is_by_status() || page.sort_by == SortKey::Status;
        self.settle_before(scope, is_by_status).await?;
        let asked = self.asked(scope);
        let mut held = self.search_rows(scope, criteria, page, wanted).await?;
        let (threads, memory) = (&mut held.value.threads, &mut held.memory);
        self.add_agent_states(&asked, threads, wanted.values, memory).await?;
        Ok(held)
    }

    /// The same without the states of agents' threads.
    async fn search_rows(
        &self,
        scope: &Scope,
        criteria: &Criteria,
        page: Page,
        wanted: Wanted,
    ) -> Result<Held<Found>, Error> {
        let criteria = criteria.without_implied(scope);
        let agents = self.agents_values(scope, &criteria).await?;
        let needs_digests =
            wanted.matches || page.sort_by.is_of_digest() || criteria.is_about_digests();
        // On distributed tables no task keeps digests up to date.
        let has_digests = self.pool.tables() != Tables::Distributed;
        if wanted.digest && !needs_digests && criteria.is_empty() && has_digests {
            let listed = self.list(scope, page.clone(), wanted.values, &agents).await?;
            if let Some(found) = listed {
                return Ok(found);
            }
        }
        if wanted.digest || needs_digests {
            return Box::pin(self.find_threads(scope, &criteria, &agents, page, wanted)).await;
        }
        let is_recent = page.is_newest_first()
            && page.offset == 0
            && page.limit < RECENT
            && criteria.ids.is_empty()
            && criteria.is_cheap()
            && scope.tenant().is_some()
            && !criteria.is_empty();
        let statement = match is_recent {
            true if scope.is_of_one_owner() => &SEARCH_OWN,
            true => &SEARCH_RECENT,
            false => &SEARCH,
        };
        let mut search = Search::new(self.asked(scope), statement, page, wanted.values);
        search.is_recent = is_recent;
        search.set_criteria(&Condition::criteria(&criteria, false, &agents));
        let outcome = if is_recent || criteria.is_empty() {
            self.searches.answer(search.clone()).await?
        } else {
            Outcome::GoesOn
        };
        match outcome {
            Outcome::Page(found) => Ok(Held::light(found)),
            Outcome::TooLarge(bytes) => Box::pin(self.search_alone(search, bytes)).await,
            Outcome::GoesOn => {
                (search.statement, search.is_recent) = (&SEARCH, false);
                search.set_criteria(&Condition::criteria(&criteria, true, &agents));
                search.asked.key = search.asked.key.planned();
                match Box::pin(self.run_planned(&search)).await? {
                    Outcome::Page(found) => Ok(Held::light(found)),
                    Outcome::TooLarge(bytes) => Box::pin(self.search_alone(search, bytes)).await,
                    Outcome::GoesOn => Ok(Held::light(Found::default())),
                }
            }
        }
    }

    /// A list without conditions, with the digests of its threads. `None`: one of them is not made
    /// yet, or the answer is large.
    async fn list(
        &self,
        scope: &Scope,
        page: Page,
        with_values: bool,
        agents: &AgentsValues,
    ) -> Result<Option<Held<Found>>, Error> {
        let mut search = Search::new(self.asked(scope), &LIST, page, with_values);
        search.with_digests = true;
        search.set_criteria(&Condition::criteria(&Criteria::default(), false, agents));
        match self.searches.answer(search).await? {
            Outcome::Page(found) if found.threads.iter().all(|thread| thread.digest.is_some()) => {
                Ok(Some(Held::light(found)))
            }
            _ => Ok(None),
        }
    }

    /// A page with a large answer, cut to the maximum size.
    async fn search_alone(&self, search: Search, bytes: i64) -> Result<Held<Found>, Error> {
        let bytes = bytes.min(MAX_PAGE.max(MAX_STATE_ANSWER));
        let memory = Some(self.memory(search.asked.holder, bytes).await);
        let search = Search { max_bytes: MAX_PAGE, has_one: true, ..search };
        match self.run_planned(&search).await? {
            Outcome::Page(value) => Ok(Held { value, memory }),
            Outcome::TooLarge(_) | Outcome::GoesOn => Err(Error::Overloaded),
        }
    }
}

impl Search {
    /// A search in a batch. Its criteria are set next.
    pub(super) fn new(
        mut asked: Asked,
        statement: &'static Statement,
        page: Page,
        with_values: bool,
    ) -> Search {
        asked.key.holes.order = Some(page.order());
        asked.key.statement = statement.name;
        Search {
            asked,
            criteria: String::new(),
            statement,
            is_recent: false,
            page,
            with_values,
            max_bytes: LIGHT,
            has_one: false,
            with_digests: false,
        }
    }

    pub(super) fn set_criteria(&mut self, criteria: &Condition) {
        self.asked.key.holes.criteria = Some(criteria.text.clone());
        self.criteria.clone_from(&criteria.values);
    }
}
