//! Moving a registry from SQLite to PostgreSQL, once and completely.
//!
//! Everything happens in one transaction of the new database: making its schema, copying every table, reading all of it
//! back to compare. A move that breaks off, wherever, leaves the new database empty, and can be run again. The old
//! database is marked just before the new one is committed, so that at no moment both can be served: two that push to one
//! CRM would double its leads. What was being pushed is looked up again before it goes on, as after a kill.

mod binary;

use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use sqlx::postgres::{PgConnection, PgDatabaseError};
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _};

use self::binary::{HEADER, Reader, Sum, TRAILER, add_column, begin_row};
use super::health::Health;
use super::lock::{Asked, Lock};
use super::open::{
    cannot_open, exists, is_postgres, place_of, postgres_options, postgres_pool, sqlite_options,
};
use super::session::{AS_LONG_AS_IT_TAKES, Session};
use super::sql::{Connection, args};
use super::{Store, StoreError, WAITING, checks, schema};
use crate::telemetry::masked;

/// What was moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Where it is now: host, port and name.
    pub place: String,
    /// Every table with its rows.
    pub tables: Vec<(String, u64)>,
    /// Texts from which U+0000 was taken, which PostgreSQL refuses in text.
    pub without_zero: u64,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many rows are there to be moved.
    Counted(u64),
    /// So many more are copied.
    Copied(u64),
    /// So many more are read back.
    Compared(u64),
}

/// What is told of each step.
type Told<'a> = &'a mut (dyn FnMut(Step) + Send);

/// The name of the counter that marks a database as moved begins with this, and ends with where to.
const MARK: &str = "moved to ";

/// Bytes that are handed over at once.
const PIECE: usize = 256 * 1024;

/// Tables of the target that are not of an extension.
const TABLES: &str = "\
    SELECT relname::text FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') \
    AND NOT EXISTS (SELECT 1 FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e') ORDER BY 1";

/// How a column is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Integer,
    Bytes,
}

struct Table {
    name: String,
    columns: Vec<(String, Kind)>,
    key: Vec<String>,
}

impl Store {
    /// Moves a registry. The old database must not be served, the new one must hold no tables.
    pub async fn move_registry(
        from: &str,
        to: &str,
        now: Timestamp,
        told: &mut (dyn FnMut(Step) + Send),
    ) -> Result<Moved, StoreError> {
        if is_postgres(from).map_err(|failure| failure.naming("--from"))?
            || !is_postgres(to).map_err(|failure| failure.naming("--to"))?
        {
            return Err(StoreError::new(
                "a registry moves from SQLite to PostgreSQL: write --from sqlite://FILE --to postgres://…",
            ));
        }
        let to_is = |failure: StoreError| failure.naming("--to");
        let place = place_of(&postgres_options(to).map_err(to_is)?);
        let mut source = Source::open(from).await?;
        source.is_movable(&place).await?;
        let health = Health::new();
        let (pool, _) = postgres_pool(to, 1, WAITING, &health).await.map_err(to_is)?;
        checks::postgres(&pool, &place).await.map_err(to_is)?;
        let mut target = Connection::from(Session::take(&pool, &health, AS_LONG_AS_IT_TAKES).await?);
        let tables = source.tables().await?;
        let rows = source.count(&tables).await?;
        target.begin().await?;
        // However long it takes: a limit that somebody set is meant for other statements.
        for limit in ["statement_timeout", "idle_in_transaction_session_timeout"] {
            target.limit(limit, "0").await?;
        }
        target.lock_schema().await?;
        let taken = tables_of(target.postgres()?).await?;
        if !taken.is_empty() {
            return Err(source.is_taken(&place, &taken).await?);
        }
        source.unmark().await?;
        told(Step::Counted(rows));
        let moved = copy(&mut source, &mut target, &tables, &place, told).await?;
        source.mark(&place, now).await?;
        // Whether a commit that was not answered has happened is not known, so the mark stays.
        target.commit().await.map_err(|failure| {
            StoreError::new(format!(
                "nobody knows whether PostgreSQL kept what was moved ({failure}). Run the same command again: it moves \
                 everything, or says that all of it is there"
            ))
        })?;
        drop(target);
        pool.close().await;
        source.close().await?;
        Ok(moved)
    }

