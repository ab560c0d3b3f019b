//! Which version of the workspace this process runs, from its start to its end.
//!
//! The active version is a row of the database, and every process looks at that row and runs what it says. The row is
//! changed by `leadfold apply`, and by a process that follows its files: there a valid edit is made active by itself.
//!
//! | | follows its files (default on SQLite) | follows the database (default on PostgreSQL) |
//! |---|---|---|
//! | at the start | valid files become active; broken ones do not, and the last good version runs | the active version runs; where there is none, the files become active |
//! | an edit of the files | becomes active by itself when it is valid, once it was the same at two looks | changes nothing until `leadfold apply` |
//! | a new row | is taken | is taken |
//!
//! A process that cannot take the active version (a secret that is missing here, a key that this leadfold does not know)
//! stands by: it receives, and neither prepares nor pushes, so no two processes work by different rules for longer than
//! the time between two looks. When it is the only one, nothing is lost either: what arrives is kept.
//!
//! The folder is read again and again instead of being watched: notifications do not reach network file systems and the
//! mounts of containers, and whoever gets one still has to wait until the editor has written all of its files.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use metrics::{counter, gauge};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::examine::{Examiner, Refused, Runnable};
use super::sources::{readable, sources, to_remember};
use super::workers::{Wanted, Workers};
use super::{Follow, StartError};
use crate::clock::Clock;
use crate::map::{Files, Workspace};
use crate::receive::Sources;
use crate::store::{Store, StoreError};
use crate::telemetry::metric;
use crate::web::Readiness;
use crate::workspace::{Versions, read_files, short};

/// How often files and row are looked at. An edit counts when two looks saw the same, because editors write in steps.
const LOOK: Duration = Duration::from_millis(500);

/// Keeps a process on the active version.
pub(super) struct Keeper {
    store: Store,
    examiner: Examiner,
    clock: Arc<dyn Clock>,
    folder: PathBuf,
    follow: Follow,
    workers: Workers,
    wanted: BTreeMap<String, Wanted>,
    sources: watch::Sender<Arc<Sources>>,
    active: watch::Sender<Option<Arc<Workspace>>>,
    readiness: watch::Sender<Readiness>,
    seen: Seen,
    /// Why this process only receives.
    standing_by: Option<String>,
}

/// What was looked at, so that each edit is judged, and complained of, once.
#[derive(Default)]
struct Seen {
    /// The last look at the folder.
    look: Option<Result<Files, String>>,
    /// The last texts that two looks agreed on.
    files: Option<Result<Files, String>>,
    /// Where those have an error.
    broken_at: Option<String>,
    /// The last row.
    row: Option<String>,
}

/// The channels that the rest of the process follows.
pub(super) struct Channels {
    pub(super) sources: watch::Receiver<Arc<Sources>>,
    pub(super) active: watch::Receiver<Option<Arc<Workspace>>>,
}

impl Keeper {
    /// Runs nothing yet.
    pub(super) fn new(
        store: Store,
        versions: Arc<Versions>,
        options: &super::Options,
        readiness: watch::Sender<Readiness>,
    ) -> (Self, Channels) {
        let (sources, follow_sources) = watch::channel(Arc::default());
        let (active, follow_active) = watch::channel(None);
        let workers = Workers::new(
            store.clone(),
            Arc::clone(&options.clock),
            Arc::clone(&versions),
            follow_active.clone(),
        );
        let keeper = Self {
            store,
            examiner: Examiner { versions, loopback: options.listen.ip().is_loopback() },
            clock: Arc::clone(&options.clock),
            folder: options.folder.clone(),
            follow: options.follow,
            workers,
            wanted: BTreeMap::new(),
            sources,
            active,
            readiness,
            seen: Seen::default(),
            standing_by: None,
        };
        (keeper, Channels { sources: follow_sources, active: follow_active })
    }

    /// The workers of this process.
    pub(super) fn workers(&self) -> &Workers {
        &self.workers
    }

