//! A placeholder's inside: found in its text, looked over once, and compiled.
//!
//! The language is MiniJinja's. Its operators are made to follow our rules by rewriting the text before it is compiled:
//! `a < b` and `a in b` become tests that are false for something absent, the operands of `*` must be numbers (a text
//! times a hundred million is 100 MB), the operands of `~` are written our way. The rewriting works on tokens, because
//! that is all it needs: filters and tests bind tighter than every operator.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use minijinja::Expression as Compiled;

use super::filters::{self, COMPARISONS, ENGINE, NUMBER, TEXT};
use super::path::{JsonPath, Step};
use super::problem::suggest;

mod rewriting;
mod token;

use rewriting::rewrite;
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
    Path { root: String, steps: Vec<Step> },
    /// A JSONPath and the filters behind it.
    JsonPath { path: JsonPath, then: Option<Expression> },
    /// Anything else.
    Expression(Expression),
}

/// A compiled expression and the names it uses.
pub(super) struct Expression {
    pub(super) compiled: Box<Compiled<'static, 'static>>,
    pub(super) names: Vec<Arc<str>>,
    pub(super) variables: Variables,
}

impl fmt::Debug for Expression {
    /// Without the engine, which would print all of itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expression")
            .field("names", &self.names)
            .field("variables", &self.variables)
            .finish_non_exhaustive()
    }
}

/// Which of the `vars` a placeholder uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Variables {
    /// These.
    Named(BTreeSet<Arc<str>>),
    /// Any: `vars` itself is passed on or indexed by a value.
    All,
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

