//! JSON that clients send and read back.
//!
//! Payloads travel as raw text ([`Raw`]) from the socket to Postgres and back; only objects
//! whose keys the server must see ([`Object`]) are taken apart, one level deep. [`check()`] is
//! the gate before all of it: what passes it, Postgres stores and gives back unchanged
//! (`DECISIONS.md` D10).

mod check;
mod raw;

pub use check::{MAX_DEPTH, Unstorable, check};
pub use raw::{Object, Raw};
