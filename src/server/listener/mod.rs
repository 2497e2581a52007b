//! Connections of clients: accepted, bounded in time, and ended without cutting off requests.
//!
//! A new connection has to bring the head of a request within `HEADER_TIMEOUT`, whatever
//! protocol it speaks and even if it sends nothing. Between requests it may be idle for
//! [`IDLE`], the next head included. A head over [`HEAD_BYTES`] is answered with 431, a request
//! line over 65,534 bytes with 414. A connection whose client takes nothing of an answer for 30
//! seconds is cut (`stall`), and a body that nobody reads is read on before it closes (`linger`).

mod linger;
mod stall;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use axum::routing::future::RouteFuture;
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::Service as _;
use tracing::{debug, warn};

use crate::config::Limits;
use linger::Lingering;
use stall::{Waiting, WatchedStream};

/// How long a connection may be idle: longer than the 60 seconds after which usual load balancers
/// close theirs, since the one who closes first must not be us.
const IDLE: Duration = Duration::from_secs(75);

/// Largest head of a request in bytes, over HTTP/1 and HTTP/2.
const HEAD_BYTES: u16 = 65_535;

/// Bytes that are read ahead of a connection, at least a head.
const READ_BYTES: usize = 128 * 1024;

/// How often a silent HTTP/2 connection is asked whether somebody is there.
const PING: Duration = Duration::from_secs(20);

/// How long such a question may stay without an answer.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Wait after the system could not accept, for example for want of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_secs(1);

/// What connections are served: little until the server is ready, then everything.
#[derive(Clone)]
pub(crate) struct Routes {
    starting: Router,
    ready: Arc<OnceLock<Router>>,
}

impl Routes {
    /// These, until [`put`](Routes::put).
    pub(crate) fn new(starting: Router) -> Routes {
        Routes { starting, ready: Arc::default() }
    }

    /// Serves these from now on, also on the connections that are open. Only the first ones count.
    pub(crate) fn put(&self, router: Router) {
        let _ = self.ready.set(router);
    }

    fn answer(&self, request: Request<Incoming>) -> RouteFuture<Infallible> {
        // A router is always ready.
        let mut router = self.ready.get().unwrap_or(&self.starting).clone();
        router.call(request.map(Lingering::of))
    }
}

/// A port with the connections that it took. Dropping it cuts them off.
#[derive(Debug)]
pub(crate) struct Port {
    address: SocketAddr,
    closing: CancellationToken,
    accepting: JoinSet<()>,
}

impl Port {
    /// Takes an address, and serves it from now on.
    pub(crate) async fn open(
        address: SocketAddr,
        routes: Routes,
        limits: Limits,
    ) -> io::Result<Port> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let closing = CancellationToken::new();
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, routes, limits, closing.clone()));
        Ok(Port { address, closing, accepting })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts nobody any more, and resolves when all requests under way have their answers.
    pub(crate) async fn close(mut self) {
        self.closing.cancel();
        while self.accepting.join_next().await.is_some() {}
    }
}

async fn accept(listener: TcpListener, routes: Routes, limits: Limits, closing: CancellationToken) {
    let builder = Arc::new(builder());
    // Dropped with this task, and its connections with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (builder, routes) = (Arc::clone(&builder), routes.clone());
                    let closing = closing.clone();
                    connections.spawn(serve(stream, builder, routes, limits, closing));
                }
                Err(error) if is_of_the_client(&error) => {}
                Err(error) => {
                    warn!(%error, "could not accept a connection");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = closing.cancelled() => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(IDLE).max_buf_size(READ_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_header_list_size(u32::from(HEAD_BYTES));
    builder
}

async fn serve(
    stream: TcpStream,
    builder: Arc<Builder<TokioExecutor>>,
    routes: Routes,
    limits: Limits,
    closing: CancellationToken,
) {
    // Events of a stream are small, and each is wanted now.
    let _ = stream.set_nodelay(true);
    let first_request = Notify::new();
    let waiting = Waiting::default();
    let service = hyper::service::service_fn(|request| {
        first_request.notify_one();
        let (answer, waiting) = (routes.answer(request), waiting.clone());
        async move {
            let answer = answer.await.unwrap_or_else(|never| match never {});
            Ok::<Response, Infallible>(waiting.watch(answer))
        }
    });
    let io = TokioIo::new(WatchedStream::new(stream, waiting.clone()));
    let mut connection = pin!(builder.serve_connection(io, service));
    let mut stalled = pin!(waiting.stalled(limits.stall_timeout));
    let too_late = async {
        if tokio::time::timeout(limits.header_timeout, first_request.notified()).await.is_ok() {
            std::future::pending::<()>().await;
        }
    };
    let mut too_late = pin!(too_late);
    let mut closed = pin!(closing.cancelled());
    let mut is_closing = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    debug!(%error, "a connection broke off");
                }
                return;
            }
            () = &mut too_late => return,
            () = &mut stalled => {
                debug!("a connection was cut whose client took nothing of its answers");
                return;
            }
            () = &mut closed, if !is_closing => {
                is_closing = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Whether an error is about one client who has gone again, not about us.
fn is_of_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}
