//! The embedded database, on real processes.

#![cfg(feature = "embedded")]
#![expect(clippy::disallowed_methods, reason = "tests read their own environment")]

#[expect(dead_code, reason = "made for the tests of the API")]
#[path = "../api/support/deadline.rs"]
mod deadline;
mod download;
mod life;
#[expect(dead_code, reason = "made for the tests of the API")]
#[path = "../api/support/postgres.rs"]
mod postgres;
mod refusals;
mod scratch;
mod test_support;
