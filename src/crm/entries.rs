//! What a plan writes, as the entries of a JSON object, for adapters whose CRM takes objects. What is absent is a missing
//! entry: what is there is written.

use serde_json::{Map, Value, json};

use crate::plan::{ContactFields, DealFields};

/// The entries that have a value.
pub(super) fn present<const N: usize>(entries: [(&str, Option<Value>); N]) -> Map<String, Value> {
    entries.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// A text, where there is one.
pub(super) fn text(value: Option<&String>) -> Option<Value> {
    value.map(|text| json!(text))
}

/// `name`, `phones`, `emails`, `owner` and `fields`.
pub(super) fn contact(contact: &ContactFields) -> Map<String, Value> {
    let ContactFields { name, phones, emails, owner, fields } = contact;
    present([
        ("name", text(name.as_ref())),
        ("phones", (!phones.is_empty()).then(|| json!(phones))),
        ("emails", (!emails.is_empty()).then(|| json!(emails))),
        ("owner", text(owner.as_ref())),
        ("fields", (!fields.is_empty()).then(|| json!(fields))),
    ])
}

/// `title`, `pipeline`, `stage`, `owner` and `fields`.
pub(super) fn deal(deal: &DealFields) -> Map<String, Value> {
    let DealFields { title, pipeline, stage, owner, fields } = deal;
    present([
        ("title", text(title.as_ref())),
        ("pipeline", text(pipeline.as_ref())),
        ("stage", text(stage.as_ref())),
        ("owner", text(owner.as_ref())),
        ("fields", (!fields.is_empty()).then(|| json!(fields))),
    ])
}
