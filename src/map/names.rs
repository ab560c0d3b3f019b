//! The names in a workspace that a CRM must know: users, pipelines, stages and fields, each with its place.
//!
//! A walk of its own over the trees of the files. Whether a value has the right shape is [`compile`](super::compile)'s
//! business; here everything that is not a plain text is passed over, and so are placeholders, whose values only an
//! event knows.

use std::collections::{BTreeMap, BTreeSet};

use super::Files;
use super::problem::Span;
use super::workspace::FILE;
use super::yaml::{self, Kind, Node};

/// A name of the CRM's, as somebody wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention {
    /// The file it stands in.
    pub file: String,
    /// Where in the file.
    pub span: Span,
    /// The destinations whose CRM must know it.
    pub to: BTreeSet<String>,
    /// What it names.
    pub name: Name,
}

/// What a [`Mention`] names, in the author's spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// A further field of contacts.
    ContactField(String),
    /// A further field of deals.
    DealField(String),
    /// A field of contacts or deals for which there is an update policy.
    PolicyField(String),
    /// Somebody in an owner pool.
    User {
        /// As the pool writes them.
        user: String,
        /// Whether the pool itself says that they take no deals.
        away: bool,
    },
    /// A pipeline of deals.
    Pipeline(String),
    /// A stage of deals.
    Stage {
        /// As it is written.
        stage: String,
        /// The pipelines of which one must have it; empty when any may.
        pipelines: Vec<String>,
    },
    /// No name, but a need: leads may want a deal here.
    Deals,
    /// The same for tasks.
    Tasks,
    /// The same for notes.
    Notes,
}

/// Every name of the workspace, once for each place.
pub fn mentions(files: &Files) -> Vec<Mention> {
    let mut walk = Walk::default();
    for (file, text) in files.0.iter().filter(|(file, _)| *file != FILE) {
        if let Some(root) = sound(text) {
            walk.source(file, &root);
        }
    }
    if let Some(root) = files.0.get(FILE).and_then(|text| sound(text)) {
        walk.pools(&root);
    }
    walk.mentions
}

/// Where a destination stands in `workspace.yaml`: the file and its name there.
pub fn place_of_destination(files: &Files, name: &str) -> Option<(String, Span)> {
    let root = sound(files.0.get(FILE)?)?;
    let entries = root.get("destinations")?.entries();
    let (key, _) = entries.iter().find(|(key, _)| key.scalar() == Some(name))?;
    Some((FILE.to_owned(), key.span))
}

fn sound(text: &str) -> Option<Node> {
    let tree = yaml::parse(text);
    tree.faults.is_empty().then_some(tree.root)
}

#[derive(Default)]
struct Walk {
    mentions: Vec<Mention>,
    /// Where the deals of each owner pool go.
    pools: BTreeMap<String, BTreeSet<String>>,
}

impl Walk {
    fn source(&mut self, file: &str, root: &Node) {
        let defaults = root.get("defaults");
        let Some(Kind::List(branches)) = root.get("leads").map(|node| &node.kind) else { return };
        for branch in branches {
            self.branch(file, branch, defaults);
        }
    }

