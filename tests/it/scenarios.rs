//! What it must survive: one human a hundred times, under every fault that CRMs are known for.

use leadfold::sandbox::Faults;
use serde_json::{Value, json};

use crate::rig::{Account, IMPATIENT, Rig, event, now_millis, spellings};

/// Scenarios as tests of one account.
macro_rules! scenarios {
    ($module:ident: $account:expr; $($scenario:ident)*) => {
        mod $module {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $scenario() {
                super::$scenario($account).await;
            })*
        }
    };
}

scenarios! { sandbox: crate::rig::Account::Sandbox;
    one_human_a_hundred_times
    one_human_while_the_search_lags_a_second
    one_human_behind_a_rate_limit
    one_human_behind_a_rate_limit_that_nobody_told_us_of
    one_human_while_a_fifth_fails_before_committing
    one_human_while_a_fifth_times_out_after_committing
    one_human_while_connections_are_cut
    without_a_look_up_a_task_is_never_written_twice
    five_hundred_humans_in_four_spellings
    the_same_body_is_counted_once
    a_chat_without_phone_goes_along_with_the_first_lead_that_has_one
    two_people_who_turn_out_to_be_one_crm_record_get_one_deal
    a_contact_that_is_gone_from_the_crm_is_looked_for_again
    a_destination_that_is_down_keeps_its_queue_and_resumes_by_itself
    observe_writes_nothing
}

// Those in which the registry has a say.
scenarios! { postgres: crate::rig::Account::SandboxOnPostgres;
    one_human_a_hundred_times
    one_human_while_a_fifth_times_out_after_committing
    five_hundred_humans_in_four_spellings
    the_same_body_is_counted_once
    a_chat_without_phone_goes_along_with_the_first_lead_that_has_one
    two_people_who_turn_out_to_be_one_crm_record_get_one_deal
    observe_writes_nothing
}

// Those in which the adapter has a say.
scenarios! { rest: crate::rig::Account::Rest;
    one_human_a_hundred_times
    one_human_while_the_search_lags_a_second
    one_human_behind_a_rate_limit_that_nobody_told_us_of
    one_human_while_a_fifth_fails_before_committing
    one_human_while_a_fifth_times_out_after_committing
    one_human_while_connections_are_cut
    without_a_look_up_a_task_is_never_written_twice
    five_hundred_humans_in_four_spellings
    two_people_who_turn_out_to_be_one_crm_record_get_one_deal
    a_contact_that_is_gone_from_the_crm_is_looked_for_again
}

/// A hundred presses of Send by one human: ten spellings of one phone, each press at its own time.
fn hundred_presses() -> Vec<Value> {
    let spellings = spellings("671234567");
    let start = now_millis();
    (0..100)
        .map(|press| {
            let phone = &spellings[press % spellings.len()];
            event("chat-1", "telegram", json!({ "phone": phone }), start + i64::try_from(press).unwrap())
        })
        .collect()
}

fn faults(text: &str) -> Faults {
    serde_json::from_str(text).unwrap()
}

/// One contact, one deal, 99 tasks, whatever the CRM does.
async fn one_human(account: Account, faults_text: &str, destination: &str) {
    let Some(rig) = Rig::start_on(account, faults(faults_text), destination).await else { return };
    rig.post_all(&hundred_presses(), 100).await;
    rig.settle().await;
    let stats = rig.stats();
    let counts = rig.counts().await;
    assert_eq!((stats.contacts, stats.deals, stats.tasks), (1, 1, 99), "{faults_text}: {stats:?} {counts:?}");
    assert_eq!(
        (counts.leads, counts.synced, counts.needs_attention),
        (100, 100, 0),
        "{faults_text}: {counts:?}"
    );
    rig.end().await;
}

async fn one_human_a_hundred_times(account: Account) {
    one_human(account, "{}", IMPATIENT).await;
}

