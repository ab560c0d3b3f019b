//! Paths into JSON: plain ones (`contact.variables["Ваш телефон"]`), and RFC 9535 JSONPath (`$.contact.tags[*]`).
//!
//! A plain path is read straight from the event, so its value keeps every digit and nothing is converted. A JSONPath is
//! bounded when it is compiled (length, nesting, fan-out) and when it runs (nodes of the event), because its wildcards
//! multiply.

use jsonpath_rust::parser::model::{
    Comparable, Filter, FilterAtom, FnArg, JpQuery, Segment, Selector, Test, TestFunction,
};
use jsonpath_rust::parser::parse_json_path;
use jsonpath_rust::query::js_path_process;
use serde_json::Value as Json;

/// Longest JSONPath, in bytes.
const LONGEST: usize = 256;
/// Deepest nesting of brackets in a JSONPath.
const DEEPEST: usize = 8;
/// How many selectors all the unions of a JSONPath may multiply to.
const WIDEST: usize = 64;
/// Most nodes an event may have for a JSONPath with wildcards to run over it.
const MOST_NODES: usize = 5_000;

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A key of an object; a whole number is also an index of a list.
    Key(String),
    /// An index of a list; negative ones count from the end.
    Index(i64),
}

/// A plain path: a top-level name and the steps below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) root: String,
    pub(super) steps: Vec<Step>,
}

/// Follows steps; `None` when there is nothing, or null.
pub(super) fn follow<'j>(root: &'j Json, steps: &[Step]) -> Option<&'j Json> {
    steps.iter().try_fold(root, |json, step| down(json, step)).filter(|json| !json.is_null())
}

fn down<'j>(json: &'j Json, step: &Step) -> Option<&'j Json> {
    match (json, step) {
        (Json::Object(entries), Step::Key(key)) => entries.get(key),
        (Json::Array(items), Step::Index(index)) => {
            let length = i64::try_from(items.len()).ok()?;
            let index = if *index < 0 { length + index } else { *index };
            items.get(usize::try_from(index).ok()?)
        }
        _ => None,
    }
}

/// A compiled JSONPath.
#[derive(Debug)]
pub(crate) enum JsonPath {
    /// At most one value.
    Singular(Vec<Step>),
    /// A list of values.
    Many(JpQuery),
}

impl JsonPath {
    /// Compiles a path; the error is a sentence for people.
    pub(crate) fn compile(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("a JSONPath may be {LONGEST} bytes long, this one has {}", text.len()));
        }
        if nesting(text) > DEEPEST {
            return Err(format!("a JSONPath may nest brackets {DEEPEST} deep"));
        }
        let query = parse_json_path(text).map_err(|error| {
            let reason = error.to_string();
            let reason = reason.lines().rfind(|line| line.contains("expected")).unwrap_or(&reason).trim();
            format!("`{text}` is not a JSONPath: {}", reason.trim_start_matches("= "))
        })?;
        bounded(&query.segments)?;
        let steps: Option<Vec<Step>> = query.segments.iter().map(singular).collect();
        Ok(match steps {
            Some(steps) => Self::Singular(steps),
            None => Self::Many(query),
        })
    }

    /// What the path finds: a value or nothing for a singular path, a list (perhaps empty) for others.
    pub(crate) fn read(&self, root: &Json) -> Result<Option<Json>, String> {
        match self {
            Self::Singular(steps) => Ok(follow(root, steps).cloned()),
            Self::Many(query) => {
                if !fits(root, &mut { MOST_NODES }) {
                    return Err(format!(
                        "the event has more than {MOST_NODES} values, too many for a JSONPath with wildcards"
                    ));
                }
                let found = js_path_process(query, root).map_err(|error| error.to_string())?;
                let present = found.into_iter().map(|found| found.val).filter(|json| !json.is_null());
                Ok(Some(Json::Array(present.cloned().collect())))
            }
        }
    }
}

fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for letter in text.chars() {
        match letter {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

fn singular(segment: &Segment) -> Option<Step> {
    match segment {
        Segment::Selector(Selector::Name(name)) => Some(Step::Key(unquoted(name))),
        Segment::Selector(Selector::Index(index)) => Some(Step::Index(*index)),
        Segment::Selector(Selector::Wildcard | Selector::Slice(..) | Selector::Filter(_))
        | Segment::Selectors(_)
        | Segment::Descendant(_) => None,
    }
}

/// The parser keeps the quotes of `['name']`.
fn unquoted(name: &str) -> String {
    let inner = |quote: char| name.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    inner('\'').or_else(|| inner('"')).unwrap_or(name).to_owned()
}

/// Refuses paths whose result or work would multiply: `..` twice, wide unions, wildcards inside filters.
fn bounded(segments: &[Segment]) -> Result<(), String> {
    let (mut descents, mut width) = (0, 1_usize);
    for segment in segments {
        let inner = match segment {
            Segment::Descendant(inner) => {
                descents += 1;
                inner
            }
            Segment::Selector(_) | Segment::Selectors(_) => segment,
        };
        match inner {
            Segment::Selectors(selectors) => {
                width = width.saturating_mul(selectors.len());
                selectors.iter().try_for_each(bounded_selector)?;
            }
            Segment::Selector(selector) => bounded_selector(selector)?,
            Segment::Descendant(_) => descents += 1,
        }
    }
    if descents > 1 {
        return Err("a JSONPath may descend with `..` once".to_owned());
    }
    if width > WIDEST {
        return Err(format!(
            "the unions `[a, b]` of a JSONPath may multiply to {WIDEST} selectors, not {width}"
        ));
    }
    Ok(())
}

fn bounded_selector(selector: &Selector) -> Result<(), String> {
    match selector {
        Selector::Filter(filter) => bounded_filter(filter),
        Selector::Name(_) | Selector::Wildcard | Selector::Index(_) | Selector::Slice(..) => Ok(()),
    }
}

fn bounded_filter(filter: &Filter) -> Result<(), String> {
    let simple = match filter {
        Filter::Or(filters) | Filter::And(filters) => return filters.iter().try_for_each(bounded_filter),
        Filter::Atom(FilterAtom::Filter { expr, .. }) => return bounded_filter(expr),
        Filter::Atom(FilterAtom::Comparison(comparison)) => {
            let (left, right) = comparison.vals();
            [left, right].into_iter().all(|side| match side {
                Comparable::Literal(_) | Comparable::SingularQuery(_) => true,
                Comparable::Function(function) => arguments(function).into_iter().all(is_simple),
            })
        }
        Filter::Atom(FilterAtom::Test { expr, .. }) => is_simple_test(expr),
    };
    if simple {
        Ok(())
    } else {
        Err("a JSONPath filter may look at single values, not wildcards or `..`".to_owned())
    }
}

fn arguments(function: &TestFunction) -> Vec<&FnArg> {
    match function {
        TestFunction::Custom(_, arguments) => arguments.iter().collect(),
        TestFunction::Length(argument) => vec![argument],
        TestFunction::Value(argument) | TestFunction::Count(argument) => vec![argument],
        TestFunction::Search(text, pattern) | TestFunction::Match(text, pattern) => vec![text, pattern],
    }
}

fn is_simple(argument: &FnArg) -> bool {
    match argument {
        FnArg::Literal(_) => true,
        FnArg::Test(test) => is_simple_test(test),
        FnArg::Filter(filter) => bounded_filter(filter).is_ok(),
    }
}

fn is_simple_test(test: &Test) -> bool {
    match test {
        Test::RelQuery(segments) => segments.iter().all(|segment| singular(segment).is_some()),
        Test::AbsQuery(query) => query.segments.iter().all(|segment| singular(segment).is_some()),
        Test::Function(function) => arguments(function).into_iter().all(is_simple),
    }
}

/// Whether a value has at most `budget` nodes.
fn fits(json: &Json, budget: &mut usize) -> bool {
    if *budget == 0 {
        return false;
    }
    *budget -= 1;
    match json {
        Json::Array(items) => items.iter().all(|item| fits(item, budget)),
        Json::Object(entries) => entries.values().all(|item| fits(item, budget)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn singular_paths_give_a_value_and_others_a_list() {
        let event = json!({
            "contact": { "tags": ["vip", null, "ads"], "variables": { "Ваш телефон": 12_345_678_901_234_567_890_u64 } },
            "empty": null,
        });
        let check = |path: &str, expect: Option<Json>| {
            let compiled = JsonPath::compile(path).unwrap_or_else(|error| panic!("{path}: {error}"));
            assert_eq!(compiled.read(&event).unwrap(), expect, "{path}");
        };
        check("$.contact.tags[0]", Some(json!("vip")));
        check("$.contact.tags[-1]", Some(json!("ads")));
        check("$.contact.tags[9]", None);
        check("$.contact.tags[1]", None);
        check("$['contact']['variables'][\"Ваш телефон\"]", Some(json!(12_345_678_901_234_567_890_u64)));
        check("$.contact.variables['Ваш телефон']", Some(json!(12_345_678_901_234_567_890_u64)));
        check("$.empty", None);
        check("$.nothing.at.all", None);
        check("$.contact.tags[*]", Some(json!(["vip", "ads"])));
        check("$.contact.tags[0, 2]", Some(json!(["vip", "ads"])));
        check("$..tags[?@ == 'vip']", Some(json!(["vip"])));
        check("$.contact.nothing[*]", Some(json!([])));
        check("$.contact.tags[?match(@, 'v.*')]", Some(json!(["vip"])));
        check("$.contact.tags[?length(@) == 3 && @ != 'ads']", Some(json!(["vip"])));
    }

    #[test]
    fn paths_that_would_multiply_are_refused_when_they_are_compiled() {
        let nested = format!("$[?{}@.a{}]", "(".repeat(20), ")".repeat(20));
        let long = format!("$.{}", "a".repeat(300));
        let wide = format!("${}", "[0,0]".repeat(7));
        for path in [
            "$.a or $.b",
            "$.",
            "$[",
            "$..*..*",
            &nested,
            &long,
            &wide,
            "$[?@..a]",
            "$[?$[*].a]",
            "$[?count(@..*) > 1]",
            "$[?!(count($[*]) == 1)]",
        ] {
            assert!(JsonPath::compile(path).is_err(), "{path}");
        }
    }

    #[test]
    fn an_event_with_too_many_values_is_not_searched() {
        let large = json!({ "list": vec![0; MOST_NODES] });
        assert!(JsonPath::compile("$..x").unwrap().read(&large).is_err());
        assert_eq!(JsonPath::compile("$.list[4]").unwrap().read(&large), Ok(Some(json!(0))));
    }
}
