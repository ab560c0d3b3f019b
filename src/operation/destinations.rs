//! Destinations: where each of them stands, and pausing one.
//!
//! A pause is a row and no edit of the workspace: all processes follow it, and it is over when somebody says so. What is under
//! way is finished; what comes meanwhile waits.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pools::{PoolNow, pools_now};
use super::{Means, Operation, OperationError};
use crate::access::Role;
use crate::crm::limit::{Budget, Standing};
use crate::crm::{connect, description};
use crate::rules::{Destination, Mode};
use crate::store::hourly::Kind;
use crate::store::pauses::Pause;
use crate::store::standing::{BotChats, LastError, Waiting};

/// Calls that a lead costs as a rule: a look-up and two writes.
const CALLS_PER_LEAD: f64 = 3.0;

/// Where all destinations stand. Changes nothing.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LookAtDestinations {}

/// Where all destinations stand, and their owner pools.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DestinationsNow {
    /// Every destination of the active workspace, CRMs before bots.
    pub destinations: Vec<DestinationNow>,
    /// Every owner pool at every CRM.
    pub pools: Vec<PoolNow>,
}

/// Where one destination stands.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DestinationNow {
    /// Name in the workspace.
    pub name: String,
    /// The word in `crm:`.
    pub crm: String,
    /// Whether it is a bot.
    pub is_bot: bool,
    /// What the workspace says of writing to it.
    pub mode: Mode,
    /// Who paused it, if somebody did.
    pub paused: Option<Pause>,
    /// Host and process id of who pushes there; absent while nobody does.
    pub holder: Option<String>,
    /// Part of the account's rate budget that is ours.
    pub share: f64,
    /// The windows of that budget, by what was noted with the last thing that was stored.
    pub windows: Vec<Standing>,
    /// The destination asked to be left alone until then.
    pub held_until: Option<Timestamp>,
    /// What waits.
    pub waiting: Waiting,
    /// About how long that takes, in seconds; absent where nobody can tell.
    pub takes_seconds: Option<i64>,
    /// What went wrong lately, the latest first.
    pub last_errors: Vec<LastError>,
    /// The chats that it serves, where it is a bot.
    pub chats: Vec<BotChats>,
}

impl Operation for LookAtDestinations {
    const PATH: &'static str = "/api/destinations";
    const ROLE: Role = Role::Viewer;
    type Answer = DestinationsNow;

    async fn run(self, means: &Means) -> Result<DestinationsNow, OperationError> {
        let workspace = means.active().await?;
        let (store, now) = (&means.store, means.clock.now());
        let (mut pauses, leases) = (store.pauses().await?, store.leases().await?);
        let names: Vec<&str> = workspace.destinations.keys().map(String::as_str).collect();
        let mut last_errors = store.last_errors(&names).await?;
        let ended = store.in_all(Kind::Sync, now - jiff::SignedDuration::from_hours(1)).await?;
        let bots = if workspace.bots.is_empty() { Vec::new() } else { store.bots().await? };
        let mut destinations = Vec::with_capacity(names.len());
        for (name, destination) in &workspace.destinations {
            let noted = store.budget(name).await?;
            // What cannot be read is told by the worker that reads it; here it counts as nothing noted.
            let budget: Budget = noted.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
            // An account that cannot be prepared here, for want of its secrets, is told without its windows.
            let windows = connect(destination).map(|crm| crm.usage().windows).unwrap_or_default();
            let windows: Vec<Standing> =
                windows.iter().map(|window| window.standing(destination.share, &budget, now)).collect();
            let waiting = store.waiting(name).await?;
            let pace = ended.iter().filter(|counted| counted.subject == *name).map(|counted| counted.count);
            destinations.push(DestinationNow {
                name: name.clone(),
                crm: destination.crm.clone(),
                is_bot: workspace.bots.contains_key(name),
                mode: destination.mode,
                paused: pauses.remove(name),
                holder: leases
                    .iter()
                    .find(|lease| lease.destination == *name)
                    .and_then(|lease| lease.holder.clone()),
                share: destination.share,
                takes_seconds: takes(waiting.open.count, &windows, pace.sum()),
                windows,
                held_until: budget.held_until.filter(|until| *until > now),
                waiting,
                last_errors: last_errors.remove(name).unwrap_or_default(),
                chats: bots.iter().filter(|chats| serves(destination, &chats.scope)).cloned().collect(),
            });
        }
        destinations.sort_by_key(|destination| destination.is_bot);
        Ok(DestinationsNow { destinations, pools: pools_now(store, &workspace, now).await? })
    }
}

