//! Counting threads.

use sqlx::Row as _;

use crate::authz::Scope;
use crate::store::operation::{Asked, Operation, column, query, run_one};
use crate::store::pool::{Account, Lease};
use crate::store::sql::condition::Condition;
use crate::store::sql::{Statement, index};
use crate::store::{Criteria, Error, Store};

/// Counts the threads that meet some conditions.
pub(in crate::store) static COUNT: Statement = Statement::new(
    "threads/count",
    "
    select asked.n, counted.threads
    from unnest($1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[])
        with ordinality as asked (tenant, filter, criteria, n)
    cross join lateral (
        select count(*) as threads
        from thread_store.thread
        where thread.tenant = asked.tenant and {visible} and {criteria}
    ) as counted",
);

/// A count.
#[derive(Debug)]
struct Count {
    asked: Asked,
    criteria: String,
}

impl Operation for Count {
    type Answer = i64;
    const KIND: &'static str = "count";

    fn asked(&self) -> &Asked {
        &self.asked
    }

    async fn run(lease: &mut Lease, counts: &[&Count]) -> Result<Vec<Result<i64, Error>>, Error> {
        let Some(first) = counts.first() else { return Ok(Vec::new()) };
        let query = query(&COUNT, &first.asked, counts)
            .bind(column(counts, |count| count.criteria.as_str()));
        let mut answers: Vec<_> = counts.iter().map(|_| Ok(0)).collect();
        for row in lease.fetch_all(query).await? {
            if let Some(answer) = answers.get_mut(index(&row, "n")?) {
                *answer = Ok(row.try_get("threads")?);
            }
        }
        Ok(answers)
    }
}

impl Store {
    /// The number of threads that meet `criteria`.
    pub async fn count_threads(&self, scope: &Scope, criteria: &Criteria) -> Result<i64, Error> {
        self.settle_before(scope, criteria.is_by_status()).await?;
        let criteria = criteria.without_implied(scope);
        let agents = self.agents_values(scope, &criteria).await?;
        if criteria.is_about_digests() {
            return Box::pin(self.count_found(scope, &criteria, &agents)).await;
        }
        let condition = Condition::criteria(&criteria, true, &agents);
        let mut asked = self.asked(scope);
        asked.key.holes.criteria = Some(condition.text);
        let mut count = Count { asked, criteria: condition.values };
        if criteria.is_empty() {
            return self.count_all(count).await;
        }
        // The best plan depends on the selectivity of the conditions.
        count.asked.key = count.asked.key.planned();
        Box::pin(self.run_planned(&count)).await
    }

    /// The number of threads of a scope. The time of a count grows with that number, so it is never
    /// part of a batch. Requests that wait for a connection of their holder's share wait for one
    /// common count.
    async fn count_all(&self, count: Count) -> Result<i64, Error> {
        let question = (count.asked.holder, count.asked.tenant, count.asked.filter.clone());
        let pool = self.pool.clone();
        let counted = self.counts.join(question, |waits| async move {
            let mut lease = pool.acquire(Account::Holder(count.asked.holder)).await?;
            drop(waits);
            let threads = run_one(&mut lease, &count).await?;
            lease.commit().await?;
            Ok(threads)
        });
        counted.await
    }
}
