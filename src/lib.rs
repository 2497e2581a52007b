//! The `/threads` API of the LangGraph Server on Postgres, with private threads for every user.
//!
//! The path of a request: [`server`] (its router) → [`http`] (authentication, and the common parts
//! of all endpoints) → `api` (one file per endpoint) → [`authz`] (authorization) → [`store`] (the
//! only SQL). Custom policies are written with [`auth`]. `ARCHITECTURE.md` has the map and the
//! invariants.

#[cfg(all(test, feature = "embedded"))]
extern crate self as thread_store;

pub mod agent;
pub mod attach;
pub mod auth;
pub mod authn;
pub mod authz;
pub mod checkpoints;
pub mod config;
pub mod digest;
#[cfg(feature = "embedded")]
pub mod embedded_postgres;
pub mod http;
pub mod http_client;
pub mod import;
pub mod json;
pub mod jws;
#[cfg(feature = "local-auth")]
pub mod local_sign_in;
pub mod messages;
pub mod server;
pub mod shares;
pub mod store;
pub mod text;
pub mod time;

mod api;
mod distribute;
mod healthcheck;
mod metrics;
mod migrate;
#[cfg(feature = "app")]
mod page;
mod progress;
#[cfg(all(test, feature = "embedded"))]
#[expect(dead_code, clippy::disallowed_methods, reason = "shared with the tests of the API")]
#[path = "../tests/api/support/postgres.rs"]
mod test_postgres;

pub use api::openapi::document as openapi;
pub use distribute::distribute;
pub use healthcheck::healthcheck;
pub use migrate::migrate;
