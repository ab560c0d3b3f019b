//! What an event says of chats, what is remembered of people, and what stands beside a token.

use super::*;
use crate::lead::{ChatNews, ChatState, ChatStatus};

fn blocked() -> ChatState {
    ChatState::Blocked { why: "stop".to_owned() }
}

fn forbidden() -> ChatStatus {
    ChatStatus { status: "FAILED".to_owned(), description: Some("Forbidden".to_owned()), at: None }
}

fn said(preset: &str, rest: &str, event: &Event) -> Option<ChatNews> {
    let mapping = mapping(preset, rest);
    let made = match interpret_with(&mapping, event, now(), SIMPLE, None) {
        Interpreted::Lead(lead, _) => Some(lead),
        Interpreted::Filtered(_) | Interpreted::NeedsAttention { .. } => None,
    };
    chat_news(&mapping, event, made.as_deref(), now())
}

const NOTHING: &str = "leads: [{ name: none, when: false, to: [crm] }]";
const ALL: &str = "leads: [{ name: all, to: [crm] }]";

#[test]
fn a_chat_is_spoken_of_whether_or_not_a_branch_wants_the_event() {
    let mut event = event(json!({ "chat_of_preset": " 77\u{200b} " }));
    event.chat_state = Some(blocked());
    let fails = "leads: [{ name: fails, when: \"{{ a / 0 }}\", to: [crm] }]";
    for rest in [NOTHING, ALL, fails] {
        event.payload["a"] = json!(1);
        let news = said("sendpulse", rest, &event).unwrap();
        assert_eq!((news.scope.as_str(), &news.state), ("sendpulse:bot-1", &Some(blocked())), "{rest}");
        assert_eq!(news.chat.unwrap().id, "77", "{rest}");
    }
    for nobody in ["null", "-100200300", " "] {
        event.chat.as_mut().unwrap().id = nobody.to_owned();
        for rest in [NOTHING, ALL] {
            assert_eq!(said("sendpulse", rest, &event), None, "{nobody:?}");
        }
    }
}

#[test]
fn the_chat_that_the_mapping_names_is_the_one() {
    let own =
        "leads: [{ name: all, to: [crm], identifiers: { chat: { bot: shop, id: <<id>>, channel: Viber } } }]";
    let news = said("json", own, &event(json!({ "id": 5 }))).unwrap();
    let chat = news.chat.unwrap();
    assert_eq!((news.scope.as_str(), chat.channel.as_str(), chat.id.as_str()), ("viber:shop", "viber", "5"));
    assert_eq!(said("json", ALL, &event(json!({ "id": 5 }))), None);
}

#[test]
fn a_status_without_a_chat_is_of_the_person_with_the_bot_that_the_source_names() {
    let mut event = event(json!({}));
    event.chat_status = Some(forbidden());
    assert_eq!(said("json", ALL, &event), None, "with which bot?");
    let news = said("json, bot: \"telegram:shop\"", ALL, &event).unwrap();
    assert_eq!((news.scope.as_str(), news.chat, news.status), ("telegram:shop", None, Some(forbidden())));
    event.chat_status = None;
    assert_eq!(said("json, bot: \"telegram:shop\"", ALL, &event), None, "it says nothing");
}

#[test]
fn only_the_mapping_or_the_preset_says_that_the_person_did_something() {
    let state = |active: &str, payload: Json, told: Option<ChatState>| {
        let own = format!(
            "leads: [{{ name: all, to: [crm], identifiers: {{ chat: {{ bot: shop, id: <<id>>, channel: viber{active} }} }} }}]"
        );
        let event = Event { chat_state: told, ..event(payload) };
        said("json", &own, &event).unwrap().state
    };
    assert_eq!(state("", json!({ "id": 5 }), None), None);
    let when = ", active: \"{{ kind == 'message' }}\"";
    assert_eq!(state(when, json!({ "id": 5, "kind": "message" }), None), Some(ChatState::Active));
    assert_eq!(state(when, json!({ "id": 5, "kind": "timer" }), None), None);
    assert_eq!(state(", active: true", json!({ "id": 5 }), None), Some(ChatState::Active));
    assert_eq!(
        state(", active: true", json!({ "id": 5 }), Some(blocked())),
        Some(blocked()),
        "the platform knows"
    );
}

