//! Two people who became one and are two again: what would follow, and doing it.

use axum::Form;
use axum::extract::{Query, State};
use axum::response::Redirect;
use maud::{Markup, html};
use serde::Deserialize;

use super::super::Console;
use super::super::guard::Reader;
use super::super::lead::kind;
use super::super::page::{Failure, Section, key, page};
use super::compare::said;
use super::{back, contact, leads, not_done, path_of, words};
use crate::id::MergeId;
use crate::operation::people::Split;
use crate::operation::{OperationError, ask};
use crate::store::corrections::TakenApart;

#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    what: MergeId,
}

pub(super) async fn look(
    State(console): State<Console>,
    reader: Reader,
    Query(asked): Query<Asked>,
) -> Result<Markup, Failure> {
    let split = Split { what: asked.what.to_string(), said: said(&reader, "", true), regions: Vec::new() };
    let content = match ask(split, &reader.caller, &console.means).await {
        Ok(taken) => html! {
            (what_follows(&reader, &taken))
            form method="post" action="/people/split" {
                (key(&reader))
                input type="hidden" name="what" value=(taken.merge);
                label { (reader.say("Why (optional)", "Чому (необов’язково)")) input name="note" maxlength="500"; }
                div.actions {
                    button { (reader.say("Take apart", "Роз’єднати")) }
                    a href=(path_of(taken.into)) { (reader.say("Leave as it is", "Залишити як є")) }
                }
            }
        },
        Err(OperationError::NotDone(not)) => html! {
            p.message { (not_done(&reader, &not)) }
            p { a href="/people" { (reader.say("Everybody", "Усі люди")) } }
        },
        Err(failure) => return Err(failure.into()),
    };
    let title = reader.say("Take them apart?", "Роз’єднати їх?");
    Ok(page(&reader, Some(Section::People), title, &content))
}

fn what_follows(reader: &Reader, taken: &TakenApart) -> Markup {
    let identifiers = reader.count(
        i64::try_from(taken.identifiers).unwrap_or(i64::MAX),
        ["identifier", "identifiers"],
        ["ідентифікатор", "ідентифікатори", "ідентифікаторів"],
    );
    let moved = leads(reader, i64::try_from(taken.leads).unwrap_or(i64::MAX));
    let at = reader.moment(taken.merged_at);
    html! {
        p { (reader.say(
            format!("They became one on {at}. They would be two again, and nothing joins them by itself any more."),
            format!("Вони стали однією людиною: {at}. Знову буде дві людини, і самі собою вони вже не об’єднаються."),
        )) }
        ul {
            li { (reader.say(
                format!("{identifiers} and {moved} go back."),
                format!("Повернуться {identifiers} і {moved}."),
            )) }
            @if taken.open > 0 {
                li {
                    (leads(reader, i64::try_from(taken.open).unwrap_or(i64::MAX)))
                    (reader.say(" not in the CRM yet: decided anew.", " ще не в CRM: буде вирішено заново."))
                }
            }
            @for given in &taken.identifiers_since {
                li { (words::given(reader, given)) (reader.say(" stays: it came since.", " залишиться: з’явилося пізніше.")) }
            }
            @for lead in &taken.leads_since {
                li {
                    a href=(format!("/leads/{lead}")) { (reader.say("A lead", "Лід")) }
                    (reader.say(" stays: it came since.", " залишиться: прийшов пізніше."))
                }
            }
            @for given in &taken.elsewhere {
                li {
                    (words::given(reader, given))
                    (reader.say(" is somebody else’s by now: ", " уже належить іншій людині: "))
                    a href=(path_of(given.person)) { (reader.say("who", "хто це")) }
                }
            }
        }
        @if !taken.contacts.is_empty() {
            h2 { (reader.say("In the CRM", "У CRM")) }
            ul.plain { @for one in &taken.contacts { li { (contact(reader, one)) } } }
        }
        @if !taken.written_since.is_empty() {
            h2 { (reader.say("Written while they were one", "Записано, поки це була одна людина")) }
            p { (reader.say(
                "leadfold moves nothing in a CRM. Look whether this stands on the right contact.",
                "leadfold нічого не переносить у CRM. Перевірте, чи це на правильному контакті.",
            )) }
            ul {
                @for written in &taken.written_since {
                    li {
                        (kind(reader, &written.kind)) " → " (written.record.as_deref().unwrap_or("—"))
                        " " span.faint { (written.destination) }
                    }
                }
            }
        }
        @if taken.asked_to_merge {
            p { (reader.say(
                "A task or a note in the CRM asks to merge their contacts: close it.",
                "У CRM є завдання або примітка з проханням об’єднати їхні контакти: закрийте їх.",
            )) }
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Given {
    #[serde(default)]
    key: String,
    what: MergeId,
    #[serde(default)]
    note: String,
}

pub(super) async fn split(
    State(console): State<Console>,
    reader: Reader,
    Form(given): Form<Given>,
) -> Result<Redirect, Failure> {
    reader.believe(&given.key)?;
    let split =
        Split { what: given.what.to_string(), said: said(&reader, &given.note, false), regions: Vec::new() };
    let taken = ask(split, &reader.caller, &console.means).await?;
    Ok(back(&path_of(taken.from), "split", None))
}
