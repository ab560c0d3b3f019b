//! What a branch has bots do: `calls:`, `after_done:` and `after_look_up:`.
//!
//! A call is put together when it is planned and not when the lead is mapped, because it may depend on what the CRM had and
//! on what is known of the person by then. So a lead keeps those parts of its event that its calls read ([`Reads`]).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json, json};

use super::branch::{When, condition};
use super::problem::{closest, suggest};
use super::reader::Reader;
use super::scope::{Definitions, View};
use super::template::address::AddressTemplate;
use super::template::{Braces, EvaluationError, Sees, Template};
use super::yaml::{Kind, Node};
use crate::event::Event;
use crate::lead::{Given, Moment};
use crate::rules::{BotKind, Destination, Misuse, Operation, Shape};

/// One call of a branch.
#[derive(Debug)]
pub(crate) struct CallTemplate {
    /// Name of the bot among the destinations.
    pub(crate) to: String,
    pub(crate) moment: Moment,
    when: When,
    chat: Option<Template>,
    channel: Option<Template>,
    /// What the bot's description says of it.
    pub(crate) operation: &'static Operation,
    parameters: Vec<(String, Parameter)>,
}

/// The value of a parameter.
#[derive(Debug)]
enum Parameter {
    Value(Template),
    Address(AddressTemplate),
    List(Vec<Parameter>),
    Entries(Vec<(String, Parameter)>),
}

/// A call with everything in it, before it is known which chat it is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// Name of the operation.
    pub operation: &'static str,
    /// Whether it is about a chat.
    pub needs_chat: bool,
    /// The chat that the mapping names; `None` where it names none, `Some("")` where it does and nothing came out.
    pub chat: Option<String>,
    /// The messenger of the chat, where the mapping wants one.
    pub channel: Option<String>,
    /// Its parameters; what is absent is missing.
    pub with: Map<String, Json>,
}

/// The keys under which calls stand.
pub(super) const MOMENTS: &[(&str, Moment)] = &[
    (Moment::AtOnce.key(), Moment::AtOnce),
    (Moment::Done.key(), Moment::Done),
    (Moment::LookedUp.key(), Moment::LookedUp),
];

/// Keys of a call beside its operation.
pub(super) const KEYS: &[&str] = &["to", "when", "chat", "channel", "braces"];

/// Words of [`Braces`].
pub(super) const BRACES: &[(&str, Braces)] = &[("double", Braces::Double), ("single", Braces::Single)];

impl CallTemplate {
    /// What comes out with these values; `None` where its condition does not hold.
    pub(crate) fn render(&self, view: View<'_>) -> Result<Option<Rendered>, EvaluationError> {
        if !self.when.holds(view)? {
            return Ok(None);
        }
        let text = |template: &Option<Template>| match template {
            None => Ok(None),
            Some(template) => {
                template.text(view).map(|text| Some(text.unwrap_or_default().trim().to_owned()))
            }
        };
        let mut with = Map::new();
        for (name, parameter) in &self.parameters {
            if let Some(value) = parameter.evaluate(view)? {
                with.insert(name.clone(), value);
            }
        }
        Ok(Some(Rendered {
            operation: self.operation.name,
            needs_chat: self.operation.needs_chat,
            chat: text(&self.chat)?,
            channel: text(&self.channel)?.filter(|channel| !channel.is_empty()),
            with,
        }))
    }

    /// Every template in it.
    pub(super) fn templates(&self) -> Vec<&Template> {
        let mut templates: Vec<&Template> = self.when.template().into_iter().collect();
        templates.extend([&self.chat, &self.channel].into_iter().flatten());
        for (_, parameter) in &self.parameters {
            parameter.collect(&mut templates);
        }
        templates
    }
}

