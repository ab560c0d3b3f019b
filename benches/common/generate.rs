//! A large registry, made inside the database.

use std::error::Error;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _};

use crate::load::now_millis;

type Outcome<T> = Result<T, Box<dyn Error>>;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

pub(crate) struct Registry {
    pub(crate) kind: Kind,
    pub(crate) url: String,
}

enum Connection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// Deliveries per statement.
const PIECE: u64 = 250_000;
/// How far back the first delivery came.
pub(crate) const SPAN: u64 = 400 * 24 * 60 * 60 * 1000;

impl Registry {
    pub(crate) async fn create_in_postgres(server: &str, name: &str) -> Outcome<Self> {
        let name = format!("leadfold_growth_{name}_{}", std::process::id());
        let (root, _) = server.rsplit_once('/').ok_or("DATABASE_URL is postgres://user@host/name")?;
        let registry = Self { kind: Kind::Postgres, url: format!("{root}/{name}") };
        on_server(server, &format!("CREATE DATABASE {name}")).await?;
        Ok(registry)
    }

    pub(crate) async fn drop_in_postgres(&self, server: &str) -> Outcome<()> {
        let name = self.url.rsplit('/').next().unwrap_or_default();
        on_server(server, &format!("DROP DATABASE {name} WITH (FORCE)")).await
    }

    pub(crate) async fn bytes(&self) -> Outcome<u64> {
        let sql = match self.kind {
            Kind::Sqlite => "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
            Kind::Postgres => "SELECT pg_database_size(current_database())",
        };
        let size: i64 = match self.connect().await? {
            Connection::Sqlite(mut connection) => connection.fetch_one(sql).await?.get(0),
            Connection::Postgres(mut connection) => connection.fetch_one(sql).await?.get(0),
        };
        Ok(size.unsigned_abs())
    }

    /// Fills a registry that has its schema and nothing else, and says of what.
    pub(crate) async fn fill(&self, rows: u64) -> Outcome<Texts> {
        let texts = Texts { kind: self.kind, rows, humans: (rows / 4).max(1), start: now_millis() - SPAN };
        let mut statements = Vec::new();
        let mut first = 0;
        while first < rows {
            let last = (first + PIECE).min(rows);
            statements.extend(texts.piece(first, last));
            first = last;
        }
        statements.push(format!("UPDATE counters SET value = {rows} WHERE name = 'sequence'"));
        self.run(&statements).await?;
        Ok(texts)
    }

    /// Runs statements that write much.
    pub(crate) async fn run(&self, statements: &[String]) -> Outcome<()> {
        let mut connection = self.connect().await?;
        for sql in statements {
            run(&mut connection, sql).await.map_err(|failure| format!("{failure} in {sql}"))?;
        }
        match connection {
            Connection::Sqlite(mut connection) => {
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").await?;
                connection.close().await?;
                // Nothing of it is synced until now: the first who syncs a page of his own would pay for all.
                std::fs::File::open(self.url.trim_start_matches("sqlite://"))?.sync_all()?;
            }
            Connection::Postgres(mut connection) => {
                for sql in ["VACUUM ANALYZE", "CHECKPOINT"] {
                    connection.execute(sql).await?;
                }
                connection.close().await?;
            }
        }
        Ok(())
    }

    async fn connect(&self) -> Outcome<Connection> {
        Ok(match self.kind {
            Kind::Sqlite => {
                let options: SqliteConnectOptions = self.url.parse()?;
                let options = options
                    .busy_timeout(Duration::from_secs(10))
                    .pragma("synchronous", "OFF")
                    .pragma("cache_size", "-1500000")
                    .pragma("wal_autocheckpoint", "100000");
                Connection::Sqlite(options.connect().await?)
            }
            Kind::Postgres => {
                let options: PgConnectOptions = self.url.parse()?;
                let mut connection = options.connect().await?;
                connection.execute("SET synchronous_commit = off").await?;
                Connection::Postgres(connection)
            }
        })
    }
}

