//! The step "Send webhook" of Chatterfy.

use super::*;

/// The example of Chatterfy's manual for Keitaro.
const KEITARO: &str =
    "subid=67aBcDeF90&username=vymyshlennyi_ivan&chatid=700000101&startdialogue=2026-03-10T17%3A49%3A32.806Z";

fn get(query: &str) -> Event {
    let mut events = split("chatterfy", &delivery(Some(query), "", "")).unwrap();
    assert_eq!(events.len(), 1);
    events.remove(0)
}

fn codes(event: &Event) -> Vec<&str> {
    event.flaws.iter().map(|flaw| flaw.code.as_str()).collect()
}

#[test]
fn the_example_of_the_manual() {
    let event = get(KEITARO);
    let chat = event.chat.unwrap();
    assert_eq!(
        (chat.channel.as_str(), chat.bot.as_str(), chat.id.as_str()),
        ("telegram", "test", "700000101")
    );
    assert_eq!(event.payload["click"], "67aBcDeF90");
    assert_eq!(event.payload["startdialogue"], "2026-03-10T17:49:32.806Z");
    assert_eq!((event.flaws, event.chat_state), (vec![], None));
}

#[test]
fn the_click_id_goes_by_many_names() {
    let check = |query: &str, expect: Option<&str>| {
        let event = get(&format!("chatid=1&{query}"));
        assert_eq!(event.payload.get("click").and_then(Value::as_str), expect, "{query}");
        assert_eq!(codes(&event), if expect.is_some() { vec![] } else { vec!["untrackable"] }, "{query}");
    };
    check("clickid=a1", Some("a1"));
    check("subid=a1", Some("a1"));
    check("click_id=a1", Some("a1"));
    check("tracker.clickid=a1", Some("a1"));
    check("clickid=a1&subid=b2", Some("a1"));
    check("clickid={clickid}&subid=b2", Some("b2"));
    check("clickid=%7Btracker.clickid%7D", None);
    check("subid={tracker.clickid}", None);
    check("subid=", None);
    check("subid=null", None);
    check("subid=a1&subid=b2", None);
    check("subid=%3Cscript%3E", None);
    check("step=REG", None);
    let told = get("chatid=1&subid={tracker.clickid}").flaws.remove(0);
    assert_eq!(told.raw, "{tracker.clickid}", "as it came");
}

#[test]
fn chats_go_by_many_names_and_macros_are_none() {
    let check = |query: &str, expect: Option<&str>| {
        let event = get(&format!("subid=1&{query}"));
        assert_eq!(event.chat.as_ref().map(|chat| chat.id.as_str()), expect, "{query}");
        assert_eq!(codes(&event), if expect.is_some() { vec![] } else { vec!["no_chat"] }, "{query}");
    };
    check("chatid=700000101", Some("700000101"));
    check("chatId=700000101", Some("700000101"));
    check("chat_id=700000101", Some("700000101"));
    check("chatid={chatId}", None);
    check("chatid={fields.chatId}", None);
    check("chatid=../../settings", None);
}

#[test]
fn unresolved_macros_are_absent_wherever_they_stand() {
    let event = get(
        "chatid=1&tracker.clickid=c&tracker.ad_name={tracker.ad_name}&fields.a={KEY}&fields.b=2&\
                     link=https://x.example/?u={username}&name=Max%20%7Bgamer%7D&phone=%2B380670000001&a=1&a={name}",
    );
    let expect = json!({
        "chatid": "1", "tracker": {"clickid": "c"}, "fields": {"b": "2"}, "name": "Max {gamer}", "phone": "+380670000001",
        "a": ["1"], "click": "c"
    });
    assert_eq!(event.payload, expect);
    assert!(!event.query.to_string().contains("{tracker"), "{}", event.query);
}

#[test]
fn the_same_step_of_the_same_human_is_one_event() {
    let key = |query: &str| get(query).key;
    assert_eq!(key(KEITARO).lifetime, KeyLifetime::Window);
    assert_eq!(
        key(KEITARO),
        key(
            "username=vymyshlennyi_ivan&chatid=700000101&subid=67aBcDeF90&startdialogue=2026-03-10T17:49:32.806Z"
        )
    );
    assert_ne!(key(KEITARO), key(&format!("{KEITARO}&step=REG")));
    assert_eq!(key("chatid=1&subid={tracker.clickid}"), key("chatid=1&subid={{tracker.clickid}}"));
    // Our own key does not count: it says nothing new.
    assert_eq!(key("chatid=1&subid=x").value, hash("chatid=1&subid=x"));
}

/// The key that any form has.
fn hash(query: &str) -> String {
    split("form", &delivery(Some(query), "", "")).unwrap().remove(0).key.value
}

#[test]
fn it_may_come_as_a_form_and_must_have_fields() {
    let posted = split("chatterfy", &delivery(None, URL_ENCODED, KEITARO)).unwrap().remove(0);
    assert_eq!(posted.chat, get(KEITARO).chat);
    refused("chatterfy", URL_ENCODED, "", "no fields");
    refused("chatterfy", "application/json", "{}", "form fields");
}
