//! The loop of one destination: claims what is due, keeps a bounded number under way, and sleeps until something is due.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::breaker::Breaker;
use super::budget;
use super::hands::Hands;
use super::hold::Hold;
use super::push::Report;
use super::records::Records;
use crate::clock::Clock;
use crate::crm::{Crm, description};
use crate::failpoint::failpoint;
use crate::map::Workspace;
use crate::rules::{BotKind, Destination, InactiveUsers, Mode, PoolState};
use crate::store::lease::Lease;
use crate::store::ledger::Ledger;
use crate::store::syncs::Claimed;
use crate::store::{Store, StoreError};
use crate::workspace::Versions;

/// The longest sleep. Whatever becomes due meanwhile wakes the worker, so this is for a signal that got lost.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);
/// How soon something that failed is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// How often a pause is looked at, or whether a lease that is not sure is sure again.
const LOOK: Duration = Duration::from_millis(250);
/// How soon more is claimed where there was something.
const MORE: Duration = Duration::from_millis(50);
/// The shortest: claims are not repeated in a tight loop while nothing changes.
const SHORTEST_SLEEP: Duration = Duration::from_millis(2);
/// Claims that find something are at least so far apart: a claim costs the same for one sync as for all that became free
/// meanwhile, and no CRM answers so fast that the wait is felt.
const BETWEEN_CLAIMS: Duration = Duration::from_millis(5);
/// How long a shutdown waits for pushes under way; what is left is looked up at the next start.
const DRAIN: Duration = Duration::from_secs(10);

/// Everything that the syncs of one destination share.
pub struct Worker {
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) lease: Lease,
    /// Whether the lease is still ours.
    pub(super) hold: Hold,
    pub(super) ledger: Ledger,
    pub(super) destination: Destination,
    /// What it can be asked, where it is a bot.
    pub(super) bot: Option<BotKind>,
    pub(super) crm: Arc<dyn Crm>,
    pub(super) versions: Arc<Versions>,
    pub(super) records: Records,
    /// The workspace as it is now: who is there to take a deal is no matter of the version that made a lead.
    pub(super) active: watch::Receiver<Option<Arc<Workspace>>>,
    /// What each pool remembers. Ahead of the database by plans that are being stored.
    pub(super) pools: Mutex<HashMap<String, PoolState>>,
    /// Who left, as far as known.
    pub(super) inactive: Mutex<Arc<InactiveUsers>>,
    /// Told when there is something new to audit.
    pub(super) noted: Notify,
    breaker: Mutex<Breaker>,
}

/// What the rest of the program holds of a worker.
#[derive(Clone)]
pub struct WorkerHandle {
    pub(super) worker: Arc<Worker>,
    wake: Arc<Notify>,
}

impl WorkerHandle {
    /// Says that there may be something to do.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Whether it is a handle of the same worker.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.worker, &other.worker)
    }

    /// Why nothing is pushed at the moment, if so.
    pub fn paused(&self) -> Option<String> {
        self.worker.breaker().paused().map(|paused| paused.why.clone())
    }

    /// The account.
    pub fn crm(&self) -> &dyn Crm {
        &*self.worker.crm
    }

    /// Where it pushes to.
    pub fn destination(&self) -> &Destination {
        &self.worker.destination
    }
}

