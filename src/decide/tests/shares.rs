//! Whether everybody gets their share.

use std::collections::BTreeMap;

use jiff::civil::date;
use proptest::prelude::*;

use super::*;

fn members(weights: &[u32]) -> Vec<PoolOwner> {
    let owners = weights.iter().enumerate();
    owners
        .map(|(number, weight)| PoolOwner { weight: *weight, ..PoolOwner::new(number.to_string()) })
        .collect()
}

/// What each member got, and what their share of it was, of deals for which these were available.
#[derive(Default)]
struct Shares {
    state: PoolState,
    got: BTreeMap<String, f64>,
    due: BTreeMap<String, f64>,
    /// The worst distance between the two after any deal, in deals.
    worst: f64,
}

impl Shares {
    fn deal(&mut self, available: &[&PoolOwner]) -> Option<String> {
        let turn = turns::next(available, &self.state, date(2026, 5, 4))?;
        self.state.take(&turn);
        self.count(available, &turn.user);
        Some(turn.user)
    }

    fn count(&mut self, available: &[&PoolOwner], user: &str) {
        let weights: u32 = available.iter().map(|owner| owner.weight).sum();
        for owner in available {
            *self.due.entry(owner.user.clone()).or_default() += f64::from(owner.weight) / f64::from(weights);
        }
        *self.got.entry(user.to_owned()).or_default() += 1.0;
        self.worst = self.worst.max(self.error());
    }

    fn error(&self) -> f64 {
        let error = |(user, due): (&String, &f64)| (self.got.get(user).unwrap_or(&0.0) - due).abs();
        self.due.iter().map(error).fold(0.0, f64::max)
    }
}

fn worst_error(weights: &[u32], deals: u32) -> f64 {
    let (members, mut shares) = (members(weights), Shares::default());
    let available: Vec<&PoolOwner> = members.iter().collect();
    for _ in 0..deals {
        shares.deal(&available);
    }
    shares.worst
}

fn order(owners: &[&str], deals: usize) -> Vec<String> {
    let members: Vec<PoolOwner> = owners.iter().map(|user| PoolOwner::new(*user)).collect();
    let (available, mut shares): (Vec<&PoolOwner>, _) = (members.iter().collect(), Shares::default());
    (0..deals).filter_map(|_| shares.deal(&available)).collect()
}

#[test]
fn equal_weights_take_turns_in_the_order_of_the_yaml() {
    assert_eq!(order(&["zoya", "adam", "max"], 6), ["zoya", "adam", "max", "zoya", "adam", "max"]);
    let thousands = order(&["zoya", "adam", "max"], 9_000);
    assert_eq!(thousands[8_997..], ["zoya", "adam", "max"], "and rounding does not creep in");
}

#[test]
fn a_share_is_never_off_by_a_whole_deal_in_ten_thousand() {
    for weights in
        [&[1][..], &[1, 1, 1], &[5, 1, 1], &[70, 20, 10], &[1, 27, 3, 19, 1, 1, 3, 1, 1, 19, 5], &[1000, 1]]
    {
        let error = worst_error(weights, 10_000);
        assert!(error < 1.0, "{weights:?} drifts by {error} deals");
    }
}

proptest! {
    #[test]
    fn no_weights_let_a_share_drift_by_a_whole_deal(weights in proptest::collection::vec(1_u32..40, 1..12)) {
        prop_assert!(worst_error(&weights, 500) < 1.0);
    }

    #[test]
    fn any_memory_is_survived(
        owed in proptest::collection::btree_map("[01]", any::<i64>(), 0..3),
        weights in proptest::collection::vec(any::<u32>(), 2),
    ) {
        let members = members(&weights);
        let state = PoolState { owed, ..PoolState::default() };
        let turn = turns::next(&members.iter().collect::<Vec<_>>(), &state, date(2026, 5, 4));
        prop_assert_eq!(turn.is_none(), weights == [0, 0]);
        let mut state = state;
        state.take(&turn.unwrap_or(Turn { user: String::new(), day: date(2026, 5, 4), owed: BTreeMap::new() }));
    }
}

#[test]
fn who_was_away_is_owed_no_more_than_two_deals() {
    let members = members(&[1, 1]);
    let (both, one) = (members.iter().collect::<Vec<_>>(), [&members[1]]);
    let mut shares = Shares::default();
    (0..50).for_each(|_| drop(shares.deal(&one)));
    let back: Vec<String> = (0..10).filter_map(|_| shares.deal(&both)).collect();
    assert_eq!(
        back.iter().filter(|user| *user == "0").count(),
        5,
        "what was missed is not made up: {back:?}"
    );

    // Nor does a damaged memory make one person pay for it.
    shares.state.owed.insert("0".to_owned(), i64::MAX);
    let after: Vec<String> = (0..10).filter_map(|_| shares.deal(&both)).collect();
    assert!((5..=8).contains(&after.iter().filter(|user| *user == "0").count()), "{after:?}");
}

/// A hundred days of a hundred leads, with shifts, absences, daily caps and leads that wait for the morning.
#[test]
fn shares_hold_through_hours_absences_and_caps() {
    let kyiv = jiff::tz::TimeZoneDatabase::bundled().get("Europe/Kyiv").unwrap();
    let week = |from: i32, to: i32| {
        let day = vec![Hours { from: from * 60, to: to * 60 }];
        WeeklyHours(std::array::from_fn(|weekday| if weekday < 5 { day.clone() } else { vec![] }))
    };
    let mut case = Case::new();
    *case.pool() = OwnerPool {
        time_zone: kyiv,
        hours: Some(week(9, 18)),
        days_off: vec![Days { first: date(2026, 5, 11), last: date(2026, 5, 12) }],
        ..OwnerPool::new(
            "sales",
            vec![
                PoolOwner { weight: 5, ..PoolOwner::new("olha") },
                PoolOwner { weight: 3, daily_cap: Some(20), ..PoolOwner::new("petro") },
                PoolOwner { weight: 3, hours: Some(week(12, 20)), ..PoolOwner::new("max") },
                PoolOwner {
                    weight: 1,
                    away: vec![Days { first: date(2026, 5, 20), last: date(2026, 6, 19) }],
                    ..PoolOwner::new("ira")
                },
            ],
        )
    };
    let mut shares = Shares::default();
    let mut waiting = 0;
    for lead in 0..10_000_i64 {
        case.now = now() + SignedDuration::from_secs(lead * 864);
        loop {
            let (pool, state) = case.pool.clone().unwrap();
            let there = attendance(&pool, &state, &case.inactive, case.now);
            let there: Vec<&PoolOwner> =
                there.iter().filter(|member| member.absence.is_none()).map(|member| member.owner).collect();
            match case.next() {
                Decision::Push { plan, .. } => {
                    shares.count(&there, &plan.picked_owner.unwrap());
                    break;
                }
                Decision::Waiting { until, .. } => {
                    assert!(there.is_empty() && until > case.now);
                    waiting += 1;
                    case.now = until;
                }
                other @ (Decision::Filtered(_) | Decision::NeedsAttention { .. }) => panic!("{other:?}"),
            }
        }
    }
    assert!(waiting > 1_000 && shares.got.len() == 4, "{waiting} {:?}", shares.got);
    assert!(shares.error() < 1.0, "{} {:?} {:?}", shares.error(), shares.got, shares.due);
    assert!(shares.worst < 2.0, "{}", shares.worst);
    let total: u64 = case.pool.unwrap().1.total.values().sum();
    assert_eq!(total, 10_000);
}
