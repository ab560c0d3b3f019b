//! A request of the described CRM: templates for its address and body, and what comes of them for one set of values.
//!
//! Values from leads are data. They are put into a tree of JSON, into query parameters and into single segments of the
//! path, each escaped for its place; no value is ever looked into for placeholders, and none can add a key, a parameter or
//! a segment.

use reqwest::Method;
use serde_json::{Map, Value as Json};

use crate::map::{Template, Values};

/// The templates of a request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    /// One for each segment of the path.
    pub(super) path: Vec<Template>,
    /// Whether the path ends with a slash.
    pub(super) folder: bool,
    pub(super) query: Vec<(String, Template)>,
    pub(super) headers: Vec<(String, Template)>,
    pub(super) json: Option<Tree>,
}

/// A body with templates for leaves.
#[derive(Debug)]
pub(super) enum Tree {
    Leaf(Template),
    Map(Vec<(String, Tree)>),
    List(Vec<Tree>),
}

/// A request for one set of values.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Filled {
    pub(super) method: Method,
    /// Not escaped yet.
    pub(super) segments: Vec<String>,
    pub(super) folder: bool,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) json: Option<Json>,
}

impl Request {
    /// Fills the templates; the error says what has no value. What is absent is left out, but never from the path.
    pub(super) fn fill(&self, values: &Values) -> Result<Filled, String> {
        let mut segments = Vec::with_capacity(self.path.len());
        for template in &self.path {
            let text = texts(template, values)?.into_iter().next().filter(|text| !text.is_empty());
            segments.push(text.ok_or("a part of the path has no value")?);
        }
        Ok(Filled {
            method: self.method.clone(),
            segments,
            folder: self.folder,
            query: pairs(&self.query, values)?,
            headers: pairs(&self.headers, values)?,
            json: self.json.as_ref().map(|tree| tree.body(values)).transpose()?.flatten(),
        })
    }

    /// Every template of it.
    pub(super) fn templates(&self) -> Vec<&Template> {
        let mut templates: Vec<&Template> = self.path.iter().collect();
        templates.extend(self.query.iter().chain(&self.headers).map(|(_, template)| template));
        if let Some(tree) = &self.json {
            tree.collect(&mut templates);
        }
        templates
    }
}

impl Tree {
    /// The whole body: an object stays one when nothing is left in it.
    fn body(&self, values: &Values) -> Result<Option<Json>, String> {
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

    fn collect<'a>(&'a self, into: &mut Vec<&'a Template>) {
        match self {
            Self::Leaf(template) => into.push(template),
            Self::Map(entries) => entries.iter().for_each(|(_, tree)| tree.collect(into)),
            Self::List(trees) => trees.iter().for_each(|tree| tree.collect(into)),
        }
    }
}

/// A list gives its parameter several times.
fn pairs(templates: &[(String, Template)], values: &Values) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::with_capacity(templates.len());
    for (name, template) in templates {
        pairs.extend(texts(template, values)?.into_iter().map(|text| (name.clone(), text)));
    }
    Ok(pairs)
}

fn texts(template: &Template, values: &Values) -> Result<Vec<String>, String> {
    template.texts(values.scope().event()).map_err(|error| error.message)
}