impl Worker {
    /// Reads what the destination's pools remember; `hold` is its lease.
    pub async fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        destination: Destination,
        crm: Arc<dyn Crm>,
        versions: Arc<Versions>,
        active: watch::Receiver<Option<Arc<Workspace>>>,
        hold: Hold,
    ) -> Result<Self, StoreError> {
        let lease = hold.lease.clone();
        failpoint!("sync.leased");
        let pools = store.pools(&destination.name).await?.into_iter().collect();
        budget::resume(&store, &lease, &*crm, clock.now()).await?;
        let used = {
            let (crm, clock) = (Arc::clone(&crm), Arc::clone(&clock));
            Box::new(move || budget::noted(&*crm, clock.now(), false))
        };
        let ledger = Ledger::open(store.clone(), lease.clone(), used);
        Ok(Self {
            store,
            clock,
            lease,
            hold,
            ledger,
            bot: description(&destination.crm).and_then(|description| description.bot),
            destination,
            crm,
            versions,
            records: Records::default(),
            active,
            pools: Mutex::new(pools),
            inactive: Mutex::default(),
            noted: Notify::new(),
            breaker: Mutex::default(),
        })
    }

    /// Runs until `stop`, then finishes what is under way. When the lease is lost everything is dropped where it stands. A
    /// worker that ends abnormally loses its lease, whichever part of it did: nobody may keep a destination and push nothing.
    pub fn start(self, stop: CancellationToken, tasks: &tokio_util::task::TaskTracker) -> WorkerHandle {
        let handle = WorkerHandle { worker: Arc::new(self), wake: Arc::new(Notify::new()) };
        let (running, keeping, auditing, worker) =
            (handle.clone(), handle.clone(), handle.clone(), Arc::clone(&handle.worker));
        let run = async move {
            let (users, audits) =
                (keeping.keep_up_with_users(stop.clone()), auditing.keep_auditing(stop.clone()));
            let ((), (), ended) = tokio::join!(users, audits, running.run(stop));
            if ended {
                running.worker.note_end().await;
            }
        };
        tasks.spawn(async move {
            let hold = &worker.hold;
            let part = tokio::select! {
                biased;
                () = worker.ledger.broken() => "ledger",
                () = hold.lost() => return,
                ended = AssertUnwindSafe(run).catch_unwind() => match ended {
                    Ok(()) => return,
                    Err(_) => "worker",
                },
            };
            error!(destination = worker.destination.name,
                "the {part} of a destination ended abnormally; this is a bug of leadfold: report it with the log of this \
                 time. The destination begins anew, and what was sent is looked up first");
            hold.fail();
        });
        handle
    }

    pub(super) fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long after it was sent an unknown step may be looked up.
    pub(super) fn settle(&self) -> Duration {
        self.destination.settle.unwrap_or_else(|| self.crm.settle())
    }

    fn learn(&self, report: &Report) {
        let now = Instant::now();
        let name = &self.destination.name;
        let mut breaker = self.breaker();
        match report {
            Report::Worked => {
                if breaker.succeeded() {
                    info!(destination = name, "the destination answers again; its queue goes on");
                }
            }
            Report::Untouched => {}
            Report::Failed(why) => {
                if breaker.failed(why, now) {
                    warn!(
                        destination = name,
                        why, "the destination fails; it is paused and tried again by itself"
                    );
                }
            }
            Report::Refused(why) => {
                if breaker.refused(why, now) {
                    error!(
                        destination = name,
                        why,
                        "the destination refuses our credentials; it is paused. Correct them in workspace.yaml"
                    );
                }
            }
        }
    }
}

impl WorkerHandle {
    /// Returns whether nothing is under way any more.
    async fn run(&self, stop: CancellationToken) -> bool {
        let worker = &self.worker;
        if worker.destination.mode == Mode::Paused {
            info!(destination = worker.destination.name, "paused by the workspace; its queue is kept");
            return true;
        }
        self.warn_of_held().await;
        let mut hands = Hands::default();
        while !stop.is_cancelled() {
            tokio::select! {
                // What this drops half-way is a claim at most, and nobody's once the lease is handed over.
                () = stop.cancelled() => {}
                () = self.round(&mut hands) => {}
            }
        }
        let drained = tokio::time::timeout(DRAIN, self.drain(&mut hands)).await.is_ok();
        if !drained {
            warn!(destination = worker.destination.name, "pushes under way are looked up by whoever goes on");
        }
        drained
    }

