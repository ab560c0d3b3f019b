//! A source that waits for its first delivery, and then for somebody who says what is what in it.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::{Form, Json};
use maud::{Markup, html};
use serde::{Deserialize, Serialize};

use super::begin::{root, steps};
use super::{editor, trail};
use crate::access::Role;
use crate::console::Console;
use crate::console::guard::Reader;
use crate::console::page::{Failure, Section, key, page};
use crate::console::reasons::kept;
use crate::operation::ask;
use crate::operation::mappings::{
    Arrived, Draft, DraftSource, LookAtAddress, LookAtArrived, LookAtMappings, Mappings, Pick, SourceTold,
};

/// The source, which must be one that is still set up.
async fn waiting(console: &Console, reader: &Reader, name: &str) -> Result<(String, SourceTold), Failure> {
    if reader.caller.role < Role::Admin {
        let text = reader.say("A new source is an admin's to make.", "Нове джерело створює адміністратор.");
        return Err(Failure::Forbidden(text.to_owned()));
    }
    let Mappings { version, files, .. } =
        ask(LookAtMappings::default(), &reader.caller, &console.means).await?;
    let sources = files.into_iter().filter_map(|told| told.source);
    let source = sources.into_iter().find(|source| source.name == name).ok_or(Failure::NotFound)?;
    Ok((version, source))
}

pub(super) async fn arrived(
    State(console): State<Console>,
    reader: Reader,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Markup, Failure> {
    let (_, source) = waiting(&console, &reader, &name).await?;
    let (caller, means) = (&reader.caller, &console.means);
    let arrived = ask(LookAtArrived { source: name.clone() }, caller, means).await?;
    let address = ask(LookAtAddress { source: name.clone() }, caller, means).await?;
    let has_come = arrived.at.is_some();
    let content = html! {
        (trail(&reader, Some(&format!("{name}.yaml"))))
        (steps(&reader, if has_come { 3 } else { 2 }))
        section.sheet {
            h2 { (reader.say("The address", "Адреса")) }
            @match &address.path {
                Some(path) => {
                    p { (reader.say("Paste it where the leads come from", "Вставте її там, звідки приходять ліди")) " (" (source.preset) "):" }
                    p { code.address { (root(&headers)) (path) } }
                    p.hint { (reader.say(
                        "Whoever has it can send leads. It is shown here until the source is switched on.",
                        "Хто має цю адресу, може надсилати ліди. Її видно тут, доки джерело не ввімкнено.",
                    )) }
                }
                None => p { (reader.say(
                    "Its token is a secret that is not shown here.",
                    "Її токен — секрет, який тут не показується.",
                )) },
            }
        }
        @if !source.paused {
            p.message { (reader.say("This source is on already. ", "Це джерело вже працює. "))
                a href={ "/mappings/" (name) ".yaml/edit" } { (reader.say("Edit its file", "Редагувати його файл")) } }
        } @else if has_come {
            (picking(&reader, &name, &arrived))
        } @else {
            section.sheet data-poll={ "/mappings/new/" (name) "/look" } {
                h2 { (reader.say("Waiting for the first delivery", "Чекаємо на перший запит")) }
                p role="status" { (reader.say(
                    "Send a test lead from there. What comes is shown here at once.",
                    "Надішліть звідти тестовий лід. Щойно він прийде, його буде видно тут.",
                )) }
                p { a.button href={ "/mappings/new/" (name) } { (reader.say("Look again", "Перевірити ще раз")) } }
            }
        }
    };
    let title = format!("{}: {name}", reader.say("New source", "Нове джерело"));
    Ok(page(&reader, Some(Section::Mappings), &title, &content))
}

fn picking(reader: &Reader, name: &str, arrived: &Arrived) -> Markup {
    let label = |pick: Pick| match pick {
        Pick::Name => reader.say("Name", "Ім’я"),
        Pick::Phone => reader.say("Phone", "Телефон"),
        Pick::Email => reader.say("Email", "Пошта"),
        Pick::Title => reader.say("In the deal's title", "У назві угоди"),
        Pick::Note => reader.say("Note", "Примітка"),
    };
    html! {
        section.sheet {
            h2 { (reader.say("What is what?", "Де що?")) }
            @if let Some(at) = arrived.at {
                p.hint { (reader.say("What came last, ", "Останнє, що прийшло, ")) (reader.moment(at)) ". "
                    (reader.say("Choose a field, then the value that belongs into it.", "Оберіть поле, потім значення для нього.")) }
            }
            @if let Some(why) = &arrived.unreadable { p.message.bad { (kept(reader, why)) } }
            div.pick {
                form method="post" action={ "/mappings/new/" (name) } data-pick {
                    (key(reader))
                    @for pick in Pick::ALL {
                        label { (label(pick))
                            input name=(pick.as_str()) list="placeholders" autocomplete="off" spellcheck="false" value=[pick.guess(&arrived.placeholders)];
                        }
                    }
                    datalist #placeholders {
                        @for found in &arrived.placeholders { option value=(found.path) { (found.reads) } }
                    }
                    button { (reader.say("See what it becomes", "Подивитися, що вийде")) }
                }
                div.scroll { table.values {
                    thead { tr { th scope="col" { (reader.say("Placeholder", "Плейсхолдер")) } th scope="col" { (reader.say("What it reads", "Що там")) } } }
                    tbody {
                        @for found in &arrived.placeholders {
                            tr { td { button.value type="button" data-value=(found.path) { code { (found.path) } } } td { (found.reads) } }
                        }
                    }
                } }
            }
        }
    }
}

/// Whether something has come.
#[derive(Debug, Serialize)]
pub(super) struct Looked {
    arrived: bool,
}

pub(super) async fn look(
    State(console): State<Console>,
    reader: Reader,
    Path(source): Path<String>,
) -> Result<Json<Looked>, Failure> {
    let arrived = ask(LookAtArrived { source }, &reader.caller, &console.means).await?;
    Ok(Json(Looked { arrived: arrived.at.is_some() }))
}

/// What was picked, by field.
#[derive(Debug, Deserialize)]
pub(super) struct Picked {
    #[serde(default)]
    key: String,
    #[serde(flatten)]
    fields: BTreeMap<String, String>,
}

/// Writes the file anew, and shows what it would make of what came. It is saved from there.
pub(super) async fn write(
    State(console): State<Console>,
    reader: Reader,
    Path(name): Path<String>,
    Form(picked): Form<Picked>,
) -> Result<Markup, Failure> {
    reader.believe(&picked.key)?;
    let (of, source) = waiting(&console, &reader, &name).await?;
    let address = ask(LookAtAddress { source: name.clone() }, &reader.caller, &console.means).await?;
    let to = source.branches.first().map(|branch| branch.to.clone()).unwrap_or_default();
    let picks: BTreeMap<Pick, String> = Pick::ALL
        .into_iter()
        .filter_map(|pick| Some((pick, picked.fields.get(pick.as_str())?.trim().to_owned())))
        .filter(|(_, path)| !path.is_empty())
        .collect();
    if picks.is_empty() {
        let text = reader.say(
            "Choose at least one value, such as the phone.",
            "Оберіть хоча б одне значення, наприклад телефон.",
        );
        return Err(Failure::Refused(text.to_owned()));
    }
    let draft = Draft { name, preset: source.preset, to, owners: address.owners, picks };
    let drafted = ask(DraftSource { draft }, &reader.caller, &console.means).await?;
    editor::drafted(&console, &reader, &drafted.file, of, drafted.text).await
}
