//! Editing the workspace of a leadfold that runs: what is valid counts by itself, what is not changes nothing, and no edit
//! loses or doubles a lead.

use std::collections::BTreeSet;
use std::time::Duration;

use leadfold::app::Follow;
use leadfold::map::Files;
use leadfold::sandbox::{Faults, Latency};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::rig::{IMPATIENT, MAPPING, Rig, event, now_millis, spellings, until_within};

/// What a person does to the files.
type Edit = fn(&mut Files);

/// An edit counts within two looks; a busy machine may take longer.
const SOON: Duration = Duration::from_secs(30);

async fn rig() -> Rig {
    Rig::start(Faults::default(), IMPATIENT).await
}

async fn until(what: &str, holds: impl AsyncFnMut() -> bool) {
    until_within(SOON, what, holds).await;
}

async fn until_active(rig: &Rig) {
    let hash = rig.files.hash();
    until("the edit is active", async || rig.app().version().as_ref() == Some(&hash)).await;
}

/// `/readyz` as it answers: the notice, when there is one.
async fn notice(rig: &Rig) -> Option<String> {
    let (status, text) = rig.get_as(None, "/readyz").await;
    assert_eq!(status, 200, "a broken edit takes no process out of service: {text}");
    let answer: Value = serde_json::from_str(&text).unwrap();
    answer["notice"].as_str().map(str::to_owned)
}

fn lead(number: usize) -> Value {
    let phone = format!("67{:07}", 1_234_501 + number * 37);
    event(
        &format!("chat-{number}"),
        "telegram",
        json!({ "phone": spellings(&phone)[number % 9] }),
        now_millis(),
    )
}

