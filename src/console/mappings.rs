//! Mappings: the files of the active version, what is wrong with them, and what an edit would change.
//!
//! | file | what it is |
//! |---|---|
//! | `file` | one file, with its problems in place |
//! | `editor` | an edit: checked, rehearsed, saved or taken as a patch |
//! | `changes` | a rehearsal as a table |
//! | `versions` | versions, what is different between them, and the way back |
//! | `begin` | a new source, up to its first delivery |
//! | `pick` | what becomes of that delivery |

mod begin;
mod changes;
mod editor;
mod file;
mod pick;
mod versions;

use axum::Router;
use axum::extract::{Query, State};
use axum::routing::get;
use maud::{Markup, html};
use serde::Deserialize;

use super::Console;
use super::guard::Reader;
use super::page::{Failure, Section, done, page};
use super::reasons::kept;
use crate::access::Role;
use crate::operation::ask;
use crate::operation::mappings::{FileTold, LookAtMappings, Mappings, Tested, Told};
use crate::workspace::short;

/// The pages of this section.
pub(super) fn router() -> Router<Console> {
    Router::new()
        .route("/mappings", get(list))
        .route("/mappings/names", get(editor::names))
        .route("/mappings/new", get(begin::form).post(begin::begin))
        .route("/mappings/new/{source}", get(pick::arrived).post(pick::write))
        .route("/mappings/new/{source}/look", get(pick::look))
        .route("/mappings/versions", get(versions::list))
        .route("/mappings/versions/{version}", get(versions::one).post(versions::go_back))
        .route("/mappings/{file}", get(file::one))
        .route("/mappings/{file}/edit", get(editor::form).post(editor::act))
        .route("/mappings/{file}/check", axum::routing::post(editor::check))
}

/// What a page of this section was led to by.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Done {
    #[serde(default)]
    done: Option<String>,
}

const SENTENCES: &[(&str, &str, &str)] = &[
    (
        "saved",
        "Saved. Every process takes it up within a second or two; leads that are under way keep the version that made them.",
        "Збережено. За секунду-дві це діятиме всюди; ліди, які вже в роботі, підуть за попередньою версією.",
    ),
    ("back", "The earlier version is active again.", "Знову діє попередня версія."),
];

/// What was done, above the rest of a page.
fn told_done(reader: &Reader, asked: &Done) -> Markup {
    done(reader, asked.done.as_deref(), SENTENCES)
}

async fn list(
    State(console): State<Console>,
    reader: Reader,
    Query(asked): Query<Done>,
) -> Result<Markup, Failure> {
    let Mappings { version, files, counted, read_only, .. } =
        ask(LookAtMappings::default(), &reader.caller, &console.means).await?;
    let content = html! {
        (told_done(&reader, &asked))
        div.actions {
            @if reader.caller.role >= Role::Admin {
                a.button href="/mappings/new" { (reader.say("New source", "Нове джерело")) }
            }
            a href="/mappings/versions" {
                (reader.say("Versions", "Версії")) " (" (reader.say("active: ", "діє: ")) code { (short(&version)) } ")"
            }
        }
        @if let Some(why) = read_only.filter(|_| reader.caller.role >= Role::Operator) { (not_here(&reader, &why)) }
        div.scroll { table.cards {
            thead { tr {
                th scope="col" { (reader.say("File", "Файл")) }
                th scope="col" { (reader.say("Preset", "Пресет")) }
                th scope="col" { (reader.say("State", "Стан")) }
                th scope="col" { (reader.say("Tests", "Тести")) }
                th scope="col" { (reader.say("Leads go to", "Ліди йдуть у")) }
                th.number scope="col" { (reader.say("Leads lately", "Лідів останнім часом")) }
            } }
            tbody { @for told in &files { (row(&reader, told)) } }
        } }
        (lately(&reader, counted))
    };
    Ok(page(&reader, Some(Section::Mappings), Section::Mappings.name(&reader), &content))
}

fn row(reader: &Reader, told: &FileTold) -> Markup {
    let branches = told.source.iter().flat_map(|source| &source.branches);
    let mut to: Vec<&str> = branches.clone().flat_map(|branch| &branch.to).map(String::as_str).collect();
    to.sort_unstable();
    to.dedup();
    let leads: i64 = branches.map(|branch| branch.leads).sum();
    html! {
        tr {
            td { a href={ "/mappings/" (told.file) } { (told.file) } }
            td data-name=(reader.say("Preset", "Пресет")) { (told.source.as_ref().map_or("", |source| &source.preset)) }
            td data-name=(reader.say("State", "Стан")) { (state(reader, told)) }
            td data-name=(reader.say("Tests", "Тести")) { (tests_in_short(reader, &told.tests)) }
            td data-name=(reader.say("Leads go to", "Ліди йдуть у")) { (to.join(", ")) }
            td.number data-name=(reader.say("Leads lately", "Лідів останнім часом")) {
                @if told.source.is_some() { (reader.number(leads)) }
            }
        }
    }
}

