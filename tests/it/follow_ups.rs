//! The process ends between what a CRM has confirmed and the bot that is called then: the call is made once, or somebody is
//! told that nobody knows. Needs the feature `failpoints`; without it the tests say so and do nothing.

use leadfold::app::until_quiet;
use leadfold::sandbox::{Sandbox, SandboxOptions};
use serde_json::{Value, json};

use crate::bots::stand_in::{Reply, StandIn};
use crate::kill::server::{Home, Server};
use crate::rig::{PATIENCE, WORKSPACE, event, now_millis, until};

/// Ends the process the n-th time that it gets there.
fn at(point: &str, hit: usize) -> String {
    if hit == 1 {
        return format!("{point}=return(crash)");
    }
    format!("{point}={}*off->return(crash)", hit - 1)
}

fn skipped() -> bool {
    let without = !cfg!(feature = "failpoints");
    if without {
        eprintln!("skipped: `cargo test --features failpoints` ends the process at each of its marks");
    }
    without
}

const TAGGED: &str = r#"
source: { preset: sendpulse, token: demo }
leads:
  - name: all
    to: [crm]
    phone: { regions: [UA] }
    contact: { name: "{{ contact.name }}", phone: "{{ contact.variables.phone }}" }
    deal: { title: "Order" }
    after_done: [ { to: bot, chat: "243001", schedule_job: welcome } ]
"#;

async fn ended(home: &Home, mut server: Server) {
    let status = server.ended(PATIENCE).await;
    assert!(status.is_some(), "it was never reached\n{}", home.log());
}

