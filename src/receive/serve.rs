//! The server under the routers: bounded connections, bounded headers, and an end that loses nothing.
//!
//! `axum::serve` bounds neither connections nor headers in number, size or time, so that a few idle sockets could hold
//! the door shut; hence hyper's own connection here. HTTP/1.1 only: platforms reach us through a proxy or speak it.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, error, info, warn};

/// What connections may take.
#[derive(Clone, Copy, Debug)]
pub struct Connections {
    /// Most connections open at one time; further ones wait to be accepted.
    pub at_once: usize,
    /// Longest request line and headers in bytes; beyond it 431. At least 8192.
    pub header_bytes: usize,
    /// Most headers; beyond it 431.
    pub headers: usize,
    /// Longest time for the headers to arrive, and for an idle connection to stay open.
    pub header_time: Duration,
    /// Longest time for requests under way to finish after the shutdown was asked for.
    pub drain_time: Duration,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            at_once: 1024,
            header_bytes: 32 * 1024,
            headers: 100,
            header_time: Duration::from_secs(15),
            drain_time: Duration::from_secs(10),
        }
    }
}

/// Serves until `shutdown` ends, then finishes the requests under way, for at most `drain_time`.
///
/// # Errors
/// When the listener itself is broken. A connection that cannot be accepted is logged and tried again.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Connections,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let open = Arc::new(Semaphore::new(limits.at_once));
    let connections = TaskTracker::new();
    let (draining, cut) = (CancellationToken::new(), CancellationToken::new());
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = async {
            let place = Arc::clone(&open).acquire_owned().await.map_err(io::Error::other)?;
            Ok::<_, io::Error>((place, accept(&listener).await))
        };
        let (place, stream) = tokio::select! {
            accepted = accepted => accepted?,
            () = &mut shutdown => break,
        };
        let (router, draining, cut) = (router.clone(), draining.clone(), cut.clone());
        connections.spawn(async move {
            tokio::select! {
                () = converse(stream, router, limits, &draining) => {}
                () = cut.cancelled() => {}
            }
            drop(place);
        });
    }
    drop(listener);
    draining.cancel();
    connections.close();
    info!(
        connections = connections.len(),
        "no longer accepting connections; finishing the requests under way"
    );
    if timeout(limits.drain_time, connections.wait()).await.is_err() {
        warn!(connections = connections.len(), "cut off the connections that did not finish in time");
        cut.cancel();
        connections.wait().await;
    }
    Ok(())
}

/// The next connection. Errors of accepting are the peer's, or pass when descriptors are free again.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
                ) => {}
            Err(error) => {
                error!(%error, "cannot accept connections; trying again in a second (too few file descriptors?)");
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// All requests of one connection.
async fn converse(stream: TcpStream, router: Router, limits: Connections, draining: &CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "answers on this connection may be delayed");
    }
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_headers(limits.headers)
        .max_header_size(limits.header_bytes)
        .max_buf_size(limits.header_bytes.max(8192) * 2)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut asked_to_end = false;
    let ended = loop {
        tokio::select! {
            ended = poll_fn(|context| connection.poll_without_shutdown(context)) => break ended,
            () = draining.cancelled(), if !asked_to_end => {
                asked_to_end = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection ended with an error");
    }
    linger(connection.into_parts().io.into_inner()).await;
}

/// Closes a connection so that the last answer arrives. Closing a socket with unread bytes resets it, and a client that
/// is still sending its 10 MB would see the reset instead of the 413.
async fn linger(mut stream: TcpStream) {
    const LONGEST: Duration = Duration::from_secs(2);
    let discard = async {
        stream.shutdown().await?;
        let mut unread = vec![0; 16 * 1024];
        while stream.read(&mut unread).await? > 0 {}
        io::Result::Ok(())
    };
    match timeout(LONGEST, discard).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => debug!(%error, "a connection was reset while it was closed"),
    }
}
