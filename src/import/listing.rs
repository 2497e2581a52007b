//! Lists the threads of the source, in the order of copying.

use std::collections::HashSet;

use uuid::Uuid;

use super::api::Listed;
use super::failure::Failure;
use super::server::Server;
use crate::json::Object;

/// Maximum number of listings, if threads vanish during a listing.
const MAX_LISTINGS: usize = 10;

/// The ids of all threads whose metadata contains `metadata`, in the order of `updated_at`. All are
/// listed before any is copied: that is cheap, and gives the total number.
pub(super) async fn list(source: &Server, metadata: &Object) -> Result<Vec<Uuid>, Failure> {
    let (mut threads, mut seen) = (Vec::new(), HashSet::new());
    for _ in 0..MAX_LISTINGS {
        if read_pages(source, metadata, &mut threads, &mut seen).await? {
            break;
        }
    }
    // By id if the source does not give the time.
    threads.sort_by_cached_key(|thread: &Listed| (thread.updated_at(), thread.thread_id));
    Ok(threads.into_iter().map(|thread| thread.thread_id).collect())
}

/// Adds new threads, page by page. Returns whether none can have been missed.
async fn read_pages(
    source: &Server,
    metadata: &Object,
    threads: &mut Vec<Listed>,
    seen: &mut HashSet<Uuid>,
) -> Result<bool, Failure> {
    let (mut offset, mut is_whole) = (0_usize, true);
    loop {
        // Pages overlap by one thread. If it is unknown, deletions have moved others before it.
        let page = source.list(metadata, offset.saturating_sub(1)).await?;
        is_whole &= offset == 0 || page.first().is_some_and(|one| seen.contains(&one.thread_id));
        let has_more = page.len() > usize::from(offset > 0);
        offset = offset.saturating_sub(1) + page.len();
        threads.extend(page.into_iter().filter(|one| seen.insert(one.thread_id)));
        // A source without `offset` would return the same page for ever.
        if !has_more || offset > seen.len() {
            return Ok(is_whole);
        }
    }
}
