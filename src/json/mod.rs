//! JSON of requests and answers.
//!
//! Payloads stay raw text ([`Raw`]) from the socket to Postgres and back. Only objects whose keys
//! the server must read are parsed, one level deep: in the request's own text ([`Members`]), or as
//! a copy ([`Object`]). [`check()`] comes before all of it: JSON that passes it is stored and
//! returned unchanged by Postgres (D10).

mod check;
mod compact;
mod containment;
mod equality;
mod excerpt;
mod members;
mod raw;

pub use check::{MAX_DEPTH, Unstorable, check};
pub use containment::contains;
pub use equality::equal;
pub use excerpt::{MAX_ECHO, excerpt, quoted, without_position};
pub use members::{MAX_KEYS, Members, for_each};
pub use raw::{Object, Raw};