/// How a file stands, in a badge.
fn state(reader: &Reader, told: &FileTold) -> Markup {
    let errors = told.problems.iter().filter(|problem| problem.is_error).count();
    let warnings = told.problems.len() - errors;
    let paused = told.source.as_ref().is_some_and(|source| source.paused);
    html! {
        @if errors > 0 {
            span.badge.bad { (counted(reader, errors, ["error", "errors"], ["помилка", "помилки", "помилок"])) }
        } @else if paused {
            span.badge.wait { (reader.say("paused", "на паузі")) }
        } @else if told.source.is_some() {
            span.badge.good { (reader.say("on", "працює")) }
        }
        @if warnings > 0 {
            " " span.badge.wait { (counted(reader, warnings, ["warning", "warnings"], ["попередження", "попередження", "попереджень"])) }
        }
    }
}

fn tests_in_short(reader: &Reader, tests: &[Tested]) -> Markup {
    let ran: Vec<_> = tests.iter().filter(|test| test.ran).collect();
    let failed = ran.iter().filter(|test| test.failure.is_some()).count();
    html! {
        @if tests.is_empty() {
            span.faint { "–" }
        } @else if failed > 0 {
            span.badge.bad { (counted(reader, failed, ["failed", "failed"], ["не пройшов", "не пройшли", "не пройшли"])) }
        } @else if ran.is_empty() {
            span.faint { (reader.say("not run here", "тут не запускались")) }
        } @else {
            (counted(reader, ran.len(), ["passed", "passed"], ["пройшов", "пройшли", "пройшли"]))
        }
    }
}

fn counted(reader: &Reader, count: usize, english: [&str; 2], ukrainian: [&str; 3]) -> String {
    reader.count(i64::try_from(count).unwrap_or(i64::MAX), english, ukrainian)
}

/// Among how many leads those of lately were counted.
fn lately(reader: &Reader, counted: i64) -> Markup {
    html! {
        p.hint {
            (reader.say("Lately: among the newest ", "Останнім часом: серед останніх "))
            (reader.count(counted, ["lead", "leads"], ["ліда", "лідів", "лідів"]))
            (reader.say(" of all sources.", " усіх джерел."))
        }
    }
}

/// Why nothing is saved here.
fn not_here(reader: &Reader, why: &str) -> Markup {
    html! {
        p.message {
            (reader.say("Edits are not saved here: ", "Зміни тут не зберігаються: ")) (kept(reader, why)) ". "
            (reader.say(
                "An edit can be checked, rehearsed, and taken along as a patch.",
                "Зміну можна перевірити, прорепетирувати й забрати як патч.",
            ))
        }
    }
}

/// Problems as a list; those of another file than this say which.
fn problems(reader: &Reader, file: &str, problems: &[Told]) -> Markup {
    html! {
        @if !problems.is_empty() {
            ul.problems {
                @for problem in problems {
                    li.bad[problem.is_error] data-line=(if problem.file == file { problem.line } else { 0 }) {
                        @if problem.file == file {
                            a href={ "#L" (problem.line) } { (reader.say("line ", "рядок ")) (problem.line) ":" (problem.column) }
                        } @else {
                            a href={ "/mappings/" (problem.file) "#L" (problem.line) } { (problem.file) ":" (problem.line) ":" (problem.column) }
                        }
                        " " (kept(reader, &problem.message))
                        @if let Some(help) = &problem.help { span.hint { " — " (kept(reader, help)) } }
                    }
                }
            }
        }
    }
}

/// Tests with how they ended.
fn tests(reader: &Reader, tests: &[Tested]) -> Markup {
    html! {
        ul.tests {
            @for test in tests {
                li {
                    @match (&test.failure, test.ran) {
                        (None, _) => span.badge.good { (reader.say("passes", "пройшов")) },
                        (Some(_), true) => span.badge.bad { (reader.say("fails", "не пройшов")) },
                        (Some(_), false) => span.badge { (reader.say("not run", "не запускався")) },
                    }
                    " " span translate="no" { (test.name) } " " a.faint href={ "#L" (test.line) } { (reader.say("line ", "рядок ")) (test.line) }
                    @if let Some(failure) = &test.failure { div.hint { (kept(reader, failure)) } }
                }
            }
        }
    }
}

/// Where one is, above the heading's content.
fn trail(reader: &Reader, file: Option<&str>) -> Markup {
    html! {
        nav.trail aria-label=(reader.say("Where you are", "Де ви")) {
            a href="/mappings" { (Section::Mappings.name(reader)) }
            @if let Some(file) = file { " / " a href={ "/mappings/" (file) } { (file) } }
        }
    }
}
