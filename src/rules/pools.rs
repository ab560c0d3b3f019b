//! Owner pools: who may get a new deal and when they work, and what a pool remembers between turns.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// The people a new deal may be given to, and how one is picked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerPool {
    /// Name in the workspace.
    pub name: String,
    /// Where its hours and days are counted.
    pub time_zone: TimeZone,
    /// When its members work who have no hours of their own; `None`: day and night.
    pub hours: Option<WeeklyHours>,
    /// Days on which nobody works.
    pub days_off: Vec<Days>,
    /// The people, in the order of the YAML.
    pub owners: Vec<PoolOwner>,
    /// What becomes of a lead while nobody works.
    pub outside_hours: OutsideHours,
    /// Who gets the deal when nobody of the pool is available; `None`: the lead waits.
    pub fallback: Option<String>,
}

impl OwnerPool {
    /// A pool of people who are always there.
    pub fn new(name: impl Into<String>, owners: Vec<PoolOwner>) -> Self {
        Self {
            name: name.into(),
            time_zone: TimeZone::UTC,
            hours: None,
            days_off: Vec::new(),
            owners,
            outside_hours: OutsideHours::Wait,
            fallback: None,
        }
    }

    /// The same pool on a day on which everybody is there: what becomes of a sample does not depend on the day it is tried.
    #[must_use]
    pub fn fully_staffed(&self) -> Self {
        let owners = self.owners.iter();
        let owners = owners.map(|owner| PoolOwner { weight: owner.weight, ..PoolOwner::new(&*owner.user) });
        Self { fallback: self.fallback.clone(), ..Self::new(&*self.name, owners.collect()) }
    }
}

/// One member of an owner pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolOwner {
    /// The user as the CRM knows them.
    pub user: String,
    /// Share of the deals relative to the others; 1 is plain round robin, 0 takes none.
    pub weight: u32,
    /// The most deals they get by turn on one calendar day of the pool's time zone.
    pub daily_cap: Option<u32>,
    /// When they work, instead of the pool's hours.
    pub hours: Option<WeeklyHours>,
    /// When they are not there.
    pub away: Vec<Days>,
}

impl PoolOwner {
    /// Somebody who is always there and takes their full share.
    pub fn new(user: impl Into<String>) -> Self {
        Self { user: user.into(), weight: 1, daily_cap: None, hours: None, away: Vec::new() }
    }
}

/// Days in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days {
    /// The first of them.
    pub first: Date,
    /// The last of them, included.
    pub last: Date,
}

impl Days {
    /// Every day there is.
    pub const ALL: Self = Self { first: Date::MIN, last: Date::MAX };

    /// Whether this is one of them.
    pub fn contains(&self, day: Date) -> bool {
        (self.first..=self.last).contains(&day)
    }
}

/// Working hours of a week, by the day on which they begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WeeklyHours(pub [Vec<Hours>; 7]);

impl WeeklyHours {
    /// The hours that begin on this day of the week, in order.
    pub fn on(&self, day: Weekday) -> &[Hours] {
        let index = usize::try_from(day.to_monday_zero_offset()).unwrap_or_default();
        self.0.get(index).map(Vec::as_slice).unwrap_or_default()
    }
}

/// From one time to another, in minutes since the midnight on which their day begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hours {
    /// Below 24 hours.
    pub from: i32,
    /// Later than `from`, by at most 24 hours; beyond 24 hours it is the night to the next day.
    pub to: i32,
}

/// What becomes of a lead while those who could take it do not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutsideHours {
    /// It waits until the first of them does.
    Wait,
    /// It goes to the fallback.
    Fallback,
    /// It goes to whoever's turn it is, hours or not.
    Anyone,
}

/// What an owner pool remembers between turns, by destination.
///
/// It is the sum of the turns that were taken ([`take`](Self::take)). A turn is stored with the plan that took it, so a
/// plan that was never stored has taken none, in whatever order plans are stored and whenever the process ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PoolState {
    /// What each user is owed by the turns so far, in millionths of a millionth of a deal; below zero where they owe.
    pub owed: BTreeMap<String, i64>,
    /// The day that `today` is about: the latest on which a turn was taken, in the time zone of the pool.
    pub day: Option<Date>,
    /// Turns on that day, by user.
    pub today: BTreeMap<String, u64>,
    /// Turns since the pool exists, by user.
    pub total: BTreeMap<String, u64>,
}

/// One turn of a pool: who took it, and what that changes. Turns may be counted in any order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Who takes the deal.
    pub user: String,
    /// The calendar day, in the time zone of the pool.
    pub day: Date,
    /// What is added to what each user is owed, in millionths of a millionth of a deal.
    pub owed: BTreeMap<String, i64>,
}

