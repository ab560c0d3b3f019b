//! `LeadBox`'s page about `SendPulse`, step by step, against the shipped workspace: what it promises happens, and where it
//! says that something is not possible, it is.

use leadfold::sandbox::{Contact, Deal};
use serde_json::{Value, json};

use crate::rig::{Rig, fixture};

const OLENA: &str = "+380674185206";

async fn rig() -> Rig {
    let mut rig = Rig::shipped().await;
    rig.boot().await;
    rig
}

/// The main chain with other rules, as a file of its own: one more webhook.
fn add_chain(rig: &mut Rig, name: &str, from: &str, to: &str) {
    let text = &rig.files.0["sendpulse.yaml"];
    assert!(text.contains(from), "sendpulse.yaml has no {from}");
    let text = text.replace(from, to).split("\ntests:").next().unwrap().to_owned();
    rig.files.0.insert(format!("{name}.yaml"), text);
}

/// An event with other values at these places.
fn with(name: &str, values: &[(&str, Value)]) -> Value {
    let mut body = fixture(&format!("sendpulse/{name}"));
    for (pointer, value) in values {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        body.pointer_mut(&format!("/0{parent}")).unwrap()[key] = value.clone();
    }
    body
}

async fn send(rig: &Rig, source: &str, body: &Value) {
    assert_eq!(rig.post_to(&format!("/in/{source}/demo"), body.to_string()).await.0, 200, "{source}");
    rig.settle().await;
}

fn only_contact(rig: &Rig) -> Contact {
    let mut contacts = rig.sandbox.holdings().contacts;
    assert_eq!(contacts.len(), 1, "{contacts:?}");
    contacts.remove(0)
}

fn only_deal(rig: &Rig) -> Deal {
    let mut deals = rig.sandbox.holdings().deals;
    assert_eq!(deals.len(), 1, "{deals:?}");
    deals.remove(0)
}

