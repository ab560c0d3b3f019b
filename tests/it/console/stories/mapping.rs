//! Somebody changes a mapping: breaks it and is told where, is helped with names, rehearses, saves, and the next lead goes so.

use leadfold::sandbox::Faults;
use serde_json::json;

use super::lead::{account, deals};
use crate::console::TOKEN;
use crate::console::webdriver::Tab;
use crate::rig::{IMPATIENT, MAPPING, Rig, event, now_millis, until};

const TEXT: &str = "Text of sendpulse.yaml";
const ARROW_DOWN: &str = "\u{e015}";
const ENTER: &str = "\u{e007}";

/// A leadfold whose CRM knows what it has.
async fn rig() -> Rig {
    let mut rig = Rig::prepare(Faults::default(), IMPATIENT, MAPPING).await;
    rig.token = Some(TOKEN);
    rig.sandbox.set_account(Some(account(&["New", "Hot", "Hotter"])));
    rig.boot().await;
    rig
}

/// Marks the first occurrence in the text, as a drag of the mouse does, so that what is typed next comes in its place.
async fn mark(tab: &Tab, what: &str) {
    let script = "const text = document.querySelector('#text'); const at = text.value.indexOf(arguments[0]); \
                  text.focus(); text.setSelectionRange(at, at + arguments[0].length); return at";
    let at = tab.run(script, json!([what])).await;
    assert!(at.as_i64().unwrap() >= 0, "the text has no {what}");
}

/// Types where the caret is, key by key.
async fn type_keys(tab: &Tab, text: &str) {
    for letter in text.chars() {
        tab.press(&letter.to_string()).await;
    }
}

