//! Begins and ends the workers of a process, as its leases come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use metrics::gauge;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use super::leases::{Looks, View, in_time};
use super::share::{Balance, Moves, Situation};
use super::workers::{Wanted, Wants};
use crate::clock::Clock;
use crate::failpoint::failpoint;
use crate::map::Workspace;
use crate::rules::Mode;
use crate::store::lease::{Lease, LeaseRow};
use crate::store::{Store, StoreError};
use crate::sync::{Hold, Worker, WorkerHandle};
use crate::telemetry::metric;
use crate::workspace::Versions;

/// How long one statement about leases may take. A later answer does no harm: the rows say who holds what.
const ANSWER: Duration = Duration::from_secs(5);
/// Names of destinations that one log line has room for.
const NAMED: usize = 20;

/// What every worker needs.
pub(super) struct Means {
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) versions: Arc<Versions>,
    pub(super) active: watch::Receiver<Option<Arc<Workspace>>>,
}

/// How the task hears of the rest of the process, and tells it.
pub(super) struct Ways {
    pub(super) wanted: watch::Receiver<Wants>,
    /// Which change of `wanted` the workers are in line with.
    pub(super) taken_up: watch::Sender<u64>,
    pub(super) handles: watch::Sender<Vec<WorkerHandle>>,
    pub(super) looks: Looks,
}

/// The task that begins and ends workers.
pub(super) struct Tending {
    means: Means,
    ways: Ways,
    /// Destinations whose lease rows are there.
    announced: BTreeSet<String>,
    balance: Balance,
    /// The look that was shared by last.
    shared: Option<Instant>,
    /// When leases were handed over last: an earlier look still shows them as ours.
    handed_over: Option<Instant>,
    running: BTreeMap<String, Running>,
    ending: BTreeMap<String, Ending>,
    endings: JoinSet<String>,
    stopping: bool,
    failing: bool,
}

struct Running {
    handle: WorkerHandle,
    hold: Hold,
    /// From when on a look has to show the lease as ours.
    since: Instant,
    stop: CancellationToken,
    tasks: TaskTracker,
}

struct Ending {
    hold: Hold,
    since: Instant,
    /// Another process is to have it.
    given: bool,
}

impl Tending {
    pub(super) fn new(means: Means, ways: Ways) -> Self {
        Self {
            means,
            ways,
            announced: BTreeSet::new(),
            balance: Balance::default(),
            shared: None,
            handed_over: None,
            running: BTreeMap::new(),
            ending: BTreeMap::new(),
            endings: JoinSet::new(),
            stopping: false,
            failing: false,
        }
    }

