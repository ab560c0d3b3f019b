//! Somebody connects a new source: from its preset to its first lead in the CRM.

use serde_json::json;

use super::lead::deals;
use crate::console::rig;
use crate::console::webdriver::Tab;
use crate::rig::until;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_source_brings_its_first_lead() {
    let rig = rig().await;
    if let Some(tab) = Tab::signed_in(&rig).await {
        tab.click("Mappings").await;
        tab.click("New source").await;
        tab.click_on("//label[.//strong='json']").await;
        tab.fill("Name", "shop").await;
        tab.choose("Who takes them?", "sales").await;
        tab.click("Make the address").await;
        tab.sees("Waiting for the first delivery").await;
        tab.keep_picture("story-wizard-waits").await;
        let address = tab.run("return document.querySelector('.address').innerText", json!([])).await;
        let address = address.as_str().unwrap().strip_prefix(&rig.url("")).unwrap().to_owned();

        // What comes while the page waits is shown on it.
        let body =
            json!({ "client": { "full name": "Олена Пчілка", "tel": "067 123 45 67" }, "form": "Callback" });
        until("the address answers", async || rig.post_to(&address, body.to_string()).await.0 == 200).await;
        tab.sees("What is what?").await;
        tab.sees("Олена Пчілка").await;
        assert!(deals(&rig).is_empty(), "nothing becomes of it yet");

        // Said by clicking: a field, then the value that belongs into it.
        for (field, path) in
            [("Name", "client['full name']"), ("Phone", "client.tel"), ("In the deal's title", "form")]
        {
            tab.fill(field, "").await;
            tab.click_on(&format!("//button[@data-value=\"{path}\"]")).await;
            assert_eq!(tab.value(field).await, path);
        }
        tab.keep_picture("story-wizard-picks").await;
        tab.click("See what it becomes").await;
        tab.sees("1\u{a0}lead would change").await;
        tab.sees("+380671234567").await;
        tab.sees("create contact, create deal").await;
        tab.keep_picture("story-wizard-becomes").await;
        tab.click("Save").await;
        tab.sees("Saved.").await;
        until("it is in the CRM", async || !deals(&rig).is_empty()).await;
        rig.settle().await;
        assert_eq!(rig.sandbox.holdings().contacts[0].name.as_deref(), Some("Олена Пчілка"));
        tab.go("/").await;
        tab.sees("Олена Пчілка").await;
        assert_eq!(tab.complaints().await, Vec::<String>::new());
    }
    rig.end().await;
}
