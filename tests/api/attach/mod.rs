//! Threads of agents that write with LangGraph's own checkpointers.

mod agent;
mod reading;
