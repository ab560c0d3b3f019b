//! One SQL text for both databases: `$1` placeholders, our own argument and row types over sqlx's native drivers.
//!
//! `sqlx::Any` would hide differences until production; a text per database would let them drift apart. So statements
//! are written once, and this file is all that knows which driver runs them.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::StoreError;
pub(crate) use super::row::Row;
use super::session::{self, Session};

/// A value for a placeholder.
#[derive(Clone, Debug)]
pub(crate) enum Arg {
    Text(Option<String>),
    Int(Option<i64>),
    Bytes(Vec<u8>),
}

impl From<String> for Arg {
    fn from(value: String) -> Self {
        Self::Text(Some(value))
    }
}

impl From<&str> for Arg {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<Option<String>> for Arg {
    fn from(value: Option<String>) -> Self {
        Self::Text(value)
    }
}

impl From<i64> for Arg {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<Option<i64>> for Arg {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl From<Vec<u8>> for Arg {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}

macro_rules! from_id {
    ($($id:ident),+) => {$(
        impl From<crate::id::$id> for Arg {
            fn from(value: crate::id::$id) -> Self {
                Self::Text(Some(value.to_string()))
            }
        }
    )+};
}
from_id!(DeliveryId, EventId, LeadId, PersonId, MergeId, SyncId, StepId);

/// Arguments in placeholder order.
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::store::sql::Arg::from($value)),*] };
}
pub(crate) use args;

/// One connection of either database, usually inside a transaction.
pub(crate) struct Connection {
    driver: Driver,
    /// Leases that this transaction has bumped, by destination and epoch: once is enough for all of its work.
    bumped: Vec<(String, i64)>,
}

enum Driver {
    Sqlite(sqlx::SqliteConnection),
    Postgres(Session),
}

macro_rules! bind {
    ($sql:expr, $args:expr) => {{
        let mut query = sqlx::query(sqlx::AssertSqlSafe($sql));
        for arg in $args {
            query = match arg {
                Arg::Text(value) => query.bind(value),
                Arg::Int(value) => query.bind(value),
                Arg::Bytes(value) => query.bind(value),
            };
        }
        query
    }};
}
pub(crate) use bind;

impl From<sqlx::SqliteConnection> for Connection {
    fn from(connection: sqlx::SqliteConnection) -> Self {
        Self { driver: Driver::Sqlite(connection), bumped: Vec::new() }
    }
}

impl From<Session> for Connection {
    fn from(session: Session) -> Self {
        Self { driver: Driver::Postgres(session), bumped: Vec::new() }
    }
}

