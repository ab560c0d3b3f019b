//! An event → the placeholders that read something from it, spelled as an author would.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::event::Event;

/// A placeholder, and what it reads from the event that it was found in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Placeholder {
    /// What stands between the braces: `contact.variables['Ваш телефон']`.
    pub path: String,
    /// What it reads, shortened; empty for nothing.
    pub reads: String,
}

/// Most that one event gives.
const MOST: usize = 300;
/// Deepest that is looked.
const DEEPEST: usize = 10;
/// Items of a list that are named one by one.
const ITEMS: usize = 3;
/// Longest example, in characters.
const LONGEST: usize = 80;

/// Names of ours that win over keys of the event.
const TAKEN: &[&str] =
    &["vars", "source", "received_at", "body", "query", "headers", "lead", "person", "found", "crm", "chat"];

/// Every single value of an event, in its order; then those of its query.
pub fn placeholders(event: &Event) -> Vec<Placeholder> {
    let mut found = Vec::new();
    if let Json::Object(entries) = &event.payload {
        for (key, value) in entries {
            let bare = is_name(key) && !TAKEN.contains(&key.as_str());
            let path = if bare { Some(key.clone()) } else { below("body", key) };
            if let Some(path) = path {
                walk(path, value, 1, &mut found);
            }
        }
    } else {
        walk("body".to_owned(), &event.payload, 0, &mut found);
    }
    // The preset may have made the event of the query itself.
    if event.query.is_object() && event.query != event.payload {
        walk("query".to_owned(), &event.query, 0, &mut found);
    }
    found
}

fn walk(path: String, value: &Json, depth: usize, found: &mut Vec<Placeholder>) {
    if found.len() >= MOST || depth > DEEPEST {
        return;
    }
    match value {
        Json::Object(entries) => {
            for (key, value) in entries {
                if let Some(path) = below(&path, key) {
                    walk(path, value, depth + 1, found);
                }
            }
        }
        Json::Array(items) => {
            for (index, item) in items.iter().take(ITEMS).enumerate() {
                walk(format!("{path}[{index}]"), item, depth + 1, found);
            }
        }
        Json::Null => found.push(Placeholder { path, reads: String::new() }),
        Json::String(text) => found.push(Placeholder { path, reads: shortened(text) }),
        Json::Bool(_) | Json::Number(_) => {
            found.push(Placeholder { path, reads: shortened(&value.to_string()) });
        }
    }
}

/// One key further; `None` for one that cannot be spelled.
fn below(path: &str, key: &str) -> Option<String> {
    if is_name(key) {
        return Some(format!("{path}.{key}"));
    }
    // Braces would end the placeholder.
    let spells = |quote: char| !key.contains([quote, '\\', '{', '}', '\n']);
    [('\''), ('"')]
        .into_iter()
        .find(|quote| spells(*quote))
        .map(|quote| format!("{path}[{quote}{key}{quote}]"))
}

/// Whether a key may stand without quotes: letters of any script, digits and `_`.
fn is_name(key: &str) -> bool {
    const WORDS: [&str; 8] = ["and", "or", "not", "in", "is", "if", "else", "none"];
    let begins = key.starts_with(|first: char| first.is_alphabetic() || first == '_');
    let word =
        WORDS.contains(&key.to_lowercase().as_str()) || matches!(key, "true" | "false" | "True" | "False");
    begins && !word && key.chars().all(|letter| letter.is_alphanumeric() || letter == '_')
}

fn shortened(text: &str) -> String {
    let line = text.replace(['\n', '\r'], " ");
    if line.chars().count() <= LONGEST {
        return line;
    }
    line.chars().take(LONGEST).collect::<String>() + "…"
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::collections::BTreeMap;

    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::event::{EventKey, KeyLifetime};
    use crate::map::expression::Reads;
    use crate::map::scope::Scope;

    fn event(payload: Json, query: Json) -> Event {
        let key = EventKey { value: String::new(), lifetime: KeyLifetime::Window };
        let headers = Json::Null;
        Event {
            payload,
            query,
            headers,
            key,
            chat: None,
            chat_state: None,
            chat_status: None,
            phone: None,
            flaws: vec![],
        }
    }

    #[test]
    fn each_reads_what_it_shows() {
        let event = event(
            json!({
                "contact": { "variables": { "phone": "067", "Ваш телефон": "050", "місто": "Київ", "a'b": "quote" } },
                "source": "theirs", "tags": ["a", "b", "c", "d"], "not": 1, "deep": { "in": true },
                "bad\"'key": "unspeakable", "{{ x }}": "braces", "empty": null, "long": "я".repeat(200),
            }),
            json!({ "utm": { "source": "ads" } }),
        );
        let found = placeholders(&event);
        let paths: Vec<&str> = found.iter().map(|found| found.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "contact.variables.phone",
                "contact.variables['Ваш телефон']",
                "contact.variables.місто",
                "contact.variables[\"a'b\"]",
                "body.source",
                "tags[0]",
                "tags[1]",
                "tags[2]",
                "body['not']",
                "deep['in']",
                "empty",
                "long",
                "query.utm.source",
            ]
        );
        let definitions = BTreeMap::new();
        let scope = Scope::new(&event, &definitions, "bot", Timestamp::UNIX_EPOCH);
        for Placeholder { path, reads } in found {
            // All are read straight from the event, without the engine.
            let Ok(Reads::Path(read)) = Reads::compile(&path) else { panic!("{path}") };
            let value = scope.event().path(&read).unwrap().map(Cow::into_owned);
            let text = match value {
                None => String::new(),
                Some(Json::String(text)) => shortened(&text),
                Some(other) => other.to_string(),
            };
            assert_eq!(text, reads, "{path}");
        }
    }

    #[test]
    fn an_event_of_any_size_gives_a_list_of_some_size() {
        let wide: serde_json::Map<String, Json> =
            (0..5_000).map(|key| (format!("k{key}"), json!(key))).collect();
        assert_eq!(placeholders(&event(Json::Object(wide), json!({ "a": 1 }))).len(), MOST);
        let mut deep = json!("bottom");
        for _ in 0..100 {
            deep = json!({ "a": deep });
        }
        assert_eq!(placeholders(&event(deep, json!({}))), []);
        assert_eq!(placeholders(&event(json!("text"), json!({})))[0].path, "body");
    }
}
