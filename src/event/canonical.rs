//! The stable hash of an event: what makes two copies one when the platform gives no event id.
//!
//! The order of keys does not count. Everything else does: numbers by the text that was sent (ids beyond 2^53 stay
//! exact), strings by their bytes.

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{EventKey, KeyLifetime};
use crate::token::to_hex;

/// Bytes that are gathered before they are hashed: most values are a few bytes long, and each hand-over costs.
const GATHERED: usize = 1024;

/// Fields that change by themselves between two deliveries of one event, and so do not count.
pub(super) struct Volatile {
    /// The object among the fields of the payload.
    pub(super) object: &'static str,
    /// Its fields.
    pub(super) fields: &'static [&'static str],
}

/// The key of an event that has no id: a hash of the payload and of the query it came with.
pub(super) fn hash_key(payload: &Value, query: &Value) -> EventKey {
    hash_key_without(None, payload, query)
}

/// The same, as if the payload did not have its volatile fields.
pub(super) fn hash_key_without(volatile: Option<&Volatile>, payload: &Value, query: &Value) -> EventKey {
    let mut canonical = Canonical {
        hash: Sha256::new(),
        bytes: Vec::with_capacity(2 * GATHERED),
        open: Vec::with_capacity(64),
    };
    match payload {
        Value::Object(fields) => canonical.object(fields, &[], volatile),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            canonical.value(other);
        }
    }
    canonical.value(query);
    canonical.hash.update(&canonical.bytes);
    let value = format!("sha256:{}", to_hex(&canonical.hash.finalize().into()));
    EventKey::new(value, KeyLifetime::Window)
}

/// What is being hashed.
struct Canonical<'a> {
    hash: Sha256,
    /// Not hashed yet.
    bytes: Vec<u8>,
    /// The sorted fields of the objects that are open; those of the innermost last.
    open: Vec<(&'a str, &'a Value)>,
}

/// Every value begins with a letter for its kind and says how long it is, so that no two values read the same.
impl<'a> Canonical<'a> {
    fn value(&mut self, value: &'a Value) {
        match value {
            Value::Null => self.bytes.push(b'z'),
            Value::Bool(yes) => self.bytes.push(if *yes { b't' } else { b'f' }),
            Value::Number(number) => self.text(b'n', number.as_str()),
            Value::String(text) => self.text(b's', text),
            Value::Array(items) => {
                self.length(b'a', items.len());
                for item in items {
                    self.value(item);
                }
            }
            Value::Object(fields) => self.object(fields, &[], None),
        }
    }

    fn object(&mut self, fields: &'a Map<String, Value>, left_out: &[&str], below: Option<&Volatile>) {
        let first = self.open.len();
        let counted = fields.iter().map(|(name, value)| (name.as_str(), value));
        self.open.extend(counted.filter(|(name, _)| !left_out.contains(name)));
        let end = self.open.len();
        self.open[first..].sort_unstable_by_key(|(name, _)| *name);
        self.length(b'o', end - first);
        for index in first..end {
            let (name, value) = self.open[index];
            self.text(b'k', name);
            match (value, below) {
                (Value::Object(fields), Some(below)) if below.object == name => {
                    self.object(fields, below.fields, None);
                }
                _ => self.value(value),
            }
        }
        self.open.truncate(first);
    }

    fn text(&mut self, kind: u8, text: &str) {
        self.length(kind, text.len());
        self.bytes.extend_from_slice(text.as_bytes());
        if self.bytes.len() >= GATHERED {
            self.hash.update(&self.bytes);
            self.bytes.clear();
        }
    }