async fn on_server(server: &str, sql: &str) -> Outcome<()> {
    let options: PgConnectOptions = server.parse()?;
    let mut connection = options.connect().await?;
    connection.execute(AssertSqlSafe(sql)).await?;
    connection.close().await?;
    Ok(())
}

async fn run(connection: &mut Connection, sql: &str) -> Outcome<()> {
    match connection {
        Connection::Sqlite(connection) => connection.execute(AssertSqlSafe(sql)).await.map(|_| ())?,
        Connection::Postgres(connection) => connection.execute(AssertSqlSafe(sql)).await.map(|_| ())?,
    }
    Ok(())
}

/// What rows are made of.
pub(crate) struct Texts {
    pub(crate) kind: Kind,
    pub(crate) rows: u64,
    pub(crate) humans: u64,
    /// When the first delivery came.
    pub(crate) start: u64,
}

impl Texts {
    pub(crate) fn hex(&self, number: &str, digits: u32) -> String {
        match self.kind {
            Kind::Sqlite => format!("printf('%0{digits}x', {number})"),
            Kind::Postgres => format!("lpad(to_hex(({number})::bigint), {digits}, '0')"),
        }
    }

    pub(crate) fn decimal(&self, number: &str, digits: u32) -> String {
        match self.kind {
            Kind::Sqlite => format!("printf('%0{digits}d', {number})"),
            Kind::Postgres => format!("lpad(({number})::text, {digits}, '0')"),
        }
    }

    /// When the delivery of a number came, in milliseconds.
    pub(crate) fn at(&self, number: &str) -> String {
        format!("({} + CAST({number} AS BIGINT) * {})", self.start, (SPAN / self.rows).max(1))
    }

    /// An id as of that moment, another one for each letter.
    pub(crate) fn id(&self, letter: char, number: &str) -> String {
        let at = self.at(number);
        format!(
            "{} || '-' || {} || '-7000-8{:03x}-' || {}",
            self.hex(&format!("{at} / 65536"), 8),
            self.hex(&format!("{at} % 65536"), 4),
            u32::from(letter),
            self.hex(number, 12)
        )
    }

    /// A number below a billion that no other of these has, in no order.
    pub(crate) fn scattered(number: &str) -> String {
        format!("(({number}) * 387420489) % 999999937")
    }

    /// A word of letters, another one for each number below ten million.
    pub(crate) fn word(&self, number: &str) -> String {
        let letter = if self.kind == Kind::Sqlite { "char" } else { "chr" };
        let scattered = Self::scattered(number);
        let letters: Vec<String> = (0..5)
            .map(|place| {
                let of = 26_u64.pow(place);
                format!("{letter}(CAST(97 + ({scattered}) / {of} % 26 AS INTEGER))")
            })
            .collect();
        format!("('k' || {})", letters.join(" || "))
    }

