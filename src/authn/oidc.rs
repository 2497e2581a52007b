//! Users of any OpenID Connect provider. Its tokens are verified here, with the keys from its
//! discovery document.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use http::request::Parts;
use reqwest::Client;
use serde::{Deserialize, Serialize};
use url::Url;

use super::authenticate::Authenticate;
use super::error::Error;
use super::jwks::{Claim, ExpectedClaims, Fetched, Jwks, KeySource, Unverified, WithoutKeys};
use super::jwt::words;
use super::refusal::Refusal;
use super::token_cache::{CallLimit, Token, TokenVerifier, Verified, Verify};
use super::upstream;
use crate::authz::User;

/// The authenticate handler for an OpenID Connect provider.
///
/// It accepts access tokens that are JWTs signed with ES256 or RS256, from this issuer and for this
/// audience, until they expire. The provider is not asked about them.
#[derive(Debug)]
pub struct Oidc {
    tokens: TokenVerifier<Verifier>,
}

/// A wrong setting or a wrong provider. It is no evidence against the users' tokens.
const NO_KEYS: WithoutKeys = WithoutKeys::Misconfigured(
    "OIDC_ISSUER cannot verify any token: the provider publishes no ES256 or RS256 key, so every \
     request gets 503. Let the provider sign access tokens with one of these",
);

impl Oidc {
    /// A handler for tokens of `issuer` (exactly as in the claim `iss`) for `audience`. It
    /// remembers accepted tokens for `cache_ttl`.
    pub fn new(issuer: &str, audience: String, cache_ttl: Duration) -> Result<Oidc, NoIssuer> {
        let url = Url::parse(issuer).map_err(|_| NoIssuer::Url)?;
        let client = upstream::client(&url).map_err(NoIssuer::Client)?;
        let provider = Provider { client, issuer: issuer.to_owned() };
        let expected = ExpectedClaims {
            issuer: Claim::Exactly(issuer.to_owned()),
            issuer_setting: "OIDC_ISSUER",
            audience,
        };
        let verifier = Verifier(Jwks::new(provider, expected, NO_KEYS));
        Ok(Oidc { tokens: TokenVerifier::new(verifier, cache_ttl) })
    }

    /// Fetches the provider's keys, and logs a warning if there are none.
    pub async fn fetch_keys(&self) {
        self.tokens.verifier().0.fetch().await;
    }
}

/// Why there is no handler for an issuer.
#[derive(Debug, thiserror::Error)]
pub enum NoIssuer {
    /// The issuer is not a URL.
    #[error("the issuer is not a URL")]
    Url,
    /// The HTTP client cannot be created.
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
        token: &'a Token,
        _: &'a CallLimit,
    ) -> BoxFuture<'a, Result<Verified, Refusal>> {
        Box::pin(async move {
            let life = match self.0.verify(token).await {
                Ok(life) => life,
                Err(Unverified::Refused(refusal) | Unverified::Unjudged(refusal)) => {
                    return Err(refusal);
                }
            };
            let claims = &token.jwt.claims;
            let text = |name: &str| claims.text(name).unwrap_or_default().to_owned();
            let user = User {
                identity: text("sub"),
                email: text("email"),
                permissions: words(claims.get("permissions").or_else(|| claims.get("scope"))),
                is_anonymous: false,
                claims: claims.all().clone(),
            };
            Ok(Verified { user, life })
        })
    }
}

/// The endpoints of a provider for a public client (`OpenID Connect Discovery 1.0` section 3).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProviderEndpoints {
    #[serde(skip_serializing)]
    issuer: String,
    authorization_endpoint: Url,
    token_endpoint: Url,
    #[serde(default)]
    revocation_endpoint: Option<Url>,
    #[serde(default)]
    end_session_endpoint: Option<Url>,
}

