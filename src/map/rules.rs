//! The `rules:` of a branch. Their defaults are preset `leadbox`.

use super::reader::Reader;
use super::yaml::{Kind, Node};
use crate::rules::{Conflict, CreateDeal, FieldPolicy, Need, OpenDeal, Rules, TaskOnRepeat, Update};

pub(super) const KEYS: &[&str] =
    &["preset", "create_deal", "task_on_repeat", "update", "update_fields", "needs", "open_deal", "conflict"];

pub(super) const CREATE_DEAL: &[(&str, CreateDeal)] =
    &[("when_none_open", CreateDeal::WhenNoneOpen), ("never", CreateDeal::Never)];

pub(super) const UPDATE: &[(&str, Update)] =
    &[("none", Update::None), ("all", Update::All), ("only_empty", Update::OnlyEmpty)];

pub(super) const FIELD_POLICY: &[(&str, FieldPolicy)] = &[
    ("always", FieldPolicy::Always),
    ("if_empty", FieldPolicy::IfEmpty),
    ("append", FieldPolicy::Append),
    ("newest", FieldPolicy::Newest),
    ("never", FieldPolicy::Never),
];

pub(super) const NEEDS: &[(&str, Need)] =
    &[("phone", Need::Phone), ("email", Need::Email), ("name", Need::Name), ("chat", Need::Chat)];

pub(super) const CONFLICT: &[(&str, Conflict)] =
    &[("prefer_first", Conflict::PreferFirst), ("review", Conflict::Review)];

pub(super) const PRESETS: &[(&str, ())] = &[("leadbox", ())];

pub(super) const TASK_ON_REPEAT_KEYS: &[&str] = &["collapse"];

pub(super) const OPEN_DEAL_KEYS: &[&str] = &["pipelines", "stages", "max_age"];

/// Reads `rules:`; what is not written keeps its default.
pub(super) fn read(reader: &Reader<'_>, node: &Node) -> Rules {
    let mut rules = Rules::default();
    let Some(section) = reader.section(node, "`rules`", KEYS) else { return rules };
    if let Some(node) = section.get("preset") {
        // There is one preset, and it is what `Rules::default()` holds.
        reader.choice(node, "`rules.preset`", PRESETS);
    }
    let create =
        section.get("create_deal").and_then(|node| reader.choice(node, "`create_deal`", CREATE_DEAL));
    rules.create_deal = create.unwrap_or(rules.create_deal);
    let task = section.get("task_on_repeat").and_then(|node| task_on_repeat(reader, node));
    rules.task_on_repeat = task.unwrap_or(rules.task_on_repeat);
    let update = section.get("update").and_then(|node| reader.choice(node, "`update`", UPDATE));
    rules.update = update.unwrap_or(rules.update);
    let fields = section.get("update_fields").and_then(|node| reader.entries(node, "`update_fields`"));
    for (key, value) in fields.iter().flat_map(|section| section.node.entries()) {
        let policy = reader.choice(value, "an entry of `update_fields`", FIELD_POLICY);
        if let (Some(name), Some(policy)) = (key.scalar(), policy) {
            rules.update_fields.insert(name.to_owned(), policy);
        }
    }
    if let Some(node) = section.get("needs") {
        let items = node.one_or_many().iter();
        rules.needs = items.filter_map(|item| reader.choice(item, "`needs`", NEEDS)).collect();
    }
    rules.open_deal = section.get("open_deal").map(|node| open_deal(reader, node)).unwrap_or_default();
    let conflict = section.get("conflict").and_then(|node| reader.choice(node, "`conflict`", CONFLICT));
    rules.conflict = conflict.unwrap_or(rules.conflict);
    if rules.create_deal == CreateDeal::Never
        && rules.update == Update::None
        && rules.update_fields.is_empty()
    {
        let at = section.get("create_deal").unwrap_or(node);
        reader.warn(
            at.span,
            "`create_deal: never` with `update: none` writes nothing to contacts and deals",
            Some("add `update: only_empty` or `update: all` so that existing records are filled".to_owned()),
        );
    }
    rules
}

/// `true`, `false`, or `{ collapse: 15m }`.
fn task_on_repeat(reader: &Reader<'_>, node: &Node) -> Option<TaskOnRepeat> {
    if let Kind::Map { .. } = node.kind {
        let section = reader.section(node, "`task_on_repeat`", TASK_ON_REPEAT_KEYS)?;
        let window = reader.duration(section.get("collapse")?, "`collapse`")?;
        return Some(TaskOnRepeat::Collapse(window));
    }
    let always = reader.boolean(node, "`task_on_repeat`")?;
    Some(if always { TaskOnRepeat::Always } else { TaskOnRepeat::Never })
}

fn open_deal(reader: &Reader<'_>, node: &Node) -> OpenDeal {
    let Some(section) = reader.section(node, "`open_deal`", OPEN_DEAL_KEYS) else {
        return OpenDeal::default();
    };
    let texts = |key: &str| section.get(key).map(|node| reader.texts(node, "a name")).unwrap_or_default();
    OpenDeal {
        pipelines: texts("pipelines"),
        stages: texts("stages"),
        max_age: section.get("max_age").and_then(|node| reader.duration(node, "`max_age`")),
    }
}
