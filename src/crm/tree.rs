//! JSON with placeholders for leaves, as the workspace writes the body of a request.
//!
//! What it is filled with is data: no value is looked into for placeholders, and none can add a key.

use serde_json::{Map, Value as Json};

use crate::map::{Kind, Node, Reader, Template, Values};

/// A body with templates for leaves.
#[derive(Debug)]
pub(super) enum Tree {
    Leaf(Template),
    Map(Vec<(String, Tree)>),
    List(Vec<Tree>),
}

impl Tree {
    /// Reads a body; `leaf` reads each of its values.
    pub(super) fn read(
        reader: &Reader<'_>,
        node: &Node,
        what: &str,
        leaf: &dyn Fn(&Node) -> Option<Template>,
    ) -> Option<Self> {
        let read = |node: &Node| Self::read(reader, node, what, leaf);
        match &node.kind {
            Kind::Map { .. } => {
                let section = reader.entries(node, what)?;
                let entry = |(key, value): &(Node, Node)| Some((key.scalar()?.to_owned(), read(value)?));
                section.node.entries().iter().map(entry).collect::<Option<_>>().map(Self::Map)
            }
            Kind::List(items) => items.iter().map(read).collect::<Option<_>>().map(Self::List),
            Kind::Scalar { .. } => leaf(node).map(Self::Leaf),
        }
    }

    /// The whole body: an object stays one when nothing is left in it.
    pub(super) fn body(&self, values: &Values) -> Result<Option<Json>, String> {
        let empty = matches!(self, Self::Map(_)).then(|| Json::Object(Map::new()));
        Ok(self.fill(values)?.0.or(empty))
    }

    /// `None` where nothing is there: an absent value, and an object or list in which nothing is left. An item of a list
    /// that lacks one of its values is left out whole, because a phone without a number is no phone. Also says whether
    /// every value was there.
    fn fill(&self, values: &Values) -> Result<(Option<Json>, bool), String> {
        match self {
            Self::Leaf(template) => {
                let json = template.evaluate(values.scope().event()).map_err(|error| error.message)?;
                let present = json.is_some();
                Ok((json, present))
            }
            Self::Map(entries) => {
                let (mut map, mut all) = (Map::new(), true);
                for (name, tree) in entries {
                    let (json, whole) = tree.fill(values)?;
                    all &= whole;
                    if let Some(json) = json {
                        map.insert(name.clone(), json);
                    }
                }
                Ok(((!map.is_empty()).then_some(Json::Object(map)), all))
            }
            Self::List(trees) => {
                let mut items = Vec::with_capacity(trees.len());
                for tree in trees {
                    let (json, whole) = tree.fill(values)?;
                    items.extend(json.filter(|_| whole));
                }
                Ok(((!items.is_empty()).then_some(Json::Array(items)), true))
            }
        }
    }

    /// Every template of it.
    pub(super) fn collect<'a>(&'a self, into: &mut Vec<&'a Template>) {
        match self {
            Self::Leaf(template) => into.push(template),
            Self::Map(entries) => entries.iter().for_each(|(_, tree)| tree.collect(into)),
            Self::List(trees) => trees.iter().for_each(|tree| tree.collect(into)),
        }
    }
}
