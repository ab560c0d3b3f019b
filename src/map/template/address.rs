//! An address with placeholders, such as `https://tracker.example/postback?clickid={{ person.click }}`.
//!
//! It is taken apart while the mapping is loaded, by what the author wrote. So what an event holds can never be another
//! host, another segment or another parameter: a placeholder stays what it is part of, one segment of the path or one value
//! of the query, and is escaped when it is sent. The host itself has no placeholders.
//!
//! An address may begin with a variable that holds one (`{{ vars.link }}`): it is taken apart as if it stood here, and its
//! placeholders see what variables see, the event. Anywhere else a variable is a value like any other.
//!
//! All of its placeholders must find something: an address without its click id would tell a tracker about nobody.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::reading::{Braces, Sees};
use super::{EvaluationError, Part, Placeholder, Template, TemplateKind};
use crate::map::convert;
use crate::map::expression::Reads;
use crate::map::filters::LARGEST;
use crate::map::path::Step;
use crate::map::reader::Reader;
use crate::map::scope::{Definitions, View};
use crate::map::yaml::Node;
use crate::plan::Address;

/// An address with placeholders, compiled.
#[derive(Debug)]
pub(crate) struct AddressTemplate {
    /// The same as an ordinary value.
    template: Template,
    /// Scheme, host and port, as they are written.
    origin: String,
    /// The last one may be empty: the path ends with a slash.
    segments: Vec<Text>,
    query: Vec<(String, Text)>,
}

/// A segment, or a value of the query.
type Text = Vec<Piece>;

#[derive(Clone, Debug)]
enum Piece {
    Literal(String),
    Placeholder(Arc<Placeholder>),
    /// Of a variable.
    OfVariable(Arc<Placeholder>),
}

impl AddressTemplate {
    /// Scheme, host and port, which depend on no event.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// The address as an ordinary value, for whoever looks at what values read.
    pub(crate) fn template(&self) -> &Template {
        &self.template
    }

    /// Makes the [`Address`] of an event, as JSON.
    pub(crate) fn fill(&self, view: View<'_>) -> Result<Json, EvaluationError> {
        let mut segments = Vec::with_capacity(self.segments.len());
        for pieces in &self.segments {
            let text = self.text(pieces, view)?;
            // What an event leaves blank is no segment; only the author ends a path with a slash.
            if let Some(placeholder) = pieces.iter().find_map(Piece::placeholder)
                && text.trim().is_empty()
            {
                return Err(self.lacks(placeholder));
            }
            segments.push(text);
        }
        let mut query = Vec::with_capacity(self.query.len());
        for (name, pieces) in &self.query {
            query.push((name.clone(), self.text(pieces, view)?));
        }
        Ok(json!(Address { origin: self.origin.clone(), segments, query }))
    }

    fn text(&self, pieces: &[Piece], view: View<'_>) -> Result<String, EvaluationError> {
        let mut text = String::new();
        for piece in pieces {
            let (placeholder, view) = match piece {
                Piece::Literal(literal) => {
                    text.push_str(literal);
                    continue;
                }
                Piece::Placeholder(placeholder) => (placeholder, view),
                Piece::OfVariable(placeholder) => (placeholder, view.of_event()),
            };
            let Some(json) = placeholder.read(view, &self.template.place)? else {
                return Err(self.lacks(placeholder));
            };
            text.push_str(&convert::text(&json));
            if text.len() > LARGEST {
                return Err(self.template.failed("a part of the address would be longer than 64 KiB"));
            }
        }
        Ok(text)
    }

    fn lacks(&self, placeholder: &Placeholder) -> EvaluationError {
        self.template.failed(&format!(
            "`{}` has nothing here, and an address needs all of its placeholders; a call may have a condition (`when`)",
            placeholder.source
        ))
    }
}

impl Piece {
    fn placeholder(&self) -> Option<&Placeholder> {
        match self {
            Self::Literal(_) => None,
            Self::Placeholder(placeholder) | Self::OfVariable(placeholder) => Some(placeholder),
        }
    }
}

/// What is wrong with an address: a sentence, and what to do.
type Wrong = (String, &'static str);

impl Reader<'_> {
    /// Reads an address. `variables` are those of the mapping; those that it uses are looked up here.
    pub(crate) fn address(
        &self,
        node: &Node,
        what: &str,
        sees: Sees,
        braces: Braces,
        variables: &Definitions,
    ) -> Option<AddressTemplate> {
        if node.scalar().is_none() {
            self.wrong_shape(
                node,
                &format!("{what} must be one text, such as https://tracker.example/postback"),
            );
            return None;
        }
        let template = self.template_in(node, what, sees, braces)?;
        let before = self.problems_so_far();
        self.check_variables(&template, variables);
        if self.problems_so_far() > before {
            return None;
        }
        match taken_apart(pieces(&template, variables)) {
            Ok((origin, segments, query)) => Some(AddressTemplate { template, origin, segments, query }),
            Err((message, help)) => {
                self.error(node.span, format!("{what}: {message}"), Some(help.to_owned()));
                None
            }
        }
    }
}

