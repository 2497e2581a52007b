//! Who is asking, and what they may see.
//!
//! Two handlers, named as users of the reference server know them. [`Authenticate`] turns a
//! request's credentials into a [`User`]. [`on`](mod@on) decides what that user may do with a
//! resource: it stamps ownership into what is written and yields a [`Scope`], the filter that
//! every statement of the store takes. Nothing else makes a `Scope`, so a query without an
//! authorization decision does not compile.

mod access;
mod authenticate;
mod bearer;
pub mod on;
mod scope;
mod supabase;

pub use access::Access;
pub use authenticate::{Authenticate, User, authenticate};
pub use bearer::BearerToken;
pub use on::Action;
pub use scope::{Filter, Scope};
pub use supabase::Supabase;
