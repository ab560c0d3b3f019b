//! The registry: one database that is inbox, queue, deduplication and audit trail at once.
//!
//! SQLite (one process, nothing to install) or PostgreSQL (any number of processes). Whoever writes hands a [`Work`] to
//! [`Store::write`]; on SQLite all of them go through the one writer connection ([`writer`]), acknowledgements first.
//! Reads use a pool of their own and never wait for the writer.
//!
//! | module | its rows |
//! |---|---|
//! | [`inbox`], `writer` | deliveries as they arrive |
//! | [`prepare`], `prepare_work`, `people` | events, leads, people and their identifiers; what is to be prepared next |
//! | [`syncs`], `claims`, `context`, `sync_work` | the queue of a destination under its lease, and what is known of a person there |
//! | [`ledger`], `record` | plans, steps and outcomes, many in one transaction |
//! | `pools` | what owner pools remember |
//! | [`held`] | leads that wait for an answer |
//! | [`replay`], `selection`, `replay_work` | leads that go once more |
//! | [`rehearsal`] | deliveries and what was known when they came, to run them again |
//! | [`versions`] | texts of the workspace, and which of them are active |
//! | [`registry`], [`backlog`], `alerts` | for people: leads with their timeline, what waits, who was told |
//! | [`retention`], `retention_work` | what is old goes |
//! | `open`, `sql`, `lock` | opening; one text for both databases; one process on a SQLite file |
//!
//! What it deliberately lacks: a repository trait (a mock would hide the SQL), an object mapper, foreign keys.

mod alerts;
pub mod backlog;
mod claims;
mod context;
pub mod held;
pub mod inbox;
pub mod ledger;
mod lock;
mod open;
mod pools;
pub mod prepare;
mod prepare_work;
mod record;
pub mod registry;
pub mod rehearsal;
pub mod replay;
mod replay_work;
pub mod retention;
mod retention_work;
mod selection;
pub mod syncs;
pub mod versions;

pub(crate) mod people;
pub(crate) mod sql;
mod sync_work;
pub(crate) mod writer;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, PgPool, SqlitePool};
use tokio::sync::Notify;

use self::inbox::Inbox;
use self::lock::{Asked, Lock};
use self::open::{cannot_open, exists, is_postgres, postgres_pool, sqlite_options};
use self::sql::{Arg, Connection, Row, bind};
use crate::clock::Clock;
use crate::telemetry::masked;

/// Why something could not be stored or read, in words for the log and for whoever runs the server.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    message: String,
    kind: Failure,
}

/// What a failure means for whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// It may pass: a full disk, a broken connection.
    MayPass,
    /// The same work may succeed when it is simply run again (a serialisation failure or a deadlock).
    RunAgain,
    /// Another process has the lease, or the store is closed: this process records nothing more.
    Final,
}

impl StoreError {
    /// An error that may pass by itself.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), kind: Failure::MayPass }
    }

    /// An error after which this process must not go on with what it was recording.
    pub(crate) fn is_over(message: impl Into<String>) -> Self {
        Self { message: message.into(), kind: Failure::Final }
    }

    /// Whether trying the same again can only fail again.
    pub fn is_final(&self) -> bool {
        self.kind == Failure::Final
    }

    /// The database holds something that this version did not write.
    pub(crate) fn damaged(message: impl Into<String>) -> Self {
        Self::new(format!("the database holds an unexpected value: {}", message.into()))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        // 40001 serialisation failure, 40P01 deadlock (PostgreSQL). The message alone: its detail quotes row values.
        let code = error.as_database_error().and_then(|error| error.code().map(Cow::into_owned));
        let kind = match code.as_deref() {
            Some("40001" | "40P01") => Failure::RunAgain,
            _ => Failure::MayPass,
        };
        let message = match error.as_database_error() {
            Some(database) => format!("the database says: {}", masked(database.message())),
            None => format!("the database did not answer: {error}"),
        };
        Self { message, kind }
    }
}

/// One unit of writing: runs inside one transaction, and again from the start when the database asks for that.
pub(crate) trait Work: Send + Sync + 'static {
    /// What the caller gets once it is durable.
    type Output: Send + 'static;

    /// The statements.
    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<Self::Output, StoreError>>;
}

/// Handle on the database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    backend: Backend,
    inbox: Inbox,
    arrived: Arc<Notify>,
}

#[derive(Clone)]
enum Backend {
    Sqlite {
        readers: SqlitePool,
        /// `None` in a process that only looks.
        writer: Option<writer::Writer>,
        /// Held until the store is closed: a second process would be a second writer to every destination.
        lock: Arc<Mutex<Option<Lock>>>,
    },
    Postgres {
        pool: PgPool,
    },
}