    fn branch(&mut self, file: &str, branch: &Node, defaults: Option<&Node>) {
        // As when it is compiled: a key is taken from the defaults as a whole, and a null takes a default away.
        let part = |key: &str| {
            let own = branch.get(key).or_else(|| defaults.and_then(|defaults| defaults.get(key)));
            own.filter(|node| !node.is_null())
        };
        let to: BTreeSet<String> = part("to").map(texts).unwrap_or_default().into_iter().collect();
        if let Some(pool) = part("owners").and_then(literal) {
            self.pools.entry(pool).or_default().extend(to.iter().cloned());
        }
        let mut note = |span, name| self.note(Mention { file: file.to_owned(), span, to: to.clone(), name });
        let fields = |part: Option<&Node>, entry: &str| -> Vec<(Span, String)> {
            let fields = part.and_then(|part| part.get(entry)).map(Node::entries).unwrap_or_default();
            let written = fields.iter().filter(|(_, value)| !value.is_null());
            written.filter_map(|(key, _)| Some((key.span, key.scalar()?.to_owned()))).collect()
        };
        let (deal, rules) = (part("deal"), part("rules"));
        for (span, field) in fields(part("contact"), "fields") {
            note(span, Name::ContactField(field));
        }
        for (span, field) in fields(deal, "fields") {
            note(span, Name::DealField(field));
        }
        for (span, field) in fields(rules, "update_fields") {
            note(span, Name::PolicyField(field));
        }

        let value =
            |key: &str| deal.and_then(|deal| deal.get(key)).map(|node| node.get("value").unwrap_or(node));
        let pipeline = value("pipeline").and_then(literal);
        if let (Some(node), Some(name)) = (value("pipeline"), &pipeline) {
            note(node.span, Name::Pipeline(name.clone()));
        }
        if let Some((node, stage)) = value("stage").and_then(|node| Some((node, literal(node)?))) {
            note(node.span, Name::Stage { stage, pipelines: pipeline.into_iter().collect() });
        }

        let open = rules.and_then(|rules| rules.get("open_deal"));
        let items =
            |key: &str| open.and_then(|open| open.get(key)).map(Node::one_or_many).unwrap_or_default();
        for node in items("pipelines") {
            if let Some(name) = literal(node) {
                note(node.span, Name::Pipeline(name));
            }
        }
        let pipelines: Vec<String> = items("pipelines").iter().filter_map(literal).collect();
        for node in items("stages") {
            if let Some(stage) = literal(node) {
                note(node.span, Name::Stage { stage, pipelines: pipelines.clone() });
            }
        }

        let says = |key: &str, word: &str| {
            rules.and_then(|rules| rules.get(key)).and_then(Node::scalar).is_some_and(|text| text == word)
        };
        let here = branch.get("name").unwrap_or(branch).span;
        if !says("create_deal", "never") {
            note(deal.map_or(here, |deal| deal.span), Name::Deals);
        }
        if !says("task_on_repeat", "false") {
            note(part("task").map_or(here, |task| task.span), Name::Tasks);
        }
        if let Some(text) = part("note") {
            note(text.span, Name::Notes);
        }
    }

    fn pools(&mut self, root: &Node) {
        for (key, pool) in root.get("owner_pools").map(Node::entries).unwrap_or_default() {
            let Some(to) = key.scalar().and_then(|name| self.pools.get(name)).cloned() else { continue };
            let owners = match &pool.kind {
                Kind::List(items) => items.as_slice(),
                Kind::Map { .. } | Kind::Scalar { .. } => {
                    pool.get("owners").map(Node::one_or_many).unwrap_or_default()
                }
            };
            for owner in owners.iter().chain(pool.get("fallback")) {
                let node = owner.get("user").unwrap_or(owner);
                let away = owner.get("away").and_then(Node::scalar) == Some("true");
                if let Some(user) = literal(node) {
                    let (file, name) = (FILE.to_owned(), Name::User { user, away });
                    self.note(Mention { file, span: node.span, to: to.clone(), name });
                }
            }
        }
    }

    /// What stands in `defaults` is met once for every entry that takes it.
    fn note(&mut self, mention: Mention) {
        let same = |known: &&mut Mention| {
            (&known.file, known.span, &known.name) == (&mention.file, mention.span, &mention.name)
        };
        match self.mentions.iter_mut().find(same) {
            Some(known) => known.to.extend(mention.to),
            None => self.mentions.push(mention),
        }
    }
}

/// A text without placeholders.
fn literal(node: &Node) -> Option<String> {
    let text = node.scalar().filter(|_| !node.is_null())?;
    let plain = !["{{", "<<", "${"].iter().any(|sign| text.contains(sign));
    Some(text.trim().to_owned()).filter(|text| plain && !text.is_empty())
}

