use super::*;
use crate::plan::Recipient;

fn call(operation: &str, chat: &str, with: Value) -> Call {
    let Value::Object(with) = with else { panic!("parameters have names") };
    let chat = Recipient { id: chat.to_owned(), scope: None, channel: Some("telegram".to_owned()) };
    Call { operation: operation.to_owned(), chat: Some(chat), with }
}

fn sent(operation: &str, with: Value, expect: Value) {
    let said = with.to_string();
    assert_eq!(message(&call(operation, "700000101", with)).map(|(_, body)| body), Ok(expect), "{said}");
}

fn refused(operation: &str, with: Value, words: &str) {
    match message(&call(operation, "700000101", with)) {
        Err(Outcome::Rejected { why }) => assert!(why.starts_with(operation) && why.contains(words), "{why}"),
        other => panic!("{words}: {other:?}"),
    }
}

#[test]
fn messages_are_what_the_bot_api_takes() {
    sent("send_message", json!({"text": "Привіт"}), json!({"chat_id": "700000101", "text": "Привіт"}));
    let markup = json!({"inline_keyboard": [[{"text": "Open", "url": "https://shop.example.com"}]]});
    sent(
        "send_message",
        json!({"text": "<b>7</b>", "parse_mode": "HTML", "preview": false, "reply_markup": markup}),
        json!({
            "chat_id": "700000101", "text": "<b>7</b>", "parse_mode": "HTML",
            "link_preview_options": {"is_disabled": true}, "reply_markup": markup,
        }),
    );
    sent(
        "send_message",
        json!({"text": "7", "parse_mode": "", "preview": "true"}),
        json!({"chat_id": "700000101", "text": "7"}),
    );
    sent(
        "request_contact",
        json!({"text": "Ваш номер?", "button": "Поділитися"}),
        json!({
            "chat_id": "700000101", "text": "Ваш номер?",
            "reply_markup": {
                "keyboard": [[{"text": "Поділитися", "request_contact": true}]],
                "resize_keyboard": true, "one_time_keyboard": true,
            },
        }),
    );
}

#[test]
fn what_cannot_be_sent_says_why() {
    refused("send_message", json!({}), "`text` came out empty");
    refused("send_message", json!({"text": " \n"}), "`text` came out empty");
    refused("send_message", json!({"text": "7", "preview": "no"}), "`preview` is true or false");
    refused(
        "send_message",
        json!({"text": "7", "reply_markup": "{}"}),
        "`reply_markup` holds values by name",
    );
    refused("request_contact", json!({"text": "7"}), "`button` came out empty");
    let blank = call("send_message", " ", json!({"text": "7"}));
    assert!(matches!(message(&blank), Err(Outcome::Rejected { why }) if why.contains("names no chat")));
}

/// Telegram counts Unicode characters, not UTF-16 units: 4096 emoji are taken and 4097 are not.
#[test]
fn a_text_that_is_too_long_is_refused_unless_markup_may_be_the_reason() {
    let text = |length: usize| "😀".repeat(length);
    assert!(message(&call("send_message", "7", json!({"text": text(4096)}))).is_ok());
    refused(
        "send_message",
        json!({"text": text(4097)}),
        "the text has 4097 characters and Telegram takes 4096",
    );
    refused("request_contact", json!({"text": text(5000), "button": "7"}), "5000 characters");
    let marked_up = json!({"text": text(4097), "parse_mode": "HTML"});
    assert!(message(&call("send_message", "7", marked_up)).is_ok());
}

#[test]
fn messages_to_one_chat_are_spaced() {
    let turns = Turns::default();
    let now = Instant::now();
    let check = |chat: &str, at: u64, expect: u64| {
        let turn = turns.take(chat, now + Duration::from_millis(at));
        assert_eq!(turn, now + Duration::from_millis(expect), "{chat} at {at}");
    };
    check("7", 0, 0);
    check("7", 0, 1_000);
    check("8", 10, 10);
    check("7", 500, 2_000);
    check("-100", 500, 500);
    check("-100", 600, 3_500);
    check("7", 3_000, 3_000);
    check("7", 10_000, 10_000);
    assert_eq!(turns.0.lock().unwrap().len(), 1, "chats whose turn has passed are forgotten");
}

#[test]
fn words_that_telegram_refuses_are_found_before_they_are_sent() {
    let found = |arguments: Value| {
        misuses(arguments.as_object().unwrap()).into_iter().map(|misuse| misuse.message).collect::<Vec<_>>()
    };
    assert!(found(json!({ "text": "a", "parse_mode": "html", "preview": true })).is_empty());
    assert!(found(json!({ "text": null, "parse_mode": null, "preview": "false" })).is_empty());
    let wrong = found(json!({ "text": "a", "parse_mode": "markdwn", "preview": "no" }));
    assert!(wrong.len() == 2 && wrong[0].contains("`markdwn` is no way"), "{wrong:?}");
}
