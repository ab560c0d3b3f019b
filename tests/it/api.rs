//! What people and machines see of a leadfold that runs: the registry, one lead's timeline, health and metrics.

use std::collections::BTreeSet;

use leadfold::sandbox::Faults;
use leadfold::store::Store;
use leadfold::telemetry::metric;
use serde_json::{Value, json};

use crate::rig::{IMPATIENT, MAPPING, Rig, event, now_millis, spellings};

const TOKEN: &str = "s3cret";

async fn rig() -> Rig {
    let mut rig = Rig::prepare(Faults::default(), IMPATIENT, MAPPING).await;
    rig.token = Some(TOKEN);
    rig.boot().await;
    rig
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_hold_every_lead_once_newest_first() {
    let mut rig = Rig::prepare(Faults::default(), IMPATIENT, MAPPING).await;
    // With a second destination every lead has two syncs, and is one lead all the same.
    let second = format!(
        "destinations:\n  second: {{ crm: sandbox, url: \"{}\", token: demo, mode: observe }}\n",
        rig.sandbox.url()
    );
    rig.edit("workspace.yaml", "destinations:\n", &second);
    rig.edit("sendpulse.yaml", "to: [crm]", "to: [crm, second]");
    rig.boot().await;
    let start = now_millis();
    for number in 0..7 {
        let phone = format!("+38067{:07}", 1_100_003 + number * 16_411);
        rig.post(&event(&format!("chat-{number}"), "telegram", json!({ "phone": phone }), start + number))
            .await;
    }
    rig.settle().await;
    let mut sequences: Vec<i64> = Vec::new();
    let mut sizes = Vec::new();
    let mut path = "/api/leads?limit=3".to_owned();
    loop {
        let page = rig.json(&path).await;
        let leads = page["leads"].as_array().unwrap();
        sizes.push(leads.len());
        sequences.extend(leads.iter().map(|lead| lead["sequence"].as_i64().unwrap()));
        match page["next"].as_str() {
            Some(next) => path = format!("/api/leads?limit=3&before={next}"),
            None => break,
        }
    }
    assert_eq!(sizes, [3, 3, 1]);
    assert_eq!(sequences, [7, 6, 5, 4, 3, 2, 1]);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_found_by_whatever_one_has_of_them() {
    let rig = rig().await;
    let variables = json!({ "phone": "067 123 45 67", "email": "Olena.K@example.com" });
    rig.post(&event("6667-tg", "telegram", variables, now_millis())).await;
    rig.post(&event("6667-ig", "instagram", json!({ "phone": "0501234567" }), now_millis())).await;
    rig.settle().await;
    let mut texts = spellings("671234567").to_vec();
    texts.extend(["olena.k@EXAMPLE.com", " 6667-tg ", "+380 67 123 4567"].map(str::to_owned));
    for text in texts {
        let found = rig.found(&text).await;
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert_eq!(found[0]["contact"]["phone"], "+380671234567", "{text}");
    }
    for text in ["", "%", "0631234567", "nobody@example.com", "' OR 1=1 --"] {
        assert_eq!(rig.found(text).await, [] as [Value; 0], "{text}");
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_shows_everything_that_happened_to_it() {
    let rig = rig().await;
    let body = event("6667-tg", "telegram", json!({ "phone": "067 123 45 67" }), now_millis());
    rig.post_all(&[body.clone(), body.clone()], 1).await;
    rig.settle().await;
    let id = rig.found("0671234567").await[0]["id"].as_str().unwrap().to_owned();
    let lead = rig.json(&format!("/api/leads/{id}")).await;
    assert_eq!(lead["delivery"]["body"], body.to_string());
    assert_eq!(lead["delivery"]["headers"], json!([["content-type", "application/json"]]));
    assert_eq!(lead["redeliveries"].as_array().unwrap().len(), 1);
    assert_eq!(lead["lead"]["contact"]["phones"][0]["e164"], "+380671234567");
    assert_eq!(lead["lead"]["branch"], "all");
    let decision = &lead["decision"];
    assert_eq!((&decision["rule"], &decision["why_not"]), (&json!("nobody_known"), &json!([])));
    assert!(decision["why"][0]["text"].as_str().unwrap().starts_with("A new person"), "{decision}");
    let ukrainian = rig.json(&format!("/api/leads/{id}?language=uk")).await;
    assert!(ukrainian["decision"]["why"][0]["text"].as_str().unwrap().starts_with("Нова людина"));
    let sync = &lead["syncs"][0];
    assert_eq!((&sync["destination"], &sync["state"]), (&json!("crm"), &json!("synced")));
    assert!(!sync["reasons"][0]["text"].as_str().unwrap().is_empty(), "{sync}");
    let steps: Vec<(&str, &str)> = sync["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| (step["kind"].as_str().unwrap(), step["state"].as_str().unwrap()))
        .collect();
    assert_eq!(steps, [("create contact", "done"), ("create deal", "done")]);
    let records: BTreeSet<&str> =
        (0..2).map(|step| sync["steps"][step]["record"].as_str().unwrap()).collect();
    assert_eq!(records.len(), 2, "each step names the record it made: {sync}");
    assert_eq!(rig.contact().await["id"].to_string(), sync["steps"][0]["record"].as_str().unwrap());
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_questions_are_answered_with_what_to_do() {
    let rig = rig().await;
    let nobody = "0190a0b0-0000-7000-8000-000000000000";
    for (path, status, says) in [
        ("/api/leads/nonsense", 400, "'nonsense' is no lead id"),
        (&*format!("/api/leads/{nobody}"), 404, "there is no lead"),
        (
            &*format!("/api/leads/{nobody}?language=xx"),
            400,
            "'xx' is no language that we speak; it is en or uk",
        ),
        (&*format!("/api/leads/{nobody}?lang=uk"), 400, "takes language"),
        ("/api/leads?limit=many", 400, "limit"),
        ("/api/leads?page=2", 400, "takes before, after, limit, q, region, source"),
        ("/api/nothing", 404, "nothing is at this address"),
    ] {
        let (given, text) = rig.get(path).await;
        assert_eq!(given, status, "{path}: {text}");
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert!(answer["error"].as_str().unwrap().contains(says), "{path}: {text}");
    }
    // Sizes that make no sense are brought within bounds instead.
    for path in ["/api/leads?limit=0", "/api/leads?limit=100000", "/api/leads?before=-1"] {
        assert_eq!(rig.get(path).await.0, 200, "{path}");
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_token_opens_what_is_not_health() {
    let rig = rig().await;
    for path in ["/api/leads", "/metrics", "/api/nothing"] {
        for token in [None, Some("wrong"), Some("")] {
            let (status, text) = rig.get_as(token, path).await;
            assert_eq!(status, 401, "{path} {token:?}");
            assert!(text.contains("LEADFOLD_API_TOKEN"), "{text}");
        }
    }
    assert_eq!(rig.get_as(None, "/healthz").await, (200, r#"{"alive":true}"#.to_owned()));
    assert_eq!(rig.get_as(None, "/readyz").await, (200, r#"{"ready":true}"#.to_owned()));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_that_is_described_is_recorded() {
    let rig = rig().await;
    rig.post(&event("6667-tg", "telegram", json!({ "phone": "067 123 45 67" }), now_millis())).await;
    rig.settle().await;
    let (_, text) = rig.get("/metrics").await;
    for line in [
        &*format!("{}{{source=\"sendpulse\",answer=\"kept\"}}", metric::DELIVERIES),
        &*format!("{}_count", metric::ACK_SECONDS),
        &*format!("{}{{source=\"sendpulse\",state=\"mapped\"}}", metric::LEADS),
        &*format!("{}{{destination=\"crm\",state=\"synced\"}}", metric::SYNCS),
        &*format!("{}{{destination=\"crm\",operation=", metric::CALLS),
        &*format!("{}_count{{destination=\"crm\",operation=", metric::CALL_SECONDS),
        &*format!("{}{{destination=\"crm\",state=\"ready\"}}", metric::BACKLOG),
        &*format!("{}{{stage=\"prepare\"}}", metric::OLDEST_DUE_SECONDS),
        &*format!("{}{{stage=\"sync\",destination=\"crm\"}}", metric::OLDEST_DUE_SECONDS),
    ] {
        assert!(text.lines().any(|found| found.starts_with(line)), "{line} is missing in\n{text}");
    }
    let described = text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next());
    let ours: BTreeSet<&str> = described.filter(|name| name.starts_with("leadfold_")).collect();
    let recorded = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    for name in recorded.filter(|name| name.starts_with("leadfold_")) {
        assert!(ours.contains(name), "{name} says nothing about itself");
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_backlog_says_what_waits_and_since_when() {
    let mut rig = rig().await;
    rig.post(&event("6667-tg", "telegram", json!({ "phone": "067 123 45 67" }), now_millis())).await;
    rig.settle().await;
    assert_eq!(rig.app().store.backlog().await.unwrap().syncs, []);
    rig.shut_down().await;
    rig.sql("UPDATE syncs SET state = 'unknown', next_at = 5000").await;
    rig.sql("UPDATE deliveries SET state = 'received', received_at = 7000").await;
    let store = Store::open_to_read(&rig.database()).await.unwrap();
    let backlog = store.backlog().await.unwrap();
    store.close().await;
    let [open] = &backlog.syncs[..] else { panic!("{backlog:?}") };
    assert_eq!((&*open.destination, &*open.state, open.count), ("crm", "unknown", 1));
    assert_eq!(open.due.as_millisecond(), 5000);
    assert_eq!(backlog.oldest_received.unwrap().as_millisecond(), 7000);
    rig.boot().await;
    rig.settle().await;
    rig.end().await;
}
