//! The registry: one database that is inbox, queue, deduplication and audit trail at once.
//!
//! SQLite (one process, nothing to install) or PostgreSQL (any number of processes). Whoever writes hands a [`Work`] to
//! [`Store::write`]; on SQLite all of them go through the one writer connection ([`writer`]), acknowledgements first.
//! Reads use a pool of their own and never wait for the writer.
//!
//! | module | its rows |
//! |---|---|
//! | [`inbox`], `arrivals`, `writer` | deliveries as they arrive |
//! | [`prepare`], `prepare_work`, `event_keys` | events, leads and their syncs; what is to be prepared next |
//! | [`postbacks`], `postback_work`, [`postback_hand`], `ordinals` | postbacks in their order, which of a person's each is, and what people correct |
//! | `people`, `acquaint` | whose a lead is: people, their identifiers, what is known of them |
//! | `chats`, [`facts`] | where people can be reached, what is remembered of them, the clicks that brought them |
//! | [`lease`] | processes, and who of them pushes to which destination |
//! | `merges`, `moved`, `doubles` | two people who become one, what that moves, and what it shows in a CRM |
//! | [`profile`] | one person, for people: what is theirs, who they became, who they may be |
//! | [`links`], `link_work`, `web_users`, [`start_tokens`] | links to a site and their PINs, which user somebody is, tokens in links into bots |
//! | [`corrections`] | what people decide about people by hand: merges, and merges undone |
//! | [`syncs`], `claims`, `context`, `sync_work` | the queue of a destination under its lease, and what is known of a person there |
//! | [`ledger`], `record` | plans, steps and outcomes, many in one transaction |
//! | [`audits`] | steps that were sent again, and are looked for once more |
//! | `pools`, `budgets` | what owner pools remember; what was used of a rate budget |
//! | [`held`], [`pauses`] | leads that wait for an answer; destinations that somebody paused |
//! | [`hourly`], [`standing`] | counters by the hour; where destinations stand |
//! | [`replay`], `selection`, `replay_work`, `replan` | leads that go once more |
//! | [`rehearsal`], [`partition`] | deliveries and what was known when they came, and who left all leads: to run them again |
//! | [`versions`] | texts of the workspace, and which of them are active |
//! | [`erase`], `erase_requests`, `erase_people` | one human's data goes, and what is left of them; the table of every column |
//! | [`listing`], `names` | the registry as people page through it: filters, and finding leads by what somebody typed |
//! | [`deliveries`] | deliveries one by one, also those that became no lead |
//! | [`registry`], `faces`, [`backlog`], [`fates`], [`attention`], [`alerts`] | for people: leads, what waits, what became of all, what needs somebody, who was told |
//! | [`access`], [`actions`] | users, access tokens and sessions; what people changed |
//! | [`backup`], [`restored`] | a copy of a SQLite database in use, and what is in doubt once it is put back |
//! | [`retention`], `retention_work` | what is old goes |
//! | `open`, `checks`, `lock`, `statistics` | opening, and what is refused; one process on a SQLite file; what its planner is told |
//! | `sql`, `statement`, `row`, `error` | one text for both databases, what they answer, and what it means when they do not |
//! | [`schema`], [`moving`] | bringing a database up to date; moving a registry from SQLite to PostgreSQL |
//! | `session`, `health`, `apart` | what a database that hangs, breaks or is full means, and until when; a connection apart |
//!
//! What it deliberately lacks: a repository trait (a mock would hide the SQL), an object mapper, foreign keys.

pub mod access;
mod acquaint;
pub mod actions;
pub mod afterwards;
pub mod alerts;
mod apart;
mod arrivals;
pub mod attention;
pub mod audits;
pub mod backlog;
pub mod backup;
mod budgets;
pub mod calls;
pub(crate) mod chats;
mod chats_of;
mod checks;
mod claims;
mod context;
pub mod corrections;
pub mod deliveries;
mod doubles;
pub mod erase;
pub mod erase_people;
mod erase_requests;
mod error;
mod event_keys;
mod faces;
pub mod facts;
pub mod fates;
mod health;
pub mod held;
pub mod hourly;
pub mod inbox;
pub mod lease;
pub mod ledger;
mod link_work;
pub mod links;
pub mod listing;
mod lock;
mod merges;
mod moved;
pub mod moving;
mod names;
mod open;
mod ordinals;
pub mod partition;
pub mod pauses;
pub mod pins;
mod pools;
pub mod postback_hand;
mod postback_work;
pub mod postbacks;
pub mod prepare;
mod prepare_work;
pub mod profile;
mod record;
pub mod registry;
pub mod rehearsal;
mod replan;
pub mod replay;
mod replay_work;
pub mod restored;
pub mod retention;
mod retention_work;
mod row;
pub mod schema;
mod selection;
mod session;
pub mod standing;
pub mod start_tokens;
mod statement;
mod statistics;
pub mod syncs;
pub mod versions;
mod web_users;

