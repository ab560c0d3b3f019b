//! The overview: leads by hour or day and source, what became of them, which duplicates were prevented, how long it took;
//! each as a chart.

mod chart;
mod series;

use axum::Router;
use axum::extract::{Query, State};
use axum::routing::get;
use jiff::SignedDuration;
use maud::{Markup, html};
use serde::Deserialize;

use self::chart::{Series, chart};
use super::Console;
use super::guard::Reader;
use super::page::{Failure, Section, page};
use crate::operation::ask;
use crate::operation::overview::{LookAtOverview, Overview};

pub(super) fn routes() -> Router<Console> {
    Router::new().route("/overview", get(show))
}

/// How far back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
enum Range {
    #[default]
    #[serde(rename = "24h")]
    Day,
    #[serde(rename = "7d")]
    Week,
    #[serde(rename = "30d")]
    Month,
}

impl Range {
    const ALL: [Self; 3] = [Self::Day, Self::Week, Self::Month];

    fn hours(self) -> u32 {
        match self {
            Self::Day => 24,
            Self::Week => 7 * 24,
            Self::Month => 30 * 24,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Month => "30d",
        }
    }

    fn name(self, reader: &Reader) -> &'static str {
        match self {
            Self::Day => reader.say("Last 24 hours", "Останні 24 години"),
            Self::Week => reader.say("7 days", "7 днів"),
            Self::Month => reader.say("30 days", "30 днів"),
        }
    }
}

#[derive(Debug, Deserialize)]
struct Asked {
    range: Option<String>,
}

async fn show(
    State(console): State<Console>,
    reader: Reader,
    Query(asked): Query<Asked>,
) -> Result<Markup, Failure> {
    let range = Range::ALL.into_iter().find(|range| Some(range.word()) == asked.range.as_deref());
    let range = range.unwrap_or_default();
    let days_of = (range != Range::Day).then(|| reader.zone_name().to_owned());
    let look = LookAtOverview { hours: range.hours(), days_of };
    let overview = ask(look, &reader.caller, &console.means).await?;
    let title = Section::Overview.name(&reader);
    Ok(page(&reader, Some(Section::Overview), title, &content(&reader, range, &overview)))
}

fn content(reader: &Reader, range: Range, overview: &Overview) -> Markup {
    html! {
        nav.ranges aria-label=(reader.say("Period", "Період")) {
            @for each in Range::ALL {
                a href={ "/overview?range=" (each.word()) } aria-current=[(each == range).then_some("page")] { (each.name(reader)) }
            }
        }
        (numbers(reader, overview))
        h2 { (reader.say("Leads by source", "Ліди за джерелами")) }
        (drawn(
            reader,
            reader.say("New leads by source", "Нові ліди за джерелами"),
            series::leads(reader, range, overview),
            reader.say("No lead has come in this time.", "За цей час лідів не було."),
        ))
        h2 { (reader.say("What became of them", "Що з ними стало")) }
        (drawn(
            reader,
            reader.say("What became of leads", "Що стало з лідами"),
            series::outcomes(reader, range, overview),
            reader.say("Nothing has come to its end in this time.", "За цей час нічого не завершено."),
        ))
        (outcomes(reader, overview))
        h2 { (reader.say("Duplicates that were prevented", "Відвернуті дублі")) }
        (drawn(
            reader,
            reader.say("Duplicates that were prevented", "Відвернуті дублі"),
            series::prevented(reader, range, overview),
            reader.say("Nobody came twice in this time.", "За цей час ніхто не приходив двічі."),
        ))
        h2 { (reader.say("Time to the CRM", "Час до CRM")) }
        (drawn(
            reader,
            reader.say("Time from the request to the CRM", "Час від запиту до CRM"),
            series::times(reader, range, overview),
            reader.say("No new lead was brought to a CRM in this time.", "За цей час у CRM не передано жодного нового ліда."),
        ))
        (times(reader, overview))
    }
}

fn numbers(reader: &Reader, overview: &Overview) -> Markup {
    let new: i64 = overview.leads.iter().map(|hour| hour.count).sum();
    let prevented = overview.prevented;
    let cards = [
        (new, reader.say("new leads", "Нові ліди")),
        (overview.contacts_made, reader.say("contacts made", "Створено контактів")),
        (overview.deals_made, reader.say("deals made", "Створено угод")),
        (prevented.redeliveries, reader.say("redeliveries caught", "Відсіяно повторних запитів")),
        (
            prevented.contacts_found,
            reader.say("contacts found, not made twice", "Контактів знайдено, а не продубльовано"),
        ),
        (prevented.tasks_instead, reader.say("tasks instead of second deals", "Завдань замість других угод")),
    ];
    html! {
        ul.numbers {
            @for (number, name) in cards { li.sheet { b { (reader.number(number)) } " " span.faint { (name) } } }
        }
    }
}

/// A chart, or a sentence where there is nothing to draw.
fn drawn(reader: &Reader, title: &str, series: Option<Series>, nothing: &str) -> Markup {
    series.map_or_else(|| html! { p.message { (nothing) } }, |series| chart(reader, title, &series))
}

fn outcomes(reader: &Reader, overview: &Overview) -> Markup {
    let states = [
        ("synced", reader.say("Brought there", "Передано"), "good"),
        ("filtered", reader.say("Filtered", "Відсіяно"), ""),
        ("needs-attention", reader.say("Needs attention", "Потребує уваги"), "bad"),
    ];
    html! {
        @if !overview.ended.is_empty() {
            table.cards {
                thead { tr {
                    th scope="col" { (reader.say("Destination", "Призначення")) }
                    @for (_, name, _) in states { th.number scope="col" { (name) } }
                } }
                tbody {
                    @for (destination, counts) in &overview.ended {
                        tr {
                            td data-name=(reader.say("Destination", "Призначення")) { (destination) }
                            @for (state, name, class) in states {
                                @let count = counts.get(state).copied().unwrap_or(0);
                                td.number data-name=(name) {
                                    @if count > 0 && class == "bad" { span.badge.bad { (reader.number(count)) } }
                                    @else { (reader.number(count)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn times(reader: &Reader, overview: &Overview) -> Markup {
    let span = |millis: i64| reader.span(SignedDuration::from_millis(millis));
    html! {
        @if !overview.took.is_empty() {
            table.cards {
                thead { tr {
                    th scope="col" { (reader.say("Destination", "Призначення")) }
                    th.number scope="col" { (reader.say("Half within", "Половина за")) " (p50)" }
                    th.number scope="col" { (reader.say("95 of 100 within", "95 зі 100 за")) " (p95)" }
                    th.number scope="col" { (reader.say("Leads", "Лідів")) }
                } }
                tbody {
                    @for (destination, took) in &overview.took {
                        tr {
                            td data-name=(reader.say("Destination", "Призначення")) { (destination) }
                            td.number data-name="p50" { (span(took.p50)) }
                            td.number data-name="p95" { (span(took.p95)) }
                            td.number data-name=(reader.say("Leads", "Лідів")) { (reader.number(took.leads)) }
                        }
                    }
                }
            }
            p.hint { (reader.say(
                "From the request to the last step in the CRM. Replays and backfill do not count.",
                "Від запиту до останнього кроку в CRM. Повтори та історичні ліди не враховано.",
            )) }
        }
    }
}
