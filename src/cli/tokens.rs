//! `leadfold tokens`: what uses the API, and what it may.

use clap::{Args, Subcommand};
use serde_json::json;

use super::client::{Client, ServerOption};
use super::terminal::confirm;
use super::users::{ListOptions, role, told};
use super::{End, Failure, say};
use crate::access::{Name, Role};
use crate::operation::tokens::{AddToken, Added, LookAtTokens, RemoveToken};

const EXAMPLES: &str = "\
Examples:
  leadfold tokens add crm-export --role viewer    it is shown once
  leadfold tokens list
  leadfold tokens remove crm-export

For programs that use /api. The token that `leadfold serve` is started with may
everything, and is none of these. `leadfold users --help` tells of the roles.";

const LIST: &str = "\
Examples:
  leadfold tokens list
  leadfold tokens list --json | jq -r '.tokens[].name'

It only reads, so a server may run. Only a hash of a token is kept, so no token
can be shown again.
Exit codes: 0 listed, 1 there is none, 2 it could not be looked up.";

const ADD: &str = "\
Examples:
  leadfold tokens add crm-export --role viewer
  leadfold tokens add crm-export --role viewer --json | jq -r .token

The token alone is printed to standard output, once: nobody can see it again.
Exit codes: 0 added, 2 it could not be done.";

const REMOVE: &str = "\
Examples:
  leadfold tokens remove crm-export
  leadfold tokens remove crm-export --yes

Whatever uses it is refused from then on.
Exit codes: 0 removed, 1 not confirmed, 2 it could not be done.";

/// Arguments of `tokens`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the tokens that were made
    #[command(after_help = LIST)]
    List(ListOptions),
    /// Make a token
    #[command(after_help = ADD)]
    Add(AddOptions),
    /// Remove a token
    #[command(after_help = REMOVE)]
    Remove(RemoveOptions),
}

#[derive(Debug, Args)]
struct AddOptions {
    /// What it is for
    name: Name,
    /// What it may
    #[arg(long, value_parser = role())]
    role: Role,
    /// Print one JSON object instead of the token
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerOption,
}

#[derive(Debug, Args)]
struct RemoveOptions {
    /// Which
    name: Name,
    /// Do it without asking
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    server: ServerOption,
}

pub(super) async fn run(options: Options) -> Result<End, Failure> {
    match options.command {
        Command::List(options) => list(options).await,
        Command::Add(AddOptions { name, role, json, server }) => {
            let client = Client::open_or_make(&server).await?;
            let added: Added = client.run_and_close(AddToken { name, role }).await?;
            say(&if json { json!(added).to_string() } else { added.token })?;
            Ok(End::Done)
        }
        Command::Remove(RemoveOptions { name, yes, server }) => {
            if !yes && !confirm(&format!("Remove the token {name}?"))? {
                return Ok(End::FoundProblems);
            }
            let client = Client::open(&server).await?;
            let removed = client.run_and_close(RemoveToken { name }).await?;
            say(&format!("The token {} is removed.", removed.name))?;
            Ok(End::Done)
        }
    }
}

async fn list(options: ListOptions) -> Result<End, Failure> {
    let client = Client::open_to_look(&options.server).await?;
    let found = client.run_and_close(LookAtTokens {}).await?;
    let rows =
        found.tokens.iter().map(|token| (token.name.as_str(), token.role, token.created_at.to_string()));
    let none = "No token was made. `leadfold tokens add crm-export --role viewer` makes one.";
    say(&if options.json { json!(found).to_string() } else { told(rows.collect(), none) })?;
    Ok(if found.tokens.is_empty() { End::FoundProblems } else { End::Done })
}
