//! A PostgreSQL database of a test's own, where the tests were told of a server.

use leadfold::clock::{Clock as _, SystemClock};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _};

/// An empty database, as the server makes it.
pub(crate) struct Database {
    server: String,
    name: String,
    /// `postgres://…`.
    pub(crate) url: String,
}

impl Database {
    /// Makes one on the server that `DATABASE_URL` names; says that the test is skipped when it names none.
    pub(crate) async fn create() -> Option<Self> {
        Self::create_with("").await
    }

    /// The same with what follows the name in `CREATE DATABASE`.
    pub(crate) async fn create_with(settings: &str) -> Option<Self> {
        #[expect(clippy::disallowed_methods, reason = "the usual way to tell a test of its database")]
        let Ok(server) = std::env::var("DATABASE_URL") else {
            eprintln!(
                "skipped: DATABASE_URL names no PostgreSQL to run this on; `bash tests/all.sh` starts one"
            );
            return None;
        };
        let name = format!("leadfold_{}", SystemClock.new_id().simple());
        let (address, parameters) = match server.split_once('?') {
            Some((address, parameters)) => (address, format!("?{parameters}")),
            None => (server.as_str(), String::new()),
        };
        let (root, _) = address.rsplit_once('/').expect("DATABASE_URL is postgres://user@host/name");
        let url = format!("{root}/{name}{parameters}");
        run(&server, &format!("CREATE DATABASE {name} {settings}")).await;
        Some(Self { server, name, url })
    }

    /// Runs SQL that nobody but the database itself can do or tell; the first column of what it answers.
    pub(crate) async fn run(&self, sql: &str) -> Vec<i64> {
        run(&self.url, sql).await
    }

    /// Breaks every connection to it, as a restart of the server does.
    pub(crate) async fn cut(&self) {
        let sql = format!(
            "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{}'",
            self.name
        );
        run(&self.server, &sql).await;
    }

    /// Whether connections that are opened from now on may write.
    pub(crate) async fn make_read_only(&self, yes: bool) {
        run(&self.server, &format!("ALTER DATABASE {} SET default_transaction_read_only = {yes}", self.name))
            .await;
    }

    /// Throws it away, whoever is still connected.
    pub(crate) async fn remove(self) {
        run(&self.server, &format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
    }
}

/// Runs SQL on a connection of its own; the first column of what it answers.
pub(crate) async fn run(url: &str, sql: &str) -> Vec<i64> {
    let options: PgConnectOptions = url.parse().unwrap();
    let mut connection = options.connect().await.unwrap();
    let rows = connection.fetch_all(sqlx::query(AssertSqlSafe(sql.to_owned()))).await.unwrap();
    connection.close().await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}
