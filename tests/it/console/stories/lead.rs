//! Somebody reads why a lead went where it did, or did not, and brings it once more.

use leadfold::sandbox::{Faults, SandboxAccount, SandboxPipeline, SandboxUser};
use serde_json::json;

use crate::console::TOKEN;
use crate::console::webdriver::Tab;
use crate::rig::{IMPATIENT, MAPPING, Rig, event, now_millis, until};

/// Of the source, which must be in no page.
const HOOK: &str = "hook-s3cret-of-the-source";

/// An account that has just one stage, which no mapping of the test names at first.
pub(super) fn account(stages: &[&str]) -> SandboxAccount {
    let user = |name: &str| SandboxUser { id: name.to_owned(), name: None, active: true };
    SandboxAccount {
        users: ["anna", "borys", "dana"].map(user).to_vec(),
        pipelines: vec![SandboxPipeline {
            name: "Main".to_owned(),
            stages: stages.iter().map(|stage| (*stage).to_owned()).collect(),
        }],
        contact_fields: ["telegram_chat", "instagram_chat", "viber_chat"].map(str::to_owned).to_vec(),
        deal_fields: Vec::new(),
    }
}

/// What the CRM has.
pub(super) fn deals(rig: &Rig) -> Vec<String> {
    let deals = rig.sandbox.holdings().deals.into_iter();
    deals.map(|deal| format!("{} in {}", deal.title.unwrap(), deal.stage.unwrap_or_default())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_lead_is_understood_and_brought() {
    let mapping = MAPPING.replace("token: demo", &format!("token: \"{HOOK}\""));
    let mut rig = Rig::prepare(Faults::default(), IMPATIENT, &mapping).await;
    rig.token = Some(TOKEN);
    rig.sandbox.set_account(Some(account(&["Hot"])));
    rig.boot().await;
    let lead = event("c1", "telegram", json!({ "phone": "067 123 45 67" }), now_millis());
    assert_eq!(rig.post_to(&format!("/in/sendpulse/{HOOK}"), lead.to_string()).await.0, 200);
    rig.settle().await;
    if let Some(tab) = Tab::signed_in(&rig).await {
        tab.go("/?state=needs-attention").await;
        tab.click("Олена").await;
        // The whole way, with the CRM's own words and what to do.
        for said in [
            "needs attention",
            "Received",
            "Mapped",
            "Normalised",
            "Who",
            "To crm",
            "Why",
            "Steps",
            "Create contact",
            "Create deal",
            "+380671234567",
            "067 123 45 67",
            "there is no stage `New` in pipeline `Main`",
            "which is today’s",
            "answered after",
        ] {
            tab.sees(said).await;
        }
        let page = tab.path().await;
        assert!(tab.text().await.unwrap().contains("Resume…"), "what can be done is offered");
        assert!(deals(&rig).is_empty());

        // The mapping is mended elsewhere; the page tells what has changed.
        rig.edit("sendpulse.yaml", "stage: New", "stage: Hot");
        rig.save();
        until("the page tells of today's mapping", async || {
            tab.go(&page).await;
            tab.text().await.is_ok_and(|text| text.contains("what has changed since"))
        })
        .await;
        tab.click("what has changed since").await;
        tab.sees("stage: Hot").await;
        tab.sees("stage: New").await;
        assert!(!tab.source().await.contains(HOOK));
        tab.back().await;

        // Planned again: what it becomes is shown first, and nothing is done by looking.
        tab.click("Plan again…").await;
        tab.sees("- deal.stage: New").await;
        tab.sees("+ deal.stage: Hot").await;
        assert!(deals(&rig).is_empty());
        tab.click("Leave it").await;
        tab.sees("needs attention").await;
        tab.click("Plan again…").await;
        tab.click("Plan again").await;
        tab.sees("It is planned again.").await;
        until("it is told as done", async || {
            tab.go(&page).await;
            tab.text().await.is_ok_and(|text| text.contains("done → crm"))
        })
        .await;
        assert_eq!(deals(&rig), ["Lead from Polynia Shop in Hot"]);
        tab.sees("which is today’s").await;
        let source = tab.source().await;
        assert!(!source.contains(HOOK), "the token of its source is in no page");

        // Forced: the second deal is warned of, and made once.
        tab.click("Force…").await;
        tab.sees("they will have two open deals").await;
        tab.click("Force").await;
        tab.sees("Its deal is being made.").await;
        rig.settle().await;
        assert_eq!(deals(&rig).len(), 2);
        assert_eq!(rig.sandbox.holdings().contacts.len(), 1);
        tab.go(&page).await;
        tab.sees("Steps of earlier plans").await;
        tab.keep_picture("story-lead").await;

        // The request itself is shown as it came, without what opens our own door.
        tab.click("the request as it came").await;
        tab.sees("Click a value").await;
        assert!(!tab.source().await.contains(HOOK));
        assert_eq!(tab.complaints().await, Vec::<String>::new());
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_waits_for_a_crm_that_is_away_and_says_so() {
    let rig = crate::console::rig().await;
    rig.sandbox.set_faults(Faults { fail_before: 1.0, ..Faults::default() });
    assert_eq!(rig.post(&event("c1", "telegram", json!({ "phone": "0671234567" }), now_millis())).await, 200);
    if let Some(tab) = Tab::signed_in(&rig).await {
        tab.go("/").await;
        tab.sees("Олена").await;
        tab.click("Олена").await;
        until("the page says that it waits, and until when", async || {
            tab.reload().await;
            tab.text().await.is_ok_and(|text| {
                text.contains("Looked at again at") && text.contains("the CRM answered 500")
            })
        })
        .await;
        let page = tab.path().await;
        tab.keep_picture("story-lead-waits").await;
        rig.sandbox.set_faults(Faults::default());
        until("it goes by itself", async || {
            tab.go(&page).await;
            tab.text().await.is_ok_and(|text| text.contains("done → crm"))
        })
        .await;
        assert_eq!(deals(&rig).len(), 1);
    }
    rig.sandbox.set_faults(Faults::default());
    rig.settle().await;
    rig.end().await;
}
