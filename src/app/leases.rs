//! Keeps the leases of this process: renews them about once a second, sees who else lives, and gives up who does not.
//!
//! It does nothing else, so that nothing which takes long (a worker that ends, thousands that start) ever costs a lease.
//! [`tend`](super::tend) follows what is seen here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::store::lease::{Process, Seen};
use crate::store::{Store, StoreError};
use crate::sync::{Moment, Presence, SURE, WATCH};

/// How often leases are renewed and the others are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// A look that takes longer has failed.
const ANSWER: Duration = Duration::from_millis(2_500);
/// Who has not looked for so long has not watched: a database that was away, or a process that stood still, moves no leases.
const LATE: Duration = Duration::from_secs(3);
/// How long a process that ends waits for the database.
const LEAVE: Duration = Duration::from_secs(5);

/// What this process sees.
pub(super) struct View {
    /// What it is in the registry.
    pub(super) presence: Arc<Presence>,
    /// The rows.
    pub(super) seen: Seen,
    /// When they were asked for: what was taken since then is not among them.
    pub(super) asked: Instant,
    /// Processes that are no more and whose leases nobody has taken yet, by id.
    pub(super) gone: BTreeMap<String, Gone>,
}

/// A process that is no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gone {
    /// Host and process id, for people.
    pub(super) name: String,
    /// When its last beat was seen for the first time.
    pub(super) beat: Instant,
}

/// How the rest of the process follows the looks and asks for one.
#[derive(Clone)]
pub(super) struct Looks {
    pub(super) view: watch::Receiver<Option<Arc<View>>>,
    pub(super) hurry: Arc<Notify>,
    /// Whether this process pushes at all.
    pub(super) pushes: Arc<AtomicBool>,
}

/// The task that looks.
pub(super) struct Leases {
    store: Store,
    clock: Arc<dyn Clock>,
    presence: Option<Arc<Presence>>,
    watch: Watch,
    failing: bool,
    looks: Looks,
    view: watch::Sender<Option<Arc<View>>>,
}

impl Leases {
    pub(super) fn new(store: Store, clock: Arc<dyn Clock>) -> (Self, Looks) {
        let (view, follow) = watch::channel(None);
        let looks = Looks { view: follow, hurry: Arc::default(), pushes: Arc::default() };
        let watch = Watch::default();
        let leases = Self { store, clock, presence: None, watch, failing: false, looks: looks.clone(), view };
        (leases, looks)
    }

    /// Looks until `over`; then the process leaves the registry.
    pub(super) async fn run(mut self, over: CancellationToken) {
        while !over.is_cancelled() {
            let next = Instant::now() + LOOK;
            let looked = self.look().await;
            self.say(looked);
            tokio::select! {
                () = over.cancelled() => break,
                () = self.looks.hurry.notified() => {}
                () = sleep_until(next) => {}
            }
        }
        let Some(presence) = &self.presence else { return };
        if let Err(failure) = in_time(LEAVE, self.store.leave(&presence.id)).await {
            warn!(%failure, "the registry could not be told that this process ends; others find out by themselves");
        }
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        loop {
            let presence = match &self.presence {
                Some(presence) => Arc::clone(presence),
                None => self.enter().await?,
            };
            let asked = Moment::now(&*self.clock);
            let beat = self.store.beat(&presence.id, self.looks.pushes.load(Ordering::Relaxed));
            let Some(seen) = in_time(ANSWER, beat).await? else {
                self.given_up(&presence);
                continue;
            };
            presence.renewed(asked);
            let patience = if self.store.is_shared() { WATCH } else { Duration::ZERO };
            let dead = self.watch.look(asked.monotonic, Instant::now(), &presence.id, &seen, patience);
            if self.give_up(dead).await? {
                continue;
            }
            let view = View { presence, seen, asked: asked.monotonic, gone: self.watch.gone.clone() };
            self.view.send_replace(Some(Arc::new(view)));
            return Ok(());
        }
    }

