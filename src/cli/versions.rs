//! `leadfold versions`: which versions of the workspace there were, and what is different between two of them.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{DatabaseOption, End, Failure, WorkspaceOption, say};
use crate::map::Files;
use crate::operation::NO_VERSION;
use crate::store::Store;
use crate::store::versions::{COUNTED_LEADS, VersionRow};
use crate::workspace::difference::{self, differences};
use crate::workspace::{read_files, short};

const EXAMPLES: &str = "\
Examples:
  leadfold versions                      all that were ever active, newest first
  leadfold versions diff 1f3a 9c04       what the second has changed
  leadfold versions diff active files    what `leadfold apply` would change

A star marks the active one. A version is named by its files, so the same files
are the same version again.";

const DIFF_EXAMPLES: &str = "\
Examples:
  leadfold versions diff active files    what `leadfold apply` would change
  leadfold versions diff 1f3a active
  leadfold versions diff 1f3a 9c04 --json | jq -r '.changed[].file'

Exit codes: 0 they are the same, 1 they differ, 2 they could not be compared.";

/// Arguments of `versions`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: ListOptions,
}

#[derive(Debug, Args)]
struct ListOptions {
    #[command(flatten)]
    database: DatabaseOption,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what is different between two versions, as a unified diff
    Diff(DiffOptions),
}

#[derive(Debug, Args)]
#[command(after_help = DIFF_EXAMPLES)]
struct DiffOptions {
    /// The beginning of a version's hash, `active`, or `files` (what the folder of --workspace says now)
    #[arg(value_name = "A")]
    old: String,
    /// The other one
    #[arg(value_name = "B")]
    new: String,
    #[command(flatten)]
    workspace: WorkspaceOption,
    #[command(flatten)]
    database: DatabaseOption,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(options: Options) -> Result<End, Failure> {
    let database = match &options.command {
        Some(Command::Diff(options)) => &options.database.database,
        None => &options.list.database.database,
    };
    let store = Store::open_to_read(database).await.map_err(|failure| failure.to_string())?;
    let end = match &options.command {
        Some(Command::Diff(options)) => diff(&store, options).await,
        None => list(&store, options.list.json).await,
    };
    store.close().await;
    end
}

async fn list(store: &Store, as_json: bool) -> Result<End, Failure> {
    let versions = store.versions(COUNTED_LEADS).await.map_err(|failure| failure.to_string())?;
    if as_json {
        say(&json!({ "versions": versions }).to_string())?;
    } else if versions.is_empty() {
        say(
            "No version is active in this database yet: `leadfold serve` or `leadfold apply` makes the first.",
        )?;
    } else {
        say("  version       first active          leads  newest lead")?;
        for version in &versions {
            say(&line(version))?;
        }
        if versions.iter().map(|version| version.leads).sum::<i64>() >= COUNTED_LEADS {
            say(&format!("Leads are counted among the newest {COUNTED_LEADS} only."))?;
        }
    }
    Ok(End::Done)
}

fn line(version: &VersionRow) -> String {
    let mark = if version.active_since.is_some() { '*' } else { ' ' };
    let last = version.last_lead.map_or_else(|| "-".to_owned(), |at| format!("{at:.0}"));
    let since = version.active_since.map_or_else(String::new, |at| format!("  active since {at:.0}"));
    let (hash, first, leads) = (short(&version.hash), version.first_active, version.leads);
    format!("{mark} {hash}  {first:.0}  {leads:>5}  {last}{since}")
}

async fn diff(store: &Store, options: &DiffOptions) -> Result<End, Failure> {
    let old = texts(store, options, &options.old).await?;
    let new = texts(store, options, &options.new).await?;
    let changed = differences(&old, &new);
    if options.json {
        say(&json!({ "old": old.hash(), "new": new.hash(), "changed": difference::json(&changed) })
            .to_string())?;
    } else if changed.is_empty() {
        say("They are the same.")?;
    } else {
        say(&difference::told(&changed))?;
    }
    Ok(if changed.is_empty() { End::Done } else { End::FoundProblems })
}

async fn texts(store: &Store, options: &DiffOptions, name: &str) -> Result<Files, Failure> {
    let failed = |failure: crate::store::StoreError| failure.to_string();
    match name {
        "files" => read_files(&options.workspace.workspace),
        "active" => {
            let active = store.active_version().await.map_err(failed)?;
            active.map(|(_, files)| files).ok_or_else(|| NO_VERSION.to_owned())
        }
        begin => {
            let versions = store.versions(COUNTED_LEADS).await.map_err(failed)?;
            let hash = only(begin, &versions)?;
            let files = store.version(hash).await.map_err(failed)?;
            files.ok_or_else(|| format!("version {begin} is not in the database any more"))
        }
    }
}

/// The one version that begins like this.
fn only<'v>(begin: &str, versions: &'v [VersionRow]) -> Result<&'v str, Failure> {
    let begins: Vec<&str> =
        versions.iter().map(|version| version.hash.as_str()).filter(|hash| hash.starts_with(begin)).collect();
    match begins.as_slice() {
        [one] => Ok(one),
        [] => Err(format!(
            "no version begins with '{begin}': `leadfold versions` lists them, and `active` and `files` are names too"
        )),
        many => Err(format!(
            "{} versions begin with '{begin}': {}. Write more of it",
            many.len(),
            many.iter().map(|hash| short(hash)).collect::<Vec<_>>().join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn a_version_is_named_by_its_beginning() {
        let versions = ["1f3a", "1f77", "9c04"].map(|hash| VersionRow {
            hash: hash.to_owned(),
            first_active: Timestamp::UNIX_EPOCH,
            active_since: None,
            leads: 0,
            last_lead: None,
        });
        assert_eq!(only("9", &versions), Ok("9c04"));
        assert_eq!(only("1f3a", &versions), Ok("1f3a"));
        assert!(only("1f", &versions).unwrap_err().contains("2 versions begin with '1f': 1f3a, 1f77"));
        assert!(only("77", &versions).unwrap_err().contains("`leadfold versions` lists them"));
    }
}