/// What came of opening a database that another process may have.
pub enum Opened {
    /// This process has it.
    Here(Store),
    /// Another leadfold has it, and this is the root of its API; `None` while it serves nobody (it is starting, or it is
    /// a command).
    Elsewhere(Option<String>),
}

/// How long a server waits for PostgreSQL, which may be starting as well.
const STARTING: Duration = Duration::from_secs(30);
/// How long a command does: somebody sits there.
const WAITING: Duration = Duration::from_secs(5);

/// Arrivals that may wait for the writer before receivers wait too.
const INBOX_CAPACITY: usize = 4096;

impl Store {
    /// Opens the database, brings its schema up to date, and refuses settings under which an acknowledged lead could be
    /// lost. `url` is `sqlite://path/to/file.db` or `postgres://…`.
    pub async fn open(url: &str, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        if is_postgres(url)? {
            return Self::open_postgres(url, STARTING, clock).await;
        }
        let options = sqlite_options(url)?;
        let path = options.get_filename();
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|error| {
                StoreError::new(format!(
                    "cannot create the folder {} of the database: {error}",
                    folder.display()
                ))
            })?;
        }
        match Lock::ask(path)? {
            Asked::Ours(lock) => Self::open_sqlite(options, lock, clock).await,
            Asked::Anothers(_) => Err(StoreError::new(format!(
                "another leadfold already runs on {}: stop it, or use PostgreSQL for several processes",
                path.display()
            ))),
        }
    }

    /// Opens an existing database for writing, or finds the process that has it: SQLite has one writer.
    pub async fn open_or_find(url: &str, clock: Arc<dyn Clock>) -> Result<Opened, StoreError> {
        if is_postgres(url)? {
            return Self::open_postgres(url, WAITING, clock).await.map(Opened::Here);
        }
        let options = sqlite_options(url)?;
        exists(&options)?;
        match Lock::ask(options.get_filename())? {
            Asked::Ours(lock) => Self::open_sqlite(options, lock, clock).await.map(Opened::Here),
            Asked::Anothers(address) => Ok(Opened::Elsewhere(address)),
        }
    }

    /// Tells commands on this machine where this process takes their writes. Processes on PostgreSQL need no such help.
    pub fn announce(&self, address: SocketAddr) -> Result<(), StoreError> {
        match &self.backend {
            Backend::Sqlite { lock, .. } => {
                locked(lock).as_ref().map_or(Ok(()), |lock| lock.announce(address))
            }
            Backend::Postgres { .. } => Ok(()),
        }
    }

    async fn open_sqlite(
        options: SqliteConnectOptions,
        lock: Lock,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        // Kilobytes: the indexes of a grown registry are wider than the 2 MB that SQLite keeps by itself. Its checkpoint
        // every 1000 pages stays: rarer ones are longer, and acknowledgements wait for them.
        let place = options.get_filename().display().to_string();
        let options = options
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let writing = options.clone().pragma("cache_size", "-32768");
        let mut connection = writing.connect().await.map_err(|error| cannot_open(&place, &error))?;
        migrator().run(&mut connection).await.map_err(|error| migration_failed(&error))?;
        let (synchronous, journal): (i64, String) = (
            sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut connection).await?,
            sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut connection).await?,
        );
        if synchronous < 2 || journal != "wal" {
            return Err(StoreError::new(format!(
                "SQLite runs with synchronous={synchronous} and journal_mode={journal}; leadfold needs FULL (2) and wal, \
                 because an acknowledged lead must survive a power cut. Put the database on a local disk"
            )));
        }
        let readers = SqlitePoolOptions::new()
            .max_connections(4)
            .min_connections(1)
            // A file does not hang up between two reads; asking each time would double what a small read costs.
            .test_before_acquire(false)
            // A page of leads and their syncs comes from a dozen places of a grown file.
            .connect_with(options.read_only(true).create_if_missing(false).pragma("cache_size", "-8192"))
            .await?;
        let (inbox, arrivals) = Inbox::channel(INBOX_CAPACITY);
        let arrived = Arc::new(Notify::new());
        let writer = writer::Writer::start(connection, arrivals, Arc::clone(&arrived), clock);
        let backend =
            Backend::Sqlite { readers, writer: Some(writer), lock: Arc::new(Mutex::new(Some(lock))) };
        Ok(Self { backend, inbox, arrived })
    }

    async fn open_postgres(url: &str, patience: Duration, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let (pool, _) = postgres_pool(url, 16, patience).await?;
        migrator().run(&pool).await.map_err(|error| migration_failed(&error))?;
        for (setting, safe) in [
            ("SHOW fsync", &["on"][..]),
            ("SHOW synchronous_commit", &["on", "remote_apply", "remote_write", "local"]),
        ] {
            let value: String = sqlx::query_scalar(setting).fetch_one(&pool).await?;
            if !safe.contains(&value.as_str()) {
                return Err(StoreError::new(format!(
                    "PostgreSQL answers {setting} with '{value}'; leadfold needs 'on', because an acknowledged lead must \
                     survive a crash of the database. Change it in postgresql.conf"
                )));
            }
        }
        let (inbox, arrivals) = Inbox::channel(INBOX_CAPACITY);
        let arrived = Arc::new(Notify::new());
        writer::keep_arrivals_in_postgres(pool.clone(), arrivals, Arc::clone(&arrived), clock);
        Ok(Self { backend: Backend::Postgres { pool }, inbox, arrived })
    }

    /// Opens a database for looking only, also while a server runs on it.
    pub async fn open_to_read(url: &str) -> Result<Self, StoreError> {
        let (inbox, _nobody_reads) = Inbox::channel(1);
        let arrived = Arc::new(Notify::new());
        let (backend, place) = if is_postgres(url)? {
            let (pool, place) = postgres_pool(url, 2, WAITING).await?;
            (Backend::Postgres { pool }, place)
        } else {
            let options = sqlite_options(url)?.read_only(true);
            exists(&options)?;
            let place = options.get_filename().display().to_string();
            let readers = SqlitePoolOptions::new().max_connections(2).connect_with(options).await;
            let readers = readers.map_err(|error| cannot_open(&place, &error))?;
            (Backend::Sqlite { readers, writer: None, lock: Arc::default() }, place)
        };
        let store = Self { backend, inbox, arrived };
        store.has_our_schema(&place).await?;
        Ok(store)
    }

    /// Told whenever deliveries have become durable.
    pub fn arrived(&self) -> Arc<Notify> {
        Arc::clone(&self.arrived)
    }

    /// Where the receiving edge puts deliveries.
    pub fn inbox(&self) -> Inbox {
        self.inbox.clone()
    }

    /// Runs a unit of writing and returns once it is durable.
    pub(crate) async fn write<W: Work>(&self, work: W) -> Result<W::Output, StoreError> {
        match &self.backend {
            Backend::Sqlite { writer: Some(writer), .. } => writer.write(work).await,
            Backend::Sqlite { writer: None, .. } => {
                Err(StoreError::is_over("the database is open for reading only in this process"))
            }
            Backend::Postgres { pool } => {
                // In a task of its own: a caller that is dropped half-way would give back a connection with an open
                // transaction.
                let pool = pool.clone();
                tokio::spawn(async move { writer::write_in_postgres(&pool, &work).await })
                    .await
                    .map_err(|failure| StoreError::new(format!("a write ended abnormally: {failure}")))?
            }
        }
    }

    /// Reads committed rows. The text is ours, never data.
    pub(crate) async fn read(&self, sql: &str, args: Vec<Arg>) -> Result<Vec<Row>, StoreError> {
        Ok(match &self.backend {
            Backend::Sqlite { readers, .. } => {
                bind!(sql, args).fetch_all(readers).await?.into_iter().map(Row::Sqlite).collect()
            }
            Backend::Postgres { pool } => {
                bind!(sql, args).fetch_all(pool).await?.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// Finishes what was handed over and closes the connections.
    pub async fn close(&self) {
        match &self.backend {
            Backend::Sqlite { readers, writer, lock } => {
                if let Some(writer) = writer {
                    writer.close().await;
                }
                readers.close().await;
                // Somebody may still have a handle, but nothing is written through it any more.
                drop(locked(lock).take());
            }
            Backend::Postgres { pool } => pool.close().await,
        }
    }
}

fn locked(lock: &Mutex<Option<Lock>>) -> MutexGuard<'_, Option<Lock>> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

fn migrator() -> Migrator {
    let migration = |version, description: &'static str, text: &'static str| {
        Migration::new(
            version,
            Cow::Borrowed(description),
            MigrationType::Simple,
            sqlx::SqlStr::from_static(text),
            false,
        )
    };
    Migrator::with_migrations(vec![
        migration(1, "registry", include_str!("../../migrations/0001_registry.sql")),
        migration(2, "replay", include_str!("../../migrations/0002_replay.sql")),
        migration(3, "selections", include_str!("../../migrations/0003_selections.sql")),
        migration(5, "growth", include_str!("../../migrations/0005_growth.sql")),
    ])
}

fn migration_failed(error: &sqlx::migrate::MigrateError) -> StoreError {
    StoreError::new(format!(
        "the database schema cannot be brought up to date: {error}. If a newer leadfold wrote it, run that version"
    ))
}

#[cfg(test)]
mod tests;
