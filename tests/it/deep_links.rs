//! Links into bots, end to end: what a link carries comes back in one variable, and only our own token proves anything.

use serde_json::{Value, json};

use crate::links::Story;

/// What the bot gets out of a link that was made for this.
async fn start_of(story: &Story, asked: &Value) -> String {
    let mut body = json!({ "bot": "shop_bot" });
    body.as_object_mut().unwrap().extend(asked.as_object().unwrap().clone());
    let link = story.bot("deep", body).await;
    let start = link["start"].as_str().unwrap_or_default().to_owned();
    let url = if start.is_empty() {
        "https://t.me/shop_bot".into()
    } else {
        format!("https://t.me/shop_bot?start={start}")
    };
    assert_eq!(link["url"], json!(url));
    assert!(start.len() <= 64 && start.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'));
    start
}

async fn newest(story: &Story, chat: &str) -> Value {
    let found = story.rig.found(chat).await;
    story.rig.json(&format!("/api/leads/{}", found[0]["id"].as_str().unwrap())).await
}

async fn replan(story: &Story, lead: &Value) {
    let body = json!({ "how": "replan", "select": { "leads": [lead["id"]] } });
    let (status, answer) = story.rig.post_to_api("/api/replay", &body).await;
    assert_eq!((status, &answer["count"]), (200, &json!(1)), "{answer}");
}

fn flaws(lead: &Value) -> Vec<String> {
    let flaws = lead["flaws"].as_array().or_else(|| lead["lead"]["flaws"].as_array());
    flaws.into_iter().flatten().map(|flaw| flaw["code"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_joins_the_chat_with_the_customer_once() {
    let story = Story::begin().await;
    story.webhooks(&[json!({ "user": "10045", "phone": "0671234567" })]).await;
    let start = start_of(&story, &json!({ "customer": "web_user:10045" })).await;
    assert!(start.starts_with("lf_") && !start.contains("10045"), "{start}");
    // Looking uses nothing up.
    let resolved = story.bot("resolve", json!({ "start": start })).await;
    assert_eq!(
        resolved["identifiers"],
        json!([{ "kind": "external_customer", "scope": "web_user", "value": "10045" }])
    );
    story.webhooks(&[json!({ "chat": "7001", "start": format!("/start {start}") })]).await;
    assert_eq!(story.whose("7001").await, story.whose("10045").await);
    assert_eq!(flaws(&newest(&story, "7001").await), [] as [&str; 0]);
    // Forwarded, it joins nobody.
    story.webhooks(&[json!({ "chat": "6666", "start": start })]).await;
    assert_ne!(story.whose("6666").await, story.whose("10045").await);
    assert_eq!(flaws(&newest(&story, "6666").await), ["used_link"]);
    assert_eq!(story.bot("resolve", json!({ "start": start })).await["outcome"], "used_link");
    // Mapped again, the lead gets what it got.
    let lead = newest(&story, "7001").await;
    replan(&story, &lead).await;
    let again = newest(&story, "7001").await;
    assert_eq!((flaws(&again), &again["person"]), (Vec::new(), &lead["person"]));
    // A token does not log anybody in: it may have been forwarded before it was used.
    let (outcome, answer) = story.enter("7001", None).await;
    assert_eq!((outcome.as_str(), &answer["candidates"]), ("found", &json!(["10045"])));
    story.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_anybody_may_make_up_joins_nobody() {
    let story = Story::begin().await;
    story.webhooks(&[json!({ "user": "10045", "phone": "0671234567" })]).await;
    let device = "1f9c7c0e-5d0b-4a0e-9c2d-5b7a3a6c9e10";
    assert_eq!(start_of(&story, &json!({ "crm_id": "10045" })).await, "10045");
    assert_eq!(start_of(&story, &json!({ "device": device })).await, device);
    assert_eq!(start_of(&story, &json!({ "data": "summer-2026" })).await, "summer-2026");
    assert_eq!(start_of(&story, &json!({})).await, "");
    for (chat, start) in
        [("7001", "10045"), ("7002", device), ("7003", "lf_ZRvJxYsn6Vr2sQVQ83kLdM"), ("7004", "null")]
    {
        story.webhooks(&[json!({ "chat": chat, "start": start })]).await;
        assert_ne!(story.whose(chat).await, story.whose("10045").await, "{start}");
    }
    assert_eq!(flaws(&newest(&story, "7003").await), ["unknown_link"]);
    let kind = async |start: &str| story.bot("resolve", json!({ "start": start })).await["kind"].clone();
    assert_eq!(kind("10045").await, "crm_id");
    assert_eq!(kind(device).await, "device");
    assert_eq!(kind("").await, "none");
    assert_eq!(kind("summer-2026").await, "other");
    let (status, _) =
        story.ask_as(crate::links::API, "resolve", &json!({ "start": "lf_ZRvJxYsn6Vr2sQVQ83kLdM" })).await;
    assert_eq!(status, 404);
    story.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_payload_comes_back_whole_and_expires() {
    let story = Story::begin().await;
    story.webhooks(&[json!({ "user": "10045", "phone": "0671234567", "email": "olena.k@gmail.com" })]).await;
    // Two in one batch: the first that came has it.
    let start = start_of(&story, &json!({ "email": "Olena.K@gmail.com", "data": "осінь 2026" })).await;
    let both = json!([{ "chat": "7001", "start": start }, { "chat": "7002", "start": start }]);
    story.webhooks(&[both]).await;
    assert_eq!(story.whose("7001").await, story.whose("10045").await);
    assert_ne!(story.whose("7002").await, story.whose("10045").await);
    let phone = start_of(&story, &json!({ "phone": "067 123 45 67", "days": 1 })).await;
    story.advance(24 * 60);
    story.webhooks(&[json!({ "chat": "7003", "start": phone })]).await;
    assert_ne!(story.whose("7003").await, story.whose("10045").await);
    assert_eq!(flaws(&newest(&story, "7003").await), ["expired_link"]);
    // A bot whose webhooks go elsewhere asks, and uses it up.
    let start = start_of(&story, &json!({ "data": "осінь 2026" })).await;
    let ask = json!({ "start": start, "use_up": true });
    assert_eq!(story.bot("resolve", ask.clone()).await["data"], "осінь 2026");
    assert_eq!(story.bot("resolve", ask).await["outcome"], "used_link");
    story.end().await;
}
