//! Further keys under which the same line is known, in the three countries where one line has two spellings.

/// Every match key of a number: the number itself first, then its other spellings, each with the extension, so
/// that a desk behind a switchboard never joins the switchboard.
///
/// Keys after the first are spellings that no numbering plan accepts today, with one exception: Argentina's form
/// without the 9, which is a valid land line. It cannot be another person's, since blocks of numbers there are given
/// to either service as a whole.
pub(super) fn of(e164: &str, extension: Option<&str>) -> Vec<String> {
    let mut keys = vec![e164.to_owned()];
    keys.extend(other_spelling(e164));
    if let Some(extension) = extension {
        for key in &mut keys {
            key.push_str(";ext=");
            key.push_str(extension);
        }
    }
    keys
}

fn other_spelling(e164: &str) -> Option<String> {
    let national = |code: &str, length: usize| e164.strip_prefix(code).filter(|rest| rest.len() == length);
    // Brazil put a 9 before its mobile numbers; WhatsApp keeps the ids that it gave before.
    if let Some(rest) = national("+55", 11) {
        let (area, line) = rest.split_at_checked(2)?;
        let old = line.strip_prefix('9').filter(|old| old.starts_with(['6', '7', '8', '9']))?;
        return Some(format!("+55{area}{old}"));
    }
    // Mexico dropped the 1 between country code and mobile numbers in 2019; WhatsApp keeps it.
    if let Some(rest) = national("+52", 10) {
        return Some(format!("+521{rest}"));
    }
    // Argentina's mobiles have a 9 after the country code for callers from abroad only.
    if let Some(rest) = national("+549", 10) {
        return Some(format!("+54{rest}"));
    }
    national("+54", 10).map(|rest| format!("+549{rest}"))
}

/// The number that digits after the plus mean in today's plan, when they are an older spelling of a Brazilian or
/// Mexican mobile; `None` when they are not.
pub(super) fn modernise(digits: &str) -> Option<String> {
    if let Some(rest) = digits.strip_prefix("52") {
        let line = ["1", "044", "045", "01"]
            .iter()
            .find_map(|old| rest.strip_prefix(old).filter(|line| line.len() == 10))?;
        return Some(format!("52{line}"));
    }
    let rest = digits.strip_prefix("55").filter(|rest| rest.len() == 10)?;
    let (area, line) = rest.split_at_checked(2)?;
    line.starts_with(['6', '7', '8', '9']).then(|| format!("55{area}9{line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_has_the_keys_of_all_its_spellings() {
        let check = |e164: &str, expect: &[&str]| assert_eq!(of(e164, None), expect, "{e164}");
        check("+380671234567", &["+380671234567"]);
        check("+5531987654321", &["+5531987654321", "+553187654321"]);
        check("+5511900000001", &["+5511900000001"]);
        check("+553132345678", &["+553132345678"]);
        check("+525512345678", &["+525512345678", "+5215512345678"]);
        check("+5491123456789", &["+5491123456789", "+541123456789"]);
        check("+541123456789", &["+541123456789", "+5491123456789"]);
    }

    #[test]
    fn an_extension_is_part_of_every_key() {
        assert_eq!(of("+525512345678", Some("12")), ["+525512345678;ext=12", "+5215512345678;ext=12"]);
    }

    #[test]
    fn old_spellings_become_new_ones_and_nothing_else_does() {
        let check = |old: &str, new: Option<&str>| assert_eq!(modernise(old).as_deref(), new, "{old}");
        check("5215512345678", Some("525512345678"));
        check("520445512345678", Some("525512345678"));
        check("520455512345678", Some("525512345678"));
        check("525512345678", None);
        check("553187654321", Some("5531987654321"));
        check("553132345678", None);
        check("5531987654321", None);
        check("380671234567", None);
        check("55", None);
    }
}
