//! Requests as they came: a list of them, also of those that became no lead, and each with what it holds.

mod payload;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::routing::get;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::Console;
use super::guard::Reader;
use super::page::{Failure, Section, page};
use super::reasons::{badge, kept, kept_in_few_words};
use super::registry::{Choices, Tab, connect, select, tabs};
use crate::event::{Delivery, Event, preset};
use crate::id::DeliveryId;
use crate::store::deliveries::{DeliveryDetail, DeliveryRow, EventRow, Kind, Page, Turn};

/// Deliveries of one page.
const PAGE: usize = 50;
/// Characters of a body that are shown as they came.
const RAW: usize = 64 * 1024;
/// Redeliveries of one event that are listed.
const REDELIVERIES: usize = 20;

pub(super) fn routes() -> Router<Console> {
    Router::new().route("/deliveries", get(list)).route("/deliveries/{id}", get(delivery))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    kind: String,
    source: String,
    before: Option<String>,
    after: Option<String>,
}

impl Asked {
    fn turn(&self) -> Turn {
        let id = |text: &Option<String>| text.as_ref()?.parse::<DeliveryId>().ok();
        match (id(&self.before), id(&self.after)) {
            (Some(id), _) => Turn::Before(id),
            (None, Some(id)) => Turn::After(id),
            (None, None) => Turn::Newest,
        }
    }

    /// Whether nothing is looked for.
    fn is_all(&self) -> bool {
        self.kind.is_empty() && self.source.is_empty() && self.before.is_none() && self.after.is_none()
    }

    fn address(&self, further: Option<(&str, DeliveryId)>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in [("kind", &self.kind), ("source", &self.source)] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        if let Some((name, id)) = further {
            query.append_pair(name, &id.to_string());
        }
        format!("/deliveries?{}", query.finish())
    }
}

async fn list(
    State(console): State<Console>,
    reader: Reader,
    Query(asked): Query<Asked>,
) -> Result<Markup, Failure> {
    let store = &console.means.store;
    let choices = Choices::of(&console).await?;
    let (kind, source) =
        (Kind::parse(&asked.kind), Some(asked.source.as_str()).filter(|name| !name.is_empty()));
    let mut found = store.deliveries(kind, source, asked.turn(), PAGE).await?;
    if found.newer.is_none() && asked.turn() != Turn::Newest && found.deliveries.len() < PAGE {
        found = store.deliveries(kind, source, Turn::Newest, PAGE).await?;
    }
    let content = html! {
        (tabs(&reader, Tab::Deliveries))
        (form(&reader, &asked, &choices))
        @if found.deliveries.is_empty() {
            p.message {
                @if asked.is_all() {
                    (reader.say(
                        "Nothing has come yet. Give the address of a source to whatever sends the leads.",
                        "Ще нічого не надходило. Вкажіть адресу джерела там, звідки приходять ліди.",
                    ))
                    (connect(&reader))
                } @else {
                    (reader.say("No request is like this.", "Таких запитів немає."))
                }
            }
        } @else {
            (table(&reader, &found.deliveries))
        }
        @if found.looked_at.is_some() {
            p.message { (reader.say(
                "This is what there was among the last requests that were looked at. Go on for more.",
                "Це все, що знайшлося серед переглянутих запитів. Шукайте далі.",
            )) }
        }
        (pages(&reader, &asked, &found))
    };
    Ok(page(&reader, Some(Section::Registry), reader.say("Requests", "Запити"), &content))
}

fn form(reader: &Reader, asked: &Asked, choices: &Choices) -> Markup {
    let of_kind = |kind: Kind| match kind {
        Kind::Unreadable => reader.say("unreadable", "не читаються"),
        Kind::Waiting => reader.say("waiting", "чекають"),
        Kind::Refused => reader.say("refused", "відхилені"),
        Kind::Redelivery => reader.say("sent again", "надіслані повторно"),
        Kind::Received => reader.say("not read yet", "ще не прочитані"),
    };
    html! {
        form.filters method="get" action="/deliveries" {
            label {
                (reader.say("Which", "Які"))
                select name="kind" {
                    option value="" { (reader.say("all", "усі")) }
                    @for kind in Kind::ALL {
                        option value=(kind.as_str()) selected[asked.kind == kind.as_str()] { (of_kind(kind)) }
                    }
                }
            }
            (select("source", reader.say("Source", "Джерело"), reader.say("any", "будь-яке"), &asked.source, &choices.sources))
            button { (reader.say("Show", "Показати")) }
        }
    }
}

