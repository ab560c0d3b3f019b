//! The command line.
//!
//! Exit codes: 0 done, 1 it found something (a mistake, a difference, leads that wait for an answer, or nothing where
//! something was sought), 2 it could not be done (a wrong argument, no such file, no database).
//!
//! How it speaks. Results go to standard output, in sentences with a full stop or in lines of a table; `--json` is one
//! JSON document on one line instead. What could not be done goes to standard error: what happened and where, in lower case,
//! then what to do next; no full stop at the end. `…` holds what one types or writes in YAML, '…' a name that somebody
//! else gave.

mod actions;
mod apply;
mod backup;
mod bot;
mod check;
mod client;
mod completions;
mod demo;
mod deploy;
mod doctor;
mod erase;
mod explain;
mod faults;
mod help;
mod init;
mod link;
mod live;
mod migrate;
mod moment;
mod moving;
mod normalise;
mod notify;
mod pause;
mod people;
mod people_rehearse;
mod pools;
mod postbacks;
mod ready;
mod rehearse;
mod replay;
mod restored;
mod sandbox;
mod schema;
mod serve;
mod terminal;
mod test;
mod tokens;
mod torture;
mod users;
mod versions;

use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, FromArgMatches as _, Parser, Subcommand};

use crate::normalise::is_region;
use crate::workspace::Environment;

/// Brings every chatbot lead into the CRM once: one contact, one open deal, nothing lost.
#[derive(Debug, Parser)]
#[command(name = "leadfold", version, about, after_help = help::EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

// `help::GROUPS` says in which order they are listed.
#[derive(Debug, Subcommand)]
enum Command {
    /// Send sample leads through a small CRM, show what became of them
    Demo(demo::Options),
    /// Write a commented workspace to begin with
    Init(init::Options),
    /// Run a small CRM with switchable faults, to try things on
    Sandbox(sandbox::Options),
    /// Find every mistake in workspace.yaml and the mappings
    Check(check::Options),
    /// Run the `tests:` of the mappings
    Test(test::Options),
    /// Ask every destination what it has, and say what to fix
    Doctor(doctor::Options),
    /// Show what the edited files would change for stored leads
    Rehearse(rehearse::Options),
    /// Print a JSON Schema of the YAML, for editors
    Schema(schema::Options),
    /// Receive webhooks and bring their leads to the CRM
    Serve(serve::Options),
    /// Say whether a running leadfold can do its work
    Ready(ready::Options),
    /// Print files to run it with: systemd, container, proxy
    Deploy(deploy::Options),
    /// Copy the SQLite database while leadfold runs
    Backup(backup::Options),
    /// Tell leadfold that its database is a restored one, from the past
    Restored(restored::Options),
    /// Bring the schema of a database up to date
    Migrate(migrate::Options),
    /// Move the registry from SQLite to PostgreSQL
    Move(moving::Options),
    /// Make the files the version that every process runs
    Apply(apply::Options),
    /// List the versions of the workspace, or compare two of them
    Versions(versions::Options),
    /// Say what became of a lead, and why
    Explain(explain::Options),
    /// Show who is who, and correct it: merge, split, settle duplicates
    People(people::Options),
    /// Have bots do something in a person's chat, or show what they would
    Bot(bot::Options),
    /// Make a link into a bot, or from a bot to your web site
    Link(link::Options),
    /// Let leads go on, map them again, or force them
    Replay(replay::Options),
    /// Push or skip what was held while a destination only observed
    Live(live::Options),
    /// Push nothing more to a destination until it is resumed
    Pause(pause::Options),
    /// Let a paused destination go on
    Resume(pause::ResumeOptions),
    /// Erase one human's personal data, and say what CRMs still have
    Erase(erase::Options),
    /// List postbacks that wait or repeat, and count them by hand
    Postbacks(postbacks::Options),
    /// List owner pools: who got how many deals, and who takes one now
    Pools(pools::Options),
    /// List, add and remove those who sign in to the console
    Users(users::Options),
    /// List, make and remove tokens of the API
    Tokens(tokens::Options),
    /// List what people changed: the audit log
    Actions(actions::Options),
    /// Kill, freeze and cut real processes, and count what got lost
    Torture(torture::Options),
    /// Clean phones or emails
    Normalise(normalise::Options),
    /// Print the script that completes commands in your shell
    Completions(completions::Options),
}

/// Where the mappings are.
#[derive(Clone, Debug, Args)]
struct WorkspaceOption {
    /// Folder with workspace.yaml and one YAML file per source
    #[arg(
        long,
        env = "LEADFOLD_WORKSPACE",
        default_value = "mappings",
        value_name = "DIR",
        hide_env_values = true
    )]
    workspace: PathBuf,
}

/// Which database, when nobody says.
const DATABASE: &str = "sqlite://data/leadfold.db";

