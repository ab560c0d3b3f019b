//! `vars:` of a workspace and of a source: named values that may use the event and each other, but not in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::path::Step;
use super::problem::Span;
use super::reader::Reader;
use super::scope::Definitions;
use super::template::{Placeholder, Sees, Template};
use super::yaml::Node;

/// Reads `vars:`. `inherited` are those of the workspace; a name defined again wins.
pub(super) fn read(reader: &Reader<'_>, node: Option<&Node>, inherited: &Definitions) -> Definitions {
    let mut all = inherited.clone();
    let mut places = BTreeMap::new();
    let section = node.and_then(|node| reader.entries(node, "`vars`"));
    for (key, value) in section.iter().flat_map(|section| section.node.entries()) {
        let template = reader.template(value, "an entry of `vars`", Sees::Event);
        if let (Some(name), Some(template)) = (key.scalar(), template) {
            all.insert(name.to_owned(), Arc::new(template));
            places.insert(name.to_owned(), key.span);
        }
    }
    for name in places.keys() {
        if let Some(template) = all.get(name) {
            reader.check_variables(template, &all);
        }
    }
    refuse_cycles(reader, &mut all, &places);
    all
}

/// Notes every variable of this file that needs itself, and takes it out, so that evaluating always ends.
fn refuse_cycles(reader: &Reader<'_>, all: &mut Definitions, places: &BTreeMap<String, Span>) {
    let needs: BTreeMap<&str, BTreeSet<&str>> =
        all.iter().map(|(name, template)| (name.as_str(), needed_by(template, all))).collect();
    let mut circular = BTreeSet::new();
    for (name, span) in places {
        if let Some(circle) = circle(&needs, name) {
            let help = Some("let one of them not use the others".to_owned());
            reader.error(*span, format!("`vars.{name}` needs itself: {}", circle.join(" → ")), help);
            circular.insert(name.clone());
        }
    }
    all.retain(|name, _| !circular.contains(name));
}

fn needed_by<'a>(template: &Template, all: &'a Definitions) -> BTreeSet<&'a str> {
    let mut needs = BTreeSet::new();
    let paths = template.placeholders().into_iter().flat_map(Placeholder::paths);
    for path in paths.filter(|path| path.root == "vars") {
        match path.steps.first() {
            Some(Step::Key(name)) => needs.extend(all.get_key_value(name).map(|(name, _)| name.as_str())),
            // `vars` itself is passed on, or indexed by a value.
            Some(Step::Index(_)) | None => needs.extend(all.keys().map(String::as_str)),
        }
    }
    needs
}

/// A way from a name back to itself.
fn circle<'a>(needs: &BTreeMap<&'a str, BTreeSet<&'a str>>, name: &'a str) -> Option<Vec<&'a str>> {
    let mut reached_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut queue = vec![name];
    while let Some(at) = queue.pop() {
        for next in needs.get(at).into_iter().flatten().copied() {
            if next == name {
                let mut way = vec![name, at];
                let mut step = at;
                while step != name {
                    step = reached_from.get(step).copied().unwrap_or(name);
                    way.push(step);
                }
                way.reverse();
                return Some(way);
            }
            if let std::collections::btree_map::Entry::Vacant(entry) = reached_from.entry(next) {
                entry.insert(at);
                queue.push(next);
            }
        }
    }
    None
}
