//! What clients see, over real sockets and a real Postgres.

#![cfg(all(feature = "embedded", feature = "local-auth"))]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "what is missing has to fail its test"
)]

mod clients;
mod create;
mod delete;
mod get;
mod growth;
mod history;
mod instances;
mod limits;
mod local_auth;
mod program;
mod sse;
mod state;
mod stream;
mod supersteps;
mod support;
mod tutorial;
mod update;
