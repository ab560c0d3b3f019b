//! Time, ids and chance, as one handle that is passed down. Nothing else in the program reads the clock, invents an id or
//! throws dice.

use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp, TimestampArithmetic};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// Where time, ids and secrets come from.
pub trait Clock: Send + Sync {
    /// The current time.
    fn now(&self) -> Timestamp;

    /// A new id of version 7, later than every id given before by this clock.
    fn new_id(&self) -> Uuid;

    /// 32 bytes that nobody can guess, for PINs and one-time tokens.
    fn secret(&self) -> [u8; 32] {
        SystemClock.secret()
    }
}

/// So long after a moment; the last one there is where that would be later still.
pub fn later(moment: Timestamp, by: impl Into<TimestampArithmetic>) -> Timestamp {
    moment.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// So long before a moment; the first one there is where that would be earlier still.
pub fn earlier(moment: Timestamp, by: impl Into<TimestampArithmetic>) -> Timestamp {
    moment.checked_sub(by).unwrap_or(Timestamp::MIN)
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that makes ids")]
    fn new_id(&self) -> Uuid {
        Uuid::now_v7()
    }

    /// From the random numbers that the operating system gives for secrets: a UUID of version 4 is 122 bits of them.
    #[expect(clippy::disallowed_methods, reason = "the one place that throws dice")]
    fn secret(&self) -> [u8; 32] {
        Sha256::new().chain_update(Uuid::new_v4()).chain_update(Uuid::new_v4()).finalize().into()
    }
}

/// A clock that stands still until it is moved, with ids that count up. For tests and previews.
#[derive(Debug)]
pub struct ManualClock {
    state: Mutex<(Timestamp, u64)>,
}

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { state: Mutex::new((now, 0)) }
    }

    /// Moves the clock.
    pub fn advance(&self, by: SignedDuration) {
        let mut state = self.lock();
        state.0 = state.0.saturating_add(by).unwrap_or(Timestamp::MAX);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (Timestamp, u64)> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.lock().0
    }

    fn new_id(&self) -> Uuid {
        let mut state = self.lock();
        state.1 += 1;
        let millis = u64::try_from(state.0.as_millisecond()).unwrap_or(0);
        let counter = state.1.to_be_bytes();
        let mut random = [0_u8; 10];
        for (to, from) in random.iter_mut().skip(2).zip(counter) {
            *to = from;
        }
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }

    /// The same ones in every run, as the ids are.
    fn secret(&self) -> [u8; 32] {
        Sha256::digest(self.new_id()).into()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_secret_comes_twice() {
        for clock in [&SystemClock as &dyn Clock, &ManualClock::new(Timestamp::UNIX_EPOCH)] {
            assert_eq!((0..1_000).map(|_| clock.secret()).collect::<HashSet<_>>().len(), 1_000);
        }
    }
}
