//! `leadfold users`: who signs in to the console, and what they may.

use std::fmt::Write as _;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use serde_json::json;

use super::client::{Client, ServerOption};
use super::terminal::{confirm, new_password};
use super::{End, Failure, say};
use crate::access::{Name, Role};
use crate::operation::users::{AddUser, ChangeRole, LookAtUsers, RemoveUser, SetPassword};
use crate::store::access::User;

const EXAMPLES: &str = "\
Examples:
  leadfold users add olena --role admin    it asks for her password
  leadfold users list
  leadfold users role olena operator
  leadfold users password olena
  leadfold users remove olena

viewer    sees everything but secrets
operator  also replays leads, answers for held ones, and says who is who
admin     also makes versions active, erases, and gives access

A role counts from the next click on; a new password and a removal sign out.";

const LIST: &str = "\
Examples:
  leadfold users list
  leadfold users list --json | jq -r '.users[].name'

It only reads, so a server may run.
Exit codes: 0 listed, 1 there is none, 2 it could not be looked up.";

const ADD: &str = "\
Examples:
  leadfold users add olena --role admin
  leadfold users add petro --role operator --password-stdin < password.txt

A name is up to 64 letters, digits or . - _ @ +, and no user or token has it. A
password has at least 12 characters.
Exit codes: 0 added, 2 it could not be done.";

const ROLE: &str = "\
Examples:
  leadfold users role olena operator

Exit codes: 0 changed, 2 it could not be done.";

const PASSWORD: &str = "\
Examples:
  leadfold users password olena
  leadfold users password olena --password-stdin < password.txt

She is signed out wherever she was signed in.
Exit codes: 0 changed, 2 it could not be done.";

const REMOVE: &str = "\
Examples:
  leadfold users remove olena
  leadfold users remove olena --yes

She is signed out at once; what she did stays in the audit log.
Exit codes: 0 removed, 1 not confirmed, 2 it could not be done.";

/// Arguments of `users`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List those who sign in with a password
    #[command(after_help = LIST)]
    List(ListOptions),
    /// Add somebody
    #[command(after_help = ADD)]
    Add(AddOptions),
    /// Give somebody another role
    #[command(after_help = ROLE)]
    Role(RoleOptions),
    /// Set a new password for somebody
    #[command(after_help = PASSWORD)]
    Password(PasswordOptions),
    /// Remove somebody
    #[command(after_help = REMOVE)]
    Remove(RemoveOptions),
}

/// Arguments of `list`, here and of [`super::tokens`].
#[derive(Debug, Args)]
pub(super) struct ListOptions {
    /// Print one JSON object instead of text
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) server: ServerOption,
}

#[derive(Debug, Args)]
struct AddOptions {
    /// What they sign in as
    name: Name,
    /// What they may
    #[arg(long, value_parser = role())]
    role: Role,
    #[command(flatten)]
    password: PasswordOption,
    #[command(flatten)]
    server: ServerOption,
}

#[derive(Debug, Args)]
struct RoleOptions {
    /// Who
    name: Name,
    /// What they may from now on
    #[arg(value_parser = role())]
    role: Role,
    #[command(flatten)]
    server: ServerOption,
}

#[derive(Debug, Args)]
struct PasswordOptions {
    /// Who
    name: Name,
    #[command(flatten)]
    password: PasswordOption,
    #[command(flatten)]
    server: ServerOption,
}

#[derive(Debug, Args)]
struct RemoveOptions {
    /// Who
    name: Name,
    /// Do it without asking
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    server: ServerOption,
}

#[derive(Debug, Args)]
struct PasswordOption {
    /// Read the password from standard input instead of asking for it
    #[arg(long)]
    password_stdin: bool,
}

/// The roles that can be given.
pub(super) fn role() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(Role::GIVEN.map(Role::as_str))
        .try_map(|word| Role::parse(&word).ok_or("no such role"))
}

pub(super) async fn run(options: Options) -> Result<End, Failure> {
    match options.command {
        Command::List(options) => list(options).await,
        Command::Add(AddOptions { name, role, password, server }) => {
            let password = new_password(name.as_str(), password.password_stdin).await?;
            let client = Client::open_or_make(&server).await?;
            let User { name, role, .. } = client.run_and_close(AddUser { name, role, password }).await?;
            say(&format!("{name} is added as {role}, and can sign in."))?;
            Ok(End::Done)
        }
        Command::Role(RoleOptions { name, role, server }) => {
            let client = Client::open(&server).await?;
            let changed = client.run_and_close(ChangeRole { name, role }).await?;
            say(&format!("{} has the role {role} now.", changed.name))?;
            Ok(End::Done)
        }
        Command::Password(PasswordOptions { name, password, server }) => {
            let password = new_password(name.as_str(), password.password_stdin).await?;
            let client = Client::open(&server).await?;
            let changed = client.run_and_close(SetPassword { name, password }).await?;
            say(&format!("{} has a new password, and is signed out.", changed.name))?;
            Ok(End::Done)
        }
        Command::Remove(RemoveOptions { name, yes, server }) => {
            if !yes && !confirm(&format!("Remove {name}?"))? {
                return Ok(End::FoundProblems);
            }
            let client = Client::open(&server).await?;
            let removed = client.run_and_close(RemoveUser { name }).await?;
            say(&format!("{} is removed, and signed out.", removed.name))?;
            Ok(End::Done)
        }
    }
}

async fn list(options: ListOptions) -> Result<End, Failure> {
    let client = Client::open_to_look(&options.server).await?;
    let found = client.run_and_close(LookAtUsers {}).await?;
    let rows = found.users.iter().map(|user| (user.name.as_str(), user.role, user.created_at.to_string()));
    let none = "Nobody signs in with a password yet. `leadfold users add olena --role admin` adds somebody.";
    say(&if options.json { json!(found).to_string() } else { told(rows.collect(), none) })?;
    Ok(if found.users.is_empty() { End::FoundProblems } else { End::Done })
}

/// Name, role and since when, in columns.
pub(super) fn told(rows: Vec<(&str, Role, String)>, none: &str) -> String {
    let width = rows.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for (name, role, since) in rows {
        // Writing to a String cannot fail.
        writeln!(text, "{name:width$}  {:8}  since {since}", role.as_str()).ok();
    }
    if text.is_empty() { none.to_owned() } else { text.trim_end().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_columns_in_any_script() {
        let since = || "2026-05-04T10:00:00Z".to_owned();
        let rows = vec![("олена", Role::Admin, since()), ("crm-export", Role::Viewer, since())];
        assert_eq!(
            told(rows, "none"),
            "олена       admin     since 2026-05-04T10:00:00Z\ncrm-export  viewer    since 2026-05-04T10:00:00Z"
        );
        assert_eq!(told(vec![], "none"), "none");
    }
}
