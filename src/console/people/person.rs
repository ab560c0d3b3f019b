//! One person: what is theirs, where they can be reached, what they left, and who they became.

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::super::Console;
use super::super::guard::Reader;
use super::super::page::{Failure, Section, done_and, elsewhere, key, page};
use super::super::reasons::{badge, kept, marked};
use super::compare::ask_for_other;
use super::find::found;
use super::{DONE, brief, called, contact, leads, pair, path_of, undo, words};
use crate::access::Role;
use crate::id::{MergeId, PersonId};
use crate::lead::ChatState;
use crate::store::facts::KnownChat;
use crate::store::profile::{MergeRow, Profile};

/// Leads that are shown.
const LEADS: i64 = 20;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    done: Option<String>,
    /// The merge that was made, to be undone.
    merge: Option<MergeId>,
    /// Whoever was asked for and is this one by now.
    was: Option<PersonId>,
}

pub(super) async fn person(
    State(console): State<Console>,
    reader: Reader,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    let Ok(id) = id.parse::<PersonId>() else { return Err(Failure::NotFound) };
    let mut people = found(&console, &reader, &id.to_string(), LEADS).await?.people;
    let Some(person) = people.pop() else { return Err(Failure::NotFound) };
    if person.id != id {
        return Ok(Redirect::to(&format!("{}?was={id}", path_of(person.id))).into_response());
    }
    let decisions = console.means.store.decisions(person.id, LEADS, reader.language).await?;
    let content = html! {
        (done_and(&reader, asked.done.as_deref(), DONE, &undo(&reader, asked.merge)))
        @if asked.was.is_some() {
            p.message { (reader.say(
                "Whoever you asked for is part of this person.",
                "Людина, яку ви відкривали, — це тепер частина цієї.",
            )) }
        }
        p.faint {
            (leads(&reader, person.lead_count)) ", "
            (reader.say("known since ", "відома з ")) (reader.day(person.created_at)) ". id "
            span.code { (person.id) }
        }
        @if reader.may(Role::Operator) { (ask_for_other(&reader, person.id, "")) }
        (may_be(&reader, &person))
        h2 { (reader.say("Known by", "Як її впізнають")) }
        (words::identifiers(&reader, &person))
        @if !person.shared.is_empty() {
            p { (reader.say("Also uses, though it is somebody else’s:", "Також користується, хоча це чуже:")) }
            ul { @for given in &person.shared { li {
                (words::given(&reader, given)) " "
                a href=(path_of(given.person)) { (reader.say("whose", "чиє")) }
            } } }
        }
        (chats(&reader, &person.chats))
        @if !person.contacts.is_empty() {
            h2 { (reader.say("In the CRM", "У CRM")) }
            ul.plain { @for one in &person.contacts { li { (contact(&reader, one)) } } }
        }
        @if !person.fields.is_empty() {
            h2 { (reader.say("Remembered", "Що запам’ятовано")) }
            dl { @for (name, field) in &person.fields {
                dt { (name) }
                dd { (plain(&field.value)) " " span.faint { (reader.moment(field.at)) } }
            } }
        }
        @if !person.clicks.is_empty() {
            h2 { (reader.say("Clicks that brought them", "Кліки, з яких прийшла")) }
            ul.plain { @for click in &person.clicks { li {
                span.code { (click.click) } " " span.faint { (reader.moment(click.at)) }
            } } }
        }
        h2 { (reader.say("Leads", "Ліди")) }
        @if i64::try_from(person.leads.len()).unwrap_or(i64::MAX) < person.lead_count {
            p.hint { (reader.say("The newest.", "Найновіші.")) }
        }
        @for lead in &person.leads {
            article.sheet {
                p {
                    a href=(format!("/leads/{}", lead.id)) { (reader.moment(lead.received_at)) }
                    " · " (lead.source) " · " (badge(&reader, &lead.state))
                }
                @if let Some(told) = decisions.get(&lead.id) {
                    @for sentence in told.why.iter().chain(&told.why_not) { p { (sentence.text) } }
                }
            }
        }
        (merges(&reader, &person))
    };
    let title = called(&reader, person.name.as_deref());
    Ok(page(&reader, Some(Section::People), title, &content).into_response())
}