    /// Finds the version to begin with. Activates, but prepares and pushes nothing yet.
    pub(super) async fn choose(&mut self, given: &Files) -> Result<Beginning, StartError> {
        self.seen.files = Some(Ok(given.clone()));
        if self.follow == Follow::Database
            && let Some((row, files)) = self.store.active_version().await?
        {
            return self.choose_row(&row, &files).await;
        }
        let refused = match self.examiner.examine(given, &self.wanted).await {
            Ok(runnable) if self.follow == Follow::Files => {
                return Ok(Beginning::Edit(runnable, given.clone()));
            }
            Ok(runnable) => {
                let now = self.clock.now();
                if self.store.activate_instead_of(None, &runnable.workspace.hash, given, now).await? {
                    return Ok(Beginning::Active(runnable));
                }
                // Another process had the same idea, and was faster.
                let row = self.store.active_version().await?;
                let (row, files) =
                    row.ok_or_else(|| StoreError::new("the active version vanished while it was read"))?;
                return self.choose_row(&row, &files).await;
            }
            Err(refused) if refused.final_at_start => return Err(refused.into()),
            Err(refused) => refused,
        };
        self.seen.broken_at = Some(refused.place.clone());
        refused.say();
        let compiled = self.examiner.versions.compile(given).await.map_err(Refused::from)?.workspace;
        if self.follow == Follow::Database {
            let why = format!(
                "the files in {} have errors ({}) and no version is active yet; mend them and run `leadfold apply`",
                self.folder.display(),
                refused.place
            );
            return Ok(Beginning::StandBy(why, Box::new(compiled)));
        }
        if let Some((_, files)) = self.store.active_version().await? {
            match self.examiner.examine(&files, &self.wanted).await {
                Ok(last_good) => {
                    error!(folder = %self.folder.display(), version = short(&last_good.workspace.hash),
                        "the workspace has errors; running on its last good version. `leadfold check` shows them all");
                    return Ok(Beginning::Active(last_good));
                }
                Err(refused) if refused.final_at_start => return Err(refused.into()),
                Err(_) => {}
            }
        }
        error!(folder = %self.folder.display(),
            "the workspace has errors and no good version before it; what is broken keeps its deliveries and \
             waits. `leadfold check` shows them all");
        Ok(Beginning::Edit(self.examiner.prepare(compiled, &self.wanted)?, given.clone()))
    }

    async fn choose_row(&mut self, row: &str, files: &Files) -> Result<Beginning, StartError> {
        self.seen.row = Some(row.to_owned());
        match self.examiner.examine(files, &self.wanted).await {
            Ok(runnable) => Ok(Beginning::Active(runnable)),
            Err(refused) if refused.final_at_start => Err(refused.into()),
            Err(refused) => {
                refused.say();
                let compiled = self.examiner.versions.compile(files).await.map_err(Refused::from)?.workspace;
                Ok(Beginning::StandBy(cannot_take(row, &refused), Box::new(compiled)))
            }
        }
    }

    /// Begins.
    pub(super) async fn begin(&mut self, beginning: Beginning) -> Result<(), StoreError> {
        match beginning {
            Beginning::Edit(runnable, files) => {
                self.store.activate(&runnable.workspace.hash, &files, self.clock.now()).await?;
                self.take(runnable).await?;
            }
            Beginning::Active(runnable) => self.take(runnable).await?,
            Beginning::StandBy(why, workspace) => {
                let remembered = self.store.remembered_sources().await?;
                self.sources.send_replace(Arc::new(sources(&workspace, &remembered)));
                self.stand_by(why).await?;
            }
        }
        self.publish();
        Ok(())
    }

