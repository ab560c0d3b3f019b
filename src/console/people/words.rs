//! What kinds, trust and refusals are called.

use maud::{Markup, html};

use super::super::guard::Reader;
use crate::lead::{IdentifierKind, Proof};
use crate::store::corrections::{Given, NotDone};
use crate::store::profile::Profile;

/// What an identifier is.
pub(super) fn kind(reader: &Reader, kind: IdentifierKind) -> &'static str {
    match kind {
        IdentifierKind::CrmId => reader.say("CRM record", "запис у CRM"),
        IdentifierKind::ExternalCustomer => reader.say("customer id", "номер клієнта"),
        IdentifierKind::Chat => reader.say("chat", "чат"),
        IdentifierKind::Phone => reader.say("phone", "телефон"),
        IdentifierKind::Email => reader.say("email", "пошта"),
        IdentifierKind::Device => reader.say("device", "пристрій"),
        IdentifierKind::Click => reader.say("click", "клік"),
    }
}

/// How much stands behind it.
pub(super) fn trust(reader: &Reader, proof: Proof) -> Markup {
    let (class, word) = match proof {
        Proof::Proven => ("badge good", reader.say("confirmed", "підтверджено")),
        Proof::Claimed => ("badge", reader.say("typed in", "введено")),
        Proof::Hinted => ("badge wait", reader.say("from a link", "з посилання")),
    };
    html! { span class=(class) { (word) } }
}

/// What is theirs, in a table.
pub(super) fn identifiers(reader: &Reader, person: &Profile) -> Markup {
    let [what, value, trusted, first, last] = [
        reader.say("What", "Що"),
        reader.say("Value", "Значення"),
        reader.say("Trust", "Довіра"),
        reader.say("First seen", "Вперше"),
        reader.say("Last seen", "Востаннє"),
    ];
    html! {
        @if person.identifiers.is_empty() {
            p.faint { (reader.say("Nothing that anybody could be recognised by.", "Нічого, за чим можна впізнати.")) }
        } @else {
            div.scroll { table.cards {
                thead { tr { @for name in [what, value, trusted, first, last] { th scope="col" { (name) } } } }
                tbody { @for one in &person.identifiers { tr {
                    td data-name=(what) { (kind(reader, one.kind)) }
                    td data-name=(value) {
                        span.code { (one.value) }
                        @if !one.scope.is_empty() { " " span.faint { (one.scope) } }
                    }
                    td data-name=(trusted) { (trust(reader, one.proof)) }
                    td data-name=(first) { (reader.day(one.first_seen)) }
                    td data-name=(last) { (reader.day(one.seen)) }
                } } }
            } }
        }
    }
}

/// What is theirs, in a few lines.
pub(super) fn short_identifiers(reader: &Reader, person: &Profile) -> Markup {
    html! {
        ul.plain { @for one in &person.identifiers { li {
            (kind(reader, one.kind)) " " span.code { (one.value) } " " (trust(reader, one.proof))
        } } }
    }
}

/// An identifier that is told of.
pub(super) fn given(reader: &Reader, given: &Given) -> String {
    let scope = if given.scope.is_empty() { String::new() } else { format!(" ({})", given.scope) };
    format!("{} {}{scope}", kind(reader, given.kind), given.value)
}

/// What somebody said about people.
pub(super) fn said(reader: &Reader, correction: &str) -> &'static str {
    match correction {
        "merge" | "same" => reader.say("the same person", "одна людина"),
        "split" => reader.say("taken apart", "роз’єднано"),
        "not_same" => reader.say("different people", "різні люди"),
        _ => reader.say("erased", "дані стерто"),
    }
}

/// Why two people were not made one, or two.
pub(in crate::console) fn not_done(reader: &Reader, not: &NotDone) -> String {
    match not {
        NotDone::Unknown(_) => reader
            .say(
                "This person is not in the registry: they were erased, or the link is old. Search for them again.",
                "Цієї людини немає в реєстрі: її дані стерто або посилання застаріле. Знайдіть її ще раз.",
            )
            .to_owned(),
        NotDone::Became { .. } => reader
            .say(
                "One of them is part of somebody else by now. Open that person and decide again.",
                "Одна з цих людей уже стала частиною іншої. Відкрийте ту людину і вирішіть ще раз.",
            )
            .to_owned(),
        NotDone::OneAlready(_) => reader
            .say(
                "These two are one person already. Their page lists how they became one.",
                "Це вже одна людина. На її сторінці написано, як так вийшло.",
            )
            .to_owned(),
        NotDone::NotAsked(..) => reader
            .say(
                "Somebody has answered for these two meanwhile. Their pages say what was decided.",
                "Про цих двох уже хтось відповів. На їхніх сторінках видно, що вирішено.",
            )
            .to_owned(),
        NotDone::NoMerge(_) | NotDone::NothingMerged(_) => reader
            .say(
                "There is nothing to take apart: nobody was joined with this person.",
                "Роз’єднувати нічого: з цією людиною нікого не об’єднували.",
            )
            .to_owned(),
        NotDone::WhichMerge { .. } => reader
            .say(
                "Several people became this one. Choose on their page which one is to be taken apart.",
                "Цією людиною стало кілька інших. Виберіть на її сторінці, кого саме від’єднати.",
            )
            .to_owned(),
        NotDone::Undone { at, .. } => {
            format!("{} {}.", reader.say("They were taken apart on", "Їх уже роз’єднано:"), reader.moment(*at))
        }
        NotDone::Unreadable(_) => reader
            .say(
                "Another version of leadfold joined them, and this one cannot read what it moved. Nothing was changed.",
                "Їх об’єднала інша версія leadfold, і ця не може прочитати, що вона перенесла. Нічого не змінено.",
            )
            .to_owned(),
        NotDone::UnderWay(leads) => {
            let places: Vec<&str> = leads.iter().map(|lead| lead.destination.as_str()).collect();
            let first = reader.say(
                "Nothing was changed: something of theirs is on its way to",
                "Нічого не змінено: дані цих людей саме передаються до",
            );
            let then = reader.say("Try again in a minute.", "Спробуйте за хвилину.");
            format!("{first} {}. {then}", places.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::id::{LeadId, PersonId};
    use crate::resolve::Language;
    use crate::store::corrections::UnderWay;

    #[test]
    fn a_refusal_names_no_command() {
        let person = PersonId(Uuid::nil());
        let under_way = UnderWay {
            lead: LeadId(Uuid::nil()),
            destination: "crm".to_owned(),
            state: "pushing".to_owned(),
        };
        for language in [Language::English, Language::Ukrainian] {
            let reader = Reader { language, ..Reader::for_tests() };
            for not in [
                NotDone::Unknown(person),
                NotDone::OneAlready(person),
                NotDone::NotAsked(person, person),
                NotDone::NothingMerged(person),
                NotDone::UnderWay(vec![under_way.clone()]),
            ] {
                let text = not_done(&reader, &not);
                assert!(!text.contains('`') && !text.contains("leadfold people"), "{text}");
                assert!(text.ends_with('.'), "{text}");
            }
        }
    }
}