async fn one_human_while_the_search_lags_a_second(account: Account) {
    one_human(account, r#"{"search_lag_ms": 1000}"#, "timeout: 500ms, settle: 1500ms, search_lag: 1s").await;
}

async fn one_human_behind_a_rate_limit(account: Account) {
    one_human(account, r#"{"rate": {"count": 10, "per_ms": 1000}}"#, "timeout: 2s, settle: 2s, rate: 10/s")
        .await;
}

async fn one_human_behind_a_rate_limit_that_nobody_told_us_of(account: Account) {
    one_human(account, r#"{"rate": {"count": 50, "per_ms": 1000}}"#, "timeout: 2s, settle: 2s").await;
}

async fn one_human_while_a_fifth_fails_before_committing(account: Account) {
    one_human(account, r#"{"fail_before": 0.2}"#, IMPATIENT).await;
}

async fn one_human_while_a_fifth_times_out_after_committing(account: Account) {
    one_human(account, r#"{"timeout_after": 0.2}"#, IMPATIENT).await;
}

async fn one_human_while_connections_are_cut(account: Account) {
    one_human(account, r#"{"reset": 0.2}"#, IMPATIENT).await;
}

async fn without_a_look_up_a_task_is_never_written_twice(account: Account) {
    let faults = faults(r#"{"timeout_after": 0.2, "marker_lookup": false}"#);
    let Some(rig) = Rig::start_on(account, faults, "timeout: 500ms, settle: 700ms, markers: false").await
    else {
        return;
    };
    rig.post_all(&hundred_presses(), 100).await;
    rig.settle().await;
    let (stats, counts) = (rig.stats(), rig.counts().await);
    assert_eq!((stats.contacts, stats.deals), (1, 1), "{stats:?} {counts:?}");
    assert!(stats.tasks <= 99, "{stats:?}");
    assert_eq!(counts.synced + counts.needs_attention, 100, "{counts:?}");
    assert!(counts.needs_attention > 0, "a fifth of the tasks got no answer: {counts:?}");
    rig.end().await;
}

async fn five_hundred_humans_in_four_spellings(account: Account) {
    let Some(rig) = Rig::start_on(account, faults("{}"), IMPATIENT).await else { return };
    let start = now_millis();
    let humans: Vec<String> = (0..500).map(|human| format!("67{:07}", 1_100_003 + human * 16_411)).collect();
    let mut posts = Vec::new();
    for press in 0..4 {
        for (number, human) in humans.iter().enumerate() {
            let phone = &spellings(human)[press * 2];
            let at = start + i64::try_from(press * 500 + number).unwrap();
            posts.push(event(&format!("chat-{number}"), "telegram", json!({ "phone": phone }), at));
        }
    }
    rig.truth(humans.iter().map(|human| (human.clone(), vec![format!("+380{human}")])));
    rig.post_all(&posts, 32).await;
    rig.settle().await;
    let (stats, counts) = (rig.stats(), rig.counts().await);
    assert_eq!((stats.contacts, stats.deals, stats.tasks), (500, 500, 1500), "{stats:?} {counts:?}");
    assert_eq!((stats.duplicate_contacts, stats.duplicate_deals, stats.wrongly_joined), (0, 0, 0));
    assert_eq!((counts.deliveries, counts.leads, counts.synced), (2000, 2000, 2000), "{counts:?}");
    // A new human: a search per spelling, contact, deal. A known one whose fields do not change: one read, one task.
    // And the list of users, to know who left.
    let searches = match account {
        Account::Sandbox | Account::SandboxOnPostgres => 1,
        Account::Rest => 2,
    };
    let needed = 500 * (searches + 2) + 1500 * 2 + 1;
    // A busy machine now and then lets a call run out of time, and its lead begins anew.
    assert!(stats.calls_total <= needed + needed / 50, "{:?}", stats.calls);
    rig.end().await;
}

async fn the_same_body_is_counted_once(account: Account) {
    let Some(rig) = Rig::start_on(account, faults("{}"), IMPATIENT).await else { return };
    let body = event("chat-1", "telegram", json!({ "phone": "0671234567" }), now_millis());
    let copies = vec![body; 20];
    rig.post_all(&copies, 20).await;
    rig.settle().await;
    let (stats, counts) = (rig.stats(), rig.counts().await);
    assert_eq!((counts.deliveries, counts.redeliveries, counts.leads), (20, 19, 1), "{counts:?}");
    assert_eq!((stats.contacts, stats.deals, stats.tasks), (1, 1, 0), "{stats:?}");
    rig.end().await;
}

async fn a_chat_without_phone_goes_along_with_the_first_lead_that_has_one(account: Account) {
    let Some(rig) = Rig::start_on(account, faults("{}"), IMPATIENT).await else { return };
    let start = now_millis();
    // Telegram without a phone, Instagram with one, Telegram with the same: one human.
    assert_eq!(rig.post(&event("tg-1", "telegram", json!([]), start)).await, 200);
    rig.settle().await;
    assert_eq!(rig.counts().await.filtered, 1);
    assert_eq!(rig.stats().contacts, 0, "nothing is created without phone or email");
    rig.post(&event("ig-1", "instagram", json!({ "phone": "+38 (067) 123-45-67" }), start + 1)).await;
    rig.settle().await;
    rig.post(&event("tg-1", "telegram", json!({ "phone": "0671234567" }), start + 2)).await;
    rig.settle().await;
    let stats = rig.stats();
    assert_eq!((stats.contacts, stats.deals, stats.tasks), (1, 1, 1), "{stats:?}");
    let (_, page) = rig.get("/api/leads?q=0671234567").await;
    assert_eq!(page.matches("\"id\"").count(), 3, "all three are this human's: {page}");
    let contact = rig.contact().await;
    assert_eq!(contact["fields"]["telegram_chat"], "tg-1", "{contact}");
    assert_eq!(contact["fields"]["instagram_chat"], "ig-1", "{contact}");
    rig.end().await;
}

async fn two_people_who_turn_out_to_be_one_crm_record_get_one_deal(account: Account) {
    let Some(rig) = Rig::start_on(account, faults("{}"), IMPATIENT).await else { return };
    rig.add_contact(json!({ "name": "Olena", "phones": ["+380671234567"], "emails": ["olena@example.org"] }))
        .await;
    let start = now_millis();
    let by_phone = event("tg-1", "telegram", json!({ "phone": "0671234567" }), start);
    let by_email = event("ig-1", "instagram", json!({ "email": "olena@example.org" }), start + 1);
    rig.post_all(&[by_phone, by_email], 2).await;
    rig.settle().await;
    let (stats, counts) = (rig.stats(), rig.counts().await);
    assert_eq!((stats.contacts, stats.deals, stats.tasks), (1, 1, 1), "{stats:?} {counts:?}");
    assert_eq!(counts.synced, 2, "{counts:?}");
    rig.end().await;
}

async fn a_contact_that_is_gone_from_the_crm_is_looked_for_again(account: Account) {
    let Some(rig) = Rig::start_on(account, faults("{}"), IMPATIENT).await else { return };
    let start = now_millis();
    rig.post(&event("tg-1", "telegram", json!({ "phone": "0671234567" }), start)).await;
    rig.settle().await;
    rig.delete_contact().await;
    rig.post(&event("tg-1", "telegram", json!({ "phone": "0671234567" }), start + 1)).await;
    rig.settle().await;
    let stats = rig.stats();
    assert_eq!(stats.contacts, 1, "a new one in place of the one that is gone: {stats:?}");
    rig.end().await;
}

async fn a_destination_that_is_down_keeps_its_queue_and_resumes_by_itself(account: Account) {
    let Some(rig) = Rig::start_on(account, faults(r#"{"fail_before": 1.0}"#), IMPATIENT).await else {
        return;
    };
    let start = now_millis();
    let posts: Vec<Value> = (0..50)
        .map(|human| {
            let phone = format!("+38067{:07}", 2_100_007 + human * 4_001);
            event(&format!("chat-{human}"), "telegram", json!({ "phone": phone }), start + human)
        })
        .collect();
    rig.post_all(&posts, 16).await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert!(rig.app().workers()[0].paused().is_some(), "a CRM that only fails is paused");
    assert_eq!(rig.counts().await.needs_attention, 0, "that is no fault of the leads");
    rig.sandbox.set_faults(Faults::default());
    rig.settle().await;
    let stats = rig.stats();
    assert_eq!((stats.contacts, stats.deals), (50, 50), "{stats:?}");
    rig.end().await;
}

async fn observe_writes_nothing(account: Account) {
    let Some(rig) = Rig::start_on(account, faults("{}"), "timeout: 500ms, mode: observe").await else {
        return;
    };
    rig.post(&event("tg-1", "telegram", json!({ "phone": "0671234567" }), now_millis())).await;
    rig.settle().await;
    let (stats, counts) = (rig.stats(), rig.counts().await);
    assert_eq!((stats.contacts, stats.deals, counts.held), (0, 0, 1), "{stats:?} {counts:?}");
    let (_, page) = rig.get("/api/leads").await;
    assert!(page.contains("Would do: create contact, create deal."), "{page}");
    rig.end().await;
}
