//! What a handler gets of the authorization: the user, and the way to ask for a scope.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::on::{self, Action};
use super::{Scope, User};
use crate::error::Error;
use crate::json::Object;

/// The authenticated user of a request.
#[derive(Debug)]
pub struct Access {
    user: User,
}

impl Access {
    /// Asks the on handler about an action that writes no metadata.
    #[must_use]
    pub fn on(&self, action: Action) -> Scope {
        on::add_owner(&self.user, action, None)
    }

    /// Asks the on handler about an action with metadata, which it may change.
    pub fn on_metadata(&self, action: Action, metadata: &mut Object) -> Scope {
        on::add_owner(&self.user, action, Some(metadata))
    }

    /// Who is asking.
    #[must_use]
    pub fn user(&self) -> &User {
        &self.user
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Access {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let user = parts.extensions.get::<User>().cloned();
        // Only a route outside the authenticate middleware can get here without a user.
        user.map(|user| Access { user })
            .ok_or_else(|| Error::Internal("a route asks for a user without authenticating".into()))
    }
}
