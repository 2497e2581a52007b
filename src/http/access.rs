//! Authorization in handlers: the user, and the way to get a scope.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::Request;
use axum::http::request::Parts;
use uuid::Uuid;

use super::app::App;
use super::error::Error;
use crate::authz::{Action, Event, Resource, Scope, User};
use crate::json::Object;
use crate::shares::Holder;

/// The authenticated user of a request.
#[derive(Debug, Clone)]
pub struct Access {
    user: Arc<User>,
    app: Arc<App>,
    path: String,
}

impl Access {
    /// Calls the `on` handler for an action on threads, without metadata.
    pub async fn on(&self, action: Action, thread_ids: &[Uuid]) -> Result<Scope, Error> {
        self.on_metadata(action, thread_ids, &mut Object::default()).await
    }

    /// Calls the `on` handler for an action on threads, with metadata that the handler may change.
    pub async fn on_metadata(
        &self,
        action: Action,
        thread_ids: &[Uuid],
        metadata: &mut Object,
    ) -> Result<Scope, Error> {
        self.on_resource(Resource::Threads, action, thread_ids, metadata).await
    }

    /// The same for resources of any kind.
    pub async fn on_resource(
        &self,
        resource: Resource,
        action: Action,
        thread_ids: &[Uuid],
        metadata: &mut Object,
    ) -> Result<Scope, Error> {
        let (user, path) = (&*self.user, self.path.as_str());
        let event = Event { user, resource, action, path, thread_ids, metadata };
        Ok(self.app.auth.decide(event).await?)
    }

    /// The same user after another authentication of the credentials, because the user may have
    /// been deleted or have other permissions.
    pub async fn renewed(&self, credentials: &Credentials) -> Result<Access, Error> {
        let user = self.app.auth.authenticate(&credentials.0).await?;
        Ok(Access { user, app: Arc::clone(&self.app), path: self.path.clone() })
    }

    /// The holder that the request is charged to.
    #[must_use]
    pub fn holder(&self) -> Holder {
        Holder::user(&self.user.identity)
    }

    /// The user.
    #[must_use]
    pub fn user(&self) -> &User {
        &self.user
    }
}

/// The credentials of a request, to be checked again during its answer.
#[derive(Clone)]
pub struct Credentials(Arc<Parts>);

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Credentials {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let (mut copy, ()) = Request::new(()).into_parts();
        copy.method = parts.method.clone();
        copy.uri = parts.uri.clone();
        copy.headers = parts.headers.clone();
        Ok(Credentials(Arc::new(copy)))
    }
}

impl FromRequestParts<Arc<App>> for Access {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        let user = parts.extensions.get::<Arc<User>>().cloned();
        // Only a route outside the `admit` middleware has no user here.
        let user = user.ok_or_else(|| {
            Error::Internal("a route needs a user but does not authenticate".into())
        })?;
        Ok(Access { user, app: Arc::clone(app), path: parts.uri.path().to_owned() })
    }
}
