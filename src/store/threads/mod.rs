//! Operations on threads, one file each.

mod copy;
mod count;
mod create;
mod delete;
mod directory;
mod get;
mod page;
mod patch;
mod prune;
mod quota;
mod search;
mod sweep;

pub use create::{Created, IfExists, NewThread};
pub use page::{Behind, Page, SortKey};
pub use patch::{Patch, TtlChange};
pub use quota::Quotas;
pub use search::Found;
pub use sweep::{PutOff, Swept};

pub(super) use create::Insert;
pub(super) use get::Get;
pub(super) use patch::Change;
pub(super) use search::Search;
