//! `owner_pools:` of `workspace.yaml`: who takes new deals, when they work, and what happens while nobody does.

use std::collections::BTreeSet;

use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::problem::{Span, suggest};
use super::reader::{Reader, Section};
use super::yaml::{Kind, Node};
use crate::rules::{Days, Hours, OutsideHours, OwnerPool, PoolOwner, WeeklyHours};

pub(super) const KEYS: &[&str] = &["time_zone", "hours", "days_off", "owners", "outside_hours", "fallback"];

pub(super) const OWNER_KEYS: &[&str] = &["user", "weight", "daily_cap", "hours", "away"];

pub(super) const OUTSIDE_HOURS: &[(&str, OutsideHours)] =
    &[("wait", OutsideHours::Wait), ("fallback", OutsideHours::Fallback), ("anyone", OutsideHours::Anyone)];

pub(super) const WEEK: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

const DAY: i32 = 24 * 60;

const HOW_TO_WRITE_HOURS: &str = "write 09:00-18:00; with a break [09:00-13:00, 14:00-18:00]; over midnight \
    22:00-06:00; day and night 00:00-24:00";
const HOW_TO_WRITE_DAYS: &str = "write a day as 2026-12-24, and days in a row as 2026-12-24..2027-01-08";

/// A list of users, or `{ owners: […], … }`.
pub(super) fn read(reader: &Reader<'_>, name: &str, node: &Node) -> Option<OwnerPool> {
    if let Kind::List(items) = &node.kind {
        let pool = OwnerPool::new(name, owners(reader, name, node, items));
        check_members(reader, node, &pool);
        return Some(pool);
    }
    let section = reader.section(node, &format!("owner pool `{name}`"), KEYS)?;
    let items = section.get("owners").map(|node| reader.list(node, "`owners`")).unwrap_or_default();
    let fallback = section.get("fallback").and_then(|node| reader.text(node, "`fallback`"));
    let pool = OwnerPool {
        time_zone: section.get("time_zone").and_then(|node| time_zone(reader, node)).unwrap_or(TimeZone::UTC),
        hours: section.get("hours").and_then(|node| weekly_hours(reader, node)),
        days_off: section.get("days_off").map(|node| days(reader, node, "")).unwrap_or_default(),
        owners: owners(reader, name, node, items),
        outside_hours: outside_hours(reader, &section, fallback.is_some()),
        fallback,
        name: name.to_owned(),
    };
    check_members(reader, node, &pool);
    check_times(reader, node, &section, &pool);
    Some(pool)
}

fn owners(reader: &Reader<'_>, name: &str, node: &Node, items: &[Node]) -> Vec<PoolOwner> {
    let owners: Vec<PoolOwner> = items.iter().filter_map(|node| owner(reader, node)).collect();
    let mut seen = BTreeSet::new();
    if let Some(twice) = owners.iter().find(|owner| !seen.insert(owner.user.as_str())) {
        let help = "use `weight: 2` to give somebody twice as many deals".to_owned();
        reader.error(node.span, format!("`{}` stands twice in owner pool `{name}`", twice.user), Some(help));
    }
    owners
}

fn owner(reader: &Reader<'_>, node: &Node) -> Option<PoolOwner> {
    let Kind::Map { .. } = node.kind else {
        return reader.text(node, "a user").map(PoolOwner::new);
    };
    let section = reader.section(node, "an owner", OWNER_KEYS)?;
    let Some(user) = section.get("user") else {
        reader.error(node.span, "this owner has no `user`", None);
        return None;
    };
    let user = reader.text(user, "`user`")?;
    let weight = section.get("weight").and_then(|node| {
        let weight: u32 = reader.count(node, "`weight`")?;
        if weight == 0 || weight > 1_000 {
            let help = "use `away: true` for somebody who takes no deals".to_owned();
            reader.error(node.span, "`weight` must be from 1 to 1000", Some(help));
        }
        Some(weight)
    });
    let daily_cap = section.get("daily_cap").and_then(|node| {
        let cap: u32 = reader.count(node, "`daily_cap`")?;
        if cap == 0 {
            let help = "use `away: true` for somebody who takes no deals".to_owned();
            reader.error(node.span, "`daily_cap` must be at least 1", Some(help));
        }
        Some(cap)
    });
    Some(PoolOwner {
        weight: weight.unwrap_or(1),
        daily_cap,
        hours: section.get("hours").and_then(|node| weekly_hours(reader, node)),
        away: section.get("away").map(|node| away(reader, node)).unwrap_or_default(),
        ..PoolOwner::new(user)
    })
}

/// `true`, `false`, a day, days in a row, or a list of these.
fn away(reader: &Reader<'_>, node: &Node) -> Vec<Days> {
    match node.scalar() {
        Some("true") => vec![Days::ALL],
        Some("false") => Vec::new(),
        _ => days(reader, node, "; `away: true` is for good"),
    }
}

