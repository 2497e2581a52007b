//! Counting threads.

use sqlx::Row as _;

use crate::authz::Scope;
use crate::store::operation::{Asked, Operation, column, query};
use crate::store::pool::Lease;
use crate::store::sql::condition::Condition;
use crate::store::sql::{Statement, index};
use crate::store::{Criteria, Error, Store};

/// How many threads meet some conditions.
pub(in crate::store) static COUNT: Statement = Statement::new(
    "threads/count",
    "
    select asked.n, (
        select count(*)
        from thread_store.thread
        where thread.tenant = asked.tenant and {visible} and {criteria}
    ) as threads
    from unnest($1::bigint[], $2::text[]::jsonb[], $3::text[]::jsonb[])
        with ordinality as asked (tenant, filter, criteria, n)",
);

/// A count.
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
    /// How many threads meet `criteria`.
    pub async fn count_threads(&self, scope: &Scope, criteria: &Criteria) -> Result<i64, Error> {
        self.settle_before(scope, criteria.status.is_some()).await?;
        let criteria = criteria.without_implied(scope);
        let agents = self.agents_with_values(scope, &criteria).await?;
        let condition = Condition::criteria(&criteria, true, &agents);
        let mut asked = self.asked(scope);
        asked.key.holes.criteria = Some(condition.text);
        let mut count = Count { asked, criteria: condition.values };
        if criteria.is_empty() {
            return self.run_alone(&count).await;
        }
        // How to look depends on how rare the conditions are.
        count.asked.key = count.asked.key.planned();
        self.run_planned(&count).await
    }
}
