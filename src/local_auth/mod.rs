//! The local sign-in: a development stand-in for Supabase Auth (`GoTrue`) at
//! `/auth/v1` of this server.
//!
//! It answers as Supabase Auth v2.196 does with autoconfirm on, so that the
//! Supabase client libraries and our own authenticate handler run against it
//! unchanged. Everything it keeps lives in the Postgres schema `local_auth`,
//! but for the signing secret, which is a file in the data directory.

mod bearer;
mod email;
mod error;
mod json_body;
mod jwt;
mod logout;
mod model;
mod password;
mod router;
mod secret;
mod session;
mod signup;
mod store;
mod token;
mod user;

use std::{fmt, io, path::Path, path::PathBuf, sync::Arc};

use sqlx::{PgPool, migrate::MigrateError};

use self::{jwt::Jwt, password::Passwords, store::Store};

/// Why the local sign-in could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Its tables could not be made or brought up to date.
    #[error("could not prepare the tables of the local sign-in")]
    Migrate(#[from] MigrateError),
    /// Its signing secret could neither be read nor made.
    #[error("could not read or make the signing secret {}", path.display())]
    Secret {
        /// The file of the secret.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The file is there but holds something else than a secret of ours.
    #[error("{} is not a signing secret; delete it to get a new one", path.display())]
    DamagedSecret {
        /// The file of the secret.
        path: PathBuf,
    },
}

/// The local sign-in, ready to be mounted. Clones share everything.
#[derive(Clone)]
pub struct LocalAuth {
    store: Store,
    jwt: Arc<Jwt>,
    passwords: Passwords,
}

impl LocalAuth {
    /// Brings the tables up to date and loads the signing secret from
    /// `data_dir`, or makes one there on the first run. `issuer` becomes the
    /// `iss` claim of every token: the public address that ends in `/auth/v1`.
    pub async fn open(
        pool: PgPool,
        data_dir: &Path,
        issuer: String,
    ) -> Result<Self, Error> {
        let secret = secret::load_or_create(data_dir)?;
        store::migrate(&pool).await?;
        Ok(Self {
            store: Store::new(pool),
            jwt: Arc::new(Jwt::new(&secret, issuer)),
            passwords: Passwords::new(),
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
