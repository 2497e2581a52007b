//! Finds threads by their digests, or with data from them.
//!
//! The statements of a search see the same snapshot. The first makes the digests that the scope
//! lacks in that snapshot, the second searches all of them. So a search is correct for the newest
//! state, even if the background task is behind, and shows nothing that was deleted.

use std::collections::{HashMap, VecDeque};

use sqlx::Row as _;
use uuid::Uuid;

use super::page::{Page, Wanted, page};
use super::rows::{Found, Outcome, Search};
use crate::authz::Scope;
use crate::digest::{Match, matches};
use crate::store::criteria::AgentsValues;
use crate::store::digest::{Fresh, Source, is_current, named, read_all};
use crate::store::error::MAX_STATE_ANSWER;
use crate::store::operation::{Asked, MAX_PAGE, run_one};
use crate::store::pool::Lease;
use crate::store::sql::Statement;
use crate::store::sql::condition::Condition;
use crate::store::summary::Summary;
use crate::store::thread::thread_columns;
use crate::store::{Criteria, Error, Held, Store, Thread};
use crate::text::Query;

/// Threads with their digests: those that the search has made, or else the stored ones. `has_digest`:
/// there is one of the current state, or none is needed.
///
/// `offset 0` makes the plan look up each thread's digest. How the planner would join the two tables
/// depends on how many threads others have.
macro_rules! with_digests {
    () => {
        concat!(
            "
                select thread.*,
                    case when fresh.digest is null then digest.title
                        else fresh.digest ->> 'title' end as title,
                    case when fresh.digest is null then digest.preview
                        else fresh.digest ->> 'preview' end as preview,
                    case when fresh.digest is null then coalesce(digest.message_count, 0)
                        else (fresh.digest ->> 'message_count')::bigint end as message_count,
                    case when fresh.digest is null then digest.last_message_at
                        else (fresh.digest ->> 'last_message_at')::timestamptz
                    end as last_message_at,
                    fresh.digest ->> 'text' as fresh_text,
                    fresh.digest is not null or coalesce(",
            is_current!(),
            ", false) as has_digest
                from thread_store.thread
                left join lateral (
                    select *
                    from thread_store.digest
                    where digest.tenant = asked.tenant
                        and digest.thread_id = thread.thread_id
                    offset 0
                ) as digest on true
                cross join lateral (
                    select asked.criteria #> array['0', thread.thread_id::text] as digest
                    offset 0
                ) as fresh
                where thread.tenant = asked.tenant"
        )
    };
}

/// Threads in any order, with their digests.
pub(in crate::store) static FIND: Statement = Statement::new(
    "threads/find",
    page!(
        concat!(
            ", thread.title, thread.preview, thread.message_count, thread.last_message_at, \
             thread.has_digest, case when thread.last_seq = 0 then ",
            named!(),
            " end as named"
        ),
        concat!(
            "
            select *
            from (",
            with_digests!(),
            "
            ) as thread
            where {visible}
                and ({key}, thread.thread_id) {behind} (asked.behind::{type}, asked.behind_id)
                and {criteria}
            order by {key} {direction}, thread.thread_id {direction}
            limit asked.max_threads
            offset asked.skipped"
        )
    ),
);

/// Counts the threads that meet some conditions on their digests.
pub(in crate::store) static COUNT_FOUND: Statement = Statement::new(
    "threads/count_found",
    concat!(
        "
    select asked.n, (
        select count(*)
        from (",
        with_digests!(),
        "
        ) as thread
        where {visible} and {criteria}
    ) as threads
    from unnest($1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[])
        with ordinality as asked (tenant, filter, criteria, n)"
    ),
);

impl Store {
    /// The threads that meet `criteria` with their digests.
    pub(super) async fn find_threads(
        &self,
        scope: &Scope,
        criteria: &Criteria,
        agents: &AgentsValues,
        page: Page,
        wanted: Wanted,
    ) -> Result<Held<Found>, Error> {
        let mut search = Search::new(self.asked(scope), &FIND, page, wanted.values);
        search.with_digests = true;
        let bytes = match self.find(scope, (criteria, agents), &mut search, wanted).await? {
            Outcome::Page(found) => return Ok(Held::light(found)),
            Outcome::TooLarge(bytes) => bytes.min(MAX_PAGE.max(MAX_STATE_ANSWER)),
            Outcome::GoesOn => return Err(Error::Overloaded),
        };
        let memory = Some(self.memory(search.asked.holder, bytes).await);
        (search.max_bytes, search.has_one) = (MAX_PAGE, true);
        match self.find(scope, (criteria, agents), &mut search, wanted).await? {
            Outcome::Page(value) => Ok(Held { value, memory }),
            Outcome::TooLarge(_) | Outcome::GoesOn => Err(Error::Overloaded),
        }
    }

    async fn find(
        &self,
        scope: &Scope,
        (criteria, agents): (&Criteria, &AgentsValues),
        search: &mut Search,
        wanted: Wanted,
    ) -> Result<Outcome, Error> {
        let all = self.asked(scope);
        let mut lease = self.begin_finding(&all).await?;
        let needs_all = criteria.is_about_digests() || search.page.sort_by.is_of_digest();
        let fresh =
            if needs_all { self.fresh_digests(&mut lease, &all).await? } else { Fresh::default() };
        let fresh = fresh.into_json();
        search.set_criteria(&Condition::criteria_with_digests(criteria, agents, &fresh));
        search.asked.key = search.asked.key.clone().planned();
        let mut outcome = run_one(&mut lease, search).await?;
        if let Outcome::Page(found) = &mut outcome {
            let query = criteria.query.as_ref().filter(|_| wanted.matches);
            self.complete(&mut lease, &all, &mut found.threads, query).await?;
        }
        lease.commit().await?;
        Ok(outcome)
    }

    async fn begin_finding(&self, asked: &Asked) -> Result<Lease, Error> {
        let mut lease = self.pool.begin_planned(asked.holder).await?;
        lease.see_one_moment().await?;
        Ok(lease)
    }

    /// The number of threads that meet `criteria`, which are about digests.
    pub(super) async fn count_found(
        &self,
        scope: &Scope,
        criteria: &Criteria,
        agents: &AgentsValues,
    ) -> Result<i64, Error> {
        let all = self.asked(scope);
        let mut lease = self.begin_finding(&all).await?;
        let fresh = self.fresh_digests(&mut lease, &all).await?.into_json();
        let condition = Condition::criteria_with_digests(criteria, agents, &fresh);
        let mut asked = all;
        asked.key.holes.criteria = Some(condition.text);
        asked.key = asked.key.planned();
        let count = asked.query(&COUNT_FOUND).bind(vec![condition.values]);
        let row = lease.fetch_optional(count).await?;
        lease.commit().await?;
        Ok(row.map_or(Ok(0), |row| row.try_get("threads"))?)
    }

    /// Adds missing digests and matches to the threads of a page.
    async fn complete(
        &self,
        lease: &mut Lease,
        asked: &Asked,
        threads: &mut [Thread],
        query: Option<&Query>,
    ) -> Result<(), Error> {
        let lacking = threads.iter().filter(|thread| query.is_some() || thread.digest.is_none());
        let mut left: VecDeque<Uuid> = lacking.map(|thread| thread.thread_id).collect();
        let mut by_id: HashMap<Uuid, &mut Thread> =
            threads.iter_mut().map(|thread| (thread.thread_id, thread)).collect();
        while !left.is_empty() {
            let sources = self.sources_of(lease, asked, left.make_contiguous()).await?;
            let read: Vec<_> =
                sources.into_iter().filter(|source| source.messages.is_some()).collect();
            // Each statement reads at least one thread.
            if read.is_empty() {
                break;
            }
            left.retain(|id| !read.iter().any(|source| source.thread_id == *id));
            let known = |source: &Source| {
                by_id.get(&source.thread_id).is_some_and(|thread| thread.digest.is_some())
            };
            let known: Vec<_> = read.iter().map(known).collect();
            let query = query.cloned();
            let read = read_all(read, move |sources| {
                let sources = sources.into_iter().zip(known);
                sources
                    .map(|(source, known)| Shown::of(&source, known, query.as_ref()))
                    .collect::<Vec<_>>()
            });
            for shown in read.await? {
                let Some(thread) = by_id.get_mut(&shown.thread_id) else { continue };
                let summary = shown.summary.or_else(|| thread.digest.take()).unwrap_or_default();
                thread.digest = Some(Summary { matches: shown.matches, ..summary });
            }
        }
        Ok(())
    }
}

/// The parts of an answer that are made from a thread's messages.
struct Shown {
    thread_id: Uuid,
    /// `None`: its digest is stored.
    summary: Option<Summary>,
    matches: Vec<Match>,
}

impl Shown {
    fn of(source: &Source, has_digest: bool, query: Option<&Query>) -> Shown {
        let (title, messages) = (source.named.as_deref(), source.messages.as_deref());
        let found = |query| matches(title, messages.unwrap_or("[]"), query);
        Shown {
            thread_id: source.thread_id,
            summary: (!has_digest).then(|| source.summary(&source.digest())),
            matches: query.map(found).unwrap_or_default(),
        }
    }
}
