//! Removes what is old, as `retention:` in `workspace.yaml` says.
//!
//! ```yaml
//! retention:
//!   bodies: 90d     # then body, query and headers of a request go
//!   rows: 400d      # then the request goes with everything that followed from it
//! ```
//!
//! | | goes after `bodies` | goes after `rows` |
//! |---|---|---|
//! | a request whose leads are all synced or filtered, or whose token was wrong | body, query, headers, and its event keys once they count no more | the row, its events and their keys, leads, syncs and steps |
//! | a request that could not be read | – | the row |
//! | a request that waits, or with a lead that is open, held or needs attention | – | – |
//! | a version of the workspace | – | when no lead that is left can be pinned to it |
//! | an entry of the audit log | – | the row |
//! | a chat that is nobody's, in which nothing has happened since | – | the row |
//! | people, identifiers, links to records, merges, owner pools; chats, fields and click ids of people | – | – |
//!
//! Links to a site and tokens in links into bots go a month after their end, whatever `retention` says: so long somebody who
//! comes too late is told that, and not that there is no such link. Failures to open one go after a day.
//! Sessions of the console go when they have ended.
//!
//! So nothing that a person still has to see to goes by age: it goes at the first round after they saw to it. A lead that
//! was kept for a later one to take along (filtered for want of a phone) is at its end and goes with the others. What a
//! person is known by stays, and with it the links to the records that were made for them: a human who comes back after
//! years still has one contact. `leadfold explain` says so where a body is gone, `replay --replan` and `rehearse` leave
//! such a lead out and say why, and `replay --resume` needs no body.
//!
//! Time counts from when a request came. One process at a time removes (see [`crate::store::retention`]), in transactions
//! of a few milliseconds with pauses of several times that, so that neither acknowledgements nor pushes feel it. In a
//! process that only receives because it cannot take the active version, nothing is removed, nor while `workspace.yaml`
//! has an error: then nobody knows what it says.
//!
//! The same rounds make leads of earlier releases findable by name: their words are stored a page at a time, once.
//!
//! `SQLite` uses freed pages again before its file grows, and does not make the file smaller; `VACUUM INTO` writes a small
//! copy. `PostgreSQL`'s autovacuum does the same for its tables.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use metrics::counter;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info};

use crate::clock::{Clock, earlier, later};
use crate::map::Workspace;
use crate::store::retention::{Batch, Old, Removed, Round, What};
use crate::store::{Store, StoreError};
use crate::telemetry::metric;

/// How often a process looks whether it is time for a round. Costs one read.
const LOOK: Duration = Duration::from_mins(1);
/// Rounds begin so far apart, over all processes and restarts.
const BETWEEN_ROUNDS: SignedDuration = SignedDuration::from_hours(1);
/// A round that does not move on for this long is over: its process is dead.
const PATIENCE: SignedDuration = SignedDuration::from_mins(5);
/// The shortest pause after a transaction, and how many times longer than the transaction it is.
const PAUSE: Duration = Duration::from_millis(20);
const PAUSES: u32 = 4;

/// How long after their end links and tokens stay.
const LINKS: Duration = Duration::from_hours(24 * 30);
/// How long failures to open one stay.
const FAILURES: Duration = Duration::from_hours(24);

/// Removes what is old.
#[derive(Clone)]
pub struct Retention {
    /// The registry.
    pub store: Store,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The active version, which says how long things are kept.
    pub active: watch::Receiver<Option<Arc<Workspace>>>,
}

