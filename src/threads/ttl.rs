//! How long clients want a thread to be kept.

use serde::Deserialize;
use utoipa::ToSchema;

use super::{Strategy, Ttl};
use crate::error::Error;
use crate::extract::{ObjectOf, name, present};

/// How long to keep a thread, from now on.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct TtlRequest {
    /// Minutes, positive and finite. Absent: for ever.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, exclusive_minimum = 0, maximum = 1_000_000_000)]
    ttl: Option<f64>,
    /// What happens then.
    #[serde(default, deserialize_with = "name")]
    #[schema(nullable = false)]
    strategy: Option<Strategy>,
}

/// The ttl to store for what a client sent (`DECISIONS.md` D15).
pub(super) fn accepted(sent: Option<ObjectOf<TtlRequest>>) -> Result<Option<Ttl>, Error> {
    let given = sent.and_then(|ObjectOf(sent)| Some((sent.ttl?, sent.strategy)));
    let Some((minutes, strategy)) = given else {
        return Ok(None);
    };
    Ttl::new(minutes, strategy.unwrap_or_default()).map(Some).ok_or_else(|| {
        Error::Invalid(format!(
            "ttl.ttl: {minutes} is not a number of minutes above 0 and up to {}",
            Ttl::MOST_MINUTES
        ))
    })
}
