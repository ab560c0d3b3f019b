//! The counters of hours as bars: by hour for a day, by the reader's days for more.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use super::Range;
use super::chart::{Bar, Part, Series, Unit};
use crate::console::guard::Reader;
use crate::operation::overview::{Overview, Took, TookHour};

/// Sources that have a colour of their own; the smaller ones are together.
const COLOURS: usize = 5;
/// The colours of what is good, of what is plain and of what is bad.
const GOOD: usize = 1;
const PLAIN: usize = 5;
const BAD: usize = 4;

/// An hour or a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    Hour(Timestamp),
    Day(Date),
}

impl Slot {
    fn of(reader: &Reader, range: Range, hour: Timestamp) -> Self {
        match range {
            Range::Day => Self::Hour(hour),
            Range::Week | Range::Month => Self::Day(reader.zone.to_datetime(hour).date()),
        }
    }
}

/// All that there are, and what they are called.
fn slots(reader: &Reader, range: Range, overview: &Overview) -> Vec<(Slot, String)> {
    if range == Range::Day {
        let hours = 0..i64::from(range.hours());
        let begins = hours.map(|hour| overview.since + SignedDuration::from_hours(hour));
        return begins
            .filter(|begin| *begin <= overview.until)
            .map(|begin| {
                let at = begin.to_zoned(reader.zone.clone());
                (Slot::Hour(begin), format!("{:02}:{:02}", at.hour(), at.minute()))
            })
            .collect();
    }
    let day = |at: Timestamp| reader.zone.to_datetime(at).date();
    let (mut next, last) = (day(overview.since), day(overview.until));
    let mut days = Vec::new();
    while next <= last {
        days.push((Slot::Day(next), format!("{:02}.{:02}", next.day(), next.month())));
        let Ok(tomorrow) = next.tomorrow() else { break };
        next = tomorrow;
    }
    days
}

/// Parts that are counted: what each counts in an hour. `None` where nothing was counted at all.
fn counted<K: Ord + Copy>(
    reader: &Reader,
    range: Range,
    overview: &Overview,
    parts: Vec<(K, Part)>,
    hours: impl Iterator<Item = (Timestamp, K, i64)>,
) -> Option<Series> {
    let mut counts: BTreeMap<(Slot, K), i64> = BTreeMap::new();
    for (hour, part, count) in hours.filter(|(.., count)| *count > 0) {
        *counts.entry((Slot::of(reader, range, hour), part)).or_default() += count;
    }
    if counts.is_empty() {
        return None;
    }
    let bars = slots(reader, range, overview).into_iter().map(|(slot, name)| {
        let of = |part: K| counts.get(&(slot, part)).copied().unwrap_or(0);
        Bar { name, parts: parts.iter().map(|(part, _)| of(*part)).collect() }
    });
    let bars = bars.collect();
    Some(Series { unit: Unit::Count, parts: parts.into_iter().map(|(_, part)| part).collect(), bars })
}

/// New leads by source, the larger ones first.
pub(super) fn leads(reader: &Reader, range: Range, overview: &Overview) -> Option<Series> {
    let mut by_source: BTreeMap<&str, i64> = BTreeMap::new();
    for hour in &overview.leads {
        *by_source.entry(&hour.source).or_default() += hour.count;
    }
    let mut largest: Vec<(&str, i64)> = by_source.into_iter().collect();
    largest.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let place: BTreeMap<&str, usize> =
        largest.iter().enumerate().map(|(place, (source, _))| (*source, place.min(COLOURS))).collect();
    let own = largest.iter().take(COLOURS).enumerate();
    let mut parts: Vec<(usize, Part)> =
        own.map(|(colour, (source, _))| (colour, Part::new(colour, *source))).collect();
    if largest.len() > COLOURS {
        parts.push((COLOURS, Part::new(COLOURS, reader.say("others", "інші"))));
    }
    let hours = overview.leads.iter().map(|hour| {
        let part = place.get(hour.source.as_str()).copied().unwrap_or(COLOURS);
        (hour.hour, part, hour.count)
    });
    counted(reader, range, overview, parts, hours)
}

/// How syncs ended, at all destinations together.
pub(super) fn outcomes(reader: &Reader, range: Range, overview: &Overview) -> Option<Series> {
    let parts = vec![
        ("synced", Part::new(GOOD, reader.say("Brought there", "Передано"))),
        ("filtered", Part::new(PLAIN, reader.say("Filtered", "Відфільтровано"))),
        ("needs-attention", Part::new(BAD, reader.say("Needs attention", "Потребує уваги"))),
    ];
    let hours = overview.ended_by_hour.iter().map(|hour| (hour.hour, hour.state.as_str(), hour.count));
    counted(reader, range, overview, parts, hours)
}

