//! What is wrong now, each with a sentence.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::Alerts;
use crate::clock::earlier;
use crate::id::DeliveryId;
use crate::map::Workspace;
use crate::rules::{Destination, Mode};
use crate::store::StoreError;
use crate::store::alerts::Trouble;
use crate::store::retention::first_id_of;

/// How often somebody looks for what takes minutes to come.
const SELDOM: Duration = Duration::from_secs(10);
/// Deliveries of before the newest that was noted are looked at again: they may have been stored later.
const BESIDE: SignedDuration = SignedDuration::from_secs(60);
/// How far back somebody looks who knows of no delivery at all.
const FAR: SignedDuration = SignedDuration::from_hours(1);

/// What is looked for seldom.
#[derive(Default)]
pub(super) struct Slowly {
    at: Option<Instant>,
    seen: BTreeMap<String, String>,
    /// When something came last, by source.
    heard: BTreeMap<String, Timestamp>,
    /// Up to where deliveries were looked at.
    up_to: Option<DeliveryId>,
}

impl Alerts {
    /// Whether this process would see it if it were still there.
    pub(super) fn would_see(&self, workspace: &Workspace, cause: &str) -> bool {
        let Some(name) = cause.strip_prefix("paused:") else { return true };
        let is_here = self.workers.borrow().iter().any(|worker| worker.destination().name == name);
        is_here || !workspace.destinations.contains_key(name)
    }

    /// What is wrong now. Of what stands already the sentence is known.
    pub(super) async fn seen(
        &self,
        workspace: &Workspace,
        standing: &[Trouble],
        slowly: &mut Slowly,
    ) -> Result<BTreeMap<String, String>, StoreError> {
        let stands = |name: &str| standing.iter().any(|trouble| trouble.cause == name);
        let mut seen = BTreeMap::new();
        for cause in self.store.causes().await? {
            let name = cause.name();
            if stands(&name) {
                seen.insert(name, String::new());
            } else if let Some(reason) = self.store.newest_reason(&cause).await? {
                seen.insert(name, reason.text);
            }
        }
        let workers = self.workers.borrow().clone();
        let mut paused = BTreeSet::new();
        for worker in &workers {
            let Destination { name, .. } = worker.destination();
            if let Some(why) = worker.paused() {
                paused.insert(format!("paused:{name}"));
                let text = format!(
                    "Destination '{name}' is paused: {why}. Its queue is kept and goes on by itself."
                );
                seen.insert(format!("paused:{name}"), text);
            }
        }
        if slowly.at.is_none_or(|at| at.elapsed() >= SELDOM) {
            let mut found = self.requests_and_held(workspace).await?;
            found.extend(self.late(workspace).await?);
            found.extend(self.silent(workspace, slowly).await?);
            slowly.seen = found;
            slowly.at = Some(Instant::now());
        }
        for (cause, text) in &slowly.seen {
            // Leads for a destination that is paused wait for that, and somebody was told.
            let pause = cause.strip_prefix("late:").map(|name| format!("paused:{name}"));
            if pause.is_none_or(|pause| !paused.contains(&pause) && !stands(&pause)) {
                seen.insert(cause.clone(), text.clone());
            }
        }
        Ok(seen)
    }

    async fn requests_and_held(&self, workspace: &Workspace) -> Result<BTreeMap<String, String>, StoreError> {
        let mut seen = BTreeMap::new();
        for requests in self.store.unreadable_by_source().await? {
            let text =
                format!("Requests of source '{}' could not be read: {}", requests.source, requests.why);
            seen.insert(format!("unreadable:{}", requests.source), text);
        }
        for requests in self.store.waiting_by_source().await? {
            let text =
                format!("Requests of source '{}' wait for their mapping: {}", requests.source, requests.why);
            seen.insert(format!("waiting:{}", requests.source), text);
        }
        for held in self.store.held_by_destination().await? {
            let name = &held.destination;
            if workspace.destinations.get(name).is_none_or(|destination| destination.mode != Mode::Live) {
                continue;
            }
            let more = if held.leads.more { "more than " } else { "" };
            let text = format!(
                "Destination '{name}' is live, and {more}{} leads that were held while it was only observed wait for an \
                 answer: `leadfold live {name} --push` or `--skip`. New leads go on.",
                held.leads.count
            );
            seen.insert(format!("held:{name}"), text);
        }
        Ok(seen)
    }