fn table(reader: &Reader, deliveries: &[DeliveryRow]) -> Markup {
    let columns = [
        reader.say("When", "Коли"),
        reader.say("Source", "Джерело"),
        reader.say("State", "Стан"),
        reader.say("Why", "Чому"),
    ];
    let [when, source, state, why] = columns;
    html! {
        div.scroll {
            table.cards {
                thead { tr { @for column in columns { th scope="col" { (column) } } } }
                tbody {
                    @for row in deliveries {
                        tr {
                            td data-name=(when) {
                                a href={ "/deliveries/" (row.id) } {
                                    time datetime=(row.received_at) { (reader.moment(row.received_at)) }
                                }
                            }
                            td data-name=(source) { (row.source) " " span.faint { (row.method) } }
                            td data-name=(state) { (badge(reader, &row.state)) }
                            td.why data-name=(why) { @if let Some(why) = &row.why { (kept_in_few_words(reader, why)) } }
                        }
                    }
                }
            }
        }
    }
}

fn pages(reader: &Reader, asked: &Asked, found: &Page) -> Markup {
    html! {
        @if found.newer.is_some() || found.older.is_some() {
            nav.pages aria-label=(reader.say("Pages", "Сторінки")) {
                @if let Some(id) = found.newer {
                    a href=(asked.address(None)) { (reader.say("Newest", "Найновіші")) }
                    a rel="prev" href=(asked.address(Some(("after", id)))) { "← " (reader.say("Newer", "Новіші")) }
                }
                @if let Some(id) = found.older {
                    a rel="next" href=(asked.address(Some(("before", id)))) { (reader.say("Older", "Старіші")) " →" }
                }
            }
        }
    }
}

async fn delivery(
    State(console): State<Console>,
    reader: Reader,
    Path(id): Path<String>,
) -> Result<Markup, Failure> {
    let id: DeliveryId = id.parse().map_err(|_| Failure::NotFound)?;
    let detail = console.means.store.delivery(id).await?.ok_or(Failure::NotFound)?;
    let preset_name = preset_of(&console, &detail.row.source).await?;
    let events = if detail.emptied_at.is_some() { Vec::new() } else { split(&detail, &preset_name) };
    let content = html! {
        (about(&reader, &detail))
        @if detail.emptied_at.is_none() {
            p.hint #copy-help { (reader.say(
                "Click a value, or press Enter on it, to copy its placeholder for the mapping.",
                "Натисніть на значення (або Enter на ньому), щоб скопіювати його плейсхолдер для мапінгу.",
            )) }
        }
        @for (number, event) in detail.events.iter().enumerate() {
            (became(&reader, event, (detail.events.len() > 1).then_some(number + 1), events.get(number)))
        }
        @if detail.events.is_empty() {
            @for (number, event) in events.iter().enumerate() {
                section.sheet {
                    h2 { (reader.say("Event", "Подія")) " " (number + 1) }
                    (payload::body(&reader, &event.payload))
                }
            }
        }
        (request(&reader, &detail, events.first()))
    };
    let title = format!("{} · {}", reader.say("Request", "Запит"), detail.row.source);
    Ok(page(&reader, Some(Section::Registry), &title, &content))
}

/// The preset of a source, also of one that is gone.
async fn preset_of(console: &Console, source: &str) -> Result<String, Failure> {
    let sources = console.means.store.remembered_sources().await?;
    Ok(sources.into_iter().find(|known| known.name == source).map(|known| known.preset).unwrap_or_default())
}

/// What the preset makes of it, as the mapping sees it.
fn split(detail: &DeliveryDetail, name: &str) -> Vec<Event> {
    let Some(preset) = preset(name) else { return Vec::new() };
    let delivery = Delivery {
        id: detail.row.id,
        source: detail.row.source.clone(),
        method: detail.row.method.clone(),
        query: detail.query.clone(),
        headers: detail.headers.clone(),
        body: detail.body.clone().into_bytes(),
        received_at: detail.row.received_at,
    };
    (preset.split)(&delivery).unwrap_or_default()
}

