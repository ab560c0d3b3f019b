//! Two people side by side, what would follow from making them one, and doing it.

use axum::Form;
use axum::extract::{Query, State};
use axum::response::Redirect;
use maud::{Markup, html};
use serde::Deserialize;

use super::super::Console;
use super::super::guard::Reader;
use super::super::page::{Failure, Section, key, page};
use super::find::found;
use super::{back, called, contact, face, leads, not_done, pair, path_of};
use crate::access::Role;
use crate::id::PersonId;
use crate::operation::people::{Merge, NotSame, Said};
use crate::operation::{OperationError, ask};
use crate::store::corrections::{ContactOf, MadeOne};
use crate::store::profile::Profile;

#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    one: PersonId,
    /// Whoever the other is, as somebody types it.
    #[serde(default)]
    with: String,
    /// It answers for a pair of the queue.
    #[serde(default)]
    queue: bool,
}

pub(super) async fn look(
    State(console): State<Console>,
    reader: Reader,
    Query(asked): Query<Asked>,
) -> Result<Markup, Failure> {
    let mut one = found(&console, &reader, &asked.one.to_string(), 0).await?.people;
    let Some(one) = one.pop() else { return Err(Failure::NotFound) };
    let mut others = found(&console, &reader, &asked.with, 0).await?.people;
    others.retain(|other| other.id != one.id);
    let content = match others.as_slice() {
        [other] => compared(&console, &reader, &one, other, asked.queue).await?,
        [] => html! {
            p.message { (reader.say(
                "Nobody else is known by this. Give a phone with its country, an email, a chat id or a lead’s id.",
                "Більше нікого за цим не знайдено. Вкажіть телефон з кодом країни, пошту, id чату або id ліда.",
            )) }
            (ask_for_other(&reader, one.id, &asked.with))
        },
        several => html! {
            p { (reader.say("Who of them is meant?", "Хто з них?")) }
            @for other in several {
                article.sheet {
                    (face(&reader, other))
                    a.button href=(format!("/people/merge?one={}&with={}", one.id, other.id)) {
                        (reader.say("Compare", "Порівняти"))
                    }
                }
            }
        },
    };
    let title = reader.say("Are they one person?", "Чи це одна людина?");
    Ok(page(&reader, Some(Section::People), title, &content))
}

/// The form that asks who else it may be.
pub(super) fn ask_for_other(reader: &Reader, one: PersonId, with: &str) -> Markup {
    html! {
        form.filters action="/people/merge" {
            input type="hidden" name="one" value=(one);
            label {
                (reader.say("Merge with: phone, email, chat or id", "Об’єднати з: телефон, пошта, чат або id"))
                input name="with" value=(with) size="28" required autocomplete="off" maxlength="300";
            }
            button.second { (reader.say("Compare…", "Порівняти…")) }
        }
    }
}

async fn compared(
    console: &Console,
    reader: &Reader,
    one: &Profile,
    other: &Profile,
    from_queue: bool,
) -> Result<Markup, Failure> {
    let seen = if reader.may(Role::Operator) {
        let merge = merge_of(one.id, other.id, from_queue, said(reader, "", true));
        match ask(merge, &reader.caller, &console.means).await {
            Ok(made) => Some(Ok(made)),
            Err(OperationError::NotDone(not)) => Some(Err(not)),
            Err(failure) => return Err(failure.into()),
        }
    } else {
        None
    };
    let why = one.possible_duplicates.iter().find(|pair| {
        let other = other.id.to_string();
        pair.one.id == other || pair.other.id == other
    });
    Ok(html! {
        div.pair { div.sheet { (face(reader, one)) } div.sheet { (face(reader, other)) } }
        @if let Some(pair) = why {
            h2 { (reader.say("What was decided about the lead that showed it", "Що вирішено про лід, який це показав")) }
            @for sentence in &pair.why { p { (sentence) } }
        }
        @match &seen {
            None => {}
            Some(Err(not)) => p.message.bad { (not_done(reader, not)) },
            Some(Ok(made)) => (what_follows(reader, made, one, other)),
        }
        @if reader.may(Role::Operator) {
            div.actions {
                @if matches!(seen, Some(Ok(_))) {
                    form method="post" action="/people/merge" {
                        (key(reader))
                        (pair(one.id, other.id, from_queue))
                        label { (reader.say("Why (optional)", "Чому (необов’язково)")) input name="note" maxlength="500"; }
                        button { (reader.say("Same person", "Одна людина")) }
                    }
                }
                form method="post" action="/people/not-same" {
                    (key(reader))
                    (pair(one.id, other.id, from_queue))
                    button.second { (reader.say("Different people", "Різні люди")) }
                }
            }
        }
    })
}

