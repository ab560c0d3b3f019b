//! Lead data that means harm, from the webhook to the CRM. After each piece leadfold goes on working.

use std::fmt::Write as _;

use leadfold::clock::{Clock as _, SystemClock};
use leadfold::sandbox::Faults;
use serde_json::{Value, json};

use crate::postgres::Database;
use crate::rig::{IMPATIENT, MAPPING, Rig, event, now_millis};

const PATH: &str = "/in/sendpulse/demo";

async fn rig() -> Rig {
    let fields = "fields:\n        external: \"{{ contact.variables.external }}\"\n        said: \"{{ contact.variables.said }}\"\n";
    Rig::start_with(Faults::default(), IMPATIENT, &MAPPING.replace("fields:\n", fields)).await
}

/// Posts an ordinary lead, which must arrive like any other.
async fn still_works(rig: Rig) {
    let contacts = rig.stats().contacts;
    assert_eq!(
        rig.post(&event("fine", "telegram", json!({ "phone": "+380509998877" }), now_millis())).await,
        200
    );
    rig.settle().await;
    assert_eq!(rig.stats().contacts, contacts + 1);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_refused_or_kept_as_it_came() {
    let rig = rig().await;
    assert_eq!(rig.post_to(PATH, vec![b'x'; 10_000_000]).await.0, 413);
    assert_eq!(rig.deliveries().await, []);
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    let deep_object = r#"{"a":"#.repeat(10_000) + "1" + &"}".repeat(10_000);
    for (body, why) in [
        (deep.into_bytes(), "nested deeper than 100"),
        (deep_object.into_bytes(), "nested deeper than 100"),
        (vec![0xff, 0xfe, 0x00, 0x7b], "not JSON"),
        (Vec::new(), "empty"),
        (b"null".to_vec(), "neither a list"),
    ] {
        assert_eq!(rig.post_to(PATH, body.clone()).await.0, 200);
        rig.settle().await;
        let (state, said) = rig.deliveries().await.pop().unwrap();
        assert!(state == "unreadable" && said.contains(why), "{state}: {said}");
        let kept = rig.sql("SELECT hex(body) FROM deliveries ORDER BY id DESC LIMIT 1").await;
        let hex = body.iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02X}").unwrap();
            hex
        });
        assert!(kept[0][0] == hex, "the body is kept byte by byte");
    }
    assert_eq!(rig.counts().await.leads, 0);
    still_works(rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_text_reaches_the_crm_as_text() {
    let rig = rig().await;
    let broken = event("odd", "telegram", json!({ "phone": "0671234567" }), now_millis()).to_string();
    let mut body = broken.replace("\"Олена\"", "\"Ол\\u0000ена \\ud83d BYTE\"").into_bytes();
    let at = body.windows(4).position(|window| window == b"BYTE").unwrap();
    body.splice(at..at + 4, [0xff]);
    assert_eq!(rig.post_to(PATH, body).await.0, 200);
    rig.settle().await;
    assert_eq!(rig.contact().await["name"], "Олена \u{fffd} \u{fffd}");
    assert_eq!(rig.found("odd").await[0]["contact"]["name"], "Олена \u{fffd} \u{fffd}");
    still_works(rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_ids_stay_exact_all_the_way() {
    let rig = rig().await;
    for (number, id) in ["9007199254740993", "90071992547409931234567890"].into_iter().enumerate() {
        let at = now_millis() + i64::try_from(number).unwrap();
        let variables =
            json!({ "phone": "0671234567", "external": serde_json::from_str::<Value>(id).unwrap() });
        let mut body = event("odd", "telegram", variables, at);
        body[0]["contact"]["id"] = serde_json::from_str(id).unwrap();
        rig.post(&body).await;
        rig.settle().await;
        assert_eq!(rig.found(id).await.len(), number + 1, "a chat id beyond 2^53 is that very id");
    }
    // The first one stays (`only_empty`), digit by digit.
    let contact = rig.contact().await;
    assert!(contact.to_string().contains("9007199254740993"), "{contact}");
    assert_eq!(rig.stats().contacts, 1);
    still_works(rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn data_that_looks_like_a_template_is_only_data() {
    let rig = rig().await;
    let said = "{{ 7*7 }} ${HOME} << contact.id >> {% for x in y %} $.contact {{ vars }} %s {0}";
    let mut body = event("odd", "telegram", json!({ "phone": "0671234567", "said": said }), now_millis());
    body[0]["contact"]["name"] = json!("<script>alert(1)</script> {{ 7*7 }}");
    body[0]["bot"]["name"] = json!("\"><img src=x onerror=alert(1)> << title >>");
    rig.post(&body).await;
    rig.settle().await;
    let contact = rig.contact().await;
    assert_eq!(contact["fields"]["said"], said);
    assert_eq!(contact["name"], "<script>alert(1)</script> {{ 7*7 }}");
    let page = rig.sandbox_page().await;
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt; {{ 7*7 }}"), "{page}");
    assert!(page.contains("&lt;img src=x"), "{page}");
    assert!(!page.contains("<script>alert") && !page.contains("<img"), "{page}");
    still_works(rig).await;
}

/// A database refuses what does not fit into its index, for ever.
async fn ids_that_no_index_holds_stop_nobody(postgres: Option<Database>) {
    let identifiers =
        "identifiers: { external_customer: { shop: \"{{ contact.variables.external }}\" } }\n    contact:\n";
    let mapping = MAPPING.replacen("contact:\n", identifiers, 1);
    let mut rig = Rig::prepare(Faults::default(), IMPATIENT, &mapping).await;
    rig.postgres = postgres;
    rig.boot().await;
    // Nothing that could be compressed.
    let long: String = (0..200).map(|_| SystemClock.new_id().simple().to_string()).collect();
    let mut body = event("odd", "telegram", json!({ "phone": "0671234567", "external": long }), now_millis());
    body[0]["bot"]["id"] = json!(long);
    body[0]["service"] = json!(long);
    assert_eq!(rig.post(&body).await, 200);
    rig.settle().await;
    let counts = rig.counts().await;
    assert_eq!((counts.leads, counts.synced, counts.unreadable), (1, 1, 0), "{counts:?}");
    let lead = rig.found("0671234567").await[0]["id"].as_str().unwrap().to_owned();
    let flaws = rig.json(&format!("/api/leads/{lead}")).await["lead"]["flaws"].clone();
    let codes: Vec<&str> =
        flaws.as_array().unwrap().iter().filter_map(|flaw| flaw["code"].as_str()).collect();
    assert!(codes.contains(&"text_too_long"), "{flaws}");
    still_works(rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_no_index_holds_stop_nobody_on_sqlite() {
    ids_that_no_index_holds_stop_nobody(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_no_index_holds_stop_nobody_on_postgres() {
    let Some(database) = Database::create().await else { return };
    ids_that_no_index_holds_stop_nobody(Some(database)).await;
}