/// Duplicates that were prevented.
pub(super) fn prevented(reader: &Reader, range: Range, overview: &Overview) -> Option<Series> {
    let parts = vec![
        (0, Part::new(0, reader.say("Redeliveries", "Повторні доставки"))),
        (1, Part::new(2, reader.say("Second contacts", "Другі контакти"))),
        (2, Part::new(3, reader.say("Second deals", "Другі угоди"))),
    ];
    let hours = overview.prevented_by_hour.iter().flat_map(|hour| {
        let counts =
            [hour.prevented.redeliveries, hour.prevented.contacts_found, hour.prevented.tasks_instead];
        (0..).zip(counts).map(|(part, count)| (hour.hour, part, count))
    });
    counted(reader, range, overview, parts, hours)
}

/// How long leads took to all destinations: half of them, and upon it what 95 of 100 took longer.
pub(super) fn times(reader: &Reader, range: Range, overview: &Overview) -> Option<Series> {
    let mut by_slot: BTreeMap<Slot, Vec<&TookHour>> = BTreeMap::new();
    for hour in &overview.took_by_hour {
        by_slot.entry(Slot::of(reader, range, hour.hour)).or_default().push(hour);
    }
    if by_slot.is_empty() {
        return None;
    }
    let bars = slots(reader, range, overview).into_iter().map(|(slot, name)| {
        let took = by_slot.get(&slot).and_then(|hours| Took::of(hours.iter().copied()));
        let parts = took.map_or([0, 0], |took| [took.p50, took.p95 - took.p50]);
        Bar { name, parts: parts.to_vec() }
    });
    let parts = vec![
        Part::new(0, reader.say("Half within (p50)", "Половина за (p50)")),
        Part::new(2, reader.say("95 of 100 within (p95)", "95 зі 100 за (p95)")),
    ];
    Some(Series { unit: Unit::Time, parts, bars: bars.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::overview::{EndedHour, Hour};

    const NOON: &str = "2026-11-22T12:00:00Z";

    fn overview() -> Overview {
        let until: Timestamp = NOON.parse().unwrap();
        Overview { since: until - SignedDuration::from_hours(23), until, ..Overview::default() }
    }

    #[test]
    fn what_is_small_stands_together_and_nothing_is_lost() {
        let mut overview = overview();
        for source in 0..8 {
            let count = 10 - source;
            overview.leads.push(Hour {
                hour: overview.until,
                source: format!("source{source}"),
                state: "mapped".to_owned(),
                count,
            });
        }
        let series = leads(&Reader::for_tests(), Range::Day, &overview).unwrap();
        assert_eq!(series.bars.len(), 24);
        let last = series.bars.last().unwrap();
        assert_eq!((last.name.as_str(), &last.parts[..]), ("12:00", &[10, 9, 8, 7, 6, 5 + 4 + 3][..]));
        assert_eq!(series.parts.len(), 6);
    }

    #[test]
    fn hours_are_the_readers_days_for_longer_times() {
        let mut overview = overview();
        overview.since = overview.until - SignedDuration::from_hours(47);
        // An hour before midnight in Kyiv, and the hour after it.
        for hour in ["2026-11-21T21:00:00Z", "2026-11-21T22:00:00Z"] {
            overview.ended_by_hour.push(EndedHour {
                hour: hour.parse().unwrap(),
                destination: "crm".to_owned(),
                state: "synced".to_owned(),
                count: 1,
            });
        }
        let reader = Reader { zone: crate::console::words::zone(Some("Europe/Kyiv")), ..Reader::for_tests() };
        let series = outcomes(&reader, Range::Week, &overview).unwrap();
        let told: Vec<(&str, i64)> =
            series.bars.iter().map(|bar| (bar.name.as_str(), bar.parts[0])).collect();
        assert_eq!(told, [("20.11", 0), ("21.11", 1), ("22.11", 1)]);
    }

    #[test]
    fn a_time_is_of_all_that_went_there_in_it() {
        let mut overview = overview();
        for (at_most, count) in [(Some(100), 50), (Some(1_000), 50)] {
            let destination = "crm".to_owned();
            overview.took_by_hour.push(TookHour { hour: overview.until, destination, at_most, count });
        }
        let series = times(&Reader::for_tests(), Range::Day, &overview).unwrap();
        assert_eq!(series.bars.last().unwrap().parts, [100, 950 - 100]);
        assert!(times(&Reader::for_tests(), Range::Day, &super::tests::overview()).is_none());
    }
}
