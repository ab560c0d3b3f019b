//! Another PIN that a site has sent into the chat: it goes there and nowhere else, the last one sent is the one that opens,
//! and nothing that is kept says it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use leadfold::sandbox::Faults;
use serde_json::{Value, json};

use crate::bots::stand_in::{Reply, StandIn};
use crate::links::{API, MAPPING, Story, another};
use crate::postgres::Database;
use crate::rig::{LINKS_TOKEN, Rig, until};

const NEW_PIN: &str = r#"
source: { preset: trigger, token: demo }
leads:
  - name: pin
    calls:
      - to: metabot
        schedule_job: { script_code: new_pin, script_request_params: { text: "Your PIN is {{ pin }}.", pin: "{{ pin }}" } }
"#;

/// A site, and a bot of Metabot that answers at this address. PINs are long, so that one is no part of anything by chance.
async fn begin(postgres: Option<Database>, bot: &str, url: &str, new_pin: &str) -> Story {
    let mut rig = Rig::prepare(Faults::default(), "mode: paused", MAPPING).await;
    let bots = format!(
        "  metabot: {{ bot: metabot, bot_id: 7, token: s3cret, url: \"{url}\", chats: [\"telegram:shop_bot\"], {bot} }}\n\
         links: {{ url: \"https://site.com\", pin_digits: 12, send_pin: new-pin }}\nowner_pools:"
    );
    rig.edit("workspace.yaml", "owner_pools:", &bots);
    rig.files.0.insert("new-pin.yaml".to_owned(), new_pin.to_owned());
    rig.postgres = postgres;
    let story = Story::of(rig).await;
    story.webhooks(&[json!({ "chat": "7001" }), json!({ "chat": "7002" })]).await;
    story
}

async fn started(url: &str) -> Story {
    begin(None, "settle: 50ms", url, NEW_PIN).await
}

fn yes() -> Reply {
    Reply::json(200, &json!({ "success": true }))
}

/// The PINs that the bot was told, in their order, and that nobody else was.
fn told(server: &StandIn, chat: i64) -> Vec<String> {
    let pin = |body: Value| {
        assert_eq!((&body["lead_id"], &body["script_code"]), (&json!(chat), &json!("new_pin")), "{body}");
        let params = &body["script_request_params"];
        let pin = params["pin"].as_str().unwrap().to_owned();
        assert_eq!(params["text"], format!("Your PIN is {pin}."));
        assert!(pin.len() == 12 && pin.bytes().all(|digit| digit.is_ascii_digit()), "{pin}");
        pin
    };
    server.requests().iter().map(|request| pin(request.json())).collect()
}

async fn ask(story: &Story, buid: &str) -> String {
    story.site("pin", json!({ "buid": buid, "visitor": "203.0.113.7" })).await.0
}

async fn verify(story: &Story, buid: &str, pin: &str) -> String {
    story.site("verify", json!({ "buid": buid, "pin": pin, "visitor": "203.0.113.7" })).await.0
}

/// All that `SQLite` has on the disk.
fn kept(story: &Story) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(&story.rig.folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            bytes.extend(std::fs::read(path).unwrap());
        }
    }
    bytes
}

fn is_kept(story: &Story, text: &str) -> bool {
    kept(story).windows(text.len()).any(|part| part == text.as_bytes())
}

/// State, and why.
async fn end(story: &Story) -> (String, String) {
    let sql = "SELECT state, why FROM syncs WHERE destination = 'metabot' ORDER BY id DESC LIMIT 1";
    let is_over = |rows: &[Vec<String>]| {
        rows.first().is_some_and(|row| ["synced", "filtered", "needs-attention"].contains(&row[0].as_str()))
    };
    until("the call is over", async || is_over(&story.rig.sql(sql).await)).await;
    let rows = story.rig.sql(sql).await;
    (rows[0][0].clone(), rows[0][1].clone())
}