/// About how many seconds so many leads take: as the rate budget lets them, or at the pace of the last hour or two.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "an estimate; casts from float saturate"
)]
fn takes(open: i64, windows: &[Standing], ended_lately: i64) -> Option<i64> {
    if open == 0 {
        return None;
    }
    let slowest = windows.iter().map(|window| window.per_second).min_by(f64::total_cmp);
    let pace = match slowest {
        Some(calls) => calls / CALLS_PER_LEAD,
        None if ended_lately > 0 => ended_lately as f64 / 3_600.0,
        None => return None,
    };
    Some((open as f64 / pace.max(1e-9)).ceil() as i64)
}

/// Whether a bot serves the chats of this scope.
fn serves(destination: &Destination, scope: &str) -> bool {
    let usual = description(&destination.crm).and_then(|description| description.bot);
    let Some(usual) = usual.filter(|bot| bot.writes_there || !bot.chats.is_empty()) else { return false };
    let is_one = |pattern: &str| match pattern.strip_suffix('*') {
        Some(start) => scope.starts_with(start),
        None => scope == pattern,
    };
    if destination.chats.is_empty() {
        usual.chats.iter().any(|pattern| is_one(pattern))
    } else {
        destination.chats.iter().any(|pattern| is_one(pattern))
    }
}

/// Pauses a destination: nothing new is pushed there until somebody resumes it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PauseDestination {
    /// Which.
    pub destination: String,
}

/// Lets a paused destination go on.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResumeDestination {
    /// Which.
    pub destination: String,
}

/// Whether a destination is paused by now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pausing {
    /// Which.
    pub destination: String,
    /// Who paused it, and when.
    pub paused: Option<Pause>,
    /// Whether that is new.
    pub changed: bool,
}

impl Operation for PauseDestination {
    const PATH: &'static str = "/api/destinations/pause";
    const ROLE: Role = Role::Operator;
    type Answer = Pausing;

    async fn run(self, means: &Means) -> Result<Pausing, OperationError> {
        let Self { destination } = self;
        known(means, &destination).await?;
        let who = means.caller.name.clone();
        let pause = Pause { who, since: means.clock.now() };
        let changed = means.store.pause(&destination, &pause).await?;
        if changed {
            tracing::info!(
                destination,
                who = pause.who,
                "the destination is paused by hand; its queue is kept"
            );
        }
        let paused = means.store.pauses().await?.remove(&destination);
        Ok(Pausing { destination, paused, changed })
    }
}

impl Operation for ResumeDestination {
    const PATH: &'static str = "/api/destinations/resume";
    const ROLE: Role = Role::Operator;
    type Answer = Pausing;

    async fn run(self, means: &Means) -> Result<Pausing, OperationError> {
        let Self { destination } = self;
        // Also one that the workspace has no more: a pause must not outlive the name for good.
        let changed = means.store.resume(&destination).await?;
        if changed {
            tracing::info!(destination, "the destination goes on");
            (means.wake_workers)();
        } else {
            known(means, &destination).await?;
        }
        Ok(Pausing { destination, paused: None, changed })
    }
}

async fn known(means: &Means, destination: &str) -> Result<(), OperationError> {
    let workspace = means.active().await?;
    if workspace.destinations.contains_key(destination) {
        return Ok(());
    }
    let known: Vec<&str> = workspace.destinations.keys().map(String::as_str).collect();
    Err(OperationError::Refused(format!(
        "the workspace has no destination '{destination}'; it has {}",
        known.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_takes_what_the_slowest_window_allows() {
        let window = |per_second| Standing { window: String::new(), per_second, used: 0.0 };
        let check = |open: i64, windows: &[f64], lately: i64, expect: Option<i64>| {
            let windows: Vec<Standing> = windows.iter().copied().map(window).collect();
            assert_eq!(takes(open, &windows, lately), expect, "{open} {windows:?} {lately}");
        };
        check(0, &[1.0], 5, None);
        check(10, &[1.0, 30.0], 5, Some(30));
        check(10, &[], 0, None);
        check(10, &[], 3_600, Some(10));
    }
}
