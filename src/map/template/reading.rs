//! From YAML to a template: finding the placeholders of a value and compiling them.

use std::sync::Arc;

use serde_json::{Number, Value as Json};

use super::single::{self, Stretch};
use super::{Part, Place, Placeholder, Template, TemplateKind};
use crate::map::expression::{PATH_RESULT, Reads, find_outside};
use crate::map::path::Step;
use crate::map::problem::suggest;
use crate::map::reader::Reader;
use crate::map::scope::Definitions;
use crate::map::yaml::{Kind, Node};

/// Keys of a value that is written as a mapping.
pub(in crate::map) const VALUE_KEYS: &[&str] = &["value", "required"];

/// What a template may read, beyond the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sees {
    /// The event and `vars`; `lead` is not known yet.
    Event,
    /// `lead` as well.
    Lead,
}

/// What a placeholder may be written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Braces {
    /// `{{ … }}` and `<< … >>`.
    Double,
    /// Also `{name}`, as Chatterfy writes them.
    Single,
}

impl Reader<'_> {
    /// Reads a value: a scalar, a list of values, or `{ value: …, required: true }`.
    pub(crate) fn template(&self, node: &Node, what: &str, sees: Sees) -> Option<Template> {
        self.template_of(node, what, sees, &[], Braces::Double)
    }

    /// The same where a call says how its placeholders are written.
    pub(crate) fn template_in(
        &self,
        node: &Node,
        what: &str,
        sees: Sees,
        braces: Braces,
    ) -> Option<Template> {
        self.template_of(node, what, sees, &[], braces)
    }

    /// The same where the last form may have further keys, which the caller reads.
    pub(in crate::map) fn template_with(
        &self,
        node: &Node,
        what: &str,
        sees: Sees,
        further: &[&str],
    ) -> Option<Template> {
        self.template_of(node, what, sees, further, Braces::Double)
    }

    fn template_of(
        &self,
        node: &Node,
        what: &str,
        sees: Sees,
        further: &[&str],
        braces: Braces,
    ) -> Option<Template> {
        let place = Place { file: self.file.into(), line: node.span.line };
        match &node.kind {
            Kind::Scalar { text, plain } => {
                let kind = self.scalar_template(node, text, *plain, what, sees, braces)?;
                Some(Template { kind, required: false, place })
            }
            Kind::List(items) => {
                let item = |item| self.template_of(item, what, sees, &[], braces);
                let items = items.iter().filter_map(item).collect();
                Some(Template { kind: TemplateKind::List(items), required: false, place })
            }
            Kind::Map { .. } if node.is_unquoted_placeholder() => {
                self.wrong_shape(node, "");
                None
            }
            Kind::Map { .. } if self.refuse_unquoted(node, braces) => None,
            Kind::Map { .. } => {
                let section = self.section(node, what, &[VALUE_KEYS, further].concat())?;
                let Some(value) = section.get("value") else {
                    let help = "write `{ value: \"{{ … }}\", required: true }`".to_owned();
                    self.error(node.span, format!("{what} has no `value`"), Some(help));
                    return None;
                };
                let required = section.get("required").and_then(|node| self.boolean(node, "`required`"));
                let template = self.template_of(value, what, sees, &[], braces)?;
                Some(Template { required: required.unwrap_or(false), ..template })
            }
        }
    }

    /// One template or a list of them.
    pub(in crate::map) fn templates(&self, node: &Node, what: &str, sees: Sees) -> Vec<Template> {
        node.one_or_many().iter().filter_map(|item| self.template(item, what, sees)).collect()
    }

    fn scalar_template(
        &self,
        node: &Node,
        text: &str,
        plain: bool,
        what: &str,
        sees: Sees,
        braces: Braces,
    ) -> Option<TemplateKind> {
        if self.refuse_environment(node, text) {
            return None;
        }
        let (double, angles) = (text.contains("{{"), text.contains("<<"));
        if text.contains("{%") {
            let help = "use an expression: {{ a if b else c }}; several `leads:` make different choices";
            self.error(
                self.within(node.span, "{%"),
                "statements `{% … %}` do not work in a mapping",
                Some(help.to_owned()),
            );
            return None;
        }
        match (double, angles) {
            (false, false) if braces == Braces::Single => {
                return self.single_template(node, text, plain, sees);
            }
            (false, false) => return Some(TemplateKind::Constant(constant(text, plain))),
            (true, true) => {
                let help = "use one kind of brackets in one value".to_owned();
                self.error(node.span, format!("{what} mixes `{{{{ }}}}` and `<< >>`"), Some(help));
                return None;
            }
            (true, false) | (false, true) => {}
        }
        let (open, close) = if double { ("{{", "}}") } else { ("<<", ">>") };
        let mut parts = Vec::new();
        let mut rest = text;
        let mut sound = true;
        while let Some((before, behind)) = rest.split_once(open) {
            if !before.is_empty() {
                parts.push(Part::Literal(before.to_owned()));
            }
            let end = find_outside(behind, |rest| rest.starts_with(close));
            // Brackets that do not match must not hide the end.
            let Some(end) = end.or_else(|| behind.find(close)) else {
                let help = Some(format!("close it with `{close}`"));
                self.error(
                    self.within(node.span, behind),
                    format!("a placeholder is opened with `{open}` and not closed"),
                    help,
                );
                return None;
            };
            let (inside, after) = behind.split_at_checked(end).unwrap_or((behind, ""));
            match self.placeholder(node, inside.trim(), sees) {
                Some(placeholder) => parts.push(Part::Placeholder(Arc::new(placeholder))),
                None => sound = false,
            }
            rest = after.strip_prefix(close).unwrap_or(after);
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        if !sound {
            return None;
        }
        let single = |part: &Part| matches!(part, Part::Literal(text) if single::has_placeholder(text));
        if braces == Braces::Single && parts.iter().any(single) {
            let help = "use one kind of brackets in one value".to_owned();
            self.error(node.span, format!("{what} mixes `{open} {close}` and `{{name}}`"), Some(help));
            return None;
        }
        Some(kind_of(parts))
    }

    /// A value whose placeholders have single braces, if any.
    fn single_template(&self, node: &Node, text: &str, plain: bool, sees: Sees) -> Option<TemplateKind> {
        let stretches = match single::stretches(text) {
            Ok(stretches) => stretches,
            Err(rest) => {
                let help = "with `braces: single` a placeholder is a name: {username}, {tracker.clickid}; \
                            a brace that is none is written `\\{`, and << … >> takes expressions";
                self.error(
                    self.within(node.span, rest),
                    "this brace is no placeholder, and looks like one",
                    Some(help.to_owned()),
                );
                return None;
            }
        };
        let mut parts = Vec::with_capacity(stretches.len());
        for stretch in stretches {
            parts.push(match stretch {
                Stretch::Text(text) => Part::Literal(text),
                Stretch::Name(name) => {
                    let placeholder = self.placeholder(node, &single::expression(name), sees)?;
                    let span = self.within(node.span, name);
                    Part::Placeholder(Arc::new(Placeholder { source: name.to_owned(), span, ..placeholder }))
                }
            });
        }
        Some(match kind_of(parts) {
            TemplateKind::Text(parts) => match <[Part; 1]>::try_from(parts) {
                Ok([Part::Literal(text)]) => TemplateKind::Constant(constant(&text, plain)),
                Ok(one) => TemplateKind::Text(one.into()),
                Err(parts) if parts.is_empty() => TemplateKind::Constant(constant("", plain)),
                Err(parts) => TemplateKind::Text(parts),
            },
            kind @ (TemplateKind::Constant(_) | TemplateKind::Placeholder(_) | TemplateKind::List(_)) => kind,
        })
    }

    /// Notes a `{name}` without quotes, of which YAML makes a mapping with an empty entry; `true` when it was one.
    pub(crate) fn refuse_unquoted(&self, node: &Node, braces: Braces) -> bool {
        let Kind::Map { entries, flow: true } = &node.kind else { return false };
        // Null, and nothing is written there.
        let bare = |value: &Node| value.is_null() && value.span.start == value.span.end;
        let found = braces == Braces::Single && matches!(&entries[..], [(_, value)] if bare(value));
        if found {
            let help = "write \"{name}\" with quotes around the whole value".to_owned();
            let message = "a value that begins with `{` needs quotes, because YAML reads braces as a mapping";
            self.error(node.span, message, Some(help));
        }
        found
    }

    fn placeholder(&self, node: &Node, source: &str, sees: Sees) -> Option<Placeholder> {
        let span = self.within(node.span, source);
        match Reads::compile(source) {
            Ok(reads) => {
                if sees == Sees::Event && reads.paths().iter().any(|path| path.root == "lead") {
                    let help = "`when`, fields, titles, tasks and notes see `lead`; here use the event: {{ contact.… }}";
                    self.error(
                        span,
                        "`lead` is not known yet where this value is read",
                        Some(help.to_owned()),
                    );
                    return None;
                }
                Some(Placeholder { reads, source: source.to_owned(), span })
            }
            Err(wrongs) => {
                for wrong in wrongs {
                    let outer = self.within(node.span, source);
                    let at = if outer == node.span { outer } else { self.within(outer, &wrong.part) };
                    self.error(at, wrong.message, wrong.help);
                }
                None
            }
        }
    }

    /// Notes names that are not among the values which a template outside of a mapping is filled with.
    pub(crate) fn check_names(&self, template: &Template, known: &[&str]) {
        for placeholder in template.placeholders() {
            for path in placeholder.paths() {
                let name = path.root.as_str();
                if name != PATH_RESULT && !known.contains(&name) {
                    let message = format!("there is no value `{name}` here");
                    self.error(placeholder.span, message, suggest(name, known.iter().copied()));
                }
            }
        }
    }

    /// Notes `vars.…` that are nowhere defined.
    pub(in crate::map) fn check_variables(&self, template: &Template, known: &Definitions) {
        for placeholder in template.placeholders() {
            for path in placeholder.paths().iter().filter(|path| path.root == "vars") {
                let Some(Step::Key(name)) = path.steps.first() else { continue };
                if !known.contains_key(name) {
                    let message = format!("there is no variable `{name}` under `vars:`");
                    self.error(placeholder.span, message, suggest(name, known.keys().map(String::as_str)));
                }
            }
        }
    }
}

/// What the parts of a value make.
fn kind_of(mut parts: Vec<Part>) -> TemplateKind {
    match (parts.pop(), parts.is_empty()) {
        (Some(Part::Placeholder(placeholder)), true) => TemplateKind::Placeholder(placeholder),
        (last, _) => {
            parts.extend(last);
            TemplateKind::Text(parts)
        }
    }
}

/// A literal: YAML's unquoted booleans and JSON's numbers keep their type, everything else is text.
pub(crate) fn constant(text: &str, plain: bool) -> Json {
    if !plain {
        return Json::String(text.to_owned());
    }
    match text {
        "true" | "True" => Json::Bool(true),
        "false" | "False" => Json::Bool(false),
        "" | "~" | "null" => Json::Null,
        _ => match text.parse::<Number>() {
            Ok(number) => Json::Number(number),
            Err(_) => Json::String(text.to_owned()),
        },
    }
}
