//! Raw text → [`Phone`], [`Email`] or a [`Flaw`]. Never panics and never guesses silently: what cannot be used
//! is kept with the reason, and what could be two numbers says so.
//!
//! A wrong number joins two people and a lost one only costs a duplicate, so every doubt is decided towards
//! [`Confidence::Ambiguous`](crate::lead::Confidence::Ambiguous) or a flaw. The way of a phone:
//!
//! | step | file | does |
//! |---|---|---|
//! | clean | `clean.rs` | one spelling for digits of any script, dashes, spaces; drops what the eye cannot see |
//! | refuse | `junk.rs` | `null`, `{{phone}}`, `+38067***4567`, `1111111111`: texts and shapes that nobody's number has |
//! | scan | `scan.rs` | finds the number among words, and its extension |
//! | read | `phone.rs` | every plausible reading by the numbering plans; the only file that knows the phone library |
//! | keys | `keys.rs` | further keys of the same line in Brazil, Mexico and Argentina |
//!
//! The other way round, [`Wanted`] finds a known phone, email or id in any text.
//!
//! [`phone()`], [`email()`] and [`id()`] are idempotent: feeding back what they return gives the same value.

mod clean;
mod email;
mod id;
mod junk;
mod keys;
mod mention;
mod name;
mod phone;
mod reason;
mod scan;
#[cfg(test)]
mod tests;

pub use self::mention::Wanted;
pub use self::name::{Agreement, NameKey};
use crate::lead::{Email, Flaw, Phone};

/// Normalises a phone. `regions` are ISO 3166-1 alpha-2 codes in order of preference, used where the text names
/// no country; a code that [`is_region`] does not know is passed over, because the loader has refused it already.
pub fn phone(raw: &str, regions: &[String]) -> Result<Phone, Flaw> {
    phone::normalise(raw, regions).map_err(|reason| reason.flaw("phone", raw))
}

/// Normalises an email address.
pub fn email(raw: &str) -> Result<Email, Flaw> {
    email::normalise(raw).map_err(|reason| reason.flaw("email", raw))
}

/// How a country writes one of its numbers without naming itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct National {
    /// Without calling code and without trunk prefix: `671234567`.
    pub bare: String,
    /// As it is dialled inside the country, with the trunk prefix where there is one: `0671234567`.
    pub dialled: String,
}

/// Cleans an id that somebody else gave out: a customer's, a chat's, a device's. `field` is what a flaw says it is.
/// Ids are compared byte by byte, so only what cannot be seen is taken away.
pub fn id(raw: &str, field: &str) -> Result<String, Flaw> {
    id::normalise(raw).map_err(|reason| reason.flaw(field, raw))
}

/// The national spellings of an E.164 phone; `None` for a text that is none.
pub fn national(e164: &str) -> Option<National> {
    phone::spellings(e164)
}

/// What a person types when they look for somebody, in every form under which it may be stored: the text itself, the phone
/// it may be (E.164 and every match key), the email it may be.
pub fn spellings(text: &str, regions: &[String]) -> Vec<String> {
    let text = text.trim();
    let mut values = vec![text.to_owned()];
    if let Ok(phone) = phone(text, regions) {
        values.push(phone.e164);
        values.extend(phone.match_keys);
    }
    if let Ok(email) = email(text) {
        values.extend(email.match_key);
        values.push(email.address);
    }
    values.sort();
    values.dedup();
    values
}

/// Whether [`phone()`] knows the numbering plan of this ISO 3166-1 alpha-2 code (any case; `UK` means `GB`).
pub fn is_region(code: &str) -> bool {
    phone::region(code).is_some()
}