    /// Enters the registry under an id that was never used.
    async fn enter(&mut self) -> Result<Arc<Presence>, StoreError> {
        let id = self.clock.new_id().to_string();
        in_time(ANSWER, self.store.enter_process(&id, &process_name())).await?;
        let presence = Arc::new(Presence::new(id, !self.store.is_shared()));
        self.presence = Some(Arc::clone(&presence));
        Ok(presence)
    }

    fn given_up(&mut self, presence: &Presence) {
        presence.end();
        self.presence = None;
        self.watch = Watch::default();
        let leases = self.view.borrow().as_ref().map_or(0, |view| view.seen.mine.len());
        warn!(
            leases,
            "others have given this process up, because it did not beat for {} s, and take its destinations over. What it \
             had in hand is dropped unrecorded; it begins anew",
            WATCH.as_secs()
        );
    }

    /// Returns whether somebody was given up.
    async fn give_up(&self, dead: Vec<(Process, Duration)>) -> Result<bool, StoreError> {
        let mut any = false;
        for (process, silent) in dead {
            if in_time(ANSWER, self.store.give_up(&process)).await? {
                any = true;
                if self.store.is_shared() {
                    info!(
                        process = process.name,
                        leases = process.held,
                        silent_ms = silent.as_millis(),
                        "gave up a process that beats no more; its leases are free"
                    );
                }
            }
        }
        Ok(any)
    }

    /// Once when it begins to fail, and once when it works again.
    fn say(&mut self, looked: Result<(), StoreError>) {
        match looked {
            Ok(()) if self.failing => {
                self.failing = false;
                info!("leases are renewed again");
            }
            Ok(()) => {}
            Err(failure) => {
                self.watch.reset();
                // Who is alone holds them all the same.
                if !self.failing && self.store.is_shared() {
                    self.failing = true;
                    error!(%failure, "leases could not be renewed; {} s after the last renewal nothing is sent any more, \
                        until the database answers", SURE.as_secs());
                }
            }
        }
    }
}

impl Drop for Leases {
    /// Nobody renews them any more. At an orderly end there are none by now.
    fn drop(&mut self) {
        if let Some(presence) = &self.presence {
            presence.end();
        }
    }
}

/// What the database answers, or that it did not within this time.
pub(super) async fn in_time<T>(
    limit: Duration,
    asked: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let silent = || StoreError::new(format!("the database did not answer within {limit:?}"));
    timeout(limit, asked).await.unwrap_or_else(|_| Err(silent()))
}

/// Host and process id, for people.
fn process_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "leadfold" } else { host.trim() };
    format!("{host}:{}", std::process::id())
}

/// Who beats, as this process has seen with its own clock. Pure.
#[derive(Debug, Default)]
struct Watch {
    watched: BTreeMap<String, Watched>,
    /// When the last look was asked for.
    looked: Option<Instant>,
    gone: BTreeMap<String, Gone>,
}

#[derive(Debug)]
struct Watched {
    name: String,
    beat: i64,
    /// When the answer was there that had this beat first.
    since: Instant,
}

impl Watch {
    /// Takes in a look. Gives those who have not beaten for `patience`, and for how long.
    fn look(
        &mut self,
        asked: Instant,
        answered: Instant,
        me: &str,
        seen: &Seen,
        patience: Duration,
    ) -> Vec<(Process, Duration)> {
        let late = self.looked.is_some_and(|looked| asked.saturating_duration_since(looked) > LATE);
        if late || answered.saturating_duration_since(asked) > LATE {
            self.reset();
        }
        self.looked = Some(asked);
        let ids: BTreeSet<&str> = seen.processes.iter().map(|process| process.id.as_str()).collect();
        let holders: BTreeSet<&str> = seen.free.iter().map(|lease| lease.holder.as_str()).collect();
        for (id, watched) in self.watched.extract_if(.., |id, _| !ids.contains(id.as_str())) {
            self.gone.insert(id, Gone { name: watched.name, beat: watched.since });
        }
        self.gone.retain(|id, _| holders.contains(id.as_str()));
        let mut dead = Vec::new();
        for process in seen.processes.iter().filter(|process| process.id != me) {
            let first = || Watched { name: process.name.clone(), beat: process.beat, since: answered };
            let watched = self.watched.entry(process.id.clone()).or_insert_with(first);
            if watched.beat != process.beat {
                *watched = first();
            }
            // Between that answer and this question it surely did not beat.
            let silent = asked.saturating_duration_since(watched.since);
            if silent >= patience {
                dead.push((process.clone(), silent));
            }
        }
        dead
    }

