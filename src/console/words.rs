//! What a page says, in the reader's language: words, numbers, dates.
//!
//! The two languages stand side by side where they are used. A catalogue of keys would let one of them be forgotten, and a
//! third language is not in sight. Plural forms are those of CLDR (English: one, other; Ukrainian: one, few, many), dates and
//! numbers as its short patterns write them.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::guard::Reader;
use crate::resolve::Language;

const MONTHS: [(&str, &str); 12] = [
    ("Jan", "січ."),
    ("Feb", "лют."),
    ("Mar", "бер."),
    ("Apr", "квіт."),
    ("May", "трав."),
    ("Jun", "черв."),
    ("Jul", "лип."),
    ("Aug", "серп."),
    ("Sep", "вер."),
    ("Oct", "жовт."),
    ("Nov", "лист."),
    ("Dec", "груд."),
];

impl Reader {
    /// The one in the reader's language.
    pub(super) fn say<T>(&self, english: T, ukrainian: T) -> T {
        match self.language {
            Language::English => english,
            Language::Ukrainian => ukrainian,
        }
    }

    /// A number with its noun: English one and other, Ukrainian one, few and many.
    pub(super) fn count(&self, number: i64, english: [&str; 2], ukrainian: [&str; 3]) -> String {
        let [one, other] = english;
        let [single, few, many] = ukrainian;
        let noun = match self.language {
            Language::English => {
                if number == 1 {
                    one
                } else {
                    other
                }
            }
            Language::Ukrainian => match (number % 10, number % 100) {
                (1, tens) if tens != 11 => single,
                (2..=4, tens) if !(12..=14).contains(&tens) => few,
                _ => many,
            },
        };
        format!("{}\u{a0}{noun}", self.number(number))
    }

    /// A number with its thousands apart.
    pub(super) fn number(&self, number: i64) -> String {
        let digits = number.unsigned_abs().to_string();
        let mut text = String::from(if number < 0 { "−" } else { "" });
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                text.push(self.say(',', '\u{a0}'));
            }
            text.push(digit);
        }
        text
    }

    /// Day and time, to the minute.
    pub(super) fn moment(&self, at: Timestamp) -> String {
        let at = at.to_zoned(self.zone.clone());
        format!("{}, {:02}:{:02}", self.day_of(&at), at.hour(), at.minute())
    }

    /// The day alone.
    pub(super) fn day(&self, at: Timestamp) -> String {
        self.day_of(&at.to_zoned(self.zone.clone()))
    }

    fn day_of(&self, at: &jiff::Zoned) -> String {
        let month = usize::from(at.month().unsigned_abs()).saturating_sub(1);
        let (english, ukrainian) = MONTHS.get(month).copied().unwrap_or_default();
        format!("{}\u{a0}{}\u{a0}{}", at.day(), self.say(english, ukrainian), at.year())
    }

    /// How long something takes, in the largest unit that says it.
    pub(super) fn span(&self, span: SignedDuration) -> String {
        let seconds = span.as_secs();
        match seconds {
            ..1 => format!(
                "{}\u{a0}{}",
                self.number(span.as_millis().try_into().unwrap_or(0)),
                self.say("ms", "мс")
            ),
            1..120 => format!("{seconds}\u{a0}{}", self.say("s", "с")),
            120..7_200 => format!("{}\u{a0}{}", seconds / 60, self.say("min", "хв")),
            7_200..172_800 => format!("{}\u{a0}{}", seconds / 3_600, self.say("h", "год")),
            _ => self.count(seconds / 86_400, ["day", "days"], ["день", "дні", "днів"]),
        }
    }

    /// What the reader's times are told in, such as `Europe/Kyiv`.
    pub(super) fn zone_name(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }
}

/// The zone of this IANA name, or UTC. Chromium still says Kiev, which IANA renamed in 2022; readers see the name.
pub(super) fn zone(name: Option<&str>) -> TimeZone {
    let name = name.map(|name| if name == "Europe/Kiev" { "Europe/Kyiv" } else { name });
    name.and_then(|name| TimeZone::get(name).ok()).unwrap_or(TimeZone::UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(language: Language, name: &str) -> Reader {
        Reader { language, zone: zone(Some(name)), ..Reader::for_tests() }
    }

    #[test]
    fn numbers_take_their_noun() {
        let (english, ukrainian) = (reader(Language::English, "UTC"), reader(Language::Ukrainian, "UTC"));
        let check = |number: i64, in_english: &str, in_ukrainian: &str| {
            let nouns = (["lead", "leads"], ["лід", "ліди", "лідів"]);
            assert_eq!(english.count(number, nouns.0, nouns.1).replace('\u{a0}', " "), in_english);
            assert_eq!(ukrainian.count(number, nouns.0, nouns.1).replace('\u{a0}', " "), in_ukrainian);
        };
        check(0, "0 leads", "0 лідів");
        check(1, "1 lead", "1 лід");
        check(2, "2 leads", "2 ліди");
        check(5, "5 leads", "5 лідів");
        check(11, "11 leads", "11 лідів");
        check(12, "12 leads", "12 лідів");
        check(21, "21 leads", "21 лід");
        check(24, "24 leads", "24 ліди");
        check(111, "111 leads", "111 лідів");
        check(1_234_567, "1,234,567 leads", "1 234 567 лідів");
    }

    #[test]
    fn dates_are_those_of_the_readers_place() {
        let at: Timestamp = "2026-11-22T22:30:00Z".parse().unwrap();
        let plain = |text: String| text.replace('\u{a0}', " ");
        assert_eq!(plain(reader(Language::English, "UTC").moment(at)), "22 Nov 2026, 22:30");
        assert_eq!(plain(reader(Language::Ukrainian, "Europe/Kyiv").moment(at)), "23 лист. 2026, 00:30");
        assert_eq!(plain(reader(Language::English, "Nowhere/At_all").day(at)), "22 Nov 2026");
    }

    #[test]
    fn places_are_called_what_they_are_called() {
        let check = |name: Option<&str>, expect: &str| {
            assert_eq!(Reader { zone: zone(name), ..Reader::for_tests() }.zone_name(), expect);
        };
        check(Some("Europe/Kiev"), "Europe/Kyiv");
        check(Some("Europe/Kyiv"), "Europe/Kyiv");
        check(Some("Asia/Tokyo"), "Asia/Tokyo");
        check(Some("../etc/passwd"), "UTC");
        check(None, "UTC");
    }

    #[test]
    fn spans_are_told_in_one_unit() {
        let reader = reader(Language::English, "UTC");
        let check = |seconds: i64, expect: &str| {
            assert_eq!(reader.span(SignedDuration::from_secs(seconds)).replace('\u{a0}', " "), expect);
        };
        check(0, "0 ms");
        check(90, "90 s");
        check(3_600, "60 min");
        check(86_400, "24 h");
        check(259_200, "3 days");
    }
}
