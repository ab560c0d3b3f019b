//! From SQLite to PostgreSQL: every value, half-way and back, with leads that were being pushed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use leadfold::app::until_quiet;
use leadfold::clock::{Clock as _, SystemClock};
use leadfold::sandbox::{Faults, Sandbox, SandboxOptions};
use leadfold::store::Store;
use leadfold::store::moving::{Moved, Step};
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection, Row as _,
    SqliteConnection,
};

use crate::commands::{Running, leadfold, run};
use crate::postgres::Database;
use crate::rig::{MAPPING, PATIENCE, WORKSPACE, event, now_millis, spellings, until};

/// A registry of this version, with nothing in it.
struct Old {
    folder: PathBuf,
    url: String,
}

impl Old {
    async fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("leadfold-moving-{}", SystemClock.new_id()));
        let url = format!("sqlite://{}", folder.join("leadfold.db").display());
        let old = Self { folder, url };
        old.open().await.unwrap().close().await;
        old
    }

    async fn open(&self) -> Result<Store, String> {
        Store::open(&self.url, Arc::new(SystemClock)).await.map_err(|refusal| refusal.to_string())
    }

    async fn connect(&self) -> SqliteConnection {
        self.url.parse::<SqliteConnectOptions>().unwrap().connect().await.unwrap()
    }

    async fn run(&self, sql: &str) {
        let mut connection = self.connect().await;
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    async fn move_to(&self, to: &str) -> Result<Moved, String> {
        let moved = Store::move_registry(&self.url, to, Timestamp::UNIX_EPOCH, &mut |_| {}).await;
        moved.map_err(|refusal| refusal.to_string())
    }

    fn remove(self) {
        std::fs::remove_dir_all(self.folder).unwrap();
    }
}

async fn connect(database: &Database) -> PgConnection {
    database.url.parse::<PgConnectOptions>().unwrap().connect().await.unwrap()
}

/// Tables of the new database and the types of their columns.
async fn tables(new: &mut PgConnection) -> BTreeMap<String, Vec<(String, String, bool)>> {
    let sql = "SELECT table_name::text, column_name::text, data_type::text, is_nullable::text \
               FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> '_sqlx_migrations' \
               ORDER BY table_name, ordinal_position";
    let mut tables: BTreeMap<String, Vec<(String, String, bool)>> = BTreeMap::new();
    for row in sqlx::query(sql).fetch_all(new).await.unwrap() {
        let nullable = row.get::<String, _>(3) == "YES";
        tables.entry(row.get(0)).or_default().push((row.get(1), row.get(2), nullable));
    }
    tables
}

macro_rules! shown {
    ($row:ty, $name:ident) => {
        fn $name(row: &$row, columns: &[(String, String, bool)]) -> Vec<String> {
            let value = |(index, (_, kind, _)): (usize, &(String, String, bool))| match kind.as_str() {
                "text" => format!("{:?}", row.get::<Option<String>, _>(index)),
                "bigint" => format!("{:?}", row.get::<Option<i64>, _>(index)),
                "bytea" => format!("{:?}", row.get::<Option<Vec<u8>>, _>(index)),
                other => panic!("a column of type {other}"),
            };
            columns.iter().enumerate().map(value).collect()
        }
    };
}
shown!(SqliteRow, shown_by_sqlite);
shown!(PgRow, shown_by_postgres);

