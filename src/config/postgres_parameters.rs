//! Every connection parameter of libpq, and those of other clients that are common in a
//! `DATABASE_URL`: what this program does with each, and the variable that libpq reads it from.
//!
//! The driver supports few of them and ignores the others. A parameter for a security feature that
//! the driver does not have must not be ignored, and an unknown parameter may be a misspelled one
//! of these. So every parameter is listed here, and others are refused.

use super::values::one_of;

/// A connection parameter.
pub(super) struct Parameter {
    /// Its name in a URL.
    pub(super) name: &'static str,
    /// The variable that libpq reads it from if a URL does not have it.
    pub(super) variable: Option<&'static str>,
    rule: Rule,
}

enum Rule {
    /// Works as in libpq.
    Used,
    /// Has no effect, and needs none.
    Ignored,
    /// Requires something that this program does not support, unless it has one of these values.
    /// The text is the reason or the alternative.
    Only(&'static [&'static str], &'static str),
}

use Rule::{Ignored, Only, Used};

const fn parameter(name: &'static str, variable: &'static str, rule: Rule) -> Parameter {
    Parameter { name, variable: Some(variable), rule }
}

/// A parameter that only URLs have.
const fn in_url(name: &'static str, rule: Rule) -> Parameter {
    Parameter { name, variable: None, rule }
}

/// The parameters of libpq 18, then those of other clients.
pub(super) const PARAMETERS: &[Parameter] = &[
    parameter("host", "PGHOST", Used),
    parameter("hostaddr", "PGHOSTADDR", Used),
    parameter("port", "PGPORT", Used),
    parameter("dbname", "PGDATABASE", Used),
    parameter("user", "PGUSER", Used),
    parameter("password", "PGPASSWORD", Used),
    parameter("application_name", "PGAPPNAME", Used),
    parameter("options", "PGOPTIONS", Used),
    parameter("sslmode", "PGSSLMODE", Used),
    parameter("sslrootcert", "PGSSLROOTCERT", Used),
    parameter("sslcert", "PGSSLCERT", Used),
    parameter("sslkey", "PGSSLKEY", Used),
    // The driver reads this variable by itself.
    Parameter { name: "passfile", variable: None, rule: Only(&[], "set PGPASSFILE instead") },
    // Security that the driver does not have.
    parameter("channel_binding", "PGCHANNELBINDING", Only(&["disable", "prefer"], VERIFY_FULL)),
    parameter("require_auth", "PGREQUIREAUTH", Only(&[], VERIFY_FULL)),
    parameter("requirepeer", "PGREQUIREPEER", Only(&[], "use a separate socket directory")),
    parameter("gssencmode", "PGGSSENCMODE", Only(&["disable", "prefer"], VERIFY_FULL)),
    parameter("requiressl", "PGREQUIRESSL", Only(&["0"], VERIFY_FULL)),
    parameter("sslnegotiation", "PGSSLNEGOTIATION", Only(&["postgres"], VERIFY_FULL)),
    parameter("sslcertmode", "PGSSLCERTMODE", Only(&["allow"], "set sslcert and sslkey")),
    parameter("sslcrl", "PGSSLCRL", Only(&[], "revocation lists are not read")),
    parameter("sslcrldir", "PGSSLCRLDIR", Only(&[], "revocation lists are not read")),
    parameter("sslsni", "PGSSLSNI", Only(&["1"], "the name is always sent")),
    parameter(
        "ssl_min_protocol_version",
        "PGSSLMINPROTOCOLVERSION",
        Only(TLS, "1.2 is the minimum"),
    ),
    parameter("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION", Only(&["TLSv1.3"], TLS_1_3)),
    in_url("sslpassword", Only(&[], "use a key without a passphrase")),
    in_url("sslkeylogfile", Only(&[], "session keys are not written")),
    in_url("scram_client_key", Only(&[], "set a password")),
    in_url("scram_server_key", Only(&[], "set a password")),
    // Requirements for the server or the kind of connection.
    parameter("service", "PGSERVICE", Only(&[], "service files are not read")),
    parameter("servicefile", "PGSERVICEFILE", Only(&[], "service files are not read")),
    parameter("target_session_attrs", "PGTARGETSESSIONATTRS", Only(&["any"], ONE_HOST)),
    parameter("load_balance_hosts", "PGLOADBALANCEHOSTS", Only(&["disable"], ONE_HOST)),
    parameter("min_protocol_version", "PGMINPROTOCOLVERSION", Only(&["3.0"], PROTOCOL)),
    parameter("max_protocol_version", "PGMAXPROTOCOLVERSION", Ignored),
    in_url("replication", Only(&["0", "false", "no", "off"], "this is not a replica")),
    // Set by this program, for each session or for each statement.
    parameter("client_encoding", "PGCLIENTENCODING", Ignored),
    parameter("connect_timeout", "PGCONNECT_TIMEOUT", Ignored),
    in_url("fallback_application_name", Ignored),
    in_url("keepalives", Ignored),
    in_url("keepalives_idle", Ignored),
    in_url("keepalives_interval", Ignored),
    in_url("keepalives_count", Ignored),
    in_url("tcp_user_timeout", Ignored),
    // For a kind of authentication or compression that the driver never uses.
    parameter("sslcompression", "PGSSLCOMPRESSION", Ignored),
    parameter("krbsrvname", "PGKRBSRVNAME", Ignored),
    parameter("gsslib", "PGGSSLIB", Ignored),
    parameter("gssdelegation", "PGGSSDELEGATION", Ignored),
    // The driver's own, Prisma's, Supabase's and node-postgres's.
    in_url("statement-cache-capacity", Used),
    in_url("pgbouncer", Used),
    in_url("connection_limit", Ignored),
    in_url("pool_timeout", Ignored),
    in_url("supa", Ignored),
    in_url("uselibpqcompat", Ignored),
    in_url("schema", Only(&[], "all tables are in the schema thread_store")),
    in_url("ssl", Only(&[], "set sslmode")),
];

