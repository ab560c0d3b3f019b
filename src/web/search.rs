//! What a person types when they look for somebody, in every form under which it may be stored.

use crate::normalise;

/// The text itself, the phone it may be (E.164 and every match key), the email it may be.
pub fn spellings(text: &str, regions: &[String]) -> Vec<String> {
    let text = text.trim();
    let mut values = vec![text.to_owned()];
    if let Ok(phone) = normalise::phone(text, regions) {
        values.push(phone.e164);
        values.extend(phone.match_keys);
    }
    if let Ok(email) = normalise::email(text) {
        values.extend(email.match_key);
        values.push(email.address);
    }
    values.sort();
    values.dedup();
    values
}
