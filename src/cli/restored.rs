//! `leadfold restored`: the database is one from the past, and the CRM is not.

use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::{DatabaseOption, End, Failure, how_many, say};
use crate::clock::{Clock as _, SystemClock};
use crate::store::{Opened, Store};

const EXAMPLES: &str = "\
Examples:
  leadfold restored --database postgres://leadfold@db.example.com/leadfold
  leadfold restored --json

For a database that was put back from pg_dump, to a point in time, from a
snapshot of the disk, or that lost its last moments when a standby took over.
First stop every leadfold on it, then run this, then start them.

What was under way then has gone on without it. Whatever may have been written
since is looked up in its CRM before it is sent; without this, second deals
could be made. A copy that `leadfold backup` made needs none of this: leadfold
knows it.";

/// Arguments of `restored`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    #[command(flatten)]
    database: DatabaseOption,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(options: Options) -> Result<End, Failure> {
    let store = match Store::open_or_find(&options.database.database, Arc::new(SystemClock)).await {
        Ok(Opened::Here(store)) => store,
        Ok(Opened::Elsewhere(_)) => {
            return Err("leadfold runs on this database, and what it has in hand cannot be doubted any more: stop it, put \
                        the backup in place again, and run this before it starts"
                .to_owned());
        }
        Err(failure) => return Err(failure.to_string()),
    };
    let doubted = store.doubt(SystemClock.now()).await;
    store.close().await;
    let leads = doubted.map_err(|failure| failure.to_string())?.leads;
    say(&if options.json {
        json!({ "leads": leads }).to_string()
    } else if leads == 0 {
        "Nothing was under way: leadfold can be started.".to_owned()
    } else {
        format!(
            "{} under way: looked up in the CRM before anything of it is written. leadfold can be started.",
            how_many(leads, "lead was", "leads were")
        )
    })?;
    Ok(End::Done)
}
