//! Access tokens (HS256 JSON Web Tokens) and refresh tokens.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, crypto, errors::ErrorKind,
    get_current_timestamp,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    error::Refusal,
    model::{AUTHENTICATED, Session, User},
};
use crate::jws;

/// The lifetime of an access token in seconds.
pub(super) const LIFETIME_SECONDS: u64 = 3600;

/// Signs and checks tokens with the secret of this server.
pub(super) struct Jwt {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    issuer: String,
}

/// A signed access token with its expiry.
pub(super) struct AccessToken {
    /// The token itself.
    pub(super) token: String,
    /// Seconds since the epoch.
    pub(super) expires_at: u64,
}

/// The claims of a checked access token.
#[derive(Deserialize)]
pub(super) struct Claims {
    #[serde(default)]
    sub: String,
    #[serde(default)]
    session_id: String,
    #[serde(default)]
    aud: Audience,
}

/// RFC 7519 allows one string or several for `aud`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

#[derive(Serialize)]
struct NewClaims<'a> {
    iss: &'a str,
    sub: Uuid,
    aud: &'static str,
    exp: u64,
    iat: u64,
    email: &'a str,
    phone: &'static str,
    app_metadata: &'a Map<String, Value>,
    user_metadata: &'a Map<String, Value>,
    role: &'static str,
    aal: &'static str,
    amr: [AuthenticationMethod<'a>; 1],
    session_id: Uuid,
    is_anonymous: bool,
}

#[derive(Serialize)]
struct AuthenticationMethod<'a> {
    method: &'a str,
    timestamp: i64,
}

impl Jwt {
    pub(super) fn new(secret: &SecretString, issuer: String) -> Self {
        jws::install();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        // Supabase Auth compares the audience with a request header instead:
        // see `Claims::is_for`.
        validation.validate_aud = false;
        let secret = secret.expose_secret().as_bytes();
        Self {
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
            validation,
            issuer,
        }
    }

    pub(super) fn access_token(
        &self,
        user: &User,
        session: &Session,
    ) -> Result<AccessToken, Refusal> {
        let iat = get_current_timestamp();
        let expires_at = iat + LIFETIME_SECONDS;
        let claims = NewClaims {
            iss: &self.issuer,
            sub: user.id,
            aud: AUTHENTICATED,
            exp: expires_at,
            iat,
            email: &user.email,
            phone: "",
            app_metadata: &user.app_metadata,
            user_metadata: &user.user_metadata,
            role: AUTHENTICATED,
            aal: "aal1",
            amr: [AuthenticationMethod {
                method: &session.method,
                timestamp: session.created_at.timestamp(),
            }],
            session_id: session.id,
            is_anonymous: false,
        };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
            .map_err(Refusal::internal)?;
        Ok(AccessToken { token, expires_at })
    }

    /// Refresh tokens are derived and not random. If the client lost the answer of a refresh, the
    /// active token can be derived again although the database has only its hash. The colons
    /// distinguish the signed message from that of every access token.
    pub(super) fn refresh_token(
        &self,
        session: Uuid,
        counter: i64,
    ) -> Result<SecretString, Refusal> {
        self.sign(&format!("refresh-token:{session}:{counter}"))
    }

    /// The six-digit code that a mail shows beside its link. It is derived too, from the hash of
    /// the link's token, which the database has.
    pub(super) fn one_time_code(&self, token_sha256: &[u8]) -> Result<String, Refusal> {
        let token = URL_SAFE_NO_PAD.encode(token_sha256);
        let signature = self.sign(&format!("one-time-code:{token}"))?;
        let number = Sha256::digest(signature.expose_secret());
        let number = number.iter().fold(0, |sum, byte| (sum * 256 + u32::from(*byte)) % 1_000_000);
        Ok(format!("{number:06}"))
    }

    fn sign(&self, message: &str) -> Result<SecretString, Refusal> {
        crypto::sign(message.as_bytes(), &self.encoding, Algorithm::HS256)
            .map(SecretString::from)
            .map_err(Refusal::internal)
    }

    /// Checks signature and expiry.
    pub(super) fn verify(&self, token: &str) -> Result<Claims, Refusal> {
        jsonwebtoken::decode(token, &self.decoding, &self.validation)
            .map(|data| data.claims)
            .map_err(|error| Refusal::unverifiable_jwt(reason(error.kind())))
    }
}

impl Claims {
    pub(super) fn user_id(&self) -> Result<Uuid, Refusal> {
        if self.sub.is_empty() {
            return Err(Refusal::MISSING_SUB);
        }
        Uuid::try_parse(&self.sub).map_err(|_| Refusal::SUB_NOT_UUID)
    }

    /// `None` for a token without a session, which Supabase Auth accepts.
    pub(super) fn session_id(&self) -> Result<Option<Uuid>, Refusal> {
        if self.session_id.is_empty() {
            return Ok(None);
        }
        let id = Uuid::try_parse(&self.session_id).map_err(|_| Refusal::SESSION_ID_NOT_UUID)?;
        Ok(Some(id).filter(|id| !id.is_nil()))
    }

    /// Whether the token has an audience. If the request names one, it must be the token's.
    pub(super) fn is_for(&self, requested: Option<&str>) -> bool {
        let own = match &self.aud {
            Audience::One(own) => Some(own),
            Audience::Many(all) => all.first(),
        };
        own.filter(|own| !own.is_empty())
            .is_some_and(|own| requested.is_none_or(|requested| requested == own))
    }
}

impl Default for Audience {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

/// The texts of golang-jwt, which Supabase Auth passes on to the client.
fn reason(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ExpiredSignature => "token has invalid claims: token is expired",
        ErrorKind::InvalidSignature => "token signature is invalid: signature is invalid",
        ErrorKind::InvalidAlgorithm => "token signature is invalid: signing method is invalid",
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) => {
            "token has invalid claims: a required claim is missing or malformed"
        }
        ErrorKind::InvalidToken => {
            "token is malformed: token contains an invalid number of segments"
        }
        _ => "token is malformed: could not decode the token",
    }
}