/// A value by its pieces; a variable at its beginning is replaced by the pieces of that variable.
fn pieces(template: &Template, variables: &Definitions) -> Vec<Piece> {
    let own = |part: &Part| match part {
        Part::Literal(text) => Piece::Literal(text.clone()),
        Part::Placeholder(placeholder) => Piece::Placeholder(Arc::clone(placeholder)),
    };
    let mut pieces: Vec<Piece> = match &template.kind {
        TemplateKind::Constant(json) => vec![Piece::Literal(convert::text(json).into_owned())],
        TemplateKind::Placeholder(placeholder) => vec![Piece::Placeholder(Arc::clone(placeholder))],
        TemplateKind::Text(parts) => parts.iter().map(own).collect(),
        TemplateKind::List(_) => Vec::new(),
    };
    if let Some(Piece::Placeholder(first)) = pieces.first()
        && let Some(variable) = variable(first, variables)
    {
        let of_variable = |piece| match piece {
            Piece::Literal(text) => Piece::Literal(text),
            Piece::Placeholder(placeholder) | Piece::OfVariable(placeholder) => {
                Piece::OfVariable(placeholder)
            }
        };
        // Cycles were refused when the variables were read, so this ends.
        let inner: Vec<Piece> = self::pieces(variable, variables).into_iter().map(of_variable).collect();
        pieces.splice(..1, inner);
    }
    pieces
}

/// The variable that a placeholder is, if it is one and nothing else.
fn variable<'v>(placeholder: &Placeholder, variables: &'v Definitions) -> Option<&'v Template> {
    match &placeholder.reads {
        Reads::Path(path) if path.root == "vars" => match &path.steps[..] {
            [Step::Key(name)] => variables.get(name).map(Arc::as_ref),
            _ => None,
        },
        Reads::Path(_) | Reads::JsonPath { .. } | Reads::Expression(_) => None,
    }
}

const NO_HOST: &str = "write the host itself: https://tracker.example/postback?clickid={{ person.click }}; \
                       or begin with a variable that does, {{ vars.link }}";
const ESCAPES: &str = "write the letters themselves, escaping is done for you; a percent sign is `%25`";

/// Origin, segments and query.
type Parts = (String, Vec<Text>, Vec<(String, Text)>);

fn taken_apart(pieces: Vec<Piece>) -> Result<Parts, Wrong> {
    let mut pieces = joined(pieces).into_iter();
    let Some(Piece::Literal(first)) = pieces.next() else {
        return Err(("an address says its host itself, without a placeholder".to_owned(), NO_HOST));
    };
    let (origin, rest) = origin(&first)?;
    let mut apart = Apart { path: Vec::new(), query: Vec::new(), place: Place::Path };
    apart.literal(rest)?;
    for piece in pieces {
        match &piece {
            Piece::Literal(text) => apart.literal(text)?,
            Piece::Placeholder(_) | Piece::OfVariable(_) => apart.placeholder(piece)?,
        }
    }
    apart.finish()?;
    Ok((origin, apart.path, apart.query))
}

/// Literals side by side made one: what a variable begins with, the text behind it may go on with.
fn joined(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut all: Vec<Piece> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match (all.last_mut(), piece) {
            (Some(Piece::Literal(before)), Piece::Literal(text)) => before.push_str(&text),
            (_, piece) => all.push(piece),
        }
    }
    all
}

/// Scheme and host, and what comes behind them.
fn origin(text: &str) -> Result<(String, &str), Wrong> {
    let wrong = |message: &str| Err((message.to_owned(), NO_HOST));
    let scheme = ["https://", "http://"].into_iter().find(|scheme| text.starts_with(scheme));
    let Some((scheme, behind)) = scheme.and_then(|scheme| Some((scheme, text.strip_prefix(scheme)?))) else {
        return wrong("an address begins with https:// (or http://) and its host");
    };
    let end = behind.find(['/', '?', '#']).unwrap_or(behind.len());
    let (host, rest) = behind.split_at_checked(end).unwrap_or((behind, ""));
    if host.contains('@') {
        let help = "credentials are settings of the destination, where they do not show: `auth: …`";
        return Err(("an address has no name and password in it".to_owned(), help));
    }
    if host.is_empty()
        || host.contains(|letter: char| letter.is_whitespace() || "\\%{}<>\"'".contains(letter))
    {
        return wrong("this address has no host that could be called");
    }
    Ok((format!("{scheme}{host}"), rest))
}