    /// Looks until `stop`; `hurry` asks for a look at once. Ends when nothing is under way any more.
    pub(super) async fn run(mut self, stop: CancellationToken, hurry: Arc<Notify>) {
        let mut failing = false;
        while !stop.is_cancelled() {
            let mut hurried = false;
            tokio::select! {
                () = stop.cancelled() => break,
                () = hurry.notified() => hurried = true,
                () = tokio::time::sleep(LOOK) => {}
            }
            // A panic would end the workers with it, and this process would go on receiving alone.
            let look = AssertUnwindSafe(self.look(hurried)).catch_unwind();
            let looked = tokio::select! {
                // A database that is away keeps nobody from stopping.
                () = stop.cancelled() => break,
                looked = look => looked,
            };
            let looked =
                looked.unwrap_or_else(|_| Err(StoreError::new("leadfold failed; this is a bug, report it")));
            self.publish();
            match looked {
                Ok(()) => failing = false,
                Err(failure) if !failing => {
                    failing = true;
                    error!(%failure, "the version of the workspace could not be looked after; it stays, and is looked \
                        at again all the time");
                }
                Err(_) => {}
            }
        }
        self.workers.end().await;
    }

    async fn look(&mut self, hurried: bool) -> Result<(), StoreError> {
        if hurried {
            info!("asked to look at the workspace again");
            self.seen = Seen::default();
        }
        if self.follow == Follow::Files {
            self.look_at_files(hurried).await?;
        }
        if self.look_at_row().await? && self.follow == Follow::Database {
            // They may be just what was applied, and are only looked at to say so.
            self.seen.files = Some(self.read_folder().await?);
        }
        self.tend().await
    }

    async fn read_folder(&self) -> Result<Result<Files, String>, StoreError> {
        let folder = self.folder.clone();
        let read = tokio::task::spawn_blocking(move || read_files(&folder));
        read.await.map_err(|failure| StoreError::new(format!("the files could not be read: {failure}")))
    }

    /// Makes a valid edit the active version.
    async fn look_at_files(&mut self, hurried: bool) -> Result<(), StoreError> {
        let look = self.read_folder().await?;
        if self.seen.files.as_ref() == Some(&look) {
            self.seen.look = Some(look);
            return Ok(());
        }
        if self.seen.look.as_ref() != Some(&look) && !hurried {
            self.seen.look = Some(look);
            return Ok(());
        }
        let judged = match &look {
            Ok(files) if self.runs(&files.hash()) => None,
            Ok(files) => match self.examiner.examine(files, &self.wanted).await {
                Ok(runnable) => {
                    self.store.activate(&runnable.workspace.hash, files, self.clock.now()).await?;
                    None
                }
                Err(refused) => Some(refused),
            },
            Err(why) => Some(Refused {
                place: "they cannot be read".to_owned(),
                problems: vec![why.clone()],
                final_at_start: false,
            }),
        };
        if let Some(refused) = &judged {
            counter!(metric::RELOADS, "result" => "refused").increment(1);
            refused.say();
            error!(folder = %self.folder.display(), version = self.running().as_deref().map(short),
                "the edit is not taken; the last good version runs on. `leadfold check` shows the errors");
        }
        self.seen.broken_at = judged.map(|refused| refused.place);
        self.seen.files = Some(look.clone());
        self.seen.look = Some(look);
        Ok(())
    }

    /// Takes the active version when it is another. Returns whether there was anything to look at.
    async fn look_at_row(&mut self) -> Result<bool, StoreError> {
        let row = self.store.active_hash().await?;
        let Some(row) = row.filter(|row| self.seen.row.as_ref() != Some(row)) else { return Ok(false) };
        if !self.runs(&row) {
            let files = self.store.version(&row).await?;
            let files =
                files.ok_or_else(|| StoreError::new(format!("version {row} is not in the database")))?;
            match self.examiner.examine(&files, &self.wanted).await {
                Ok(runnable) => {
                    counter!(metric::RELOADS, "result" => "taken").increment(1);
                    self.take(runnable).await?;
                }
                Err(refused) => {
                    counter!(metric::RELOADS, "result" => "refused").increment(1);
                    refused.say();
                    self.stand_by(cannot_take(&row, &refused)).await?;
                }
            }
        }
        self.seen.row = Some(row);
        Ok(true)
    }

