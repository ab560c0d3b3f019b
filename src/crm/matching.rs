//! The exact re-check of what a CRM's search gave. Every search of a CRM compares texts in its own way, so a hit is only
//! a candidate until our own comparison agrees.

use crate::lead::Confidence;
use crate::normalise;

/// Whether a phone as a CRM writes it is this E.164 phone.
///
/// No country is assumed: a number without one is only taken for equal when it has the very same digits.
pub fn same_phone(written: &str, e164: &str) -> bool {
    if let (Ok(written), Ok(sought)) = (normalise::phone(written, &[]), normalise::phone(e164, &[])) {
        return written.e164 == sought.e164
            || written.match_keys.iter().any(|key| sought.match_keys.contains(key));
    }
    let sought = digits(e164);
    !sought.is_empty() && digits(written) == sought
}

/// Whether a phone that a CRM could not read itself, because it was typed without a country, is this E.164 phone.
/// `country` is the contact's own (ISO 3166-1 alpha-2), where the CRM knows it.
///
/// Without one it is read as a number of the country of `e164`, and only when it is written in full: with the trunk
/// prefix that the country dials. Bare digits such as `671234567` may be another country's number.
pub fn same_local_phone(written: &str, e164: &str, country: Option<&str>) -> bool {
    let parts = written.split([',', ';', '\n']);
    std::iter::once(written).chain(parts).any(|part| is_local(part, e164, country))
}

fn is_local(written: &str, e164: &str, country: Option<&str>) -> bool {
    let Ok(sought) = normalise::phone(e164, &[]) else { return false };
    let regions: Vec<String> = country.map(str::to_owned).into_iter().chain(sought.region.clone()).collect();
    let Ok(read) = normalise::phone(written, &regions) else { return false };
    if read.e164 != sought.e164 || read.confidence == Confidence::Ambiguous {
        return false;
    }
    let at_home = country.is_some_and(|country| Some(country) == sought.region.as_deref());
    let written = digits(written);
    at_home
        || written.contains(&digits(e164))
        || normalise::national(e164).is_some_and(|national| written.contains(&national.dialled))
}

/// Whether an email as a CRM writes it is this mailbox.
pub fn same_email(written: &str, sought: &str) -> bool {
    if let (Ok(written), Ok(sought)) = (normalise::email(written), normalise::email(sought)) {
        return written.address == sought.address
            || (written.match_key.is_some() && written.match_key == sought.match_key);
    }
    let sought = sought.trim().to_lowercase();
    !sought.is_empty() && written.trim().to_lowercase() == sought
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phones() {
        let check = |written: &str, expect: bool| {
            assert_eq!(same_phone(written, "+380671234567"), expect, "{written}");
        };
        check("+380671234567", true);
        check("380671234567", true);
        check("+38 (067) 123-45-67", true);
        check("0671234567", false);
        check("+380671234568", false);
        check("", false);
        check("no phone", false);
        assert!(!same_phone("", ""));
    }

    #[test]
    fn phones_without_a_country() {
        let check = |written: &str, country: Option<&str>, expect: bool| {
            assert_eq!(
                same_local_phone(written, "+380671234567", country),
                expect,
                "{written} in {country:?}"
            );
        };
        for country in [None, Some("UA")] {
            check("067 123-45-67", country, true);
            check("(067)1234567", country, true);
            check("тел. 067\u{a0}123\u{a0}45\u{a0}67", country, true);
            check("8 067 123 45 67", country, true);
            check("38 067 123 45 67", country, true);
            check("044 200 00 00, 067 123 45 67", country, true);
            check("067 123 45 68", country, false);
            check("1067 123 45 67", country, false);
            check("", country, false);
        }
        check("671234567", None, false);
        check("671234567", Some("UA"), true);
        check("67 123 45 67", Some("PL"), false);
        // A country without a trunk prefix writes the bare digits.
        assert!(same_local_phone("671 234 567", "+48671234567", None));
    }

    #[test]
    fn emails() {
        let check = |written: &str, expect: bool| {
            assert_eq!(same_email(written, "olena@example.com"), expect, "{written}");
        };
        check("olena@example.com", true);
        check(" Olena@Example.COM ", true);
        check("olena@example.org", false);
        check("", false);
        assert!(!same_email("", ""));
    }
}
