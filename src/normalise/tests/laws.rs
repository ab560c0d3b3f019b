//! What holds for every text.

use proptest::prelude::*;

use crate::lead::Phone;
use crate::normalise::{email, phone};

/// What goes out when a phone is written down again.
fn spelled(phone: &Phone) -> String {
    phone.match_keys.first().cloned().unwrap_or_default()
}

fn same(once: &Phone, raw: &str, regions: &[String]) -> Result<(), TestCaseError> {
    let again = phone(&spelled(once), regions);
    prop_assert!(again.is_ok(), "{raw:?} gave {:?}, which is refused: {again:?}", spelled(once));
    if let Ok(again) = again {
        prop_assert_eq!(&again.e164, &once.e164, "{:?}", raw);
        prop_assert_eq!(&again.extension, &once.extension, "{:?}", raw);
        prop_assert_eq!(&again.match_keys, &once.match_keys, "{:?}", raw);
        prop_assert_eq!(&again.region, &once.region, "{:?}", raw);
        prop_assert_eq!(again.kind, once.kind, "{:?}", raw);
    }
    Ok(())
}

fn regions() -> impl Strategy<Value = Vec<String>> {
    const CODES: &[&str] = &[
        "UA", "RU", "KZ", "PL", "DE", "US", "BR", "MX", "AR", "GB", "IT", "HU", "FR", "TR", "AE", "IN", "AT",
        "XX",
    ];
    prop::collection::vec(prop::sample::select(CODES).prop_map(str::to_owned), 0..4)
}

/// Digits and what people put between them.
fn number_like() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        6 => "[0-9]{1,6}",
        2 => "[-+ ().,/#*x_~]{1,2}",
        1 => prop::sample::select(vec![
            "+380", "+7", "8", "00", "011", "+55", "+521", "+549", "15", "+39 0", "доб. ", ";ext=", " ext ", "tel:",
            "@s.whatsapp.net", "номер", "+44 (0)", "\u{200e}", "٠", "０",
        ]).prop_map(str::to_owned),
    ];
    prop::collection::vec(part, 1..7).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_normalised_phone_normalises_to_itself(raw in number_like(), regions in regions()) {
        if let Ok(once) = phone(&raw, &regions) {
            same(&once, &raw, &regions)?;
            same(&once, &raw, &[])?;
        }
    }

    #[test]
    fn no_text_makes_a_phone_panic(raw in "\\PC{0,60}|.{0,300}", regions in regions()) {
        match phone(&raw, &regions) {
            Ok(once) => same(&once, &raw, &regions)?,
            Err(flaw) => prop_assert!(flaw.raw == raw && !flaw.code.is_empty() && flaw.text.ends_with('.')),
        }
    }

    #[test]
    fn a_normalised_email_normalises_to_itself(
        raw in "(mailto:)?[A-Za-z0-9.+_\u{430}-\u{44f}-]{1,12}@[A-Za-z0-9\u{430}-\u{44f}-]{1,10}\\.(com|ua|рф|co\\.uk)( дякую)?"
    ) {
        if let Ok(once) = email(&raw) {
            let again = email(&once.address);
            prop_assert!(again.is_ok(), "{raw:?} gave {:?}: {again:?}", once.address);
            if let Ok(again) = again {
                prop_assert_eq!(again.address, once.address);
                prop_assert_eq!(&again.match_key, &once.match_key);
            }
            if let Some(key) = once.match_key {
                prop_assert_eq!(email(&key).ok().and_then(|key| key.match_key), Some(key));
            }
        }
    }

    #[test]
    fn the_key_folds_and_the_address_stays_as_typed(
        local in "[A-Za-z][A-Za-z0-9]{3,8}([.-][A-Za-z0-9]{2,5})?(\\+[a-z0-9]{1,5})?",
        domain in prop::sample::select(vec!["gmail.com", "googlemail.com", "ya.ru", "yandex.com", "outlook.com", "example.com"])
    ) {
        let raw = format!("{local}@{domain}");
        if let Ok(email) = email(&raw) {
            prop_assert_eq!(&email.address, &raw.to_lowercase());
            let plain = local.split('+').next().unwrap_or_default();
            let without_tag = crate::normalise::email(&format!("{plain}@{domain}")).map(|plain| plain.match_key);
            let same = without_tag == Ok(email.match_key.clone());
            prop_assert!(same || domain == "example.com" && local.contains('+'), "{raw}: {without_tag:?}");
        }
    }

    #[test]
    fn no_text_makes_an_email_panic(raw in "\\PC{0,40}(@\\PC{0,40})?|.{0,1100}") {
        match email(&raw) {
            Ok(once) => prop_assert_eq!(email(&once.address).map(|again| again.address), Ok(once.address)),
            Err(flaw) => prop_assert!(flaw.raw == raw && !flaw.code.is_empty() && flaw.text.ends_with('.')),
        }
    }
}
