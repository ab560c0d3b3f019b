//! What needs somebody, in a real browser: everything that stands is put right from the page, and whoever is told of something
//! comes to the right place by the link.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use leadfold::access::Role;
use leadfold::sandbox::Faults;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::webdriver::Tab;
use super::{PASSWORD, TOKEN, add_user};
use crate::alerts::{Hook, mails, smtp, telegram};
use crate::audits::Ahead;
use crate::rig::{IMPATIENT, MAPPING, Rig, event, now_millis, until};

/// Whose mapping fails, and whom the CRM refuses.
const FAILING: i64 = 260;
const REFUSED: i64 = 12;
/// Some of those whom the CRM refuses come once more, and then their mapping fails.
const AGAIN: i64 = 5;

/// A mapping that fails where the age is a word.
fn counts_years() -> String {
    MAPPING.replace("title != 'bot_block'", "contact.variables.age / 1 > 17")
}

fn lead(chat: &str, human: i64, age: &Value) -> Value {
    let phone = format!("+38067{:07}", 1_100_003 + human * 16_411);
    event(chat, "telegram", json!({ "phone": phone, "age": age }), now_millis())
}

/// An account without the field that mappings fill.
fn without_fields() -> Value {
    json!({
        "users": [{ "id": "anna" }, { "id": "borys" }, { "id": "dana" }],
        "pipelines": [{ "name": "Main", "stages": ["New", "Won"] }],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn three_causes_are_put_right_and_the_crm_has_each_human_once() {
    // A CRM that also fails, and now and then does what it does not admit.
    let faults = Faults { fail_before: 0.03, timeout_after: 0.02, ..Faults::default() };
    let mut rig = Rig::prepare(faults, IMPATIENT, &counts_years()).await;
    rig.token = Some(TOKEN);
    rig.files.0.insert(
        "shop.yaml".to_owned(),
        MAPPING.replace("token: demo }", "token: shop, paused: true }").replace("Lead from", "Shop"),
    );
    rig.sandbox.set_account(Some(serde_json::from_value(without_fields()).unwrap()));
    rig.boot().await;
    if let Some(tab) = Tab::signed_in(&rig).await {
        let refused: Vec<Value> =
            (0..REFUSED).map(|human| lead(&format!("r-{human}"), human, &json!(18))).collect();
        rig.post_all(&refused, 4).await;
        rig.settle().await;
        let failing =
            (0..FAILING).map(|number| lead(&format!("f-{number}"), REFUSED - AGAIN + number, &json!("old")));
        rig.post_all(&failing.collect::<Vec<_>>(), 16).await;
        rig.settle().await;
        let in_shop = lead("shop-1", REFUSED - AGAIN + FAILING, &json!(18));
        assert_eq!(rig.post_to("/in/shop/shop", in_shop.to_string()).await.0, 200);

        tab.click("Needs attention").await;
        for (title, many, todo) in [
            ("The CRM refuses them", "12\u{a0}leads", "Read what the CRM said."),
            (
                "The mapping fails on these leads",
                "260\u{a0}leads",
                "Correct the mapping at the place that is named",
            ),
            ("Requests that wait for their mapping", "1\u{a0}request", "The source is paused"),
        ] {
            tab.sees(title).await;
            tab.sees(many).await;
            tab.sees(todo).await;
        }
        tab.sees("no field `telegram_chat`").await;
        tab.keep_picture("story-attention").await;

        // The field is added in the CRM.
        rig.sandbox.set_account(None);
        tab.click_in("The CRM refuses them", "Replay…").await;
        tab.sees("12\u{a0}leads would go on.").await;
        tab.click("Replay 12\u{a0}leads").await;
        tab.sees("Replayed: 12\u{a0}leads.").await;
        tab.lacks("The CRM refuses them").await;

        // The mapping is corrected; a server that runs takes it up by itself.
        tab.click_in("The mapping fails on these leads", "Replay…").await;
        tab.sees("→ needs attention").await;
        rig.edit("sendpulse.yaml", "contact.variables.age / 1 > 17", "true");
        rig.save();
        tab.sees_in_time("→ branch 'all'").await;
        tab.sees("There are many.").await;
        tab.click("Replay all of them").await;
        tab.sees("Replayed: 260\u{a0}leads.").await;

        // The source goes on.
        rig.edit("shop.yaml", ", paused: true", "");
        rig.save();
        tab.click("Needs attention").await;
        tab.sees_in_time("Nothing needs you now.").await;
        rig.settle().await;
        let humans = usize::try_from(REFUSED - AGAIN + FAILING + 1).unwrap();
        let (stats, counts) = (rig.stats(), rig.counts().await);
        assert_eq!((stats.contacts, stats.deals, counts.needs_attention), (humans, humans, 0), "{stats:?}");
        tab.sees_in_time("Nothing needs you now.").await;
    }
    rig.end().await;
}

/// A port that was free a moment ago: links must name it before anything listens there.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_told_comes_to_the_place_by_the_link() {
    let (bot, chats) = telegram().await;
    let (port, mail) = smtp().await;
    let hook = Hook::start().await;
    let clock = Arc::new(Ahead(AtomicI64::new(0)));
    let ahead = |seconds: i64| clock.0.fetch_add(seconds * 1_000, Ordering::SeqCst);
    let mut rig = Rig::prepare(Faults::default(), "timeout: 2m, settle: 700ms", &counts_years()).await;
    rig.token = Some(TOKEN);
    let alerts = format!(
        "alerts:\n  webhook: '{}'\n  telegram: {{ token: '1:abc', chat: -100123, url: '{bot}' }}\n  email: {{ server: \
         '127.0.0.1:{port}', encryption: none, from: leadfold@example.com, to: a@example.com }}\n  late_after: 1m\n  \
         silent_after: 2h\nowner_pools:",
        hook.url
    );
    rig.edit("workspace.yaml", "owner_pools:", &alerts);
    rig.clock = clock.clone();
    rig.listen = ([127, 0, 0, 1], free_port()).into();
    let root = format!("http://{}", rig.listen);
    rig.public_url = Some(root.clone());
    rig.boot().await;
    add_user(&rig, "olena", Role::Operator).await;
    let link_of = |cause: &str| {
        let told = hook.told();
        let link = told.into_iter().find(|(of, over, _)| of == cause && !over).unwrap().2;
        link.strip_prefix(&root).unwrap().to_owned()
    };
    let all_know = async |count: usize| {
        until("all are told", async || {
            hook.told().len() >= count && chats.lock().unwrap().len() >= count && mails(&mail) >= count
        })
        .await;
    };
    if let Some(tab) = Tab::open(&rig).await {
        // A new cause, of somebody who is not signed in. The first call of the hook is refused.
        assert_eq!(rig.post(&lead("chat-1", 1, &json!("old"))).await, 200);
        hook.called("mapping_error:sendpulse", 2).await;
        all_know(1).await;
        tab.go(&link_of("mapping_error:sendpulse")).await;
        tab.fill("Name", "olena").await;
        tab.fill("Password", "wrong wrong wrong").await;
        tab.click("Sign in").await;
        tab.sees("Name, password or token is wrong.").await;
        tab.fill("Name", "olena").await;
        tab.fill("Password", PASSWORD).await;
        tab.click("Sign in").await;
        tab.sees("The mapping fails on these leads").await;
        assert_eq!(tab.path().await, "/attention#mapping_error:sendpulse", "the place on the page as well");

        // A growing backlog.
        rig.sandbox.set_faults(Faults { latency_ms: "15000".parse().unwrap(), ..Faults::default() });
        assert_eq!(rig.post(&lead("chat-2", 2, &json!(18))).await, 200);
        until("it is a lead", async || rig.counts().await.open == 1).await;
        ahead(300);
        hook.called("late:crm", 1).await;
        all_know(2).await;
        tab.go("/overview").await;
        tab.go(&link_of("late:crm")).await;
        tab.sees("Leads wait too long").await;
        rig.sandbox.set_faults(Faults::default());
        rig.settle().await;
        until("it is over", async || {
            ahead(2);
            sleep(Duration::from_millis(300)).await;
            hook.told().iter().any(|(cause, over, _)| cause == "late:crm" && *over)
        })
        .await;

        // Whoever pauses a destination by hand is not told that it is late, nor that it is paused.
        tab.click("Destinations").await;
        tab.click("Pause").await;
        tab.sees("It is paused.").await;
        assert_eq!(rig.post(&lead("chat-3", 3, &json!(18))).await, 200);
        until("it is a lead", async || rig.counts().await.open == 1).await;
        ahead(9_000);
        hook.called("silent:sendpulse", 1).await;
        all_know(4).await;
        tab.go(&link_of("silent:sendpulse")).await;
        tab.sees("A source is silent").await;
        tab.sees("A destination is paused by hand").await;
        tab.lacks("Leads wait too long").await;
        let first_late = hook.told().iter().filter(|(cause, ..)| cause == "late:crm").count();
        assert_eq!(first_late, 2, "told, and over: {:?}", hook.told());
        assert!(hook.told().iter().all(|(cause, ..)| cause != "paused:crm"), "{:?}", hook.told());

        // It goes on, and then the CRM refuses us.
        tab.click("To the destinations").await;
        tab.click("Resume").await;
        tab.sees("It goes on.").await;
        rig.settle().await;
        rig.sandbox.set_faults(Faults { unauthorised: true, ..Faults::default() });
        assert_eq!(rig.post(&lead("chat-4", 4, &json!(18))).await, 200);
        hook.called("paused:crm", 1).await;
        tab.go(&link_of("paused:crm")).await;
        tab.sees("A destination is paused").await;
        tab.sees("goes on by itself").await;
        // Also somebody's pause makes no second of it.
        tab.click("Destinations").await;
        tab.click("Pause").await;
        tab.sees("It is paused.").await;
        tab.click("Resume").await;
        tab.sees("It goes on.").await;
        rig.sandbox.set_faults(Faults::default());
        until("the CRM has it", async || {
            ahead(2);
            sleep(Duration::from_millis(300)).await;
            rig.counts().await.open == 0
        })
        .await;
        let told = hook.told();
        for cause in ["mapping_error:sendpulse", "late:crm", "silent:sendpulse", "paused:crm"] {
            let times = told.iter().filter(|(of, over, _)| of == cause && !over).count();
            assert_eq!(times, 1, "{cause}: {told:?}");
            let words = chats.lock().unwrap();
            let links = words.iter().filter(|(_, message)| {
                let text = message["text"].as_str().unwrap();
                text.ends_with(&format!("#{cause}")) && !text.starts_with("leadfold: it is over")
            });
            assert_eq!(links.count(), 1, "{cause}: {words:?}");
        }
    }
    rig.end().await;
}
