//! What an on handler decides.

use http::StatusCode;

use super::filter::Filter;
use super::scope::Tenant;

/// What an on handler decides.
#[derive(Debug)]
pub enum Decision {
    /// The action may be taken, on any thread.
    Allow,
    /// It may not.
    Deny {
        /// A 4xx status; anything else counts as a fault of the handler.
        status: StatusCode,
        /// What the client reads.
        detail: String,
    },
    /// It may be taken on the threads that pass. To others the answer is as if there were none.
    Filter(Filter),
    /// The same for a policy under which every thread that passes belongs to one tenant, so that no
    /// statement looks anywhere else. A thread that is created under this decision gets the tenant
    /// for life: all actions on it have to name the same one.
    ///
    /// ```
    /// use thread_store::auth::{Decision, Event, Tenant};
    /// use thread_store::json::Raw;
    ///
    /// /// Threads of a team: all of its members see them, and every statement looks at its rows only.
    /// fn of_the_team(event: &mut Event<'_>) -> Decision {
    ///     let mut permissions = event.user.permissions.iter();
    ///     let Some(team) = permissions.find(|held| held.starts_with("team:")) else {
    ///         return Decision::forbidden();
    ///     };
    ///     let (tenant, team) = (Tenant::of(team), Raw::from(team.as_str()));
    ///     Decision::Within { tenant, filter: event.stamp("team", team) }
    /// }
    /// ```
    Within {
        /// What the threads belong to.
        tenant: Tenant,
        /// The condition on their metadata.
        filter: Filter,
    },
}

impl Decision {
    /// A plain refusal: 403.
    #[must_use]
    pub fn forbidden() -> Decision {
        Decision::Deny { status: StatusCode::FORBIDDEN, detail: "Forbidden".to_owned() }
    }
}

/// A refusal in a handler's own words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Denied {
    /// A 4xx status; anything else counts as a fault of the handler.
    pub status: StatusCode,
    /// What the client reads.
    pub detail: String,
}

impl Denied {
    /// A plain refusal: 403.
    pub(super) fn forbidden() -> Denied {
        Denied { status: StatusCode::FORBIDDEN, detail: "Forbidden".to_owned() }
    }
}
