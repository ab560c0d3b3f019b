//! How long to wait before the next try. Pure.

use std::time::Duration;

/// Wait before the second try.
const FIRST: Duration = Duration::from_millis(250);
/// No wait is longer.
const LONGEST: Duration = Duration::from_mins(5);

/// The wait after `failures` failed tries (from 1): doubling from 250 ms to five minutes, spread over ± 25 % by `spread`
/// (any number that differs between leads), so that leads that failed together do not come back together.
pub(super) fn wait(failures: i64, spread: u64) -> Duration {
    let doublings = u32::try_from(failures.clamp(1, 20) - 1).unwrap_or(0);
    let full = FIRST.saturating_mul(1_u32 << doublings).min(LONGEST);
    let percent = 75 + u32::try_from(spread % 51).unwrap_or(0);
    full * percent / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_and_stays_below_the_longest() {
        let waits: Vec<Duration> = (1..30).map(|failures| wait(failures, 25)).collect();
        assert!(waits.is_sorted());
        assert_eq!(waits.first(), Some(&FIRST));
        assert_eq!(waits.last(), Some(&LONGEST));
    }

    #[test]
    fn leads_that_failed_together_come_back_apart() {
        assert_ne!(wait(5, 0), wait(5, 50));
        assert!(wait(5, u64::MAX) <= wait(5, 50));
    }

    #[test]
    fn nonsense_counts_are_the_first_try() {
        assert_eq!(wait(0, 25), wait(1, 25));
        assert_eq!(wait(i64::MIN, 25), wait(1, 25));
        assert_eq!(wait(i64::MAX, 25), LONGEST);
    }
}
