//! YAML × event → what a lead becomes. Pure: texts in, values out.
//!
//! [`compile`] turns the [`Files`] of a workspace into a [`Workspace`]: every text is parsed and every expression compiled
//! once, all problems of all files are collected in one run, and a broken file breaks its own source only: its token
//! stays readable, so that what is sent to it can be verified and kept. What a branch makes of an event is put together
//! in [`crate::pipeline`].
//!
//! The expression language is MiniJinja's, with one notion of *absent* (missing and null are one thing) and limits on
//! time and size; see the tables in `expression/rewriting.rs` and `filters.rs`. Deliberately absent: statements, functions,
//! and evaluating anything that comes from an event.

use std::collections::BTreeMap;
use std::fmt::Write;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

mod alerts;
mod branch;
mod calls;
mod chats;
mod convert;
mod evidence;
mod example;
mod expression;
mod filters;
mod identity;
mod links;
mod names;
mod path;
mod placeholders;
mod pools;
mod postback;
mod problem;
mod reader;
mod rules;
pub mod schema;
mod scope;
mod secrets;
mod source;
mod template;
mod variables;
mod workspace;
mod yaml;

pub use branch::{Branch, IfInvalid, PhonePolicy};
pub(crate) use branch::{FieldTemplates, TaskTemplate, When};
pub use calls::Rendered;
pub use chats::Served;
pub(crate) use evidence::{ChatTemplate, ContactValue, IdentifierValue};
pub use example::{CrmState, Example, Expectation, Expected, Filtered, Sample, samples};
pub use names::{Mention, Name, mentions, place_of_destination};
pub(crate) use path::JsonPath;
pub use placeholders::{Placeholder, placeholders};
pub use postback::PostbackRules;
pub(crate) use postback::{first_of, name_of_event};
pub(crate) use problem::closest;
pub use problem::{Problem, Severity, Span};
pub(crate) use reader::{Reader, Section};
pub(crate) use scope::{Scope, Values, View};
pub use secrets::{HIDDEN, diverted, hidden, revealed, token_in};
pub use source::{Broken, Mapping, Source, name_of as source_of};
pub(crate) use template::Sees;
pub use template::{EvaluationError, Place, Template};
pub(crate) use workspace::ReadNested;
pub use workspace::{DestinationKind, Retention, Workspace};
pub(crate) use yaml::{Kind, Node, Tree, parse};

use crate::event::Event;

/// The texts of a workspace: `workspace.yaml` and one file per source, by file name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files(pub BTreeMap<String, String>);

impl Files {
    /// SHA-256 over names and texts, in hex.
    pub fn hash(&self) -> String {
        let mut hash = Sha256::new();
        for part in self.0.iter().flat_map(|(name, text)| [name, text]) {
            // The length goes first, so that no text can pretend to be the next name.
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.finalize().iter().fold(String::new(), |mut hex, byte| {
            // Writing into a String cannot fail.
            write!(hex, "{byte:02x}").unwrap_or_default();
            hex
        })
    }
}

/// A workspace, and everything that is wrong with its files.
#[derive(Debug)]
pub struct Compiled {
    /// Always there: broken files break no more than what they say.
    pub workspace: Workspace,
    /// In the order of files and places.
    pub problems: Vec<Problem>,
}

impl Compiled {
    /// Whether nothing stands in the way of using it; warnings do not.
    pub fn is_sound(&self) -> bool {
        self.problems.iter().all(|problem| problem.severity == Severity::Warning)
    }
}

/// Compiles the files of a workspace. `environment` looks up what `${…}` names, `kinds` are the CRMs that a destination
/// may be, `presets` the names that `source: { preset }` may have.
pub fn compile(
    files: &Files,
    environment: &dyn Fn(&str) -> Option<String>,
    kinds: &[DestinationKind],
    presets: &[&str],
) -> Compiled {
    let text = files.0.get(workspace::FILE).map(String::as_str);
    let sources = files.0.keys().filter_map(|file| source::name_of(file).ok()).collect();
    let (mut workspace, mut problems) = workspace::read(text, environment, kinds, &sources);
    workspace.hash = files.hash();
    for (file, text) in files.0.iter().filter(|(file, _)| *file != workspace::FILE) {
        let name = match source::name_of(file) {
            Ok(name) => name,
            Err(message) => {
                let span = Span { line: 1, column: 1, ..Span::default() };
                problems.push(Problem::new(Severity::Error, file, span, message, None));
                continue;
            }
        };
        let (source, found, defaults) = source::read(file, name, text, environment, presets, &workspace);
        problems.extend(found);
        workspace.defaults_used.extend(defaults);
        let other = workspace.sources.values().find(|other| other.app.is_some() && other.app == source.app);
        if let Some(other) = other {
            let message = format!(
                "source `{}` has this `app` already: what is sent to it can go to one of the two only",
                other.name
            );
            let span = Span { line: 1, column: 1, ..Span::default() };
            problems.push(Problem::new(Severity::Error, file, span, message, None));
        }
        workspace.sources.insert(name.to_owned(), source);
    }
    problems.extend(chats::check(&workspace, files));
    if let (Some(name), Some(span)) = (&workspace.links.send_pin, workspace.send_pin_at)
        && let Some((message, help)) = links::flaw(name, workspace.sources.get(name))
    {
        problems.push(Problem::new(Severity::Error, workspace::FILE, span, message, Some(help)));
    }
    Compiled { workspace, problems }
}

impl Mapping {
    /// One event as the placeholders of this mapping see it.
    pub(crate) fn scope<'a>(&'a self, event: &'a Event, received_at: Timestamp) -> Scope<'a> {
        Scope::new(event, &self.variables, &self.source, received_at)
    }
}

#[cfg(test)]
mod tests;
