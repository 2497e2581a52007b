//! Connections of clients: accepted, bounded in time, and ended without cutting off requests.
//!
//! A new connection must send the head of a request within `HEADER_TIMEOUT`, in every protocol and
//! even if it sends nothing. Between requests it may be idle for [`IDLE`], including the next head.
//! A head over [`HEAD_BYTES`] in HTTP/2 or [`READ_BYTES`] in HTTP/1 is answered with 431, a URL of
//! more than 65,534 bytes with 414. A connection whose client takes nothing of an answer for 30
//! seconds is cut (`stall`). The rest of a body that no handler reads is read before the connection
//! closes (`linger`).

mod linger;
mod rewoken;
mod stall;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::router::Routes;
use crate::config::Limits;
use linger::Lingering;
use rewoken::Rewoken;
use stall::{Waiting, WatchedStream};

/// How long a connection may be idle. It is longer than the 60 seconds of common load balancers,
/// because the server must not close first.
const IDLE: Duration = Duration::from_secs(75);

/// Maximum bytes of the head of an HTTP/2 request.
const HEAD_BYTES: u16 = 65_535;

/// Maximum bytes of a connection's read buffer, and so of the head of an HTTP/1 request.
const READ_BYTES: usize = 128 * 1024;

/// Maximum bytes of answers that the operating system holds for a connection and has not sent. It
/// would otherwise hold megabytes that a client does not read, and that count as taken.
const UNSENT_BYTES: u32 = 128 * 1024;

/// Interval of pings on a silent HTTP/2 connection.
const PING: Duration = Duration::from_secs(20);

/// Longest wait for the answer to a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause after a failure to accept, for example without free file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_secs(1);

/// The routes of connections: few until the server is ready, then all.
#[derive(Clone)]
pub(crate) struct Served(Arc<Inner>);

struct Inner {
    starting: Routes,
    ready: OnceLock<Routes>,
}

impl Served {
    /// These routes, until [`put`](Served::put).
    pub(crate) fn new(starting: Routes) -> Served {
        Served(Arc::new(Inner { starting, ready: OnceLock::new() }))
    }

    /// Serves these routes from now on, also on open connections. Only the first call has an
    /// effect.
    pub(crate) fn put(&self, routes: Routes) {
        let _ = self.0.ready.set(routes);
    }

    async fn answer(self, request: Request<Incoming>) -> Response {
        let routes = self.0.ready.get().unwrap_or(&self.0.starting);
        routes.answer(request.map(Lingering::of)).await
    }
}

/// A port with its connections. Dropping it closes them.
#[derive(Debug)]
pub(crate) struct Port {
    address: SocketAddr,
    closing: CancellationToken,
    accepting: JoinSet<()>,
}

impl Port {
    /// Binds an address, and serves it from now on.
    pub(crate) async fn open(
        address: SocketAddr,
        routes: Served,
        limits: Limits,
    ) -> io::Result<Port> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let closing = CancellationToken::new();
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, routes, limits, closing.clone()));
        Ok(Port { address, closing, accepting })
    }

    /// The address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting connections, and resolves when all active requests are answered.
    pub(crate) async fn close(mut self) {
        self.closing.cancel();
        while self.accepting.join_next().await.is_some() {}
    }
}

async fn accept(listener: TcpListener, routes: Served, limits: Limits, closing: CancellationToken) {
    let builder = Arc::new(builder());
    // Dropped with this task, which closes the connections.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (builder, routes) = (Arc::clone(&builder), routes.clone());
                    let closing = closing.clone();
                    let served = serve(stream, builder, routes, limits, closing);
                    connections.spawn(Rewoken::new(served));
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
    routes: Served,
    limits: Limits,
    closing: CancellationToken,
) {
    // Events of a stream are small, and must be sent without delay.
    let _ = stream.set_nodelay(true);
    limit_unsent(&stream);
    let first_request = Notify::new();
    let waiting = Waiting::default();
    let service = hyper::service::service_fn(|request| {
        first_request.notify_one();
        let (answer, waiting) = (routes.clone().answer(request), waiting.clone());
        async move { Ok::<Response, Infallible>(waiting.watch(answer.await)) }
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
                debug!("closed a connection whose client read nothing of its answers");
                return;
            }
            () = &mut closed, if !is_closing => {
                is_closing = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

fn limit_unsent(stream: &TcpStream) {
    // If this fails the connection still works, but the bytes in the system's buffer do not count.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES);
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = (stream, UNSENT_BYTES);
}

/// Whether an error is about one disconnected client and not about this server.
fn is_of_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}
