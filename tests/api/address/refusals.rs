//! Addresses and variables that cannot be obeyed.

use super::migrate;

#[track_caller]
fn is_refused(url: &str, environment: &[(&str, &str)], setting: &str, says: &str) {
    let mut settings = environment.to_vec();
    settings.push(("DATABASE_URL", url));
    let output = migrate(&settings);
    let line = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(64), "{url} {environment:?}: {output:?}");
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(line.starts_with(&format!("thread-store: {setting}: ")), "{url}: {line}");
    assert!(line.contains(says), "{url} {environment:?}: not {says:?} in {line}");
    assert!(!line.contains("hunter2"), "{line}");
}

/// What cannot be obeyed stops the program, above all what asks for security.
#[test]
fn what_an_address_asks_for_in_vain_is_refused_and_named() {
    for (parameter, says) in [
        ("ssl_mode=verify-full", "`ssl_mode` is not a known connection parameter"),
        ("ssl-mode=verify-full", "`ssl-mode` is not a known connection parameter"),
        ("SSLMODE=verify-full", "`SSLMODE` is not a known connection parameter"),
        ("sslmode=verify_full", "`sslmode` must be `disable`"),
        ("sslmode=Verify-Full", "`sslmode` must be `disable`"),
        ("sslmode=verify-ca", "`sslmode` must not be `verify-ca`"),
        ("sslmode=require&sslmode=disable", "`sslmode` must be given once"),
        ("sslrootcert=/dev/null", "`sslrootcert` has no effect without sslmode=verify-full"),
        ("sslmode=require&sslrootcert=/dev/null", "`sslrootcert` has no effect without"),
        ("sslmode=require&sslrootcert=system", "`sslrootcert` has no effect without"),
        ("sslmode=verify-full&sslrootcert=/none/x.crt", "`sslrootcert` cannot be read"),
        ("sslcert=/dev/null", "`sslcert` needs `sslkey`"),
        ("sslkey=/dev/null", "`sslkey` needs `sslcert`"),
        ("sslcert=/dev/null&sslkey=/none/x.key", "`sslkey` cannot be read"),
        ("sslpassword=hunter2", "`sslpassword` is not supported"),
        ("sslcrl=/dev/null", "`sslcrl` is not supported"),
        ("sslnegotiation=direct", "`sslnegotiation` must be `postgres`"),
        ("ssl_min_protocol_version=TLSv1.3", "`ssl_min_protocol_version` must be"),
        ("ssl=true", "`ssl` is not supported: set sslmode"),
        ("channel_binding=require", "`channel_binding` must be `disable` or `prefer`"),
        ("require_auth=scram-sha-256", "`require_auth` is not supported"),
        ("requirepeer=postgres", "`requirepeer` is not supported"),
        ("gssencmode=require", "`gssencmode` must be `disable` or `prefer`"),
        ("target_session_attrs=read-write", "`target_session_attrs` must be `any`"),
        ("load_balance_hosts=random", "`load_balance_hosts` must be `disable`"),
        ("service=mine", "`service` is not supported"),
        ("passfile=/x", "`passfile` is not supported: set PGPASSFILE"),
        ("schema=public", "`schema` is not supported"),
        ("pgbouncer=true", "`pgbouncer=true` must come with DATABASE_POOLER=transaction"),
        ("pool_mode=session", "`pool_mode` is not a known connection parameter"),
        ("options[search_path]=x", "has an unknown parameter"),
        ("sslmode", "has a parameter without `=`"),
        ("port=0", "`port` must be a number from 1 to 65535"),
        ("statement-cache-capacity=x", "`statement-cache-capacity` must be a number"),
        ("host=a,b", "`host` must be one host"),
        ("host=@abstract", "`host` must be a name"),
        ("hostaddr=10.0.0.1", "`hostaddr` must not be given together with a host"),
        ("application_name=%00", "`application_name` must not contain U+0000"),
        ("application_name=%ff", "`application_name` must be UTF-8"),
    ] {
        let url = format!("postgres://user:hunter2@127.0.0.1:1/none?{parameter}");
        is_refused(&url, &[], "DATABASE_URL", says);
    }
    for (url, says) in [
        ("host=127.0.0.1 user=u password=hunter2", "must be a URL, postgres://"),
        ("mysql://u:hunter2@h/d", "must be a URL, postgres://"),
        ("postgresql+asyncpg://u:hunter2@h/d", "must be a URL, postgres://"),
        ("jdbc:postgresql://h/d?user=u&password=hunter2", "must be a URL, postgres://"),
        ("postgres:u:hunter2@h/d", "must be a URL, postgres://"),
        ("postgres://u:hunter2@one:1,two:2/d", "must name one host"),
        ("postgres://u:hunter2@one,two/d", "must name one host"),
        ("postgres://u:hunter2@h:99999/d", "must be a URL, postgres://"),
        ("postgres://u:hunter2@[::1/d", "must be a URL, postgres://"),
        // Passwords that are not encoded.
        ("postgres://u:hunter2#x@h/d", "percent-encode special characters"),
        ("postgres://u:hunter2/x@h/d", "percent-encode special characters"),
        ("postgres://u:12#hunter2@h/d", "percent-encode special characters"),
        ("postgres://u:12/hunter2@h/d", "percent-encode special characters"),
        ("postgres://u:12?hunter2@h/d", "has a parameter without `=`"),
        ("postgres://u:%ff@h/d", "`password` must be UTF-8"),
        ("postgres://u:%00@h/d", "`password` must not contain U+0000"),
    ] {
        is_refused(url, &[], "DATABASE_URL", says);
    }
    let url = "postgres://user:hunter2@127.0.0.1:1/none";
    let direct = [("DATABASE_DIRECT_URL", "postgres://u:hunter2@h/d?channel_binding=require")];
    is_refused(url, &direct, "DATABASE_DIRECT_URL", "`channel_binding` must be");
    let direct = [("DATABASE_DIRECT_URL", "postgres://u:hunter2@h/d?pgbouncer=true")];
    is_refused(url, &direct, "DATABASE_DIRECT_URL", "must not go through a pooler");
}

#[test]
fn a_variable_of_libpqs_that_cannot_be_obeyed_is_refused_and_named() {
    for (variable, value, says) in [
        ("PGSSLMODE", "verify_full", "must be `disable`"),
        ("PGSSLMODE", "verify-ca", "must not be `verify-ca`"),
        ("PGSSLROOTCERT", "/dev/null", "has no effect without sslmode=verify-full"),
        ("PGSSLCERT", "/dev/null", "needs `sslkey`"),
        ("PGCHANNELBINDING", "require", "must be `disable` or `prefer`"),
        ("PGREQUIREAUTH", "scram-sha-256", "is not supported"),
        ("PGREQUIRESSL", "1", "must be `0`"),
        ("PGGSSENCMODE", "require", "must be `disable` or `prefer`"),
        ("PGSSLCRL", "/dev/null", "is not supported"),
        ("PGSSLMINPROTOCOLVERSION", "TLSv1.3", "must be"),
        ("PGTARGETSESSIONATTRS", "read-write", "must be `any`"),
        ("PGSERVICE", "mine", "is not supported"),
        ("PGHOSTADDR", "10.0.0.1", "must not be given together with a host"),
    ] {
        let url = "postgres://user:hunter2@127.0.0.1:1/none";
        is_refused(url, &[(variable, value)], variable, says);
    }
    is_refused(
        "postgres:///none",
        &[("PGPORT", "x")],
        "PGPORT",
        "must be a number from 1 to 65535",
    );
}
