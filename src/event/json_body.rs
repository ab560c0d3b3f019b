//! Reading a JSON body as forgivingly as can be done without guessing.
//!
//! Repaired, because a lead with one odd character is worth more than none: a byte order mark, bytes that are not
//! UTF-8 and halves of surrogate pairs (texts cut in the middle of an emoji) become U+FFFD, and U+0000, which
//! databases refuse in text, is dropped. Refused: what is not JSON, and nesting that nobody's form has.

use std::borrow::Cow;
use std::mem;

use serde_json::Value;

use super::Unreadable;

/// Deepest nesting accepted. Below the parser's own limit of 128, so that whatever was read can be stored inside of
/// another object and read again.
const MAX_DEPTH: usize = 100;

/// Keys that begin like this mean something to the JSON library itself; a payload has no business with them.
const LIBRARY_KEYS: &str = "$serde_json::private::";

/// The JSON value in a body.
pub(super) fn read(body: &[u8]) -> Result<Value, Unreadable> {
    // The forgiving reader is the slower one.
    let text = str::from_utf8(body).map_or_else(|_| String::from_utf8_lossy(body), Cow::Borrowed);
    let text = text.trim_start_matches('\u{feff}');
    if text.trim().is_empty() {
        return Err(Unreadable(
            "the body is empty, and this source reads JSON; check what the platform is set to send".into(),
        ));
    }
    let parsed = serde_json::from_str(text).or_else(|error| match without_lone_surrogates(text) {
        Cow::Owned(repaired) => serde_json::from_str(&repaired),
        Cow::Borrowed(_) => Err(error),
    });
    let mut value = parsed.map_err(|error| Unreadable(not_json(&error)))?;
    if may_be_unclean(text) {
        clean(&mut value)?;
    }
    Ok(value)
}

/// Whether [`clean`] may find anything in what was parsed from this text. Nearly always it cannot, and looking for that
/// in the text is cheaper than a visit to every value.
fn may_be_unclean(text: &str) -> bool {
    let opened = text.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count();
    // A NUL is only valid JSON when escaped; a key of the library begins with a dollar sign, which may be escaped too.
    opened > MAX_DEPTH || [r"\u0000", r#""$"#, r#""\u0024"#].iter().any(|sign| text.contains(sign))
}

fn not_json(error: &serde_json::Error) -> String {
    if error.to_string().contains("recursion limit") {
        return too_deep().0;
    }
    format!(
        "the body is not JSON: {error}; check the body that the platform is set to send, or choose `preset: form` if \
         it sends form fields"
    )
}

fn too_deep() -> Unreadable {
    Unreadable(format!(
        "the body is JSON nested deeper than {MAX_DEPTH} levels; no lead looks like that, so it was not read"
    ))
}

/// Drops U+0000 from every text and defuses keys that the JSON library would take for its own.
pub(super) fn clean(value: &mut Value) -> Result<(), Unreadable> {
    clean_level(value, MAX_DEPTH)
}

fn clean_level(value: &mut Value, levels_left: usize) -> Result<(), Unreadable> {
    let below = || levels_left.checked_sub(1).ok_or_else(too_deep);
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::String(text) => {
            if text.contains('\0') {
                text.retain(|letter| letter != '\0');
            }
        }
        Value::Array(items) => {
            let below = below()?;
            for item in items {
                clean_level(item, below)?;
            }
        }
        Value::Object(fields) => {
            let below = below()?;
            if fields.keys().any(|key| key.contains('\0') || key.starts_with(LIBRARY_KEYS)) {
                *fields =
                    mem::take(fields).into_iter().map(|(key, value)| (clean_key(&key), value)).collect();
            }
            for field in fields.values_mut() {
                clean_level(field, below)?;
            }
        }
    }
    Ok(())
}

fn clean_key(key: &str) -> String {
    let key = key.replace('\0', "");
    match key.strip_prefix('$') {
        Some(plain) if key.starts_with(LIBRARY_KEYS) => plain.to_owned(),
        _ => key,
    }
}

/// Replaces `\uD83D` without its other half by `\uFFFD`. Borrowed when there was nothing to replace.
fn without_lone_surrogates(text: &str) -> Cow<'_, str> {
    let mut repaired = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        repaired.push_str(before);
        let (kept, used) = match (unit(after), after.get(5..).and_then(|next| unit(next.strip_prefix('\\')?)))
        {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => (after.get(..11), 11),
            (Some(0xD800..=0xDFFF), _) => (Some("uFFFD"), 5),
            // Whatever is escaped, it is one character; an escaped backslash must not begin the next escape.
            _ => {
                let used = after.chars().next().map_or(0, char::len_utf8);
                (after.get(..used), used)
            }
        };
        repaired.push('\\');
        repaired.push_str(kept.unwrap_or_default());
        rest = after.get(used..).unwrap_or_default();
    }
    repaired.push_str(rest);
    if repaired == text { Cow::Borrowed(text) } else { Cow::Owned(repaired) }
}

