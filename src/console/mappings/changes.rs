//! A rehearsal as a table: what would be different, and for how many.

use maud::{Markup, html};

use super::tests;
use crate::console::guard::Reader;
use crate::console::reasons::kept;
use crate::operation::mappings::Rehearsed;
use crate::rehearse::{Group, Rehearsal, Shown};

/// Groups that are shown; each is a way in which leads change, and there are few.
const MOST: usize = 50;
/// Longest value that is shown whole, in characters.
const LONGEST: usize = 160;

pub(super) fn table(reader: &Reader, rehearsed: &Rehearsed) -> Markup {
    let Rehearsed { rehearsal, is_complete, tests: tested } = rehearsed;
    let failed: Vec<_> = tested.iter().filter(|test| test.ran && test.failure.is_some()).cloned().collect();
    html! {
        h2 { (reader.say("Rehearsal", "Репетиція")) }
        (summary(reader, rehearsal))
        @if !is_complete { p.message { (reader.say(
            "Time was up before all of them were run; these are the newest.",
            "Час вийшов раніше, ніж перевірено все; тут найновіші.",
        )) } }
        @if !failed.is_empty() { (tests(reader, &failed)) }
        @if !rehearsal.groups.is_empty() {
            div.scroll { table.cards.changes {
                thead { tr {
                    th.number scope="col" { (reader.say("Leads", "Лідів")) }
                    th scope="col" { (reader.say("What", "Що")) }
                    th scope="col" { (reader.say("Now", "Зараз")) }
                    th scope="col" { (reader.say("With this edit", "З цією зміною")) }
                    th scope="col" { (reader.say("For example", "Наприклад")) }
                } }
                @for group in rehearsal.groups.iter().take(MOST) { (rows(reader, group)) }
            } }
            @if rehearsal.groups.len() > MOST { p.hint {
                (reader.say("And more ways of changing: ", "І ще способів зміни: ")) (rehearsal.groups.len() - MOST)
            } }
            p.hint { (reader.say(
                "The CRM was not asked: plans rest on what leadfold has found and made there itself. Nothing was written.",
                "CRM не запитували: плани спираються на те, що leadfold сам там знайшов і створив. Нічого не записано.",
            )) }
        }
    }
}

fn summary(reader: &Reader, rehearsal: &Rehearsal) -> Markup {
    let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let changed = number(rehearsal.changed);
    html! {
        @match rehearsal.span {
            None => p.message { (reader.say("Nothing is stored to rehearse on.", "Немає збережених запитів, на яких репетирувати.")) },
            Some((oldest, newest)) => p.message.good[changed == 0] {
                strong {
                    @if changed == 0 { (reader.say("Nothing would change", "Нічого не зміниться")) }
                    @else {
                        (reader.count(changed, ["lead would change", "leads would change"], ["лід зміниться", "ліди зміняться", "лідів зміняться"]))
                    }
                }
                ", " (reader.count(number(rehearsal.same), ["stays as it is", "stay as they are"], ["лишиться як є", "лишаться як є", "лишаться як є"]))
                ". " (reader.count(number(rehearsal.deliveries), ["delivery", "deliveries"], ["запит", "запити", "запитів"]))
                ", " (reader.moment(oldest)) " – " (reader.moment(newest)) "."
                @if rehearsal.emptied > 0 {
                    " " (reader.say("Without bodies any more: ", "Уже без тіла запиту: ")) (reader.number(number(rehearsal.emptied))) "."
                }
            },
        }
    }
}

fn rows(reader: &Reader, group: &Group) -> Markup {
    let Group { count, differences, because, example, .. } = group;
    // A lead that is none any more, or that is one now, differs in everything that it has.
    let all = differences.iter().any(|shown| shown.difference.place == "outcome");
    let matters = |shown: &&Shown| {
        const FEW: [&str; 7] = ["outcome", "why", "branch", "name", "phone", "email", "deal.title"];
        let place = shown.difference.place.as_str();
        !all || FEW.contains(&place) || place.starts_with("plan for ")
    };
    let differences: Vec<&Shown> = differences.iter().filter(matters).collect();
    let span = differences.len().max(1);
    html! {
        tbody {
            @for (position, shown) in differences.iter().enumerate() {
                tr {
                    @if position == 0 {
                        td.number rowspan=(span) data-name=(reader.say("Leads", "Лідів")) { (reader.number(i64::try_from(*count).unwrap_or(i64::MAX))) }
                    }
                    (cells(reader, shown, *count))
                    @if position == 0 {
                        td rowspan=(span) data-name=(reader.say("For example", "Наприклад")) {
                            @match example.lead {
                                Some(lead) => a href={ "/leads/" (lead) } { (or_nothing(reader, &example.who)) },
                                None => { (or_nothing(reader, &example.who)) }
                            }
                            div.faint { (reader.moment(example.received_at)) }
                            @for reason in because { div.hint { (kept(reader, reason)) } }
                        }
                    }
                }
            }
        }
    }
}

fn cells(reader: &Reader, shown: &Shown, count: usize) -> Markup {
    let difference = &shown.difference;
    let varies = !shown.same_for_all && count > 1;
    html! {
        td data-name=(reader.say("What", "Що")) { (place(reader, &difference.place)) @if varies { span.hint { " " (reader.say("(in the example)", "(у прикладі)")) } } }
        td data-name=(reader.say("Now", "Зараз")) { (side(reader, difference.old.as_deref())) }
        td data-name=(reader.say("With this edit", "З цією зміною")) { (side(reader, difference.new.as_deref())) }
    }
}

fn side(reader: &Reader, value: Option<&str>) -> Markup {
    html! {
        @match value {
            None => span.faint { (reader.say("nothing", "нічого")) },
            Some(text) if text.chars().count() > LONGEST => { (text.chars().take(LONGEST).collect::<String>()) "…" }
            Some(text) => { (text) }
        }
    }
}

fn or_nothing<'t>(reader: &Reader, text: &'t str) -> &'t str {
    if text.is_empty() { reader.say("a lead without a name", "лід без імені") } else { text }
}

/// A place of a lead, in the reader's language where it is a word of ours.
fn place(reader: &Reader, place: &str) -> String {
    let ukrainian = match place {
        "outcome" => "результат",
        "why" => "чому",
        "branch" => "гілка",
        "destinations" => "куди йде",
        "owner pool" => "пул відповідальних",
        "name" => "ім’я",
        "phone" => "телефон",
        "phone as typed" => "телефон, як введено",
        "email" => "пошта",
        "deal.title" => "назва угоди",
        "deal.pipeline" => "воронка",
        "deal.stage" => "етап",
        "task.title" => "назва завдання",
        "task.text" => "текст завдання",
        "note" => "примітка",
        "chat" => "чат",
        "identifiers" => "ідентифікатори",
        "flaws" => "вади",
        other => match other.strip_prefix("plan for ") {
            Some(destination) => return reader.say(place.to_owned(), format!("план для {destination}")),
            None => other,
        },
    };
    reader.say(place, ukrainian).to_owned()
}
