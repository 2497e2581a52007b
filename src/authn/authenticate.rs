//! The authenticate step: runs before routing and before any body is read.

use std::sync::Arc;

use futures::future::BoxFuture;
use http::request::Parts;

use super::error::Error;
use crate::authz::User;

/// Turns a request's credentials into a user.
pub trait Authenticate: Send + Sync + 'static {
    /// Returns the user, or the error for the client: [`Error::Unauthenticated`] for no usable
    /// credentials (403), [`Error::InvalidToken`] for refused ones (401), [`Error::Unavailable`] if
    /// the credentials can be neither accepted nor refused (503), and [`Error::Denied`] for any
    /// other refusal. The handler sees headers, method, path and query, not the body.
    fn authenticate<'a>(&'a self, request: &'a Parts) -> BoxFuture<'a, Result<Arc<User>, Error>>;

    /// Whether the last verification accepted or refused its credentials. `None`: none ran, or the
    /// handler does not report it. For operators; nothing depends on it.
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
