//! Odoo's domains in prefix notation, as far as leadfold writes them.

use serde_json::Value;

use super::stand_in::Record;

/// The fields that the terms name.
pub(super) fn fields(terms: &[Value]) -> Vec<&str> {
    terms.iter().filter_map(|term| term.as_array()?.first()?.as_str()).collect()
}

/// Whether a record is in the domain; expressions side by side must all hold.
pub(super) fn holds(terms: &[Value], id: u64, record: &Record) -> bool {
    let mut rest = terms;
    let mut all = true;
    while !rest.is_empty() {
        let (this, after) = expression(rest, id, record);
        (all, rest) = (all && this, after);
    }
    all
}

/// The first expression's value, and what stands after it.
fn expression<'a>(terms: &'a [Value], id: u64, record: &Record) -> (bool, &'a [Value]) {
    let (first, rest) = terms.split_first().expect("a domain that ends too soon");
    let Some(operator) = first.as_str() else { return (term(first, id, record), rest) };
    let (left, rest) = expression(rest, id, record);
    let (right, rest) = expression(rest, id, record);
    match operator {
        "|" => (left || right, rest),
        "&" => (left && right, rest),
        other => panic!("operator {other}"),
    }
}

fn term(term: &Value, id: u64, record: &Record) -> bool {
    let (name, operator, sought) = (term[0].as_str().unwrap(), term[1].as_str().unwrap(), &term[2]);
    let no = Value::Bool(false);
    let id = Value::from(id);
    let value = if name == "id" { &id } else { record.get(name).unwrap_or(&no) };
    match operator {
        "=" => value == sought,
        "in" => sought.as_array().unwrap().contains(value),
        "=like" => value.as_str().is_some_and(|text| is_like(text, sought.as_str().unwrap())),
        other => panic!("operator {other}"),
    }
}

/// Patterns here begin and end with `%`.
fn is_like(text: &str, pattern: &str) -> bool {
    let mut rest = text;
    pattern.split('%').all(|part| match rest.split_once(part) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}
