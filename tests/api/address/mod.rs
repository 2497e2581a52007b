//! The database's address: the forms of `DATABASE_URL` that people use, and libpq's variables, on a
//! Postgres that asks for passwords and certificates.

mod refusals;
pub(crate) mod tcp_postgres;

use std::path::Path;
use std::process::{Command, Output};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::support::deadline::output_of;
use crate::support::program::Program;
use tcp_postgres::{PASSWORD, TcpPostgres};

fn migrate(environment: &[(&str, &str)]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_thread-store"));
    let command = command.arg("migrate").env_clear().env("HOME", directory.path());
    output_of(command.envs(environment.iter().copied()).current_dir(directory.path())).unwrap()
}

/// What a Postgres is asked for, and what it has to see.
struct Case<'a> {
    url: &'a str,
    environment: &'a [(&'a str, &'a str)],
    /// What its log has to say of the connection.
    seen: &'a str,
}

const fn case<'a>(url: &'a str, seen: &'a str) -> Case<'a> {
    Case { url, environment: &[], seen }
}

/// The texts of a case with the places of this Postgres: `{v4}`, `{port}`, `{directory}` and its
/// `{encoded}` form, and the `{password}` in a URL.
fn filled(text: &str, postgres: &TcpPostgres) -> String {
    let directory = postgres.directory().to_str().unwrap();
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    text.replace("{v4}", &format!("127.0.0.1:{}", postgres.port))
        .replace("{port}", &postgres.port.to_string())
        .replace("{directory}", directory)
        .replace("{encoded}", &encode(directory))
        .replace("{password}", &encode(PASSWORD))
}

#[track_caller]
fn connects(postgres: &TcpPostgres, case: &Case<'_>) {
    let before = postgres.log().len();
    let url = filled(case.url, postgres);
    let environment: Vec<_> =
        case.environment.iter().map(|(name, value)| (*name, filled(value, postgres))).collect();
    let mut settings: Vec<_> =
        environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    settings.push(("DATABASE_URL", &url));
    let output = migrate(&settings);
    let log = postgres.log();
    let news = log.get(before..).unwrap();
    assert!(output.status.success(), "{url} {environment:?}: {output:?}\n{news}");
    let seen = format!("connection authorized: {}", case.seen);
    assert!(news.contains(&seen), "{url} {environment:?}: not {seen:?} in\n{news}");
}

#[tokio::test]
async fn every_usual_form_of_an_address_leads_to_the_database() {
    let postgres = TcpPostgres::start().await;
    let threads = "user=postgres database=threads application_name=thread-store";
    for case in [
        case("postgres://postgres@{v4}/threads", threads),
        case("postgresql://postgres@{v4}/threads", threads),
        case("PostgreSQL://postgres@{v4}/threads", threads),
        case(" postgres://postgres@{v4}/threads\n", threads),
        case("postgres://postgres@localhost:{port}/threads", threads),
        case("postgres://postgres@[::1]:{port}/threads", threads),
        case("postgres://postgres:ignored@[::1]:{port}/threads?sslmode=require", threads),
        case("postgres://postgres@[0:0::1]:{port}/threads", threads),
        case("postgres://postgres@/threads?host=::1&port={port}", threads),
        case("postgres://postgres@:{port}/threads?hostaddr=127.0.0.1", threads),
        case("postgres://postgres@/threads?host={encoded}&port={port}", threads),
        case("postgres://:{port}/threads?host=::1&user=postgres", threads),
        case("postgres://?host=127.0.0.1&port={port}&user=postgres&dbname=threads", threads),
        case("postgres:///?host=127.0.0.1&port={port}&user=postgres&dbname=threads", threads),
        case("postgres://postgres@/threads?host={directory}&port={port}", threads),
        case("postgres://postgres@{encoded}:{port}/threads", threads),
        case("postgres://postgres@localhost:{port}/threads?host={encoded}", threads),
        // TLS is not for sockets of the file system, as in libpq.
        case("postgres://postgres@{encoded}:{port}/threads?sslmode=verify-full", threads),
        case(
            "postgres://scram:{password}@{v4}/threads",
            "user=scram database=threads application_name=thread-store",
        ),
        case(
            "postgres://md5:{password}@{v4}/threads",
            "user=md5 database=threads application_name=thread-store",
        ),
        case(
            "postgres://cleartext:{password}@{v4}/threads",
            "user=cleartext database=threads application_name=thread-store",
        ),
        // Without a database it is that of the user's name.
        case(
            "postgres://scram:{password}@{v4}",
            "user=scram database=scram application_name=thread-store",
        ),
        case(
            "postgres://scram:{password}@{v4}/",
            "user=scram database=scram application_name=thread-store",
        ),
        case(
            "postgres://scram@{v4}/threads?password={password}",
            "user=scram database=threads application_name=thread-store",
        ),
        case(
            "postgres://%73cram:{password}@{v4}/thr%65ads",
            "user=scram database=threads application_name=thread-store",
        ),
        case(
            "postgres://postgres@{v4}/threads?application_name=a+b%20c",
            "user=postgres database=threads application_name=a+b c",
        ),
        case("postgres://postgres@{v4}/threads?options=-c%20role%3Dscram", threads),
        case(
            "postgres://postgres@{v4}/threads?options=-csearch_path%3Dx%20-cwork_mem%3D8MB",
            threads,
        ),
    ] {
        connects(&postgres, &case);
    }
}

