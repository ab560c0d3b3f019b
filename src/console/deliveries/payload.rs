//! JSON to read, each value of which gives the placeholder that stands for it in a mapping.

use maud::{Markup, html};
use serde_json::Value;

use crate::console::guard::Reader;

/// Values that are shown; a request may hold hundreds of thousands.
const VALUES: usize = 1_500;
/// Characters of a value that are shown.
const LETTERS: usize = 400;
/// Deeper than this nobody reads, and every level is one more call.
const DEEPEST: usize = 24;

/// Names that mean something of ours at the beginning of a placeholder, so that a key of the event called so is reached by
/// `body`; and words of the expression language.
const TAKEN: &[&str] = &[
    "vars",
    "source",
    "received_at",
    "body",
    "query",
    "headers",
    "lead",
    "found",
    "person",
    "chat",
    "crm",
    "and",
    "or",
    "not",
    "in",
    "is",
    "if",
    "else",
    "true",
    "false",
    "none",
    "True",
    "False",
    "None",
    "loop",
    "self",
];

/// The payload of an event.
pub(super) fn body(reader: &Reader, payload: &Value) -> Markup {
    tree(reader, payload, "")
}

/// What stands under one of our names.
pub(super) fn named(reader: &Reader, name: &str, value: &Value) -> Markup {
    tree(reader, value, name)
}

fn tree(reader: &Reader, value: &Value, path: &str) -> Markup {
    let mut left = VALUES;
    html! {
        div.json data-copied=(reader.say("Copied: ", "Скопійовано: ")) aria-describedby="copy-help" {
            (node(value, path, 0, &mut left))
            @if left == 0 {
                p.hint { (reader.say(
                    "There is more than is shown here; see the body as it came.",
                    "Тут показано не все; дивіться тіло, як воно надійшло.",
                )) }
            }
        }
    }
}

fn node(value: &Value, path: &str, depth: usize, left: &mut usize) -> Markup {
    if *left == 0 {
        return html! { "…" };
    }
    *left -= 1;
    match value {
        Value::Object(entries) if !entries.is_empty() && depth < DEEPEST => html! {
            ul {
                @for (key, value) in entries {
                    @if *left > 0 {
                        li { span.key { (key) } ": " (node(value, &below(path, key), depth + 1, left)) }
                    }
                }
            }
        },
        Value::Array(items) if !items.is_empty() && depth < DEEPEST => html! {
            ul {
                @for (index, value) in items.iter().enumerate() {
                    @if *left > 0 {
                        li {
                            span.key { (index) } ": "
                            (node(value, &format!("{}[{index}]", or_body(path)), depth + 1, left))
                        }
                    }
                }
            }
        },
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Object(_)
        | Value::Array(_) => {
            let text = match value {
                Value::String(text) => text.clone(),
                other @ (Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::Object(_)
                | Value::Array(_)) => other.to_string(),
            };
            let mut shown: String = text.chars().take(LETTERS).collect();
            if shown.len() < text.len() {
                shown.push('…');
            }
            let kind = if value.is_string() { "text" } else { "other" };
            let placeholder = format!("{{{{ {} }}}}", or_body(path));
            html! {
                button.value.(kind) type="button" data-copy=(placeholder) title=(placeholder) {
                    @if shown.is_empty() { "\"\"" } @else { (shown) }
                }
            }
        }
    }
}

fn or_body(path: &str) -> &str {
    if path.is_empty() { "body" } else { path }
}

/// The path of a key below another path.
fn below(path: &str, key: &str) -> String {
    let mut letters = key.chars();
    let plain = letters.next().is_some_and(|first| first.is_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_alphanumeric() || letter == '_');
    match (path.is_empty(), plain) {
        (true, true) if !TAKEN.contains(&key) => key.to_owned(),
        (true, true) => format!("body.{key}"),
        (false, true) => format!("{path}.{key}"),
        (_, false) => format!("{}[{}]", or_body(path), quoted(key)),
    }
}

