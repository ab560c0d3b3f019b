//! The parts that the schemas are put together from: each what JSON Schema says of one kind of value.

use serde_json::{Map, Value as Json, json};

/// A mapping with these keys and no others. An explicit null is as good as none, here as everywhere.
pub(super) fn object(keys: &[&str], required: &[&str], of: &dyn Fn(&str) -> Json) -> Json {
    let properties = keys.iter().map(|key| ((*key).to_owned(), of(key)));
    json!({
        "type": ["object", "null"],
        "properties": properties.collect::<Map<_, _>>(),
        "required": required,
        "additionalProperties": false,
    })
}

/// A key that this file has nothing to say about; a test finds it.
pub(super) fn anything() -> Json {
    json!({})
}

pub(super) fn says(about: &str, schema: Json) -> Json {
    if about.is_empty() { schema } else { with(schema, "description", json!(about)) }
}

/// The schema with one more keyword.
pub(super) fn with(schema: Json, keyword: &str, value: Json) -> Json {
    let Json::Object(mut schema) = schema else { return schema };
    schema.insert(keyword.to_owned(), value);
    Json::Object(schema)
}

pub(super) fn scalar(about: &str) -> Json {
    either(about, &["string", "number", "boolean"])
}

pub(super) fn either(about: &str, types: &[&str]) -> Json {
    let types: Vec<&str> = types.iter().copied().chain(["null"]).collect();
    says(about, json!({ "type": types }))
}

pub(super) fn boolean(about: &str) -> Json {
    either(about, &["boolean"])
}

pub(super) fn count(about: &str, least: u32) -> Json {
    says(about, json!({ "type": ["integer", "null"], "minimum": least }))
}

pub(super) fn duration(about: &str) -> Json {
    says(about, json!({ "type": ["string", "null"], "pattern": "^[+]?([0-9]+(ms|s|m|h|d))+$" }))
}

pub(super) fn word<'w>(about: &str, words: impl IntoIterator<Item = &'w str>) -> Json {
    let words: Vec<Json> = words.into_iter().map(Json::from).chain([Json::Null]).collect();
    says(about, json!({ "enum": words }))
}

pub(super) fn words<T>(about: &str, words: &[(&str, T)]) -> Json {
    word(about, words.iter().map(|(word, _)| *word))
}

pub(super) fn list(about: &str, items: Json) -> Json {
    with(either(about, &["array"]), "items", items)
}

pub(super) fn one_or_many(about: &str, one: Json) -> Json {
    let many = list("", one.clone());
    says(about, any_of(&[one, many]))
}

pub(super) fn map(about: &str, values: Json) -> Json {
    with(either(about, &["object"]), "additionalProperties", values)
}

pub(super) fn any_of(schemas: &[Json]) -> Json {
    json!({ "anyOf": schemas })
}
