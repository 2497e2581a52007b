//! Many threads: search and count.

use std::cmp::Ordering;

use indexmap::IndexMap;
use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder, Row};
use uuid::Uuid;

use super::bounded::{self, MOST_BYTES};
use super::filter::{
    Shape, push_contains_planned, push_jsonb, push_visible, push_visible_planned, values_of,
};
use super::lanes::{Answers, Job, place};
use super::model::ROW;
use super::pool::{Connection, Pool};
use super::values::{push_join_newest_values, push_newest_values};
use super::{Status, Store, Thread};
use crate::auth::Scope;
use crate::json::{Object, Raw};

/// How many of an owner's newest threads are looked through for a condition on metadata. Few enough
/// to read them all, and more than nearly all owners have.
const RECENT: i64 = 1_000;

/// Which threads are meant. All conditions must hold.
#[derive(Debug, Clone, Default)]
pub struct Criteria {
    /// Contained in the thread's metadata.
    pub metadata: Object,
    /// Contained in the thread's values. A thread without values does not match.
    pub values: Option<Object>,
    /// The thread's status.
    pub status: Option<Status>,
    /// One of these; empty for any.
    pub ids: Vec<Uuid>,
}

impl Criteria {
    fn is_empty(&self) -> bool {
        self.metadata.is_empty() && self.has_no_more()
    }

    /// Whether there is a condition on metadata and no other.
    fn is_of_metadata(&self) -> bool {
        !self.metadata.is_empty() && self.has_no_more()
    }

    fn has_no_more(&self) -> bool {
        self.values.is_none() && self.status.is_none() && self.ids.is_empty()
    }
}

/// Which part of the result is wanted, in which order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Only what comes behind this.
    pub behind: Option<Behind>,
    /// Most threads.
    pub limit: i64,
    /// How many to leave out before them.
    pub offset: i64,
    /// What to sort by. Equal threads are sorted by id.
    pub sort_by: SortKey,
    /// Smallest first.
    pub ascending: bool,
}

/// A place in the order of a search: that of a thread as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behind {
    /// What it was sorted by, as text that Postgres reads.
    pub value: String,
    /// Its id.
    pub thread_id: Uuid,
}

impl Page {
    /// Which of two whole threads comes first.
    fn order(&self, one: &Thread, other: &Thread) -> Ordering {
        let by_key = match self.sort_by {
            SortKey::ThreadId => Ordering::Equal,
            // By name, of which no two differ in case or accents alone.
            SortKey::Status => {
                one.status.map(Status::as_str).cmp(&other.status.map(Status::as_str))
            }
            SortKey::CreatedAt => one.created_at.cmp(&other.created_at),
            SortKey::UpdatedAt => one.updated_at.cmp(&other.updated_at),
            SortKey::StateUpdatedAt => one.state_updated_at.cmp(&other.state_updated_at),
        };
        let order = by_key.then_with(|| one.thread_id.cmp(&other.thread_id));
        if self.ascending { order } else { order.reverse() }
    }

    /// Whether the order is that of the index of owners.
    fn is_newest_first(&self) -> bool {
        self.sort_by == SortKey::UpdatedAt && !self.ascending
    }
}

/// What threads can be sorted by.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum SortKey {
    /// The id.
    ThreadId,
    /// The status, by name.
    Status,
    /// When the thread was made.
    CreatedAt,
    /// When metadata or state last changed.
    UpdatedAt,
    /// When state last changed.
    StateUpdatedAt,
}

impl SortKey {
    /// What Postgres reads a value of it as.
    fn cast(self) -> &'static str {
        match self {
            SortKey::ThreadId => "::uuid",
            SortKey::Status => "::text",
            SortKey::CreatedAt | SortKey::UpdatedAt | SortKey::StateUpdatedAt => "::timestamptz",
        }
    }

    fn column(self) -> &'static str {
        match self {
            SortKey::ThreadId => "thread.thread_id",
            SortKey::Status => "thread.status",
            SortKey::CreatedAt => "thread.created_at",
            SortKey::UpdatedAt => "thread.updated_at",
            SortKey::StateUpdatedAt => "thread.state_updated_at",
        }
    }
}

/// What is read of each thread.
#[derive(Debug, Clone, Default)]
pub struct Columns {
    /// Columns of the thread's own row.
    pub of_row: Vec<&'static str>,
    /// The values of its newest checkpoint.
    pub values: bool,
    /// Single values from inside the columns.
    pub extracts: Vec<Extract>,
}

