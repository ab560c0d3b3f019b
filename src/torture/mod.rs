//! Tries to make leadfold lose or double something, and reckons up whether it did.
//!
//! Real processes on one database, a CRM that lies, humans who post through a load balancer, and an adversary who kills,
//! freezes and cuts. What came of it is judged by what was posted and by what the CRM holds, never by what leadfold says
//! of itself: a tool that cannot say "lost" proves nothing, so the tests break things behind its back and see it say so.
//!
//! | module | what it is |
//! |---|---|
//! | [`schedule`] | pure: seed → who posts what |
//! | [`storm`] | pure: seed → what is done to the processes, the database and the CRM, and when |
//! | [`reconcile`](mod@reconcile) | pure: what was posted × what the registry holds × what the CRM holds → the harm |
//! | [`report`] | what is told at the end |
//! | `fleet`, `post`, `database` | the processes, the platforms, the database |
//! | `folder`, `logs` | the workspace of the processes, and what they log |
//!
//! A seed repeats every draw; what the operating system makes of it, it cannot repeat.

mod database;
mod fleet;
mod folder;
mod logs;
mod post;
pub mod reconcile;
pub mod report;
pub mod schedule;
pub mod storm;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use self::database::{Database, restart};
use self::fleet::{Fleet, Launch};
pub use self::logs::FOUND_AGAIN;
use self::post::{Platforms, Tally};
use self::reconcile::{Facts, Kept, reconcile};
use self::report::{Posted, Report, Spread, Suffered, rounded};
use self::schedule::Schedule;
use self::storm::{Act, LEASE, Storm, StormOptions, calm};
use crate::clock::{Clock, SystemClock};
use crate::crm::http::install_tls;
use crate::sandbox::{Running, Sandbox, SandboxOptions};
use crate::store::Store;
use crate::store::registry::Counts;

/// A torture that could not be carried out, in words that say what to do.
pub type Failure = String;

/// How often somebody who waits looks, and is told how far it is.
const LOOK: Duration = Duration::from_millis(500);
/// When nothing has changed for so long, nothing will.
const PATIENCE: Duration = Duration::from_mins(2);
/// The posts are given this much longer than they were meant to take.
const LATE: Duration = Duration::from_mins(2);
/// What a process that was frozen may still send once it is continued has arrived after this.
const STRAGGLERS: Duration = Duration::from_millis(500);
/// Deliveries that are read at once.
const PAGE: i64 = 1_000;

/// How somebody is tortured.
#[derive(Clone, Debug)]
pub struct Options {
    /// The leadfold that is tortured.
    pub program: PathBuf,
    /// An empty PostgreSQL database; `None` for a SQLite file in the folder.
    pub database: Option<String>,
    /// Posts, redeliveries included.
    pub posts: u64,
    /// Humans who post.
    pub humans: u64,
    /// Connections at once.
    pub concurrency: usize,
    /// The command that restarts the database.
    pub restart: Option<String>,
    /// What else is done, and how often.
    pub storm: StormOptions,
}

/// How far it is.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Whether the storm is over.
    pub calm: bool,
    /// Posts that are done.
    pub posted: usize,
    /// What was done to it so far.
    pub suffered: Suffered,
    /// Processes that can be reached.
    pub up: usize,
    /// Leads and deliveries that wait; `None` while the database cannot be asked.
    pub backlog: Option<i64>,
}

/// A torture under way. Dropping it kills its processes.
pub struct Torture {
    options: Options,
    folder: PathBuf,
    url: String,
    database: Option<Database>,
    crm: Running,
    fleet: Arc<Fleet>,
    platforms: Platforms,
    posting: Option<JoinHandle<()>>,
    registry: Store,
    suffered: Suffered,
    backlog: Option<i64>,
    waiting: Option<i64>,
    rest: Duration,
    at_rest: bool,
}

