//! States and reasons in words.
//!
//! A reason is stored as its word and an English sentence with everything that it is about. In Ukrainian such sentences are
//! told whole by their shape ([`told`]), and so is what the checker says of files and why a request is unreadable. A reason of
//! no known shape is told by its word, which has a sentence here; the English one stands beside it only where it holds what
//! others said.
//!
//! English stays what is not ours: answers of CRMs, bots and databases, and the tails that the libraries for YAML, JSON,
//! JSONPath and expressions add to our sentences; and sentences that no table knows. All of it is marked so, for those who have
//! pages read to them.

mod flaws;
mod told;

use maud::{Markup, html};
use serde_json::Value;

use super::guard::Reader;
use crate::resolve::Language;

pub(super) use self::flaws::field;

/// Words of reasons whose sentence holds what others said, or what nobody finds without it.
const HOLDS_MORE: &[&str] = &[
    "blind_step_unknown",
    "call_error",
    "crm_keeps_failing",
    "crm_rejected",
    "deal_not_counted",
    "internal_error",
    "lead_unreadable",
    "look_up_rejected",
    "mapping_error",
    "mapping_unreadable",
    "never_confirmed",
    "no_recipient",
    "not_sent",
    "record_of_another_person",
    "retry",
    "search_rejected",
    "twins_told",
    "two_contacts",
    "unauthorised",
    "unknown_outcome",
    "written_twice",
];

