//! A request of the described CRM: templates for its address and body, and what comes of them for one set of values.
//!
//! Values from leads are data. They are put into a tree of JSON, into query parameters and into single segments of the
//! path, each escaped for its place; no value is ever looked into for placeholders, and none can add a key, a parameter or
//! a segment.

use reqwest::Method;
use serde_json::Value as Json;

use crate::crm::tree::Tree;
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

    /// What it sends wherever it reads this value.
    pub(super) fn sent(&self, name: &str, values: &Values) -> Vec<String> {
        let readers = self.templates().into_iter().filter(|template| template.reads(name));
        readers.flat_map(|template| texts(template, values).unwrap_or_default()).collect()
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
