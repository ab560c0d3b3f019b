//! `owner_pools:` as people write them, and what is said about slips.

use jiff::civil::date;

use super::*;
use crate::rules::{Days, Hours, OutsideHours, OwnerPool, PoolOwner, WeeklyHours};

/// A workspace with these lines under `owner_pools:`; the pools begin in line 5.
fn workspace(pools: &str) -> String {
    format!("destinations:\n  crm: {{ crm: sandbox, url: x, token: t }}\nvars: {{}}\nowner_pools:\n{pools}")
}

fn compile_pools(pools: &str) -> Compiled {
    let files = [("workspace.yaml".to_owned(), workspace(pools))];
    compile(&Files(files.into()), &|_| None, KINDS, &PRESETS)
}

#[track_caller]
fn pool(text: &str) -> OwnerPool {
    let compiled = compile_pools(text);
    let problems: Vec<String> = compiled.problems.iter().map(ToString::to_string).collect();
    assert!(problems.is_empty(), "{problems:#?}");
    compiled.workspace.owner_pools["p"].clone()
}

fn minutes(hours: i32) -> i32 {
    hours * 60
}

fn span(from: i32, to: i32) -> Hours {
    Hours { from: minutes(from), to: minutes(to) }
}

#[test]
fn a_list_of_names_is_a_pool() {
    let owners = vec![PoolOwner::new("olha"), PoolOwner { weight: 2, ..PoolOwner::new("petro") }];
    assert_eq!(pool("  p: [olha, { user: petro, weight: 2 }]\n"), OwnerPool::new("p", owners.clone()));
    let fallback = OwnerPool {
        fallback: Some("chief".to_owned()),
        outside_hours: OutsideHours::Fallback,
        ..OwnerPool::new("p", owners)
    };
    assert_eq!(
        pool("  p:\n    owners: [olha, { user: petro, weight: 2, away: false }]\n    fallback: chief\n"),
        fallback
    );
}

