//! What the placeholders of a mapping see of one event.
//!
//! Nothing is converted or computed before somebody asks for it, and then once: a mapping touches a few keys of an event,
//! and most branches of a mapping do not hold.

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use minijinja::Value;
use minijinja::value::{Enumerator, Object};
use serde_json::Value as Json;

use super::convert;
use super::expression::{Expression, PATH_RESULT, Variables};
use super::filters::failed_for_absence;
use super::path::{Step, follow};
use super::template::{EvaluationError, Template};
use crate::event::Event;

/// The variables of a mapping: those of the workspace and those of the file, which win.
pub(super) type Definitions = BTreeMap<String, Arc<Template>>;

/// One event, seen through one mapping.
pub(crate) struct Scope<'a> {
    event: &'a Event,
    definitions: &'a Definitions,
    source: Json,
    received_at: Json,
    variables: BTreeMap<&'a str, OnceCell<Result<Option<Json>, EvaluationError>>>,
    /// Top-level names as the engine sees them.
    converted: RefCell<Vec<(Arc<str>, Value)>>,
}

/// A scope, with or without what is known of the lead.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    scope: &'a Scope<'a>,
    lead: Option<&'a Json>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(
        event: &'a Event,
        definitions: &'a Definitions,
        source: &str,
        received_at: Timestamp,
    ) -> Self {
        Self {
            event,
            definitions,
            source: Json::String(source.to_owned()),
            received_at: Json::String(received_at.to_string()),
            variables: definitions.keys().map(|name| (name.as_str(), OnceCell::new())).collect(),
            converted: RefCell::default(),
        }
    }

    /// What is seen before the lead's phone, email and name are known.
    pub(crate) fn event(&self) -> View<'_> {
        View { scope: self, lead: None }
    }

    /// What is seen once they are.
    pub(crate) fn with_lead<'v>(&'v self, lead: &'v Json) -> View<'v> {
        View { scope: self, lead: Some(lead) }
    }
}

impl<'a> View<'a> {
    /// The whole payload.
    pub(super) fn body(self) -> &'a Json {
        &self.scope.event.payload
    }

    /// Follows a plain path.
    pub(super) fn path(self, root: &str, steps: &[Step]) -> Result<Option<Cow<'a, Json>>, EvaluationError> {
        if root == "vars" {
            return match steps {
                [Step::Key(name), rest @ ..] => {
                    Ok(self.variable(name)?.and_then(|value| follow(value, rest)).map(Cow::Borrowed))
                }
                [] => self.all_variables().map(|all| Some(Cow::Owned(all))),
                [Step::Index(_), ..] => Ok(None),
            };
        }
        Ok(self.root(root).and_then(|json| follow(json, steps)).map(Cow::Borrowed))
    }

    /// Evaluates an expression. The outer error is a variable's own; the inner one is this expression's.
    pub(super) fn expression(
        self,
        expression: &Expression,
        path_result: Option<&Json>,
    ) -> Result<Result<Option<Json>, String>, EvaluationError> {
        let mut names = Vec::with_capacity(expression.names.len());
        for name in &expression.names {
            let value = match &**name {
                PATH_RESULT => path_result.map(convert::to_engine),
                "vars" => Some(self.variables_for_engine(&expression.variables)?),
                "lead" => self.lead.map(convert::to_engine),
                _ => self.converted(name),
            };
            names.extend(value.map(|value| (Arc::clone(name), value)));
        }
        let made = expression.compiled.eval(Value::from_object(Names(names)));
        Ok(match made.and_then(|value| convert::from_engine(&value)) {
            Ok(json) => Ok(json),
            Err(error) if failed_for_absence(&error) => Ok(None),
            Err(error) => Err(describe(&error)),
        })
    }

    fn root(self, name: &str) -> Option<&'a Json> {
        let Scope { event, .. } = self.scope;
        match name {
            "body" => Some(&event.payload),
            "query" => Some(&event.query),
            "headers" => Some(&event.headers),
            "source" => Some(&self.scope.source),
            "received_at" => Some(&self.scope.received_at),
            "lead" => self.lead,
            _ => event.payload.get(name),
        }
    }

    fn converted(self, name: &Arc<str>) -> Option<Value> {
        let known = self
            .scope
            .converted
            .borrow()
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.clone());
        if known.is_some() {
            return known;
        }
        let value = convert::to_engine(self.root(name)?);
        self.scope.converted.borrow_mut().push((Arc::clone(name), value.clone()));
        Some(value)
    }

    /// The value of a variable, made at its first use. Cycles were refused when the mapping was loaded.
    fn variable(self, name: &str) -> Result<Option<&'a Json>, EvaluationError> {
        let (Some(cell), Some(template)) = (self.scope.variables.get(name), self.scope.definitions.get(name))
        else {
            return Ok(None);
        };
        let value = cell.get_or_init(|| template.evaluate(self.scope.event()));
        value.as_ref().map(Option::as_ref).map_err(Clone::clone)
    }

    fn all_variables(self) -> Result<Json, EvaluationError> {
        let mut all = serde_json::Map::new();
        for name in self.scope.definitions.keys() {
            if let Some(value) = self.variable(name)? {
                all.insert(name.clone(), value.clone());
            }
        }
        Ok(Json::Object(all))
    }

    fn variables_for_engine(self, used: &Variables) -> Result<Value, EvaluationError> {
        match used {
            Variables::All => self.all_variables().map(|all| convert::to_engine(&all)),
            Variables::Named(names) => {
                let mut values = Vec::with_capacity(names.len());
                for name in names {
                    values.extend(
                        self.variable(name)?.map(|value| (Arc::clone(name), convert::to_engine(value))),
                    );
                }
                Ok(Value::from_object(Names(values)))
            }
        }
    }
}

/// A few names and their values, as a map of the engine.
#[derive(Debug)]
struct Names(Vec<(Arc<str>, Value)>);

impl Object for Names {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.0.iter().find(|(name, _)| **name == *key).map(|(_, value)| value.clone())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.iter().map(|(name, _)| Value::from(&**name)).collect())
    }
}

/// An engine's error in words, without the event's values, which may be personal.
fn describe(error: &minijinja::Error) -> String {
    let detail = error.detail().unwrap_or_default();
    if error.kind() == minijinja::ErrorKind::OutOfFuel {
        "it takes too many steps".to_owned()
    } else if detail.starts_with("unable to calculate") {
        "the calculation has no result (division by zero, or too large a number)".to_owned()
    } else if detail.is_empty() {
        error.kind().to_string()
    } else {
        detail.to_owned()
    }
}
