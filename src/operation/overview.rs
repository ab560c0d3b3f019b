//! The overview: what came, what became of it, and how long that took, from the counters of each hour.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Means, Operation, OperationError};
use crate::access::Role;
use crate::store::hourly::{
    CONTACT_FOUND, CONTACT_MADE, Counted, DEAL_MADE, Kind, REDELIVERY, TASK_INSTEAD, percentile,
};

/// Looks at the last hours. Changes nothing.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LookAtOverview {
    /// So many hours back, 1 to 8760; 24 when absent.
    #[serde(default = "a_day")]
    pub hours: u32,
    /// An IANA time zone, such as `Europe/Kyiv`: what is told by the hour is told by its days then, each with its first hour in
    /// which something was counted.
    #[serde(default)]
    pub days_of: Option<String>,
}

fn a_day() -> u32 {
    24
}

/// The most hours that are looked at: a year.
const MOST_HOURS: u32 = 8_760;

/// What came and what became of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Overview {
    /// The beginning of the first hour that is counted.
    pub since: Timestamp,
    /// The moment of asking; the last hour is not over.
    pub until: Timestamp,
    /// New leads by the hour of their request, source and state (mapped, filtered, needs-attention); as
    /// `leadfold_leads_total`.
    pub leads: Vec<Hour>,
    /// Syncs that came to their end, by destination and state; as `leadfold_syncs_total`.
    pub ended: BTreeMap<String, BTreeMap<String, i64>>,
    /// The same by the hour in which they did.
    pub ended_by_hour: Vec<EndedHour>,
    /// What did not get into the CRM a second time.
    pub prevented: Prevented,
    /// The same by hour; hours in which nothing was prevented are left out.
    pub prevented_by_hour: Vec<PreventedHour>,
    /// Contacts that were made.
    pub contacts_made: i64,
    /// Deals that were made.
    pub deals_made: i64,
    /// From the request to the CRM, by destination, of new leads that were brought there.
    pub took: BTreeMap<String, Took>,
    /// What that is reckoned from, by the hour in which they were there.
    pub took_by_hour: Vec<TookHour>,
}

/// New leads of one hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hour {
    /// When it begins.
    pub hour: Timestamp,
    /// The source.
    pub source: String,
    /// What the mapping made of them.
    pub state: String,
    /// How many.
    pub count: i64,
}

/// Syncs that came to their end in one hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndedHour {
    /// When it begins.
    pub hour: Timestamp,
    /// The destination.
    pub destination: String,
    /// How they ended.
    pub state: String,
    /// How many.
    pub count: i64,
}

/// Duplicates that were prevented in one hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PreventedHour {
    /// When it begins.
    pub hour: Timestamp,
    /// Which, and how many.
    #[serde(flatten)]
    pub prevented: Prevented,
}

/// Leads that were brought to a destination in one hour, and took about as long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TookHour {
    /// When it begins.
    pub hour: Timestamp,
    /// The destination.
    pub destination: String,
    /// At most so many milliseconds, and more than the next smaller one that is ever told; absent: longer than all of them.
    pub at_most: Option<i64>,
    /// How many.
    pub count: i64,
}

/// Duplicates that were prevented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Prevented {
    /// Events that a platform sent again.
    pub redeliveries: i64,
    /// Leads whose contact was there already.
    pub contacts_found: i64,
    /// Tasks on an open deal, instead of a second deal.
    pub tasks_instead: i64,
}

/// How long leads took, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Took {
    /// How many leads.
    pub leads: i64,
    /// Half of them at most so long.
    pub p50: i64,
    /// 95 of 100 at most so long.
    pub p95: i64,
}

impl Operation for LookAtOverview {
    const PATH: &'static str = "/api/overview";
    const ROLE: Role = Role::Viewer;
    type Answer = Overview;