impl Connection {
    /// Whether it is to PostgreSQL.
    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self.driver, Driver::Postgres(_))
    }

    /// The driver's own connection, for what one text cannot say.
    pub(super) fn postgres(&mut self) -> Result<&mut sqlx::PgConnection, StoreError> {
        match &mut self.driver {
            Driver::Postgres(session) => session.connection(),
            Driver::Sqlite(_) => Err(StoreError::for_good("this is SQLite, and PostgreSQL was meant")),
        }
    }

    /// The driver's own connection, for what one text cannot say.
    pub(super) fn sqlite(&mut self) -> Result<&mut sqlx::SqliteConnection, StoreError> {
        match &mut self.driver {
            Driver::Sqlite(connection) => Ok(connection),
            Driver::Postgres(_) => Err(StoreError::for_good("this is PostgreSQL, and SQLite was meant")),
        }
    }

    /// Waits until no other process changes the schema; until the end of the transaction none begins. SQLite's transaction
    /// keeps everybody else out by itself.
    pub(super) async fn lock_schema(&mut self) -> Result<(), StoreError> {
        if self.is_postgres() {
            // "leadfold": advisory locks are numbers, and those of other programs may be in the same database.
            self.execute("SELECT pg_advisory_xact_lock(7810759614411271268)", vec![]).await?;
        }
        Ok(())
    }

    /// From now on SQLite writes zeros over what is deleted, instead of leaving it in the free parts of its file.
    pub(super) async fn overwrite_what_goes(&mut self) -> Result<(), StoreError> {
        if !self.is_postgres() {
            self.fetch("PRAGMA secure_delete = ON", vec![]).await?;
        }
        Ok(())
    }

    /// Sets one of PostgreSQL's time limits until the end of the transaction. SQLite has none.
    pub(super) async fn limit(&mut self, name: &str, time: &str) -> Result<(), StoreError> {
        if self.is_postgres() {
            self.execute(&format!("SET LOCAL {name} = '{time}'"), vec![]).await?;
        }
        Ok(())
    }

    /// Runs the statements of a text without arguments, one after another.
    pub(super) async fn execute_script(&mut self, script: sqlx::SqlStr) -> Result<(), StoreError> {
        let script = sqlx::raw_sql(script);
        match &mut self.driver {
            Driver::Sqlite(connection) => script.execute(connection).await.map(drop)?,
            Driver::Postgres(session) => session.ask(|postgres| script.execute(postgres)).await.map(drop)?,
        }
        Ok(())
    }

    /// Begins a transaction. SQLite takes the write lock at once, so that one never fails half-way for want of it.
    ///
    /// On PostgreSQL every statement sees what was committed before it, whatever the server's defaults say: rows that must
    /// not change meanwhile are locked. A process that freezes half-way would keep its locks for as long, and all others
    /// waiting; the server ends its transaction instead.
    pub(crate) async fn begin(&mut self) -> Result<(), StoreError> {
        self.bumped.clear();
        match &mut self.driver {
            Driver::Sqlite(_) => self.execute("BEGIN IMMEDIATE", vec![]).await.map(drop),
            Driver::Postgres(session) => {
                session.ask(|postgres| sqlx::raw_sql(session::BEGIN).execute(postgres)).await.map(drop)
            }
        }
    }

    /// Whether others may write meanwhile. SQLite has one writer, and nothing to lock.
    pub(crate) fn others_write(&self) -> bool {
        match &self.driver {
            Driver::Sqlite(_) => false,
            Driver::Postgres(_) => true,
        }
    }

    /// The clause at the end of a SELECT that locks the rows it finds; nothing where nobody else writes.
    pub(crate) fn row_locks(&self, clause: &'static str) -> &'static str {
        if self.others_write() { clause } else { "" }
    }

    /// Whether nothing has happened since it was taken that may have broken it.
    pub(crate) fn is_trusted(&self) -> bool {
        match &self.driver {
            Driver::Sqlite(_) => true,
            Driver::Postgres(session) => session.is_trusted(),
        }
    }

    /// Makes everything since `begin` durable.
    pub(crate) async fn commit(&mut self) -> Result<(), StoreError> {
        self.execute("COMMIT", vec![]).await.map(drop)
    }

    /// Undoes everything since `begin`; fails when there is no transaction any more.
    pub(crate) async fn roll_back(&mut self) -> Result<(), StoreError> {
        self.execute("ROLLBACK", vec![]).await.map(drop)
    }

    /// Begins a part of a transaction that may be undone alone.
    pub(crate) async fn begin_part(&mut self) -> Result<(), StoreError> {
        self.execute("SAVEPOINT part", vec![]).await.map(drop)
    }

    /// Ends a part, keeping or undoing what it did.
    pub(crate) async fn end_part(&mut self, keep: bool) -> Result<(), StoreError> {
        if !keep {
            self.bumped.clear();
            self.execute("ROLLBACK TO part", vec![]).await?;
        }
        self.execute("RELEASE part", vec![]).await.map(drop)
    }

    /// Whether this transaction has bumped that lease already.
    pub(crate) fn has_bumped(&self, destination: &str, epoch: i64) -> bool {
        self.bumped.iter().any(|(known, of)| *of == epoch && known == destination)
    }

    /// Remembers that it has.
    pub(crate) fn remember_bumped(&mut self, destination: &str, epoch: i64) {
        self.bumped.push((destination.to_owned(), epoch));
    }

    /// Forgets what was bumped: a lease that changes hands is looked at anew.
    pub(crate) fn forget_bumped(&mut self) {
        self.bumped.clear();
    }

    /// Closes it. SQLite copies its log back when its last connection closes.
    pub(crate) async fn close(self) -> Result<(), StoreError> {
        match self.driver {
            Driver::Sqlite(connection) => sqlx::Connection::close(connection).await?,
            Driver::Postgres(session) => drop(session),
        }
        Ok(())
    }

    /// Runs a statement and says how many rows it touched. The text is ours, never data.
    pub(crate) async fn execute(&mut self, sql: &str, args: Vec<Arg>) -> Result<u64, StoreError> {
        Ok(match &mut self.driver {
            Driver::Sqlite(connection) => {
                bind!(&*in_order(sql, &args), args).execute(connection).await?.rows_affected()
            }
            Driver::Postgres(session) => {
                session.ask(|postgres| bind!(sql, args).execute(postgres)).await?.rows_affected()
            }
        })
    }

    /// Runs statements one after another; the first that fails ends it. SQLite gets them in one piece, because handing
    /// a statement over to its thread and waiting for the answer costs several times what a small statement does.
    pub(crate) async fn execute_all(
        &mut self,
        statements: Vec<(String, Vec<Arg>)>,
    ) -> Result<(), StoreError> {
        if statements.is_empty() {
            return Ok(());
        }
        if let Driver::Sqlite(connection) = &mut self.driver
            && let Some((text, arguments)) = in_one_piece(&statements)
        {
            bind!(text, arguments).execute(connection).await?;
            return Ok(());
        }
        for (sql, arguments) in statements {
            self.execute(&sql, arguments).await?;
        }
        Ok(())
    }

    /// Runs a statement and collects its rows.
    pub(crate) async fn fetch(&mut self, sql: &str, args: Vec<Arg>) -> Result<Vec<Row>, StoreError> {
        Ok(match &mut self.driver {
            Driver::Sqlite(connection) => bind!(&*in_order(sql, &args), args)
                .fetch_all(connection)
                .await?
                .into_iter()
                .map(Row::Sqlite)
                .collect(),
            Driver::Postgres(session) => {
                let rows = session.ask(|postgres| bind!(sql, args).fetch_all(postgres)).await?;
                rows.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// Runs `INSERT … VALUES` for any number of rows, in pieces small enough for both databases.
    pub(crate) async fn insert_rows(
        &mut self,
        insert_into: &str,
        rows: Vec<Vec<Arg>>,
        on_conflict: &str,
    ) -> Result<(), StoreError> {
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let piece: Vec<Vec<Arg>> = rows.by_ref().take(ROWS_PER_STATEMENT).collect();
            let sql = format!("INSERT INTO {insert_into} VALUES {} {on_conflict}", placeholders(&piece));
            self.execute(&sql, piece.into_iter().flatten().collect()).await?;
        }
        Ok(())
    }
}

/// The text with plain `?` when it names its many arguments in their order: SQLite finds the name of a placeholder by
/// walking through all of them, which for the rows of a group takes longer than storing them.
fn in_order<'a>(sql: &'a str, arguments: &[Arg]) -> Cow<'a, str> {
    if arguments.len() < 32 {
        return Cow::Borrowed(sql);
    }
    with_plain_placeholders(sql).map_or(Cow::Borrowed(sql), Cow::Owned)
}

/// `None` when the placeholders are not `$1`, `$2`, … in this order.
fn with_plain_placeholders(sql: &str) -> Option<String> {
    let mut text = String::with_capacity(sql.len());
    let mut expected = 1;
    for (number, piece) in placeholder_pieces(sql) {
        if let Some(number) = number {
            if number != expected {
                return None;
            }
            expected += 1;
            text.push('?');
        }
        text.push_str(piece);
    }
    Some(text)
}

/// The text cut before each placeholder: its number, and what follows it. The first piece has none.
fn placeholder_pieces(sql: &str) -> impl Iterator<Item = (Option<usize>, &str)> {
    sql.split('$').enumerate().map(|(index, piece)| {
        if index == 0 {
            return (None, piece);
        }
        let end = piece.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(piece.len());
        let (number, rest) = piece.split_at(end);
        (number.parse().ok(), rest)
    })
}

/// One text and one list of arguments for several statements, whose plain placeholders SQLite counts on through all of
/// them. `None` when one of them does not name its placeholders in order.
fn in_one_piece(statements: &[(String, Vec<Arg>)]) -> Option<(String, Vec<Arg>)> {
    let texts: Option<Vec<String>> = statements.iter().map(|(sql, _)| with_plain_placeholders(sql)).collect();
    let arguments = statements.iter().flat_map(|(_, arguments)| arguments.iter().cloned()).collect();
    Some((texts?.join(";"), arguments))
}

/// Rows per multi-row statement: far below SQLite's 32,766 and PostgreSQL's 65,535 placeholders at our widest table.
pub(crate) const ROWS_PER_STATEMENT: usize = 256;

/// `($1,$2),($3,$4)` for rows of equal width.
pub(crate) fn placeholders(rows: &[Vec<Arg>]) -> String {
    let mut text = String::new();
    let mut number = 0;
    for row in rows {
        text.push_str(if number == 0 { "(" } else { ",(" });
        for column in 0..row.len() {
            number += 1;
            // Writing to a String cannot fail.
            write!(text, "{}${number}", if column == 0 { "" } else { "," }).ok();
        }
        text.push(')');
    }
    text
}

/// `$3,$4,$5` for an IN list that begins at placeholder `first`.
pub(crate) fn list(first: usize, count: usize) -> String {
    (first..first + count).map(|number| format!("${number}")).collect::<Vec<_>>().join(",")
}

/// JSON of a value of ours, for a TEXT column. U+0000 is dropped, because PostgreSQL refuses it in text.
pub(crate) fn json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    let text = serde_json::to_string(value).map_err(|error| StoreError::damaged(error.to_string()))?;
    Ok(if text.contains("\\u0000") { text.replace("\\u0000", "") } else { text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_placeholders_in_order_need_no_names() {
        let check = |sql: &str, count: usize, expect: &str| {
            assert_eq!(in_order(sql, &vec![Arg::from(1); count]), expect);
        };
        check(
            "INSERT INTO a VALUES ($1,$2),($3,$4) RETURNING b",
            32,
            "INSERT INTO a VALUES (?,?),(?,?) RETURNING b",
        );
        check("VALUES ($1,$2)", 2, "VALUES ($1,$2)");
        check("VALUES ($2,$1)", 32, "VALUES ($2,$1)");
        check("WHERE a IN ($1,$2) OR b IN ($1,$2)", 32, "WHERE a IN ($1,$2) OR b IN ($1,$2)");
        check("SELECT 1", 32, "SELECT 1");
    }

    #[test]
    fn placeholders_count_on_through_several_statements() {
        let statements = |second: &str| {
            [
                ("UPDATE a SET b = $1 WHERE c = $2".to_owned(), args!["one", "two"]),
                ("DELETE FROM d".to_owned(), vec![]),
                (second.to_owned(), args![3, 4]),
            ]
        };
        let (text, arguments) = in_one_piece(&statements("INSERT INTO e VALUES ($1,$2)")).unwrap();
        assert_eq!(text, "UPDATE a SET b = ? WHERE c = ?;DELETE FROM d;INSERT INTO e VALUES (?,?)");
        assert_eq!(arguments.len(), 4);
        assert!(in_one_piece(&statements("INSERT INTO e VALUES ($2,$1)")).is_none());
    }
}
