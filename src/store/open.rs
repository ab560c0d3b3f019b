//! Finding a database by its address, and saying which one could not be opened and what to do about it.

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _, PgPool};

use super::{Store, StoreError, migrator};

/// Whether a database is PostgreSQL; otherwise it is SQLite.
pub(super) fn is_postgres(url: &str) -> Result<bool, StoreError> {
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        Ok(true)
    } else if url.starts_with("sqlite:") {
        Ok(false)
    } else {
        Err(StoreError::new(format!(
            "--database '{}' is neither sqlite://FILE nor postgres://…: name one of them",
            url.split("://").next().unwrap_or_default()
        )))
    }
}

/// A SQLite file as every connection to it is opened.
pub(super) fn sqlite_options(url: &str) -> Result<SqliteConnectOptions, StoreError> {
    let options = SqliteConnectOptions::from_str(url).map_err(|error| {
        StoreError::new(format!("--database cannot be read ({error}): write sqlite://FILE"))
    })?;
    Ok(options.busy_timeout(Duration::from_secs(10)).foreign_keys(false).statement_cache_capacity(512))
}

pub(super) fn exists(options: &SqliteConnectOptions) -> Result<(), StoreError> {
    if options.get_filename().exists() {
        return Ok(());
    }
    Err(StoreError::new(format!(
        "there is no database at {}: start `leadfold serve` once, or name it with --database",
        options.get_filename().display()
    )))
}

/// Nothing of ours thinks for long inside a transaction. Whoever does is frozen, or gone without a word, and keeps its
/// locks, also on leases that others have to take.
const LET_GO: &str = "SET idle_in_transaction_session_timeout = '5s'";

/// How connections are pooled.
pub(super) fn pool_options(connections: u32, patience: Duration) -> PgPoolOptions {
    let options = PgPoolOptions::new().max_connections(connections).acquire_timeout(patience);
    options.after_connect(|connection, _| Box::pin(async move { connection.execute(LET_GO).await.map(drop) }))
}

/// Connections to PostgreSQL, and where it is.
pub(super) async fn postgres_pool(
    url: &str,
    connections: u32,
    patience: Duration,
) -> Result<(PgPool, String), StoreError> {
    // The text of the error never holds the address, which may carry a password.
    let options = PgConnectOptions::from_str(url).map_err(|error| {
        StoreError::new(format!(
            "--database cannot be read ({error}): write postgres://user:password@host/name"
        ))
    })?;
    let database = options.get_database().unwrap_or_default();
    let place = format!("{}:{}/{database}", options.get_host(), options.get_port());
    let pool = pool_options(connections, patience);
    match pool.connect_with(options.clone()).await {
        Ok(pool) => Ok((pool, place)),
        // The pool has tried again and again, and does not say what went wrong.
        Err(sqlx::Error::PoolTimedOut) => {
            let once = tokio::time::timeout(patience, options.connect()).await;
            let error = once.ok().and_then(Result::err).unwrap_or(sqlx::Error::PoolTimedOut);
            Err(cannot_open(&place, &error))
        }
        Err(error) => Err(cannot_open(&place, &error)),
    }
}

/// Which database it is, what is wrong with it, and what to do.
pub(super) fn cannot_open(place: &str, error: &sqlx::Error) -> StoreError {
    let why = match error.as_database_error() {
        // The message alone: its detail quotes row values.
        Some(refusal) => refusal.message().to_owned(),
        None if matches!(error, sqlx::Error::PoolTimedOut) => "it does not answer".to_owned(),
        None => error.to_string(),
    };
    StoreError::new(format!(
        "the database at {place} cannot be opened: {why}. Look whether it is up and yours, or name another with --database"
    ))
}

impl Store {
    /// Whoever only reads brings no schema up to date, so it must be the one that this version knows.
    pub(super) async fn has_our_schema(&self, place: &str) -> Result<(), StoreError> {
        let refused = |text: String| Err(StoreError::new(text));
        let ours = migrator().iter().map(|migration| migration.version).max().unwrap_or_default();
        let rows = self.read("SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations", Vec::new()).await;
        let theirs = match rows {
            Ok(rows) => rows.first().map_or(Ok(0), |row| row.int(0))?,
            Err(failure) if failure.to_string().contains("_sqlx_migrations") => 0,
            Err(failure) => {
                return refused(format!(
                    "the database at {place} cannot be read ({failure}): name the one of your leadfold with --database"
                ));
            }
        };
        match theirs {
            0 => refused(format!(
                "the database at {place} holds nothing of leadfold's: start `leadfold serve` on it once, or name another with \
                 --database"
            )),
            older if older < ours => refused(format!(
                "the database at {place} was last used by an older leadfold: start this version's `leadfold serve` on it once"
            )),
            newer if newer > ours => refused(format!(
                "the database at {place} is used by a newer leadfold: run the command of that version"
            )),
            _ => Ok(()),
        }
    }
}
