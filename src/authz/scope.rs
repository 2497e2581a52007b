//! The scope that every query requires.

use sha2::{Digest as _, Sha256};

use super::filter::{Filter, OWNER};
use super::user::User;
use crate::shares::Holder;

/// The party that a thread belongs to. All rows of a tenant's threads are stored together, so that
/// a store can be spread over many machines by tenant.
///
/// It is 64 bits of a hash, which only select where to look: the filter of the scope decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tenant(i64);

impl Tenant {
    /// The tenant of a name, such as that of a user, a team or a customer. Equal names have the
    /// same tenant, in every instance and release.
    #[must_use]
    pub fn of(name: &str) -> Tenant {
        let hash = Sha256::digest(name);
        let bytes = hash.first_chunk::<8>().copied().unwrap_or_default();
        Tenant(i64::from_be_bytes(bytes))
    }

    /// The number that is stored.
    #[must_use]
    pub fn number(self) -> i64 {
        self.0
    }
}

/// What a user may see, as decided by an `on` handler.
///
/// Every function of the store that answers a client takes a scope first. Only the `on` step can
/// construct one.
#[derive(Debug, Clone, PartialEq)]
pub struct Scope {
    tenant: Option<Tenant>,
    filter: Option<Filter>,
    home: Tenant,
    holder: Holder,
}

impl Scope {
    /// The threads of `tenant`, or of all tenants, that pass `filter`. `None`: no restriction.
    pub(super) fn new(user: &User, tenant: Option<Tenant>, filter: Option<Filter>) -> Scope {
        let home = tenant.unwrap_or_else(|| Tenant::of(&user.identity));
        Scope { tenant, filter, home, holder: Holder::user(&user.identity) }
    }

    /// The tenant of all threads of this scope. `None`: they may have any tenant.
    #[must_use]
    pub fn tenant(&self) -> Option<Tenant> {
        self.tenant
    }

    /// The tenant of a thread that is created in this scope: its own, or that of the user.
    #[must_use]
    pub fn home(&self) -> Tenant {
        self.home
    }

    /// The condition that every thread of this scope meets. `None`: a handler allowed all.
    #[must_use]
    pub fn filter(&self) -> Option<&Filter> {
        self.filter.as_ref()
    }

    /// Whether the filter requires the owner whose name the tenant is the hash of. Then all threads
    /// of the tenant pass it, except those of another name with the same hash.
    pub(crate) fn is_of_one_owner(&self) -> bool {
        let Some(Filter::Equal { key, value }) = &self.filter else { return false };
        let is_tenants = |name: String| self.tenant == Some(Tenant::of(&name));
        key == OWNER && value.parse().is_ok_and(is_tenants)
    }

    /// The holder that the work for this scope is charged to.
    #[must_use]
    pub fn holder(&self) -> Holder {
        self.holder
    }

    /// The intersection of both scopes, for a request that takes two actions.
    #[must_use]
    pub fn and(self, other: Scope) -> Scope {
        let filter = match (self.filter, other.filter) {
            (Some(one), Some(other)) => Some(one.and(other)),
            (one, other) => one.or(other),
        };
        let tenant = self.tenant.or(other.tenant);
        let is_one_tenant = other.tenant.is_none_or(|other| tenant == Some(other));
        // No thread has two tenants.
        let filter = if is_one_tenant { filter } else { Some(Filter::Any(Vec::new())) };
        Scope { tenant, filter, home: self.home, holder: self.holder }
    }
}
