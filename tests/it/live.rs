//! From observing to live: what is held waits for a person's answer, and nothing of it gets lost or doubled.

use leadfold::sandbox::Faults;
use serde_json::{Value, json};

use crate::alerts::Hook;
use crate::replay::run;
use crate::rig::{Rig, event, now_millis};

const OBSERVE: &str = "timeout: 500ms, settle: 700ms, mode: observe";

/// A lead of the human with this number; `at` tells their leads apart.
fn lead(human: i64, at: i64) -> Value {
    let phone = format!("+38067{:07}", 1_100_003 + human * 16_411);
    event(&format!("chat-{human}"), "telegram", json!({ "phone": phone }), at)
}

/// A leadfold that only observes and was given one lead of each of so many humans.
async fn observing(humans: i64) -> Rig {
    let rig = Rig::start(Faults::default(), OBSERVE).await;
    let start = now_millis();
    for human in 0..humans {
        rig.post(&lead(human, start + human)).await;
        rig.settle().await;
    }
    assert_eq!((rig.counts().await.held, rig.stats().contacts), (humans, 0));
    rig
}

async fn go_live(rig: &mut Rig) {
    rig.edit("workspace.yaml", "mode: observe", "mode: live");
    rig.restart().await;
}

fn live(rig: &Rig, arguments: &[&str]) -> (i32, String, String) {
    run(rig, &[&["live", "crm"], arguments].concat())
}

