//! A Telegram bot: a token that stands in every address, and chats that come to an end.

use std::sync::Arc;
use std::time::Duration;

use leadfold::crm::examine::examine;
use leadfold::crm::{Crm, CrmError, Outcome, connect};
use leadfold::plan::Call;
use leadfold::rules::Destination;
use serde_json::{Value, json};

use super::stand_in::{Reply, StandIn};
use super::{call, check_answers, destination, outcome, step, told};
use crate::crm::fixture::Recorder;

const TOKEN: &str = "6011223344:AAF-s3cret_of_the_bot";
const CHAT: (&str, &str) = ("700000101", "telegram");

async fn answering(reply: Reply) -> (StandIn, Arc<dyn Crm>) {
    let server = StandIn::always(reply).await;
    let bot = connect(&account(&server.url())).unwrap();
    (server, bot)
}

fn account(url: &str) -> Destination {
    destination("telegram", &[("url", url), ("token", TOKEN)])
}

fn sent() -> Reply {
    Reply::json(200, &json!({ "ok": true, "result": { "message_id": 482, "chat": { "id": 700_000_101 } } }))
}

fn failed(code: u16, description: &str) -> Reply {
    Reply::json(code, &refusal(code, description))
}

fn refusal(code: u16, description: &str) -> Value {
    json!({ "ok": false, "error_code": code, "description": description })
}

fn message() -> Call {
    call("send_message", CHAT, json!({ "text": "Ваше замовлення вже їде" }))
}

#[tokio::test]
async fn a_message_is_what_the_bot_api_documents() {
    let (server, bot) = answering(sent()).await;
    let (step, journal) = (step(message()), Recorder::default());
    assert_eq!(told(&outcome(&*bot, &step, &journal).await), ("done", "482"));
    assert_eq!(journal.sent(), [step.id]);
    let requests = server.requests();
    assert_eq!(requests[0].line(), format!("POST /bot{TOKEN}/sendMessage"));
    assert_eq!((requests[0].query.as_str(), requests[0].header("content-type")), ("", "application/json"));
    assert_eq!(requests[0].header("authorization"), "");
    assert_eq!(requests[0].json(), json!({ "chat_id": "700000101", "text": "Ваше замовлення вже їде" }));
    for operation in ["send_message", "request_contact"] {
        assert!(!bot.repeatable(&call(operation, CHAT, json!({}))), "{operation}");
    }
    // Once more is one message more: nothing tells Telegram that it is the same.
    outcome(&*bot, &step, &journal).await;
    assert_eq!(server.requests()[1].body, requests[0].body);
}

#[tokio::test]
async fn the_phone_is_asked_for_with_a_button() {
    let (server, bot) = answering(sent()).await;
    let with = json!({ "text": "Ваш номер?", "button": "Поділитися номером" });
    let answer = outcome(&*bot, &step(call("request_contact", CHAT, with)), &Recorder::default()).await;
    assert_eq!(told(&answer), ("done", "482"));
    let button = json!([[{ "text": "Поділитися номером", "request_contact": true }]]);
    assert_eq!(server.requests()[0].json()["reply_markup"]["keyboard"], button);
}

#[tokio::test]
async fn answers_are_told_apart() {
    let answers = vec![
        (sent(), "done", "482"),
        (Reply::json(200, &refusal(403, "Forbidden: bot was blocked by the user")), "unreachable", "blocked"),
        (Reply::json(200, &refusal(400, "Bad Request: message text is empty")), "rejected", "is empty"),
        (Reply::json(200, &json!({ "ok": false })), "rejected", "send_message"),
        (Reply::json(200, &json!({ "result": 7 })), "unknown", "not whether it was sent"),
        (Reply::text(200, ""), "unknown", "not whether it was sent"),
        (Reply::text(200, "<html>"), "unknown", "not JSON"),
        (failed(400, "Bad Request: chat not found"), "unreachable", "chat not found"),
        (failed(400, "Bad Request: PEER_ID_INVALID"), "unreachable", "PEER_ID_INVALID"),
        (failed(400, "Bad Request: can't parse entities: unclosed start tag"), "rejected", "parse entities"),
        (failed(400, "Bad Request: message is too long"), "rejected", "too long"),
        (failed(401, "Unauthorized"), "unauthorised", "credentials"),
        // The token is a part of the address, so the address of a wrong one is not there.
        (failed(404, "Not Found"), "unauthorised", "credentials"),
        (
            failed(403, "Forbidden: bot was blocked by the user"),
            "unreachable",
            "answered 403: Forbidden: bot was blocked by the user",
        ),
        (failed(403, "Forbidden: user is deactivated"), "unreachable", "deactivated"),
        (failed(403, "Forbidden: bot can't initiate conversation with a user"), "unreachable", "initiate"),
        (Reply::text(403, "<html>a proxy</html>"), "unauthorised", "403"),
        (failed(409, "Conflict"), "rejected", "409"),
        (failed(422, "odd"), "rejected", "422"),
        (failed(429, "Too Many Requests: retry after 7"), "retry", "rate limit"),
        (failed(500, "Internal Server Error"), "unknown", "500"),
        (Reply::text(502, "<html>"), "unknown", "502"),
        (Reply::Silence, "unknown", "no answer within"),
        (Reply::HangsUp, "unknown", "whether it was written is not known"),
    ];
    check_answers(answers, account, |_| message()).await;
}

