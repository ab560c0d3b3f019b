//! When a second copy is a redelivery and when it is somebody who came back: times of receipt alone say so.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use leadfold::clock::ManualClock;
use leadfold::sandbox::Faults;
use serde_json::{Value, json};

use crate::rig::{IMPATIENT, MAPPING, Rig, event};

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

async fn rig() -> (Rig, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new("2026-03-02T09:00:00Z".parse::<Timestamp>().unwrap()));
    let mut rig = Rig::prepare(Faults::default(), IMPATIENT, MAPPING).await;
    rig.clock = Arc::<ManualClock>::clone(&clock);
    (rig, clock)
}

fn form() -> Value {
    event("chat-1", "telegram", json!({ "phone": "0671234567" }), 1_772_442_000_000)
}

fn message(date: i64) -> Value {
    let mut event = event("chat-1", "telegram", json!({ "phone": "0671234567" }), date);
    event[0]["info"] = json!({ "message": { "id": "65f0c0ffee" } });
    event
}

/// Posts after each of these waits; returns leads, redeliveries, deals and tasks.
async fn after(rig: &Rig, clock: &ManualClock, posts: &[(SignedDuration, Value)]) -> [i64; 4] {
    for (wait, body) in posts {
        clock.advance(*wait);
        assert_eq!(rig.post(body).await, 200);
        rig.settle().await;
    }
    outcome(rig).await
}

async fn outcome(rig: &Rig) -> [i64; 4] {
    let (counts, stats) = (rig.counts().await, rig.stats());
    let count = |number: usize| i64::try_from(number).unwrap();
    [counts.leads, counts.redeliveries, count(stats.deals), count(stats.tasks)]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_body_is_a_redelivery_for_ten_minutes_and_a_new_event_after_that() {
    let (mut rig, clock) = rig().await;
    rig.boot().await;
    let zero = SignedDuration::ZERO;
    assert_eq!(after(&rig, &clock, &[(zero, form()), (MINUTE, form())]).await, [1, 1, 1, 0]);
    let first = rig.found("0671234567").await[0].clone();
    let detail = rig.json(&format!("/api/leads/{}", first["id"].as_str().unwrap())).await;
    assert_eq!(detail["redeliveries"].as_array().unwrap().len(), 1, "{detail}");
    assert_eq!(detail["redeliveries"][0]["received_at"], "2026-03-02T09:01:00Z");
    // The window counts from the first, so that a platform that never stops does not keep it open.
    assert_eq!(after(&rig, &clock, &[(MINUTE * 9, form())]).await, [1, 2, 1, 0]);
    assert_eq!(after(&rig, &clock, &[(SignedDuration::from_millis(1), form())]).await, [2, 2, 1, 1]);
    assert_eq!(after(&rig, &clock, &[(DAY, form())]).await, [3, 2, 1, 2]);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_id_counts_as_long_as_rows_are_kept() {
    let (mut rig, clock) = rig().await;
    rig.boot().await;
    let zero = SignedDuration::ZERO;
    let start = 1_772_442_000_000;
    assert_eq!(after(&rig, &clock, &[(zero, message(start))]).await, [1, 0, 1, 0]);
    assert_eq!(after(&rig, &clock, &[(DAY * 400, message(start + 1))]).await, [1, 1, 1, 0]);
    assert_eq!(after(&rig, &clock, &[(MINUTE, message(start + 2))]).await, [2, 1, 1, 1]);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn preparing_late_changes_nothing() {
    let (mut rig, clock) = rig().await;
    rig.edit("sendpulse.yaml", "token: demo }", "token: demo, paused: true }");
    rig.boot().await;
    let posts = [(SignedDuration::ZERO, form()), (MINUTE, form()), (DAY, form()), (MINUTE, form())];
    assert_eq!(after(&rig, &clock, &posts).await, [0, 0, 0, 0]);
    clock.advance(DAY * 30);
    rig.edit("sendpulse.yaml", ", paused: true", "");
    rig.restart().await;
    rig.settle().await;
    assert_eq!(outcome(&rig).await, [2, 2, 1, 1], "two visits, each sent twice");
    rig.end().await;
}