fn written(rig: &Rig) -> (usize, usize, usize) {
    let stats = rig.stats();
    (stats.contacts, stats.deals, stats.tasks)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_plan_is_explained_in_full() {
    let rig = observing(1).await;
    let id = rig.json("/api/leads").await["leads"][0]["id"].as_str().unwrap().to_owned();
    let (code, out, err) = run(&rig, &["explain", &id]);
    assert_eq!(code, 0, "{err}");
    for part in [
        "'crm': held",
        "leadfold live crm",
        "create contact: planned",
        "phones: +380671100003",
        "telegram_chat: chat-0",
        "create deal: planned",
        "title: Lead from Polynia Shop",
        "pipeline: Main",
    ] {
        assert!(out.contains(part), "explain does not say {part}:\n{out}");
    }
    let planned = || async { rig.sql("SELECT planned_at FROM syncs").await[0][0].clone() };
    // Planned again, because the CRM has moved on; and still held.
    let before = planned().await;
    rig.add_contact(json!({ "name": "Olena", "phones": ["+380671100003"] })).await;
    let (code, out, err) = run(&rig, &["replay", &id, "--resume", "--yes"]);
    assert_eq!(code, 0, "{out}{err}");
    rig.settle().await;
    let (_, out, _) = run(&rig, &["explain", &id]);
    assert!(out.contains("'crm': held") && !out.contains("create contact"), "{out}");
    assert_ne!(planned().await, before);
    assert_eq!(written(&rig), (1, 0, 0), "nothing but what a person made");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_lets_the_first_leads_through_while_the_rest_is_observed() {
    let mut rig = observing(4).await;
    let (code, out, _) = live(&rig, &[]);
    assert_eq!(code, 1, "{out}");
    for part in ["only observes", "held: 4 leads", "4  create contact, create deal", "--push --limit 5"] {
        assert!(out.contains(part), "it does not say {part}:\n{out}");
    }
    let (code, _, err) = live(&rig, &["--push", "--yes"]);
    assert!(code == 2 && err.contains("only observes") && err.contains("--limit"), "{err}");
    let (code, _, err) = live(&rig, &["--push", "--limit", "2"]);
    assert!(code == 2 && err.contains("--yes"), "nobody can be asked: {err}");
    assert_eq!(rig.counts().await.held, 4);

    let (code, out, err) = live(&rig, &["--push", "--limit", "2", "--yes"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("2 leads on the way to 'crm'"), "{out}");
    rig.settle().await;
    assert_eq!((written(&rig), rig.counts().await.held), ((2, 2, 0), 2));
    let synced = rig.sql("SELECT sequence FROM syncs WHERE state = 'synced' ORDER BY sequence").await;
    assert_eq!(synced, [["1"], ["2"]], "the oldest were let through");
    // Who was let through once is observed again with the next lead.
    rig.post(&lead(0, now_millis())).await;
    rig.settle().await;
    assert_eq!((written(&rig), rig.counts().await.held), ((2, 2, 0), 3));
    // Another plan than the one that was let through is looked at first, like any.
    rig.edit("sendpulse.yaml", "telegram_chat: \"{{ contact.id", "telegram_chat: \"new-{{ contact.id");
    rig.edit("sendpulse.yaml", "update: only_empty", "update: all");
    rig.restart().await;
    let (code, out, err) = run(&rig, &["replay", "--state", "synced", "--replan", "--yes"]);
    assert_eq!(code, 0, "{out}{err}");
    rig.settle().await;
    let changed = rig.stats().calls.get("PATCH /contacts/{id}").copied();
    assert_eq!((changed, rig.counts().await.held), (None, 5), "what only observes writes nothing");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn once_live_new_leads_go_on_and_held_ones_wait_for_the_answer() {
    let mut rig = observing(3).await;
    go_live(&mut rig).await;
    rig.settle().await;
    assert_eq!((written(&rig), rig.counts().await.held), ((0, 0, 0), 3), "nobody has answered");
    let backlog = rig.app().store.backlog().await.unwrap().syncs;
    assert_eq!((backlog.len(), &*backlog[0].state, backlog[0].count), (1, "held", 3), "{backlog:?}");
    // Human 0 comes again and does not wait for their own held lead.
    rig.post(&lead(0, now_millis())).await;
    rig.settle().await;
    assert_eq!((written(&rig), rig.counts().await.held), ((1, 1, 0), 3));
    rig.restart().await;
    rig.settle().await;
    assert_eq!(rig.counts().await.held, 3, "a restart is no answer");

    let (code, out, _) = live(&rig, &["--json"]);
    let look: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &look["mode"], &look["held"]["count"]), (1, &json!("live"), &json!(3)), "{out}");
    let (code, out, err) = live(&rig, &["--push", "--yes"]);
    assert_eq!(code, 0, "{out}{err}");
    rig.settle().await;
    // The held lead of human 0 comes after the new one now: a task and no second deal.
    let counts = rig.counts().await;
    assert_eq!((written(&rig), counts.held, counts.synced), ((3, 3, 1), 0, 4), "{counts:?}");
    let (code, out, _) = live(&rig, &[]);
    assert!(code == 0 && out.contains("is live; nothing is held"), "{out}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_skipped_stays_out_until_somebody_replays_it() {
    let mut rig = observing(3).await;
    let (code, out, err) = live(&rig, &["--skip", "--limit", "2", "--yes"]);
    assert_eq!(code, 0, "{out}{err}");
    go_live(&mut rig).await;
    rig.settle().await;
    let counts = rig.counts().await;
    assert_eq!((written(&rig), counts.held, counts.filtered), ((0, 0, 0), 1, 2), "{counts:?}");
    let (_, page) = rig.get("/api/leads").await;
    assert!(page.contains("skipped on") && page.contains("--resume"), "{page}");
    assert_eq!(rig.sql("SELECT COUNT(*) FROM steps").await[0][0], "2", "only the held one has a plan");

    let (code, out, err) = run(&rig, &["replay", "--cause", "skipped", "--resume", "--yes"]);
    assert_eq!(code, 0, "{out}{err}");
    rig.settle().await;
    assert_eq!((written(&rig), rig.counts().await.held), ((2, 2, 0), 1), "the held one was not asked for");
    assert_eq!(live(&rig, &["--push", "--yes"]).0, 0);
    rig.settle().await;
    assert_eq!((written(&rig), rig.counts().await.synced), ((3, 3, 0), 3));

    // What is in the CRM, and planned again while it is only observed, is no less in the CRM when that is skipped.
    rig.edit("workspace.yaml", "mode: live", "mode: observe");
    rig.restart().await;
    assert_eq!(run(&rig, &["replay", "--state", "synced", "--replan", "--yes"]).0, 0);
    rig.settle().await;
    assert_eq!(rig.counts().await.held, 3);
    assert_eq!(live(&rig, &["--skip", "--yes"]).0, 0);
    let counts = rig.counts().await;
    assert_eq!((counts.synced, counts.filtered, counts.held), (3, 0, 0), "{counts:?}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_came_twice_while_observed_is_planned_as_one() {
    let mut rig = observing(1).await;
    rig.post(&lead(0, now_millis())).await;
    rig.settle().await;
    let (_, out, _) = live(&rig, &[]);
    for part in ["1  create contact, create deal", "1  come after an earlier held lead of the same person"] {
        assert!(out.contains(part), "it does not say {part}:\n{out}");
    }
    let hook = Hook::start().await;
    let alerts = format!("alerts: {{ webhook: '{}' }}\nowner_pools:", hook.url);
    rig.edit("workspace.yaml", "owner_pools:", &alerts);
    go_live(&mut rig).await;
    // The first call is refused.
    hook.called("held:crm", 2).await;
    assert_eq!(live(&rig, &["--push", "--yes"]).0, 0);
    rig.settle().await;
    assert_eq!(written(&rig), (1, 1, 1), "as if it had never been held");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_for_a_destination_that_is_not_there_says_which_are() {
    let rig = Rig::start(Faults::default(), OBSERVE).await;
    let (code, _, err) = run(&rig, &["live", "kommo"]);
    assert!(code == 2 && err.contains("no destination 'kommo'; it has crm"), "{err}");
    rig.end().await;
}
