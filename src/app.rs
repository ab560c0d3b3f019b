//! Wiring: one running leadfold, from the database up to the listening socket, and its orderly end.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::alerts::Alerts;
use crate::clock::Clock;
use crate::crm;
use crate::event::{PRESETS, preset};
use crate::gauges::Gauges;
use crate::map::{Compiled, Files, Severity, Workspace};
use crate::operation::Means;
use crate::prepare::{PAUSED, Preparer, token_hash};
use crate::receive::{self, Connections, Entry, Limits, Receiver, Sources};
use crate::rules::Mode;
use crate::store::versions::RememberedSource;
use crate::store::{Store, StoreError};
use crate::sync::{Worker, WorkerHandle};
use crate::telemetry::Metrics;
use crate::token::{self, from_hex, to_hex};
use crate::web::{self, Access};
use crate::workspace::{Environment, Versions};

/// How a leadfold is started.
pub struct Options {
    /// The texts to run; they become the active version when they are whole.
    pub files: Files,
    /// Where they came from, for messages.
    pub folder: PathBuf,
    /// `sqlite://FILE` or `postgres://…`.
    pub database: String,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Who may use `/api` and `/metrics`.
    pub door: Door,
    /// What is counted.
    pub metrics: Metrics,
    /// Limits of the receiving edge.
    pub limits: Limits,
    /// Where `${NAME}` gets its value.
    pub environment: Environment,
    /// Time and ids.
    pub clock: Arc<dyn Clock>,
}

/// Who may use anything but `/in` and health.
pub enum Door {
    /// Whoever has this token; nobody while there is none.
    Token(Option<SecretString>),
    /// Anybody on this machine, with `Host` and `Origin` checked.
    Demo,
}

/// A leadfold that runs.
pub struct App {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its registry.
    pub store: Store,
    /// One per destination.
    pub workers: Vec<WorkerHandle>,
    stop: CancellationToken,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
    readiness: watch::Sender<web::Readiness>,
    tasks: TaskTracker,
    // The receiving end and the preparer follow these for as long as the app lives.
    _sources: watch::Sender<Arc<Sources>>,
    _active: watch::Sender<Arc<Workspace>>,
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
        let workspace = activate(&store, &versions, &options).await?;
        refuse_demo_secrets(&workspace, &options)?;
        // Before anything is prepared or pushed: a start that fails leaves everything as it was.
        let listener = TcpListener::bind(options.listen).await.map_err(|error| {
            StartError(format!(
                "cannot listen on {}: {error}. Choose another address with --listen",
                options.listen
            ))
        })?;
        let address = listener
            .local_addr()
            .map_err(|error| StartError(format!("the listening address is unknown: {error}")))?;

        let (active_sender, active) = watch::channel(Arc::clone(&workspace));
        let remembered = store.remembered_sources().await?;
        let (sources_sender, sources) = watch::channel(Arc::new(sources(&workspace, &remembered)));
        let readable = workspace
            .sources
            .values()
            .filter(|source| source.mapping.is_ok() && !source.paused)
            .map(|source| source.name.clone())
            .collect();
        let requeued = store.requeue_waiting(readable).await?;
        if requeued > 0 {
            info!(deliveries = requeued, "deliveries that waited for their mapping go on");
        }

        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let workers = start_workers(&store, &versions, &active, &options, &stop, &tasks).await?;
        warn_of_strays(&store, &workspace).await?;

        let to_wake = workers.clone();
        let preparer = Preparer {
            store: store.clone(),
            clock: Arc::clone(&options.clock),
            active,
            wake_workers: Arc::new(move || to_wake.iter().for_each(WorkerHandle::wake)),
        };
        tasks.spawn(preparer.run(stop.clone()));
        if let Some(webhook) = workspace.alerts.clone() {
            let clock = Arc::clone(&options.clock);
            let alerts = Alerts { store: store.clone(), clock, workers: workers.clone(), webhook };
            tasks.spawn(alerts.run(stop.clone()));
        }
        let destinations = workspace.destinations.keys().cloned().collect();
        let gauges = Gauges { store: store.clone(), clock: Arc::clone(&options.clock), destinations };
        tasks.spawn(gauges.run(stop.clone()));
        tasks.close();

