//! Raw text → [`Phone`], [`Email`] or a [`Flaw`]. Never fails: what cannot be used is kept with the reason.

use crate::lead::{Email, Flaw, Phone};

/// Normalises a phone. `regions` are ISO 3166-1 alpha-2 codes in order of preference, used where the text names no country.
pub fn phone(raw: &str, regions: &[String]) -> Result<Phone, Flaw> {
    let _ = regions;
    Err(Flaw { field: "phone".into(), raw: raw.into(), code: "stub".into(), text: "stub".into() })
}

/// Normalises an email address.
pub fn email(raw: &str) -> Result<Email, Flaw> {
    Err(Flaw { field: "email".into(), raw: raw.into(), code: "stub".into(), text: "stub".into() })
}
