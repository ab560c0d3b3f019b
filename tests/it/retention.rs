//! What is old goes, all of it and nothing else, on both databases.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use leadfold::clock::{Clock, ManualClock, SystemClock};
use leadfold::map::Workspace;
use leadfold::retention::Retention;
use leadfold::sandbox::Faults;
use leadfold::store::Store;
use leadfold::store::access::Holder;
use leadfold::store::retention::{Batch, Removed, What};
use leadfold::workspace::{Environment, compile_without_secrets};
use serde_json::{Value, json};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::commands;
use crate::many::{Hand, waiting};
use crate::postgres::Database;
use crate::rig::{IMPATIENT, MAPPING, Rig, event, now_millis, until};
use crate::store::run;

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// A second source, which is paused.
const PAUSED: &str = "
source: { preset: json, token: later, paused: true }
leads:
  - name: all
    to: [crm]
    owners: sales
    phone: { regions: [UA] }
    contact: { phone: \"{{ phone }}\" }
    deal: { title: Later }
";

async fn rig(postgres: Option<Database>) -> Rig {
    let mut rig = Rig::prepare(Faults::default(), IMPATIENT, MAPPING).await;
    rig.postgres = postgres;
    rig.files.0.insert("later.yaml".to_owned(), PAUSED.to_owned());
    rig.boot().await;
    rig
}

/// Retention beside a running leadfold, by a clock of its own.
struct Later {
    clock: Arc<ManualClock>,
    retention: Retention,
    _active: watch::Sender<Option<Arc<Workspace>>>,
}

impl Later {
    fn of(rig: &Rig, store: &Store) -> Self {
        let environment: Environment = Arc::new(|_| None);
        let workspace = compile_without_secrets(&rig.files, &environment).0.workspace;
        let (sender, active) = watch::channel(Some(Arc::new(workspace)));
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let retention =
            Retention { store: store.clone(), clock: Arc::clone(&clock) as Arc<dyn Clock>, active };
        Self { clock, retention, _active: sender }
    }

    async fn round_after(&self, wait: SignedDuration) -> Removed {
        self.clock.advance(wait);
        self.retention.round(&CancellationToken::new()).await.unwrap()
    }
}

fn phone(chat: &str, phone: &str, at: i64) -> Value {
    event(chat, "telegram", json!({ "phone": phone }), at)
}

async fn count(rig: &Rig, of: &str) -> i64 {
    run(&rig.database(), &format!("SELECT COUNT(*) FROM {of}")).await[0]
}

/// How many rows there are of deliveries, events, leads, syncs, steps and keys.
async fn rows(rig: &Rig) -> [i64; 6] {
    let mut counts = [0; 6];
    for (count_of, table) in
        counts.iter_mut().zip(["deliveries", "events", "leads", "syncs", "steps", "event_keys"])
    {
        *count_of = count(rig, table).await;
    }
    counts
}

async fn what_is_old_goes_and_what_nobody_has_seen_to_stays(postgres: Option<Database>) {
    let mut rig = rig(postgres).await;
    let at = now_millis();
    let olena = phone("olena", "0671234567", at);
    rig.post_all(&[olena.clone(), olena], 1).await;
    let blocked =
        json!([{ "title": "bot_block", "contact": { "id": "x" }, "bot": { "id": "b" }, "date": at }]);
    rig.post_all(&[blocked, event("nobody", "telegram", json!({}), at), phone("borys", "0501234567", at)], 1)
        .await;
    assert_eq!(rig.post_to("/in/sendpulse/demo", "{ half a").await.0, 200);
    assert_eq!(rig.post_to("/in/later/later", "{\"phone\": \"0931234567\"}").await.0, 200);
    rig.settle().await;
    let borys = rig.found("0501234567").await[0]["id"].as_str().unwrap().to_owned();
    let olena = rig.found("0671234567").await[0]["id"].as_str().unwrap().to_owned();
    let sql = format!("UPDATE syncs SET state = 'needs-attention' WHERE lead = '{borys}' RETURNING sequence");
    assert_eq!(run(&rig.database(), &sql).await.len(), 1);
    let before = rows(&rig).await;
    assert_eq!(before, [7, 5, 4, 3, 4, 4], "deliveries, events, leads, syncs, steps, keys");
    let people = [count(&rig, "persons").await, count(&rig, "identifiers").await, count(&rig, "links").await];

    let hash = leadfold::token::hash("a browser that was left open");
    rig.app().store.begin_session(&hash, &Holder::Start(hash), "", SystemClock.now()).await.unwrap();
    let later = Later::of(&rig, &rig.app().store);
    let removed = later.round_after(SignedDuration::from_hours(11)).await;
    assert_eq!(removed, Removed::default(), "it may be used again");
    let removed = later.round_after(DAY * 89).await;
    assert_eq!(removed, Removed { sessions: 1, ..Removed::default() }, "nothing else is old yet");
    assert_eq!(count(&rig, "sessions").await, 0);
    assert_eq!(later.round_after(SignedDuration::from_mins(59)).await, Removed::default());
    // Olena's two deliveries, the blocked one and the one without a phone. The request that waits still meets the keys.
    let removed = later.round_after(DAY).await;
    assert_eq!(removed, Removed { bodies: 4, ..Removed::default() });
    assert_eq!(rows(&rig).await, before);
    let kept = "deliveries WHERE body <> '' AND emptied_at IS NULL AND headers <> '[]'";
    assert_eq!(count(&rig, kept).await, 3, "Borys's, the unreadable one and the one that waits");

    // Whoever asks for the body is told.
    let detail = rig.json(&format!("/api/leads/{olena}")).await;
    assert!(detail["delivery"]["emptied_at"].is_string() && detail["delivery"]["body"].is_null(), "{detail}");
    assert_eq!(detail["lead"]["contact"]["phones"][0]["e164"], "+380671234567", "what was mapped stays");
    let url = rig.database();
    let explained = commands::run(&["explain", &olena, "--database", &url]).1;
    assert!(explained.contains("its body was removed by retention on 20"), "{explained}");
    let workspace = rig.workspace().display().to_string();
    let rehearse = ["rehearse", "--workspace", &workspace, "--database", &url];
    let rehearsed = commands::run(&rehearse).1;
    assert!(rehearsed.contains("Left out: 4 deliveries whose bodies retention has removed"), "{rehearsed}");
    let (status, preview) = replan(&rig, &olena).await;
    assert_eq!((status, &preview["count"]), (200, &json!(0)), "{preview}");
    assert_eq!(preview["left_alone"], json!({ "emptied": 1 }));

    // The request that waited goes on: nobody can meet the keys any more but itself.
    rig.files.0.insert("later.yaml".to_owned(), PAUSED.replace(", paused: true", ""));
    rig.save();
    until("it goes on", async || count(&rig, "deliveries WHERE state = 'waiting'").await == 0).await;
    rig.settle().await;
    let removed = later.round_after(DAY).await;
    assert_eq!(removed, Removed { bodies: 1, keys: 1, ..Removed::default() }, "the one that waited");
    assert_eq!(rows(&rig).await, [7, 6, 5, 4, 6, 4]);

    let removed = later.round_after(DAY * 310).await;
    let expect = Removed { deliveries: 6, leads: 4, keys: 3, actions: 1, ..Removed::default() };
    assert_eq!(removed, expect, "the replay is in the audit log as long as what it replayed");
    assert_eq!(count(&rig, "actions").await, 0);
    assert_eq!(rows(&rig).await, [1, 1, 1, 1, 2, 1], "Borys's");
    assert_eq!(later.round_after(DAY).await, Removed::default());
    let now = [count(&rig, "persons").await, count(&rig, "identifiers").await, count(&rig, "links").await];
    assert_eq!(
        now,
        [people[0] + 1, people[1] + 1, people[2] + 2],
        "people stay, and the one who waited came"
    );

    // When a person has seen to it, it goes as well; and so does the version that made it, which is not active any more.
    assert_eq!(count(&rig, "versions").await, 2);
    run(&rig.database(), "UPDATE syncs SET state = 'synced' RETURNING sequence").await;
    let removed = later.round_after(DAY).await;
    assert_eq!(removed, Removed { deliveries: 1, leads: 1, keys: 1, versions: 1, ..Removed::default() });
    assert_eq!(rows(&rig).await, [0; 6]);

    // Who comes back after all that is still known: no second contact.
    let contacts = rig.stats().contacts;
    rig.post_all(&[phone("olena", "067 123 45 67", at + 1)], 1).await;
    rig.settle().await;
    assert_eq!(rig.stats().contacts, contacts);
    rig.end().await;
}

async fn replan(rig: &Rig, lead: &str) -> (u16, Value) {
    let body = json!({ "select": { "leads": [lead] }, "how": "replan" }).to_string();
    let (status, text) = rig.post_to("/api/replay", body).await;
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_old_goes_and_what_nobody_has_seen_to_stays_on_sqlite() {
    what_is_old_goes_and_what_nobody_has_seen_to_stays(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_old_goes_and_what_nobody_has_seen_to_stays_on_postgres() {
    let Some(database) = Database::create().await else { return };
    what_is_old_goes_and_what_nobody_has_seen_to_stays(Some(database)).await;
}

/// More than one page, and a request that alone is more than a transaction takes.
async fn many(rig: &Rig) {
    let at = now_millis();
    let list: Vec<Value> = (0..130)
        .map(|number| phone(&format!("list-{number}"), &format!("067{number:07}"), at)[0].clone())
        .collect();
    rig.post_all(&[Value::Array(list)], 1).await;
    let single: Vec<Value> =
        (0..80).map(|number| phone(&format!("single-{number}"), &format!("050{number:07}"), at)).collect();
    rig.post_all(&single, 16).await;
    rig.settle().await;
}

async fn stopped_in_the_middle_it_goes_on_where_it_was(postgres: Option<Database>) {
    let rig = rig(postgres).await;
    many(&rig).await;
    let later = Later::of(&rig, &rig.app().store);
    later.clock.advance(DAY * 500);
    let stop = CancellationToken::new();
    let (removed, ()) = tokio::join!(later.retention.round(&stop), async {
        until("the first are gone", async || count(&rig, "deliveries").await < 81).await;
        stop.cancel();
    });
    let first = removed.unwrap();
    assert!(first.deliveries >= 1, "{first:?}");
    let left = rows(&rig).await;
    assert_eq!(left[0], 81 - i64::try_from(first.deliveries).unwrap(), "what it says is what it did");
    assert_eq!([left[1], left[2]], [left[3], left[5]], "no child is left alone");
    // At once, because whoever stops in order says so.
    let second = later.round_after(SignedDuration::from_secs(1)).await;
    assert_eq!(first.deliveries + second.deliveries, 81);
    assert_eq!(first.leads + second.leads, 210);
    assert_eq!(rows(&rig).await, [0; 6]);
    assert_eq!(count(&rig, "persons").await, 210);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_in_the_middle_it_goes_on_where_it_was_on_sqlite() {
    stopped_in_the_middle_it_goes_on_where_it_was(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_in_the_middle_it_goes_on_where_it_was_on_postgres() {
    let Some(database) = Database::create().await else { return };
    stopped_in_the_middle_it_goes_on_where_it_was(Some(database)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_removes_and_another_takes_over_when_it_is_dead() {
    let rig = rig(None).await;
    many(&rig).await;
    let store = &rig.app().store;
    let start = SystemClock.now() + DAY * 500;
    let minute = SignedDuration::from_mins(1);
    let mut first = store.begin_round(start, start + minute * 5).await.unwrap().unwrap();
    assert_eq!(store.begin_round(start + minute, start + minute * 6).await.unwrap(), None);
    let batch = async |what, now: Timestamp| {
        let deliveries = store.old(what, now, None).await.unwrap().ended;
        Batch { what, deliveries, keys_until: now }
    };
    let now = start + minute * 4;
    let removed =
        store.remove_old(&mut first, batch(What::Bodies, now).await, now, now + minute * 5).await.unwrap();
    assert_eq!(removed, Removed { bodies: 64, keys: 193, ..Removed::default() });
    assert_eq!(store.begin_round(start + minute * 6, now).await.unwrap(), None, "it was moved on");

    let now = start + minute * 10;
    let mut second = store.begin_round(now, now + minute * 5).await.unwrap().unwrap();
    let late = store.remove_old(&mut first, batch(What::Rows, now).await, now, now + minute * 9).await;
    assert!(late.unwrap_err().is_final());
    assert_eq!(count(&rig, "deliveries").await, 81, "whoever woke up late removes nothing");
    store.end_round(first, now).await.unwrap();
    assert_eq!(
        store.begin_round(now, now + minute).await.unwrap(),
        None,
        "nor does it end what is another's"
    );
    // The list alone is more than a transaction takes.
    let removed = store.remove_old(&mut second, batch(What::Rows, now).await, now, now + minute * 5).await;
    assert_eq!(removed.unwrap(), Removed { deliveries: 1, leads: 130, ..Removed::default() });
    rig.end().await;
}

/// Everything is old, and somebody is just changing a row of it when it is to go.
async fn nothing_is_removed_while(rig: &Rig, changes: &str) {
    let later = Later::of(rig, &rig.app().store);
    later.clock.advance(DAY * 500);
    let database = rig.postgres.as_ref().unwrap();
    let changing = Hand::on(database, changes).await;
    let stop = CancellationToken::new();
    let (removed, ()) = tokio::join!(later.retention.round(&stop), async {
        // It has looked, and waits for the row.
        waiting(database, 1).await;
        changing.commit().await;
    });
    assert_eq!(removed.unwrap(), Removed::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_that_is_replayed_meanwhile_stays() {
    let Some(database) = Database::create().await else { return };
    let rig = rig(Some(database)).await;
    rig.post_all(&[phone("olena", "0671234567", now_millis())], 1).await;
    rig.settle().await;
    nothing_is_removed_while(&rig, "UPDATE syncs SET state = 'needs-attention'").await;
    assert_eq!(rows(&rig).await, [1, 1, 1, 1, 2, 1]);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_is_read_again_meanwhile_stays() {
    let Some(database) = Database::create().await else { return };
    let rig = rig(Some(database)).await;
    assert_eq!(rig.post_to("/in/sendpulse/demo", "{ half a").await.0, 200);
    rig.settle().await;
    // As a replay does; that it waits is so that the preparer of the rig leaves it alone.
    nothing_is_removed_while(&rig, "UPDATE deliveries SET state = 'waiting', source = 'later'").await;
    assert_eq!(count(&rig, "deliveries WHERE state = 'waiting'").await, 1);
    rig.end().await;
}

/// What was sent again and is not looked for once more: its destination was paused, or taken away.
async fn audits_go_with_their_lead(postgres: Option<Database>) {
    let rig = rig(postgres).await;
    rig.post_all(&[phone("olena", "0671234567", now_millis())], 1).await;
    rig.settle().await;
    let url = rig.database();
    let due = SystemClock.now().checked_add(DAY).unwrap().as_millisecond();
    let audit = |step: &str| {
        format!(
            "INSERT INTO audits (step, sync, destination, action, kind, due_at) \
             SELECT {step}, id, 'crm', '{{}}', 'create contact', {due} FROM syncs"
        )
    };
    run(&url, &audit("'one'")).await;
    // One whose sync a leadfold of before has removed.
    run(&url, &audit("'two'").replace(", id,", ", 'gone',")).await;
    let store = &rig.app().store;
    let next = store.next_audit("crm").await.unwrap().map(Timestamp::as_millisecond);
    assert_eq!(next, Some(due));
    let later = Later::of(&rig, store);
    let removed = later.round_after(DAY * 500).await;
    assert_eq!((removed.deliveries, removed.leads), (1, 1));
    assert_eq!(count(&rig, "audits").await, 1, "that of another lead stays");
    assert_eq!(store.next_audit("crm").await.unwrap(), None, "what nobody can look for is never due");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn audits_go_with_their_lead_on_sqlite() {
    audits_go_with_their_lead(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn audits_go_with_their_lead_on_postgres() {
    let Some(database) = Database::create().await else { return };
    audits_go_with_their_lead(Some(database)).await;
}

/// Leads of a release that kept no words of names are found by name after a round, and what was erased is not.
async fn names_of_before_are_found(postgres: Option<Database>) {
    let rig = rig(postgres).await;
    let at = now_millis();
    let leads: Vec<Value> = (0..300)
        .map(|number| {
            let mut lead = phone(&format!("c{number}"), &format!("06700{number:05}"), at + number);
            lead[0]["contact"]["name"] =
                if number % 7 == 0 { Value::Null } else { "Соломія Перша".into() };
            lead
        })
        .collect();
    rig.post_all(&leads, 16).await;
    rig.settle().await;
    let named = async || rig.json("/api/leads?q=solomiia&limit=200").await["leads"].as_array().unwrap().len();
    assert_eq!(named().await, 200, "a page of them");
    let words = count(&rig, "lead_names").await;
    let url = rig.database();
    let newest = "sequence = (SELECT MAX(sequence) FROM lead_names)";
    run(&url, &format!("DELETE FROM lead_names WHERE NOT {newest} RETURNING sequence")).await;
    assert_eq!(named().await, 1);
    let erased = "UPDATE leads SET lead = NULL WHERE sequence = 7 RETURNING sequence";
    assert_eq!(run(&url, erased).await, [7]);

    let later = Later::of(&rig, &rig.app().store);
    assert_eq!(later.round_after(SignedDuration::from_mins(1)).await, Removed::default());
    assert_eq!(named().await, 200);
    let gone = words - count(&rig, "lead_names").await;
    assert!(gone == 0 || gone == 2, "but of whoever has no lead any more: {gone} of {words}");
    assert_eq!(count(&rig, "lead_names WHERE sequence = 7").await, 0);
    // Once and for all: what goes later is not brought back.
    let left = words - gone - 2;
    assert_eq!(
        run(&url, &format!("DELETE FROM lead_names WHERE {newest} RETURNING sequence")).await.len(),
        2
    );
    later.round_after(DAY).await;
    assert_eq!(count(&rig, "lead_names").await, left);
    rig.end().await;
}

#[tokio::test]
async fn names_of_before_are_found_on_sqlite() {
    names_of_before_are_found(None).await;
}

#[tokio::test]
async fn names_of_before_are_found_on_postgres() {
    let Some(database) = Database::create().await else { return };
    names_of_before_are_found(Some(database)).await;
}
