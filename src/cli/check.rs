//! `leadfold check`: every problem of the files, their tests, and the names that a CRM must know.

use std::time::Duration;

use clap::Args;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::terminal::has_colours;
use super::{End, Failure, WorkspaceOption, how_many, process_environment, say};
use crate::compare::{Account, Comparison, compare};
use crate::crm::catalog::Catalog;
use crate::crm::http::install_tls;
use crate::crm::{self, ConnectError, examine};
use crate::decide::Capabilities;
use crate::map::{Compiled, Files, Mention, Problem, Severity, mentions, place_of_destination};
use crate::rules::Destination;
use crate::trial::{self, Ended};
use crate::workspace::{compile_with, read_files};

/// How long a CRM may take to list what it has. Nobody should wait long for a check of some text files.
const PATIENCE: Duration = Duration::from_secs(3);

const EXAMPLES: &str = "\
Examples:
  leadfold check               files, tests, and names in the CRMs that answer
  leadfold check --offline     files and tests only, as before a commit
  leadfold check --online      a CRM that does not answer counts as an error
  leadfold check --json | jq '.problems[] | select(.severity == \"error\")'

It says file, line and column of every mistake, and what was probably meant.

Exit codes: 0 nothing is wrong (warnings are allowed), 1 something is,
2 it could not be checked.";

/// Arguments of `check`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    #[command(flatten)]
    workspace: WorkspaceOption,
    /// Ask no CRM which fields, users, pipelines and stages it has
    #[arg(long, conflicts_with = "online")]
    offline: bool,
    /// Count it as an error when a CRM cannot be asked
    #[arg(long)]
    online: bool,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// What came of asking a destination for its names.
struct Asked {
    destination: String,
    /// How many names of the workspace were compared, or why none were.
    names: Result<usize, String>,
}

pub(super) async fn run(options: Options) -> Result<End, Failure> {
    let (files, mut compiled) = load(&options.workspace)?;
    install_tls();
    let mentions = mentions(&files);
    let destinations = compiled.workspace.destinations.values();
    let answers = join_all(destinations.map(|one| ask(one, &mentions, options.offline))).await;
    let mut asked = Vec::new();
    let mut problems = Vec::new();
    for (answer, destination) in answers.into_iter().zip(compiled.workspace.destinations.keys()) {
        match answer {
            Ok((answer, found)) => {
                asked.extend(answer);
                problems.extend(found);
            }
            // A setting that is missing is found by the loader as well.
            Err(_) if compiled.workspace.broken.is_some() => {}
            Err(ConnectError(message)) => {
                let (file, span) = place_of_destination(&files, destination).unwrap_or_default();
                problems.push(Problem::new(Severity::Error, &file, span, message, None));
            }
        }
    }
    compiled.problems.extend(problems);
    compiled.problems.sort_by_key(place);
    let tests = trial::run(&compiled.workspace, &options.workspace.workspace);
    let report = Report { options: &options, files, compiled, asked, tests };
    say(&if options.json { report.json().to_string() } else { report.text() })?;
    Ok(if report.is_clean() { End::Done } else { End::FoundProblems })
}

/// Reads and compiles a workspace.
pub(super) fn load(option: &WorkspaceOption) -> Result<(Files, Compiled), Failure> {
    let files = read_files(&option.workspace)?;
    let compiled = compile_with(&files, &process_environment());
    Ok((files, compiled))
}

/// Compares the names that are meant for a destination with what it has, as far as it can be asked; what it lacks
/// altogether is known without.
async fn ask(
    destination: &Destination,
    mentions: &[Mention],
    offline: bool,
) -> Result<(Option<Asked>, Vec<Problem>), ConnectError> {
    let crm = crm::connect(destination)?;
    // A bot has no lists to compare with, and takes no leads that it could lack anything for.
    if crm.capabilities() == Capabilities::NONE {
        return Ok((None, Vec::new()));
    }
    let answer =
        if offline { None } else { Some(examine::catalog(&*crm, PATIENCE.min(destination.timeout)).await) };
    let nothing = Catalog::default();
    let catalog = answer.as_ref().and_then(|answer| answer.as_ref().ok()).unwrap_or(&nothing);
    let account = Account { destination: &destination.name, catalog, can: crm.capabilities() };
    let Comparison { names, problems } = compare(mentions, &account);
    let asked = answer.map(|answer| Asked {
        destination: destination.name.clone(),
        names: answer.map(|_| names).map_err(|error| error.to_string()),
    });
    Ok((asked, problems))
}

/// By file and place; `workspace.yaml`, on which the others rest, comes first.
pub(super) fn place(problem: &Problem) -> (bool, String, usize) {
    (problem.file != "workspace.yaml", problem.file.clone(), problem.span.start)
}

/// A problem for programs.
pub(super) fn as_json(problem: &Problem) -> Value {
    json!({
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "severity": if problem.severity == Severity::Error { "error" } else { "warning" },
        "message": problem.message,
        "help": problem.help,
    })
}

struct Report<'a> {
    options: &'a Options,
    files: Files,
    compiled: Compiled,
    asked: Vec<Asked>,
    tests: Vec<Ended>,
}

impl Report<'_> {
    fn errors(&self) -> usize {
        self.compiled.problems.iter().filter(|problem| problem.severity == Severity::Error).count()
    }

    fn warnings(&self) -> usize {
        self.compiled.problems.len() - self.errors()
    }

    fn failed_tests(&self) -> impl Iterator<Item = &Ended> {
        self.tests.iter().filter(|test| test.failure.is_some())
    }

    fn is_clean(&self) -> bool {
        let silent = self.options.online && self.asked.iter().any(|asked| asked.names.is_err());
        self.errors() == 0 && !silent && self.failed_tests().next().is_none()
    }

    fn json(&self) -> Value {
        let problems: Vec<Value> = self.compiled.problems.iter().map(as_json).collect();
        let asked: Vec<Value> = self
            .asked
            .iter()
            .map(|Asked { destination, names }| {
                json!({ "name": destination, "names_compared": names.as_ref().ok(), "why_not": names.as_ref().err() })
            })
            .collect();
        json!({ "errors": self.errors(), "warnings": self.warnings(), "problems": problems, "destinations": asked,
            "tests": trial::json(&self.tests) })
    }

    fn text(&self) -> String {
        let colour = has_colours(&std::io::stdout());
        let problems = self.compiled.problems.iter().map(|problem| problem.render(&self.files, colour));
        let tests = self.failed_tests().map(ToString::to_string);
        let asked = self.asked.iter().map(|Asked { destination, names }| match names {
            Ok(0) => format!("{destination}: the CRM lists nothing that names could be compared with"),
            Ok(names) => {
                format!("{destination}: {} compared with the CRM", how_many(*names, "name", "names"))
            }
            Err(why) => {
                let word = if self.options.online { "FAILED, names are" } else { "names are" };
                format!("{destination}: {word} not compared with the CRM: {why}. `leadfold doctor` says more")
            }
        });
        let summary = format!(
            "{}: {}, {}, {}; {}, {} failed",
            self.options.workspace.workspace.display(),
            how_many(self.compiled.workspace.sources.len(), "source", "sources"),
            how_many(self.errors(), "error", "errors"),
            how_many(self.warnings(), "warning", "warnings"),
            how_many(self.tests.len(), "test", "tests"),
            self.failed_tests().count(),
        );
        problems.chain(tests).chain(asked).chain([summary]).collect::<Vec<_>>().join("\n")
    }
}
