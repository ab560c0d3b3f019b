//! A value of the mapping: a literal with placeholders, such as `"Заявка з {{ bot.name }}"`.
//!
//! `{{ … }}` and `<< … >>` mean the same; one value uses one of them. A value that is a single placeholder keeps the type
//! of what it reads; a longer value is text. If any placeholder finds nothing, the whole value is absent.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value as Json;

use super::convert;
use super::expression::{PATH_RESULT, Reads};
use super::filters::LARGEST;
use super::path::Path;
use super::problem::Span;
use super::scope::View;

pub(super) mod address;
mod reading;
mod single;

pub(super) use reading::VALUE_KEYS;
pub(crate) use reading::{Braces, Sees, constant};

/// Where a value stands, for messages about events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// File name within the workspace.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// A value that could not be made of an event, though something was there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct EvaluationError {
    /// Where the value stands in the mapping.
    pub place: Place,
    /// What went wrong, without personal data.
    pub message: String,
}

/// A value of the mapping, compiled.
#[derive(Debug)]
pub struct Template {
    kind: TemplateKind,
    required: bool,
    place: Place,
}

#[derive(Debug)]
enum TemplateKind {
    Constant(Json),
    Placeholder(Arc<Placeholder>),
    Text(Vec<Part>),
    List(Vec<Template>),
}

#[derive(Debug)]
enum Part {
    Literal(String),
    Placeholder(Arc<Placeholder>),
}

/// One placeholder. An address that begins with a variable shares those of the variable.
#[derive(Debug)]
pub(super) struct Placeholder {
    pub(super) reads: Reads,
    pub(super) source: String,
    span: Span,
}

impl Template {
    /// Makes the value of an event. `Ok(None)` is absent.
    pub(crate) fn evaluate(&self, view: View<'_>) -> Result<Option<Json>, EvaluationError> {
        let value = match &self.kind {
            TemplateKind::Constant(json) => Some(json.clone()).filter(|json| !json.is_null()),
            TemplateKind::Placeholder(placeholder) => placeholder.evaluate(view, &self.place)?,
            TemplateKind::Text(parts) => self.join(parts, view)?.map(Json::String),
            TemplateKind::List(items) => {
                let mut values = Vec::with_capacity(items.len());
                for item in items {
                    values.extend(item.evaluate(view)?);
                }
                (!values.is_empty()).then_some(Json::Array(values))
            }
        };
        if value.is_none() && self.required {
            return Err(self.failed("this value is required, and the event has nothing for it"));
        }
        Ok(value)
    }

    /// The value as text; a list is its items joined by commas.
    pub(crate) fn text(&self, view: View<'_>) -> Result<Option<String>, EvaluationError> {
        Ok(self.evaluate(view)?.map(|json| match json {
            Json::String(text) => text,
            Json::Array(items) => items.iter().map(convert::text).collect::<Vec<_>>().join(", "),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => {
                convert::text(&json).into_owned()
            }
        }))
    }

    /// The value as texts, one for each item of a list; blank ones are nothing.
    pub(crate) fn texts(&self, view: View<'_>) -> Result<Vec<String>, EvaluationError> {
        let value = self.evaluate(view)?;
        let items = match &value {
            None => &[],
            Some(Json::Array(items)) => items.as_slice(),
            Some(one) => std::slice::from_ref(one),
        };
        let texts = items.iter().map(|item| convert::text(item).trim().to_owned());
        Ok(texts.filter(|text| !text.is_empty()).collect())
    }

    /// Whether the value is there and is not `false`, 0, or an empty text or list.
    pub(crate) fn holds(&self, view: View<'_>) -> Result<bool, EvaluationError> {
        Ok(match self.evaluate(view)? {
            None | Some(Json::Null) => false,
            Some(Json::Bool(value)) => value,
            Some(Json::Number(number)) => number.as_f64() != Some(0.0),
            Some(Json::String(text)) => !text.is_empty(),
            Some(Json::Array(items)) => !items.is_empty(),
            Some(Json::Object(entries)) => !entries.is_empty(),
        })
    }

    /// The names that its plain paths begin with.
    pub(super) fn roots(&self) -> impl Iterator<Item = &str> {
        let paths = self.placeholders().into_iter().flat_map(Placeholder::paths);
        paths.map(|path| path.root.as_str()).filter(|root| *root != PATH_RESULT)
    }

    /// Whether a JSONPath of it starts from the whole payload.
    pub(super) fn reads_whole_body(&self) -> bool {
        let is_json_path = |placeholder: &Placeholder| matches!(placeholder.reads, Reads::JsonPath { .. });
        self.placeholders().into_iter().any(is_json_path)
    }

    /// The value when it does not depend on the event.
    pub(super) fn constant(&self) -> Option<&Json> {
        match &self.kind {
            TemplateKind::Constant(json) => Some(json),
            TemplateKind::Placeholder(_) | TemplateKind::Text(_) | TemplateKind::List(_) => None,
        }
    }