/// Word and sentence in Ukrainian.
const UKRAINIAN: &[(&str, &str)] = &[
    ("blind_step_unknown", "CRM не відповіла, і перевірити, чи записано, неможливо: гляньте в CRM самі."),
    (
        "brought_and_gone",
        "Цю людину вже передавали, але її контакту в CRM більше немає: вдруге нічого не створюємо.",
    ),
    ("brought_before", "Цей лід уже передавали: вдруге нічого не створюємо."),
    ("call", "Викликаємо бота."),
    ("call_error", "Не вдалося скласти виклик бота: виправте мапінг."),
    ("chat_blocked", "Людина заблокувала бота: писати їй нікуди."),
    ("conflict", "Ідентифікатори вказують на різних людей: вирішіть, чий це лід."),
    ("contact_found", "Контакт цієї людини знайдено в CRM."),
    ("contact_linked", "Це контакт, до якого людину вже передавали."),
    ("create_deal_never", "За правилами угоди не створюються (create_deal: never)."),
    ("crm_keeps_failing", "CRM раз по раз відповідає помилкою: перевірте її і продовжте."),
    ("crm_rejected", "CRM не прийняла дані: виправте їх і повторіть."),
    ("deal_not_counted", "Одна з угод за правилами не вважається відкритою."),
    ("earlier_leads", "Разом передаємо попередні ліди цієї людини, що чекали."),
    ("erased", "Усе особисте стерто."),
    ("forced", "Угоду створюємо на вимогу, хоч би що казали правила."),
    ("internal_error", "Внутрішня помилка leadfold: повідомте розробників, деталі в журналі."),
    ("lead_unreadable", "Лід збережено іншою версією leadfold, і ця його не прочитає."),
    ("let_go", "Було затримано в режимі спостереження, потім відправлено."),
    ("look_up_rejected", "CRM відмовила в пошуку: не відомо, чи записано."),
    ("mapping_error", "Мапінг не впорався з цим запитом: виправте його і сплануйте лід заново."),
    ("mapping_unreadable", "Мапінг, за яким зроблено лід, не читається."),
    ("needs_chat", "Немає чату: лід збережено, він піде разом із першим, де той буде."),
    ("needs_email", "Немає пошти: лід збережено, він піде разом із першим, де вона буде."),
    ("needs_name", "Немає імені: лід збережено, він піде разом із першим, де воно буде."),
    ("needs_phone", "Немає телефону: лід збережено, він піде разом із першим, де той буде."),
    (
        "needs_phone_or_email",
        "Немає ні телефону, ні пошти: лід збережено, він піде разом із першим, де щось із них буде.",
    ),
    ("never_confirmed", "CRM так і не підтвердила запис: гляньте в CRM, чи він є."),
    ("no_branch", "Жодна гілка мапінгу не бере цю подію."),
    ("no_call", "Викликати нічого."),
    ("no_click_id", "У постбеку немає ідентифікатора кліку."),
    ("no_contact_found", "Цієї людини в CRM ще немає."),
    ("no_deals_here", "У цій CRM немає угод: текст угоди стане приміткою."),
    ("no_event", "У постбеку немає назви події."),
    ("no_live_chat", "Немає чату, куди бот міг би написати."),
    ("no_open_deal", "У контакту немає відкритої угоди."),
    ("no_owner_pool", "Пул відповідальних не задано або його немає."),
    ("no_recipient", "Отримувач порожній: нікого не викликаємо."),
    ("no_such_click", "Ніхто не прийшов із таким ідентифікатором кліку."),
    ("no_tasks_here", "У цій CRM немає завдань: про повторне звернення скаже примітка."),
    ("no_updates_here", "Лід відрізняється від CRM, але ця CRM не дає змінити запис."),
    ("nobody_available", "Зараз немає кому віддати лід: чекаємо робочого часу."),
    ("not_counted", "Хтось позначив цей постбек як повтор."),
    ("not_sent", "Запит не відправлено: спробуємо ще раз."),
    ("not_sent_there", "Сьогоднішній мапінг більше не надсилає цей лід сюди."),
    ("note_added", "Лід приносить примітку."),
    ("note_in_task", "Ця CRM не приймає приміток: текст стоїть у завданні."),
    ("note_not_written", "Ця CRM не приймає приміток: текст лишається тут, при ліді."),
    ("nothing_differs", "У CRM уже є все, що каже лід."),
    ("nothing_to_update", "Людини в CRM немає, а правила дозволяють лише оновлювати (create_deal: never)."),
    ("observed", "Лише спостерігаємо: план готовий, у CRM нічого не записано."),
    ("open_deal", "У контакту є відкрита угода."),
    ("open_deal_on_other_contact", "Відкрита угода є на іншому контакті тієї ж людини."),
    ("other_campaign", "Постбек з іншої кампанії."),
    ("own_link", "Людина перейшла за власним посиланням: це той самий користувач сайту."),
    ("owner_fallback", "У пулі нікого немає: відповідальний — запасний."),
    ("owner_inactive", "Відповідальний у CRM неактивний і нового не отримує."),
    ("owner_kept", "Відповідального вже обрано раніше: черга не зсувається."),
    ("owner_of_contact", "Відповідальний — той, хто веде контакт."),
    ("owner_outside_hours", "Неробочий час: відповідального обрано за чергою."),
    ("owner_picked", "Відповідального обрано за чергою з пулу."),
    ("phone_and_email_disagree", "Телефон і пошта вказують на різні контакти."),
    ("phone_rejected", "Телефон непридатний, і мапінг такі ліди відхиляє."),
    (
        "pin_not_said",
        "Виклик бота не передає PIN як є: запишіть у мапінгу {{ pin }} без фільтра, і хай відвідувач попросить інший.",
    ),
    ("place_kept", "Угода лишається у своїй воронці та на своєму етапі."),
    ("record_of_another_person", "Запис у CRM належить іншій людині."),
    ("replayed", "Повторено на вимогу."),
    ("restored", "Базу відновлено з копії: перевіряємо, чи записано."),
    ("retry", "CRM тимчасово не приймає: спробуємо ще раз."),
    ("said_to_be_one", "Хтось сказав, що це одна людина."),
    ("search_rejected", "CRM відмовила в пошуку."),
    ("several_contacts", "Контактів кілька: взято один, решту варто об’єднати в CRM."),
    ("several_open_deals", "Відкритих угод кілька: взято найновішу."),
    ("skipped", "Було затримано в режимі спостереження і пропущено."),
    ("task_collapsed", "Людина повернулася невдовзі після попереднього завдання: другого не ставимо."),
    ("task_left", "Людина повернулася: ставимо завдання."),
    ("task_off", "Людина повернулася; за правилами завдання не ставимо."),
    ("too_many_waiting", "Забагато постбеків чекають на своїх людей."),
    ("twins_told", "Два контакти однієї людини: відповідального просимо їх об’єднати."),
    ("two_contacts", "У CRM два контакти однієї людини: об’єднайте їх там."),
    ("unauthorised", "CRM не приймає ключ доступу: перевірте його."),
    ("under_way", "CRM ще опрацьовує запит."),
    ("unknown_outcome", "CRM не відповіла: перевіримо, чи записано."),
    ("update_kept", "Лід відрізняється від CRM лише там, де правила бережуть дані CRM."),
    ("update_off", "Лід відрізняється від CRM, а правила не змінюють записів (update: none)."),
    ("updated", "Лід змінює дані в CRM."),
    ("written_twice", "Записано двічі: приберіть зайве в CRM."),
];

