//! The schema: which one a database has, whether this leadfold can work on it, and how it is brought up to date.
//!
//! Migrations of a release take away nothing that the release before needs (an index may be replaced), so that one goes
//! on working on the newer schema: processes are exchanged one after another, and an upgrade can be taken back. A migration that takes something away, or a release
//! that writes what the one before cannot read, stores the oldest schema whose programs still work with the database:
//!
//! ```sql
//! INSERT INTO counters (name, value) VALUES ('oldest_schema', 9)
//!     ON CONFLICT (name) DO UPDATE SET value = excluded.value;
//! ```
//!
//! A database that has nothing is made in one transaction, by one process, while the others wait. One that is used is
//! brought up to date a migration per transaction: its locks are short. Both are held together by an advisory lock that
//! ends with the transaction, because a lock of the session gets lost in a pooler that exchanges connections.

use std::borrow::Cow;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, ConnectOptions as _, SqlSafeStr as _, SqlStr};
use tokio::time::Instant;
use tracing::warn;

use super::health::Health;
use super::lock::{Asked, Lock};
use super::open::{cannot_open, exists, is_postgres, postgres_pool, sqlite_options};
use super::session::{AS_LONG_AS_IT_TAKES, Session};
use super::sql::{Connection, Row, args};
use super::{Store, StoreError, WAITING};

/// Every migration, oldest first. Append-only since the last release; there never was a 7.
pub(super) fn migrator() -> Migrator {
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
        migration(4, "leases", include_str!("../../migrations/0004_leases.sql")),
        migration(5, "growth", include_str!("../../migrations/0005_growth.sql")),
        migration(6, "audits", include_str!("../../migrations/0006_audits.sql")),
        migration(8, "outage", include_str!("../../migrations/0008_outage.sql")),
        migration(9, "identity", include_str!("../../migrations/0009_identity.sql")),
        migration(10, "chats", include_str!("../../migrations/0010_chats.sql")),
        migration(11, "links", include_str!("../../migrations/0011_links.sql")),
        migration(12, "calls", include_str!("../../migrations/0012_calls.sql")),
        migration(13, "postbacks", include_str!("../../migrations/0013_postbacks.sql")),
        migration(14, "pins", include_str!("../../migrations/0014_pins.sql")),
        migration(15, "access", include_str!("../../migrations/0015_access.sql")),
        migration(16, "actions", include_str!("../../migrations/0016_actions.sql")),
        migration(17, "console", include_str!("../../migrations/0017_console.sql")),
        migration(18, "arrivals", include_str!("../../migrations/0018_arrivals.sql")),
        migration(19, "attention", include_str!("../../migrations/0019_attention.sql")),
        migration(20, "counters", include_str!("../../migrations/0020_counters.sql")),
        migration(21, "previews", include_str!("../../migrations/0021_previews.sql")),
    ])
}

/// The schema of a database against the one that this leadfold knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// Newest migration that the database has; 0 when it has none.
    pub version: i64,
    /// Newest one that this leadfold knows.
    pub ours: i64,
    /// What is missing, oldest first: number and name.
    pub missing: Vec<(i64, String)>,
    /// The database has migrations that this leadfold does not know.
    is_newer: bool,
    /// Only programs that know this schema work with it.
    oldest: i64,
    /// A migration that both know by number, but not by text.
    differs: Option<i64>,
}

/// A migration that was run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// Its number: the schema after it.
    pub version: i64,
    /// Its name.
    pub name: String,
    /// How long it took.
    pub took: Duration,
}

/// What may be done about a schema that is behind.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Upgrade {
    /// Any is brought up to date.
    Any,
    /// Only a database that has nothing: other processes work on the rest, and building an index makes them wait, so a
    /// person decides when.
    OnlyNew,
}

/// How long a migration waits for the tables it changes. Whoever comes after it waits as long: acknowledgements too.
const LOCK_PATIENCE: &str = "3s";

impl Schema {
    fn read(applied: &[Row]) -> Result<Self, StoreError> {
        let oldest = applied.first().map_or(Ok(None), |row| row.optional_int(2))?;
        let applied: Result<Vec<_>, StoreError> =
            applied.iter().map(|row| Ok((row.int(0)?, row.bytes(1)?))).collect();
        Ok(Self::of(&applied?, oldest.unwrap_or_default(), &migrator()))
    }

