//! The operations that the workspace lists:
//!
//! ```yaml
//! operations:
//!   by_phone:                              # a name of your own, which calls use
//!     name: Telegram.AuthorizeByPhone      # Mindbox's name; the same where it is left out
//!     mode: sync                           # or async: queued, and nobody tells what becomes of it
//!     needs: [phone, platform_id]          # a call without one of these is refused
//!     body: { customer: { mobilePhone: "{{ phone }}", customFields: { platformID: "{{ platform_id }}" } } }
//! ```
//!
//! A placeholder of the body reads what the call gives under `values`, and nothing else; what is absent is left out. An
//! operation without a body sends the one of the call.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::is_blank;
use crate::crm::tree::Tree;
use crate::map::{Node, Reader, Section, Sees, Template, Values, closest};
use crate::plan::Call;
use crate::rules::Misuse;

const KEYS: &[&str] = &["name", "mode", "needs", "body"];

const MODES: &[(&str, Mode)] = &[("sync", Mode::Sync), ("async", Mode::Async)];

/// Whether Mindbox answers once an operation is done, or once it is queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Sync,
    Async,
}

impl Mode {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Async => "async",
        }
    }
}

/// One operation of the workspace.
#[derive(Debug)]
pub(super) struct MindboxOperation {
    /// As Mindbox names it.
    pub(super) name: String,
    pub(super) mode: Mode,
    /// Values that a call must give.
    needs: Vec<String>,
    body: Option<Tree>,
}

/// Reads the operations of a destination; what is wrong is noted with the reader.
pub(super) fn read(reader: &Reader<'_>, destination: &Node) -> BTreeMap<String, MindboxOperation> {
    let node = Section { node: destination }.get("operations");
    let Some(section) = node.and_then(|node| reader.entries(node, "`operations`")) else {
        return BTreeMap::new();
    };
    let one = |(key, node): &(Node, Node)| {
        let name = key.scalar()?;
        Some((name.to_owned(), operation(reader, name, node)?))
    };
    section.node.entries().iter().filter_map(one).collect()
}

fn operation(reader: &Reader<'_>, key: &str, node: &Node) -> Option<MindboxOperation> {
    let section = reader.section(node, &format!("operation `{key}`"), KEYS)?;
    let name = match section.get("name") {
        Some(node) => reader.text(node, "`name`")?,
        None => key.to_owned(),
    };
    let mode = match section.get("mode") {
        Some(node) => reader.choice(node, "`mode`", MODES)?,
        None => Mode::Sync,
    };
    let needs = section.get("needs").map(|node| reader.texts(node, "`needs`")).unwrap_or_default();
    let leaf = |node: &Node| reader.template(node, "a value of the body", Sees::Lead);
    let body = match section.get("body") {
        Some(node) => Some(Tree::read(reader, node, "`body`", &leaf)?),
        None => None,
    };
    let operation = MindboxOperation { name, mode, needs, body };
    let unread = operation.needs.iter().find(|name| !operation.reads(name));
    if let (Some(name), Some(node)) = (unread, section.get("needs")) {
        let help = format!(
            "write it as a placeholder of its `body`: \"{{{{ {name} }}}}\"; or leave it out of `needs`"
        );
        reader.error(node.span, format!("nothing in operation `{key}` reads `{name}`"), Some(help));
    }
    Some(operation)
}

impl MindboxOperation {
    /// The body of a call; the error says what is missing or wrong.
    pub(super) fn body(&self, call: &Call) -> Result<Json, String> {
        let given = match call.with.get("values") {
            None | Some(Json::Null) => Map::new(),
            Some(Json::Object(values)) => values.clone(),
            Some(_) => return Err("`values` must be a mapping of names and values".to_owned()),
        };
        let own = call.with.get("body").filter(|body| !body.is_null());
        match (&self.body, own) {
            (Some(_), Some(_)) => {
                Err("the workspace has a body for it, so the call must give `values` and no `body`"
                    .to_owned())
            }
            (None, Some(body)) if given.is_empty() => Ok(body.clone()),
            (None, None) if given.is_empty() => Ok(Json::Object(Map::new())),
            (None, _) => Err("it has no body in the workspace that could read `values`".to_owned()),
            (Some(tree), None) => self.fill(tree, given),
        }
    }

    /// What [`body`](Self::body) will refuse, whatever the lead.
    pub(super) fn misuses(&self, name: &str, arguments: &Map<String, Json>) -> Vec<Misuse> {
        let misuse = |parameter, message: String, help: &str| {
            vec![Misuse { parameter, message, help: Some(help.to_owned()) }]
        };
        let given = arguments.get("values");
        if self.body.is_none() {
            let message =
                format!("operation `{name}` has no `body` in workspace.yaml that could read `values`");
            let help = "give it a `body` there, or write the whole `body` in the call";
            return if given.is_some() { misuse("values", message, help) } else { Vec::new() };
        }
        if arguments.contains_key("body") {
            let message =
                format!("operation `{name}` has its `body` in workspace.yaml, and this call brings another");
            return misuse(
                "body",
                message,
                "keep one of the two; what the one there reads is given under `values`",
            );
        }
        let given = match given {
            None => Map::new(),
            Some(Json::Object(given)) => given.clone(),
            // All of them come from the event.
            Some(Json::Null) => return Vec::new(),
            Some(Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_)) => {
                let message = format!("`values` of operation `{name}` holds no names and values");
                return misuse("values", message, "write `values: { phone: \"{{ lead.phone.e164 }}\" }`");
            }
        };
        let unread = given.keys().filter(|key| !self.reads(key)).map(|key| {
            let known = self.needs.iter().map(String::as_str);
            let help = closest(key, known).map(|near| format!("did you mean `{near}`?"));
            let message = format!("nothing in the body of operation `{name}` reads `{key}`");
            Misuse { parameter: "values", message, help }
        });
        let missing = self.needs.iter().filter(|key| !given.contains_key(*key)).map(|key| Misuse {
            parameter: "values",
            message: format!("operation `{name}` needs `{key}`, and this call does not give it"),
            help: Some(format!("write it under `values`: {{ {key}: \"{{{{ … }}}}\" }}")),
        });
        unread.chain(missing).collect()
    }

    fn fill(&self, tree: &Tree, given: Map<String, Json>) -> Result<Json, String> {
        if let Some(name) = given.keys().find(|name| !self.reads(name)) {
            let known = self.needs.iter().map(String::as_str);
            let hint =
                closest(name, known).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            return Err(format!("its body does not read `{name}`{hint}"));
        }
        if let Some(name) = self.needs.iter().find(|name| given.get(*name).is_none_or(is_blank)) {
            return Err(format!("the call gives no `{name}`; look at its placeholders in the mapping"));
        }
        let body = tree.body(&Values::new(Json::Object(given)))?;
        Ok(body.unwrap_or_else(|| Json::Object(Map::new())))
    }

    fn reads(&self, name: &str) -> bool {
        let mut templates = Vec::new();
        if let Some(tree) = &self.body {
            tree.collect(&mut templates);
        }
        templates.into_iter().any(|template: &Template| template.reads(name))
    }
}
