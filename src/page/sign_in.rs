//! The description of the sign-in for the page. It contains only data for browsers.

use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::Mutex;
use tracing::warn;
use url::Url;

use crate::authn::{self, ProviderEndpoints};
use crate::config::{Page, SignIn};
use crate::http::Error;

/// How long the provider's addresses, which rarely change, are cached.
const KEPT: Duration = Duration::from_mins(10);

/// How the page signs users in.
#[derive(Debug)]
pub(super) enum SignInOfPage {
    /// At this server.
    Local,
    /// At a Supabase project.
    Supabase {
        /// Its address for browsers.
        url: Url,
        /// The key for browsers. Without it users cannot sign in on the page.
        publishable_key: Option<String>,
    },
    /// At an OpenID Connect provider.
    Oidc {
        /// The provider.
        issuer: String,
        /// The audience of its tokens.
        audience: String,
        /// The page's client id. Without it users cannot sign in on the page.
        client_id: Option<String>,
        /// Its addresses, and the time when they were fetched.
        endpoints: Mutex<Option<(Instant, Box<ProviderEndpoints>)>>,
    },
}

/// The description of the sign-in for the page.
#[derive(Debug, Serialize)]
#[serde(tag = "mode", rename_all = "lowercase")]
pub(super) enum Described<'a> {
    Local,
    Supabase {
        url: &'a str,
        publishable_key: Option<&'a str>,
    },
    Oidc {
        audience: &'a str,
        client_id: Option<&'a str>,
        endpoints: Option<Box<ProviderEndpoints>>,
    },
}

impl SignInOfPage {
    /// The sign-in of the settings.
    pub(super) fn new(page: &Page, sign_in: &SignIn) -> SignInOfPage {
        match sign_in {
            SignIn::Supabase { url, .. } => {
                if page.publishable_key.is_none() {
                    warn!(
                        "no publishable key: set SUPABASE_PUBLISHABLE_KEY, without which nobody \
                         can sign in on the page at /app"
                    );
                }
                SignInOfPage::Supabase {
                    url: page.supabase_public_url.as_ref().unwrap_or(url).clone(),
                    publishable_key: page.publishable_key.clone(),
                }
            }
            SignIn::Oidc { issuer, audience } => {
                if page.oidc_client_id.is_none() {
                    warn!("no OIDC_CLIENT_ID: users cannot sign in on the page at /app");
                }
                SignInOfPage::Oidc {
                    issuer: issuer.clone(),
                    audience: audience.clone(),
                    client_id: page.oidc_client_id.clone(),
                    endpoints: Mutex::new(None),
                }
            }
            #[cfg(feature = "local-auth")]
            SignIn::Local => SignInOfPage::Local,
        }
    }

    /// The description for the page.
    pub(super) async fn described(&self) -> Result<Described<'_>, Error> {
        let sign_in = match self {
            SignInOfPage::Local => Described::Local,
            SignInOfPage::Supabase { url, publishable_key } => Described::Supabase {
                url: url.as_str(),
                publishable_key: publishable_key.as_deref(),
            },
            SignInOfPage::Oidc { audience, client_id, .. } => Described::Oidc {
                audience,
                client_id: client_id.as_deref(),
                endpoints: match client_id {
                    Some(_) => Some(self.endpoints().await?),
                    None => None,
                },
            },
        };
        Ok(sign_in)
    }

    /// The origins of the page's requests, in addition to this server.
    pub(super) async fn origins(&self) -> Vec<String> {
        match self {
            SignInOfPage::Local | SignInOfPage::Oidc { client_id: None, .. } => Vec::new(),
            SignInOfPage::Supabase { url, .. } => vec![url.origin().ascii_serialization()],
            // If the provider is unavailable, the page asks again later and reloads.
            SignInOfPage::Oidc { .. } => match self.endpoints().await {
                Ok(endpoints) => endpoints.origins(),
                Err(_) => Vec::new(),
            },
        }
    }

    async fn endpoints(&self) -> Result<Box<ProviderEndpoints>, Error> {
        let SignInOfPage::Oidc { issuer, endpoints, .. } = self else {
            return Err(Error::NotFound);
        };
        let mut known = endpoints.lock().await;
        if let Some((_, endpoints)) = known.as_ref().filter(|(read, _)| read.elapsed() < KEPT) {
            return Ok(endpoints.clone());
        }
        match ProviderEndpoints::of(issuer).await {
            Ok(endpoints) => {
                let endpoints = Box::new(endpoints);
                *known = Some((Instant::now(), endpoints.clone()));
                Ok(endpoints)
            }
            // Outdated addresses are better than none.
            Err(cause) => known.as_ref().map(|(_, endpoints)| endpoints.clone()).ok_or_else(|| {
                let retry_after = Duration::from_secs(2);
                authn::Error::Unavailable { retry_after, cause }.into()
            }),
        }
    }
}
