//! Wakes the workers that have something to do: one statement for all destinations of this process, about once a second
//! and whenever something was stored here. Who has nothing due sleeps.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::leases::View;
use crate::clock::Clock;
use crate::store::{Store, StoreError};
use crate::sync::WorkerHandle;

/// How often it is asked although nobody here stored anything: another process may have.
const LOOK: Duration = Duration::from_secs(1);
/// Looks are at least so far apart, because one costs the same for all that was stored meanwhile.
const BETWEEN: Duration = Duration::from_millis(5);

/// Looks for what is due.
pub(super) struct Due {
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    /// Told whenever something was stored here.
    pub(super) stored: Arc<Notify>,
    pub(super) view: watch::Receiver<Option<Arc<View>>>,
    pub(super) workers: watch::Receiver<Vec<WorkerHandle>>,
}

impl Due {
    /// Looks until `over`.
    pub(super) async fn run(self, over: CancellationToken) {
        let mut failing = false;
        loop {
            tokio::select! {
                () = over.cancelled() => return,
                () = self.stored.notified() => {}
                () = sleep(LOOK) => {}
            }
            match self.look().await {
                Ok(()) => failing = false,
                Err(failure) if !failing => {
                    failing = true;
                    error!(%failure, "what is due could not be read; it is tried again all the time");
                }
                Err(_) => {}
            }
            sleep(BETWEEN).await;
        }
    }

    async fn look(&self) -> Result<(), StoreError> {
        let presence = self.view.borrow().as_ref().map(|view| Arc::clone(&view.presence));
        let workers = self.workers.borrow().clone();
        let Some(presence) = presence.filter(|_| !workers.is_empty()) else { return Ok(()) };
        let due = self.store.due_destinations(&presence.id, self.clock.now()).await?;
        let due: BTreeSet<&str> = due.iter().map(String::as_str).collect();
        for worker in &workers {
            if due.contains(worker.destination().name.as_str()) {
                worker.wake();
            }
        }
        Ok(())
    }
}
