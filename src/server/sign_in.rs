//! The `authenticate` handler that the settings select.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use sqlx::postgres::PgConnectOptions;
use tracing::warn;

use super::error::StartError;
use crate::authn::{Authenticate, Oidc, Supabase, SupabaseOptions, is_unprotected};
#[cfg(feature = "local-auth")]
use crate::authn::{JwtIssuer, Mode};
#[cfg(feature = "local-auth")]
use crate::config::Database;
use crate::config::{Config, SignIn};
#[cfg(feature = "local-auth")]
use crate::local_sign_in::LocalAuth;
#[cfg(feature = "local-auth")]
use crate::store;

/// The handler, and for the local sign-in its routes.
#[cfg_attr(not(feature = "local-auth"), expect(unused_variables, reason = "for the local sign-in"))]
pub(super) async fn sign_in(
    config: &Config,
    address: SocketAddr,
    database: PgConnectOptions,
) -> Result<(Box<dyn Authenticate>, Option<Router>), StartError> {
    let ttl = config.auth_cache_ttl;
    match &config.sign_in {
        SignIn::Supabase { url, api_key, mode, issuer } => {
            if api_key.is_none() {
                warn!("no SUPABASE_SERVICE_KEY: Supabase's gateway refuses calls without a key");
            }
            if is_unprotected(url) {
                warn!("SUPABASE_URL is plain http: access tokens are sent unencrypted");
            }
            let api_key = api_key.as_ref();
            let options = SupabaseOptions { url, api_key, mode: *mode, issuer, cache_ttl: ttl };
            let supabase = Arc::new(Supabase::new(&options)?);
            let keys = Arc::clone(&supabase);
            tokio::spawn(async move { keys.fetch_keys().await });
            Ok((Box::new(supabase), None))
        }
        SignIn::Oidc { issuer, audience } => {
            if url::Url::parse(issuer).is_ok_and(|url| is_unprotected(&url)) {
                warn!(
                    "OIDC_ISSUER is plain http: the keys that verify tokens are fetched unprotected"
                );
            }
            let oidc = Arc::new(Oidc::new(issuer, audience.clone(), ttl)?);
            let keys = Arc::clone(&oidc);
            tokio::spawn(async move { keys.fetch_keys().await });
            Ok((Box::new(oidc), None))
        }
        #[cfg(feature = "local-auth")]
        SignIn::Local => {
            let url = url::Url::parse(&format!("http://{address}"))?;
            let direct = match &config.database {
                Database::External { direct: Some(direct), .. } => (**direct).clone(),
                _ => database,
            };
            // A separate small pool, because few users sign in at once.
            let (pool, cors) = (store::sessions(direct, 4), config.cors.clone());
            let local = LocalAuth::open(pool, &config.data_dir, url.clone(), cors).await?;
            let supabase = Supabase::new(&SupabaseOptions {
                url: &url,
                api_key: None,
                mode: Mode::Remote,
                issuer: &JwtIssuer::OfUrl,
                cache_ttl: ttl,
            })?;
            Ok((Box::new(supabase), Some(local.router())))
        }
    }
}
