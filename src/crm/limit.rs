//! The rate budget of one account: several windows, a cost per operation, live traffic before backfill.
//!
//! A vendor's sliding window of `count` calls per `length` is kept by spacing calls evenly, a little wider than
//! `length / count`. A token bucket of the same rate would be wrong: full after a pause, it lets `count` calls through
//! at once and `count` more while it refills, which is nearly twice what the vendor allows in that window.
//!
//! It is a limiter of one process. Several processes that push to one account at the same time are not its business:
//! the destination's lease sees to it that there is one, and [`Budget`] hands on what was used.

mod budget;
mod gate;
mod meter;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use governor::clock::Clock;
use tokio::sync::{self, watch};
use tokio::time::{Instant, sleep, sleep_until};

pub use self::budget::{Budget, Standing};
use self::gate::Gate;
use super::Priority;

/// Calls are spaced this much wider than the vendor's window asks, because they do not arrive as evenly as they leave.
const SLACK: f64 = 1.03;

/// How far the schedule may be behind and still catch up, because timers wake late. It is also at most a hundredth of the
/// window, so that two of the three percent of slack remain.
const CATCH_UP: Duration = Duration::from_millis(10);

/// The limiter counts in parts of a call, so that `CATCH_UP` can be less than a whole one.
const PARTS: u32 = 100;

/// How long everything holds after a 429 without Retry-After, when no window says how long the vendor counts.
const HOLD_WITHOUT_WINDOW: Duration = Duration::from_secs(1);

/// The longest hold that follows from a window's length alone: a window of a day is no reason to stand still for a day.
const LONGEST_DERIVED_HOLD: Duration = Duration::from_mins(1);

/// The longest Retry-After that is believed.
const LONGEST_HOLD: Duration = Duration::from_hours(24);

/// One limit of an account and what operations cost in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// How much, and how it is counted.
    pub limit: Limit,
    /// Cost by operation name; 0 where the window does not count the operation.
    pub costs: &'static [(&'static str, u32)],
    /// Cost of every other operation.
    pub other: u32,
}

/// How a vendor counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// At most `count` in any stretch of `length`.
    Sliding {
        /// Calls, or units of cost.
        count: u32,
        /// The stretch.
        length: Duration,
    },
    /// A bucket of `burst` units that refills at `per_second`.
    Bucket {
        /// Units per second.
        per_second: f64,
        /// Units that may go at once.
        burst: u32,
    },
}

impl Window {
    /// A sliding window in which every operation costs 1.
    pub const fn sliding(count: u32, length: Duration) -> Self {
        Self { limit: Limit::Sliding { count, length }, costs: &[], other: 1 }
    }

    /// A bucket in which every operation costs 1.
    pub const fn bucket(per_second: f64, burst: u32) -> Self {
        Self { limit: Limit::Bucket { per_second, burst }, costs: &[], other: 1 }
    }

    fn cost(&self, operation: &str) -> u32 {
        self.costs.iter().find(|(name, _)| *name == operation).map_or(self.other, |(_, cost)| *cost)
    }

    fn dearest(&self) -> u32 {
        self.costs.iter().map(|(_, cost)| *cost).fold(self.other, u32::max).max(1)
    }

    /// What the cheapest operation costs that costs anything.
    fn cheapest(&self) -> u32 {
        let costs = self.costs.iter().map(|(_, cost)| *cost).chain([self.other]);
        costs.filter(|cost| *cost > 0).min().unwrap_or(1)
    }

    /// Time that one unit of cost takes, and how many units may go at once.
    fn schedule(&self, share: f64) -> (Duration, f64) {
        let dearest = f64::from(self.dearest());
        match self.limit {
            Limit::Sliding { count, length } => {
                let allowance = f64::from(count.max(1)) * share;
                // The dearest operation goes at once, so the rest of the window must leave room for it.
                let spread = (allowance - (dearest - 1.0)).max(1.0).min(allowance);
                let unit = length.mul_f64(SLACK / spread);
                let catch_up = CATCH_UP.min(length / 100);
                (unit, dearest + catch_up.as_secs_f64() / unit.as_secs_f64())
            }
            Limit::Bucket { per_second, burst } => {
                let unit = Duration::from_secs_f64(SLACK / (per_second.max(1e-6) * share));
                (unit, (f64::from(burst) * share).max(dearest))
            }
        }
    }

    fn length(&self) -> Duration {
        match self.limit {
            Limit::Sliding { length, .. } => length,
            Limit::Bucket { per_second, .. } => Duration::from_secs_f64(1.0 / per_second.max(1e-6)),
        }
    }
}

/// The part of a budget that is ours, above 0 up to 1; all of it where it is no such number.
fn sane(share: f64) -> f64 {
    if share > 0.0 { share.min(1.0) } else { 1.0 }
}

/// The monotonic clock that also drives tokio's timers.
#[derive(Clone, Copy)]
struct Monotonic(Instant);

impl Clock for Monotonic {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

impl fmt::Display for Window {
    /// `at most 10 calls in 1s`, as a vendor says it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.limit {
            Limit::Sliding { count, length } => write!(f, "at most {count} calls in {length:?}")?,
            Limit::Bucket { per_second, burst } => {
                write!(f, "{per_second} calls a second, {burst} of them at once")?;
            }
        }
        for (operation, cost) in self.costs {
            write!(f, ", `{operation}` counts as {cost}")?;
        }
        Ok(())
    }
}

