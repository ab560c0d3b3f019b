//! Wiring: one running leadfold, from the database up to the listening socket, and its orderly end.
//!
//! `keeper` keeps the process on the active version of the workspace, `examine` says whether a version can be run here,
//! `sources` says which paths answer.
//!
//! `anew` runs tasks that nobody waits for, `leases` keeps the leases of the process and sees who else lives, `share` says which it takes and gives away, `tend`
//! runs a worker for each that it holds, `due` wakes those that have something to do, and `workers` is the front of the four.

mod anew;
mod due;
mod examine;
mod keeper;
mod leases;
mod share;
mod sources;
mod tend;
mod workers;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, warn};

use self::anew::begin_anew;
use self::keeper::{Channels, Keeper};
use crate::access::Caller;
use crate::alerts::Alerts;
use crate::clock::Clock;
use crate::console;
use crate::gauges::Gauges;
use crate::map::{Files, Workspace, samples};
use crate::operation::Means;
use crate::operation::entrance::Entrance;
use crate::prepare::Preparer;
use crate::receive::{self, Connections, Limits, Receiver};
use crate::retention::Retention;
use crate::store::{Store, StoreError};
use crate::sync::WorkerHandle;
use crate::telemetry::Metrics;
use crate::token;
use crate::web::{self, Access};
pub use crate::workspace::Follow;
use crate::workspace::{Environment, Home, Versions};

/// How a leadfold is started.
pub struct Options {
    /// The texts of the folder.
    pub files: Files,
    /// Where they came from.
    pub folder: PathBuf,
    /// What says which version runs.
    pub follow: Follow,
    /// Whether the console may not write the folder, nor make another version active.
    pub read_only_workspace: bool,
    /// `sqlite://FILE` or `postgres://…`.
    pub database: String,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Who may use `/api` and `/metrics`.
    pub door: Door,
    /// What is counted.
    pub metrics: Metrics,
    /// Where people open the console, for links to it in alerts: `https://leads.example.com`.
    pub public_url: Option<String>,
    /// Limits of the receiving edge.
    pub limits: Limits,
    /// Where `${NAME}` gets its value.
    pub environment: Environment,
    /// Time and ids.
    pub clock: Arc<dyn Clock>,
}

/// Who may use anything but `/in` and health.
pub enum Door {
    /// Whoever has a token.
    Token {
        /// For everything; nobody gets in while there is none.
        api: Option<SecretString>,
        /// For a web site that asks about its links, and nothing else.
        links: Option<SecretString>,
    },
    /// Anybody on this machine, with `Host` and `Origin` checked.
    Demo,
}

/// A leadfold that runs.
pub struct App {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its registry.
    pub store: Store,
    active: watch::Receiver<Option<Arc<Workspace>>>,
    workers: watch::Receiver<Vec<WorkerHandle>>,
    stop: CancellationToken,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
    readiness: watch::Sender<web::Readiness>,
    tasks: TaskTracker,
    hurry: Arc<Notify>,
}

/// Why a leadfold did not start, in words that say what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(String);

impl From<StoreError> for StartError {
    fn from(failure: StoreError) -> Self {
        Self(failure.to_string())
    }
}

impl App {
    /// Starts everything; returns once requests are answered.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let store = Store::open(&options.database, Arc::clone(&options.clock)).await?;
        let versions = Arc::new(Versions::new(store.clone(), Arc::clone(&options.environment)));
        let (readiness, ready) = watch::channel(Ok(None));
        let (mut keeper, Channels { sources, active }) =
            Keeper::new(store.clone(), Arc::clone(&versions), &options, readiness.clone());
        let beginning = keeper.choose(&options.files).await?;
        // Before anything is prepared or pushed: a start that fails leaves everything as it was.
        let listener = TcpListener::bind(options.listen).await.map_err(|error| {
            let flag = match options.door {
                Door::Token { .. } => "address with --listen",
                Door::Demo => "port with --port",
            };
            StartError(format!("cannot listen on {}: {error}. Choose another {flag}", options.listen))
        })?;
        let address = listener
            .local_addr()
            .map_err(|error| StartError(format!("the listening address is unknown: {error}")))?;
        if let Some(doubted) = store.doubt_if_copied(options.clock.now()).await? {
            warn!(
                copied_at = doubted.copied_at.map(tracing::field::display),
                leads = doubted.leads,
                "this database was put back from a backup: what came since is not in it, and leads that were under way are \
                 looked up in the CRM before anything of them is written"
            );
        }
        keeper.begin(beginning).await?;

        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let workers = keeper.workers().handles();
        let wake_workers = keeper.workers().wake();
        let preparer = Preparer {
            store: store.clone(),
            clock: Arc::clone(&options.clock),
            active: active.clone(),
            wake_workers: Arc::clone(&wake_workers),
        };
        tasks.spawn(preparer.run(stop.clone()));
        let clock = Arc::clone(&options.clock);
        let alerts = Alerts {
            store: store.clone(),
            clock,
            workers: workers.clone(),
            active: active.clone(),
            public_url: options.public_url.clone(),
        };
        tasks.spawn(begin_anew("tells of new causes of trouble", stop.clone(), move |stop| {
            alerts.clone().run(stop)
        }));
        let clock = Arc::clone(&options.clock);
        let gauges = Gauges { store: store.clone(), clock, active: active.clone() };
        tasks.spawn(begin_anew("sets the gauges of the backlog", stop.clone(), move |stop| {
            gauges.clone().run(stop)
        }));
        let retention =
            Retention { store: store.clone(), clock: Arc::clone(&options.clock), active: active.clone() };
        tasks.spawn(begin_anew("removes what is old", stop.clone(), move |stop| retention.clone().run(stop)));
        let hurry = Arc::new(Notify::new());
        tasks.spawn(keeper.run(stop.clone(), Arc::clone(&hurry)));
        tasks.close();

