//! States and reasons in words.
//!
//! A reason is stored as its word and an English sentence with everything that it is about. In Ukrainian the word has a
//! sentence here; what the English one names beside it is shown below it where there is room.

use maud::{Markup, html};
use serde_json::Value;

use super::guard::Reader;
use crate::resolve::Language;

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
    ("erased", "Усі особисті дані видалено."),
    ("forced", "Угоду створюємо на вимогу, хоч би що казали правила."),
    ("internal_error", "Внутрішня помилка leadfold: повідомте розробників, деталі в журналі."),
    ("lead_unreadable", "Лід збережено іншою версією leadfold, і ця його не прочитає."),
    ("let_go", "Було затримано в режимі спостереження, потім відправлено."),
    ("look_up_rejected", "CRM відмовила в пошуку: не відомо, чи записано."),
    ("mapping_error", "Мапінг не впорався з цим запитом: виправте його і сплануйте лід заново."),
    ("mapping_unreadable", "Мапінг, за яким зроблено лід, не читається."),
    ("needs_email", "Немає пошти: лід збережено, він піде разом із першим, де вона буде."),
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
    ("not_sent_there", "Поточний мапінг більше не надсилає цей лід сюди."),
    ("note_added", "Лід приносить примітку."),
    ("note_in_task", "Ця CRM не приймає приміток: текст стоїть у завданні."),
    ("note_not_written", "Ця CRM не приймає приміток: текст лишається тут, при ліді."),
    ("nothing_differs", "У CRM уже є все, що каже лід."),
    ("nothing_to_update", "Людини в CRM немає, а правила дозволяють лише оновлювати (create_deal: never)."),
    ("observed", "Лише спостерігаємо: план готовий, у CRM нічого не записано."),
    ("open_deal", "У контакту є відкрита угода."),
    ("open_deal_on_other_contact", "Відкрита угода є на іншому контакті тієї ж людини."),
    ("other_campaign", "Постбек з іншої кампанії."),
    ("owner_fallback", "У пулі нікого немає: відповідальний — запасний."),
    ("owner_inactive", "Відповідальний у CRM неактивний і нового не отримує."),
    ("owner_kept", "Відповідального вже обрано раніше: черга не зсувається."),
    ("owner_of_contact", "Відповідальний — той, хто веде контакт."),
    ("owner_outside_hours", "Неробочий час: відповідального обрано за чергою."),
    ("owner_picked", "Відповідального обрано за чергою з пулу."),
    ("phone_and_email_disagree", "Телефон і пошта вказують на різні контакти."),
    ("phone_rejected", "Телефон непридатний, і мапінг такі ліди відхиляє."),
    ("place_kept", "Угода лишається у своїй воронці та на своєму етапі."),
    ("record_of_another_person", "Запис у CRM належить іншій людині."),
    ("replayed", "Повторено на вимогу."),
    ("restored", "Базу відновлено з копії: перевіряємо, чи записано."),
    ("retry", "CRM тимчасово не приймає: спробуємо ще раз."),
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
    let text = || reason.get("text").and_then(Value::as_str).unwrap_or_default().to_owned();
    match reader.language {
        Language::English => text(),
        Language::Ukrainian => ukrainian(reason).map_or_else(text, str::to_owned),
    }
}

fn ukrainian(reason: &Value) -> Option<&'static str> {
    let code = reason.get("code")?.as_str()?;
    UKRAINIAN.iter().find(|(known, _)| *known == code).map(|(_, sentence)| *sentence)
}

/// The same where there is room: with what the stored sentence names, for who reads Ukrainian.
pub(super) fn whole(reader: &Reader, reason: &Value) -> Markup {
    let text = reason.get("text").and_then(Value::as_str).unwrap_or_default();
    match (reader.language, ukrainian(reason)) {
        (Language::Ukrainian, Some(sentence)) => {
            html! { (sentence) " " span.faint lang="en" { (text) } }
        }
        (Language::Ukrainian, None) => html! { span lang="en" { (text) } },
        (Language::English, _) => html! { (text) },
    }
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
    use serde_json::json;

    use super::*;

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
        check(&ukrainian, "of_a_later_version", "Contact 7 has <b>no</b> open deal.");
        check(&Reader::for_tests(), "no_open_deal", "Contact 7 has <b>no</b> open deal.");
    }
}
