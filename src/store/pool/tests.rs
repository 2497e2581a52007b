//! Leases on a real Postgres, with a network in between that can go silent.

#![cfg(feature = "embedded")]

use std::sync::atomic::{AtomicBool, Ordering};

use futures::FutureExt as _;
use sqlx::Row as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixStream};

use super::*;
use crate::test_postgres::test_cluster;

const TIMEOUT: Duration = Duration::from_millis(500);

fn ada() -> Account {
    Account::Holder(Holder::user("ada"))
}

async fn pool_on(options: PgConnectOptions, max_connections: u32, timeout: Duration) -> Pool {
    let settings = PoolOptions {
        max_connections,
        per_holder: max_connections,
        timeout,
        pooler: Pooler::None,
        direct: None,
        tables: Tables::Whole,
    };
    Pool::connect(options, settings).await.unwrap()
}

async fn pool(max_connections: u32) -> Pool {
    pool_on(test_cluster().await.database().await, max_connections, TIMEOUT).await
}

/// The process that serves a lease.
async fn process(lease: &mut Lease) -> i32 {
    let row = lease.fetch_optional(sqlx::query("select pg_backend_pid()")).await.unwrap();
    row.unwrap().get(0)
}

/// As many leases as there are connections, and their processes.
async fn all(pool: &Pool, connections: usize) -> (Vec<Lease>, Vec<i32>) {
    let (mut leases, mut processes) = (Vec::new(), Vec::new());
    for _ in 0..connections {
        let mut lease = pool.acquire(Account::Batch).await.unwrap();
        processes.push(process(&mut lease).await);
        leases.push(lease);
    }
    (leases, processes)
}

/// Waits until this is so.
async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let ends = Instant::now() + Duration::from_secs(20);
    while !is_so().await {
        assert!(Instant::now() < ends, "it never came to that");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A network in front of the Postgres of the tests. While it is silent, it drops all data and
/// reports no error.
struct Network {
    is_silent: Arc<AtomicBool>,
    options: PgConnectOptions,
}

impl Network {
    async fn start() -> Network {
        let database = test_cluster().await.database().await;
        let name = format!(".s.PGSQL.{}", database.get_port());
        let socket = database.get_socket().unwrap().join(name);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let is_silent = Arc::new(AtomicBool::new(false));
        let silent = Arc::clone(&is_silent);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&socket).await.unwrap();
                let ((from, to), (back, forth)) = (client.into_split(), server.into_split());
                tokio::spawn(carry(from, forth, Arc::clone(&silent)));
                tokio::spawn(carry(back, to, Arc::clone(&silent)));
            }
        });
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(port)
            .username(database.get_username())
            .database(database.get_database().unwrap())
            .ssl_mode(sqlx::postgres::PgSslMode::Disable);
        Network { is_silent, options }
    }

    fn silence(&self, is_silent: bool) {
        self.is_silent.store(is_silent, Ordering::SeqCst);
    }
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    is_silent: Arc<AtomicBool>,
) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        // Dropped bytes are not sent later.
        if !is_silent.load(Ordering::SeqCst) && to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_lease_ends_when_the_database_says_nothing_and_its_connection_is_not_used_again() {
    let network = Network::start().await;
    let pool = pool_on(network.options.clone(), 3, TIMEOUT).await;
    let (mut leases, before) = all(&pool, 3).await;
    let mut asks = leases.pop().unwrap();
    // The other connections are idle at that time.
    drop(leases);
    network.silence(true);
    let asked = Instant::now();
    let answer = asks.execute(sqlx::query("select 1"));
    let answer = tokio::time::timeout(Duration::from_secs(20), answer).await;
    let error = answer.expect("the lease ends").unwrap_err();
    assert!(
        matches!(&error, sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut)
    );
    let took = asked.elapsed();
    assert!(took >= TIMEOUT && took < TIMEOUT + GRACE + Duration::from_secs(5), "{took:?}");
    drop(asks);
    network.silence(false);
    // None of the three is probed. Here it would answer, but on a real network it usually would
    // not.
    let (_leases, after) = all(&pool, 3).await;
    assert!(after.iter().all(|process| !before.contains(process)), "{before:?}, {after:?}");
}

#[tokio::test]
async fn postgres_ends_a_statement_that_takes_too_long_and_the_connection_goes_on() {
    let pool = pool(1).await;
    let mut lease = pool.acquire(ada()).await.unwrap();
    let before = process(&mut lease).await;
    let error = lease.execute(sqlx::query("select pg_sleep(60)")).await.unwrap_err();
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap();
    assert_eq!(code, "57014", "statement_timeout comes before the end of the lease");
    drop(lease);
    let mut lease = pool.acquire(ada()).await.unwrap();
    assert_eq!(process(&mut lease).await, before);
}

