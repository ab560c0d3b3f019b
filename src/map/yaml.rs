//! YAML text → a tree that knows where everything stands.
//!
//! A typed deserializer stops at its first error; people who edit a mapping want all of them. So the text becomes a tree
//! of spanned nodes, and the readers walk it and collect. When the YAML itself is broken, the tree holds what was read up
//! to there, because the receiving edge still needs the source's token.
//!
//! Deliberately absent: anchors, aliases, tags and several documents in a file.

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, StructureStyle};

use super::problem::Span;

/// One node of the tree.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// A scalar; `plain` means that it stands without quotes, so it may be a number, a boolean or null.
    Scalar { text: String, plain: bool },
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in the order of the file; `flow` means that it is written with braces.
    Map { entries: Vec<(Node, Node)>, flow: bool },
}

impl Node {
    /// The entries of a mapping; empty for anything else.
    pub(crate) fn entries(&self) -> &[(Node, Node)] {
        match &self.kind {
            Kind::Map { entries, .. } => entries,
            Kind::Scalar { .. } | Kind::List(_) => &[],
        }
    }

    /// The text of a scalar.
    pub(crate) fn scalar(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            Kind::List(_) | Kind::Map { .. } => None,
        }
    }

    /// The value under a key of a mapping.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|(name, _)| name.scalar() == Some(key)).map(|(_, value)| value)
    }

    /// The items of a list, or the node itself: one value or many.
    pub(crate) fn one_or_many(&self) -> &[Node] {
        match &self.kind {
            Kind::List(items) => items,
            Kind::Scalar { .. } | Kind::Map { .. } => std::slice::from_ref(self),
        }
    }

    /// An unquoted null: nothing behind the colon, `~` or `null`.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// What YAML makes of an unquoted `{{ … }}`: a mapping in braces whose only key is a mapping in braces.
    pub(crate) fn is_unquoted_placeholder(&self) -> bool {
        match &self.kind {
            Kind::Map { entries, flow: true } => {
                entries.first().is_some_and(|(key, _)| matches!(key.kind, Kind::Map { flow: true, .. }))
            }
            Kind::Map { .. } | Kind::List(_) | Kind::Scalar { .. } => false,
        }
    }
}

/// Something that is wrong with the YAML itself.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) span: Span,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

/// A tree, as far as it could be read, and what is wrong with it.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) root: Node,
    pub(crate) faults: Vec<Fault>,
}

/// A collection whose end has not come yet.
enum Open {
    List(Span, Vec<Node>),
    Map { span: Span, flow: bool, entries: Vec<(Node, Node)>, key: Option<Node> },
}

/// Reads a text. Always gives a tree: an empty mapping when nothing could be read.
pub(crate) fn parse(text: &str) -> Tree {
    let mut builder = Builder { open: Vec::new(), root: None, faults: Vec::new(), documents: 0 };
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => {
                let range = span.byte_range().unwrap_or_default();
                let column = span.start.col() + 1;
                let span = Span { start: range.start, end: range.end, line: span.start.line(), column };
                if builder.take(event, span).is_break() {
                    break;
                }
            }
            Err(error) => {
                let marker = error.marker();
                let start = marker.byte_offset().unwrap_or(text.len()).min(text.len());
                let span = Span { start, end: start, line: marker.line(), column: marker.col() + 1 };
                builder.faults.push(syntax_fault(text, span, &error.info()));
                break;
            }
        }
    }
    builder.finish()
}

struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    faults: Vec<Fault>,
    documents: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> std::ops::ControlFlow<()> {
        match event {
            Event::Scalar(text, style, _, tag) => {
                self.refuse_tag(tag.is_some(), span);
                let plain = matches!(style, ScalarStyle::Plain);
                self.put(Node { span, kind: Kind::Scalar { text: text.into_owned(), plain } });
            }
            Event::SequenceStart(_, _, tag) => {
                self.refuse_tag(tag.is_some(), span);
                self.open.push(Open::List(span, Vec::new()));
            }
            Event::MappingStart(style, _, tag) => {
                self.refuse_tag(tag.is_some(), span);
                let flow = matches!(style, StructureStyle::Flow);
                self.open.push(Open::Map { span, flow, entries: Vec::new(), key: None });
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span.end),
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.faults.push(Fault {
                    span,
                    message: "YAML aliases (`*name`) are not supported".to_owned(),
                    help: Some(
                        "repeat the lines, or put a text under `vars:` and use `{{ vars.name }}`".to_owned(),
                    ),
                });
                self.put(Node { span, kind: Kind::Scalar { text: String::new(), plain: true } });
            }
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.faults.push(Fault {
                        span,
                        message: "a second YAML document begins here".to_owned(),
                        help: Some("one file holds one source: move it to a file of its own".to_owned()),
                    });
                    return std::ops::ControlFlow::Break(());
                }
            }
            // Comments, where the parser reports them, carry no data either.
            Event::StreamStart | Event::StreamEnd | Event::DocumentEnd | Event::Anchor(..) | _ => {}
        }
        std::ops::ControlFlow::Continue(())
    }

    fn refuse_tag(&mut self, tagged: bool, span: Span) {
        if tagged {
            self.faults.push(Fault {
                span,
                message: "YAML tags (`!name`) are not supported".to_owned(),
                help: Some("remove the tag; quotes make a text of anything".to_owned()),
            });
        }
    }

    fn put(&mut self, node: Node) {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List(_, items)) => items.push(node),
            Some(Open::Map { entries, key, .. }) => match key.take() {
                None => *key = Some(node),
                Some(key) => entries.push((key, node)),
            },
        }
    }

    fn close(&mut self, end: usize) {
        let node = match self.open.pop() {
            None => return,
            Some(Open::List(span, items)) => {
                Node { span: Span { end: end.max(span.end), ..span }, kind: Kind::List(items) }
            }
            Some(Open::Map { span, flow, entries, .. }) => {
                Node { span: Span { end: end.max(span.end), ..span }, kind: Kind::Map { entries, flow } }
            }
        };
        self.put(node);
    }

    /// Closes whatever a syntax error left open.
    fn finish(mut self) -> Tree {
        while !self.open.is_empty() {
            self.close(0);
        }
        let empty = Node {
            span: Span { line: 1, column: 1, ..Span::default() },
            kind: Kind::Map { entries: vec![], flow: false },
        };
        let root = self.root.filter(|root| !root.is_null()).unwrap_or(empty);
        Tree { root, faults: self.faults }
    }
}

