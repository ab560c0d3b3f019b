//! From a webhook through mapping and outbox to the stand-ins: what the workspace says is what arrives, once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use leadfold::sandbox::Faults;
use serde_json::{Value, json};

use super::stand_in::{Request, StandIn};
use super::{SECRET, says};
use crate::rig::Rig;

const DEVICE: &str = "1f9c7c0e-5d0b-4a0e-9c2d-5b7a3a6c9e10";

/// A leadfold with one bot and one mapping, at `/in/start/demo`.
async fn started(bot: &str, mapping: &str) -> Rig {
    let mut rig = Rig::prepare(Faults::default(), "", "").await;
    let workspace = rig.files.0.get_mut("workspace.yaml").unwrap();
    *workspace = workspace.replace("owner_pools:", &format!("{bot}\nowner_pools:"));
    rig.files.0.remove("sendpulse.yaml");
    rig.files.0.insert("start.yaml".to_owned(), mapping.to_owned());
    rig.boot().await;
    rig
}

async fn post(rig: &Rig, body: &Value) {
    let (status, answer) = rig.post_to("/in/start/demo", body.to_string()).await;
    assert_eq!(status, 200, "{answer}");
}

/// Both links of the document write into one variable of the bot, and a shared phone into another.
const AUTHORISATIONS: &str = r#"
source: { preset: json, token: demo }
leads:
  - name: from the site
    when: "{{ '-' in mindboxid }}"
    calls: [ { to: mindbox, run: { operation: by_device, device: "{{ mindboxid }}", values: { platform_id: "{{ id }}" } } } ]
  - name: from a letter
    when: "{{ mindboxid is not none }}"
    calls: [ { to: mindbox, run: { operation: by_link, values: { mindbox_id: "{{ mindboxid }}", platform_id: "{{ id }}" } } } ]
  - name: by phone
    contact: { phone: "{{ contact }}" }
    phone: { regions: [KZ] }
    calls: [ { to: mindbox, run: { operation: by_phone, values: { phone: "{{ lead.phone.e164 }}", platform_id: "{{ id }}" } } } ]
"#;

#[tokio::test]
async fn three_ways_into_mindbox() {
    let lost = Arc::new(AtomicUsize::new(0));
    let once = Arc::clone(&lost);
    let server = StandIn::start(move |_| {
        // The first answer of all gets lost behind a gateway.
        let status = if once.fetch_add(1, Ordering::SeqCst) == 0 { 502 } else { 200 };
        says(status, json!({ "status": "Success" }))
    })
    .await;
    let bot = format!(
        r#"  mindbox:
    bot: mindbox
    endpoint_id: Polynia.Telegram
    secret_key: {SECRET}
    url: {}
    settle: 50ms
    operations:
      by_link:
        name: Telegram.AuthorizeByMindboxId
        needs: [mindbox_id, platform_id]
        body: {{ customer: {{ ids: {{ mindboxId: "{{{{ mindbox_id }}}}" }}, customFields: {{ platformID: "{{{{ platform_id }}}}" }} }} }}
      by_device:
        name: Telegram.AuthorizeByDevice
        needs: [platform_id]
        body: {{ customer: {{ customFields: {{ platformID: "{{{{ platform_id }}}}" }} }} }}
      by_phone:
        name: Telegram.AuthorizeByPhone
        needs: [phone, platform_id]
        body: {{ customer: {{ mobilePhone: "{{{{ phone }}}}", customFields: {{ platformID: "{{{{ platform_id }}}}" }} }} }}
"#,
        server.url()
    );
    let rig = started(&bot, AUTHORISATIONS).await;
    post(&rig, &json!({ "id": "700000101", "mindboxid": "900000417" })).await;
    post(&rig, &json!({ "id": "700000102", "mindboxid": DEVICE })).await;
    post(&rig, &json!({ "id": "700000103", "contact": "8 701 000-00-01" })).await;
    rig.settle().await;
    let counts = rig.counts().await;
    assert_eq!((counts.synced, counts.needs_attention), (3, 0), "{counts:?}");
    let seen = server.requests();
    assert_eq!(seen.len(), 4, "one was sent again");
    let of = |name: &str| {
        let ours = |seen: &&Request| seen.pairs().contains(&("operation".to_owned(), name.to_owned()));
        let calls: Vec<&Request> = seen.iter().filter(ours).collect();
        let first = calls[0];
        assert!(
            calls.iter().all(|call| (&call.query, &call.body) == (&first.query, &first.body)),
            "{calls:?}"
        );
        (first.json(), first.pairs())
    };
    let fields = |id: &str| json!({ "platformID": id });
    let (body, _) = of("Telegram.AuthorizeByMindboxId");
    assert_eq!(
        body,
        json!({ "customer": { "ids": { "mindboxId": "900000417" }, "customFields": fields("700000101") } })
    );
    let (body, query) = of("Telegram.AuthorizeByDevice");
    assert_eq!(body, json!({ "customer": { "customFields": fields("700000102") } }));
    assert!(query.contains(&("deviceUUID".to_owned(), DEVICE.to_owned())));
    let (body, _) = of("Telegram.AuthorizeByPhone");
    assert_eq!(
        body,
        json!({ "customer": { "mobilePhone": "+77010000001", "customFields": fields("700000103") } })
    );
    rig.end().await;
}

const SUBSCRIBERS: &str = r#"
source: { preset: json, token: demo }
leads:
  - name: all
    contact: { email: "{{ email }}" }
    calls: [ { to: esputnik, upsert_contact: { email: "{{ lead.email }}", firstName: "{{ name }}" } } ]
"#;

#[tokio::test]
async fn contacts_wait_for_their_import_and_one_fails_alone() {
    let asked = AtomicUsize::new(0);
    let server = StandIn::start(move |seen| {
        if seen.path == "/v1/contacts" {
            return says(200, json!({ "asyncSessionId": "s" }));
        }
        let ended = asked.fetch_add(1, Ordering::SeqCst) > 0;
        let failed = json!([{ "channels": [{ "type": "email", "value": "person3@example.com" }] }]);
        says(200, json!({ "status": if ended { "FINISHED" } else { "IMPORTING" }, "failedContacts": failed }))
    })
    .await;
    let bot = |mode| {
        format!("  esputnik: {{ bot: esputnik, url: \"{}\", api_key: {SECRET}, mode: {mode} }}", server.url())
    };
    let mut rig = started(&bot("paused"), SUBSCRIBERS).await;
    for number in 0..8 {
        post(&rig, &json!({ "email": format!("person{number}@example.com"), "name": "Olena" })).await;
    }
    crate::rig::until("all are mapped", async || rig.counts().await.open == 8).await;
    rig.edit("workspace.yaml", "mode: paused", "mode: live");
    rig.restart().await;
    rig.settle().await;
    let counts = rig.counts().await;
    assert_eq!((counts.synced, counts.needs_attention), (7, 1), "{counts:?}");
    let imports: Vec<usize> = server
        .requests()
        .iter()
        .filter(|seen| seen.method == "POST")
        .filter_map(|seen| Some(seen.json()["contacts"].as_array()?.len()))
        .collect();
    assert_eq!(imports, [8], "all at once, and nobody twice");
    let failed = rig.found("person3@example.com").await;
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert!(failed[0].to_string().contains("could not take this contact"), "{failed:?}");
    rig.end().await;
}
