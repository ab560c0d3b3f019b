//! `leadfold people`: who is who, looked at and corrected.

use clap::{Args, Subcommand};

use super::{End, Failure, people_rehearse};

const EXAMPLES: &str = "\
Examples:
  leadfold people rehearse --rules new.yaml   who would be who under other rules";

/// Arguments of `people`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show who would be split and who would be one under other rules
    Rehearse(people_rehearse::Options),
}

pub(super) async fn run(options: Options) -> Result<End, Failure> {
    match options.command {
        Command::Rehearse(options) => people_rehearse::run(options).await,
    }
}
