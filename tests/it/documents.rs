//! What Botmother, Chatterfy, Metabot, eSputnik and Telegram send, end to end against the shipped workspace: who a lead is
//! from, and what is kept of it.

use serde_json::{Value, json};

use crate::rig::{Rig, fixture};

const SECRET: (&str, &str) = ("x-telegram-bot-api-secret-token", "demo");

async fn rig() -> Rig {
    let mut rig = Rig::shipped().await;
    rig.boot().await;
    rig
}

async fn send(rig: &Rig, source: &str, body: &Value) {
    assert_eq!(rig.post_to(&format!("/in/{source}/demo"), body.to_string()).await.0, 200, "{source}");
    rig.settle().await;
}

async fn update(rig: &Rig, body: &Value) {
    assert_eq!(rig.post_with("/in/telegram/demo", SECRET, body).await, 200);
    rig.settle().await;
}

/// A shipped sample of a platform that calls by GET.
async fn call(rig: &Rig, source: &str, name: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(source).join(name);
    let query = std::fs::read_to_string(path).unwrap();
    let (status, text) = rig.get_as(None, &format!("/in/{source}/demo?{}", query.trim())).await;
    assert_eq!(status, 200, "{text}");
    rig.settle().await;
}

/// The newest lead, whole.
async fn newest(rig: &Rig) -> Value {
    let page = rig.json("/api/leads?limit=1").await;
    rig.json(&format!("/api/leads/{}", page["leads"][0]["id"].as_str().unwrap())).await
}

/// The identifiers of a lead as `kind scope key proof`, sorted.
fn identifiers(lead: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let list = lead["lead"]["identifiers"].as_array().unwrap_or_else(|| panic!("{lead}"));
    let mut told: Vec<String> = list
        .iter()
        .map(|one| {
            let parts = [text(&one["kind"]), text(&one["scope"]), text(&one["keys"][0]), text(&one["proof"])];
            parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
        })
        .collect();
    told.sort();
    told
}

