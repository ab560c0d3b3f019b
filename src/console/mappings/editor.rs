//! An edit of one file: checked, rehearsed, saved, or taken along as a patch. Whatever comes of it, the text is not lost.

use std::collections::BTreeMap;

use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::{Form, Json};
use maud::{Markup, html};
use serde::Deserialize;

use super::changes;
use super::file::listing;
use super::{not_here, problems, tests, trail};
use crate::access::Role;
use crate::console::Console;
use crate::console::guard::Reader;
use crate::console::page::{Failure, Section, key, page};
use crate::console::reasons::kept;
use crate::operation::mappings::{
    CheckMappings, Checked, Edit, LookAtMappings, LookAtNames, MakePatch, Mappings, Names, RehearseMappings,
    Rehearsed, SaveMappings, Told,
};
use crate::operation::{OperationError, ask};

/// An edit as a form holds it.
#[derive(Debug, Deserialize)]
pub(super) struct Edited {
    #[serde(default)]
    key: String,
    /// Hash of the version that it began with.
    of: String,
    text: String,
    #[serde(default)]
    action: String,
    #[serde(default)]
    last: Option<usize>,
}

impl Edited {
    fn edit(&self, file: &str) -> Edit {
        edit_of(&self.of, file, self.text.clone())
    }
}

/// What came of an edit so far.
pub(super) enum Came {
    /// It was only opened.
    Opened,
    Checked(Checked),
    Rehearsed(Rehearsed),
    /// It cannot be done: why, and what is wrong with it.
    Refused(String, Option<Checked>),
}

/// Deliveries to rehearse on.
const LAST: [usize; 4] = [100, 500, 2_000, 5_000];

pub(super) async fn form(
    State(console): State<Console>,
    reader: Reader,
    Path(file): Path<String>,
) -> Result<Markup, Failure> {
    may_edit(&reader)?;
    let look = LookAtMappings { file: Some(file.clone()) };
    let Mappings { version, text, .. } = ask(look, &reader.caller, &console.means).await?;
    let text = text.ok_or(Failure::NotFound)?;
    let edited = Edited { key: String::new(), of: version, text, action: String::new(), last: None };
    show(&console, &reader, &file, &edited, &Came::Opened).await
}

pub(super) async fn act(
    State(console): State<Console>,
    reader: Reader,
    Path(file): Path<String>,
    Form(edited): Form<Edited>,
) -> Result<Response, Failure> {
    reader.believe(&edited.key)?;
    may_edit(&reader)?;
    let (caller, means) = (&reader.caller, &console.means);
    let edit = edited.edit(&file);
    let came = match edited.action.as_str() {
        "save" => match ask(SaveMappings { edit: edit.clone() }, caller, means).await {
            Ok(_) => return Ok(Redirect::to(&format!("/mappings/{file}?done=saved")).into_response()),
            Err(error) => told(&console, &reader, edit, error).await?,
        },
        "patch" => match ask(MakePatch { edit }, caller, means).await {
            Ok(patch) if patch.text.is_empty() => {
                let text = reader.say("Nothing is changed yet.", "Поки що нічого не змінено.");
                Came::Refused(text.to_owned(), None)
            }
            Ok(patch) => return Ok(download(&file, patch.text)),
            Err(error) => Came::Refused(refused(error)?, None),
        },
        "rehearse" => {
            let source = file.strip_suffix(".yaml").filter(|name| *name != "workspace").map(str::to_owned);
            let last = edited.last.unwrap_or(LAST[0]);
            match ask(RehearseMappings { edit: edit.clone(), source, last }, caller, means).await {
                Ok(rehearsed) => Came::Rehearsed(rehearsed),
                Err(error) => told(&console, &reader, edit, error).await?,
            }
        }
        _ => match ask(CheckMappings { edit, accounts: true }, caller, means).await {
            Ok(checked) => Came::Checked(checked),
            Err(error) => Came::Refused(refused(error)?, None),
        },
    };
    Ok(show(&console, &reader, &file, &edited, &came).await?.into_response())
}

/// What is wrong with an edit, while it is typed: the list alone.
pub(super) async fn check(
    State(console): State<Console>,
    reader: Reader,
    Path(file): Path<String>,
    Form(edited): Form<Edited>,
) -> Result<Markup, Failure> {
    reader.believe(&edited.key)?;
    let checked =
        ask(CheckMappings { edit: edited.edit(&file), accounts: false }, &reader.caller, &console.means)
            .await?;
    Ok(verdict(&reader, &file, &checked))
}

