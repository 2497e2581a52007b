//! What goes wrong under load: nothing acknowledged is lost, nothing is doubled, meanwhile the
//! answer is 503, and afterwards all is well without a restart.
//!
//! `FAULT_ROUNDS` says how many rounds; the pauses are longer then too.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tempfile::TempDir;
use thread_store::embedded_postgres::{Durability, Embedded, Options};
use tokio::net::{TcpListener, TcpStream};

use crate::load::{Load, Missed};
use crate::program::{Program, directory, kill};
use crate::{starts, wait_for_end, with_children};

/// Of its updates, before and after a fault.
pub(crate) const UPDATES: usize = 60;

pub(crate) fn rounds() -> usize {
    std::env::var("FAULT_ROUNDS").map_or(1, |rounds| rounds.parse().unwrap())
}

pub(crate) fn pause() -> Duration {
    Duration::from_secs(if rounds() > 1 { 10 } else { 4 })
}

/// A Postgres of its own, and servers on it.
pub(crate) struct Site {
    database: Option<Embedded>,
    pub(crate) url: String,
    servers: Vec<Instance>,
    /// Removed last.
    directory: TempDir,
}

struct Instance {
    port: String,
    directory: PathBuf,
    program: Option<Program>,
}

impl Site {
    pub(crate) async fn new(servers: usize) -> Site {
        Site::within(directory(), servers).await
    }

    async fn within(directory: TempDir, servers: usize) -> Site {
        let database = start_database(directory.path()).await;
        let options = database.connect_options();
        let socket = options.get_socket().unwrap().display().to_string();
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("host", &socket)
            .finish();
        let (user, port) = (options.get_username(), options.get_port());
        let url = format!("postgres://{user}@localhost:{port}/thread_store?{query}");
        let mut site = Site { database: Some(database), url, servers: Vec::new(), directory };
        for _ in 0..servers {
            site.add_server().await;
        }
        site
    }

    /// One server more, on the database of `url`.
    pub(crate) async fn add_server(&mut self) {
        let number = self.servers.len();
        let home = self.directory.path().join(format!("server-{number}"));
        std::fs::create_dir(&home).unwrap();
        let port = starts::free_port().to_string();
        self.servers.push(Instance { port, directory: home, program: None });
        self.start(number).await;
    }

    /// Instances share the secret of the local sign-in.
    async fn start(&mut self, number: usize) {
        let data = self.directory.path().join("data").display().to_string();
        let server = &mut self.servers[number];
        let settings = [
            ("PORT", server.port.as_str()),
            ("DATA_DIR", &data),
            ("DATABASE_URL", &self.url),
            ("DATABASE_TIMEOUT", "2"),
        ];
        server.program = Some(Program::start(&server.directory, &settings).await);
    }

    /// Ends a server, and starts it again.
    pub(crate) async fn restart(&mut self, number: usize, signal: &str) {
        self.end(number, signal).await;
        self.start(number).await;
    }

    pub(crate) async fn end(&mut self, number: usize, signal: &str) {
        if let Some(mut program) = self.servers[number].program.take() {
            let status = program.end(signal).await;
            assert!(signal == "-KILL" || status.code() == Some(0), "{}", program.log());
        }
    }

    pub(crate) fn connect_options(&self) -> PgConnectOptions {
        self.database.as_ref().unwrap().connect_options()
    }