fn flaws(lead: &Value) -> Vec<&str> {
    lead["lead"]["flaws"].as_array().unwrap().iter().map(|flaw| flaw["code"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn botmother_tells_a_customers_number_from_a_device_and_asks_for_the_phone_when_there_is_neither() {
    let rig = rig().await;
    let mut checked = 0;
    for (name, expect) in [
        (
            "01_mailing_link.json",
            vec![
                "chat telegram 700000101 proven",
                "chat telegram:botmother 700000101 proven",
                "external_customer mindbox 900000417 hinted",
            ],
        ),
        (
            "02_site_popup.json",
            vec![
                "chat telegram 700000102 proven",
                "chat telegram:botmother 700000102 proven",
                "device 1f9c7c0e-5d0b-4a0e-9c2d-5b7a3a6c9e10 claimed",
            ],
        ),
        (
            "03_phone.json",
            vec![
                "chat telegram 700000103 proven",
                "chat telegram:botmother 700000103 proven",
                // Botmother only passes on what it was told.
                "phone +77014185206 claimed",
            ],
        ),
        (
            "04_plain_link.json",
            vec!["chat telegram 700000104 proven", "chat telegram:botmother 700000104 proven"],
        ),
    ] {
        send(&rig, "botmother", &fixture(&format!("botmother/{name}"))).await;
        let lead = newest(&rig).await;
        assert_eq!(identifiers(&lead), expect, "{name}");
        assert_eq!(flaws(&lead), [] as [&str; 0], "{name}");
        checked += 1;
    }
    assert_eq!((checked, rig.counts().await.needs_attention, rig.stats().contacts), (4, 0, 0));
    // Numbers may come as numbers.
    let numeric = json!({ "mindboxid": 900_000_418, "platformID": 700_000_105, "platform": "tg" });
    send(&rig, "botmother", &numeric).await;
    assert!(
        identifiers(&newest(&rig).await).contains(&"external_customer mindbox 900000418 hinted".to_owned())
    );
    // The same id in another messenger is somebody else.
    let viber = json!({ "platformID": "700000101", "platform": "vb" });
    send(&rig, "botmother", &viber).await;
    assert_eq!(identifiers(&newest(&rig).await), ["chat vb:botmother 700000101 proven"]);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chatterfy_binds_a_click_to_a_chat_and_says_who_cannot_be_tracked() {
    let rig = rig().await;
    call(&rig, "chatterfy", "01_keitaro.txt").await;
    let known = [
        "chat chatterfy:chatterfy 700000201 proven",
        "chat telegram 700000201 proven",
        "click 67aBcDeF90 claimed",
    ];
    let lead = newest(&rig).await;
    assert_eq!((identifiers(&lead), flaws(&lead)), (known.map(str::to_owned).to_vec(), vec![]));
    assert_eq!(lead["state"], "filtered", "no phone yet: kept, and nothing is created");

    call(&rig, "chatterfy", "02_registered.txt").await;
    let contact = rig.sandbox.holdings().contacts.remove(0);
    assert_eq!(
        (contact.phones, &contact.fields["utm_source"]),
        (vec!["+380674185207".to_owned()], &json!("fb"))
    );

    call(&rig, "chatterfy", "03_no_campaign.txt").await;
    let lead = newest(&rig).await;
    assert_eq!(flaws(&lead), ["untrackable"]);
    assert_eq!(
        identifiers(&lead),
        ["chat chatterfy:chatterfy 700000202 proven", "chat telegram 700000202 proven"]
    );
    for part in ["contact", "deal", "identifiers"] {
        assert!(!lead["lead"][part].to_string().contains("tracker."), "a macro is no value: {lead}");
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metabot_keeps_lead_and_person_apart() {
    let rig = rig().await;
    send(&rig, "metabot", &fixture("metabot/01_registered.json")).await;
    let telegram = newest(&rig).await;
    assert_eq!(
        identifiers(&telegram),
        [
            "chat metabot:metabot 243289 proven",
            "email alisa@example.com claimed",
            "external_customer metabot_person 2722 claimed",
            "phone +77014185216 claimed",
        ]
    );
    send(&rig, "metabot", &fixture("metabot/02_same_person_in_viber.json")).await;
    let viber = newest(&rig).await;
    assert_eq!(viber["lead"]["chat"]["channel"], "viber");
    assert_eq!(viber["person"], telegram["person"], "two leads, one person");
    // A lead with the number of somebody's person is nobody's person.
    send(&rig, "metabot", &json!({ "lead_id": 2722, "messenger": "Telegram", "name": "Инший" })).await;
    assert_ne!(newest(&rig).await["person"], telegram["person"]);
    assert_eq!((rig.stats().contacts, rig.stats().deals), (1, 1));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn esputniks_feed_is_kept_whole_and_counted_once() {
    let rig = rig().await;
    let olena = json!({ "name": "Олена", "emails": ["olena.vyhadana@example.com"] });
    rig.add_contact(olena).await;
    assert_eq!(rig.get_as(None, "/in/esputnik/demo").await.0, 200, "its check of the address");
    let feed = fixture("esputnik/02_click_and_unsubscription.json");
    for _ in 0..2 {
        send(&rig, "esputnik", &feed).await;
    }
    send(&rig, "esputnik", &fixture("esputnik/01_statuses.json")).await;
    let counts = rig.counts().await;
    assert_eq!((counts.deliveries, counts.leads, counts.needs_attention), (3, 4, 0), "{counts:?}");
    let contact = rig.sandbox.holdings().contacts.remove(0);
    assert_eq!(contact.fields["last_message"], "cart_email: unsubscribed");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn esputnik_tells_that_a_human_blocked_the_bot() {
    let rig = rig().await;
    update(&rig, &fixture("telegram/02_own_contact.json")).await;
    let statuses = fixture("esputnik/01_statuses.json");
    let status = |media: &str, status: &str, second: u8| {
        let mut activity = statuses[0].clone();
        activity["mediaType"] = json!(media);
        activity["activityStatus"] = json!(status);
        activity["statusDescription"] = json!("403: Forbidden");
        activity["activityDateTime"] = json!(format!("2026-06-10T08:30:{second}"));
        activity["sms"] = if media == "sms" { json!("380674185206") } else { Value::Null };
        json!([activity])
    };
    // An SMS that was not delivered tells who the contact is, and nothing of Telegram.
    send(&rig, "esputnik", &status("sms", "UNDELIVERED", 10)).await;
    assert_eq!(chat_state(&rig).await, "active");
    // No entry of the mapping wants this one, and it is told of the chat all the same.
    send(&rig, "esputnik", &status("telegram", "DELIVERED", 11)).await;
    assert_eq!(newest(&rig).await["state"], "filtered");
    assert_eq!(chat_state(&rig).await, "active");
    let known = rig.sql("SELECT status FROM chats WHERE scope = 'telegram:telegram'").await;
    assert_eq!(known[0][0], "DELIVERED");
    send(&rig, "esputnik", &status("telegram", "UNDELIVERED", 12)).await;
    assert_eq!(chat_state(&rig).await, "blocked");
    rig.end().await;
}

/// The state of the only chat with our own bot.
async fn chat_state(rig: &Rig) -> String {
    let rows = rig.sql("SELECT state FROM chats WHERE scope = 'telegram:telegram'").await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows[0][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn telegram_joins_by_its_user_and_by_nobody_elses_number() {
    let rig = rig().await;
    for headers in [("x-telegram-bot-api-secret-token", "wrong"), ("x-other", "demo")] {
        let body = fixture("telegram/02_own_contact.json");
        assert_eq!(rig.post_with("/in/telegram/demo", headers, &body).await, 401);
    }
    assert_eq!(rig.counts().await.deliveries, 0);

    update(&rig, &fixture("telegram/01_start_by_a_link.json")).await;
    let start = newest(&rig).await;
    assert_eq!(
        identifiers(&start),
        [
            "chat telegram 700000101 proven",
            "chat telegram:telegram 700000101 proven",
            "external_customer mindbox 900000417 hinted",
        ]
    );
    update(&rig, &fixture("telegram/02_own_contact.json")).await;
    let shared = newest(&rig).await;
    assert!(identifiers(&shared).contains(&"phone +380674185206 proven".to_owned()), "{shared}");
    assert_eq!(shared["person"], start["person"]);
    assert_eq!((rig.stats().contacts, rig.stats().deals), (1, 1));

    // Somebody else's card, a group, an edit, talk and a press are no leads, and nobody is joined by them.
    for name in [
        "03_contact_of_somebody_else",
        "04_bot_blocked",
        "05_message",
        "06_group",
        "07_edited_message",
        "08_button",
    ] {
        update(&rig, &fixture(&format!("telegram/{name}.json"))).await;
        assert_eq!(newest(&rig).await["state"], "filtered", "{name}");
        let expect = if name == "04_bot_blocked" { "blocked" } else { "active" };
        assert_eq!(chat_state(&rig).await, expect, "{name}");
    }
    // Telegram sends an update again until it is answered.
    update(&rig, &fixture("telegram/02_own_contact.json")).await;
    assert_eq!(rig.counts().await.redeliveries, 1);
    assert_eq!((rig.stats().contacts, rig.stats().deals, rig.stats().tasks), (1, 1, 0));
    rig.end().await;
}
