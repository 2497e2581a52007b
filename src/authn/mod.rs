//! Authentication: a request's credentials become a [`User`](crate::authz::User).
//!
//! The trait is [`Authenticate`]. [`Supabase`] and [`Oidc`] are the implementations of this
//! program; `token_cache` is what they share, and `jwks` verifies signatures in this process. Cheap
//! checks can only refuse. A token in doubt gets 503: it is neither refused (401) nor accepted.

mod authenticate;
mod bearer;
mod error;
mod jwks;
mod jwt;
mod oidc;
mod refusal;
mod supabase;
mod token_cache;
mod upstream;

pub use authenticate::Authenticate;
pub(crate) use bearer::API_KEY;
pub use bearer::BearerToken;
pub use error::Error;
pub use oidc::{NoIssuer, Oidc, ProviderEndpoints};
pub use supabase::{JwtIssuer, Mode, Supabase, SupabaseOptions};
pub(crate) use upstream::{causes, is_loopback, is_unprotected};
