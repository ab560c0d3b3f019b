//! A placeholder's inside: found in its text, looked over once, and compiled.
//!
//! The language is MiniJinja's. Before a text is compiled, its operators are made to follow our rules (see `rewriting`)
//! and every plain path in it is replaced by a name of ours: paths are followed in the event's JSON, so that the engine
//! gets the few values it needs and no copy of the event.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object};
use minijinja::{Expression as Compiled, Value};
use serde_json::Value as Json;

use super::convert;
use super::filters::ENGINE;
use super::path::{JsonPath, Path};

mod direct;
mod names;
mod rewriting;
mod token;

use direct::Direct;
use token::{Token, tokens};

/// Longest placeholder, in bytes.
const LONGEST: usize = 2 * 1024;
/// Most `+` and `~` in one placeholder: each may copy 64 KiB.
const MOST_JOINS: usize = 32;
/// The name under which the filters behind a JSONPath see its result.
pub(super) const PATH_RESULT: &str = "path_";
/// A name that nothing has.
const ABSENT: &str = "absent_";

/// What a placeholder does.
#[derive(Debug)]
pub(super) enum Reads {
    /// A plain path, read without the engine.
    Path(Path),
    /// A JSONPath and the filters behind it.
    JsonPath { path: JsonPath, then: Option<Expression> },
    /// Anything else.
    Expression(Expression),
}

/// A compiled expression and the paths it reads.
pub(super) struct Expression {
    compiled: Box<Compiled<'static, 'static>>,
    /// The same without the engine, which takes longer than all the rest of a lead.
    direct: Option<Direct>,
    pub(super) paths: Vec<Path>,
}

impl Expression {
    /// Evaluates it. `values` are those of its paths, in order; `None` is absent.
    pub(super) fn evaluate(
        &self,
        values: &[Option<Cow<'_, Json>>],
    ) -> Result<Option<Json>, minijinja::Error> {
        match self.direct.as_ref().and_then(|direct| direct.evaluate(values)) {
            Some(json) => Ok(Some(json).filter(|json| !json.is_null())),
            None => self.evaluate_by_engine(values),
        }
    }

    fn evaluate_by_engine(&self, values: &[Option<Cow<'_, Json>>]) -> Result<Option<Json>, minijinja::Error> {
        let values = values.iter().map(|json| json.as_deref().map(convert::to_engine)).collect();
        convert::from_engine(&self.compiled.eval(Value::from_object(Values(values)))?)
    }
}

impl fmt::Debug for Expression {
    /// Without the engine, which would print all of itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expression").field("paths", &self.paths).finish_non_exhaustive()
    }
}

/// The values of an expression's paths under the names that [`name_of`] gives them.
#[derive(Debug)]
struct Values(Vec<Option<Value>>);

impl Object for Values {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let index: usize = key.strip_prefix('p')?.strip_suffix('_')?.parse().ok()?;
        self.0.get(index)?.clone()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Empty
    }
}

/// The name that stands for a path of an expression.
fn name_of(index: usize) -> String {
    format!("p{index}_")
}

/// What is wrong with a placeholder: a sentence, the text to underline, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) message: String,
    pub(super) part: String,
    pub(super) help: Option<String>,
}

impl Wrong {
    fn new(message: impl Into<String>, part: &str, help: Option<&str>) -> Self {
        Self { message: message.into(), part: part.to_owned(), help: help.map(str::to_owned) }
    }
}

