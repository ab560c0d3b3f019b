//! One lead: received → mapped → normalised → who → decided → each step, with every reason.

mod again;
mod syncs;
mod version;

pub(super) use self::syncs::kind;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::routing::{get, post};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::Console;
use super::guard::Reader;
use super::page::{Failure, Section, page};
use super::reasons::{badge, field, kept, whole};
use crate::access::Role;
use crate::id::LeadId;
use crate::resolve::Sentence;
use crate::store::registry::LeadDetail;
use crate::workspace::short;

/// Redeliveries that are listed.
const REDELIVERIES: usize = 20;

pub(super) fn routes() -> Router<Console> {
    Router::new()
        .route("/leads/{id}", get(lead))
        .route("/leads/{id}/version", get(version::changed_since))
        .route("/leads/{id}/again", get(again::look))
        .route("/leads/{id}/again", post(again::replay))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    done: String,
}

async fn lead(
    State(console): State<Console>,
    reader: Reader,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Markup, Failure> {
    let (id, lead) = found(&console, &reader, &id).await?;
    let active = console.means.store.active_hash().await?;
    let operates = reader.caller.role >= Role::Operator;
    let buttons = if operates { Some(again::buttons(&console, &reader, id).await?) } else { None };
    let content = html! {
        @if let Some((good, words)) = again::done(&reader, &asked.done) {
            p.message.good[good] role="status" { (words) }
        }
        p.lead-state {
            @if lead.syncs.is_empty() { (badge(&reader, &lead.row.state)) }
            @for sync in &lead.syncs { span.stands { (badge(&reader, &sync.state)) " " span.faint { "→ " (sync.destination) } } }
            " " span.faint { (reader.say("from ", "з джерела ")) (lead.row.source) }
        }
        @if lead.syncs.is_empty() {
            @if let Some(why) = &lead.row.why { p.message { (whole(&reader, why)) } }
        }
        @if let Some(buttons) = buttons { (buttons) }
        ol.timeline {
            (received(&reader, &lead))
            (mapped(&reader, &lead, active.as_deref()))
            (who(&reader, &lead))
            @for sync in &lead.syncs { (syncs::sync(&reader, sync)) }
            (syncs::coming(&reader, &lead))
        }
        p.faint { "id " code { (id) } }
    };
    let title = title(&reader, &lead);
    Ok(page(&reader, Some(Section::Registry), &title, &content))
}

/// The lead of an address.
async fn found(console: &Console, reader: &Reader, id: &str) -> Result<(LeadId, LeadDetail), Failure> {
    let id: LeadId = id.parse().map_err(|_| Failure::NotFound)?;
    let lead = console.means.store.lead_in(id, reader.language).await?.ok_or(Failure::NotFound)?;
    Ok((id, lead))
}

fn title(reader: &Reader, lead: &LeadDetail) -> String {
    let contact = lead.row.contact.as_ref();
    let of = |name| contact.and_then(|contact| contact.get(name)).and_then(Value::as_str);
    let who = of("name").or(of("phone")).or(of("email"));
    who.map_or_else(|| reader.say("A lead", "Лід").to_owned(), str::to_owned)
}

fn received(reader: &Reader, lead: &LeadDetail) -> Markup {
    let delivery = lead.delivery.get("id").and_then(Value::as_str).unwrap_or_default();
    html! {
        li {
            h2 { (reader.say("Received", "Отримано")) }
            p {
                time datetime=(lead.row.received_at) { (reader.moment(lead.row.received_at)) }
                (reader.say(" from ", " з джерела ")) (lead.row.source)
                @if !delivery.is_empty() {
                    ": " a href={ "/deliveries/" (delivery) } { (reader.say("the request as it came", "запит, як він надійшов")) }
                }
            }
            @if let Some(at) = lead.delivery.get("emptied_at").and_then(Value::as_str).and_then(|at| at.parse().ok()) {
                p.faint { (reader.say("Its body is gone since ", "Його тіла немає з ")) (reader.day(at)) }
            }
            @if !lead.redeliveries.is_empty() {
                p {
                    (reader.say("The platform sent it again, it was counted once: ", "Платформа надіслала його ще раз, зараховано один раз: "))
                    @for (place, again) in lead.redeliveries.iter().take(REDELIVERIES).enumerate() {
                        @if place > 0 { ", " }
                        a href={ "/deliveries/" (text(again.get("id"))) } {
                            @match text(again.get("received_at")).parse() {
                                Ok(at) => (reader.moment(at)),
                                Err(_) => (text(again.get("received_at"))),
                            }
                        }
                    }
                    @if lead.redeliveries.len() > REDELIVERIES { " …" }
                }
            }
        }
    }
}

fn mapped(reader: &Reader, lead: &LeadDetail, active: Option<&str>) -> Markup {
    let of = |path: &str| lead.lead.as_ref().and_then(|mapped| mapped.pointer(path));
    html! {
        li {
            h2 { (reader.say("Mapped", "Зіставлено")) }
            p {
                @if let Some(branch) = of("/branch") { (reader.say("Branch ", "Гілка ")) b translate="no" { (text(Some(branch))) } ", " }
                (reader.say("version ", "версія ")) code { (short(&lead.version)) }
                @if active == Some(lead.version.as_str()) {
                    (reader.say(", which is today’s", ", вона ж сьогоднішня"))
                } @else {
                    ": " a href={ "/leads/" (lead.row.id) "/version" } {
                        (reader.say("what has changed since", "що змінилося відтоді"))
                    }
                }
            }
            @if lead.lead.is_some() {
                dl {
                    (pair(reader.say("Name", "Ім’я"), of("/contact/name")))
                    (fields(of("/contact/fields")))
                    (pair(reader.say("Deal", "Угода"), of("/deal/title")))
                    (pair(reader.say("Pipeline", "Воронка"), of("/deal/pipeline")))
                    (pair(reader.say("Stage", "Етап"), of("/deal/stage")))
                    (fields(of("/deal/fields")))
                    (pair(reader.say("Note", "Примітка"), of("/note")))
                    (pair(reader.say("Owner pool", "Пул відповідальних"), of("/owners")))
                    @if let Some(event) = of("/postback/event") {
                        (pair(reader.say("Counted as", "Зараховано як"), Some(&Value::from(format!(
                            "{}#{}", text(Some(event)), text(of("/postback/ordinal"))
                        )))))
                    }
                }
            }
        }
        @if lead.lead.is_some() {
            li {
                h2 { (reader.say("Normalised", "Нормалізовано")) }
                (normalised(reader, of("/contact/phones"), "e164"))
                (normalised(reader, of("/contact/emails"), "address"))
                @for flaw in list(of("/flaws")) {
                    p { span.badge.wait { (field(reader, &text(flaw.get("field")))) } " "
                        q translate="no" { (text(flaw.get("raw"))) } ": " (kept(reader, &text(flaw.get("text")))) }
                }
                @if list(of("/contact/phones")).is_empty() && list(of("/contact/emails")).is_empty() && list(of("/flaws")).is_empty() {
                    p.faint { (reader.say("Neither phone nor email came with it.", "Ні телефону, ні пошти в ньому немає.")) }
                }
            }
        }
    }
}

fn normalised(reader: &Reader, values: Option<&Value>, to: &str) -> Markup {
    html! {
        @for value in list(values) {
            p {
                b { (text(value.get(to))) }
                @if value.get("raw") != value.get(to) {
                    span.faint { (reader.say(" was written ", " було написано ")) q { (text(value.get("raw"))) } }
                }
                @if value.get("confidence").and_then(Value::as_str) == Some("assumed") {
                    span.faint { (reader.say("; the country is the mapping’s", "; країну взято з мапінгу")) }
                }
                @if value.get("confidence").and_then(Value::as_str) == Some("ambiguous") {
                    span.faint { (reader.say("; it could be another number, so nobody is recognised by it", "; це може бути й інший номер, тож за ним нікого не впізнаємо")) }
                }
            }
        }
    }
}

fn who(reader: &Reader, lead: &LeadDetail) -> Markup {
    let sentences = |sentences: &[Sentence]| {
        html! { ul { @for sentence in sentences { li { (sentence.text) } } } }
    };
    html! {
        @if lead.row.person.is_some() || lead.decision.is_some() {
            li {
                h2 { (reader.say("Who", "Хто це")) }
                @if let Some(person) = &lead.row.person {
                    p { a href={ "/people/" (person) } { (reader.say("This person and everything of theirs", "Ця людина і все, що про неї відомо")) } }
                }
                @if let Some(told) = &lead.decision {
                    @if !told.why.is_empty() { (sentences(&told.why)) }
                    @if !told.why_not.is_empty() {
                        h3 { (reader.say("But not", "Але не")) }
                        (sentences(&told.why_not))
                    }
                }
            }
        }
    }
}

/// The items of a list; none where there is no list.
fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A value as a person reads it; empty where there is none.
fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(Value::Array(items)) => items.iter().map(|item| text(Some(item))).collect::<Vec<_>>().join(", "),
        Some(other) => other.to_string(),
    }
}

fn pair(name: &str, value: Option<&Value>) -> Markup {
    let value = text(value);
    html! { @if !value.is_empty() { dt { (name) } dd translate="no" { (value) } } }
}

fn fields(value: Option<&Value>) -> Markup {
    let entries = value.and_then(Value::as_object);
    html! { @for (name, value) in entries.into_iter().flatten() { (pair(name, Some(value))) } }
}
