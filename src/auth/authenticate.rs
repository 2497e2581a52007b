//! The authenticate step: runs before routing and before any body is read.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::future::BoxFuture;

use crate::app::App;
use crate::error::Error;

/// Somebody whose credentials were accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The user's stable id, for Supabase its UUID. Owner of what the user makes.
    pub identity: String,
}

/// Turns a request's credentials into a user.
pub trait Authenticate: Send + Sync + 'static {
    /// Answers with the user, or with the error that the client gets.
    fn authenticate<'a>(&'a self, request: &'a Parts) -> BoxFuture<'a, Result<User, Error>>;
}

/// Middleware: lets a request pass with its [`User`] as an extension, or answers for it.
///
/// It stands before the routes and their fallbacks, so that without credentials nothing can
/// be learnt, not even which paths exist.
pub async fn authenticate(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match app.authenticate.authenticate(&parts).await {
        Ok(user) => {
            parts.extensions.insert(user);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(error) => error.into_response(),
    }
}
