//! Counters by the hour, for charts. They are written in the transactions that store what they count, one statement for all
//! that a transaction counts, so that they are as exact as the registry, and several processes add up.

use std::collections::BTreeMap;

use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::sql::{Arg, Connection, args, list};
use super::{Store, StoreError};
use crate::id::SyncId;
use crate::plan::StepKind;

/// Milliseconds of an hour, and of a day.
const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// By source: new leads by what the mapping made of them, as in `leadfold_leads_total`, and [`REDELIVERY`]. In the hour
    /// in which the request came.
    Lead,
    /// By destination: syncs that came to an end, as in `leadfold_syncs_total`.
    Sync,
    /// By destination: what synced leads met or made there ([`CONTACT_MADE`] and those after it).
    Record,
    /// By destination: how long new leads took from the request to the end of their sync, by [`BOUNDS`].
    Took,
    /// By destination: turns of owner pools; the name is pool and user with a tab between them.
    Turn,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Lead => "lead",
            Self::Sync => "sync",
            Self::Record => "record",
            Self::Took => "took",
            Self::Turn => "turn",
        }
    }
}

/// An event that was seen before.
pub const REDELIVERY: &str = "redelivery";
/// A contact was made.
pub const CONTACT_MADE: &str = "contact made";
/// The contact was there already, and no second one was made.
pub const CONTACT_FOUND: &str = "contact found";
/// A deal was made.
pub const DEAL_MADE: &str = "deal made";
/// A task was made on the deal that was open, instead of a second deal.
pub const TASK_INSTEAD: &str = "task instead";

/// Upper bounds of how long a lead took, in milliseconds; what took longer is counted at [`i64::MAX`].
pub const BOUNDS: [i64; 20] = [
    100,
    250,
    500,
    1_000,
    2_000,
    3_000,
    5_000,
    10_000,
    20_000,
    30_000,
    60_000,
    120_000,
    300_000,
    600_000,
    1_800_000,
    3_600_000,
    10_800_000,
    43_200_000,
    86_400_000,
    604_800_000,
];

/// A counter of one hour, or of several together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// When the hour begins; of several, the first.
    pub hour: Timestamp,
    /// The source or destination.
    pub subject: String,
    /// What exactly.
    pub name: String,
    /// How many.
    pub count: i64,
}

/// What a transaction counts.
#[derive(Debug, Default)]
pub(super) struct Tally(BTreeMap<(Kind, i64, String, String), i64>);

impl Tally {
    /// Counts something at a moment, in milliseconds since 1970.
    pub(super) fn add(&mut self, kind: Kind, at: i64, subject: &str, name: &str, count: i64) {
        if count > 0 {
            let key = (kind, at - at.rem_euclid(HOUR), subject.to_owned(), name.to_owned());
            *self.0.entry(key).or_default() += count;
        }
    }

    /// Adds it to what is stored, in the order of the key: two transactions that meet never wait for each other.
    pub(super) async fn store(self, connection: &mut Connection) -> Result<(), StoreError> {
        let rows = self.0.into_iter().map(|((kind, hour, subject, name), count)| {
            args![kind.as_str(), hour, subject.as_str(), name.as_str(), count]
        });
        connection
            .insert_rows(
                "hourly (kind, hour, subject, name, count)",
                rows.collect(),
                "ON CONFLICT (kind, hour, subject, name) DO UPDATE SET count = hourly.count + excluded.count",
            )
            .await
    }

