//! Somebody comes, signs in, chooses a language and leaves.

use leadfold::access::Role;
use leadfold::sandbox::Faults;
use serde_json::json;

use crate::console::webdriver::Tab;
use crate::console::{PASSWORD, TOKEN, add_user, rig};
use crate::rig::{IMPATIENT, Rig, event, now_millis};

async fn with_olena() -> Rig {
    let rig = rig().await;
    add_user(&rig, "olena", Role::Operator).await;
    rig
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_signs_in_and_out() {
    let rig = with_olena().await;
    if let Some(tab) = Tab::open(&rig).await {
        tab.go("/").await;
        tab.fill("Name", "olena").await;
        tab.fill("Password", "wrong").await;
        tab.click("Sign in").await;
        tab.sees("Name, password or token is wrong.").await;
        tab.fill("Name", "Olena").await;
        tab.fill("Password", PASSWORD).await;
        tab.press_enter("Password").await;
        tab.sees("olena · operator").await;
        assert_eq!(tab.path().await, "/");
        tab.click("Sign out").await;
        tab.sees("With a token").await;
        tab.back().await;
        tab.sees("With a token").await;
        assert!(!tab.text().await.unwrap().contains("olena"), "the page before is not kept");
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_comes_with_a_token_to_the_page_they_were_sent() {
    let rig = rig().await;
    if let Some(tab) = Tab::open(&rig).await {
        tab.go("/?before=7").await;
        tab.click("With a token").await;
        tab.fill("Token", "guess").await;
        tab.press_enter("Token").await;
        tab.sees("Name, password or token is wrong.").await;
        tab.click("With a token").await;
        tab.fill("Token", TOKEN).await;
        tab.press_enter("Token").await;
        tab.sees("start token · admin").await;
        assert_eq!(tab.path().await, "/?before=7");
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_language_stays_as_it_was_chosen() {
    let rig = rig().await;
    if let Some(tab) = Tab::open(&rig).await {
        tab.go("/?before=7").await;
        tab.click("Українська").await;
        tab.sees("Вхід").await;
        tab.click("З токеном").await;
        tab.fill("Токен", TOKEN).await;
        tab.press_enter("Токен").await;
        tab.sees("Реєстр").await;
        tab.click("English").await;
        tab.sees("Registry").await;
        assert_eq!(tab.path().await, "/?before=7", "one stays where one was");
        tab.reload().await;
        tab.sees("Registry").await;
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_asks_nobody_who_they_are() {
    let rig = Rig::start(Faults::default(), IMPATIENT).await;
    if let Some(tab) = Tab::open(&rig).await {
        tab.devtools("Emulation.setTimezoneOverride", json!({ "timezoneId": "Europe/Kyiv" })).await;
        tab.go("/").await;
        tab.sees("demo · admin").await;
        assert!(!tab.text().await.unwrap().contains("Sign out"));
        tab.reload().await;
        tab.sees("Times are in Europe/Kyiv").await;
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_can_be_read_without_javascript() {
    let rig = with_olena().await;
    assert_eq!(rig.post(&event("1", "telegram", json!({ "phone": "0671234567" }), now_millis())).await, 200);
    rig.settle().await;
    if let Some(tab) = Tab::open(&rig).await {
        tab.devtools("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await;
        tab.go("/").await;
        tab.fill("Name", "olena").await;
        tab.fill("Password", PASSWORD).await;
        tab.click("Sign in").await;
        tab.sees("sendpulse").await;
        tab.sees("Times are in UTC").await;
        tab.click("Sign out").await;
        tab.sees("With a token").await;
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_reaches_the_content() {
    let rig = rig().await;
    if let Some(tab) = Tab::signed_in(&rig).await {
        tab.go("/").await;
        tab.press("\u{e004}").await;
        let focused = "return document.activeElement.innerText || document.activeElement.id";
        assert_eq!(tab.run(focused, json!([])).await, json!("To the content"));
        tab.press("\u{e007}").await;
        let focused = "return document.activeElement.id";
        assert_eq!(tab.run(focused, json!([])).await, json!("content"));
    }
    rig.end().await;
}
