//! People: finding somebody, one person with all that is known of them, and who may be one.
//!
//! | file | what it is |
//! |---|---|
//! | `find` | the search, and who came last |
//! | `person` | one person |
//! | `duplicates` | the queue of those who may be one |
//! | `compare` | two people side by side, what would follow from making them one, and doing it |
//! | `split` | the way back |
//! | `words` | what kinds, trust and refusals are called |

mod compare;
mod duplicates;
mod find;
mod person;
mod split;
mod words;

use axum::Router;
use axum::response::Redirect;
use axum::routing::{get, post};
use maud::{Markup, html};

pub(super) use self::words::not_done;
use super::Console;
use super::guard::Reader;
use super::page::elsewhere;
use crate::access::Role;
use crate::id::{MergeId, PersonId};
use crate::store::corrections::ContactOf;
use crate::store::profile::{Brief, Profile};

pub(super) fn routes() -> Router<Console> {
    Router::new()
        .route("/people", get(find::list))
        .route("/people/duplicates", get(duplicates::queue))
        .route("/people/merge", get(compare::look).post(compare::merge))
        .route("/people/not-same", post(compare::keep_apart))
        .route("/people/split", get(split::look).post(split::split))
        .route("/people/{id}", get(person::person))
}

/// What forms of this section lead back with.
const DONE: &[(&str, &str, &str)] = &[
    (
        "merged",
        "They are one person now. Their leads go to one contact.",
        "Тепер це одна людина. Її ліди йдуть до одного контакту.",
    ),
    (
        "split",
        "They are two people again, and nothing joins them by itself.",
        "Тепер це знову дві людини, і самі собою вони не об’єднаються.",
    ),
    (
        "apart",
        "Noted: these are two people. Nobody is asked about them again.",
        "Записано: це різні люди. Про них більше не питатимемо.",
    ),
];

/// The way back from a merge, for who may.
fn undo(reader: &Reader, merge: Option<MergeId>) -> Markup {
    html! {
        @if let Some(merge) = merge.filter(|_| reader.may(Role::Operator)) {
            " " a href=(format!("/people/split?what={merge}")) { (reader.say("Undo", "Скасувати")) }
        }
    }
}

/// Where a form leads when it is done.
fn back(to: &str, what: &str, merge: Option<MergeId>) -> Redirect {
    let undo = merge.map_or_else(String::new, |merge| format!("&merge={merge}"));
    Redirect::to(&format!("{to}?done={what}{undo}"))
}

fn path_of(person: impl std::fmt::Display) -> String {
    format!("/people/{person}")
}

/// A name, or what stands for one.
fn called<'a>(reader: &Reader, name: Option<&'a str>) -> &'a str {
    name.filter(|name| !name.trim().is_empty()).unwrap_or(reader.say("No name", "Без імені"))
}

fn leads(reader: &Reader, count: i64) -> String {
    reader.count(count, ["lead", "leads"], ["лід", "ліди", "лідів"])
}

/// Somebody in a few words.
fn brief(reader: &Reader, person: &Brief) -> Markup {
    html! {
        h3 { a href=(path_of(&person.id)) { (called(reader, person.name.as_deref())) } }
        ul.plain {
            @for identifier in &person.identifiers { li { (identifier) } }
            @if person.identifiers.is_empty() { li.faint { (reader.say("Nothing else is known", "Більше нічого не відомо")) } }
        }
        p.faint { (leads(reader, person.leads)) }
    }
}

/// Somebody beside somebody else, with as much as tells them apart.
fn face(reader: &Reader, person: &Profile) -> Markup {
    html! {
        h2 { a href=(path_of(person.id)) { (called(reader, person.name.as_deref())) } }
        p.faint {
            (leads(reader, person.lead_count)) ", "
            (reader.say("known since ", "відома з ")) (reader.day(person.created_at))
        }
        (words::short_identifiers(reader, person))
        @if !person.contacts.is_empty() {
            ul.plain { @for one in &person.contacts { li { (contact(reader, one)) } } }
        }
    }
}

/// A contact in a CRM.
fn contact(reader: &Reader, contact: &ContactOf) -> Markup {
    let text = format!("{} {}", reader.say("contact", "контакт"), contact.record);
    html! {
        @match &contact.url { Some(url) => (elsewhere(url, &text)), None => (text) }
        " " span.faint { (reader.say("in ", "у ")) (contact.destination) }
    }
}

/// The fields of a form that say who is meant.
fn pair(one: PersonId, other: PersonId, from_queue: bool) -> Markup {
    html! {
        input type="hidden" name="one" value=(one);
        input type="hidden" name="other" value=(other);
        @if from_queue { input type="hidden" name="queue" value="true"; }
    }
}
