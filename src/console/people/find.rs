//! The search, and who came last.

use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::super::Console;
use super::super::guard::Reader;
use super::super::page::{Failure, Section, page};
use super::super::registry::connect;
use super::{called, path_of};
use crate::id::PersonId;
use crate::operation::ask;
use crate::operation::people::{LookAtNewestPeople, LookAtPeople, MOST_PEOPLE, People};
use crate::store::profile::Brief;

/// People of one page.
const PAGE: i64 = 30;
/// How far those who may be one are counted.
const COUNTED: i64 = 1_000;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    q: String,
    before: Option<PersonId>,
}

/// Everybody whom a text means, found by the countries of the mappings.
pub(super) async fn found(
    console: &Console,
    reader: &Reader,
    who: &str,
    leads: i64,
) -> Result<People, Failure> {
    let look = LookAtPeople {
        who: who.to_owned(),
        regions: console.means.regions().await,
        leads: Some(leads),
        language: reader.language,
    };
    Ok(ask(look, &reader.caller, &console.means).await?)
}

pub(super) async fn list(
    State(console): State<Console>,
    reader: Reader,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    let who = asked.q.trim();
    let content = if who.is_empty() {
        newest(&console, &reader, asked.before).await?
    } else {
        let found = found(&console, &reader, who, 0).await?.people;
        if let [person] = found.as_slice() {
            return Ok(Redirect::to(&path_of(person.id)).into_response());
        }
        let people: Vec<Brief> = found
            .into_iter()
            .map(|person| Brief {
                id: person.id.to_string(),
                name: person.name,
                identifiers: person.identifiers.into_iter().map(|identifier| identifier.value).collect(),
                leads: person.lead_count,
            })
            .collect();
        html! {
            @if people.is_empty() {
                p.message { (reader.say(
                    "Nobody is known by this. Try a phone with its country, an email, the beginning of a name, a chat id or a \
                     lead’s id.",
                    "За цим нікого не знайдено. Спробуйте телефон з кодом країни, пошту, початок імені, id чату або id \
                     ліда.",
                )) }
            } @else {
                p {
                    (reader.say("Several people have this:", "Це є в кількох людей:"))
                    @if people.len() >= MOST_PEOPLE {
                        " " span.faint { (reader.say("there may be more, so type more of it.", "можливо, є й інші: уточніть запит.")) }
                    }
                }
                (table(&reader, &people))
            }
            p { a href="/people" { (reader.say("Everybody", "Усі люди")) } }
        }
    };
    let content = html! { (search(&reader, who)) (content) };
    Ok(page(&reader, Some(Section::People), Section::People.name(&reader), &content).into_response())
}

fn search(reader: &Reader, who: &str) -> Markup {
    html! {
        form.filters role="search" action="/people" {
            label {
                (reader.say("Phone, email, name, chat or id", "Телефон, пошта, ім’я, чат або id"))
                input type="search" name="q" value=(who) size="32" autocomplete="off" maxlength="300";
            }
            button { (reader.say("Find", "Знайти")) }
        }
    }
}

async fn newest(console: &Console, reader: &Reader, before: Option<PersonId>) -> Result<Markup, Failure> {
    let waiting = console.means.store.count_possible_duplicates(COUNTED + 1).await?;
    let look = LookAtNewestPeople { before, limit: Some(PAGE) };
    let people = ask(look, &reader.caller, &console.means).await?.people;
    let next = people.last().filter(|_| i64::try_from(people.len()) == Ok(PAGE));
    Ok(html! {
        @if waiting > 0 {
            p.message {
                @if waiting > COUNTED {
                    (reader.say("More than 1,000 pairs may be one person each.", "Понад 1\u{a0}000 пар, можливо, — та сама людина."))
                } @else {
                    (reader.count(
                        waiting,
                        ["pair of people may be one person.", "pairs of people may be one person each."],
                        ["пара, можливо, — та сама людина.", "пари, можливо, — та сама людина.", "пар, можливо, — та сама людина."],
                    ))
                }
                " "
                a href="/people/duplicates" { (reader.say("Look at them", "Переглянути")) }
            }
        }
        @if people.is_empty() {
            p.message {
                (reader.say("Nobody has written yet. Whoever does stands here.", "Ще ніхто не писав. Щойно хтось напише, він з’явиться тут."))
                (connect(reader))
            }
        } @else {
            h2 { (reader.say("Newest", "Найновіші")) }
            (table(reader, &people))
        }
        @if let Some(last) = next {
            p { a.button href=(format!("/people?before={}", last.id)) { (reader.say("Earlier", "Раніше")) } }
        }
    })
}

fn table(reader: &Reader, people: &[Brief]) -> Markup {
    let [name, known, count] =
        [reader.say("Name", "Ім’я"), reader.say("Known by", "Відомо"), reader.say("Leads", "Ліди")];
    html! {
        div.scroll { table.cards {
            thead { tr { th scope="col" { (name) } th scope="col" { (known) } th.number scope="col" { (count) } } }
            tbody { @for person in people { tr {
                td data-name=(name) { a href=(path_of(&person.id)) { (called(reader, person.name.as_deref())) } }
                td data-name=(known) { (person.identifiers.join(", ")) }
                td.number data-name=(count) { (reader.number(person.leads)) }
            } } }
        } }
    }
}
