//! Properties, over real sockets and a real Postgres: what holds whatever clients send.
//!
//! `PROPTEST_CASES` sets how many cases each property tries. A failure prints its smallest case.

#![cfg(all(feature = "embedded", feature = "local-auth"))]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "what is missing has to fail its test"
)]

#[expect(dead_code, reason = "made for the tests of the API")]
#[path = "../api/attach/agent.rs"]
mod agent;
mod checkpoints;
mod filter;
mod json;
mod query;
mod schedules;
mod search;
#[expect(dead_code, reason = "made for the tests of the API")]
#[path = "../api/support/mod.rs"]
mod support;
mod together;

use std::fmt::Debug;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestRunner};
use support::TestServer;

/// Tries a property on cases of a strategy, all on one server.
fn check<S: Strategy<Value: Debug>>(
    cases: u32,
    strategy: &S,
    property: &impl AsyncFn(&TestServer, S::Value),
) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let server = runtime.block_on(TestServer::start());
    let is_set = std::env::var_os("PROPTEST_CASES").is_some();
    let default = Config::default();
    let config = Config {
        cases: if is_set { default.cases } else { cases },
        max_shrink_iters: 400,
        failure_persistence: None,
        ..default
    };
    let outcome = TestRunner::new(config).run(strategy, |case| {
        runtime.block_on(property(&server, case));
        Ok(())
    });
    assert_eq!(outcome.map_err(|failure| failure.to_string()), Ok(()));
}