    /// Whether it is one placeholder and nothing else.
    pub(crate) fn is_single(&self) -> bool {
        matches!(self.kind, TemplateKind::Placeholder(_))
    }

    /// Whether the event may lack it without harm.
    pub(crate) fn is_required(&self) -> bool {
        self.required
    }

    /// Every placeholder in it.
    pub(super) fn placeholders(&self) -> Vec<&Placeholder> {
        match &self.kind {
            TemplateKind::Constant(_) => Vec::new(),
            TemplateKind::Placeholder(placeholder) => vec![placeholder],
            TemplateKind::Text(parts) => parts.iter().filter_map(Part::placeholder).collect(),
            TemplateKind::List(items) => items.iter().flat_map(Template::placeholders).collect(),
        }
    }

    /// Whether it reads this name, or what is below it.
    pub(crate) fn reads(&self, name: &str) -> bool {
        self.placeholders().into_iter().flat_map(Placeholder::paths).any(|path| path.root == name)
    }

    /// Whether everything that it reads by a path is there.
    pub(crate) fn finds_all(&self, view: View<'_>) -> Result<bool, EvaluationError> {
        for path in self.placeholders().into_iter().flat_map(Placeholder::paths) {
            if path.root != PATH_RESULT && view.path(path)?.is_none_or(|json| json.is_null()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether it reads `lead.…`.
    pub(crate) fn uses_lead(&self) -> bool {
        match &self.kind {
            TemplateKind::Constant(_) => false,
            TemplateKind::Placeholder(placeholder) => placeholder.uses_lead(),
            TemplateKind::Text(parts) => {
                parts.iter().filter_map(Part::placeholder).any(Placeholder::uses_lead)
            }
            TemplateKind::List(items) => items.iter().any(Template::uses_lead),
        }
    }

    fn join(&self, parts: &[Part], view: View<'_>) -> Result<Option<String>, EvaluationError> {
        let mut out = String::new();
        for part in parts {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Placeholder(placeholder) => {
                    let Some(json) = placeholder.read(view, &self.place)? else { return Ok(None) };
                    out.push_str(&convert::text(&json));
                }
            }
            if out.len() > LARGEST {
                return Err(self.failed("the value would be longer than 64 KiB"));
            }
        }
        Ok(Some(out))
    }

    fn failed(&self, message: &str) -> EvaluationError {
        EvaluationError { place: self.place.clone(), message: message.to_owned() }
    }
}

impl Part {
    fn placeholder(&self) -> Option<&Placeholder> {
        match self {
            Self::Literal(_) => None,
            Self::Placeholder(placeholder) => Some(placeholder),
        }
    }
}

impl Placeholder {
    /// Every plain path in it.
    pub(super) fn paths(&self) -> &[Path] {
        self.reads.paths()
    }

    fn uses_lead(&self) -> bool {
        self.paths().iter().any(|path| path.root == "lead")
    }

    fn evaluate(&self, view: View<'_>, place: &Place) -> Result<Option<Json>, EvaluationError> {
        let value = self.read(view, place)?;
        let too_long = value.as_deref().is_some_and(|json| match json {
            Json::String(text) => text.len() > LARGEST,
            Json::Array(_) | Json::Object(_) => !fits(json, &mut { LARGEST }),
            Json::Null | Json::Bool(_) | Json::Number(_) => false,
        });
        if too_long {
            return Err(self.failed(place, "the value is longer than 64 KiB"));
        }
        Ok(value.map(Cow::into_owned))
    }

    /// Reads the value, without copying it where it stands in the event.
    fn read<'v>(&self, view: View<'v>, place: &Place) -> Result<Option<Cow<'v, Json>>, EvaluationError> {
        let made = match &self.reads {
            Reads::Path(path) => return view.path(path),
            Reads::JsonPath { path, then } => {
                let found = path.read(view.body()).map_err(|message| self.failed(place, &message))?;
                match then {
                    None => Ok(found),
                    Some(expression) => view.expression(expression, found.as_ref())?,
                }
            }
            Reads::Expression(expression) => view.expression(expression, None)?,
        };
        Ok(made.map_err(|message| self.failed(place, &message))?.map(Cow::Owned))
    }

    fn failed(&self, place: &Place, message: &str) -> EvaluationError {
        EvaluationError { place: place.clone(), message: format!("`{}` failed: {message}", self.source) }
    }
}

/// Whether the texts and nodes of a value stay within a budget of bytes.
fn fits(json: &Json, budget: &mut usize) -> bool {
    let own = match json {
        Json::String(text) => text.len() + 1,
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => 1,
    };
    let Some(left) = budget.checked_sub(own) else { return false };
    *budget = left;
    match json {
        Json::Array(items) => items.iter().all(|item| fits(item, budget)),
        Json::Object(entries) => entries.values().all(|item| fits(item, budget)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => true,
    }
}