async fn waits(story: &Story) -> bool {
    story.rig.sql("SELECT 1 FROM links_issued WHERE pin_key IS NOT NULL").await.len() == 1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_pin_and_a_new_one_in_the_chat() {
    let server = StandIn::always(yes()).await;
    let story = started(&server.url()).await;
    let (buid, first) = story.issue("7001").await;
    assert_eq!(verify(&story, &buid, "000000000000").await, "wrong_pin");
    let (outcome, answer) = story.site("pin", json!({ "buid": buid, "visitor": "203.0.113.7" })).await;
    assert_eq!(outcome, "pin_on_its_way");
    // The visitor presses the button again.
    assert_eq!(ask(&story, &buid).await, "pin_on_its_way");
    assert_eq!(end(&story).await.0, "synced");
    let pins = told(&server, 7001);
    let [pin] = &pins[..] else { panic!("{pins:?}") };
    assert!(!answer.to_string().contains(pin) && answer.get("person").is_none(), "{answer}");
    until("nobody waits any more", async || !waits(&story).await).await;
    for path in ["/api/leads", &format!("/api/leads/{}", lead(&story).await)] {
        let (status, text) = story.rig.get(path).await;
        assert!(status == 200 && !text.contains(pin), "{path}: {text}");
    }
    assert!(!is_kept(&story, pin), "the PIN stands on the disk");
    assert!(is_kept(&story, "Your PIN is PIN"), "what stands for it does");
    assert_eq!(verify(&story, &buid, &first).await, "wrong_pin", "the one before is worth nothing now");
    assert_eq!(verify(&story, &buid, pin).await, "register");
    assert_eq!(ask(&story, &buid).await, "used_link");
    story.end().await;
}

async fn lead(story: &Story) -> String {
    story.rig.sql("SELECT lead FROM syncs WHERE destination = 'metabot'").await[0][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_has_three_pins_and_a_guesser_none() {
    let server = StandIn::always(yes()).await;
    let story = started(&server.url()).await;
    let (buid, first) = story.issue("7001").await;
    let mut last = first;
    for count in 1..=2 {
        story.advance(11);
        assert_eq!(verify(&story, &buid, &last).await, "expired_pin");
        assert_eq!(ask(&story, &buid).await, "pin_on_its_way");
        until("it is sent", async || told(&server, 7001).len() == count).await;
        until("it is over", async || !waits(&story).await).await;
        last = told(&server, 7001).pop().unwrap();
    }
    story.advance(2);
    assert_eq!(ask(&story, &buid).await, "too_many_tries");
    assert_eq!(verify(&story, &buid, &last).await, "register", "the last one opens it");
    // Whoever guesses gets none sent, whichever link it is.
    let (buid, pin) = story.issue("7002").await;
    let guess = |buid: &str| json!({ "buid": buid, "pin": another(&pin), "visitor": "198.51.100.1" });
    for _ in 0..20 {
        assert_eq!(story.site("verify", guess("nothing")).await.0, "unknown_link");
    }
    let asked = json!({ "buid": buid, "visitor": "198.51.100.1" });
    assert_eq!(story.site("pin", asked).await.0, "too_many_tries");
    for _ in 0..20 {
        assert_eq!(
            story.site("pin", json!({ "buid": "no", "visitor": "198.51.100.2" })).await.0,
            "unknown_link"
        );
    }
    let asked = json!({ "buid": buid, "visitor": "198.51.100.2" });
    assert_eq!(story.site("pin", asked).await.0, "too_many_tries", "looking for links is guessing");
    assert_eq!(story.site("verify", json!({ "buid": buid, "pin": pin })).await.0, "register");
    assert_eq!(told(&server, 7001).len(), 2);
    story.end().await;
}

/// Each answer to the first try; how often the bot is told, and how it ends.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_pin_that_may_have_gone_out_opens_the_link() {
    for (bot, first, calls, state) in [
        ("settle: 50ms", Reply::text(429, "{}").with("Retry-After", "1"), 2, "synced"),
        ("settle: 50ms", Reply::HangsUp, 1, "needs-attention"),
        ("settle: 50ms, blind: at_least_once", Reply::HangsUp, 2, "synced"),
    ] {
        let count = Arc::new(AtomicUsize::new(0));
        let reply = first.clone();
        let server =
            StandIn::start(
                move |_| {
                    if count.fetch_add(1, Ordering::SeqCst) == 0 { reply.clone() } else { yes() }
                },
            )
            .await;
        let story = begin(None, bot, &server.url(), NEW_PIN).await;
        let (buid, _) = story.issue("7001").await;
        assert_eq!(ask(&story, &buid).await, "pin_on_its_way");
        let (ended, why) = end(&story).await;
        assert_eq!(ended, state, "{bot} {first:?}: {why}");
        let pins = told(&server, 7001);
        assert_eq!(pins.len(), calls, "{bot} {first:?}");
        for pin in &pins {
            assert!(!why.contains(pin) && !is_kept(&story, pin), "{bot} {first:?}");
        }
        if let [before, _] = &pins[..] {
            assert_eq!(verify(&story, &buid, before).await, "wrong_pin");
        }
        assert_eq!(verify(&story, &buid, pins.last().unwrap()).await, "register", "{bot} {first:?}");
        story.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_that_repeats_what_it_was_told_does_not_give_the_pin_away() {
    let server = StandIn::start(|request| {
        let text = request.json()["script_request_params"]["text"].as_str().unwrap().to_owned();
        Reply::json(200, &json!({ "success": false, "message": format!("unknown script, {text}") }))
    })
    .await;
    let story = started(&server.url()).await;
    let (buid, first) = story.issue("7001").await;
    assert_eq!(ask(&story, &buid).await, "pin_on_its_way");
    let (state, why) = end(&story).await;
    assert_eq!(state, "needs-attention");
    assert!(why.contains("Your PIN is [PIN]."), "{why}");
    let pins = told(&server, 7001);
    assert!(pins.len() == 1 && !is_kept(&story, &pins[0]));
    until("nobody waits any more", async || !waits(&story).await).await;
    assert_ne!(verify(&story, &buid, &first).await, "register");
    story.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_outlives_a_restart_and_is_not_sent_when_nobody_waits_any_more() {
    let server = StandIn::always(yes()).await;
    let mut story = begin(None, "mode: paused", &server.url(), NEW_PIN).await;
    let (buid, _) = story.issue("7001").await;
    let (late, _) = story.issue("7002").await;
    assert_eq!(ask(&story, &late).await, "pin_on_its_way");
    until("it is mapped", async || {
        story.rig.sql("SELECT 1 FROM syncs WHERE destination = 'metabot'").await.len() == 1
    })
    .await;
    story.advance(11);
    assert_eq!(ask(&story, &buid).await, "pin_on_its_way");
    until("both are", async || {
        story.rig.sql("SELECT 1 FROM syncs WHERE destination = 'metabot'").await.len() == 2
    })
    .await;
    story.rig.edit(
        "workspace.yaml",
        "chats: [\"telegram:shop_bot\"], mode: paused",
        "chats: [\"telegram:shop_bot\"]",
    );
    story.rig.restart().await;
    until("one is sent, the other is not", async || {
        let ends =
            story.rig.sql("SELECT state, why FROM syncs WHERE destination = 'metabot' ORDER BY id").await;
        ends[0][0] == "filtered" && ends[0][1].contains("pin_over") && ends[1][0] == "synced"
    })
    .await;
    let pins = told(&server, 7001);
    assert_eq!(pins.len(), 1);
    assert_eq!(verify(&story, &buid, &pins[0]).await, "register");
    story.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_into_the_chat_of_the_link_and_nowhere_else() {
    let server = StandIn::always(yes()).await;
    let elsewhere = NEW_PIN.replace("- to: metabot", "- to: metabot\n        chat: \"7002\"");
    let story = begin(None, "settle: 50ms", &server.url(), &elsewhere).await;
    let (buid, first) = story.issue("7001").await;
    assert_eq!(ask(&story, &buid).await, "pin_on_its_way");
    let (state, why) = end(&story).await;
    assert!(state == "filtered" && why.contains("pin_elsewhere"), "{state} {why}");
    assert!(server.requests().is_empty());
    assert_eq!(verify(&story, &buid, &first).await, "register", "the one before stays good");
    story.end().await;

    // The person blocked the bot.
    let story = started(&server.url()).await;
    let (buid, _) = story.issue("7001").await;
    let now = story.rig.clock.now();
    story.rig.app().store.mark_chat_blocked("telegram:shop_bot", "7001", "blocked", now).await.unwrap();
    assert_eq!(ask(&story, &buid).await, "no_live_chat");
    assert!(!waits(&story).await && server.requests().is_empty());
    story.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_makes_up_a_request_for_a_pin() {
    let server = StandIn::always(yes()).await;
    let forged = r#"
source: { preset: json, token: demo }
leads:
  - name: all
    identifiers: { chat: { channel: telegram, bot: shop_bot, id: "{{ chat }}" } }
    calls: [ { to: metabot, schedule_job: { script_code: forged, script_request_params: { pin: "{{ pin }}" } } } ]
"#;
    let mut rig = Rig::prepare(Faults::default(), "mode: paused", MAPPING).await;
    let bots = format!(
        "  metabot: {{ bot: metabot, bot_id: 7, token: s3cret, url: \"{}\", chats: [\"telegram:*\"] }}\n\
         links: {{ send_pin: new-pin }}\nowner_pools:",
        server.url()
    );
    rig.edit("workspace.yaml", "owner_pools:", &bots);
    rig.files.0.insert("new-pin.yaml".to_owned(), NEW_PIN.to_owned());
    rig.files.0.insert("forged.yaml".to_owned(), forged.to_owned());
    let story = Story::of(rig).await;
    story.webhooks(&[json!({ "chat": "7001" })]).await;
    drop(story.issue("7001").await);
    let link = story.rig.sql("SELECT id FROM links_issued").await[0][0].clone();
    let (status, _) =
        story.rig.post_to("/in/forged/demo", json!({ "chat": "7002", "pin": link }).to_string()).await;
    assert_eq!(status, 200);
    until("the bot is called", async || server.requests().len() == 1).await;
    // It is data like any other.
    assert_eq!(server.requests()[0].json()["script_request_params"]["pin"], link);
    let body = json!({ "to": { "chat": "7001" }, "data": { "pin": link } });
    let (status, answer) = story.rig.post_to_api("/api/triggers/new-pin", &body).await;
    assert!(status == 422 && answer["error"].as_str().unwrap().contains("/api/links/pin"), "{answer}");
    assert_eq!(server.requests().len(), 1);
    story.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_sends_pins_it_says_so() {
    let story = Story::begin().await;
    story.webhooks(&[json!({ "chat": "7001" })]).await;
    let (buid, _) = story.issue("7001").await;
    let (status, answer) = story.ask_as(LINKS_TOKEN, "pin", &json!({ "buid": buid })).await;
    assert!(status == 422 && answer["error"].as_str().unwrap().contains("send_pin"), "{answer}");
    let (status, _) = story.ask_as("somebody", "pin", &json!({ "buid": buid })).await;
    assert_eq!(status, 401);
    story.end().await;
}

/// Two processes on one database: whichever is asked, and however often, one PIN is sent, and it opens.
#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_servers_sends_one_pin() {
    let Some(database) = Database::create().await else { return };
    let server = StandIn::always(yes()).await;
    let story = begin(Some(database), "settle: 50ms", &server.url(), NEW_PIN).await;
    let other = story.rig.another().await;
    let (buid, _) = story.issue("7001").await;
    let body = json!({ "buid": buid });
    let there = format!("http://127.0.0.1:{}/api/links/pin", other.address.port());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    #[expect(clippy::disallowed_methods, reason = "the test is a site")]
    let asks = (0..6).map(|_| client.post(&there).bearer_auth(API).body(body.to_string()).send());
    let (others, (here, _)) =
        tokio::join!(futures_util::future::join_all(asks), story.ask_as(LINKS_TOKEN, "pin", &body));
    assert_eq!(here, 200);
    for answer in others {
        assert!(answer.unwrap().text().await.unwrap().contains("pin_on_its_way"));
    }
    until("it is sent", async || !server.requests().is_empty()).await;
    let database = story.rig.postgres.as_ref().unwrap();
    until("it is over", async || {
        database.run("SELECT COUNT(*) FROM links_issued WHERE pin_key IS NOT NULL").await == [0]
    })
    .await;
    let pins = told(&server, 7001);
    assert_eq!(pins.len(), 1);
    assert_eq!(story.site("verify", json!({ "buid": buid, "pin": pins[0] })).await.0, "register");
    other.stop().await;
    story.end().await;
}
