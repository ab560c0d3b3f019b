//! The forms that most placeholders have, evaluated on the event's own JSON without the engine.
//!
//! These are paths and text literals under `a or b`, `a and b`, `not a`, `a == 'x'`, `a != 'x'`, `a in ['x', 'y']`,
//! `a if b else c`, `a | lower`, and brackets. Only texts, booleans and what is absent are evaluated here, exactly as the
//! engine would (a law in the tests compares the two); where a number, a list or an object takes part, or a size comes
//! near its limit, the engine does the work, so that each of its rules stands in one place.

use std::borrow::Cow;

use serde_json::Value as Json;

use super::names;
use super::token::Token;
use crate::map::filters::LARGEST;
use crate::map::path::Path;

/// An expression of such a form.
#[derive(Debug)]
pub(super) enum Direct {
    /// The value of a path, by its place among the expression's paths.
    Path(usize),
    Text(String),
    Not(Box<Direct>),
    And(Box<Direct>, Box<Direct>),
    Or(Box<Direct>, Box<Direct>),
    Equal {
        left: Box<Direct>,
        right: Box<Direct>,
        negated: bool,
    },
    Within {
        left: Box<Direct>,
        texts: Vec<String>,
        negated: bool,
    },
    Choice {
        then: Box<Direct>,
        condition: Box<Direct>,
        otherwise: Option<Box<Direct>>,
    },
    Filter(Box<Direct>, TextFilter),
}

/// A filter that makes a text of a text.
#[derive(Clone, Copy, Debug)]
pub(super) enum TextFilter {
    Lower,
    Upper,
    Trim,
}

/// A value that is evaluated here.
#[derive(Debug, PartialEq)]
enum Value<'v> {
    Absent,
    Boolean(bool),
    Text(Cow<'v, str>),
}

impl Value<'_> {
    fn holds(&self) -> bool {
        match self {
            Self::Absent => false,
            Self::Boolean(value) => *value,
            Self::Text(text) => !text.is_empty(),
        }
    }
}

impl Direct {
    /// Reads an expression that the engine accepts; `None` when its form is another. `paths` are all that it has.
    pub(super) fn compile(tokens: &[Token<'_>], paths: &[Path]) -> Option<Self> {
        let mut parser = Parser { rest: tokens, paths };
        parser.choice().filter(|_| parser.rest.is_empty())
    }

    /// Evaluates it, absent being null. `None` when the engine has to. `values` are those of the paths, in order.
    pub(super) fn evaluate(&self, values: &[Option<Cow<'_, Json>>]) -> Option<Json> {
        Some(match self.value(values)? {
            Value::Absent => Json::Null,
            Value::Boolean(value) => Json::Bool(value),
            Value::Text(text) if text.len() < LARGEST => Json::String(text.into_owned()),
            Value::Text(_) => return None,
        })
    }

    fn value<'v>(&'v self, values: &'v [Option<Cow<'_, Json>>]) -> Option<Value<'v>> {
        Some(match self {
            Self::Path(index) => match values.get(*index)?.as_deref() {
                None | Some(Json::Null) => Value::Absent,
                Some(Json::Bool(value)) => Value::Boolean(*value),
                Some(Json::String(text)) => Value::Text(Cow::Borrowed(text)),
                Some(Json::Number(_) | Json::Array(_) | Json::Object(_)) => return None,
            },
            Self::Text(text) => Value::Text(Cow::Borrowed(text)),
            Self::Not(inner) => Value::Boolean(!inner.value(values)?.holds()),
            Self::And(left, right) => match left.value(values)? {
                left if left.holds() => right.value(values)?,
                left => left,
            },
            Self::Or(left, right) => match left.value(values)? {
                left if left.holds() => left,
                _ => right.value(values)?,
            },
            Self::Equal { left, right, negated } => {
                Value::Boolean((left.value(values)? == right.value(values)?) != *negated)
            }
            Self::Within { left, texts, negated } => {
                let left = left.value(values)?;
                let found = matches!(&left, Value::Text(left) if texts.iter().any(|text| text == left));
                Value::Boolean(found != *negated)
            }
            Self::Choice { then, condition, otherwise } => {
                if condition.value(values)?.holds() {
                    then.value(values)?
                } else {
                    otherwise.as_ref().map_or(Some(Value::Absent), |otherwise| otherwise.value(values))?
                }
            }
            Self::Filter(inner, filter) => match inner.value(values)? {
                Value::Absent => Value::Absent,
                Value::Boolean(_) => return None,
                Value::Text(text) => Value::Text(filter.apply(text).filter(|text| text.len() < LARGEST)?),
            },
        })
    }
}