    /// A database that has these migrations, and says that programs which know `oldest` work with it.
    fn of(applied: &[(i64, Vec<u8>)], oldest: i64, ours: &Migrator) -> Self {
        let text_of = |version| ours.iter().find(|migration| migration.version == version);
        let missing = ours.iter().filter(|one| applied.iter().all(|(version, _)| *version != one.version));
        let differs = applied.iter().find(|(version, checksum)| {
            text_of(*version).is_some_and(|migration| *migration.checksum != **checksum)
        });
        Self {
            version: applied.iter().map(|(version, _)| *version).max().unwrap_or_default(),
            ours: ours.iter().map(|migration| migration.version).max().unwrap_or_default(),
            missing: missing.map(|one| (one.version, one.description.to_string())).collect(),
            is_newer: applied.iter().any(|(version, _)| text_of(*version).is_none()),
            oldest,
            differs: differs.map(|(version, _)| *version),
        }
    }

    /// Whether the database has nothing of leadfold's.
    pub fn is_new(&self) -> bool {
        self.version == 0
    }

    /// Whether a newer leadfold has brought it further than this one knows, so that this one can still work with it.
    pub fn is_newer(&self) -> bool {
        self.is_newer
    }

    /// Why this leadfold cannot work on it even when it is brought up to date.
    fn refusal(&self, place: &str) -> Option<StoreError> {
        let Self { version, ours, oldest, .. } = self;
        let why = if let Some(differs) = self.differs {
            format!(
                "the database at {place} was made by another build of leadfold (its migration {differs} has another \
                 text): run that one, or name another database with --database"
            )
        } else if self.is_newer && !self.missing.is_empty() {
            format!(
                "the database at {place} has migrations that this leadfold does not know, and lacks some that it needs: \
                 run the leadfold that made it"
            )
        } else if self.is_newer && oldest > ours {
            format!(
                "the database at {place} has schema {version}, and only a leadfold that knows schema {oldest} can work on \
                 it; this one knows {ours}: run the newer one"
            )
        } else {
            return None;
        };
        Some(StoreError::new(why))
    }

    /// Why nothing can be read from it as it is.
    pub(super) fn unreadable(&self, place: &str) -> Option<StoreError> {
        if self.is_new() {
            return Some(StoreError::new(format!(
                "the database at {place} holds nothing of leadfold's: start `leadfold serve` on it once, or name another \
                 with --database"
            )));
        }
        self.refusal(place).or_else(|| (!self.missing.is_empty()).then(|| self.behind(place)))
    }

    fn behind(&self, place: &str) -> StoreError {
        StoreError::new(format!(
            "the database at {place} has schema {}, and this leadfold needs {}: run its `leadfold migrate` first. \
             Processes of the release before go on meanwhile",
            self.version, self.ours
        ))
    }
}

/// Whether a database has anything of ours: `counters` is made by the first migration.
fn is_there(is_postgres: bool) -> &'static str {
    if is_postgres {
        "SELECT COUNT(*) FROM pg_class WHERE oid = to_regclass('counters')"
    } else {
        "SELECT COUNT(*) FROM sqlite_schema WHERE name = 'counters'"
    }
}

/// The migrations of a database that has any, and the oldest schema whose programs work with it.
const APPLIED: &str = "\
    SELECT version, checksum, (SELECT value FROM counters WHERE name = 'oldest_schema') \
    FROM _sqlx_migrations ORDER BY version";

/// Which schema the database at this place has.
pub(super) async fn look_at(connection: &mut Connection, place: &str) -> Result<Schema, StoreError> {
    look(connection).await.map_err(|failure| cannot_read(place, &failure))
}

async fn look(connection: &mut Connection) -> Result<Schema, StoreError> {
    let mut applied = connection.fetch(is_there(connection.is_postgres()), args![]).await?;
    if applied.first().map_or(Ok(0), |row| row.int(0))? > 0 {
        applied = connection.fetch(APPLIED, args![]).await?;
    } else {
        applied.clear();
    }
    Schema::read(&applied)
}

/// Brings the schema up to date, or refuses with what to do. Returns what it was before.
pub(super) async fn bring_up(
    connection: &mut Connection,
    place: &str,
    upgrade: Upgrade,
    told: &mut (dyn FnMut(Migrated) + Send),
) -> Result<Schema, StoreError> {
    let before = look_at(connection, place).await?;
    let mut present = before.clone();
    loop {
        if let Some(refusal) = present.refusal(place) {
            return Err(refusal);
        }
        if present.missing.is_empty() {
            if present.is_newer {
                warn!(
                    database = place,
                    schema = present.version,
                    known = present.ours,
                    "a newer leadfold has brought the database further; this one still works with it"
                );
            }
            return Ok(before);
        }
        if upgrade == Upgrade::OnlyNew && !present.is_new() {
            return Err(present.behind(place));
        }
        connection.begin().await?;
        match advance(connection, told).await {
            Ok(()) => connection.commit().await?,
            Err(failure) => {
                // The failure is what is to be told; a connection that broke has rolled back by itself.
                connection.roll_back().await.ok();
                return Err(cannot_migrate(place, &failure));
            }
        }
        present = look_at(connection, place).await?;
    }
}

