//! The `/threads` API of the `LangGraph` Server on Postgres.

#[cfg(feature = "embedded")]
pub mod embedded;
