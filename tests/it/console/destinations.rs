//! Destinations and the overview: what a page tells, who may pause, and that a pause is followed.

use std::time::Duration;

use leadfold::access::Role;
use leadfold::sandbox::Faults;
use serde_json::{Value, json};

use super::{Browser, TOKEN, rig};
use crate::rig::{Account, IMPATIENT, MAPPING, Rig, event, now_millis, until};

const HOSTILE: &str = "<script>alert(1)</script>";

fn lead(number: u32) -> Value {
    let variables = json!({ "phone": format!("+38067123{number:04}"), "email": null });
    event(&format!("chat-{number}"), "telegram", variables, now_millis() + i64::from(number))
}

async fn open(rig: &Rig) -> i64 {
    rig.app().store.waiting("crm").await.unwrap().open.count
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_everything_until_somebody_resumes() {
    let rig = rig().await;
    let browser = Browser::of(&rig, Role::Operator).await;
    browser.get("/destinations").await.is(200).says("crm").says("live").says("Pause");
    until("somebody pushes", async || !browser.get("/destinations").await.text.contains("nobody")).await;
    let page = browser.post_and_follow("/destinations/pause", &[("destination", "crm")]).await;
    page.is(200).says("It is paused.").says("Paused by").says("operator-").says("Resume");
    let page = browser.post_and_follow("/destinations/pause", &[("destination", "crm")]).await;
    page.says("Somebody else did this before you");

    assert_eq!(rig.post(&lead(1)).await, 200);
    until("the lead waits", async || open(&rig).await == 1).await;
    // Longer than a worker that follows nothing would take.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(open(&rig).await, 1, "a paused destination gets nothing");
    assert_eq!(rig.stats().contacts, 0);
    browser.get("/destinations").await.says("1\u{a0}lead").says("to be decided");

    let page = browser.post_and_follow("/destinations/resume", &[("destination", "crm")]).await;
    page.is(200).says("It goes on.").says_nothing_of("Paused by");
    rig.settle().await;
    assert_eq!(rig.stats().contacts, 1);
    let (pause, resume) = ("/api/destinations/pause", "/api/destinations/resume");
    let log = rig.sql("SELECT operation, role, through, outcome FROM actions ORDER BY id").await;
    let log: Vec<[&str; 4]> =
        log.iter().map(|row| std::array::from_fn(|column| row[column].as_str())).collect();
    let done = |path| [path, "operator", "console", "done"];
    assert_eq!(log, [done(pause), done(pause), done(resume)]);
    rig.end().await;
}

/// What a worker has claimed waits for its turn at the CRM, and has not begun.
#[tokio::test(flavor = "multi_thread")]
async fn a_pause_begins_nothing_that_was_only_claimed() {
    const LEADS: u32 = 40;
    let mut rig =
        Rig::prepare(Faults::default(), "timeout: 20s, settle: 700ms, rate: 600/min", MAPPING).await;
    rig.token = Some(TOKEN);
    rig.boot().await;
    let burst: Vec<Value> = (0..LEADS).map(lead).collect();
    rig.post_all(&burst, 14).await;
    until("some are written", async || rig.stats().contacts >= 2).await;
    let (code, _) = rig.post_to_api("/api/destinations/pause", &json!({ "destination": "crm" })).await;
    let begun = rig.stats().contacts;
    assert_eq!(code, 200);
    until("what has begun is finished, and the rest is given back", async || {
        let waiting = rig.app().store.waiting("crm").await.unwrap();
        waiting.by_state.iter().all(|(state, count)| state == "ready" || *count == 0)
    })
    .await;
    let stats = rig.stats();
    // A call may have been on its way to the socket.
    assert!(
        (begun..=begun + 2).contains(&stats.contacts) && begun + 2 < LEADS as usize,
        "{begun}, then {stats:?}"
    );
    assert_eq!(stats.deals, stats.contacts, "who has a contact has a deal: {stats:?}");

    let (code, _) = rig.post_to_api("/api/destinations/resume", &json!({ "destination": "crm" })).await;
    assert_eq!(code, 200);
    rig.settle().await;
    let stats = rig.stats();
    assert_eq!((stats.contacts, stats.deals), (LEADS as usize, LEADS as usize), "{stats:?}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_outlives_a_restart() {
    let mut rig = rig().await;
    let (status, answer) = rig.post_to_api("/api/destinations/pause", &json!({ "destination": "crm" })).await;
    assert_eq!((status, answer["changed"].as_bool()), (200, Some(true)), "{answer}");
    rig.restart().await;
    assert_eq!(rig.post(&lead(1)).await, 200);
    until("the lead waits", async || open(&rig).await == 1).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let (_, answer) = rig.post_to_api("/api/destinations", &json!({})).await;
    let crm = &answer["destinations"][0];
    assert_eq!(crm["paused"]["who"], "start token", "{answer}");
    assert_eq!(crm["waiting"]["by_state"]["ready"], 1, "{answer}");
    let (status, _) = rig.post_to_api("/api/destinations/resume", &json!({ "destination": "crm" })).await;
    assert_eq!(status, 200);
    rig.settle().await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_pause_sees_no_button_and_is_refused() {
    let rig = rig().await;
    let viewer = Browser::of(&rig, Role::Viewer).await;
    viewer.get("/destinations").await.is(200).says("crm").says_nothing_of("/destinations/pause");
    viewer.post("/destinations/pause", &[("destination", "crm")]).await.is(403);
    let operator = Browser::of(&rig, Role::Operator).await;
    operator.get("/destinations").await.is(200);
    operator.post("/destinations/pause", &[("destination", "crm"), ("key", "forged")]).await.is(403);
    operator.post("/destinations/pause", &[("destination", HOSTILE)]).await.is(422).says_nothing_of(HOSTILE);
    operator.post("/destinations/resume", &[("destination", "nowhere")]).await.is(422).says("nowhere");
    operator.get(&format!("/destinations?done={HOSTILE}")).await.is(200).says_nothing_of(HOSTILE);
    assert!(rig.app().store.pauses().await.unwrap().is_empty());
    let (status, _) = rig.post_to_api("/api/destinations/pause", &json!({ "destination": "nowhere" })).await;
    assert_eq!(status, 422);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_harmless_and_speak_both_languages() {
    let mut rig = Rig::prepare(Faults::default(), IMPATIENT, MAPPING).await;
    rig.token = Some(super::TOKEN);
    rig.edit("workspace.yaml", "sales: [anna, borys, dana]", &format!("sales: ['{HOSTILE}']"));
    rig.boot().await;
    assert_eq!(rig.post(&lead(1)).await, 200);
    rig.settle().await;
    let browser = Browser::of(&rig, Role::Viewer).await;
    for path in
        ["/destinations", "/overview", "/overview?range=7d", "/overview?range=30d", "/overview?range=x"]
    {
        browser.get(path).await.is(200).says_nothing_of(HOSTILE).says_nothing_of("style=");
    }
    browser.get("/destinations").await.says("&lt;script&gt;").says("Owner pools").says("takes deals");
    browser.get("/overview").await.says("contacts made").says("sendpulse").says("The same in numbers");
    browser.speak("uk");
    browser.get("/destinations").await.says("Призначення").says("Пули відповідальних").says("бере угоди");
    browser.get("/overview").await.says("Огляд").says("Створено контактів").says("Половина за");
    rig.end().await;
}

/// Three people, one of whom comes again, and a request that is sent twice.
#[tokio::test(flavor = "multi_thread")]
async fn the_overview_counts_what_came_and_what_was_prevented() {
    for account in [Account::Sandbox, Account::SandboxOnPostgres] {
        let Some(rig) = Rig::start_on(account, Faults::default(), IMPATIENT).await else { continue };
        // On PostgreSQL several processes add up.
        let other = if rig.postgres.is_some() { Some(rig.another().await) } else { None };
        let mut again = lead(1);
        again[0]["date"] = json!(now_millis() + 30_000);
        for body in [lead(1), lead(2), lead(3)] {
            assert_eq!(rig.post(&body).await, 200);
        }
        rig.settle().await;
        let mut repeated = lead(2);
        repeated[0]["date"] = json!(now_millis() + 60_000);
        for body in [&again, &again, &repeated] {
            assert_eq!(rig.post(body).await, 200);
        }
        rig.settle().await;
        let (status, told) = rig.post_to_api("/api/overview", &json!({})).await;
        assert_eq!(status, 200, "{told}");
        let leads: i64 =
            told["leads"].as_array().unwrap().iter().map(|hour| hour["count"].as_i64().unwrap()).sum();
        assert_eq!(leads, 5, "{told}");
        assert_eq!(told["prevented"]["redeliveries"], 1, "{told}");
        assert_eq!(told["prevented"]["contacts_found"], 2, "{told}");
        assert_eq!(told["prevented"]["tasks_instead"], 2, "{told}");
        assert_eq!((&told["contacts_made"], &told["deals_made"]), (&json!(3), &json!(3)), "{told}");
        assert_eq!(told["ended"]["crm"]["synced"], 5, "{told}");
        assert_eq!(told["took"]["crm"]["leads"], 5, "{told}");
        assert!(told["took"]["crm"]["p50"].as_i64() <= told["took"]["crm"]["p95"].as_i64(), "{told}");
        let (_, told) = rig.post_to_api("/api/destinations", &json!({})).await;
        let owners = told["pools"][0]["owners"].as_array().unwrap();
        let week: i64 = owners.iter().map(|owner| owner["week"].as_i64().unwrap()).sum();
        let today: i64 = owners.iter().map(|owner| owner["today"].as_i64().unwrap()).sum();
        assert_eq!((week, today), (3, 3), "{told}");
        let (status, refused) = rig.post_to_api("/api/overview", &json!({ "hours": 0 })).await;
        assert_eq!(status, 422, "{refused}");
        if let Some(other) = other {
            other.stop().await;
        }
        rig.end().await;
    }
}