fn about(reader: &Reader, detail: &DeliveryDetail) -> Markup {
    let row = &detail.row;
    html! {
        section.sheet {
            dl {
                dt { (reader.say("Received", "Отримано")) }
                dd { time datetime=(row.received_at) { (reader.moment(row.received_at)) } }
                dt { (reader.say("Source", "Джерело")) } dd { (row.source) }
                dt { (reader.say("State", "Стан")) }
                dd { (badge(reader, &row.state)) @if let Some(why) = &row.why { " " (kept(reader, why)) } }
                dt { "id" } dd { code { (row.id) } }
            }
            @if let Some(at) = detail.emptied_at {
                p.message {
                    (reader.say("Query, headers and body were removed on ", "Параметри, заголовки й тіло видалено "))
                    (reader.day(at)) "."
                }
            }
        }
    }
}

/// An event, and what became of it.
fn became(reader: &Reader, row: &EventRow, number: Option<usize>, event: Option<&Event>) -> Markup {
    html! {
        section.sheet {
            h2 { (reader.say("Event", "Подія")) @if let Some(number) = number { " " (number) } }
            p {
                @if let Some(first) = row.redelivery_of {
                    (reader.say("It had come before, so it was counted once: ", "Вона вже надходила, тож зарахована один раз: "))
                    a href={ "/deliveries/" (first) } { (reader.say("the first request", "перший запит")) } ". "
                }
                @if let Some(lead) = row.lead {
                    a href={ "/leads/" (lead) } { (reader.say("Its lead", "Її лід")) }
                    @if let Some(state) = row.lead_state.as_deref().filter(|state| *state != "mapped") {
                        " " (badge(reader, state))
                    }
                } @else {
                    (reader.say("It has become no lead yet.", "Лідом вона ще не стала."))
                }
            }
            @if !row.redeliveries.is_empty() {
                p {
                    (reader.say("It came again: ", "Надходила повторно: "))
                    @for (place, again) in row.redeliveries.iter().take(REDELIVERIES).enumerate() {
                        @if place > 0 { ", " }
                        a href={ "/deliveries/" (again.delivery) } { (reader.moment(again.received_at)) }
                    }
                    @if row.redeliveries.len() > REDELIVERIES { " …" }
                }
            }
            @if let Some(event) = event { (payload::body(reader, &event.payload)) }
            p.faint { (reader.say("Key", "Ключ")) ": " code { (row.key) } }
        }
    }
}

/// The request itself: query, headers, and the body as it came.
fn request(reader: &Reader, detail: &DeliveryDetail, event: Option<&Event>) -> Markup {
    let has = |value: &Value| value.as_object().is_some_and(|entries| !entries.is_empty());
    let raw: String = detail.body.chars().take(RAW).collect();
    let cut = raw.len() < detail.body.len();
    html! {
        @if detail.emptied_at.is_none() {
            section.sheet {
                h2 { (detail.row.method) }
                @if let Some(query) = event.map(|event| &event.query).filter(|query| has(query)) {
                    h3 { (reader.say("Query", "Параметри")) }
                    (payload::named(reader, "query", query))
                } @else if let Some(query) = &detail.query {
                    h3 { (reader.say("Query", "Параметри")) }
                    pre tabindex="0" { (query) }
                }
                @if let Some(headers) = event.map(|event| &event.headers).filter(|headers| has(headers)) {
                    h3 { (reader.say("Headers", "Заголовки")) }
                    (payload::named(reader, "headers", headers))
                }
                @if !raw.is_empty() {
                    details {
                        summary { (reader.say("The body as it came", "Тіло, як воно надійшло")) }
                        pre tabindex="0" { (raw) @if cut { "…" } }
                        @if cut { p.hint { (reader.say("Cut here; all of it: ", "Тут обрізано; повністю: ")) code { "GET /api/deliveries/" (detail.row.id) } } }
                    }
                }
            }
        }
    }
}
