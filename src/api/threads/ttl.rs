//! The ttl in clients' requests.

use serde::Deserialize;
use utoipa::ToSchema;
use utoipa::openapi::Ref;
use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, Schema, Type};

use crate::http::{Error, ObjectOf, name, present};
use crate::json::{Raw, excerpt, without_position};
use crate::store::{Strategy, Ttl, TtlChange};

/// How long to keep a thread, from now on.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct TtlRequest {
    /// Minutes, positive and finite. A change may leave it out, a new thread may not.
    #[serde(default, deserialize_with = "present")]
    #[schema(required = true, nullable = false, exclusive_minimum = 0, maximum = 1_000_000_000)]
    ttl: Option<f64>,
    /// The action when the time is over.
    #[serde(default, deserialize_with = "name")]
    #[schema(nullable = false)]
    strategy: Option<Strategy>,
}

/// A change of a ttl, for the OpenAPI document: a [`TtlRequest`], a strategy alone, or null.
pub(super) fn change_schema() -> Schema {
    let minutes = ObjectBuilder::new()
        .schema_type(Type::Number)
        .exclusive_minimum(Some(0))
        .maximum(Some(1_000_000_000));
    let with_strategy = ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("strategy", Ref::from_schema_name("Strategy"))
        .property("ttl", minutes)
        .required("strategy");
    let forms = AnyOfBuilder::new()
        .item(Ref::from_schema_name("TtlRequest"))
        .item(with_strategy)
        .item(ObjectBuilder::new().schema_type(Type::Null));
    Schema::AnyOf(forms.build())
}

/// The ttl of a new thread (D15).
pub(super) fn accepted(sent: Option<ObjectOf<TtlRequest>>) -> Result<Option<Ttl>, Error> {
    let Some(ObjectOf(sent)) = sent else { return Ok(None) };
    let Some(minutes) = sent.ttl else {
        return Err(Error::Invalid("ttl.ttl: a number of minutes is missing".into()));
    };
    checked(minutes, sent.strategy.unwrap_or_default()).map(Some)
}

/// The change of a thread's ttl (D26): null removes it, and absent parts are unchanged.
pub(super) fn changed(sent: Option<Raw>) -> Result<Option<TtlChange>, Error> {
    let Some(sent) = sent else { return Ok(None) };
    if sent.is_null() {
        return Ok(Some(TtlChange::Clear));
    }
    let ObjectOf(sent) = sent.parse::<ObjectOf<TtlRequest>>().map_err(|error| {
        Error::Invalid(format!("ttl: {}", excerpt(without_position(&error.to_string()))))
    })?;
    match (sent.ttl, sent.strategy) {
        (Some(minutes), strategy) => {
            checked(minutes, Strategy::Delete)?;
            Ok(Some(TtlChange::Minutes(minutes, strategy)))
        }
        (None, Some(strategy)) => Ok(Some(TtlChange::Strategy(strategy))),
        (None, None) => Err(Error::Invalid("ttl: must have `ttl` or `strategy`".into())),
    }
}

fn checked(minutes: f64, strategy: Strategy) -> Result<Ttl, Error> {
    Ttl::new(minutes, strategy).ok_or_else(|| {
        let max = Ttl::MAX_MINUTES;
        Error::Invalid(format!("ttl.ttl: must be a number of minutes above 0 and up to {max}"))
    })
}
