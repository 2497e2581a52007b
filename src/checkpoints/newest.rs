//! The newest state of a thread, with the results of the current step so far.

use super::channels::{Values, is_state_channel};
use super::cipher::AesKey;
use super::replay::{is_replayed, replay};
use super::stored::decode;
use super::tasks::{Run, Write};
use super::unreadable::Unreadable;
use crate::messages::CHANNEL as MESSAGES;

/// Applies the writes of the current step's finished tasks to the values of a thread's newest
/// checkpoint, as LangGraph's `get_state` does. Reducers are the agent's code: only the reducers of
/// `messages` and of a delta channel `files` are known, and other channels keep their value.
pub fn newest_values(
    values: &mut Values,
    run: &Run,
    writes: &[Write<'_>],
    deltas: &[String],
    key: Option<&AesKey>,
) {
    let finished: Vec<_> = writes.iter().filter(|write| run.is_finished(write.task_id)).collect();
    let mut channels: Vec<_> = finished.iter().map(|write| write.channel).collect();
    channels.retain(|channel| is_state_channel(channel));
    channels.sort_unstable();
    channels.dedup();
    for channel in channels {
        let is_known = channel == MESSAGES
            || (deltas.iter().any(|delta| delta == channel) && is_replayed(channel));
        if values.unreadable.contains_key(channel) {
            continue;
        }
        let written = finished.iter().filter(|write| write.channel == channel);
        let written: Result<Vec<_>, _> =
            written.map(|write| decode(write.r#type, write.bytes, key)).collect();
        let before = values.channels.get(channel);
        let after = match written {
            _ if !is_known => Err(Unreadable::Reducer),
            Ok(written) => {
                replay(channel, before, &written.into_iter().flatten().collect::<Vec<_>>())
            }
            Err(why) => Err(why),
        };
        match after {
            Ok(value) => drop(values.channels.insert(channel.to_owned(), value)),
            // The value of the checkpoint stays.
            Err(why) => drop(values.unreadable.insert(channel.to_owned(), why)),
        }
    }
}