    /// Claims what is due and there is room for, and waits until that may have changed.
    async fn round(&self, hands: &mut Hands) {
        let worker = &self.worker;
        let batch = worker.crm.batch().max(1);
        let free = worker.crm.concurrency().max(1).saturating_sub(hands.tasks());
        let mut allowed = worker.breaker().allowance(free * batch, hands.tasks(), Instant::now());
        if !worker.hold.is_sure(&*worker.clock) {
            allowed = 0;
        }
        let mut claimed = 0;
        let now = worker.clock.now();
        if allowed > 0 && self.free_lost_claims(hands).await {
            let (mode, in_hand) = (worker.destination.mode, hands.syncs());
            match worker.store.claim(&worker.lease, mode, now, allowed, in_hand).await {
                Ok(syncs) => {
                    claimed = syncs.len();
                    if claimed > 0 {
                        failpoint!("sync.claimed");
                    }
                    for batch in batches(syncs, batch) {
                        let worker = Arc::clone(worker);
                        let ids = batch.iter().map(|claimed| claimed.id).collect();
                        hands.begin(ids, async move { worker.process(batch).await });
                    }
                }
                Err(failure) if failure.is_final() => worker.hold.lose(),
                Err(failure) => {
                    self.complain(&failure, "syncs could not be claimed");
                    hands.claim_failed = true;
                }
            }
        }
        if claimed > 0 {
            sleep(BETWEEN_CLAIMS).await;
        }
        let wait_until = Instant::now()
            + if hands.claim_failed { TRY_AGAIN } else { self.sleep(claimed, allowed, now).await };
        tokio::select! {
            () = self.wake.notified(), if allowed > 0 => {}
            Some(reports) = hands.ended(worker) => {
                self.learn(reports);
                while let Some(reports) = hands.ended(worker).now_or_never().flatten() {
                    self.learn(reports);
                }
            }
            () = sleep_until(wait_until) => {}
        }
    }

    async fn drain(&self, hands: &mut Hands) {
        while let Some(reports) = hands.ended(&self.worker).await {
            self.learn(reports);
        }
    }

    fn learn(&self, mut reports: Vec<Report>) {
        // One call may have carried many leads, and failed once.
        reports.dedup();
        for report in &reports {
            self.worker.learn(report);
        }
    }

    /// A claim that failed may have been stored although its answer was lost: then these syncs are in nobody's hands.
    /// Returns whether it is known by now that there are none.
    async fn free_lost_claims(&self, hands: &mut Hands) -> bool {
        if !hands.claim_failed {
            return true;
        }
        let worker = &self.worker;
        match worker.store.free_claims_except(&worker.lease, hands.syncs()).await {
            Ok(freed) => {
                hands.claim_failed = false;
                if freed > 0 {
                    warn!(
                        destination = worker.destination.name,
                        freed, "a claim whose answer was lost is undone"
                    );
                }
                true
            }
            Err(failure) if failure.is_final() => {
                worker.hold.lose();
                false
            }
            Err(failure) => {
                self.complain(&failure, "syncs could not be claimed");
                false
            }
        }
    }

    /// What was held while the destination was only observed waits for a person, who must know of it.
    async fn warn_of_held(&self) {
        let Destination { name, mode, .. } = &self.worker.destination;
        if *mode != Mode::Live {
            return;
        }
        match self.worker.store.count_held(name).await {
            Ok(0) => {}
            Ok(leads) => warn!(
                destination = name,
                leads,
                "the destination is live, and leads that were held while it was only observed wait for an answer: \
                 `leadfold live {name} --push` or `--skip`. New leads go on"
            ),
            Err(failure) => error!(destination = name, %failure, "held leads could not be counted"),
        }
    }

    /// How long nothing that is known can become due: until the next `next_at` after the claim, or the end of a pause.
    async fn sleep(&self, claimed: usize, allowed: usize, now: Timestamp) -> Duration {
        let worker = &self.worker;
        if claimed > 0 {
            return MORE;
        }
        if allowed == 0 {
            return LOOK;
        }
        match worker.store.next_due(&worker.destination.name, now).await {
            Ok(Some(due)) => Duration::try_from(worker.clock.now().duration_until(due))
                .unwrap_or(SHORTEST_SLEEP)
                .clamp(SHORTEST_SLEEP, LONGEST_SLEEP),
            Ok(None) => LONGEST_SLEEP,
            Err(failure) => {
                self.complain(&failure, "the next due sync could not be read");
                TRY_AGAIN
            }
        }
    }

    /// The trouble of a database is no news from each of its destinations.
    fn complain(&self, failure: &StoreError, what: &str) {
        if failure.is_news() {
            error!(destination = self.worker.destination.name, %failure, "{what}");
        }
    }
}

/// Pieces of at most `size`, in order.
fn batches(syncs: Vec<Claimed>, size: usize) -> Vec<Vec<Claimed>> {
    let mut syncs = syncs.into_iter();
    let mut batches = Vec::new();
    loop {
        let batch: Vec<Claimed> = syncs.by_ref().take(size).collect();
        if batch.is_empty() {
            return batches;
        }
        batches.push(batch);
    }
}