impl PoolState {
    /// Counts a turn.
    pub fn take(&mut self, turn: &Turn) {
        for (user, change) in &turn.owed {
            let owed = self.owed.entry(user.clone()).or_default();
            *owed = owed.saturating_add(*change);
        }
        match self.day.cmp(&Some(turn.day)) {
            Ordering::Less => {
                self.day = Some(turn.day);
                self.today = BTreeMap::from([(turn.user.clone(), 1)]);
            }
            Ordering::Equal => *self.today.entry(turn.user.clone()).or_default() += 1,
            // Stored late: that day is over, and its count with it.
            Ordering::Greater => {}
        }
        *self.total.entry(turn.user.clone()).or_default() += 1;
    }

    /// Takes a counted turn back: its plan was not stored.
    pub fn give_back(&mut self, turn: &Turn) {
        let less = |count: Option<&mut u64>| {
            if let Some(count) = count {
                *count = count.saturating_sub(1);
            }
        };
        for (user, change) in &turn.owed {
            let owed = self.owed.entry(user.clone()).or_default();
            *owed = owed.saturating_sub(*change);
        }
        if self.day == Some(turn.day) {
            less(self.today.get_mut(&turn.user));
        }
        less(self.total.get_mut(&turn.user));
    }

    /// How many turns a user took on a day.
    pub fn taken_on(&self, day: Date, user: &str) -> u64 {
        let today = (self.day == Some(day)).then_some(&self.today);
        today.and_then(|today| today.get(user)).copied().unwrap_or_default()
    }
}

/// Users whom the CRM calls inactive, under every name they go by: id, login and display name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InactiveUsers(BTreeSet<String>);

impl InactiveUsers {
    /// Everybody is active.
    pub const NONE: Self = Self(BTreeSet::new());

    /// From all their names.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self(names.into_iter().map(|name| folded(&name)).filter(|name| !name.is_empty()).collect())
    }

    /// Whether this is one of them, however the name is written.
    pub fn has(&self, user: &str) -> bool {
        !self.0.is_empty() && self.0.contains(&folded(user))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A name as people write it, for comparing: capitals and spaces around it say nothing.
pub fn folded(name: &str) -> String {
    name.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn turn(user: &str, day: Date) -> Turn {
        Turn { user: user.into(), day, owed: [("anna".to_owned(), 5), (user.to_owned(), -7)].into() }
    }

    #[test]
    fn turns_may_be_counted_in_any_order() {
        let (first, second) = (date(2026, 5, 4), date(2026, 5, 5));
        let turns =
            [turn("boris", first), turn("boris", second), turn("dana", second), turn("boris", second)];
        let sum = |order: [usize; 4]| {
            let mut state = PoolState::default();
            for index in order {
                state.take(&turns[index]);
            }
            state
        };
        let expect = sum([0, 1, 2, 3]);
        assert_eq!((expect.taken_on(second, "boris"), expect.taken_on(second, "dana")), (2, 1));
        assert_eq!((expect.taken_on(first, "boris"), expect.total["boris"]), (0, 3));
        for order in [[3, 2, 1, 0], [1, 0, 2, 3], [2, 3, 1, 0]] {
            assert_eq!(sum(order), expect, "{order:?}");
        }
    }

    #[test]
    fn a_turn_given_back_has_not_been() {
        let (first, second) = (date(2026, 5, 4), date(2026, 5, 5));
        let mut state = PoolState::default();
        state.take(&turn("boris", first));
        state.take(&turn("dana", second));
        let before = state.clone();
        state.take(&turn("dana", second));
        state.give_back(&turn("dana", second));
        assert_eq!(state, before);
        state.give_back(&turn("boris", first));
        assert_eq!(
            (state.taken_on(second, "dana"), state.total["boris"]),
            (1, 0),
            "another day is left alone"
        );
    }

    #[test]
    fn a_memory_of_an_earlier_version_begins_anew() {
        let state: PoolState = serde_json::from_str(r#"{"credit": {"anna": -3}}"#).unwrap();
        assert_eq!(state, PoolState::default());
        let mut state = PoolState::default();
        state.take(&turn("dana", date(2026, 5, 4)));
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<PoolState>(&text).unwrap(), state);
    }

    #[test]
    fn inactive_users_are_known_by_every_spelling_of_their_names() {
        let users =
            InactiveUsers::new(["7", "Petro Shevchenko", "petro@example.com", " "].map(str::to_owned));
        for name in ["7", " petro shevchenko", "PETRO@example.com"] {
            assert!(users.has(name), "{name}");
        }
        assert!(!users.has("") && !users.has("olha") && !InactiveUsers::default().has("7"));
    }
}
