//! What a torture came to, for people and for programs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::post::Tally;
use super::reconcile::Verdict;
use super::schedule::Schedule;

/// Everything that is told at the end.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The seed of chance.
    pub seed: u64,
    /// Processes on one database.
    pub processes: usize,
    /// `sqlite` or `postgres`.
    pub database: &'static str,
    /// What was posted.
    #[serde(flatten)]
    pub posted: Posted,
    /// What was done to it.
    pub suffered: Suffered,
    /// Deliveries and leads that waited when the storm was over; all others had come to their end in it.
    pub waiting: i64,
    /// How long it took to come to rest afterwards, in seconds.
    pub rest_seconds: f64,
    /// Whether it came to rest.
    pub at_rest: bool,
    /// What came of it.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Records that were found again after the answer that told of them was lost.
    pub found_again: usize,
    /// How long it took until another process had a lease, in milliseconds.
    pub take_over_ms: Option<Spread>,
    /// Processes that ended by themselves after they had been up, and how.
    pub ended_by_themselves: Vec<String>,
    /// Starts that failed, because the database was away for instance.
    pub failed_starts: usize,
}

/// What was posted.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Posted {
    /// Posts that the platforms wanted to get rid of, redeliveries included.
    pub posts: usize,
    /// Different events among them.
    pub events: usize,
    /// Humans whose events they are.
    pub humans: usize,
    /// Events that were acknowledged.
    pub acknowledged: usize,
    /// Requests that were not acknowledged and were sent again, by what happened.
    pub sent_again: BTreeMap<String, usize>,
    /// From the first post to the last acknowledgement, in seconds.
    pub posting_seconds: f64,
    /// Acknowledgements per second of that time.
    pub acks_per_second: f64,
    /// How long an acknowledgement took, in milliseconds.
    pub ack_ms: Option<Spread>,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Suffered {
    /// kill -9.
    pub kills: usize,
    /// SIGSTOP and SIGCONT.
    pub freezes: usize,
    /// Those among them that were longer than a lease.
    pub long_freezes: usize,
    /// Times that all connections to the database were broken.
    pub cuts: usize,
    /// Restarts of the database.
    pub restarts: usize,
    /// Calls of the CRM.
    pub crm_calls: u64,
    /// Calls that it answered with 429.
    pub rate_limited: u64,
}

/// How some numbers are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the words of statistics")]
pub struct Spread {
    pub count: usize,
    pub min: u64,
    pub median: u64,
    pub p99: u64,
    pub max: u64,
}

impl Spread {
    /// `None` of no numbers.
    pub fn of(mut numbers: Vec<u64>) -> Option<Self> {
        numbers.sort_unstable();
        let count = numbers.len();
        let at = |percent: usize| numbers.get((count * percent / 100).min(count - 1)).copied();
        Some(Self { count, min: *numbers.first()?, median: at(50)?, p99: at(99)?, max: *numbers.last()? })
    }
}

impl Report {
    /// Whether anything is wrong.
    pub fn is_clean(&self) -> bool {
        self.verdict.problems.is_empty()
            && self.at_rest
            && self.ended_by_themselves.is_empty()
            && self.posted.acknowledged == self.posted.events
    }
}

impl Posted {
    pub(super) fn new(schedule: &Schedule, humans: usize, tally: &Tally) -> Self {
        let seconds = tally.lasted.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53 posts")]
        let acks_per_second = if seconds > 0.0 { tally.took.len() as f64 / seconds } else { 0.0 };
        Self {
            posts: schedule.posts.len(),
            events: schedule.events.len(),
            humans,
            acknowledged: tally.acknowledged.len(),
            sent_again: tally.failed.clone(),
            posting_seconds: rounded(seconds),
            acks_per_second: rounded(acks_per_second),
            ack_ms: Spread::of(tally.took.iter().copied().map(millis).collect()),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// To tenths: nobody reads further.
pub(super) fn rounded(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_of_real_numbers() {
        let check = |numbers: Vec<u64>, expect: Option<[u64; 4]>| {
            let spread = Spread::of(numbers.clone());
            assert_eq!(
                spread.map(|spread| [spread.min, spread.median, spread.p99, spread.max]),
                expect,
                "{numbers:?}"
            );
        };
        check(vec![], None);
        check(vec![7], Some([7, 7, 7, 7]));
        check(vec![3, 1, 2], Some([1, 2, 3, 3]));
        check((1..=1000).collect(), Some([1, 501, 991, 1000]));
    }
}