/// Which database.
#[derive(Clone, Debug, Args)]
struct DatabaseOption {
    /// `sqlite://FILE` or `postgres://…`
    #[arg(
        long,
        env = "LEADFOLD_DATABASE",
        default_value = DATABASE,
        value_name = "URL",
        hide_env_values = true
    )]
    database: String,
}

/// What a command says when it ends.
enum End {
    /// All is well.
    Done,
    /// Something is wrong with what it looked at; it has said what.
    FoundProblems,
}

/// A command that could not be carried out, in words that say what to do.
type Failure = String;

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let cli = Cli::from_arg_matches(&help::command().get_matches()).unwrap_or_else(|error| error.exit());
    let end = match cli.command {
        Command::Demo(options) => in_runtime(demo::run(options)),
        Command::Init(options) => init::run(&options),
        Command::Sandbox(options) => in_runtime(sandbox::run(options)),
        Command::Check(options) => in_runtime(check::run(options)),
        Command::Test(options) => test::run(&options),
        Command::Doctor(options) => in_runtime(doctor::run(options)),
        Command::Rehearse(options) => in_runtime(rehearse::run(options)),
        Command::Schema(options) => schema::run(&options),
        Command::Serve(options) => in_runtime(serve::run(options)),
        Command::Ready(options) => in_runtime(ready::run(options)),
        Command::Deploy(options) => deploy::run(&options),
        Command::Backup(options) => in_runtime(backup::run(options)),
        Command::Restored(options) => in_runtime(restored::run(options)),
        Command::Migrate(options) => in_runtime(migrate::run(options)),
        Command::Move(options) => in_runtime(moving::run(options)),
        Command::Apply(options) => in_runtime(apply::run(options)),
        Command::Versions(options) => in_runtime(versions::run(options)),
        Command::Explain(options) => in_runtime(explain::run(options)),
        Command::People(options) => in_runtime(people::run(options)),
        Command::Bot(options) => in_runtime(bot::run(options)),
        Command::Link(options) => in_runtime(link::run(options)),
        Command::Replay(options) => in_runtime(replay::run(options)),
        Command::Live(options) => in_runtime(live::run(options)),
        Command::Pause(options) => in_runtime(pause::run(options)),
        Command::Resume(options) => in_runtime(pause::resume(options)),
        Command::Erase(options) => in_runtime(erase::run(options)),
        Command::Postbacks(options) => in_runtime(postbacks::run(options)),
        Command::Pools(options) => in_runtime(pools::run(options)),
        Command::Users(options) => in_runtime(users::run(options)),
        Command::Tokens(options) => in_runtime(tokens::run(options)),
        Command::Actions(options) => in_runtime(actions::run(options)),
        Command::Torture(options) => in_runtime(torture::run(options)),
        Command::Normalise(options) => normalise::run(&options),
        Command::Completions(options) => completions::run(&options),
    };
    match end {
        Ok(End::Done) => ExitCode::SUCCESS,
        Ok(End::FoundProblems) => ExitCode::from(1),
        Err(failure) => {
            // When standard error is gone there is nobody left to tell.
            writeln!(std::io::stderr(), "{} {}", terminal::error_word(), terminal::harmless(&failure)).ok();
            ExitCode::from(2)
        }
    }
}

fn in_runtime(command: impl Future<Output = Result<End, Failure>>) -> Result<End, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the runtime cannot be started: {error}"))?
        .block_on(command)
}

/// Prints to standard output. A reader that went away (`| head`) is no error; a full disk is. A program that reads it gets
/// every character.
fn say(text: &str) -> Result<(), Failure> {
    let mut output = std::io::stdout();
    let written = if output.is_terminal() {
        writeln!(output, "{}", terminal::harmless(text))
    } else {
        writeln!(output, "{text}")
    };
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(format!("standard output cannot be written: {error}"))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// `1 lead`, `2 leads`.
fn how_many<N: Copy + Display + PartialEq + From<u8>>(number: N, one: &str, many: &str) -> String {
    if number == N::from(1) { format!("1 {one}") } else { format!("{number} {many}") }
}

fn leads(number: u64) -> String {
    how_many(number, "lead", "leads")
}

/// A country, as a flag names it.
fn country(code: &str) -> Result<String, String> {
    if is_region(code) {
        return Ok(code.to_owned());
    }
    Err("write a country as two letters, such as UA or PL".to_owned())
}

/// An address to listen on.
fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let usual = "write an IP address and a port, such as 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080";
    text.parse().map_err(|_| usual.to_owned())
}

/// How long, as a flag says it.
fn seconds(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("write whole seconds, from 0 to {}", u32::MAX))
}

/// What chance begins with.
fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("write a whole number, from 0 to {}", u64::MAX))
}

/// The environment of the process, for `${NAME}` in secrets.
#[expect(clippy::disallowed_methods, reason = "the command line is where the environment comes in")]
fn process_environment() -> Environment {
    Arc::new(|name: &str| std::env::var(name).ok())
}

/// `127.0.0.1:8080` and the like.
fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
