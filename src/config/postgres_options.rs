//! From a URL and libpq's variables to the driver's connect options.
//!
//! libpq's variables supply what `DATABASE_URL` leaves out, as for `psql`: `PGPASSWORD` or
//! `PGPASSFILE` keep a password out of the URL. The driver reads some of them itself and ignores
//! invalid values, so all of them are read and checked here first. Only the driver reads
//! `PGPASSFILE` (else `~/.pgpass`), and it appends `options` to `PGOPTIONS`.

use std::fmt::Write as _;
use std::fs::File;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::postgres_parameters::PARAMETERS;
use super::postgres_url::Address;
use super::values::one_of;
use super::{ConfigError, wrong};

/// The values of `sslmode`. The driver has no mode that tries TLS last, so `allow` is treated as
/// `prefer`, which tries TLS first.
const SSL_MODES: [(&str, PgSslMode); 5] = [
    ("disable", PgSslMode::Disable),
    ("allow", PgSslMode::Prefer),
    ("prefer", PgSslMode::Prefer),
    ("require", PgSslMode::Require),
    ("verify-full", PgSslMode::VerifyFull),
];

/// Parameters that are passed to the driver unchanged if the URL has them.
const PLAIN: [&str; 4] = ["user", "password", "application_name", "options"];

/// The variables of libpq that are set.
pub(super) fn environment() -> Result<Address, ConfigError> {
    let mut environment = Address::default();
    for parameter in PARAMETERS {
        let Some(variable) = parameter.variable else { continue };
        let Some(value) = read(variable)? else { continue };
        if parameter.is_used(&value).map_err(|why| wrong(variable, why))? {
            environment.0.insert(parameter.name, value);
        }
    }
    Ok(environment)
}

/// The value of a variable that is set and not empty.
#[expect(clippy::disallowed_methods, reason = "this is `config`, which reads the environment")]
pub(super) fn read(variable: &'static str) -> Result<Option<String>, ConfigError> {
    let Some(value) = std::env::var_os(variable).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    value.into_string().map(Some).map_err(|_| wrong(variable, "must be UTF-8"))
}

/// The driver's connect options. `setting` is the name of the setting that holds the URL.
pub(super) fn connect_options(
    setting: &'static str,
    url: &Address,
    environment: &Address,
) -> Result<PgConnectOptions, ConfigError> {
    let given = Given { setting, url, environment };
    let mode = given.ssl_mode()?;
    given.check_certificates(mode)?;
    let mut plain = Query(String::from("postgres:///?"));
    plain.put("host", given.host()?);
    plain.put("port", given.number("port", 1, u16::MAX.into())?);
    plain.put("dbname", given.get("dbname").or(given.get("user")));
    for name in PLAIN {
        plain.put(name, url.get(name));
    }
    let capacity = given.number("statement-cache-capacity", 0, 10_000)?;
    plain.put("statement-cache-capacity", capacity);
    for name in ["sslcert", "sslkey"] {
        plain.put(name, url.get(name));
    }
    plain.put("sslrootcert", url.get("sslrootcert").filter(|path| *path != "system"));
    let options: Result<PgConnectOptions, _> = plain.0.parse();
    // The driver's message may hold the password.
    let mut options = options.map_err(|_| wrong(setting, "cannot be used"))?;
    if given.get("sslrootcert") == Some("system") {
        // Trusts only the authorities that are built into the program.
        options = options.ssl_root_cert_from_pem(Vec::new());
    }
    // As in libpq, a Unix socket has no TLS.
    let is_socket = options.get_socket().is_some() || options.get_host().starts_with('/');
    Ok(options.ssl_mode(if is_socket { PgSslMode::Disable } else { mode }))
}

/// A URL, and the variables that supply what it leaves out.
#[derive(Clone, Copy)]
struct Given<'a> {
    setting: &'static str,
    url: &'a Address,
    environment: &'a Address,
}

impl<'a> Given<'a> {
    fn get(self, name: &str) -> Option<&'a str> {
        self.url.get(name).or_else(|| self.environment.get(name))
    }

    /// An error about a parameter, which names the URL's setting or the variable.
    fn wrong(self, name: &str, problem: &str) -> ConfigError {
        let parameter = PARAMETERS.iter().find(|parameter| parameter.name == name);
        let variable = parameter.and_then(|parameter| parameter.variable);
        match variable {
            Some(variable) if self.url.get(name).is_none() => wrong(variable, problem),
            _ => wrong(self.setting, format!("`{name}` {problem}")),
        }
    }

    fn host(self) -> Result<Option<&'a str>, ConfigError> {
        match (self.get("host"), self.get("hostaddr")) {
            (Some(_), Some(_)) => {
                Err(self.wrong("hostaddr", "must not be given together with a host"))
            }
            (_, Some(address)) if address.parse::<std::net::IpAddr>().is_err() => {
                Err(self.wrong("hostaddr", "must be an IP address"))
            }
            (Some(host), None) if host.contains(',') => Err(self.wrong("host", "must be one host")),
            (Some(host), None) if host.starts_with('@') => {
                Err(self.wrong("host", "must be a name, an IP address or a directory"))
            }
            (host, address) => Ok(host.or(address)),
        }
    }

    fn number(self, name: &str, least: u32, most: u32) -> Result<Option<&'a str>, ConfigError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let is_right = text.parse().is_ok_and(|number| (least..=most).contains(&number));
        let problem = || format!("must be a number from {least} to {most}");
        if is_right { Ok(Some(text)) } else { Err(self.wrong(name, &problem())) }
    }

    fn ssl_mode(self) -> Result<PgSslMode, ConfigError> {
        let name = self.get("sslmode").unwrap_or("prefer");
        if name == "verify-ca" {
            // The driver adds `sslrootcert` to the public authorities instead of replacing them.
            let problem = "must not be `verify-ca`, which here would take any certificate of a \
                           public authority for the database's: set `verify-full`";
            return Err(self.wrong("sslmode", problem));
        }
        let mode = SSL_MODES.iter().find(|(known, _)| *known == name);
        mode.map(|(_, mode)| *mode).ok_or_else(|| {
            let names = SSL_MODES.map(|(name, _)| name);
            self.wrong("sslmode", &format!("must be {}", one_of(&names)))
        })
    }

    /// Refuses a certificate that would not be used, because it suggests security that is missing.
    fn check_certificates(self, mode: PgSslMode) -> Result<(), ConfigError> {
        if self.get("sslrootcert").is_some() && !matches!(mode, PgSslMode::VerifyFull) {
            return Err(self.wrong("sslrootcert", "has no effect without sslmode=verify-full"));
        }
        match (self.get("sslcert"), self.get("sslkey")) {
            (Some(_), None) => return Err(self.wrong("sslcert", "needs `sslkey`")),
            (None, Some(_)) => return Err(self.wrong("sslkey", "needs `sslcert`")),
            _ => {}
        }
        for name in ["sslrootcert", "sslcert", "sslkey"] {
            let Some(path) = self.get(name).filter(|path| *path != "system") else { continue };
            // A variable may hold the certificate itself.
            let is_inline = path.trim_start().starts_with("-----BEGIN");
            if !is_inline && let Err(error) = File::open(path) {
                return Err(self.wrong(name, &format!("cannot be read: {error}")));
            }
        }
        Ok(())
    }
}

/// A URL for the driver that consists only of a query, in which every value has one spelling.
struct Query(String);

impl Query {
    fn put(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            let _ = write!(self.0, "{name}={}&", utf8_percent_encode(value, NON_ALPHANUMERIC));
        }
    }
}
