//! Owner pools, in the section of destinations: who got how many deals, who is away, who works when.

use maud::{Markup, html};

use super::guard::Reader;
use crate::decide::Absence;
use crate::operation::pools::{Member, PoolNow, Week};

/// One pool at one destination.
pub(super) fn one(reader: &Reader, pool: &PoolNow) -> Markup {
    html! {
        section.sheet aria-label=(pool.pool) {
            h3 { (pool.pool) " " span.faint { "→ " (pool.destination) } }
            p.hint {
                (reader.say("Works ", "Працює ")) (hours(reader, pool.hours.as_ref())) " (" (pool.time_zone) ")"
                @if let Some(fallback) = &pool.fallback {
                    " · " (reader.say("fallback: ", "якщо нікого немає: ")) (fallback)
                }
            }
            table.cards {
                thead { tr {
                    th scope="col" { (reader.say("Owner", "Відповідальний")) }
                    th scope="col" { (reader.say("Now", "Зараз")) }
                    th.number scope="col" { (reader.say("Today", "Сьогодні")) }
                    th.number scope="col" { (reader.say("This week", "За тиждень")) }
                    th.number scope="col" { (reader.say("In total", "Усього")) }
                } }
                tbody { @for member in &pool.owners { (row(reader, member)) } }
            }
        }
    }
}

fn row(reader: &Reader, member: &Member) -> Markup {
    html! {
        tr {
            td data-name=(reader.say("Owner", "Відповідальний")) {
                (member.user)
                @if member.weight != 1 { " " span.faint { "×" (member.weight) } }
                @if let Some(own) = &member.hours { div.hint { (hours(reader, Some(own))) } }
            }
            td data-name=(reader.say("Now", "Зараз")) {
                @match member.absence {
                    None => span.badge.good { (reader.say("takes deals", "бере угоди")) },
                    Some(absence) => {
                        span.badge { (why(reader, absence)) }
                        @if let Some(at) = member.back_at {
                            " " span.faint { (reader.say("back ", "повернеться ")) (reader.moment(at)) }
                        }
                    },
                }
            }
            td.number data-name=(reader.say("Today", "Сьогодні")) {
                (count(reader, member.today))
                @if let Some(cap) = member.daily_cap { span.faint { " / " (cap) } }
            }
            td.number data-name=(reader.say("This week", "За тиждень")) { (reader.number(member.week)) }
            td.number data-name=(reader.say("In total", "Усього")) { (count(reader, member.total)) }
        }
    }
}

fn count(reader: &Reader, number: u64) -> String {
    reader.number(i64::try_from(number).unwrap_or(i64::MAX))
}

fn why(reader: &Reader, absence: Absence) -> String {
    match absence {
        Absence::Inactive => reader.say("inactive in the CRM", "неактивний у CRM").to_owned(),
        Absence::Away => reader.say("away", "відсутній").to_owned(),
        Absence::CapReached(_) => reader.say("daily cap reached", "денний ліміт вичерпано").to_owned(),
        Absence::DayOff => reader.say("day off", "вихідний").to_owned(),
        Absence::OutsideHours => reader.say("outside hours", "поза робочим часом").to_owned(),
    }
}

/// `Mon–Fri 09:00–18:00, Sat 10:00–14:00`: days in a row with the same hours together.
fn hours(reader: &Reader, week: Option<&Week>) -> String {
    const DAYS: [(&str, &str); 7] = [
        ("Mon", "пн"),
        ("Tue", "вт"),
        ("Wed", "ср"),
        ("Thu", "чт"),
        ("Fri", "пт"),
        ("Sat", "сб"),
        ("Sun", "нд"),
    ];
    let Some(week) = week else { return reader.say("day and night", "цілодобово").to_owned() };
    let mut told = Vec::new();
    let mut first = 0;
    for (day, spans) in week.iter().enumerate() {
        if week.get(day + 1) == Some(spans) {
            continue;
        }
        if !spans.is_empty() {
            let name = |day: usize| {
                DAYS.get(day).map_or("", |(english, ukrainian)| reader.say(*english, *ukrainian))
            };
            let days =
                if first == day { name(day).to_owned() } else { format!("{}–{}", name(first), name(day)) };
            told.push(format!("{days} {}", spans.join(", ").replace('-', "–")));
        }
        first = day + 1;
    }
    if told.is_empty() { reader.say("never", "ніколи").to_owned() } else { told.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_with_the_same_hours_are_told_together() {
        let reader = Reader::for_tests();
        let span = |text: &str| vec![text.to_owned()];
        let work = || span("09:00-18:00");
        let check = |week: Week, expect: &str| assert_eq!(hours(&reader, Some(&week)), expect);
        let none = Vec::new;
        check([work(), work(), work(), work(), work(), none(), none()], "Mon–Fri 09:00–18:00");
        check(
            [work(), none(), work(), work(), none(), span("10:00-14:00"), none()],
            "Mon 09:00–18:00; Wed–Thu 09:00–18:00; Sat 10:00–14:00",
        );
        check(std::array::from_fn(|_| work()), "Mon–Sun 09:00–18:00");
        check(std::array::from_fn(|_| none()), "never");
        assert_eq!(hours(&reader, None), "day and night");
    }
}