impl Parameter {
    fn evaluate(&self, view: View<'_>) -> Result<Option<Json>, EvaluationError> {
        Ok(match self {
            Self::Value(template) => template.evaluate(view)?,
            Self::Address(address) => Some(address.fill(view)?),
            Self::List(items) => {
                let mut values = Vec::with_capacity(items.len());
                for item in items {
                    values.extend(item.evaluate(view)?);
                }
                Some(Json::Array(values))
            }
            Self::Entries(entries) => {
                let mut values = Map::new();
                for (name, entry) in entries {
                    values.extend(entry.evaluate(view)?.map(|value| (name.clone(), value)));
                }
                Some(Json::Object(values))
            }
        })
    }

    /// What of it depends on no lead; the rest is null. See [`CheckCall`](crate::rules::CheckCall).
    fn constant(&self) -> Json {
        match self {
            Self::Value(template) => template.constant().cloned().unwrap_or_default(),
            Self::Address(address) => json!({ "origin": address.origin() }),
            Self::List(items) => items.iter().map(Self::constant).collect(),
            Self::Entries(entries) => {
                entries.iter().map(|(name, entry)| (name.clone(), entry.constant())).collect()
            }
        }
    }

    fn collect<'a>(&'a self, templates: &mut Vec<&'a Template>) {
        match self {
            Self::Value(template) => templates.push(template),
            Self::Address(address) => templates.push(address.template()),
            Self::List(items) => items.iter().for_each(|item| item.collect(templates)),
            Self::Entries(entries) => entries.iter().for_each(|(_, entry)| entry.collect(templates)),
        }
    }
}

/// Which parts of an event the calls of a branch read.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    /// Top-level keys of the payload.
    keys: BTreeSet<String>,
    whole: bool,
    query: bool,
    headers: bool,
}

impl Reads {
    pub(super) fn of(calls: &[CallTemplate], variables: &Definitions) -> Self {
        let mut reads = Self::default();
        for template in calls.iter().flat_map(CallTemplate::templates) {
            reads.add(template, variables, &mut BTreeSet::new());
        }
        reads
    }

    fn add<'v>(&mut self, template: &Template, variables: &'v Definitions, seen: &mut BTreeSet<&'v str>) {
        self.whole |= template.reads_whole_body();
        for root in template.roots() {
            match root {
                "body" => self.whole = true,
                "query" => self.query = true,
                "headers" => self.headers = true,
                "vars" => {
                    for (name, variable) in variables {
                        if seen.insert(name) {
                            self.add(variable, variables, seen);
                        }
                    }
                }
                other => {
                    self.keys.insert(other.to_owned());
                }
            }
        }
    }

    /// Whether a call reads this key of the payload.
    pub(super) fn names(&self, key: &str) -> bool {
        self.whole || self.keys.contains(key)
    }

    /// Those parts of an event.
    pub(crate) fn given(&self, event: &Event) -> Given {
        let payload = match &event.payload {
            Json::Object(entries) if !self.whole => {
                let read = entries.iter().filter(|(key, _)| self.keys.contains(*key));
                Json::Object(read.map(|(key, value)| (key.clone(), value.clone())).collect())
            }
            whole @ (Json::Object(_)
            | Json::Array(_)
            | Json::String(_)
            | Json::Number(_)
            | Json::Bool(_)
            | Json::Null) => whole.clone(),
        };
        let part = |is_read: bool, part: &Json| if is_read { part.clone() } else { Json::Null };
        Given { payload, query: part(self.query, &event.query), headers: part(self.headers, &event.headers) }
    }
}

/// What is known of the destinations that calls may name.
#[derive(Clone, Copy)]
pub(super) struct Bots<'a> {
    /// Those that are sound.
    pub(super) sound: &'a BTreeMap<String, BotKind>,
    /// What the workspace says of them.
    pub(super) accounts: &'a BTreeMap<String, Destination>,
    /// All names that stand in the workspace.
    pub(super) destinations: &'a [String],
}

/// Reads the calls of one moment.
pub(super) fn read(
    reader: &Reader<'_>,
    node: &Node,
    key: &str,
    moment: Moment,
    bots: Bots<'_>,
    variables: &Definitions,
) -> Vec<CallTemplate> {
    let items = reader.list(node, &format!("`{key}`")).iter();
    items.filter_map(|item| call(reader, item, key, moment, bots, variables)).collect()
}

