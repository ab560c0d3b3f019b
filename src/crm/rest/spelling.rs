//! The spellings in which a CRM may keep a phone. A search that compares texts finds only its own.

use crate::crm::matching;
use crate::normalise;

/// One way to write a phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// `+380671234567`
    International,
    /// `380671234567`
    Digits,
    /// `0671234567`
    National,
    /// `671234567`
    Short,
}

impl Spelling {
    /// An E.164 phone in this spelling; `None` where the number has none.
    pub(super) fn of(self, e164: &str) -> Option<String> {
        match self {
            Self::International => Some(e164.to_owned()),
            Self::Digits => Some(digits(e164)),
            Self::National => normalise::inside_country(e164).map(|(national, _)| national),
            Self::Short => normalise::inside_country(e164).map(|(_, short)| short),
        }
        .filter(|text| !text.is_empty())
    }

    /// Whether a phone as the CRM writes it is this E.164 phone. Whoever names a spelling without a country says that the
    /// CRM holds numbers of one country, so its digits alone decide.
    pub(super) fn is_same(self, written: &str, e164: &str) -> bool {
        matching::same_phone(written, e164)
            || self.of(e164).is_some_and(|spelled| digits(written) == digits(&spelled))
    }
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spells_as_people_write() {
        let check = |e164: &str, expect: [&str; 4]| {
            let all = [Spelling::International, Spelling::Digits, Spelling::National, Spelling::Short];
            assert_eq!(all.map(|spelling| spelling.of(e164).unwrap_or_default()), expect, "{e164}");
        };
        check("+380671234567", ["+380671234567", "380671234567", "0671234567", "671234567"]);
        check("+48512604873", ["+48512604873", "48512604873", "512604873", "512604873"]);
        check("+12025550143", ["+12025550143", "12025550143", "2025550143", "2025550143"]);
        check("+1", ["+1", "1", "", ""]);
        check("", ["", "", "", ""]);
    }

    #[test]
    fn a_hit_is_compared_exactly() {
        let check = |spelling: Spelling, written: &str, expect: bool| {
            assert_eq!(spelling.is_same(written, "+380671234567"), expect, "{spelling:?} {written}");
        };
        check(Spelling::International, "+38 (067) 123-45-67", true);
        check(Spelling::International, "067 123 45 67", false);
        check(Spelling::National, "067 123 45 67", true);
        check(Spelling::National, "671234567", false);
        check(Spelling::Short, "67-123-45-67", true);
        // What a search for "contains 671234567" also finds.
        check(Spelling::Short, "+48671234567", false);
        check(Spelling::Short, "16712345670", false);
        check(Spelling::Short, "", false);
    }
}
