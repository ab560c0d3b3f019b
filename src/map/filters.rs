//! The expression engine: MiniJinja with our *absent* and with limits on size.
//!
//! MiniJinja's own habits do not fit data that goes into a CRM: `null|lower` is the text `none`, `true` prints as `True`,
//! `'a' * 100000000` makes 100 MB. So every filter is wrapped (nothing in, nothing out), text is made by our own rules,
//! and whatever can grow counts before it builds. Functions are not offered: mappings pick and format, they do not compute.

use std::sync::LazyLock;

use minijinja::value::{Kwargs, Rest, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior, Value, filters, tests};

use super::convert;
use crate::links::{StartParameter, start_parameter};

/// The largest text that a value may have, in bytes.
pub(super) const LARGEST: usize = 64 * 1024;

/// Instructions that one expression may run.
const FUEL: u64 = 20_000;

/// Filters by which the rewriting of operators enforces our rules; the underscore keeps them out of mappings' way.
pub(super) const NUMBER: &str = "number_";
pub(super) const TEXT: &str = "text_";
/// Tests that stand in for `<`, `<=`, `>`, `>=` and `in`.
pub(super) const COMPARISONS: [(&str, &str); 5] =
    [("<", "below_"), ("<=", "at_most_"), (">", "above_"), (">=", "at_least_"), ("in", "within_")];

/// A builtin that works on values as they are.
type Builtin = fn() -> Value;

/// Filters that take any value.
const PLAIN: &[(&str, Builtin)] = &[
    ("length", || Value::from_function(filters::length)),
    ("count", || Value::from_function(filters::length)),
    ("first", || Value::from_function(filters::first)),
    ("last", || Value::from_function(filters::last)),
    ("list", || Value::from_function(filters::list)),
    ("reverse", || Value::from_function(filters::reverse)),
    ("sort", || Value::from_function(filters::sort)),
    ("unique", || Value::from_function(filters::unique)),
    ("min", || Value::from_function(filters::min)),
    ("max", || Value::from_function(filters::max)),
    ("sum", || Value::from_function(filters::sum)),
    ("abs", || Value::from_function(filters::abs)),
    ("round", || Value::from_function(filters::round)),
    ("int", || Value::from_function(filters::int)),
    ("float", || Value::from_function(filters::float)),
    ("bool", || Value::from_function(filters::bool)),
    ("attr", || Value::from_function(filters::attr)),
    ("map", || Value::from_function(filters::map)),
    ("select", || Value::from_function(filters::select)),
    ("reject", || Value::from_function(filters::reject)),
    ("selectattr", || Value::from_function(filters::selectattr)),
    ("rejectattr", || Value::from_function(filters::rejectattr)),
];

/// Filters on text: numbers and booleans are first written our way.
const TEXTUAL: &[(&str, Builtin)] = &[
    ("lower", || Value::from_function(filters::lower)),
    ("upper", || Value::from_function(filters::upper)),
    ("title", || Value::from_function(filters::title)),
    ("capitalize", || Value::from_function(filters::capitalize)),
    ("trim", || Value::from_function(filters::trim)),
    ("split", || Value::from_function(filters::split)),
    ("lines", || Value::from_function(filters::lines)),
];

/// Filters of our own making, because the builtin may grow without limit or writes values in Python's way.
const OURS: &[&str] = &["default", "d", "join", "replace", "format", "string", "tojson", "start_kind"];

/// Tests that are offered as they are.
const TESTS: &[(&str, Builtin)] = &[
    ("boolean", || Value::from_function(tests::is_boolean)),
    ("number", || Value::from_function(tests::is_number)),
    ("integer", || Value::from_function(tests::is_integer)),
    ("float", || Value::from_function(tests::is_float)),
    ("string", || Value::from_function(tests::is_string)),
    ("sequence", || Value::from_function(tests::is_sequence)),
    ("mapping", || Value::from_function(tests::is_mapping)),
    ("odd", || Value::from_function(tests::is_odd)),
    ("even", || Value::from_function(tests::is_even)),
    ("divisibleby", || Value::from_function(tests::is_divisibleby)),
    ("startingwith", || Value::from_function(tests::is_startingwith)),
    ("endingwith", || Value::from_function(tests::is_endingwith)),
    ("lower", || Value::from_function(tests::is_lower)),
    ("upper", || Value::from_function(tests::is_upper)),
    ("true", || Value::from_function(tests::is_true)),
    ("false", || Value::from_function(tests::is_false)),
    ("eq", || Value::from_function(tests::is_eq)),
    ("equalto", || Value::from_function(tests::is_eq)),
    ("ne", || Value::from_function(tests::is_ne)),
];

/// Tests of our own making: absent is one thing, whether the key is missing or null.
const OUR_TESTS: &[&str] = &["defined", "undefined", "none", "in"];

