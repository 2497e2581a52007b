//! The requests and answers of the threads API that an import needs.

use chrono::{DateTime, FixedOffset};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::json::{Object, Raw};

/// A thread of the source.
#[derive(Debug, Deserialize)]
pub(super) struct Thread {
    /// An object, or null.
    pub(super) metadata: Option<Raw>,
    pub(super) values: Option<Raw>,
    /// Only with `include=ttl`, and only if the thread has one.
    ttl: Option<Ttl>,
}

#[derive(Debug, Deserialize)]
struct Ttl {
    strategy: Option<String>,
    ttl_minutes: Option<f64>,
}

impl Thread {
    /// The request that creates it in the destination. Its ttl starts again.
    pub(super) fn to_create(&self, thread_id: Uuid) -> NewThread<'_> {
        let ttl = self.ttl.as_ref().and_then(|ttl| {
            Some(NewTtl { ttl: ttl.ttl_minutes?, strategy: ttl.strategy.as_deref() })
        });
        let metadata = self.metadata.as_ref().filter(|metadata| !metadata.is_null());
        NewThread { thread_id, metadata, if_exists: "do_nothing", ttl }
    }
}

/// A body for `POST /threads`.
#[derive(Debug, Serialize)]
pub(super) struct NewThread<'a> {
    thread_id: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a Raw>,
    if_exists: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<NewTtl<'a>>,
}

#[derive(Debug, Serialize)]
struct NewTtl<'a> {
    ttl: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    strategy: Option<&'a str>,
}

/// A body for `POST /threads/search`. Sorted by id, because that order is stable, and new threads
/// usually come last.
#[derive(Serialize)]
pub(super) struct Search<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) metadata: Option<&'a Object>,
    pub(super) limit: usize,
    pub(super) offset: usize,
    sort_by: &'static str,
    sort_order: &'static str,
    select: [&'static str; 2],
}

impl<'a> Search<'a> {
    /// The page at an offset.
    pub(super) fn page(metadata: Option<&'a Object>, limit: usize, offset: usize) -> Search<'a> {
        let select = ["thread_id", "updated_at"];
        Search { metadata, limit, offset, sort_by: "thread_id", sort_order: "asc", select }
    }
}

/// A thread in a listing.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Listed {
    pub(super) thread_id: Uuid,
    updated_at: Option<String>,
}

impl Listed {
    /// Its `updated_at`. `None`: the source does not give it.
    pub(super) fn updated_at(&self) -> Option<DateTime<FixedOffset>> {
        DateTime::parse_from_rfc3339(self.updated_at.as_deref()?).ok()
    }
}

/// A body for `POST /threads/{id}/state`.
#[derive(Debug, Serialize)]
pub(super) struct Update<'a> {
    /// `null` for a checkpoint without a change.
    pub(super) values: Option<Object>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) as_node: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) checkpoint_id: Option<&'a str>,
}

/// The answer to an [`Update`].
#[derive(Deserialize)]
pub(super) struct Written {
    checkpoint_id: Option<String>,
    checkpoint: Option<WrittenCheckpoint>,
}

#[derive(Deserialize)]
struct WrittenCheckpoint {
    checkpoint_id: String,
}

impl Written {
    pub(super) fn checkpoint_id(self) -> Option<String> {
        self.checkpoint_id.or(self.checkpoint.map(|checkpoint| checkpoint.checkpoint_id))
    }
}

/// A body for `POST /threads/{id}/history`, with `before` in the form that every server accepts.
pub(super) fn page_of_history(before: Option<&str>, limit: usize) -> serde_json::Value {
    match before {
        None => json!({ "limit": limit }),
        Some(id) => {
            json!({ "limit": limit, "before": { "configurable": { "checkpoint_id": id } } })
        }
    }
}