    /// Counts syncs that have come to their end, as they are stored by now.
    pub(super) async fn add_ends(
        &mut self,
        connection: &mut Connection,
        destination: &str,
        syncs: &[SyncId],
        now: i64,
    ) -> Result<(), StoreError> {
        if syncs.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "SELECT syncs.state, syncs.priority + syncs.brought + syncs.forced, leads.received_at, \
               (SELECT string_agg(steps.kind, ',') FROM steps \
                WHERE steps.sync = syncs.id AND steps.state = 'done' AND steps.past = 0) \
             FROM syncs JOIN leads ON leads.id = syncs.lead WHERE syncs.id IN ({})",
            list(1, syncs.len())
        );
        for row in connection.fetch(&sql, syncs.iter().copied().map(Arg::from).collect()).await? {
            let state = row.text(0)?;
            self.add(Kind::Sync, now, destination, &state, 1);
            if state != "synced" {
                continue;
            }
            // Backfill and what goes once more say nothing of how long a new lead takes.
            if row.int(1)? == 0 {
                let took = bound(now.saturating_sub(row.int(2)?)).to_string();
                self.add(Kind::Took, now, destination, &took, 1);
            }
            let steps = row.optional_text(3)?.unwrap_or_default();
            for name in met(&steps) {
                self.add(Kind::Record, now, destination, name, 1);
            }
        }
        Ok(())
    }
}

/// The bound that a time counts at.
fn bound(took: i64) -> i64 {
    BOUNDS.into_iter().find(|bound| took <= *bound).unwrap_or(i64::MAX)
}

/// What a synced lead met or made, by the kinds of its steps with commas between them.
fn met(steps: &str) -> Vec<&'static str> {
    let has = |kind: StepKind| steps.split(',').any(|step| step == kind.as_str());
    if has(StepKind::Call) {
        return Vec::new();
    }
    let mut met = vec![if has(StepKind::CreateContact) { CONTACT_MADE } else { CONTACT_FOUND }];
    if has(StepKind::CreateDeal) {
        met.push(DEAL_MADE);
    } else if has(StepKind::CreateTask) {
        met.push(TASK_INSTEAD);
    }
    met
}

/// The number of the day in which an hour begins, as an expression: a zone has one offset for each stretch of time.
fn day(zone: &TimeZone, since: Timestamp, until: Timestamp) -> String {
    let day = |offset: Offset| format!("(hour + {}) / {DAY}", i64::from(offset.seconds()) * 1_000);
    let mut cases: Vec<String> = zone
        .following(since)
        .take_while(|change| change.timestamp() <= until)
        .map(|change| {
            format!("WHEN hour >= {} THEN {}", change.timestamp().as_millisecond(), day(change.offset()))
        })
        .collect();
    // Whatever is later comes first: the first that holds counts.
    cases.reverse();
    let first = day(zone.to_offset(since));
    if cases.is_empty() { first } else { format!("CASE {} ELSE {first} END", cases.join(" ")) }
}

/// How long so many in a hundred took at most, from counts by bound: between two bounds they count as spread evenly.
/// `None` where nothing was counted.
pub fn percentile(counts: &BTreeMap<i64, i64>, percent: u8) -> Option<SignedDuration> {
    let all: i64 = counts.values().sum();
    if all <= 0 {
        return None;
    }
    let rank = (all * i64::from(percent)).div_euclid(100).max(1);
    let mut before = 0;
    for (bound, count) in counts {
        if before + count >= rank {
            let lower = BOUNDS.into_iter().rev().find(|lower| lower < bound).unwrap_or(0);
            // Beyond the last bound nobody knows how far.
            let width = if *bound == i64::MAX { 0 } else { bound - lower };
            let within = width.saturating_mul(rank - before) / (*count).max(1);
            return Some(SignedDuration::from_millis(lower + within));
        }
        before += count;
    }
    None
}

impl Store {
    /// The counters of a kind from a moment on, by hour, source or destination, and name.
    pub async fn by_hour(&self, kind: Kind, since: Timestamp) -> Result<Vec<Counted>, StoreError> {
        let sql = "SELECT hour, subject, name, count FROM hourly WHERE kind = $1 AND hour >= $2 \
                   ORDER BY hour, subject, name";
        self.counted(sql, kind, since).await
    }