#[test]
fn hours_days_and_caps_are_read() {
    let pool = pool(
        "  p:
    time_zone: Europe/Kyiv
    hours: { mon-thu: 09:00-18:00, fri: [14:00-17:00, 9:00-13:00], sat: 10:00–14:00 }
    days_off: [2026-12-25, 2027-01-01..2027-01-07]
    owners:
      - olha
      - user: petro
        daily_cap: 20
        hours: { \"sat,mon\": 22:00-06:00, wed: 00:00-24:00, sun-sun: [] }
        away: 2026-12-24..2027-01-08
      - { user: ira, away: [2026-05-04, 2026-05-06..2026-05-07] }
      - { user: max, away: true }
    outside_hours: anyone
",
    );
    assert_eq!(pool.time_zone.iana_name(), Some("Europe/Kyiv"));
    let day = || vec![span(9, 18)];
    let hours = WeeklyHours([
        day(),
        day(),
        day(),
        day(),
        vec![span(9, 13), span(14, 17)],
        vec![span(10, 14)],
        vec![],
    ]);
    assert_eq!(pool.hours, Some(hours));
    let days = |first, last| Days { first, last };
    let new_year = days(date(2027, 1, 1), date(2027, 1, 7));
    assert_eq!(pool.days_off, [days(date(2026, 12, 25), date(2026, 12, 25)), new_year]);
    let night = || vec![span(22, 30)];
    let petro = WeeklyHours([night(), vec![], vec![span(0, 24)], vec![], vec![], night(), vec![]]);
    assert_eq!(
        pool.owners,
        [
            PoolOwner::new("olha"),
            PoolOwner {
                daily_cap: Some(20),
                hours: Some(petro),
                away: vec![days(date(2026, 12, 24), date(2027, 1, 8))],
                ..PoolOwner::new("petro")
            },
            PoolOwner {
                away: vec![
                    days(date(2026, 5, 4), date(2026, 5, 4)),
                    days(date(2026, 5, 6), date(2026, 5, 7))
                ],
                ..PoolOwner::new("ira")
            },
            PoolOwner { away: vec![Days::ALL], ..PoolOwner::new("max") },
        ]
    );
    assert_eq!((pool.outside_hours, pool.fallback), (OutsideHours::Anyone, None));
}

#[test]
fn a_week_may_begin_on_any_day_and_a_night_ends_where_the_morning_begins() {
    let pool = pool(
        "  p: { time_zone: UTC, hours: { sat-mon: 22:00-06:00, tue: [06:00-08:00, 23:00-24:00] }, owners: [a] }\n",
    );
    let night = || vec![span(22, 30)];
    let hours =
        WeeklyHours([night(), vec![span(6, 8), span(23, 24)], vec![], vec![], vec![], night(), night()]);
    assert_eq!(pool.hours, Some(hours));
}

#[test]
fn slips_are_found_at_their_places() {
    let check = |pools: &str, expect: &[&str]| {
        let problems: Vec<String> = compile_pools(pools).problems.iter().map(ToString::to_string).collect();
        for (at, expect) in expect.iter().enumerate() {
            let got = problems.get(at).map_or("nothing", String::as_str);
            let got = got.trim_start_matches("workspace.yaml:");
            assert!(got.starts_with(expect), "\n expected {expect}\n      got {got}\n in {problems:#?}");
        }
        assert_eq!(problems.len(), expect.len(), "{problems:#?}");
    };
    let one = |line: &str, expect: &str| {
        check(&format!("  p:\n    time_zone: Europe/Kyiv\n    owners: [olha]\n    {line}\n"), &[expect]);
    };
    one("hours: 09:00-18:00", "8:12: `hours` must say for which days they are (write { mon-fri: 09:00-18:00");
    one("hours: { mno-fri: 09:00-18:00 }", "8:14: `mno` is not a day of the week (did you mean `mon`?)");
    one("hours: { monday: 09:00-18:00 }", "8:14: `monday` is not a day of the week (did you mean `mon`?)");
    one("hours: { mon-fri: 09:00-18:0 }", "8:29: `18:0` is not a time of day (write 09:00-18:00;");
    one("hours: { mon-fri: 25:00-26:00 }", "8:23: `25:00` is not a time of day");
    one("hours: { mon-fri: 09:00 }", "8:23: `09:00` is not working hours");
    one("hours: { mon-fri: 09:00-09:00 }", "8:23: `09:00-09:00` is no time at all");
    one("hours: { mon-fri: 24:00-06:00 }", "8:23: `24:00-06:00` is no time at all");
    one("hours: { mon-fri: 9-18, fri: 09:00-18:00 }", "8:23: `9` is not a time of day");
    one(
        "hours: { mon-fri: 09:00-18:00, fri: 10:00-16:00 }",
        "8:36: `fri` has hours already (name every day once)",
    );
    one(
        "hours: { mon: [09:00-13:00, 12:00-18:00] }",
        "8:19: the hours of `mon` overlap with those before them (those end at 13:00)",
    );
    one("hours: { sun: 22:00-06:00, mon: 05:00-10:00 }", "8:37: the hours of `mon` overlap");
    one("days_off: 25.12.2026", "8:15: `25.12.2026` is not a day (write a day as 2026-12-24,");
    one("days_off: [2026-02-30]", "8:16: `2026-02-30` is not a day");
    one("days_off: 20261224", "8:15: `20261224` is not a day");
    one("days_off: 2026-12-24 - 2027-01-08", "8:15: `2026-12-24 - 2027-01-08` is not a day");
    one("days_off: 2026-12-24..01-08", "8:27: `01-08` is not a day");
    one(
        "days_off: 2027-01-08..2026-12-24",
        "8:15: `2027-01-08..2026-12-24` ends before it begins (write 2026-12-24..2027-01-08)",
    );
    one(
        "days_off: 2026-12-24\n    outside_hours: later",
        "9:20: `later` is not a possible value of `outside_hours`",
    );
    one(
        "days_off: 2026-12-24\n    outside_hours: fallback",
        "9:20: `outside_hours: fallback` in a pool without a `fallback` (",
    );
    one("outside_hours: wait", "8:20: `outside_hours` in a pool that has neither hours nor days off (");
    one("hours: {}", "6:5: nobody of owner pool `p` is ever available");
    one("timezone: UTC", "8:5: `timezone` is not a key of owner pool `p` (did you mean `time_zone`?)");

    let zone = |zone: &str, help: &str| {
        let expect = format!("5:19: there is no time zone `{zone}` ({help})");
        check(&format!("  p: {{ time_zone: {zone}, owners: [olha] }}\n"), &[&expect]);
    };
    zone("Europe/Kyjiv", "did you mean `Europe/Kyiv`?");
    zone("Europe/Kiyv", "did you mean `Europe/Kyiv`?");
    zone("kyiv", "did you mean `Europe/Kyiv`?");
    zone("+02:00", "write a name of the IANA time zone database, such as Europe/Kyiv");

    check(
        "  p: [{ user: a, weight: 1, daily_cap: 0 }, { user: b, away: ture }, { user: c, days_off: 2026-12-24 }]\n",
        &[
            "5:40: `daily_cap` must be at least 1 (use `away: true`",
            "5:62: `ture` is not a day (write a day as 2026-12-24, and days in a row as 2026-12-24..2027-01-08; \
             `away: true` is for good)",
            "5:81: `days_off` is not a key of an owner (",
        ],
    );
    check(
        "  p: { owners: [{ user: a, daily_cap: 5 }] }\n  q: { days_off: [2026-12-24], owners: [a] }\n",
        &[
            "5:6: owner pool `p` counts hours or days and has no `time_zone` (say where:",
            "6:6: owner pool `q` counts hours or days and has no `time_zone` (",
        ],
    );
    check(
        "  p: [{ user: a, away: true }]\n  q: { time_zone: UTC, hours: { mon: 09:00-10:00 }, owners: [{ user: a, hours: {} }] }\n  \
         r: { owners: [{ user: a, away: true }], fallback: b }\n",
        &[
            "5:6: nobody of owner pool `p` is ever available: its leads would wait (remove an `away: true`,",
            "6:6: nobody of owner pool `q` is ever available",
        ],
    );
}
