//! A source that cannot be prepared from still keeps what is sent to it, and nothing of it is lost when it is mended.

use leadfold::map::Files;
use leadfold::sandbox::Faults;
use serde_json::{Value, json};

use crate::rig::{IMPATIENT, MAPPING, Rig, WORKSPACE, event, now_millis};

/// What a person does to the files.
type Edit = fn(&mut Files);

const RIGHT: &str = "/in/sendpulse/demo";
const WRONG: &str = "/in/sendpulse/wrong";

async fn unstarted() -> Rig {
    Rig::prepare(Faults::default(), IMPATIENT, MAPPING).await
}

fn olena() -> Value {
    event("chat-1", "telegram", json!({ "phone": "0671234567" }), now_millis())
}

/// Starts on broken files, posts, and starts again on good ones: the delivery waited, said why, and became a lead.
async fn waits_until_mended(mut rig: Rig, broken: Files, why: &str) {
    let good = std::mem::replace(&mut rig.files, broken);
    rig.boot().await;
    assert_eq!(rig.post_to(RIGHT, olena().to_string()).await, (200, r#"{"ok":true}"#.to_owned()), "{why}");
    assert_eq!(
        rig.post_to(WRONG, olena().to_string()).await.0,
        404,
        "{why}: the token is known all the same"
    );
    assert_eq!(rig.deliveries().await, [("waiting".to_owned(), why.to_owned())]);
    // Neither a restart nor time changes that.
    rig.restart().await;
    assert_eq!(rig.deliveries().await, [("waiting".to_owned(), why.to_owned())]);

    rig.files = good;
    rig.restart().await;
    rig.settle().await;
    let counts = rig.counts().await;
    assert_eq!((counts.waiting_deliveries, counts.leads, counts.synced), (0, 1, 1), "{why}: {counts:?}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_paused_renamed_or_removed_keeps_its_deliveries() {
    let removed = "source 'sendpulse' was removed from the workspace or renamed";
    let edits: [(Edit, &str); 3] = [
        (
            |files| {
                let paused = MAPPING.replace("token: demo }", "token: demo, paused: true }");
                files.0.insert("sendpulse.yaml".to_owned(), paused);
            },
            "the source is paused in its mapping",
        ),
        (
            |files| {
                files.0.remove("sendpulse.yaml");
            },
            removed,
        ),
        (
            |files| {
                let text = files.0.remove("sendpulse.yaml").unwrap();
                files.0.insert("telegram.yaml".to_owned(), text);
            },
            removed,
        ),
    ];
    for (edit, why) in edits {
        let mut rig = unstarted().await;
        rig.boot().await;
        rig.shut_down().await;
        let mut edited = rig.files.clone();
        edit(&mut edited);
        waits_until_mended(rig, edited, why).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_start_on_a_broken_workspace_keeps_deliveries_and_names_the_line() {
    let line = |text: &str, part: &str| text.lines().position(|line| line.contains(part)).unwrap() + 1;
    let syntax = MAPPING.replace("    deal: {", "    deal: [");
    let semantics = MAPPING.replace("only_empty", "only_emtpy");
    let kind = WORKSPACE.replace("crm: sandbox", "crm: sandbax");
    for (file, text, at) in [
        ("sendpulse.yaml", &syntax, None),
        ("sendpulse.yaml", &semantics, Some(line(&semantics, "only_emtpy"))),
        ("workspace.yaml", &kind, Some(line(&kind, "sandbax"))),
    ] {
        let rig = unstarted().await;
        let mut broken = rig.files.clone();
        let text = text.replace("{ADDRESS}", "127.0.0.1:9").replace("{DESTINATION}", IMPATIENT);
        broken.0.insert(file.to_owned(), text);
        let at = at.unwrap_or_else(|| {
            // Where a parser notices an unclosed bracket is its own affair; that it says a line of this file is ours.
            let compiled =
                leadfold::workspace::compile_with(&broken, &(std::sync::Arc::new(|_: &str| None) as _));
            compiled.problems[0].line
        });
        waits_until_mended(rig, broken, &format!("mapping broken, {file}:{at}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_could_not_be_read_is_checked_once_it_can() {
    let mut rig = unstarted().await;
    let good = rig.files.clone();
    rig.files.0.insert("sendpulse.yaml".to_owned(), "}{ no yaml at all".to_owned());
    rig.boot().await;
    // Nobody can tell which of the two is right.
    assert_eq!(rig.post_to(RIGHT, olena().to_string()).await.0, 200);
    assert_eq!(rig.post_to(WRONG, olena().to_string()).await.0, 200);
    assert_eq!(rig.post_to("/in/sendpulse/", "{}").await.0, 404, "no token at all is never right");
    let waiting = ("waiting".to_owned(), "mapping broken, sendpulse.yaml:1".to_owned());
    assert_eq!(rig.deliveries().await, [waiting.clone(), waiting]);

    rig.files = good;
    rig.restart().await;
    rig.settle().await;
    let deliveries = rig.deliveries().await;
    assert_eq!(deliveries[0], ("prepared".to_owned(), String::new()));
    assert_eq!(deliveries[1], ("refused".to_owned(), "its path token turned out to be wrong".to_owned()));
    assert_eq!((rig.counts().await.leads, rig.stats().contacts), (1, 1));
    assert_eq!(rig.post_to(WRONG, olena().to_string()).await.0, 404);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_edit_changes_nothing() {
    let mut rig = unstarted().await;
    rig.boot().await;
    let good = rig.files.hash();
    rig.edit("sendpulse.yaml", "only_empty", "only_emtpy");
    rig.restart().await;
    assert_eq!(rig.post(&olena()).await, 200);
    rig.settle().await;
    assert_eq!(rig.counts().await.synced, 1, "the last good version prepares and pushes");
    let lead = rig.found("0671234567").await[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(rig.json(&format!("/api/leads/{lead}")).await["version"], good.as_str());
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_never_existed_and_a_wrong_token_look_alike() {
    let mut rig = unstarted().await;
    rig.boot().await;
    let never = rig.post_to("/in/nobody/demo", "{}").await;
    assert_eq!(never.0, 404);
    assert_eq!(rig.post_to(WRONG, "{}").await, never);
    assert_eq!(rig.deliveries().await, []);
    rig.end().await;
}
