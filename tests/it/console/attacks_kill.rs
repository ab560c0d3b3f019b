//! What people do with their hands, cut short by kill -9, done by two at once, and while the CRM fails: nothing is lost, nothing
//! is half done, and each human is there once.

use std::time::Duration;

use leadfold::sandbox::{Running, Sandbox, SandboxOptions, Truth};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::Browser;
use crate::kill::server::{Home, Server};
use crate::postgres::Database;
use crate::rig::{MAPPING, event, now_millis, until};

const HUMANS: u64 = 24;
const DESTINATION: &str = "timeout: 1s, settle: 1200ms";
/// Everything that a CRM does to a replay: no, not now, and yes without a word of it.
const FAULTS: &str = r#"{ "latency_ms": 20, "fail_before": 0.1, "timeout_after": 0.08, "reset": 0.1 }"#;

fn phone(human: u64) -> String {
    format!("+38067{:07}", 1_100_003 + human * 16_411)
}

async fn crm() -> Running {
    let crm = Sandbox::start(SandboxOptions::default()).await.unwrap();
    let humans = (0..HUMANS).map(|human| (human.to_string(), vec![phone(human)]));
    crm.set_truth(Truth(humans.collect()));
    crm
}

/// One lead of a human, who comes by another chat each time.
async fn come(home: &Home, server: &Server, human: u64, time: u64) {
    let at = now_millis() + i64::try_from(human * 10 + time).unwrap();
    let body = event(&format!("chat-{human}-{time}"), "telegram", json!({ "phone": phone(human) }), at);
    assert!(home.post(server.address, &body).await);
}

async fn asked(home: &Home, server: &Server, path: &str, body: Value) -> Value {
    let (status, text) = home.ask(server.address, path, &body).await;
    assert_eq!(status, 200, "{path}: {text}");
    serde_json::from_str(&text).unwrap()
}

fn each_human_is_there_once(crm: &Running, humans: u64) {
    let stats = crm.stats();
    let humans = usize::try_from(humans).unwrap();
    assert_eq!((stats.contacts, stats.deals), (humans, humans), "{stats:?}");
    assert_eq!((stats.duplicate_contacts, stats.duplicate_deals), (0, 0), "{stats:?}");
}

/// Two operators press the same button in two processes, one of which dies over it.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_replay_by_two_operators_brings_each_human_once() {
    let Some(database) = Database::create().await else { return };
    let crm = crm().await;
    let home = Home::on(&database.url, crm.addr(), DESTINATION);
    home.map_with(&MAPPING.replace("title != 'bot_block'", "contact.id / 1 > 0"));
    let (one, other) = (home.start().await, home.start().await);
    for human in 0..HUMANS {
        come(&home, &one, human, 0).await;
        come(&home, &other, human, 1).await;
    }
    home.until(|counts| counts.needs_attention == i64::try_from(HUMANS * 2).unwrap()).await;
    let active = asked(&home, &one, "/api/versions/active", json!({})).await;
    let mut files = active["files"].clone();
    files["sendpulse.yaml"] = json!(MAPPING);
    let body = json!({ "files": files, "instead_of": active["version"], "with_secrets": true });
    let version = asked(&home, &one, "/api/versions", body).await["version"].clone();
    crm.set_faults(serde_json::from_str(FAULTS).unwrap());
    let operators =
        [Browser::at(format!("http://{}", one.address)), Browser::at(format!("http://{}", other.address))];
    for operator in &operators {
        operator.post("/sign-in", &[("token", "s3cret")]).await.is(303);
        operator.get("/attention").await.is(200);
    }
    let replay = json!({ "select": { "states": ["needs-attention"] }, "how": "replan" });
    let press = async |server: &Server, human: u64| {
        for _ in 0..3 {
            home.try_ask(server.address, "/api/replay", &replay).await;
            // Meanwhile the human comes again, and somebody pauses what the other resumes.
            if human < HUMANS {
                home.post(
                    server.address,
                    &event(
                        &format!("again-{human}"),
                        "telegram",
                        json!({ "phone": phone(human) }),
                        now_millis(),
                    ),
                )
                .await;
            }
            for path in ["/api/destinations/pause", "/api/destinations/resume"] {
                home.try_ask(server.address, path, &json!({ "destination": "crm" })).await;
            }
        }
    };
    let die = async {
        sleep(Duration::from_millis(400)).await;
        one.freeze();
        sleep(Duration::from_millis(100)).await;
    };
    tokio::join!(press(&other, 0), press(&other, 1), die, async {
        tokio::time::timeout(Duration::from_secs(2), press(&one, 2)).await.ok();
    });
    one.kill();
    home.try_ask(other.address, "/api/destinations/resume", &json!({ "destination": "crm" })).await;
    // What a CRM refused for good while it failed is asked for again until nothing is left.
    crm.set_faults(serde_json::from_str("{}").unwrap());
    until("everything has come to its end", async || {
        home.try_ask(other.address, "/api/replay", &replay).await;
        let registry = home.registry().await;
        let counts = registry.counts().await.unwrap();
        registry.close().await;
        counts.open == 0 && counts.received == 0 && counts.needs_attention == 0
    })
    .await;
    each_human_is_there_once(&crm, HUMANS);
    let active = asked(&home, &other, "/api/versions/active", json!({})).await;
    assert_eq!(active["version"], version);
    other.kill();
    home.remove();
    database.remove().await;
}

