//! From the registry over a lead to its replay with the keyboard alone, and what somebody hears who sees nothing.

use serde_json::{Value, json};

use super::rig;
use super::webdriver::Tab;
use crate::rig::{event, now_millis, until};

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
/// More places to stop at than a page of these tests has.
const MOST_STOPS: usize = 80;

/// Where the focus is: words and whether somebody sees that it is there.
async fn focus(tab: &Tab) -> Value {
    const SCRIPT: &str = "const at = document.activeElement, style = getComputedStyle(at);
        return {
            words: (at.innerText || at.value || at.name || '').trim(),
            seen: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0,
            id: at.id, role: at.getAttribute('role'), body: at === document.body,
        }";
    tab.run(SCRIPT, json!([])).await
}

/// Goes on by Tab to what says this; on the way, every stop is seen.
async fn reach(tab: &Tab, words: &str) {
    let mut stops = Vec::new();
    while stops.len() < MOST_STOPS {
        tab.press(TAB).await;
        let at = focus(tab).await;
        if at["body"] == true {
            // The end of the page, from which browsers begin anew.
            continue;
        }
        assert_eq!(at["seen"], true, "the focus on {at} is not seen");
        if at["words"] == words {
            return;
        }
        stops.push(at["words"].as_str().unwrap_or_default().to_owned());
    }
    panic!("Tab does not lead to '{words}', but to {stops:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_is_enough() {
    let rig = rig().await;
    let mut body = event("1", "telegram", json!({ "phone": "+380671234501" }), now_millis());
    body[0]["contact"]["name"] = json!("Olena Keyboard");
    assert_eq!(rig.post(&body).await, 200);
    rig.settle().await;
    if let Some(tab) = Tab::signed_in(&rig).await {
        tab.go("/").await;
        tab.sees("Olena Keyboard").await;
        tab.press(TAB).await;
        assert_eq!(focus(&tab).await["words"], "To the content", "the first stop leads over the sections");
        tab.press(ENTER).await;
        reach(&tab, "Leads").await;
        assert_eq!(focus(&tab).await["words"], "Leads", "behind the sections");
        reach(&tab, "Olena Keyboard").await;

        // News come while somebody is in the table: the focus stays where it is.
        let mut second = event("2", "telegram", json!({ "phone": "+380671234502" }), now_millis());
        second[0]["contact"]["name"] = json!("Second Person");
        assert_eq!(rig.post(&second).await, 200);
        tab.sees("1 new lead").await;
        assert_eq!(focus(&tab).await["words"], "Olena Keyboard");

        tab.press(ENTER).await;
        tab.sees("Normalised").await;
        reach(&tab, "Plan again…").await;
        tab.press(ENTER).await;
        tab.sees("What today’s mapping makes of it").await;
        reach(&tab, "Plan again").await;
        tab.press(ENTER).await;
        tab.sees("It is planned again.").await;
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_refused_is_told_where_they_are() {
    let rig = rig().await;
    if let Some(tab) = Tab::open(&rig).await {
        tab.go("/sign-in").await;
        tab.fill("Name", "nobody").await;
        tab.fill("Password", "nobody knows this one").await;
        tab.press_enter("Password").await;
        tab.sees("Name, password or token is wrong.").await;
        // The script of a page runs once all of it is there.
        until("the focus is on what is said", async || focus(&tab).await["role"] == "alert").await;
        tab.press(TAB).await;
        assert!(focus(&tab).await["body"] == false, "the fields come next");
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_says_what_it_is_for() {
    let rig = rig().await;
    if let Some(tab) = Tab::signed_in(&rig).await {
        const SCRIPT: &str = "return [...document.querySelectorAll('input:not([type=hidden]):not([hidden]), select, textarea')]
            .filter(field => !field.labels.length && !field.ariaLabel).map(field => field.outerHTML)
            .concat([...document.querySelectorAll('[tabindex]')].filter(each => each.tabIndex > 0).map(each => each.outerHTML))";
        let pages = [
            "/",
            "/deliveries",
            "/people",
            "/attention",
            "/destinations",
            "/overview",
            "/access",
            "/mappings/new",
        ];
        for page in pages {
            tab.go(page).await;
            assert_eq!(tab.run(SCRIPT, json!([])).await, json!([]), "{page}");
        }
    }
    rig.end().await;
}