impl Torture {
    /// Starts CRM and processes; returns once all of them answer. When they do not, or it is told to stop before, nothing is
    /// left behind.
    pub async fn start(options: Options, stop: impl Future<Output = ()>) -> Result<Self, Failure> {
        install_tls();
        let database = match &options.database {
            Some(url) => Some(Database::empty(url).await?),
            None => None,
        };
        let blind = options.storm.blind;
        let sandbox =
            SandboxOptions { faults: calm(blind), seed: options.storm.seed, ..SandboxOptions::default() };
        let crm =
            Sandbox::start(sandbox).await.map_err(|error| format!("the CRM cannot be started: {error}"))?;
        let folder = folder::make(crm.addr(), blind)?;
        let in_folder = || format!("sqlite://{}", folder.join("leadfold.db").display());
        let url = options.database.clone().unwrap_or_else(in_folder);
        let launch =
            Launch { program: options.program.clone(), folder: folder.clone(), database: url.clone() };
        let fleet = Arc::new(Fleet::start(launch, options.storm.processes));
        let up = tokio::select! {
            up = fleet.until_all_are_up() => up,
            () = stop => Err("it was stopped before it had begun; nothing is left behind".to_owned()),
        };
        if let Err(failure) = up {
            end_processes(&fleet).await?;
            clean_up(database.as_ref(), &folder).await?;
            return Err(failure);
        }
        let registry = Store::open_to_read(&url).await.map_err(|failure| failure.to_string())?;
        let platforms = Platforms {
            schedule: Arc::new(Schedule::new(
                options.storm.seed,
                options.posts,
                options.humans,
                SystemClock.now().as_millisecond(),
            )),
            client: reqwest::Client::builder()
                .no_proxy()
                .build()
                .map_err(|error| format!("no HTTP client: {}", error.without_url()))?,
            concurrency: options.concurrency,
            spread: options.storm.lasts / 2,
            seed: options.storm.seed,
            live: {
                let fleet = Arc::clone(&fleet);
                Arc::new(move || fleet.live())
            },
            tally: Arc::new(Mutex::new(Tally::default())),
            give_up: CancellationToken::new(),
        };
        Ok(Self {
            options,
            folder,
            url,
            database,
            crm,
            fleet,
            platforms,
            posting: None,
            registry,
            suffered: Suffered::default(),
            backlog: None,
            waiting: None,
            rest: Duration::ZERO,
            at_rest: false,
        })
    }

    /// Posts everything in the first half of the time, while whatever can go wrong does. In the second half nothing new
    /// distracts from bringing it to the CRM.
    pub async fn storm(&mut self, tell: &(dyn Fn(&Progress) + Sync)) -> Result<(), Failure> {
        let begun = Instant::now();
        self.posting = Some(tokio::spawn(self.platforms.clone().post_all()));
        for (at, act) in Storm::new(&self.options.storm) {
            while !self.is_over(begun.elapsed()) && begun.elapsed() < at {
                sleep_until((begun + at).min(Instant::now() + LOOK)).await;
                self.look().await;
                tell(&self.progress(false));
            }
            if self.is_over(begun.elapsed()) {
                break;
            }
            self.act(act).await?;
        }
        Ok(())
    }

    /// A storm lasts as long as it was meant to, and a while longer when posts are left.
    fn is_over(&self, elapsed: Duration) -> bool {
        let lasts = self.options.storm.lasts;
        elapsed >= if self.all_is_posted() { lasts } else { lasts + LATE }
    }

