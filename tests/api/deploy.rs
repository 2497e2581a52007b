//! The scripts in `deploy/`, with which docker-compose.yml prepares its database.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _};

use crate::address::tcp_postgres::{PASSWORD, TcpPostgres};
use crate::support::deadline::output_of;
use crate::support::program::Program;

/// The directories that are volumes in the compose file.
struct Volumes {
    directory: tempfile::TempDir,
}

impl Volumes {
    fn new() -> Volumes {
        let directory = tempfile::tempdir().unwrap();
        for name in ["superuser", "passfile"] {
            std::fs::create_dir(directory.path().join(name)).unwrap();
        }
        Volumes { directory }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(name)).unwrap()
    }

    /// Runs the script as the compose file does, with a superuser whose password is not the one
    /// of the image any more.
    fn make_role(&self, postgres: &TcpPostgres) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/database-role.sh");
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("sh");
        let command = command
            .arg(script)
            .env_clear()
            .env("PATH", format!("{}:{path}", postgres.programs().display()))
            .envs([("PGHOST", "127.0.0.1"), ("PGUSER", "scram"), ("PGDATABASE", "threads")])
            .envs([("PGPORT", &*postgres.port.to_string()), ("INITIAL_PASSWORD", PASSWORD)])
            .env("SUPERUSER_DIRECTORY", self.path("superuser"))
            .env("PASSFILE_DIRECTORY", self.path("passfile"))
            .env("SERVER_USER", rustix::process::geteuid().as_raw().to_string());
        let output = output_of(command).unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
        assert_eq!(String::from_utf8_lossy(&said), "");
    }
}

async fn connect(
    postgres: &TcpPostgres,
    user: &str,
    password: &str,
) -> Result<sqlx::PgConnection, sqlx::Error> {
    let options = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(postgres.port);
    options.username(user).password(password).database("threads").connect().await
}

#[tokio::test]
async fn the_compose_file_makes_a_role_that_owns_its_schema_and_may_do_nothing_else() {
    let postgres = TcpPostgres::start().await;
    if !postgres.programs().join("psql").exists() {
        let _ = writeln!(std::io::stderr(), "left out: psql is not installed");
        assert!(std::env::var_os("CI").is_none(), "psql is not installed");
        return;
    }
    let volumes = Volumes::new();
    volumes.make_role(&postgres);

    // The password that everybody knows is none any more.
    connect(&postgres, "scram", PASSWORD).await.unwrap_err();
    let superusers = volumes.text("superuser/password");
    assert_eq!(superusers.len(), 48);
    let mut superuser = connect(&postgres, "scram", &superusers).await.unwrap();
    let rights: (bool, bool, bool, bool, bool) = sqlx::query_as(
        "select rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls \
         from pg_roles where rolname = 'thread_store'",
    )
    .fetch_one(&mut superuser)
    .await
    .unwrap();
    assert_eq!(rights, (false, false, false, false, false));
    let may_create: bool =
        sqlx::query_scalar("select has_database_privilege('thread_store', 'threads', 'create')")
            .fetch_one(&mut superuser)
            .await
            .unwrap();
    assert!(!may_create);

    let url = format!("postgres://thread_store@127.0.0.1:{}/threads", postgres.port);
    let passfile = volumes.path("passfile/passfile");
    let serves = || {
        let settings = [
            ("DATABASE_URL", &*url),
            ("PGPASSFILE", &*passfile),
            ("SUPABASE_URL", "http://127.0.0.1:1"),
        ];
        Program::start(&settings).stop();
    };
    serves();

    // With the next `docker compose up` everything stays as it is.
    let before = volumes.text("passfile/passfile");
    volumes.make_role(&postgres);
    assert_eq!(volumes.text("superuser/password"), superusers);
    assert_eq!(volumes.text("passfile/passfile"), before);
    serves();

    // A run that was cut off after the password was changed, or before.
    let directory = volumes.directory.path().join("superuser");
    std::fs::rename(directory.join("password"), directory.join("next")).unwrap();
    volumes.make_role(&postgres);
    let rotated = volumes.text("superuser/password");
    connect(&postgres, "scram", &rotated).await.unwrap();
    std::fs::write(directory.join("next"), "never set").unwrap();
    volumes.make_role(&postgres);
    assert_eq!(volumes.text("superuser/password"), rotated);

    // The server's volume was lost.
    std::fs::remove_file(&passfile).unwrap();
    volumes.make_role(&postgres);
    assert_ne!(volumes.text("passfile/passfile"), before);
    serves();

    // The database's volume was lost: it is made anew, with the password of the image.
    let other = TcpPostgres::start().await;
    volumes.make_role(&other);
    connect(&other, "scram", PASSWORD).await.unwrap_err();
    let mut superuser =
        connect(&other, "scram", &volumes.text("superuser/password")).await.unwrap();
    superuser.execute("select").await.unwrap();
}

#[test]
fn a_hosted_supabase_project_takes_two_settings() {
    let compose = concat!(env!("CARGO_MANIFEST_DIR"), "/docker-compose.yml");
    let compose = std::fs::read_to_string(compose).unwrap();
    // `${NAME:?why}` and `${NAME?why}` are required, `${NAME:-default}` is not.
    let required: std::collections::BTreeSet<_> = compose
        .split("${")
        .skip(1)
        .filter(|rest| {
            let name = rest.find(|c: char| !c.is_ascii_uppercase() && c != '_').unwrap();
            rest[name..].starts_with('?') || rest[name..].starts_with(":?")
        })
        .map(|rest| rest.split(['?', ':']).next().unwrap())
        .collect();
    // And an API key of the project, under one of its names.
    assert_eq!(required.into_iter().collect::<Vec<_>>(), ["SUPABASE_URL"]);
    assert!(!compose.contains("postgres://postgres"), "a server connects as a superuser");
}
