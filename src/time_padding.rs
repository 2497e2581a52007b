//! Answers about threads that a user does not see come at a time that does not tell why.
//!
//! A thread of somebody else's is found and then not shown, a missing one is not found at all:
//! that takes Postgres some microseconds less, and whoever asks often enough can measure it. So
//! both wait for the end of the same step of time. Where a step begins is chosen at random for
//! each request, so that nobody can place their requests right before its end.

use std::time::Duration;

use axum::response::Response;
use tokio::time::Instant;

use crate::error::Hidden;

/// Far longer than what there is to hide, and short for the user who asked for a wrong thread.
const STEP: Duration = Duration::from_millis(10);

/// Holds back an answer that says [`Hidden`] until the end of its step.
pub(crate) async fn hold_back(answer: impl Future<Output = Response>) -> Response {
    let arrived = Instant::now();
    let response = answer.await;
    if response.extensions().get::<Hidden>().is_some() {
        let lead = rand::random_range(Duration::ZERO..STEP);
        tokio::time::sleep_until(arrived + end_of_step(lead, arrived.elapsed())).await;
    }
    response
}

/// When to answer, counted from the arrival, which was `lead` after the beginning of a step.
fn end_of_step(lead: Duration, elapsed: Duration) -> Duration {
    let steps = (lead + elapsed).div_duration_f64(STEP).ceil().max(1.0);
    STEP.mul_f64(steps).saturating_sub(lead)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_within_a_step_ends_with_it() {
        let end = |lead, elapsed| {
            end_of_step(Duration::from_micros(lead), Duration::from_micros(elapsed)).as_micros()
        };
        assert_eq!([end(0, 0), end(0, 400), end(0, 409)], [10_000; 3]);
        assert_eq!([end(3_000, 400), end(3_000, 409)], [7_000; 2]);
        assert_eq!([end(9_000, 999), end(9_000, 1_001)], [1_000, 11_000]);
        assert_eq!([end(9_000, 10_999), end(9_000, 11_001)], [11_000, 21_000]);
    }
}
