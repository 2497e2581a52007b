//! Opens the database, and the store on top of it.

use sqlx::postgres::PgConnectOptions;
#[cfg(feature = "embedded")]
use tracing::warn;

use super::error::StartError;
use crate::config::{Config, Database, Schema, place};
#[cfg(feature = "embedded")]
use crate::embedded_postgres::{self, Embedded};
use crate::http::AppShares;
use crate::store::{self, OpenError, Store};

/// Whether this program runs the database.
pub(super) enum Running {
    External,
    #[cfg(feature = "embedded")]
    Embedded(Box<Embedded>),
}

impl Running {
    #[cfg_attr(
        not(feature = "embedded"),
        expect(clippy::unused_async, reason = "for the embedded one")
    )]
    pub(super) async fn stop(self) {
        #[cfg(feature = "embedded")]
        if let Running::Embedded(database) = self
            && let Err(error) = database.stop().await
        {
            warn!(%error, "the embedded database did not stop cleanly");
        }
    }
}

pub(super) async fn open_database(
    config: &Config,
) -> Result<(PgConnectOptions, Running, String), StartError> {
    match &config.database {
        Database::External { url: options, .. } => {
            let name = format!("PostgreSQL at {}", place(options));
            Ok(((**options).clone(), Running::External, name))
        }
        #[cfg(feature = "embedded")]
        Database::Embedded { bin_dir, archive_url } => {
            let database = Embedded::start(embedded_postgres::Options {
                data_dir: config.data_dir.clone(),
                bin_dir: bin_dir.clone(),
                archive_url: archive_url.clone(),
                durability: embedded_postgres::Durability::Durable,
            })
            .await?;
            let name = database.describe();
            Ok((database.connect_options(), Running::Embedded(Box::new(database)), name))
        }
    }
}

/// Brings the schema up to date, or checks it, before anything else connects.
pub(super) async fn open_store(
    config: &Config,
    database: PgConnectOptions,
    shares: &AppShares,
) -> Result<Store, OpenError> {
    let direct = match &config.database {
        Database::External { direct, .. } => direct.clone(),
        #[cfg(feature = "embedded")]
        Database::Embedded { .. } => None,
    };
    let options = store::Options {
        max_connections: config.database_max_connections,
        connections_per_user: config.database_connections_per_user,
        timeout: config.database_timeout,
        pooler: config.database_pooler,
        direct,
        aes_key: config.aes_key.clone(),
        owner_key: config.agent.as_ref().map(|agent| agent.owner_key.clone()),
        quotas: store::Quotas {
            threads: config.limits.threads_per_user,
            state_bytes: config.limits.state_bytes,
        },
        memory: shares.answer_bytes.clone(),
    };
    match config.schema {
        Schema::Check => Store::open_unchanged(database, options).await,
        Schema::Migrate => Store::open(database, options).await,
    }
}
