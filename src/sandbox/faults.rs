//! What can go wrong on purpose, and the chance that decides when.

use std::collections::VecDeque;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

/// Faults of the API. They hit reads and writes alike, and never the calls for people and tests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// How long every call takes.
    pub latency_ms: Latency,
    /// More calls than this are answered with 429.
    pub rate: Option<Rate>,
    /// Until searches show what was written.
    pub search_lag_ms: u64,
    /// Probability of 500 before anything is committed.
    pub fail_before: f64,
    /// Probability that a call is committed and then gets no answer until the client gives up (at most 60 s).
    pub timeout_after: f64,
    /// Probability that the connection is cut, half of the time before and half after committing.
    pub reset: f64,
    /// Probability that the connection of a write is cut, and that it is committed all the same, only later: what a frozen
    /// sender or a proxy that holds a request back looks like.
    pub late_commit: f64,
    /// How much later that is.
    pub late_commit_ms: u64,
    /// Whether records can be searched by marker.
    pub marker_lookup: bool,
    /// Whether `POST /batch` exists.
    pub batch: bool,
    /// Whether every token is refused.
    pub unauthorised: bool,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            latency_ms: Latency::default(),
            rate: None,
            search_lag_ms: 0,
            fail_before: 0.0,
            timeout_after: 0.0,
            reset: 0.0,
            late_commit: 0.0,
            late_commit_ms: 0,
            marker_lookup: true,
            batch: false,
            unauthorised: false,
        }
    }
}

impl Faults {
    /// These faults with the entries of `change` put over them.
    pub(super) fn changed(&self, change: Value) -> Result<Self, String> {
        let Value::Object(change) = change else { return Err("write a JSON object of faults".to_owned()) };
        let mut entries = serde_json::to_value(self).map_err(|error| error.to_string())?;
        if let Value::Object(entries) = &mut entries {
            entries.extend(change);
        }
        let changed: Self = serde_json::from_value(entries).map_err(|error| error.to_string())?;
        changed.checked()
    }

    /// Refuses what would have no meaning.
    pub fn checked(self) -> Result<Self, String> {
        for (name, value) in [
            ("fail_before", self.fail_before),
            ("timeout_after", self.timeout_after),
            ("reset", self.reset),
            ("late_commit", self.late_commit),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return Err(format!("`{name}` is a probability: write a number from 0 to 1, not {value}"));
            }
        }
        if self.rate.is_some_and(|rate| rate.count == 0 || rate.per_ms == 0) {
            return Err("`rate` needs a `count` and a `per_ms` above 0; for no limit write null".to_owned());
        }
        Ok(self)
    }
}

/// How long calls take: a number of milliseconds, or `[from, to]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Latency {
    /// Always this many milliseconds.
    Fixed(u64),
    /// Evenly spread between two.
    Between(u64, u64),
}

impl Default for Latency {
    fn default() -> Self {
        Self::Fixed(0)
    }
}

impl FromStr for Latency {
    type Err = String;

    /// `20` or `10-50`, in milliseconds.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |part: &str| part.trim().parse().ok();
        match text.split_once('-') {
            None => number(text).map(Self::Fixed),
            Some((from, to)) => number(from).zip(number(to)).map(|(from, to)| Self::Between(from, to)),
        }
        .ok_or_else(|| format!("`{text}` is no latency; write milliseconds such as `20` or `10-50`"))
    }
}

/// A sliding window: at most `count` calls in any `per_ms` milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Calls.
    pub count: u32,
    /// Length of the window in milliseconds.
    pub per_ms: u64,
    /// Whether the 429 says how long to wait. Most CRMs do not.
    #[serde(default)]
    pub retry_after: bool,
}

impl FromStr for Rate {
    type Err = String;

    /// `10/s`, `100/10s` or `60/1m`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let problem = || format!("`{text}` is no rate; write one such as `10/s`, `100/10s` or `60/1m`");
        let (count, length) = text.split_once('/').ok_or_else(problem)?;
        let length = if length.starts_with(|first: char| first.is_ascii_digit()) {
            length.to_owned()
        } else {
            format!("1{length}")
        };
        let length: jiff::SignedDuration = length.parse().map_err(|_| problem())?;
        let count = count.trim().parse().ok().filter(|count| *count > 0).ok_or_else(problem)?;
        let per_ms =
            u64::try_from(length.as_millis()).ok().filter(|millis| *millis > 0).ok_or_else(problem)?;
        Ok(Self { count, per_ms, retry_after: false })
    }
}

/// What chance has in store for one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) latency: Duration,
    pub(super) end: End,
}

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Answered,
    FailsBefore,
    CutBefore,
    CutAfter,
    SilentAfter,
    CommitsLate,
}

