//! The page at `/app`, and what it may know about the sign-in.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;

use super::values::{choice, http_url, text};
use super::{ConfigError, SignIn, wrong};

/// What the page tells browsers about the sign-in. Nothing in it is secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Address of the Supabase project for browsers. `None`: that of the server's settings.
    pub supabase_public_url: Option<Url>,
    /// The key of the Supabase project that is meant for browsers, if the settings have one.
    pub publishable_key: Option<String>,
    /// The page's client at the OpenID Connect provider.
    pub oidc_client_id: Option<String>,
}

/// The settings of the page, before they are checked against the sign-in.
#[derive(clap::Args)]
pub(super) struct PageArguments {
    /// Whether the page at `/app` is served: `on` or `off`
    #[arg(long, env = "APP", default_value = "on")]
    #[arg(value_name = "SWITCH", action = clap::ArgAction::Set, value_parser = choice(&SWITCH))]
    app: bool,

    /// Address of the Supabase project for browsers, which the page at `/app` uses, if it differs
    /// from `SUPABASE_URL`. Unset: `SUPABASE_URL`
    #[arg(long, env = "SUPABASE_PUBLIC_URL")]
    #[arg(value_name = "URL", value_parser = http_url)]
    supabase_public_url: Option<Url>,

    /// Public client (with PKCE) of the page at `/app` at the OpenID Connect provider. Unset: the
    /// page has no sign-in
    #[arg(long, env = "OIDC_CLIENT_ID")]
    #[arg(value_name = "ID", value_parser = text)]
    oidc_client_id: Option<String>,
}

const SWITCH: [(&str, bool); 2] = [("on", true), ("off", false)];

impl PageArguments {
    /// The page of a server with this sign-in and these API keys. `None`: it is off.
    pub(super) fn page<'a>(
        &self,
        sign_in: &SignIn,
        mut keys: impl Iterator<Item = &'a SecretString>,
    ) -> Result<Option<Page>, ConfigError> {
        let (is_supabase, is_oidc) =
            (matches!(sign_in, SignIn::Supabase { .. }), matches!(sign_in, SignIn::Oidc { .. }));
        if self.supabase_public_url.is_some() && !is_supabase {
            return Err(wrong("SUPABASE_URL", "is required with SUPABASE_PUBLIC_URL"));
        }
        if self.oidc_client_id.is_some() && !is_oidc {
            return Err(wrong("OIDC_ISSUER", "is required with OIDC_CLIENT_ID"));
        }
        Ok(self.app.then(|| Page {
            supabase_public_url: self.supabase_public_url.clone(),
            publishable_key: keys
                .find(|key| is_publishable(key.expose_secret()))
                .map(|key| key.expose_secret().to_owned()),
            oidc_client_id: self.oidc_client_id.clone(),
        }))
    }
}

/// The claims that are read from a key that is a JWT.
#[derive(Deserialize)]
struct Claims {
    role: String,
}

/// Whether an API key of a Supabase project is for browsers: a publishable key, or a JWT whose role
/// is `anon`. Any other key counts as a secret, whatever the name of its setting.
fn is_publishable(key: &str) -> bool {
    if let Some(rest) = key.strip_prefix("sb_publishable_") {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        return !rest.is_empty() && rest.bytes().all(is_plain) && !rest.contains("sb_secret");
    }
    let mut parts = key.split('.');
    let (Some(_), Some(claims), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).ok();
    // A token with two roles is an error in this parser.
    let claims = claims.and_then(|claims| serde_json::from_slice::<Claims>(&claims).ok());
    claims.is_some_and(|claims| claims.role == "anon")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(claims: &str) -> String {
        let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", part(r#"{"alg":"HS256"}"#), part(claims), part("signature"))
    }

    #[test]
    fn keys_for_browsers_are_told_from_all_others() {
        for key in ["sb_publishable_abc-DEF_123", &jwt(r#"{"role":"anon","iss":"supabase"}"#)] {
            assert!(is_publishable(key), "{key}");
        }
        for key in [
            "",
            "local",
            "sb_secret_abc",
            "sb_publishable_",
            "sb_publishable_a,sb_secret_b",
            "sb_publishable_sb_secret_b",
            "SB_PUBLISHABLE_abc",
            "xsb_publishable_abc",
            &jwt(r#"{"role":"service_role"}"#),
            &jwt(r#"{"role":"supabase_admin"}"#),
            &jwt(r#"{"role":"authenticated"}"#),
            &jwt(r#"{"role":"anon","role":"service_role"}"#),
            &jwt(r#"{"role":["anon"]}"#),
            &jwt(r#"{"sub":"anon"}"#),
            &jwt("anon"),
            "a.b",
            "a.b.c",
            &format!("{}.d", jwt(r#"{"role":"anon"}"#)),
        ] {
            assert!(!is_publishable(key), "{key}");
        }
    }
}
