//! Metadata that clients send with a thread.

use crate::json::Object;

/// Keys that the reference server drops from metadata without a word, at the top level only.
const RESERVED: [&str; 5] =
    ["thread_id", "run_id", "assistant_id", "cron_id", "counters_since_delta_snapshot"];

/// The metadata to store for what a client sent.
pub(super) fn accepted(sent: Option<Object>) -> Object {
    let mut metadata = sent.unwrap_or_default();
    for key in RESERVED {
        metadata.remove(key);
    }
    metadata
}