/// The columns of a thread's own row that an answer shows.
const ROW_COLUMNS: [&str; 6] =
    ["thread_id", "created_at", "updated_at", "state_updated_at", "metadata", "status"];

/// A value from inside a column.
#[derive(Debug, Clone)]
pub struct Extract {
    /// What the client calls it.
    pub alias: String,
    /// The column. `None`: the path leads nowhere, the value is null.
    pub root: Option<Root>,
    /// The way from there.
    pub path: Vec<Step>,
}

/// A column that values can be taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// The values of the newest checkpoint.
    Values,
    /// The metadata.
    Metadata,
    /// The configuration: always empty.
    Config,
    /// The interrupts: always empty.
    Interrupts,
}

/// One step into JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Into an object.
    Key(String),
    /// Into an array; negative from its end.
    Index(i32),
}

impl Columns {
    /// All that a thread has.
    #[must_use]
    pub fn whole() -> Columns {
        Columns { of_row: ROW_COLUMNS.to_vec(), values: true, extracts: Vec::new() }
    }

    fn are_whole(&self) -> bool {
        self.values && self.extracts.is_empty() && self.of_row.len() == ROW_COLUMNS.len()
    }

    /// Whether the values of a thread are used more than once.
    fn join_values(&self) -> bool {
        self.extracts.iter().any(|extract| extract.root == Some(Root::Values))
    }

    fn push(&self, sql: &mut QueryBuilder<Postgres>) {
        if self.are_whole() {
            sql.push(ROW).push(", ");
            push_newest_values(sql);
            return;
        }
        sql.push("null");
        for column in &self.of_row {
            sql.push(", thread.").push(column);
        }
        if self.values && self.join_values() {
            sql.push(", state.values");
        } else if self.values {
            sql.push(", ");
            push_newest_values(sql);
        }
        for (number, extract) in self.extracts.iter().enumerate() {
            sql.push(", to_json(");
            sql.push(match extract.root {
                Some(Root::Values) => "state.values",
                Some(Root::Metadata) => "thread.metadata",
                Some(Root::Config | Root::Interrupts) => "'{}'::json",
                None => "null::json",
            });
            for step in &extract.path {
                sql.push(" -> ");
                match step {
                    Step::Key(key) => sql.push_bind(key.clone()).push("::text"),
                    Step::Index(index) => sql.push_bind(*index).push("::int"),
                };
            }
            sql.push(format_args!(") as extract_{number}"));
        }
    }

    /// Adds the extracted values to the thread of a row.
    fn read(&self, row: &PgRow) -> Result<Thread, sqlx::Error> {
        if self.are_whole() {
            return Thread::whole(row);
        }
        let mut thread = Thread::selected(row)?;
        if !self.extracts.is_empty() {
            let mut extracted = Object::default();
            for (number, extract) in self.extracts.iter().enumerate() {
                let value: Option<Raw> = row.try_get(format!("extract_{number}").as_str())?;
                extracted.insert(extract.alias.clone(), value.unwrap_or_default());
            }
            thread.extracted = Some(extracted);
        }
        Ok(thread)
    }
}

impl Store {
    /// The threads that meet `criteria`, with nothing but `columns` read.
    pub async fn search_threads(
        &self,
        scope: Scope,
        criteria: &Criteria,
        page: Page,
        columns: &Columns,
    ) -> Result<Vec<Thread>, sqlx::Error> {
        let metadata = not_implied(&criteria.metadata, &scope);
        let criteria = Criteria { metadata, ..criteria.clone() };
        if criteria.is_empty() && columns.are_whole() && page.behind.is_none() {
            return self.listings.answer(Listing { scope, page }).await;
        }
        // In a box of its own: most requests do not need the room.
        Box::pin(self.search_planned(&scope, &criteria, &page, columns)).await
    }

    async fn search_planned(
        &self,
        scope: &Scope,
        criteria: &Criteria,
        page: &Page,
        columns: &Columns,
    ) -> Result<Vec<Thread>, sqlx::Error> {
        if criteria.is_of_metadata()
            && page.is_newest_first()
            && scope.filter().is_some_and(|filter| filter.fixes("owner"))
            && let Some(found) = search_recent(&self.pool, scope, criteria, page, columns).await?
        {
            return Ok(found);
        }
        search(&self.pool, scope, criteria, page, columns).await
    }

    /// How many threads meet `criteria`.
    pub async fn count_threads(
        &self,
        scope: &Scope,
        criteria: &Criteria,
    ) -> Result<i64, sqlx::Error> {
        let metadata = not_implied(&criteria.metadata, scope);
        let criteria = Criteria { metadata, ..criteria.clone() };
        let mut sql = QueryBuilder::new("select count(*)");
        push_from(&mut sql, scope, &criteria);
        let query = sql.build_query_scalar().persistent(criteria.is_empty());
        query.fetch_one(&self.pool).await
    }
}