    async fn run(self, means: &Means) -> Result<Overview, OperationError> {
        if !(1..=MOST_HOURS).contains(&self.hours) {
            return Err(OperationError::Refused(format!("hours goes from 1 to {MOST_HOURS}")));
        }
        let (store, until) = (&means.store, means.clock.now());
        // The hour that is not over is one of them.
        let since = until - SignedDuration::from_hours(i64::from(self.hours) - 1);
        let since =
            Timestamp::from_second(since.as_second() - since.as_second().rem_euclid(3_600)).unwrap_or(since);
        let zone = self.days_of.map(|name| {
            let unknown =
                || format!("'{name}' is no time zone that is known here; write one such as Europe/Kyiv");
            TimeZone::get(&name).map_err(|_| OperationError::Refused(unknown()))
        });
        let zone = zone.transpose()?;
        let counted = async |kind: Kind| match &zone {
            Some(zone) => store.by_day(kind, since, until, zone).await,
            None => store.by_hour(kind, since).await,
        };
        let records = counted(Kind::Record).await?;
        let (repeated, leads): (Vec<Counted>, Vec<Counted>) =
            counted(Kind::Lead).await?.into_iter().partition(|counted| counted.name == REDELIVERY);
        let ended_by_hour: Vec<EndedHour> =
            counted(Kind::Sync).await?.into_iter().map(EndedHour::from).collect();
        let mut ended: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
        for hour in &ended_by_hour {
            *ended.entry(hour.destination.clone()).or_default().entry(hour.state.clone()).or_default() +=
                hour.count;
        }
        let took_by_hour: Vec<TookHour> =
            counted(Kind::Took).await?.into_iter().map(TookHour::from).collect();
        let prevented_by_hour = prevented(repeated.iter().chain(&records));
        Ok(Overview {
            since,
            until,
            leads: leads.into_iter().map(Hour::from).collect(),
            ended,
            ended_by_hour,
            prevented: prevented_by_hour
                .iter()
                .fold(Prevented::default(), |all, hour| all.and(hour.prevented)),
            prevented_by_hour,
            contacts_made: sum(&records, CONTACT_MADE),
            deals_made: sum(&records, DEAL_MADE),
            took: by_destination(&took_by_hour),
            took_by_hour,
        })
    }
}

impl From<Counted> for Hour {
    fn from(Counted { hour, subject, name, count }: Counted) -> Self {
        Self { hour, source: subject, state: name, count }
    }
}

impl From<Counted> for EndedHour {
    fn from(Counted { hour, subject, name, count }: Counted) -> Self {
        Self { hour, destination: subject, state: name, count }
    }
}

impl From<Counted> for TookHour {
    fn from(Counted { hour, subject, name, count }: Counted) -> Self {
        let at_most = name.parse().ok().filter(|bound| *bound != i64::MAX);
        Self { hour, destination: subject, at_most, count }
    }
}

fn sum(counted: &[Counted], name: &str) -> i64 {
    counted.iter().filter(|counted| counted.name == name).map(|counted| counted.count).sum()
}

/// What was prevented, by hour.
fn prevented<'c>(counted: impl Iterator<Item = &'c Counted>) -> Vec<PreventedHour> {
    let mut hours: BTreeMap<Timestamp, Prevented> = BTreeMap::new();
    for Counted { hour, name, count, .. } in counted {
        let one = match name.as_str() {
            REDELIVERY => Prevented { redeliveries: *count, ..Prevented::default() },
            CONTACT_FOUND => Prevented { contacts_found: *count, ..Prevented::default() },
            TASK_INSTEAD => Prevented { tasks_instead: *count, ..Prevented::default() },
            _ => continue,
        };
        let all = hours.entry(*hour).or_default();
        *all = all.and(one);
    }
    hours.into_iter().map(|(hour, prevented)| PreventedHour { hour, prevented }).collect()
}

impl Prevented {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            redeliveries: self.redeliveries + other.redeliveries,
            contacts_found: self.contacts_found + other.contacts_found,
            tasks_instead: self.tasks_instead + other.tasks_instead,
        }
    }
}

fn by_destination(hours: &[TookHour]) -> BTreeMap<String, Took> {
    let mut destinations: BTreeMap<&str, Vec<&TookHour>> = BTreeMap::new();
    for hour in hours {
        destinations.entry(&hour.destination).or_default().push(hour);
    }
    let told = destinations
        .into_iter()
        .filter_map(|(destination, hours)| Some((destination.to_owned(), Took::of(hours)?)));
    told.collect()
}

impl Took {
    /// Of these; `None` where there is none.
    pub fn of<'h>(hours: impl IntoIterator<Item = &'h TookHour>) -> Option<Self> {
        let mut counts: BTreeMap<i64, i64> = BTreeMap::new();
        for hour in hours {
            *counts.entry(hour.at_most.unwrap_or(i64::MAX)).or_default() += hour.count;
        }
        let millis = |span: SignedDuration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        let (p50, p95) = (percentile(&counts, 50)?, percentile(&counts, 95)?);
        Some(Self { leads: counts.values().sum(), p50: millis(p50), p95: millis(p95) })
    }
}
