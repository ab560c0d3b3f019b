//! `leadfold apply`: makes the files of a workspace the version that every process runs.

use clap::Args;
use serde_json::{Value, json};

use super::check::as_json;
use super::client::{Client, ServerOption};
use super::terminal::has_colours;
use super::{End, Failure, WorkspaceOption, how_many, process_environment, say};
use crate::crm::kinds;
use crate::map::{Compiled, Files, HIDDEN, Severity, hidden};
use crate::operation::apply::{Active, Apply, LookAtActive};
use crate::trial;
use crate::workspace::difference::{self, differences};
use crate::workspace::{compile_without_secrets, read_files, short};

const EXAMPLES: &str = "\
Examples:
  leadfold apply --dry-run    shows what is new in mappings/, changes nothing
  leadfold apply              makes it active, in the database of --database
  leadfold apply --workspace ../crm-mappings --server https://leads.example.com

First the files are checked and their tests are run; then it shows what is new.
The active version is kept in the database, and every `leadfold serve` on that
database takes it up within a second or two. Leads that are under way keep the
version that made them.

Secrets need not be set where this command runs. A server that lacks one of them
receives, and neither prepares nor pushes; its log and /readyz say so.

A server on SQLite follows its files: there a valid edit becomes active without
this command, unless it was started with --follow-files false. What is applied
to one that follows its files counts until their next edit or its next start.

Exit codes: 0 it is active, 1 errors or failed tests, or with --dry-run
something new, 2 it could not be done, also when somebody else was faster. Only
with 0 is anything changed.";

/// Arguments of `apply`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    #[command(flatten)]
    workspace: WorkspaceOption,
    #[command(flatten)]
    server: ServerOption,
    /// Check, test, and show what is new; change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(options: Options) -> Result<End, Failure> {
    let folder = &options.workspace.workspace;
    let files = read_files(folder)?;
    let (compiled, missing) = compile_without_secrets(&files, &process_environment());
    let tests = trial::run(&compiled.workspace, folder);
    if let Some(end) = refuse(&options, &files, &compiled, &tests)? {
        return Ok(end);
    }
    let client = Client::open(&options.server).await?;
    let applied = apply(&options, &client, &files).await;
    client.close().await;
    let (active, now) = applied?;
    // Where the secrets of the active version are not shown to us, ours are no difference.
    let active_files = Files(active.files);
    let are_hidden = active_files.0.values().any(|text| text.contains(HIDDEN));
    let changed = if are_hidden {
        differences(&active_files, &hidden(&files, &kinds()))
    } else {
        differences(&active_files, &files)
    };
    let is_new = active.version.as_deref() != Some(files.hash().as_str());
    if options.json {
        let answer = json!({ "applied": is_new && now, "version": files.hash(), "instead_of": active.version,
            "changed": difference::json(&changed), "tests": tests.len(), "secrets_not_set_here": missing });
        say(&answer.to_string())?;
    } else {
        let shown =
            if active.version.is_some() { difference::told_in_short(&changed) } else { String::new() };
        if !shown.is_empty() {
            say(&shown)?;
        }
        let version = files.hash();
        let version = short(&version);
        say(&match (active.version.as_deref().map(short), is_new, now) {
            (_, false, _) => format!("Version {version} is active already; nothing to do."),
            (Some(before), true, true) => format!(
                "Version {version} is active now instead of {before} ({} passed). To go back, restore the files of \
                 {before}, and apply them.",
                how_many(tests.len(), "test", "tests")
            ),
            (None, true, true) => format!("Version {version} is active now; it is the first."),
            (Some(before), true, false) => {
                format!("Version {version} would become active instead of {before}. Nothing is changed.")
            }
            (None, true, false) => {
                format!("Version {version} would become active; it would be the first. Nothing is changed.")
            }
        })?;
        if !missing.is_empty() {
            let missing = missing.into_iter().collect::<Vec<_>>().join(", ");
            say(&format!("Not set here, and needed wherever `leadfold serve` runs: {missing}."))?;
        }
    }
    Ok(if is_new && !now { End::FoundProblems } else { End::Done })
}

/// What was active before, and whether the files are active now.
async fn apply(options: &Options, client: &Client, files: &Files) -> Result<(Active, bool), Failure> {
    let active = client.run(LookAtActive {}).await?;
    if options.dry_run {
        return Ok((active, false));
    }
    let operation = Apply {
        files: files.0.clone(),
        instead_of: active.version.clone(),
        // A server works with the version, and this command does not.
        with_secrets: matches!(client, Client::There { .. }),
    };
    client.run(operation).await?;
    Ok((active, true))
}

/// Says what is wrong with the files, when something is.
fn refuse(
    options: &Options,
    files: &Files,
    compiled: &Compiled,
    tests: &[trial::Ended],
) -> Result<Option<End>, Failure> {
    let failed: Vec<_> = tests.iter().filter(|test| test.failure.is_some()).collect();
    let errors = compiled.problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    let bad = errors > 0 || !failed.is_empty();
    if options.json {
        let problems: Vec<Value> = compiled.problems.iter().map(as_json).collect();
        let answer =
            json!({ "applied": false, "errors": errors, "problems": problems, "tests": trial::json(tests) });
        if bad {
            say(&answer.to_string())?;
        }
    } else {
        for problem in &compiled.problems {
            say(&problem.render(files, has_colours(&std::io::stdout())))?;
        }
        for test in &failed {
            say(&test.to_string())?;
        }
        if bad {
            say(&format!(
                "{}, {}: nothing is changed. Fix what is shown above, and apply again.",
                how_many(errors, "error", "errors"),
                how_many(failed.len(), "failed test", "failed tests"),
            ))?;
        }
    }
    Ok(bad.then_some(End::FoundProblems))
}
