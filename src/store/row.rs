//! Reading a row of either database, column by column.

use jiff::Timestamp;
use sqlx::{Column as _, Row as _};

use super::StoreError;

/// One row of either database. Columns are read by position.
pub(crate) enum Row {
    Sqlite(sqlx::sqlite::SqliteRow),
    Postgres(sqlx::postgres::PgRow),
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

    /// A text column that holds one of our typed ids, or NULL.
    pub(crate) fn optional_id<T: std::str::FromStr>(&self, column: usize) -> Result<Option<T>, StoreError> {
        self.optional_text(column)?.map(|_| self.id(column)).transpose()
    }

    /// A text column that holds JSON of ours, or NULL.
    pub(crate) fn optional_json<T: serde::de::DeserializeOwned>(
        &self,
        column: usize,
    ) -> Result<Option<T>, StoreError> {
        self.optional_text(column)?.map(|_| self.json(column)).transpose()
    }

    /// An integer column that holds milliseconds since 1970 and is never NULL.
    pub(crate) fn timestamp(&self, column: usize) -> Result<Timestamp, StoreError> {
        self.optional_timestamp(column)?.ok_or_else(|| self.unexpected_null(column))
    }

    /// An integer column that holds milliseconds since 1970.
    pub(crate) fn optional_timestamp(&self, column: usize) -> Result<Option<Timestamp>, StoreError> {
        let at = self.optional_int(column)?.map(Timestamp::from_millisecond).transpose();
        at.map_err(|error| StoreError::damaged(error.to_string()))
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
