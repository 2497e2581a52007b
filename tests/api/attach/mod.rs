//! Threads of agents that write with LangGraph's own checkpointers.

mod agent;
mod attaching;
mod deleting;
mod ids;

mod privacy;
mod reading;
mod rights;
mod savers;
mod values;
