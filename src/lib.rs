//! x

#[cfg(feature = "local-auth")]
pub mod local_auth;
