//! Erasing a human: afterwards nothing of them is anywhere, and nothing of anybody else is lost.

use std::fmt::Write as _;

use leadfold::lead::IdentifierKind;
use leadfold::normalise::Wanted;
use leadfold::sandbox::Faults;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _};

use crate::many::{Hand, end, two, waiting};
use crate::postgres::Database;
use crate::replay::run;
use crate::rig::{IMPATIENT, MAPPING, Rig, event, now_millis, until};
use crate::store;

/// Everything of the human that stands in no other text, in any spelling.
const SECRETS: [&str; 13] = [
    "671239876",
    "67 123 98 76",
    "67) 123-98-76",
    "uliana.nepovtorna",
    "Неповторна",
    "Nepovtorna",
    // As a word that is searched for, also as PostgreSQL shows bytes.
    "nepovtorna",
    "6e65706f76746f726e61",
    "zz91827364",
    "yy55443322",
    "xx10293847",
    "секрет-лист",
    "\\u041d\\u0435\\u043f\\u043e\\u0432",
];
/// And of whoever is not meant.
const BORYS: [&str; 2] = ["+380501112233", "Борис Інший"];

/// Fails on everybody, and quotes what they wrote.
const FAILING: &str = "
source: { preset: json, token: failing }
leads:
  - name: all
    when: \"{{ age / 1 > 17 }}\"
    to: [crm]
    contact: { phone: \"{{ phone }}\" }
";
const PAUSED: &str = "
source: { preset: json, token: paused, paused: true }
leads:
  - name: all
    to: [crm]
    owners: sales
    contact: { phone: \"{{ phone }}\" }
    deal: { title: Later }
";
const FORM: &str = "
source: { preset: form, token: form }
leads:
  - name: all
    to: [crm]
    owners: sales
    phone: { regions: [UA] }
    contact: { name: \"{{ name }}\", phone: \"{{ phone }}\" }
    deal: { title: \"For {{ name }}\" }
";

async fn rig(postgres: Option<Database>) -> Rig {
    let mapping = MAPPING
        .replace("to: [crm]", "to: [crm, shadow]")
        .replace("{{ contact.name }}", "{{ contact.variables.name or contact.name }}")
        .replace(
            "deal: {",
            "person: { fields: { last: \"{{ contact.last_message }}\" } }\n    \
             identifiers: { click: \"{{ contact.variables.click }}\" }\n    deal: {",
        )
        .replace("deal: {", "note: \"{{ contact.last_message }}\"\n    deal: {");
    let mut rig = Rig::prepare(Faults::default(), IMPATIENT, &mapping).await;
    rig.postgres = postgres;
    let shadow = format!(
        "  shadow: {{ crm: sandbox, url: \"http://{}\", token: demo, mode: observe }}\nowner_pools:",
        rig.sandbox.addr()
    );
    rig.edit("workspace.yaml", "owner_pools:", &shadow);
    for (name, text) in [("failing.yaml", FAILING), ("paused.yaml", PAUSED), ("form.yaml", FORM)] {
        rig.files.0.insert(name.to_owned(), text.to_owned());
    }
    rig.boot().await;
    rig
}

fn uliana(chat: &str, phone: &str, at: i64) -> Value {
    let mut event = event(
        chat,
        "telegram",
        json!({ "phone": phone, "email": "Uliana.Nepovtorna@example.com", "name": "Уляна Неповторна", "click": "click-zz91827364" }),
        at,
    );
    event[0]["contact"]["last_message"] = "мій секрет-лист".into();
    event
}

fn borys(at: i64) -> Value {
    event("borys-chat", "telegram", json!({ "phone": "0501112233", "name": "Борис Інший" }), at)
}

/// Everything that the database holds, as it stands in its tables and (SQLite) in its files.
async fn everything(rig: &Rig) -> String {
    let mut all = String::new();
    if rig.postgres.is_none() {
        for file in ["leadfold.db", "leadfold.db-wal"] {
            let bytes = std::fs::read(rig.folder.join(file)).unwrap_or_default();
            all.push_str(&String::from_utf8_lossy(&bytes));
        }
        return all;
    }
    let options: sqlx::postgres::PgConnectOptions = rig.database().parse().unwrap();
    let mut connection = options.connect().await.unwrap();
    let tables = "SELECT relname::text FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'";
    for table in connection.fetch_all(tables).await.unwrap() {
        let table: String = table.get(0);
        let sql = format!("SELECT t::text FROM {table} AS t");
        for row in connection.fetch_all(AssertSqlSafe(sql)).await.unwrap() {
            writeln!(all, "{}", row.get::<String, _>(0)).unwrap();
        }
    }
    for row in connection.fetch_all(sqlx::query("SELECT body FROM deliveries")).await.unwrap() {
        writeln!(all, "{}", String::from_utf8_lossy(row.get::<&[u8], _>(0))).unwrap();
    }
    connection.close().await.unwrap();
    all
}

async fn count(rig: &Rig, of: &str) -> i64 {
    store::run(&rig.database(), &format!("SELECT COUNT(*) FROM {of}")).await[0]
}

async fn execute(rig: &Rig, sql: &str) {
    store::run(&rig.database(), &format!("{sql} RETURNING CAST(1 AS BIGINT)")).await;
}

/// Puts the human everywhere.
async fn write_everywhere(rig: &Rig, at: i64) {
    rig.post_all(&[uliana("zz91827364", "+38 (067) 123-98-76", at)], 1).await;
    rig.settle().await;
    // A redelivery, and a list that holds somebody else's event too.
    rig.post_all(&[uliana("zz91827364", "+38 (067) 123-98-76", at)], 1).await;
    let both = json!([borys(at)[0], uliana("zz91827364", "067 123 98 76", at + 1)[0], borys(at + 1)[0]]);
    rig.post_all(&[both], 1).await;
    // An anonymous chat that turns out to be hers.
    let mut anonymous = event("yy55443322", "telegram", json!({ "name": "Nepovtorna" }), at + 2);
    anonymous[0]["contact"]["username"] = "nepovtorna".into();
    rig.post_all(&[anonymous], 1).await;
    rig.post_all(&[uliana("yy55443322", "0671239876", at + 3)], 1).await;
    // Filtered, unreadable, not mappable, waiting.
    let mut blocked = uliana("zz91827364", "0671239876", at + 4);
    blocked[0]["title"] = "bot_block".into();
    rig.post_all(&[blocked], 1).await;
    for (path, body) in [
        ("/in/sendpulse/demo", "{ \"phone\": \"+38 067 123 98 76\", \"name\": \"Уляна Неповторна\""),
        ("/in/failing/failing", "{ \"age\": \"Неповторна\", \"mail\": \"uliana.nepovtorna@example.com\" }"),
        (
            "/in/paused/paused?from=zz91827364",
            "[{ \"phone\": \"+380671239876\" }, { \"phone\": \"+380501112233\" }]",
        ),
        ("/in/paused/paused", "{ \"chat\": \"zz91827364\", \"name\": \"Неповторна\" }"),
    ] {
        assert_eq!(rig.post_to(path, body).await.0, 200);
    }
    let (status, _) = rig.get("/in/form/form?name=Nepovtorna&phone=%2B38+(067)+123-98-76").await;
    assert_eq!(status, 200);
    rig.settle().await;
    // What only happens after weeks, or by the hands of people.
    execute(rig, "UPDATE leads SET decision = '{\"shown\":\"671239876\"}' WHERE lead LIKE '%671239876%'")
        .await;
    execute(
        rig,
        "INSERT INTO audits (step, sync, destination, action, kind, due_at, note) SELECT steps.id, sync, 'crm', \
         action, kind, 99999999999999, action FROM steps WHERE action LIKE '%671239876%'",
    )
    .await;
    execute(rig, "INSERT INTO alerts (cause, text, told_at) VALUES ('a:b', 'Неповторна', 1)").await;
    let owner = "(SELECT person FROM identifiers WHERE value = '+380671239876')";
    let other = "(SELECT person FROM identifiers WHERE value = '+380501112233')";
    execute(
        rig,
        &format!("UPDATE persons SET names = '[[\"неповторна\", \"Неповторна\"]]' WHERE id = {owner}"),
    )
    .await;
    execute(
        rig,
        &format!(
            "INSERT INTO corrections (id, kind, one, other, note, at) VALUES ('c', 'same', {owner}, {other}, 'Неповторна', 1)"
        ),
    )
    .await;
    execute(
        rig,
        "UPDATE identifiers SET users = '{\"names\":[[\"неповторна\", \"Неповторна\"],[\"борис\"]],\"customers\":[]}' \
         WHERE value = '+380501112233'",
    )
    .await;
    for (table, column) in [("possible_duplicates", "at"), ("apart", "since")] {
        let more = if table == "apart" { ("", "") } else { (", lead", ", 'l'") };
        execute(
            rig,
            &format!(
                "INSERT INTO {table} (one, other, {column}{}) VALUES ({owner}, {other}, 1{})",
                more.0, more.1
            ),
        )
        .await;
    }
    execute(
        rig,
        &format!(
            "INSERT INTO holders (kind, scope, value, person, since) VALUES ('phone', '', '+380501112233', {owner}, 1)"
        ),
    )
    .await;
}

async fn nothing_of_a_human_is_left(postgres: Option<Database>) {
    let rig = rig(postgres).await;
    let at = now_millis();
    write_everywhere(&rig, at).await;
    let before = everything(&rig).await;
    let there = |text: &str, what: &str| text.contains(what);
    assert!(SECRETS.iter().filter(|secret| there(&before, secret)).count() >= 7, "the test puts it there");
    assert_eq!(count(&rig, "merges").await, 1, "two became one");
    assert!(count(&rig, "syncs WHERE state = 'held'").await > 0);
    for (of, there) in [("chats", 3), ("person_fields WHERE value LIKE '%секрет-лист%'", 1), ("clicks", 1)]
    {
        assert_eq!(count(&rig, of).await, there, "{of}");
    }
    let (leads, deliveries) = (count(&rig, "leads").await, count(&rig, "deliveries").await);
    let contacts = rig.stats().contacts;

    // Borys has her number in a list of his own, as the request that waits does: it is not his.
    let (code, out, err) = run(&rig, &["erase", "(067) 123 98 76", "--dry-run"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("known by") && out.contains("'crm': contact") && out.contains("given up"), "{out}");
    assert!(!SECRETS.iter().any(|secret| there(&out, secret)), "it is masked: {out}");
    assert_eq!(count(&rig, "leads WHERE why LIKE '%erased%'").await, 0, "a look changes nothing");
    let (code, _, err) =
        run(&rig, &["erase", "0671239876", "--yes", "--note", "Uliana.Nepovtorna@example.com asks"]);
    assert!(code == 2 && err.contains("the note is kept, and names whom it is about"), "{err}");
    let (code, out, err) =
        run(&rig, &["erase", "0671239876", "--yes", "--author", "DPO", "--note", "request 17"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("CRMs still have") && out.contains("Backups"), "{out}");

    let after = everything(&rig).await;
    for secret in SECRETS {
        let around = after.find(secret).map(|place| {
            let bytes = &after.as_bytes()[place.saturating_sub(200)..(place + 100).min(after.len())];
            String::from_utf8_lossy(bytes).into_owned()
        });
        assert!(around.is_none(), "{secret} is still there: {}", around.unwrap());
    }
    for kept in BORYS {
        assert!(there(&after, kept), "{kept} is gone");
    }
    // The skeleton.
    assert_eq!((count(&rig, "leads").await, count(&rig, "deliveries").await), (leads, deliveries));
    assert_eq!(
        count(&rig, "corrections WHERE kind = 'erase' AND author = 'DPO' AND note = 'request 17'").await,
        1
    );
    assert!(count(&rig, "erased_records WHERE kind = 'contact'").await >= 1);
    assert!(count(&rig, "steps WHERE state = 'done' AND record IS NOT NULL").await >= 4);
    assert_eq!(count(&rig, "leads WHERE lead IS NOT NULL").await, 2, "Borys's");
    let uses = "identifiers WHERE users = '{\"names\":[[\"борис\"]],\"customers\":[]}'";
    assert_eq!(count(&rig, uses).await, 1, "he was not seen with anybody else any more");
    for gone in ["holders", "apart", "possible_duplicates", "clicks"] {
        assert_eq!(count(&rig, gone).await, 0, "{gone}");
    }
    for (his, there) in [("chats", 1), ("person_fields", 1)] {
        assert_eq!(count(&rig, his).await, there, "of {his} his stay");
    }

    // Nothing of it can go on, and whoever asks is told.
    let lead = rig.json("/api/leads").await["leads"].as_array().unwrap().iter().find_map(|lead| {
        (lead["why"]["code"] == "erased" && lead["state"] == "synced")
            .then(|| lead["id"].as_str().unwrap().to_owned())
    });
    let lead = lead.expect("an erased lead that is in the CRM");
    for way in ["--resume", "--replan", "--force"] {
        let (code, out, err) = run(&rig, &["replay", &lead, way, "--yes"]);
        assert!(code == 1 && out.contains("everything personal of it was erased"), "{way}: {out}{err}");
    }
    let (_, out, _) = run(&rig, &["explain", &lead]);
    assert!(out.contains("everything personal was erased on 2"), "{out}");
    let (code, out, _) = run(&rig, &["erase", "0671239876", "--yes"]);
    assert!(code == 1 && out.contains("Nothing more is known"), "{out}");

    // The platform sends an old event again: it brings nothing back.
    rig.post_all(&[uliana("zz91827364", "+38 (067) 123-98-76", at)], 1).await;
    let again = json!([borys(at + 7)[0], uliana("zz91827364", "067 123 98 76", at + 1)[0]]);
    rig.post_all(&[again], 1).await;
    rig.settle().await;
    assert_eq!(count(&rig, "leads").await, leads + 1, "Borys's new one");
    let after = tables(&rig).await;
    for secret in SECRETS {
        assert!(!there(&after, secret), "{secret} is back");
    }
    assert!(rig.found("0671239876").await.is_empty());

    // She writes again: somebody new here, and the contact that the CRM has.
    rig.post_all(&[uliana("zz91827364", "0671239876", at + 60_000)], 1).await;
    rig.settle().await;
    let found = rig.found("0671239876").await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(rig.stats().contacts, contacts, "one human, one contact");
    assert_eq!(count(&rig, "merges").await, 1, "she is not joined with who was erased");
    rig.end().await;
}

/// What stands in the tables, whatever the files still hold.
async fn tables(rig: &Rig) -> String {
    if rig.postgres.is_some() {
        return everything(rig).await;
    }
    let mut all = String::new();
    let names =
        rig.sql("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '%sqlx%'").await;
    for name in names {
        let columns = rig.sql(&format!("SELECT name FROM pragma_table_info('{}')", name[0])).await;
        let columns: Vec<String> =
            columns.iter().map(|column| format!("CAST({} AS TEXT)", column[0])).collect();
        for row in rig.sql(&format!("SELECT {} FROM {}", columns.join(","), name[0])).await {
            writeln!(all, "{}", row.join("\t")).unwrap();
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_human_is_left_on_sqlite() {
    nothing_of_a_human_is_left(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_human_is_left_on_postgres() {
    let Some(database) = Database::create().await else { return };
    nothing_of_a_human_is_left(Some(database)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_being_brought_to_the_crm_finishes_first() {
    let rig = rig(None).await;
    rig.post_all(&[uliana("zz91827364", "0671239876", now_millis())], 1).await;
    rig.settle().await;
    // As while a request is on its way.
    execute(&rig, "UPDATE syncs SET state = 'unknown', next_at = 99999999999999 WHERE destination = 'crm'")
        .await;
    execute(
        &rig,
        "UPDATE steps SET state = 'unknown' WHERE kind = 'create deal' AND past = 0 AND state = 'done'",
    )
    .await;
    let asks = json!({ "human": { "who": "0671239876" } }).to_string();
    let (status, text) = rig.post_to("/api/erase", asks.clone()).await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &answer["done"]), (200, &json!(false)), "{text}");
    assert_eq!((&answer["piece"]["leads"], &answer["piece"]["under_way"]), (&json!(0), &json!(1)), "{text}");
    assert_eq!(count(&rig, "leads WHERE lead IS NOT NULL").await, 1, "it is left as it is");

    // Given up, and said where it may be.
    let asks = json!({ "human": { "who": "0671239876" }, "even_in_doubt": true }).to_string();
    let mut last = Value::Null;
    until("it is erased", async || {
        last = serde_json::from_str(&rig.post_to("/api/erase", asks.clone()).await.1).unwrap();
        last["done"] == true
    })
    .await;
    let records = last["records"].as_array().unwrap();
    let in_doubt = records.iter().find(|record| record["record"].is_null() && record["kind"] == "deal");
    assert!(in_doubt.is_some_and(|record| record["step"].is_string()), "{last}");
    assert_eq!(count(&rig, "leads WHERE lead IS NOT NULL").await, 0);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_meant_is_never_guessed_and_what_is_shared_stays_with_the_others() {
    let rig = rig(None).await;
    let at = now_millis();
    rig.post_all(&[uliana("zz91827364", "0671239876", at), borys(at)], 1).await;
    rig.settle().await;
    // Both are reached by her number.
    let both = "INSERT INTO holders (kind, scope, value, person, since) SELECT 'phone', '', '+380671239876', person, 1 \
         FROM identifiers WHERE value = '+380501112233'";
    execute(&rig, both).await;
    let (code, out, err) = run(&rig, &["erase", "0671239876", "--yes"]);
    assert_eq!(code, 1, "{out}{err}");
    assert!(out.contains("Several people are known by that"), "{out}");
    assert_eq!(count(&rig, "corrections").await, 0);
    let (status, text) =
        rig.post_to("/api/erase", json!({ "human": { "who": "0671239876" } }).to_string()).await;
    assert!(status == 422 && text.contains("several people"), "{text}");

    let mail = "uliana.nepovtorna@example.com";
    let (code, out, err) = run(&rig, &["erase", mail, "--yes", "--json"]);
    assert_eq!(code, 0, "{out}{err}");
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(answer["done"]["erased"]["done"], true, "{answer}");
    let heir = "identifiers AS his JOIN identifiers AS shared ON shared.person = his.person \
         WHERE his.value = '+380501112233' AND shared.value = '+380671239876'";
    assert_eq!(count(&rig, heir).await, 1, "the number is his as well");
    assert_eq!(count(&rig, "holders").await, 0);
    let person = answer["preview"]["people"][0]["person"].as_str().unwrap();
    let (code, out, _) = run(&rig, &["erase", person, "--yes"]);
    assert!(code == 1 && out.contains("was erased on") && out.contains("'crm': contact"), "{out}");
    rig.end().await;
}

#[tokio::test]
async fn what_is_sent_again_at_that_moment_is_erased_too() {
    let Some(database) = Database::create().await else { return };
    let (one, other) = two(&database).await;
    let hers = [(IdentifierKind::Phone, "+1")];
    let first = one.event("again", &store::said("crm", &hers));
    let lead = first.lead_id;
    one.deliver(vec![vec![first]]).await;
    let person = one.person(lead).await;
    // Another process has stored the redelivery, and stands still before it commits.
    let hand = Hand::on(&database, "SELECT 1 FROM counters WHERE name = 'sequence' FOR UPDATE").await;
    let somebody = [(IdentifierKind::Phone, "+2")];
    let batch = vec![
        vec![other.event("again", &store::said("crm", &hers))],
        vec![other.event("new", &store::said("crm", &somebody))],
    ];
    let erasing = async {
        waiting(&database, 1).await;
        let erased = one.store.erase_leads(person, Wanted::default(), false, one.now());
        let freed = async {
            waiting(&database, 2).await;
            hand.let_go().await;
        };
        tokio::join!(erased, freed).0.unwrap()
    };
    let (stored, erased) = tokio::join!(other.deliver(batch), erasing);
    assert_eq!((stored.leads, stored.redeliveries, erased.leads, erased.requests), (1, 1, 1, 2));
    let bodies = "SELECT COUNT(*) FROM deliveries WHERE LENGTH(body) > 0";
    assert_eq!(database.run(bodies).await, [1], "that of somebody else");
    end(database, [one, other]).await;
}
