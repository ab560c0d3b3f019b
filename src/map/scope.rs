//! What the placeholders of a mapping see of one event.
//!
//! Nothing is computed before somebody asks for it, and then once: a mapping touches a few keys of an event, and most
//! branches of a mapping do not hold.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value as Json};

use super::expression::{Expression, PATH_RESULT};
use super::filters::failed_for_absence;
use super::path::{Path, Step, follow};
use super::template::{EvaluationError, Template};
use crate::event::{Event, EventKey, KeyLifetime};

/// The variables of a mapping: those of the workspace and those of the file, which win.
pub(super) type Definitions = BTreeMap<String, Arc<Template>>;

/// A variable's value, made at its first use.
type Variable = OnceCell<Result<Option<Json>, EvaluationError>>;

/// One event, seen through one mapping.
pub(crate) struct Scope<'a> {
    event: &'a Event,
    definitions: &'a Definitions,
    source: &'a str,
    received_at: Timestamp,
    /// In the order of the definitions.
    variables: Vec<Variable>,
}

/// Named values that a template is filled with where there is no event: the request to a CRM that the workspace
/// describes, and what that CRM answers. They are data: nothing in them is ever evaluated.
#[derive(Debug)]
pub(crate) struct Values(Event);

impl Values {
    /// Each key of the object is a name; `$` is the whole.
    pub(crate) fn new(values: Json) -> Self {
        let key = EventKey { value: String::new(), lifetime: KeyLifetime::Window };
        Self(Event {
            payload: values,
            query: Json::Null,
            headers: Json::Null,
            key,
            chat: None,
            chat_state: None,
            chat_status: None,
            phone: None,
            flaws: Vec::new(),
        })
    }

    /// The whole.
    pub(crate) fn whole(&self) -> &Json {
        &self.0.payload
    }

    /// What a template sees of them.
    pub(crate) fn scope(&self) -> Scope<'_> {
        static NO_VARIABLES: Definitions = Definitions::new();
        Scope::new(&self.0, &NO_VARIABLES, "", Timestamp::UNIX_EPOCH)
    }
}

/// A scope, with or without what is known of the lead.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    scope: &'a Scope<'a>,
    lead: Option<&'a Json>,
    /// What is known when a call is planned, by name.
    late: Option<&'a Map<String, Json>>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(
        event: &'a Event,
        definitions: &'a Definitions,
        source: &'a str,
        received_at: Timestamp,
    ) -> Self {
        let variables = definitions.iter().map(|_| OnceCell::new()).collect();
        Self { event, definitions, source, received_at, variables }
    }

    /// What is seen before the lead's phone, email and name are known.
    pub(crate) fn event(&self) -> View<'_> {
        View { scope: self, lead: None, late: None }
    }

    /// What is seen once they are.
    pub(crate) fn with_lead<'v>(&'v self, lead: &'v Json) -> View<'v> {
        View { scope: self, lead: Some(lead), late: None }
    }

    /// What is seen when a call is planned: these names win over those of the payload.
    pub(crate) fn with_late<'v>(&'v self, late: &'v Map<String, Json>) -> View<'v> {
        View { scope: self, lead: late.get("lead"), late: Some(late) }
    }
}

impl<'a> View<'a> {
    /// Without what is known beyond the event: what variables see.
    pub(super) fn of_event(self) -> Self {
        self.scope.event()
    }

    /// The whole payload.
    pub(super) fn body(self) -> &'a Json {
        &self.scope.event.payload
    }

    /// Follows a plain path. Our names win over the payload's.
    pub(super) fn path(self, path: &Path) -> Result<Option<Cow<'a, Json>>, EvaluationError> {
        let Scope { event, source, received_at, .. } = self.scope;
        let root = match path.root.as_str() {
            "vars" => return self.variables(&path.steps),
            "source" => return Ok(text(source, &path.steps)),
            "received_at" => return Ok(text(&received_at.to_string(), &path.steps)),
            "body" => Some(&event.payload),
            "query" => Some(&event.query),
            "headers" => Some(&event.headers),
            "lead" => self.lead,
            name => match self.late.and_then(|late| late.get(name)) {
                Some(late) => Some(late),
                None => event.payload.get(name),
            },
        };
        Ok(root.and_then(|json| follow(json, &path.steps)).map(Cow::Borrowed))
    }

    /// Evaluates an expression. The outer error is a variable's own; the inner one is this expression's.
    pub(super) fn expression(
        self,
        expression: &Expression,
        path_result: Option<&Json>,
    ) -> Result<Result<Option<Json>, String>, EvaluationError> {
        let mut values = Vec::with_capacity(expression.paths.len());
        for path in &expression.paths {
            values.push(if path.root == PATH_RESULT {
                path_result.map(Cow::Borrowed)
            } else {
                self.path(path)?
            });
        }
        Ok(match expression.evaluate(&values) {
            Ok(json) => Ok(json),
            Err(error) if failed_for_absence(&error) => Ok(None),
            Err(error) => Err(describe(&error)),
        })
    }

    fn variables(self, steps: &[Step]) -> Result<Option<Cow<'a, Json>>, EvaluationError> {
        match steps {
            [Step::Key(name), rest @ ..] => {
                Ok(self.variable(name)?.and_then(|value| follow(value, rest)).map(Cow::Borrowed))
            }
            [Step::Index(_), ..] => Ok(None),
            [] => {
                let mut all = serde_json::Map::new();
                for name in self.scope.definitions.keys() {
                    if let Some(value) = self.variable(name)? {
                        all.insert(name.clone(), value.clone());
                    }
                }
                Ok(Some(Cow::Owned(Json::Object(all))))
            }
        }
    }

    /// The value of a variable. Cycles were refused when the mapping was loaded.
    fn variable(self, name: &str) -> Result<Option<&'a Json>, EvaluationError> {
        let scope = self.scope;
        let mut both = scope.definitions.iter().zip(&scope.variables);
        let Some(((_, template), cell)) = both.find(|((known, _), _)| *known == name) else {
            return Ok(None);
        };
        let value = cell.get_or_init(|| template.evaluate(scope.event()));
        value.as_ref().map(Option::as_ref).map_err(Clone::clone)
    }
}

/// A text has nothing below it.
fn text<'a>(text: &str, steps: &[Step]) -> Option<Cow<'a, Json>> {
    steps.is_empty().then(|| Cow::Owned(Json::String(text.to_owned())))
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
