//! Who is asking, and what they may see.
//!
//! Two kinds of handlers, named as users of the reference server know them. An
//! [`Authenticate`] turns a request's credentials into a [`User`]. Handlers registered with
//! [`Auth::on`] decide what that user may do: they see the metadata that is about to be
//! written or searched by, may change it, and allow, deny or answer with a [`Filter`]. The
//! decision becomes a [`Scope`], which every statement of the store takes. Nothing else makes
//! a `Scope`, so a query without an authorization decision does not compile.
//!
//! ```
//! use thread_store::auth::{Auth, Authenticate, Decision, Event, Everything, Tenant};
//!
//! fn policy(authenticate: impl Authenticate) -> Auth {
//!     Auth::new(authenticate).on(Everything, private).expect("the first handler of its slot")
//! }
//!
//! /// Private threads, as `add_owner` makes them.
//! fn private(event: &mut Event<'_>) -> Decision {
//!     let owner = event.user.identity.as_str();
//!     Decision::Within { tenant: Tenant::of(owner), filter: event.stamp("owner", owner.into()) }
//! }
//! ```

mod access;
mod authenticate;
mod bearer;
mod filter;
mod jwks;
mod jwt;
mod oidc;
mod on;
mod refusal;
mod scope;
mod supabase;
mod tokens;
mod upstream;
mod user;

pub use access::{Access, Credentials};
pub use authenticate::Authenticate;
pub(crate) use bearer::API_KEY;
pub use bearer::BearerToken;
pub use filter::Filter;
pub use oidc::{NoIssuer, Oidc, ProviderEndpoints};
pub use on::{
    Action, Auth, Decision, Event, Everything, On, Resource, Slot, SlotTaken, add_owner,
    private_threads,
};
pub use scope::{Scope, Tenant};
pub use supabase::{JwtIssuer, Mode, Supabase, SupabaseOptions};
#[cfg(feature = "local-auth")]
pub(crate) use upstream::is_loopback;
pub(crate) use upstream::is_unprotected;
pub use user::User;
