//! Between JSON and the engine's values. Absent is `undefined` there; numbers that do not fit keep their digits as text.

use std::borrow::Cow;
use std::fmt::Write;

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};
use serde_json::{Map, Number, Value as Json};

use super::filters::{LARGEST, absent, too_large};

/// JSON as the engine sees it.
pub(super) fn to_engine(json: &Json) -> Value {
    match json {
        Json::Null => Value::UNDEFINED,
        Json::Bool(value) => Value::from(*value),
        Json::Number(number) => number_to_engine(number),
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::from(items.iter().map(to_engine).collect::<Vec<_>>()),
        Json::Object(entries) => {
            // A key that holds null is as good as missing.
            let present = entries.iter().filter(|(_, value)| !value.is_null());
            Value::from_pairs(present.map(|(key, value)| (key.as_str(), to_engine(value))))
        }
    }
}

fn number_to_engine(number: &Number) -> Value {
    if let Some(value) = number.as_i64() {
        return Value::from(value);
    }
    if let Some(value) = number.as_u64() {
        return Value::from(value);
    }
    let digits = number.to_string();
    let fraction = number.as_f64().filter(|value| value.is_finite() && digits.contains(['.', 'e', 'E']));
    fraction.map_or_else(|| Value::from(digits), Value::from)
}

/// What the engine made, as JSON; `None` when it is absent.
pub(super) fn from_engine(value: &Value) -> Result<Option<Json>, Error> {
    let mut budget = LARGEST;
    let json = build(value, &mut budget, 0)?;
    Ok(Some(json).filter(|json| !json.is_null()))
}

/// `budget` counts bytes of text and a few for every node, so that lists cannot grow either.
fn build(value: &Value, budget: &mut usize, depth: usize) -> Result<Json, Error> {
    *budget = budget.checked_sub(1).filter(|_| depth < 64).ok_or_else(too_large)?;
    Ok(match value.kind() {
        ValueKind::Undefined | ValueKind::None => Json::Null,
        ValueKind::Bool => Json::Bool(value.is_true()),
        ValueKind::Number => Json::Number(number_from_engine(value)?),
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            *budget = budget.checked_sub(text.len()).ok_or_else(too_large)?;
            Json::String(text.to_owned())
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let mut items = Vec::new();
            for item in value.try_iter()? {
                items.push(build(&item, budget, depth + 1)?);
            }
            Json::Array(items)
        }
        ValueKind::Map => {
            let mut entries = Map::new();
            for key in value.try_iter()? {
                let item = value.get_item(&key)?;
                if !absent(&item) {
                    entries.insert(key.to_string(), build(&item, budget, depth + 1)?);
                }
            }
            Json::Object(entries)
        }
        ValueKind::Bytes | ValueKind::Plain | ValueKind::Invalid | _ => {
            let message = format!("a {} cannot be a value", value.kind());
            return Err(Error::new(ErrorKind::InvalidOperation, message));
        }
    })
}

fn number_from_engine(value: &Value) -> Result<Number, Error> {
    let mut digits = String::new();
    // Writing into a String cannot fail.
    write!(digits, "{value}").unwrap_or_default();
    let not_a_number = |_| Error::new(ErrorKind::InvalidOperation, format!("`{digits}` is not a number"));
    digits.parse::<Number>().map_err(not_a_number)
}

/// JSON as text inside a longer value: texts as they are, booleans lower case, numbers with all their digits.
pub(super) fn text(json: &Json) -> Cow<'_, str> {
    match json {
        Json::String(text) => Cow::Borrowed(text),
        Json::Null => Cow::Borrowed(""),
        Json::Bool(true) => Cow::Borrowed("true"),
        Json::Bool(false) => Cow::Borrowed("false"),
        Json::Number(_) | Json::Array(_) | Json::Object(_) => Cow::Owned(json.to_string()),
    }
}
