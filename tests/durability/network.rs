//! A network between a server and its database that loses packets: what was sent does not arrive,
//! and no connection is closed or reset, so that neither side is told.
//!
//! `FAULT_ROUNDS` says how many rounds.

use std::collections::HashSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;
use sqlx::ConnectOptions as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

use crate::client::Client;
use crate::faults::{Site, UPDATES, pause, rounds};
use crate::load::Load;
use crate::program::PATIENCE;

/// Carries TCP connections to a socket of Postgres, in the order in which they come.
struct Relay {
    port: u16,
    network: Arc<watch::Sender<Network>>,
}

/// What arrives. What does not is kept, as the sender's kernel would, and arrives later.
#[derive(Default)]
struct Network {
    is_down: bool,
    connections: usize,
    /// Those of which nothing will ever arrive.
    lost: HashSet<usize>,
    /// Those of the lost that both sides have found out about by now.
    ended: HashSet<usize>,
    /// The next connection on which the server says this is lost, and this with it.
    loses: Option<&'static [u8]>,
}

impl Network {
    fn passes(&self, connection: usize) -> bool {
        !self.is_down && !self.lost.contains(&connection)
    }
}

impl Relay {
    async fn to(socket: PathBuf) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let network = Arc::new(watch::Sender::new(Network::default()));
        let relay = Relay { port, network: Arc::clone(&network) };
        tokio::spawn(async move {
            while let Ok((server, _)) = listener.accept().await {
                let number = network.borrow().connections;
                network.send_modify(|network| network.connections += 1);
                tokio::spawn(carry(server, socket.clone(), number, Arc::clone(&network)));
            }
        });
        relay
    }

    /// From now on nothing arrives, and no new connection comes about.
    fn goes_down(&self) {
        self.network.send_modify(|network| network.is_down = true);
    }

    /// What was kept arrives, late.
    fn is_back(&self) {
        self.network.send_modify(|network| network.is_down = false);
    }

    /// The connections there are will never carry anything again. New ones do.
    fn forgets_all(&self) {
        self.network.send_modify(|network| {
            network.lost = (0..network.connections).collect();
            network.is_down = false;
        });
    }

    /// As time does, by TCP's own means: Postgres does not keep the lost connections for ever.
    fn ends_the_lost(&self) {
        self.network.send_modify(|network| network.ended.clone_from(&network.lost));
    }

    fn loses_the_next_that_says(&self, words: &'static [u8]) {
        self.network.send_modify(|network| network.loses = Some(words));
    }

    /// Waits until that has happened.
    async fn has_lost_it(&self) {
        self.network.subscribe().wait_for(|network| network.loses.is_none()).await.unwrap();
    }
}

async fn carry(
    server: TcpStream,
    socket: PathBuf,
    number: usize,
    network: Arc<watch::Sender<Network>>,
) {
    // Only a network that is there brings a connection to Postgres.
    network.subscribe().wait_for(|network| network.passes(number)).await.unwrap();
    let Ok(postgres) = UnixStream::connect(socket).await else { return };
    let (from_server, to_server) = server.into_split();
    let (from_postgres, to_postgres) = postgres.into_split();
    let both = async {
        tokio::join!(
            pass(from_server, to_postgres, number, &network, true),
            pass(from_postgres, to_server, number, &network, false),
        )
    };
    let mut news = network.subscribe();
    tokio::select! {
        _ = both => {}
        _ = news.wait_for(|network| network.ended.contains(&number)) => {}
    }
}

/// Passes on what one side says, and that it says nothing more.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    number: usize,
    network: &watch::Sender<Network>,
    is_of_the_server: bool,
) {
    let mut chunk = vec![0; 64 * 1024];
    let mut news = network.subscribe();
    loop {
        let length = from.read(&mut chunk).await.unwrap_or(0);
        if is_of_the_server {
            network.send_if_modified(|network| {
                let is_it = network
                    .loses
                    .is_some_and(|words| chunk[..length].windows(words.len()).any(|w| w == words));
                if is_it {
                    network.loses = None;
                    network.lost.insert(number);
                }
                is_it
            });
        }
        // The sockets stay open meanwhile: neither side hears of the other's end.
        news.wait_for(|network| network.passes(number)).await.unwrap();
        if length == 0 {
            let _ = to.shutdown().await;
            return;
        }
        if to.write_all(&chunk[..length]).await.is_err() {
            return;
        }
    }
}