    /// Lets a database be served again whose registry was moved. `false`: it was not. Where it was moved to knows nothing
    /// of this.
    pub async fn undo_move(from: &str) -> Result<bool, StoreError> {
        if is_postgres(from).map_err(|failure| failure.naming("--from"))? {
            return Err(StoreError::new(
                "only a SQLite database is marked as moved: write --from sqlite://FILE",
            ));
        }
        let mut source = Source::open(from).await?;
        schema::look_at(&mut source.connection, &source.file)
            .await
            .map_err(|failure| failure.naming("--from"))?;
        let was_moved = source.unmark().await?;
        source.close().await?;
        Ok(was_moved)
    }
}

/// Refuses a database whose registry was moved.
pub(super) async fn refuse_moved(connection: &mut Connection, file: &str) -> Result<(), StoreError> {
    match mark_of(connection).await? {
        None => Ok(()),
        Some((place, at)) => Err(StoreError::new(format!(
            "the registry in {file} was moved to {place} at {at:.0}: serve that one (--database postgres://…), because two \
             that push to one CRM double its leads. To use this one again and give that one up, run \
             `leadfold move --undo --from sqlite://{file}`"
        ))),
    }
}

/// Where the registry was moved, and when.
async fn mark_of(connection: &mut Connection) -> Result<Option<(String, Timestamp)>, StoreError> {
    let sql = "SELECT name, value FROM counters WHERE name LIKE 'moved to %'";
    let rows = connection.fetch(sql, args![]).await?;
    let mark = rows.first().map(|row| Ok::<_, StoreError>((row.text(0)?, row.timestamp(1)?))).transpose()?;
    Ok(mark.map(|(name, at)| (name.strip_prefix(MARK).unwrap_or_default().to_owned(), at)))
}

/// The database that is moved, out of everybody else's reach.
struct Source {
    connection: Connection,
    file: String,
    _lock: Lock,
}

impl Source {
    async fn open(url: &str) -> Result<Self, StoreError> {
        let from_is = |failure: StoreError| failure.naming("--from");
        let options = sqlite_options(url).map_err(from_is)?.row_buffer_size(1000);
        exists(&options).map_err(from_is)?;
        let file = options.get_filename().display().to_string();
        let lock = match Lock::ask(options.get_filename())? {
            Asked::Ours(lock) => lock,
            Asked::Anothers(_) => {
                return Err(StoreError::new(format!(
                    "a leadfold runs on {file}: stop it first (SIGTERM lets it finish what it acknowledged; platforms send \
                     again what is refused meanwhile)"
                )));
            }
        };
        let connection = options.connect().await.map_err(|error| from_is(cannot_open(&file, &error)))?;
        Ok(Self { connection: connection.into(), file, _lock: lock })
    }

    /// Refuses a database of another schema, or one that was moved elsewhere.
    async fn is_movable(&mut self, place: &str) -> Result<(), StoreError> {
        let file = &self.file;
        let from_is = |failure: StoreError| failure.naming("--from");
        let schema = schema::look_at(&mut self.connection, file).await.map_err(from_is)?;
        if let Some(refusal) = schema.unreadable(file) {
            return Err(from_is(refusal));
        }
        if schema.is_newer() {
            return Err(StoreError::new(format!(
                "{file} was used by a newer leadfold: move it with that one"
            )));
        }
        match mark_of(&mut self.connection).await? {
            Some((elsewhere, _)) if elsewhere != place => refuse_moved(&mut self.connection, file).await,
            _ => Ok(()),
        }
    }

    /// Why nothing can be moved to where there is something.
    async fn is_taken(&mut self, place: &str, tables: &[String]) -> Result<StoreError, StoreError> {
        if mark_of(&mut self.connection).await?.is_some() {
            return Ok(StoreError::new(format!(
                "the registry in {} is at {place} already: serve that one",
                self.file
            )));
        }
        Ok(StoreError::new(format!(
            "the database at {place} is not empty (it has the table '{}'): name one that was just made (CREATE DATABASE …), \
             so that nothing in it is mixed with what is moved",
            tables.first().map_or("", String::as_str)
        )))
    }

    async fn mark(&mut self, place: &str, now: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO counters (name, value) VALUES ($1, $2)";
        self.connection.execute(sql, args![format!("{MARK}{place}"), now.as_millisecond()]).await.map(drop)
    }

    async fn unmark(&mut self) -> Result<bool, StoreError> {
        let sql = "DELETE FROM counters WHERE name LIKE 'moved to %'";
        Ok(self.connection.execute(sql, args![]).await? > 0)
    }

    async fn close(self) -> Result<(), StoreError> {
        self.connection.close().await
    }

