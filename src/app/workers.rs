//! The workers of a process: one for each destination whose lease it holds.
//!
//! A worker is never told that its destination is another now. It is stopped, finishes what is under way, and a new one
//! begins under the next epoch: the same way as a restart of the process, which is tested the hardest. A worker whose lease
//! goes to another process ends in the same way, and the lease is handed over. Only a worker whose lease is lost is dropped
//! where it stands, with what it had in hand: somebody else does that already.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::error;

use super::due::Due;
use super::leases::Leases;
use super::tend::{Means, Tending, Ways};
use crate::clock::Clock;
use crate::crm::Crm;
use crate::map::Workspace;
use crate::rules::Destination;
use crate::store::Store;
use crate::sync::WorkerHandle;
use crate::workspace::Versions;

/// How soon what ended abnormally begins anew.
const BEGIN_ANEW: Duration = Duration::from_secs(1);
/// How long a caller waits until other destinations are taken up.
const TAKEN_UP: Duration = Duration::from_secs(10);

/// A destination and its account, prepared.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) destination: Destination,
    pub(super) crm: Arc<dyn Crm>,
}

/// What the workspace asks for: how often it has changed, and the destinations by name.
pub(super) type Wants = (u64, Arc<BTreeMap<String, Wanted>>);

/// The workers that run, for the rest of the process.
pub(super) struct Workers {
    wanted: watch::Sender<Wants>,
    taken_up: watch::Receiver<u64>,
    handles: watch::Receiver<Vec<WorkerHandle>>,
    stored: Arc<Notify>,
    stop: CancellationToken,
    state: State,
    /// A start that fails half-way leaves nothing behind.
    _guard: DropGuard,
}

/// What the tasks are made of that keep the leases and the workers.
struct Parts {
    store: Store,
    clock: Arc<dyn Clock>,
    versions: Arc<Versions>,
    active: watch::Receiver<Option<Arc<Workspace>>>,
    wanted: watch::Receiver<Wants>,
    taken_up: watch::Sender<u64>,
    handles: watch::Sender<Vec<WorkerHandle>>,
    stored: Arc<Notify>,
}

enum State {
    /// In no registry yet.
    Idle(Box<Parts>),
    Running(JoinHandle<()>),
    Ended,
}

impl Parts {
    /// Keeps leases and workers until `stop`. What ends abnormally begins anew, as a process that was given up: under a new
    /// name in the registry, and with its workers dropped where they stood.
    async fn run(self, stop: CancellationToken) {
        while Box::pin(AssertUnwindSafe(self.run_once(&stop)).catch_unwind()).await.is_err() {
            error!(
                "what keeps the leases of this process ended abnormally; this is a bug of leadfold: report it with the log \
                 of this time. It begins anew, and what was sent is looked up first"
            );
            sleep(BEGIN_ANEW).await;
        }
    }

    async fn run_once(&self, stop: &CancellationToken) {
        let Self { store, clock, .. } = self;
        let (leases, looks) = Leases::new(store.clone(), Arc::clone(clock));
        let due = Due {
            store: store.clone(),
            clock: Arc::clone(clock),
            stored: Arc::clone(&self.stored),
            view: looks.view.clone(),
            workers: self.handles.subscribe(),
        };
        let means = Means {
            store: store.clone(),
            clock: Arc::clone(clock),
            versions: Arc::clone(&self.versions),
            active: self.active.clone(),
        };
        let (wanted, taken_up, handles) = (self.wanted.clone(), self.taken_up.clone(), self.handles.clone());
        let tending = Tending::new(means, Ways { wanted, taken_up, handles, looks });
        let over = CancellationToken::new();
        let tend = async {
            tending.run(stop.clone()).await;
            over.cancel();
        };
        tokio::join!(tend, leases.run(over.clone()), due.run(over.clone()));
    }
}

impl Workers {
    /// None yet.
    pub(super) fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        versions: Arc<Versions>,
        active: watch::Receiver<Option<Arc<Workspace>>>,
    ) -> Self {
        let (wanted, follow_wanted) = watch::channel((0, Arc::default()));
        let (tell_taken_up, taken_up) = watch::channel(0);
        let (tell_handles, handles) = watch::channel(Vec::new());
        let stored: Arc<Notify> = Arc::default();
        let parts = Parts {
            store,
            clock,
            versions,
            active,
            wanted: follow_wanted,
            taken_up: tell_taken_up,
            handles: tell_handles,
            stored: Arc::clone(&stored),
        };
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        let state = State::Idle(Box::new(parts));
        Self { wanted, taken_up, handles, stored, stop, state, _guard: guard }
    }

    /// The handles of those that run now, for as long as somebody looks.
    pub(super) fn handles(&self) -> watch::Receiver<Vec<WorkerHandle>> {
        self.handles.clone()
    }

    /// Says that something was stored that may be due.
    pub(super) fn wake(&self) -> Arc<dyn Fn() + Send + Sync> {
        let stored = Arc::clone(&self.stored);
        Arc::new(move || stored.notify_one())
    }

    /// Ends the workers of what is no longer wanted, and begins those of what is new as far as the leases are to be had.
    /// What is under way in those that end is finished afterwards.
    pub(super) async fn change_to(&mut self, wanted: &BTreeMap<String, Wanted>) {
        if let State::Idle(_) = self.state
            && let State::Idle(parts) = std::mem::replace(&mut self.state, State::Ended)
        {
            self.state = State::Running(tokio::spawn(parts.run(self.stop.clone())));
        }
        let same = |(name, one): (&String, &Wanted), (other_name, other): (&String, &Wanted)| {
            name == other_name && one.destination == other.destination
        };
        let changed = self.wanted.send_if_modified(|(version, before)| {
            let changes = *version == 0
                || before.len() != wanted.len()
                || !before.iter().zip(wanted).all(|(one, other)| same(one, other));
            if changes {
                *version += 1;
                *before = Arc::new(wanted.clone());
            }
            changes
        });
        if changed {
            let version = self.wanted.borrow().0;
            // While the database is away it is taken up later; an end of the task means that the process stops.
            let taken_up = self.taken_up.wait_for(|taken_up| *taken_up >= version);
            timeout(TAKEN_UP, taken_up).await.ok();
        }
    }

    /// Stops all and hands their leases over; returns when nothing is under way any more.
    pub(super) async fn end(&mut self) {
        self.stop.cancel();
        if let State::Running(task) = std::mem::replace(&mut self.state, State::Ended)
            && let Err(failure) = task.await
        {
            error!(%failure, "the workers ended abnormally; this is a bug of leadfold. Their leads go on elsewhere or at the \
                next start");
        }
    }
}