#[tokio::test]
async fn of_connections_that_postgres_has_ended_one_use_fails_and_no_second() {
    let pool = pool(3).await;
    let (leases, before) = all(&pool, 3).await;
    drop(leases);
    let other = test_cluster().await.database().await;
    let mut other = other.connect().await.unwrap();
    for process in &before {
        let end = sqlx::query("select pg_terminate_backend($1, 10000)").bind(process);
        end.execute(&mut other).await.unwrap();
    }
    let mut lease = pool.acquire(ada()).await.unwrap();
    lease.execute(sqlx::query("select 1")).await.unwrap_err();
    drop(lease);
    let (leases, after) = all(&pool, 3).await;
    assert!(after.iter().all(|process| !before.contains(process)), "{before:?}, {after:?}");
    drop(leases);
    assert_eq!(pool.size(), (3, 3, 3));
}

#[tokio::test]
async fn who_leaves_ends_the_statement_and_keeps_the_share_until_then() {
    let database = test_cluster().await.database().await;
    let pool = pool_on(database, 2, Duration::from_mins(1)).await;
    assert_eq!(pool.0.singles.taken(), 0);
    let mut lease = pool.begin(Holder::user("ada")).await.unwrap();
    let before = process(&mut lease).await;
    lease.execute(sqlx::query("create table public.made (n int)")).await.unwrap();
    let is_active = async |process: i32| {
        let mut asks = pool.acquire(Account::Batch).await.unwrap();
        let active = "select 1 from pg_stat_activity \
                      where pid = $1 and pid <> pg_backend_pid() and state = 'active'";
        asks.fetch_optional(sqlx::query(active).bind(process)).await.unwrap().is_some()
    };
    {
        let sleeps = lease.execute(sqlx::query("select pg_sleep(60)"));
        let mut sleeps = std::pin::pin!(sleeps);
        assert!(sleeps.as_mut().now_or_never().is_none());
        until(async || {
            assert!(sleeps.as_mut().now_or_never().is_none());
            is_active(before).await
        })
        .await;
    }
    drop(lease);
    assert_eq!(pool.0.singles.taken(), 1, "its statement runs still");
    until(async || pool.0.singles.taken() == 0).await;
    assert!(!is_active(before).await);
    let mut lease = pool.acquire(ada()).await.unwrap();
    let mut other = pool.acquire(Account::Batch).await.unwrap();
    let now = [process(&mut lease).await, process(&mut other).await];
    assert!(now.contains(&before), "a connection was lost: {before}, {now:?}");
    let made = lease.fetch_optional(sqlx::query("select 1 from pg_class where relname = 'made'"));
    assert!(made.await.unwrap().is_none(), "what was not committed is undone");
}

#[tokio::test]
async fn who_waits_for_a_connection_gets_one_in_turn() {
    let pool = pool(1).await;
    let held = pool.acquire(Account::Batch).await.unwrap();
    let (served, mut in_order) = tokio::sync::mpsc::unbounded_channel();
    let mut waiting = Vec::new();
    for number in 0..5 {
        let (pool, served) = (pool.clone(), served.clone());
        let mut waits = Box::pin(async move {
            let lease = pool.acquire(Account::Batch).await.unwrap();
            served.send(number).unwrap();
            drop(lease);
        });
        assert!(futures::poll!(&mut waits).is_pending());
        waiting.push(tokio::spawn(waits));
    }
    drop(held);
    for expected in 0..5 {
        assert_eq!(in_order.recv().await, Some(expected));
    }
}

#[tokio::test]
async fn nobody_waits_for_a_connection_for_ever() {
    let pool = pool(1).await;
    let _held = pool.acquire(Account::Batch).await.unwrap();
    tokio::time::pause();
    let asked = Instant::now();
    let error = pool.acquire(Account::Batch).await.map(drop).unwrap_err();
    assert!(matches!(error, sqlx::Error::PoolTimedOut), "{error}");
    assert!(asked.elapsed() >= ACQUIRE_TIMEOUT && asked.elapsed() < 2 * ACQUIRE_TIMEOUT);
}

#[tokio::test]
async fn closing_waits_for_statements_under_way_and_lends_nothing_more() {
    let pool = pool(1).await;
    let mut lease = pool.acquire(Account::Batch).await.unwrap();
    let mut waits = Box::pin(pool.acquire(Account::Batch));
    assert!(futures::poll!(&mut waits).is_pending());
    let mut closes = Box::pin(pool.close());
    assert!(futures::poll!(&mut closes).is_pending());
    assert!(matches!(waits.await.map(drop), Err(sqlx::Error::PoolClosed)));
    let refused = pool.acquire(ada()).await.map(drop);
    assert!(matches!(refused, Err(sqlx::Error::PoolClosed)));
    // A statement that was begun is completed.
    lease.execute(sqlx::query("select pg_sleep(0.05)")).await.unwrap();
    assert!(futures::poll!(&mut closes).is_pending());
    drop(lease);
    tokio::time::timeout(Duration::from_secs(5), closes).await.unwrap();
    assert_eq!(pool.size().0, 0);
}