/// SQL for a value that a table may have in this column of this row.
fn value(table: &str, (column, kind, nullable): &(String, String, bool), ddl: &str, row: usize) -> String {
    // What a CHECK allows.
    let allowed = |from: &str| ddl.split(from).nth(1).map(str::trim_start);
    if let Some(rest) = allowed(&format!("CHECK ({column} IN")) {
        return format!("'{}'", rest.split('\'').nth(1).unwrap());
    }
    if let Some(rest) = allowed(&format!("CHECK ({column} = ")) {
        return rest.split(')').next().unwrap().to_owned();
    }
    if *nullable && row % 2 == 1 {
        return "NULL".to_owned();
    }
    match kind.as_str() {
        "bigint" => {
            [i64::MAX.to_string(), "-9223372036854775807 - 1".to_owned(), "0".to_owned()][row % 3].clone()
        }
        "bytea" => ["X''".to_owned(), "X'00FF0A0D5C092E4E277F80C328'".to_owned(), "X'00'".to_owned()]
            [row % 3]
            .clone(),
        _ => format!("'{table} {row} \t\\N\\\\.\r\n''\"Олена 👍🏽 \\u0000 {}'", "ї".repeat(row % 60)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_value_of_every_table_is_there() {
    let Some(model) = Database::create().await else { return };
    Store::open(&model.url, Arc::new(SystemClock)).await.unwrap().close().await;
    let tables = tables(&mut connect(&model).await).await;
    assert!(tables.len() >= 17 && tables.contains_key("deliveries"), "{:?}", tables.keys());
    model.remove().await;

    let old = Old::new().await;
    let mut connection = old.connect().await;
    connection.execute("BEGIN").await.unwrap();
    for (table, columns) in &tables {
        let ddl = "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = $1";
        let ddl: String = sqlx::query_scalar(ddl).bind(table).fetch_one(&mut connection).await.unwrap();
        // More than one piece that is handed over at once.
        let rows = if table == "deliveries" { 4000 } else { 5 };
        let mut stored = 0;
        for row in 0..rows {
            let values: Vec<String> = columns.iter().map(|column| value(table, column, &ddl, row)).collect();
            let sql = format!("INSERT INTO {table} VALUES ({})", values.join(", "));
            let sql = sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await;
            // A table that may have one row has one.
            stored += sql.map_or(0, |done| done.rows_affected());
        }
        assert!(stored > 0, "no row of {table} could be made up: teach `value` about it");
    }
    // PostgreSQL refuses U+0000 in text; ours lose it before they are stored.
    sqlx::query("UPDATE alerts SET text = 'a' || char(0) || 'b' WHERE cause LIKE 'alerts 0%'")
        .execute(&mut connection)
        .await
        .unwrap();
    connection.execute("COMMIT").await.unwrap();
    connection.close().await.unwrap();

    let Some(database) = Database::create().await else { return };
    let moved = old.move_to(&database.url).await.unwrap();
    let names: Vec<&String> = moved.tables.iter().map(|(name, _)| name).collect();
    assert_eq!(names, tables.keys().collect::<Vec<_>>());
    assert_eq!(moved.without_zero, 1);
    let (mut old_connection, mut new) = (old.connect().await, connect(&database).await);
    for (table, columns) in &tables {
        let names: Vec<&str> = columns.iter().map(|(name, ..)| name.as_str()).collect();
        let sql = format!("SELECT {} FROM {table}", names.join(", "));
        let theirs = sqlx::query(AssertSqlSafe(sql.clone())).fetch_all(&mut new).await.unwrap();
        let ours = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut old_connection).await.unwrap();
        let mut theirs: Vec<_> = theirs.iter().map(|row| shown_by_postgres(row, columns)).collect();
        let mut ours: Vec<_> = ours.iter().map(|row| shown_by_sqlite(row, columns)).collect();
        ours.retain(|row| !row[0].contains("moved to "));
        for text in ours.iter_mut().flatten() {
            *text = text.replace("a\\0b", "ab");
        }
        ours.sort();
        theirs.sort();
        assert!(ours == theirs, "{table}: {} rows, {} there", ours.len(), theirs.len());
    }
    drop((old_connection, new));
    database.remove().await;
    old.remove();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_breaks_off_leaves_nothing_and_is_run_again() {
    let Some(database) = Database::create().await else { return };
    let old = Old::new().await;
    // Breaks off with everything copied and half of it compared.
    let (from, to) = (old.url.clone(), database.url.clone());
    let broken = tokio::spawn(async move {
        let mut stop = |step| assert!(!matches!(step, Step::Compared(_)), "the machine loses power");
        Store::move_registry(&from, &to, Timestamp::UNIX_EPOCH, &mut stop).await.map(drop)
    });
    assert!(broken.await.is_err());
    old.open().await.expect("the old one can still be served").close().await;
    let tables = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'public'";
    assert_eq!(database.run(tables).await, [0]);

    old.move_to(&database.url).await.unwrap();
    let refusal = old.open().await.err().unwrap();
    for part in ["was moved to", "1970-01-01", "double its leads", "leadfold move --undo --from sqlite://"] {
        assert!(refusal.contains(part), "{refusal}");
    }
    // Whoever only looks may look.
    Store::open_to_read(&old.url).await.unwrap().close().await;
    let again = old.move_to(&database.url).await.unwrap_err();
    assert!(again.contains("already: serve that one"), "{again}");
    let Some(elsewhere) = Database::create().await else { return };
    let refusal = old.move_to(&elsewhere.url).await.unwrap_err();
    assert!(refusal.contains("was moved to"), "one registry in two places: {refusal}");

    // A mark without what it speaks of: the commit never came.
    let sql = "DROP SCHEMA public CASCADE; CREATE SCHEMA public";
    let mut connection = connect(&database).await;
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    old.move_to(&database.url).await.unwrap();
    Store::open(&database.url, Arc::new(SystemClock)).await.unwrap().close().await;
    let moved_along = "SELECT COUNT(*) FROM counters WHERE name LIKE 'moved to %'";
    assert_eq!(database.run(moved_along).await, [0]);

    let undo = ["move", "--undo", "--yes", "--from", &old.url];
    let (code, out, _) = run(&undo);
    assert!(code == 0 && out.contains("It can be served again"), "{out}");
    old.open().await.unwrap().close().await;
    let (code, out, _) = run(&undo);
    assert!(code == 1 && out.contains("there is nothing to undo"), "{out}");
    database.remove().await;
    elsewhere.remove().await;
    old.remove();
}

const SPOILER: &str = "
    CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.text := upper(NEW.text); RETURN NEW; END $$;
    CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
        IF to_regclass('alerts') IS NOT NULL AND NOT EXISTS (SELECT 1 FROM pg_trigger WHERE tgname = 'spoil') THEN
            CREATE TRIGGER spoil BEFORE INSERT ON alerts FOR EACH ROW EXECUTE FUNCTION spoil();
        END IF;
    END $$;
    CREATE EVENT TRIGGER watch ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION watch();";

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_moved_is_named() {
    let Some(database) = Database::create().await else { return };
    let old = Old::new().await;
    let check = async |says: &[&str]| {
        let refusal = old.move_to(&database.url).await.unwrap_err();
        for part in says {
            assert!(refusal.contains(part), "no '{part}' in: {refusal}");
        }
        old.open().await.expect("nothing is moved").close().await;
    };
    let running = old.open().await.unwrap();
    let refusal = old.move_to(&database.url).await.unwrap_err();
    assert!(refusal.contains("a leadfold runs on") && refusal.contains("stop it first"), "{refusal}");
    running.close().await;

    // PostgreSQL indexes no text as long as this, and squeezes one that repeats itself.
    let long: String =
        (0..9000_u32).map(|number| char::from(b'!' + (number * number / 7 % 6) as u8)).collect();
    let long = format!("{long}{}", (0..900).map(|_| SystemClock.new_id().to_string()).collect::<String>());
    let key =
        |key: &str| format!("INSERT INTO event_keys VALUES ('shop', '{}', 'e', 1, 2)", key.replace('\'', ""));
    old.run(&format!("{};{}", key("short"), key(&long))).await;
    check(&["refuses a row of the table 'event_keys' (rowid 2, source = shop", "index row"]).await;
    old.run("DELETE FROM event_keys").await;
    old.run("INSERT INTO alerts VALUES (CAST(X'ff61' AS TEXT), 'x', 1)").await;
    check(&["cause in row 1 of the table 'alerts'"]).await;
    old.run("DELETE FROM alerts").await;
    old.run("CREATE TABLE mine (id BIGINT PRIMARY KEY)").await;
    check(&["has the table 'mine', which is not leadfold's"]).await;
    old.run("DROP TABLE mine").await;
    let mut connection = connect(&database).await;
    sqlx::query("CREATE TABLE theirs (id BIGINT)").execute(&mut connection).await.unwrap();
    check(&["is not empty (it has the table 'theirs')"]).await;
    sqlx::query("DROP TABLE theirs").execute(&mut connection).await.unwrap();
    // A database that alters what it is given, as soon as there is a table to do so on.
    old.run("INSERT INTO alerts VALUES ('a', 'x', 1)").await;
    sqlx::raw_sql(SPOILER).execute(&mut connection).await.unwrap();
    check(&["does not give back what was copied into 'alerts' (1 rows sent, 1 kept)"]).await;
    sqlx::raw_sql("DROP EVENT TRIGGER watch").execute(&mut connection).await.unwrap();
    old.run("DELETE FROM _sqlx_migrations WHERE version > 1").await;
    let refusal = old.move_to(&database.url).await.unwrap_err();
    assert!(refusal.contains("run its `leadfold migrate` first"), "{refusal}");
    let (code, _, err) = run(&["move", "--from", &database.url, "--to", &old.url]);
    assert!(code == 2 && err.contains("from SQLite to PostgreSQL"), "{err}");
    database.remove().await;
    old.remove();
}

#[tokio::test(flavor = "multi_thread")]
async fn leads_that_are_being_pushed_go_on_where_they_were() {
    let Some(database) = Database::create().await else { return };
    let old = Old::new().await;
    let faults = Faults { latency_ms: "150".parse().unwrap(), ..Faults::default() };
    let crm = Sandbox::start(SandboxOptions { faults, ..SandboxOptions::default() }).await.unwrap();
    let settings = "timeout: 1m, settle: 1s";
    let workspace =
        WORKSPACE.replace("{ADDRESS}", &crm.addr().to_string()).replace("{DESTINATION}", settings);
    let workspace = workspace.replace("concurrency: 48", "concurrency: 4");
    let mappings = old.folder.join("mappings");
    std::fs::create_dir_all(&mappings).unwrap();
    std::fs::write(mappings.join("workspace.yaml"), workspace).unwrap();
    std::fs::write(mappings.join("sendpulse.yaml"), MAPPING).unwrap();
    let serve = |database: &str| {
        let mappings = mappings.to_str().unwrap();
        leadfold(&[
            "serve",
            "--workspace",
            mappings,
            "--database",
            database,
            "--listen",
            "127.0.0.1:0",
            "--api-token",
            "s3cret",
        ])
    };

    let server = Running::start(serve(&old.url), "receives on");
    let humans = 20;
    for round in 0..2 {
        for human in 0..humans {
            let phone = &spellings(&format!("67123{human:04}"))[human % 9 + round];
            let body = event(&format!("tg-{human}"), "telegram", json!({ "phone": phone }), now_millis());
            assert!(server.post("/in/sendpulse/demo", &body.to_string()).starts_with("HTTP/1.1 200"));
        }
    }
    until("three deals", async || crm.stats().deals >= 3).await;
    // From now on the CRM keeps what it gets and says nothing: what is sent stays in flight.
    crm.set_faults(Faults { timeout_after: 1.0, ..Faults::default() });
    let mut connection = old.connect().await;
    let sent = "SELECT COUNT(*) FROM steps WHERE state = 'sent'";
    until("a step in flight", async || {
        sqlx::query_scalar::<_, i64>(sent).fetch_one(&mut connection).await.unwrap() > 0
    })
    .await;
    server.signal("KILL");
    drop(server);
    connection.close().await.unwrap();
    crm.set_faults(Faults::default());
    assert!(crm.stats().deals < humans, "it was faster than this test: {:?}", crm.stats());

    let (code, out, err) = run(&["move", "--from", &old.url, "--to", &database.url]);
    assert!(code == 0 && out.contains("each compared with what is there"), "{out}{err}");
    assert!(out.contains("  deliveries                40"), "{out}");
    assert!(old.open().await.err().unwrap().contains("was moved to"));

    let server = Running::start(serve(&database.url), "receives on");
    let registry = Store::open_to_read(&database.url).await.unwrap();
    assert!(until_quiet(&registry, PATIENCE).await.unwrap(), "{:?}", registry.counts().await);
    let (counts, stats) = (registry.counts().await.unwrap(), crm.stats());
    registry.close().await;
    assert_eq!((stats.contacts, stats.deals, stats.tasks), (humans, humans, humans), "{counts:?}");
    assert_eq!((counts.deliveries, counts.open), (40, 0), "{counts:?}");
    assert_eq!(server.terminate().0, 0);
    database.remove().await;
    old.remove();
}
