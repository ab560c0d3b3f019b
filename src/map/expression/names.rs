//! The names of an expression: paths into the event, filters, tests, and what does not exist.

use super::Wrong;
use super::token::Token;
use crate::map::filters::{filter_names, test_names};
use crate::map::path::{Path, Step};
use crate::map::problem::suggest;

/// The paths of an expression.
pub(super) struct Found {
    /// Each once.
    pub(super) paths: Vec<Path>,
    /// Where they stand.
    pub(super) places: Vec<PathPlace>,
}

/// The tokens of one path.
pub(super) struct PathPlace {
    pub(super) first: usize,
    pub(super) length: usize,
    /// Which of the paths it is.
    pub(super) path: usize,
}

/// Finds the paths, and every filter, test and function that we do not have.
pub(super) fn check(tokens: &[Token<'_>]) -> Result<Found, Vec<Wrong>> {
    let mut found = Found { paths: Vec::new(), places: Vec::new() };
    let mut wrongs = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let Token::Name(name) = *token else { continue };
        let before = at.checked_sub(1).and_then(|at| tokens.get(at)).copied();
        let twice_before = at.checked_sub(2).and_then(|at| tokens.get(at)).copied();
        let before_is = |symbol: &str| before.is_some_and(|token| token.is(symbol));
        let behind_is = |symbol: &str| tokens.get(at + 1).is_some_and(|token| token.is(symbol));
        if before_is("|") {
            wrongs.extend(unknown("filter `", name, filter_names()));
            if behind_is("(") {
                wrongs.extend(
                    tokens.get(at + 2).and_then(|text| text.literal()).and_then(|word| passed(name, word)),
                );
            }
        } else if is_test(before, twice_before) {
            if name != "not" {
                wrongs.extend(unknown("test `is ", name, test_names()));
            }
        } else if before_is(".") {
            if behind_is("(") {
                let message = format!("methods such as `.{name}()` do not work");
                wrongs.push(Wrong::new(message, name, Some(USE_FILTERS)));
            }
        } else if behind_is("(") && !is_word(name) {
            let message = format!("there are no functions, so `{name}()` does not work");
            wrongs.push(Wrong::new(message, name, Some(USE_FILTERS)));
        } else if !behind_is("=")
            && let Some((path, length)) = path(tokens.get(at..).unwrap_or_default())
        {
            let known = found.paths.iter().position(|known| *known == path);
            let index = known.unwrap_or(found.paths.len());
            if known.is_none() {
                found.paths.push(path);
            }
            found.places.push(PathPlace { first: at, length, path: index });
        }
    }
    if wrongs.is_empty() { Ok(found) } else { Err(wrongs) }
}

const USE_FILTERS: &str = "filters do the work here: {{ contact.name | lower }}";

/// A filter or test that there is not; `what` goes up to the name.
fn unknown(what: &str, name: &str, known: impl Iterator<Item = &'static str> + Clone) -> Option<Wrong> {
    if known.clone().any(|known| known == name) {
        return None;
    }
    let message = format!("there is no {what}{name}`");
    Some(Wrong { message, part: name.to_owned(), help: suggest(name, known) })
}

/// A filter or test that is passed by name, as in `map('lower')`, and does not exist.
fn passed(filter: &str, word: &str) -> Option<Wrong> {
    match filter {
        "map" => unknown("filter `", word, filter_names()),
        "select" | "reject" => unknown("test `is ", word, test_names()),
        _ => None,
    }
}

/// Whether a name stands where a test stands: behind `is` or `is not`.
pub(super) fn is_test(before: Option<Token<'_>>, twice_before: Option<Token<'_>>) -> bool {
    let is = Some(Token::Name("is"));
    before == is || (before == Some(Token::Name("not")) && twice_before == is)
}

/// Words of the language, which are no names.
fn is_word(name: &str) -> bool {
    let words =
        ["and", "or", "not", "in", "is", "if", "else", "true", "True", "false", "False", "none", "None"];
    words.contains(&name)
}

/// The longest path `a.b["c d"][0].1` that the tokens begin with, and how many of them it takes.
pub(super) fn path(tokens: &[Token<'_>]) -> Option<(Path, usize)> {
    let (Token::Name(root), mut rest) = tokens.split_first()? else { return None };
    if is_word(root) {
        return None;
    }
    let mut steps = Vec::new();
    while let Some((step, length)) = step(rest) {
        steps.push(step);
        rest = rest.get(length..).unwrap_or_default();
    }
    Some((Path { root: (*root).to_owned(), steps }, tokens.len() - rest.len()))
}

fn step(tokens: &[Token<'_>]) -> Option<(Step, usize)> {
    match tokens {
        [dot, Token::Name(name), ..] if dot.is(".") => Some((Step::Key((*name).to_owned()), 2)),
        [dot, Token::Number(index), ..] if dot.is(".") => Some((Step::Index(index.parse().ok()?), 2)),
        [open, text @ Token::Text(_), close, ..] if open.is("[") && close.is("]") => {
            Some((Step::Key(text.literal()?.to_owned()), 3))
        }
        [open, Token::Number(index), close, ..] if open.is("[") && close.is("]") => {
            Some((Step::Index(index.parse().ok()?), 3))
        }
        _ => None,
    }
}