/// Puts a contact into the CRM by hand, with or without an open deal. Returns its id.
async fn known(rig: &Rig, contact: Value, deal: Option<Value>) -> Value {
    let id = rig.add_contact(contact).await["id"].clone();
    if let Some(mut deal) = deal {
        deal["contact_id"] = id.clone();
        rig.crm(reqwest::Method::POST, "/deals", Some(deal)).await;
    }
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn step_1_and_2_every_chain_has_a_webhook_of_its_own_and_the_registry_shows_what_came() {
    let mut rig = Rig::shipped().await;
    rig.edit("sendpulse.yaml", "${SENDPULSE_HOOK_TOKEN:-demo}", "one");
    rig.edit("sendpulse-livechat.yaml", "${SENDPULSE_LIVECHAT_HOOK_TOKEN:-demo}", "two");
    rig.edit("sendpulse-trigger.yaml", "${SENDPULSE_TRIGGER_HOOK_TOKEN:-demo}", "three");
    rig.boot().await;
    let test_lead = fixture("sendpulse/01_new_lead_telegram.json");
    let text = test_lead.to_string();
    for (path, status) in [
        ("/in/sendpulse/one", 200),
        ("/in/sendpulse-livechat/two", 200),
        ("/in/sendpulse-trigger/three", 200),
        ("/in/sendpulse/two", 404),
        ("/in/sendpulse-livechat/one", 404),
    ] {
        assert_eq!(rig.post_to(path, text.clone()).await.0, status, "{path}");
    }
    rig.settle().await;
    assert_eq!(rig.counts().await.deliveries, 3, "the same event is a lead of each chain it was sent to");
    // «Вам у вкладку "Реєстр" має прийти такий набір даних, який зручно переглядати у форматі JSON».
    let lead = rig.found(OLENA).await.pop().unwrap();
    let lead = rig.json(&format!("/api/leads/{}", lead["id"].as_str().unwrap())).await;
    let shown: Value = serde_json::from_str(lead["delivery"]["body"].as_str().unwrap()).unwrap();
    assert_eq!(shown, test_lead);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn step_3_2_new_people_are_shared_out_among_the_collection_and_known_ones_keep_their_owner() {
    let rig = rig().await;
    known(&rig, json!({ "name": "Олена", "phones": [OLENA], "owner": "petro" }), None).await;
    for (number, name) in
        ["01_new_lead_telegram.json", "07_email_without_phone.json", "08_invalid_phone.json"]
            .into_iter()
            .enumerate()
    {
        send(&rig, "sendpulse", &fixture(&format!("sendpulse/{name}"))).await;
        assert_eq!(rig.stats().deals, number + 1);
    }
    let owners: Vec<Option<String>> =
        rig.sandbox.holdings().deals.into_iter().map(|deal| deal.owner).collect();
    assert_eq!(owners, [Some("petro".to_owned()), Some("olha".to_owned()), Some("petro".to_owned())]);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn step_3_3_literals_and_placeholders_mix_and_each_messenger_has_a_field_of_its_own() {
    let rig = rig().await;
    for name in ["01_new_lead_telegram.json", "02_same_human_instagram.json", "03_same_human_viber.json"] {
        send(&rig, "sendpulse", &fixture(&format!("sendpulse/{name}"))).await;
    }
    // «один і той самий клієнт … буде мати 3 різні чати (та 3 різні контакти в рамках Sendpulse)»: one contact here.
    let contact = only_contact(&rig);
    assert_eq!((contact.name.as_deref(), contact.phones), (Some("Олена Вигадана"), vec![OLENA.to_owned()]));
    let mut links = Vec::new();
    for messenger in ["telegram", "instagram", "viber"] {
        let link = contact.fields[&format!("{messenger}_chat")].as_str().unwrap().to_owned();
        assert!(
            link.starts_with("https://login.sendpulse.com/messengers/chats/") && !link.contains("{{"),
            "{link}"
        );
        links.push(link);
    }
    links.sort();
    links.dedup();
    assert_eq!(links.len(), 3, "{links:?}");
    let deal = only_deal(&rig);
    assert_eq!(
        (deal.title.as_deref(), deal.pipeline.as_deref(), deal.stage.as_deref()),
        (Some("Заявка з Polynia Shop"), Some("Основна"), Some("Нова"))
    );
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn step_3_4_the_filter_lets_through_what_is_a_lead_and_says_what_stopped_the_rest() {
    let rig = rig().await;
    send(&rig, "sendpulse", &fixture("sendpulse/09_bot_block.json")).await;
    send(&rig, "sendpulse-livechat", &fixture("sendpulse/01_new_lead_telegram.json")).await;
    assert_eq!((rig.counts().await.filtered, rig.stats().contacts), (2, 0));
    for lead in rig.json("/api/leads").await["leads"].as_array().unwrap() {
        assert_eq!(
            (&lead["state"], &lead["why"]["code"]),
            (&json!("filtered"), &json!("no_branch")),
            "{lead}"
        );
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn step_3_5_neither_contact_nor_deal_makes_both() {
    let rig = rig().await;
    send(&rig, "sendpulse", &fixture("sendpulse/01_new_lead_telegram.json")).await;
    let stats = rig.stats();
    assert_eq!((stats.contacts, stats.deals, stats.tasks), (1, 1, 0));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn step_3_5_a_contact_without_deal_gets_a_deal_of_its_owner() {
    let rig = rig().await;
    known(&rig, json!({ "name": "Олена", "phones": [OLENA], "owner": "petro" }), None).await;
    send(&rig, "sendpulse", &fixture("sendpulse/01_new_lead_telegram.json")).await;
    assert_eq!((only_contact(&rig).id, rig.stats().tasks), (only_deal(&rig).contact_id, 0));
    assert_eq!(only_deal(&rig).owner.as_deref(), Some("petro"));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn step_3_5_a_contact_with_an_open_deal_gets_a_task_for_whoever_has_the_deal() {
    let rig = rig().await;
    let deal = json!({ "title": "Стара", "pipeline": "Основна", "stage": "В роботі", "owner": "olha" });
    known(&rig, json!({ "name": "Олена", "phones": [OLENA], "owner": "petro" }), Some(deal)).await;
    send(&rig, "sendpulse", &fixture("sendpulse/01_new_lead_telegram.json")).await;
    assert_eq!(only_deal(&rig).title.as_deref(), Some("Стара"), "no second deal");
    let tasks = rig.sandbox.holdings().tasks;
    assert_eq!((tasks.len(), tasks[0].owner.as_deref()), (1, Some("olha")));
    assert_eq!(tasks[0].title.as_deref(), Some("Повторна заявка: Polynia Shop"));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn step_3_5_the_two_prohibitions() {
    // «Заборонити створювати угоду в будь якому випадку»: the chain for triggers, which never know whether there is a phone.
    let mut rig = Rig::shipped().await;
    // «Заборонити створювати задачу на повторну угоду».
    add_chain(
        &mut rig,
        "sendpulse-quiet",
        "    preset: leadbox\n",
        "    preset: leadbox\n    task_on_repeat: false\n",
    );
    rig.boot().await;
    let trigger = fixture("sendpulse/15_trigger.json");
    send(&rig, "sendpulse-trigger", &trigger).await;
    assert_eq!((rig.stats().contacts, rig.stats().deals), (0, 0), "nobody is created");
    let lead = rig.found(OLENA).await.pop().unwrap();
    assert_eq!(lead["why"]["code"], "nothing_to_update", "{lead}");

    send(&rig, "sendpulse", &fixture("sendpulse/01_new_lead_telegram.json")).await;
    let later = with(
        "15_trigger.json",
        &[("/date", json!(1_718_400_000)), ("/info/message/id", json!("666702b1aa10c3f2d9e84c02"))],
    );
    send(&rig, "sendpulse-trigger", &later).await;
    assert_eq!(only_contact(&rig).fields["city"], "Львів", "who is known is brought up to date");
    assert_eq!((rig.stats().deals, rig.stats().tasks), (1, 0));

    send(&rig, "sendpulse-quiet", &fixture("sendpulse/01_new_lead_telegram.json")).await;
    let counts = rig.counts().await;
    assert_eq!(
        (rig.stats().deals, rig.stats().tasks, counts.needs_attention),
        (1, 0, 0),
        "no task on a repeat"
    );
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn step_3_5_all_fields_are_updated_or_only_the_empty_ones() {
    let mut rig = Rig::shipped().await;
    add_chain(&mut rig, "sendpulse-all", "update: only_empty", "update: all");
    rig.boot().await;
    let old = json!({ "name": "Лена", "phones": [OLENA], "fields": { "utm_source": "google" } });
    known(&rig, old, None).await;
    let lead = fixture("sendpulse/01_new_lead_telegram.json");
    send(&rig, "sendpulse", &lead).await;
    let contact = only_contact(&rig);
    assert_eq!((contact.name.as_deref(), &contact.fields["utm_source"]), (Some("Лена"), &json!("google")));
    assert!(contact.fields["telegram_chat"].is_string(), "what was empty is filled: {contact:?}");
    send(&rig, "sendpulse-all", &lead).await;
    let contact = only_contact(&rig);
    assert_eq!(
        (contact.name.as_deref(), &contact.fields["utm_source"]),
        (Some("Олена Вигадана"), &json!("tg_ads"))
    );

    // An empty value never erases, whichever it is.
    let nothing = with(
        "01_new_lead_telegram.json",
        &[("/date", json!(1)), ("/contact/variables/utm_source", json!(""))],
    );
    send(&rig, "sendpulse-all", &nothing).await;
    assert_eq!(only_contact(&rig).fields["utm_source"], "tg_ads");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn step_3_6_one_chain_knows_the_phones_of_several_countries() {
    let rig = rig().await;
    // LeadBox: «Стандартизація налаштовується тільки на один формат». Here an order of countries does.
    for (number, (typed, stored, pipeline)) in [
        ("067 418-52-06", OLENA, "Основна"),
        ("8 (050) 271-94-63", "+380502719463", "Основна"),
        ("604 517 382", "+48604517382", "Польща"),
        ("0048 512 604 874", "+48512604874", "Польща"),
    ]
    .into_iter()
    .enumerate()
    {
        let chat = format!("666702a5d41b7c0e9f3a1d{number:02}");
        let name = ["Олена", "Тарас", "Marek", "Ola"][number];
        let body = with(
            "01_new_lead_telegram.json",
            &[
                ("/contact/id", json!(chat)),
                ("/contact/variables/phone", json!(typed)),
                ("/contact/variables/name", json!(name)),
            ],
        );
        send(&rig, "sendpulse", &body).await;
        let holdings = rig.sandbox.holdings();
        assert_eq!(holdings.contacts.len(), number + 1, "{typed}");
        assert_eq!(holdings.contacts[number].phones, [stored], "{typed}");
        assert_eq!(holdings.deals[number].pipeline.as_deref(), Some(pipeline), "{typed}");
    }
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn livechat_brings_the_first_and_the_last_source_of_traffic_to_the_deal() {
    let rig = rig().await;
    send(&rig, "sendpulse-livechat", &fixture("sendpulse/13_livechat_first_visit.json")).await;
    let touches = |rig: &Rig| {
        let fields = only_deal(rig).fields;
        ["first_utm_source", "first_utm_campaign", "last_utm_source", "last_utm_campaign"]
            .map(|name| fields[name].as_str().unwrap().to_owned())
    };
    assert_eq!(touches(&rig), ["google", "spring", "google", "spring"]);
    send(&rig, "sendpulse-livechat", &fixture("sendpulse/14_livechat_second_visit.json")).await;
    assert_eq!(touches(&rig), ["google", "spring", "facebook", "retargeting"]);
    assert_eq!(rig.stats().tasks, 1, "somebody should call");

    // A visit without marks leaves both as they are.
    let unmarked = with(
        "14_livechat_second_visit.json",
        &[
            ("/date", json!(1_718_300_000)),
            ("/contact/variables/utm_source", json!(null)),
            ("/contact/variables/utm_campaign", json!("")),
        ],
    );
    send(&rig, "sendpulse-livechat", &unmarked).await;
    assert_eq!(touches(&rig), ["google", "spring", "facebook", "retargeting"]);
    rig.end().await;
}
