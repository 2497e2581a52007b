//! Passwords: the check of their strength, and argon2id hashes that do not block the server.

use std::sync::Arc;

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::{sync::Semaphore, task};

use super::{error::Refusal, model::Password};

const SHORTEST: usize = 6;
/// Maximum bytes of a password: the limit of bcrypt in Supabase Auth. A password that works here
/// must work there.
const LONGEST: usize = 72;
/// Maximum number of concurrent hashes. Each needs 19 MiB and tens of milliseconds of a core.
const AT_ONCE: usize = 2;

/// Hashes and compares passwords, a few at a time and outside the async threads.
#[derive(Clone)]
pub(super) struct Passwords {
    permits: Arc<Semaphore>,
}

impl Password {
    /// Refuses what Supabase Auth refuses with its default settings.
    pub(super) fn check_strength(&self) -> Result<(), Refusal> {
        match self.0.expose_secret().len() {
            0..SHORTEST => Err(Refusal::WEAK_PASSWORD),
            SHORTEST..=LONGEST => Ok(()),
            _ => Err(Refusal::validation("Password cannot be longer than 72 characters")),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.expose_secret().is_empty()
    }
}

impl Passwords {
    pub(super) fn new() -> Self {
        Self { permits: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    pub(super) async fn hash(&self, password: Password) -> Result<SecretString, Refusal> {
        self.run(move || hash(&password.0)).await?
    }

    /// Compares a password with a hash. Without a user it takes the same time and fails, so that
    /// the time does not reveal which users exist.
    pub(super) async fn matches(
        &self,
        password: Password,
        hash_of_user: Option<SecretString>,
    ) -> Result<bool, Refusal> {
        self.run(move || match hash_of_user {
            Some(known) => matches(&password.0, &known),
            None => hash(&password.0).map(|_| false),
        })
        .await?
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(Refusal::internal)?;
        // The permit moves into the task, which continues if the client disconnects.
        task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        })
        .await
        .map_err(Refusal::internal)
    }
}

/// argon2's defaults are the OWASP minimum: argon2id, m = 19456 KiB, t = 2, p = 1.
fn hash(password: &SecretString) -> Result<SecretString, Refusal> {
    let hash = Argon2::default()
        .hash_password(password.expose_secret().as_bytes())
        .map_err(Refusal::internal)?;
    Ok(SecretString::from(hash.to_string()))
}

fn matches(password: &SecretString, known: &SecretString) -> Result<bool, Refusal> {
    let known = PasswordHash::new(known.expose_secret()).map_err(Refusal::internal)?;
    Ok(Argon2::default().verify_password(password.expose_secret().as_bytes(), &known).is_ok())
}
