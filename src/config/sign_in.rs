//! What signs users in.

use std::net::IpAddr;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::values::{choice, http_url, seconds, text};
use super::{ConfigError, wrong};
use crate::authn::{JwtIssuer, Mode};

/// What signs users in.
#[derive(Debug, Clone)]
pub enum SignIn {
    /// A Supabase project.
    Supabase {
        /// `SUPABASE_URL`.
        url: Url,
        /// Sent as `apikey` with every call.
        api_key: Option<SecretString>,
        /// `SUPABASE_AUTH_MODE`.
        mode: Mode,
        /// `SUPABASE_JWT_ISSUER`.
        issuer: JwtIssuer,
    },
    /// Any OpenID Connect provider.
    Oidc {
        /// `OIDC_ISSUER`, as given.
        issuer: String,
        /// `OIDC_AUDIENCE`.
        audience: String,
    },
    /// The local sign-in of this server, for development.
    #[cfg(feature = "local-auth")]
    Local,
}

impl SignIn {
    /// Whether users are kept in tables of the database.
    pub(super) fn is_local(&self) -> bool {
        !matches!(self, SignIn::Supabase { .. } | SignIn::Oidc { .. })
    }
}

/// The settings of the sign-in, before they are checked together.
#[derive(clap::Args)]
pub(super) struct SignInArguments {
    /// Supabase project that signs users in, `https://<project>.supabase.co`. Unset, with
    /// `OIDC_ISSUER` unset too: a local sign-in for development at `/auth/v1`, on a loopback `HOST`
    /// only
    #[arg(long, env = "SUPABASE_URL")]
    #[arg(value_name = "URL", value_parser = http_url)]
    supabase_url: Option<Url>,

    /// API key of the Supabase project, sent as `apikey`. The publishable (anon) key is
    /// enough. Also read from `SUPABASE_SECRET_KEY`, `SUPABASE_ANON_KEY` and
    /// `SUPABASE_PUBLISHABLE_KEY`, in this order
    #[arg(long, env = "SUPABASE_SERVICE_KEY", hide_env_values = true)]
    #[arg(value_name = "KEY", value_parser = api_key)]
    supabase_service_key: Option<SecretString>,

    #[arg(long, env = "SUPABASE_SECRET_KEY", hide_env_values = true, hide = true)]
    #[arg(value_name = "KEY", value_parser = api_key)]
    supabase_secret_key: Option<SecretString>,

    #[arg(long, env = "SUPABASE_ANON_KEY", hide_env_values = true, hide = true)]
    #[arg(value_name = "KEY", value_parser = api_key)]
    supabase_anon_key: Option<SecretString>,

    #[arg(long, env = "SUPABASE_PUBLISHABLE_KEY", hide_env_values = true, hide = true)]
    #[arg(value_name = "KEY", value_parser = api_key)]
    supabase_publishable_key: Option<SecretString>,

    /// How Supabase's tokens are verified: `remote` (by Supabase), `jwks` (here, with its public
    /// keys: a sign-out takes effect when the token expires) or `jwks+remote` (both)
    #[arg(long, env = "SUPABASE_AUTH_MODE", default_value = "remote")]
    #[arg(value_name = "MODE", value_parser = choice(&MODES))]
    supabase_auth_mode: Mode,

    /// Exact issuer (`iss`) that Supabase's tokens must have in the modes with `jwks`. `none`: they
    /// must have none. Unset: `SUPABASE_URL` with `/auth/v1`
    #[arg(long, env = "SUPABASE_JWT_ISSUER")]
    #[arg(value_name = "ISSUER", value_parser = jwt_issuer)]
    supabase_jwt_issuer: Option<JwtIssuer>,

    /// Seconds for which an accepted token is not verified again, 0 to 3600. A sign-out takes
    /// effect after that time at the latest
    #[arg(long, env = "SUPABASE_AUTH_CACHE_TTL", default_value = "10")]
    #[arg(value_name = "SECONDS", value_parser = seconds::<0, 3600>)]
    pub(super) supabase_auth_cache_ttl: Duration,

    /// OpenID Connect provider that signs users in, instead of Supabase: its issuer URL, exactly
    /// as in its tokens
    #[arg(long, env = "OIDC_ISSUER")]
    #[arg(value_name = "URL", value_parser = issuer)]
    oidc_issuer: Option<String>,

    /// Audience that the provider's access tokens must be for. Required with `OIDC_ISSUER`
    #[arg(long, env = "OIDC_AUDIENCE")]
    #[arg(value_name = "AUDIENCE", value_parser = text)]
    oidc_audience: Option<String>,
}

