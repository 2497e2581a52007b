//! Creating threads.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use uuid::Uuid;

use super::delete::Erased;
use super::get::Get;
use crate::authz::Scope;
use crate::json::Object;
use crate::store::digest::TITLE;
use crate::store::operation::{Asked, Fit, Operation, column, run_one};
use crate::store::pool::Lease;
use crate::store::sql::Statement;
use crate::store::thread::thread_columns;
use crate::store::{Error, Held, Store, Thread, Ttl, Update};

/// Creates threads. `$on_conflict` says what happens to an id in use.
macro_rules! create {
    ($on_conflict:literal) => {
        concat!(
            "
    with entered as (
        insert into thread_store.thread_directory (thread_id, tenant)
        select asked.thread_id, asked.tenant
        from unnest($1::bigint[], $2::uuid[]) as asked (tenant, thread_id)",
            $on_conflict,
            "
        returning thread_id
    )
    insert into thread_store.thread (
        tenant, thread_id, created_at, updated_at, state_updated_at, metadata,
        ttl_minutes, ttl_strategy, expires_at
    )
    select asked.tenant, asked.thread_id, moment, moment, moment, asked.metadata::jsonb,
        asked.ttl_minutes, asked.ttl_strategy,
        moment + make_interval(secs => asked.ttl_minutes * 60)
    from unnest($1::bigint[], $2::uuid[], $3::text[], $4::float8[], $5::text[])
        as asked (tenant, thread_id, metadata, ttl_minutes, ttl_strategy)
    join entered using (thread_id)
    cross join statement_timestamp() as moment
    returning ",
            thread_columns!(),
        )
    };
}

/// Creates the threads whose ids are free. There is no row for ids in use.
pub(in crate::store) static CREATE: Statement = Statement::new(
    "threads/create",
    create!(
        "
        on conflict (thread_id) do nothing"
    ),
);

/// The same for ids that this server has just made. There is no `on conflict`, which would look
/// each id up first and enter it in two steps. So an id in use would be an error.
pub(in crate::store) static CREATE_NEW: Statement =
    Statement::new("threads/create_new", create!(""));

/// What to do if the id of a new thread is in use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum IfExists {
    /// Refuse.
    #[default]
    Raise,
    /// Return the existing thread unchanged, if the caller may see it.
    DoNothing,
}

/// A thread to create.
#[derive(Debug, Clone)]
pub struct NewThread {
    /// Its id.
    pub thread_id: Uuid,
    /// Whether this server has just made the id, so that nothing else has it, and a creation need not
    /// look it up.
    pub has_new_id: bool,
    /// Its metadata, including the policy's.
    pub metadata: Object,
    /// How long it is kept. `None`: for ever.
    pub ttl: Option<Ttl>,
}

/// The outcome of a creation.
#[derive(Debug)]
pub enum Created {
    /// A new thread.
    New(Held<Thread>),
    /// An existing thread that the caller may see.
    Existing(Held<Thread>),
    /// The id is in use.
    Conflict,
}

/// The row of a new thread.
#[derive(Debug, Clone)]
pub(in crate::store) struct Insert {
    asked: Asked,
    thread_id: Uuid,
    has_new_id: bool,
    metadata: String,
    ttl: Option<Ttl>,
}

/// `None`: the id is in use.
impl Operation for Insert {
    type Answer = Option<Thread>;
    const KIND: &'static str = "create";

    fn asked(&self) -> &Asked {
        &self.asked
    }

    fn weight(&self) -> usize {
        1 + self.metadata.len() / 8192
    }