/// Where the next letter belongs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Path,
    Name,
    Value,
}

/// An address on its way.
struct Apart {
    path: Vec<Text>,
    /// Escaped as they are written.
    query: Vec<(String, Text)>,
    place: Place,
}

impl Apart {
    fn literal(&mut self, text: &str) -> Result<(), Wrong> {
        for letter in text.chars() {
            match (self.place, letter) {
                (_, '#') => {
                    let help = "leave out what stands behind `#`; a `#` in a value is written `%23`";
                    return Err(("what stands behind `#` is never sent".to_owned(), help));
                }
                (_, '\\') => return Err(("there is no `\\` in addresses".to_owned(), "write `/`")),
                (_, letter) if letter.is_whitespace() || letter.is_control() => {
                    let help = "a space in a value is written `%20`";
                    return Err(("there are no spaces in addresses".to_owned(), help));
                }
                (Place::Path, '/') => self.path.push(Text::new()),
                (Place::Path, '?') | (Place::Name | Place::Value, '&') => {
                    self.query.push((String::new(), Text::new()));
                    self.place = Place::Name;
                }
                (Place::Name, '=') => self.place = Place::Value,
                (Place::Name, letter) => {
                    if let Some((name, _)) = self.query.last_mut() {
                        name.push(letter);
                    }
                }
                (Place::Path | Place::Value, letter) => {
                    let text = self.text()?;
                    match text.last_mut() {
                        Some(Piece::Literal(literal)) => literal.push(letter),
                        _ => text.push(Piece::Literal(letter.to_string())),
                    }
                }
            }
        }
        Ok(())
    }

    fn placeholder(&mut self, piece: Piece) -> Result<(), Wrong> {
        if self.place == Place::Name {
            let help = "write the names of parameters themselves: ?clickid={{ person.click }}";
            return Err(("a placeholder cannot be the name of a parameter".to_owned(), help));
        }
        self.text()?.push(piece);
        Ok(())
    }

    /// The segment or value that is being written.
    fn text(&mut self) -> Result<&mut Text, Wrong> {
        let text = match self.place {
            Place::Path => self.path.last_mut(),
            Place::Name | Place::Value => self.query.last_mut().map(|(_, value)| value),
        };
        // No slash has come yet.
        text.ok_or_else(|| ("a placeholder cannot be a part of the host".to_owned(), NO_HOST))
    }

    /// Takes the escapes out, and looks at what is whole now.
    fn finish(&mut self) -> Result<(), Wrong> {
        if self.path.len() == 1 && self.path.first().is_some_and(Vec::is_empty) {
            self.path.clear();
        }
        let last = self.path.len().saturating_sub(1);
        for (at, segment) in self.path.iter_mut().enumerate() {
            unescape(segment, false)?;
            let constant = match &segment[..] {
                [] => Some(""),
                [Piece::Literal(text)] => Some(text.as_str()),
                _ => None,
            };
            if constant.is_some_and(|text| matches!(text, "." | "..") || (text.is_empty() && at < last)) {
                let help = "write the path as the other side documents it";
                return Err(("a path cannot have `//`, `.` or `..` in it".to_owned(), help));
            }
        }
        self.query.retain(|(name, value)| !name.is_empty() || !value.is_empty());
        for (name, value) in &mut self.query {
            *name = unescaped(name, true)?;
            unescape(value, true)?;
            if name.is_empty() {
                let help = "write it before the `=`: ?clickid={{ person.click }}";
                return Err(("a parameter has no name".to_owned(), help));
            }
        }
        Ok(())
    }
}

fn unescape(text: &mut Text, in_query: bool) -> Result<(), Wrong> {
    for piece in text {
        if let Piece::Literal(literal) = piece {
            *literal = unescaped(literal, in_query)?;
        }
    }
    Ok(())
}

/// What the author wrote, as it is meant: whoever sends it escapes it again.
fn unescaped(text: &str, in_query: bool) -> Result<String, Wrong> {
    let wrong = || ("a `%` must be followed by two digits of a hexadecimal number".to_owned(), ESCAPES);
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' if in_query => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let code = digit().zip(digit()).map(|(high, low)| high * 16 + low);
                code.and_then(|code| u8::try_from(code).ok()).ok_or_else(wrong)?
            }
            other => other,
        });
    }
    let text = String::from_utf8(bytes);
    text.map_err(|_| ("what is escaped with `%` is no text in UTF-8".to_owned(), ESCAPES))
}