/// A small generator (`SplitMix64`, by Steele, Lea and Flood): chance that can be repeated.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// From 0 up to, not including, `bound`, which must not be 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Shorter than `bound`, to the millisecond; nothing at all where that is shorter than one.
    pub fn less_than(&mut self, bound: Duration) -> Duration {
        let millis = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.below(millis.max(1)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 up to, not including, 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The fate of the next call. It always takes as many numbers, so that one fault does not shift the others.
    pub(super) fn fate(&mut self, faults: &Faults) -> Fate {
        let draws: [f64; 5] = std::array::from_fn(|_| self.fraction());
        let [fails, cut, side, silent, slow] = draws;
        let end = if fails < faults.fail_before {
            End::FailsBefore
        } else if cut < faults.reset {
            if side < 0.5 { End::CutBefore } else { End::CutAfter }
        } else if silent < faults.timeout_after {
            End::SilentAfter
        } else if silent < faults.timeout_after + faults.late_commit {
            End::CommitsLate
        } else {
            End::Answered
        };
        let latency = match faults.latency_ms {
            Latency::Fixed(millis) => Duration::from_millis(millis),
            Latency::Between(from, to) => {
                Duration::from_millis(from) + Duration::from_millis(to.saturating_sub(from)).mul_f64(slow)
            }
        };
        Fate { latency, end }
    }
}

/// The calls of the last window.
#[derive(Default)]
pub(super) struct RateWindow(VecDeque<Instant>);

impl RateWindow {
    /// Counts a call, or says how long until the next one would be let in.
    pub(super) fn admit(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        let length = Duration::from_millis(rate.per_ms);
        while self.0.front().is_some_and(|first| now.duration_since(*first) >= length) {
            self.0.pop_front();
        }
        // A limit that was lowered meanwhile looks at its own number of calls only.
        let full = self.0.len().checked_sub(rate.count as usize).and_then(|over| self.0.get(over));
        if let Some(oldest) = full {
            return Err(length.saturating_sub(now.duration_since(*oldest)));
        }
        self.0.push_back(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_fate() {
        let faults = Faults {
            fail_before: 0.2,
            reset: 0.2,
            timeout_after: 0.2,
            latency_ms: Latency::Between(5, 50),
            ..Faults::default()
        };
        let fates = |seed| {
            let mut dice = Dice::new(seed);
            (0..1000).map(|_| dice.fate(&faults)).collect::<Vec<_>>()
        };
        assert_eq!(fates(7), fates(7));
        assert_ne!(fates(7), fates(8));
        let failed = fates(7).iter().filter(|fate| fate.end == End::FailsBefore).count();
        assert!((150..250).contains(&failed), "{failed} of 1000 at 20 %");
        assert!(fates(7).iter().all(|fate| (5..=50).contains(&fate.latency.as_millis())));
    }

    #[test]
    fn the_window_slides() {
        let rate = Rate { count: 2, per_ms: 100, retry_after: false };
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut window = RateWindow::default();
        assert_eq!(window.admit(rate, at(0)), Ok(()));
        assert_eq!(window.admit(rate, at(60)), Ok(()));
        assert_eq!(window.admit(rate, at(90)), Err(Duration::from_millis(10)));
        assert_eq!(window.admit(rate, at(100)), Ok(()));
        assert_eq!(window.admit(rate, at(120)), Err(Duration::from_millis(40)));
        let lower = Rate { count: 1, ..rate };
        assert_eq!(window.admit(lower, at(160)), Err(Duration::from_millis(40)));
    }

    #[test]
    fn faults_change_one_by_one() {
        let faults = Faults { fail_before: 0.5, ..Faults::default() };
        let changed =
            faults.changed(json!({"latency_ms": [1, 9], "rate": {"count": 10, "per_ms": 1000}})).unwrap();
        assert_eq!(changed.latency_ms, Latency::Between(1, 9));
        assert_eq!(changed.rate, Some(Rate { count: 10, per_ms: 1000, retry_after: false }));
        assert_eq!((changed.fail_before, changed.marker_lookup), (0.5, true));
        assert_eq!(changed.changed(json!({"rate": null})).unwrap().rate, None);
        for wrong in [
            json!({"fail_before": 1.5}),
            json!({"fail_befor": 1}),
            json!({"rate": {"count": 0, "per_ms": 5}}),
            json!([]),
        ] {
            assert!(faults.changed(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn texts_of_the_command_line() {
        assert_eq!("20".parse(), Ok(Latency::Fixed(20)));
        assert_eq!("10-50".parse(), Ok(Latency::Between(10, 50)));
        assert!("fast".parse::<Latency>().is_err());
        assert_eq!("10/s".parse(), Ok(Rate { count: 10, per_ms: 1000, retry_after: false }));
        assert_eq!("100/10s".parse(), Ok(Rate { count: 100, per_ms: 10_000, retry_after: false }));
        for wrong in ["10", "0/s", "10/0s", "x/s", "10/-1s"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }
}
