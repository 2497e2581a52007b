//! The decision of an `on` handler.

use http::StatusCode;

use super::filter::Filter;
use super::scope::Tenant;

/// The decision of an `on` handler.
#[derive(Debug)]
pub enum Decision {
    /// The action may be taken, on any thread.
    Allow,
    /// The action is refused.
    Deny {
        /// A 4xx status; any other status counts as a fault of the handler.
        status: StatusCode,
        /// The text for the client.
        detail: String,
    },
    /// The action may be taken on the threads that pass the filter. Other threads are treated as
    /// missing.
    Filter(Filter),
    /// Like [`Decision::Filter`], where all threads that pass belong to one tenant, so that
    /// statements read only that tenant's rows. A thread that is created under this decision keeps
    /// the tenant for life: the decisions for all later actions on it must name that tenant.
    ///
    /// ```
    /// use thread_store::auth::{Decision, Event, Tenant};
    /// use thread_store::json::Raw;
    ///
    /// /// Threads of a team: all members see them, and every statement reads only the team's rows.
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
        /// The tenant of the threads.
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

/// A refusal with a handler's own text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Denied {
    /// A 4xx status; any other status counts as a fault of the handler.
    pub status: StatusCode,
    /// The text for the client.
    pub detail: String,
}

impl Denied {
    /// A plain refusal: 403.
    pub(super) fn forbidden() -> Denied {
        Denied { status: StatusCode::FORBIDDEN, detail: "Forbidden".to_owned() }
    }
}