    /// Nobody has been watched.
    fn reset(&mut self) {
        self.watched.clear();
        self.looked = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::lease::LeaseRow;

    fn seen(beats: &[(&str, i64)]) -> Seen {
        let process = |(id, beat): &(&str, i64)| Process {
            id: (*id).to_owned(),
            name: format!("host:{id}"),
            pushes: true,
            beat: *beat,
            held: 0,
        };
        Seen { processes: beats.iter().map(process).collect(), ..Seen::default() }
    }

    /// Looks at these seconds, each with the beat of the other process; who is given up at the last of them.
    fn given_up(looks: &[(u64, i64)]) -> bool {
        let start = Instant::now();
        let mut watch = Watch::default();
        let mut dead = Vec::new();
        for (second, beat) in looks {
            let asked = start + Duration::from_secs(*second);
            let answered = asked + Duration::from_millis(5);
            dead = watch.look(asked, answered, "me", &seen(&[("me", 1), ("other", *beat)]), WATCH);
        }
        dead.len() == 1
    }

    #[test]
    fn who_does_not_beat_is_given_up_after_being_watched() {
        let check = |looks: &[(u64, i64)], expect: bool| assert_eq!(given_up(looks), expect, "{looks:?}");
        let steady = |until: u64| (0..=until).map(|second| (second, 7)).collect::<Vec<_>>();
        check(&[(0, 7)], false);
        check(&steady(10), false);
        check(&steady(11), true);
        // It beat once in between.
        let mut beaten = steady(15);
        beaten.iter_mut().skip(6).for_each(|(_, beat)| *beat = 8);
        check(&beaten, false);
        // Nobody looked in between: perhaps the database was away, or we stood still.
        let mut late = steady(5);
        late.extend((9..=15).map(|second| (second, 7)));
        check(&late, false);
        late.extend((16..=20).map(|second| (second, 7)));
        check(&late, true);
        // Every three seconds is just often enough.
        check(&(0..=4).map(|look| (look * 3, 7)).collect::<Vec<_>>(), true);
    }

    #[test]
    fn a_look_that_took_too_long_saw_nothing() {
        let start = Instant::now();
        let mut watch = Watch::default();
        let other = seen(&[("other", 7)]);
        for second in 0..=10 {
            let asked = start + Duration::from_secs(second);
            assert!(watch.look(asked, asked, "me", &other, WATCH).len() <= usize::from(second == 10));
        }
        let asked = start + Duration::from_secs(11);
        assert!(watch.look(asked, asked + Duration::from_secs(4), "me", &other, WATCH).is_empty());
    }

    #[test]
    fn who_is_alone_gives_everybody_else_up_at_once() {
        let now = Instant::now();
        let seen = seen(&[("me", 1), ("before", 9)]);
        let dead = Watch::default().look(now, now, "me", &seen, Duration::ZERO);
        assert_eq!(dead.iter().map(|(process, _)| process.id.as_str()).collect::<Vec<_>>(), ["before"]);
    }

    #[test]
    fn who_is_gone_is_remembered_by_name_until_its_leases_are_taken() {
        let now = Instant::now();
        let mut watch = Watch::default();
        watch.look(now, now, "me", &seen(&[("me", 1), ("other", 9)]), WATCH);
        let mut without = seen(&[("me", 2)]);
        let lease = LeaseRow { destination: "crm".to_owned(), holder: "other".to_owned(), epoch: 3 };
        without.free.push(lease);
        watch.look(now, now, "me", &without, WATCH);
        let gone = Gone { name: "host:other".to_owned(), beat: now };
        assert_eq!(watch.gone, [("other".to_owned(), gone)].into());
        watch.look(now, now, "me", &seen(&[("me", 3)]), WATCH);
        assert!(watch.gone.is_empty());
    }
}
