//! Users of any OpenID Connect provider: its tokens are verified here, with the keys that its
//! discovery document leads to.

use std::sync::Arc;
use std::time::Duration;

use axum::http::request::Parts;
use futures::future::BoxFuture;
use jsonwebtoken::jwk::JwkSet;
use reqwest::Client;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::bearer::{BearerToken, UnverifiedClaims};
use super::jwks::{Jwks, KeySource};
use super::tokens::{Refusal, Tokens, Verify};
use super::user::words;
use super::{Authenticate, User, upstream};
use crate::error::Error;

/// The authenticate handler for an OpenID Connect provider.
///
/// Takes access tokens that are JWTs signed with ES256 or RS256, from this issuer and for this
/// audience. They count until their end: a provider is not asked about them.
#[derive(Debug)]
pub struct Oidc {
    tokens: Tokens<Verifier>,
}

impl Oidc {
    /// A handler for tokens of `issuer` (exactly as the claim `iss` spells it) for `audience`,
    /// which remembers for `cache_ttl` whom it let in.
    pub fn new(issuer: &str, audience: String, cache_ttl: Duration) -> Result<Oidc, NoIssuer> {
        let url = Url::parse(issuer).map_err(|_| NoIssuer::Url)?;
        let client = upstream::client(&url).map_err(NoIssuer::Client)?;
        let provider = Provider { client, issuer: issuer.to_owned() };
        let verifier = Verifier(Jwks::new(provider, issuer.to_owned(), audience));
        Ok(Oidc { tokens: Tokens::new(verifier, cache_ttl) })
    }
}

/// Why there is no handler for an issuer.
#[derive(Debug, thiserror::Error)]
pub enum NoIssuer {
    /// The issuer is no URL.
    #[error("the issuer is not a URL")]
    Url,
    /// There is no HTTP client.
    #[error(transparent)]
    Client(reqwest::Error),
}

impl Authenticate for Oidc {
    fn authenticate<'a>(&'a self, request: &'a Parts) -> BoxFuture<'a, Result<Arc<User>, Error>> {
        Box::pin(self.tokens.user_of(&request.headers))
    }

    fn is_available(&self) -> Option<bool> {
        self.tokens.is_available()
    }
}

struct Verifier(Jwks);

impl Verify for Verifier {
    fn verify<'a>(
        &'a self,
        token: &'a BearerToken,
        _: &'a UnverifiedClaims,
    ) -> BoxFuture<'a, Result<User, Refusal>> {
        Box::pin(async move {
            let claims = self.0.verify(token).await?;
            let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
            if text("sub").is_empty() {
                return Err(Refusal::BadToken);
            }
            Ok(User {
                identity: text("sub").to_owned(),
                email: text("email").to_owned(),
                permissions: words(claims.get("permissions").or_else(|| claims.get("scope"))),
                is_anonymous: false,
                claims,
            })
        })
    }
}

/// The provider's public documents.
struct Provider {
    client: Client,
    issuer: String,
}

/// What is read of a discovery document (`OpenID Connect Discovery 1.0` section 3).
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl KeySource for Provider {
    fn fetch(&self) -> BoxFuture<'_, Result<JwkSet, String>> {
        Box::pin(async move {
            let base = self.issuer.trim_end_matches('/');
            let url = format!("{base}/.well-known/openid-configuration");
            let discovery: Discovery = upstream::fetch_json(&self.client, &url).await?;
            if discovery.issuer != self.issuer {
                return Err(format!("{url} is the document of another issuer: check OIDC_ISSUER"));
            }
            upstream::fetch_json(&self.client, &discovery.jwks_uri).await
        })
    }
}
