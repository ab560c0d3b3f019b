//! The PostgreSQL that is tortured: empty before, broken in between, empty again afterwards. These are the only
//! statements outside the registry, because they do what leadfold never does.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, Row as _};
use tokio::time::{Instant, sleep};

use super::Failure;

/// Longest that a restart may take.
const RESTART: Duration = Duration::from_mins(2);
/// How often somebody who waits for it looks.
const LOOK: Duration = Duration::from_millis(100);

/// A database of which every connection can be broken.
#[derive(Clone)]
pub(super) struct Database {
    options: PgConnectOptions,
}

impl Database {
    /// Refuses a database in which there is anything.
    pub(super) async fn empty(url: &str) -> Result<Self, Failure> {
        // The text of the error never holds the address, which may carry a password.
        let options = PgConnectOptions::from_str(url).map_err(|error| {
            format!("--database cannot be read ({error}): write postgres://user:password@host/name")
        })?;
        let database = Self { options };
        let tables = database.tables().await.map_err(|error| {
            format!(
                "the database {} cannot be opened: {error}. Look whether it is up and yours",
                database.place()
            )
        })?;
        match tables.first() {
            None => Ok(database),
            Some(table) => Err(format!(
                "the database {} is not empty: it has the table '{table}'. What is tortured is emptied at the end, so make \
                 one for it: `createdb leadfold_torture`",
                database.place()
            )),
        }
    }

    fn place(&self) -> String {
        let name = self.options.get_database().unwrap_or_default();
        format!("{}:{}/{name}", self.options.get_host(), self.options.get_port())
    }

    /// Waits until it answers.
    pub(super) async fn until_it_is_up(&self) -> Result<(), Failure> {
        let begun = Instant::now();
        while !self.is_up().await {
            if begun.elapsed() > RESTART {
                return Err(format!("the database did not come back within {RESTART:?}: look at its log"));
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    async fn is_up(&self) -> bool {
        match self.options.clone().connect().await {
            Ok(connection) => connection.close().await.is_ok(),
            Err(_) => false,
        }
    }

    /// Breaks every connection but its own; says how many.
    pub(super) async fn cut(&self) -> Result<i64, sqlx::Error> {
        let mut connection = self.options.clone().connect().await?;
        let cut = sqlx::query_scalar(
            "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
        let cut = cut.fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok(cut)
    }

    /// Removes every table. There was none before.
    pub(super) async fn clear(&self) -> Result<(), sqlx::Error> {
        self.cut().await?;
        let tables = self.tables().await?;
        if tables.is_empty() {
            return Ok(());
        }
        let mut connection = self.options.clone().connect().await?;
        sqlx::query(AssertSqlSafe(format!("DROP TABLE {}", tables.join(", "))))
            .execute(&mut connection)
            .await?;
        connection.close().await
    }

    /// Every table that is not PostgreSQL's own, with its schema and quoted where that is needed.
    async fn tables(&self) -> Result<Vec<String>, sqlx::Error> {
        let mut connection: PgConnection = self.options.clone().connect().await?;
        let rows = sqlx::query(
            "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables \
             WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1",
        );
        let rows = rows.fetch_all(&mut connection).await?;
        connection.close().await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    }
}

/// Runs the command that restarts the database. What it says goes to a file, because a server that it starts holds on to
/// its output.
pub(super) async fn restart(command: &str, log: &Path) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| format!("--restart '{command}' cannot be run: {error}");
    let output = File::options().create(true).append(true).open(log).map_err(cannot)?;
    let errors = output.try_clone().map_err(cannot)?;
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).stdin(Stdio::null()).stdout(output).stderr(errors);
    let mut child = shell.spawn().map_err(cannot)?;
    let begun = Instant::now();
    loop {
        match child.try_wait().map_err(cannot)? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                return Err(format!("--restart '{command}' failed ({status}): {}", said.trim()));
            }
            None if begun.elapsed() > RESTART => {
                child.kill().ok();
                child.wait().ok();
                return Err(format!("--restart '{command}' did not end within {RESTART:?}"));
            }
            None => sleep(LOOK).await,
        }
    }
}