async fn search(
    pool: &Pool,
    scope: &Scope,
    criteria: &Criteria,
    page: &Page,
    columns: &Columns,
) -> Result<Vec<Thread>, sqlx::Error> {
    let mut sql = QueryBuilder::new("select ");
    columns.push(&mut sql);
    // The page is cut before values are put together, so only its threads' are.
    sql.push(" from ( select thread.*");
    push_from(&mut sql, scope, criteria);
    push_behind(&mut sql, page);
    push_order(&mut sql, page);
    if criteria.is_empty() {
        sql.push(" limit ").push_bind(page.limit).push(" offset ").push_bind(page.offset);
    } else {
        sql.push(format_args!(" limit {} offset {}", page.limit, page.offset));
    }
    sql.push(" ) as thread");
    if columns.join_values() {
        push_join_newest_values(&mut sql);
    }
    push_order(&mut sql, page);
    // Each shape of extracts is a statement of its own: they must not push the few that everybody
    // uses out of the connections' statement caches.
    let query = sql.build().persistent(criteria.is_empty() && columns.extracts.is_empty());
    let rows = bounded::fetch_all_from(pool, query).await?;
    rows.into_iter().map(|row| columns.read(&row)).collect()
}

/// Looks among the newest threads of an owner, of whom most have few: a plan that needs to know
/// nothing of the condition. `None`: the page may go on among older ones.
async fn search_recent(
    pool: &Pool,
    scope: &Scope,
    criteria: &Criteria,
    page: &Page,
    columns: &Columns,
) -> Result<Option<Vec<Thread>>, sqlx::Error> {
    let mut sql = QueryBuilder::new(
        "with recent as materialized ( select thread.* from thread_store.thread where ",
    );
    push_visible(&mut sql, scope);
    push_behind(&mut sql, page);
    push_order(&mut sql, page);
    sql.push(" limit ").push_bind(RECENT).push(" ) select ");
    columns.push(&mut sql);
    sql.push(
        ", counted.seen, thread.thread_id is not null as is_found \
         from ( select count(*) as seen from recent ) as counted \
         left join lateral ( select * from recent as thread where ",
    );
    sql.push("thread.metadata @> ");
    push_jsonb(&mut sql, &criteria.metadata.to_text());
    push_order(&mut sql, page);
    sql.push(" limit ").push_bind(page.limit).push(" offset ").push_bind(page.offset);
    sql.push(" ) as thread on true");
    if columns.join_values() {
        push_join_newest_values(&mut sql);
    }
    push_order(&mut sql, page);
    let query = sql.build().persistent(columns.extracts.is_empty());
    let rows = bounded::fetch_all_from(pool, query).await?;
    let mut found = Vec::new();
    let mut seen = 0;
    for row in rows {
        seen = row.try_get("seen")?;
        if row.try_get("is_found")? {
            found.push(columns.read(&row)?);
        }
    }
    let is_full = i64::try_from(found.len()).is_ok_and(|found| found == page.limit);
    Ok((is_full || seen < RECENT).then_some(found))
}

/// A page of all the threads that a user may see, whole: what a client shows first.
pub(super) struct Listing {
    scope: Scope,
    page: Page,
}

impl Job for Listing {
    type Answer = Vec<Thread>;
    type Error = sqlx::Error;
    const KIND: &'static str = "list";
    type Key = (Shape, Page);

    fn key(&self) -> (Shape, Page) {
        (Shape::of(&self.scope), self.page.clone())
    }

    async fn alone(&self, pool: &Pool) -> Result<Vec<Thread>, sqlx::Error> {
        search(pool, &self.scope, &Criteria::default(), &self.page, &Columns::whole()).await
    }

