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

/// Every statement about threads with its holes, in the order of the tests that read them.
#[cfg(test)]
pub(super) fn statements() -> Vec<super::statements::Listed> {
    use super::statements::Kind::{Fixed, OfMany, OfOwn, OfThreads, Search, SearchRecent};
    let mut all = vec![
        (&create::CREATE, OfOwn),
        (&get::GET, OfThreads),
        (&patch::PATCH, OfThreads),
        (&patch::LOCK, OfThreads),
        (&search::SEARCH, Search),
        (&search::SEARCH_RECENT, SearchRecent),
        (&count::COUNT, Search),
        (&quota::COUNT_UP_TO, OfMany),
        (&quota::LOCK_OWNER, Fixed),
        (&directory::TENANTS, Fixed),
        (&copy::LOCK_SOURCE, OfThreads),
        (&copy::COPY, Fixed),
    ];
    all.extend(copy::COPY_STATE.iter().map(|copy| (copy, Fixed)));
    all.extend([
        (&delete::DELETE, OfThreads),
        (&delete::HIDE, OfThreads),
        (&delete::LOCK_EXPIRED, Fixed),
    ]);
    all.extend(delete::ERASE_STATE.iter().map(|erase| (erase, Fixed)));
    all.extend([
        (&delete::ERASE_THREAD, Fixed),
        (&prune::LOCK_ALL, OfThreads),
        (&prune::KEEP_CHECKPOINTS, Fixed),
        (&prune::DROP_PARENTS, Fixed),
        (&prune::KEEP_VALUES, Fixed),
        (&prune::KEEP_MESSAGES, Fixed),
        (&prune::PRUNED, Fixed),
        (&sweep::EXPIRED, Fixed),
        (&sweep::LOCK_FOR_PRUNING, Fixed),
        (&sweep::SWEPT, Fixed),
    ]);
    all
}
