//! What a database must be like before anything is acknowledged on it. Each refusal says what to change.

use sqlx::{PgPool, Row as _};
use tracing::warn;

use super::sql::{Connection, args};
use super::{APART, CONNECTIONS, StoreError};

/// The oldest server that this is tested with, as PostgreSQL numbers them.
const OLDEST_SERVER: i64 = 150_000;

/// Under which settings SQLite runs.
pub(super) async fn sqlite(connection: &mut Connection) -> Result<(), StoreError> {
    let synchronous = connection.fetch("PRAGMA synchronous", args![]).await?;
    let synchronous = synchronous.first().map_or(Ok(0), |row| row.int(0))?;
    let journal = connection.fetch("PRAGMA journal_mode", args![]).await?;
    let journal = journal.first().map_or_else(|| Ok(String::new()), |row| row.text(0))?;
    if synchronous < 2 || journal != "wal" {
        return Err(StoreError::new(format!(
            "SQLite runs with synchronous={synchronous} and journal_mode={journal}; leadfold needs FULL (2) and wal, \
             because an acknowledged lead must survive a power cut. Put the database on a local disk"
        )));
    }
    Ok(())
}

/// What a PostgreSQL says of itself.
struct Facts {
    number: i64,
    version: String,
    fsync: String,
    full_page_writes: String,
    synchronous_commit: String,
    isolation: String,
    read_only: String,
    standby: bool,
    encoding: String,
}

const FACTS: &str = "\
    SELECT current_setting('server_version_num')::bigint, current_setting('server_version'), \
    current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'), \
    current_setting('default_transaction_isolation'), current_setting('default_transaction_read_only'), \
    pg_is_in_recovery(), \
    (SELECT pg_encoding_to_char(encoding)::text FROM pg_database WHERE datname = current_database())";

/// Connections that are left for this user on this database, beside those that are reserved for superusers.
const FREE: &str = "\
    SELECT LEAST(current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint, \
        (SELECT NULLIF(datconnlimit, -1) FROM pg_database WHERE datname = current_database()), \
        (SELECT NULLIF(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user)) \
    - (SELECT COUNT(*) FROM pg_stat_activity WHERE backend_type = 'client backend')";

/// Under which settings PostgreSQL runs.
pub(super) async fn postgres(pool: &PgPool, place: &str) -> Result<(), StoreError> {
    let mut connection = pool.acquire().await?;
    let row = sqlx::query(FACTS).fetch_one(&mut *connection).await?;
    if pool.options().get_max_connections() > 1 {
        // A second connection prepares what the first one has: a pooler that mixes them up fails here and not when leads
        // come.
        let mut second = pool.acquire().await?;
        sqlx::query(FACTS).fetch_one(&mut *second).await?;
    }
    drop(connection);
    let facts = Facts {
        number: row.try_get(0)?,
        version: row.try_get(1)?,
        fsync: row.try_get(2)?,
        full_page_writes: row.try_get(3)?,
        synchronous_commit: row.try_get(4)?,
        isolation: row.try_get(5)?,
        read_only: row.try_get(6)?,
        standby: row.try_get(7)?,
        encoding: row.try_get(8)?,
    };
    if let Some(why) = facts.refusal() {
        return Err(StoreError::new(format!("the database at {place} cannot be used: {why}")));
    }
    let free: i64 = sqlx::query_scalar(FREE).fetch_one(pool).await?;
    let wanted = CONNECTIONS + APART;
    if free < i64::from(wanted) {
        warn!(
            database = place,
            free,
            wanted,
            "PostgreSQL has fewer connections left than a process of leadfold opens: raise max_connections, or the limit of \
             the user or the database, or run fewer processes"
        );
    }
    Ok(())
}

impl Facts {
    /// Why nothing may be acknowledged here, and what to change.
    fn refusal(&self) -> Option<String> {
        let durable = |setting: &str, value: &str| {
            format!(
                "it runs with {setting} = {value}; leadfold needs 'on', because an acknowledged lead must survive a crash \
                 of the database. Change it in postgresql.conf, or where the user or the database sets it"
            )
        };
        let safe_commits = ["on", "remote_apply", "remote_write", "local"];
        if self.number < OLDEST_SERVER {
            Some(format!("it is PostgreSQL {}; leadfold needs 15 or newer", self.version))
        } else if self.standby {
            Some("it is a standby, which takes no writes: name the primary in --database".to_owned())
        } else if self.read_only != "off" {
            Some(
                "it is read-only (default_transaction_read_only = on): name the primary in --database, or switch that off \
                 for its user"
                    .to_owned(),
            )
        } else if self.fsync != "on" {
            Some(durable("fsync", &self.fsync))
        } else if self.full_page_writes != "on" {
            Some(durable("full_page_writes", &self.full_page_writes))
        } else if !safe_commits.contains(&self.synchronous_commit.as_str()) {
            Some(durable("synchronous_commit", &self.synchronous_commit))
        } else if self.isolation != "read committed" {
            Some(format!(
                "its transactions begin as '{}' (default_transaction_isolation); leadfold is made for 'read committed': \
                 ALTER ROLE … SET default_transaction_isolation = 'read committed'",
                self.isolation
            ))
        } else if self.encoding != "UTF8" {
            Some(format!(
                "its encoding is {}, and names in any script must fit: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0",
                self.encoding
            ))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_is_refused_with_what_to_change() {
        let good = || Facts {
            number: 150_004,
            version: "15.4".to_owned(),
            fsync: "on".to_owned(),
            full_page_writes: "on".to_owned(),
            synchronous_commit: "on".to_owned(),
            isolation: "read committed".to_owned(),
            read_only: "off".to_owned(),
            standby: false,
            encoding: "UTF8".to_owned(),
        };
        let check = |facts: Facts, expect: Option<&str>| {
            let said = facts.refusal();
            assert_eq!(said.is_some(), expect.is_some(), "{said:?}");
            assert!(said.as_deref().unwrap_or_default().contains(expect.unwrap_or_default()), "{said:?}");
        };
        let off = || "off".to_owned();
        check(good(), None);
        check(Facts { synchronous_commit: "remote_apply".to_owned(), ..good() }, None);
        check(
            Facts { number: 140_011, version: "14.11".to_owned(), ..good() },
            Some("PostgreSQL 14.11; leadfold needs 15"),
        );
        check(Facts { standby: true, read_only: "on".to_owned(), ..good() }, Some("a standby"));
        check(Facts { read_only: "on".to_owned(), ..good() }, Some("read-only"));
        check(Facts { fsync: off(), ..good() }, Some("fsync = off"));
        check(Facts { full_page_writes: off(), ..good() }, Some("full_page_writes = off"));
        check(Facts { synchronous_commit: off(), ..good() }, Some("synchronous_commit = off"));
        check(Facts { isolation: "serializable".to_owned(), ..good() }, Some("ALTER ROLE"));
        check(Facts { encoding: "SQL_ASCII".to_owned(), ..good() }, Some("ENCODING 'UTF8'"));
    }
}
