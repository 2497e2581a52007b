//! What an update does to the stored messages of a thread.

use std::collections::HashMap;

use super::bases::Base;
use crate::json::Raw;
use crate::messages::{self, Change, Plan, Refused};

/// What an update does to the messages of `base`, which has those that it names.
pub(super) fn plan<'a>(changes: &'a [Change], base: Option<&Base>) -> Result<Plan<'a>, Refused> {
    let present = base.map(|base| base.present.as_slice()).unwrap_or_default();
    let positions: HashMap<_, _> =
        present.iter().map(|(id, position, _)| (id.clone(), *position)).collect();
    let mut plan = messages::reduce(changes, &positions, base.map_or(0, Base::messages_end))?;
    // Clients that send the whole conversation each time must not make it grow each time.
    let stored: HashMap<_, _> =
        present.iter().map(|(_, position, message)| (*position, message.text())).collect();
    plan.rows.retain(|row| {
        let stored = stored.get(&row.position).copied();
        stored.is_none() || stored != row.message.map(Raw::text)
    });
    Ok(plan)
}
