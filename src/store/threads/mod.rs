//! Operations on threads, one file each.

mod copy;
mod count;
mod create;
mod delete;
mod directory;
mod get;
mod patch;
mod prune;
mod quota;
mod search;
mod sweep;

pub use create::{Created, IfExists, NewThread};
pub use patch::{Patch, TtlChange};
pub use quota::Quotas;
pub use search::{Behind, Criteria, Found, Page, SortKey};
pub use sweep::{PutOff, Swept};

pub(super) use create::Insert;
pub(super) use get::Get;
pub(super) use patch::{Change, lock};
pub(super) use search::Search;