fn may_be(reader: &Reader, person: &Profile) -> Markup {
    let id = person.id.to_string();
    html! {
        @if !person.possible_duplicates.is_empty() {
            h2 { (reader.say("May be the same person as", "Можливо, це та сама людина, що й")) }
            @for duplicate in &person.possible_duplicates {
                @let other = if duplicate.one.id == id { &duplicate.other } else { &duplicate.one };
                article.sheet {
                    (brief(reader, other))
                    @for sentence in &duplicate.why { p { (sentence) } }
                    @if let (true, Ok(with)) = (reader.may(Role::Operator), other.id.parse::<PersonId>()) {
                        div.actions {
                            a.button href=(format!("/people/merge?one={id}&with={with}")) {
                                (reader.say("Same person…", "Одна людина…"))
                            }
                            form method="post" action="/people/not-same" {
                                (key(reader))
                                (pair(person.id, with, false))
                                button.second { (reader.say("Different people", "Різні люди")) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn chats(reader: &Reader, chats: &[KnownChat]) -> Markup {
    let [channel, bot, chat, state, last] = [
        reader.say("Messenger", "Месенджер"),
        reader.say("Bot", "Бот"),
        reader.say("Chat", "Чат"),
        reader.say("State", "Стан"),
        reader.say("Last seen", "Востаннє"),
    ];
    html! {
        @if !chats.is_empty() {
            h2 { (reader.say("Chats", "Чати")) }
            div.scroll { table.cards {
                thead { tr { @for name in [channel, bot, chat, state, last] { th scope="col" { (name) } } } }
                tbody { @for one in chats { tr {
                    td data-name=(channel) { (one.channel) }
                    td data-name=(bot) { (one.bot_name.as_deref().unwrap_or(&one.bot)) }
                    td data-name=(chat) {
                        @match &one.link {
                            Some(link) => (elsewhere(link, &one.value)),
                            None => span.code { (one.value) },
                        }
                    }
                    td data-name=(state) {
                        @match &one.state {
                            ChatState::Active => span.badge.good { (reader.say("active", "активний")) },
                            ChatState::Blocked { why } => {
                                span.badge.bad { (reader.say("blocked", "заблокований")) }
                                " " span.faint { (kept(reader, why)) " " (reader.day(one.since)) }
                            },
                        }
                        @if let Some(status) = &one.status {
                            div.faint {
                                (reader.say("last message: ", "останнє повідомлення: ")) (status.status)
                                @if let Some(text) = &status.description { " (" (marked(reader, text)) ")" }
                            }
                        }
                    }
                    td data-name=(last) { (reader.moment(one.seen)) }
                } } }
            } }
        }
    }
}

fn merges(reader: &Reader, person: &Profile) -> Markup {
    let other = |merge: &MergeRow| if merge.from == person.id { merge.into } else { merge.from };
    html! {
        @if !person.merges.is_empty() {
            h2 { (reader.say("Who became one with them", "Кого з нею об’єднано")) }
            ul.plain { @for merge in &person.merges { li.sheet {
                p { (reader.moment(merge.at)) ": " (kept(reader, &merge.why)) }
                @match merge.undone_at {
                    Some(at) => p.faint {
                        (reader.say("Taken apart on ", "Роз’єднано: ")) (reader.moment(at)) ". "
                        a href=(path_of(other(merge))) { (reader.say("The other person", "Інша людина")) }
                    },
                    None => @if reader.may(Role::Operator) {
                        a href=(format!("/people/split?what={}", merge.id)) { (reader.say("Take apart…", "Роз’єднати…")) }
                    },
                }
            } } }
        }
        @if !person.corrections.is_empty() {
            h2 { (reader.say("What was said about them", "Що про неї вирішували")) }
            ul.plain { @for said in &person.corrections { li {
                (reader.moment(said.at)) ": " (words::said(reader, &said.kind))
                @if let Some(author) = &said.author { ", " (author) }
                @if let Some(note) = &said.note { ": " (note) }
            } } }
        }
        @if !person.apart.is_empty() {
            h2 { (reader.say("Is not the same person as", "Це інша людина, ніж")) }
            ul.plain { @for other in &person.apart { li {
                a.code href=(path_of(other)) { (other) }
            } } }
        }
    }
}

/// A value as people read it: a text without its quotes.
fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
