//! What clients see, over real sockets and a real Postgres.

#![cfg(all(feature = "embedded", feature = "local-auth"))]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "what is missing has to fail its test"
)]

mod address;
mod attach;
mod backup;
mod bad_input;
mod caps;
mod checkpoints;
mod clients;
mod copy;
mod cors;
mod count;
mod create;
mod credentials;
mod database_log;
mod delete;
mod deploy;
mod digests;
mod docs;
mod export;
mod fair;
mod filters;
mod get;
mod growth;
mod health;
mod history;
mod import;
mod instances;
mod interference;
mod isolation;
mod jwks;
mod limits;
mod local_auth;
mod log_lines;
mod matrix;
mod messages;
mod metrics;
mod migrate;
mod not_served;
mod oidc;
mod openapi;
mod page;
mod partitions;
mod plans;
mod plans_of_finds;
mod pooler;
mod program;
mod protection;
mod prune;
mod raw;
mod revocation;
mod runs;
mod schema;
mod search;
mod search_filter;
mod search_query;
mod settings;
mod shared;
mod sign_in_log;
mod sse;
mod state;
mod storage;
mod stream;
mod stream_events;
mod supersteps;
mod support;
mod system;
mod team;
mod team_tenant;
mod token_cache;
mod ttl;
mod tutorial;
mod update;
mod upstream;