fn days(reader: &Reader<'_>, node: &Node, also: &str) -> Vec<Days> {
    let items = node.one_or_many().iter();
    items.filter_map(|item| days_in_a_row(reader, item, also)).collect()
}

fn days_in_a_row(reader: &Reader<'_>, node: &Node, also: &str) -> Option<Days> {
    let text = reader.text(node, "a day")?;
    let (first, last) = text.split_once("..").unwrap_or((&text, &text));
    let day = |text: &str| {
        let written = text.trim();
        // Only as it is printed: jiff would also take 20261224 and whole timestamps.
        let day = written.parse::<Date>().ok().filter(|day| day.to_string() == written);
        if day.is_none() {
            let help = format!("{HOW_TO_WRITE_DAYS}{also}");
            reader.error(reader.within(node.span, written), format!("`{written}` is not a day"), Some(help));
        }
        day
    };
    let (first, last) = (day(first)?, day(last)?);
    if last < first {
        let help = format!("write {last}..{first}");
        reader.error(node.span, format!("`{text}` ends before it begins"), Some(help));
        return None;
    }
    Some(Days { first, last })
}

/// A name of the IANA time zone database. The one that is built in decides, so that every machine counts alike.
fn time_zone(reader: &Reader<'_>, node: &Node) -> Option<TimeZone> {
    let text = reader.text(node, "`time_zone`")?;
    let database = TimeZoneDatabase::bundled();
    if let Ok(zone) = database.get(&text) {
        return Some(zone);
    }
    // The old spelling of Europe/Kyiv is understood, and never suggested.
    let names = database.available().map(|name| name.to_string()).filter(|name| name != "Europe/Kiev");
    let names: Vec<String> = names.collect();
    let city = |name: &str| name.rsplit('/').next().is_some_and(|city| city.eq_ignore_ascii_case(&text));
    let help = match names.iter().find(|name| city(name)) {
        Some(name) => format!("did you mean `{name}`?"),
        None => suggest(&text, names.iter().map(String::as_str))
            .filter(|help| help.starts_with("did you mean"))
            .unwrap_or_else(|| "write a name of the IANA time zone database, such as Europe/Kyiv".to_owned()),
    };
    reader.error(node.span, format!("there is no time zone `{text}`"), Some(help));
    None
}

fn outside_hours(reader: &Reader<'_>, section: &Section<'_>, has_fallback: bool) -> OutsideHours {
    let usual = if has_fallback { OutsideHours::Fallback } else { OutsideHours::Wait };
    let Some(node) = section.get("outside_hours") else { return usual };
    let chosen = reader.choice(node, "`outside_hours`", OUTSIDE_HOURS).unwrap_or(usual);
    if chosen == OutsideHours::Fallback && !has_fallback {
        let help = "add `fallback:` with a user, or write `outside_hours: wait`".to_owned();
        reader.error(node.span, "`outside_hours: fallback` in a pool without a `fallback`", Some(help));
    }
    chosen
}

/// `{ mon-fri: 09:00-18:00, sat: [10:00-12:00, 13:00-15:00] }`. `None` when any of it is wrong, so that one slip makes
/// one problem.
fn weekly_hours(reader: &Reader<'_>, node: &Node) -> Option<WeeklyHours> {
    if !matches!(node.kind, Kind::Map { .. }) {
        let help = "write { mon-fri: 09:00-18:00, sat: 10:00-14:00 }".to_owned();
        reader.error(node.span, "`hours` must say for which days they are", Some(help));
        return None;
    }
    let section = reader.entries(node, "`hours`")?;
    let mut week = WeeklyHours::default();
    let mut places: [Option<Span>; 7] = [None; 7];
    let mut whole = true;
    for (key, value) in section.node.entries() {
        let days = key.scalar().and_then(|text| days_of_week(reader, key, text));
        let of_day: Option<Vec<Hours>> = value.one_or_many().iter().map(|node| hours(reader, node)).collect();
        let (Some(days), Some(mut of_day)) = (days, of_day) else {
            whole = false;
            continue;
        };
        of_day.sort_unstable();
        for day in days {
            if places[day].is_some() {
                let help = "name every day once".to_owned();
                reader.error(key.span, format!("`{}` has hours already", WEEK[day]), Some(help));
                whole = false;
            }
            places[day] = Some(value.span);
            week.0[day].clone_from(&of_day);
        }
    }
    (whole && !has_overlap(reader, &week, &places)).then_some(week)
}

/// `mon`, `mon-fri`, `sat-mon`, `mon,wed,fri`, as indices from Monday.
fn days_of_week(reader: &Reader<'_>, key: &Node, text: &str) -> Option<Vec<usize>> {
    let index = |word: &str| {
        let word = word.trim();
        let found = WEEK.iter().position(|day| *day == word);
        if found.is_none() {
            let message = format!("`{word}` is not a day of the week");
            reader.error(reader.within(key.span, word), message, suggest(word, WEEK));
        }
        found
    };
    let mut days = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (index(first)?, index(last)?);
        let count = (last + WEEK.len() - first) % WEEK.len() + 1;
        days.extend((0..count).map(|step| (first + step) % WEEK.len()));
    }
    Some(days)
}

