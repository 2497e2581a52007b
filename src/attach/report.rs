//! The report of `attach`.

use std::fmt::Write as _;

use crate::json::excerpt;
use crate::store::{Attaching, Survey, TakenIn};

/// The report, as lines of text.
pub(super) fn report(attaching: &Attaching, taken_in: &TakenIn, survey: &Survey) -> String {
    let attachment = attaching.attachment();
    let mut text = format!(
        "thread-store: schema {} is attached, {} taken in\n",
        attachment.schema,
        threads(taken_in.taken_in)
    );
    let in_total = if survey.threads == taken_in.taken_in {
        String::new()
    } else {
        format!("in total {}, ", threads(survey.threads))
    };
    // Writing to a `String` cannot fail.
    let _ = writeln!(text, "  {in_total}{} of state", bytes(survey.bytes));
    if survey.ownerless > 0 {
        let _ = writeln!(
            text,
            "  without an owner: {}. No user sees them: the metadata of their first checkpoint has no {}",
            threads(survey.ownerless),
            attachment.owner_key
        );
    }
    if taken_in.refused_count > 0 {
        let names: Vec<_> = taken_in.refused.iter().map(|id| excerpt(id)).collect();
        let _ = writeln!(
            text,
            "  rejected, because the id belongs to another user: {}: {}",
            threads(taken_in.refused_count),
            names.join(", ")
        );
    }
    for (why, channels) in &survey.unreadable {
        let channels: Vec<_> = channels.iter().map(|channel| excerpt(channel)).collect();
        let _ = writeln!(text, "  cannot be read: {} is {why}", channels.join(", "));
    }
    for (id, size) in &survey.largest {
        let _ = writeln!(text, "  large: {} has {}", excerpt(id), bytes(*size));
    }
    if !attaching.readers.is_empty() {
        let _ = writeln!(
            text,
            "  warning: {} can read the agent's tables without this server. Enable row level security on \
             them or revoke the privilege",
            attaching.readers.join(", ")
        );
    }
    text
}

fn threads(count: u64) -> String {
    if count == 1 { "1 thread".to_owned() } else { format!("{count} threads") }
}

fn bytes(count: i64) -> String {
    const KIB: i64 = 1024;
    if count < KIB {
        format!("{count} bytes")
    } else if count < KIB * KIB {
        format!("{} KiB", count / KIB)
    } else {
        format!("{} MiB", count / KIB / KIB)
    }
}
