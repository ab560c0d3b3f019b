//! Names and values, as query strings and forms have them, to one JSON object.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::json_body::clean;
use super::{Delivery, Unreadable};

/// More fields than any form has.
pub(super) const MAX_FIELDS: usize = 1_000;

/// Names with more dots than this stay as they are written.
const MAX_SEGMENTS: usize = 16;

/// The query of a delivery.
pub(super) fn query(delivery: &Delivery) -> Result<Value, Unreadable> {
    url_encoded(delivery.query.as_deref().unwrap_or_default().as_bytes())
}

/// The kept headers of a delivery. A header sent twice is one text with commas, as HTTP has it.
pub(super) fn headers(delivery: &Delivery) -> Value {
    let mut headers = Map::new();
    for (name, value) in &delivery.headers {
        match headers.get_mut(name) {
            Some(Value::String(text)) => {
                text.push_str(", ");
                text.push_str(value);
            }
            _ => {
                headers.insert(name.clone(), Value::String(value.clone()));
            }
        }
    }
    Value::Object(headers)
}

/// The value of a header, by its lower-case name.
pub(super) fn header<'a>(delivery: &'a Delivery, name: &str) -> Option<&'a str> {
    delivery.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
}

/// A text or a number as text; `None`, `null` and nothing at all are absent.
pub(super) fn text(value: Option<&Value>) -> Option<Cow<'_, str>> {
    let text = match value? {
        Value::String(text) => Cow::Borrowed(text.trim()),
        Value::Number(number) => Cow::Owned(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    (!matches!(&*text, "" | "None" | "null")).then_some(text)
}

/// `application/x-www-form-urlencoded` text, which a query string is too.
pub(super) fn url_encoded(text: &[u8]) -> Result<Value, Unreadable> {
    nested(
        form_urlencoded::parse(text)
            .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned()))),
    )
}

/// Names with dots become nested objects (`tracker.event`), a name given more than once becomes a list.
///
/// `a=1&a.b=2` cannot be both a value and an object: then the longer name stays as it is written, whatever the order.
pub(super) fn nested(pairs: impl Iterator<Item = (String, Value)>) -> Result<Value, Unreadable> {
    let mut flat = Map::new();
    for (number, (name, value)) in pairs.enumerate() {
        if number == MAX_FIELDS {
            return Err(Unreadable(format!(
                "the request has more than {MAX_FIELDS} fields; no form does, so it was not read"
            )));
        }
        match flat.get_mut(&name) {
            None => {
                flat.insert(name, value);
            }
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    let mut root = Map::new();
    for (name, value) in &flat {
        put(&mut root, &path(name, &flat), value);
    }
    let mut root = Value::Object(root);
    clean(&mut root)?;
    Ok(root)
}

fn put(place: &mut Map<String, Value>, path: &[&str], value: &Value) {
    match path {
        [] => {}
        [name] => {
            place.insert((*name).to_owned(), value.clone());
        }
        [parent, below @ ..] => {
            // Never anything but an object: `path` leaves a name alone whose parent is a value itself.
            if let Value::Object(place) = place.entry(*parent).or_insert_with(|| Value::Object(Map::new())) {
                put(place, below, value);
            }
        }
    }
}

/// `a.b.c` as `[a, b, c]`; a name that stays as it is written as one segment.
fn path<'a>(name: &'a str, flat: &Map<String, Value>) -> Vec<&'a str> {
    let segments: Vec<&str> = name.split('.').collect();
    let is_a_value_itself =
        |(dot, _): (usize, &str)| name.get(..dot).is_some_and(|front| flat.contains_key(front));
    if segments.len() > MAX_SEGMENTS
        || segments.iter().any(|segment| segment.is_empty())
        || name.match_indices('.').any(is_a_value_itself)
    {
        return vec![name];
    }
    segments
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn names_become_an_object() {
        let check =
            |text: &str, expect: Value| assert_eq!(url_encoded(text.as_bytes()).unwrap(), expect, "{text}");
        check("", json!({}));
        check(
            "clickid=67aB&tracker.event=sale&tracker.cost=50.00",
            json!({"clickid": "67aB", "tracker": {"event": "sale", "cost": "50.00"}}),
        );
        check("a=1&a=2&a=3", json!({"a": ["1", "2", "3"]}));
        check("f.a=1&f.a=2", json!({"f": {"a": ["1", "2"]}}));
        check("Name=Ola+Zmy%C5%9Blona&empty=&bare", json!({"Name": "Ola Zmyślona", "empty": "", "bare": ""}));
        check("first%20name=Aoife", json!({"first name": "Aoife"}));
        check("payment%5Bsys%5D=none", json!({"payment[sys]": "none"}));
        check(
            "%D0%86%D0%BC%27%D1%8F.%D0%BC%D1%96%D1%81%D1%82%D0%BE=%D0%9B%D1%8C%D0%B2%D1%96%D0%B2",
            json!({"Ім'я": {"місто": "Львів"}}),
        );
        check("bad=%FF&cut=%", json!({"bad": "\u{fffd}", "cut": "%"}));
        check("n%00ame=a%00b", json!({"name": "ab"}));
        check("$serde_json::private::RawValue=[1", json!({"serde_json::private::RawValue": "[1"}));
    }

    #[test]
    fn a_name_that_cannot_be_nested_stays_as_written() {
        let check =
            |text: &str, expect: Value| assert_eq!(url_encoded(text.as_bytes()).unwrap(), expect, "{text}");
        check("a=1&a.b=2", json!({"a": "1", "a.b": "2"}));
        check("a.b=2&a=1", json!({"a.b": "2", "a": "1"}));
        check("a.b.c=3&a.b=2", json!({"a.b.c": "3", "a": {"b": "2"}}));
        check(".a=1&b.=2&c..d=3&.=4", json!({".a": "1", "b.": "2", "c..d": "3", ".": "4"}));
        let deep = vec!["a"; 17].join(".");
        check(&format!("{deep}=1"), json!({ deep: "1" }));
    }

    #[test]
    fn a_flood_of_fields_is_refused() {
        assert!(url_encoded("a=1&".repeat(1_000).as_bytes()).is_ok());
        let message = url_encoded("a=1&".repeat(1_001).as_bytes()).unwrap_err().0;
        assert!(message.contains("1000 fields"), "{message}");
    }

    proptest! {
        #[test]
        fn no_value_is_lost(pairs in proptest::collection::vec(("[ab.]{0,5}", "[a-z]{0,3}"), 0..12)) {
            fn texts(value: &Value, found: &mut Vec<String>) {
                match value {
                    Value::String(text) => found.push(text.clone()),
                    Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
                    Value::Object(fields) => fields.values().for_each(|field| texts(field, found)),
                    Value::Null | Value::Bool(_) | Value::Number(_) => {}
                }
            }
            let value = nested(pairs.iter().map(|(name, value)| (name.clone(), json!(value)))).unwrap();
            let (mut found, mut sent) = (Vec::new(), pairs.into_iter().map(|(_, value)| value).collect::<Vec<_>>());
            texts(&value, &mut found);
            found.sort();
            sent.sort();
            prop_assert_eq!(found, sent);
        }
    }
}
