//! A server of its own rules: threads that a team shares. The rules are in `policy.rs`, all
//! else is thread-store. Takes the same settings and commands as the program itself:
//!
//! ```text
//! cargo run --example team
//! ```

mod policy;

use std::io::Write;

use thread_store::config::{Command, Config};
use thread_store::server::{Server, StopSignal};
use thread_store::{healthcheck, telemetry};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (command, config) = Config::from_environment()?;
    telemetry::init(&config)?;
    if let Command::Healthcheck = command {
        return healthcheck(&config).await;
    }
    let stop = StopSignal::of_process()?;
    let server = Server::start(config, policy::team).await?;
    std::io::stdout().write_all(server.banner().as_bytes())?;
    server.run(stop).await;
    Ok(())
}
