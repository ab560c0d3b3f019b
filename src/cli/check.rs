//! `leadfold check` and `leadfold test`.

use std::io::IsTerminal as _;

use clap::Args;

use super::{End, Failure, WorkspaceOption, process_environment, say};
use crate::map::{Compiled, Files, Severity};
use crate::trial;
use crate::workspace::{compile_with, read_files};

/// Arguments of `check`.
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    workspace: WorkspaceOption,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// Arguments of `test`.
#[derive(Debug, Args)]
pub(super) struct TestOptions {
    #[command(flatten)]
    workspace: WorkspaceOption,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Options) -> Result<End, Failure> {
    let (files, compiled) = load(&options.workspace)?;
    let errors = compiled.problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    let warnings = compiled.problems.len() - errors;
    let failed = trial::run(&compiled.workspace, &options.workspace.workspace);
    if options.json {
        let problems: Vec<_> = compiled
            .problems
            .iter()
            .map(|problem| {
                serde_json::json!({
                    "file": problem.file,
                    "line": problem.line,
                    "column": problem.column,
                    "severity": if problem.severity == Severity::Error { "error" } else { "warning" },
                    "message": problem.message,
                    "help": problem.help,
                })
            })
            .collect();
        let tests = trial::json(&failed);
        say(&serde_json::json!({ "errors": errors, "warnings": warnings, "problems": problems, "tests": tests })
            .to_string());
    } else {
        let colour = std::io::stdout().is_terminal();
        for problem in &compiled.problems {
            say(&problem.render(&files, colour));
        }
        for result in failed.iter().filter(|result| result.failure.is_some()) {
            say(&result.to_string());
        }
        let sources = compiled.workspace.sources.len();
        let tests = failed.len();
        let failures = failed.iter().filter(|result| result.failure.is_some()).count();
        say(&format!(
            "{}: {sources} sources, {errors} errors, {warnings} warnings; {tests} tests, {failures} failed",
            options.workspace.workspace.display()
        ));
    }
    let failures = failed.iter().any(|result| result.failure.is_some());
    Ok(if errors > 0 || failures { End::FoundProblems } else { End::Done })
}

pub(super) fn run_tests(options: &TestOptions) -> Result<End, Failure> {
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

fn load(option: &WorkspaceOption) -> Result<(Files, Compiled), Failure> {
    let files = read_files(&option.workspace)?;
    let compiled = compile_with(&files, &process_environment());
    Ok((files, compiled))
}