fn texts(node: &Node) -> Vec<String> {
    node.one_or_many().iter().filter_map(literal).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKSPACE: &str = "\
destinations: { crm: {crm: sandbox}, shop: {crm: sandbox} }
owner_pools:
  kyiv: [olha, 7]
  lviv: { owners: [{ user: petro, away: true, weight: 2 }, { user: ivan }], fallback: boss }
  nobody: [unused]
";

    const SOURCE: &str = "\
defaults:
  to: [crm]
  owners: kyiv
  contact: { fields: { city: \"{{ city }}\", gone: ~ } }
  deal: { pipeline: Sales, stage: New }
  rules: { update_fields: { city: always }, open_deal: { pipelines: [Sales], stages: [New, '{{ x }}'] } }
leads:
  - name: one
  - name: two
    to: [crm, shop]
    owners: lviv
    deal: { pipeline: '{{ p }}', stage: { value: Won, required: true }, fields: { utm: << x >> } }
    note: hello
    rules: { create_deal: never, task_on_repeat: false }
  - name: three
    deal: ~
    owners: ~
";

    fn told() -> Vec<String> {
        let files = [(FILE, WORKSPACE), ("a.yaml", SOURCE)];
        let files = Files(files.map(|(name, text)| (name.to_owned(), text.to_owned())).into());
        mentions(&files)
            .into_iter()
            .map(|Mention { file, span: Span { line, column, .. }, to, name }| {
                let to: Vec<String> = to.into_iter().collect();
                format!("{file}:{line}:{column} {name:?} in {}", to.join(" "))
            })
            .collect()
    }

    #[test]
    fn every_name_has_its_place_and_the_destinations_that_must_know_it() {
        let user = |user: &str, away: bool| format!("{:?}", Name::User { user: user.into(), away });
        let stage = |stage: &str, pipelines: &[&str]| {
            let pipelines = pipelines.iter().map(ToString::to_string).collect();
            format!("{:?}", Name::Stage { stage: stage.into(), pipelines })
        };
        let expect = [
            "a.yaml:4:24 ContactField(\"city\") in crm shop".to_owned(),
            "a.yaml:6:29 PolicyField(\"city\") in crm".to_owned(),
            "a.yaml:5:21 Pipeline(\"Sales\") in crm".to_owned(),
            format!("a.yaml:5:35 {} in crm", stage("New", &["Sales"])),
            "a.yaml:6:70 Pipeline(\"Sales\") in crm".to_owned(),
            format!("a.yaml:6:87 {} in crm", stage("New", &["Sales"])),
            "a.yaml:5:9 Deals in crm".to_owned(),
            "a.yaml:8:11 Tasks in crm".to_owned(),
            "a.yaml:12:83 DealField(\"utm\") in crm shop".to_owned(),
            format!("a.yaml:12:50 {} in crm shop", stage("Won", &[])),
            "a.yaml:13:11 Notes in crm shop".to_owned(),
            "a.yaml:15:11 Deals in crm".to_owned(),
            "a.yaml:15:11 Tasks in crm".to_owned(),
            format!("workspace.yaml:3:10 {} in crm", user("olha", false)),
            format!("workspace.yaml:3:16 {} in crm", user("7", false)),
            format!("workspace.yaml:4:28 {} in crm shop", user("petro", true)),
            format!("workspace.yaml:4:68 {} in crm shop", user("ivan", false)),
            format!("workspace.yaml:4:87 {} in crm shop", user("boss", false)),
        ];
        let told = told();
        let missing: Vec<_> = expect.iter().filter(|line| !told.contains(line)).collect();
        let more: Vec<_> = told.iter().filter(|line| !expect.contains(line)).collect();
        assert!(missing.is_empty() && more.is_empty(), "missing {missing:#?}, too many {more:#?}");
    }

    #[test]
    fn a_file_that_is_not_yaml_names_nothing() {
        let files = Files([("a.yaml".to_owned(), format!("{SOURCE}\n  x: [1"))].into());
        assert_eq!(mentions(&files), []);
        let files = Files([(FILE.to_owned(), WORKSPACE.to_owned())].into());
        let (_, span) = place_of_destination(&files, "shop").unwrap();
        assert_eq!((span.line, span.column), (1, 38));
        assert_eq!(place_of_destination(&files, "other"), None);
    }
}
