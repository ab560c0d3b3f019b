//! `leadfold pause` and `leadfold resume`: nothing is pushed to a destination until somebody says so.

use clap::Args;
use serde_json::to_string;

use super::client::{Client, ServerOption};
use super::{End, Failure, say};
use crate::operation::Operation;
use crate::operation::destinations::{PauseDestination, Pausing, ResumeDestination};

const PAUSE_EXAMPLES: &str = "\
Examples:
  leadfold pause crm
  leadfold pause crm --json

Every process finishes what is under way and begins nothing new there. Leads
still come in, are mapped and wait; `leadfold resume` lets them go. It is a row
in the database and no edit: `mode: paused` in workspace.yaml is another matter.";

const RESUME_EXAMPLES: &str = "\
Examples:
  leadfold resume crm
  leadfold resume crm --json";

/// Arguments of `pause`.
#[derive(Debug, Args)]
#[command(after_help = PAUSE_EXAMPLES)]
pub(super) struct Options {
    #[command(flatten)]
    which: Which,
}

/// Arguments of `resume`.
#[derive(Debug, Args)]
#[command(after_help = RESUME_EXAMPLES)]
pub(super) struct ResumeOptions {
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Args)]
struct Which {
    /// Name of the destination in workspace.yaml
    destination: String,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerOption,
}

pub(super) async fn run(options: Options) -> Result<End, Failure> {
    let operation = PauseDestination { destination: options.which.destination.clone() };
    ask(options.which, operation).await
}

pub(super) async fn resume(options: ResumeOptions) -> Result<End, Failure> {
    let operation = ResumeDestination { destination: options.which.destination.clone() };
    ask(options.which, operation).await
}

async fn ask(which: Which, operation: impl Operation<Answer = Pausing>) -> Result<End, Failure> {
    let client = Client::open(&which.server).await?;
    let answer = client.run_and_close(operation).await?;
    if which.json {
        say(&to_string(&answer).map_err(|error| error.to_string())?)?;
    } else {
        say(&told(&answer))?;
    }
    Ok(End::Done)
}

fn told(Pausing { destination, paused, changed }: &Pausing) -> String {
    match (paused, changed) {
        (Some(_), true) => {
            format!("'{destination}' is paused; `leadfold resume {destination}` lets it go on.")
        }
        (Some(pause), false) => {
            format!("'{destination}' is paused already, by {} since {}.", pause.who, pause.since)
        }
        (None, true) => format!("'{destination}' goes on."),
        (None, false) => format!("'{destination}' was not paused."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::pauses::Pause;

    #[test]
    fn a_pause_is_told_with_who_and_since_when() {
        let pause = Pause { who: "olha".to_owned(), since: "2026-05-04T10:00:00Z".parse().unwrap() };
        let check = |paused: Option<&Pause>, changed: bool, expect: &str| {
            let answer = Pausing { destination: "crm".to_owned(), paused: paused.cloned(), changed };
            assert_eq!(told(&answer), expect);
        };
        check(Some(&pause), true, "'crm' is paused; `leadfold resume crm` lets it go on.");
        check(Some(&pause), false, "'crm' is paused already, by olha since 2026-05-04T10:00:00Z.");
        check(None, true, "'crm' goes on.");
        check(None, false, "'crm' was not paused.");
    }
}
