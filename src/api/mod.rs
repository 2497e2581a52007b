//! The endpoints, one file each. Where they differ from the reference server, the README's
//! compatibility table says so: D1, D2 and so on are its rows.

mod id_schemas;
pub(crate) mod not_served;
pub(crate) mod openapi;
pub(crate) mod runs;
pub(crate) mod state;
pub(crate) mod system;
pub(crate) mod threads;
