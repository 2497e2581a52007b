//! The program: settings, logging, then the server until a signal to stop, or another command.
//!
//! Exit codes: 0 for a normal stop or a completed command, 1 for a failure or an incomplete
//! command, 64 for a wrong setting.

use std::io::Write;
use std::process::ExitCode;

use thread_store::auth::private_threads;
use thread_store::config::{Command, Config};
use thread_store::server::{Server, StopSignal, reindex, telemetry};
use thread_store::{attach, distribute, healthcheck, import, migrate};

/// A request allocates and frees a few hundred small values on different threads, for which the
/// system's allocator is slow.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let (command, logging) = match Command::from_environment() {
        Ok(settings) => settings,
        Err(error) => return fail(&error, 64),
    };
    let log = match telemetry::init(&logging) {
        Ok(log) => log,
        Err(error) => return fail(&error, 64),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, 1),
    };
    let outcome = runtime.block_on(async {
        match command {
            Command::Serve(config) => serve(*config).await,
            Command::Healthcheck(config) => healthcheck(&config).await,
            Command::Migrate(database) => migrate(&database).await,
            Command::Reindex(config) => Ok(reindex(&config).await?),
            Command::Distribute(database) => distribute(&database).await,
            Command::Import(asked) => import::run(*asked).await,
            Command::Attach(asked) => attach::attach(*asked).await,
            Command::Detach(database) => attach::detach(&database).await,
        }
    });
    // The last lines of the log are written before the error.
    drop(log);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&with_causes(&error), 1),
    }
}

/// The error with its causes, without those that its text already contains.
fn with_causes(error: &anyhow::Error) -> String {
    error.chain().skip(1).fold(error.to_string(), |text, cause| {
        let cause = cause.to_string();
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}

async fn serve(config: Config) -> anyhow::Result<()> {
    // From here on a signal stops a starting server as cleanly as a running one.
    let mut stop = StopSignal::of_process()?;
    let server = tokio::select! {
        server = Server::start(config, private_threads) => server?,
        // The next start takes over a Postgres that is already running.
        () = stop.next() => return Ok(()),
    };
    let _ = std::io::stdout().write_all(server.banner().as_bytes());
    server.run(stop).await;
    Ok(())
}

fn fail(error: &dyn std::fmt::Display, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "thread-store: {error}");
    ExitCode::from(code)
}
