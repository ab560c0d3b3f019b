//! What was used of a rate budget, handed on from one holder of a destination to the next.
//!
//! A limiter that begins full lets a bucket's burst through once more, and one call more than a sliding window allows; a
//! program that is restarted again and again, or whose destination is edited again and again, would do so each time. So
//! what was used is noted with everything that is stored, and the next limiter begins from there. Where a note may be
//! older than the last call (the process was killed), the next limiter takes it that everything was called that could have
//! been: a bucket begins empty. That costs a burst, and never breaks a limit.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use governor::clock::Clock;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::meter::Counted;
use super::{Gate, Hold, LONGEST_HOLD, Limit, Limiter, PARTS, Window, sane};
use crate::clock::later;

/// The clocks of two machines may differ by so much.
const SKEW: Duration = Duration::from_secs(5);

/// What was used of a rate budget, and whether that is all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// No call was let through after this was noted.
    pub complete: bool,
    /// The CRM asked to hold until then.
    pub held_until: Option<Timestamp>,
    /// When a window is as if nothing had been called, by what it says; those that are so already are not here.
    pub fresh_at: BTreeMap<String, Timestamp>,
    /// What went through each window lately, for people; those through which nothing went are not here.
    #[serde(default)]
    pub counted: BTreeMap<String, Counted>,
}

/// Where one window stands, for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Standing {
    /// The window as its vendor says it.
    pub window: String,
    /// Our share of it, in calls a second.
    pub per_second: f64,
    /// How much of our share is used, from 0 to 1: of a sliding window by the calls within its length, of a bucket by what is
    /// gone from it.
    pub used: f64,
}

impl Window {
    /// Where it stands by what was noted.
    pub fn standing(&self, share: f64, budget: &Budget, now: Timestamp) -> Standing {
        let share = sane(share);
        let (unit, burst) = self.schedule(share);
        let window = self.to_string();
        let used = match self.limit {
            Limit::Sliding { count, length } => {
                let counted = budget.counted.get(&window).map(|counted| counted.within(length, now));
                counted.unwrap_or_default() / (f64::from(count.max(1)) * share)
            }
            Limit::Bucket { .. } => {
                let gone = budget.fresh_at.get(&window).map(|at| wait(*at, now)).unwrap_or_default();
                gone.as_secs_f64() / (unit.as_secs_f64() * burst).max(1e-9)
            }
        };
        let per_second = 1.0 / unit.as_secs_f64().max(1e-9);
        Standing { window, per_second, used: used.clamp(0.0, 1.0) }
    }
}

impl Limiter {
    /// What is used at this moment. `complete` promises that no call follows.
    pub fn budget(&self, now: Timestamp, complete: bool) -> Budget {
        let held_until = self.held().map(|hold| {
            let left = hold.asked.saturating_duration_since(Instant::now());
            later(now, left)
        });
        let mut budget = Budget { complete, held_until, ..Budget::default() };
        for gate in &self.gates {
            gate.note(&mut budget, now);
        }
        budget
    }

    /// Takes over what another limiter of the account has used. Never gives back what this one has.
    pub fn resume(&self, budget: &Budget, now: Timestamp) {
        if let Some(until) = budget.held_until {
            // Of a hold for a second nobody may make one for six.
            let left = wait(until, now);
            let (begun, skew) = (Instant::now(), (left / 10).min(SKEW));
            self.hold(Hold {
                asked: begun + left.min(LONGEST_HOLD),
                until: begun + (left + skew).min(LONGEST_HOLD),
            });
        }
        // The windows may have been edited: what was used of one that is gone counts in those that are new.
        let ours: BTreeSet<String> = self.gates.iter().map(|gate| gate.window.to_string()).collect();
        let gone = budget.fresh_at.iter().filter(|(window, _)| !ours.contains(*window));
        let gone = gone.map(|(_, at)| *at).max();
        for gate in &self.gates {
            gate.resume(budget, gone, now);
        }
    }
}

/// How long it is until then.
fn wait(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_until(at)).unwrap_or_default()
}

impl<C: Clock + Clone> Gate<C> {
    /// Adds what is used of it.
    fn note(&self, budget: &mut Budget, now: Timestamp) {
        let (window, used) = (self.window.to_string(), self.used());
        if let Some(counted) = self.metered(|meter, since| meter.counted(since, now)) {
            budget.counted.insert(window.clone(), counted);
        }
        if !used.is_zero() {
            budget.fresh_at.insert(window, later(now, used));
        }
    }

    /// Takes over what is noted of it, or when those windows are fresh that are `gone`.
    fn resume(&self, budget: &Budget, gone: Option<Timestamp>, now: Timestamp) {
        let window = self.window.to_string();
        if let Some(counted) = budget.counted.get(&window) {
            self.metered(|meter, since| meter.resume(counted, since, now));
        }
        let fresh_at = budget.fresh_at.get(&window).copied().or(gone);
        let used = fresh_at
            .map(|at| wait(at.saturating_add(SKEW).unwrap_or(Timestamp::MAX), now))
            .unwrap_or_default();
        let surely_used = fresh_at.map(|at| wait(at, now)).unwrap_or_default().saturating_sub(SKEW);
        let room = (self.part() * self.capacity).saturating_sub(surely_used);
        let could_call = room >= self.part() * self.window.cheapest().saturating_mul(PARTS);
        self.use_up(if budget.complete || !could_call { used } else { Duration::MAX });
    }
}

#[cfg(test)]
mod tests;
