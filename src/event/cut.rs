//! Taking single events out of a stored request: one human's words out of a list that holds several people's.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Delivery, Preset, json_body};

/// The body without what stands at these positions, where every event keeps its place: an empty object stands in theirs.
/// `None` when the preset makes its events of something else than the items of a list, or would read the others differently
/// afterwards: then nothing less than the whole body can go.
pub fn cut(preset: &Preset, delivery: &Delivery, positions: &BTreeSet<usize>) -> Option<Vec<u8>> {
    let before = (preset.split)(delivery).ok()?;
    let mut whole = json_body::read(&delivery.body).ok()?;
    let items = list(&mut whole)?;
    if items.len() != before.len() {
        return None;
    }
    for position in positions {
        *items.get_mut(*position)? = Value::Object(Map::new());
    }
    let body = serde_json::to_vec(&whole).ok()?;
    let after = (preset.split)(&Delivery { body: body.clone(), ..delivery.clone() }).ok()?;
    let kept = before.len() == after.len()
        && before.iter().zip(&after).enumerate().all(|(at, (before, after))| {
            positions.contains(&at) || (before.key == after.key && before.payload == after.payload)
        });
    kept.then_some(body)
}

/// The list that a body is, or that is all there is in it.
fn list(body: &mut Value) -> Option<&mut Vec<Value>> {
    match body {
        Value::Array(items) => Some(items),
        Value::Object(fields) if fields.len() == 1 => fields.values_mut().next()?.as_array_mut(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::event::{PRESETS, preset};
    use crate::id::DeliveryId;

    fn delivery(body: &str, query: Option<&str>) -> Delivery {
        Delivery {
            id: DeliveryId(Uuid::nil()),
            source: "s".to_owned(),
            method: "POST".to_owned(),
            query: query.map(str::to_owned),
            headers: Vec::new(),
            body: body.as_bytes().to_vec(),
            received_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn what_is_anothers_stays_as_it_is_and_where_it_is() {
        let check = |name: &str, body: &str, positions: &[usize], expect: Option<&str>| {
            let positions = positions.iter().copied().collect();
            let cut = cut(preset(name).unwrap(), &delivery(body, Some("a=1")), &positions);
            assert_eq!(cut.map(|body| String::from_utf8(body).unwrap()).as_deref(), expect, "{name} {body}");
        };
        for name in ["sendpulse", "json", "metabot", "esputnik"] {
            check(
                name,
                r#"[{"a":1.50,"b":"x"},{"a":2},{"a":3}]"#,
                &[1],
                Some(r#"[{"a":1.50,"b":"x"},{},{"a":3}]"#),
            );
            check(name, r#"[{"a":1},{"a":2}]"#, &[0, 1], Some("[{},{}]"));
            check(name, r#"[{"a":1}]"#, &[1], None);
            check(name, r#"{"a":1}"#, &[0], None);
            check(name, "half a list [", &[0], None);
        }
        // One event, although it is a list.
        check("json", r#"[{"a":1},2]"#, &[0], None);
        check("form", "a=1&b=2", &[0], None);
        let tokens = r#"{"tokens":[{"token":1,"email":"a"},{"token":2,"email":"b"}]}"#;
        check("esputnik_tokens", tokens, &[0], Some(r#"{"tokens":[{},{"token":2,"email":"b"}]}"#));
        check("esputnik_tokens", &tokens.replace("]}", "],\"a\":1}"), &[0], None);
    }

    /// Erasing keeps the keys of events, so that a platform that sends one again does not bring anybody back.
    #[test]
    fn no_key_of_an_event_holds_personal_data() {
        let body = json!([{
            "title": "incoming_message", "service": "telegram", "bot": { "id": "bot-1", "name": "Shop" },
            "contact": { "id": "chat-777888", "name": "Olena", "phone": "+380671234567",
                "variables": { "email": "olena@example.com" } },
            "info": { "message": { "id": "message-1" } }, "phone": "+380671234567", "email": "olena@example.com"
        }])
        .to_string();
        for preset in PRESETS {
            let events = (preset.split)(&delivery(&body, Some("phone=0671234567"))).unwrap_or_default();
            for event in events {
                for personal in ["777888", "671234567", "olena", "Olena"] {
                    assert!(!event.key.value.contains(personal), "{}: {}", preset.name, event.key.value);
                }
            }
        }
    }
}
