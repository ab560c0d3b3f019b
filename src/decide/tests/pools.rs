//! Who of a pool is there, who was skipped and why, and what a lead does while nobody is.

use jiff::civil::date;
use jiff::tz::TimeZoneDatabase;

use super::*;

/// Anna and Boris, Monday to Friday 9–18 in Kyiv; it is Monday 13:00 there.
fn office() -> OwnerPool {
    let day = vec![Hours { from: 9 * 60, to: 18 * 60 }];
    OwnerPool {
        time_zone: TimeZoneDatabase::bundled().get("Europe/Kyiv").unwrap(),
        hours: Some(WeeklyHours(std::array::from_fn(
            |weekday| if weekday < 5 { day.clone() } else { vec![] },
        ))),
        ..sales()
    }
}

fn at(wall: &str) -> Timestamp {
    office().time_zone.to_timestamp(wall.parse().unwrap()).unwrap()
}

fn on(day: jiff::civil::Date) -> Vec<Days> {
    vec![Days { first: day, last: day }]
}

/// What a decision says about the owner: the user and the sentence, or until when the lead waits and the sentence.
fn said(case: &Case) -> (String, String) {
    match case.decide() {
        Decision::Push { plan, .. } => {
            let owner = created_deal(&plan).owner.clone().unwrap_or_default();
            let reason = plan.reasons.iter().find(|reason| reason.code.starts_with("owner_")).unwrap();
            (owner, reason.text.clone())
        }
        Decision::Waiting { until, reason } => {
            (office().time_zone.to_datetime(until).strftime("%m-%d %H:%M").to_string(), reason.text)
        }
        other @ (Decision::Filtered(_) | Decision::NeedsAttention { .. }) => panic!("{other:?}"),
    }
}

#[track_caller]
fn check(case: &Case, owner: &str, text: &str) {
    assert_eq!(said(case), (owner.to_owned(), text.to_owned()));
}

#[test]
fn whoever_is_skipped_is_named_with_the_reason() {
    let mut case = Case::with(|case| case.pool = Some((office(), PoolState::default())));
    check(&case, "anna", "The owner is anna, whose turn it was in pool sales.");
    case.pool().owners[0].away = on(date(2026, 5, 4));
    check(&case, "boris", "The owner is boris, whose turn it was in pool sales. Skipped: anna (away).");
    case.pool().owners[0].away = on(date(2026, 5, 5));
    case.inactive = InactiveUsers::new(["Anna".to_owned()]);
    check(
        &case,
        "boris",
        "The owner is boris, whose turn it was in pool sales. Skipped: anna (inactive in the CRM).",
    );
    case.inactive = InactiveUsers::default();
    case.pool().owners[0].hours = Some(WeeklyHours::default());
    check(
        &case,
        "boris",
        "The owner is boris, whose turn it was in pool sales. Skipped: anna (outside hours).",
    );
    case.pool().owners[0] = PoolOwner { daily_cap: Some(1), ..PoolOwner::new("anna") };
    case.next();
    check(
        &case,
        "boris",
        "The owner is boris, whose turn it was in pool sales. Skipped: anna (daily cap of 1 reached).",
    );
    // Midnight in Kyiv is 21:00 UTC: the day of the pool counts.
    case.pool().hours = None;
    case.now = "2026-05-04T20:59:59Z".parse().unwrap();
    assert!(said(&case).1.contains("Skipped: anna"));
    case.now = "2026-05-04T21:00:00Z".parse().unwrap();
    assert!(!said(&case).1.contains("Skipped"), "{:?}", said(&case));
}

#[test]
fn a_lead_waits_for_the_next_moment_at_which_somebody_works() {
    let mut case = Case::with(|case| case.pool = Some((office(), PoolState::default())));
    case.now = at("2026-05-08T18:00");
    check(
        &case,
        "05-11 09:00",
        "Nobody of owner pool sales is available (anna (outside hours), boris (outside hours)): the lead waits until \
         anna works, Mon 2026-05-11 09:00 Europe/Kyiv.",
    );
    case.pool().days_off = on(date(2026, 5, 11));
    case.pool().owners[0].away = vec![Days { first: date(2026, 5, 12), last: date(2026, 5, 20) }];
    assert_eq!(said(&case).0, "05-12 09:00");
    case.pool().owners[1].away = vec![Days::ALL];
    assert_eq!(said(&case).0, "05-21 09:00");
    case.now = at("2026-05-11T12:00");
    assert!(said(&case).1.contains("anna (day off), boris (away)"), "{:?}", said(&case));

    // A full day ends at midnight, and work begins in the morning.
    let mut case = Case::with(|case| case.pool = Some((office(), PoolState::default())));
    case.pool().owners.iter_mut().for_each(|owner| owner.daily_cap = Some(1));
    (0..2).for_each(|_| drop(case.next()));
    check(
        &case,
        "05-05 09:00",
        "Nobody of owner pool sales is available (anna (daily cap of 1 reached), boris (daily cap of 1 reached)): \
         the lead waits until anna works, Tue 2026-05-05 09:00 Europe/Kyiv.",
    );
    case.now = at("2026-05-05T09:00");
    assert_eq!(outline(&case.decide()), "create contact, create deal");

    let gone = Case::with(|case| case.inactive = InactiveUsers::new(["anna", "boris"].map(str::to_owned)));
    let (until, text) = said(&gone);
    assert_eq!(until, "05-04 14:00", "somebody looks again within the hour");
    assert!(text.contains("nobody can tell when that changes"), "{text}");
}

