//! The whole way from the webhook into Odoo: what it must survive.

use std::time::Duration;

use leadfold::app::until_quiet;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::real::Real;
use super::stand_in::{self, StandIn};
use crate::kill::server::Home;
use crate::rig::{PATIENCE, Rig, event, now_millis, spellings};

const KEY: &str = "key-of-the-test";

/// What a test does not say: short times, so that faults are over soon.
const IMPATIENT: &str = "timeout: 500ms, settle: 700ms";

/// A workspace that pushes to this Odoo.
fn workspace(url: &str, database: &str, api_key: &str, settings: &str) -> String {
    format!(
        "destinations:\n  crm: {{ crm: odoo, url: \"{url}\", database: {database}, api_key: \"{api_key}\", {settings} }}\n\
         owner_pools:\n  sales: [anna, borys, dana]\n"
    )
}

/// A mapping whose names are there: the rig's own, with fields and places of the stand-in.
fn mapping() -> String {
    let mapping = crate::rig::MAPPING.replace("pipeline: Main, stage: New", "pipeline: Основна, stage: Нова");
    mapping
        .lines()
        .filter(|line| !line.contains("instagram_chat") && !line.contains("viber_chat"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// A leadfold that pushes to the Odoo of this workspace.
async fn rig(workspace: String) -> Rig {
    let mut rig = Rig::prepare(leadfold::sandbox::Faults::default(), "", &mapping()).await;
    rig.files.0.insert("workspace.yaml".to_owned(), workspace);
    rig.boot().await;
    rig
}

fn presses(phone: &str, count: usize) -> Vec<Value> {
    let (spellings, start) = (spellings(phone), now_millis());
    (0..count)
        .map(|press| {
            let phone = &spellings[press % spellings.len()];
            event("chat-1", "telegram", json!({ "phone": phone }), start + i64::try_from(press).unwrap())
        })
        .collect()
}

/// Contacts, deals, tasks.
fn counts(server: &StandIn) -> (usize, usize, usize) {
    (server.count("res.partner"), server.count("crm.lead"), server.count("mail.activity"))
}

async fn one_human(faults: stand_in::Faults, times: usize) {
    let server = StandIn::start(KEY).await;
    server.set_faults(faults);
    let rig = rig(workspace(&server.url(), stand_in::DATABASE, KEY, IMPATIENT)).await;
    rig.post_all(&presses("671234567", times), 100).await;
    rig.settle().await;
    let leads = rig.counts().await;
    assert_eq!(counts(&server), (1, 1, times - 1), "{leads:?}");
    let all = i64::try_from(times).unwrap();
    assert_eq!((leads.leads, leads.synced, leads.needs_attention), (all, all, 0), "{leads:?}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_human_a_hundred_times() {
    one_human(stand_in::Faults::default(), 100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_human_while_loads_lose_races() {
    one_human(stand_in::Faults { conflict: 0.2, ..stand_in::Faults::default() }, 30).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_human_while_a_fifth_fails_before_committing() {
    one_human(stand_in::Faults { fail_before: 0.2, ..stand_in::Faults::default() }, 30).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_human_while_a_fifth_times_out_after_committing() {
    one_human(stand_in::Faults { timeout_after: 0.2, ..stand_in::Faults::default() }, 30).await;
}

/// Posts of many humans, four each, in four spellings; every one of a human's own chat.
fn crowd(humans: &[String]) -> Vec<Value> {
    let start = now_millis();
    let mut posts = Vec::new();
    for press in 0..4 {
        for (number, human) in humans.iter().enumerate() {
            let phone = &spellings(human)[press * 2];
            let at = start + i64::try_from(press * humans.len() + number).unwrap();
            posts.push(event(&format!("chat-{human}"), "telegram", json!({ "phone": phone }), at));
        }
    }
    posts
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_humans_in_four_spellings_take_few_calls() {
    let server = StandIn::start(KEY).await;
    let rig = rig(workspace(&server.url(), stand_in::DATABASE, KEY, "timeout: 5s")).await;
    let humans: Vec<String> = (0..200).map(|human| format!("67{:07}", 1_100_003 + human * 16_411)).collect();
    rig.post_all(&crowd(&humans), 32).await;
    rig.settle().await;
    assert_eq!(counts(&server), (200, 200, 600), "{:?}", rig.counts().await);
    let calls: u64 = server.tables().calls.values().sum();
    assert!(calls < 400, "800 leads, {calls} calls: {:?}", server.tables().calls);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_fails_for_many_leads_is_one_failure() {
    let server = StandIn::start(KEY).await;
    let mut rig = rig(workspace(&server.url(), stand_in::DATABASE, KEY, "timeout: 5s, mode: paused")).await;
    let humans: Vec<String> = (0..24).map(|human| format!("67{:07}", 1_100_003 + human * 16_411)).collect();
    rig.post_all(&crowd(&humans), 32).await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while rig.counts().await.leads < 96 {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", rig.counts().await);
        sleep(Duration::from_millis(20)).await;
    }
    server.tables().fail_once = Some("res.partner.search_read");
    rig.edit("workspace.yaml", "mode: paused", "mode: live");
    rig.save();
    while server.count("mail.activity") < 72 {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", rig.counts().await);
        for worker in rig.app().workers() {
            assert_eq!(worker.paused(), None, "one bad answer is no reason to hold a queue back");
        }
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(server.tables().fail_once, None);
    rig.settle().await;
    assert_eq!(counts(&server), (24, 24, 72));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_that_was_there_before_is_used_and_not_doubled() {
    let server = StandIn::start(KEY).await;
    let typed =
        ["067 123-45-60", "(067)1234561", "+38 067 123 45 62", "тел. 8 067 123 45 63", "+380671234564"];
    for phone in typed {
        server.add("res.partner", json!({"name": "Old", "phone": phone, "user_id": 8}));
    }
    let rig = rig(workspace(&server.url(), stand_in::DATABASE, KEY, IMPATIENT)).await;
    let humans: Vec<String> = (0..5).map(|human| format!("67123456{human}")).collect();
    rig.post_all(&crowd(&humans), 8).await;
    rig.settle().await;
    assert_eq!(counts(&server), (5, 5, 15), "{:?}", rig.counts().await);
    {
        let tables = server.tables();
        let contacts = tables.records["res.partner"].values();
        for (contact, phone) in contacts.zip(typed) {
            assert_eq!(contact["phone"], phone, "what somebody typed stays");
            assert_eq!(
                contact["x_telegram_chat"].as_str().map(|chat| chat.starts_with("chat-67")),
                Some(true)
            );
        }
        assert!(
            tables.records["crm.lead"].values().all(|deal| deal["user_id"] == json!(8)),
            "the contact's owner"
        );
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_name_parks_its_own_leads_only() {
    let server = StandIn::start(KEY).await;
    let mut rig = Rig::prepare(leadfold::sandbox::Faults::default(), "", &mapping()).await;
    rig.files
        .0
        .insert("workspace.yaml".to_owned(), workspace(&server.url(), stand_in::DATABASE, KEY, IMPATIENT));
    rig.edit("sendpulse.yaml", "stage: Нова", "stage: \"{{ contact.variables.stage or 'Нова' }}\"");
    rig.boot().await;
    let start = now_millis();
    let posts: Vec<Value> = (0..20)
        .map(|human| {
            let phone = format!("+38067{:07}", 2_100_007 + human * 4_001);
            let stage = if human == 7 { json!("Новая") } else { json!(null) };
            event(
                &format!("chat-{human}"),
                "telegram",
                json!({ "phone": phone, "stage": stage }),
                start + human,
            )
        })
        .collect();
    rig.post_all(&posts, 20).await;
    rig.settle().await;
    let leads = rig.counts().await;
    assert_eq!((leads.synced, leads.needs_attention), (19, 1), "{leads:?}");
    assert_eq!(counts(&server), (20, 19, 0));
    let parked = rig.json("/api/leads?limit=100").await.to_string();
    assert!(parked.contains("there is no stage `Новая` in the CRM; there are New, Нова"), "{parked}");
    rig.end().await;
}

/// Humans of a real Odoo, which nobody else has: nine digits each.
fn new_humans(count: i64) -> Vec<String> {
    let first = now_millis() / 10 % 10_000_000;
    (0..count).map(|human| format!("67{:07}", (first + human * 101) % 10_000_000)).collect()
}

/// Contacts, deals and tasks of these humans.
async fn real_counts(real: &Real, humans: &[String]) -> (u64, u64, u64) {
    let phones: Vec<String> = humans.iter().map(|human| format!("+380{human}")).collect();
    let contacts = json!([["phone_sanitized", "in", phones]]);
    let ids = real.ids("res.partner", contacts.clone()).await;
    let deals = json!([["partner_id", "in", ids]]);
    let deal_ids = real.ids("crm.lead", deals.clone()).await;
    let tasks = json!([["res_model", "=", "crm.lead"], ["res_id", "in", deal_ids]]);
    (
        real.count("res.partner", contacts).await,
        real.count("crm.lead", deals).await,
        real.count("mail.activity", tasks).await,
    )
}

fn real_workspace(real: &Real) -> String {
    workspace(&real.url, &real.database, &real.api_key, "timeout: 30s")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_odoo_has_one_human_once() {
    let Some(real) = Real::take("a_real_odoo_has_one_human_once").await else { return };
    let rig = rig(real_workspace(&real)).await;
    let humans = new_humans(1);
    rig.post_all(&presses(&humans[0], 100), 100).await;
    rig.settle().await;
    assert_eq!(real_counts(&real, &humans).await, (1, 1, 99), "{:?}", rig.counts().await);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_odoo_has_a_crowd_once() {
    let Some(real) = Real::take("a_real_odoo_has_a_crowd_once").await else { return };
    let rig = rig(real_workspace(&real)).await;
    let humans = new_humans(50);
    rig.post_all(&crowd(&humans), 32).await;
    rig.settle().await;
    assert_eq!(real_counts(&real, &humans).await, (50, 50, 150), "{:?}", rig.counts().await);
    rig.end().await;
}

/// Servers that live for a moment each, on one database and one Odoo: posts go on, kill -9 comes at some point of
/// preparing, looking up or writing. The moments spread over what a round takes.
async fn killed(workspace: String, humans: &[String], rounds: u64, longest: u64) {
    let home = Home::of(&workspace);
    home.map_with(&mapping());
    let posts = crowd(humans);
    let share = posts.len().div_ceil(usize::try_from(rounds).unwrap());
    for (round, posts) in (0..).zip(posts.chunks(share)) {
        let server = home.start().await;
        for body in posts {
            assert!(home.post(server.address, body).await, "{}", home.log());
        }
        sleep(Duration::from_millis(longest * round / rounds)).await;
        server.kill();
    }
    let server = home.start().await;
    let registry = home.registry().await;
    let quiet = until_quiet(&registry, PATIENCE).await.unwrap();
    let counts = registry.counts().await.unwrap();
    registry.close().await;
    assert!(quiet && counts.synced == counts.leads, "{counts:?}\n{}", home.log());
    server.kill();
    home.remove();
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_it_doubles_nothing() {
    let server = StandIn::start(KEY).await;
    let faults =
        stand_in::Faults { timeout_after: 0.05, conflict: 0.05, fail_before: 0.05, ..Default::default() };
    server.set_faults(faults);
    let humans: Vec<String> = (0..24).map(|human| format!("67{:07}", 1_100_003 + human * 16_411)).collect();
    killed(workspace(&server.url(), stand_in::DATABASE, KEY, IMPATIENT), &humans, 12, 60).await;
    assert_eq!(counts(&server), (24, 24, 72));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_it_doubles_nothing_in_a_real_odoo() {
    let Some(real) = Real::take("killed_at_any_moment_it_doubles_nothing_in_a_real_odoo").await else {
        return;
    };
    let humans = new_humans(24);
    killed(real_workspace(&real), &humans, 12, 300).await;
    assert_eq!(real_counts(&real, &humans).await, (24, 24, 72));
}
