//! Calls that wait for two CRMs: made once, when the last one confirms, and not at all while one of them refuses.

use leadfold::sandbox::{Running, Sandbox, SandboxOptions};
use serde_json::{Value, json};

use super::says;
use super::stand_in::StandIn;
use super::ways_back::{metabot, post, started_on};
use crate::postgres::Database;
use crate::rig::{Rig, until};

const BOTH: &str = r#"
source: { preset: metabot, token: demo }
leads:
  - name: all
    to: [crm, other]
    phone: { regions: [UA] }
    contact: { name: "{{ name }}", phone: "{{ phone }}" }
    deal: { title: "Order", pipeline: Main }
    after_done: [ { to: metabot, schedule_job: welcome } ]
    after_look_up: [ { to: later, schedule_job: looked } ]
"#;

/// A leadfold with two CRMs, the second in this mode.
async fn started(postgres: Option<Database>, server: &StandIn, mode: &str) -> (Rig, Running) {
    let other = Sandbox::start(SandboxOptions::default()).await.unwrap();
    let bots = format!(
        "{}\n{}\n  other: {{ crm: sandbox, url: \"{}\", token: demo, mode: {mode} }}",
        metabot(&server.url()),
        metabot(&server.url()).replace("metabot:", "later:"),
        other.url()
    );
    (started_on(postgres, &bots, &[("chat.yaml", BOTH)]).await, other)
}

async fn detail(rig: &Rig) -> Value {
    let leads = rig.json("/api/leads").await;
    let id = leads["leads"][0]["id"].as_str().unwrap();
    rig.json(&format!("/api/leads/{id}")).await
}

fn state(detail: &Value, destination: &str) -> String {
    let syncs = detail["syncs"].as_array().unwrap();
    let sync = syncs.iter().find(|sync| sync["destination"] == destination);
    sync.map(|sync| sync["state"].as_str().unwrap().to_owned()).unwrap_or_default()
}

fn scripts(server: &StandIn) -> Vec<String> {
    let mut scripts: Vec<String> = server
        .requests()
        .iter()
        .map(|request| request.json()["script_code"].as_str().unwrap().to_owned())
        .collect();
    scripts.sort();
    scripts
}

async fn the_last_one_confirms(postgres: Option<Database>) {
    let server = StandIn::start(|_| says(200, json!({ "success": true }))).await;
    let (mut rig, other) = started(postgres, &server, "paused").await;
    post(&rig, "chat", json!({ "lead_id": 501, "name": "Olha", "phone": "0671234567" })).await;
    until("the first CRM confirms", async || {
        let leads = rig.json("/api/leads").await;
        !leads["leads"].as_array().unwrap().is_empty() && state(&detail(&rig).await, "crm") == "synced"
    })
    .await;
    let lead = detail(&rig).await;
    let to_come = lead["calls_to_come"].as_array().unwrap();
    assert_eq!(to_come.len(), 2, "{lead}");
    for call in to_come {
        assert!(call["why"].as_str().unwrap().contains("waits for 'other'"), "{lead}");
    }
    assert!(server.requests().is_empty(), "one has not confirmed yet");
    rig.edit("workspace.yaml", "mode: paused", "mode: live");
    rig.restart().await;
    let process = if rig.postgres.is_some() { Some(rig.another().await) } else { None };
    until("both bots are called", async || server.requests().len() == 2).await;
    rig.settle().await;
    assert_eq!(scripts(&server), ["looked", "welcome"]);
    assert_eq!((rig.stats().contacts, other.stats().contacts), (1, 1));
    assert!(detail(&rig).await.get("calls_to_come").is_none(), "nothing is to come any more");
    if let Some(process) = process {
        process.stop().await;
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_is_called_once_when_the_last_of_two_crms_confirms() {
    the_last_one_confirms(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_is_called_once_when_the_last_of_two_crms_confirms_by_two_processes() {
    let Some(database) = Database::create().await else { return };
    the_last_one_confirms(Some(database)).await;
}

/// Both confirm at one moment, many times, in two processes: neither waits for the other, and neither calls twice.
#[tokio::test(flavor = "multi_thread")]
async fn two_crms_that_confirm_at_one_moment_make_one_call() {
    let Some(database) = Database::create().await else { return };
    let server = StandIn::start(|_| says(200, json!({ "success": true }))).await;
    let (rig, _other) = started(Some(database), &server, "live").await;
    let process = rig.another().await;
    for number in 0..24 {
        let phone = format!("06712345{number:02}");
        post(&rig, "chat", json!({ "lead_id": 500 + number, "name": "Olha", "phone": phone })).await;
    }
    until("each is called", async || server.requests().len() >= 48).await;
    rig.settle().await;
    let called = scripts(&server);
    assert_eq!(called.len(), 48, "{called:?}");
    assert_eq!(called.iter().filter(|script| *script == "welcome").count(), 24);
    process.stop().await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crm_that_refuses_holds_the_call_up_and_it_says_so() {
    let server = StandIn::start(|_| says(200, json!({ "success": true }))).await;
    let (rig, other) = started(None, &server, "live").await;
    let account = serde_json::from_value(json!({ "pipelines": [{ "name": "Else", "stages": ["New"] }] }));
    other.set_account(Some(account.unwrap()));
    post(&rig, "chat", json!({ "lead_id": 501, "name": "Olha", "phone": "0671234567" })).await;
    rig.settle().await;
    let lead = detail(&rig).await;
    assert_eq!((state(&lead, "crm"), state(&lead, "other")), ("synced".into(), "needs-attention".into()));
    let to_come = &lead["calls_to_come"];
    let told: Vec<&str> =
        to_come.as_array().unwrap().iter().map(|call| call["moment"].as_str().unwrap()).collect();
    assert_eq!(told, ["after_done", "after_look_up"], "{lead}");
    for call in to_come.as_array().unwrap() {
        assert!(
            call["why"].as_str().unwrap().contains("'other' has not confirmed and needs attention"),
            "{lead}"
        );
    }
    assert!(server.requests().is_empty());
    // Somebody clears it up there.
    other.set_account(None);
    let body = json!({ "select": { "states": ["needs-attention"] }, "how": "resume" });
    let (status, answer) = rig.post_to_api("/api/replay", &body).await;
    assert_eq!(status, 200, "{answer}");
    until("both bots are called", async || server.requests().len() == 2).await;
    rig.settle().await;
    assert_eq!(scripts(&server), ["looked", "welcome"]);
    rig.end().await;
}
