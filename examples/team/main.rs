//! A server with its own rules: threads that a team shares. The rules are in `policy.rs`,
//! everything else is thread-store. Takes the same settings and commands as the program itself:
//!
//! ```text
//! cargo run --example team
//! ```

mod policy;

use std::io::Write;

use thread_store::config::Command;
use thread_store::server::{Server, StopSignal, reindex, telemetry};
use thread_store::{attach, distribute, healthcheck, import, migrate};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (command, logging) = Command::from_environment()?;
    let _log = telemetry::init(&logging)?;
    let config = match command {
        Command::Serve(config) => config,
        Command::Healthcheck(config) => return healthcheck(&config).await,
        Command::Migrate(database) => return migrate(&database).await,
        Command::Reindex(config) => return Ok(reindex(&config).await?),
        Command::Distribute(database) => return distribute(&database).await,
        Command::Import(asked) => return import::run(*asked).await,
        Command::Attach(asked) => return attach::attach(*asked).await,
        Command::Detach(database) => return attach::detach(&database).await,
    };
    let stop = StopSignal::of_process()?;
    let server = Server::start(*config, policy::team).await?;
    std::io::stdout().write_all(server.banner().as_bytes())?;
    server.run(stop).await;
    Ok(())
}
