//! Versions: which there were, what each changed, and the way back to one.

use axum::Form;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::{Done, lately, told_done, trail};
use crate::access::Role;
use crate::console::Console;
use crate::console::difference::difference;
use crate::console::guard::Reader;
use crate::console::page::{Failure, Section, key, page};
use crate::operation::ask;
use crate::operation::mappings::{CompareVersions, GoBack, LookAtVersions, Versions};
use crate::workspace::short;

/// Versions of one page.
const SHOWN: usize = 100;

pub(super) async fn list(
    State(console): State<Console>,
    reader: Reader,
    Query(asked): Query<Done>,
) -> Result<Markup, Failure> {
    let Versions { versions, counted } = ask(LookAtVersions {}, &reader.caller, &console.means).await?;
    let content = html! {
        (trail(&reader, None))
        (told_done(&reader, &asked))
        div.scroll { table.cards {
            thead { tr {
                th scope="col" { (reader.say("Version", "Версія")) }
                th scope="col" { (reader.say("First active", "Уперше діяла")) }
                th scope="col" { (reader.say("Active since", "Діє з")) }
                th.number scope="col" { (reader.say("Leads lately", "Лідів останнім часом")) }
                th scope="col" { (reader.say("Newest lead", "Останній лід")) }
            } }
            tbody {
                @for version in versions.iter().take(SHOWN) {
                    tr {
                        td { a href={ "/mappings/versions/" (version.hash) } { code { (short(&version.hash)) } } }
                        td data-name=(reader.say("First active", "Уперше діяла")) { (reader.moment(version.first_active)) }
                        td data-name=(reader.say("Active since", "Діє з")) {
                            @if let Some(since) = version.active_since { span.badge.good { (reader.moment(since)) } }
                        }
                        td.number data-name=(reader.say("Leads lately", "Лідів останнім часом")) { (reader.number(version.leads)) }
                        td data-name=(reader.say("Newest lead", "Останній лід")) { @if let Some(at) = version.last_lead { (reader.moment(at)) } }
                    }
                }
            }
        } }
        (lately(&reader, counted))
        @if versions.len() > SHOWN { p.hint {
            (reader.say("Older ones: ", "Старіші: ")) code { "leadfold versions" }
        } }
    };
    Ok(page(&reader, Some(Section::Mappings), reader.say("Versions", "Версії"), &content))
}

pub(super) async fn one(
    State(console): State<Console>,
    reader: Reader,
    Path(hash): Path<String>,
) -> Result<Markup, Failure> {
    let Versions { versions, .. } = ask(LookAtVersions {}, &reader.caller, &console.means).await?;
    let at = versions.iter().position(|version| version.hash == hash).ok_or(Failure::NotFound)?;
    let active = versions.iter().find(|version| version.active_since.is_some());
    let before = versions.get(at + 1);
    let other = active.filter(|active| active.hash != hash);
    let compare = async |old: &str, new: &str| {
        let compare = CompareVersions { old: old.to_owned(), new: new.to_owned() };
        ask(compare, &reader.caller, &console.means).await
    };
    let since = match before {
        Some(before) => Some(compare(&before.hash, &hash).await?),
        None => None,
    };
    let until = match other {
        Some(active) => Some(compare(&active.hash, &hash).await?),
        None => None,
    };
    let content = html! {
        (trail(&reader, None))
        @if let (Some(active), Some(until)) = (other, &until) {
            h2 { (reader.say("What going back to it would change", "Що змінить повернення до неї")) }
            (difference(&reader, until))
            @if reader.caller.role >= Role::Admin {
                form method="post" {
                    (key(&reader))
                    input type="hidden" name="instead_of" value=(active.hash);
                    button { (reader.say("Go back to this version", "Повернутися до цієї версії")) }
                }
            }
        } @else {
            p { span.badge.good { (reader.say("active", "діє")) } }
        }
        @if let (Some(before), Some(since)) = (before, &since) {
            h2 {
                (reader.say("What it changed against ", "Що в ній змінилося проти "))
                a href={ "/mappings/versions/" (before.hash) } { code { (short(&before.hash)) } }
            }
            (difference(&reader, since))
        } @else {
            p.message { (reader.say(
                "It is the first version, so there is nothing to compare it with.",
                "Це перша версія, порівнювати її немає з чим.",
            )) }
        }
    };
    let title = format!("{} {}", reader.say("Version", "Версія"), short(&hash));
    Ok(page(&reader, Some(Section::Mappings), &title, &content))
}

/// A form that goes back.
#[derive(Debug, Deserialize)]
pub(super) struct Back {
    #[serde(default)]
    key: String,
    instead_of: String,
}

pub(super) async fn go_back(
    State(console): State<Console>,
    reader: Reader,
    Path(to): Path<String>,
    Form(Back { key, instead_of }): Form<Back>,
) -> Result<Response, Failure> {
    reader.believe(&key)?;
    ask(GoBack { to, instead_of }, &reader.caller, &console.means).await?;
    Ok(Redirect::to("/mappings/versions?done=back").into_response())
}
