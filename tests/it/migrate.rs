//! Schemas of other releases, and what a PostgreSQL must be like.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::join_all;
use leadfold::clock::{Clock as _, SystemClock};
use leadfold::sandbox::Faults;
use leadfold::store::Store;
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection, SqliteConnection,
};

use crate::commands::run;
use crate::postgres::Database;
use crate::rig::{IMPATIENT, MAPPING, Rig, event, now_millis};

/// A database of either kind, before leadfold has seen it.
enum Place {
    Sqlite(PathBuf),
    Postgres(Database),
}

impl Place {
    /// One of each that there is here.
    async fn each() -> Vec<Self> {
        let folder = std::env::temp_dir().join(format!("leadfold-migrate-{}", SystemClock.new_id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut places = vec![Self::Sqlite(folder)];
        places.extend(Database::create().await.map(Self::Postgres));
        places
    }

    fn url(&self) -> String {
        match self {
            Self::Sqlite(folder) => format!("sqlite://{}", folder.join("leadfold.db").display()),
            Self::Postgres(database) => database.url.clone(),
        }
    }

    fn is_postgres(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    async fn sqlite(&self) -> SqliteConnection {
        let options: SqliteConnectOptions = self.url().parse().unwrap();
        options.create_if_missing(true).connect().await.unwrap()
    }

    async fn postgres(&self) -> PgConnection {
        self.url().parse::<PgConnectOptions>().unwrap().connect().await.unwrap()
    }

    /// Brings it to the schema of an earlier release, as that release did it.
    async fn migrate_to(&self, version: i64) {
        let migrator = migrations().await;
        match self {
            Self::Sqlite(_) => migrator.run_to(version, &mut self.sqlite().await).await.unwrap(),
            Self::Postgres(_) => migrator.run_to(version, &mut self.postgres().await).await.unwrap(),
        }
    }

    async fn run(&self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(_) => {
                let mut connection = self.sqlite().await;
                connection.execute(sqlx::raw_sql(sql)).await.unwrap();
                connection.close().await.unwrap();
            }
            Self::Postgres(_) => {
                let mut connection = self.postgres().await;
                connection.execute(sqlx::raw_sql(sql)).await.unwrap();
                connection.close().await.unwrap();
            }
        }
    }

    async fn open(&self) -> Result<Store, String> {
        Store::open(&self.url(), Arc::new(SystemClock)).await.map_err(|refusal| refusal.to_string())
    }

    async fn version(&self) -> i64 {
        Store::schema(&self.url()).await.unwrap().version
    }

    async fn remove(self) {
        match self {
            Self::Sqlite(folder) => std::fs::remove_dir_all(folder).unwrap(),
            Self::Postgres(database) => database.remove().await,
        }
    }
}

async fn migrations() -> Migrator {
    Migrator::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations")).await.unwrap()
}

/// The numbers of all migrations.
async fn versions() -> Vec<i64> {
    migrations().await.iter().map(|migration| migration.version).collect()
}

/// A delivery as the first schema stored it, acknowledged and not prepared.
fn acknowledged(phone: &str) -> String {
    let body = event(phone, "telegram", serde_json::json!({ "phone": phone }), now_millis());
    let (id, at) = (SystemClock.new_id(), now_millis());
    let body = body.to_string().replace('\'', "''");
    format!(
        "INSERT INTO deliveries (id, source, method, query, headers, body, received_at, state) VALUES \
         ('{id}', 'sendpulse', 'POST', NULL, '[[\"content-type\",\"application/json\"]]', CAST('{body}' AS BYTEA), {at}, 'received')"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_release_acknowledged_is_brought_to_the_crm() {
    let versions = versions().await;
    let newest = *versions.last().unwrap();
    // The oldest release, and the one before.
    for from in [versions[0], versions[versions.len() - 2]] {
        for place in Place::each().await {
            place.migrate_to(from).await;
            let mut insert = acknowledged("+380671234567");
            if !place.is_postgres() {
                insert = insert.replace("AS BYTEA", "AS BLOB");
            }
            place.run(&format!("{insert}; UPDATE counters SET value = 41 WHERE name = 'sequence'")).await;
            if place.is_postgres() {
                // Others may be working on it: a person decides when.
                let refusal = place.open().await.err().unwrap();
                let needs = format!(
                    "has schema {from}, and this leadfold needs {newest}: run its `leadfold migrate`"
                );
                assert!(refusal.contains(&needs), "{refusal}");
                assert_eq!(place.version().await, from, "a refusal changes nothing");
                Store::migrate(&place.url(), &mut |_| {}).await.unwrap();
            }
            let mut rig = Rig::prepare(Faults::default(), IMPATIENT, MAPPING).await;
            match place {
                Place::Sqlite(ref folder) => {
                    std::fs::copy(folder.join("leadfold.db"), rig.folder.join("leadfold.db")).unwrap();
                    place.remove().await;
                }
                Place::Postgres(database) => rig.postgres = Some(database),
            }
            rig.boot().await;
            rig.settle().await;
            assert_eq!(rig.stats().deals, 1, "from schema {from}");
            let lead = &rig.json("/api/leads").await["leads"][0];
            assert_eq!((&lead["sequence"], &lead["state"]), (&42.into(), &"synced".into()), "{lead}");
            rig.end().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_start_together_make_the_schema_once() {
    let Some(database) = Database::create().await else { return };
    let stores = join_all((0..6).map(|_| Store::open(&database.url, Arc::new(SystemClock)))).await;
    for store in stores {
        store.unwrap().close().await;
    }
    assert_eq!(database.run("SELECT version FROM _sqlx_migrations ORDER BY version").await, versions().await);
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_release_before_works_on_a_newer_schema_until_that_says_otherwise() {
    for place in Place::each().await {
        let running = place.open().await.unwrap();
        place
            .run(
                "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 SELECT 9999, 'of the next release', TRUE, checksum, 0 FROM _sqlx_migrations WHERE version = 1",
            )
            .await;
        // Whoever runs is not disturbed, and an upgrade can be taken back.
        assert_eq!(running.counts().await.unwrap().deliveries, 0);
        running.close().await;
        place.open().await.unwrap().close().await;
        Store::open_to_read(&place.url()).await.unwrap().close().await;
        let (code, out, _) = run(&["migrate", "--database", &place.url(), "--check"]);
        assert!(code == 0 && out.contains("has schema 9999 of a newer leadfold"), "{out}");

        place.run("INSERT INTO counters (name, value) VALUES ('oldest_schema', 9998)").await;
        let reading = Store::open_to_read(&place.url()).await.err().unwrap().to_string();
        for refusal in [place.open().await.err().unwrap(), reading] {
            let says = "has schema 9999, and only a leadfold that knows schema 9998 can work on it";
            assert!(refusal.contains(says), "{refusal}");
        }
        place.remove().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_fails_is_undone_and_says_so() {
    for place in Place::each().await {
        place.migrate_to(1).await;
        place.run("CREATE INDEX leads_sequence ON leads (id)").await;
        let (code, out, err) = run(&["migrate", "--database", &place.url()]);
        assert_eq!(code, 2, "{out}{err}");
        assert!(out.contains("   2  replay"), "{out}");
        assert!(err.contains("migration 3 (selections) failed") && err.contains("is undone"), "{err}");
        assert_eq!(place.version().await, 2);
        place.run("DROP INDEX leads_sequence").await;
        let (code, out, err) = run(&["migrate", "--database", &place.url()]);
        assert!(code == 0 && out.contains("had schema 2, and has"), "{out}{err}");
        place.open().await.unwrap().close().await;
        place.remove().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_does_not_stand_in_line_behind_a_backup() {
    let Some(database) = Database::create().await else { return };
    let place = Place::Postgres(database);
    place.migrate_to(1).await;
    let mut backup = place.postgres().await;
    // Ends by itself, so that a migration that waits for it does not wait for ever.
    let begin = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '1min'; SELECT COUNT(*) FROM syncs";
    backup.execute(begin).await.unwrap();
    let (code, _, err) = run(&["migrate", "--database", &place.url()]);
    assert!(code == 2 && err.contains("such as a backup: run it again"), "{err}");
    backup.execute("COMMIT").await.unwrap();
    assert_eq!(run(&["migrate", "--database", &place.url()]).0, 0);
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_says_what_it_would_do_and_what_it_did() {
    for place in Place::each().await {
        place.migrate_to(1).await;
        let url = place.url();
        let (code, out, _) = run(&["migrate", "--database", &url, "--check"]);
        assert!(code == 1 && out.contains("   3  selections") && out.contains("has schema 1"), "{out}");
        assert_eq!(place.version().await, 1, "--check changes nothing");
        let (code, out, _) = run(&["migrate", "--database", &url, "--json"]);
        let done: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(
            (code, &done["from"], &done["migrations"][0]["version"]),
            (0, &1.into(), &2.into()),
            "{out}"
        );
        assert!(done["migrations"][0]["seconds"].as_f64().unwrap() > 0.0, "{out}");
        for check in [&["--check"][..], &[]] {
            let (code, out, _) = run(&[&["migrate", "--database", &url][..], check].concat());
            assert!(code == 0 && out.contains("There is nothing to do."), "{out}");
        }
        let running = place.open().await.unwrap();
        let (code, _, err) = run(&["migrate", "--database", &url]);
        match place {
            Place::Sqlite(_) => assert!(code == 2 && err.contains("stop it first"), "{err}"),
            Place::Postgres(_) => assert_eq!(code, 0, "{err}"),
        }
        running.close().await;
        place.remove().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_would_lose_leads_is_refused() {
    let Some(database) = Database::create().await else { return };
    let open = async || Store::open(&database.url, Arc::new(SystemClock)).await;
    open().await.unwrap().close().await;
    let name = database.url.rsplit('/').next().unwrap().split('?').next().unwrap();
    for (setting, value, says) in [
        ("synchronous_commit", "off", "synchronous_commit = off; leadfold needs 'on'"),
        ("default_transaction_read_only", "on", "it is read-only"),
        ("default_transaction_isolation", "'repeatable read'", "leadfold is made for 'read committed'"),
    ] {
        database.run(&format!("ALTER DATABASE {name} SET {setting} = {value}")).await;
        let refusal = open().await.err().unwrap().to_string();
        assert!(refusal.contains(says), "{refusal}");
        // Looking is harmless.
        Store::open_to_read(&database.url).await.unwrap().close().await;
        // The setting itself may forbid to take it back.
        let reset = format!("BEGIN READ WRITE; ALTER DATABASE {name} RESET {setting}; COMMIT");
        let mut connection = database.url.parse::<PgConnectOptions>().unwrap().connect().await.unwrap();
        connection.execute(AssertSqlSafe(reset)).await.unwrap();
    }
    open().await.unwrap().close().await;
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_damages_texts_is_refused() {
    let settings = "ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0";
    let Some(database) = Database::create_with(settings).await else { return };
    let refusal = Store::open(&database.url, Arc::new(SystemClock)).await.err().unwrap().to_string();
    assert!(refusal.contains("its encoding is SQL_ASCII"), "{refusal}");
    database.remove().await;
    // What the locale sorts otherwise does not matter: every text of ours is compared byte by byte.
    let settings = "LOCALE_PROVIDER icu ICU_LOCALE 'en-u-kn-true' TEMPLATE template0";
    let Some(database) = Database::create_with(settings).await else { return };
    Store::open(&database.url, Arc::new(SystemClock)).await.unwrap().close().await;
    database.remove().await;
}