/// The names that a placeholder uses, for the checks that need to know all of a file first.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Uses {
    pub(super) variables: Variables,
    pub(super) lead: bool,
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
        if let Some((root, steps)) = plain_path(&tokens) {
            return Ok(Self::Path { root, steps });
        }
        compile_expression(source, &tokens).map(Self::Expression)
    }

    /// The names it uses.
    pub(super) fn uses(&self) -> Uses {
        let none = Variables::Named(BTreeSet::new());
        match self {
            Self::Path { root, steps } => {
                let variables = match steps.first() {
                    _ if root != "vars" => none,
                    Some(Step::Key(name)) => Variables::Named([name.as_str().into()].into()),
                    Some(Step::Index(_)) | None => Variables::All,
                };
                Uses { variables, lead: root == "lead" }
            }
            Self::Expression(expression) | Self::JsonPath { then: Some(expression), .. } => Uses {
                variables: expression.variables.clone(),
                lead: expression.names.iter().any(|name| **name == *"lead"),
            },
            Self::JsonPath { then: None, .. } => Uses { variables: none, lead: false },
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

/// `a.b["c d"][0].1`, and nothing else.
fn plain_path(tokens: &[Token<'_>]) -> Option<(String, Vec<Step>)> {
    let (Token::Name(root), mut rest) = tokens.split_first()? else { return None };
    if is_word(root) {
        return None;
    }
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let (step, behind) = match rest {
            [dot, Token::Name(name), behind @ ..] if dot.is(".") => (Step::Key((*name).to_owned()), behind),
            [dot, Token::Number(index), behind @ ..] if dot.is(".") => {
                (Step::Index(index.parse().ok()?), behind)
            }
            [open, text @ Token::Text(_), close, behind @ ..] if open.is("[") && close.is("]") => {
                (Step::Key(text.literal()?.to_owned()), behind)
            }
            [open, Token::Number(index), close, behind @ ..] if open.is("[") && close.is("]") => {
                (Step::Index(index.parse().ok()?), behind)
            }
            _ => return None,
        };
        steps.push(step);
        rest = behind;
    }
    Some(((*root).to_owned(), steps))
}

/// Words of the language, which are no names.
fn is_word(name: &str) -> bool {
    matches!(
        name,
        "and"
            | "or"
            | "not"
            | "in"
            | "is"
            | "if"
            | "else"
            | "true"
            | "True"
            | "false"
            | "False"
            | "none"
            | "None"
    )
}

fn compile_expression(source: &str, tokens: &[Token<'_>]) -> Result<Expression, Vec<Wrong>> {
    let (names, variables) = check_names(tokens)?;
    if assigns(tokens) {
        return Err(vec![Wrong::new("`=` does not compare", "=", Some("write `==`"))]);
    }
    let syntax = |error: &minijinja::Error| {
        let detail =
            error.detail().unwrap_or("it cannot be read").replace("end of variable block", "the end");
        let help = "a placeholder is a path with filters, such as {{ contact.name | default('guest') }}";
        vec![Wrong::new(
            format!("this expression is not complete or not correct: {detail}"),
            source.trim(),
            Some(help),
        )]
    };
    let rewritten = rewrite(tokens).map_err(|wrong| vec![wrong])?;
    let compiled = ENGINE.compile_expression_owned(rewritten).map_err(|error| syntax(&error))?;
    Ok(Expression { compiled: Box::new(compiled), names, variables })
}

/// Whether a single `=` stands outside the arguments of a filter.
fn assigns(tokens: &[Token<'_>]) -> bool {
    let mut depth = 0_i32;
    tokens.iter().any(|token| {
        depth += i32::from(token.is("(")) - i32::from(token.is(")"));
        depth == 0 && token.is("=")
    })
}

/// The names that stand free, and every filter, test and function that we do not have.
fn check_names(tokens: &[Token<'_>]) -> Result<(Vec<Arc<str>>, Variables), Vec<Wrong>> {
    let mut names = BTreeSet::new();
    let mut variables = Some(BTreeSet::new());
    let mut wrongs = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| tokens.get(at)).copied();
        let twice_before = at.checked_sub(2).and_then(|at| tokens.get(at)).copied();
        let behind = tokens.get(at + 1).copied();
        let behind_is = |symbol: &str| behind.is_some_and(|token| token.is(symbol));
        let Token::Name(name) = *token else { continue };
        let before_is = |symbol: &str| before.is_some_and(|token| token.is(symbol));
        if before_is("|") {
            if !filters::filter_names().any(|known| known == name) {
                let help = suggest(name, filters::filter_names());
                wrongs.push(Wrong {
                    message: format!("there is no filter `{name}`"),
                    part: name.to_owned(),
                    help,
                });
            }
            if let ("map" | "select" | "reject", Some(Token::Text(_)), true) =
                (name, tokens.get(at + 2), behind_is("("))
            {
                wrongs.extend(
                    tokens.get(at + 2).and_then(|text| text.literal()).and_then(|inner| named(name, inner)),
                );
            }
        } else if is_test(before, twice_before) {
            if name != "not" && !filters::test_names().any(|known| known == name) {
                let help = suggest(name, filters::test_names());
                wrongs.push(Wrong {
                    message: format!("there is no test `is {name}`"),
                    part: name.to_owned(),
                    help,
                });
            }
        } else if before_is(".") {
            if behind_is("(") {
                let help = "filters do the work here: {{ contact.name | lower }}";
                wrongs.push(Wrong::new(format!("methods such as `.{name}()` do not work"), name, Some(help)));
            }
        } else if behind_is("(") && !is_word(name) {
            let help = "filters do the work here: {{ contact.name | lower }}";
            wrongs.push(Wrong::new(
                format!("there are no functions, so `{name}()` does not work"),
                name,
                Some(help),
            ));
        } else if !(is_word(name) || behind_is("=")) {
            names.insert(Arc::from(name));
            if name == "vars" {
                let key = match (behind, tokens.get(at + 2), tokens.get(at + 3)) {
                    (Some(dot), Some(Token::Name(key)), _) if dot.is(".") => Some(Arc::from(*key)),
                    (Some(open), Some(text), Some(close)) if open.is("[") && close.is("]") => {
                        text.literal().map(Arc::from)
                    }
                    _ => None,
                };
                variables = match (variables, key) {
                    (Some(mut keys), Some(key)) => {
                        keys.insert(key);
                        Some(keys)
                    }
                    _ => None,
                };
            }
        }
    }
    if wrongs.is_empty() {
        Ok((names.into_iter().collect(), variables.map_or(Variables::All, Variables::Named)))
    } else {
        Err(wrongs)
    }
}

/// Whether a name stands where a test stands: behind `is` or `is not`.
fn is_test(before: Option<Token<'_>>, twice_before: Option<Token<'_>>) -> bool {
    let is = Some(Token::Name("is"));
    before == is || (before == Some(Token::Name("not")) && twice_before == is)
}

/// A filter or test that is passed by name, as in `map('lower')`.
fn named(filter: &str, name: &str) -> Option<Wrong> {
    let (what, known): (_, Vec<&str>) = match filter {
        "map" => ("filter", filters::filter_names().collect()),
        _ => ("test", filters::test_names().collect()),
    };
    (!known.contains(&name)).then(|| Wrong {
        message: format!("there is no {what} `{name}`"),
        part: name.to_owned(),
        help: suggest(name, known),
    })
}

#[cfg(test)]
mod tests;