/// Names of the filters that a mapping may use.
pub(super) fn filter_names() -> impl Iterator<Item = &'static str> + Clone {
    PLAIN.iter().chain(TEXTUAL).map(|(name, _)| *name).chain(OURS.iter().copied())
}

/// Names of the tests that a mapping may use.
pub(super) fn test_names() -> impl Iterator<Item = &'static str> + Clone {
    TESTS.iter().map(|(name, _)| *name).chain(OUR_TESTS.iter().copied())
}

/// The engine. Expressions are compiled against it once, when a workspace is loaded.
pub(super) static ENGINE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut engine = Environment::empty();
    engine.set_undefined_behavior(UndefinedBehavior::Chainable);
    engine.set_fuel(Some(FUEL));
    for (name, builtin) in PLAIN {
        let inner = builtin();
        engine.add_filter(*name, move |state: &mut State, value: Value, rest: Rest<ValueOrKwargs>| {
            if absent(&value) { Ok(Value::UNDEFINED) } else { call(&inner, state, value, rest) }
        });
    }
    for (name, builtin) in TEXTUAL {
        let inner = builtin();
        engine.add_filter(*name, move |state: &mut State, value: Value, rest: Rest<ValueOrKwargs>| {
            if absent(&value) { Ok(Value::UNDEFINED) } else { call(&inner, state, as_text(value)?, rest) }
        });
    }
    for (name, builtin) in TESTS {
        let inner = builtin();
        engine.add_test(*name, move |state: &mut State, value: Value, rest: Rest<ValueOrKwargs>| {
            if absent(&value) && !compares_equality(name) {
                return Ok(false);
            }
            call(&inner, state, value, rest).map(|result| result.is_true())
        });
    }
    engine.add_filter("default", default);
    engine.add_filter("d", default);
    engine.add_filter("join", join);
    engine.add_filter("replace", replace);
    engine.add_filter("format", format);
    engine.add_filter("string", |value: Value| if absent(&value) { Ok(value) } else { as_text(value) });
    engine.add_filter("tojson", to_json);
    engine.add_filter("start_kind", start_kind);
    engine.add_filter(NUMBER, number);
    engine.add_filter(TEXT, text_operand);
    engine.add_test("defined", |value: &Value| !absent(value));
    engine.add_test("undefined", |value: &Value| absent(value));
    engine.add_test("none", |value: &Value| absent(value));
    engine.add_test("in", within);
    engine.add_test("within_", within);
    engine.add_test("below_", |left: &Value, right: &Value| comparable(left, right) && left < right);
    engine.add_test("at_most_", |left: &Value, right: &Value| comparable(left, right) && left <= right);
    engine.add_test("above_", |left: &Value, right: &Value| comparable(left, right) && left > right);
    engine.add_test("at_least_", |left: &Value, right: &Value| comparable(left, right) && left >= right);
    engine
});

/// Missing and null are one thing.
pub(super) fn absent(value: &Value) -> bool {
    value.is_undefined() || value.is_none()
}

fn compares_equality(test: &str) -> bool {
    matches!(test, "eq" | "equalto" | "ne")
}

/// Nothing is larger or smaller than something absent.
fn comparable(left: &Value, right: &Value) -> bool {
    !absent(left) && !absent(right)
}

/// `left in right`; nothing absent is in anything, and nothing is in something absent.
fn within(state: &mut State, left: &Value, right: &Value) -> Result<bool, Error> {
    if !comparable(left, right) {
        return Ok(false);
    }
    let contains = Value::from_function(tests::is_in);
    call(&contains, state, left.clone(), Rest(vec![right.clone().into()])).map(|result| result.is_true())
}

fn call(inner: &Value, state: &mut State, value: Value, rest: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let mut arguments = Vec::with_capacity(rest.len() + 1);
    arguments.push(value);
    arguments.extend(rest.0.into_iter().map(ValueOrKwargs::into_value));
    capped(inner.call(state, &arguments)?)
}

/// Refuses a text over [`LARGEST`].
fn capped(value: Value) -> Result<Value, Error> {
    match value.as_str() {
        Some(text) if text.len() > LARGEST => Err(too_large()),
        Some(_) | None => Ok(value),
    }
}

pub(super) fn too_large() -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("the text would be longer than {} KiB", LARGEST / 1024))
}

/// A value as text, by our rules.
fn as_text(value: Value) -> Result<Value, Error> {
    if value.kind() == ValueKind::String {
        return Ok(value);
    }
    Ok(Value::from(
        convert::from_engine(&value)?.map(|json| convert::text(&json).into_owned()).unwrap_or_default(),
    ))
}

fn text_of(value: &Value) -> Result<String, Error> {
    as_text(value.clone()).map(|text| text.as_str().unwrap_or_default().to_owned())
}