fn hours(reader: &Reader<'_>, node: &Node) -> Option<Hours> {
    let text = reader.text(node, "an entry of `hours`")?;
    let refuse = |span: Span, message: String| {
        reader.error(span, message, Some(HOW_TO_WRITE_HOURS.to_owned()));
    };
    let Some((from, to)) = text.split_once(['-', '–']) else {
        refuse(node.span, format!("`{text}` is not working hours"));
        return None;
    };
    let time = |text: &str| {
        let written = text.trim();
        let minutes = time_of_day(written);
        if minutes.is_none() {
            refuse(reader.within(node.span, written), format!("`{written}` is not a time of day"));
        }
        minutes
    };
    let (from, to) = (time(from)?, time(to)?);
    if from == to || from == DAY {
        refuse(node.span, format!("`{text}` is no time at all"));
        return None;
    }
    Some(Hours { from, to: if to > from { to } else { to + DAY } })
}

/// Minutes of `9:00`, `18:30`, and `24:00` for the end of the day.
fn time_of_day(text: &str) -> Option<i32> {
    let (hours, minutes) = text.split_once(':')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !(1..=2).contains(&hours.len()) || minutes.len() != 2 || !digits(hours) || !digits(minutes) {
        return None;
    }
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    let total = hours * 60 + minutes;
    (minutes < 60 && total <= DAY).then_some(total)
}

/// Hours that overlap, also those of a night with the next morning's, are a slip.
fn has_overlap(reader: &Reader<'_>, hours: &WeeklyHours, places: &[Option<Span>; 7]) -> bool {
    let week = DAY * 7;
    let mut spans = Vec::new();
    for (day, start) in (0..WEEK.len()).zip((0..).step_by(24 * 60)) {
        spans.extend(hours.0[day].iter().map(|span| (start + span.from, start + span.to, day)));
    }
    let Some(first) = spans.first().copied() else { return false };
    let mut found = false;
    let again = (first.0 + week, first.1 + week, first.2);
    for (before, after) in spans.iter().zip(spans.iter().skip(1).chain(std::iter::once(&again))) {
        if after.0 < before.1 {
            let message = format!("the hours of `{}` overlap with those before them", WEEK[after.2]);
            let help = format!("those end at {}", clock(before.1));
            reader.error(places[after.2].unwrap_or_default(), message, Some(help));
            found = true;
        }
    }
    found
}

fn clock(minutes: i32) -> String {
    let minutes = minutes % DAY;
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

/// Somebody must be able to take a deal at some time.
fn check_members(reader: &Reader<'_>, node: &Node, pool: &OwnerPool) {
    if pool.fallback.is_some() {
        return;
    }
    if pool.owners.is_empty() {
        reader.error(node.span, format!("owner pool `{}` has nobody in it", pool.name), None);
        return;
    }
    let never = |owner: &PoolOwner| {
        let hours = owner.hours.as_ref().or(pool.hours.as_ref());
        let off = owner.away.iter().chain(&pool.days_off);
        off.into_iter().any(|days| *days == Days::ALL)
            || hours.is_some_and(|hours| hours.0.iter().all(Vec::is_empty))
    };
    if pool.owners.iter().all(never) {
        let help = "remove an `away: true`, give somebody hours, or name a `fallback:`".to_owned();
        let message = format!("nobody of owner pool `{}` is ever available: its leads would wait", pool.name);
        reader.error(node.span, message, Some(help));
    }
}

/// Times need a place, and a choice needs times.
fn check_times(reader: &Reader<'_>, node: &Node, section: &Section<'_>, pool: &OwnerPool) {
    let written = ["hours", "days_off"].iter().any(|key| section.get(key).is_some());
    let by_the_clock = written || pool.owners.iter().any(|owner| owner.hours.is_some());
    let by_the_day = pool
        .owners
        .iter()
        .any(|owner| owner.daily_cap.is_some() || owner.away.iter().any(|days| *days != Days::ALL));
    if (by_the_clock || by_the_day) && section.get("time_zone").is_none() {
        let message = format!("owner pool `{}` counts hours or days and has no `time_zone`", pool.name);
        let help = "say where: `time_zone: Europe/Kyiv`".to_owned();
        reader.error(node.span, message, Some(help));
    }
    if let Some(node) = section.get("outside_hours").filter(|_| !by_the_clock) {
        let help = "add `hours:` or `days_off:`, or remove it".to_owned();
        reader.warn(node.span, "`outside_hours` in a pool that has neither hours nor days off", Some(help));
    }
}
