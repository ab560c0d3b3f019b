//! The command line. Exit codes: 0 done, 1 it found something wrong (a broken mapping, a failed test, nothing found),
//! 2 it could not be done (a wrong argument, no such file, no database).

mod apply;
mod check;
mod client;
mod demo;
mod difference;
mod doctor;
mod explain;
mod faults;
mod init;
mod live;
mod normalise;
mod pools;
mod rehearse;
mod replay;
mod sandbox;
mod schema;
mod serve;
mod terminal;
mod test;
mod versions;

use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};

use self::normalise::What;
use crate::workspace::Environment;

/// Brings every chatbot lead into the CRM once: one contact, one open deal, nothing lost.
#[derive(Debug, Parser)]
#[command(name = "leadfold", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Send sample leads through a CRM of our own and show what became of them; needs no account anywhere
    Demo(demo::Options),
    /// Receive webhooks and bring the leads to the CRM
    Serve(serve::Options),
    /// Write a commented workspace to begin with
    Init(init::Options),
    /// Check workspace.yaml and every mapping; says file, line and column of every problem
    Check(check::Options),
    /// Run the `tests:` of the mappings with the production engine
    Test(test::Options),
    /// Ask every destination what it has, compare it with the mappings, and say what to fix; writes nothing
    Doctor(doctor::Options),
    /// Run the edited workspace over stored deliveries and show what would be different; writes nothing
    Rehearse(rehearse::Options),
    /// Check the workspace, run its tests, show what is new in it, and make it the version that every process runs
    Apply(apply::Options),
    /// List the versions of the workspace, or compare two of them
    Versions(versions::Options),
    /// Print a JSON Schema of the YAML, so that editors complete it and underline mistakes
    Schema(schema::Options),
    /// Say what became of a lead and why
    Explain(explain::Options),
    /// Replay leads: let them go on, map them again, or force them; shows what it would do first
    #[command(after_help = replay::EXAMPLES)]
    Replay(replay::Options),
    /// Push or skip what was held while a destination was only observed
    #[command(after_help = live::EXAMPLES)]
    Live(live::Options),
    /// List owner pools: who got how many deals, who takes one now, and if not, why
    Pools(pools::Options),
    /// Clean phones or emails: values as arguments, or JSON lines on standard input
    Normalise(NormaliseOptions),
    /// Run a small CRM with switchable faults, for trying things out
    Sandbox(sandbox::Options),
}

/// Arguments of `normalise`.
#[derive(Debug, Args)]
struct NormaliseOptions {
    /// What the values are
    #[arg(value_enum)]
    what: What,
    /// The values; without any, JSON lines like {"raw": "067 123 45 67", "region": "UA"} are read from standard input
    values: Vec<String>,
    /// Country of phones that name none; may be repeated, the first is tried first
    #[arg(long, value_name = "COUNTRY")]
    region: Vec<String>,
}

/// Where the mappings are.
#[derive(Clone, Debug, Args)]
struct WorkspaceOption {
    /// Folder with workspace.yaml and one YAML file per source
    #[arg(long, env = "LEADFOLD_WORKSPACE", default_value = "mappings", value_name = "DIR")]
    workspace: PathBuf,
}

/// Which database.
#[derive(Clone, Debug, Args)]
struct DatabaseOption {
    /// `sqlite://FILE`, or `postgres://user:password@host/name`
    #[arg(
        long,
        env = "LEADFOLD_DATABASE",
        default_value = "sqlite://data/leadfold.db",
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
    let cli = Cli::parse();
    let end = match cli.command {
        Command::Demo(options) => in_runtime(demo::run(options)),
        Command::Serve(options) => in_runtime(serve::run(options)),
        Command::Init(options) => init::run(&options),
        Command::Check(options) => in_runtime(check::run(options)),
        Command::Test(options) => test::run(&options),
        Command::Doctor(options) => in_runtime(doctor::run(options)),
        Command::Rehearse(options) => in_runtime(rehearse::run(options)),
        Command::Apply(options) => in_runtime(apply::run(options)),
        Command::Versions(options) => in_runtime(versions::run(options)),
        Command::Schema(options) => schema::run(&options),
        Command::Explain(options) => in_runtime(explain::run(options)),
        Command::Replay(options) => in_runtime(replay::run(options)),
        Command::Live(options) => in_runtime(live::run(options)),
        Command::Pools(options) => in_runtime(pools::run(options)),
        Command::Normalise(options) => normalise_values(&options),
        Command::Sandbox(options) => in_runtime(sandbox::run(options)),
    };
    match end {
        Ok(End::Done) => ExitCode::SUCCESS,
        Ok(End::FoundProblems) => ExitCode::from(1),
        Err(failure) => {
            // When standard error is gone there is nobody left to tell.
            writeln!(std::io::stderr(), "leadfold: {}", terminal::harmless(&failure)).ok();
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

fn normalise_values(options: &NormaliseOptions) -> Result<End, Failure> {
    let (input, output) = (std::io::stdin().lock(), std::io::stdout().lock());
    normalise::run(options.what, &options.region, &options.values, input, output)
        .map(|()| End::Done)
        .map_err(|error| format!("standard input or output broke: {error}"))
}

/// Prints to standard output; a reader that went away is no error. A program that reads it gets every character.
fn say(text: &str) {
    let mut output = std::io::stdout();
    if output.is_terminal() {
        writeln!(output, "{}", terminal::harmless(text)).ok();
    } else {
        writeln!(output, "{text}").ok();
    }
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
