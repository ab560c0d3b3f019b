//! Working hours on the time line: openings and due dates, with daylight saving and nights.

use jiff::civil::{Date, DateTime};
use jiff::tz::{TimeZone, TimeZoneDatabase};

use proptest::prelude::*;

use super::super::hours::Schedule;
use super::*;

fn zone(name: &str) -> TimeZone {
    TimeZoneDatabase::bundled().get(name).unwrap()
}

fn day(text: &str) -> Date {
    text.parse().unwrap()
}

/// `[0]` is Monday; spans are hours and minutes as `900..1800`.
fn weekly(days: [&[(i32, i32)]; 7]) -> WeeklyHours {
    let minutes = |clock: i32| clock / 100 * 60 + clock % 100;
    WeeklyHours(days.map(|spans| {
        spans.iter().map(|(from, to)| Hours { from: minutes(*from), to: minutes(*to) }).collect()
    }))
}

/// Monday to Friday 9–18 with an hour at noon on Tuesday, Saturday 10–14; the first of May and the week of 11 May off.
fn office() -> OwnerPool {
    let full: &[(i32, i32)] = &[(900, 1800)];
    OwnerPool {
        time_zone: zone("Europe/Kyiv"),
        hours: Some(weekly([full, &[(900, 1300), (1400, 1800)], full, full, full, &[(1000, 1400)], &[]])),
        days_off: vec![
            Days { first: day("2026-05-01"), last: day("2026-05-01") },
            Days { first: day("2026-05-11"), last: day("2026-05-17") },
        ],
        ..OwnerPool::new("office", vec![PoolOwner::new("olha")])
    }
}

fn nights() -> OwnerPool {
    let night: &[(i32, i32)] = &[(2200, 3000)];
    OwnerPool {
        time_zone: zone("Europe/Kyiv"),
        hours: Some(weekly([night; 7])),
        ..OwnerPool::new("nights", vec![PoolOwner::new("olha")])
    }
}

fn wall(pool: &OwnerPool, text: &str) -> Timestamp {
    pool.time_zone.to_timestamp(text.parse::<DateTime>().unwrap()).unwrap()
}

fn shown(pool: &OwnerPool, at: Option<Timestamp>) -> String {
    at.map_or("never".to_owned(), |at| pool.time_zone.to_datetime(at).strftime("%a %m-%d %H:%M").to_string())
}

#[test]
fn the_next_opening() {
    let check = |pool: &OwnerPool, now: &str, expect: &str| {
        let next = Schedule::of_pool(pool).next_work(wall(pool, now));
        assert_eq!(shown(pool, next), expect, "{now}");
    };
    let office = office();
    check(&office, "2026-05-04T10:00", "Mon 05-04 10:00");
    check(&office, "2026-05-04T08:59", "Mon 05-04 09:00");
    check(&office, "2026-05-04T18:00", "Tue 05-05 09:00");
    check(&office, "2026-05-05T13:00", "Tue 05-05 14:00");
    check(&office, "2026-05-08T18:30", "Sat 05-09 10:00");
    check(&office, "2026-05-09T14:00", "Mon 05-18 09:00");
    check(&office, "2026-04-30T18:00", "Sat 05-02 10:00");
    let nights = nights();
    check(&nights, "2026-05-04T05:59", "Mon 05-04 05:59");
    check(&nights, "2026-05-04T06:00", "Mon 05-04 22:00");
    check(&nights, "2026-05-04T23:00", "Mon 05-04 23:00");

    let mut closed = office.clone();
    closed.days_off = vec![Days::ALL];
    check(&closed, "2026-05-04T10:00", "never");
    closed.hours = Some(WeeklyHours::default());
    check(&closed, "2026-05-04T10:00", "never");
    let always = OwnerPool { days_off: office.days_off.clone(), hours: None, ..office.clone() };
    check(&always, "2026-05-10T23:59", "Sun 05-10 23:59");
    check(&always, "2026-05-11T00:00", "Mon 05-18 00:00");
}

#[test]
fn a_night_belongs_to_the_day_on_which_it_begins() {
    let mut pool = nights();
    pool.days_off = vec![Days { first: day("2026-05-05"), last: day("2026-05-05") }];
    let check = |now: &str, expect: bool| {
        let at = wall(&pool, now);
        assert_eq!(Schedule::of_pool(&pool).shift_at(at).is_some(), expect, "{now}");
    };
    check("2026-05-04T23:00", true);
    check("2026-05-05T05:59", true);
    check("2026-05-05T22:00", false);
    check("2026-05-06T03:00", false);
    check("2026-05-06T22:00", true);
}

