//! `leadfold backup`: a copy of the SQLite database while leadfold runs.

use std::cell::RefCell;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::terminal::Progress;
use super::{DatabaseOption, End, Failure, how_many, say};
use crate::clock::{Clock as _, SystemClock};
use crate::store::backup::back_up;

const EXAMPLES: &str = "\
Examples:
  leadfold backup backup.db
  leadfold backup --json \"/var/backups/leadfold-monday.db\"
  leadfold deploy backup                 a script for cron, also for PostgreSQL

The copy is one file, whole and checked, and only its owner can read it. Copying
leadfold.db itself would lose what is still in leadfold.db-wal.

To restore:
  1. Stop leadfold. Move leadfold.db, leadfold.db-wal and leadfold.db-shm away,
     all three: an old -wal beside another database destroys it.
  2. Copy the backup to leadfold.db; it must belong to the user of leadfold.
  3. Start it. It sees that this is a copy, and looks up in the CRM what was
     under way when it was made.
  Any other copy (of the disk, of PostgreSQL): `leadfold restored` before 3.

What came after the backup is not in it. Contacts and deals that leadfold made
since then are found in the CRM and used, so none is made twice; a lead that had
not begun may leave a task there once more. To see that first, set `mode:
observe` on the destination before 3, then see `leadfold live --help`.";

/// Arguments of `backup`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// The copy; nothing that exists is overwritten
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    database: DatabaseOption,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

const MEGABYTE: u64 = 1_000_000;

pub(super) async fn run(options: Options) -> Result<End, Failure> {
    let file = &options.file;
    // The size is known with the first news.
    let progress: RefCell<Option<(Progress, u64)>> = RefCell::new(None);
    let copied = back_up(&options.database.database, file, SystemClock.now(), |done, total| {
        let mut progress = progress.borrow_mut();
        let (bar, before) = progress.get_or_insert_with(|| (Progress::new("MB copied", total / MEGABYTE), 0));
        bar.advance((done / MEGABYTE).saturating_sub(*before));
        *before = (*before).max(done / MEGABYTE);
    })
    .await;
    if let Some((bar, _)) = progress.into_inner() {
        bar.end();
    }
    let copied = copied.map_err(|failure| failure.to_string())?;
    if options.json {
        say(&json!({ "file": file, "bytes": copied.bytes, "deliveries": copied.deliveries, "newest": copied.newest })
            .to_string())?;
    } else {
        let newest = copied.newest.map_or_else(String::new, |newest| format!(", the newest of {newest:.0}"));
        say(&format!(
            "Written and checked: {}, {} MB, {}{newest}.",
            file.display(),
            copied.bytes.div_ceil(MEGABYTE),
            how_many(copied.deliveries, "delivery", "deliveries")
        ))?;
    }
    Ok(End::Done)
}