/// What the bot was told, how the call ended, and why.
async fn killed_at(point: &str, hit: usize, blind: &str) -> (usize, String, String) {
    let bot = StandIn::always(Reply::json(200, &json!({ "success": true }))).await;
    let crm = Sandbox::start(SandboxOptions::default()).await.unwrap();
    let account = format!(
        "  bot: {{ bot: metabot, bot_id: 7, token: s3cret, url: \"{}\", settle: 100ms, blind: {blind} }}\nowner_pools:",
        bot.url()
    );
    let workspace = WORKSPACE
        .replace("{ADDRESS}", &crm.addr().to_string())
        .replace("{DESTINATION}", "settle: 100ms, audit: 300ms")
        .replace("owner_pools:", &account);
    let home = Home::of(&workspace);
    home.map_with(TAGGED);
    let server = home.start_with(&at(point, hit)).await;
    let body = event("chat-1", "telegram", json!({ "phone": "+380671234567" }), now_millis());
    home.post(server.address, &body).await;
    ended(&home, server).await;
    let server = home.start().await;
    // The platform sends it again, as it may.
    assert!(home.post(server.address, &body).await, "{}", home.log());
    let registry = home.registry().await;
    assert!(until_quiet(&registry, PATIENCE).await.unwrap(), "{point}\n{}", home.log());
    let lead = registry.leads(None, 10).await.unwrap().remove(0);
    let lead = registry.lead(lead.id).await.unwrap().unwrap();
    registry.close().await;
    server.kill();
    let stats = crm.stats();
    assert_eq!((stats.contacts, stats.deals), (1, 1), "{point} {hit}");
    let called = lead.syncs.iter().find(|sync| sync.destination == "bot");
    let called = called.unwrap_or_else(|| panic!("{point} {hit}: the call is forgotten: {lead:?}"));
    let why = called.why.as_ref().and_then(|why| why["code"].as_str()).unwrap_or_default().to_owned();
    let end = (bot.requests().len(), called.state.clone(), why);
    home.remove();
    end
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_ends_before_the_follow_up_makes_it_once_or_says_so() {
    if skipped() {
        return;
    }
    let synced = |count: usize| (count, "synced".to_owned(), String::new());
    let doubt = |count: usize| (count, "needs-attention".to_owned(), "blind_step_unknown".to_owned());
    let once = "at_most_once";
    let again = "at_least_once";
    // The CRM is written to twice, contact and deal; the third write is the call.
    let cases = [
        ("crm.answered", 2, once, synced(1)),
        ("sync.synced", 1, once, synced(1)),
        ("sync.planned", 2, once, synced(1)),
        ("crm.permitted", 3, once, synced(1)),
        // Noted as sent, and nobody knows that it was not.
        ("crm.sent", 3, once, doubt(0)),
        ("crm.answered", 3, once, doubt(1)),
        ("crm.sent", 3, again, synced(1)),
        ("crm.answered", 3, again, synced(2)),
        ("sync.synced", 2, once, synced(1)),
    ];
    let ends = cases.iter().map(|(point, hit, blind, _)| killed_at(point, *hit, blind));
    let ends = futures_util::future::join_all(ends).await;
    for ((point, hit, blind, expect), end) in cases.iter().zip(ends) {
        assert_eq!(end, *expect, "{point} {hit} {blind}");
    }
}

const CHATS: &str = r#"
source: { preset: json, token: demo }
leads:
  - name: all
    to: [crm]
    identifiers: { chat: { channel: telegram, bot: shop, id: "{{ chat }}" } }
"#;

const NEW_PIN: &str = r#"
source: { preset: trigger, token: demo }
leads: [ { name: pin, calls: [ { to: bot, schedule_job: { script_code: pin, script_request_params: { pin: "{{ pin }}" } } } ] } ]
"#;

/// A process ends while it sends a PIN; the next one sends another, or says that nobody knows, and whoever asks again gets one.
async fn killed_sending_a_pin(point: &str, blind: &str, told: usize) {
    let bot = StandIn::always(Reply::json(200, &json!({ "success": true }))).await;
    let crm = Sandbox::start(SandboxOptions::default()).await.unwrap();
    let account = format!(
        "  bot: {{ bot: metabot, bot_id: 7, token: s3cret, url: \"{}\", settle: 100ms, blind: {blind}, chats: [\"telegram:*\"] }}\n\
         links: {{ send_pin: new-pin, pin_digits: 12 }}\nowner_pools:",
        bot.url()
    );
    let workspace = WORKSPACE
        .replace("{ADDRESS}", &crm.addr().to_string())
        .replace("{DESTINATION}", "mode: paused")
        .replace("owner_pools:", &account);
    let home = Home::of(&workspace);
    home.map_with(CHATS);
    home.write("new-pin.yaml", NEW_PIN);
    let server = home.start_with(&at(point, 1)).await;
    assert!(home.post(server.address, &json!({ "chat": "7001" })).await);
    let mut issued = Value::Null;
    until("a link is issued", async || {
        let (status, text) = home.ask(server.address, "/api/links/issue", &json!({ "who": "7001" })).await;
        issued = serde_json::from_str(&text).unwrap_or_default();
        status == 200
    })
    .await;
    let asked = json!({ "buid": issued["buid"] });
    let (status, text) = home.ask(server.address, "/api/links/pin", &asked).await;
    assert!(status == 200 && text.contains("pin_on_its_way"), "{text}");
    ended(&home, server).await;
    let server = home.start().await;
    let over = async || {
        let registry = home.registry().await;
        let counts = registry.counts().await.unwrap();
        registry.close().await;
        counts.synced + counts.needs_attention
    };
    until("its fate is known", async || over().await == 1).await;
    let mut sent = told;
    if blind == "at_most_once" {
        // It may have gone out, or not: whoever waits asks again.
        until("another one is sent", async || {
            let (_, text) = home.ask(server.address, "/api/links/pin", &asked).await;
            // Once it is sent, the link has had all of its PINs.
            assert!(text.contains("pin_on_its_way") || text.contains("too_many_tries"), "{text}");
            bot.requests().len() > told
        })
        .await;
        sent += 1;
    }
    let pins: Vec<String> = bot
        .requests()
        .iter()
        .map(|request| request.json()["script_request_params"]["pin"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(pins.len(), sent, "{point} {blind}: {pins:?}");
    for (place, pin) in pins.iter().enumerate() {
        let body = json!({ "buid": issued["buid"], "pin": pin });
        let (_, text) = home.ask(server.address, "/api/links/verify", &body).await;
        let expect = if place + 1 == pins.len() { "register" } else { "wrong_pin" };
        assert!(text.contains(expect), "{point} {blind}, PIN {place} of {}: {text}", pins.len());
    }
    server.kill();
    for entry in std::fs::read_dir(
        std::path::Path::new(home.database().trim_start_matches("sqlite://")).parent().unwrap(),
    )
    .unwrap()
    .map(|entry| entry.unwrap().path())
    .filter(|path| path.is_file())
    {
        let bytes = std::fs::read(&entry).unwrap();
        for pin in &pins {
            let kept = bytes.windows(pin.len()).any(|part| part == pin.as_bytes());
            assert!(!kept, "{point} {blind}: a PIN stands in {}", entry.display());
        }
    }
    home.remove();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_ends_while_it_sends_a_pin_leaves_one_that_opens() {
    if skipped() {
        return;
    }
    tokio::join!(
        killed_sending_a_pin("crm.sent", "at_least_once", 1),
        killed_sending_a_pin("crm.answered", "at_least_once", 2),
        killed_sending_a_pin("crm.permitted", "at_least_once", 1),
        killed_sending_a_pin("crm.sent", "at_most_once", 0),
        killed_sending_a_pin("crm.answered", "at_most_once", 1),
    );
}