impl Retention {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            if let Err(failure) = self.round(&stop).await {
                error!(%failure, "what is old could not be removed; it is kept, and tried again");
            }
        }
    }

    /// Removes everything that is old by now, unless it is not time yet or another process does; says what went, also
    /// when it was stopped.
    pub async fn round(&self, stop: &CancellationToken) -> Result<Removed, StoreError> {
        let workspace = self.active.borrow().clone();
        let Some(workspace) = workspace.filter(|workspace| workspace.broken.is_none()) else {
            return Ok(Removed::default());
        };
        let now = self.clock.now();
        let Some(mut round) = self.store.begin_round(now, later(now, PATIENCE)).await? else {
            return Ok(Removed::default());
        };
        let began = Instant::now();
        let mut removed = Removed::default();
        let ended = self.remove(&mut round, &workspace, &mut removed, stop).await;
        let took = began.elapsed();
        // What was counted went, also when the round broke off.
        for (what, count) in [
            ("bodies", removed.bodies),
            ("deliveries", removed.deliveries),
            ("leads", removed.leads),
            ("event keys", removed.keys),
            ("versions", removed.versions),
            ("chats", removed.chats),
            ("links", removed.links),
            ("actions", removed.actions),
            ("sessions", removed.sessions),
        ] {
            counter!(metric::REMOVED, "what" => what).increment(count);
        }
        let kept = match ended {
            Err(failure) if failure.is_final() => {
                debug!(%failure, "a round of retention ended");
                return Ok(removed);
            }
            // The round is over by itself, and then a look begins another.
            Err(failure) => return Err(failure),
            Ok(kept) => kept,
        };
        let next = if stop.is_cancelled() { self.clock.now() } else { later(now, BETWEEN_ROUNDS) };
        self.store.end_round(round, next).await?;
        let Removed { bodies, deliveries, leads, keys, versions, chats, links, actions, sessions } = removed;
        if removed == Removed::default() {
            debug!(kept, "nothing is old enough to be removed");
        } else {
            info!(
                bodies,
                deliveries,
                leads,
                keys,
                versions,
                chats,
                links,
                actions,
                sessions,
                kept,
                ?took,
                "removed what was old; `kept` requests stay \
                although they are as old, because something of them is not at its end"
            );
        }
        Ok(removed)
    }

    /// Returns how many requests are older than `rows` and stay.
    async fn remove(
        &self,
        round: &mut Round,
        workspace: &Workspace,
        removed: &mut Removed,
        stop: &CancellationToken,
    ) -> Result<u64, StoreError> {
        let now = self.clock.now();
        let keys_until = self.store.keys_until(now).await?;
        let retention = workspace.retention;
        let rows_before = earlier(now, retention.rows);
        let mut kept = 0;
        for (what, old) in [(What::Rows, rows_before), (What::Bodies, earlier(now, retention.bodies))] {
            let mut place = None;
            loop {
                if stop.is_cancelled() {
                    return Ok(kept);
                }
                let Old { ended, kept: stay, next } = self.store.old(what, old, place).await?;
                let began = Instant::now();
                let mut goes_on = true;
                if !ended.is_empty() {
                    let asked = u64::try_from(ended.len()).unwrap_or(u64::MAX);
                    let batch = Batch { what, deliveries: ended, keys_until };
                    let now = self.clock.now();
                    let went = self.store.remove_old(round, batch, now, later(now, PATIENCE)).await?;
                    removed.add(went);
                    // Some requests hold so much that the rest of the page is left for another transaction.
                    goes_on = what == What::Bodies || went.deliveries == asked;
                }
                if goes_on {
                    kept += if what == What::Rows { stay } else { 0 };
                    match next {
                        None => break,
                        Some(next) => place = Some(next),
                    }
                }
                tokio::time::sleep(PAUSE.max(began.elapsed() * PAUSES)).await;
            }
        }
        removed.versions += self.store.remove_versions(rows_before).await?;
        loop {
            let began = Instant::now();
            let gone = self.store.remove_unowned_chats(rows_before).await?;
            removed.chats += gone;
            if gone == 0 || stop.is_cancelled() {
                break;
            }
            tokio::time::sleep(PAUSE.max(began.elapsed() * PAUSES)).await;
        }
        let (ended, failed) = (earlier(now, LINKS), earlier(now, FAILURES));
        while !stop.is_cancelled() {
            let went = self.store.remove_links(ended, failed).await?;
            removed.links += went;
            if went == 0 {
                break;
            }
            tokio::time::sleep(PAUSE * PAUSES).await;
        }
        while !stop.is_cancelled() {
            let went = self.store.remove_actions(rows_before).await?;
            removed.actions += went;
            if went == 0 {
                break;
            }
            tokio::time::sleep(PAUSE * PAUSES).await;
        }
        removed.sessions += self.store.remove_sessions(now).await?;
        while !stop.is_cancelled() {
            let began = Instant::now();
            if !self.store.catch_up_on_names(round, later(self.clock.now(), PATIENCE)).await? {
                break;
            }
            tokio::time::sleep(PAUSE.max(began.elapsed() * PAUSES)).await;
        }
        Ok(kept)
    }
}
