//! Why a value cannot be used, in Ukrainian: by the sentences of `crate::normalise`.

use super::told::Shape;
use crate::console::guard::Reader;

pub(super) const SHAPES: &[Shape] = &[
    ("The value is empty.", "Значення порожнє."),
    (
        "The text stands for \"no value\"; the platform sent its own word for an empty field.",
        "Це слово, яким платформа позначає порожнє поле.",
    ),
    (
        "The text is a template that the platform did not fill in; check the variable's name there.",
        "Це шаблон, який платформа не заповнила: перевірте там назву змінної.",
    ),
    (
        "Part of the value is hidden or was never filled in, so it names nobody.",
        "Частину значення приховано або не заповнено, тож воно нікого не називає.",
    ),
    (
        "The text is far longer than any such value; check which field is mapped.",
        "Текст набагато довший за таке значення: перевірте, яке поле взято в мапінгу.",
    ),
    (
        "A spreadsheet turned the number into scientific notation and lost its last digits; export the column as text.",
        "Таблиця записала число через степінь і втратила останні цифри: експортуйте стовпець як текст.",
    ),
    ("There is no phone number in the text.", "У тексті немає номера телефону."),
    (
        "The text is an address or an account id of another kind, not a phone number.",
        "Це адреса або інший ідентифікатор, а не номер телефону.",
    ),
    (
        "The text holds more than one phone number, and nothing says which is meant.",
        "У тексті кілька номерів телефону, і неясно, який потрібен.",
    ),
    (
        "Letters touch the digits, so a digit may be mistyped (O for 0, l for 1).",
        "Поряд із цифрами стоять літери: можливо, це описка (O замість 0, l замість 1).",
    ),
    (
        "This is a short code or a part of a number; it identifies nobody.",
        "Це короткий номер або частина номера: він нікого не називає.",
    ),
    (
        "The number has too few digits; its area or operator code may be missing.",
        "У номері замало цифр: можливо, бракує коду міста чи оператора.",
    ),
    ("The number has too many digits.", "У номері забагато цифр."),
    (
        "The address is longer than 254 characters, which no mailbox has.",
        "Адреса довша за 254 знаки: таких скриньок не буває.",
    ),
    (
        "The number names no country and no region is set; add `regions` to the mapping.",
        "У номері немає коду країни, а країну не задано: додайте `regions` у мапінг.",
    ),
    ("No country has this calling code.", "Країни з таким телефонним кодом немає."),
    (
        "No numbering plan that applies has such a number.",
        "У жодному з планів нумерації такого номера немає.",
    ),
    (
        "This is a premium-rate number; it is a service, not a person.",
        "Це платний номер: за ним послуга, а не людина.",
    ),
    (
        "This is a voicemail access number; it is a service, not a person.",
        "Це номер голосової пошти: за ним послуга, а не людина.",
    ),
    (
        "The number repeats one or two digits, as placeholders do.",
        "Номер повторює одну або дві цифри, як заглушка.",
    ),
    ("The number counts up or down, as placeholders do.", "Цифри номера йдуть підряд, як у заглушці."),
    (
        "The number ends in six or more zeros, as placeholders do.",
        "Номер закінчується на шість або більше нулів, як заглушка.",
    ),
    (
        "This is a well-known placeholder; it identifies nobody.",
        "Це відома заглушка, вона нікого не називає.",
    ),
    ("There is no email address in the text.", "У тексті немає адреси пошти."),
    (
        "The text holds more than one email address, and nothing says which is meant.",
        "У тексті кілька адрес пошти, і неясно, яка потрібна.",
    ),
    (
        "The part before the @ is not one that a mailbox can have.",
        "Перед @ стоїть те, чого в адресі скриньки бути не може.",
    ),
    ("The part after the @ is not a domain name.", "Після @ стоїть не доменне ім’я."),
    (
        "The address mixes letters of different alphabets that look alike; ask for it again.",
        "В адресі змішано схожі літери різних абеток: перепитайте її.",
    ),
];

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
        let texts: Vec<String> = all
            .lines()
            .filter_map(|line| Some(line.splitn(4, '"').nth(3)?.trim_end_matches(';')))
            .map(|text| text.trim().trim_matches('"').replace("\\\"", "\""))
            .collect();
        assert!(texts.len() > 20, "{texts:?}");
        for text in texts {
            assert!(SHAPES.iter().any(|(known, _)| *known == text), "'{text}' has no sentence in Ukrainian");
        }
    }
}
