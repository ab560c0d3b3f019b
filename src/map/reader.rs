//! Walking a tree of YAML and collecting every problem on the way.
//!
//! Each method reads one shape and answers `None` when the node has another, after noting the problem: so one run finds all
//! of them, and the readers of the sections stay lists of fields.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use super::problem::{Problem, Severity, Span, suggest};
use super::yaml::{self, Kind, Node};

/// Looks up an environment variable.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// One file being read.
pub(crate) struct Reader<'a> {
    pub(super) file: &'a str,
    text: &'a str,
    environment: Environment<'a>,
    problems: RefCell<Vec<Problem>>,
    defaults_used: RefCell<BTreeSet<String>>,
}

/// A mapping whose keys are known.
pub(crate) struct Section<'n> {
    pub(crate) node: &'n Node,
}

impl<'n> Section<'n> {
    /// The value of a key; an explicit null is as good as none.
    pub(crate) fn get(&self, key: &str) -> Option<&'n Node> {
        self.node.get(key).filter(|value| !value.is_null())
    }
}

impl<'a> Reader<'a> {
    pub(crate) fn new(file: &'a str, text: &'a str, environment: Environment<'a>) -> Self {
        Self { file, text, environment, problems: RefCell::default(), defaults_used: RefCell::default() }
    }

    /// What was found: the problems in the order of the file, and the variables whose default was taken.
    pub(crate) fn finish(self) -> (Vec<Problem>, BTreeSet<String>) {
        let mut problems = self.problems.into_inner();
        // What stands in `defaults` is read once for every entry that takes it.
        problems.sort_by(|a, b| (a.span.start, &a.message).cmp(&(b.span.start, &b.message)));
        problems.dedup();
        (problems, self.defaults_used.into_inner())
    }

    /// How many problems were noted.
    pub(super) fn problems_so_far(&self) -> usize {
        self.problems.borrow().len()
    }

    pub(crate) fn error(&self, span: Span, message: impl Into<String>, help: Option<String>) {
        self.problems.borrow_mut().push(Problem::new(Severity::Error, self.file, span, message, help));
    }

    pub(crate) fn warn(&self, span: Span, message: impl Into<String>, help: Option<String>) {
        self.problems.borrow_mut().push(Problem::new(Severity::Warning, self.file, span, message, help));
    }

    /// The place of a part of a scalar, such as one placeholder of a longer value; the whole scalar where escapes hide it.
    pub(super) fn within(&self, span: Span, part: &str) -> Span {
        let source = self.text.get(span.start..span.end).unwrap_or_default();
        let Some(at) = source.find(part).filter(|_| !part.is_empty()) else { return span };
        let before = source.get(..at).unwrap_or_default();
        let column = match before.rsplit_once('\n') {
            None => span.column + before.chars().count(),
            Some((_, last)) => last.chars().count() + 1,
        };
        let (start, line) = (span.start + at, span.line + before.matches('\n').count());
        Span { start, end: start + part.len(), line, column }
    }

