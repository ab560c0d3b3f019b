//! `leadfold test`: runs the `tests:` of the mappings.

use std::io::IsTerminal as _;

use clap::Args;

use super::check::load;
use super::{End, Failure, WorkspaceOption, say};
use crate::map::Severity;
use crate::trial;

/// Arguments of `test`.
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    workspace: WorkspaceOption,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Options) -> Result<End, Failure> {
    let (files, compiled) = load(&options.workspace)?;
    let results = trial::run(&compiled.workspace, &options.workspace.workspace);
    let failed = results.iter().filter(|result| result.failure.is_some()).count();
    let broken: Vec<_> =
        compiled.problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
    if options.json {
        say(&trial::json(&results).to_string());
    } else {
        for problem in &broken {
            say(&problem.render(&files, std::io::stdout().is_terminal()));
        }
        for result in &results {
            say(&result.to_string());
        }
        say(&format!("{} passed, {failed} failed", results.len() - failed));
    }
    Ok(if failed > 0 || !broken.is_empty() { End::FoundProblems } else { End::Done })
}
