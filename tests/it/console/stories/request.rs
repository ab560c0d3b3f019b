//! Somebody reads a request as it came, takes a placeholder from it, and goes from a redelivery to its first and back.

use serde_json::json;

use crate::console::rig;
use crate::console::webdriver::Tab;
use crate::rig::{event, now_millis};

/// Control and V, as a keyboard sends them.
const PASTE: &str = "\u{e009}v\u{e009}";

#[tokio::test(flavor = "multi_thread")]
async fn a_value_of_a_request_gives_its_placeholder() {
    let rig = rig().await;
    let variables =
        json!({ "phone": "0674185206", "Ваш телефон": "0501112233", "items": [{ "sku": "A-7" }] });
    let lead = event("c1", "telegram", variables, now_millis());
    for _ in 0..2 {
        assert_eq!(rig.post(&lead).await, 200);
        rig.settle().await;
    }
    if let Some(tab) = Tab::signed_in(&rig).await {
        tab.go("/?q=0674185206").await;
        tab.click("Олена").await;
        tab.click("the request as it came").await;
        tab.sees("Click a value").await;
        let request = tab.path().await;
        for (value, placeholder) in [
            ("0674185206", "{{ contact.variables.phone }}"),
            ("0501112233", "{{ contact.variables['Ваш телефон'] }}"),
            ("A-7", "{{ contact.variables.items[0].sku }}"),
            ("Polynia Shop", "{{ bot.name }}"),
        ] {
            tab.click(value).await;
            tab.sees(&format!("Copied: {placeholder}")).await;
        }
        // What was copied last is what a paste brings, where a mapping is written.
        tab.go("/").await;
        tab.type_into("Find", PASTE).await;
        assert_eq!(tab.value("Find").await, "{{ bot.name }}");

        // By keyboard, and whole as it came.
        tab.go(&request).await;
        tab.run("document.querySelector('[data-copy=\"{{ contact.name }}\"]').focus()", json!([])).await;
        tab.press("\u{e007}").await;
        tab.sees("Copied: {{ contact.name }}").await;
        tab.click("The body as it came").await;
        tab.sees("\"external_id\":\"1\"").await;

        // From the first request to the redelivery, and back.
        tab.sees("It came again:").await;
        tab.click_on("//p[contains(., 'It came again')]/a").await;
        tab.sees("It had come before, so it was counted once:").await;
        let redelivery = tab.path().await;
        assert_ne!(redelivery, request);
        tab.click("the first request").await;
        tab.sees("It came again:").await;
        assert_eq!(tab.path().await, request);
        tab.click("Its lead").await;
        tab.sees("The platform sent it again, it was counted once:").await;
        tab.click_on("//p[contains(., 'The platform sent it again')]/a").await;
        tab.sees("It had come before").await;
        assert_eq!(tab.path().await, redelivery);
        assert_eq!(tab.complaints().await, Vec::<String>::new());
    }
    rig.end().await;
}