/// Whose names.
#[derive(Debug, Deserialize)]
pub(super) struct NamesOf {
    #[serde(default)]
    source: Option<String>,
}

/// What an author may write, for completion.
pub(super) async fn names(
    State(console): State<Console>,
    reader: Reader,
    Query(asked): Query<NamesOf>,
) -> Result<Json<Names>, Failure> {
    Ok(Json(ask(LookAtNames { source: asked.source, accounts: true }, &reader.caller, &console.means).await?))
}

fn may_edit(reader: &Reader) -> Result<(), Failure> {
    if reader.caller.role >= Role::Operator {
        return Ok(());
    }
    let text = reader.say(
        "Operators may check and rehearse an edit, and admins may save it.",
        "Перевіряти й репетирувати зміну може оператор, зберігати — адміністратор.",
    );
    Err(Failure::Forbidden(text.to_owned()))
}

/// The reason for a refusal; anything else is a page of its own.
fn refused(error: OperationError) -> Result<String, Failure> {
    match error {
        OperationError::Refused(text) | OperationError::Forbidden(text) => Ok(text),
        other @ (OperationError::Access(_) | OperationError::NotDone(_) | OperationError::Storage(_)) => {
            Err(other.into())
        }
    }
}

/// The reason for a refusal, with the problems of the edit at their places.
async fn told(
    console: &Console,
    reader: &Reader,
    edit: Edit,
    error: OperationError,
) -> Result<Came, Failure> {
    let why = refused(error)?;
    let checked = ask(CheckMappings { edit, accounts: false }, &reader.caller, &console.means).await.ok();
    let checked = checked.filter(|checked| checked.problems.iter().any(|problem| problem.is_error));
    // The problems say it themselves, each with a way to its line.
    let why = match (&checked, reader.caller.role) {
        (Some(_), Role::Admin) => reader
            .say(
                "This edit has errors, so nothing is done with it.",
                "У цій зміні є помилки, тож із нею нічого не зроблено.",
            )
            .to_owned(),
        _ => why,
    };
    Ok(Came::Refused(why, checked))
}

