//! Operations on threads, one file each.

mod copy;
mod count;
mod create;
mod delete;
mod directory;
mod find;
mod get;
mod page;
mod patch;
mod prune;
mod quota;
mod rows;
mod search;
mod sweep;

pub use create::{Created, IfExists, NewThread};
pub use page::{Behind, Page, SortKey, Wanted};
pub use patch::{Patch, TtlChange};
pub use quota::Quotas;
pub use rows::Found;
pub use sweep::{PutOff, Swept};

pub(super) use create::Insert;
pub(super) use get::Get;
pub(super) use patch::Change;
pub(super) use rows::Search;

/// The statements, for the tests that read all of them.
#[cfg(test)]
pub(super) mod statements {
    pub(in crate::store) use super::copy::{COPY, COPY_STATE, LOCK_SOURCE};
    pub(in crate::store) use super::count::COUNT;
    pub(in crate::store) use super::create::{CREATE, CREATE_NEW};
    pub(in crate::store) use super::delete::{DELETE, ERASE_STATE, HIDE, LOCK_EXPIRED};
    pub(in crate::store) use super::directory::TENANTS;
    pub(in crate::store) use super::find::{COUNT_FOUND, FIND};
    pub(in crate::store) use super::get::GET;
    pub(in crate::store) use super::patch::PATCH;
    pub(in crate::store) use super::prune::{
        DROP_PARENTS, KEEP_CHECKPOINTS, KEEP_MESSAGES, KEEP_VALUES, LOCK_ALL, PRUNED,
    };
    pub(in crate::store) use super::quota::{COUNT_UP_TO, LOCK_OWNER};
    pub(in crate::store) use super::search::{LIST, SEARCH, SEARCH_OWN, SEARCH_RECENT};
    pub(in crate::store) use super::sweep::{EXPIRED, LOCK_FOR_PRUNING, SWEPT};
}