#[test]
fn a_status_that_became_no_lead_says_whom_it_names() {
    let rest = "defaults: { to: [crm], contact: { phone: <<phone>> }, \
                identifiers: { external_customer: { shop: <<id>>, link: { value: <<start>>, hint: true } } } }\n\
                leads: [{ name: a, when: \"{{ no }}\" }, { name: b, when: false, contact: { email: <<email>> } }, \
                { name: fails, when: false, identifiers: { device: \"{{ 1 / 0 }}\" } }]";
    let payload =
        json!({ "id": 17, "phone": "+380674185206", "email": "olena@example.com", "start": "900000417" });
    let event = Event { chat_status: Some(forbidden()), ..event(payload) };
    let news = said("json, bot: \"telegram:shop\"", rest, &event).unwrap();
    let about: Vec<&str> = news.about.iter().map(|known| known.keys[0].as_str()).collect();
    assert_eq!(about, ["+380674185206", "17", "olena@example.com"]);
    let leads = rest.replace("<<no>>", "").replace("{{ no }}", "{{ id }}");
    assert_eq!(
        said("json, bot: \"telegram:shop\"", &leads, &event).unwrap().about,
        [],
        "a lead says it itself"
    );
}

#[test]
fn what_is_remembered_keeps_its_type_and_nothing_empty_is() {
    let leads = "leads: [{ name: all, person: { fields: { sum: <<sum>>, vip: <<vip>>, list: <<list>>, \
                 text: \"{{ a }} €\", gone: <<gone>>, blank: <<blank>>, fixed: yes, failed: \"{{ sum / 0 }}\" } } }]";
    let made = lead(run_source(
        leads,
        json!({ "sum": 50.10, "vip": true, "list": [1, 2], "a": 5, "gone": null, "blank": "  " }),
    ));
    let expect = json!({ "sum": 50.10, "vip": true, "list": [1, 2], "text": "5 €", "fixed": "yes" });
    assert_eq!(json!(made.person_fields), expect);
    assert_eq!((made.to.len(), made.flaws.len()), (0, 1), "it goes nowhere, and what failed is said");
    let stops = "leads: [{ name: all, person: { fields: { sum: { value: <<sum>>, required: true } } } }]";
    assert!(matches!(run_source(stops, json!({})), Interpreted::NeedsAttention { .. }));
}

fn token(rest: &str, more: &str, payload: Json) -> Lead {
    let mut event = event(payload);
    event.chat = event.payload.get("token").map(|token| Chat {
        channel: "telegram".to_owned(),
        bot: "bot".to_owned(),
        bot_name: None,
        id: token.as_str().unwrap().to_owned(),
        link: None,
    });
    let head = format!("esputnik_tokens, app: 6F1C-a{more}");
    let made = interpret(&mapping(&head, rest), &event, now());
    lead(made)
}

fn identifiers(lead: &Lead) -> Vec<String> {
    let all = lead.identifiers.iter();
    all.map(|known| format!("{} {} {}", known.kind.as_str(), known.scope, known.keys[0])).collect()
}

#[test]
fn a_token_comes_with_its_chat_and_all_that_says_whose_it_is() {
    let full = json!({ "token": "700000101", "contactId": 889_000_911, "externalCustomerId": "crm-7781",
        "phone": "380674185206", "email": "Olena@example.com" });
    let regions = "leads: [{ name: tokens, phone: { regions: [UA] } }]";
    let made = token(regions, "", full.clone());
    assert_eq!(
        identifiers(&made),
        [
            "phone  +380674185206",
            "email  olena@example.com",
            "chat esputnik:6f1c-a 700000101",
            "external_customer esputnik 889000911",
            "external_customer esputnik_external crm-7781",
        ]
    );
    assert_eq!((made.contact.phones.len(), made.contact.emails.len()), (1, 1), "a CRM is searched by them");
    assert!(made.adds_token && made.flaws.is_empty() && made.to.is_empty());
    let chat = made.chat.unwrap();
    assert_eq!((chat.bot.as_str(), chat.channel.as_str()), ("6f1c-a", "telegram"));

    let mixed = "defaults: { to: [crm], contact: { name: x, phone: <<phone>> } }\nleads: [{ name: tokens, phone: { regions: [UA] }, \
                 identifiers: { external_customer: { shop: <<externalCustomerId>> } } }]";
    let made = token(mixed, ", bot: \"telegram:shop\", customers: crm", full);
    assert_eq!(
        identifiers(&made),
        [
            "phone  +380674185206",
            "email  olena@example.com",
            "chat telegram:shop 700000101",
            "external_customer esputnik 889000911",
            "external_customer crm crm-7781",
            "external_customer shop crm-7781",
        ],
        "what the mapping says comes on top"
    );
    assert_eq!((made.contact.phones.len(), made.contact.name.as_deref()), (1, Some("x")));
}

#[test]
fn a_phone_beside_a_token_has_its_country_in_it() {
    let check = |phone: &str, expect: &[&str]| {
        let made = token("leads: [{ name: tokens }]", "", json!({ "token": "1", "phone": phone }));
        let phones: Vec<&str> = made.contact.phones.iter().map(|phone| phone.e164.as_str()).collect();
        assert_eq!(phones, expect, "{phone}: {:?}", made.flaws);
    };
    check("380674185206", &["+380674185206"]);
    check("+380674185206", &["+380674185206"]);
    check("48600000001", &["+48600000001"]);
    check("0674185206", &[]);
}
