//! What scripts of Metabot post.

use super::*;

fn body() -> Value {
    json!({
        "lead_id": 243_289, "person_id": 2722, "messenger": "Telegram", "bot_id": "polynia", "bot_name": "Polynia",
        "name": "Алиса Вымышленная", "phone": "+77010000001"
    })
}

#[test]
fn a_lead_is_a_chat_and_a_person_is_not() {
    let event = one("metabot", &body());
    let chat = event.chat.unwrap();
    assert_eq!(
        (chat.channel.as_str(), chat.bot.as_str(), chat.id.as_str()),
        ("telegram", "polynia", "243289")
    );
    assert_eq!((chat.bot_name.as_deref(), chat.link), (Some("Polynia"), None));
    assert_eq!((event.payload, event.flaws), (body(), vec![]));
}

#[test]
fn what_is_not_named_is_not_guessed() {
    let chat = |pointer: &str, value: Value| {
        let mut body = body();
        body[pointer] = value;
        one("metabot", &body).chat
    };
    assert_eq!(chat("bot_id", json!(null)).unwrap().bot, "test", "the source stands for its bot");
    assert_eq!(chat("bot_id", json!("../x")).unwrap().bot, "test");
    assert_eq!(chat("messenger", json!("")).unwrap().channel, "metabot");
    assert_eq!(chat("lead_id", json!("243289")).unwrap().id, "243289");
    for nobody in [json!(null), json!(""), json!([1]), json!("6366@LEAD"), json!("x".repeat(129))] {
        assert_eq!(chat("lead_id", nobody.clone()), None, "{nobody}");
    }
    let event = one("metabot", &json!({"person_id": 2722}));
    assert_eq!((event.chat, event.flaws[0].code.as_str()), (None, "no_lead_id"));
}

#[test]
fn bodies_are_keyed_as_any_json() {
    assert_eq!(one("metabot", &body()).key, one("json", &body()).key);
    assert_eq!(split_json("metabot", &json!([body(), {"lead_id": 2}])).len(), 2);
    assert_eq!(one("metabot", &json!("text")).chat, None);
    refused("metabot", "application/json", "lead_id=1", "not JSON");
}
