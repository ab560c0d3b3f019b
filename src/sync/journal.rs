//! What is stored before a request leaves: that its steps are sent. Without it a crash in between would be invisible.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::time::Instant;

use super::Worker;
use super::pins::Pins;
use super::push::Job;
use crate::crm::{Journal, JournalError};
use crate::id::{StepId, SyncId};
use crate::store::ledger::Entry;
use crate::store::syncs::StepState;

/// A plan of which no step was sent is dropped after this long and decided anew, because the CRM has moved on.
const STALE: Duration = Duration::from_mins(1);
/// Why a step is not sent.
const NOT_SURE: &str = "the lease could not be renewed in time, and another process may push there by now";

/// Stores `sent` between the limiter's permit and the request.
pub(super) struct SentJournal<'a> {
    worker: &'a Worker,
    /// When the plan of a step becomes stale, for plans of which nothing was sent.
    stale: HashMap<StepId, Instant>,
    sent: Mutex<HashMap<StepId, Timestamp>>,
    /// The PINs that steps carry.
    pins: Pins,
    /// Steps that were not sent by our own fault; the CRM knows nothing of them.
    refused: Mutex<HashSet<StepId>>,
}

impl<'a> SentJournal<'a> {
    pub(super) fn new(worker: &'a Worker, jobs: &[Job], pins: Pins) -> Self {
        let stale = jobs
            .iter()
            .filter(|job| job.steps.iter().all(|step| step.state == StepState::Planned))
            .filter_map(|job| Some((job, job.decided? + STALE)))
            .flat_map(|(job, stale)| job.steps.iter().map(move |step| (step.step.id, stale)))
            .collect();
        Self { worker, stale, sent: Mutex::default(), pins, refused: Mutex::default() }
    }

    pub(super) fn pins(&self) -> &Pins {
        &self.pins
    }

    pub(super) fn sent_at(&self, step: StepId) -> Option<Timestamp> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).get(&step).copied()
    }

    pub(super) fn refused(&self, step: StepId) -> bool {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).contains(&step)
    }

    fn refuse(&self, steps: &[(SyncId, StepId)], why: String) -> JournalError {
        let ids = steps.iter().map(|(_, step)| *step);
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).extend(ids);
        JournalError(why)
    }
}

impl Journal for SentJournal<'_> {
    fn sent<'a>(&'a self, steps: &'a [(SyncId, StepId)]) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async move {
            let now = Instant::now();
            if steps.iter().any(|(_, step)| self.stale.get(step).is_some_and(|stale| *stale < now)) {
                let why = "the plan is older than a minute and is decided anew";
                return Err(self.refuse(steps, why.to_owned()));
            }
            if !self.worker.hold.is_sure(&*self.worker.clock) {
                return Err(self.refuse(steps, NOT_SURE.to_owned()));
            }
            let ids: Vec<StepId> = steps.iter().map(|(_, step)| *step).collect();
            let at = self.worker.clock.now();
            let pins = ids.iter().filter_map(|id| Some(self.pins.of(*id)?.sent.clone())).collect();
            let entry = Entry::Sent { steps: ids.clone(), pins };
            let entered = self.worker.ledger.enter(Arc::new(entry), at).await;
            if !entered.map_err(|failure| self.refuse(steps, failure.to_string()))? {
                let why = "since it was planned its destination was paused, or its person has become one with another; it is \
                           decided anew";
                return Err(self.refuse(steps, why.to_owned()));
            }
            // The last look before the request: a process that was frozen since that commit may have been given up.
            if !self.worker.hold.is_sure(&*self.worker.clock) {
                return Err(self.refuse(steps, NOT_SURE.to_owned()));
            }
            let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
            sent.extend(ids.into_iter().map(|id| (id, at)));
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use jiff::SignedDuration;
    use uuid::Uuid;

    use super::*;
    use crate::clock::{Clock, ManualClock, SystemClock};
    use crate::store::tests::in_hand;
    use crate::sync::fixture::Fixture;
    use crate::sync::{Moment, Presence};

    /// A clock that is 8 s later from one of its looks on: the process was frozen just before.
    struct Freezes {
        clock: ManualClock,
        looks: AtomicUsize,
        before: usize,
    }

    impl Clock for Freezes {
        fn now(&self) -> Timestamp {
            if self.looks.fetch_add(1, Ordering::SeqCst) == self.before {
                self.clock.advance(SignedDuration::from_secs(8));
            }
            self.clock.now()
        }

        fn new_id(&self) -> Uuid {
            self.clock.new_id()
        }
    }

    /// Looks before the journal is asked do not count.
    const NOT_YET: usize = usize::MAX / 2;

    #[tokio::test]
    async fn who_was_frozen_before_the_request_does_not_send_it() {
        let fixture = Fixture::new().await;
        // Before the journal is asked, between its first look and the commit, and between the commit and the request.
        for (before, sends) in [(0, false), (1, false), (2, false), (3, false), (4, true)] {
            let clock = ManualClock::new(SystemClock.now());
            let clock = Arc::new(Freezes { clock, looks: NOT_YET.into(), before });
            let presence = Presence::new("me".to_owned(), false);
            presence.renewed(Moment::now(&*clock));
            let lease = fixture.store.take_lease("crm", "me").await.unwrap();
            let worker = fixture.worker(Arc::clone(&clock) as Arc<dyn Clock>, lease, presence).await;
            let journal = SentJournal::new(&worker, &[], Pins::default());
            let step = StepId(SystemClock.new_id());
            let step = (in_hand(&fixture.store, &worker.lease, step).await, step);
            clock.looks.store(0, Ordering::SeqCst);
            let sent = journal.sent(&[step]).await;
            assert_eq!(sent.is_ok(), sends, "frozen before look {before}");
            assert_eq!(journal.refused(step.1), !sends);
        }
        fixture.end().await;
    }
}
