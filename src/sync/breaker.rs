//! When a destination as a whole fails, it is paused: its queue is kept, single tries find out when it is back, and no
//! other destination notices. Pure; time is an argument.

use std::time::Duration;

use tokio::time::Instant;

use super::backoff;

/// Failures in a row, without one success, after which the destination and not the lead is to blame.
const FAILURES: i64 = 8;
/// While credentials are refused, one try this often.
const UNAUTHORISED_WAIT: Duration = Duration::from_secs(30);
/// While a destination is down, at least one try this often.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The health of one destination as this process sees it.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    failures: i64,
    paused: Option<Paused>,
}

/// Why and until when nothing is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Paused {
    pub(crate) until: Instant,
    pub(crate) why: String,
}

impl Breaker {
    /// A call worked. Returns whether the destination was paused.
    pub(crate) fn succeeded(&mut self) -> bool {
        self.failures = 0;
        self.paused.take().is_some()
    }

    /// A call failed in a way that may pass. Returns whether this opened a new pause.
    pub(crate) fn failed(&mut self, why: &str, now: Instant) -> bool {
        // What was under way when the pause began fails with it, and says nothing about how long it will take.
        if self.paused.as_ref().is_some_and(|paused| now < paused.until) {
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures < FAILURES {
            return false;
        }
        let wait = backoff::wait(self.failures - FAILURES + 3, 25).min(LONGEST_WAIT);
        self.pause(why, now + wait)
    }

    /// The CRM does not accept our credentials. Returns whether this opened a new pause.
    pub(crate) fn refused(&mut self, why: &str, now: Instant) -> bool {
        self.failures = self.failures.max(FAILURES);
        self.pause(why, now + UNAUTHORISED_WAIT)
    }

    fn pause(&mut self, why: &str, until: Instant) -> bool {
        let opened = self.paused.is_none();
        self.paused = Some(Paused { until, why: why.to_owned() });
        opened
    }

    /// How many syncs may be tried now; `free` when all is well, one when it is time to try again.
    pub(crate) fn allowance(&self, free: usize, in_flight: usize, now: Instant) -> usize {
        match &self.paused {
            None => free,
            Some(paused) if now < paused.until || in_flight > 0 => 0,
            Some(_) => free.min(1),
        }
    }

    /// Whether a failure says something about the lead rather than about the destination.
    pub(crate) fn blames_the_lead(&self) -> bool {
        self.failures < FAILURES
    }

    /// The pause, while there is one.
    pub(crate) fn paused(&self) -> Option<&Paused> {
        self.paused.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_failures_are_the_leads_own() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 1..FAILURES {
            assert!(!breaker.failed("500", now));
        }
        assert!(breaker.blames_the_lead());
        assert_eq!(breaker.allowance(10, 3, now), 10);
    }

    #[test]
    fn many_in_a_row_pause_and_then_one_is_tried_at_a_time() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        let opened = (0..FAILURES).filter(|_| breaker.failed("down", now)).count();
        assert_eq!(opened, 1, "one pause is announced once");
        assert_eq!(breaker.allowance(10, 0, now), 0);
        let later = now + LONGEST_WAIT;
        assert_eq!(breaker.allowance(10, 0, later), 1);
        assert_eq!(breaker.allowance(10, 1, later), 0, "one try at a time");
        assert!(!breaker.failed("still down", later));
        assert_eq!(breaker.allowance(10, 0, later), 0);
        assert!(breaker.succeeded());
        assert_eq!(breaker.allowance(10, 0, later), 10);
    }

    #[test]
    fn what_was_under_way_when_the_pause_began_does_not_make_it_longer() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES * 6 {
            breaker.failed("reset", now);
        }
        let soon = now + Duration::from_millis(1_250);
        assert_eq!(breaker.allowance(10, 0, soon), 1, "48 failures of one moment are one failure");
        assert!(!breaker.failed("reset", soon));
        assert_eq!(
            breaker.allowance(10, 0, soon + Duration::from_millis(1_250)),
            0,
            "a failed try makes it longer"
        );
        assert_eq!(breaker.allowance(10, 0, soon + Duration::from_millis(2_500)), 1);
    }

    #[test]
    fn refused_credentials_pause_at_once() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        assert!(breaker.refused("401", now));
        assert_eq!(breaker.allowance(10, 0, now), 0);
        assert!(!breaker.blames_the_lead());
        assert_eq!(breaker.allowance(10, 0, now + UNAUTHORISED_WAIT), 1);
    }
}
