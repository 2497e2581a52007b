//! Threads that a team shares.
//!
//! A thread has one `owner` and a list of `members` in its metadata, all of them identities:
//!
//! | | owner | member | stranger | holder of `threads:admin` |
//! |---|---|---|---|---|
//! | read, search, copy | yes | yes | | yes |
//! | write metadata and state | yes | yes | | yes |
//! | change `members` | yes | | | yes |
//! | delete, prune, set a ttl | yes | | | yes |
//!
//! What a user may not do is answered as if there were no such thread. A copy belongs to the
//! user who made it and begins without members, so that nobody's words are shared through a copy
//! that they do not know of.

use thread_store::auth::{Action, Auth, Authenticate, Decision, Event, Everything, Filter};
use thread_store::auth::{SlotTaken, User};
use thread_store::json::Raw;

/// The permission that opens every thread. Supabase keeps it in `app_metadata.permissions`,
/// which users cannot write.
pub(crate) const ADMIN: &str = "threads:admin";

/// The handlers of this policy.
pub(crate) fn team(authenticate: Box<dyn Authenticate>) -> Result<Auth, SlotTaken> {
    Auth::new(authenticate)
        .on(Everything, shared)?
        .on(Action::Create, create)?
        .on(Action::Update, update)?
        .on(Action::Delete, |event: &mut Event<'_>| unless_admin(event.user, owner(event.user)))
}

/// Reading and searching: the owner and the members.
fn shared(event: &mut Event<'_>) -> Decision {
    unless_admin(event.user, owner_or_member(event.user))
}

/// A new thread belongs to the user who creates it. Without members it is private.
fn create(event: &mut Event<'_>) -> Decision {
    if event.metadata.get("members").is_none() {
        event.metadata.insert("members", Raw::from_text("[]").unwrap_or_default());
    }
    if !members_are_valid(event) {
        return invalid_members();
    }
    event.stamp("owner", identity(event.user));
    unless_admin(event.user, owner_or_member(event.user))
}

/// Members may change everything except the list of members. The handler does not know who owns
/// the thread, so the filter that it returns decides: an update of `members` finds only threads
/// that the user owns, in the same statement that writes them.
fn update(event: &mut Event<'_>) -> Decision {
    // The owner of a thread never changes, whatever the client sends.
    event.metadata.remove("owner");
    if event.metadata.get("members").is_none() {
        return unless_admin(event.user, owner_or_member(event.user));
    }
    if members_are_valid(event) {
        unless_admin(event.user, owner(event.user))
    } else {
        invalid_members()
    }
}

fn unless_admin(user: &User, filter: Filter) -> Decision {
    if user.has(ADMIN) { Decision::Allow } else { Decision::Filter(filter) }
}

fn owner(user: &User) -> Filter {
    Filter::equal("owner", identity(user))
}

fn owner_or_member(user: &User) -> Filter {
    owner(user).or(Filter::contains("members", identity(user)))
}

fn identity(user: &User) -> Raw {
    Raw::from(user.identity.as_str())
}

fn members_are_valid(event: &Event<'_>) -> bool {
    event.metadata.get("members").is_some_and(|members| members.parse::<Vec<String>>().is_ok())
}

fn invalid_members() -> Decision {
    let detail = "metadata.members: expected a list of user ids".to_owned();
    Decision::Deny { status: axum::http::StatusCode::UNPROCESSABLE_ENTITY, detail }
}
