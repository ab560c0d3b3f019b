//! `leadfold torture` for a moment, and whether it would notice: things are broken behind its back, and it must say so.

use std::path::PathBuf;
use std::time::Duration;

use leadfold::torture::reconcile::Harm;
use leadfold::torture::report::Report;
use leadfold::torture::storm::StormOptions;
use leadfold::torture::{Options, Torture};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _};

use crate::commands::run;
use crate::postgres::Database;

fn options(database: Option<&Database>, lasts: Duration) -> Options {
    let millis = |millis| Some(Duration::from_millis(millis));
    Options {
        program: PathBuf::from(env!("CARGO_BIN_EXE_leadfold")),
        database: database.map(|database| database.url.clone()),
        posts: 300,
        humans: 40,
        concurrency: 16,
        restart: None,
        storm: StormOptions {
            seed: 4,
            processes: if database.is_some() { 3 } else { 1 },
            kill_every: millis(1_200),
            freeze_every: millis(2_500),
            cut_every: database.is_some().then_some(Duration::from_millis(1_500)),
            restart: false,
            lasts,
            blind: false,
        },
    }
}

async fn tortured(options: Options) -> Torture {
    let mut torture = Torture::start(options, std::future::pending()).await.unwrap();
    torture.storm(&|_| {}).await.unwrap();
    torture.come_to_rest(&|_| {}).await.unwrap();
    torture
}

/// Fails with everything that helps to find out.
async fn nothing_is_wrong(torture: &Torture) -> Report {
    let report = torture.reconcile().await.unwrap();
    let told = serde_json::to_string_pretty(&report).unwrap();
    assert!(report.is_clean(), "{}\n{told}", torture.folder().display());
    assert_eq!(report.verdict.contacts.expected, 40, "{told}");
    assert!(report.verdict.tasks.found > 100, "{told}");
    assert!(report.suffered.kills > 0, "{told}");
    report
}

/// What `POST` answers at the CRM.
#[expect(clippy::disallowed_methods, reason = "the test is a person at the CRM")]
async fn at_crm(torture: &Torture, path: &str, body: &Value) -> Value {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request =
        client.post(format!("{}{path}", torture.crm().url())).bearer_auth("demo").body(body.to_string());
    let answer = request.header("content-type", "application/json").send().await.unwrap();
    assert_eq!(answer.status(), 201);
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

/// How often which harm is reported; what there is none of is left out.
async fn harm(torture: &Torture) -> Vec<(Harm, usize)> {
    let report = torture.reconcile().await.unwrap();
    assert!(!report.is_clean());
    report.verdict.harm.into_iter().filter(|(_, times)| *times > 0).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_on_sqlite_survives_and_what_is_broken_behind_its_back_is_found() {
    let torture = tortured(options(None, Duration::from_secs(5))).await;
    nothing_is_wrong(&torture).await;

    // Somebody enters a human, a deal and a task by hand that are there already.
    let holdings = torture.crm().holdings();
    let (contact, deal, task) = (&holdings.contacts[0], &holdings.deals[0], &holdings.tasks[0]);
    let second = at_crm(&torture, "/contacts", &json!({ "name": "again", "phones": contact.phones })).await;
    assert_eq!(harm(&torture).await, [(Harm::DoubledContact, 1)], "{second}");
    at_crm(&torture, "/deals", &json!({ "contact_id": deal.contact_id, "title": deal.title })).await;
    assert_eq!(harm(&torture).await, [(Harm::DoubledContact, 1), (Harm::DoubledDeal, 1)]);
    at_crm(&torture, "/tasks", &json!({ "contact_id": task.contact_id, "title": task.title })).await;
    let doubled = [(Harm::DoubledContact, 1), (Harm::DoubledDeal, 1), (Harm::DoubledTask, 1)];
    assert_eq!(harm(&torture).await, doubled);

    // The registry forgets a lead, and all of another request.
    let url = torture.database();
    let mut registry = sqlx::SqliteConnection::connect(url).await.unwrap();
    for forget in [
        "DELETE FROM leads WHERE id = (SELECT MIN(id) FROM leads)",
        "DELETE FROM deliveries WHERE id = (SELECT MAX(events.delivery) FROM events WHERE redelivery_of IS NULL \
         AND NOT EXISTS (SELECT 1 FROM events AS again WHERE again.redelivery_of = events.id))",
    ] {
        let done = sqlx::query(AssertSqlSafe(forget)).execute(&mut registry).await.unwrap();
        assert_eq!(done.rows_affected(), 1, "{forget}");
    }
    registry.close().await.unwrap();
    let report = torture.reconcile().await.unwrap();
    assert_eq!(report.verdict.harm.get(&Harm::Lost), Some(&2), "{:?}", report.verdict.problems);

    let folder = torture.folder().to_owned();
    torture.end(false).await.unwrap();
    assert!(!folder.exists(), "nothing is left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn three_processes_on_postgres_survive() {
    let Some(database) = Database::create().await else { return };
    let torture = tortured(options(Some(&database), Duration::from_secs(6))).await;
    let report = nothing_is_wrong(&torture).await;
    assert!(report.suffered.cuts > 0, "{:?}", report.suffered);
    torture.end(false).await.unwrap();
    let tables = database.run("SELECT COUNT(*) FROM pg_tables WHERE schemaname = 'public'").await;
    assert_eq!(tables, [0], "it is empty again");

    // What is not empty is somebody's.
    database.run("CREATE TABLE precious (id BIGINT)").await;
    let (code, _, said) = run(&["torture", "--database", &database.url]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("is not empty: it has the table 'public.precious'"), "{said}");
    database.remove().await;
}

#[test]
fn the_command_says_what_came_of_it() {
    let short = [
        "torture",
        "--posts",
        "60",
        "--humans",
        "10",
        "--seconds",
        "2",
        "--kill-every",
        "700ms",
        "--seed",
        "2",
    ];
    let (code, told, said) = run(&[&short[..], &["--json"]].concat());
    assert_eq!(code, 0, "{told}\n{said}");
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["posts"], 60, "{told}");
    assert_eq!(told["acknowledged"], told["events"], "{told}");
    assert_eq!((&told["lost"], &told["doubled_contacts"]), (&json!(0), &json!(0)), "{told}");
    assert_eq!(told["again"].as_str().unwrap().split(" --seed ").last(), Some("2"), "{told}");
    assert_eq!(told["folder"], Value::Null, "{told}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let check = |arguments: &[&str], expect: &str| {
        let (code, _, said) = run(&[&["torture"], arguments].concat());
        assert_eq!(code, 2, "{arguments:?}: {said}");
        assert!(said.contains(expect), "{arguments:?}: {said}");
    };
    check(&["--processes", "2"], "SQLite has one process: name an empty PostgreSQL database with --database");
    check(&["--database", "sqlite://data/leadfold.db"], "--database wants postgres://");
    check(&["--database", "postgres://nobody@127.0.0.1:9/x"], "the database 127.0.0.1:9/x cannot be opened");
    check(&["--kill-every", "0s"], "write a time of at least 100ms");
    check(&["--restart", "true"], "--database");
    check(&["--humans", "0"], "1..=1000000");
}
