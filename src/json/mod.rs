//! JSON that clients send and read back.
//!
//! Payloads travel as raw text ([`Raw`]) from the socket to Postgres and back; only objects
//! whose keys the server must see are taken apart, one level deep: in the request's own text
//! ([`Members`]), or to be kept ([`Object`]). [`check()`] is the gate before all of it: what
//! passes it, Postgres stores and gives back unchanged (D10).

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
