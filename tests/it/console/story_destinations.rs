//! Where leads go, and how many went there, in a real browser.

use std::time::Duration;

use leadfold::sandbox::Faults;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::TOKEN;
use super::webdriver::Tab;
use crate::rig::{MAPPING, Rig, event, now_millis, until};

fn lead(human: i64, at: i64) -> Value {
    let phone = format!("+38067{:07}", 1_100_003 + human * 16_411);
    event(&format!("chat-{human}"), "telegram", json!({ "phone": phone }), at)
}

async fn rig(settings: &str) -> Rig {
    let mut rig = Rig::prepare(Faults::default(), settings, MAPPING).await;
    rig.token = Some(TOKEN);
    let bot = "  chat_bot: { bot: metabot, bot_id: 7, token: s3cret, url: 'http://127.0.0.1:9', chats: ['sendpulse:*'] }\nowner_pools:";
    rig.edit("workspace.yaml", "owner_pools:", bot);
    rig.boot().await;
    rig
}

/// The texts of what a selector finds.
async fn texts(tab: &Tab, selector: &str) -> Vec<String> {
    let script = "return [...document.querySelectorAll(arguments[0])].map(one => one.innerText.trim())";
    let found = tab.run(script, json!([selector])).await;
    found.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// The number that a text begins with.
fn number(text: &str) -> i64 {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("'{text}' begins with no number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_is_watched_paused_and_let_go_on() {
    // So slow that a person can watch it.
    let rig = rig("timeout: 20s, settle: 700ms, rate: 120/min").await;
    if let Some(tab) = Tab::signed_in(&rig).await {
        let start = now_millis();
        let burst: Vec<Value> = (0..14).map(|human| lead(human, start + human)).collect();
        rig.post_all(&burst, 14).await;
        tab.click("Destinations").await;
        tab.sees("at most 120 calls in 60s").await;
        // Used and left are one whole, and the backlog has a time.
        until("the burst is seen to use the budget", async || {
            tab.reload().await;
            let windows = texts(&tab, "section[aria-label=crm] .window").await;
            let parts: Vec<i64> = windows[0]
                .split(['%', ','])
                .filter_map(|part| part.trim().trim_end_matches('\u{a0}').parse().ok())
                .collect();
            assert!(matches!(parts.as_slice(), [used, left] if used + left == 100), "{windows:?}");
            parts[0] > 0
        })
        .await;
        tab.sees_in_time("to be decided").await;
        tab.sees("about").await;
        until("somebody holds the lease", async || {
            tab.reload().await;
            let process = format!("{}", std::process::id());
            texts(&tab, "section[aria-label=crm] dd").await.iter().any(|text| text.contains(&process))
        })
        .await;
        tab.keep_picture("story-destinations").await;

        tab.click_in("at most 120 calls in 60s", "Pause").await;
        tab.sees("It is paused. What is under way is finished; new leads wait.").await;
        tab.sees("Paused by start token").await;
        // What was under way comes to its end, and then nothing more is said to the CRM.
        let mut calls = rig.stats().calls_total;
        until("it is quiet", async || {
            sleep(Duration::from_secs(6)).await;
            let before = std::mem::replace(&mut calls, rig.stats().calls_total);
            before == calls
        })
        .await;
        let waits = rig.app().store.waiting("crm").await.unwrap().open.count;
        assert!(waits > 0, "it was paused in the middle");
        let late: Vec<Value> = (14..18).map(|human| lead(human, start + human)).collect();
        rig.post_all(&late, 4).await;
        let leads = format!("{}\u{a0}leads", waits + 4);
        tab.sees_in_time(&leads).await;
        sleep(Duration::from_secs(4)).await;
        assert_eq!(rig.stats().calls_total, calls, "a paused destination is left alone");

        tab.click_in("at most 120 calls in 60s", "Resume").await;
        tab.sees("It goes on.").await;
        rig.settle().await;
        tab.sees_in_time("0\u{a0}leads").await;
        let stats = rig.stats();
        assert_eq!((stats.contacts, stats.deals, stats.tasks), (18, 18, 0), "{stats:?}");

        // Who got how many is told, and nobody is forgotten.
        let got = texts(&tab, "section[aria-label=sales] td[data-name='In total']").await;
        let got: Vec<i64> = got.iter().map(|text| number(text)).collect();
        assert_eq!((got.len(), got.iter().sum::<i64>()), (3, 18), "{got:?}");
        assert!(got.iter().all(|count| *count > 0), "in turn: {got:?}");

        // Somebody blocks the bot.
        let mut gone = lead(3, start + 60_000);
        gone[0]["title"] = json!("bot_block");
        assert_eq!(rig.post(&gone).await, 200);
        rig.settle().await;
        let chats = async || {
            tab.reload().await;
            let cell = async |name: &str| {
                texts(&tab, &format!("section[aria-label=chat_bot] td[data-name={name}]")).await.concat()
            };
            (cell("Live").await, cell("Blocked").await)
        };
        until("one chat is blocked", async || chats().await == ("17".to_owned(), "1".to_owned())).await;
        assert_eq!(tab.complaints().await, Vec::<String>::new());
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_told_where_it_goes_wrong() {
    let rig = rig("timeout: 500ms, settle: 700ms").await;
    let account = json!({
        "users": [{ "id": "anna" }, { "id": "borys" }, { "id": "dana" }],
        "pipelines": [{ "name": "Main", "stages": ["New", "Won"] }],
    });
    rig.sandbox.set_account(Some(serde_json::from_value(account).unwrap()));
    for human in 0..3 {
        assert_eq!(rig.post(&lead(human, now_millis())).await, 200);
    }
    rig.settle().await;
    if let Some(tab) = Tab::signed_in(&rig).await {
        tab.click("Destinations").await;
        tab.sees("Last errors").await;
        tab.sees("needs attention").await;
        tab.sees("3\u{a0}leads").await;
        tab.sees("no field `telegram_chat`").await;
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_overview_agrees_with_what_was_posted() {
    let rig = rig("timeout: 500ms, settle: 700ms").await;
    if let Some(tab) = Tab::signed_in(&rig).await {
        tab.click("Overview").await;
        tab.sees("No lead has come in this time.").await;
        // Nine people; four of them come again later, and six requests are sent twice or three times.
        let start = now_millis();
        let first: Vec<Value> = (0..9).map(|human| lead(human, start + human)).collect();
        rig.post_all(&first, 9).await;
        rig.settle().await;
        let again: Vec<Value> = (0..4)
            .map(|human| {
                let mut again = lead(human, start + 120_000 + human);
                again[0]["contact"]["last_message"] = json!("Ще раз добрий день");
                again
            })
            .collect();
        rig.post_all(&again, 1).await;
        rig.settle().await;
        rig.post_all(&[&first[..3], &again[..2], &first[..1]].concat(), 6).await;
        rig.settle().await;
        tab.reload().await;
        tab.sees("new leads").await;
        let numbers = texts(&tab, "ul.numbers li").await;
        let told: Vec<i64> = numbers.iter().map(|text| number(text)).collect();
        // Leads, contacts, deals, redeliveries, contacts found, tasks instead of deals.
        assert_eq!(told, [13, 9, 9, 6, 4, 4], "{numbers:?}");
        let stats = rig.stats();
        assert_eq!((stats.contacts, stats.deals, stats.tasks), (9, 9, 4), "{stats:?}");
        for words in ["Half within (p50)", "95 of 100 within (p95)", "Brought there"] {
            tab.sees(words).await;
        }
        let of = async |name: &str| texts(&tab, &format!("td[data-name='{name}']")).await.concat();
        assert_eq!(
            (of("Brought there").await, of("Needs attention").await),
            ("13".to_owned(), "0".to_owned())
        );
        assert_eq!(of("Leads").await, "13");
        assert!(!of("p50").await.is_empty() && !of("p95").await.is_empty());

        // The chart is there for those who do not see it.
        let chart = "const chart = document.querySelector('main svg'); \
                     return [chart.getAttribute('role'), chart.getAttribute('aria-label') || chart.querySelector('title').textContent]";
        let chart = tab.run(chart, json!([])).await;
        assert_eq!(chart[0], "img", "{chart}");
        assert!(chart[1].as_str().unwrap().contains("New leads by source"), "{chart}");
        tab.click("The same in numbers").await;
        let rows = texts(&tab, "details[open] tbody td:last-child").await;
        let sum: i64 = rows.iter().filter_map(|text| text.parse::<i64>().ok()).sum();
        assert_eq!(sum, 13, "{rows:?}");
        tab.keep_picture("story-overview").await;
        for range in ["7 days", "30 days"] {
            tab.click(range).await;
            tab.sees("new leads").await;
            assert_eq!(number(&texts(&tab, "ul.numbers li").await[0]), 13, "{range}");
        }
        assert_eq!(tab.complaints().await, Vec::<String>::new());
    }
    rig.end().await;
}