/// A syntax error, with its own message where the cause is the commonest slip of all: a placeholder without quotes.
fn syntax_fault(text: &str, span: Span, message: &str) -> Fault {
    let before = text.lines().enumerate().take(span.line).skip(span.line.saturating_sub(2));
    let slip = before.filter_map(|(index, line)| {
        let at = ["{{", "[{{"].iter().find_map(|open| {
            let at = line.find(open)?;
            let head = line.get(..at)?.trim_end();
            (head.ends_with(':') || head.ends_with('-') || head.ends_with(',') || head.ends_with('['))
                .then_some(at)
        })?;
        Some((index, line, at))
    });
    match slip.last() {
        Some((index, line, at)) => {
            let offset: usize = text.split_inclusive('\n').take(index).map(str::len).sum();
            let column = line.get(..at).unwrap_or_default().chars().count() + 1;
            let span =
                Span { start: offset + at, end: offset + line.trim_end().len(), line: index + 1, column };
            unquoted(span)
        }
        None => Fault {
            span,
            message: format!("this is not valid YAML: {message}"),
            help: Some("look at the indentation, quotes and brackets here and on the line before".to_owned()),
        },
    }
}

/// The fault of a placeholder without quotes.
pub(super) fn unquoted(span: Span) -> Fault {
    Fault {
        span,
        message: "a value that begins with `{{` needs quotes, because YAML reads braces as a mapping"
            .to_owned(),
        help: Some(
            "write \"{{ … }}\" with quotes around the whole value, or << … >>, which needs none".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalar<'a>(tree: &'a Tree, path: &[&str]) -> Option<&'a str> {
        path.iter().try_fold(&tree.root, |node, key| node.get(key))?.scalar()
    }

    #[test]
    fn keeps_what_stands_before_a_syntax_error() {
        let tree = parse("source: { preset: json, token: abc }\nleads:\n  - name: [1, 2\n  when: x: y\n");
        assert_eq!(tree.faults.len(), 1, "{:?}", tree.faults);
        assert_eq!(scalar(&tree, &["source", "token"]), Some("abc"));
        let tree = parse("source:\n  token: abc\n  preset: \"json\nrest: 1\n");
        assert_eq!(scalar(&tree, &["source", "token"]), Some("abc"));
    }

    #[test]
    fn placeholders_in_angle_brackets_are_plain_scalars() {
        let tree = parse("phone: <<contact.variables.phone>>\nlist: { a: << contact.name >> }\n");
        assert!(tree.faults.is_empty(), "{:?}", tree.faults);
        assert_eq!(scalar(&tree, &["phone"]), Some("<<contact.variables.phone>>"));
        assert_eq!(scalar(&tree, &["list", "a"]), Some("<< contact.name >>"));
    }

    #[test]
    fn an_unquoted_placeholder_is_recognised_as_a_node_and_as_a_syntax_error() {
        let tree = parse("name: {{ contact.name }}\n");
        assert!(tree.faults.is_empty());
        assert!(tree.root.get("name").is_some_and(Node::is_unquoted_placeholder));
        for text in [
            "a: 1\nname: {{ first }} {{ last }}\n",
            "a: 1\nname: {{ a['b'] }} x\nz: 1\n",
            "a: 1\nname: {{ x | f(1) }}, y\n",
        ] {
            let tree = parse(text);
            let fault = tree.faults.first().unwrap();
            assert!(fault.message.contains("needs quotes"), "{text}: {fault:?}");
            assert_eq!((fault.span.line, fault.span.column), (2, 7), "{text}");
        }
    }

    #[test]
    fn spans_are_lines_and_columns_in_characters() {
        let tree = parse("назва: \"Київ\"\nb:\n  - 1\n");
        let name = tree.root.get("назва").unwrap();
        assert_eq!((name.span.line, name.span.column), (1, 8));
        let item = tree.root.get("b").map(|node| match &node.kind {
            Kind::List(items) => items[0].span,
            Kind::Scalar { .. } | Kind::Map { .. } => Span::default(),
        });
        assert_eq!(item.map(|span| (span.line, span.column)), Some((3, 5)));
    }

    #[test]
    fn what_is_not_supported_is_said() {
        for (text, expect) in
            [("a: &x 1\nb: *x\n", "aliases"), ("a: !secret x\n", "tags"), ("a: 1\n---\nb: 1\n", "second")]
        {
            let tree = parse(text);
            assert!(
                tree.faults.iter().any(|fault| fault.message.contains(expect)),
                "{text}: {:?}",
                tree.faults
            );
        }
        assert!(parse("").faults.is_empty());
    }
}
