//! What is wrong with a workspace, and where: file, line, column, excerpt, and what to do about it.

use std::fmt;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};

use super::Files;

/// A stretch of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Byte offset of the first character.
    pub start: usize,
    /// Byte offset behind the last character.
    pub end: usize,
    /// Line of the first character, from 1.
    pub line: usize,
    /// Column of the first character in characters, from 1.
    pub column: usize,
}

/// How bad a [`Problem`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file works, but probably not as meant.
    Warning,
}

/// One thing that is wrong with a file of the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Name of the file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What the excerpt underlines.
    pub span: Span,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// How bad it is.
    pub severity: Severity,
}

impl Problem {
    pub(crate) fn new(
        severity: Severity,
        file: &str,
        span: Span,
        message: impl Into<String>,
        help: Option<String>,
    ) -> Self {
        let Span { line, column, .. } = span;
        Self { file: file.to_owned(), line, column, span, message: message.into(), help, severity }
    }

    /// The problem as people read it: message, source excerpt with the place underlined, help.
    pub fn render(&self, files: &Files, colour: bool) -> String {
        let text = files.0.get(&self.file).cloned().unwrap_or_default();
        let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let excerpt = Excerpt { problem: self, source: NamedSource::new(&self.file, text) };
        let mut out = String::new();
        let handler = GraphicalReportHandler::new_themed(theme).with_links(false).with_width(110);
        match handler.render_report(&mut out, &excerpt) {
            Ok(()) => out,
            Err(fmt::Error) => self.to_string(),
        }
    }
}

impl fmt::Display for Problem {
    /// `file:line:column: message (help)`, for logs and machines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

/// A problem with the text it is about, in the shape that miette renders.
struct Excerpt<'a> {
    problem: &'a Problem,
    source: NamedSource<String>,
}

impl fmt::Debug for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)
    }
}

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.message)
    }
}

impl std::error::Error for Excerpt<'_> {}

impl Diagnostic for Excerpt<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.problem.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.problem.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let Span { start, end, .. } = self.problem.span;
        let label = LabeledSpan::new_primary_with_span(None, start..end.max(start));
        Some(Box::new(std::iter::once(label)))
    }
}

/// "did you mean", for words that we know all of: the closest one, or the whole list when none is close.
pub(super) fn suggest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let known: Vec<&str> = known.into_iter().collect();
    match closest(word, known.iter().copied()) {
        Some(found) => Some(format!("did you mean `{found}`?")),
        None if known.is_empty() => None,
        None => Some(format!("known here: {}", known.join(", "))),
    }
}

/// The word that was probably meant.
pub(crate) fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let distance = |candidate: &str| strsim::damerau_levenshtein(&lower, &candidate.to_lowercase());
    let near = |candidate: &&str| {
        let half = word.chars().count().max(candidate.chars().count()) / 2;
        distance(candidate) <= half || (word.len() > 2 && candidate.starts_with(&lower))
    };
    known.into_iter().filter(near).min_by_key(|candidate| distance(candidate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_the_closest_word_or_lists_all() {
        let check = |word: &str, expect: &str| {
            assert_eq!(suggest(word, ["only_empty", "all", "none"]).as_deref(), Some(expect), "{word}");
        };
        check("only_emtpy", "did you mean `only_empty`?");
        check("ALL", "did you mean `all`?");
        check("sometimes", "known here: only_empty, all, none");
        assert_eq!(suggest("anything", []), None);
    }

    #[test]
    fn renders_the_excerpt_with_the_place_underlined() {
        let files = Files([("a.yaml".to_owned(), "one: 1\ntwo: zwei\n".to_owned())].into());
        let span = Span { start: 12, end: 16, line: 2, column: 6 };
        let problem =
            Problem::new(Severity::Error, "a.yaml", span, "`two` is no number", Some("write 2".into()));
        assert_eq!(problem.to_string(), "a.yaml:2:6: `two` is no number (write 2)");
        let rendered = problem.render(&files, false);
        for part in ["`two` is no number", "a.yaml:2:6", "two: zwei", "────", "help: write 2"] {
            assert!(rendered.contains(part), "{part} is missing in\n{rendered}");
        }
        assert!(!rendered.contains('\u{1b}'), "no colours were asked for");
        assert!(problem.render(&files, true).contains('\u{1b}'));
    }
}
