//! The common part of all connections of this program.

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;

/// The options of every connection of this program.
pub(super) fn ours(options: PgConnectOptions) -> PgConnectOptions {
    let options = match options.get_application_name() {
        None => options.application_name("thread-store"),
        Some(_) => options,
    };
    let options = options.disable_statement_logging();
    // Postgres 12 and newer print floats in full by default, and PgBouncer refuses this parameter.
    options.extra_float_digits(None)
}

/// Settings that all statements rely on. They override `alter database ... set` and
/// `alter role ... set`.
///
/// `search_path`: on a shared database, other roles may create functions with the names of
/// Postgres's own. `standard_conforming_strings`: strings without `E` have no escapes.
/// `default_transaction_isolation`: concurrent writers of a thread must see each other's commits.
/// `extra_float_digits`: numbers keep all of their digits. `idle_session_timeout`: idle connections
/// stay open.
///
/// `default_transaction_read_only` is not overridden, because hosts set it on a full database.
pub(super) const SESSION: [(&str, &str); 6] = [
    ("search_path", "pg_catalog"),
    ("standard_conforming_strings", "on"),
    ("default_transaction_isolation", "read committed"),
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
    ("idle_session_timeout", "0"),
];

/// Settings as commands.
pub(super) fn set<'a>(settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let commands = settings.into_iter().map(|(name, value)| format!("set {name} = '{value}'; "));
    commands.collect::<Vec<_>>().concat()
}