fn call(
    reader: &Reader<'_>,
    node: &Node,
    key: &str,
    moment: Moment,
    bots: Bots<'_>,
    variables: &Definitions,
) -> Option<CallTemplate> {
    let what = format!("an entry of `{key}`");
    let section = reader.entries(node, &what)?;
    let Some(to) = section.get("to") else {
        let help = bots.sound.keys().next().map(|bot| format!("write which bot it is for: `to: {bot}`"));
        reader.error(node.span, format!("{what} does not say which bot it is for (`to`)"), help);
        return None;
    };
    if matches!(to.kind, Kind::List(_)) {
        let help = Some("make an entry for each bot; they are called in their order".to_owned());
        reader.error(to.span, format!("{what} is for one bot"), help);
        return None;
    }
    let name = reader.text(to, "`to`")?;
    let Some(kind) = bots.sound.get(&name) else {
        if bots.destinations.contains(&name) {
            let help = Some("calls go to destinations that have `bot:`".to_owned());
            reader.error(to.span, format!("destination `{name}` is no bot that can be called"), help);
        } else {
            let help = suggest(&name, bots.sound.keys().map(String::as_str));
            reader.error(to.span, format!("there is no bot `{name}` among the destinations"), help);
        }
        return None;
    };
    let (operation, value) = operation(reader, node, &what, &name, kind)?;
    let braces = section.get("braces").and_then(|node| reader.choice(node, "`braces`", BRACES));
    let values = Values { reader, braces: braces.unwrap_or(Braces::Double), variables };
    let template = |key: &str, what: &str| section.get(key).and_then(|node| values.template(node, what));
    let problems = reader.problems_so_far();
    let parameters = values.parameters(value, operation);
    // What could not be read would be missed once more.
    if reader.problems_so_far() == problems
        && let (Some(check), Some(account)) = (kind.check, bots.accounts.get(&name))
    {
        let constant = |(name, parameter): &(String, Parameter)| (name.clone(), parameter.constant());
        for misuse in check(account, operation.name, &parameters.iter().map(constant).collect()) {
            let Misuse { parameter, message, help } = misuse;
            reader.error(value.get(parameter).unwrap_or(value).span, message, help);
        }
    }
    Some(CallTemplate {
        when: section.get("when").map_or(When::Always, |node| condition(reader, node, "`when`", Sees::Lead)),
        chat: template("chat", "`chat`"),
        channel: template("channel", "`channel`"),
        parameters,
        to: name,
        moment,
        operation,
    })
}

/// The one key that is an operation of the bot.
fn operation<'n>(
    reader: &Reader<'_>,
    node: &'n Node,
    what: &str,
    bot: &str,
    kind: &BotKind,
) -> Option<(&'static Operation, &'n Node)> {
    let known = || kind.operations.iter().map(|operation| operation.name);
    let mut found: Option<(&'static Operation, &'n Node)> = None;
    for (key, value) in node.entries() {
        let Some(word) = key.scalar().filter(|word| !KEYS.contains(word)) else { continue };
        let Some(operation) = kind.operations.iter().find(|operation| operation.name == word) else {
            let help = closest(word, known().chain(KEYS.iter().copied()))
                .map(|near| format!("did you mean `{near}`?"))
                .or_else(|| Some(format!("`{bot}` can: {}", known().collect::<Vec<_>>().join(", "))));
            reader.error(key.span, format!("`{bot}` has no operation `{word}`"), help);
            return None;
        };
        if let Some((first, _)) = found {
            let help = Some("make two entries of them; they are called in their order".to_owned());
            reader.error(key.span, format!("{what} has both `{}` and `{word}`", first.name), help);
            return None;
        }
        found = Some((operation, value));
    }
    if found.is_none() {
        let help = Some(format!("`{bot}` can: {}", known().collect::<Vec<_>>().join(", ")));
        reader.error(node.span, format!("{what} does not say what `{bot}` is to do"), help);
    }
    found
}

/// Whether nothing stands there, and nothing ever will.
fn is_blank(node: &Node) -> bool {
    node.is_null() || node.scalar().is_some_and(|text| text.trim().is_empty())
}