    /// A mapping with these keys and no others.
    pub(crate) fn section<'n>(&self, node: &'n Node, what: &str, keys: &[&str]) -> Option<Section<'n>> {
        let section = self.entries(node, what)?;
        for (key, _) in section.node.entries() {
            if let Some(name) = key.scalar().filter(|name| !keys.contains(name)) {
                self.error(
                    key.span,
                    format!("`{name}` is not a key of {what}"),
                    suggest(name, keys.iter().copied()),
                );
            }
        }
        Some(section)
    }

    /// A mapping with any keys, each once.
    pub(crate) fn entries<'n>(&self, node: &'n Node, what: &str) -> Option<Section<'n>> {
        let Kind::Map { entries, .. } = &node.kind else {
            self.wrong_shape(node, &format!("{what} must be a mapping (`key: value`)"));
            return None;
        };
        if node.is_unquoted_placeholder() {
            self.wrong_shape(node, "");
            return None;
        }
        let mut seen = BTreeSet::new();
        for (key, _) in entries {
            match key.scalar() {
                Some(name) if seen.insert(name) => {}
                Some(name) => self.error(
                    key.span,
                    format!("`{name}` stands twice in {what}"),
                    Some("keep one of the two".to_owned()),
                ),
                None => self.wrong_shape(key, "a key must be a plain word"),
            }
        }
        Some(Section { node })
    }

    /// A list.
    pub(crate) fn list<'n>(&self, node: &'n Node, what: &str) -> &'n [Node] {
        if let Kind::List(items) = &node.kind {
            return items;
        }
        self.wrong_shape(node, &format!("{what} must be a list (`- item` lines or `[a, b]`)"));
        &[]
    }

    /// A fixed text: no placeholders, no `${…}`.
    pub(crate) fn text(&self, node: &Node, what: &str) -> Option<String> {
        let Some(text) = node.scalar() else {
            self.wrong_shape(node, &format!("{what} must be one value"));
            return None;
        };
        if self.refuse_environment(node, text) {
            return None;
        }
        if text.contains("{{") || text.contains("<<") {
            self.error(
                node.span,
                format!("{what} is fixed: placeholders do not work here"),
                Some(
                    "write the value itself; several `leads:` with `when:` make different choices".to_owned(),
                ),
            );
            return None;
        }
        Some(text.to_owned())
    }

    /// Fixed texts, one or many.
    pub(crate) fn texts(&self, node: &Node, what: &str) -> Vec<String> {
        node.one_or_many().iter().filter_map(|item| self.text(item, what)).collect()
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&self, node: &Node, what: &str) -> Option<bool> {
        self.choice(node, what, &[("true", true), ("false", false)])
    }

    /// A whole number of at least 0.
    pub(crate) fn count<N: std::str::FromStr>(&self, node: &Node, what: &str) -> Option<N> {
        let text = self.text(node, what)?;
        let number = text.parse().ok();
        if number.is_none() {
            self.error(node.span, format!("{what} must be a whole number, not `{text}`"), None);
        }
        number
    }

    /// One word of a list of words.
    pub(crate) fn choice<T: Clone>(&self, node: &Node, what: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(node, what)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| value.clone());
        if found.is_none() {
            let message = format!("`{text}` is not a possible value of {what}");
            self.error(node.span, message, suggest(&text, words.iter().map(|(word, _)| *word)));
        }
        found
    }

    /// A name that must be one of `known`.
    pub(crate) fn name_of<'k>(
        &self,
        node: &Node,
        what: &str,
        known: impl IntoIterator<Item = &'k str>,
    ) -> Option<String> {
        let text = self.text(node, what)?;
        let known: Vec<&str> = known.into_iter().collect();
        if known.contains(&text.as_str()) {
            return Some(text);
        }
        self.error(node.span, format!("there is no {what} `{text}`"), suggest(&text, known));
        None
    }

    /// A duration such as `15m`.
    pub(super) fn duration(&self, node: &Node, what: &str) -> Option<Duration> {
        let text = self.text(node, what)?;
        let duration = duration(text.strip_prefix('+').unwrap_or(&text));
        if duration.is_none() {
            self.error(
                node.span,
                format!("{what} must be a duration, not `{text}`"),
                Some("write a number and a unit: 500ms, 30s, 15m, 2h, 30d".to_owned()),
            );
        }
        duration
    }

    /// A text in which `${NAME}` and `${NAME:-default}` are replaced from the environment.
    pub(super) fn secret(&self, node: &Node, what: &str) -> Option<String> {
        let Some(text) = node.scalar() else {
            self.wrong_shape(node, &format!("{what} must be one value"));
            return None;
        };
        let mut out = String::new();
        let mut rest = text;
        let mut complete = true;
        while let Some((before, behind)) = rest.split_once("${") {
            out.push_str(before);
            let Some((inside, after)) = behind.split_once('}') else {
                self.error(node.span, format!("{what}: `${{` without its `}}`"), None);
                return None;
            };
            let (name, default) = match inside.split_once(":-") {
                Some((name, default)) => (name, Some(default)),
                None => (inside, None),
            };
            match ((self.environment)(name).filter(|value| !value.is_empty()), default) {
                (Some(value), _) => out.push_str(&value),
                (None, Some(default)) => {
                    self.defaults_used.borrow_mut().insert(name.to_owned());
                    out.push_str(default);
                }
                (None, None) => {
                    complete = false;
                    self.error(
                        self.within(node.span, inside),
                        format!("{what} needs the environment variable `{name}`, which is not set"),
                        Some(format!(
                            "set {name} before starting leadfold, or give a default: ${{{name}:-value}}"
                        )),
                    );
                }
            }
            rest = after;
        }
        out.push_str(rest);
        complete.then_some(out)
    }

    /// Notes `${…}` in a value that is no secret; `true` when there was one.
    pub(crate) fn refuse_environment(&self, node: &Node, text: &str) -> bool {
        let found = text.contains("${");
        if found {
            self.error(
                self.within(node.span, "${"),
                "`${…}` works only in fields that hold secrets, such as `token`",
                Some("write the value itself; event data comes in with {{ … }}".to_owned()),
            );
        }
        found
    }

    /// Notes that a node has the wrong shape; an unquoted placeholder gets its own message.
    pub(crate) fn wrong_shape(&self, node: &Node, message: &str) {
        if node.is_unquoted_placeholder() {
            let fault = yaml::unquoted(node.span);
            self.error(fault.span, fault.message, fault.help);
        } else {
            self.error(node.span, message, None);
        }
    }
}

