//! How much went through a window within its length, for people.
//!
//! The limiter paces calls and keeps no count: what is left of its pace is next to nothing right after a call, and everything
//! a moment later. What a vendor counts, and a person wants to see, is the calls of the last second, minute or day. They are
//! counted by tenths of the window, so what is told is at most a tenth of it out.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::earlier;

/// Pieces of a window.
const PIECES: u32 = 10;

/// What went through lately, by pieces of the window.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    piece: Duration,
    /// Number of the newest piece since the limiter's beginning.
    newest: u64,
    /// Units of cost by piece, the newest first: all of a window, and the piece that is half in it.
    units: [u32; PIECES as usize + 1],
}

/// The same as it is noted for other processes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// When the newest piece began.
    since: Timestamp,
    /// Units of cost by piece, the newest first; pieces at the end in which nothing went through are left out.
    units: Vec<u32>,
}

impl Meter {
    pub(super) fn new(window: Duration) -> Self {
        Self {
            piece: (window / PIECES).max(Duration::from_nanos(1)),
            newest: 0,
            units: [0; PIECES as usize + 1],
        }
    }

    /// Counts what goes through at this moment, which is so long after the limiter's beginning.
    pub(super) fn count(&mut self, now: Duration, units: u32) {
        self.advance(now);
        self.units[0] = self.units[0].saturating_add(units);
    }

    fn advance(&mut self, now: Duration) {
        let piece = self.number(now);
        let passed = usize::try_from(piece.saturating_sub(self.newest)).unwrap_or(usize::MAX);
        let passed = passed.min(self.units.len());
        self.units.rotate_right(passed);
        self.units[..passed].fill(0);
        self.newest = self.newest.max(piece);
    }

    fn number(&self, now: Duration) -> u64 {
        u64::try_from(now.as_nanos() / self.piece.as_nanos()).unwrap_or(u64::MAX)
    }

    /// What is told to others; `None` where nothing went through. `moment` is what `now` is for everybody.
    pub(super) fn counted(&mut self, now: Duration, moment: Timestamp) -> Option<Counted> {
        self.advance(now);
        let used = self.units.iter().rposition(|units| *units > 0)?;
        let begun = now.as_nanos() % self.piece.as_nanos();
        let begun = Duration::from_nanos(u64::try_from(begun).unwrap_or(u64::MAX));
        Some(Counted { since: earlier(moment, begun), units: self.units[..=used].to_vec() })
    }

    /// Takes over what another limiter of the account let through.
    pub(super) fn resume(&mut self, counted: &Counted, now: Duration, moment: Timestamp) {
        self.advance(now);
        let (piece, begun) = (self.piece.as_nanos(), now.as_nanos() % self.piece.as_nanos());
        for (index, units) in (0..).zip(&counted.units) {
            let age = moment.duration_since(earlier(counted.since, self.piece * index));
            let age = Duration::try_from(age).unwrap_or_default().as_nanos();
            let ours = usize::try_from(age.saturating_sub(begun).div_ceil(piece)).ok();
            if let Some(ours) = ours.and_then(|index| self.units.get_mut(index)) {
                // The larger and no sum: it may be this limiter that noted it.
                *ours = (*ours).max(*units);
            }
        }
    }
}

impl Counted {
    /// Units of cost within the last `window`. Of a piece that is half in it, half of its units.
    pub(super) fn within(&self, window: Duration, now: Timestamp) -> f64 {
        let piece = window / PIECES;
        let edge = earlier(now, window);
        let inside = |(index, units): (u32, &u32)| {
            let begun = earlier(self.since, piece * index);
            let left = begun.duration_since(edge).as_secs_f64() + piece.as_secs_f64();
            f64::from(*units) * (left / piece.as_secs_f64().max(1e-9)).clamp(0.0, 1.0)
        };
        (0..).zip(&self.units).map(inside).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_mins(1);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_second(1_772_442_000 + i64::try_from(seconds).unwrap()).unwrap()
    }

    /// One call a second for so long; how many of them the window of a minute holds so much later.
    fn told(calls: u64, later: u64) -> f64 {
        let mut meter = Meter::new(MINUTE);
        for second in 0..calls {
            meter.count(SECOND * u32::try_from(second).unwrap(), 1);
        }
        let counted = meter.counted(SECOND * u32::try_from(calls).unwrap(), at(calls));
        counted.unwrap_or_default().within(MINUTE, at(calls + later))
    }

    fn close(told: f64, expect: f64) {
        assert!((told - expect).abs() <= 6.0, "{told} for {expect}");
    }

    #[test]
    fn calls_of_the_last_minute_count_and_older_ones_do_not() {
        close(told(30, 0), 30.0);
        close(told(600, 0), 60.0);
        close(told(600, 30), 30.0);
        close(told(600, 90), 0.0);
        close(told(0, 0), 0.0);
    }

    #[test]
    fn a_count_is_the_same_wherever_the_pieces_begin() {
        for later in 0..60 {
            let expect = 60.0 - f64::from(u32::try_from(later).unwrap());
            let told = told(617, later);
            assert!((told - expect).abs() <= 1.5, "{told} for {expect}");
        }
    }

    #[test]
    fn the_next_limiter_counts_on() {
        let mut first = Meter::new(MINUTE);
        first.count(SECOND * 600, 20);
        first.count(SECOND * 640, 10);
        let noted = first.counted(SECOND * 641, at(641)).unwrap();
        let text = serde_json::to_string(&noted).unwrap();
        let mut next = Meter::new(MINUTE);
        next.resume(&serde_json::from_str(&text).unwrap(), SECOND, at(645));
        next.count(SECOND * 2, 1);
        let within = |second: u32| {
            let moment = at(u64::from(second));
            next.clone().counted(SECOND * (second - 644), moment).unwrap().within(MINUTE, moment)
        };
        close(within(646), 31.0);
        close(within(675), 11.0);
    }

    #[test]
    fn what_this_limiter_noted_itself_does_not_count_twice() {
        let mut meter = Meter::new(MINUTE);
        meter.count(SECOND * 600, 20);
        meter.count(SECOND * 640, 10);
        let noted = meter.counted(SECOND * 641, at(641)).unwrap();
        meter.resume(&noted, SECOND * 641, at(641));
        assert_eq!(meter.counted(SECOND * 641, at(641)), Some(noted));
    }

    #[test]
    fn a_note_from_another_clock_or_another_age_does_no_harm() {
        let mut meter = Meter::new(SECOND);
        let note = Counted { since: at(5_000), units: vec![3; 400] };
        meter.resume(&note, SECOND, at(10));
        assert!(note.within(Duration::ZERO, at(10)).is_finite());
        let note = Counted { since: Timestamp::MIN, units: vec![u32::MAX; 3] };
        meter.resume(&note, SECOND, at(10));
        meter.count(Duration::MAX, u32::MAX);
        meter.count(Duration::ZERO, u32::MAX);
        assert!(meter.counted(Duration::MAX, Timestamp::MAX).is_some());
        assert!(note.within(MINUTE, Timestamp::MAX) < 1.0);
    }
}