const VERIFY_FULL: &str = "set sslmode=verify-full, which authenticates the server";
const ONE_HOST: &str = "the URL names one host, which must take writes";
const PROTOCOL: &str = "protocol 3.0 is used";
const TLS: &[&str] = &["TLSv1", "TLSv1.1", "TLSv1.2"];
const TLS_1_3: &str = "TLS 1.2 and 1.3 are used";

impl Parameter {
    pub(super) fn of(name: &str) -> Option<&'static Parameter> {
        PARAMETERS.iter().find(|parameter| parameter.name == name)
    }

    /// Whether the parameter is used. The error says why a value of it cannot be obeyed, without
    /// the value.
    pub(super) fn is_used(&self, value: &str) -> Result<bool, String> {
        match self.rule {
            Used => Ok(true),
            Ignored => Ok(false),
            Only(allowed, _) if allowed.contains(&value) => Ok(false),
            Only([], instead) => Err(format!("is not supported: {instead}")),
            Only(allowed, instead) => Err(format!("must be {}: {instead}", one_of(allowed))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_lists_the_parameters_that_a_url_may_have() {
        let page = include_str!("../../docs/database.md");
        let (_, section) = page.split_once("\n## Database address\n").unwrap();
        let section = section.split("\n## ").next().unwrap();
        for parameter in PARAMETERS.iter().filter(|parameter| !matches!(parameter.rule, Only(..))) {
            let name = parameter.name;
            let family = name.split('_').next().unwrap();
            let is_listed = section.contains(&format!("`{name}"))
                || section.contains(&format!("`{family}*`"))
                || name.starts_with("gss") && section.contains("those of GSSAPI");
            assert!(is_listed || name == "krbsrvname", "{name}");
            let variable = parameter.variable.filter(|_| matches!(parameter.rule, Used));
            let is_listed = |variable: &str| section.contains(&format!("`{variable}`"));
            assert!(variable.is_none_or(is_listed), "{variable:?}");
        }
    }
}
