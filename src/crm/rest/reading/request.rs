//! The request of an operation: method and path, query, headers, body.

use reqwest::Method;

use crate::crm::rest::operation::Kind;
use crate::crm::rest::request::Request;
use crate::crm::tree::Tree;
use crate::map::{Kind as Shape, Node, Reader, Section, Sees, Template};

pub(super) const METHODS: &[(&str, Method)] = &[
    ("get", Method::GET),
    ("post", Method::POST),
    ("put", Method::PUT),
    ("patch", Method::PATCH),
    ("delete", Method::DELETE),
];

pub(super) fn request(
    reader: &Reader<'_>,
    kind: &Kind,
    section: &Section<'_>,
    node: &Node,
) -> Option<Request> {
    let mut said = METHODS.iter().filter_map(|(word, method)| Some((method, section.get(word)?)));
    let (Some((method, address)), None) = (said.next(), said.next()) else {
        let message = format!("`{}` must say one method with its path", kind.word);
        reader.error(node.span, message, Some("write `get: /contacts` or `post: /contacts`".to_owned()));
        return None;
    };
    let path = path(reader, address, kind.sees);
    let pairs =
        |key: &str| section.get(key).map_or(Some(Vec::new()), |node| pairs(reader, node, key, kind.sees));
    let (query, headers) = (pairs("query"), pairs("headers"));
    let json = match section.get("json") {
        Some(node) => Some(Tree::read(reader, node, "`json`", &|node| leaf(reader, node, kind.sees))?),
        None => None,
    };
    let (path, folder) = path?;
    Some(Request { method: method.clone(), path, folder, query: query?, headers: headers?, json })
}

fn pairs(reader: &Reader<'_>, node: &Node, what: &str, sees: &[&str]) -> Option<Vec<(String, Template)>> {
    let section = reader.entries(node, &format!("`{what}`"))?;
    let pair = |(key, value): &(Node, Node)| Some((key.scalar()?.to_owned(), leaf(reader, value, sees)?));
    section.node.entries().iter().map(pair).collect()
}

fn leaf(reader: &Reader<'_>, node: &Node, sees: &[&str]) -> Option<Template> {
    let template = reader.template(node, "a value of the request", Sees::Lead)?;
    reader.check_names(&template, sees);
    Some(template)
}

/// A path below `url`, by its segments, and whether it ends with a slash.
fn path(reader: &Reader<'_>, node: &Node, sees: &[&str]) -> Option<(Vec<Template>, bool)> {
    let Some(text) = node.scalar() else {
        reader.wrong_shape(node, "a path must be one text, such as /contacts/{{ id }}");
        return None;
    };
    let refuse = |message: &str, help: &str| {
        reader.error(node.span, message, Some(help.to_owned()));
        None
    };
    let Some(rest) = text.strip_prefix('/') else {
        return refuse("a path begins with a slash", "write what comes behind `url`: /contacts");
    };
    let (mut segments, literal) = split(rest);
    if literal.contains(['?', '#']) {
        return refuse("a path holds no parameters", "write them under `query: { name: value }`");
    }
    if literal.contains(['%', '\\']) {
        return refuse(
            "a path is written as it is read",
            "write the letters themselves; escaping is done for you",
        );
    }
    let folder = segments.last().is_some_and(String::is_empty);
    if folder {
        segments.pop();
    }
    if segments.iter().any(|segment| matches!(segment.trim(), "" | "." | "..")) {
        return refuse(
            "a path cannot have `//`, `.` or `..` in it",
            "write the path as the CRM's API page has it",
        );
    }
    let template = |text: String| {
        leaf(reader, &Node { span: node.span, kind: Shape::Scalar { text, plain: false } }, sees)
    };
    let path: Option<Vec<Template>> = segments.into_iter().map(template).collect();
    path.map(|path| (path, folder))
}

/// The segments of a path, and everything of it that stands outside of placeholders.
fn split(path: &str) -> (Vec<String>, String) {
    let (mut segments, mut literal) = (vec![String::new()], String::new());
    let mut inside = false;
    for (at, letter) in path.char_indices() {
        let here = path.get(at..).unwrap_or_default();
        if here.starts_with("{{") || here.starts_with("<<") {
            inside = true;
        }
        if inside {
            let before = path.get(..at + letter.len_utf8()).unwrap_or_default();
            inside = !(before.ends_with("}}") || before.ends_with(">>"));
        } else if letter == '/' {
            segments.push(String::new());
            continue;
        } else {
            literal.push(letter);
        }
        if let Some(segment) = segments.last_mut() {
            segment.push(letter);
        }
    }
    (segments, literal)
}
