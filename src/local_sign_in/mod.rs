//! The local sign-in: a development stand-in for Supabase Auth (`GoTrue`) at
//! `/auth/v1` of this server.
//!
//! It answers as Supabase Auth v2.196 does with automatic confirmation, so that the Supabase client
//! libraries and this program's authenticate handler work with it unchanged. All of its data is in
//! the Postgres schema `local_auth`, except the signing secret, which is a file in the data
//! directory.

mod api_version;
mod bearer;
mod disabled;
mod email;
mod error;
mod guesses;
mod json_body;
mod jwt;
mod links;
mod logout;
mod model;
mod origin;
mod password;
mod pkce;
mod router;
mod secret;
mod session;
mod signup;
mod store;
mod token;
mod user;
mod verify;

use std::{fmt, io, path::Path, path::PathBuf, sync::Arc};

use sqlx::{PgPool, migrate::MigrateError};
use url::Url;

pub(crate) use self::origin::loopback_host;
#[cfg(test)]
pub(crate) use self::store::MIGRATIONS;
use self::{guesses::Guesses, jwt::Jwt, origin::Origins, password::Passwords, store::Store};
use crate::config::CorsOrigins;

/// Why the local sign-in could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Its tables could not be created or brought up to date.
    #[error("could not prepare the tables of the local sign-in")]
    Migrate(#[from] MigrateError),
    /// Its signing secret could be neither read nor created.
    #[error("could not read or create the signing secret {}", path.display())]
    Secret {
        /// The file of the secret.
        path: PathBuf,
        /// The error of the file system.
        source: io::Error,
    },
    /// The file exists but does not contain a signing secret.
    #[error("{} is not a signing secret; delete it to get a new one", path.display())]
    DamagedSecret {
        /// The file of the secret.
        path: PathBuf,
    },
}

/// The local sign-in, ready to be mounted. Clones share all data.
#[derive(Clone)]
pub struct LocalAuth {
    store: Store,
    jwt: Arc<Jwt>,
    passwords: Passwords,
    guesses: Guesses,
    origins: Arc<Origins>,
}

impl LocalAuth {
    /// Brings the tables up to date and loads the signing secret from `data_dir`, or creates it
    /// there on the first run. `site` is the address of this server: with `/auth/v1` it is the
    /// `iss` claim of every token. Pages of this machine and of the listed `origins` may sign in.
    pub async fn open(
        pool: PgPool,
        data_dir: &Path,
        site: Url,
        origins: CorsOrigins,
    ) -> Result<Self, Error> {
        let secret = secret::load_or_create(data_dir)?;
        store::migrate(&pool).await?;
        Ok(Self {
            store: Store::new(pool),
            jwt: Arc::new(Jwt::new(&secret, format!("{}auth/v1", site.as_str()))),
            passwords: Passwords::new(),
            guesses: Guesses::new(),
            origins: Arc::new(Origins::new(origins, site)),
        })
    }

    /// The routes, all of them absolute and below `/auth/v1`.
    pub fn router(self) -> axum::Router {
        router::router(self)
    }
}

impl fmt::Debug for LocalAuth {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LocalAuth").finish_non_exhaustive()
    }
}