#[test]
fn daylight_saving_moves_the_clock_on_the_wall() {
    // In Kyiv 03:00 becomes 04:00 on 2026-03-29, and 04:00 becomes 03:00 again on 2026-10-25.
    let mut pool = nights();
    let lengths = |pool: &OwnerPool, from: &str, to: &str| -> Vec<String> {
        let (mut at, end, mut found) = (wall(pool, from), wall(pool, to), Vec::new());
        while let Some(next) = Schedule::of_pool(pool).next_work(at).filter(|next| *next < end) {
            let shift = Schedule::of_pool(pool).shift_at(next).unwrap();
            let hours = shift.to.duration_since(shift.from).as_mins();
            found.push(format!("{} +{hours}m", shown(pool, Some(shift.from))));
            at = shift.to;
        }
        found
    };
    assert_eq!(
        lengths(&pool, "2026-03-28T12:00", "2026-03-30T12:00"),
        ["Sat 03-28 22:00 +420m", "Sun 03-29 22:00 +480m"]
    );
    assert_eq!(
        lengths(&pool, "2026-10-24T12:00", "2026-10-26T12:00"),
        ["Sat 10-24 22:00 +540m", "Sun 10-25 22:00 +480m"]
    );
    // Hours that begin, end or lie in the hour that is skipped.
    for (spans, expect) in [
        (&[(330, 700)][..], &["Sun 03-29 04:00 +180m"][..]),
        (&[(100, 330)], &["Sun 03-29 01:00 +120m"]),
        (&[(300, 400)], &[]),
        (&[(315, 345), (500, 600)], &["Sun 03-29 05:00 +60m"]),
    ] {
        pool.hours = Some(weekly([&[], &[], &[], &[], &[], &[], spans]));
        assert_eq!(lengths(&pool, "2026-03-28T12:00", "2026-03-30T12:00"), expect, "{spans:?}");
    }
    // Of the hour that comes twice, the first counts.
    for (spans, expect) in [
        (&[(330, 700)][..], &["Sun 10-25 03:30 +270m"][..]),
        (&[(100, 330)], &["Sun 10-25 01:00 +150m"]),
        (&[(100, 400)], &["Sun 10-25 01:00 +240m"]),
    ] {
        pool.hours = Some(weekly([&[], &[], &[], &[], &[], &[], spans]));
        assert_eq!(lengths(&pool, "2026-10-24T12:00", "2026-10-26T12:00"), expect, "{spans:?}");
    }
    // A day that a country left out is no working day.
    let samoa = OwnerPool {
        time_zone: zone("Pacific/Apia"),
        hours: Some(weekly([&[(900, 1700)]; 7])),
        ..OwnerPool::new("samoa", vec![])
    };
    let next = Schedule::of_pool(&samoa).next_work(wall(&samoa, "2011-12-29T18:00"));
    assert_eq!(shown(&samoa, next), "Sat 12-31 09:00");
}

#[test]
fn tasks_are_due_in_working_hours() {
    let due = |pool: &OwnerPool, now: &str, after: &str| {
        let after: SignedDuration = after.parse().unwrap();
        shown(pool, Schedule::of_pool(pool).due(wall(pool, now), after))
    };
    let office = office();
    for (now, after, expect) in [
        ("2026-05-04T10:00", "2h", "Mon 05-04 12:00"),
        ("2026-05-04T16:00", "2h", "Mon 05-04 18:00"),
        ("2026-05-04T17:30", "2h", "Tue 05-05 10:30"),
        ("2026-05-04T17:30", "0s", "Mon 05-04 17:30"),
        ("2026-05-04T21:00", "2h", "Tue 05-05 11:00"),
        ("2026-05-04T21:00", "0s", "Tue 05-05 09:00"),
        // Over the break at noon.
        ("2026-05-05T12:30", "1h", "Tue 05-05 14:30"),
        // Over a weekend and a week off.
        ("2026-05-08T17:00", "2h", "Sat 05-09 11:00"),
        ("2026-05-09T13:00", "2h", "Mon 05-18 10:00"),
        // Days are working days, at the same time of day.
        ("2026-05-04T10:00", "24h", "Tue 05-05 10:00"),
        ("2026-05-04T10:00", "72h", "Thu 05-07 10:00"),
        ("2026-05-04T13:30", "24h", "Tue 05-05 14:00"),
        ("2026-05-04T21:00", "24h", "Wed 05-06 09:00"),
        ("2026-05-08T10:30", "24h", "Sat 05-09 10:30"),
        ("2026-05-08T17:00", "24h", "Mon 05-18 09:00"),
        ("2026-05-08T10:30", "48h", "Mon 05-18 10:30"),
        ("2026-04-30T10:30", "24h", "Sat 05-02 10:30"),
        // Days and hours: a day later, and two hours of work from there.
        ("2026-05-04T17:30", "26h", "Wed 05-06 10:30"),
        ("2026-05-04T10:00", "24000000h", "never"),
    ] {
        assert_eq!(due(&office, now, after), expect, "{after} from {now}");
    }
    let nights = nights();
    for (now, after, expect) in [
        ("2026-05-04T23:00", "2h", "Tue 05-05 01:00"),
        ("2026-05-05T05:00", "2h", "Tue 05-05 23:00"),
        ("2026-05-05T02:00", "24h", "Wed 05-06 02:00"),
        ("2026-05-05T12:00", "24h", "Wed 05-06 22:00"),
        // Four hours of work from 01:00, while the clock jumps from 03:00 to 04:00.
        ("2026-03-29T01:00", "4h", "Sun 03-29 06:00"),
    ] {
        assert_eq!(due(&nights, now, after), expect, "{after} from {now}");
    }
}

