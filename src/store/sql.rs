//! One SQL text for both databases: `$1` placeholders, our own argument and row types over sqlx's native drivers.
//!
//! `sqlx::Any` would hide differences until production; a text per database would let them drift apart. So statements
//! are written once, and this file is all that knows which driver runs them.

use std::fmt::Write as _;

use sqlx::{Column as _, Row as _};

use super::StoreError;

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
from_id!(DeliveryId, EventId, LeadId, PersonId, SyncId, StepId);

/// Arguments in placeholder order.
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::store::sql::Arg::from($value)),*] };
}
pub(crate) use args;

/// One connection of either database, usually inside a transaction.
pub(crate) enum Connection {
    Sqlite(sqlx::SqliteConnection),
    Postgres(sqlx::pool::PoolConnection<sqlx::Postgres>),
}

/// One row of either database. Columns are read by position.
pub(crate) enum Row {
    Sqlite(sqlx::sqlite::SqliteRow),
    Postgres(sqlx::postgres::PgRow),
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

impl Connection {
    /// Runs a statement and says how many rows it touched. The text is ours, never data.
    pub(crate) async fn execute(&mut self, sql: &str, args: Vec<Arg>) -> Result<u64, StoreError> {
        Ok(match self {
            Self::Sqlite(connection) => bind!(sql, args).execute(connection).await?.rows_affected(),
            Self::Postgres(connection) => bind!(sql, args).execute(&mut **connection).await?.rows_affected(),
        })
    }

    /// Runs a statement and collects its rows.
    pub(crate) async fn fetch(&mut self, sql: &str, args: Vec<Arg>) -> Result<Vec<Row>, StoreError> {
        Ok(match self {
            Self::Sqlite(connection) => {
                bind!(sql, args).fetch_all(connection).await?.into_iter().map(Row::Sqlite).collect()
            }
            Self::Postgres(connection) => {
                bind!(sql, args).fetch_all(&mut **connection).await?.into_iter().map(Row::Postgres).collect()
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

impl Row {
    /// A text column that is never NULL.
    pub(crate) fn text(&self, column: usize) -> Result<String, StoreError> {
        self.optional_text(column)?.ok_or_else(|| self.unexpected_null(column))
    }

    /// A text column.
    pub(crate) fn optional_text(&self, column: usize) -> Result<Option<String>, StoreError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    /// An integer column that is never NULL.
    pub(crate) fn int(&self, column: usize) -> Result<i64, StoreError> {
        self.optional_int(column)?.ok_or_else(|| self.unexpected_null(column))
    }

    /// An integer column.
    pub(crate) fn optional_int(&self, column: usize) -> Result<Option<i64>, StoreError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    /// A bytes column.
    pub(crate) fn bytes(&self, column: usize) -> Result<Vec<u8>, StoreError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    /// A text column that holds a value of ours (an id, a JSON document, a state).
    pub(crate) fn parsed<T>(
        &self,
        column: usize,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, StoreError> {
        let text = self.text(column)?;
        parse(&text).ok_or_else(|| {
            StoreError::damaged(format!("column {} holds '{text}', which is not ours", self.name(column)))
        })
    }

    /// A text column that holds one of our typed ids.
    pub(crate) fn id<T: std::str::FromStr>(&self, column: usize) -> Result<T, StoreError> {
        self.parsed(column, |text| text.parse().ok())
    }

    /// A text column that holds JSON of ours.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self, column: usize) -> Result<T, StoreError> {
        self.parsed(column, |text| serde_json::from_str(text).ok())
    }

    fn unexpected_null(&self, column: usize) -> StoreError {
        StoreError::damaged(format!("column {} is NULL", self.name(column)))
    }

    fn name(&self, column: usize) -> String {
        match self {
            Self::Sqlite(row) => row.columns().get(column).map(|column| column.name().to_owned()),
            Self::Postgres(row) => row.columns().get(column).map(|column| column.name().to_owned()),
        }
        .unwrap_or_else(|| column.to_string())
    }
}

/// JSON of a value of ours, for a TEXT column. U+0000 is dropped, because PostgreSQL refuses it in text.
pub(crate) fn json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    let text = serde_json::to_string(value).map_err(|error| StoreError::damaged(error.to_string()))?;
    Ok(if text.contains("\\u0000") { text.replace("\\u0000", "") } else { text })
}
