//! Whether a text mentions somebody, in whatever spelling: for requests that never became a lead, where nothing but the
//! text says whose they are.
//!
//! Names are not looked for: one name is very many people's.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::Value;

use super::clean::phone_text;
use super::{email, national};

/// Ids shorter than this stand in too many texts by chance.
const SHORTEST_ID: usize = 6;
/// The same for a number without its country.
const SHORTEST_NUMBER: usize = 7;
/// What may stand between two groups of digits of one number.
const SEPARATORS: &[char] = &[' ', '-', '(', ')', '.', '/', '\u{a0}', '_'];
/// And how much of it: `+38 (067) - 123`.
const MOST_SEPARATORS: usize = 4;

/// What is looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Digits of phones, one entry for each way to write one.
    numbers: BTreeSet<String>,
    /// Addresses and match keys.
    emails: BTreeSet<String>,
    ids: BTreeSet<String>,
}

impl Wanted {
    /// Looks for a phone as well; E.164, also with an extension behind it, which is left out of account.
    pub fn phone(&mut self, e164: &str) {
        let digits: String = e164.chars().skip(1).take_while(char::is_ascii_digit).collect();
        if !e164.starts_with('+') || digits.len() < SHORTEST_NUMBER {
            return;
        }
        let written = national(&format!("+{digits}"));
        let code =
            written.as_ref().and_then(|national| digits.strip_suffix(&national.bare)).map(str::to_owned);
        if let (Some(national), Some(code)) = (written, code) {
            // With the trunk prefix behind the country, as in +44 (0)20, and as it is dialled in Russia and Ukraine.
            let local = [
                national.bare.clone(),
                national.dialled.clone(),
                format!("{code}0{}", national.bare),
                format!("{code}{}", national.dialled),
                format!("8{}", national.bare),
                format!("80{}", national.bare),
            ];
            self.numbers.extend(local.into_iter().filter(|number| number.len() >= SHORTEST_NUMBER));
        }
        for prefix in ["", "00", "011", "810"] {
            self.numbers.insert(format!("{prefix}{digits}"));
        }
    }

    /// Looks for an email as well: an address or its match key.
    pub fn email(&mut self, address: &str) {
        if let Ok(read) = email(address) {
            self.emails.extend(read.match_key);
            self.emails.insert(read.address);
        }
        self.emails.insert(address.to_lowercase());
    }

    /// Looks for an id of a chat, a customer or a device as well, unless it is too short to tell anything.
    pub fn id(&mut self, id: &str) {
        if id.chars().count() >= SHORTEST_ID {
            self.ids.insert(id.to_owned());
        }
    }

    /// The ids that are looked for.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.ids.iter().map(String::as_str)
    }

    /// Whether nothing is looked for.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty() && self.emails.is_empty() && self.ids.is_empty()
    }

    /// Whether a text mentions any of it.
    pub fn is_in(&self, text: &str) -> bool {
        self.has_id(text) || self.has_email(text) || self.has_number(text)
    }

    /// Whether any text, number or name of a field within a JSON value does.
    pub fn is_in_json(&self, value: &Value) -> bool {
        match value {
            Value::Null | Value::Bool(_) => false,
            Value::Number(number) => self.is_in(number.as_str()),
            Value::String(text) => self.is_in(text),
            Value::Array(items) => items.iter().any(|item| self.is_in_json(item)),
            Value::Object(fields) => {
                fields.iter().any(|(name, value)| self.is_in(name) || self.is_in_json(value))
            }
        }
    }

    /// Whether bytes do that are not understood: as they are, and read as a form or a query.
    pub fn is_in_bytes(&self, bytes: &[u8]) -> bool {
        let text = String::from_utf8_lossy(bytes);
        // JSON that is broken, or no JSON at all, may hold escapes all the same.
        let plain = text.replace("\\/", "/").replace("\\u002b", "+").replace("\\u0040", "@");
        if self.is_in(&plain) {
            return true;
        }
        bytes.iter().any(|byte| matches!(byte, b'%' | b'+'))
            && form_urlencoded::parse(bytes).any(|(name, value)| self.is_in(&name) || self.is_in(&value))
    }

    fn has_id(&self, text: &str) -> bool {
        self.ids.iter().any(|id| {
            text.match_indices(id.as_str()).any(|(at, found)| {
                let before = text.get(..at).and_then(|text| text.chars().next_back());
                let behind = text.get(at + found.len()..).and_then(|text| text.chars().next());
                !before.is_some_and(char::is_alphanumeric) && !behind.is_some_and(char::is_alphanumeric)
            })
        })
    }

    fn has_email(&self, text: &str) -> bool {
        if self.emails.is_empty() {
            return false;
        }
        text.match_indices('@').any(|(at, _)| {
            let of_local = |letter: char| letter.is_alphanumeric() || "._%+-'".contains(letter);
            let of_domain = |letter: char| letter.is_alphanumeric() || ".-".contains(letter);
            let (before, behind) =
                (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default());
            let start = before.char_indices().rev().take_while(|(_, letter)| of_local(*letter)).last();
            let local = start.and_then(|(start, _)| before.get(start..)).unwrap_or_default();
            let end = behind.find(|letter| !of_domain(letter)).unwrap_or(behind.len());
            let domain = behind.get(..end).unwrap_or_default().trim_end_matches(['.', '-']);
            let address = format!("{local}@{domain}").to_lowercase();
            if self.emails.contains(&address) {
                return true;
            }
            email(&address).is_ok_and(|read| {
                self.emails.contains(&read.address)
                    || read.match_key.is_some_and(|key| self.emails.contains(&key))
            })
        })
    }

    fn has_number(&self, text: &str) -> bool {
        if self.numbers.is_empty() {
            return false;
        }
        let text = if text.is_ascii() { Cow::Borrowed(text) } else { Cow::Owned(phone_text(text)) };
        runs(&text).iter().any(|groups| {
            (0..groups.len()).any(|first| {
                let mut number = String::new();
                groups.iter().skip(first).any(|group| {
                    number.push_str(group);
                    self.numbers.contains(&number)
                })
            })
        })
    }
}