impl Reads {
    /// Compiles the inside of a placeholder. Every fault is reported, not only the first.
    pub(super) fn compile(source: &str) -> Result<Self, Vec<Wrong>> {
        if source.len() > LONGEST {
            let message = format!("a placeholder may be {LONGEST} bytes long, this one has {}", source.len());
            return Err(vec![Wrong::new(message, source, Some("take it apart: put pieces under `vars:`"))]);
        }
        if source.starts_with('$') {
            return compile_json_path(source);
        }
        let tokens = tokens(source).map_err(|wrong| vec![wrong])?;
        if tokens.is_empty() {
            let help = "write a path such as {{ contact.name }}";
            return Err(vec![Wrong::new("there is nothing in this placeholder", source, Some(help))]);
        }
        if let Some((path, length)) = names::path(&tokens)
            && length == tokens.len()
        {
            return Ok(Self::Path(path));
        }
        compile_expression(source, &tokens).map(Self::Expression)
    }

    /// Every plain path in it.
    pub(super) fn paths(&self) -> &[Path] {
        match self {
            Self::Path(path) => std::slice::from_ref(path),
            Self::Expression(expression) | Self::JsonPath { then: Some(expression), .. } => &expression.paths,
            Self::JsonPath { then: None, .. } => &[],
        }
    }
}

/// `$…` up to the first `|` outside brackets and quotes is the path; the rest are filters.
fn compile_json_path(source: &str) -> Result<Reads, Vec<Wrong>> {
    let (path, filters) = split_json_path(source);
    let path = path.trim();
    let compiled = JsonPath::compile(path).map_err(|message| {
        let help =
            "conditions and `or` do not work behind `$`; plain paths take them: {{ contact.a or contact.b }}";
        vec![Wrong::new(message, path, Some(help))]
    })?;
    let then = match filters {
        None => None,
        Some(filters) => {
            let source = format!("{PATH_RESULT} |{filters}");
            Some(compile_expression(&source, &tokens(&source).map_err(|wrong| vec![wrong])?)?)
        }
    };
    Ok(Reads::JsonPath { path: compiled, then })
}

fn split_json_path(source: &str) -> (&str, Option<&str>) {
    let split = find_outside(source, |rest| rest.starts_with('|')).and_then(|at| source.split_at_checked(at));
    match split {
        Some((path, filters)) => (path, filters.strip_prefix('|')),
        None => (source, None),
    }
}

/// The first place outside quotes and brackets where `here` holds for the rest of the text.
pub(super) fn find_outside(text: &str, here: impl Fn(&str) -> bool) -> Option<usize> {
    let (mut depth, mut quote, mut escaped) = (0_usize, None, false);
    for (at, letter) in text.char_indices() {
        match (quote, letter) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), _) if letter == open => quote = None,
            (None, '\'' | '"') => quote = Some(letter),
            (None, _) if depth == 0 && text.get(at..).is_some_and(&here) => return Some(at),
            (None, '{' | '[' | '(') => depth += 1,
            (None, '}' | ']' | ')') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

fn compile_expression(source: &str, tokens: &[Token<'_>]) -> Result<Expression, Vec<Wrong>> {
    let found = names::check(tokens)?;
    if assigns(tokens) {
        return Err(vec![Wrong::new("`=` does not compare", "=", Some("write `==`"))]);
    }
    let rewritten = rewriting::rewrite(tokens, &found.places).map_err(|wrong| vec![wrong])?;
    let compiled = ENGINE.compile_expression_owned(rewritten).map_err(|error| {
        let detail = error.detail().unwrap_or("it cannot be read");
        let message = format!("this expression is not complete or not correct: {detail}");
        let help = "a placeholder is a path with filters, such as {{ contact.name | default('guest') }}";
        vec![Wrong::new(message, source.trim(), Some(help))]
    })?;
    let direct = Direct::compile(tokens, &found.paths);
    Ok(Expression { compiled: Box::new(compiled), direct, paths: found.paths })
}

/// Whether a single `=` stands outside the arguments of a filter.
fn assigns(tokens: &[Token<'_>]) -> bool {
    let mut depth = 0_i32;
    tokens.iter().any(|token| {
        depth += i32::from(token.is("(")) - i32::from(token.is(")"));
        depth == 0 && token.is("=")
    })
}

#[cfg(test)]
mod tests;
