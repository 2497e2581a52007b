//! A Postgres of one test, on TCP as those of other people are: with passwords, certificates and a
//! log of who connected. It ends with the test.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use crate::support::postgres::test_cluster;

/// A running Postgres on the loopback addresses.
pub(crate) struct TcpPostgres {
    pub(crate) port: u16,
    directory: TempDir,
    programs: PathBuf,
    server: Child,
}

/// For its start.
const PATIENCE: Duration = Duration::from_mins(1);

/// Who may connect how. Each role but `postgres` has the password [`PASSWORD`].
const HBA: &str = "local all all trust
hostssl all certified all cert
host all scram,thread_store all scram-sha-256
host all md5 all md5
host all cleartext all password
host all postgres all trust
";

/// A password with all that means something in a URL.
pub(crate) const PASSWORD: &str = "p:w/?#[]@%20+& \u{fc}";

const ROLES: &str = "
create role scram login superuser password '{}';
create role cleartext login superuser password '{}';
create role certified login superuser;
set password_encryption = md5;
create role md5 login superuser password '{}';
create database threads;
create database scram;
";

impl TcpPostgres {
    pub(crate) async fn start() -> TcpPostgres {
        let cluster = test_cluster().await.log();
        let cluster = cluster.parent().unwrap();
        let account = Account::of(cluster);
        let directory = tempfile::Builder::new()
            .prefix("thread-store-test-")
            .permissions(Permissions::from_mode(0o711))
            .tempdir()
            .unwrap();
        account.own(directory.path());
        let home = directory.path().join("pg");
        let initdb = account.command("initdb").arg("--pgdata").arg(&home).args(INITDB).output();
        let initdb = initdb.unwrap();
        assert!(initdb.status.success(), "{initdb:?}");
        certificates(directory.path());
        for (from, to) in [("server.crt", "server.crt"), ("server.key", "server.key")] {
            let to = home.join(to);
            std::fs::copy(directory.path().join(from), &to).unwrap();
            account.own(&to);
            std::fs::set_permissions(&to, Permissions::from_mode(0o600)).unwrap();
        }
        std::fs::write(home.join("pg_hba.conf"), HBA).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let server = account
            .command("postgres")
            .arg("-D")
            .arg(&home)
            .args(["-p", &port.to_string(), "-k", directory.path().to_str().unwrap()])
            .args(SERVER)
            .arg("-c")
            .arg(format!("ssl_ca_file={}", directory.path().join("authority.crt").display()))
            .stderr(log)
            .spawn()
            .unwrap();
        let postgres = TcpPostgres { port, directory, programs: account.programs, server };
        postgres.make_roles().await;
        postgres
    }

    /// The directory of its socket. It also has `authority.crt`, `stranger.crt`, `client.crt` and
    /// `client.key`.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The directory of `psql` and of its other programs.
    pub(crate) fn programs(&self) -> &Path {
        &self.programs
    }

    /// What it writes: a line for each connection that it lets in, and for each that ends.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    async fn make_roles(&self) {
        let options = sqlx::postgres::PgConnectOptions::new_without_pgpass()
            .socket(self.directory.path())
            .port(self.port)
            .username("postgres")
            .database("postgres");
        let begun = Instant::now();
        let mut connection = loop {
            match sqlx::ConnectOptions::connect(&options).await {
                Ok(connection) => break connection,
                Err(error) => {
                    assert!(begun.elapsed() < PATIENCE, "{error}: {}", self.log());
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        };
        // Database by database, because making one is not for transactions.
        for statement in ROLES.replace("{}", PASSWORD).split(";\n") {
            let statement = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned()));
            sqlx::Executor::execute(&mut connection, statement).await.unwrap();
        }
    }
}

impl Drop for TcpPostgres {
    fn drop(&mut self) {
        let pid = self.server.id().to_string();
        let _ = Command::new("kill").args(["-QUIT", &pid]).status();
        let _ = self.server.wait();
    }
}

const INITDB: [&str; 5] =
    ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"];

const SERVER: [&str; 14] = [
    "-c",
    "listen_addresses=127.0.0.1,::1",
    "-c",
    "fsync=off",
    "-c",
    "ssl=on",
    "-c",
    "ssl_cert_file=server.crt",
    "-c",
    "ssl_key_file=server.key",
    "-c",
    "log_connections=on",
    "-c",
    "log_line_prefix=%u@%d(%a) ",
];

/// Who runs the Postgres of all tests, and with which programs.
struct Account {
    programs: PathBuf,
    ids: Option<(u32, u32)>,
}

impl Account {
    fn of(cluster: &Path) -> Account {
        let options = std::fs::read_to_string(cluster.join("postmaster.opts")).unwrap();
        let program = PathBuf::from(options.split(' ').next().unwrap());
        let owner = cluster.metadata().unwrap();
        let is_other = owner.uid() != rustix::process::geteuid().as_raw();
        Account {
            programs: program.parent().unwrap().to_owned(),
            ids: is_other.then_some((owner.uid(), owner.gid())),
        }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.env_clear().env("LC_ALL", "C").current_dir("/").stdin(Stdio::null());
        if let Some((uid, gid)) = self.ids {
            command.uid(uid).gid(gid);
        }
        command
    }

    fn own(&self, path: &Path) {
        if let Some((uid, gid)) = self.ids {
            chown(path, Some(uid), Some(gid)).unwrap();
        }
    }
}

/// An authority with a server named `localhost` and a client named `certified`, and a stranger.
fn certificates(directory: &Path) {
    let put = |name: &str, text: String| std::fs::write(directory.join(name), text).unwrap();
    let named = |name: &str, hosts: &[&str]| {
        let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut parameters = CertificateParams::new(hosts).unwrap();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters
    };
    let key = || KeyPair::generate().unwrap();
    let mut authority = named("authority", &[]);
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let stranger_key = key();
    let stranger = authority.self_signed(&stranger_key).unwrap();
    put("stranger.crt", stranger.pem());
    let authority_key = key();
    put("authority.crt", authority.self_signed(&authority_key).unwrap().pem());
    let issuer = Issuer::new(authority, authority_key);
    for (file, parameters) in
        [("server", named("server", &["localhost"])), ("client", named("certified", &[]))]
    {
        let key = key();
        put(&format!("{file}.crt"), parameters.signed_by(&key, &issuer).unwrap().pem());
        put(&format!("{file}.key"), key.serialize_pem());
    }
}