/// A reason, in a sentence.
pub(super) fn sentence(reader: &Reader, reason: &Value) -> String {
    let text = reason.get("text").and_then(Value::as_str).unwrap_or_default();
    match reader.language {
        Language::English => text.to_owned(),
        Language::Ukrainian => told::ukrainian(reader, text)
            .map(|told| told.text())
            .or_else(|| ukrainian(reason).map(str::to_owned))
            .unwrap_or_else(|| text.to_owned()),
    }
}

fn ukrainian(reason: &Value) -> Option<&'static str> {
    const ANY_OF_SEVERAL: &str =
        "Немає жодного з потрібного: лід збережено, він піде разом із першим, де щось із цього буде.";
    let code = reason.get("code")?.as_str()?;
    let known = UKRAINIAN.iter().find(|(known, _)| *known == code).map(|(_, sentence)| *sentence);
    known.or_else(|| code.starts_with("needs_").then_some(ANY_OF_SEVERAL))
}

/// The same where there is room: with what others said in it.
pub(super) fn whole(reader: &Reader, reason: &Value) -> Markup {
    let text = reason.get("text").and_then(Value::as_str).unwrap_or_default();
    let code = reason.get("code").and_then(Value::as_str).unwrap_or_default();
    if reader.language == Language::Ukrainian {
        if let Some(told) = told::ukrainian(reader, text) {
            return told.markup(reader);
        }
        if let Some(sentence) = ukrainian(reason).filter(|_| HOLDS_MORE.contains(&code)) {
            return html! { (sentence) " " (marked(reader, text)) };
        }
    }
    marked(reader, &sentence(reader, reason))
}

/// A sentence of ours that is kept in English.
pub(super) fn kept(reader: &Reader, text: &str) -> Markup {
    match reader.language {
        Language::English => html! { (text) },
        Language::Ukrainian => match told::ukrainian(reader, text) {
            Some(told) => told.markup(reader),
            None => marked(reader, text),
        },
    }
}

/// The first words of the same, for a row.
pub(super) fn kept_in_few_words(reader: &Reader, text: &str) -> Markup {
    let told = match reader.language {
        Language::English => None,
        Language::Ukrainian => told::ukrainian(reader, text).map(|told| told.text()),
    };
    marked(reader, &few_words(told.as_deref().unwrap_or(text)))
}

/// A text that may be English, on a page that may be Ukrainian.
pub(super) fn marked(reader: &Reader, text: &str) -> Markup {
    let is_ours = |letter: char| matches!(letter, '\u{400}'..='\u{52f}');
    if reader.language == Language::English || text.is_empty() || text.chars().any(is_ours) {
        return html! { (text) };
    }
    html! { span lang="en" { (text) } }
}

/// The first words of a sentence, for a row.
pub(super) fn few_words(text: &str) -> String {
    const LETTERS: usize = 120;
    let mut few: String = text.chars().take(LETTERS).collect();
    if few.len() < text.len() {
        few.push('…');
    }
    few
}

/// Where a lead or its sync stands, and how much that is worth a look.
pub(super) fn state(reader: &Reader, state: &str) -> (String, &'static str) {
    let (words, class) = match state {
        "needs-attention" => (reader.say("needs attention", "потребує уваги"), "bad"),
        "ready" => (reader.say("in the queue", "у черзі"), "wait"),
        "pushing" => (reader.say("on its way", "передається"), "wait"),
        "unknown" => (reader.say("being checked", "перевіряється"), "wait"),
        "waiting" => (reader.say("waiting", "чекає"), "wait"),
        "held" => (reader.say("held", "затримано"), "wait"),
        "synced" | "done" => (reader.say("done", "готово"), "good"),
        "filtered" => (reader.say("filtered", "відсіяно"), "plain"),
        "mapped" => (reader.say("mapped", "зіставлено"), "plain"),
        // Of steps.
        "planned" => (reader.say("not sent yet", "ще не надіслано"), "plain"),
        "sent" => (reader.say("sent, no answer yet", "надіслано, відповіді ще немає"), "wait"),
        "rejected" => (reader.say("refused", "відмовлено"), "bad"),
        // Of deliveries.
        "received" => (reader.say("not read yet", "ще не прочитано"), "wait"),
        "prepared" => (reader.say("read", "прочитано"), "good"),
        "unreadable" => (reader.say("unreadable", "не читається"), "bad"),
        "refused" => (reader.say("refused", "відхилено"), "plain"),
        other => return (other.to_owned(), "plain"),
    };
    (words.to_owned(), class)
}

