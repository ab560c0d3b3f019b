//! `workspace.yaml`: destinations, owner pools, what tells who is who, links, retention, alerts, variables.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value as Json;

use super::problem::{Problem, Span, suggest};
use super::reader::{Environment, Reader, Section};
use super::scope::Definitions;
use super::source::{Broken, Source};
use super::template::constant;
use super::variables;
use super::yaml::{self, Kind, Node, Tree};
use super::{alerts, identity, links, pools};
use crate::rules::{
    AlertRules, Blind, BotKind, Destination, IdentityRules, LinkRules, Mode, OwnerPool, Rules, Setting,
    Settings,
};

/// Name of the file.
pub(super) const FILE: &str = "workspace.yaml";

/// Everything that the files of a workspace say.
#[derive(Debug, Default)]
pub struct Workspace {
    /// SHA-256 over the names and texts of all files, in hex. A lead is pinned to it.
    pub hash: String,
    /// The accounts that are written to, by name.
    pub destinations: BTreeMap<String, Destination>,
    /// Those of them that are bots, by name.
    pub bots: BTreeMap<String, BotKind>,
    /// The owner pools, by name.
    pub owner_pools: BTreeMap<String, OwnerPool>,
    /// What tells who is who.
    pub identity: IdentityRules,
    /// How links to a web site are made.
    pub links: LinkRules,
    /// How long things are kept.
    pub retention: Retention,
    /// Whom to tell of trouble.
    pub alerts: AlertRules,
    /// The sources, by name.
    pub sources: BTreeMap<String, Source>,
    /// Why `workspace.yaml` itself cannot be used. Then no source has a mapping, but tokens stay readable.
    pub broken: Option<Broken>,
    /// Environment variables that are not set and whose default was taken: demo secrets, refused off loopback.
    pub defaults_used: BTreeSet<String>,
    pub(super) variables: Definitions,
    /// All names that stand in the file, those of broken entries included, so that one mistake makes one problem.
    pub(super) destination_names: BTreeSet<String>,
    pub(super) owner_pool_names: BTreeSet<String>,
    /// Where `links.send_pin` stands.
    pub(super) send_pin_at: Option<Span>,
}

impl Workspace {
    /// The rules of a branch of a source's mapping; `None` when either is gone or broken.
    pub fn rules(&self, source: &str, branch: usize) -> Option<&Rules> {
        let mapping = self.sources.get(source)?.mapping.as_ref().ok()?;
        mapping.branches().get(branch).map(|branch| &branch.rules)
    }
}

/// How long things are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Raw bodies of requests.
    pub bodies: Duration,
    /// Everything else.
    pub rows: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        let day = Duration::from_hours(24);
        Self { bodies: day * 90, rows: day * 400 }
    }
}

pub(super) const KEYS: &[&str] =
    &["destinations", "owner_pools", "identity", "links", "retention", "alerts", "vars"];

/// Keys of every destination; its adapter has settings of its own.
pub(super) const DESTINATION_KEYS: &[&str] = &["crm", "mode", "share", "timeout", "settle", "audit", "blind"];

/// Keys of a bot beside its own settings: it is no CRM, and says whose chats it serves.
pub(super) const BOT_KEYS: &[&str] =
    &["bot", "mode", "share", "timeout", "settle", "audit", "blind", "chats"];

/// When a step that was sent again is looked for once more, unless a destination says otherwise.
const AUDIT: Duration = Duration::from_mins(10);

pub(super) const RETENTION_KEYS: &[&str] = &["bodies", "rows"];

pub(super) const MODES: &[(&str, Mode)] =
    &[("live", Mode::Live), ("observe", Mode::Observe), ("paused", Mode::Paused)];

pub(super) const BLIND: &[(&str, Blind)] =
    &[("at_most_once", Blind::AtMostOnce), ("at_least_once", Blind::AtLeastOnce)];

/// The part of an adapter's description that the loader needs.
#[derive(Clone, Copy, Debug)]
pub struct DestinationKind {
    /// Name of the adapter.
    pub name: &'static str,
    /// Its settings.
    pub settings: &'static [Setting],
    /// What makes it a bot; `None` for a CRM.
    pub bot: Option<BotKind>,
    /// Settings may be nested where this is there to read them and to note what is wrong with them.
    pub(crate) nested: Option<ReadNested>,
}

impl DestinationKind {
    /// Whether its settings have settings of their own.
    pub fn is_nested(&self) -> bool {
        self.nested.is_some()
    }
}

