//! The middleware around handlers.

pub(crate) mod access_log;
pub(crate) mod admit;
mod cors;
mod large_body;

pub(crate) use access_log::Written;
pub(crate) use cors::AcrossOrigins;