    /// Tends until `stop`; then ends all and returns when nothing is under way any more.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        loop {
            let mut ended = Vec::new();
            tokio::select! {
                () = stop.cancelled(), if !self.stopping => self.stopping = true,
                Ok(()) = self.ways.looks.view.changed() => {}
                Ok(()) = self.ways.wanted.changed() => {}
                Some(name) = self.endings.join_next() => ended.extend(name.ok()),
            }
            while let Some(name) = self.endings.try_join_next() {
                ended.extend(name.ok());
            }
            let (version, wanted) = self.ways.wanted.borrow_and_update().clone();
            let wanted = if self.stopping { Arc::default() } else { wanted };
            self.ways.looks.pushes.store(!wanted.is_empty(), Ordering::Relaxed);
            let passed = self.pass(&wanted, ended).await;
            self.publish();
            match passed {
                Ok(all) => {
                    self.failing = false;
                    if all {
                        self.ways.taken_up.send_replace(version);
                    }
                }
                Err(failure) => {
                    if !self.failing {
                        error!(%failure,
                            "destinations could not be taken up or handed over; it is tried again all the time");
                    }
                    self.failing = true;
                }
            }
            if self.stopping && self.running.is_empty() && self.ending.is_empty() {
                return;
            }
        }
    }

    /// Brings the workers in line with what is wanted and what was seen. Returns whether that was all; a failure is tried
    /// again at the next look.
    async fn pass(
        &mut self,
        wanted: &BTreeMap<String, Wanted>,
        ended: Vec<String>,
    ) -> Result<bool, StoreError> {
        let view = self.ways.looks.view.borrow_and_update().clone();
        if let Some(view) = &view {
            self.drop_lost(view);
        }
        let stays = |name: &String, running: &Running| {
            wanted.get(name).is_some_and(|wanted| wanted.destination == *running.handle.destination())
        };
        let unwanted: Vec<String> = self
            .running
            .iter()
            .filter(|(name, running)| !stays(name, running))
            .map(|(name, _)| name.clone())
            .collect();
        self.end_workers(unwanted, false);
        self.publish();

        if !ended.is_empty() {
            failpoint!("workers.stopped");
        }
        let mut over: Vec<LeaseRow> = Vec::new();
        let mut anew = Vec::new();
        for Ending { hold, given, .. } in ended.iter().filter_map(|name| self.ending.remove(name)) {
            if hold.is_lost() {
                continue;
            }
            let again = wanted.get(&hold.lease.destination).filter(|_| !given);
            match again {
                Some(wanted) => anew.push((hold.lease, wanted.clone())),
                None => over.push(row_of(&hold)),
            }
        }
        let Some(view) = view else { return Ok(false) };
        let new: Vec<String> =
            wanted.keys().filter(|name| !self.announced.contains(*name)).cloned().collect();
        if !new.is_empty() {
            in_time(ANSWER, self.means.store.announce_leases(new.clone())).await?;
            self.announced.extend(new);
            self.ways.looks.hurry.notify_one();
            self.hand_over(&view, over).await?;
            self.begin_anew(&view, anew).await?;
            return Ok(false);
        }
        let fresh = self.shared != Some(view.asked);
        self.shared = Some(view.asked);
        // Ours by the rows, and in nobody's hands: an answer was lost, or a worker could not be started.
        let newer = fresh && self.handed_over.is_none_or(|handed_over| view.asked > handed_over);
        for lease in view.seen.mine.iter().filter(|lease| newer && !self.has(&lease.destination)) {
            let known = |row: &LeaseRow| row.destination == lease.destination;
            if over.iter().any(known) || anew.iter().any(|(known, _)| known.destination == lease.destination)
            {
                continue;
            }
            match wanted.get(&lease.destination) {
                Some(wanted) => {
                    let LeaseRow { destination, epoch, .. } = lease.clone();
                    let taken_at = self.means.clock.now();
                    anew.push((Lease { destination, epoch, taken_at, clean: false }, wanted.clone()));
                }
                None => over.push(lease.clone()),
            }
        }
        self.hand_over(&view, over).await?;
        self.begin_anew(&view, anew).await?;
        if fresh {
            self.share(&view, wanted).await?;
        }
        Ok(true)
    }

    fn has(&self, destination: &str) -> bool {
        self.running.contains_key(destination) || self.ending.contains_key(destination)
    }

    /// Drops the workers whose lease is another one's, or is none any more.
    fn drop_lost(&mut self, view: &View) {
        let mine: BTreeMap<&str, i64> =
            view.seen.mine.iter().map(|lease| (lease.destination.as_str(), lease.epoch)).collect();
        let is_lost = |hold: &Hold, since: Instant| {
            let Lease { destination, epoch, .. } = &hold.lease;
            let seen = mine.get(destination.as_str()) == Some(epoch);
            hold.is_lost() || !Arc::ptr_eq(hold.presence(), &view.presence) || (view.asked > since && !seen)
        };
        let lose = |hold: &Hold| {
            hold.lose();
            // Who was given up as a whole has said so once, and so has a worker that ended abnormally.
            if !hold.presence().is_over() && !hold.has_failed() {
                let Lease { destination, epoch, .. } = &hold.lease;
                warn!(
                    destination,
                    epoch, "lost the lease: another process pushes there now. What was in hand is dropped"
                );
            }
        };
        for (_, running) in self.running.extract_if(.., |_, running| is_lost(&running.hold, running.since)) {
            lose(&running.hold);
        }
        for ending in self.ending.values() {
            if !ending.hold.is_lost() && is_lost(&ending.hold, ending.since) {
                lose(&ending.hold);
            }
        }
    }

    /// Takes and gives what is fair.
    async fn share(&mut self, view: &View, wanted: &BTreeMap<String, Wanted>) -> Result<(), StoreError> {
        if wanted.is_empty() {
            return Ok(());
        }
        let edited = self.ending.iter().filter(|(_, ending)| !ending.given).map(|(name, _)| name);
        let mine: BTreeSet<String> = self.running.keys().chain(edited).cloned().collect();
        let free: BTreeMap<&str, &LeaseRow> = view
            .seen
            .free
            .iter()
            .filter(|lease| wanted.contains_key(&lease.destination) && !self.has(&lease.destination))
            .map(|lease| (lease.destination.as_str(), lease))
            .collect();
        let names: Vec<String> = free.keys().map(|name| (*name).to_owned()).collect();
        let Moves { take, give } = self.balance.look(&Situation {
            me: &view.presence.id,
            processes: &view.seen.processes,
            wanted: wanted.len(),
            mine: &mine,
            free: &names,
        });
        self.end_workers(give, true);
        let rows: Vec<LeaseRow> =
            take.iter().filter_map(|name| free.get(name.as_str())).map(|row| (*row).clone()).collect();
        let taking = self.means.store.take_leases(&view.presence.id, rows, self.means.clock.now());
        let taken = in_time(ANSWER, taking).await?;
        say_taken(view, &free, &taken);
        self.start_all(view, taken, wanted).await
    }

    async fn start_all(
        &mut self,
        view: &View,
        leases: Vec<Lease>,
        wanted: &BTreeMap<String, Wanted>,
    ) -> Result<(), StoreError> {
        let mut failed = None;
        for lease in leases {
            if let Some(wanted) = wanted.get(&lease.destination) {
                failed = self.start(view, lease, wanted.clone()).await.err().or(failed);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn begin_anew(&mut self, view: &View, leases: Vec<(Lease, Wanted)>) -> Result<(), StoreError> {
        let mut failed = None;
        for (lease, wanted) in leases {
            let begun = match in_time(ANSWER, self.means.store.begin_anew(&view.presence.id, &lease)).await {
                Ok(Some(lease)) => self.start(view, lease, wanted).await,
                Ok(None) => Ok(()),
                Err(failure) => Err(failure),
            };
            failed = begun.err().or(failed);
        }
        failed.map_or(Ok(()), Err)
    }

    async fn hand_over(&mut self, view: &View, leases: Vec<LeaseRow>) -> Result<(), StoreError> {
        if leases.is_empty() {
            return Ok(());
        }
        let destinations = named(leases.iter().map(|lease| lease.destination.as_str()));
        let rows = leases.into_iter().map(|lease| (lease.destination, lease.epoch)).collect();
        in_time(ANSWER, self.means.store.hand_over(&view.presence.id, rows)).await?;
        self.handed_over = Some(Instant::now());
        info!(destinations, "handed over");
        Ok(())
    }

    async fn start(&mut self, view: &View, lease: Lease, wanted: Wanted) -> Result<(), StoreError> {
        let Wanted { destination, crm } = wanted;
        let name = destination.name.clone();
        if destination.mode == Mode::Observe {
            warn!(destination = name, "mode observe: plans are made and explained, nothing is written");
        }
        let hold = Hold::new(lease, Arc::clone(&view.presence));
        let worker = Worker::new(
            self.means.store.clone(),
            Arc::clone(&self.means.clock),
            destination,
            crm,
            Arc::clone(&self.means.versions),
            self.means.active.clone(),
            hold.clone(),
        );
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let handle = in_time(ANSWER, worker).await?.start(stop.clone(), &tasks);
        tasks.close();
        let since = Instant::now();
        self.running.insert(name, Running { handle, hold, since, stop, tasks });
        Ok(())
    }

    /// Has these workers finish what is under way.
    fn end_workers(&mut self, names: Vec<String>, given: bool) {
        if names.is_empty() {
            return;
        }
        let destinations = named(names.iter().map(String::as_str));
        info!(destinations, "stopping: pushes under way are finished first");
        for name in names {
            let Some(Running { hold, since, stop, tasks, .. }) = self.running.remove(&name) else { continue };
            self.ending.insert(name.clone(), Ending { hold, since, given });
            stop.cancel();
            self.endings.spawn(async move {
                tasks.wait().await;
                name
            });
        }
    }

    fn publish(&self) {
        gauge!(metric::HELD_LEASES)
            .set(u32::try_from(self.running.len() + self.ending.len()).unwrap_or(u32::MAX));
        let same = |before: &[WorkerHandle]| {
            before.len() == self.running.len()
                && before.iter().zip(self.running.values()).all(|(one, other)| one.is(&other.handle))
        };
        self.ways.handles.send_if_modified(|handles| {
            let changed = !same(handles);
            if changed {
                *handles = self.running.values().map(|running| running.handle.clone()).collect();
            }
            changed
        });
    }
}

fn row_of(hold: &Hold) -> LeaseRow {
    LeaseRow {
        destination: hold.lease.destination.clone(),
        holder: hold.presence().id.clone(),
        epoch: hold.lease.epoch,
    }
}

/// Says who had what was taken: a line for each that a process died with.
fn say_taken(view: &View, free: &BTreeMap<&str, &LeaseRow>, taken: &[Lease]) {
    for lease in taken.iter().filter(|lease| !lease.clean) {
        let holder = free.get(lease.destination.as_str()).map_or("", |row| &row.holder);
        let gone = view.gone.get(holder);
        let (destination, epoch) = (&lease.destination, lease.epoch);
        let from = gone.map_or(holder, |gone| &gone.name);
        let after_ms = gone.map(|gone| gone.beat.elapsed().as_millis());
        info!(destination, from, epoch, after_ms, "took over the lease");
    }
    let clean = taken.iter().filter(|lease| lease.clean).map(|lease| lease.destination.as_str());
    let destinations = named(clean);
    if !destinations.is_empty() {
        info!(destinations, "took what was free");
    }
}

/// The first of these names, and how many more there are.
fn named<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    let more = names.len().saturating_sub(NAMED);
    let listed = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    if more == 0 { listed } else { format!("{listed} and {more} more") }
}
