//! What a worker has in its hands: the tasks that push, and the syncs that each of them claimed and is not done with.
//!
//! A sync is in hand until its task has ended, also when the database says that it was put down: the answer to that may
//! have been lost, and then the task enters the same once more. Until then nobody claims it again.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tracing::error;

use super::Worker;
use super::push::Report;
use crate::clock::later;
use crate::id::SyncId;
use crate::plan::Reason;
use crate::store::syncs::Abandoned;

/// How soon a sync whose push ended abnormally is tried again.
const AFTER_PANIC: Duration = Duration::from_secs(1);
/// After so many failed tries, one that ends abnormally is put before a person.
const MOST_PANICS: i64 = 3;

/// What this process has claimed.
#[derive(Default)]
pub(super) struct Hands {
    tasks: JoinSet<Vec<Report>>,
    /// By the task that has them.
    syncs: HashMap<Id, Vec<SyncId>>,
    /// The last claim may have been stored without our knowing what it took.
    pub(super) claim_failed: bool,
}

impl Hands {
    /// How many tasks are under way.
    pub(super) fn tasks(&self) -> usize {
        self.tasks.len()
    }

    /// All that is in hand.
    pub(super) fn syncs(&self) -> Vec<SyncId> {
        self.syncs.values().flatten().copied().collect()
    }

    /// Puts these into the hands of a task.
    pub(super) fn begin(
        &mut self,
        syncs: Vec<SyncId>,
        work: impl Future<Output = Vec<Report>> + Send + 'static,
    ) {
        let task = self.tasks.spawn(work);
        self.syncs.insert(task.id(), syncs);
    }

    /// Waits until a task ends, and gives what it reports; `None` when there is none. What a task that ended abnormally had
    /// in hand is put down by another one, because nobody else does it, and the database may be away for long.
    pub(super) async fn ended(&mut self, worker: &Arc<Worker>) -> Option<Vec<Report>> {
        match self.tasks.join_next_with_id().await? {
            Ok((task, reports)) => {
                self.syncs.remove(&task);
                Some(reports)
            }
            Err(failure) => {
                error!(destination = worker.destination.name, %failure,
                    "a push ended abnormally; this is a bug of leadfold. Its leads are tried again");
                let syncs = self.syncs.remove(&failure.id()).unwrap_or_default();
                let (worker, abandoned) = (Arc::clone(worker), syncs.clone());
                self.begin(syncs, async move {
                    worker.put_down(abandoned).await;
                    Vec::new()
                });
                Some(Vec::new())
            }
        }
    }
}

impl Worker {
    /// Puts down what a push that ended abnormally had in its hands.
    async fn put_down(&self, syncs: Vec<SyncId>) {
        let Some(first) = syncs.first().copied() else { return };
        let text = format!(
            "leadfold failed while it brought this lead to '{}'. This is a bug: report it with the log of this time, and \
             let the lead go on with `leadfold replay --cause internal_error --resume` (what was sent is looked up first).",
            self.destination.name
        );
        let now = self.clock.now();
        let abandoned = Abandoned {
            syncs,
            why: Reason::new("internal_error", text),
            next_at: later(now, AFTER_PANIC),
            most_attempts: MOST_PANICS,
        };
        // What the push had entered comes first. Whether it was written is known by whoever asked.
        self.ledger.settled().await.ok();
        self.insist(first, || self.store.put_down_abandoned(&self.lease, abandoned.clone(), now)).await;
    }
}
