//! The authenticate step: runs before routing and before any body is read.

use std::sync::Arc;

use futures::future::BoxFuture;
use http::request::Parts;

use super::error::Error;
use crate::authz::User;

/// Turns a request's credentials into a user.
pub trait Authenticate: Send + Sync + 'static {
    /// Answers with the user, or with the error that the client gets:
    /// [`Error::Unauthenticated`] for no usable credentials (403), [`Error::InvalidToken`] for
    /// refused ones (401), [`Error::Unavailable`] if nobody can tell (503), and
    /// [`Error::Denied`] for anything else. Sees headers, method, path and query, not the body.
    fn authenticate<'a>(&'a self, request: &'a Parts) -> BoxFuture<'a, Result<Arc<User>, Error>>;

    /// Whether credentials could be told good or bad when that was last tried. `None`: it has not
    /// been tried, or the handler does not know. For operators; nothing is decided by it.
    fn is_available(&self) -> Option<bool> {
        None
    }
}

impl<T: Authenticate> Authenticate for Arc<T> {
    fn authenticate<'a>(&'a self, request: &'a Parts) -> BoxFuture<'a, Result<Arc<User>, Error>> {
        (**self).authenticate(request)
    }

    fn is_available(&self) -> Option<bool> {
        (**self).is_available()
    }
}

impl Authenticate for Box<dyn Authenticate> {
    fn authenticate<'a>(&'a self, request: &'a Parts) -> BoxFuture<'a, Result<Arc<User>, Error>> {
        (**self).authenticate(request)
    }

    fn is_available(&self) -> Option<bool> {
        (**self).is_available()
    }
}
