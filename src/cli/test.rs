//! `leadfold test`: runs the `tests:` of the mappings.

use clap::Args;

use super::check::{as_json, load};
use super::terminal::has_colours;
use super::{End, Failure, WorkspaceOption, how_many, say};
use crate::map::Severity;
use crate::trial;

const EXAMPLES: &str = "\
Examples:
  leadfold test
  leadfold test --workspace ../crm-mappings
  leadfold test --json | jq '.tests[] | select(.passed | not)'

A test stands in the file of its source; `given` is a request as the platform
sends it:

  tests:
    - name: a new lead from Telegram
      given: samples/sendpulse.json
      expect: { phone: \"+380674185206\", plan: [create contact, create deal] }

They run through the same code as live leads, against a CRM that holds what the
test says. Nothing is sent anywhere.

Exit codes: 0 all passed, 1 one failed or a file is broken, 2 they could not be
run.";

/// Arguments of `test`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
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
        let mut answer = trial::json(&results);
        answer["problems"] = broken.iter().map(|problem| as_json(problem)).collect();
        say(&answer.to_string())?;
    } else {
        for problem in &broken {
            say(&problem.render(&files, has_colours(&std::io::stdout())))?;
        }
        for result in &results {
            say(&result.to_string())?;
        }
        let left_out = match broken.len() {
            0 => String::new(),
            errors => format!("; {}, and what has them is not tested", how_many(errors, "error", "errors")),
        };
        say(&format!("{} passed, {failed} failed{left_out}", results.len() - failed))?;
    }
    Ok(if failed > 0 || !broken.is_empty() { End::FoundProblems } else { End::Done })
}