/// Saving, pausing, merging and replaying, each cut short anywhere.
#[tokio::test(flavor = "multi_thread")]
async fn what_hands_do_is_done_or_not_and_never_half() {
    let crm = crm().await;
    let home = Home::new(crm.addr(), DESTINATION);
    let mut texts = vec![MAPPING.to_owned()];
    let mut server = home.start().await;
    for human in 0..2 {
        come(&home, &server, human, 0).await;
    }
    home.until(|counts| counts.synced == 2).await;
    for round in 0_u64..6 {
        // What it does while people work is done by them at different speeds.
        crm.set_faults(serde_json::from_str(FAULTS).unwrap());
        let looked = asked(&home, &server, "/api/mappings", json!({ "file": "sendpulse.yaml" })).await;
        let text = format!("{MAPPING}# round {round}\n");
        texts.push(text.clone());
        let edit = json!({ "of": looked["version"], "files": { "sendpulse.yaml": text } });
        let asks = [
            ("/api/mappings/save", json!({ "edit": edit })),
            ("/api/destinations/pause", json!({ "destination": "crm" })),
            ("/api/people/merge", json!({ "one": phone(0), "other": phone(1) })),
            (
                "/api/replay",
                json!({ "select": { "source": "sendpulse", "states": ["synced", "needs-attention"] }, "how": "resume" }),
            ),
            ("/api/destinations/resume", json!({ "destination": "crm" })),
        ];
        come(&home, &server, 2 + round, 0).await;
        let work = async {
            for (path, body) in &asks {
                home.try_ask(server.address, path, body).await;
            }
        };
        tokio::time::timeout(Duration::from_millis(15 + round * 45), work).await.ok();
        server.kill();
        crm.set_faults(serde_json::from_str("{}").unwrap());
        server = home.start().await;
        let looked = asked(&home, &server, "/api/mappings", json!({ "file": "sendpulse.yaml" })).await;
        let now = looked["text"].as_str().unwrap().replace("\"••••••\"", "demo");
        assert!(texts.contains(&now), "a version that nobody wrote: {now}");
        asked(&home, &server, "/api/destinations/resume", json!({ "destination": "crm" })).await;
        let people = async |number: u64| {
            let found = asked(&home, &server, "/api/people", json!({ "who": phone(number) })).await;
            found["people"].as_array().unwrap().len()
        };
        assert_eq!((people(0).await, people(1).await), (1, 1));
    }
    // Once more, and nobody dies: it is done, however often it was begun.
    let (status, said) =
        home.ask(server.address, "/api/people/merge", &json!({ "one": phone(0), "other": phone(1) })).await;
    assert!(status == 200 || said.contains("are person"), "{status} {said}");
    let replay = json!({ "select": { "states": ["needs-attention"] }, "how": "resume" });
    until("everything has come to its end", async || {
        home.try_ask(server.address, "/api/replay", &replay).await;
        let registry = home.registry().await;
        let counts = registry.counts().await.unwrap();
        registry.close().await;
        counts.open == 0 && counts.received == 0 && counts.needs_attention == 0
    })
    .await;
    each_human_is_there_once(&crm, 8);
    let found = async |human| asked(&home, &server, "/api/people", json!({ "who": phone(human) })).await;
    assert_eq!(found(0).await["people"][0]["id"], found(1).await["people"][0]["id"]);
    server.kill();
    home.remove();
}