/// Runs what is missing in the open transaction: everything in a new database, else the next migration.
async fn advance(
    connection: &mut Connection,
    told: &mut (dyn FnMut(Migrated) + Send),
) -> Result<(), StoreError> {
    connection.lock_schema().await?;
    // Another process may have been faster.
    let present = look(connection).await?;
    if present.is_new() {
        create(connection, told).await
    } else if let Some((next, _)) = present.missing.first() {
        connection.limit("lock_timeout", LOCK_PATIENCE).await?;
        // An index of a large table takes as long as it takes.
        connection.limit("statement_timeout", "0").await?;
        let ours = migrator();
        match ours.iter().find(|migration| migration.version == *next) {
            Some(migration) => run(connection, migration, told).await,
            None => Ok(()),
        }
    } else {
        Ok(())
    }
}

/// Makes the whole schema in the open transaction of a database that has nothing.
pub(super) async fn create(
    connection: &mut Connection,
    told: &mut (dyn FnMut(Migrated) + Send),
) -> Result<(), StoreError> {
    // As sqlx makes it: its tools can be used on the database.
    let table = "CREATE TABLE IF NOT EXISTS _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL, \
                 installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL, \
                 checksum BYTEA NOT NULL, execution_time BIGINT NOT NULL)";
    connection.execute(table, args![]).await?;
    for migration in migrator().iter() {
        run(connection, migration, told).await?;
    }
    Ok(())
}

async fn run(
    connection: &mut Connection,
    migration: &Migration,
    told: &mut (dyn FnMut(Migrated) + Send),
) -> Result<(), StoreError> {
    let began = Instant::now();
    let (version, name) = (migration.version, migration.description.to_string());
    let sql =
        if connection.is_postgres() { compared_bytewise(&migration.sql) } else { migration.sql.clone() };
    connection
        .execute_script(sql)
        .await
        .map_err(|failure| StoreError::new(format!("migration {version} ({name}) failed: {failure}")))?;
    let took = began.elapsed();
    connection
        .execute(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES ($1, $2, TRUE, $3, $4)",
            args![
                version,
                name.as_str(),
                migration.checksum.to_vec(),
                i64::try_from(took.as_nanos()).unwrap_or(i64::MAX)
            ],
        )
        .await?;
    told(Migrated { version, name, took });
    Ok(())
}

/// The same text for PostgreSQL, where every text of ours is compared byte by byte: ids are ordered as they were born
/// whatever the locale of the database (a Danish one puts `aa` behind `z`), locks are taken in one order everywhere, and no
/// index goes wrong when the operating system brings other collation rules.
fn compared_bytewise(sql: &SqlStr) -> SqlStr {
    AssertSqlSafe(sql.as_str().replace(" TEXT", " TEXT COLLATE \"C\"")).into_sql_str()
}

fn cannot_read(place: &str, failure: &StoreError) -> StoreError {
    StoreError::new(format!(
        "the database at {place} cannot be read: {failure}. Name the one of your leadfold with --database"
    ))
}

fn cannot_migrate(place: &str, failure: &StoreError) -> StoreError {
    let text = failure.to_string();
    let advice = if text.contains("permission denied") {
        "Let the user of the address own the database (ALTER DATABASE … OWNER TO …)"
    } else if text.contains("statement timeout") {
        "Another process changes that schema, or moves a registry there: run it again once that has ended"
    } else if text.contains("lock timeout") {
        "Something has used its tables for long, such as a backup: run it again once that has ended"
    } else {
        "Run it again once that is mended"
    };
    StoreError::new(format!(
        "the schema of the database at {place} cannot be brought up to date: {text}. What that migration did is undone. \
         {advice}"
    ))
}

impl Store {
    /// Which schema a database has. Changes nothing, also while a server runs on it.
    pub async fn schema(url: &str) -> Result<Schema, StoreError> {
        let (store, place) = Self::open_as_it_is(url).await?;
        let schema = store.look_at_schema(&place).await;
        store.close().await;
        schema
    }

