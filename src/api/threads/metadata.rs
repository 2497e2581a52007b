//! Metadata that clients send with a thread.

use crate::json::Object;

/// Keys that the reference server silently drops from metadata, only at the top level.
const RESERVED: [&str; 5] =
    ["thread_id", "run_id", "assistant_id", "cron_id", "counters_since_delta_snapshot"];

/// The metadata to store, from the client's.
pub(super) fn accepted(sent: Option<Object>) -> Object {
    let mut metadata = sent.unwrap_or_default();
    for key in RESERVED {
        metadata.remove(key);
    }
    metadata
}
