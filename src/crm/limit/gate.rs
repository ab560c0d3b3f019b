//! One window of a rate budget, at work.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock, Reference as _};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use super::meter::Meter;
use super::{PARTS, Window};

/// One window with what has been used of it.
pub(super) struct Gate<C: Clock> {
    pub(super) window: Window,
    pub(super) unit: Duration,
    pub(super) capacity: u32,
    limiter: RateLimiter<NotKeyed, InMemoryState, C, StateInformationMiddleware>,
    clock: C,
    level: Mutex<Level<C>>,
}

/// What was used, when something last was.
struct Level<C: Clock> {
    /// The moment, and how long after it the window was as if nothing had been called.
    last: Option<(C::Instant, Duration)>,
    meter: Meter,
    /// When the gate was made.
    begun: C::Instant,
}

impl<C: Clock + Clone> Gate<C> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive number of parts; casts from float saturate"
    )]
    pub(super) fn new(window: Window, share: f64, clock: C) -> Self {
        let (unit, burst) = window.schedule(share);
        let capacity = ((burst * f64::from(PARTS)) as u32).max(window.dearest().saturating_mul(PARTS));
        let quota = Quota::with_period(part(unit))
            .unwrap_or(Quota::per_second(NonZeroU32::MIN))
            .allow_burst(NonZeroU32::new(capacity).unwrap_or(NonZeroU32::MIN));
        let limiter = RateLimiter::direct_with_clock(quota, clock.clone()).with_middleware();
        let level = Level { last: None, meter: Meter::new(window.length()), begun: clock.now() };
        Self { window, unit, capacity, limiter, clock, level: Mutex::new(level) }
    }

    pub(super) fn part(&self) -> Duration {
        part(self.unit)
    }

    /// Takes what the operation costs, or says how long to wait.
    pub(super) fn take(&self, operation: &str) -> Result<(), Duration> {
        let cost = self.window.cost(operation);
        self.take_parts(cost.saturating_mul(PARTS).min(self.capacity), cost)
    }

    /// Takes parts of the schedule; `units` of cost are counted.
    fn take_parts(&self, parts: u32, units: u32) -> Result<(), Duration> {
        let Some(parts) = NonZeroU32::new(parts) else { return Ok(()) };
        // Held over both, so that the level that is remembered is that of the last call.
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        match self.limiter.check_n(parts) {
            Ok(Ok(left)) => {
                let used = self.part() * self.capacity.saturating_sub(left.remaining_burst_capacity());
                let now = self.clock.now();
                level.last = Some((now, used));
                let since = now.duration_since(level.begun).into();
                level.meter.count(since, units);
                Ok(())
            }
            Ok(Err(not_until)) => Err(not_until.wait_time_from(self.clock.now())),
            // Cannot be: the capacity holds the dearest operation. Waiting is the answer that breaks no limit.
            Err(_) => Err(self.unit),
        }
    }

    /// How long from now the window is as if nothing had been called.
    pub(super) fn used(&self) -> Duration {
        let level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let left = |(at, used): (C::Instant, Duration)| {
            used.saturating_sub(Duration::from(self.clock.now().duration_since(at)))
        };
        level.last.map(left).unwrap_or_default()
    }

    /// Uses the meter at this moment, which is so long after its beginning.
    pub(super) fn metered<T>(&self, with: impl FnOnce(&mut Meter, Duration) -> T) -> T {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let since = self.clock.now().duration_since(level.begun).into();
        with(&mut level.meter, since)
    }

    /// Sees to it that at least this much is used, as far as there is room.
    pub(super) fn use_up(&self, used: Duration) {
        let parts = |time: Duration| {
            let parts = time.as_nanos().div_ceil(self.part().as_nanos());
            u32::try_from(parts).unwrap_or(u32::MAX).min(self.capacity)
        };
        // There is room for the difference, so this does not say to wait.
        self.take_parts(parts(used).saturating_sub(parts(self.used())), 0).ok();
    }
}

/// The time that a part of a unit takes.
fn part(unit: Duration) -> Duration {
    (unit / PARTS).max(Duration::from_nanos(1))
}
