//! `leadfold move`: from SQLite to PostgreSQL, when one machine is not enough any more.

use clap::Args;
use serde_json::json;

use super::terminal::{Progress, confirm};
use super::{DATABASE, End, Failure, how_many, say};
use crate::clock::{Clock as _, SystemClock};
use crate::store::Store;
use crate::store::moving::{Moved, Step};

const EXAMPLES: &str = "\
Examples:
  leadfold move --from sqlite://data/leadfold.db --to postgres://me@db/leads
  LEADFOLD_MOVE_TO=postgres://… leadfold move     keeps a password out of `ps`
  leadfold move --undo --from sqlite://data/leadfold.db

Stop the server first; platforms send again what is refused meanwhile. The new
database must be empty: CREATE DATABASE leads OWNER leadfold. Every row is
copied, read back and compared, and then all of it is there at once: a move that
breaks off leaves the new database empty, and is simply run again.

The old file keeps everything and is not served any more, because two that push
to one CRM double its leads. --undo lets it be served again, and gives up what
the other one has received since.";

/// Arguments of `move`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// The SQLite database that is moved
    #[arg(
        long,
        env = "LEADFOLD_DATABASE",
        default_value = DATABASE,
        value_name = "URL",
        hide_env_values = true
    )]
    from: String,
    /// The PostgreSQL database that it moves to
    #[arg(
        long,
        env = "LEADFOLD_MOVE_TO",
        value_name = "URL",
        hide_env_values = true,
        required_unless_present = "undo"
    )]
    to: Option<String>,
    /// Let a database that was moved be served again
    #[arg(long, conflicts_with = "to")]
    undo: bool,
    /// Do not ask before --undo
    #[arg(long, short = 'y', requires = "undo")]
    yes: bool,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(options: Options) -> Result<End, Failure> {
    match &options.to {
        Some(to) if !options.undo => carry(&options, to).await,
        _ => undo(&options).await,
    }
}

async fn carry(options: &Options, to: &str) -> Result<End, Failure> {
    let mut shown = Shown::default();
    let mut tell = |step| shown.show(step);
    let moved = Store::move_registry(&options.from, to, SystemClock.now(), &mut tell).await;
    shown.end();
    let Moved { place, tables, without_zero } = moved.map_err(|failure| failure.to_string())?;
    let rows: u64 = tables.iter().map(|(_, rows)| rows).sum();
    if options.json {
        let tables: serde_json::Map<_, _> =
            tables.into_iter().map(|(name, rows)| (name, json!(rows))).collect();
        say(
            &json!({ "to": place, "rows": rows, "tables": tables, "without_zero": without_zero }).to_string()
        )?;
        return Ok(End::Done);
    }
    for (name, rows) in tables.iter().filter(|(_, rows)| *rows > 0) {
        say(&format!("  {name:<16}  {rows:>10}"))?;
    }
    say(&format!(
        "{} moved to {place}, each compared with what is there.",
        how_many(rows, "row is", "rows are")
    ))?;
    if without_zero > 0 {
        let texts = how_many(without_zero, "text", "texts");
        say(&format!("{texts} lost the character U+0000, which PostgreSQL does not keep in text."))?;
    }
    say(
        "Next: start leadfold with LEADFOLD_DATABASE set to the address of --to. From now on edits of the workspace \
         become active by `leadfold apply`. The old file keeps everything, and is not served any more.",
    )?;
    Ok(End::Done)
}

async fn undo(options: &Options) -> Result<End, Failure> {
    let question = "Leads that the other database has received since are not in this one, and it must not be served any \
                    more. Go back?";
    if !options.yes && !confirm(question)? {
        return Err("nothing is changed".to_owned());
    }
    let was_moved = Store::undo_move(&options.from).await.map_err(|failure| failure.to_string())?;
    if options.json {
        say(&json!({ "undone": was_moved }).to_string())?;
    } else if was_moved {
        say("It can be served again. Stop whatever serves the other one, and start `leadfold serve` here.")?;
    } else {
        say("It was not moved: there is nothing to undo.")?;
    }
    Ok(if was_moved { End::Done } else { End::FoundProblems })
}

/// A bar while rows are copied, then one while they are compared.
#[derive(Default)]
struct Shown {
    rows: u64,
    compares: bool,
    bar: Option<Progress>,
}

impl Shown {
    fn show(&mut self, step: Step) {
        if let Step::Compared(_) = step
            && !self.compares
        {
            self.end();
            self.compares = true;
        }
        let rows = self.rows;
        match step {
            Step::Counted(rows) => self.rows = rows,
            Step::Copied(by) => self.bar.get_or_insert_with(|| Progress::new("copied", rows)).advance(by),
            Step::Compared(by) => self.bar.get_or_insert_with(|| Progress::new("compared", rows)).advance(by),
        }
    }

    fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.end();
        }
    }
}
