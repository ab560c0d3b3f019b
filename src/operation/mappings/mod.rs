//! The workspace as people read and edit it in a browser: what its files say, what is wrong with them, what an edit would
//! change, and how it becomes active.
//!
//! Nothing here shows a secret ([`crate::map::hidden`]), and no edit changes where secrets are sent
//! ([`crate::map::diverted`]): one that would is not even compiled, because a message might quote what it resolves to. No
//! account is asked by the settings of an edit, only by those of the active version.

mod check;
mod draft;
mod look;
mod names;
mod patch;
mod rehearse;
mod save;
mod versions;

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::check::{CheckMappings, Checked};
pub use self::draft::{
    Address, Arrived, Draft, DraftSource, Drafted, LookAtAddress, LookAtArrived, Pick, presets,
};
pub use self::look::{BranchCount, FileTold, LookAtMappings, Mappings, SourceTold};
pub use self::names::{Catalogs, LookAtNames, Names};
pub use self::patch::{MakePatch, Patch};
pub use self::rehearse::{RehearseMappings, Rehearsed};
pub use self::save::{GoBack, SaveMappings, Saved};
pub use self::versions::{CompareVersions, Compared, FileDifference, LookAtVersions, Versions};
use super::{Means, OperationError};
use crate::crm::kinds;
use crate::map::{Files, Problem, Severity, Span, Workspace, diverted, revealed, samples, source_of};
use crate::trial::{self, Ended};

/// An edit of a version of the workspace.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// Hash of the version that was edited.
    pub of: String,
    /// The texts that are others, by file name; `null` removes a file. A secret that is shown hidden stays as it is.
    pub files: BTreeMap<String, Option<String>>,
}

/// Something that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "FileProblem")]
pub struct Told {
    /// Name of the file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Whether the file cannot be used; otherwise it works, but probably not as meant.
    pub is_error: bool,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl From<&Problem> for Told {
    fn from(problem: &Problem) -> Self {
        Self {
            file: problem.file.clone(),
            line: problem.line,
            column: problem.column,
            is_error: problem.severity == Severity::Error,
            message: problem.message.clone(),
            help: problem.help.clone(),
        }
    }
}

/// How one test of a file ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tested {
    /// Name of the source.
    pub source: String,
    /// Line of the test in its file.
    pub line: usize,
    /// Its name.
    pub name: String,
    /// What was expected and what came instead, or why it could not be run.
    pub failure: Option<String>,
    /// Whether it could be run here.
    pub ran: bool,
}

impl From<Ended> for Tested {
    fn from(ended: Ended) -> Self {
        let Ended { source, line, name, failure, ran } = ended;
        Self { source, line, name, failure, ran }
    }
}

/// Two sets of texts: what an edit began with, and what it comes to.
struct Edited {
    base: Files,
    files: Files,
    /// What is wrong with the edit itself. Then nothing else is looked at.
    problems: Vec<Problem>,
}

/// What is known of texts once they were compiled.
struct Judged {
    /// Absent when they were not compiled.
    workspace: Option<Workspace>,
    problems: Vec<Problem>,
    tests: Vec<Ended>,
}

impl Edit {
    /// The texts.
    async fn texts(&self, means: &Means) -> Result<Edited, OperationError> {
        let base = means.store.version(&self.of).await?.ok_or_else(|| {
            OperationError::Refused(
                "the version that this edit began with is not kept any more; open the file again, and repeat it".to_owned(),
            )
        })?;
        let mut files = base.clone();
        for (file, text) in &self.files {
            match text {
                None => drop(files.0.remove(file)),
                Some(text) => {
                    let ends = base.0.get(file).is_some_and(|base| base.contains("\r\n"));
                    files.0.insert(file.clone(), with_line_ends(text, ends));
                }
            }
        }
        let (files, mut problems) = revealed(&base, &files, &kinds());
        problems.extend(named(&base, &files));
        problems.extend(guarded(means, &base, &files));
        Ok(Edited { base, files, problems })
    }
}

/// Browsers end every line of a form by two characters.
fn with_line_ends(text: &str, windows: bool) -> String {
    let text = text.replace("\r\n", "\n");
    if windows { text.replace('\n', "\r\n") } else { text }
}

/// New files must have a name that is one: it becomes a path.
fn named(base: &Files, files: &Files) -> Vec<Problem> {
    let new = files.0.keys().filter(|file| !base.0.contains_key(*file));
    new.filter_map(|file| {
        // Of the two endings of YAML files, a folder is read by this one.
        let ending = || format!("the name of `{file}` must end in `.yaml`");
        let message = source_of(file).err().or_else(|| file.strip_suffix(".yaml").is_none().then(ending))?;
        let span = Span { line: 1, column: 1, ..Span::default() };
        Some(Problem::new(Severity::Error, file, span, message, None))
    })
    .collect()
}

/// What of a change is left to whoever has the folder: where secrets go, and which files of the machine are read.
fn guarded(means: &Means, base: &Files, files: &Files) -> Vec<Problem> {
    let mut problems = diverted(base, files);
    let before = samples(base);
    for sample in samples(files) {
        let known = before.iter().any(|known| known.given == sample.given && known.file == sample.file);
        if !known && !means.home.may_read(&sample.given) {
            let message = format!("`given: {}` is outside of the folder of the workspace", sample.given);
            let help =
                "put the request into a .json, .txt or .form file in the folder, and name that".to_owned();
            problems.push(Problem::new(Severity::Error, &sample.file, sample.span, message, Some(help)));
        }
    }
    problems
}

/// Compiles texts, compares their names with what the accounts have, as far as `catalogs` knows already, and runs their tests.
async fn judge(means: &Means, files: &Files) -> Result<Judged, OperationError> {
    let compiled =
        means.versions.compile(files).await.map_err(|error| OperationError::Refused(error.to_string()))?;
    let mut problems = compiled.problems;
    problems.extend(means.catalogs.compare(files));
    problems
        .sort_by_key(|problem| (problem.file != "workspace.yaml", problem.file.clone(), problem.span.start));
    let (home, workspace) = (Arc::clone(&means.home), compiled.workspace);
    let tested = tokio::task::spawn_blocking(move || {
        let tests = trial::run_with(&workspace, &|given| home.sample(given));
        (workspace, tests)
    });
    let (workspace, tests) = tested
        .await
        .map_err(|failure| OperationError::Refused(format!("the tests ended abnormally: {failure}")))?;
    Ok(Judged { workspace: Some(workspace), problems, tests })
}

impl Edited {
    /// The same of an edit; one that is not allowed is not compiled.
    async fn judge(&self, means: &Means) -> Result<Judged, OperationError> {
        if self.problems.is_empty() {
            return judge(means, &self.files).await;
        }
        Ok(Judged { workspace: None, problems: self.problems.clone(), tests: Vec::new() })
    }
}

impl Judged {
    /// The workspace when nothing stands in the way of using it.
    fn sound(self) -> Result<Workspace, OperationError> {
        let errors = self.problems.iter().filter(|problem| problem.severity == Severity::Error);
        let errors: Vec<String> = errors.map(ToString::to_string).collect();
        self.workspace.filter(|_| errors.is_empty()).ok_or_else(|| {
            OperationError::Refused(format!(
                "this edit has errors, so nothing is done with it:\n{}",
                errors.join("\n")
            ))
        })
    }
}