impl TextFilter {
    fn named(name: &str) -> Option<Self> {
        match name {
            "lower" => Some(Self::Lower),
            "upper" => Some(Self::Upper),
            "trim" => Some(Self::Trim),
            _ => None,
        }
    }

    /// `None` for a text that is too long to begin with.
    fn apply(self, text: Cow<'_, str>) -> Option<Cow<'_, str>> {
        if text.len() >= LARGEST {
            return None;
        }
        Some(match (self, text) {
            (Self::Lower, text) => Cow::Owned(text.to_lowercase()),
            (Self::Upper, text) => Cow::Owned(text.to_uppercase()),
            (Self::Trim, Cow::Borrowed(text)) => Cow::Borrowed(text.trim()),
            (Self::Trim, Cow::Owned(text)) => Cow::Owned(text.trim().to_owned()),
        })
    }
}

/// Recursive descent in the engine's order of precedence. What it does not know ends it, and is left over.
struct Parser<'t, 's> {
    rest: &'t [Token<'s>],
    paths: &'t [Path],
}

impl<'s> Parser<'_, 's> {
    fn choice(&mut self) -> Option<Direct> {
        let then = self.or()?;
        if !self.takes(Token::Name("if")) {
            return Some(then);
        }
        let condition = self.or()?;
        let otherwise = if self.takes(Token::Name("else")) { Some(Box::new(self.choice()?)) } else { None };
        Some(Direct::Choice { then: Box::new(then), condition: Box::new(condition), otherwise })
    }

    fn or(&mut self) -> Option<Direct> {
        let mut left = self.and()?;
        while self.takes(Token::Name("or")) {
            left = Direct::Or(Box::new(left), Box::new(self.and()?));
        }
        Some(left)
    }

    fn and(&mut self) -> Option<Direct> {
        let mut left = self.negation()?;
        while self.takes(Token::Name("and")) {
            left = Direct::And(Box::new(left), Box::new(self.negation()?));
        }
        Some(left)
    }

    fn negation(&mut self) -> Option<Direct> {
        if self.takes(Token::Name("not")) {
            return Some(Direct::Not(Box::new(self.negation()?)));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Option<Direct> {
        let left = self.filtered()?;
        let not_in = matches!(self.rest, [Token::Name("not"), Token::Name("in"), ..]);
        if not_in {
            self.next();
        }
        let left = Box::new(left);
        Some(match self.rest.first() {
            Some(Token::Symbol(sign @ ("==" | "!="))) => {
                self.next();
                Direct::Equal { left, right: Box::new(self.filtered()?), negated: *sign == "!=" }
            }
            Some(Token::Name("in")) => {
                self.next();
                Direct::Within { left, texts: self.texts()?, negated: not_in }
            }
            _ => *left,
        })
    }

    fn filtered(&mut self) -> Option<Direct> {
        let mut value = self.operand()?;
        while self.takes(Token::Symbol("|")) {
            let Token::Name(name) = self.next()? else { return None };
            value = Direct::Filter(Box::new(value), TextFilter::named(name)?);
        }
        Some(value)
    }

    fn operand(&mut self) -> Option<Direct> {
        if self.takes(Token::Symbol("(")) {
            let inner = self.choice()?;
            return self.takes(Token::Symbol(")")).then_some(inner);
        }
        if let Some((path, length)) = names::path(self.rest) {
            self.rest = self.rest.get(length..)?;
            return self.paths.iter().position(|known| *known == path).map(Direct::Path);
        }
        self.next()?.literal().map(|text| Direct::Text(text.to_owned()))
    }

    /// `['x', 'y']`
    fn texts(&mut self) -> Option<Vec<String>> {
        let mut texts = Vec::new();
        let mut sign = "[";
        while !self.takes(Token::Symbol("]")) {
            if !self.takes(Token::Symbol(sign)) {
                return None;
            }
            texts.push(self.next()?.literal()?.to_owned());
            sign = ",";
        }
        Some(texts).filter(|texts| !texts.is_empty())
    }

    fn takes(&mut self, token: Token<'_>) -> bool {
        let found = self.rest.first() == Some(&token);
        if found {
            self.next();
        }
        found
    }

    fn next(&mut self) -> Option<Token<'s>> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }
}
