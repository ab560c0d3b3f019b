//! The workers of a process, one per destination, and exchanging those whose destination was changed.
//!
//! A worker is never told that its destination is another now. It is stopped, finishes what is under way, and a new one
//! takes the lease under the next epoch: the same way as a restart of the process, which is tested the hardest.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::crm::Crm;
use crate::failpoint::failpoint;
use crate::map::Workspace;
use crate::rules::{Destination, Mode};
use crate::store::{Store, StoreError};
use crate::sync::{Worker, WorkerHandle};
use crate::workspace::Versions;

/// A destination and its account, prepared.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) destination: Destination,
    pub(super) crm: Arc<dyn Crm>,
}

/// The workers that run.
pub(super) struct Workers {
    store: Store,
    clock: Arc<dyn Clock>,
    versions: Arc<Versions>,
    active: watch::Receiver<Option<Arc<Workspace>>>,
    running: BTreeMap<String, Running>,
    handles: watch::Sender<Vec<WorkerHandle>>,
}

struct Running {
    handle: WorkerHandle,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Running {
    async fn end(self) {
        self.stop.cancel();
        self.tasks.wait().await;
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
        let (handles, _) = watch::channel(Vec::new());
        Self { store, clock, versions, active, running: BTreeMap::new(), handles }
    }

    /// The handles of those that run now, for as long as somebody looks.
    pub(super) fn handles(&self) -> watch::Receiver<Vec<WorkerHandle>> {
        self.handles.subscribe()
    }

    /// Whether a worker runs for exactly this destination.
    pub(super) fn serves(&self, destination: &Destination) -> Option<&WorkerHandle> {
        let running = self.running.get(&destination.name)?;
        (running.handle.destination() == destination).then_some(&running.handle)
    }

    /// Stops what is no longer wanted, finishes what it has under way, and starts what is new. After a failure the next
    /// call goes on where this one stopped.
    pub(super) async fn change_to(&mut self, wanted: &BTreeMap<String, Wanted>) -> Result<(), StoreError> {
        let stays = |name: &String, running: &Running| {
            wanted.get(name).is_some_and(|wanted| wanted.destination == *running.handle.destination())
        };
        let ending: Vec<Running> = self
            .running
            .extract_if(.., |name, running| !stays(name, running))
            .map(|(_, running)| running)
            .collect();
        let changed = !ending.is_empty();
        let names: Vec<String> =
            ending.iter().map(|running| running.handle.destination().name.clone()).collect();
        if changed {
            info!(destinations = names.join(", "), "stopping: pushes under way are finished first");
            self.publish();
        }
        join_all(ending.into_iter().map(Running::end)).await;
        if changed {
            failpoint!("workers.stopped");
        }
        let mut failed = None;
        let missing: Vec<Wanted> =
            wanted.values().filter(|wanted| self.serves(&wanted.destination).is_none()).cloned().collect();
        let started = !missing.is_empty();
        for wanted in missing {
            failed = self.start(wanted).await.err().or(failed);
        }
        if started {
            self.publish();
        }
        failed.map_or(Ok(()), Err)
    }

    /// Stops all; returns when nothing is under way any more.
    pub(super) async fn end(&mut self) {
        join_all(std::mem::take(&mut self.running).into_values().map(Running::end)).await;
        self.publish();
    }

    async fn start(&mut self, wanted: Wanted) -> Result<(), StoreError> {
        let Wanted { destination, crm } = wanted;
        let name = destination.name.clone();
        if destination.mode == Mode::Observe {
            warn!(destination = name, "mode observe: plans are made and explained, nothing is written");
        }
        let worker = Worker::new(
            self.store.clone(),
            Arc::clone(&self.clock),
            destination,
            crm,
            Arc::clone(&self.versions),
            self.active.clone(),
        )
        .await?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let handle = worker.start(stop.clone(), &tasks);
        tasks.close();
        self.running.insert(name, Running { handle, stop, tasks });
        Ok(())
    }

    fn publish(&self) {
        self.handles.send_replace(self.running.values().map(|running| running.handle.clone()).collect());
    }
}