    async fn count(&mut self, tables: &[Table]) -> Result<u64, StoreError> {
        let mut total = 0;
        for table in tables {
            let rows =
                self.connection.fetch(&format!("SELECT COUNT(*) FROM {}", table.name), args![]).await?;
            total += rows.first().map_or(Ok(0), |row| row.int(0))?;
        }
        Ok(total.unsigned_abs())
    }

    /// The tables as the database itself describes them, so that none can be forgotten.
    async fn tables(&mut self) -> Result<Vec<Table>, StoreError> {
        let mut tables = Vec::new();
        let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
                   AND name <> '_sqlx_migrations' ORDER BY name";
        for row in self.connection.fetch(sql, args![]).await? {
            let name = row.text(0)?;
            let sql = "SELECT name, type, pk FROM pragma_table_info($1) ORDER BY cid";
            let (mut columns, mut key) = (Vec::new(), Vec::new());
            for row in self.connection.fetch(sql, args![name.as_str()]).await? {
                let column = row.text(0)?;
                let kind = row.parsed(1, kind)?;
                if row.int(2)? > 0 {
                    key.push(column.clone());
                }
                columns.push((column, kind));
            }
            tables.push(Table { name, columns, key });
        }
        Ok(tables)
    }
}

/// The three types that migrations use.
fn kind(name: &str) -> Option<Kind> {
    match name {
        "TEXT" => Some(Kind::Text),
        "BIGINT" => Some(Kind::Integer),
        "BYTEA" => Some(Kind::Bytes),
        _ => None,
    }
}

async fn tables_of(target: &mut PgConnection) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar(TABLES).fetch_all(target).await?)
}

/// Makes the schema and copies everything, in the open transaction of the target.
async fn copy(
    source: &mut Source,
    target: &mut Connection,
    tables: &[Table],
    place: &str,
    told: Told<'_>,
) -> Result<Moved, StoreError> {
    schema::create(target, &mut |_| {}).await?;
    let target = target.postgres()?;
    let mut made = tables_of(target).await?;
    made.retain(|name| name != "_sqlx_migrations");
    let names: Vec<&String> = tables.iter().map(|table| &table.name).collect();
    if let Some(odd) = names.iter().find(|name| !made.contains(name)) {
        return Err(StoreError::new(format!(
            "{} has the table '{odd}', which is not leadfold's: move it elsewhere first",
            source.file
        )));
    }
    if let Some(lacking) = made.iter().find(|name| !names.contains(name)) {
        return Err(StoreError::damaged(format!("the table '{lacking}' is missing in {}", source.file)));
    }
    let mut moved = Moved { place: place.to_owned(), tables: Vec::new(), without_zero: 0 };
    let mut sums = Vec::new();
    for table in tables {
        // Migrations put rows in.
        sqlx::query(AssertSqlSafe(format!("DELETE FROM {}", table.name))).execute(&mut *target).await?;
        let (sum, without_zero) = copy_table(source, target, table, told).await?;
        moved.without_zero += without_zero;
        moved.tables.push((table.name.clone(), sum.rows));
        sums.push(sum);
    }
    for (table, sent) in tables.iter().zip(sums) {
        let kept = read_back(target, table, told).await?;
        if kept != sent {
            return Err(StoreError::new(format!(
                "PostgreSQL does not give back what was copied into '{}' ({} rows sent, {} kept): nothing is moved. Look \
                 for triggers and rules there",
                table.name, sent.rows, kept.rows
            )));
        }
    }
    // Fresh tables are unknown to the planner until somebody looks at them.
    sqlx::query("ANALYZE").execute(target).await?;
    Ok(moved)
}