    fn length(&mut self, kind: u8, length: usize) {
        self.bytes.push(kind);
        self.bytes.extend_from_slice(&(length as u64).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn key(text: &str) -> String {
        hash_key(&serde_json::from_str(text).unwrap(), &json!({})).value
    }

    #[test]
    fn what_counts_and_what_does_not() {
        let check = |left: &str, right: &str, same: bool| {
            assert_eq!(key(left) == key(right), same, "{left} and {right}");
        };
        check(r#"{"a":1,"b":{"c":2,"d":3}}"#, r#"{"b":{"d":3,"c":2},"a":1}"#, true);
        check(r#"{"a": 1}"#, r#"{"a":1}"#, true);
        check("[1,2]", "[2,1]", false);
        check(r#"{"id":9007199254740993}"#, r#"{"id":9007199254740992}"#, false);
        check(r#"{"id":123456789012345678901234567890}"#, r#"{"id":123456789012345678901234567891}"#, false);
        check(r#"{"id":1}"#, r#"{"id":"1"}"#, false);
        check(r#"{"a":null}"#, "{}", false);
        check(r#"{"a":""}"#, r#"{"a":null}"#, false);
        check(r#"["ab","c"]"#, r#"["a","bc"]"#, false);
        check("[[],[1]]", "[[1],[]]", false);
        check(r#"{"a":{},"b":1}"#, r#"{"a":{"b":1}}"#, false);
        check("{}", "[]", false);
    }

    #[test]
    fn the_query_counts_too() {
        let body = json!({"contact": "77010000001"});
        assert_ne!(hash_key(&body, &json!({"operation": "a"})), hash_key(&body, &json!({"operation": "b"})));
    }

    #[test]
    fn the_hash_never_changes_between_versions() {
        // A changed hash would let every event of the last window in twice after an upgrade.
        let key = hash_key(&json!({"b": [true, null, "ї"], "a": 1.50}), &json!({}));
        assert_eq!(key.value, "sha256:66b81f346e1c9c9f90b309b2e4b9c3c81d531915a0b1869a815ee126d3a0833a");
    }

    #[test]
    fn volatile_fields_count_as_if_they_were_not_there() {
        const VOLATILE: Volatile = Volatile { object: "contact", fields: &["photo", "tags"] };
        let without = |payload: Value| hash_key_without(Some(&VOLATILE), &payload, &json!({})).value;
        let check = |payload: Value, plain: Value| {
            assert_eq!(without(payload.clone()), hash_key(&plain, &json!({})).value, "{payload}");
        };
        check(
            json!({"contact": {"tags": [1], "id": 7, "photo": "x"}, "a": 1}),
            json!({"a": 1, "contact": {"id": 7}}),
        );
        check(json!({"contact": {"photo": "x"}}), json!({"contact": {}}));
        // Only there.
        for same in [
            json!({"photo": 1, "bot": {"photo": 1}, "contact": {"id": {"photo": 1}}}),
            json!({"bot": {"contact": {"photo": 1}}}),
            json!({"contact": ["photo"]}),
            json!([{"contact": {"photo": 1}}]),
            json!("contact"),
        ] {
            check(same.clone(), same);
        }
    }

    #[test]
    fn long_values_are_hashed_whole() {
        // The bytes are gathered before they are hashed; the seams must not show.
        let long = |letter: &str| json!({"a": "x".repeat(3 * GATHERED), "b": [1, 2], "c": letter.repeat(GATHERED - 1)});
        assert_eq!(hash_key(&long("y"), &json!({})), hash_key(&long("y"), &json!({})));
        assert_ne!(hash_key(&long("y"), &json!({})), hash_key(&long("z"), &json!({})));
        assert_eq!(
            hash_key(&long("y"), &json!({})).value,
            "sha256:1c6dd89ba64538190899d9be818e15e3737a59e61da748180ab7069ef764f888"
        );
    }

    proptest! {
        #[test]
        fn the_order_of_keys_never_counts(names in proptest::collection::btree_set("[a-zа-я.]{0,6}", 0..8), seed: u64) {
            let names: Vec<_> = names.into_iter().collect();
            let forward: Map<_, _> = names.iter().map(|name| (name.clone(), json!(seed))).collect();
            let backward: Map<_, _> = names.iter().rev().map(|name| (name.clone(), json!(seed))).collect();
            prop_assert_eq!(hash_key(&Value::Object(forward), &Value::Null), hash_key(&Value::Object(backward), &Value::Null));
        }
    }
}