#[test]
fn outside_hours_a_lead_waits_or_goes_to_the_fallback_or_to_anyone() {
    let mut case = Case::with(|case| {
        case.pool = Some((office(), PoolState::default()));
        case.now = at("2026-05-04T20:00");
    });
    case.pool().fallback = Some("chief".into());
    assert_eq!(said(&case).0, "05-05 09:00", "outside_hours: wait");
    case.pool().outside_hours = OutsideHours::Fallback;
    check(
        &case,
        "chief",
        "Nobody of pool sales is available (anna (outside hours), boris (outside hours)): the owner is chief, the \
         fallback of the pool.",
    );
    case.pool().outside_hours = OutsideHours::Anyone;
    check(
        &case,
        "anna",
        "Nobody of pool sales works now, and its deals do not wait for that (outside_hours: anyone): the owner is anna, \
         whose turn it was.",
    );
    // Anyone is not somebody who is away.
    case.pool().owners[0].away = on(date(2026, 5, 4));
    let (owner, text) = said(&case);
    assert_eq!(
        (owner.as_str(), text.ends_with("whose turn it was. Skipped: anna (away).")),
        ("boris", true),
        "{text}"
    );
    // A sample is tried as if everybody were there.
    let pool = case.pool().clone();
    *case.pool() = pool.fully_staffed();
    check(&case, "anna", "The owner is anna, whose turn it was in pool sales.");
    *case.pool() = pool;
    // Where nobody comes back by the clock, waiting for it would be in vain.
    case.pool().owners[1].away = on(date(2026, 5, 4));
    for outside_hours in [OutsideHours::Wait, OutsideHours::Fallback, OutsideHours::Anyone] {
        case.pool().outside_hours = outside_hours;
        assert_eq!(said(&case).0, "chief", "{outside_hours:?}");
    }
    // A fallback who left is none.
    case.inactive = InactiveUsers::new(["chief".to_owned()]);
    assert_eq!(said(&case).0, "05-05 09:00");
}

#[test]
fn a_pick_is_kept_through_the_night_and_given_up_when_the_person_is_gone() {
    let mut case = Case::with(|case| {
        case.pool = Some((office(), PoolState::default()));
        case.sticky_owner = Some("boris".into());
        case.now = at("2026-05-04T23:00");
    });
    assert_eq!(codes(&case.plan()), ["no_contact_found", "owner_kept"]);
    case.now = at("2026-05-05T12:00");
    case.pool().owners[1].daily_cap = Some(0);
    assert_eq!(said(&case).0, "boris");
    case.pool().owners[1].away = on(date(2026, 5, 5));
    assert_eq!(said(&case).0, "anna");
    case.pool().owners[1].away.clear();
    case.inactive = InactiveUsers::new(["boris".to_owned()]);
    assert_eq!(said(&case).0, "anna");
}

#[test]
fn an_owner_who_left_is_replaced_by_the_pool() {
    let left = |users: &[&str]| InactiveUsers::new(users.iter().map(|user| (*user).to_owned()));
    let mut case = Case::found(vec![contact("17", vec![])]);
    case.inactive = left(&["maria"]);
    let plan = case.plan();
    assert_eq!(created_deal(&plan).owner.as_deref(), Some("anna"));
    assert_eq!(codes(&plan)[3..], ["owner_inactive", "owner_picked"]);
    assert_eq!(
        plan.reasons[3].text,
        "maria, who is responsible for contact 17, is inactive in the CRM and gets nothing new."
    );

    // The deal's owner left: the contact's owner is told; both left: the pool.
    let mut case = Case::found(vec![contact("17", vec![deal("5")])]);
    case.inactive = left(&["petro"]);
    let plan = case.plan();
    assert_eq!(task(&plan).owner.as_deref(), Some("maria"));
    assert_eq!(codes(&plan)[3..], ["owner_inactive", "task_left"]);
    case.inactive = left(&["petro", "maria"]);
    let plan = case.plan();
    assert_eq!((task(&plan).owner.as_deref(), plan.picked_owner.as_deref()), (Some("anna"), Some("anna")));
    assert_eq!(codes(&plan)[3..], ["owner_inactive", "owner_inactive", "owner_picked", "task_left"]);
    case.pool().owners.iter_mut().for_each(|owner| owner.away = vec![Days::ALL]);
    assert_eq!(outline(&case.decide()), "waiting nobody_available");
    case.pool = None;
    let plan = case.plan();
    assert_eq!(task(&plan).owner, None);
    assert!(plan.reasons.last().unwrap().text.contains("whoever was responsible left"), "{plan:#?}");
}

#[test]
fn a_large_pool_is_not_listed_whole() {
    let mut case = Case::new();
    case.pool().owners = (0..20)
        .map(|number| PoolOwner { away: vec![Days::ALL], ..PoolOwner::new(format!("user {number}")) })
        .collect();
    let text = said(&case).1;
    assert!(text.contains("user 7 (away) and 12 more"), "{text}");
}