/// How the values of one call are read.
#[derive(Clone, Copy)]
struct Values<'r, 'f> {
    reader: &'r Reader<'f>,
    braces: Braces,
    variables: &'r Definitions,
}

impl Values<'_, '_> {
    fn parameters(self, node: &Node, operation: &'static Operation) -> Vec<(String, Parameter)> {
        let what = |name: &str| format!("`{}.{name}`", operation.name);
        let read = |name: &str, node: &Node| {
            let known = operation.parameters.iter().find(|parameter| parameter.name == name);
            let shape = known.map_or(Shape::Value, |parameter| parameter.shape);
            Some((name.to_owned(), self.parameter(node, &what(name), shape)?))
        };
        let single = !matches!(node.kind, Kind::Map { .. }) || node.is_unquoted_placeholder();
        if single && operation.parameters.is_empty() && node.is_null() {
            return Vec::new();
        }
        let whole = format!("`{}`", operation.name);
        let required = || operation.parameters.iter().filter(|parameter| parameter.required);
        if let (true, Some(main)) = (single, operation.main) {
            let main = operation.parameters.iter().find(|parameter| parameter.name == main);
            if let Some(main) = main.filter(|main| main.required && is_blank(node)) {
                let help = Some(format!("write what belongs behind the colon: {}", main.summary));
                self.reader.error(node.span, format!("{whole} is empty"), help);
                return Vec::new();
            }
            return main.and_then(|main| read(main.name, node)).into_iter().collect();
        }
        if single && !node.is_unquoted_placeholder() {
            let some: Vec<String> = required().map(|parameter| format!("{}: …", parameter.name)).collect();
            let some = if some.is_empty() { "…".to_owned() } else { some.join(", ") };
            let help = Some(format!("write its parameters: `{}: {{ {some} }}`", operation.name));
            self.reader.error(node.span, format!("{whole} must be a mapping (`key: value`)"), help);
            return Vec::new();
        }
        let names: Vec<&str> = operation.parameters.iter().map(|parameter| parameter.name).collect();
        let Some(section) = self.reader.section(node, &whole, &names) else { return Vec::new() };
        for parameter in required() {
            let help = || Some(format!("`{}`: {}", parameter.name, parameter.summary));
            match section.get(parameter.name) {
                None => self.reader.error(node.span, format!("{whole} has no `{}`", parameter.name), help()),
                Some(value) if is_blank(value) => {
                    self.reader.error(
                        value.span,
                        format!("{whole} has an empty `{}`", parameter.name),
                        help(),
                    );
                }
                Some(_) => {}
            }
        }
        let entries = section.node.entries().iter().filter(|(_, value)| !value.is_null());
        entries.filter_map(|(key, value)| read(key.scalar()?, value)).collect()
    }

    fn parameter(self, node: &Node, what: &str, shape: Shape) -> Option<Parameter> {
        match (&node.kind, shape) {
            (_, Shape::Address) => {
                let address = self.reader.address(node, what, Sees::Lead, self.braces, self.variables);
                address.map(Parameter::Address)
            }
            (Kind::List(items), Shape::Nested) => {
                let items = items.iter().filter_map(|item| self.parameter(item, what, shape));
                Some(Parameter::List(items.collect()))
            }
            (Kind::Map { .. }, Shape::Nested)
                if !node.is_unquoted_placeholder() && !self.reader.refuse_unquoted(node, self.braces) =>
            {
                let section = self.reader.entries(node, what)?;
                let entries = section.node.entries().iter().filter(|(_, value)| !value.is_null());
                let entries = entries.filter_map(|(key, value)| {
                    Some((key.scalar()?.to_owned(), self.parameter(value, what, shape)?))
                });
                Some(Parameter::Entries(entries.collect()))
            }
            _ => self.template(node, what).map(Parameter::Value),
        }
    }

    fn template(self, node: &Node, what: &str) -> Option<Template> {
        self.reader.template_in(node, what, Sees::Lead, self.braces)
    }
}