/// The default for something absent; with `true` as second argument also for an empty text, 0 or an empty list.
fn default(value: Value, other: Option<Value>, also_empty: Option<bool>) -> Value {
    if absent(&value) || (also_empty.unwrap_or(false) && !value.is_true()) {
        other.unwrap_or_else(|| Value::from(""))
    } else {
        value
    }
}

/// Joins what is there; absent items leave no empty place.
#[expect(clippy::needless_pass_by_value, reason = "the engine hands named arguments over by value")]
fn join(value: &Value, joiner: Option<&Value>, options: Kwargs) -> Result<Value, Error> {
    let attribute: Option<String> = options.get("attribute")?;
    options.assert_all_used()?;
    if absent(value) {
        return Ok(Value::UNDEFINED);
    }
    if value.kind() == ValueKind::String {
        return Ok(value.clone());
    }
    let joiner = joiner.map(text_of).transpose()?.unwrap_or_default();
    let mut out = String::new();
    let mut first = true;
    for item in value.try_iter()? {
        let item = match &attribute {
            Some(name) => item.get_attr(name).unwrap_or(Value::UNDEFINED),
            None => item,
        };
        if absent(&item) {
            continue;
        }
        if !first {
            out.push_str(&joiner);
        }
        first = false;
        out.push_str(&text_of(&item)?);
        if out.len() > LARGEST {
            return Err(too_large());
        }
    }
    Ok(Value::from(out))
}

fn replace(value: &Value, from: &Value, to: &Value) -> Result<Value, Error> {
    if absent(value) {
        return Ok(Value::UNDEFINED);
    }
    let (text, from, to) = (text_of(value)?, text_of(from)?, text_of(to)?);
    if from.is_empty() {
        return Err(Error::new(ErrorKind::InvalidOperation, "`replace` needs a text to look for"));
    }
    let found = text.matches(&from).count();
    if text.len() + found.saturating_mul(to.len().saturating_sub(from.len())) > LARGEST {
        return Err(too_large());
    }
    Ok(Value::from(text.replace(&from, &to)))
}

/// Python's `%` formatting, with widths and precisions of at most three digits, because a width is paid for in memory.
fn format(state: &mut State, pattern: &Value, rest: Rest<Value>) -> Result<Value, Error> {
    if absent(pattern) || rest.iter().any(absent) {
        return Ok(Value::UNDEFINED);
    }
    let text = text_of(pattern)?;
    let mut digits = 0;
    for letter in text.chars() {
        digits = if letter.is_ascii_digit() { digits + 1 } else { 0 };
        if digits > 3 || letter == '*' {
            let message = "`format` takes widths of at most three digits, and no `*`";
            return Err(Error::new(ErrorKind::InvalidOperation, message));
        }
    }
    let arguments =
        rest.0.into_iter().map(|value| if value.is_number() { Ok(value) } else { as_text(value) });
    let arguments = arguments.map(|value| value.map(ValueOrKwargs::from)).collect::<Result<Vec<_>, _>>()?;
    let builtin = Value::from_function(filters::format);
    call(&builtin, state, Value::from(text), Rest(arguments))
}

/// What the start parameter of a bot is: `none`, `crm_id`, `device`, `token` or `other`. The one filter for which nothing is
/// something: a mapping chooses by it.
fn start_kind(value: &Value) -> Result<&'static str, Error> {
    if absent(value) {
        return Ok(StartParameter::None.kind());
    }
    text_of(value).map(|text| start_parameter(&text).kind())
}

fn to_json(value: &Value) -> Result<Value, Error> {
    match convert::from_engine(value)? {
        None => Ok(Value::UNDEFINED),
        Some(json) => capped(Value::from(json.to_string())),
    }
}

/// An operand of `*`: text and lists would be repeated.
fn number(value: Value) -> Result<Value, Error> {
    if absent(&value) {
        return Err(absent_operand());
    }
    if value.is_number() || value.kind() == ValueKind::Bool {
        return Ok(value);
    }
    let message =
        format!("`*` multiplies numbers, not a {}; `|int` or `|float` make a number of a text", value.kind());
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

/// An operand of `~`, written our way.
fn text_operand(value: Value) -> Result<Value, Error> {
    if absent(&value) { Err(absent_operand()) } else { as_text(value) }
}

fn absent_operand() -> Error {
    Error::new(ErrorKind::UndefinedError, "an operand is absent")
}

/// Whether an expression failed only because something in it is absent, which makes the whole value absent.
pub(super) fn failed_for_absence(error: &Error) -> bool {
    // The engine has no kind of its own for an operator beside something undefined; its text names types, not values.
    let operand = |detail: &str| {
        detail.starts_with("tried to use") && (detail.contains(" undefined") || detail.contains(" none"))
    };
    error.kind() == ErrorKind::UndefinedError || error.detail().is_some_and(operand)
}
