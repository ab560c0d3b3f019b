//! A small stateful CRM over HTTP, for the demo and for tests that try to break things. No kinder than real CRMs: one
//! search per value, raw text comparison, a search index that lags, deals by contact id, and faults on demand.
//!
//! It keeps everything in memory and knows nothing of the rest of leadfold. It judges the outcome by a truth that only
//! the test or the demo tells it (`POST /truth`), never by what leadfold believes.
//!
//! | call | answer |
//! |---|---|
//! | `POST /contacts`, `/deals`, `/tasks`, `/notes` | 201 with the record |
//! | `PATCH /contacts/{id}`, `/deals/{id}` | the record; only what is sent changes, lists are replaced |
//! | `GET /contacts/{id}?with=open_deals` | the record as it is now; 404 when it is gone |
//! | `GET /contacts?phone=…`, `?email=…`, `?marker=…` | `{items}` from the search index |
//! | `GET /deals?contact_id=…&open=true`, `?marker=…`; `GET /tasks?marker=…`, `/notes?marker=…` | the same |
//! | `DELETE /contacts/{id}`, `POST /contacts/{id}/merge_into/{other}` | 204; the id is gone, a merge moves what hangs on it |
//! | `GET /users`, `/pipelines` | `{items}` |
//! | `GET /account` | its users, pipelines and fields; `null` when it takes any name |
//! | `POST /batch` `{operations: [{method, path, body}]}` | `{results: [{status, body}]}`, up to 50, one call; off by default |
//! | any call of a bot's API below `/bots/<bot>` | a success; who was called and what was done is kept, without token and faults |
//! | `GET /stats`, `GET`/`POST /faults`, `POST /account`, `/truth`, `/reset`, `GET /` | for people and tests: no token, no faults |

mod account;
mod bots;
mod faults;
mod page;
mod records;
mod routes;
mod stats;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

pub use self::account::{SandboxAccount, SandboxPipeline, SandboxUser};
pub use self::bots::BotCall;
use self::bots::Bots;
use self::faults::RateWindow;
pub use self::faults::{Dice, Faults, Latency, Rate};
use self::records::Records;
pub use self::records::{Contact, Deal, Holdings, Remark};
use self::stats::Tally;
pub use self::stats::{Stats, Truth};

/// How a sandbox starts.
#[derive(Clone, Debug)]
pub struct SandboxOptions {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The bearer token that calls must carry.
    pub token: String,
    /// The faults to begin with.
    pub faults: Faults,
    /// The seed of chance: the same calls in the same order meet the same faults.
    pub seed: u64,
    /// Its users, pipelines and fields; `None` takes any name.
    pub account: Option<SandboxAccount>,
}

impl Default for SandboxOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            token: "demo".to_owned(),
            faults: Faults::default(),
            seed: 1,
            account: None,
        }
    }
}

/// The sandbox server.
#[derive(Debug)]
pub struct Sandbox;

/// A sandbox that runs. Dropping it kills it with all its connections.
pub struct Running {
    addr: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Sandbox {
    /// Listens and answers until it is stopped. Fails when the address cannot be listened on.
    pub async fn start(options: SandboxOptions) -> io::Result<Running> {
        let listener = TcpListener::bind(options.listen).await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            token: options.token,
            state: Mutex::new(State {
                records: Records::default(),
                bots: Bots::default(),
                faults: options.faults,
                dice: Dice::new(options.seed),
                window: RateWindow::default(),
                tally: Tally::default(),
                truth: Truth::default(),
                account: options.account,
            }),
        });
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let router = routes::router(Arc::clone(&shared));
        tasks.spawn(accept(listener, router, stop.clone(), tasks.clone()));
        Ok(Running { addr, shared, stop, tasks })
    }
}

impl Running {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its root as a destination's `url`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// What `GET /stats` answers.
    pub fn stats(&self) -> Stats {
        stats::stats(&self.shared.lock())
    }

    /// Its records as they are, whatever its searches show.
    pub fn holdings(&self) -> Holdings {
        self.shared.lock().records.holdings()
    }

    /// Changes the faults from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.shared.lock().faults = faults;
    }

    /// Tells it which values belong to which human, for the duplicates in [`stats`](Self::stats).
    pub fn set_truth(&self, truth: Truth) {
        self.shared.lock().truth = truth;
    }

    /// From now on it has these users, pipelines and fields and no others; `None` takes any name.
    pub fn set_account(&self, account: Option<SandboxAccount>) {
        self.shared.lock().account = account;
    }

    /// Stops at once; calls under way are cut off. The address is free again when this returns.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Waits until it is stopped, which is never unless the listener breaks.
    pub async fn wait(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("addr", &self.addr).finish_non_exhaustive()
    }
}

/// What all connections share.
struct Shared {
    token: String,
    state: Mutex<State>,
}

struct State {
    records: Records,
    bots: Bots,
    faults: Faults,
    dice: Dice,
    window: RateWindow,
    tally: Tally,
    truth: Truth,
    account: Option<SandboxAccount>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Marks an answer that is never sent: the connection is cut instead.
#[derive(Clone, Copy, Debug)]
struct HangUp;

impl fmt::Display for HangUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a fault cut the connection")
    }
}

impl std::error::Error for HangUp {}

async fn accept(listener: TcpListener, router: Router, stop: CancellationToken, tasks: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (router, stop) = (router.clone(), stop.clone());
                tasks.spawn(async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = serve(stream, router) => {}
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the sandbox could not accept a connection");
                // Out of file descriptors, most likely: asking again at once would only spin.
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, router: Router) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let router = router.clone();
        async move {
            let Ok(response) = router.oneshot(request.map(Body::new)).await;
            if response.extensions().get::<HangUp>().is_some() {
                return Err(HangUp);
            }
            Ok::<Response, HangUp>(response)
        }
    });
    let connection =
        http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to the sandbox ended early");
    }
}

#[cfg(test)]
mod tests;