        let receiver = Receiver::new(store.inbox(), sources, Arc::clone(&options.clock), options.limits);
        let access = match &options.door {
            Door::Demo => Access::Demo { port: address.port() },
            Door::Token(None) => Access::NoTokenSet,
            Door::Token(Some(token)) => Access::Token(token::hash(token.expose_secret())),
        };
        let (readiness, ready) = watch::channel(Ok(()));
        let to_wake = workers.clone();
        let means = Means {
            store: store.clone(),
            versions,
            clock: Arc::clone(&options.clock),
            wake_workers: Arc::new(move || to_wake.iter().for_each(WorkerHandle::wake)),
        };
        let pages = web::api::router(store.clone()).merge(web::operations::router(means));
        let router = receive::router(receiver).merge(web::router(access, ready, options.metrics, pages));
        let shutdown = stop.clone().cancelled_owned();
        store.announce(address)?;
        let server = tokio::spawn(receive::serve(listener, router, Connections::default(), shutdown));
        Ok(Self {
            address,
            store,
            workers,
            stop,
            server,
            tasks,
            readiness,
            _sources: sources_sender,
            _active: active_sender,
        })
    }

    /// Stops taking requests, finishes those that were taken and the pushes under way, and closes the database.
    pub async fn stop(self) {
        drop(self.readiness.send_replace(Err("leadfold is stopping".to_owned())));
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

/// The version to run: the given texts when they are whole, else the last good ones, else (a cold start) what is whole
/// of the given ones; sources that are not keep their deliveries until they are.
async fn activate(
    store: &Store,
    versions: &Versions,
    options: &Options,
) -> Result<Arc<Workspace>, StartError> {
    let given = versions.compile(&options.files);
    for problem in given.problems.iter().filter(|problem| problem.severity == Severity::Error) {
        error!("{}:{}:{}: {}", problem.file, problem.line, problem.column, problem.message);
    }
    let compiled = if given.is_sound() {
        given
    } else if let Some(last_good) = last_good(store, versions).await? {
        error!(folder = %options.folder.display(), version = last_good.workspace.hash,
            "the workspace has errors; running on its last good version. `leadfold check` shows them all");
        let workspace = Arc::new(last_good.workspace);
        versions.remember(&workspace);
        return Ok(workspace);
    } else {
        error!(folder = %options.folder.display(),
            "the workspace has errors and no good version before it; what is broken keeps its deliveries and \
             waits. `leadfold check` shows them all");
        given
    };
    let workspace = Arc::new(compiled.workspace);
    let remembered = workspace
        .sources
        .values()
        .filter_map(|source| {
            let token_hash = to_hex(&token_hash(source)?);
            Some(RememberedSource { name: source.name.clone(), preset: source.preset.clone(), token_hash })
        })
        .collect();
    store.activate(&workspace.hash, &options.files, remembered, options.clock.now()).await?;
    versions.remember(&workspace);
    Ok(workspace)
}

async fn last_good(store: &Store, versions: &Versions) -> Result<Option<Compiled>, StoreError> {
    let Some((_, files)) = store.active_version().await? else { return Ok(None) };
    let compiled = versions.compile(&files);
    Ok(compiled.is_sound().then_some(compiled))
}

/// A secret that stands in the repository is no secret: such defaults are refused where others can reach us.
fn refuse_demo_secrets(workspace: &Workspace, options: &Options) -> Result<(), StartError> {
    if options.listen.ip().is_loopback() || workspace.defaults_used.is_empty() {
        return Ok(());
    }
    Err(StartError(format!(
        "these secrets still have the value that stands in the YAML for everybody to read: {}. Set them in the \
         environment, or listen on 127.0.0.1 only",
        workspace.defaults_used.iter().cloned().collect::<Vec<_>>().join(", ")
    )))
}

async fn start_workers(
    store: &Store,
    versions: &Arc<Versions>,
    active: &watch::Receiver<Arc<Workspace>>,
    options: &Options,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) -> Result<Vec<WorkerHandle>, StartError> {
    let mut workers = Vec::new();
    let workspace = Arc::clone(&active.borrow());
    for destination in workspace.destinations.values() {
        let crm = crm::connect(destination).map_err(|error| StartError(error.to_string()))?;
        let worker = Worker::new(
            store.clone(),
            Arc::clone(&options.clock),
            destination.clone(),
            crm,
            Arc::clone(versions),
            active.clone(),
        )
        .await?;
        if destination.mode == Mode::Observe {
            warn!(
                destination = destination.name,
                "mode observe: plans are made and explained, nothing is written"
            );
        }
        workers.push(worker.start(stop.clone(), tasks));
    }
    Ok(workers)
}

/// Leads for a destination that the workspace no longer has wait for it to come back; nobody else looks at them.
async fn warn_of_strays(store: &Store, workspace: &Workspace) -> Result<(), StoreError> {
    for waiting in store.backlog().await?.syncs {
        if !workspace.destinations.contains_key(&waiting.destination) {
            warn!(
                destination = waiting.destination,
                leads = waiting.count,
                "these leads wait for a destination that workspace.yaml no longer has; put it back under its old name"
            );
        }
    }
    Ok(())
}

/// Every path that answers 2xx: the sources of the workspace, and those it had before.
fn sources(workspace: &Workspace, remembered: &[RememberedSource]) -> Sources {
    let mut entries = BTreeMap::new();
    for source in remembered {
        let Some(preset) = preset(&source.preset) else { continue };
        let waiting = Some(format!("source '{}' was removed from the workspace or renamed", source.name));
        entries
            .insert(source.name.clone(), Entry { preset, token_hash: from_hex(&source.token_hash), waiting });
    }
    for source in workspace.sources.values() {
        // Without a readable preset the source is received as what it may be: anything that can be posted.
        let Some(preset) = preset(&source.preset).or_else(|| PRESETS.first().copied()) else { continue };
        let waiting = match &source.mapping {
            Err(broken) => Some(broken.to_string()),
            Ok(_) if source.paused => Some(PAUSED.to_owned()),
            Ok(_) => None,
        };
        let before = entries.get(&source.name).and_then(|entry: &Entry| entry.token_hash);
        let token_hash = token_hash(source).or(before);
        entries.insert(source.name.clone(), Entry { preset, token_hash, waiting });
    }
    Sources(entries)
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
