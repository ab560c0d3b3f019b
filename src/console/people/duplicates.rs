//! The queue of people who may be one.

use axum::extract::{Query, State};
use maud::{Markup, html};
use serde::Deserialize;

use super::super::Console;
use super::super::guard::Reader;
use super::super::page::{Failure, Section, done_and, key, page};
use super::{DONE, brief, pair, undo};
use crate::access::Role;
use crate::id::{MergeId, PersonId};
use crate::operation::ask;
use crate::operation::people::LookAtDuplicates;
use crate::store::profile::{DuplicatePlace, PossibleDuplicate};

/// Pairs of one page.
const PAGE: i64 = 20;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    /// The last pair of the page before: milliseconds, and the two. Without the moment, the two who were kept apart.
    at: Option<i64>,
    one: Option<PersonId>,
    other: Option<PersonId>,
    done: Option<String>,
    /// The merge that was made, to be undone.
    merge: Option<MergeId>,
}

impl Asked {
    fn after(&self) -> Option<DuplicatePlace> {
        let at = jiff::Timestamp::from_millisecond(self.at?).ok()?;
        Some(DuplicatePlace { at, one: self.one?, other: self.other? })
    }
}

pub(super) async fn queue(
    State(console): State<Console>,
    reader: Reader,
    Query(asked): Query<Asked>,
) -> Result<Markup, Failure> {
    let look = LookAtDuplicates { limit: Some(PAGE), after: asked.after(), language: reader.language };
    let pairs = ask(look, &reader.caller, &console.means).await?.duplicates;
    let next = pairs.last().filter(|_| i64::try_from(pairs.len()) == Ok(PAGE));
    let title = reader.say("Possible duplicates", "Можливі дублікати");
    let and_now = html! {
        (undo(&reader, asked.merge))
        @if let (None, Some(one), Some(other), true) = (asked.at, asked.one, asked.other, reader.may(Role::Operator)) {
            " " a href=(format!("/people/merge?one={one}&with={other}")) {
                (reader.say("Look at them again", "Переглянути їх ще раз"))
            }
        }
    };
    let content = html! {
        (done_and(&reader, asked.done.as_deref(), DONE, &and_now))
        @if pairs.is_empty() {
            p.message { (reader.say("Nobody waits for an answer.", "Відповідати немає про кого.")) }
        } @else {
            p.hint { (reader.say(
                "Each pair shares something, yet nothing proves that they are one person. Until you say, they stay two. \
                 “Different people” also keeps leadfold from joining them later.",
                "У кожної пари є щось спільне, але ніщо не доводить, що це одна людина. Поки ви не скажете, їх двоє. \
                 «Різні люди» також не дасть leadfold об’єднати їх пізніше.",
            )) }
        }
        @for duplicate in &pairs { (row(&reader, duplicate)) }
        p {
            @if asked.at.is_some() {
                a href="/people/duplicates" { (reader.say("To the oldest", "До найстаріших")) } " "
            }
            @if let Some(last) = next {
                a.button href=(format!(
                    "/people/duplicates?at={}&one={}&other={}", last.at.as_millisecond(), last.one.id, last.other.id
                )) { (reader.say("More", "Далі")) }
            }
        }
    };
    Ok(page(&reader, Some(Section::People), title, &content))
}

fn row(reader: &Reader, duplicate: &PossibleDuplicate) -> Markup {
    let PossibleDuplicate { one, other, lead, why, at } = duplicate;
    let ids = (one.id.parse::<PersonId>(), other.id.parse::<PersonId>());
    html! {
        article.sheet {
            p.faint { (reader.say("Since ", "З ")) (reader.moment(*at)) }
            div.pair { div { (brief(reader, one)) } div { (brief(reader, other)) } }
            p.faint {
                (reader.say("What was decided about ", "Що вирішено про "))
                a href=(format!("/leads/{lead}")) { (reader.say("the lead that showed it", "лід, який це показав")) } ":"
            }
            @for sentence in why { p { (sentence) } }
            @if let (Ok(one), Ok(other)) = ids {
                div.actions {
                    a.button href=(format!("/people/merge?one={one}&with={other}&queue=true")) {
                        @if reader.may(Role::Operator) { (reader.say("Same person…", "Одна людина…")) }
                        @else { (reader.say("Compare", "Порівняти")) }
                    }
                    @if reader.may(Role::Operator) {
                        form method="post" action="/people/not-same" {
                            (key(reader))
                            (pair(one, other, true))
                            button.second { (reader.say("Different people", "Різні люди")) }
                        }
                    }
                }
            }
        }
    }
}
