//! One file of the active version, line by line, with what is wrong in place.

use axum::extract::{Path, Query, State};
use maud::{Markup, html};

use super::{Done, lately, not_here, problems, state, tests, told_done, trail};
use crate::access::Role;
use crate::console::Console;
use crate::console::guard::Reader;
use crate::console::page::{Failure, Section, page};
use crate::console::reasons::kept;
use crate::operation::ask;
use crate::operation::mappings::{FileTold, LookAtMappings, Mappings, Told};

pub(super) async fn one(
    State(console): State<Console>,
    reader: Reader,
    Path(file): Path<String>,
    Query(asked): Query<Done>,
) -> Result<Markup, Failure> {
    let look = LookAtMappings { file: Some(file.clone()) };
    let Mappings { files, counted, read_only, text, .. } = ask(look, &reader.caller, &console.means).await?;
    let (Some(told), Some(text)) = (files.iter().find(|told| told.file == file), text) else {
        return Err(Failure::NotFound);
    };
    let content = html! {
        (trail(&reader, None))
        (told_done(&reader, &asked))
        div.actions {
            (state(&reader, told))
            @if reader.caller.role >= Role::Operator {
                a.button href={ "/mappings/" (file) "/edit" } { (reader.say("Edit", "Редагувати")) }
            }
        }
        @if let Some(why) = read_only.filter(|_| reader.caller.role >= Role::Operator) { (not_here(&reader, &why)) }
        (problems(&reader, &file, &told.problems))
        (listing(&reader, &text, &told.problems))
        (branches(&reader, told, counted))
        @if !told.tests.is_empty() {
            h2 { (reader.say("Tests", "Тести")) }
            (tests(&reader, &told.tests))
        }
    };
    Ok(page(&reader, Some(Section::Mappings), &file, &content))
}

/// A text with its line numbers; what is wrong stands below its line.
pub(super) fn listing(reader: &Reader, text: &str, problems: &[Told]) -> Markup {
    html! {
        div.listing {
            @for (number, line) in (1..).zip(text.lines()) {
                @let here: Vec<&Told> = problems.iter().filter(|problem| problem.line == number).collect();
                div.line.marked[!here.is_empty()] id={ "L" (number) } {
                    a.number href={ "#L" (number) } data-number=(number) aria-label=(number) {}
                    code { (line) "\n" }
                }
                @for problem in here {
                    p.problem.bad[problem.is_error] {
                        (kept(reader, &problem.message)) @if let Some(help) = &problem.help { " — " (kept(reader, help)) }
                    }
                }
            }
        }
    }
}

fn branches(reader: &Reader, told: &FileTold, counted: i64) -> Markup {
    let branches = told.source.as_ref().map(|source| source.branches.as_slice()).unwrap_or_default();
    html! {
        @if !branches.is_empty() {
            h2 { (reader.say("Branches", "Гілки")) }
            div.scroll { table.cards {
                thead { tr {
                    th scope="col" { (reader.say("Branch", "Гілка")) }
                    th scope="col" { (reader.say("Leads go to", "Ліди йдуть у")) }
                    th.number scope="col" { (reader.say("Leads lately", "Лідів останнім часом")) }
                } }
                tbody {
                    @for branch in branches {
                        tr {
                            td translate="no" { (branch.branch) }
                            td data-name=(reader.say("Leads go to", "Ліди йдуть у")) { (branch.to.join(", ")) }
                            td.number data-name=(reader.say("Leads lately", "Лідів останнім часом")) { (reader.number(branch.leads)) }
                        }
                    }
                }
            } }
            (lately(reader, counted))
        }
    }
}
