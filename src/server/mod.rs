//! The running server: start and stop ([`Server`]), its routes, its connections and its log.

mod background;
mod banner;
mod database;
mod error;
mod lifecycle;
mod listener;
mod reindex;
mod router;
mod sign_in;
mod stop_signal;
pub mod telemetry;

pub use error::StartError;
pub use lifecycle::Server;
pub use reindex::reindex;
pub use stop_signal::StopSignal;
