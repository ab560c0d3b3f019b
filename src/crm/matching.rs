//! The exact re-check of what a CRM's search gave. Every search of a CRM compares texts in its own way, so a hit is only
//! a candidate until our own comparison agrees.

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