pub(crate) mod people;
pub(crate) mod sql;
mod sync_work;
pub(crate) mod writer;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, PgPool, SqlitePool};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use self::apart::Apart;
pub use self::error::StoreError;
use self::health::Health;
use self::inbox::{Inbox, Pending};
pub use self::lock::reachable;
use self::lock::{Asked, Lock};
pub(crate) use self::open::is_postgres;
use self::open::{cannot_open, exists, pool_options, postgres_pool, sqlite_options};
use self::row::Row;
use self::schema::Upgrade;
use self::session::{AT_ONCE, PATIENT, Session};
use self::sql::{Arg, Connection, bind};
use crate::clock::Clock;
use crate::failpoint::failpoint;

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
    arrivals: mpsc::Sender<Pending>,
    arrived: Arc<Notify>,
    health: Arc<Health>,
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
        /// For arrivals; `None` in a process that only looks.
        arriving: Option<PgPool>,
        /// For beats.
        apart: Apart,
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

/// Connections of one process to PostgreSQL that whoever needs one takes.
const CONNECTIONS: u32 = 15;
/// Those beside them: one for arrivals, and one for its beat.
const APART: u32 = 2;

/// Arrivals that may wait for the writer before receivers wait too. As many as there are requests at one time: those whose
/// sender has gone stay here, and each may be as large as a request, so this bounds what a slow database can pile up.
const INBOX_CAPACITY: usize = 512;

impl Store {
    /// Opens the database, makes its schema (and on SQLite brings it up to date: see [`schema`]), and refuses settings
    /// under which an acknowledged lead could be lost. `url` is `sqlite://path/to/file.db` or `postgres://…`.
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

    /// Whether there is no database yet, where opening it would make one.
    pub fn is_missing(url: &str) -> Result<bool, StoreError> {
        Ok(!is_postgres(url)? && !sqlite_options(url)?.get_filename().exists())
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
        let connection = writing.connect().await.map_err(|error| cannot_open(&place, &error))?;
        let mut connection = Connection::from(connection);
        schema::bring_up(&mut connection, &place, Upgrade::Any, &mut |_| {}).await?;
        statistics::tell(&mut connection).await?;
        checks::sqlite(&mut connection).await?;
        moving::refuse_moved(&mut connection, &place).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(4)
            .min_connections(1)
            // A file does not hang up between two reads; asking each time would double what a small read costs.
            .test_before_acquire(false)
            // A page of leads and their syncs comes from a dozen places of a grown file.
            .connect_with(options.read_only(true).create_if_missing(false).pragma("cache_size", "-8192"))
            .await?;
        let (arrivals, queue) = mpsc::channel(INBOX_CAPACITY);
        let arrived = Arc::new(Notify::new());
        let writer = writer::Writer::start(connection, queue, Arc::clone(&arrived), clock);
        let backend =
            Backend::Sqlite { readers, writer: Some(writer), lock: Arc::new(Mutex::new(Some(lock))) };
        Ok(Self { backend, arrivals, arrived, health: Health::new() })
    }

    async fn open_postgres(url: &str, patience: Duration, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let health = Health::new();
        let (pool, place) = postgres_pool(url, CONNECTIONS, patience, &health).await?;
        checks::postgres(&pool, &place).await?;
        let mut connection = Connection::from(Session::take(&pool, &health, PATIENT).await?);
        schema::bring_up(&mut connection, &place, Upgrade::OnlyNew, &mut |_| {}).await?;
        drop(connection);
        let (arrivals, queue) = mpsc::channel(INBOX_CAPACITY);
        let arrived = Arc::new(Notify::new());
        // Kept for as long as it works: a server that has few connections to give may not give it again.
        let arriving = pool_options(1, WAITING, &health).idle_timeout(None).max_lifetime(None);
        let arriving = arriving.connect_lazy_with((*pool.connect_options()).clone());
        arrivals::keep_in_postgres(&arriving, &pool, &health, queue, &arrived, &clock);
        let apart = Apart::new(pool.clone(), Arc::clone(&health));
        let backend = Backend::Postgres { pool, arriving: Some(arriving), apart };
        Ok(Self { backend, arrivals, arrived, health })
    }

    /// Opens a database for looking only, also while a server runs on it.
    pub async fn open_to_read(url: &str) -> Result<Self, StoreError> {
        let (store, place) = Self::open_as_it_is(url).await?;
        match store.look_at_schema(&place).await?.unreadable(&place) {
            Some(refusal) => Err(refusal),
            None => Ok(store),
        }
    }

