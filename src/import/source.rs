//! The source of an import: a server, or an exported file.

use uuid::Uuid;

use super::api::Thread;
use super::archive::Archive;
use super::failure::Failure;
use super::listing;
use super::server::Server;
use super::snapshot::Snapshot;
use crate::config::{Import, ImportFrom};

/// The source of an import.
#[derive(Debug)]
pub(super) enum Source {
    /// A server.
    Server(Server),
    /// A file.
    File(Archive),
}

impl Source {
    /// Opens and checks the source.
    pub(super) async fn open(asked: &Import) -> anyhow::Result<Source> {
        match &asked.from {
            ImportFrom::Server(peer) => {
                let server = Server::new("the source", peer)?;
                server.check().await?;
                Ok(Source::Server(server))
            }
            ImportFrom::File(path) => Ok(Source::File(Archive::open(path, &asked.metadata)?)),
        }
    }

    /// The ids of all selected threads, in the order of `updated_at`.
    pub(super) async fn list(&self, asked: &Import) -> Result<Vec<Uuid>, Failure> {
        match self {
            Source::Server(server) => listing::list(server, &asked.metadata).await,
            Source::File(archive) => Ok(archive.list()),
        }
    }

    /// `None`: the thread was deleted.
    pub(super) async fn thread(&self, id: Uuid) -> Result<Option<Thread>, Failure> {
        match self {
            Source::Server(server) => server.thread(id).await,
            Source::File(archive) => archive.thread(id),
        }
    }

    /// Passes all states of a thread to `take`, newest first.
    pub(super) async fn history(
        &self,
        id: Uuid,
        take: impl FnMut(Snapshot) -> Result<(), String> + Send,
    ) -> Result<Result<(), String>, Failure> {
        match self {
            Source::Server(server) => server.history(id, take).await,
            Source::File(archive) => archive.history(id, take),
        }
    }
}