/// A text as the expression language reads it. In single quotes where that goes: whoever pastes it into a mapping mostly does
/// so between the double quotes of YAML, which a double quote would end.
fn quoted(key: &str) -> String {
    let quote = if key.contains('\'') { '"' } else { '\'' };
    let mut text = String::from(quote);
    for letter in key.chars() {
        match letter {
            '\\' => text.push_str("\\\\"),
            letter if letter == quote => text.extend(['\\', letter]),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            other => text.push(other),
        }
    }
    text.push(quote);
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::clock::SystemClock;
    use crate::event::Delivery;
    use crate::id::DeliveryId;
    use crate::map::Files;
    use crate::prepare::prepare;
    use crate::store::prepare::{EventOutcome, Prepared, Received};
    use crate::workspace::compile_without_secrets;

    fn placeholders(markup: &str) -> Vec<String> {
        let plain = |text: &str| {
            text.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        };
        let pieces = markup.split("data-copy=\"").skip(1);
        pieces.map(|piece| plain(piece.split('"').next().unwrap())).collect()
    }

    /// What a mapping makes of this event with the placeholder as its note.
    fn mapped(event: &Value, placeholder: &str) -> Option<String> {
        let note = Value::from(placeholder);
        let mapping = format!(
            "source: {{ preset: json, token: demo }}\nleads:\n  - name: all\n    to: [crm]\n    note: {note}\n    \
             contact: {{ name: x }}\n"
        );
        let workspace = "destinations:\n  crm: { crm: sandbox, url: \"http://127.0.0.1:9\", token: demo }\n";
        let files = [("workspace.yaml", workspace), ("shop.yaml", mapping.as_str())];
        let files = Files(files.map(|(name, text)| (name.to_owned(), text.to_owned())).into());
        let compiled = compile_without_secrets(&files, &(Arc::new(|_: &str| None) as _)).0;
        assert!(compiled.is_sound(), "{placeholder}: {:?}", compiled.problems);
        let delivery = Delivery {
            id: DeliveryId(uuid::Uuid::nil()),
            source: "shop".to_owned(),
            method: "POST".to_owned(),
            query: None,
            headers: Vec::new(),
            body: event.to_string().into_bytes(),
            received_at: jiff::Timestamp::UNIX_EPOCH,
        };
        let received = Received { delivery, unverified_token: None };
        match prepare(&received, &compiled.workspace, &SystemClock).result {
            Prepared::Events(events) => match events.into_iter().next()?.outcome {
                EventOutcome::Lead { lead, .. } => lead.note,
                EventOutcome::Filtered(_) | EventOutcome::NeedsAttention(_) => None,
            },
            Prepared::Unreadable(_) | Prepared::Waiting(_) | Prepared::Refused(_) | Prepared::Postback(_) => {
                None
            }
        }
    }

    fn texts(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::Object(entries) => entries.values().for_each(|value| texts(value, into)),
            Value::Array(items) => items.iter().for_each(|value| texts(value, into)),
            Value::String(text) => into.push(text.clone()),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    #[test]
    fn every_value_gives_the_placeholder_that_a_mapping_reads_it_by() {
        let event = json!({
            "contact": { "variables": { "phone": "one", "Ваш телефон": "two", "місто": "three", "1st": "four" } },
            "tags": [{ "name": "five" }, "six"],
            "source": "seven", "lead": { "phone": "eight" }, "query": { "a": "nine" }, "headers": "ten",
            "in": "eleven", "true": "twelve", "is": { "not": "thirteen", "in": "fourteen" },
            "a\"b": "fifteen", "it's": "a half", "it's \"so\"": "another half", "a\\b": "sixteen", "a.b": "seventeen", "": "eighteen", "utm-source": "nineteen",
            "found": "twenty", "person": "twenty one", "chat": { "id": "twenty two" }, "loop": "twenty three",
        });
        let shown = body(&Reader::for_tests(), &event).into_string();
        let placeholders = placeholders(&shown);
        let mut values = Vec::new();
        texts(&event, &mut values);
        assert_eq!(placeholders.len(), values.len());
        for (placeholder, value) in placeholders.iter().zip(&values) {
            assert_eq!(mapped(&event, placeholder).as_ref(), Some(value), "{placeholder}");
        }
        assert_eq!(placeholders[0], "{{ contact.variables.phone }}");
        assert_eq!(placeholders[1], "{{ contact.variables['Ваш телефон'] }}");
        assert_eq!(placeholders[4], "{{ tags[0].name }}");
    }

    #[test]
    fn a_hostile_or_endless_payload_is_only_text_and_has_an_end() {
        let hostile = json!({ "<script>alert(1)</script>": "\"><script>alert(2)</script>" });
        let shown = body(&Reader::for_tests(), &hostile).into_string();
        assert!(!shown.contains("<script"), "{shown}");
        let long = json!(vec!["x".repeat(10_000); 100_000]);
        assert!(body(&Reader::for_tests(), &long).into_string().len() < 2_000_000);
        let mut deep = json!("end");
        for _ in 0..100 {
            deep = json!({ "a": deep });
        }
        assert!(body(&Reader::for_tests(), &deep).into_string().contains("data-copy"));
    }
}