/// The UTF-16 unit of `uXXXX` at the beginning of a text.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix('u')?.get(..4)?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn check(body: impl AsRef<[u8]>, expect: &Value) {
        assert_eq!(&read(body.as_ref()).unwrap(), expect);
    }

    fn refused(body: impl AsRef<[u8]>, why: &str) {
        let message = read(body.as_ref()).unwrap_err().0;
        assert!(message.contains(why), "{message}");
    }

    #[test]
    fn repairs() {
        check("\u{feff}{\"a\":1}", &json!({"a": 1}));
        check(b"{\"name\":\"\xd0\x9e\xff\"}", &json!({"name": "О\u{fffd}"}));
        check(r#"{"a\u0000b":"c\u0000d","e":["\u0000"]}"#, &json!({"ab": "cd", "e": [""]}));
        check(r#"{"text":"hi \ud83d"}"#, &json!({"text": "hi \u{fffd}"}));
        check(r#"{"text":"\ude00 \ud83d\ud83d\ude00"}"#, &json!({"text": "\u{fffd} \u{fffd}😀"}));
        // An escaped backslash before the u is no escape of ours.
        check(r#"{"text":"\ud83d \\ud83d \\\\"}"#, &json!({"text": "\u{fffd} \\ud83d \\\\"}));
    }

    #[test]
    fn numbers_keep_their_digits() {
        let value = read(b"{\"id\":90071992547409931234567890,\"cost\":50.00,\"big\":1e999}").unwrap();
        assert_eq!(value.to_string(), r#"{"id":90071992547409931234567890,"cost":50.00,"big":1e+999}"#);
    }

    #[test]
    fn refusals_say_why() {
        refused("", "empty");
        refused(" \n", "empty");
        refused("Name=Anna", "preset: form");
        refused("{\"a\":1", "not JSON");
        refused("{\"a\":\"\\ud83d\"", "not JSON");
        refused("{} {}", "trailing");
        refused("[".repeat(10_000), "nested deeper");
        refused(format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)), "nested deeper");
        refused(format!("{}1{}", "[".repeat(101), "]".repeat(101)), "nested deeper");
        read(format!("{}1{}", "[".repeat(100), "]".repeat(100)).as_bytes()).unwrap();
    }

    #[test]
    fn keys_of_the_json_library_are_defused() {
        let body = r#"{"x":1,"$serde_json::private::RawValue":"[1"}"#;
        check(body, &json!({"x": 1, "serde_json::private::RawValue": "[1"}));
        refused(r#"{"$serde_json::private::RawValue":"[1"}"#, "not JSON");
        refused(r#"{"$serde_json::private::Number":"one"}"#, "not JSON");
    }

    #[test]
    fn nesting_cannot_be_smuggled_past_the_parser() {
        // The JSON library parses the text under this key afresh, each time with a new depth limit.
        let mut body = "1".to_owned();
        while body.len() < 600_000 {
            let nested = format!("{}{body}{}", "[".repeat(120), "]".repeat(120));
            body = format!(r#"{{"$serde_json::private::RawValue":{}}}"#, Value::String(nested));
        }
        refused(body, "nested deeper");
    }

    proptest! {
        #[test]
        fn whatever_is_unclean_is_cleaned(
            depth in 90_usize..110,
            texts in proptest::collection::vec(
                r"(a|\\\\|\\u0000|\$|\\u0024|serde_json::private::|\\u0073erde_json::private::|RawValue|\\ud83d| |\[){0,5}", 1..8
            )
        ) {
            let fields: Vec<_> = texts.iter().map(|text| format!(r#""{text}":["{text}"]"#)).collect();
            let body = format!(r#"{}{{"x":0,{}}}{}"#, "[".repeat(depth), fields.join(","), "]".repeat(depth));
            for body in [body.as_str(), body.trim_matches(['[', ']'])] {
                let Ok(mut value) = read(body.as_bytes()) else { continue };
                let read = value.clone();
                prop_assert!(clean(&mut value).is_ok(), "{}", body);
                prop_assert_eq!(&value, &read);
            }
        }
    }
}
