//! Sentences that are kept in English, told in Ukrainian with everything that they name.
//!
//! A stored reason is a word and an English sentence. The word has a sentence of its own in Ukrainian, but which contact, which
//! deal and whose turn it was stands in the English one alone. So the most usual of them are known here by their shape: `{}` is
//! whatever stands there, and `{1}` is where it goes. A sentence whose shape is not known is told by its word.

use jiff::Timestamp;

use crate::console::guard::Reader;

/// English shape and Ukrainian sentence; of two that fit, the first is meant.
const SHAPES: &[(&str, &str)] = &[
    // Which contact and which deal.
    (
        "Contact {} is the one that this person was brought to before.",
        "Це контакт {1}, до якого людину вже передавали.",
    ),
    ("Contact {} has this person's {}.", "У контакту {1} збігається {2}."),
    (
        "The CRM answered with contact {} for this person.",
        "На пошук цієї людини CRM відповіла контактом {1}.",
    ),
    (
        "Several contacts match: {} was taken, because {}. Left alone, and worth merging in the CRM: {}.",
        "Підходить кілька контактів: взято {1}, бо {2}. Решту не чіпаємо, їх варто об’єднати в CRM: {3}.",
    ),
    (
        "Contact {} has no open deal, but contact {} of the same person has deal {}, so there is no second one.",
        "У контакту {1} немає відкритої угоди, але в контакту {2} тієї ж людини є угода {3}, тож другої не створюємо.",
    ),
    (
        "Contact {} has no open deal, but contact {} of the same person has deal {}.",
        "У контакту {1} немає відкритої угоди, але в контакту {2} тієї ж людини є угода {3}.",
    ),
    ("Contact {} has no open deal.", "У контакту {1} немає відкритої угоди."),
    (
        "Contact {} has open deal {}, so there is no second one.",
        "У контакту {1} є відкрита угода {2}, тож другої не створюємо.",
    ),
    ("Contact {} has open deal {}.", "У контакту {1} є відкрита угода {2}."),
    (
        "Several deals are open: {} was taken, because it is the newest (of the lead's pipeline, where there is one). Left alone: {}.",
        "Відкритих угод кілька: взято {1}, найновішу (з воронки ліда, якщо така є). Решту не чіпаємо: {2}.",
    ),
    (
        "Nobody in the CRM is this person: a contact and a deal are created.",
        "Цієї людини в CRM ще немає: створюємо контакт і угоду.",
    ),
    (
        "Nobody in the CRM is this person: a contact is created.",
        "Цієї людини в CRM ще немає: створюємо контакт.",
    ),
    (
        "The phone says contact {}, the email says contact {}.",
        "Телефон вказує на контакт {1}, пошта — на контакт {2}.",
    ),
    // Who is responsible.
    (
        "A new deal goes to {}, who is responsible for contact {}.",
        "Відповідальний за нову угоду — {1}, бо веде контакт {2}.",
    ),
    (
        "{}, who is responsible for contact {}, is inactive in the CRM and gets nothing new.",
        "Контакт {2} веде {1}, але цей користувач у CRM неактивний і нового не отримує.",
    ),
    (
        "{}, who is responsible for the {}, is inactive in the CRM and gets nothing new.",
        "Відповідальний — {1}, але цей користувач у CRM неактивний і нового не отримує.",
    ),
    (
        "The owner is {}, whose turn it was in pool {}. Skipped: {}.",
        "Відповідальний — {1}: така черга в пулі {2}. Пропущено: {3}.",
    ),
    ("The owner is {}, whose turn it was in pool {}.", "Відповідальний — {1}: така черга в пулі {2}."),
    (
        "{} of pool {} was picked for this lead earlier and keeps it: no new turn.",
        "Лід лишається за {1} з пулу {2}: відповідального вже обрано раніше, черга не зсувається.",
    ),
    (
        "Nobody of pool {} is available ({}): the owner is {}, the fallback of the pool.",
        "У пулі {1} нікого немає ({2}): відповідальний запасний — {3}.",
    ),
    (
        "Nobody of owner pool {} is available ({}): the lead waits until {} works, {}.",
        "У пулі {1} зараз нікого немає ({2}): лід чекає, доки вийде на роботу {3}.",
    ),
    (
        "No owner pool is named: the CRM decides who is responsible.",
        "Пул відповідальних не задано: відповідального визначає CRM.",
    ),
    (
        "The workspace has no owner pool {}: the CRM decides who is responsible.",
        "У налаштуваннях немає пулу {1}: відповідального визначає CRM.",
    ),
    // What is written.
    ("The lead changes contact {} and deal {}: {}.", "Лід змінює контакт {1} і угоду {2}: {3}."),
    ("The lead changes contact {}: {}.", "Лід змінює контакт {1}: {2}."),
    ("The lead changes deal {}: {}.", "Лід змінює угоду {1}: {2}."),
    (
        "The person came back: a task for nobody in particular, because {}.",
        "Людина повернулася: ставимо завдання без відповідального, бо його немає.",
    ),
    (
        "The person came back: a task for {}, who is responsible for the {}.",
        "Людина повернулася: завдання отримує {1}.",
    ),
    ("The person came back: a task for {}.", "Людина повернулася: завдання отримує {1}."),
    (
        "The person came back within {} of the task left at {}: no second task.",
        "Людина повернулася невдовзі після завдання ({2}): другого не ставимо.",
    ),
    (
        "One earlier lead of this person, kept until now, go along and add: {}.",
        "Разом іде попередній лід цієї людини, що чекав; він додає: {1}.",
    ),
    (
        "{} earlier leads of this person, kept until now, go along and add: {}.",
        "Разом ідуть попередні ліди цієї людини ({1}), що чекали; вони додають: {2}.",
    ),
    ("'{}' is called: {} in the person's {} chat.", "Викликаємо {1}: {2}, у чаті {3}."),
    (
        "'{}' is called: {} in the chat that the mapping names.",
        "Викликаємо {1}: {2}, у чаті, який називає мапінг.",
    ),
    ("'{}' is called: {}.", "Викликаємо {1}: {2}."),
    (
        "`{}` has nobody to go to: the person blocked the bot ('{}').",
        "Дію {1} нікому виконати: людина заблокувала бота {2}.",
    ),
    (
        "`{}` has nobody to go to: the person has no chat there ('{}').",
        "Дію {1} нікому виконати: у людини немає чату з {2}.",
    ),
    ("the condition (`when`) of no branch holds: {}", "Не виконалася умова (when) жодної гілки: {1}."),
    (
        "the body is not JSON: {}; check the body that the platform is set to send, or choose `preset: form` if it sends form fields",
        "Тіло запиту — не JSON. Перевірте, що надсилає платформа, або виберіть preset: form, якщо вона надсилає поля форми.",
    ),
    // What people did.
    ("Replayed on {} ({}).", "Повторено {1}."),
    ("Mapped and planned again on {} by version {}.", "Зіставлено і сплановано заново {1} за версією {2}."),
    (
        "Held while '{}' was only observed; pushed on {}.",
        "Було затримано, доки {1} лише спостерігало; передано {2}.",
    ),
    // What stands.
    (
        "Leads wait for destination '{}' longer than {}: the oldest came on {}.",
        "Ліди для {1} чекають довше за {2}: найстаріший прийшов {3}.",
    ),
    (
        "Requests wait longer than {} to become leads: the oldest came on {}. Look at the log of the server.",
        "Запити чекають довше за {1}, щоб стати лідами: найстаріший прийшов {2}. Гляньте в журнал сервера.",
    ),
    (
        "Nothing came from source '{}' for longer than {}: the last request came on {}. Look whether the bot works and still posts here.",
        "Від джерела {1} нічого немає довше за {2}: останній запит прийшов {3}.",
    ),
    // What somebody may not.
    (
        "this takes the role {}, and {} has the role {}. An admin can give another: `{}`",
        "Для цього потрібна роль «{1}», а в {2} — «{3}». Іншу роль може дати адміністратор у розділі «Доступ».",
    ),
    // What a replay would do.
    ("branch '{}', to {}", "гілка {1}, до {2}"),
    ("waits for somebody with its click id", "чекає на людину з таким ідентифікатором кліку"),
    // Rate budgets, as vendors say them.
    ("at most {} calls in {}s", "щонайбільше {1} запитів за {2} с"),
    ("{} calls a second, {} of them at once", "{1} запитів за секунду, з них {2} одразу"),
];