    /// What is done at every look: nothing that waits may wait for ever.
    async fn tend(&mut self) -> Result<(), StoreError> {
        let active = self.active.borrow().clone();
        if let Some(workspace) = active {
            // Also some that a request or a batch of the version before has only now stored as waiting.
            let requeued = self.store.requeue_waiting(readable(&workspace)).await?;
            if requeued > 0 {
                info!(deliveries = requeued, "deliveries that waited for their mapping go on");
            }
        }
        self.workers.change_to(&self.wanted).await;
        Ok(())
    }

    /// Runs another version from now on. Leads that are under way keep the one that made them.
    async fn take(&mut self, runnable: Runnable) -> Result<(), StoreError> {
        let Runnable { workspace, wanted } = runnable;
        self.examiner.versions.remember(&workspace);
        self.store.remember_sources(to_remember(&workspace), self.clock.now()).await?;
        let remembered = self.store.remembered_sources().await?;
        self.sources.send_replace(Arc::new(sources(&workspace, &remembered)));
        let before = self.active.send_replace(Some(Arc::clone(&workspace)));
        for name in before.iter().flat_map(|before| before.sources.keys()) {
            if !workspace.sources.contains_key(name) {
                warn!(
                    source = name,
                    "the workspace no longer has this source: what is sent to it is kept and waits"
                );
            }
        }
        self.wanted = wanted;
        self.standing_by = None;
        info!(version = short(&workspace.hash), "this version of the workspace runs");
        self.tend().await?;
        warn_of_strays(&self.store, &workspace).await
    }

    async fn stand_by(&mut self, why: String) -> Result<(), StoreError> {
        error!("{why}. This process receives, and neither prepares nor pushes");
        self.active.send_replace(None);
        self.wanted.clear();
        self.standing_by = Some(why);
        self.tend().await
    }

    fn running(&self) -> Option<String> {
        self.active.borrow().as_ref().map(|workspace| workspace.hash.clone())
    }

    fn runs(&self, hash: &str) -> bool {
        self.active.borrow().as_ref().is_some_and(|workspace| workspace.hash == hash)
    }

    /// What a person should see to while the process works.
    fn notice(&self) -> Option<String> {
        if let Some(why) = &self.standing_by {
            return Some(format!("standing by: {why}"));
        }
        let running = self.running()?;
        let (folder, version) = (self.folder.display(), short(&running));
        if let Some(place) = &self.seen.broken_at {
            return Some(format!("the files in {folder} have errors ({place}); version {version} runs on"));
        }
        let files = self.seen.files.as_ref()?.as_ref().ok()?;
        (files.hash() != running).then(|| match self.follow {
            Follow::Files => format!(
                "version {version} was applied and runs; the files in {folder} are others, and count again with their \
                 next edit or the next start"
            ),
            Follow::Database => format!(
                "the files in {folder} are not the active version {version}, which runs; `leadfold apply` makes them \
                 active"
            ),
        })
    }

    fn publish(&self) {
        let notice = self.notice();
        gauge!(metric::STANDING_BY).set(if self.standing_by.is_some() { 1.0 } else { 0.0 });
        gauge!(metric::WORKSPACE_NOTICE).set(if notice.is_some() { 1.0 } else { 0.0 });
        self.readiness.send_if_modified(|readiness| {
            // A process that stops is not made ready again.
            let news = readiness.as_ref().is_ok_and(|before| *before != notice);
            if news {
                // Errors and standing by have been said, with all there is to say.
                let said = self.standing_by.is_some() || self.seen.broken_at.is_some();
                if let Some(notice) = notice.as_ref().filter(|_| !said) {
                    warn!("{notice}");
                }
                *readiness = Ok(notice);
            }
            news
        });
    }
}

/// How a process begins.
pub(super) enum Beginning {
    /// With files that become the active version.
    Edit(Runnable, Files),
    /// With the active version.
    Active(Runnable),
    /// With receiving alone, for this reason; tokens and presets are read from there.
    StandBy(String, Box<Workspace>),
}

fn cannot_take(row: &str, refused: &Refused) -> String {
    format!(
        "the active version {} cannot be used here ({}); set what this process lacks and start it anew, or apply a \
         version that it can use",
        short(row),
        refused.place
    )
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
