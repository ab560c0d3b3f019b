//! The stable hash of an event: what makes two copies one when the platform gives no event id.
//!
//! The order of keys does not count. Everything else does: numbers by the text that was sent (ids beyond 2^53 stay
//! exact), strings by their bytes.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{EventKey, KeyLifetime};

/// The key of an event that has no id: a hash of the payload and of the query it came with.
pub(super) fn hash_key(payload: &Value, query: &Value) -> EventKey {
    let mut hash = Sha256::new();
    add(&mut hash, payload);
    add(&mut hash, query);
    let mut value = "sha256:".to_owned();
    for byte in hash.finalize() {
        // Writing into a String cannot fail.
        write!(value, "{byte:02x}").unwrap_or_default();
    }
    EventKey { value, lifetime: KeyLifetime::Window }
}

/// Every value begins with a letter for its kind and says how long it is, so that no two values read the same.
fn add(hash: &mut Sha256, value: &Value) {
    match value {
        Value::Null => hash.update(b"z"),
        Value::Bool(yes) => hash.update(if *yes { b"t" } else { b"f" }),
        Value::Number(number) => add_text(hash, b'n', number.as_str()),
        Value::String(text) => add_text(hash, b's', text),
        Value::Array(items) => {
            add_length(hash, b'a', items.len());
            for item in items {
                add(hash, item);
            }
        }
        Value::Object(fields) => {
            add_length(hash, b'o', fields.len());
            for (name, value) in sorted(fields) {
                add_text(hash, b'k', name);
                add(hash, value);
            }
        }
    }
}

fn sorted(fields: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut fields: Vec<_> = fields.iter().collect();
    fields.sort_unstable_by_key(|(name, _)| *name);
    fields
}

fn add_text(hash: &mut Sha256, kind: u8, text: &str) {
    add_length(hash, kind, text.len());
    hash.update(text.as_bytes());
}

fn add_length(hash: &mut Sha256, kind: u8, length: usize) {
    hash.update([kind]);
    hash.update((length as u64).to_be_bytes());
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