fn what_follows(reader: &Reader, made: &MadeOne, one: &Profile, other: &Profile) -> Markup {
    let stays = if made.into == one.id { one } else { other };
    let identifiers = reader.count(
        i64::try_from(made.identifiers).unwrap_or(i64::MAX),
        ["identifier", "identifiers"],
        ["ідентифікатор", "ідентифікатори", "ідентифікаторів"],
    );
    let moved = leads(reader, i64::try_from(made.leads).unwrap_or(i64::MAX));
    let name = called(reader, stays.name.as_deref());
    let both = |contact: &ContactOf| {
        made.contacts
            .iter()
            .any(|other| other.destination == contact.destination && other.record != contact.record)
    };
    html! {
        h2 { (reader.say("If they are one", "Якщо це одна людина")) }
        ul {
            li { (reader.say(
                format!("“{name}” stays; {identifiers} and {moved} of the other move there."),
                format!("Залишиться «{name}»; до неї перейдуть {identifiers} і {moved} іншої."),
            )) }
            @if made.open > 0 {
                li {
                    (leads(reader, i64::try_from(made.open).unwrap_or(i64::MAX)))
                    (reader.say(" not in the CRM yet go to the one contact.", " ще не в CRM: підуть до одного контакту."))
                }
            }
            @if let Some(since) = made.overrules {
                li { strong {
                    (reader.say("Somebody said that these are two people: ", "Хтось уже казав, що це різні люди: "))
                    (reader.moment(since))
                } }
            }
            @if made.contacts.iter().any(both) {
                li {
                    (reader.say(
                        "The CRM has two contacts of them. leadfold merges nothing there: new leads go to the older one, and \
                         whoever is responsible is asked to merge them by hand.",
                        "У CRM є два їхні контакти. leadfold нічого там не об’єднує: нові ліди підуть до старішого, а \
                         відповідального попросить об’єднати їх вручну.",
                    ))
                    ul.plain { @for one in &made.contacts { li { (contact(reader, one)) } } }
                }
            }
            li { (reader.say("It can be undone at any time.", "Це можна скасувати будь-коли.")) }
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Given {
    #[serde(default)]
    key: String,
    one: PersonId,
    other: PersonId,
    #[serde(default)]
    note: String,
    #[serde(default)]
    queue: bool,
}

pub(super) async fn merge(
    State(console): State<Console>,
    reader: Reader,
    Form(given): Form<Given>,
) -> Result<Redirect, Failure> {
    reader.believe(&given.key)?;
    let merge = merge_of(given.one, given.other, given.queue, said(&reader, &given.note, false));
    let made = ask(merge, &reader.caller, &console.means).await?;
    let to = if given.queue { "/people/duplicates".to_owned() } else { path_of(made.into) };
    Ok(back(&to, "merged", Some(made.merge)))
}

pub(super) async fn keep_apart(
    State(console): State<Console>,
    reader: Reader,
    Form(given): Form<Given>,
) -> Result<Redirect, Failure> {
    reader.believe(&given.key)?;
    let apart = NotSame {
        one: given.one.to_string(),
        other: given.other.to_string(),
        said: said(&reader, &given.note, false),
        regions: Vec::new(),
    };
    ask(apart, &reader.caller, &console.means).await?;
    if given.queue {
        // Nothing else on the way back leads to these two.
        let pair = format!("one={}&other={}", given.one, given.other);
        return Ok(Redirect::to(&format!("/people/duplicates?done=apart&{pair}")));
    }
    Ok(back(&path_of(given.one), "apart", None))
}

fn merge_of(one: PersonId, other: PersonId, same: bool, said: Said) -> Merge {
    Merge { one: one.to_string(), other: other.to_string(), same, said, regions: Vec::new() }
}

/// By whom, and why.
pub(super) fn said(reader: &Reader, note: &str, only_look: bool) -> Said {
    let note = Some(note.trim().to_owned()).filter(|note| !note.is_empty());
    Said { author: Some(reader.caller.name.clone()), note, only_look }
}
