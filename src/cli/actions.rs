//! `leadfold actions`: the audit log, what people changed.

use std::fmt::Write as _;

use clap::{Args, value_parser};
use serde_json::json;

use super::client::{Client, ServerOption};
use super::{End, Failure, say};
use crate::operation::actions::{Actions, LookAtActions};
use crate::store::actions::Action;

const EXAMPLES: &str = "\
Examples:
  leadfold actions                          what was changed last
  leadfold actions --who olena --limit 200
  leadfold actions --json | jq '.actions[].operation'
  leadfold actions --before 0190a0b0-0000-7000-8000-000000000000

Whatever changes something by console, API or command has an entry, which is
written before it is done; what only looks has none. Personal data in it is
masked. It is kept as long as leads are (`retention: { rows: 400d }`).

It only reads, so a server may run.
Exit codes: 0 listed, 1 there is none, 2 it could not be looked up.";

/// Arguments of `actions`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// Only those of this user or token; `start token` for the one that the server was started with
    #[arg(long, value_name = "NAME")]
    who: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = value_parser!(i64).range(1..=1_000))]
    limit: i64,
    /// Those before this one
    #[arg(long, value_name = "ID")]
    before: Option<String>,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerOption,
}

pub(super) async fn run(options: Options) -> Result<End, Failure> {
    let Options { who, limit, before, json, server } = options;
    let client = Client::open_to_look(&server).await?;
    let found = client.run_and_close(LookAtActions { who, before, limit: Some(limit) }).await?;
    say(&if json { json!(found).to_string() } else { told(&found) })?;
    Ok(if found.actions.is_empty() { End::FoundProblems } else { End::Done })
}

fn told(found: &Actions) -> String {
    if found.actions.is_empty() {
        return "Nothing was changed.".to_owned();
    }
    let mut text = String::new();
    for action in &found.actions {
        let Action { at, who, role, through, operation, asked, outcome, .. } = action;
        let outcome = outcome.as_deref().unwrap_or("not known: it is going on, or was broken off");
        // Writing to a String cannot fail, here and below.
        writeln!(text, "{at}  {who} ({role}, {through})  {operation}\n  {asked}\n  {outcome}").ok();
    }
    if let Some(next) = &found.next {
        writeln!(text, "There are more: leadfold actions --before {next}").ok();
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_says_who_did_what_and_what_came_of_it() {
        let action = |outcome: Option<&str>| Action {
            id: "0190".to_owned(),
            at: "2026-05-04T10:00:00Z".parse().unwrap(),
            who: "olena".to_owned(),
            role: "admin".to_owned(),
            through: "console".to_owned(),
            operation: "/api/users/remove".to_owned(),
            asked: json!({ "name": "petro" }),
            outcome: outcome.map(str::to_owned),
        };
        let found =
            Actions { actions: vec![action(Some("done")), action(None)], next: Some("0190".to_owned()) };
        assert_eq!(
            told(&found),
            "2026-05-04T10:00:00Z  olena (admin, console)  /api/users/remove\n  {\"name\":\"petro\"}\n  done\n\
             2026-05-04T10:00:00Z  olena (admin, console)  /api/users/remove\n  {\"name\":\"petro\"}\n  \
             not known: it is going on, or was broken off\nThere are more: leadfold actions --before 0190"
        );
        assert_eq!(told(&Actions { actions: vec![], next: None }), "Nothing was changed.");
    }
}