    fn all_is_posted(&self) -> bool {
        self.posting.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Lets everybody work undisturbed until nothing is left to do, or nothing changes any more.
    pub async fn come_to_rest(&mut self, tell: &(dyn Fn(&Progress) + Sync)) -> Result<(), Failure> {
        let begun = Instant::now();
        self.crm.set_faults(calm(self.options.storm.blind));
        self.fleet.thaw_all();
        if let Some(database) = &self.database {
            database.until_it_is_up().await?;
        }
        self.fleet.until_all_are_up().await?;
        let mut before: Option<(usize, Counts)> = None;
        let mut changed = Instant::now();
        loop {
            let counts = self.look().await;
            self.waiting = self.waiting.or(self.backlog);
            tell(&self.progress(true));
            if self.all_is_posted() && self.registry.is_quiet().await.unwrap_or(false) {
                sleep(STRAGGLERS).await;
                // What arrives that late is leadfold's to deal with as well.
                if self.registry.is_quiet().await.unwrap_or(false) {
                    self.at_rest = true;
                    break;
                }
            }
            let now = counts.map(|counts| (self.platforms.tally().done, counts));
            if now.is_some() && now != before {
                (before, changed) = (now, Instant::now());
            }
            if changed.elapsed() > PATIENCE {
                break;
            }
            sleep(LOOK).await;
        }
        self.platforms.give_up.cancel();
        self.rest = begun.elapsed();
        Ok(())
    }

    /// Reckons up what came of it.
    pub async fn reconcile(&self) -> Result<Report, Failure> {
        let schedule = &self.platforms.schedule;
        let tally = self.platforms.tally().clone();
        let facts = Facts {
            events: schedule.events.clone(),
            acknowledged: tally.acknowledged.clone(),
            kept: self.kept().await?,
            holdings: self.crm.holdings(),
            blind: self.options.storm.blind,
        };
        let humans: BTreeSet<u64> = schedule.events.iter().map(|event| event.human).collect();
        let (up, down): (Vec<_>, Vec<_>) = self.fleet.mishaps().into_iter().partition(|mishap| mishap.was_up);
        let logs = logs::read(self.fleet.logs());
        Ok(Report {
            seed: self.options.storm.seed,
            processes: self.options.storm.processes,
            database: if self.database.is_some() { "postgres" } else { "sqlite" },
            posted: Posted::new(schedule, humans.len(), &tally),
            suffered: self.suffered(),
            waiting: self.waiting.unwrap_or_default(),
            rest_seconds: rounded(self.rest.as_secs_f64()),
            at_rest: self.at_rest,
            verdict: reconcile(&facts),
            found_again: logs::found_again(&logs),
            take_over_ms: Spread::of(logs::take_overs(&logs)),
            ended_by_themselves: up
                .iter()
                .map(|mishap| format!("process {} ended by itself: {}", mishap.process, mishap.how))
                .collect(),
            failed_starts: down.len(),
        })
    }

    /// Ends everything. Folder and rows stay where they are to be looked at; otherwise nothing is left behind.
    pub async fn end(mut self, keep: bool) -> Result<(), Failure> {
        self.platforms.give_up.cancel();
        self.registry.close().await;
        if let Some(posting) = self.posting.take() {
            // It was told to give up, and has nothing to say.
            posting.await.ok();
        }
        end_processes(&self.fleet).await?;
        if keep { Ok(()) } else { clean_up(self.database.as_ref(), &self.folder).await }
    }

    /// The lying CRM.
    pub fn crm(&self) -> &Running {
        &self.crm
    }

    /// The database of the processes.
    pub fn database(&self) -> &str {
        &self.url
    }

    /// Where workspace and logs are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The registry, for looking.
    pub fn registry(&self) -> &Store {
        &self.registry
    }

    async fn act(&mut self, act: Act) -> Result<(), Failure> {
        match act {
            Act::Misbehave(faults) => self.crm.set_faults(faults),
            Act::Kill { process, down } => self.suffered.kills += usize::from(self.fleet.kill(process, down)),
            Act::Freeze { process, lasts } => {
                // Only whoever pushes can do harm when it wakes up and another one has done its work.
                let holder = if lasts > LEASE { self.holder().await } else { None };
                if let Some(frozen) = self.fleet.freeze(holder.unwrap_or(process)) {
                    self.suffered.freezes += 1;
                    let fleet = Arc::clone(&self.fleet);
                    tokio::spawn(async move {
                        sleep(lasts).await;
                        fleet.thaw(&frozen);
                    });
                }
            }
            Act::Cut => {
                // A database that is away has no connections to break.
                if let Some(database) = &self.database
                    && database.cut().await.is_ok()
                {
                    self.suffered.cuts += 1;
                }
            }
            Act::Restart => {
                if let Some(command) = &self.options.restart {
                    restart(command, &self.folder.join("restart.log")).await?;
                    self.suffered.restarts += 1;
                }
            }
        }
        Ok(())
    }

    /// Who pushes, as far as the registry can be asked.
    async fn holder(&self) -> Option<usize> {
        let leases = timeout(LOOK, self.registry.leases()).await.ok()?.ok()?;
        let (_, process) = leases.first()?.holder.as_ref()?.rsplit_once(':')?;
        self.fleet.place_of(process.parse().ok()?)
    }

    /// Everything in the registry.
    async fn kept(&self) -> Result<Vec<Kept>, Failure> {
        let mut kept = Vec::new();
        let mut after = None;
        loop {
            let page = self.registry.fates(after, PAGE).await.map_err(|failure| failure.to_string())?;
            let Some(last) = page.last() else { return Ok(kept) };
            after = Some(last.delivery);
            kept.extend(page.into_iter().map(|fate| Kept {
                at: event_time(&fate.body),
                state: fate.delivery_state,
                lead: fate.lead,
            }));
        }
    }

    /// Asks how much waits. A database that is away answers nothing, which is part of the torture.
    async fn look(&mut self) -> Option<Counts> {
        let counts = timeout(LOOK, self.registry.counts()).await.ok().and_then(Result::ok);
        self.backlog = counts.map(|counts| counts.received + counts.open);
        counts
    }

    fn progress(&self, calm: bool) -> Progress {
        Progress {
            calm,
            posted: self.platforms.tally().done,
            suffered: self.suffered,
            up: self.fleet.live().len(),
            backlog: self.backlog,
        }
    }

    /// With what is counted elsewhere.
    fn suffered(&self) -> Suffered {
        let stats = self.crm.stats();
        Suffered {
            long_freezes: self.fleet.long_freezes(),
            crm_calls: stats.calls_total,
            rate_limited: stats.rate_limited,
            ..self.suffered
        }
    }
}

impl Drop for Torture {
    fn drop(&mut self) {
        self.platforms.give_up.cancel();
        self.fleet.end();
    }
}

async fn end_processes(fleet: &Arc<Fleet>) -> Result<(), Failure> {
    let fleet = Arc::clone(fleet);
    let ended = tokio::task::spawn_blocking(move || fleet.end()).await;
    ended.map_err(|failure| format!("the processes could not be ended: {failure}"))
}

/// Leaves nothing behind.
async fn clean_up(database: Option<&Database>, folder: &Path) -> Result<(), Failure> {
    if let Some(database) = database {
        let cleared = database.clear().await;
        cleared.map_err(|error| format!("the tables of the database could not be removed: {error}"))?;
    }
    folder::remove(folder)
}

/// The time of the event in a body.
fn event_time(body: &[u8]) -> Option<i64> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    body.pointer("/0/date")?.as_i64()
}