#[test]
fn a_plan_counts_in_the_hours_of_the_pool() {
    let mut case = Case::found(vec![contact("17", vec![deal("5")])]);
    case.lead.task = Some(TaskPart { due_seconds: Some(7_200), ..TaskPart::default() });
    *case.pool() = office();
    case.now = wall(&office(), "2026-05-04T17:30");
    assert_eq!(task(&case.plan()).due_at, wall(&office(), "2026-05-05T10:30"));
    // With no work ahead a task is due all the same.
    case.pool().days_off = vec![Days::ALL];
    assert_eq!(task(&case.plan()).due_at, case.now + SignedDuration::from_hours(2));
    *case.pool() = sales();
    assert_eq!(task(&case.plan()).due_at, case.now + SignedDuration::from_hours(2));
}

/// Zones whose clocks jump over midnight, by half an hour, by two hours, over a whole day, or never; and when.
const JUMPS: [(&str, &str); 9] = [
    ("Europe/Kyiv", "2026-03-29T03:00"),
    ("Europe/Kyiv", "2026-10-25T03:00"),
    ("Asia/Beirut", "2026-03-29T00:00"),
    ("Africa/Cairo", "2026-10-29T23:00"),
    ("America/Havana", "2026-03-08T00:00"),
    ("Australia/Lord_Howe", "2026-04-05T01:30"),
    ("Antarctica/Troll", "2026-10-25T02:00"),
    ("Pacific/Apia", "2011-12-29T23:00"),
    ("UTC", "2026-01-01T00:00"),
];

fn spans() -> impl Strategy<Value = Vec<Hours>> {
    let quarters = (0..96_i32, 1..=96_i32).prop_map(|(from, length)| {
        let (from, length) = (from * 15, length * 15);
        vec![Hours { from, to: from + length }]
    });
    prop_oneof![Just(Vec::new()), quarters]
}

fn member() -> impl Strategy<Value = PoolOwner> {
    let hours = proptest::option::of(proptest::array::uniform7(spans()).prop_map(WeeklyHours));
    (hours, proptest::option::of(0..2_u32), any::<bool>()).prop_map(|(hours, daily_cap, capped)| PoolOwner {
        hours,
        daily_cap: daily_cap.filter(|_| capped).map(|cap| cap + 1),
        ..PoolOwner::new("olha")
    })
}

proptest! {
    /// Or it would be decided over and over, with a look-up in the CRM each time.
    #[test]
    fn who_waits_finds_somebody_when_the_wait_is_over(
        (zone_name, jump) in proptest::sample::select(&JUMPS),
        members in proptest::collection::vec(member(), 1..4),
        minutes in -3_000..3_000_i64,
        away in -2..3_i64,
        taken in 0..3_u64,
    ) {
        let zone = zone(zone_name);
        let jump: DateTime = jump.parse().unwrap();
        let now = zone.to_timestamp(jump).unwrap() + SignedDuration::from_mins(minutes);
        let mut members = members;
        for (number, member) in members.iter_mut().enumerate() {
            member.user = number.to_string();
        }
        let gone = jump.date().checked_add(SignedDuration::from_hours(away * 24)).unwrap();
        members[0].away = vec![Days { first: gone, last: gone }];
        let today = zone.to_datetime(now).date();
        let taken = members.iter().map(|member| (member.user.clone(), taken)).collect();
        let state = PoolState { day: Some(today), today: taken, ..PoolState::default() };
        let pool = OwnerPool { time_zone: zone, ..OwnerPool::new("sales", members) };
        let mut case = Case::with(|case| (case.pool, case.now) = (Some((pool, state)), now));
        if let Decision::Waiting { until, reason } = case.decide() {
            prop_assert!(until > now, "{until} is not later than {now}: {}", reason.text);
            let nobody_can_tell = reason.text.contains("nobody can tell");
            case.now = until;
            let then = case.decide();
            // Whoever was away before this shift may have had their deals of the day in an earlier one.
            let had_enough = |reason: &Reason| reason.text.contains("daily cap");
            let found = match &then {
                Decision::Push { .. } => true,
                Decision::Waiting { until: later, reason } => *later > until && had_enough(reason),
                Decision::Filtered(_) | Decision::NeedsAttention { .. } => false,
            };
            prop_assert!(nobody_can_tell || found, "at {until}, after {now}: {then:?}");
        }
    }
}