    /// The same by the days of a zone, each told by its first hour in which something was counted: however long the time is,
    /// so many rows are read as there are days.
    pub async fn by_day(
        &self,
        kind: Kind,
        since: Timestamp,
        until: Timestamp,
        zone: &TimeZone,
    ) -> Result<Vec<Counted>, StoreError> {
        let sql = format!(
            "SELECT MIN(hour) AS first, subject, name, CAST(SUM(count) AS BIGINT) FROM hourly \
             WHERE kind = $1 AND hour >= $2 GROUP BY {}, subject, name ORDER BY first, subject, name",
            day(zone, since, until)
        );
        self.counted(&sql, kind, since).await
    }

    /// The same, all hours together.
    pub async fn in_all(&self, kind: Kind, since: Timestamp) -> Result<Vec<Counted>, StoreError> {
        let sql = "SELECT MIN(hour), subject, name, CAST(SUM(count) AS BIGINT) FROM hourly \
                   WHERE kind = $1 AND hour >= $2 GROUP BY subject, name ORDER BY subject, name";
        self.counted(sql, kind, since).await
    }

    async fn counted(&self, sql: &str, kind: Kind, since: Timestamp) -> Result<Vec<Counted>, StoreError> {
        let since = since.as_millisecond();
        let rows = self.read(sql, args![kind.as_str(), since - since.rem_euclid(HOUR)]).await?;
        rows.iter()
            .map(|row| {
                Ok(Counted {
                    hour: row.timestamp(0)?,
                    subject: row.text(1)?,
                    name: row.text(2)?,
                    count: row.int(3)?,
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_synced_lead_is_counted_by_what_it_did() {
        let check = |steps: &str, expect: &[&str]| assert_eq!(met(steps), expect, "{steps}");
        check("create contact,create deal", &[CONTACT_MADE, DEAL_MADE]);
        check("update contact,create task", &[CONTACT_FOUND, TASK_INSTEAD]);
        check("create contact,create deal,create task", &[CONTACT_MADE, DEAL_MADE]);
        check("create deal", &[CONTACT_FOUND, DEAL_MADE]);
        check("", &[CONTACT_FOUND]);
        check("call", &[]);
    }

    #[test]
    fn times_are_told_between_their_bounds() {
        let check = |counts: &[(i64, i64)], percent: u8, expect: Option<i64>| {
            let counts = counts.iter().copied().collect();
            assert_eq!(
                percentile(&counts, percent),
                expect.map(SignedDuration::from_millis),
                "{counts:?} {percent}"
            );
        };
        check(&[], 50, None);
        check(&[(100, 1)], 50, Some(100));
        check(&[(1_000, 100)], 50, Some(750));
        check(&[(1_000, 90), (2_000, 10)], 95, Some(1_500));
        check(&[(1_000, 90), (2_000, 10)], 50, Some(777));
        check(&[(i64::MAX, 3)], 50, Some(604_800_000));
    }

    #[test]
    fn a_day_begins_when_it_does_in_the_zone() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let kyiv = TimeZone::get("Europe/Kyiv").unwrap();
        let check = |zone: &TimeZone, since: &str, until: &str, expect: &str| {
            assert_eq!(day(zone, at(since), at(until)), expect, "{since} {until}");
        };
        check(&kyiv, "2026-11-01T00:00:00Z", "2026-11-22T00:00:00Z", "(hour + 7200000) / 86400000");
        check(
            &kyiv,
            "2026-10-01T00:00:00Z",
            "2026-11-22T00:00:00Z",
            "CASE WHEN hour >= 1792890000000 THEN (hour + 7200000) / 86400000 ELSE (hour + 10800000) / 86400000 END",
        );
        check(&TimeZone::UTC, "2026-10-01T00:00:00Z", "2026-11-22T00:00:00Z", "(hour + 0) / 86400000");
    }

    #[test]
    fn every_time_has_a_bound() {
        for (took, expect) in [(-5, 100), (0, 100), (100, 100), (101, 250), (604_800_001, i64::MAX)] {
            assert_eq!(bound(took), expect, "{took}");
        }
        assert!(BOUNDS.is_sorted());
    }
}