/// Reads `500ms`, `30s`, `15m`, `2h`, `30d` and sums such as `1h30m`.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit())?;
        let (number, behind) = rest.split_at_checked(digits)?;
        let number: u64 = number.parse().ok()?;
        let letters = behind.find(|letter: char| letter.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at_checked(letters)?;
        let seconds = |each: u64| number.checked_mul(each).map(Duration::from_secs);
        let part = match unit {
            "ms" => Duration::from_millis(number),
            "s" => seconds(1)?,
            "m" => seconds(60)?,
            "h" => seconds(60 * 60)?,
            "d" => seconds(24 * 60 * 60)?,
            _ => return None,
        };
        total = total.checked_add(part)?;
        rest = behind;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_numbers_with_units() {
        let check = |text: &str, expect: Option<u64>| {
            assert_eq!(duration(text), expect.map(Duration::from_millis), "{text}");
        };
        check("500ms", Some(500));
        check("1s", Some(1_000));
        check("15m", Some(900_000));
        check("1h30m", Some(5_400_000));
        check("30d", Some(2_592_000_000));
        check("0s", Some(0));
        for wrong in
            ["", "15", "m", "15 m", "-5m", "15min", "1.5h", "99999999999999999999s", "99999999999999999d"]
        {
            check(wrong, None);
        }
    }

    fn read<T>(
        text: &str,
        read: impl FnOnce(&Reader<'_>, &Node) -> T,
    ) -> (T, Vec<Problem>, BTreeSet<String>) {
        let environment = |name: &str| (name == "SET").then(|| "from outside".to_owned());
        let reader = Reader::new("a.yaml", text, &environment);
        let tree = yaml::parse(text);
        let value = read(&reader, tree.root.get("a").unwrap());
        let (problems, defaults) = reader.finish();
        (value, problems, defaults)
    }

    #[test]
    fn secrets_come_from_the_environment() {
        let check = |text: &str, expect: Option<&str>, defaults: &[&str]| {
            let (value, problems, used) = read(text, |reader, node| reader.secret(node, "`token`"));
            assert_eq!(value.as_deref(), expect, "{text}");
            assert_eq!(problems.is_empty(), expect.is_some(), "{text}: {problems:?}");
            assert_eq!(used.iter().map(String::as_str).collect::<Vec<_>>(), defaults, "{text}");
        };
        check("a: \"${SET}\"", Some("from outside"), &[]);
        check("a: \"${SET:-demo}\"", Some("from outside"), &[]);
        check("a: \"${UNSET:-demo}\"", Some("demo"), &["UNSET"]);
        check("a: \"x-${UNSET:-a}-${SET}\"", Some("x-a-from outside"), &["UNSET"]);
        check("a: plain", Some("plain"), &[]);
        check("a: \"${UNSET}\"", None, &[]);
        check("a: \"${UNSET\"", None, &[]);
        check("a: [x]", None, &[]);
    }

    #[test]
    fn environment_variables_elsewhere_are_refused_at_their_place() {
        let (value, problems, _) = read("a: \"x ${SET}\"", |reader, node| reader.text(node, "`stage`"));
        assert_eq!(value, None);
        assert_eq!(problems[0].to_string().split(' ').next(), Some("a.yaml:1:7:"));
        assert!(problems[0].message.contains("only in fields that hold secrets"));
    }

    #[test]
    fn keys_are_checked_all_at_once() {
        let text = "a: { naem: x, name: y, name: z, {{ q }}: 1 }";
        let (_, problems, _) =
            read(text, |reader, node| reader.section(node, "`contact`", &["name", "phone"]).is_some());
        let messages: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(messages.len(), 3, "{messages:#?}");
        assert_eq!(messages[0], "a.yaml:1:6: `naem` is not a key of `contact` (did you mean `name`?)");
        assert!(messages[1].contains("`name` stands twice"), "{messages:#?}");
    }
}