/// Groups of digits that stand so close together that they may be one number.
fn runs(text: &str) -> Vec<Vec<&str>> {
    let mut runs: Vec<Vec<&str>> = Vec::new();
    let mut rest = text;
    let mut goes_on = false;
    while let Some(start) = rest.find(|letter: char| letter.is_ascii_digit()) {
        let (between, behind) = rest.split_at(start);
        let end = behind.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(behind.len());
        let (group, behind) = behind.split_at(end);
        let close = between.chars().count() <= MOST_SEPARATORS
            && between.chars().all(|letter| SEPARATORS.contains(&letter));
        match runs.last_mut() {
            Some(run) if goes_on && close => run.push(group),
            _ => runs.push(vec![group]),
        }
        goes_on = true;
        rest = behind;
    }
    runs
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wanted() -> Wanted {
        let mut wanted = Wanted::default();
        wanted.phone("+380671234567");
        wanted.phone("+442071234567;ext=12");
        wanted.email("olena.k@gmail.com");
        wanted.id("5f3a9c");
        wanted.id("42");
        wanted
    }

    #[test]
    fn every_spelling_is_found_and_what_only_looks_like_it_is_not() {
        let check = |text: &str, expect: bool| assert_eq!(wanted().is_in(text), expect, "{text}");
        for phone in [
            "+380671234567",
            "380671234567",
            "0671234567",
            "671234567",
            "067 123 45 67",
            "(067) 123-45-67",
            "+38 (067) - 123.45.67",
            "00380671234567",
            "8 067 123 45 67",
            "80671234567",
            "call 067/1234567 now",
            "380 67 123 45 67 доб. 12",
            "+380\u{a0}67\u{a0}123\u{a0}45\u{a0}67",
            "٠٦٧١٢٣٤٥٦٧",
            "067\u{200b}1234567",
            "12; 0671234567; 13",
            "+44 (0)20 7123 4567",
            "020 7123 4567",
        ] {
            check(phone, true);
        }
        for other in [
            "0671234568",
            "10671234567",
            "06712345678",
            "1380671234567",
            "067 123 45",
            "067, 123, 45, 67",
            "067     1234567",
            "",
            "+",
            "42",
        ] {
            check(other, false);
        }
        check("mail OLENA.K@Gmail.com!", true);
        check("olenak+shop@googlemail.com.", true);
        check("<a href='mailto:olena.k@gmail.com'>", true);
        check("olena.k@gmail.com.ua", false);
        check("xolena.k@gmail.co", false);
        check("@ a@ @b", false);
        check("/chats/5f3a9c/", true);
        check("5f3a9c7", false);
        check("a5f3a9c", false);
    }

    #[test]
    fn it_is_found_in_json_and_in_forms() {
        let check = |value: Value| assert!(wanted().is_in_json(&value), "{value}");
        check(json!([{ "a": { "b": [380_671_234_567_u64] } }]));
        check(json!({ "0671234567": null }));
        assert!(!wanted().is_in_json(&json!({ "067": "1234567", "a": true })));
        assert!(wanted().is_in_bytes(b"{\"phone\": \"\\u002b380671234567"));
        assert!(wanted().is_in_bytes(b"phone=%2B38+%28067%29+123-45-67&a=b"));
        assert!(wanted().is_in_bytes(b"\xff\xfe olena.k%40gmail.com"));
        assert!(!wanted().is_in_bytes(b"phone=%2B38067"));
    }

    #[test]
    fn nothing_is_wanted_of_what_tells_nothing() {
        let mut wanted = Wanted::default();
        wanted.id("42");
        wanted.phone("112");
        wanted.phone("+112");
        assert!(wanted.is_empty());
        assert!(!wanted.is_in("42 112"));
    }
}
