//! The embedded database, on real processes.

#![cfg(feature = "embedded")]

mod download;
mod life;
#[path = "../api/support/postgres.rs"]
mod postgres;
mod refusals;
mod scratch;
mod test_support;
