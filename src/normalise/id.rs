//! Ids that platforms and shops give out. One value that stands for nothing would join everybody who has it.

use std::borrow::Cow;

use super::reason::{EMPTY, MASKED, PLACEHOLDER, Reason, TEXT_TOO_LONG};
use super::{clean, junk};

/// The longest that we met is `WhatsApp`'s business-scoped id, of 128 characters and a country.
const LONGEST: usize = 256;

/// See [`super::id()`].
pub(super) fn normalise(raw: &str) -> Result<String, Reason> {
    let hidden = |c: char| clean::is_invisible(c) || c.is_control();
    let seen = if raw.contains(hidden) { Cow::Owned(raw.replace(hidden, "")) } else { Cow::Borrowed(raw) };
    let id = seen.trim();
    if id.is_empty() {
        return Err(EMPTY);
    }
    if id.len() > LONGEST {
        return Err(TEXT_TOO_LONG);
    }
    if let Some(reason) = junk::is_stand_in(&id.to_lowercase()) {
        return Err(reason);
    }
    if ['*', '•'].into_iter().any(|dot| hides(id, dot)) {
        return Err(MASKED);
    }
    // 0, -1, 00000000-0000-0000-0000-000000000000
    if id == "-1" || id.chars().all(|c| matches!(c, '0' | '-')) {
        return Err(PLACEHOLDER);
    }
    Ok(id.to_owned())
}

/// Whether something of it is hidden behind three dots.
fn hides(id: &str, dot: char) -> bool {
    id.contains(dot) && id.contains(&dot.to_string().repeat(3))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_stay_as_they_are_and_what_stands_for_nothing_is_refused() {
        let check = |raw: &str, expect: Result<&str, &str>| {
            let got = normalise(raw);
            assert_eq!(got.as_deref().map_err(|reason| reason.code), expect, "{raw:?}");
        };
        check(" A-17 ", Ok("A-17"));
        check("a-17", Ok("a-17"));
        check("7", Ok("7"));
        check("111111", Ok("111111"));
        check("US.13491208655302741918", Ok("US.13491208655302741918"));
        check("{3F2504E0-4F89-11D3-9A0C-0305E82C3301}", Ok("{3F2504E0-4F89-11D3-9A0C-0305E82C3301}"));
        check("\u{200b}17\u{feff}\n", Ok("17"));
        check("клієнт 17", Ok("клієнт 17"));
        check("", Err("empty"));
        check("null", Err("no_value"));
        check("Undefined", Err("no_value"));
        check("None", Err("no_value"));
        check("[object Object]", Err("no_value"));
        check("anonymous", Err("no_value"));
        check("{{customer.id}}", Err("template"));
        check("{id}", Err("template"));
        check("%client_id%", Err("template"));
        check("0", Err("placeholder"));
        check("-1", Err("placeholder"));
        check("0000", Err("placeholder"));
        check("00000000-0000-0000-0000-000000000000", Err("placeholder"));
        check("a***z", Err("masked"));
        check(&"1".repeat(257), Err("text_too_long"));
    }

    proptest! {
        #[test]
        fn a_cleaned_id_is_clean(raw in "\\PC{0,20}|.{0,300}") {
            if let Ok(once) = normalise(&raw) {
                prop_assert_eq!(normalise(&once), Ok(once.clone()));
            }
        }
    }
}
