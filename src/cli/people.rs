//! `leadfold people`: who is who, looked at and corrected.

use clap::{Args, Subcommand};

use super::{End, Failure, people_rehearse};

/// Arguments of `people`.
#[derive(Debug, Args)]
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