async fn text(tab: &Tab) -> String {
    tab.value(TEXT).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mapping_is_broken_mended_rehearsed_and_saved() {
    let rig = rig().await;
    let mut lead = event("c1", "telegram", json!({ "phone": "0671234567", "city": "Київ" }), now_millis());
    assert_eq!(rig.post(&lead).await, 200);
    lead = event("c2", "telegram", json!({ "phone": "0671234568", "city": "Львів" }), now_millis() + 1);
    assert_eq!(rig.post(&lead).await, 200);
    rig.settle().await;
    if let Some(tab) = Tab::signed_in(&rig).await {
        tab.click("Mappings").await;
        tab.click("sendpulse.yaml").await;
        tab.click("Edit").await;
        tab.sees("Completion comes as you type").await;
        tab.run("window.same = true", json!([])).await;

        // What is broken is told at its line, by itself.
        mark(&tab, "owners: sales").await;
        type_keys(&tab, "owners: salse").await;
        tab.press("\u{e00c}").await;
        tab.sees("did you mean `sales`?").await;
        tab.sees("line 7:").await;
        let wrong = "return [...document.querySelectorAll('.gutter .wrong')].map((line) => line.textContent)";
        assert_eq!(tab.run(wrong, json!([])).await, json!(["7"]));
        tab.keep_picture("story-mapping-broken").await;
        tab.click_on("//*[@id='verdict']//a[starts-with(., 'line 7')]").await;
        let line = "const text = document.activeElement; return text.value.slice(0, text.selectionStart).split('\\n').length";
        assert_eq!(tab.run(line, json!([])).await, json!(7), "the caret goes to its line");
        mark(&tab, "salse").await;
        type_keys(&tab, "sales").await;
        tab.press("\u{e00c}").await;
        tab.sees("Nothing is wrong").await;
        tab.sees("Nothing is changed yet.").await;

        // A placeholder from what has come, and a stage from the CRM: by keyboard alone.
        mark(&tab, "Lead from {{ bot.name }}").await;
        type_keys(&tab, "Lead from {{ city").await;
        tab.sees("contact.variables.city").await;
        tab.press(ENTER).await;
        type_keys(&tab, " }}").await;
        assert!(
            text(&tab).await.contains("title: \"Lead from {{ contact.variables.city }}\""),
            "{}",
            text(&tab).await
        );
        mark(&tab, "stage: New").await;
        type_keys(&tab, "stage: ho").await;
        tab.sees("Hotter").await;
        tab.keep_picture("story-mapping-completion").await;
        tab.press(ARROW_DOWN).await;
        tab.press(ENTER).await;
        assert!(text(&tab).await.contains("stage: Hotter }"), "{}", text(&tab).await);
        tab.sees_no("Nothing is changed yet.").await;
        tab.sees("Nothing is wrong").await;
        assert_eq!(tab.run("return window.same", json!([])).await, json!(true), "all that on one page");

        // Rehearsed: only what differs is told.
        tab.click("Rehearse").await;
        tab.sees("leads would change").await;
        let table = "return [...document.querySelectorAll('.changes [data-name=What]')].map((cell) => cell.firstChild.textContent.trim())";
        let mut places: Vec<String> = serde_json::from_value(tab.run(table, json!([])).await).unwrap();
        places.sort();
        places.dedup();
        assert_eq!(places, ["deal.stage", "deal.title"]);
        let said = tab.text().await.unwrap();
        assert!(said.contains("Lead from Polynia Shop") && said.contains("Hotter"), "{said}");
        assert!(said.contains("Lead from Львів") || said.contains("Lead from Київ"), "{said}");
        tab.keep_picture("story-mapping-rehearsed").await;
        assert_eq!(deals(&rig).len(), 2, "a rehearsal writes nothing");

        tab.click("Save").await;
        tab.sees("Saved.").await;
        tab.sees("stage: Hotter").await;
        // Every process takes it up within a second or two, as the page says.
        let mut number = 0;
        until("leads go by it", async || {
            number += 1;
            let variables = json!({ "phone": format!("067765{number:04}"), "city": "Одеса" });
            let lead = event(&format!("n{number}"), "telegram", variables, now_millis());
            assert_eq!(rig.post(&lead).await, 200);
            rig.settle().await;
            deals(&rig).iter().any(|deal| deal == "Lead from Одеса in Hotter")
        })
        .await;
        assert_eq!(tab.complaints().await, Vec::<String>::new());
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_the_account_are_offered_and_the_list_can_be_left() {
    let rig = rig().await;
    if let Some(tab) = Tab::signed_in(&rig).await {
        tab.go("/mappings/sendpulse.yaml/edit").await;
        tab.sees("Completion comes as you type").await;
        let offered = "return [...document.querySelectorAll('.words:not([hidden]) li')].map((word) => word.firstChild.data)";
        let offers = async |typed: &str, names: &[&str]| {
            until(&format!("{typed} offers {names:?}"), async || {
                tab.run(offered, json!([])).await == json!(names)
            })
            .await;
        };
        mark(&tab, "owners: sales").await;
        type_keys(&tab, "owners: a").await;
        until("a user is offered", async || {
            tab.run(offered, json!([])).await.as_array().unwrap().contains(&json!("anna"))
        })
        .await;
        // Escape leaves it, and Enter is a new line again.
        tab.press("\u{e00c}").await;
        offers("Escape", &[]).await;
        tab.press(ENTER).await;
        assert!(text(&tab).await.contains("owners: a\n\n"), "{}", text(&tab).await);
        mark(&tab, "owners: a\n").await;
        type_keys(&tab, "owners: sal").await;
        offers("sal", &["sales"]).await;
        tab.press("\u{e004}").await;
        assert!(text(&tab).await.contains("owners: sales\n"), "{}", text(&tab).await);
        mark(&tab, "telegram_chat").await;
        type_keys(&tab, "viber").await;
        offers("viber", &["viber_chat"]).await;
        tab.press("\u{e00c}").await;
        // Whoever leaves with something typed is asked.
        let unsaved = "const event = new Event('beforeunload', { cancelable: true }); dispatchEvent(event); return event.defaultPrevented";
        assert_eq!(tab.run(unsaved, json!([])).await, json!(true));
        tab.click("Check").await;
        let is_checked = "return 'unsaved' in document.querySelector('[data-editor]').dataset";
        until("it is checked", async || {
            tab.try_run(is_checked, json!([])).await.is_ok_and(|is_checked| is_checked == json!(true))
        })
        .await;
        assert_eq!(tab.run(unsaved, json!([])).await, json!(true), "also after it was checked");
    }
    rig.end().await;
}
