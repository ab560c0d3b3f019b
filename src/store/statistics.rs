//! What SQLite is told of tables whose columns it would guess wrongly.
//!
//! A planner that has counted nothing takes it that ten rows share the first column of an index, and nine the first two. Of
//! kinds of identifiers there are a handful, and of scopes not many more: by that guess SQLite walks along everybody's chats
//! to find those of one person. Counting (`ANALYZE`) reads the whole table, so it is told instead, in the way that SQLite
//! documents for this (`sqlite_stat1`, "Fixed Results Of The ANALYZE Command"). PostgreSQL counts by itself.

use super::StoreError;
use super::sql::{Connection, args};

/// Table, index, and rows in all; then rows that share one column, two, and so on. What matters is which is how much larger.
const TOLD: &[(&str, &str, &str)] = &[
    // Kind, scope, value.
    ("identifiers", "sqlite_autoindex_identifiers_1", "1000000 250000 50000 1"),
    ("identifiers", "identifiers_person", "1000000 4"),
];

/// Tells a SQLite database what it does not know yet. Connections that are opened after it plan by it, and this one.
pub(super) async fn tell(connection: &mut Connection) -> Result<(), StoreError> {
    // Makes the table where there is none, and counts nothing.
    connection.execute("ANALYZE sqlite_schema", args![]).await?;
    let mut is_news = false;
    for (table, index, rows) in TOLD {
        let sql = "INSERT INTO sqlite_stat1 (tbl, idx, stat) SELECT $1, $2, $3 \
                   WHERE NOT EXISTS (SELECT 1 FROM sqlite_stat1 WHERE tbl = $1 AND idx = $2)";
        is_news |= connection.execute(sql, args![*table, *index, *rows]).await? > 0;
    }
    if is_news {
        connection.execute("ANALYZE sqlite_schema", args![]).await?;
    }
    Ok(())
}
