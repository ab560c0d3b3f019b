//! The nested settings of a described CRM: YAML → [`Api`], with everything that is wrong with it.

mod request;

use std::collections::BTreeMap;

use self::request::{METHODS, request};
use super::answer::{FieldPlaces, Items, Meanings, Pick, Places, Rule};
use super::operation::{KINDS, Kind, Op, Operation};
use super::soundness;
use super::spelling::Spelling;
use crate::crm::auth;
use crate::crm::http::Verdict;
use crate::map::{JsonPath, Kind as Shape, Node, Reader, Section, Sees, Template};

/// What the workspace says of a CRM with an HTTP API.
#[derive(Debug, Default)]
pub(super) struct Api {
    pub(super) operations: BTreeMap<Op, Operation>,
    /// Where things stand in a contact.
    pub(super) contact: Places,
    /// Where things stand in a deal.
    pub(super) deal: Places,
    pub(super) meanings: Meanings,
    /// The spellings of a phone to search for, one after another.
    pub(super) spellings: Vec<Spelling>,
    /// Sent with every request.
    pub(super) headers: Vec<(String, String)>,
}

const CONTACT_KEYS: &[&str] = &["id", "name", "phones", "emails", "owner", "created_at", "fields", "deals"];

const DEAL_KEYS: &[&str] =
    &["id", "contact", "title", "pipeline", "stage", "owner", "created_at", "fields", "open"];

/// Words of `answers:` and what they say of a request.
const MEANINGS: &[(&str, Verdict)] = &[
    ("rate_limited", Verdict::RateLimited),
    ("unauthorised", Verdict::Unauthorised),
    ("refused", Verdict::Rejected),
    ("not_done", Verdict::NotDone),
    ("unclear", Verdict::Unclear),
];

const SPELLINGS: &[(&str, Spelling)] = &[
    ("international", Spelling::International),
    ("digits", Spelling::Digits),
    ("national", Spelling::National),
    ("short", Spelling::Short),
];

/// Reads the settings of a destination. What is wrong is noted with the reader; the rest is there all the same.
pub(super) fn read(reader: &Reader<'_>, node: &Node) -> Api {
    let destination = Section { node };
    auth::check(reader, &destination);
    let meanings = destination.get("answers").map(|node| meanings(reader, node)).unwrap_or_default();
    let mut api = Api {
        operations: BTreeMap::new(),
        contact: places(reader, destination.get("contact"), "`contact`", CONTACT_KEYS),
        deal: places(reader, destination.get("deal"), "`deal`", DEAL_KEYS),
        meanings,
        spellings: destination.get("phone_spellings").map(|node| spellings(reader, node)).unwrap_or_default(),
        headers: destination.get("headers").map(|node| headers(reader, node)).unwrap_or_default(),
    };
    if api.spellings.is_empty() {
        api.spellings.push(Spelling::International);
    }
    let Some((key, operations)) = node.entries().iter().find(|(key, _)| key.scalar() == Some("operations"))
    else {
        return api;
    };
    let words: Vec<&str> = KINDS.iter().map(|kind| kind.word).collect();
    let Some(section) = reader.section(operations, "`operations`", &words) else { return api };
    let mut declined = Vec::new();
    for kind in KINDS {
        match section.get(kind.word) {
            Some(node) if node.scalar() == Some("none") => declined.push(kind.op),
            Some(node) => {
                api.operations.extend(operation(reader, kind, node).map(|operation| (kind.op, operation)));
            }
            None => {}
        }
    }
    let there = |op: Op| section.get(op.word()).is_some_and(|node| node.scalar() != Some("none"));
    soundness::check(reader, &api, key.span, &there, &declined, &|op| {
        section.get(op.word()).map_or(key.span, |node| node.span)
    });
    api
}

fn headers(reader: &Reader<'_>, node: &Node) -> Vec<(String, String)> {
    let section = reader.entries(node, "`headers`");
    let entries = section.iter().flat_map(|section| section.node.entries());
    let text = |(key, value): &(Node, Node)| {
        Some((key.scalar()?.to_owned(), reader.text(value, "a header (secrets go under `auth`)")?))
    };
    entries.filter_map(text).collect()
}

