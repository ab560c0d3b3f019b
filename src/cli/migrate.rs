//! `leadfold migrate`: brings the schema of a database up to date, before the processes of a new release start on it.

use clap::Args;
use serde_json::json;

use super::{DatabaseOption, End, Failure, how_many, say};
use crate::store::Store;
use crate::store::schema::{Migrated, Schema};

const EXAMPLES: &str = "\
Examples:
  leadfold migrate --check     what it would do; 1 when there is anything to do
  leadfold migrate
  leadfold migrate --database postgres://leadfold@db.example.com/leadfold

On PostgreSQL run it with the new release before the first process of that
release starts: `serve` makes the schema of a new database by itself, but brings
no other up to date. Processes of the release before go on meanwhile, and can
still be started afterwards, so an upgrade can be taken back. A new index on a
large table makes its writers wait while it is built: choose a quiet hour.

On SQLite `leadfold serve` does all this by itself when it starts.";

/// Arguments of `migrate`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    #[command(flatten)]
    database: DatabaseOption,
    /// Only say what would be done
    #[arg(long)]
    check: bool,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(options: Options) -> Result<End, Failure> {
    let url = &options.database.database;
    if options.check {
        let schema = Store::schema(url).await.map_err(|failure| failure.to_string())?;
        return check(&schema, options.json);
    }
    let mut done: Vec<Migrated> = Vec::new();
    let mut said = Ok(());
    let mut tell = |migrated: Migrated| {
        if !options.json && said.is_ok() {
            said = say(&line(&migrated));
        }
        done.push(migrated);
    };
    let before = Store::migrate(url, &mut tell).await.map_err(|failure| failure.to_string())?;
    said?;
    let after = done.last().map_or(before.version, |migrated| migrated.version.max(before.version));
    if options.json {
        let done: Vec<_> = done
            .iter()
            .map(|one| {
                let seconds = one.took.as_secs_f64();
                json!({ "version": one.version, "name": one.name, "seconds": seconds })
            })
            .collect();
        say(&json!({ "from": before.version, "to": after, "migrations": done }).to_string())?;
    } else if done.is_empty() {
        say(&up_to_date(&before))?;
    } else {
        say(&format!("The database had schema {}, and has {after} now.", before.version))?;
    }
    Ok(End::Done)
}

fn check(schema: &Schema, as_json: bool) -> Result<End, Failure> {
    if as_json {
        let missing: Vec<_> = schema
            .missing
            .iter()
            .map(|(version, name)| json!({ "version": version, "name": name }))
            .collect();
        say(&json!({ "from": schema.version, "to": schema.ours.max(schema.version), "missing": missing })
            .to_string())?;
    } else if schema.missing.is_empty() {
        say(&up_to_date(schema))?;
    } else {
        for (version, name) in &schema.missing {
            say(&format!("  {version:>4}  {name}"))?;
        }
        let missing = how_many(schema.missing.len(), "migration is missing", "migrations are missing");
        let has = if schema.is_new() {
            "The database has nothing yet".to_owned()
        } else {
            format!("The database has schema {}", schema.version)
        };
        say(&format!("{has}, and this leadfold needs {}: {missing}.", schema.ours))?;
    }
    Ok(if schema.missing.is_empty() { End::Done } else { End::FoundProblems })
}

fn up_to_date(schema: &Schema) -> String {
    if schema.is_newer() {
        return format!(
            "The database has schema {} of a newer leadfold; this one knows {}. There is nothing to do.",
            schema.version, schema.ours
        );
    }
    format!("The database has schema {}, which is the newest. There is nothing to do.", schema.version)
}

fn line(migrated: &Migrated) -> String {
    let Migrated { version, name, took } = migrated;
    format!("  {version:>4}  {name:<20}  {:.3} s", took.as_secs_f64())
}