/// Versions that made leads.
async fn versions_of_leads(rig: &Rig) -> BTreeSet<String> {
    rig.sql("SELECT DISTINCT version FROM leads").await.into_iter().map(|row| row[0].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_during_a_burst_count_by_themselves_and_lose_nothing() {
    let mut rig = rig().await;
    let bodies: Vec<Value> = (0..200).map(lead).collect();
    let before = rig.files.hash();
    let (first, rest) = bodies.split_at(100);
    rig.post_all(first, 8).await;
    rig.edit("sendpulse.yaml", "stage: New", "stage: Newer");
    // With another share the worker is exchanged in the middle of its work.
    rig.edit("workspace.yaml", "concurrency: 48", "concurrency: 47, share: 90%");
    rig.save();
    for piece in rest.chunks(10) {
        rig.post_all(piece, 8).await;
        sleep(Duration::from_millis(150)).await;
    }
    until_active(&rig).await;
    rig.post_all(&[lead(900)], 1).await;
    rig.settle().await;
    let (counts, stats) = (rig.counts().await, rig.stats());
    assert_eq!((counts.leads, counts.synced, counts.needs_attention), (201, 201, 0), "{counts:?}");
    assert_eq!((stats.contacts, stats.deals, stats.duplicate_contacts), (201, 201, 0));
    assert_eq!(
        versions_of_leads(&rig).await,
        [before, rig.files.hash()].into(),
        "each lead keeps its version"
    );
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_edit_changes_nothing_says_where_and_is_forgotten_when_mended() {
    let mut rig = rig().await;
    let good = rig.files.clone();
    assert_eq!(notice(&rig).await, None);
    let edits: [(Edit, &str); 4] = [
        (
            |files| {
                let text = files.0.get_mut("sendpulse.yaml").unwrap();
                *text = text.replace("to: [crm]", "to: [crmm]");
            },
            "sendpulse.yaml:6:10",
        ),
        (
            |files| {
                files.0.insert("sendpulse.yaml".to_owned(), "source: { preset".to_owned());
            },
            "sendpulse.yaml:1",
        ),
        // The adapter finds it, not the loader.
        (
            |files| {
                let text = files.0.get_mut("workspace.yaml").unwrap();
                *text = text.replace("concurrency: 48", "concurrency: many");
            },
            "workspace.yaml, destination `crm`",
        ),
        (
            |files| {
                files.0.remove("workspace.yaml");
            },
            "they cannot be read",
        ),
    ];
    for (number, (edit, place)) in edits.into_iter().enumerate() {
        edit(&mut rig.files);
        rig.save();
        until(place, async || notice(&rig).await.is_some_and(|notice| notice.contains(place))).await;
        assert_eq!(rig.app().store.active_hash().await.unwrap(), Some(good.hash()), "{place}");
        rig.post_all(&[lead(number)], 1).await;
        rig.settle().await;
        assert_eq!(
            rig.counts().await.synced,
            i64::try_from(number).unwrap() + 1,
            "{place}: the last good one works"
        );
        rig.files = good.clone();
        rig.save();
        until("mended", async || notice(&rig).await.is_none()).await;
    }
    let metrics = rig.get("/metrics").await.1;
    assert!(metrics.contains("leadfold_reloads_total{result=\"refused\"}"), "{metrics}");
    assert_eq!(versions_of_leads(&rig).await, [good.hash()].into());
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_half_written_or_gone_for_a_moment_is_no_edit() {
    let mut rig = rig().await;
    let good = rig.files.clone();
    // The half is valid by itself, and has only one branch.
    let half = good.0["sendpulse.yaml"].clone();
    let whole =
        format!("{half}  - name: never\n    when: false\n    to: [crm]\n    contact: {{ name: x }}\n");
    for _ in 0..6 {
        std::fs::remove_file(rig.workspace().join("sendpulse.yaml")).unwrap();
        sleep(Duration::from_millis(120)).await;
        std::fs::write(rig.workspace().join("sendpulse.yaml"), &half[..half.len() / 2]).unwrap();
        sleep(Duration::from_millis(120)).await;
        std::fs::write(rig.workspace().join("sendpulse.yaml"), &whole).unwrap();
        sleep(Duration::from_millis(120)).await;
    }
    rig.files.0.insert("sendpulse.yaml".to_owned(), whole);
    until_active(&rig).await;
    let versions: BTreeSet<String> =
        rig.sql("SELECT hash FROM versions").await.into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(versions, [good.hash(), rig.files.hash()].into(), "nothing in between was ever active");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waited_for_its_mapping_goes_on_when_it_is_mended() {
    let mut rig = Rig::prepare(Faults::default(), IMPATIENT, MAPPING).await;
    rig.edit("sendpulse.yaml", "token: demo }", "token: demo, paused: true }");
    rig.boot().await;
    rig.post_all(&[lead(1), lead(2)], 2).await;
    assert!(rig.deliveries().await.iter().all(|(state, _)| state == "waiting"));
    rig.edit("sendpulse.yaml", "paused: true", "paused: false");
    rig.save();
    until("both are leads", async || rig.counts().await.leads == 2).await;

    // A source that vanishes keeps what is sent to it; one that comes back takes it up.
    let text = rig.files.0.remove("sendpulse.yaml").unwrap();
    rig.save();
    until_active(&rig).await;
    rig.post_all(&[lead(3)], 1).await;
    until("it waits", async || rig.counts().await.waiting_deliveries == 1).await;
    rig.files.0.insert("sendpulse.yaml".to_owned(), text);
    rig.save();
    until("it is a lead", async || rig.counts().await.leads == 3).await;
    rig.settle().await;
    assert_eq!(rig.stats().contacts, 3);
    rig.end().await;
}

/// A request of the version before may be stored as waiting after the new version has looked for such.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_as_waiting_too_late_is_taken_up_all_the_same() {
    let rig = rig().await;
    rig.post_all(&[lead(1)], 1).await;
    rig.settle().await;
    rig.sql(
        "INSERT INTO deliveries (id, source, method, query, headers, body, received_at, state, why) \
         SELECT '00000000-0000-7000-8000-000000000001', source, method, query, headers, \
         replace(body, 'chat-1', 'chat-2'), received_at, 'waiting', 'late' FROM deliveries",
    )
    .await;
    until("the late one is a lead", async || rig.counts().await.leads == 2).await;
    rig.settle().await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_goes_while_its_leads_are_under_way_finishes_them_and_takes_the_rest_up_again() {
    let faults = Faults { latency_ms: Latency::Fixed(120), ..Faults::default() };
    let mut rig = Rig::start(faults, "timeout: 5s, settle: 700ms").await;
    rig.edit("workspace.yaml", "concurrency: 48", "concurrency: 2");
    let with = rig.files.clone();
    rig.save();
    until_active(&rig).await;
    let bodies: Vec<Value> = (0..30).map(lead).collect();
    rig.post_all(&bodies, 8).await;
    let crm = rig.files.0["workspace.yaml"].clone();
    // The same account under another name: leads for the old name stay where they are.
    rig.files.0.insert("workspace.yaml".to_owned(), crm.replace("  crm:", "  other:"));
    rig.edit("sendpulse.yaml", "to: [crm]", "to: [other]");
    rig.save();
    until_active(&rig).await;
    until("its worker is gone", async || {
        rig.app().workers().iter().all(|worker| worker.destination().name == "other")
    })
    .await;
    let stopped = rig.stats().contacts;
    assert!(stopped < 30, "it was to be in the middle of its work, and had done all {stopped}");
    until("what was sent is finished", async || {
        rig.sql("SELECT id FROM steps WHERE state IN ('sent', 'unknown')").await.is_empty()
    })
    .await;
    rig.files = with;
    rig.save();
    rig.settle().await;
    let stats = rig.stats();
    assert_eq!((stats.contacts, stats.deals), (30, 30), "nothing is lost, nothing is there twice");
    assert_eq!((stats.duplicate_contacts, stats.duplicate_deals), (0, 0));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flip_flopping_versions_end_on_the_last_and_double_nothing() {
    let mut rig = rig().await;
    let a = rig.files.clone();
    let mut b = a.clone();
    b.0.insert(
        "workspace.yaml".to_owned(),
        a.0["workspace.yaml"].replace("concurrency: 48", "concurrency: 3"),
    );
    for round in 0..6 {
        rig.files = if round % 2 == 0 { b.clone() } else { a.clone() };
        rig.save();
        // Some of them before two looks could agree.
        rig.post_all(&[lead(round * 2), lead(round * 2 + 1)], 2).await;
        sleep(Duration::from_millis(if round < 3 { 150 } else { 1_300 })).await;
    }
    until_active(&rig).await;
    rig.settle().await;
    let stats = rig.stats();
    assert_eq!((stats.contacts, stats.deals, stats.duplicate_contacts), (12, 12, 0));
    assert!(rig.sql("SELECT hash FROM versions").await.len() <= 2);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_and_tokens_follow() {
    let mut rig = rig().await;
    let second = MAPPING.replace("token: demo }", "token: second }");
    rig.files.0.insert("other.yaml".to_owned(), second);
    rig.edit("sendpulse.yaml", "token: demo }", "token: changed }");
    rig.save();
    until("the new source is open", async || {
        rig.post_to("/in/other/second", lead(1).to_string()).await.0 == 200
    })
    .await;
    assert_eq!(
        rig.post_to("/in/sendpulse/demo", lead(2).to_string()).await.0,
        404,
        "the old token is none any more"
    );
    assert_eq!(rig.post_to("/in/sendpulse/changed", lead(2).to_string()).await.0, 200);
    rig.settle().await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mode_follows_and_what_was_kept_back_goes_on() {
    let mut rig = Rig::start(Faults::default(), "mode: paused").await;
    rig.post_all(&[lead(1), lead(2)], 2).await;
    until("both are leads", async || rig.counts().await.leads == 2).await;
    rig.edit("workspace.yaml", "mode: paused", "mode: live");
    rig.save();
    rig.settle().await;
    assert_eq!(rig.stats().contacts, 2);
    rig.end().await;
}

/// Somebody else makes a version active, as `leadfold apply` does: it is taken from the database.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_follows_the_database_leaves_its_files_alone() {
    let mut rig = Rig::prepare(Faults::default(), IMPATIENT, MAPPING).await;
    rig.follow = Follow::Database;
    rig.boot().await;
    let first = rig.files.hash();
    assert_eq!(notice(&rig).await, None, "with no version there, the files became the first");
    rig.edit("sendpulse.yaml", "stage: New", "stage: Newer");
    rig.restart().await;
    let store = rig.app().store.clone();
    assert_eq!(store.active_hash().await.unwrap(), Some(first.clone()), "other files change nothing");
    let said = notice(&rig).await.unwrap();
    assert!(said.contains("leadfold apply"), "{said}");

    rig.edit("sendpulse.yaml", "stage: Newer", "stage: Newest");
    rig.save();
    let edited = rig.files.hash();
    assert!(store.activate_instead_of(Some(&first), &edited, &rig.files, rig.clock.now()).await.unwrap());
    until("it runs what was applied", async || notice(&rig).await.is_none()).await;
    rig.post_all(&[lead(1)], 1).await;
    rig.settle().await;
    assert_eq!(versions_of_leads(&rig).await, [edited.clone()].into());

    // A version that this process cannot use: it keeps what arrives, and goes on by itself when it can.
    let mut unusable = rig.files.clone();
    let mapping = unusable.0["sendpulse.yaml"].replace("token: demo", "token: \"${NOT_HERE}\"");
    unusable.0.insert("sendpulse.yaml".to_owned(), mapping);
    store.activate(&unusable.hash(), &unusable, rig.clock.now()).await.unwrap();
    drop(store);
    until("it stands by", async || notice(&rig).await.is_some_and(|said| said.contains("standing by"))).await;
    assert!(rig.app().workers().is_empty(), "who stands by pushes nothing");
    assert_eq!(rig.post(&lead(2)).await, 200, "and receives");
    sleep(Duration::from_millis(1_200)).await;
    assert_eq!(rig.counts().await.received, 1, "and prepares nothing");
    rig.restart().await;
    assert!(notice(&rig).await.unwrap().contains("standing by"), "also after a restart");
    assert_eq!(rig.post(&lead(3)).await, 200);
    let store = rig.app().store.clone();
    store.activate(&edited, &rig.files, rig.clock.now()).await.unwrap();
    rig.settle().await;
    until("all three are there", async || rig.stats().contacts == 3).await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_that_stand_in_the_yaml_are_refused_by_edits_and_by_apply_too() {
    let mut rig = Rig::prepare(Faults::default(), IMPATIENT, MAPPING).await;
    rig.listen = ([0, 0, 0, 0], 0).into();
    rig.boot().await;
    let good = rig.files.hash();
    rig.edit("sendpulse.yaml", "token: demo", "token: \"${HOOK_TOKEN:-demo}\"");
    rig.save();
    until("refused", async || notice(&rig).await.is_some_and(|said| said.contains("secrets"))).await;
    let apply = json!({ "files": rig.files.0, "instead_of": good, "with_secrets": true }).to_string();
    let (status, said) = rig.post_to("/api/versions", apply).await;
    assert_eq!((status, said.contains("for everybody to read: HOOK_TOKEN")), (422, true), "{said}");
    assert_eq!(rig.app().store.active_hash().await.unwrap(), Some(good));
    rig.end().await;
}