fn spellings(reader: &Reader<'_>, node: &Node) -> Vec<Spelling> {
    let choice = |node| reader.choice(node, "`phone_spellings`", SPELLINGS);
    node.one_or_many().iter().filter_map(choice).collect()
}

fn meanings(reader: &Reader<'_>, node: &Node) -> Meanings {
    let words: Vec<&str> = MEANINGS.iter().map(|(word, _)| *word).collect();
    let Some(section) = reader.section(node, "`answers`", &words) else { return Meanings::default() };
    let mut all: Vec<(Verdict, Rule)> = Vec::new();
    for (word, verdict) in MEANINGS {
        let Some(node) = section.get(word) else { continue };
        all.extend(rules(reader, node, &format!("`{word}`")).into_iter().map(|rule| (*verdict, rule)));
    }
    all.sort_by_key(|(_, rule)| rule.when.is_none());
    Meanings(all)
}

/// `404`, `[404, 410]`, `{ status: 200, when: "{{ … }}" }`, or a list of such.
fn rules(reader: &Reader<'_>, node: &Node, what: &str) -> Vec<Rule> {
    let one = |node: &Node| match node.kind {
        Shape::Map { .. } => rule(reader, &reader.section(node, what, &["status", "when"])?, node, what),
        Shape::Scalar { .. } | Shape::List(_) => {
            Some(Rule { statuses: vec![reader.count(node, what)?], when: None })
        }
    };
    node.one_or_many().iter().filter_map(one).collect()
}

fn rule(reader: &Reader<'_>, section: &Section<'_>, node: &Node, what: &str) -> Option<Rule> {
    let statuses = section.get("status").map(Node::one_or_many).unwrap_or_default();
    let statuses: Vec<u16> = statuses.iter().filter_map(|node| reader.count(node, "`status`")).collect();
    let when = section.get("when");
    if statuses.is_empty() && when.is_none() {
        let help =
            "write `{ status: 409 }`, or `{ when: \"{{ error.code == 'duplicate' }}\" }`, or both".to_owned();
        reader.error(node.span, format!("{what} does not say which answers it means"), Some(help));
        return None;
    }
    let when = match when {
        Some(node) => Some(condition(reader, node, "`when`")?),
        None => None,
    };
    Some(Rule { statuses, when })
}

fn condition(reader: &Reader<'_>, node: &Node, what: &str) -> Option<Template> {
    let template = reader.template(node, what, Sees::Lead)?;
    if template.is_single() {
        return Some(template);
    }
    let help = "write the whole condition inside: \"{{ success == false }}\"".to_owned();
    reader.error(node.span, format!("{what} must be one placeholder"), Some(help));
    None
}

/// Where the parts of a record stand.
fn places(reader: &Reader<'_>, node: Option<&Node>, what: &str, keys: &[&str]) -> Places {
    let section = node.and_then(|node| reader.section(node, what, keys));
    let get = |key: &str| section.as_ref().and_then(|section| section.get(key));
    let at = |key: &str| get(key).and_then(|node| pick(reader, node, &format!("`{key}`")));
    let id = at("id").or_else(|| standard(reader, "$.id"));
    let fields = get("fields").map(|node| field_places(reader, node)).unwrap_or_default();
    Places {
        id,
        name: at(if keys.contains(&"title") { "title" } else { "name" }),
        owner: at("owner"),
        created_at: at("created_at"),
        fields,
        phones: at("phones"),
        emails: at("emails"),
        deals: get("deals").and_then(|node| items(reader, node)),
        contact: at("contact"),
        pipeline: at("pipeline"),
        stage: at("stage"),
        open: get("open").and_then(|node| condition(reader, node, "`open`")),
    }
}

fn field_places(reader: &Reader<'_>, node: &Node) -> FieldPlaces {
    if !matches!(node.kind, Shape::Map { .. }) {
        return pick(reader, node, "`fields`").map(FieldPlaces::All).unwrap_or_default();
    }
    let section = reader.entries(node, "`fields`");
    let entries = section.iter().flat_map(|section| section.node.entries());
    let each = entries.filter_map(|(key, value)| {
        let name = key.scalar()?.to_owned();
        let pick = pick(reader, value, &format!("field `{name}`"))?;
        Some((name, pick))
    });
    FieldPlaces::Each(each.collect())
}

