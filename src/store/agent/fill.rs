//! Threads of agents in lists: their values, status and interrupts.

use std::collections::HashMap;

use super::AgentState;
use crate::checkpoints::Run;
use crate::json::Raw;
use crate::shares::Permit;
use crate::store::error::MAX_STATE_ANSWER;
use crate::store::operation::{Asked, LIGHT};
use crate::store::{Channels, Error, Held, Status, Store, Thread};

impl Store {
    /// Adds the state from the agent's tables to a thread.
    pub(in crate::store) async fn with_agent_state(
        &self,
        asked: &Asked,
        held: Option<Held<Thread>>,
    ) -> Result<Option<Held<Thread>>, Error> {
        let Some(Held { mut value, mut memory }) = held else { return Ok(None) };
        let threads = std::slice::from_mut(&mut value);
        self.add_agent_states(asked, threads, true, &mut memory).await?;
        Ok(Some(Held { value, memory }))
    }

    /// The same for several threads. Without values it reads only the threads that are not idle, or whose
    /// status is not yet up to date.
    pub(in crate::store) async fn add_agent_states(
        &self,
        asked: &Asked,
        threads: &mut [Thread],
        with_values: bool,
        memory: &mut Option<Permit>,
    ) -> Result<(), Error> {
        let is_wanted = |thread: &Thread| {
            thread.is_agents && (with_values || !thread.is_settled || thread.status != Status::Idle)
        };
        let ids: Vec<_> = threads.iter().filter(|thread| is_wanted(thread)).collect();
        let ids: Vec<_> = ids.into_iter().map(|thread| thread.thread_id).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let channels = if with_values { Channels::All } else { Channels::None };
        let light = if memory.is_some() { MAX_STATE_ANSWER } else { LIGHT };
        let states = match Box::pin(self.newest_agent_states(asked, &ids, &channels, light)).await?
        {
            Ok(states) => states,
            Err(bytes) => {
                *memory = Some(self.memory(asked.holder, bytes.min(MAX_STATE_ANSWER)).await);
                let again = self.newest_agent_states(asked, &ids, &channels, MAX_STATE_ANSWER);
                Box::pin(again).await?.map_err(Error::StateUnreadable)?
            }
        };
        let mut states: HashMap<_, _> = states.into_iter().collect();
        for thread in threads.iter_mut().filter(|thread| is_wanted(thread)) {
            thread.show(states.remove(&thread.thread_id));
        }
        Ok(())
    }
}

impl Thread {
    fn show(&mut self, state: Option<AgentState>) {
        let Some(AgentState { checkpoint, run, .. }) = state else {
            (self.values, self.status, self.interrupts) = (None, Status::Idle, None);
            return;
        };
        self.values = checkpoint.values;
        self.status = status(&run, self.is_quiet);
        self.interrupts = Raw::of(&run.interrupts).ok().filter(|_| !run.interrupts.is_empty());
    }
}

/// The status of a thread according to the agent's rows.
///
/// A step that neither failed nor was interrupted counts as running for 5 minutes. After that
/// (`is_quiet`) it counts as waiting to be resumed: the graph has a breakpoint there, or the agent
/// was stopped.
pub(super) fn status(run: &Run, is_quiet: bool) -> Status {
    if run.next.is_empty() {
        Status::Idle
    } else if !run.interrupts.is_empty() {
        Status::Interrupted
    } else if run.has_error {
        Status::Error
    } else if is_quiet {
        Status::Interrupted
    } else {
        Status::Busy
    }
}
