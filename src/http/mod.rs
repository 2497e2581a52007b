//! The common parts of all endpoints: extractors, bodies, answers and errors.
//!
//! Only [`Error`] chooses status codes. A handler gets its user and its scopes from [`Access`], and
//! all other state of the server from [`App`].

mod access;
pub(crate) mod answer;
mod app;
mod body;
mod error;
mod extract;
mod fields;
mod later;
pub(crate) mod middleware;
mod response;

pub use access::{Access, Credentials};
pub use app::{App, AppShares};
pub use body::{Body, JsonBody};
pub(crate) use body::{JsonText, Received, refuse_encodings};
pub(crate) use error::detail;
pub use error::{Cause, Error};
pub use extract::{Query, Segment, ThreadId, parse_uuid};
pub(crate) use fields::Name;
pub use fields::{Bounded, ObjectOf, name, names, present};
pub(crate) use later::Later;
pub use response::{Json, Reserving};