impl Table {
    fn names(&self) -> String {
        self.columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

/// Copies a table. What its rows come to, and how many texts lost U+0000.
async fn copy_table(
    source: &mut Source,
    target: &mut PgConnection,
    table: &Table,
    told: Told<'_>,
) -> Result<(Sum, u64), StoreError> {
    let (mut sum, mut without_zero, mut untold) = (Sum::default(), 0, 0);
    let (mut piece, mut row) = (HEADER.to_vec(), Vec::new());
    let into = format!("COPY {} ({}) FROM STDIN (FORMAT binary)", table.name, table.names());
    let mut copy = target.copy_in_raw(&into).await?;
    // In the order of birth, which is how the rows lie and how PostgreSQL counts them when it refuses one.
    let sql = format!("SELECT {}, rowid FROM {} ORDER BY rowid", table.names(), table.name);
    let mut rows = sqlx::query(AssertSqlSafe(sql)).fetch(source.connection.sqlite()?);
    while let Some(read) = rows.try_next().await? {
        row.clear();
        without_zero += encode(&read, table, &mut row)?;
        sum.add(&row);
        piece.extend(&row);
        untold += 1;
        if piece.len() >= PIECE {
            copy.send(piece.as_slice()).await?;
            piece.clear();
            told(Step::Copied(std::mem::take(&mut untold)));
        }
    }
    drop(rows);
    piece.extend(TRAILER);
    copy.send(piece.as_slice()).await?;
    if let Err(error) = copy.finish().await {
        return Err(refused(source, table, &error).await?);
    }
    told(Step::Copied(untold));
    Ok((sum, without_zero))
}

/// Adds a row to a copy. How many of its texts lost U+0000.
fn encode(read: &SqliteRow, table: &Table, row: &mut Vec<u8>) -> Result<u64, StoreError> {
    let strange = |column: &str, why: &dyn std::fmt::Display| {
        let rowid: i64 = read.try_get(table.columns.len()).unwrap_or_default();
        StoreError::damaged(format!("{column} in row {rowid} of the table '{}' ({why})", table.name))
    };
    let mut without_zero = 0;
    begin_row(row, table.columns.len()).ok_or_else(|| strange("too many columns", &"of all"))?;
    for (index, (name, kind)) in table.columns.iter().enumerate() {
        let failed = |error: sqlx::Error| strange(name, &error);
        let added = match kind {
            Kind::Text => {
                let value: Option<&str> = read.try_get(index).map_err(failed)?;
                let cleaned = value.filter(|value| value.contains('\0')).map(|value| value.replace('\0', ""));
                without_zero += u64::from(cleaned.is_some());
                add_column(row, cleaned.as_deref().or(value).map(str::as_bytes))
            }
            Kind::Integer => {
                let value: Option<i64> = read.try_get(index).map_err(failed)?;
                add_column(row, value.map(i64::to_be_bytes).as_ref().map(<[u8; 8]>::as_slice))
            }
            Kind::Bytes => add_column(row, read.try_get(index).map_err(failed)?),
        };
        added.ok_or_else(|| strange(name, &"longer than PostgreSQL takes"))?;
    }
    Ok(without_zero)
}

/// Which row PostgreSQL refused, and why.
async fn refused(source: &mut Source, table: &Table, error: &sqlx::Error) -> Result<StoreError, StoreError> {
    let Some(database) = error.as_database_error() else { return Ok(cannot_copy(table, error)) };
    // Where it was: "COPY deliveries, line 5, column body".
    let line = database.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::r#where);
    let line = line.and_then(|place| place.split_once(", line ")).and_then(|(_, rest)| {
        let digits = rest.split(|letter: char| !letter.is_ascii_digit()).next()?;
        digits.parse::<i64>().ok().filter(|line| *line > 0)
    });
    let Some(line) = line else { return Ok(cannot_copy(table, error)) };
    let key: Vec<String> = table.key.iter().map(|name| format!("{name} = ' || {name} || '")).collect();
    let sql =
        format!("SELECT rowid, '{}' FROM {} ORDER BY rowid LIMIT 1 OFFSET $1", key.join(", "), table.name);
    let rows = source.connection.fetch(&sql, args![line - 1]).await?;
    let Some(row) = rows.first() else { return Ok(cannot_copy(table, error)) };
    Ok(StoreError::new(format!(
        "PostgreSQL refuses a row of the table '{}' (rowid {}, {}): {}. Nothing is moved; mend that row in {} and run it \
         again",
        table.name,
        row.int(0)?,
        masked(&row.text(1)?.chars().take(100).collect::<String>()),
        masked(database.message()),
        source.file
    )))
}

fn cannot_copy(table: &Table, error: &sqlx::Error) -> StoreError {
    let why = error.as_database_error().map_or_else(|| error.to_string(), |error| masked(error.message()));
    StoreError::new(format!("the table '{}' cannot be copied: {why}. Nothing is moved", table.name))
}

/// What the rows of a table come to in the target.
async fn read_back(target: &mut PgConnection, table: &Table, told: Told<'_>) -> Result<Sum, StoreError> {
    let from = format!("COPY {} ({}) TO STDOUT (FORMAT binary)", table.name, table.names());
    let mut reader = Reader::default();
    let mut untold = 0;
    let mut pieces = target.copy_out_raw(&from).await?;
    while let Some(piece) = pieces.try_next().await? {
        untold += reader.take(&piece);
        if untold >= 1000 {
            told(Step::Compared(std::mem::take(&mut untold)));
        }
    }
    told(Step::Compared(untold));
    reader.end().ok_or_else(|| StoreError::new(format!("reading '{}' back broke off", table.name)))
}
