//! The overview: what came, what became of it, and how long that took, from the counters of each hour.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Means, Operation, OperationError};
use crate::access::Role;
use crate::store::hourly::{
    CONTACT_FOUND, CONTACT_MADE, Counted, DEAL_MADE, Kind, REDELIVERY, TASK_INSTEAD, percentile,
};

/// Looks at the last hours. Changes nothing.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LookAtOverview {
    /// So many hours back, 1 to 8760; 24 when absent.
    #[serde(default = "a_day")]
    pub hours: u32,
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
    /// What did not get into the CRM a second time.
    pub prevented: Prevented,
    /// Contacts that were made.
    pub contacts_made: i64,
    /// Deals that were made.
    pub deals_made: i64,
    /// From the request to the CRM, by destination, of new leads that were brought there.
    pub took: BTreeMap<String, Took>,
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
        let records = store.in_all(Kind::Record, since).await?;
        let of = |name: &str| sum(&records, name);
        let (repeated, leads): (Vec<Counted>, Vec<Counted>) = store
            .by_hour(Kind::Lead, since)
            .await?
            .into_iter()
            .partition(|counted| counted.name == REDELIVERY);
        let mut ended: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
        for counted in store.in_all(Kind::Sync, since).await? {
            ended.entry(counted.subject).or_default().insert(counted.name, counted.count);
        }
        Ok(Overview {
            since,
            until,
            leads: leads.into_iter().map(Hour::from).collect(),
            ended,
            prevented: Prevented {
                redeliveries: sum(&repeated, REDELIVERY),
                contacts_found: of(CONTACT_FOUND),
                tasks_instead: of(TASK_INSTEAD),
            },
            contacts_made: of(CONTACT_MADE),
            deals_made: of(DEAL_MADE),
            took: took(&store.in_all(Kind::Took, since).await?),
        })
    }
}

impl From<Counted> for Hour {
    fn from(Counted { hour, subject, name, count }: Counted) -> Self {
        Self { hour, source: subject, state: name, count }
    }
}

fn sum(counted: &[Counted], name: &str) -> i64 {
    counted.iter().filter(|counted| counted.name == name).map(|counted| counted.count).sum()
}

fn took(counted: &[Counted]) -> BTreeMap<String, Took> {
    let mut by_destination: BTreeMap<String, BTreeMap<i64, i64>> = BTreeMap::new();
    for Counted { subject, name, count, .. } in counted {
        let bound = name.parse().unwrap_or(i64::MAX);
        *by_destination.entry(subject.clone()).or_default().entry(bound).or_default() += count;
    }
    let millis = |span: SignedDuration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    let told = by_destination.into_iter().filter_map(|(destination, counts)| {
        let (p50, p95) = (percentile(&counts, 50)?, percentile(&counts, 95)?);
        Some((destination, Took { leads: counts.values().sum(), p50: millis(p50), p95: millis(p95) }))
    });
    told.collect()
}