/// What stands in a sentence in words of ours.
const WORDS: &[(&str, &str)] = &[
    ("phone", "телефон"),
    ("email", "пошта"),
    ("chat", "чат"),
    ("crm_id", "запис у CRM"),
    ("external_customer", "номер клієнта"),
    ("we brought this person to it before", "людину вже передавали саме до нього"),
    ("it has an open deal", "у нього є відкрита угода"),
    ("it matches by the stronger identifier", "він збігається за надійнішим ідентифікатором"),
    ("it is the oldest", "він найдавніший"),
    ("nothing that this lead lacks", "нічого нового"),
    ("it has no members", "у ньому нікого"),
    ("viewer", "спостерігач"),
    ("operator", "оператор"),
    ("admin", "адміністратор"),
];

/// Why somebody of a pool was passed over, behind their name.
const ABSENCES: &[(&str, &str)] = &[
    ("(inactive in the CRM)", "(неактивний у CRM)"),
    ("(away)", "(відсутній)"),
    ("(day off)", "(вихідний)"),
    ("(outside hours)", "(поза робочим часом)"),
    ("(daily cap of ", "(денний ліміт: "),
    (" reached)", ")"),
];

/// A sentence of a known shape, in Ukrainian.
pub(super) fn ukrainian(reader: &Reader, text: &str) -> Option<String> {
    SHAPES.iter().find_map(|(shape, sentence)| {
        let mut told = (*sentence).to_owned();
        for (number, what) in (1..).zip(holes(shape, text)?) {
            told = told.replace(&format!("{{{number}}}"), &word(reader, what));
        }
        Some(told)
    })
}