    /// The same, whatever it holds; and where it is.
    async fn open_as_it_is(url: &str) -> Result<(Self, String), StoreError> {
        let (arrivals, _nobody_reads) = mpsc::channel(1);
        let (arrived, health) = (Arc::new(Notify::new()), Health::new());
        let (backend, place) = if is_postgres(url)? {
            let (pool, place) = postgres_pool(url, 2, WAITING, &health).await?;
            let apart = Apart::new(pool.clone(), Arc::clone(&health));
            (Backend::Postgres { pool, arriving: None, apart }, place)
        } else {
            let options = sqlite_options(url)?.read_only(true);
            exists(&options)?;
            let place = options.get_filename().display().to_string();
            let readers = SqlitePoolOptions::new().max_connections(2).connect_with(options).await;
            let readers = readers.map_err(|error| cannot_open(&place, &error))?;
            (Backend::Sqlite { readers, writer: None, lock: Arc::default() }, place)
        };
        Ok((Self { backend, arrivals, arrived, health }, place))
    }

    /// Whether other processes may work on the same database. Otherwise nobody else's leases live while we have it.
    pub fn is_shared(&self) -> bool {
        match &self.backend {
            Backend::Sqlite { .. } => false,
            Backend::Postgres { .. } => true,
        }
    }

    /// Told whenever deliveries have become durable.
    pub fn arrived(&self) -> Arc<Notify> {
        Arc::clone(&self.arrived)
    }

    /// Where the receiving edge puts deliveries.
    pub fn inbox(&self) -> Inbox {
        Inbox::new(self.clone(), self.arrivals.clone())
    }

    /// Runs a unit of writing and returns once it is durable.
    pub(crate) async fn write<W: Work>(&self, work: W) -> Result<W::Output, StoreError> {
        failpoint!("store.write", StoreError::new("a test wants this write to fail"));
        let written = self.write_unobserved(work).await.map_err(|failure| self.suspect(failure));
        failpoint!("store.written", StoreError::new("a test wants the answer of this write to be lost"));
        written
    }

    async fn write_unobserved<W: Work>(&self, work: W) -> Result<W::Output, StoreError> {
        match &self.backend {
            Backend::Sqlite { writer: Some(writer), .. } => writer.write(work).await,
            Backend::Sqlite { writer: None, .. } => {
                Err(StoreError::for_good("the database is open for reading only in this process"))
            }
            Backend::Postgres { pool, .. } => {
                // In a task of its own: a caller that is dropped half-way would give back a connection with an open
                // transaction.
                let (pool, health) = (pool.clone(), Arc::clone(&self.health));
                tokio::spawn(async move { writer::write_in_postgres(&pool, &health, &work).await })
                    .await
                    .map_err(|failure| StoreError::new(format!("a write ended abnormally: {failure}")))?
            }
        }
    }

    /// The same on the connection apart, where there is one; undone when the caller stops waiting before its commit.
    pub(crate) async fn write_apart<W: Work>(&self, work: W) -> Result<W::Output, StoreError> {
        match &self.backend {
            Backend::Sqlite { .. } => self.write(work).await,
            Backend::Postgres { apart, .. } => apart.write(&work).await,
        }
    }

    /// Reads committed rows. The text is ours, never data.
    pub(crate) async fn read(&self, sql: &str, args: Vec<Arg>) -> Result<Vec<Row>, StoreError> {
        let rows = match &self.backend {
            Backend::Sqlite { readers, .. } => {
                let rows = bind!(sql, args).fetch_all(readers).await;
                rows.map(|rows| rows.into_iter().map(Row::Sqlite).collect()).map_err(StoreError::from)
            }
            Backend::Postgres { pool, .. } => {
                let began = Instant::now();
                match Session::read(pool, &self.health, sql, args.clone()).await {
                    // The connection was broken before we took it. Reading does no harm, so it is done again.
                    Err(failure) if failure.is_away() && began.elapsed() < AT_ONCE => {
                        Session::read(pool, &self.health, sql, args).await
                    }
                    rows => rows,
                }
            }
        };
        rows.map_err(|failure| self.suspect(failure))
    }

    /// Whether nobody is served any more.
    fn is_closed(&self) -> bool {
        match &self.backend {
            Backend::Sqlite { readers, .. } => readers.is_closed(),
            Backend::Postgres { pool, .. } => pool.is_closed(),
        }
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
            Backend::Postgres { pool, arriving, apart } => {
                if let Some(arriving) = arriving {
                    arriving.close().await;
                }
                apart.close().await;
                pool.close().await;
            }
        }
    }
}

fn locked(lock: &Mutex<Option<Lock>>) -> MutexGuard<'_, Option<Lock>> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) mod tests;
