//! The lines of an export.

use serde::Serialize;

use crate::api::state::snapshot::StateSnapshot;
use crate::api::threads::view::{Selected, ThreadField, ThreadView};
use crate::store::Thread;

/// A line of an export of all threads.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    /// A thread begins.
    Thread(Box<ThreadView>),
    /// A state of the thread.
    State(Box<StateSnapshot>),
    /// The position from which another export may continue: all threads before it are complete.
    Cursor(String),
    /// The end: all threads have been sent.
    End(bool),
}

/// A thread in an export, without its values, because states have their own lines.
pub(super) fn without_values(thread: Thread) -> ThreadView {
    use ThreadField as F;
    let fields = [
        F::ThreadId,
        F::CreatedAt,
        F::UpdatedAt,
        F::StateUpdatedAt,
        F::Metadata,
        F::Status,
        F::Config,
        F::Interrupts,
    ];
    let selected = Selected { fields: Some(fields.to_vec()), with_ttl: true };
    ThreadView::new(thread, selected, None)
}