    pub(crate) fn server_url(&self, number: usize) -> &str {
        &self.servers[number].program.as_ref().unwrap().url
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    fn postmaster(&self) -> u32 {
        postmaster(self.directory.path()).unwrap()
    }

    /// As somebody who starts Postgres again whenever it has ended.
    async fn revive_database(&mut self) {
        drop(self.database.take());
        self.database = Some(start_database(self.directory.path()).await);
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.servers.clear();
        if let Some(postmaster) = postmaster(self.directory.path()) {
            kill("-QUIT", &[postmaster]);
            wait_for_end(postmaster);
        }
    }
}

async fn start_database(directory: &Path) -> Embedded {
    let options = Options {
        data_dir: directory.join("database"),
        bin_dir: std::env::var_os("POSTGRES_BIN").map(PathBuf::from),
        archive_url: None,
        durability: Durability::Durable,
    };
    Embedded::start(options).await.unwrap()
}

fn postmaster(directory: &Path) -> Option<u32> {
    let path = directory.join("database/pg/postmaster.pid");
    std::fs::read_to_string(path).ok()?.lines().next()?.parse().ok()
}

async fn cut_connections(site: &mut Site) {
    let mut connection = site.connect_options().connect().await.unwrap();
    let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
               where application_name = 'thread-store'";
    let cut: i64 = sqlx::query_scalar(cut).fetch_one(&mut connection).await.unwrap();
    assert!(cut > 0);
    connection.close().await.unwrap();
}

async fn pause_database(site: &mut Site) {
    let processes = with_children(site.postmaster());
    kill("-STOP", &processes);
    tokio::time::sleep(pause()).await;
    kill("-CONT", &processes);
}

async fn kill_database(site: &mut Site) {
    let postmaster = site.postmaster();
    kill("-KILL", &[postmaster]);
    wait_for_end(postmaster);
    tokio::time::sleep(Duration::from_secs(1)).await;
    site.revive_database().await;
}

async fn restart_database(site: &mut Site) {
    site.database.take().unwrap().stop().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    site.revive_database().await;
}

async fn kill_server(site: &mut Site) {
    site.restart(0, "-KILL").await;
}

/// Runs a fault under load, and answers with what the clients missed.
async fn under_load(site: &mut Site, load: &mut Load, name: &str, fault: Fault) -> Missed {
    load.begin_through(UPDATES).await;
    match fault {
        Fault::CutConnections => cut_connections(site).await,
        Fault::PauseDatabase => pause_database(site).await,
        Fault::KillDatabase => kill_database(site).await,
        Fault::RestartDatabase => restart_database(site).await,
        Fault::KillServer => kill_server(site).await,
    }
    load.go_on(UPDATES).await;
    let missed = load.finish().await;
    let counted = load.check().await;
    let _ = writeln!(std::io::stderr(), "{name}: {missed:?}, {counted}");
    missed
}

#[derive(Clone, Copy)]
enum Fault {
    CutConnections,
    PauseDatabase,
    KillDatabase,
    RestartDatabase,
    KillServer,
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_the_database_and_the_server_lose_and_double_nothing_and_pass() {
    let mut site = Site::new(1).await;
    let mut load = Load::new(site.server_url(0)).await;
    for _ in 0..rounds() {
        for (name, fault) in [
            ("connections cut", Fault::CutConnections),
            ("database paused", Fault::PauseDatabase),
            ("database killed", Fault::KillDatabase),
            ("database restarted", Fault::RestartDatabase),
        ] {
            let missed = under_load(&mut site, &mut load, name, fault).await;
            assert_eq!(missed.unanswered, 0, "{name}: the server was there all the time");
            if matches!(fault, Fault::PauseDatabase | Fault::KillDatabase) {
                assert!(missed.unavailable > 0, "{name} was not noticed");
            }
        }
        under_load(&mut site, &mut load, "server killed", Fault::KillServer).await;
    }
}

/// A small disk, which only root can make.
struct Disk(TempDir);

impl Disk {
    fn new() -> Option<Disk> {
        let directory = directory();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=192m,mode=711", "none"]).arg(directory.path());
        let mounted = mount.stdout(Stdio::null()).stderr(Stdio::null()).status();
        mounted.is_ok_and(|status| status.success()).then_some(Disk(directory))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_and_doubles_nothing_and_passes() {
    let Some(disk) = Disk::new() else {
        let _ = writeln!(std::io::stderr(), "left out: a small disk cannot be mounted here");
        return;
    };
    let inside = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o711))
        .tempdir_in(disk.0.path())
        .unwrap();
    let mut site = Site::within(inside, 1).await;
    let mut load = Load::new(site.server_url(0)).await;
    for _ in 0..rounds() {
        load.begin_through(UPDATES).await;
        let ballast = disk.0.path().join("ballast");
        let mut file = std::fs::File::create(&ballast).unwrap();
        let chunk = vec![0_u8; 64 * 1024];
        while file.write_all(&chunk).is_ok() {}
        // Postgres has space left in files that it has made: only more writes fill those.
        tokio::time::sleep(pause()).await;
        drop(file);
        std::fs::remove_file(&ballast).unwrap();
        // It may have ended for good over it.
        site.revive_database().await;
        load.go_on(UPDATES).await;
        let missed = load.finish().await;
        let counted = load.check().await;
        let _ = writeln!(std::io::stderr(), "disk full: {missed:?}, {counted}");
        assert_eq!(missed.unanswered, 0, "the server was there all the time");
    }
    drop(load);
    drop(site);
}

/// A load balancer: connections go to the servers in turn, but for those that are not ready.
async fn balance(ports: Vec<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let next = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (ports, next) = (ports.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                let first = next.fetch_add(1, Ordering::Relaxed);
                for n in 0..ports.len() {
                    let port = &ports[(first + n) % ports.len()];
                    if !is_ready(port).await {
                        continue;
                    }
                    let server = TcpStream::connect(format!("127.0.0.1:{port}")).await;
                    if let Ok(mut server) = server {
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                        return;
                    }
                }
            });
        }
    });
    url
}

async fn is_ready(port: &str) -> bool {
    let answer = thread_store::http_client::builder()
        .build()
        .unwrap()
        .get(format!("http://127.0.0.1:{port}/readyz"))
        .send()
        .await;
    answer.is_ok_and(|answer| answer.status() == 200)
}

async fn three_behind_a_balancer() -> (Site, Load) {
    let site = Site::new(3).await;
    let ports = site.servers.iter().map(|server| server.port.clone()).collect();
    let url = balance(ports).await;
    let load = Load::new(&url).await;
    (site, load)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_of_three_shows_to_nobody_who_tries_twice() {
    let (mut site, mut load) = three_behind_a_balancer().await;
    for _ in 0..rounds() {
        load.begin_through(UPDATES).await;
        for number in 0..3 {
            site.restart(number, "-TERM").await;
            load.go_on(UPDATES).await;
        }
        let missed = load.finish().await;
        let counted = load.check().await;
        let _ = writeln!(std::io::stderr(), "rolling restart: {missed:?}, {counted}");
        assert_eq!(missed.twice, 0, "{missed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_three_is_killed_and_the_others_go_on() {
    let (mut site, mut load) = three_behind_a_balancer().await;
    for round in 0..rounds() {
        load.begin_through(UPDATES).await;
        site.servers[round % 3].program.take().unwrap().end("-KILL").await;
        load.go_on(UPDATES).await;
        let missed = load.finish().await;
        let counted = load.check().await;
        let _ = writeln!(std::io::stderr(), "one of three killed: {missed:?}, {counted}");
        assert_eq!(missed.unavailable, 0, "the database was there all the time");
        site.start(round % 3).await;
    }
}
