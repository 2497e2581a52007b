//! What clients see, over real sockets and a real Postgres.

#![cfg(all(feature = "embedded", feature = "local-auth"))]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "what is missing has to fail its test"
)]

mod jwks;
mod local_auth;
mod oidc;
mod support;
mod token_cache;
mod tutorial;
mod upstream;
