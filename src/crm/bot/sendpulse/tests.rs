use super::*;
use crate::plan::Recipient;

const CONTACT: &str = "666702a5d41b7c0e9f3a1b20";

fn call(operation: &str, channel: &str, with: Value) -> Call {
    let Value::Object(with) = with else { panic!("parameters have names") };
    let chat = Recipient {
        id: CONTACT.to_owned(),
        scope: None,
        channel: (!channel.is_empty()).then(|| channel.to_owned()),
    };
    Call { operation: operation.to_owned(), chat: Some(chat), with }
}

fn sent(operation: &str, channel: &str, with: Value, path: &str, rest: Value) {
    let said = format!("{operation} {channel} {with}");
    let request =
        request(&call(operation, channel, with)).unwrap_or_else(|outcome| panic!("{said}: {outcome:?}"));
    let segments = [request.channel.path(), &request.path].concat();
    assert_eq!(segments.join("/"), path, "{said}");
    let mut body = json!({ "contact_id": CONTACT });
    if let (Value::Object(body), Value::Object(rest)) = (&mut body, rest) {
        body.extend(rest);
    }
    assert_eq!(request.body, body, "{said}");
}

fn refused(operation: &str, channel: &str, with: Value, words: &str) {
    let said = format!("{operation} {channel} {with}");
    match request(&call(operation, channel, with)) {
        Err(Outcome::Rejected { why }) => {
            assert!(why.starts_with(operation) && why.contains(words), "{said}: {why}");
        }
        other => panic!("{said}: {other:?}"),
    }
}

#[test]
fn every_operation_is_the_call_of_its_messenger() {
    sent("set_tag", "telegram", json!({"tag": "CRM"}), "telegram/contacts/setTag", json!({"tags": ["CRM"]}));
    sent(
        "set_tag",
        "instagram",
        json!({"tag": ["CRM", " ", null, 2026]}),
        "instagram/contacts/setTag",
        json!({"tags": ["CRM", "2026"]}),
    );
    sent(
        "delete_tag",
        "viber",
        json!({"tag": "CRM"}),
        "viber/chatbots/contacts/deleteTag",
        json!({"tag": "CRM"}),
    );
    sent(
        "set_variable",
        "whatsapp",
        json!({"name": "crm_deal", "value": 7781}),
        "whatsapp/contacts/setVariable",
        json!({"variable_name": "crm_deal", "variable_value": 7781}),
    );
    sent(
        "set_variable",
        "facebook",
        json!({"id": "64f1", "value": "так"}),
        "messenger/contacts/setVariable",
        json!({"variable_id": "64f1", "variable_value": "так"}),
    );
    sent(
        "run_flow",
        "livechat",
        json!({"flow": "64f1a0c2b7d3e4a5c6f70900", "data": {"order": {"no": 7}}}),
        "live-chat/flows/run",
        json!({"flow_id": "64f1a0c2b7d3e4a5c6f70900", "external_data": {"order": {"no": 7}}}),
    );
    sent(
        "run_trigger",
        "tiktok",
        json!({"keyword": "deal_won"}),
        "tiktok/flows/runByTrigger",
        json!({"trigger_keyword": "deal_won"}),
    );
}

#[test]
fn a_text_has_the_shape_of_its_messenger() {
    let check = |channel: &str, path: &str, rest: Value| {
        sent("send_text", channel, json!({"text": "Вітаємо!"}), &format!("{path}/contacts/send"), rest);
    };
    check("telegram", "telegram", json!({"message": {"type": "text", "text": "Вітаємо!"}}));
    check("whatsapp", "whatsapp", json!({"message": {"type": "text", "text": {"body": "Вітаємо!"}}}));
    let response = json!({"message": {"type": "RESPONSE", "content_type": "message", "text": "Вітаємо!"}});
    check("messenger", "messenger", response);
    check("instagram", "instagram", json!({"messages": [{"type": "text", "message": {"text": "Вітаємо!"}}]}));
    for (channel, path) in [("viber", "viber/chatbots"), ("livechat", "live-chat"), ("tiktok", "tiktok")] {
        check(channel, path, json!({"messages": [{"type": "text", "text": {"text": "Вітаємо!"}}]}));
    }
}

#[test]
fn a_messenger_is_known_however_it_is_spelt() {
    for name in Channel::NAMES {
        assert!(Channel::named(name).is_some(), "{name}");
    }
    for name in ["live_chat", "Live-Chat", " LIVECHAT "] {
        assert_eq!(Channel::named(name), Some(Channel::LiveChat), "{name}");
    }
    for name in ["", "sms", "телеграм", "telegram2"] {
        assert_eq!(Channel::named(name), None, "{name}");
    }
}

#[test]
fn what_cannot_be_sent_says_why() {
    refused("set_tag", "", json!({"tag": "CRM"}), "name it: `channel: telegram`");
    refused(
        "set_tag",
        "sms",
        json!({"tag": "CRM"}),
        "SendPulse has no bots in `sms`; `channel` is one of telegram,",
    );
    refused("set_tag", "telegram", json!({}), "`tag` came out empty");
    refused("set_tag", "telegram", json!({"tag": []}), "`tag` came out empty");
    refused("set_tag", "telegram", json!({"tag": ["", null]}), "`tag` came out empty");
    refused("set_tag", "telegram", json!({"tag": [["CRM"]]}), "`tag` is a text, or a list of texts");
    refused("delete_tag", "telegram", json!({"tag": "  "}), "`tag` came out empty");
    refused("set_variable", "telegram", json!({"value": 1}), "neither `name` nor `id`");
    refused("set_variable", "telegram", json!({"name": "a", "id": "b", "value": 1}), "keep one of them");
    refused("set_variable", "telegram", json!({"name": "a", "value": ""}), "`value` came out empty");
    refused("set_variable", "telegram", json!({"name": "a", "value": [1]}), "`value` came out empty");
    refused("run_flow", "telegram", json!({"data": {}}), "`flow` came out empty");
    refused("run_flow", "telegram", json!({"flow": "1", "data": "x"}), "`data` holds values by name");
    refused("run_trigger", "telegram", json!({"keyword": ""}), "`keyword` came out empty");
    refused("send_text", "telegram", json!({"text": "\n"}), "`text` came out empty");
    let nobody = Call { chat: None, ..call("set_tag", "", json!({"tag": "CRM"})) };
    assert!(matches!(request(&nobody), Err(Outcome::Rejected { why }) if why.contains("names no chat")));
}

#[test]
fn a_chat_is_gone_only_where_it_cannot_come_back() {
    let check = |channel: Channel, errors: Value, expect: bool| {
        assert_eq!(channel.is_gone(&json!({ "errors": errors })), expect, "{channel:?} {errors}");
    };
    let not_active = json!({"contact_id": ["contact.errors.not_active"]});
    check(Channel::Telegram, not_active.clone(), true);
    check(Channel::Viber, not_active.clone(), true);
    check(Channel::Messenger, not_active.clone(), false);
    check(Channel::WhatsApp, not_active, false);
    check(Channel::WhatsApp, json!({"phone": ["(#1) Contact is not active in 24hours"]}), false);
    check(Channel::Telegram, json!({"message": ["Forbidden: bot was blocked by the user"]}), true);
    check(Channel::Messenger, json!({"message": ["Blocked by the user"]}), true);
    check(Channel::Telegram, json!({"flow_id": ["The selected flow id is invalid."]}), false);
    check(Channel::Telegram, Value::Null, false);
}