/// What a limiter allows and what it has let through, for metrics and for people.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// The windows of the account as a whole, the slowest first; none means that nothing is limited.
    pub windows: Vec<Window>,
    /// Calls let through.
    pub permits: u64,
    /// Times the CRM said that we are over the limit all the same.
    pub rate_limited: u64,
    /// How much longer every call holds, after the CRM asked for it.
    pub held_for: Option<Duration>,
}

/// The rate budget of one account.
pub struct Limiter {
    /// Slowest first: what is taken from a fast window must not grow old while a slow one makes the call wait.
    gates: Vec<Gate<Monotonic>>,
    /// Whoever holds it is the next live call. Tokio's mutex is first come, first served.
    live: sync::Mutex<()>,
    /// Whoever holds it is the next backfill call.
    backfill: sync::Mutex<()>,
    live_waiting: watch::Sender<usize>,
    hold: Mutex<Option<Hold>>,
    derived_hold: Duration,
    permits: AtomicU64,
    rate_limited: AtomicU64,
}

impl Limiter {
    /// A limiter of these windows; no window means no limit. `share` is the part of them that is ours, above 0 up to 1.
    pub fn new(windows: &[Window], share: f64) -> Self {
        let share = sane(share);
        let clock = Monotonic(Instant::now());
        let mut gates: Vec<_> = windows.iter().map(|window| Gate::new(*window, share, clock)).collect();
        gates.sort_by_key(|gate| std::cmp::Reverse(gate.unit));
        let derived_hold = windows.iter().map(Window::length).min().unwrap_or(HOLD_WITHOUT_WINDOW);
        Self {
            gates,
            live: sync::Mutex::new(()),
            backfill: sync::Mutex::new(()),
            live_waiting: watch::Sender::new(0),
            hold: Mutex::new(None),
            derived_hold: derived_hold.min(LONGEST_DERIVED_HOLD),
            permits: AtomicU64::new(0),
            rate_limited: AtomicU64::new(0),
        }
    }

    /// Waits until this call may be made. Dropping the future gives up its place and at most the budget of one call.
    pub async fn permit(&self, operation: &str, priority: Priority) {
        let waiting = (priority == Priority::Live).then(|| LiveWaiting::count(&self.live_waiting));
        let turn = match priority {
            Priority::Live => self.live.lock().await,
            Priority::Backfill => self.backfill.lock().await,
        };
        for gate in &self.gates {
            loop {
                self.clear(priority).await;
                match gate.take(operation) {
                    Ok(()) => break,
                    Err(wait) => sleep(wait).await,
                }
            }
        }
        self.clear(priority).await;
        self.permits.fetch_add(1, Ordering::Relaxed);
        drop((turn, waiting));
    }

    /// Waits while the CRM asked to hold, and for backfill also while any live call waits.
    async fn clear(&self, priority: Priority) {
        loop {
            if priority == Priority::Backfill {
                let mut live = self.live_waiting.subscribe();
                if live.wait_for(|waiting| *waiting == 0).await.is_err() {
                    return; // Cannot be: the sender lives in `self`.
                }
            }
            match self.held() {
                Some(hold) => sleep_until(hold.until).await,
                None => return,
            }
        }
    }

    /// Notes a 429: every call holds for the CRM's Retry-After, or for the length of the shortest window.
    pub fn rate_limited(&self, retry_after: Option<Duration>) {
        self.rate_limited.fetch_add(1, Ordering::Relaxed);
        self.hold_until(Instant::now() + retry_after.unwrap_or(self.derived_hold).min(LONGEST_HOLD));
    }

    /// Lets nothing through before this instant. An earlier instant does not shorten a hold.
    pub fn hold_until(&self, until: Instant) {
        self.hold(Hold { asked: until, until });
    }

    fn hold(&self, new: Hold) {
        let mut hold = self.hold.lock().unwrap_or_else(PoisonError::into_inner);
        let known = hold.unwrap_or(new);
        *hold = Some(Hold { asked: known.asked.max(new.asked), until: known.until.max(new.until) });
    }

    fn held(&self) -> Option<Hold> {
        let hold = *self.hold.lock().unwrap_or_else(PoisonError::into_inner);
        hold.filter(|hold| hold.until > Instant::now())
    }

    /// What was let through until now.
    pub fn usage(&self) -> Usage {
        Usage {
            windows: self.gates.iter().map(|gate| gate.window).collect(),
            permits: self.permits.load(Ordering::Relaxed),
            rate_limited: self.rate_limited.load(Ordering::Relaxed),
            held_for: self.held().map(|hold| hold.until.saturating_duration_since(Instant::now())),
        }
    }
}

/// Nothing is let through for a while.
#[derive(Clone, Copy)]
struct Hold {
    /// Until then the CRM asked for it. This is what the next holder is told: were it told of our own caution as well, each
    /// one in turn would add to it, and a process that is killed again and again would never call.
    asked: Instant,
    /// Until then it is held.
    until: Instant,
}

/// Counts one waiting live call for as long as it lives.
struct LiveWaiting<'a>(&'a watch::Sender<usize>);

impl<'a> LiveWaiting<'a> {
    fn count(waiting: &'a watch::Sender<usize>) -> Self {
        waiting.send_modify(|count| *count += 1);
        Self(waiting)
    }
}

impl Drop for LiveWaiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests;