/// Reads the nested settings of a destination for their problems. The adapter reads them again when it connects.
pub(crate) type ReadNested = fn(&Reader<'_>, &Node);

/// Reads `workspace.yaml`; sources and hash are filled in by the caller, who knows the names of all `sources`.
pub(super) fn read(
    text: Option<&str>,
    environment: Environment<'_>,
    kinds: &[DestinationKind],
    sources: &BTreeSet<&str>,
) -> (Workspace, Vec<Problem>) {
    let mut workspace = Workspace::default();
    let reader = Reader::new(FILE, text.unwrap_or_default(), environment);
    if text.is_none() {
        let help = "put a `workspace.yaml` with `destinations:` beside the files of the sources".to_owned();
        let span = Span { line: 1, column: 1, ..Span::default() };
        reader.error(span, "the workspace has no `workspace.yaml`", Some(help));
    }
    let Tree { root, faults } = yaml::parse(text.unwrap_or_default());
    for fault in faults {
        reader.error(fault.span, fault.message, fault.help);
    }
    workspace.send_pin_at = links::send_pin(&root);
    if let Some(section) = reader.section(&root, "`workspace.yaml`", KEYS) {
        fill(&reader, &section, kinds, sources, &mut workspace);
    }
    let (problems, defaults) = reader.finish();
    workspace.defaults_used = defaults;
    workspace.broken = Broken::first_of(&problems);
    (workspace, problems)
}

fn fill(
    reader: &Reader<'_>,
    section: &Section<'_>,
    kinds: &[DestinationKind],
    sources: &BTreeSet<&str>,
    workspace: &mut Workspace,
) {
    for (name, node) in named(reader, section, "destinations") {
        workspace.destination_names.insert(name.to_owned());
        if let Some((destination, bot)) = destination(reader, name, node, kinds) {
            workspace.bots.extend(bot.map(|bot| (name.to_owned(), bot)));
            workspace.destinations.insert(name.to_owned(), destination);
        }
    }
    for (name, node) in named(reader, section, "owner_pools") {
        workspace.owner_pool_names.insert(name.to_owned());
        if let Some(pool) = pools::read(reader, name, node) {
            workspace.owner_pools.insert(name.to_owned(), pool);
        }
    }
    workspace.identity = section.get("identity").map(|node| identity::read(reader, node)).unwrap_or_default();
    workspace.links = section.get("links").map(|node| links::read(reader, node)).unwrap_or_default();
    if let Some(section) =
        section.get("retention").and_then(|node| reader.section(node, "`retention`", RETENTION_KEYS))
    {
        let duration =
            |key: &str| section.get(key).and_then(|node| reader.duration(node, &format!("`{key}`")));
        let Retention { bodies, rows } = Retention::default();
        workspace.retention = Retention {
            bodies: duration("bodies").unwrap_or(bodies),
            rows: duration("rows").unwrap_or(rows),
        };
    }
    workspace.alerts =
        section.get("alerts").map(|node| alerts::read(reader, node, sources)).unwrap_or_default();
    workspace.variables = variables::read(reader, section.get("vars"), &Definitions::new());
}

/// The entries of a section whose keys are the author's.
fn named<'n>(reader: &Reader<'_>, section: &Section<'n>, key: &str) -> Vec<(&'n str, &'n Node)> {
    let entries = section.get(key).and_then(|node| reader.entries(node, &format!("`{key}`")));
    let entries = entries.into_iter().flat_map(|section| section.node.entries());
    entries.filter_map(|(name, node)| Some((name.scalar()?, node))).collect()
}

/// Reads one destination; the second is what it can be asked, where it is a bot.
fn destination(
    reader: &Reader<'_>,
    name: &str,
    node: &Node,
    kinds: &[DestinationKind],
) -> Option<(Destination, Option<BotKind>)> {
    let section = reader.entries(node, &format!("destination `{name}`"))?;
    let kind = kind(reader, name, &section, kinds)?;
    let settings = settings(reader, name, node, kind);
    let duration = |key: &str| section.get(key).and_then(|node| reader.duration(node, &format!("`{key}`")));
    let destination = Destination {
        name: name.to_owned(),
        crm: kind.name.to_owned(),
        mode: section.get("mode").and_then(|node| reader.choice(node, "`mode`", MODES)).unwrap_or(Mode::Live),
        share: section.get("share").and_then(|node| share(reader, node)).unwrap_or(1.0),
        timeout: duration("timeout").unwrap_or(Duration::from_secs(10)),
        settle: duration("settle"),
        audit: duration("audit").unwrap_or(AUDIT),
        blind: section
            .get("blind")
            .and_then(|node| reader.choice(node, "`blind`", BLIND))
            .unwrap_or_default(),
        chats: section.get("chats").map(|node| chats(reader, node)).unwrap_or_default(),
        settings,
    };
    Some((destination, kind.bot))
}

/// Whose chats a bot serves. What could never be one would leave every call without a recipient.
fn chats(reader: &Reader<'_>, node: &Node) -> Vec<String> {
    let mut patterns = reader.texts(node, "`chats`");
    patterns.retain(|pattern| {
        let (begin, star) = pattern.strip_suffix('*').map_or((pattern.as_str(), false), |begin| (begin, true));
        let named = begin.split_once(':').is_some_and(|(channel, bot)| !channel.is_empty() && (star || !bot.is_empty()));
        let good = !begin.contains('*') && (named || star && begin.is_empty());
        if !good {
            let help = "write them as `leadfold people show` shows where a chat is: `chats: telegram:shop`, or `telegram:*` \
                 for all bots of a platform";
            reader.error(node.span, format!("`{pattern}` are the chats of no bot"), Some(help.to_owned()));
        }
        good
    });
    patterns
}

