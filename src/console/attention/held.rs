//! Leads that were held while a destination only observed: what would be done with them, and the answer.

use std::time::Duration;

use axum::Form;
use axum::extract::{Query, State};
use axum::response::Redirect;
use maud::{Markup, html};
use serde::Deserialize;
use tokio::time::Instant;

use super::super::Console;
use super::super::guard::Reader;
use super::super::lead::kind;
use super::super::page::{Failure, Section, key, page};
use super::query;
use crate::access::Role;
use crate::operation::ask;
use crate::operation::held::{AnswerHeld, HeldHere, LookAtHeld};
use crate::rules::Mode;
use crate::store::held::Answer;

/// Leads that are looked at for the page; an answer is for all that are held by then.
const LOOKED_AT: u64 = 50;
/// Leads of one piece of it.
const PIECE: u64 = 500;
/// How long one request goes on with the next pieces.
const AT_ONCE: Duration = Duration::from_secs(2);

#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    destination: String,
    /// An answer that is under way, and how far it is.
    answer: Option<Answer>,
    up_to: Option<i64>,
    #[serde(default)]
    count: u64,
    /// That the reader began it.
    #[serde(default)]
    begun: String,
}

impl Asked {
    /// The answer that the reader began to give, and up to where.
    fn under_way(&self, reader: &Reader) -> Option<(Answer, i64)> {
        let (answer, up_to) = self.answer.zip(self.up_to)?;
        reader.began(&what(&self.destination, answer, up_to), &self.begun).then_some((answer, up_to))
    }
}

/// What a reader began.
fn what(destination: &str, answer: Answer, up_to: i64) -> String {
    format!("{} {up_to} {destination}", word(answer))
}

pub(super) async fn look(
    State(console): State<Console>,
    reader: Reader,
    Query(asked): Query<Asked>,
) -> Result<Markup, Failure> {
    let look = LookAtHeld { destination: asked.destination.clone(), limit: Some(LOOKED_AT) };
    // Before they are looked at: whoever comes in between is not answered for.
    let newest = console.means.store.pulse().await?.newest;
    let mut here = ask(look, &reader.caller, &console.means).await?;
    if here.held.count >= LOOKED_AT {
        here.held.up_to = newest;
    }
    let content = html! {
        @if let Some((answer, up_to)) = asked.under_way(&reader).filter(|_| reader.may(Role::Operator)) {
            p.message role="status" { (leads(&reader, asked.count)) " " (reader.say("done so far.", "уже опрацьовано.")) }
            form method="post" action="/attention/held" data-go-on {
                (fields(&reader, &asked.destination, up_to, answer))
                input type="hidden" name="count" value=(asked.count);
                button { (reader.say("Go on", "Далі")) }
            }
        } @else {
            (what_is_held(&reader, &here))
            @if reader.may(Role::Operator) && here.held.count > 0 { (answers(&reader, &asked.destination, &here)) }
        }
        p { a href="/attention" { (reader.say("Back", "Назад")) } }
    };
    let title = format!("{} · {}", reader.say("Held leads", "Затримані ліди"), asked.destination);
    Ok(page(&reader, Some(Section::Attention), &title, &content))
}

fn leads(reader: &Reader, count: u64) -> String {
    reader.count(i64::try_from(count).unwrap_or(i64::MAX), ["lead", "leads"], ["лід", "ліди", "лідів"])
}

fn what_is_held(reader: &Reader, here: &HeldHere) -> Markup {
    html! {
        @if here.held.count == 0 {
            p.message { (reader.say("Nothing is held here.", "Тут нічого не затримано.")) }
        } @else {
            @if here.held.count >= LOOKED_AT {
                p.message { (reader.say(
                    "There are many. This is what becomes of the oldest that were looked at; an answer is for all of them.",
                    "Їх багато. Ось що буде з найстарішими з них, які переглянуто; відповідь стосується всіх.",
                )) }
            }
            p {
                (leads(reader, here.held.count))
                @if let Some(oldest) = here.held.oldest { ", " (reader.say("since ", "з ")) (reader.moment(oldest)) }
                ". " (reader.say("If they are pushed, leadfold would:", "Якщо їх передати, leadfold зробить:"))
            }
            ul { @for (plan, count) in here.held.plans.iter().take(20) { li {
                (steps(reader, plan)) " · " (leads(reader, *count))
            } } }
        }
    }
}

