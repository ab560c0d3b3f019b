//! Working hours on the time line: when somebody works next, and when a task is due that is counted in working time.
//!
//! The clock on the wall decides. Hours that begin or end in the hour that daylight saving skips begin or end when it is
//! skipped; of an hour that comes twice the first counts. A night that goes over midnight belongs to the day on which it
//! begins, with the day off of that day.

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use crate::rules::{Days, Hours, OwnerPool, PoolOwner, WeeklyHours};

/// So many days ahead are looked at; whoever does not work for ten years works no more.
const DAYS_AHEAD: usize = 3_660;

/// Hours of somebody who works day and night.
const DAY_AND_NIGHT: &[Hours] = &[Hours { from: 0, to: 24 * 60 }];

/// When somebody works.
#[derive(Clone, Copy)]
pub(super) struct Schedule<'a> {
    zone: &'a TimeZone,
    hours: Option<&'a WeeklyHours>,
    off: [&'a [Days]; 2],
}

/// A stretch of work without a break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shift {
    /// The day to which it belongs.
    pub(super) day: Date,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

impl<'a> Schedule<'a> {
    /// The pool as a whole.
    pub(super) fn of_pool(pool: &'a OwnerPool) -> Self {
        Self { zone: &pool.time_zone, hours: pool.hours.as_ref(), off: [&pool.days_off, &[]] }
    }

    /// One of its members.
    pub(super) fn of_owner(pool: &'a OwnerPool, owner: &'a PoolOwner) -> Self {
        let hours = owner.hours.as_ref().or(pool.hours.as_ref());
        Self { zone: &pool.time_zone, hours, off: [&pool.days_off, &owner.away] }
    }

    /// The same hours with no days off.
    pub(super) fn every_day(self) -> Self {
        Self { off: [&[], &[]], ..self }
    }

    /// Whether nothing ever keeps them from working.
    pub(super) fn is_unlimited(&self) -> bool {
        self.hours.is_none() && self.off.iter().all(|days| days.is_empty())
    }

    /// The shift that is on at a moment.
    pub(super) fn shift_at(&self, now: Timestamp) -> Option<Shift> {
        self.shifts(now).next().filter(|shift| shift.from <= now)
    }

    /// The next moment, this one included, at which they work.
    pub(super) fn next_work(&self, since: Timestamp) -> Option<Timestamp> {
        self.shifts(since).next().map(|shift| shift.from.max(since))
    }

    /// The shifts that end after a moment, in order.
    fn shifts(self, since: Timestamp) -> impl Iterator<Item = Shift> + use<'a> {
        let today = self.zone.to_datetime(since).date();
        // A night that began yesterday may not be over.
        let first = today.yesterday().unwrap_or(today);
        std::iter::successors(Some(first), |day| day.tomorrow().ok())
            .take(DAYS_AHEAD)
            .filter(move |day| !self.off.iter().flat_map(|days| days.iter()).any(|off| off.contains(*day)))
            .flat_map(move |day| {
                let spans = self.hours.map_or(DAY_AND_NIGHT, |hours| hours.on(day.weekday()));
                spans.iter().filter_map(move |span| {
                    let at = |minutes: i32| moment(self.zone, day, SignedDuration::from_mins(minutes.into()));
                    Some(Shift { day, from: at(span.from)?, to: at(span.to)? })
                })
            })
            .filter(move |shift| shift.to > since && shift.to > shift.from)
    }

    /// When something is due that is to be done within `after` of work.
    ///
    /// It counts from the next moment of work. Whole days of 24 hours are working days and end at the same time of day, or
    /// when work next begins; the rest is time at work. `None` when there is not so much work ahead.
    pub(super) fn due(&self, now: Timestamp, after: SignedDuration) -> Option<Timestamp> {
        let days = after.as_hours() / 24;
        let mut rest = after - SignedDuration::from_hours(days * 24);
        let start = self.shifts(now).next()?;
        let mut at = now.max(start.from);
        if days > 0 {
            let time_of_day = self.zone.to_datetime(at).duration_since(start.day.at(0, 0, 0, 0));
            let day = self.working_day_after(start, days)?;
            at = self.next_work(moment(self.zone, day, time_of_day)?)?;
        }
        for shift in self.shifts(at) {
            let from = shift.from.max(at);
            let left = shift.to.duration_since(from);
            if rest <= left {
                return from.checked_add(rest).ok();
            }
            rest -= left;
        }
        None
    }

    fn working_day_after(&self, start: Shift, days: i64) -> Option<Date> {
        let (mut day, mut left) = (start.day, days);
        for shift in self.shifts(start.from) {
            if shift.day > day {
                (day, left) = (shift.day, left - 1);
            }
            if left == 0 {
                return Some(day);
            }
        }
        None
    }
}

/// The moment so long after a midnight by the clock on the wall.
pub(super) fn moment(zone: &TimeZone, day: Date, time_of_day: SignedDuration) -> Option<Timestamp> {
    let wall: DateTime = day.at(0, 0, 0, 0).checked_add(time_of_day).ok()?;
    let there = zone.to_ambiguous_timestamp(wall);
    match there.offset() {
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => there.earlier().ok(),
        // The clock never shows this time: it is past it as soon as it jumps.
        AmbiguousOffset::Gap { .. } => {
            let behind = there.later().ok()?.checked_add(SignedDuration::from_nanos(1)).ok()?;
            zone.preceding(behind).next().map(|jump| jump.timestamp())
        }
    }
}