        let receiver = Receiver::new(store.inbox(), sources, Arc::clone(&options.clock), options.limits);
        let access = match &options.door {
            Door::Demo => Access::Demo { port: address.port() },
            Door::Token { api, links } => {
                let hash = |token: &Option<SecretString>| {
                    token.as_ref().map(|token| token::hash(token.expose_secret()))
                };
                Access::Token { api: hash(api), links: hash(links) }
            }
        };
        let clock = Arc::clone(&options.clock);
        let loopback = options.listen.ip().is_loopback();
        // Nobody is locked out of the demo, nor where the start token opens.
        let needs_admin = matches!(access, Access::Token { api: None, .. });
        let named = samples(&options.files).into_iter().map(|sample| sample.given).collect();
        let home = Home::new(&options.folder, options.follow, options.read_only_workspace, named);
        let means = Means {
            store: store.clone(),
            versions,
            home: Arc::new(home),
            catalogs: Arc::default(),
            entrance: Arc::new(Entrance::new(needs_admin)),
            loopback,
            // Of each request the door says who asks.
            caller: Caller::nobody(),
            clock,
            wake_workers,
        };
        let api = web::openapi::router(means.clone());
        let console = console::router(means, access.clone(), stop.clone());
        let health =
            web::router(access, store.clone(), ready, store.trouble(), options.metrics, api, console);
        let router = receive::router(receiver).merge(health);
        let shutdown = stop.clone().cancelled_owned();
        store.announce(address)?;
        let server = tokio::spawn(receive::serve(listener, router, Connections::default(), shutdown));
        Ok(Self { address, store, active, workers, stop, server, readiness, tasks, hurry })
    }

    /// The hash of the version of the workspace that this process runs; none while it stands by.
    pub fn version(&self) -> Option<String> {
        self.active.borrow().as_ref().map(|workspace| workspace.hash.clone())
    }

    /// The workers that run now, one for each destination whose lease this process holds.
    pub fn workers(&self) -> Vec<WorkerHandle> {
        self.workers.borrow().clone()
    }

    /// Looks at the workspace at once, also at what was looked at before.
    pub fn reload(&self) {
        self.hurry.notify_one();
    }

    /// From now on `/readyz` answers 503, so that a load balancer sends new requests elsewhere; all else goes on.
    pub fn leave(&self) {
        drop(self.readiness.send_replace(Err("leadfold is stopping".to_owned())));
    }

    /// Stops taking requests, finishes those that were taken and the pushes under way, and closes the database.
    pub async fn stop(self) {
        self.leave();
        self.stop.cancel();
        match self.server.await {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => error!(%failure, "the listener broke"),
            Err(failure) => error!(%failure, "the server ended abnormally"),
        }
        self.tasks.wait().await;
        self.store.close().await;
    }
}

/// How often a waiting caller looks whether everything has come to an end.
const LOOK: Duration = Duration::from_millis(20);

/// Waits until everything acknowledged has come to an end, at most this long. Returns whether it has.
pub async fn until_quiet(store: &Store, at_most: Duration) -> Result<bool, StoreError> {
    let deadline = tokio::time::Instant::now() + at_most;
    loop {
        if store.is_quiet().await? {
            return Ok(true);
        }
        if tokio::time::Instant::now() >= deadline {
            return Ok(false);
        }
        tokio::time::sleep(LOOK).await;
    }
}
