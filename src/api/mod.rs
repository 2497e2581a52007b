//! The endpoints, one file each. Differences from the reference server are in the README's
//! compatibility table: D1, D2 and so on are its rows.

pub(crate) mod export;
mod id_schemas;
pub(crate) mod not_served;
pub(crate) mod openapi;
pub(crate) mod runs;
pub(crate) mod state;
pub(crate) mod system;
pub(crate) mod threads;
