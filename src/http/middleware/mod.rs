//! What a request passes before and after its handler.

pub(crate) mod access_log;
pub(crate) mod admit;
pub(crate) mod cors;
mod large_body;

pub(crate) use access_log::Written;