/// Kinds of steps, as a list of them is kept.
fn steps(reader: &Reader, plan: &str) -> String {
    plan.split(", ").map(|word| kind(reader, word).to_lowercase()).collect::<Vec<_>>().join(", ")
}

fn answers(reader: &Reader, destination: &str, here: &HeldHere) -> Markup {
    let up_to = here.held.up_to;
    html! {
        @if here.mode == Mode::Live {
            div.actions {
                form method="post" action="/attention/held" {
                    (fields(reader, destination, up_to, Answer::Push))
                    button { (reader.say("Push them to the CRM", "Передати в CRM")) }
                }
                form method="post" action="/attention/held" {
                    (fields(reader, destination, up_to, Answer::Skip))
                    button.second { (reader.say("Skip them", "Пропустити")) }
                }
            }
        } @else {
            p.hint { (reader.say(
                "The destination only observes. Let a few of the oldest through to see how they look in the CRM; set mode: live \
                 to push the rest.",
                "Призначення лише спостерігає. Пропустіть кілька найстаріших, щоб побачити, як вони виглядають у CRM; щоб передати \
                 решту, поставте mode: live.",
            )) }
            div.actions {
                form method="post" action="/attention/held" {
                    (fields(reader, destination, up_to, Answer::Push))
                    label {
                        (reader.say("How many", "Скільки"))
                        input type="number" name="limit" value="5" min="1" max="500" required;
                    }
                    button { (reader.say("Let through", "Пропустити в CRM")) }
                }
                form method="post" action="/attention/held" {
                    (fields(reader, destination, up_to, Answer::Skip))
                    button.second { (reader.say("Skip all of them", "Відкинути всі")) }
                }
            }
        }
    }
}

fn fields(reader: &Reader, destination: &str, up_to: i64, answer: Answer) -> Markup {
    html! {
        (key(reader))
        input type="hidden" name="destination" value=(destination);
        input type="hidden" name="up_to" value=(up_to);
        input type="hidden" name="answer" value=(word(answer));
    }
}

fn word(answer: Answer) -> &'static str {
    match answer {
        Answer::Push => "push",
        Answer::Skip => "skip",
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Given {
    #[serde(default)]
    key: String,
    destination: String,
    answer: Answer,
    up_to: i64,
    limit: Option<u64>,
    #[serde(default)]
    count: u64,
}

pub(super) async fn answer(
    State(console): State<Console>,
    reader: Reader,
    Form(mut given): Form<Given>,
) -> Result<Redirect, Failure> {
    reader.believe(&given.key)?;
    let mode = LookAtHeld { destination: given.destination.clone(), limit: Some(0) };
    let mode = ask(mode, &reader.caller, &console.means).await?.mode;
    let began = Instant::now();
    loop {
        let answer = AnswerHeld {
            destination: given.destination.clone(),
            answer: given.answer,
            // What is asked of a destination that only observes is a number of leads, and done at once.
            limit: given
                .limit
                .or_else(|| (mode == Mode::Live || given.answer == Answer::Skip).then_some(PIECE)),
            up_to: Some(given.up_to),
        };
        let answered = ask(answer, &reader.caller, &console.means).await?.count;
        given.count += answered;
        if given.limit.is_some() || answered < PIECE {
            let done = if given.answer == Answer::Push { "pushed" } else { "skipped" };
            return Ok(Redirect::to(&format!("/attention?done={done}&count={}", given.count)));
        }
        if began.elapsed() >= AT_ONCE {
            break;
        }
    }
    let (up_to, count) = (given.up_to.to_string(), given.count.to_string());
    let proof = reader.proof(&what(&given.destination, given.answer, given.up_to));
    let pairs = [
        ("begun", proof.as_str()),
        ("destination", given.destination.as_str()),
        ("answer", word(given.answer)),
        ("up_to", &up_to),
        ("count", &count),
    ];
    Ok(Redirect::to(&format!("/attention/held?{}", query(&pairs))))
}