    async fn together(
        connection: &mut Connection,
        (shape, page): &(Shape, Page),
        jobs: &[Listing],
    ) -> Result<Answers<Listing>, sqlx::Error> {
        // Those who may see the same ask for the same.
        let mut lists = IndexMap::new();
        let list_of = |Listing { scope, .. }: &'_ Listing| {
            let list = lists.entry(values_of(scope));
            let place = list.index();
            list.or_insert_with(List::default).callers += 1;
            place
        };
        let places: Vec<_> = jobs.iter().map(list_of).collect();
        let mut sql = QueryBuilder::new("select ");
        sql.push(ROW).push(", ");
        push_newest_values(&mut sql);
        sql.push(", asked.n from unnest(");
        sql.push_bind(vec![true; lists.len()]);
        shape.push_columns(&mut sql, lists.keys().cloned());
        sql.push(") with ordinality as asked (is_asked");
        shape.push_names(&mut sql);
        sql.push(", n) cross join lateral ( select thread.* from thread_store.thread where ");
        shape.push_visible(&mut sql);
        push_order(&mut sql, page);
        sql.push(" limit ").push_bind(page.limit).push(" offset ").push_bind(page.offset);
        sql.push(" ) as thread");
        for row in bounded::fetch_all(connection, sql.build()).await? {
            if let Some((_, list)) = lists.get_index_mut(place(&row, 7)?) {
                list.threads.push(Thread::whole(&row)?);
            }
        }
        // Postgres would sort all rows of the statement, which are nearly always in order.
        for list in lists.values_mut() {
            list.threads.sort_by(|one, other| page.order(one, other));
        }
        let mut copied = 0;
        let answers = places.into_iter().map(|place| {
            let (_, list) = lists.get_index_mut(place)?;
            list.next(&mut copied).map(Ok)
        });
        Ok(answers.collect())
    }
}

/// What several callers asked for.
#[derive(Default)]
struct List {
    threads: Vec<Thread>,
    /// Those that have not got it yet.
    callers: usize,
}

impl List {
    /// For the next caller. `None` if all copies would take more memory than an answer may.
    fn next(&mut self, copied: &mut usize) -> Option<Vec<Thread>> {
        self.callers -= 1;
        if self.callers == 0 {
            return Some(std::mem::take(&mut self.threads));
        }
        *copied += self.threads.iter().map(Thread::length).sum::<usize>();
        (*copied <= MOST_BYTES).then(|| self.threads.clone())
    }
}

/// Appends the condition that a thread comes behind where the page begins.
fn push_behind(sql: &mut QueryBuilder<Postgres>, page: &Page) {
    let Some(Behind { value, thread_id }) = &page.behind else { return };
    sql.push(" and (").push(page.sort_by.column()).push(", thread.thread_id) ");
    sql.push(if page.ascending { "> (" } else { "< (" });
    sql.push_bind(value.clone()).push("::text").push(page.sort_by.cast());
    sql.push(", ").push_bind(*thread_id).push(")");
}

fn push_order(sql: &mut QueryBuilder<Postgres>, page: &Page) {
    sql.push(" order by ");
    push_keys(sql, page);
}

fn push_keys(sql: &mut QueryBuilder<Postgres>, page: &Page) {
    let direction = if page.ascending { " asc" } else { " desc" };
    sql.push(page.sort_by.column()).push(direction);
    if page.sort_by != SortKey::ThreadId {
        sql.push(", thread.thread_id").push(direction);
    }
}

fn push_from(sql: &mut QueryBuilder<Postgres>, scope: &Scope, criteria: &Criteria) {
    sql.push(" from thread_store.thread");
    if criteria.values.is_some() {
        push_join_newest_values(sql);
    }
    sql.push(" where ");
    if criteria.is_empty() {
        push_visible(sql, scope);
        return;
    }
    // How to look depends on how rare the conditions are, so such a statement is planned each time.
    push_visible_planned(sql, scope);
    sql.push(" and ");
    push_criteria(sql, criteria);
}

/// Appends the conditions, of which there must be one.
fn push_criteria(sql: &mut QueryBuilder<Postgres>, criteria: &Criteria) {
    let mut word = "";
    if !criteria.metadata.is_empty() {
        push_contains_planned(sql, &criteria.metadata);
        word = " and ";
    }
    if let Some(values) = &criteria.values {
        sql.push(word).push("state.values::jsonb @> ");
        push_jsonb(sql, &values.to_text());
        word = " and ";
    }
    if let Some(status) = criteria.status {
        sql.push(word).push("thread.status = ").push_bind(status.as_str());
        word = " and ";
    }
    if !criteria.ids.is_empty() {
        sql.push(word).push("thread.thread_id = any(");
        sql.push_bind(criteria.ids.clone()).push(")");
    }
}

/// The conditions that the scope does not already make. The on step writes the owner into the
/// metadata of a search too; asking for it twice would hide the owner's index from the planner.
fn not_implied(metadata: &Object, scope: &Scope) -> Object {
    let Some(filter) = scope.filter() else { return metadata.clone() };
    let rest = metadata.iter().filter(|(key, value)| !filter.implies(key, value));
    rest.map(|(key, value)| (key.to_owned(), value.clone())).collect()
}
