//! Owner pools: who got how many deals, and who takes one now.

use std::collections::BTreeMap;

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::decide::{Absence, attendance, back_at, spell};
use crate::map::Workspace;
use crate::rules::{Hours, InactiveUsers, OwnerPool, PoolState, WeeklyHours};
use crate::store::hourly::Kind;
use crate::store::{Store, StoreError};

/// A pool with what it remembers at one destination.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PoolNow {
    /// Name in the workspace.
    pub pool: String,
    /// Where its deals are.
    pub destination: String,
    /// IANA name of where its days and hours are counted.
    pub time_zone: String,
    /// The day that `today` counts.
    pub day: String,
    /// When it works, from Monday on, each day as `09:00-18:00`; absent: day and night.
    pub hours: Option<Week>,
    /// The people, in the order of the YAML.
    pub owners: Vec<Member>,
    /// Who takes deals while nobody is there.
    pub fallback: Option<String>,
    /// When all this is so, as the people of the pool read it.
    #[serde(skip)]
    pub at: String,
}

/// The hours of each day of the week, Monday first.
pub type Week = [Vec<String>; 7];

/// One of a pool.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Member {
    /// As the CRM knows them.
    pub user: String,
    /// Share of the deals relative to the others.
    pub weight: u32,
    /// The most deals of one day.
    pub daily_cap: Option<u32>,
    /// Deals of today.
    pub today: u64,
    /// Deals since Monday.
    pub week: i64,
    /// Deals since the pool exists.
    pub total: u64,
    /// Whether they take a deal now.
    pub available: bool,
    /// Why not.
    pub why: Option<String>,
    /// When they take a deal again; `None` also when nobody can tell.
    pub back_at: Option<Timestamp>,
    /// Their own hours.
    pub hours: Option<Week>,
    /// `why`, to be told in another language.
    #[serde(skip)]
    pub absence: Option<Absence>,
    /// `back_at`, as the people of the pool read it.
    #[serde(skip)]
    pub back: Option<String>,
}

impl PoolNow {
    /// A pool at a moment; `week` has the deals of each user since Monday.
    pub fn of(
        pool: &OwnerPool,
        state: &PoolState,
        week: &BTreeMap<String, i64>,
        destination: &str,
        now: Timestamp,
    ) -> Self {
        let zone = &pool.time_zone;
        let day = zone.to_datetime(now).date();
        let owners = attendance(pool, state, &InactiveUsers::default(), now).into_iter().map(|member| {
            let back_at = back_at(pool, &member, now);
            let owner = member.owner;
            Member {
                user: owner.user.clone(),
                weight: owner.weight,
                daily_cap: owner.daily_cap,
                today: state.taken_on(day, &owner.user),
                week: week.get(&owner.user).copied().unwrap_or(0),
                total: state.total.get(&owner.user).copied().unwrap_or(0),
                available: member.absence.is_none(),
                why: member.absence.map(Absence::text),
                back_at,
                hours: owner.hours.as_ref().map(told),
                absence: member.absence,
                back: back_at.map(|at| zone.to_datetime(at).strftime("%a %Y-%m-%d %H:%M").to_string()),
            }
        });
        Self {
            pool: pool.name.clone(),
            destination: destination.to_owned(),
            time_zone: zone.iana_name().unwrap_or("UTC").to_owned(),
            day: day.to_string(),
            hours: pool.hours.as_ref().map(told),
            owners: owners.collect(),
            fallback: pool.fallback.clone(),
            at: spell(zone, now),
        }
    }
}

/// Every pool of a workspace at each of its CRMs.
pub async fn pools_now(
    store: &Store,
    workspace: &Workspace,
    now: Timestamp,
) -> Result<Vec<PoolNow>, StoreError> {
    if workspace.owner_pools.is_empty() {
        return Ok(Vec::new());
    }
    // No zone is more than a day away.
    let since = now.saturating_sub(SignedDuration::from_hours(8 * 24)).unwrap_or(Timestamp::UNIX_EPOCH);
    let turns = store.by_hour(Kind::Turn, since).await?;
    let mut all = Vec::new();
    for destination in workspace.destinations.keys().filter(|name| !workspace.bots.contains_key(*name)) {
        let memory = store.pools(destination).await?;
        for pool in workspace.owner_pools.values() {
            let state = memory.iter().find(|(name, _)| *name == pool.name);
            let state = state.map(|(_, state)| state.clone()).unwrap_or_default();
            let monday = monday(&pool.time_zone, now);
            let mut week: BTreeMap<String, i64> = BTreeMap::new();
            for turn in turns.iter().filter(|turn| turn.subject == *destination && turn.hour >= monday) {
                if let Some((name, user)) = turn.name.split_once('\t')
                    && name == pool.name
                {
                    *week.entry(user.to_owned()).or_default() += turn.count;
                }
            }
            all.push(PoolNow::of(pool, &state, &week, destination, now));
        }
    }
    Ok(all)
}

/// The midnight with which the week began.
fn monday(zone: &TimeZone, now: Timestamp) -> Timestamp {
    let today = zone.to_datetime(now).date();
    let since = i64::from(today.weekday().to_monday_zero_offset());
    let monday = today.checked_sub(SignedDuration::from_hours(24 * since)).unwrap_or(today);
    zone.to_timestamp(monday.to_datetime(jiff::civil::Time::midnight())).unwrap_or(now)
}

fn told(hours: &WeeklyHours) -> Week {
    const DAYS: [Weekday; 7] = [
        Weekday::Monday,
        Weekday::Tuesday,
        Weekday::Wednesday,
        Weekday::Thursday,
        Weekday::Friday,
        Weekday::Saturday,
        Weekday::Sunday,
    ];
    let clock = |minutes: i32| format!("{:02}:{:02}", minutes / 60 % 24, minutes % 60);
    let span = |hours: &Hours| match hours.to {
        1_440 => format!("{}-24:00", clock(hours.from)),
        to => format!("{}-{}", clock(hours.from), clock(to)),
    };
    DAYS.map(|day| hours.on(day).iter().map(span).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_begins_on_monday_where_the_pool_is() {
        let check = |zone: &str, now: &str, expect: &str| {
            let zone = TimeZone::get(zone).unwrap();
            assert_eq!(monday(&zone, now.parse().unwrap()), expect.parse::<Timestamp>().unwrap(), "{now}");
        };
        check("UTC", "2026-11-22T10:00:00Z", "2026-11-16T00:00:00Z");
        check("UTC", "2026-11-16T00:00:00Z", "2026-11-16T00:00:00Z");
        // Late on Sunday in London it is Monday in Kyiv.
        check("Europe/Kyiv", "2026-11-22T22:30:00Z", "2026-11-22T22:00:00Z");
    }

    #[test]
    fn hours_are_told_by_day() {
        let mut week = WeeklyHours::default();
        week.0[0] = vec![Hours { from: 540, to: 780 }, Hours { from: 840, to: 1_440 }];
        week.0[6] = vec![Hours { from: 1_320, to: 1_800 }];
        let told = told(&week);
        assert_eq!(told[0], ["09:00-13:00", "14:00-24:00"]);
        assert_eq!(told[6], ["22:00-06:00"]);
        assert!(told[1].is_empty());
    }
}