/// The same as a badge.
pub(super) fn badge(reader: &Reader, of: &str) -> Markup {
    let (words, class) = state(reader, of);
    html! { span.badge.(class) { (words) } }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::console::sources::sources;

    #[test]
    fn sentences_are_whole_and_stand_once_in_order() {
        for pair in UKRAINIAN.windows(2) {
            assert!(pair[0].0 < pair[1].0, "{} before {}", pair[0].0, pair[1].0);
        }
        for (code, sentence) in UKRAINIAN {
            assert!(
                sentence.ends_with('.') && sentence.chars().next().is_some_and(char::is_uppercase),
                "{code}"
            );
        }
    }

    #[test]
    fn a_reason_without_a_sentence_is_told_as_it_is_stored() {
        let ukrainian = Reader { language: Language::Ukrainian, ..Reader::for_tests() };
        let check = |reader: &Reader, code: &str, expect: &str| {
            let reason = json!({ "code": code, "text": "Contact 7 has <b>no</b> open deal." });
            assert_eq!(sentence(reader, &reason), expect, "{code}");
            assert!(!whole(reader, &reason).into_string().contains("<b>"));
        };
        check(&ukrainian, "no_open_deal", "У контакту немає відкритої угоди.");
        check(
            &ukrainian,
            "needs_name_or_chat",
            "Немає жодного з потрібного: лід збережено, він піде разом із першим, де щось із цього буде.",
        );
        check(&ukrainian, "of_a_later_version", "Contact 7 has <b>no</b> open deal.");
        check(&Reader::for_tests(), "no_open_deal", "Contact 7 has <b>no</b> open deal.");
    }

    #[test]
    fn what_others_said_stays_as_they_said_it() {
        let ukrainian = Reader { language: Language::Ukrainian, ..Reader::for_tests() };
        let check = |code: &str, text: &str, expect: &str| {
            assert_eq!(
                whole(&ukrainian, &json!({ "code": code, "text": text })).into_string(),
                expect,
                "{code}"
            );
        };
        check(
            "crm_rejected",
            "'crm': stage 7 is gone",
            "CRM не прийняла дані: виправте їх і повторіть. <span lang=\"en\">'crm': stage 7 is gone</span>",
        );
        check("no_open_deal", "Contact 7 has no open deal.", "У контакту 7 немає відкритої угоди.");
        check("task_off", "Whatever English says.", "Людина повернулася; за правилами завдання не ставимо.");
        check("of_a_later_version", "So <it> is.", "<span lang=\"en\">So &lt;it&gt; is.</span>");
        assert_eq!(kept(&ukrainian, "at most 10 calls in 1s").into_string(), "щонайбільше 10 запитів за 1 с");
    }

    /// The core says why in many places; each word has its sentence.
    #[test]
    fn every_reason_of_the_core_has_its_sentence() {
        const STAGES: &[&str] = &["decide", "pipeline", "prepare", "store", "sync"];
        let is_test = |path: &Path| path.iter().any(|part| part == "tests" || part == "tests.rs");
        let (mut missing, mut seen) = (Vec::new(), 0);
        for (path, text) in sources(STAGES).iter().filter(|(path, _)| !is_test(path)) {
            let code = text.split("#[cfg(test)]").next().unwrap();
            for after in code.split("Reason::new(").skip(1).chain(code.split(".say(").skip(1)) {
                let Some(rest) = after.trim_start().strip_prefix('"') else { continue };
                let word = rest.split('"').next().unwrap();
                seen += 1;
                if ukrainian(&json!({ "code": word })).is_none() {
                    missing.push(format!("{word} in {}", path.display()));
                }
            }
        }
        assert!(seen > 50, "only {seen} reasons were found");
        assert!(missing.is_empty(), "no sentence in Ukrainian for {missing:#?}");
    }
}
