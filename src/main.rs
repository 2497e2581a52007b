//! The program: settings, logging, then the server until it is told to stop.
//!
//! Exit codes: 0 stopped as asked, 1 could not start or broke, 64 a wrong setting.

use std::io::Write;
use std::process::ExitCode;

use thread_store::auth::private_threads;
use thread_store::config::{Command, Config};
use thread_store::server::{Server, stop_signal};
use thread_store::{healthcheck, telemetry};

fn main() -> ExitCode {
    let (command, config) = match Config::from_environment() {
        Ok(settings) => settings,
        Err(error) => return fail(&error, 64),
    };
    if let Err(error) = telemetry::init(&config) {
        return fail(&error, 64);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, 1),
    };
    let outcome = runtime.block_on(async {
        match command {
            Command::Serve => serve(config).await,
            Command::Healthcheck => healthcheck(&config).await,
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&*error, 1),
    }
}

async fn serve(config: Config) -> anyhow::Result<()> {
    // From here on a signal ends the start as cleanly as it ends the server.
    let stop = stop_signal()?;
    let server = Server::start(config, private_threads).await?;
    let _ = std::io::stdout().write_all(server.banner().as_bytes());
    server.run(stop).await?;
    Ok(())
}

fn fail(error: &dyn std::fmt::Display, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "thread-store: {error}");
    ExitCode::from(code)
}
