//! The `/threads` API of the LangGraph Server on Postgres, with private threads for every user.
//!
//! The way of a request: [`router`] → [`auth`] (authenticate, then on) → [`threads`] (one file
//! an endpoint) → [`store`] (the only SQL). `ARCHITECTURE.md` has the map and the invariants.

pub mod app;
pub mod auth;
pub mod config;
#[cfg(feature = "embedded")]
pub mod embedded;
pub mod error;
pub mod extract;
pub mod import;
pub mod json;
#[cfg(feature = "local-auth")]
pub mod local_auth;
pub mod messages;
pub mod router;
pub mod server;
pub mod shares;
pub mod store;
pub mod telemetry;
pub mod threads;
pub mod time;

mod access_log;
mod admit;
mod answer;
mod cors;
mod healthcheck;
mod json_body;
mod listener;
mod metrics;
mod migrate;
mod not_served;
mod openapi;
#[cfg(feature = "app")]
mod page;
mod system;

pub use healthcheck::healthcheck;
pub use migrate::migrate;
pub use openapi::document as openapi;