/// What stands in the holes of a shape; `None` where it is another one.
fn holes<'t>(shape: &str, text: &'t str) -> Option<Vec<&'t str>> {
    let mut parts = shape.split("{}");
    let mut rest = text.strip_prefix(parts.next()?)?;
    let mut found = Vec::new();
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        let (hole, behind) = match parts.peek() {
            Some(_) => rest.split_once(part)?,
            None => (rest.strip_suffix(part)?, ""),
        };
        found.push(hole);
        rest = behind;
    }
    rest.is_empty().then_some(found)
}

fn word(reader: &Reader, what: &str) -> String {
    if let Some((_, word)) = WORDS.iter().find(|(english, _)| *english == what) {
        return (*word).to_owned();
    }
    if let Ok(at) = what.parse::<Timestamp>() {
        return reader.moment(at);
    }
    let told = |text: String, (english, word): &(&str, &str)| text.replace(english, word);
    ABSENCES.iter().fold(what.to_owned(), told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_keeps_what_it_names() {
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(ukrainian(&Reader::for_tests(), text).as_deref(), expect, "{text}");
        };
        check("Contact 7 has no open deal.", Some("У контакту 7 немає відкритої угоди."));
        check("Contact 7 has this person's phone.", Some("У контакту 7 збігається телефон."));
        check(
            "Contact 7 has open deal 9, so there is no second one.",
            Some("У контакту 7 є відкрита угода 9, тож другої не створюємо."),
        );
        check(
            "The owner is olha, whose turn it was in pool kyiv. Skipped: petro (daily cap of 5 reached), ira (away).",
            Some(
                "Відповідальний — olha: така черга в пулі kyiv. Пропущено: petro (денний ліміт: 5), ira (відсутній).",
            ),
        );
        check("Replayed on 2026-11-22T08:41:00Z (resume).", Some("Повторено 22\u{a0}Nov\u{a0}2026, 08:41."));
        check("at most 200 calls in 1s", Some("щонайбільше 200 запитів за 1 с"));
        check("Contact 7 has no open deal. Or has it?", None);
        check("", None);
    }

    #[test]
    fn every_hole_has_its_place() {
        for (shape, sentence) in SHAPES {
            let holes = shape.matches("{}").count();
            for place in 1..10 {
                let names = sentence.contains(&format!("{{{place}}}"));
                assert!(!names || place <= holes, "{sentence}");
            }
        }
    }

    /// A sentence that is written anew in the core would be told without what it names; here somebody notices.
    #[test]
    fn the_core_still_says_it_so() {
        const SOURCES: &[&str] = &[
            include_str!("../../decide/choose.rs"),
            include_str!("../../decide/calls.rs"),
            include_str!("../../decide/known.rs"),
            include_str!("../../decide/mod.rs"),
            include_str!("../../decide/owner.rs"),
            include_str!("../../pipeline.rs"),
            include_str!("../../alerts/trouble.rs"),
            include_str!("../../store/held.rs"),
            include_str!("../../store/replan.rs"),
            include_str!("../../store/replay_work.rs"),
            include_str!("../../operation/replay/preview.rs"),
            include_str!("../../crm/limit.rs"),
            include_str!("../../operation/mod.rs"),
            include_str!("../../event/json_body.rs"),
        ];
        let joined: String = SOURCES
            .concat()
            .split("\\\n")
            .enumerate()
            .map(|(place, piece)| if place == 0 { piece } else { piece.trim_start() })
            .collect();
        for (shape, _) in SHAPES {
            let longest = shape.split("{}").max_by_key(|piece| piece.len()).unwrap_or_default();
            let words = longest.trim_matches(|c: char| !c.is_alphabetic());
            // The kind of a record is put in by the code, and so is how some sentences begin.
            let words = words.trim_end_matches(" contact").trim_end_matches(" deal");
            let last: Vec<char> = words.chars().rev().take(16).collect();
            let last: String = last.into_iter().rev().collect();
            assert!(joined.contains(&last), "nothing in the core says '{last}' of: {shape}");
        }
    }
}