/// Telegram says in the body for how long the whole bot is to hold.
#[tokio::test]
async fn a_limit_holds_every_call() {
    let mut body = refusal(429, "Too Many Requests: retry after 35");
    body["parameters"] = json!({ "retry_after": 35 });
    let (server, bot) = answering(Reply::json(429, &body)).await;
    let answer = outcome(&*bot, &step(message()), &Recorder::default()).await;
    assert!(
        matches!(answer, Outcome::Retry { after: Some(after), .. } if after == Duration::from_secs(35)),
        "{answer:?}"
    );
    let held = bot.usage().held_for.unwrap();
    assert!(held > Duration::from_secs(10) && held <= Duration::from_secs(35), "{held:?}");
    let (another, nothing) =
        (step(call("send_message", ("8", "telegram"), json!({ "text": "7" }))), Recorder::default());
    let more = tokio::time::timeout(Duration::from_millis(300), outcome(&*bot, &another, &nothing)).await;
    assert!(more.is_err() && nothing.sent().is_empty(), "a message to somebody else waits as well");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn what_cannot_be_sent_reaches_nobody() {
    let (server, bot) = answering(sent()).await;
    for (chat, with, words) in [
        (CHAT, json!({ "text": "x".repeat(4097) }), "4097 characters and Telegram takes 4096"),
        (CHAT, json!({ "text": " " }), "`text` came out empty"),
        (("", "telegram"), json!({ "text": "7" }), "names no chat"),
    ] {
        let outcome = outcome(&*bot, &step(call("send_message", chat, with)), &Recorder::default()).await;
        let (kind, why) = told(&outcome);
        assert!(kind == "rejected" && why.contains(words), "{outcome:?}");
    }
    assert!(matches!(outcome(&*bot, &step(message()), &Recorder::broken()).await, Outcome::Retry { .. }));
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn doctor_learns_who_the_bot_is_and_shows_no_token() {
    let me = json!({ "ok": true, "result": { "id": 6_011_223_344_u64, "first_name": "Polynia", "username": "polynia_shop_bot" } });
    let (server, bot) = answering(Reply::json(200, &me)).await;
    let examination = examine(&*bot, &[], Duration::from_secs(20)).await;
    assert_eq!(examination.reached.answer.as_deref(), Ok("@polynia_shop_bot (Polynia) at 127.0.0.1"));
    assert_eq!(server.requests()[0].line(), format!("POST /bot{TOKEN}/getMe"));
    let shown = json!(examination.reached.exchanges).to_string();
    assert!(shown.contains("/getMe") && !shown.contains("s3cret"), "{shown}");

    let (_server, bot) = answering(failed(401, "Unauthorized")).await;
    assert!(matches!(bot.ping().await, Err(CrmError::Unauthorised { .. })));
    let (_server, bot) = answering(Reply::json(200, &json!({ "ok": true }))).await;
    assert!(matches!(bot.ping().await, Err(CrmError::Rejected { .. })));
}

#[test]
fn a_token_that_would_lead_elsewhere_is_refused_and_not_repeated() {
    for token in ["12/../34:s3cret", "1:s3cret?x=1", "1:s3cret#", "1:s3cret\\x", "1:s3 cret"] {
        let error = connect(&destination("telegram", &[("token", token)])).err().unwrap().to_string();
        assert!(error.contains("@BotFather") && !error.contains("cret"), "{error}");
    }
    let error = connect(&destination("telegram", &[])).err().unwrap().to_string();
    assert!(error.contains("setting `token` is missing"), "{error}");
}