/// A server with such a network between it and its database.
async fn behind_a_network() -> (Site, Relay) {
    let mut site = Site::new(0).await;
    let options = site.connect_options();
    let socket = format!(".s.PGSQL.{}", options.get_port());
    let relay = Relay::to(options.get_socket().unwrap().join(socket)).await;
    let (user, port) = (options.get_username(), relay.port);
    site.url = format!("postgres://{user}@127.0.0.1:{port}/thread_store?sslmode=disable");
    site.add_server().await;
    (site, relay)
}

/// Asks for something of each kind at once, and answers with the status codes. That an answer with
/// 503 says when to come again is checked by the client.
async fn ask_all(user: &Client, thread: &str) -> Vec<u16> {
    let (state, nothing) = (json!({ "values": { "n": 1 } }), json!({}));
    let requests = [
        (thread.to_owned(), None),
        (format!("{thread}/state"), None),
        (format!("{thread}/state"), Some(&state)),
        (format!("{thread}/copy"), Some(&nothing)),
        ("/threads".to_owned(), Some(&nothing)),
        ("/threads/search".to_owned(), Some(&nothing)),
        ("/threads/count".to_owned(), Some(&nothing)),
    ];
    let answers = requests.iter().map(async |(path, body)| match body {
        Some(body) => user.post(path, body).await.unwrap().0,
        None => user.get(path).await.unwrap().0,
    });
    futures::future::join_all(answers).await
}

async fn health(url: &str) -> [StatusCode; 2] {
    let of = async |path: &str| {
        thread_store::http_client::builder()
            .build()
            .unwrap()
            .get(format!("{url}{path}"))
            .send()
            .await
            .unwrap()
            .status()
    };
    [of("/ok").await, of("/readyz").await]
}