    /// Brings an existing database up to date and returns the schema it had. On SQLite the server must be stopped.
    pub async fn migrate(url: &str, told: &mut (dyn FnMut(Migrated) + Send)) -> Result<Schema, StoreError> {
        if is_postgres(url)? {
            let health = Health::new();
            let (pool, place) = postgres_pool(url, 1, WAITING, &health).await?;
            let session = Session::take(&pool, &health, AS_LONG_AS_IT_TAKES).await?;
            let mut connection = Connection::from(session);
            let before = bring_up(&mut connection, &place, Upgrade::Any, told).await;
            drop(connection);
            pool.close().await;
            return before;
        }
        let options = sqlite_options(url)?;
        exists(&options)?;
        let place = options.get_filename().display().to_string();
        match Lock::ask(options.get_filename())? {
            Asked::Ours(lock) => {
                let connection = options.connect().await.map_err(|error| cannot_open(&place, &error))?;
                let mut connection = Connection::from(connection);
                let before = bring_up(&mut connection, &place, Upgrade::Any, told).await;
                connection.close().await?;
                drop(lock);
                before
            }
            Asked::Anothers(_) => Err(StoreError::new(format!(
                "a leadfold runs on {place}: stop it first. Started again, this version brings its database up to date by \
                 itself"
            ))),
        }
    }

    /// Which schema it has, or why that cannot be read at this place.
    pub(super) async fn look_at_schema(&self, place: &str) -> Result<Schema, StoreError> {
        let schema = self.applied().await.and_then(|applied| Schema::read(&applied));
        schema.map_err(|failure| cannot_read(place, &failure))
    }

    async fn applied(&self) -> Result<Vec<Row>, StoreError> {
        let there = self.read(is_there(self.is_shared()), args![]).await?;
        if there.first().map_or(Ok(0), |row| row.int(0))? == 0 {
            return Ok(Vec::new());
        }
        self.read(APPLIED, args![]).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The schema of a database with these migrations, where a negative number is one of another text.
    fn schema(applied: &[i64], oldest: i64) -> Schema {
        let ours = migrator();
        let applied: Vec<(i64, Vec<u8>)> = applied
            .iter()
            .map(|number| {
                let known = ours.iter().find(|migration| migration.version == *number);
                (number.abs(), known.map_or_else(|| vec![0], |migration| migration.checksum.to_vec()))
            })
            .collect();
        Schema::of(&applied, oldest, &ours)
    }

    #[test]
    fn a_schema_is_used_made_refused_or_waits_for_a_person() {
        let all: Vec<i64> = migrator().iter().map(|migration| migration.version).collect();
        let newest = *all.last().unwrap();
        let with = |further: &[i64]| [&all[..], further].concat();
        let check = |applied: &[i64], oldest, refused: Option<&str>, unreadable: Option<&str>| {
            let schema = schema(applied, oldest);
            for (said, expect) in [(schema.refusal("here"), refused), (schema.unreadable("here"), unreadable)]
            {
                let said = said.map(|failure| failure.to_string());
                assert_eq!(said.is_some(), expect.is_some(), "{applied:?}, {oldest}: {said:?}");
                assert!(said.unwrap_or_default().contains(expect.unwrap_or_default()), "{applied:?}");
            }
        };
        check(&[], 0, None, Some("holds nothing of leadfold's"));
        check(&[1], 0, None, Some("has schema 1, and this leadfold needs"));
        check(&all, 0, None, None);
        check(&all, newest, None, None);
        // A newer release has been here: this one goes on unless that says otherwise.
        check(&with(&[newest + 1]), 0, None, None);
        check(&with(&[newest + 1, newest + 2]), newest, None, None);
        let later = Some("only a leadfold that knows schema");
        check(&with(&[newest + 1]), newest + 1, later, later);
        let other = Some("was made by another build");
        check(&[-1], 0, other, other);
        check(&[&[-all[0]], &all[1..]].concat(), 0, other, other);
        let torn = Some("lacks some that it needs");
        check(&[all[0], newest + 1], 0, torn, torn);
    }

    /// What the header promises to the release before.
    #[test]
    fn a_migration_only_adds_or_says_whom_it_leaves_behind() {
        for migration in migrator().iter() {
            let text = migration.sql.as_str().lines().filter(|line| !line.trim_start().starts_with("--"));
            let text = text.collect::<Vec<_>>().join("\n").to_uppercase();
            for statement in text.split(';').map(str::trim) {
                let takes_away = ["DROP TABLE", "DROP COLUMN", "RENAME", "ALTER COLUMN"]
                    .iter()
                    .any(|words| statement.contains(words))
                    || (statement.contains("ADD COLUMN")
                        && statement.contains("NOT NULL")
                        && !statement.contains("DEFAULT"));
                assert!(
                    !takes_away || text.contains("'OLDEST_SCHEMA'"),
                    "migration {} takes something away from the release before: {statement}",
                    migration.version
                );
            }
        }
    }
}