const MODES: [(&str, Mode); 3] =
    [("remote", Mode::Remote), ("jwks", Mode::Jwks), ("jwks+remote", Mode::JwksAndRemote)];

impl SignInArguments {
    /// The sign-in of a server on this address.
    pub(super) fn sign_in(&self, host: IpAddr, port: u16) -> Result<SignIn, ConfigError> {
        let mode = self.supabase_auth_mode;
        match (&self.supabase_url, self.oidc()?) {
            (Some(_), Some(_)) => {
                Err(wrong("OIDC_ISSUER", "must not be set together with SUPABASE_URL"))
            }
            (Some(url), None) if is_ours(url, host, port) => Err(wrong(
                "SUPABASE_URL",
                "is this server's own address: unset it here for the local sign-in, it is meant \
                 for the clients",
            )),
            (Some(url), None) => {
                let issuer = self.supabase_jwt_issuer.clone().unwrap_or_default();
                Ok(SignIn::Supabase { url: url.clone(), api_key: self.api_key(), mode, issuer })
            }
            (None, Some(provider)) => Ok(provider),
            (None, None) if mode != Mode::Remote => Err(wrong(
                "SUPABASE_AUTH_MODE",
                "must be `remote` unless SUPABASE_URL is set: the local sign-in has no public keys",
            )),
            (None, None) => local(host),
        }
    }

    fn api_key(&self) -> Option<SecretString> {
        self.keys().next().cloned()
    }

    /// The API keys of the project that are set. The first is the one to send.
    pub(super) fn keys(&self) -> impl Iterator<Item = &SecretString> {
        let keys = [
            &self.supabase_service_key,
            &self.supabase_secret_key,
            &self.supabase_anon_key,
            &self.supabase_publishable_key,
        ];
        keys.into_iter().flatten()
    }

    fn oidc(&self) -> Result<Option<SignIn>, ConfigError> {
        match (self.oidc_issuer.clone(), self.oidc_audience.clone()) {
            (None, None) => Ok(None),
            (Some(issuer), Some(audience)) => Ok(Some(SignIn::Oidc { issuer, audience })),
            (Some(_), None) => Err(wrong(
                "OIDC_AUDIENCE",
                "is required with OIDC_ISSUER: the audience of the provider's access tokens",
            )),
            (None, Some(_)) => Err(wrong("OIDC_ISSUER", "is required with OIDC_AUDIENCE")),
        }
    }
}

#[cfg(feature = "local-auth")]
fn local(host: IpAddr) -> Result<SignIn, ConfigError> {
    if host.is_loopback() {
        return Ok(SignIn::Local);
    }
    Err(wrong(
        "SUPABASE_URL",
        format!(
            "is required on HOST {host} (or OIDC_ISSUER): the local sign-in lets everybody sign \
             up, so it runs on a loopback HOST only"
        ),
    ))
}

#[cfg(not(feature = "local-auth"))]
fn local(_: IpAddr) -> Result<SignIn, ConfigError> {
    Err(wrong("SUPABASE_URL", "or OIDC_ISSUER is required: this build has no local sign-in"))
}

/// Whether a URL is that of the server itself, as its banner gives it to clients.
pub(super) fn is_ours(url: &Url, host: IpAddr, port: u16) -> bool {
    let is_our_host = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback() || host == address,
        Some(url::Host::Ipv6(address)) => address.is_loopback() || host == address,
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    is_our_host && url.scheme() == "http" && url.port_or_known_default() == Some(port)
}

fn api_key(text: &str) -> Result<SecretString, &'static str> {
    let key = text.trim();
    if key.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(SecretString::from(key))
    } else {
        Err("must be an API key, which has no spaces")
    }
}

/// `none`, or the issuer in tokens, which is compared byte by byte.
fn jwt_issuer(text: &str) -> Result<JwtIssuer, &'static str> {
    match text.trim() {
        "none" => Ok(JwtIssuer::Absent),
        issuer if !issuer.chars().any(|c| c.is_whitespace() || c.is_control()) => {
            Ok(JwtIssuer::Exactly(issuer.to_owned()))
        }
        _ => Err("must be an issuer, which has no spaces, or `none`"),
    }
}

/// Kept exactly as given, because tokens contain it in this spelling.
fn issuer(text: &str) -> Result<String, String> {
    http_url(text).map(|_| text.trim().to_owned())
}