    fn piece(&self, first: u64, last: u64) -> Vec<String> {
        let series = |until: u64| {
            // A seed of 64 bits: what is counted up stays of its type.
            format!(
                "WITH RECURSIVE series (n) AS (SELECT CAST({first} AS BIGINT) UNION ALL SELECT n + 1 FROM series \
                 WHERE n + 1 < {until})"
            )
        };
        let human = format!("n % {}", self.humans);
        let (delivery, event, lead, sync) =
            (self.id('d', "n"), self.id('e', "n"), self.id('l', "n"), self.id('s', "n"));
        let (person, at) = (self.id('p', &human), self.at("n"));
        let key = format!("{} || {}", self.hex(&Self::scattered("n"), 8), self.hex("n", 24));
        let phone = format!("'+999' || {}", self.decimal(&Self::scattered("n"), 9));
        let chat = format!("{} || {}", self.hex(&Self::scattered("n + 7"), 12), self.hex("n", 12));
        let text = |number: &str| format!("CAST({number} AS TEXT)");
        let bytes = |text: &str| match self.kind {
            Kind::Sqlite => format!("CAST('{text}' AS BLOB)"),
            Kind::Postgres => format!("convert_to('{text}', 'UTF8')"),
        };
        let emptied = format!("n < {}", self.rows / 4 * 3);
        let why = r#"{"code":"no_branch","text":"No branch of the mapping wants this event."}"#;
        let contact = r#"{"contact":{"name":"Olena","phones":[],"emails":[]},"branch":"Kyiv"}"#;
        let mapped = "n % 10 < 7";
        let mut texts = Vec::new();
        let mut insert = |until: u64, into: &str, select: String| {
            texts.push(format!("INSERT INTO {into} {} {select}", series(until)));
        };
        insert(
            last,
            "deliveries (id, source, method, headers, body, received_at, state, emptied_at)",
            format!(
                "SELECT {delivery}, 'sendpulse', 'POST', '[]', CASE WHEN {emptied} THEN {} ELSE {} END, {at}, 'prepared', \
                 CASE WHEN {emptied} THEN {at} END FROM series",
                bytes(""),
                bytes("[{\"a\":\"a body of a few bytes\"}]"),
            ),
        );
        insert(
            last,
            "events (id, delivery, position, source, key)",
            format!("SELECT {event}, {delivery}, 0, 'sendpulse', {key} FROM series"),
        );
        insert(
            last,
            "event_keys (source, key, event, at, until)",
            format!("SELECT 'sendpulse', {key}, {event}, {at}, {at} + {SPAN} FROM series"),
        );
        insert(
            last,
            "leads (id, event, source, version, branch, sequence, person, state, why, lead, conflicts, received_at)",
            format!(
                "SELECT {lead}, {event}, 'sendpulse', 'a version', 0, n + 1, CASE WHEN {mapped} THEN {person} END, \
                 CASE WHEN {mapped} THEN 'mapped' ELSE 'filtered' END, CASE WHEN {mapped} THEN NULL ELSE '{why}' END, \
                 CASE WHEN {mapped} THEN '{contact}' END, '[]', {at} FROM series"
            ),
        );
        for word in ["'olena'".to_owned(), self.word("n")] {
            let word = match self.kind {
                Kind::Sqlite => format!("CAST({word} AS BLOB)"),
                Kind::Postgres => format!("convert_to({word}, 'UTF8')"),
            };
            insert(
                last,
                "lead_names (word, sequence)",
                format!("SELECT {word}, n + 1 FROM series WHERE {mapped}"),
            );
        }
        insert(
            last,
            "syncs (id, lead, destination, person, sequence, priority, state, next_at, updated_at)",
            format!(
                "SELECT {sync}, {lead}, 'crm', {person}, n + 1, 0, 'synced', {at}, {at} FROM series WHERE {mapped}"
            ),
        );
        insert(
            last,
            "steps (id, sync, position, kind, action, state, record, sent_at, ended_at)",
            format!(
                "SELECT {}, {sync}, 0, 'create task', '{{}}', 'done', {}, {at}, {at} FROM series WHERE {mapped}",
                self.id('t', "n"),
                text("n")
            ),
        );
        let last = last.min(self.humans);
        if first < last {
            let person = self.id('p', "n");
            insert(last, "persons (id, created_at)", format!("SELECT {person}, {at} FROM series"));
            for (kind, scope, value) in [("phone", "", &phone), ("chat", "telegram:bot", &chat)] {
                insert(
                    last,
                    "identifiers (kind, scope, value, person, shown, proof, first_seen, seen)",
                    format!(
                        "SELECT '{kind}', '{scope}', {value}, {person}, {value}, 'claimed', {at}, {at} FROM series"
                    ),
                );
            }
            for kind in ["contact", "deal"] {
                insert(
                    last,
                    "links (destination, kind, record, person, contact, step, created_at)",
                    format!(
                        "SELECT 'crm', '{kind}', {0}, {person}, CASE WHEN '{kind}' = 'deal' THEN {0} END, NULL, {at} \
                         FROM series",
                        text("n")
                    ),
                );
            }
        }
        texts
    }
}