    async fn run(
        lease: &mut Lease,
        new: &[&Insert],
    ) -> Result<Vec<Result<Self::Answer, Error>>, Error> {
        let Some(first) = new.first() else { return Ok(Vec::new()) };
        // The first of several creations with the same id wins.
        let mut places = HashMap::new();
        let mut unique = Vec::new();
        for (place, new) in new.iter().copied().enumerate() {
            if let Entry::Vacant(entry) = places.entry(new.thread_id) {
                entry.insert(place);
                unique.push(new);
            }
        }
        let tenants = column(&unique, |new| new.asked.tenant);
        let all_are_new = unique.iter().all(|new| new.has_new_id);
        let statement = if all_are_new { &CREATE_NEW } else { &CREATE };
        let query = first.asked.key.query(statement, tenants);
        let query = query
            .bind(column(&unique, |new| new.thread_id))
            .bind(column(&unique, |new| new.metadata.as_str()))
            .bind(column(&unique, |new| new.ttl.map(|ttl| ttl.minutes)))
            .bind(column(&unique, |new| new.ttl.map(|ttl| ttl.strategy.as_str())));
        let mut answers: Vec<_> = new.iter().map(|_| Ok(None)).collect();
        for row in lease.fetch_all(query).await? {
            let thread = Thread::read(&row)?;
            let place = places.get(&thread.thread_id).copied();
            if let Some(answer) = place.and_then(|place| answers.get_mut(place)) {
                *answer = Ok(Some(thread));
            }
        }
        Ok(answers)
    }
}

impl Store {
    /// Creates a thread of `owner` with its first checkpoints, completely or not at all. An
    /// existing thread is looked up in `scope`.
    pub async fn create_thread(
        &self,
        owner: &Scope,
        scope: &Scope,
        new: NewThread,
        if_exists: IfExists,
        updates: Vec<Update>,
    ) -> Result<Created, Error> {
        let thread_id = new.thread_id;
        let insert = Insert {
            asked: self.asked_within(owner, owner.home().number()),
            thread_id,
            has_new_id: new.has_new_id,
            metadata: new.metadata.to_text(),
            ttl: new.ttl,
        };
        let has_digest = !updates.is_empty() || new.metadata.get(TITLE).is_some();
        let tenant = insert.asked.tenant;
        let is_plain = updates.is_empty() && self.quotas.threads.is_none();
        let created = if is_plain {
            self.inserts.answer(insert.clone()).await?.map(Held::light)
        } else {
            let in_transaction = self.create_in_transaction(owner, &insert, updates.clone());
            match Box::pin(in_transaction).await {
                Err(at_quota @ Error::TooManyThreads(_)) => {
                    // The quota does not matter for a thread that exists.
                    return match (self.thread(scope, thread_id).await?, if_exists) {
                        (None, _) => Err(at_quota),
                        (Some(_), IfExists::Raise) => Ok(Created::Conflict),
                        (Some(thread), IfExists::DoNothing) => Ok(Created::Existing(thread)),
                    };
                }
                created => created?,
            }
        };
        let announce = || {
            if has_digest {
                self.digests.add(tenant, thread_id);
            }
        };
        if let Some(thread) = created {
            announce();
            return Ok(Created::New(thread));
        }
        if self.erase_expired(owner.holder(), thread_id).await? == Erased::All {
            let again = self.create_in_transaction(owner, &insert, updates);
            if let Some(thread) = Box::pin(again).await? {
                announce();
                return Ok(Created::New(thread));
            }
        }
        let existing = match if_exists {
            IfExists::Raise => None,
            IfExists::DoNothing => self.thread(scope, thread_id).await?,
        };
        Ok(existing.map_or(Created::Conflict, Created::Existing))
    }

    /// `None`: the id is in use.
    async fn create_in_transaction(
        &self,
        owner: &Scope,
        insert: &Insert,
        updates: Vec<Update>,
    ) -> Result<Option<Held<Thread>>, Error> {
        let (mut transaction, _guard) = self.begin_creating(owner).await?;
        let Some(thread) = run_one(&mut transaction, insert).await? else { return Ok(None) };
        if updates.is_empty() {
            transaction.commit().await?;
            return Ok(Some(Held::light(thread)));
        }
        let asked = insert.asked.clone().own();
        self.first_checkpoints(&mut transaction, &asked, insert.thread_id, updates).await?;
        let get = Get::new(asked, insert.thread_id);
        let created = run_one(&mut transaction, &get).await?;
        transaction.commit().await?;
        match created {
            None => Ok(None),
            Some(Fit::Whole(thread)) => Ok(Some(Held::light(thread))),
            Some(Fit::TooLarge(bytes)) => self.large_thread(get, bytes).await,
        }
    }
}
