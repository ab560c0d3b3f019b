//! A copy of a SQLite database while leadfold runs on it.
//!
//! Copying the file would miss what is still in the log beside it, and could catch both in the middle of a change.
//! `VACUUM INTO` reads one snapshot, as any reader does, so receiving and pushing go on; meanwhile the log beside the
//! database grows, because what the snapshot may still need is not copied back from it.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use sqlx::ConnectOptions as _;

use super::open::{is_postgres, sqlite_options};
use super::restored::COPIED;
use super::sql::{Connection, args};
use super::{Store, StoreError};

/// What is in a copy.
#[derive(Clone, Debug)]
pub struct Copied {
    /// Its size.
    pub bytes: u64,
    /// How many deliveries it holds.
    pub deliveries: i64,
    /// When the newest of them came: what came later is not in it.
    pub newest: Option<Timestamp>,
}

/// How often the caller learns how far it is.
const TELL: Duration = Duration::from_millis(200);

/// Copies the SQLite database at `url` to a file that is not there yet. The file has its name only once it is whole, on
/// disk, and found to be sound. `told` learns the bytes that are written and about how many there will be.
///
/// Whoever starts on the copy knows by a mark in it that it is one, made `now`: see [`restored`](super::restored).
pub async fn back_up(
    url: &str,
    to: &Path,
    now: Timestamp,
    told: impl Fn(u64, u64),
) -> Result<Copied, StoreError> {
    if is_postgres(url)? {
        return Err(StoreError::new(
            "this copies a SQLite database, and yours is PostgreSQL: use pg_dump, or better the continuous archive of your \
             provider. `leadfold deploy backup` prints a script",
        ));
    }
    let cannot = |what: &str, file: &Path, error: io::Error| {
        StoreError::new(format!("{} cannot be {what}: {error}. Name another file", file.display()))
    };
    if to.exists() {
        return Err(StoreError::new(format!(
            "{} exists, and no backup is overwritten: name another file",
            to.display()
        )));
    }
    let part = beside(to, ".part");
    // It holds what leads have told about themselves.
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&part)
        .map_err(|error| cannot("written", &part, error))?;
    let copied = copy(url, &part, now, told).await;
    if copied.is_ok() {
        std::fs::rename(&part, to).map_err(|error| cannot("written", to, error))?;
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| cannot("made durable", to, error))?;
    } else {
        // What went wrong is told; a rest that cannot be removed either stands in the way of the next one, which says so.
        std::fs::remove_file(&part).ok();
    }
    copied
}

async fn copy(url: &str, part: &Path, now: Timestamp, told: impl Fn(u64, u64)) -> Result<Copied, StoreError> {
    let store = Store::open_to_read(url).await?;
    let pages = store.read("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size", args![]);
    let total = pages.await?.first().map_or(Ok(0), |row| row.int(0))?;
    let name = part.to_str().ok_or_else(|| StoreError::new("the name of the file must be UTF-8"))?;
    let mut writing = std::pin::pin!(store.read("VACUUM INTO $1", args![name]));
    loop {
        tokio::select! {
            written = &mut writing => break written.map(drop),
            () = tokio::time::sleep(TELL) => {
                let done = std::fs::metadata(part).map_or(0, |file| file.len());
                told(done, u64::try_from(total).unwrap_or_default().max(done));
            }
        }
    }?;
    store.close().await;
    mark(part, now).await?;
    File::open(part)
        .and_then(|file| file.sync_all())
        .map_err(|error| StoreError::new(format!("{} cannot be made durable: {error}", part.display())))?;
    look_at(part).await
}

/// Marks the copy as one.
async fn mark(part: &Path, now: Timestamp) -> Result<(), StoreError> {
    let options = sqlite_options(&format!("sqlite://{}", part.display()))?;
    let mut connection = Connection::from(options.connect().await?);
    let sql =
        "INSERT INTO counters (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = $2";
    connection.execute(sql, args![COPIED, now.as_millisecond()]).await?;
    connection.close().await
}

/// Whether the copy is sound, and what is in it.
async fn look_at(part: &Path) -> Result<Copied, StoreError> {
    let bytes = std::fs::metadata(part).map(|file| file.len());
    let bytes = bytes.map_err(|error| StoreError::new(format!("{}: {error}", part.display())))?;
    let copy = Store::open_to_read(&format!("sqlite://{}", part.display())).await?;
    let said = copy.read("PRAGMA quick_check(1)", args![]).await?;
    let said = said.first().map_or(Ok(String::new()), |row| row.text(0))?;
    if said != "ok" {
        return Err(StoreError::damaged(format!("the copy is not sound: {said}")));
    }
    let rows = copy.read("SELECT COUNT(*), MAX(received_at) FROM deliveries", args![]).await?;
    let (deliveries, newest) = match rows.first() {
        Some(row) => (row.int(0)?, row.optional_timestamp(1)?),
        None => (0, None),
    };
    copy.close().await;
    Ok(Copied { bytes, deliveries, newest })
}

fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(ending);
    name.into()
}