fn download(file: &str, text: String) -> Response {
    let name = format!("attachment; filename=\"{}.patch\"", file.trim_end_matches(".yaml"));
    let headers = [
        (header::CONTENT_TYPE, "text/x-diff; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, name),
    ];
    (headers, text).into_response()
}

/// The page of an edit that was drafted for the reader.
pub(super) async fn drafted(
    console: &Console,
    reader: &Reader,
    file: &str,
    of: String,
    text: String,
) -> Result<Markup, Failure> {
    let edited = Edited { key: String::new(), of, text, action: String::new(), last: None };
    let edit = edited.edit(file);
    let source = file.strip_suffix(".yaml").map(str::to_owned);
    let rehearse = RehearseMappings { edit: edit.clone(), source, last: LAST[0] };
    let came = match ask(rehearse, &reader.caller, &console.means).await {
        Ok(rehearsed) => Came::Rehearsed(rehearsed),
        Err(error) => told(console, reader, edit, error).await?,
    };
    show(console, reader, file, &edited, &came).await
}

async fn show(
    console: &Console,
    reader: &Reader,
    file: &str,
    edited: &Edited,
    came: &Came,
) -> Result<Markup, Failure> {
    let look = ask(LookAtMappings::default(), &reader.caller, &console.means).await?;
    let is_admin = reader.caller.role >= Role::Admin;
    let can_save = is_admin && look.read_only.is_none();
    let source = file.trim_end_matches(".yaml");
    let unsaved = match came {
        Came::Opened => false,
        Came::Checked(checked) => checked.differs,
        Came::Rehearsed(_) | Came::Refused(..) => true,
    };
    let content = html! {
        (trail(reader, Some(file)))
        @if let Some(why) = &look.read_only { (not_here(reader, why)) }
        @if look.version != edited.of {
            p.message.bad role="alert" {
                (reader.say(
                    "Nothing is changed: somebody else saved meanwhile, and this edit began with the version before. Copy what you typed, open the file again, and repeat it there. What they changed stands under ",
                    "Нічого не змінено: тим часом хтось зберіг свою зміну, а ця почалася з попередньої версії. Скопіюйте введене, відкрийте файл знову й повторіть там. Що змінили вони, видно в розділі ",
                ))
                a href="/mappings/versions" { (reader.say("Versions", "Версії")) } "."
            }
        } @else if let Came::Refused(why, _) = came {
            p.message.bad role="alert" { (kept(reader, why)) }
        }
        form.editor method="post" action={ "/mappings/" (file) "/edit" } data-editor={ "/mappings/" (file) "/check" } data-unsaved[unsaved] data-names={ "/mappings/names?source=" (source) } data-words=(reader.say("Words that fit here", "Що тут можна написати")) {
            (key(reader))
            input type="hidden" name="of" value=(edited.of);
            label for="text" { (reader.say("Text of ", "Текст ")) (file) }
            textarea #text name="text" rows="20" spellcheck="false" autocapitalize="off" autocomplete="off" wrap="off" aria-describedby="verdict" {
                "\n" (edited.text)
            }
            p.hint data-keys hidden {
                (reader.say("Completion comes as you type inside ", "Підказки з’являються всередині ")) code { "{{ }}" }
                (reader.say(", behind ", ", після ")) code { "pipeline: stage: owners: to:" }
                (reader.say(" and under ", " та під ")) code { "fields:" }
                (reader.say(
                    "; Ctrl+Space asks for it, Tab takes it, Esc closes it.",
                    "; Ctrl+Пробіл — показати, Tab — вибрати, Esc — закрити.",
                ))
            }
            div.actions {
                button.second name="action" value="check" { (reader.say("Check", "Перевірити")) }
                button.second name="action" value="rehearse" { (reader.say("Rehearse", "Репетиція")) }
                label.inline { (reader.say("on the last", "на останніх"))
                    select name="last" {
                        @for last in LAST {
                            option value=(last) selected[edited.last == Some(last)] { (reader.number(i64::try_from(last).unwrap_or(0))) }
                        }
                    }
                    (reader.say("deliveries", "запитах"))
                }
                span.push {}
                button.second name="action" value="patch" { (reader.say("Take as a patch", "Забрати як патч")) }
                @if can_save { button name="action" value="save" { (reader.say("Save", "Зберегти")) } }
                a href={ "/mappings/" (file) } { (reader.say("Drop it", "Скасувати")) }
            }
            @if !is_admin { p.hint { (reader.say("An admin can save this.", "Зберегти це може адміністратор.")) } }
        }
        div #verdict aria-live="polite" {
            @match came {
                Came::Checked(checked) => { (verdict(reader, file, checked)) }
                Came::Rehearsed(rehearsed) => { (changes::table(reader, rehearsed)) }
                Came::Refused(_, Some(checked)) => { (verdict(reader, file, checked)) }
                Came::Opened | Came::Refused(_, None) => {}
            }
        }
        // With the script, a problem leads to its line in the editor.
        @if let Came::Checked(checked) | Came::Refused(_, Some(checked)) = came {
            @let here: Vec<Told> = checked.problems.iter().filter(|problem| problem.file == file).cloned().collect();
            @if !here.is_empty() { noscript { (listing(reader, &edited.text, &here)) } }
        }
    };
    let title = format!("{} {file}", reader.say("Edit", "Редагування"));
    Ok(page(reader, Some(Section::Mappings), &title, &content))
}

/// Problems and failed tests, or that there are none.
fn verdict(reader: &Reader, file: &str, checked: &Checked) -> Markup {
    let failed: Vec<_> =
        checked.tests.iter().filter(|test| test.ran && test.failure.is_some()).cloned().collect();
    let ran = checked.tests.iter().filter(|test| test.ran).count();
    let is_sound = checked.problems.iter().all(|problem| !problem.is_error) && failed.is_empty();
    html! {
        @if is_sound {
            p.message.good {
                (reader.say("Nothing is wrong", "Помилок немає"))
                @if ran > 0 {
                    "; " (super::counted(reader, ran, ["test passes", "tests pass"], ["тест пройшов", "тести пройшли", "тестів пройшли"]))
                }
                "."
                @if !checked.differs { " " (reader.say("Nothing is changed yet.", "Поки що нічого не змінено.")) }
            }
        }
        (problems(reader, file, &checked.problems))
        @if !failed.is_empty() { (tests(reader, &failed)) }
    }
}

/// An edit of one file.
pub(super) fn edit_of(of: &str, file: &str, text: String) -> Edit {
    Edit { of: of.to_owned(), files: BTreeMap::from([(file.to_owned(), Some(text))]) }
}
