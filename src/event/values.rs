//! Ids and phone numbers as platforms write them.

use std::borrow::Cow;

use serde_json::Value;

use super::fields::text;

/// An id made of letters, digits, `-`, `_`, `.` and `=`, at most 128 of them: whatever else stands there is no id, and
/// must end up neither in a key nor in a link.
pub(super) fn plain_id(value: Option<&Value>) -> Option<Cow<'_, str>> {
    let allowed = |letter: u8| letter.is_ascii_alphanumeric() || b"-_.=".contains(&letter);
    text(value).filter(|id| id.len() <= 128 && id.bytes().all(allowed))
}

/// A number as platforms write it, all digits from the country code on, with its plus; 7 to 15 of them (ITU-T E.164).
pub(super) fn international(phone: &str) -> Option<String> {
    let digits = phone.strip_prefix('+').unwrap_or(phone);
    let is_number = (7..=15).contains(&digits.len()) && digits.bytes().all(|letter| letter.is_ascii_digit());
    is_number.then(|| format!("+{digits}"))
}
