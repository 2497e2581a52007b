//! A user whose credentials were accepted.

use std::fmt;

use serde_json::{Map, Value};

/// A user, as the `on` handlers see them.
#[derive(Clone, Default, PartialEq)]
pub struct User {
    /// The stable id: for Supabase its UUID, for OpenID Connect the subject.
    pub identity: String,
    /// The e-mail address; empty if there is none.
    pub email: String,
    /// Additional permissions. For Supabase the list `permissions` in `app_metadata`, which users
    /// cannot write, unlike `user_metadata`. For OpenID Connect the claim `permissions`, or the
    /// words of `scope`.
    pub permissions: Vec<String>,
    /// Whether the user signed in anonymously.
    pub is_anonymous: bool,
    /// The claims of the accepted token.
    pub claims: Map<String, Value>,
}

impl User {
    /// Whether the user has a permission.
    #[must_use]
    pub fn has(&self, permission: &str) -> bool {
        self.permissions.iter().any(|held| held == permission)
    }
}

/// Written by hand, because claims and addresses must not reach a log.
impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("identity", &self.identity).finish_non_exhaustive()
    }
}
