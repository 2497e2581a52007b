//! What a request passes before and after its handler.

pub(crate) mod access_log;
pub(crate) mod admit;
pub(crate) mod cors;

pub(crate) use access_log::Written;