#[tokio::test]
async fn parameters_that_ask_for_what_is_there_anyway_do_not_hinder() {
    let postgres = TcpPostgres::start().await;
    for parameter in [
        "sslmode=disable",
        "sslmode=allow",
        "sslmode=prefer",
        "sslmode=require",
        "channel_binding=prefer",
        "gssencmode=disable",
        "target_session_attrs=any",
        "connect_timeout=10",
        "keepalives=1&keepalives_idle=30&keepalives_interval=5&keepalives_count=3",
        "tcp_user_timeout=1000",
        "client_encoding=latin1",
        "fallback_application_name=x",
        "statement-cache-capacity=0",
        "statement-cache-capacity=500",
        "pgbouncer=false",
        "connection_limit=1&pool_timeout=5",
        "uselibpqcompat=true&supa=base-pooler.x",
        "ssl_min_protocol_version=TLSv1.2",
        "sslrootcert=",
        "sslcompression=0&sslsni=1&sslnegotiation=postgres&requiressl=0",
    ] {
        let url = format!("postgres://postgres@{{v4}}/threads?{parameter}");
        connects(
            &postgres,
            &case(&url, "user=postgres database=threads application_name=thread-store"),
        );
    }
}

#[tokio::test]
async fn libpqs_variables_fill_in_what_the_address_leaves_out() {
    let postgres = TcpPostgres::start().await;
    let passwords = tempfile::tempdir().unwrap();
    let file = passwords.path().join("passwords");
    let escaped = PASSWORD.replace(':', "\\:");
    let lines = format!("# host:port:database:user:password\n*:*:threads:scram:{escaped}\n");
    std::fs::write(&file, lines).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, mode).unwrap();
    let file = file.to_str().unwrap();
    let scram = "user=scram database=threads application_name=thread-store";
    let url = "postgres://scram@{v4}/threads";
    for (url, environment, seen) in [
        (url, &[("PGPASSWORD", PASSWORD)][..], scram),
        (url, &[("PGPASSFILE", file)], scram),
        ("postgres://scram@[::1]:{port}/threads", &[("PGPASSFILE", file)], scram),
        // The address wins.
        (
            "postgres://scram:{password}@{v4}/threads?application_name=mine&sslmode=disable",
            &[
                ("PGPASSWORD", "wrong"),
                ("PGHOST", "nowhere.example"),
                ("PGPORT", "1"),
                ("PGUSER", "nobody"),
                ("PGDATABASE", "none"),
                ("PGAPPNAME", "theirs"),
                ("PGSSLMODE", "require"),
            ],
            "user=scram database=threads application_name=mine",
        ),
        (
            "postgres://",
            &[
                ("PGHOST", "127.0.0.1"),
                ("PGPORT", "{port}"),
                ("PGUSER", "scram"),
                ("PGPASSWORD", PASSWORD),
                ("PGDATABASE", "threads"),
                ("PGAPPNAME", "theirs"),
                ("PGSSLMODE", "require"),
            ],
            "user=scram database=threads application_name=theirs",
        ),
        (
            "postgres:///threads",
            &[("PGHOST", "{directory}"), ("PGPORT", "{port}"), ("PGUSER", "postgres")],
            "user=postgres database=threads application_name=thread-store",
        ),
        (
            "postgres://scram:{password}@{v4}",
            &[("PGOPTIONS", "-c work_mem=8MB"), ("PGTZ", "Asia/Tokyo"), ("PGDATESTYLE", "German")],
            "user=scram database=scram application_name=thread-store",
        ),
        (
            "postgres://scram:{password}@:{port}",
            &[("PGHOSTADDR", "::1")],
            "user=scram database=scram application_name=thread-store",
        ),
    ] {
        connects(&postgres, &Case { url, environment, seen });
    }
    // One that others may read is not used.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(Path::new(file), mode).unwrap();
    let output = migrate(&[("DATABASE_URL", &filled(url, &postgres)), ("PGPASSFILE", file)]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[tokio::test]
async fn a_server_says_where_its_database_is() {
    let postgres = TcpPostgres::start().await;
    let sign_in = ("SUPABASE_URL", "http://127.0.0.1:1");
    for (url, place) in [
        ("postgres://postgres@[::1]:{port}/threads", "[::1]:{port}/threads"),
        ("postgres://scram:{password}@{v4}", "{v4}/scram"),
        ("postgres://postgres@/threads?host={directory}&port={port}", "{directory}:{port}/threads"),
    ] {
        let url = filled(url, &postgres);
        let settings = [("DATABASE_URL", &*url), ("DATABASE_DIRECT_URL", &*url), sign_in];
        let output = Program::start(&settings).stop();
        let place = format!("PostgreSQL at {}\n", filled(place, &postgres));
        assert!(output.contains(&place), "no {place} in {output}");
    }
}

/// The driver would use it, and nothing takes it back.
#[test]
fn options_of_libpqs_are_not_for_the_private_postgres() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_thread-store"));
    let command = command.env_clear().env("PGOPTIONS", "-c role=x").current_dir(directory.path());
    let output = output_of(command).unwrap();
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    let line = "thread-store: PGOPTIONS: must not be set unless DATABASE_URL is set\n";
    assert_eq!(String::from_utf8(output.stderr).unwrap(), line);
}

