//! Where identifiers come from, end to end: what stands in a link takes nobody over, and what a messenger vouches for joins.

use std::collections::{BTreeMap, BTreeSet};

use leadfold::sandbox::Faults;
use serde_json::{Value, json};

use crate::rig::{Rig, until};

/// A Telegram bot that sends its webhooks here as they are, and a shop whose customer ids stand in its links.
const TELEGRAM: &str = r#"
source: { preset: json, token: demo }
leads:
  - name: all
    to: [crm]
    contact:
      name: <<message.from.first_name>>
      phone: { value: "+{{ message.contact.phone_number }}", proven: "{{ message.contact.user_id == message.from.id }}" }
    identifiers:
      chat: { channel: telegram, bot: <<bot>>, id: <<message.chat.id>> }
      telegram_user: <<message.from.id>>
      external_customer:
        shop:
          - <<customer>>
          - { value: "{{ message.text | split(' ') | last if message.text is startingwith('/start ') }}", hint: true }
"#;

const CUSTOMERS: u64 = 1_000;

fn update(user: u64, message: &Value) -> Value {
    let mut update =
        json!({ "bot": "shop_bot", "message": { "from": { "id": user }, "chat": { "id": user } } });
    for (key, value) in message.as_object().unwrap() {
        update["message"][key] = value.clone();
    }
    update
}

fn start(user: u64, id: u64) -> Value {
    update(user, &json!({ "text": format!("/start {id}") }))
}

fn contact(user: u64, owner: u64, phone: &str) -> Value {
    update(user, &json!({ "contact": { "phone_number": phone, "user_id": owner } }))
}

async fn rig() -> Rig {
    // Who is who is decided before anything is pushed.
    Rig::start_with(Faults::default(), "mode: paused", TELEGRAM).await
}

async fn post(rig: &Rig, events: Vec<Value>) {
    assert_eq!(rig.post(&Value::from(events)).await, 200);
    until("everything is prepared", async || rig.counts().await.received == 0).await;
}

async fn finish(mut rig: Rig) {
    rig.shut_down().await;
    std::fs::remove_dir_all(&rig.folder).unwrap();
}

/// Who has which identifier.
async fn owners(rig: &Rig) -> BTreeMap<(String, String, String), String> {
    let rows = rig.sql("SELECT kind, scope, value, person FROM identifiers WHERE person IS NOT NULL").await;
    let rows = rows.into_iter().map(|row| <[String; 4]>::try_from(row).unwrap());
    rows.map(|[kind, scope, value, person]| ((kind, scope, value), person)).collect()
}

/// Whose the leads of this branch of the story are, newest first.
async fn people_of_leads(rig: &Rig, newest: u64) -> BTreeSet<String> {
    let rows = rig.sql(&format!("SELECT person FROM leads ORDER BY id DESC LIMIT {newest}")).await;
    rows.into_iter().map(|row| row[0].clone()).collect()
}

#[tokio::test]
async fn enumerating_ids_in_links_takes_over_nobody() {
    let rig = rig().await;
    // Half of the shop's customers have written to the bot before, the others have only bought.
    let customers = (1..=CUSTOMERS).map(|id| {
        let mut event = json!({ "customer": id });
        if id % 2 == 0 {
            event["bot"] = json!("shop_bot");
            event["message"] = json!({ "from": { "id": 500_000 + id }, "chat": { "id": 500_000 + id } });
        }
        event
    });
    post(&rig, customers.collect()).await;
    let before = owners(&rig).await;
    let victims: BTreeSet<String> = before.values().cloned().collect();
    assert_eq!(victims.len(), usize::try_from(CUSTOMERS).unwrap());

    // One chat tries every id, then every id is tried by a chat of its own, and each says a phone that nobody has.
    post(&rig, (1..=CUSTOMERS).map(|id| start(700_000, id)).collect()).await;
    post(&rig, (1..=CUSTOMERS).map(|id| start(800_000 + id, id)).collect()).await;
    let phone = |id: u64| contact(800_000 + id, 800_000 + id, &format!("38067{}", 2_345_000 + id));
    post(&rig, (1..=CUSTOMERS).map(phone).collect()).await;

    let after = owners(&rig).await;
    for (key, person) in &before {
        assert_eq!(after.get(key), Some(person), "{key:?} changed hands");
    }
    for (key, person) in after.iter().filter(|(key, _)| !before.contains_key(key)) {
        assert!(!victims.contains(person), "{key:?} became a customer's");
        assert_ne!(key.0, "external_customer", "nobody owns an id by writing it into a link");
    }
    let strangers = people_of_leads(&rig, 3 * CUSTOMERS).await;
    assert!(strangers.is_disjoint(&victims), "a stranger's lead landed on a customer");
    assert_eq!(
        strangers.len(),
        usize::try_from(CUSTOMERS).unwrap() + 1,
        "each chat is somebody, and always the same"
    );
    assert_eq!(
        rig.sql("SELECT COUNT(*) FROM possible_duplicates").await[0][0],
        "0",
        "nobody has to look at a guess"
    );
    let why = rig.sql("SELECT decision FROM leads ORDER BY id DESC LIMIT 1 OFFSET 1000").await;
    assert!(why[0][0].contains("only_hinted"), "the lead says why not: {}", why[0][0]);
    finish(rig).await;
}

#[tokio::test]
async fn only_an_own_contact_proves_a_phone() {
    let rig = rig().await;
    post(&rig, vec![contact(1_001, 1_001, "380672345001"), contact(1_002, 1_001, "380672345002")]).await;
    let proofs = rig.sql("SELECT value, proof FROM identifiers WHERE kind = 'phone' ORDER BY value").await;
    assert_eq!(proofs, [["+380672345001", "proven"], ["+380672345002", "claimed"]]);
    finish(rig).await;
}

#[tokio::test]
async fn a_telegram_user_is_one_human_in_all_bots() {
    let rig = rig().await;
    let mut other = update(1_001, &json!({ "text": "hello" }));
    other["bot"] = json!("other_bot");
    post(&rig, vec![update(1_001, &json!({ "text": "hello" })), other, update(1_002, &json!({}))]).await;
    let owners = owners(&rig).await;
    let of = |scope: &str, id: &str| owners[&("chat".to_owned(), scope.to_owned(), id.to_owned())].clone();
    assert_eq!(of("telegram:shop_bot", "1001"), of("telegram:other_bot", "1001"));
    assert_ne!(of("telegram:shop_bot", "1001"), of("telegram:shop_bot", "1002"));
    finish(rig).await;
}

#[tokio::test]
async fn a_chat_without_its_bot_is_kept_and_joins_nobody() {
    let rig = rig().await;
    let lost = |text: &str| {
        let mut lost = json!({ "message": { "chat": { "id": 17 } } });
        lost["message"]["text"] = json!(text);
        lost
    };
    post(&rig, vec![lost("one"), lost("two")]).await;
    assert!(owners(&rig).await.is_empty());
    assert_eq!(
        people_of_leads(&rig, 2).await.len(),
        2,
        "both leads are kept, and nothing says that they are one human's"
    );
    let leads = rig.sql("SELECT lead FROM leads").await;
    assert!(leads.iter().all(|row| row[0].contains("no_bot")), "{leads:?}");
    finish(rig).await;
}