impl ProviderEndpoints {
    /// Fetches the discovery document of an issuer. The error is for the log.
    pub async fn of(issuer: &str) -> Result<ProviderEndpoints, String> {
        let url = discovery_url(issuer);
        let parsed = Url::parse(&url).map_err(|_| format!("{url} is not a URL"))?;
        let client = upstream::client(&parsed).map_err(upstream::describe)?;
        let (endpoints, _) = upstream::fetch_json::<ProviderEndpoints>(&client, &url).await?;
        endpoints.check(issuer).map_err(|why| format!("{url} {why}"))?;
        Ok(endpoints)
    }

    /// The origins that a page calls, without those that it only navigates to.
    #[must_use]
    pub fn origins(&self) -> Vec<String> {
        let called = [Some(&self.token_endpoint), self.revocation_endpoint.as_ref()];
        let mut origins: Vec<_> =
            called.into_iter().flatten().map(|url| url.origin().ascii_serialization()).collect();
        origins.dedup();
        origins
    }

    fn check(&self, issuer: &str) -> Result<(), &'static str> {
        if self.issuer != issuer {
            return Err("is the document of another issuer: check OIDC_ISSUER");
        }
        let is_https = Url::parse(issuer).is_ok_and(|issuer| issuer.scheme() == "https");
        let named = [Some(&self.authorization_endpoint), Some(&self.token_endpoint)];
        let more = [self.revocation_endpoint.as_ref(), self.end_session_endpoint.as_ref()];
        let is_good = |url: &Url| {
            url.has_host() && (url.scheme() == "https" || (url.scheme() == "http" && !is_https))
        };
        if named.into_iter().chain(more).flatten().all(is_good) {
            Ok(())
        } else {
            Err("names endpoints that are not at an https:// address")
        }
    }
}

/// The URL of an issuer's discovery document.
fn discovery_url(issuer: &str) -> String {
    format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
}

/// The provider's public documents.
struct Provider {
    client: Client,
    issuer: String,
}

/// The parts of a discovery document that are used (`OpenID Connect Discovery 1.0` section 3).
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl KeySource for Provider {
    fn fetch(&self) -> BoxFuture<'_, Result<Fetched, String>> {
        Box::pin(async move {
            let url = discovery_url(&self.issuer);
            let (discovery, _) = upstream::fetch_json::<Discovery>(&self.client, &url).await?;
            let keys = discovery.keys_of(&self.issuer).map_err(|why| format!("{url} {why}"))?;
            let (set, age) = upstream::fetch_json(&self.client, keys).await?;
            Ok(Fetched { set, age })
        })
    }
}

impl Discovery {
    /// The URL of an issuer's keys.
    fn keys_of(&self, issuer: &str) -> Result<&str, &'static str> {
        if self.issuer != issuer {
            return Err("is the document of another issuer: check OIDC_ISSUER");
        }
        let is_https = |url: &str| Url::parse(url).is_ok_and(|url| url.scheme() == "https");
        // An attacker who can alter the keys in transit can sign in as any user.
        if is_https(issuer) && !is_https(&self.jwks_uri) {
            return Err("names keys that are not at an https:// address");
        }
        Ok(&self.jwks_uri)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_a_way_that_is_as_good_as_the_issuers() {
        let keys_of = |issuer: &str, keys: &str| {
            let discovery = Discovery { issuer: issuer.to_owned(), jwks_uri: keys.to_owned() };
            discovery.keys_of(issuer).is_ok()
        };
        assert!(keys_of("https://issuer.example", "https://keys.example/jwks"));
        assert!(!keys_of("https://issuer.example", "http://issuer.example/jwks"));
        assert!(!keys_of("https://issuer.example", "/jwks"));
        assert!(keys_of("http://localhost:8080", "http://localhost:8080/jwks"));
        let other = Discovery { issuer: "https://a".into(), jwks_uri: "https://a/jwks".into() };
        assert!(other.keys_of("https://a/").is_err());
    }
}
