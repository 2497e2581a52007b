//! The authenticate step: runs before routing and before any body is read.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use futures::future::BoxFuture;

use super::User;
use crate::app::App;
use crate::error::Error;

/// Turns a request's credentials into a user.
pub trait Authenticate: Send + Sync + 'static {
    /// Answers with the user, or with the error that the client gets:
    /// [`Error::Unauthenticated`] for no usable credentials (403), [`Error::InvalidToken`] for
    /// refused ones (401), [`Error::AuthUnavailable`] if nobody can tell (503), and
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

/// Lets a request pass to `next` with its [`User`] as an extension, or answers for it.
///
/// It stands before the routes and their fallbacks, so that without credentials nothing can
/// be learnt, not even which paths exist.
pub(crate) async fn authenticate<F: Future<Output = Response>>(
    app: &App,
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let (mut parts, body) = request.into_parts();
    match app.auth.authenticate(&parts).await {
        Ok(user) => {
            parts.extensions.insert(Arc::clone(&user));
            let mut response = next(Request::from_parts(parts, body)).await;
            // For the access log.
            response.extensions_mut().insert(user);
            response
        }
        Err(error) => error.into_response(),
    }
}