#[tokio::test]
async fn tls_is_what_the_address_asks_for_or_nothing() {
    let postgres = TcpPostgres::start().await;
    let seen = |url: &str| {
        let before = postgres.log().len();
        let output = migrate(&[("DATABASE_URL", &filled(url, &postgres))]);
        let log = postgres.log();
        let line = log.get(before..).unwrap().lines().find(|line| line.contains("authorized"));
        match (output.status.code(), line) {
            (Some(0), Some(line)) if line.contains("SSL enabled") => "tls",
            (Some(0), Some(_)) => "plain",
            (Some(1), None) => "refused",
            _ => panic!("{url}: {output:?} {line:?}"),
        }
    };
    let verified = "sslmode=verify-full&sslrootcert={directory}";
    let certificate = "sslcert={directory}/client.crt&sslkey={directory}/client.key";
    for (address, parameters, expected) in [
        ("postgres@{v4}", "sslmode=disable".to_owned(), "plain"),
        ("postgres@{v4}", "sslmode=allow".to_owned(), "tls"),
        ("postgres@{v4}", "sslmode=prefer".to_owned(), "tls"),
        ("postgres@{v4}", "sslmode=require".to_owned(), "tls"),
        ("postgres@[::1]:{port}", "sslmode=require".to_owned(), "tls"),
        ("postgres@localhost:{port}", format!("{verified}/authority.crt"), "tls"),
        ("postgres@localhost:{port}", format!("{verified}/stranger.crt"), "refused"),
        ("postgres@127.0.0.1:{port}", format!("{verified}/authority.crt"), "refused"),
        ("postgres@[::1]:{port}", format!("{verified}/authority.crt"), "refused"),
        ("postgres@localhost:{port}", "sslmode=verify-full".to_owned(), "refused"),
        (
            "postgres@localhost:{port}",
            "sslmode=verify-full&sslrootcert=system".to_owned(),
            "refused",
        ),
        ("certified@localhost:{port}", certificate.to_owned(), "tls"),
        ("certified@localhost:{port}", format!("{certificate}&{verified}/authority.crt"), "tls"),
        ("certified@localhost:{port}", "sslmode=require".to_owned(), "refused"),
        ("certified@localhost:{port}", format!("{certificate}&sslmode=disable"), "refused"),
    ] {
        let url = format!("postgres://{address}/threads?{parameters}");
        assert_eq!(seen(&url), expected, "{url}");
    }
}
