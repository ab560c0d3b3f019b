//! Why a value cannot be used, in Ukrainian: by the words of `crate::normalise`.

use serde_json::Value;

use crate::console::guard::Reader;

/// Word and sentence.
const FLAWS: &[(&str, &str)] = &[
    ("domain", "Після @ стоїть не доменне ім’я."),
    ("empty", "Значення порожнє."),
    ("invalid", "У жодному з планів нумерації такого номера немає."),
    ("letters_in_number", "Поряд із цифрами стоять літери: можливо, це описка (O замість 0, l замість 1)."),
    ("local_part", "Перед @ стоїть те, чого в адресі скриньки бути не може."),
    ("masked", "Частину значення приховано або не заповнено, тож воно нікого не називає."),
    ("mixed_script", "В адресі змішано схожі літери різних абеток: перепитайте її."),
    ("no_address", "У тексті немає адреси пошти."),
    ("no_number", "У тексті немає номера телефону."),
    ("no_region", "У номері немає коду країни, а країну не задано: додайте regions у мапінг."),
    ("no_value", "Це слово, яким платформа позначає порожнє поле."),
    ("not_a_phone", "Це адреса або інший ідентифікатор, а не номер телефону."),
    ("placeholder", "Це відома заглушка, вона нікого не називає."),
    ("premium_rate", "Це платний номер: за ним послуга, а не людина."),
    ("repeated_digits", "Номер повторює одну або дві цифри, як заглушка."),
    (
        "scientific_notation",
        "Таблиця записала число через степінь і втратила останні цифри: експортуйте стовпець як текст.",
    ),
    ("sequence", "Цифри номера йдуть підряд, як у заглушці."),
    ("several_addresses", "У тексті кілька адрес пошти, і неясно, яка потрібна."),
    ("several_numbers", "У тексті кілька номерів телефону, і неясно, який потрібен."),
    ("short_code", "Це короткий номер або частина номера: він нікого не називає."),
    ("template", "Це шаблон, який платформа не заповнила: перевірте там назву змінної."),
    ("text_too_long", "Текст набагато довший за таке значення: перевірте, яке поле взято в мапінгу."),
    ("too_long", "Значення задовге."),
    ("too_short", "У номері замало цифр: можливо, бракує коду міста чи оператора."),
    ("trailing_zeros", "Номер закінчується на шість або більше нулів, як заглушка."),
    ("unknown_country_code", "Країни з таким телефонним кодом немає."),
    ("voicemail", "Це номер голосової пошти: за ним послуга, а не людина."),
];

/// What is wrong with a value, in the reader's language where we have it.
pub(in crate::console) fn flaw(reader: &Reader, flaw: &Value) -> String {
    let of = |name: &str| flaw.get(name).and_then(Value::as_str).unwrap_or_default();
    let known = FLAWS.iter().find(|(code, _)| *code == of("code"));
    known.map_or_else(|| of("text").to_owned(), |(_, sentence)| reader.say(of("text"), sentence).to_owned())
}

/// The part of a lead that it is in.
pub(in crate::console) fn field(reader: &Reader, field: &str) -> String {
    match field {
        "phone" => reader.say("phone", "телефон").to_owned(),
        "email" => reader.say("email", "пошта").to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flaw_has_its_sentence() {
        let source = include_str!("../../normalise/reason.rs");
        let (_, all) = source.split_once("reasons! {").unwrap();
        let codes: Vec<&str> = all.lines().filter_map(|line| line.split('"').nth(1)).collect();
        assert!(codes.len() > 20, "{codes:?}");
        for code in codes {
            assert!(FLAWS.iter().any(|(known, _)| *known == code), "'{code}' has no sentence in Ukrainian");
        }
        assert!(FLAWS.windows(2).all(|pair| pair[0].0 < pair[1].0), "in order, and none twice");
    }
}
