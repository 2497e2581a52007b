//! Threads of agents that write with LangGraph's own checkpointers.

pub(crate) mod agent;
mod attaching;
mod deleting;
mod examples;
mod finding;
mod ids;
mod privacy;
mod reading;
mod rights;
mod savers;
mod taking;
mod values;