async fn thread_of(user: &Client) -> String {
    let (status, thread) = user.post("/threads", &json!({})).await.unwrap();
    assert_eq!(status, 200, "{thread}");
    format!("/threads/{}", thread["thread_id"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_loses_all_packets_is_503_and_loses_and_doubles_nothing() {
    let (mut site, relay) = behind_a_network().await;
    let mut load = Load::new(site.server_url(0)).await;
    let user = Client::sign_up(site.server_url(0)).await;
    let thread = thread_of(&user).await;
    for round in 0..rounds() * 2 {
        load.begin_through(UPDATES).await;
        relay.goes_down();
        // All of these are answered while it is down: nobody waits for it to come back.
        let answers = ask_all(&user, &thread).await;
        assert_eq!(answers, [503; 7]);
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        assert_eq!(health(site.server_url(0)).await, [StatusCode::OK, unavailable]);
        tokio::time::sleep(pause()).await;
        let name = if round % 2 == 0 {
            relay.is_back();
            "network back"
        } else {
            relay.forgets_all();
            "network back without the connections"
        };
        load.go_on(UPDATES).await;
        let missed = load.finish().await;
        let counted = load.check().await;
        let _ = writeln!(std::io::stderr(), "{name}: {missed:?}, {counted}");
        assert_eq!(missed.unanswered, 0, "{name}: the server was there all the time");
        assert!(missed.unavailable > 0, "{name}: nobody noticed");
        assert_eq!(ask_all(&user, &thread).await, [200; 7], "{name}");
        assert_eq!(health(site.server_url(0)).await, [StatusCode::OK; 2], "{name}");
        relay.ends_the_lost();
    }
    relay.goes_down();
    site.end(0, "-TERM").await;
}

/// How many connections to Postgres the server has.
async fn connections_of(site: &Site) -> i64 {
    let mut connection = site.connect_options().connect().await.unwrap();
    let count = "select count(*) from pg_stat_activity where application_name = 'thread-store'";
    sqlx::query_scalar(count).fetch_one(&mut connection).await.unwrap()
}

/// As behind a firewall that forgets connections on which little happens.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_vanish_are_given_up_together() {
    let (site, relay) = behind_a_network().await;
    let user = Client::sign_up(site.server_url(0)).await;
    let thread = thread_of(&user).await;
    for round in 0..rounds() {
        for _ in 0..4 {
            assert_eq!(ask_all(&user, &thread).await, [200; 7]);
        }
        let idle = connections_of(&site).await;
        assert!(idle >= 3, "only {idle} connections");
        relay.forgets_all();
        let mut missed = 0;
        while user.get(&thread).await.unwrap().0 == 503 {
            missed += 1;
            assert!(missed < idle, "each connection is found out on its own");
        }
        let _ = writeln!(
            std::io::stderr(),
            "{idle} connections vanished in round {round}: 503 for {missed} requests"
        );
        for _ in 0..4 {
            assert_eq!(ask_all(&user, &thread).await, [200; 7]);
        }
        relay.ends_the_lost();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_whose_connection_vanished_does_not_keep_its_locks() {
    let (site, relay) = behind_a_network().await;
    let user = Client::sign_up(site.server_url(0)).await;
    let thread = thread_of(&user).await;
    let state = format!("{thread}/state");
    for n in 0..3 {
        let written = user.post(&state, &json!({ "values": { "n": n } })).await.unwrap();
        assert_eq!(written.0, 200);
    }
    relay.loses_the_next_that_says(b"commit\0");
    let id = thread.strip_prefix("/threads/").unwrap();
    let prune = json!({ "thread_ids": [id], "strategy": "keep_latest" });
    assert_eq!(user.post("/threads/prune", &prune).await.unwrap().0, 503);
    relay.has_lost_it().await;
    let mut tries = 1;
    while user.post(&state, &json!({ "values": { "n": 3 } })).await.unwrap().0 == 503 {
        tries += 1;
        assert!(tries < 20, "the thread is locked for good");
    }
    // What was not committed was not done.
    let (_, history) = user.get(&format!("{thread}/history")).await.unwrap();
    let mut written: Vec<_> =
        history.as_array().unwrap().iter().map(|state| state["values"]["n"].clone()).collect();
    // A try that got 503 may have been carried out.
    written.dedup();
    assert_eq!(written, [3, 2, 1, 0]);
}

/// One connection breaks, the others vanish: they are asked before they are used.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_while_a_connection_is_asked_leaves_its_place_to_others() {
    let (site, relay) = behind_a_network().await;
    let user = Client::sign_up(site.server_url(0)).await;
    let thread = thread_of(&user).await;
    for _ in 0..4 {
        assert_eq!(ask_all(&user, &thread).await, [200; 7]);
    }
    // What the server does by itself takes connections too.
    let mut postgres = site.connect_options().connect().await.unwrap();
    let behind = "select count(*) from thread_store.thread left join thread_store.digest \
                  using (tenant, thread_id) where last_seq > 0 and seq is distinct from last_seq";
    let caught_up = async {
        while sqlx::query_scalar::<_, i64>(behind).fetch_one(&mut postgres).await.unwrap() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, caught_up).await.unwrap();
    let idle = connections_of(&site).await;
    assert!(idle >= 4, "only {idle} connections");
    assert_eq!(user.get(&thread).await.unwrap().0, 200);
    // The next statement takes the connection that was used last.
    let end_the_last = "select pg_terminate_backend(pid) from pg_stat_activity \
         where application_name = 'thread-store' order by state_change desc limit 1";
    sqlx::query(end_the_last).execute(&mut postgres).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    relay.forgets_all();
    assert_eq!(user.get(&thread).await.unwrap().0, 503);
    for _ in 0..idle {
        let _ = tokio::time::timeout(Duration::from_millis(100), user.get(&thread)).await;
    }
    for _ in 0..4 {
        assert_eq!(ask_all(&user, &thread).await, [200; 7]);
    }
    let mut tries = 0;
    // But for the one that listens, which does not know yet.
    while in_use(site.server_url(0)).await > 1 {
        tries += 1;
        assert!(tries < 100, "of {idle} connections some are still in use");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// How many of its connections the server says it uses.
async fn in_use(url: &str) -> i64 {
    let metrics = thread_store::http_client::builder()
        .build()
        .unwrap()
        .get(format!("{url}/metrics"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let in_use = "thread_store_database_connections{state=\"in_use\"} ";
    metrics.lines().find_map(|line| line.strip_prefix(in_use)).unwrap().parse().unwrap()
}