    async fn late(&self, workspace: &Workspace) -> Result<BTreeMap<String, String>, StoreError> {
        let mut seen = BTreeMap::new();
        let now = self.clock.now();
        let allowed = workspace.alerts.late_after;
        let due = earlier(now, allowed);
        let by_hand = self.store.pauses().await?;
        let live = workspace.destinations.values().filter(|destination| destination.mode == Mode::Live);
        // Whoever paused a destination knows that its leads wait.
        for Destination { name, .. } in live.filter(|destination| !by_hand.contains_key(&destination.name)) {
            if let Some(since) = self.store.late_at(name, due).await? {
                let text = format!(
                    "Leads wait for destination '{name}' longer than {}: the oldest came on {since:.0}.",
                    spoken(allowed)
                );
                seen.insert(format!("late:{name}"), text);
            }
        }
        if let Some(since) = self.store.oldest_unprepared().await?.filter(|since| *since < due) {
            let text = format!(
                "Requests wait longer than {} to become leads: the oldest came on {since:.0}. Look at the log of the server.",
                spoken(allowed)
            );
            seen.insert("late:prepare".to_owned(), text);
        }
        Ok(seen)
    }

    /// Sources that may not be silent for as long as they are. One that never sent anything may.
    async fn silent(
        &self,
        workspace: &Workspace,
        slowly: &mut Slowly,
    ) -> Result<BTreeMap<String, String>, StoreError> {
        let mut seen = BTreeMap::new();
        let rules = &workspace.alerts;
        if rules.silent_after.is_none() && rules.silent.is_empty() {
            return Ok(seen);
        }
        let now = self.clock.now();
        let after = if let Some(after) = slowly.up_to {
            after
        } else {
            slowly.heard = self.store.heard().await?.into_iter().collect();
            let newest = slowly.heard.values().max().map(|newest| newest.saturating_sub(BESIDE));
            let from = newest.unwrap_or_else(|| now.saturating_sub(FAR));
            first_id_of(from.unwrap_or(Timestamp::MIN))
        };
        let (heard, last) = self.store.heard_since(after).await?;
        for (source, at) in heard {
            self.store.note_heard(&source, at).await?;
            slowly.heard.entry(source).and_modify(|known| *known = at.max(*known)).or_insert(at);
        }
        slowly.up_to = Some(last);
        for name in workspace.sources.keys() {
            let (Some(allowed), Some(known)) = (rules.silence_of(name), slowly.heard.get(name)) else {
                continue;
            };
            let mut last = *known;
            if last < earlier(now, allowed) {
                // Another process may have heard something whose place this one had passed.
                slowly.heard.extend(self.store.heard().await?);
                last = slowly.heard.get(name).copied().unwrap_or(last);
            }
            if last < earlier(now, allowed) {
                let text = format!(
                    "Nothing came from source '{name}' for longer than {}: the last request came on {last:.0}. Look whether the \
                     bot works and still posts here.",
                    spoken(allowed)
                );
                seen.insert(format!("silent:{name}"), text);
            }
        }
        Ok(seen)
    }
}

/// A time as the workspace writes it.
fn spoken(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        _ if seconds.is_multiple_of(86_400) => format!("{}d", seconds / 86_400),
        _ if seconds.is_multiple_of(3_600) => format!("{}h", seconds / 3_600),
        _ if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_as_they_are_written() {
        let said = [60, 900, 7_200, 5_400, 259_200, 61].map(|seconds| spoken(Duration::from_secs(seconds)));
        assert_eq!(said, ["1m", "15m", "2h", "90m", "3d", "61s"]);
    }
}