/// The place that nobody has to write.
fn standard(reader: &Reader<'_>, path: &str) -> Option<Pick> {
    let kind = Shape::Scalar { text: path.to_owned(), plain: true };
    pick(reader, &Node { span: crate::map::Span::default(), kind }, "a place")
}

/// A JSONPath, a template, or a list of them.
fn pick(reader: &Reader<'_>, node: &Node, what: &str) -> Option<Pick> {
    let mut templates = Vec::new();
    for node in node.one_or_many() {
        let Some(text) = node.scalar().map(str::trim) else {
            reader.wrong_shape(node, &format!("{what} must say where it stands: `$.name`"));
            return None;
        };
        let placeholder = if text.starts_with('$') {
            Some(format!("{{{{ {text} }}}}"))
        } else {
            (text.contains("{{") || text.contains("<<")).then(|| text.to_owned())
        };
        let Some(text) = placeholder else {
            let help = format!(
                "write `$.{text}`; texts can be put together: \"{{{{ first_name }}}} {{{{ last_name }}}}\""
            );
            reader.error(node.span, format!("{what} must say where it stands in the answer"), Some(help));
            return None;
        };
        let wrapped = Node { span: node.span, kind: Shape::Scalar { text, plain: false } };
        templates.push(reader.template(&wrapped, what, Sees::Lead)?);
    }
    Some(Pick(templates))
}

/// A JSONPath to a list. A `[*]` at its end says the same as none, and costs nothing without it.
fn items(reader: &Reader<'_>, node: &Node) -> Option<Items> {
    let text = reader.text(node, "the place of a list")?;
    let path = text.trim();
    match JsonPath::compile(path.strip_suffix("[*]").unwrap_or(path)) {
        Ok(path) => Some(Items(path)),
        Err(message) => {
            let help = "write where the list stands: `$` for the whole answer, `$.data`, `$.data.items`";
            reader.error(node.span, message, Some(help.to_owned()));
            None
        }
    }
}

/// One entry of `operations:`.
fn operation(reader: &Reader<'_>, kind: &Kind, node: &Node) -> Option<Operation> {
    let what = format!("`{}`", kind.word);
    let mut keys: Vec<&str> = METHODS.iter().map(|(word, _)| *word).collect();
    keys.extend(["query", "headers", "json"]);
    keys.extend(kind.picks);
    if kind.op.lists() {
        keys.extend(["items", "not_found"]);
    }
    if kind.op.creates().is_some() {
        keys.extend(["duplicate", "keyed"]);
    }
    let section = reader.section(node, &what, &keys)?;
    let request = request(reader, kind, &section, node)?;
    let place = |key: &&'static str| {
        let nameless = matches!(kind.op, Op::CreateTask | Op::AddNote);
        let pick = match section.get(key) {
            // Nothing is built on the id of a task or note.
            Some(node) if nameless && node.scalar() == Some("none") => None,
            Some(node) => pick(reader, node, &format!("`{key}`")),
            None if *key == "id" || *key == "name" => standard(reader, &format!("$.{key}")),
            None => None,
        };
        pick.map(|pick| (*key, pick))
    };
    let not_found = match section.get("not_found") {
        Some(node) => rules(reader, node, "`not_found`"),
        None if kind.op == Op::GetContact => vec![Rule { statuses: vec![404], when: None }],
        None => Vec::new(),
    };
    let items = match section.get("items") {
        Some(node) => items(reader, node)?,
        None => Items(JsonPath::compile("$").ok()?),
    };
    Some(Operation {
        word: kind.word,
        request,
        items,
        picks: kind.picks.iter().filter_map(place).collect(),
        not_found,
        duplicate: section.get("duplicate").and_then(|node| duplicate(reader, node)),
        keyed: section.get("keyed").and_then(|node| reader.boolean(node, "`keyed`")).unwrap_or(false),
    })
}

fn duplicate(reader: &Reader<'_>, node: &Node) -> Option<(Rule, Pick)> {
    let section = reader.section(node, "`duplicate`", &["status", "when", "id"])?;
    let rule = rule(reader, &section, node, "`duplicate`");
    let Some(id) = section.get("id") else {
        let help =
            "write where the answer names the record that is there already: `id: $.existing_id`".to_owned();
        reader.error(node.span, "`duplicate` has no `id`", Some(help));
        return None;
    };
    Some((rule?, pick(reader, id, "`id`")?))
}