/// Which adapter a destination names: a CRM under `crm`, a bot under `bot`.
fn kind<'k>(
    reader: &Reader<'_>,
    name: &str,
    section: &Section<'_>,
    kinds: &'k [DestinationKind],
) -> Option<&'k DestinationKind> {
    let names = |bot: bool| kinds.iter().filter(move |kind| kind.bot.is_some() == bot).map(|kind| kind.name);
    let (word, node) = match (section.get("crm"), section.get("bot")) {
        (Some(node), None) => ("crm", node),
        (None, Some(node)) => ("bot", node),
        (Some(_), Some(node)) => {
            let help = Some("keep the one that it is; two accounts are two destinations".to_owned());
            reader.error(node.span, format!("destination `{name}` is both a `crm` and a `bot`"), help);
            return None;
        }
        (None, None) => {
            let known = |bot| names(bot).collect::<Vec<_>>().join(", ");
            let help = Some(format!("`crm:` one of {}; or `bot:` one of {}", known(false), known(true)));
            let message = format!("destination `{name}` does not say which `crm` or `bot` it is");
            reader.error(section.node.span, message, help);
            return None;
        }
    };
    let other = node.scalar().filter(|text| names(word == "crm").any(|known| known == *text));
    if let Some(text) = other {
        let right = if word == "crm" { "bot" } else { "crm" };
        let help = Some(format!("write `{right}: {text}`"));
        reader.error(
            node.span,
            format!("`{text}` is a {}", if right == "bot" { "bot" } else { "CRM" }),
            help,
        );
        return None;
    }
    let what = if word == "crm" { "CRM" } else { "bot" };
    let adapter = reader.name_of(node, what, names(word == "bot"))?;
    kinds.iter().find(|kind| kind.name == adapter)
}

/// The adapter's own settings.
fn settings(reader: &Reader<'_>, name: &str, node: &Node, kind: &DestinationKind) -> Settings {
    let common = if kind.bot.is_some() { BOT_KEYS } else { DESTINATION_KEYS };
    let mut settings = BTreeMap::new();
    for (key, value) in node.entries() {
        let Some(word) = key.scalar().filter(|word| !common.contains(word)) else { continue };
        let Some(setting) = kind.settings.iter().find(|setting| setting.name == word) else {
            let known = common.iter().copied().chain(kind.settings.iter().map(|setting| setting.name));
            reader.error(
                key.span,
                format!("`{word}` is not a setting of {}", kind.name),
                suggest(word, known),
            );
            continue;
        };
        let what = format!("`{word}`");
        let is_nested = kind.nested.is_some() && value.scalar().is_none();
        let text = match (is_nested, setting.secret) {
            (true, secret) => nested(reader, value, &what, secret).map(|json| json.to_string()),
            (false, true) => reader.secret(value, &what),
            (false, false) => reader.text(value, &what),
        };
        settings.extend(text.map(|text| (word.to_owned(), text)));
    }
    if let Some(read) = kind.nested {
        read(reader, node);
    }
    for setting in kind.settings.iter().filter(|setting| setting.required) {
        if node.get(setting.name).is_none_or(Node::is_null) {
            let help = Some(setting.summary.to_owned());
            reader.error(node.span, format!("destination `{name}` has no `{}`", setting.name), help);
        }
    }
    Settings(settings)
}

/// A nested setting as JSON, which is how its adapter gets it.
fn nested(reader: &Reader<'_>, node: &Node, what: &str, secret: bool) -> Option<Json> {
    match &node.kind {
        Kind::Scalar { .. } if secret => reader.secret(node, what).map(Json::String),
        Kind::Scalar { text, plain } => Some(constant(text, *plain)),
        Kind::List(items) => {
            let items: Vec<_> = items.iter().map(|item| nested(reader, item, what, secret)).collect();
            items.into_iter().collect::<Option<_>>().map(Json::Array)
        }
        Kind::Map { .. } => {
            let section = reader.entries(node, what)?;
            let entries: Vec<_> = section
                .node
                .entries()
                .iter()
                .map(|(key, value)| Some((key.scalar()?.to_owned(), nested(reader, value, what, secret)?)))
                .collect();
            entries.into_iter().collect::<Option<_>>().map(Json::Object)
        }
    }
}

/// `0.5` or `50%`.
fn share(reader: &Reader<'_>, node: &Node) -> Option<f64> {
    let text = reader.text(node, "`share`")?;
    let number = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map(|percent| percent / 100.0),
        None => text.parse(),
    };
    let share = number.ok().filter(|share| *share > 0.0 && *share <= 1.0);
    if share.is_none() {
        let help = "write a part of the account's rate limit: 50% or 0.5".to_owned();
        reader.error(node.span, format!("`share` must be above 0 and at most 1, not `{text}`"), Some(help));
    }
    share
}
