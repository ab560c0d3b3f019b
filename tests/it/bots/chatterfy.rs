//! Chatterfy's `updateDialog`, as its help describes it: one GET, everything in the query, the bot's secret in the path.

use std::sync::Arc;

use leadfold::crm::http::recorded;
use leadfold::crm::{Crm, connect, description};
use leadfold::plan::Call;
use leadfold::rules::{Destination, Misuse};
use serde_json::{Value, json};

use super::stand_in::{Reply, StandIn};
use super::{SECRET, call, check_answers, destination, outcome, step, told};
use crate::crm::fixture::Recorder;

const STEP: &str = "046050f6-38f6-4b18-b9fa-e6582f5352d0";
const STEPS: &str = r#"{ "Flow RD / FD": "046050f6-38f6-4b18-b9fa-e6582f5352d0", "Flow RD / 2rd": 77 }"#;

fn account(url: &str) -> Destination {
    destination("chatterfy", &[("url", url), ("postback_id", SECRET), ("steps", STEPS)])
}

fn bot(url: &str) -> Arc<dyn Crm> {
    connect(&account(url)).unwrap()
}

fn update(with: Value) -> Call {
    call("update_dialog", ("1227280", "telegram"), with)
}

#[tokio::test]
async fn a_dialog_is_updated_as_the_documentation_has_it() {
    let server = StandIn::always(Reply::text(200, "")).await;
    let bot = bot(&server.url());
    let path = format!("/api/bots/webhooks/{SECRET}/updateDialog");
    let mut made = 0;
    for (with, query) in [
        (
            json!({ "step": "Flow RD / FD", "status": "auto", "fields": { "crm_id": 7781, "userBalance": "5000" } }),
            format!("chatId=1227280&stepId={STEP}&status=auto&fields.crm_id=7781&fields.userBalance=5000"),
        ),
        // However the name is written, and by its id.
        (json!({ "step": "flow rd/fd" }), format!("chatId=1227280&stepId={STEP}")),
        (json!({ "step": "Flow RD / 2rd" }), "chatId=1227280&stepId=77".to_owned()),
        (json!({ "step": "11111111-2222-4333-8444-555555555555" }), "chatId=1227280&stepId=11111111-2222-4333-8444-555555555555".to_owned()),
        (json!({ "status": "manual" }), "chatId=1227280&status=manual".to_owned()),
        (json!({ "status": " blocked " }), "chatId=1227280&status=blocked".to_owned()),
        // What is empty stays as it is; a list is one value.
        (
            json!({ "fields": { "vip": true, "empty": "", "none": null, "tags": ["a", "b"], "sum": 10.5 } }),
            "chatId=1227280&fields.vip=true&fields.tags=a%2C+b&fields.sum=10.5".to_owned(),
        ),
        // Data is a value, whatever it says.
        (
            json!({ "fields": { "name": "x&status=blocked&chatId=1", "ключ": "Олена+1 #?\r\n" } }),
            "chatId=1227280&fields.name=x%26status%3Dblocked%26chatId%3D1&fields.%D0%BA%D0%BB%D1%8E%D1%87=%D0%9E%D0%BB%D0%B5%D0%BD%D0%B0%2B1+%23%3F%0D%0A".to_owned(),
        ),
    ] {
        let step = step(update(with.clone()));
        let journal = Recorder::default();
        let outcome = outcome(&*bot, &step, &journal).await;
        assert_eq!(told(&outcome), ("done", step.id.to_string().as_str()), "{with}");
        assert_eq!(journal.sent(), [step.id], "{with}");
        made += 1;
        let requests = server.requests();
        let request = requests.last().unwrap();
        assert_eq!((requests.len(), request.line()), (made, format!("GET {path}")), "{with}");
        assert_eq!((request.query.as_str(), request.body.as_str()), (query.as_str(), ""), "{with}");
        assert_eq!(request.header("authorization"), "");
    }
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_before_it_is_sent() {
    let server = StandIn::always(Reply::text(200, "")).await;
    let bot = bot(&server.url());
    let nobody = Call { chat: None, ..update(json!({ "status": "auto" })) };
    for (call, expect) in [
        (
            update(json!({ "step": "Flow RD / FDD" })),
            "no step `Flow RD / FDD` under `steps:`; did you mean `Flow RD / FD`?",
        ),
        (update(json!({ "step": "Hello" })), "known there: Flow RD / 2rd, Flow RD / FD"),
        (update(json!({ "step": ["a"] })), "`step` must be one value"),
        (
            update(json!({ "status": "paused" })),
            "`paused` is no status of a dialog; write one of: auto, manual, blocked",
        ),
        (update(json!({ "status": "Auto" })), "`Auto` is no status"),
        (update(json!({ "fields": "x" })), "`fields` must be a mapping"),
        (update(json!({ "fields": { "a": { "b": 1 } } })), "the field `a` must be one value"),
        (update(json!({ "fields": { "a": [[1]] } })), "the field `a` must be one value"),
        (update(json!({})), "nothing would change"),
        (update(json!({ "step": " ", "fields": { "a": "" } })), "nothing would change"),
        (nobody, "names no chat"),
        (call("update_dialog", (" ", ""), json!({ "status": "auto" })), "names no chat"),
    ] {
        let (step, journal) = (step(call), Recorder::default());
        let outcome = outcome(&*bot, &step, &journal).await;
        let (word, why) = told(&outcome);
        assert_eq!(word, "rejected", "{expect}: {why}");
        assert!(why.starts_with("update_dialog: ") && why.contains(expect), "{why}");
        assert!(journal.sent().is_empty() && server.requests().is_empty(), "{why}");
    }
}

#[tokio::test]
async fn what_its_answers_mean() {
    let slow = Reply::text(429, "slow down").with("Retry-After", "7");
    let answers = vec![
        (Reply::text(200, ""), "done", ""),
        (Reply::text(204, ""), "done", ""),
        // Its answers are not documented: what is no failure is a success.
        (Reply::text(200, "OK"), "done", ""),
        (Reply::text(200, "<html>"), "done", ""),
        (Reply::json(200, &json!({ "success": true, "error": null })), "done", ""),
        (Reply::json(200, &json!({ "error": 0, "message": "ok" })), "done", ""),
        (
            Reply::json(200, &json!({ "success": false, "message": "no such step" })),
            "rejected",
            "no such step",
        ),
        (Reply::json(200, &json!({ "ok": false })), "rejected", "200"),
        (Reply::json(200, &json!({ "error": "Dialog not found" })), "rejected", "Dialog not found"),
        (Reply::json(400, &json!({ "message": "stepId is no uuid" })), "rejected", "stepId is no uuid"),
        (Reply::text(404, "not found"), "rejected", "404"),
        (Reply::text(409, ""), "rejected", "409"),
        (Reply::text(422, ""), "rejected", "422"),
        (Reply::text(302, "").with("Location", "https://evil.example/"), "rejected", "it redirects"),
        (Reply::text(401, ""), "unauthorised", "credentials"),
        (Reply::text(403, ""), "unauthorised", "credentials"),
        (slow, "retry", "over its rate limit"),
        (Reply::text(500, "oops"), "unknown", "500"),
        (Reply::text(503, ""), "unknown", "503"),
        (Reply::Silence, "unknown", "no answer within"),
        (Reply::HangsUp, "unknown", "the connection broke"),
    ];
    check_answers(answers, account, |_| update(json!({ "step": "Flow RD / FD" }))).await;
}

#[tokio::test]
async fn the_postback_id_never_shows() {
    let echo = StandIn::start(|request| Reply::text(400, &format!("no such path {}", request.path))).await;
    let (outcome, exchanges) = recorded(async {
        outcome(&*bot(&echo.url()), &step(update(json!({ "status": "auto" }))), &Recorder::default()).await
    })
    .await;
    assert!(told(&outcome).1.contains("/api/bots/webhooks/•••/updateDialog"), "{outcome:?}");
    assert_eq!(exchanges[0].target, "/updateDialog?chatId=1227280&status=auto");
    let shown = serde_json::to_string(&exchanges).unwrap();
    assert!(!shown.contains(SECRET), "{shown}");
}

#[tokio::test]
async fn nothing_is_sent_that_could_not_be_recorded() {
    let server = StandIn::always(Reply::text(200, "")).await;
    let outcome =
        outcome(&*bot(&server.url()), &step(update(json!({ "status": "auto" }))), &Recorder::broken()).await;
    assert_eq!(told(&outcome).0, "retry");
    assert!(server.requests().is_empty());
}

/// Moving a dialog to a step sends the step's messages, so only what moves nothing may be said again.
#[tokio::test]
async fn only_a_call_without_a_step_may_be_repeated() {
    let server = StandIn::always(Reply::text(200, "")).await;
    let bot = bot(&server.url());
    for (with, expect) in [
        (json!({ "status": "auto" }), true),
        (json!({ "fields": { "a": 1 } }), true),
        (json!({ "step": "Flow RD / FD" }), false),
        (json!({ "step": STEP, "fields": { "a": 1 } }), false),
    ] {
        assert_eq!(bot.repeatable(&update(with.clone())), expect, "{with}");
    }
    let step = step(update(json!({ "fields": { "a": 1 } })));
    for _ in 0..2 {
        assert_eq!(told(&outcome(&*bot, &step, &Recorder::default()).await).0, "done");
    }
    let queries: Vec<_> = server.requests().into_iter().map(|request| request.query).collect();
    assert_eq!(queries, ["chatId=1227280&fields.a=1", "chatId=1227280&fields.a=1"]);
}

#[test]
fn a_destination_that_cannot_work_is_refused() {
    let check = |settings: &[(&str, &str)], expect: &str| {
        let Err(error) = connect(&destination("chatterfy", settings)) else { panic!("{expect}") };
        assert!(error.0.starts_with("destination `bot`: ") && error.0.contains(expect), "{error}");
        assert!(!error.0.contains("55833627"), "{error}");
    };
    check(&[], "`postback_id` is missing");
    let link = "https://app.chatterfy.ai/api/bots/webhooks/55833627-242e/updateDialog";
    check(&[("postback_id", link)], "the part of the link between webhooks/ and /updateDialog");
    check(&[("postback_id", "55833627/../x")], "is no id");
    check(&[("postback_id", "55833627"), ("steps", "[1]")], "`steps` must name steps");
    check(&[("postback_id", "55833627"), ("steps", "{\"a\": {}}")], "`steps` must name steps");
    check(&[("postback_id", "55833627"), ("url", "ftp://x")], "http");
    check(&[("postback_id", "55833627"), ("url", "nonsense")], "`url` is not an address");
}

fn misuses(arguments: Value) -> Vec<(&'static str, String)> {
    let check = description("chatterfy").unwrap().bot.unwrap().check.unwrap();
    let Value::Object(arguments) = arguments else { panic!("arguments have names") };
    let found = check(&account("http://127.0.0.1:1"), "update_dialog", &arguments);
    let text = |misuse: Misuse| format!("{} ({})", misuse.message, misuse.help.unwrap_or_default());
    found.into_iter().map(|misuse| (misuse.parameter, text(misuse))).collect()
}

#[test]
fn constant_arguments_are_looked_over_while_the_mapping_is_loaded() {
    for sound in [
        json!({ "step": "Flow RD / FD", "status": "auto" }),
        json!({ "step": null, "status": null }),
        json!({ "step": STEP }),
        json!({ "fields": { "a": null } }),
    ] {
        assert_eq!(misuses(sound.clone()), [], "{sound}");
    }
    let found = misuses(json!({ "step": "Flow RD / F", "status": "off" }));
    assert_eq!(found[0].0, "step");
    assert!(found[0].1.contains("did you mean `Flow RD / FD`?"), "{found:?}");
    assert_eq!(
        found[1],
        ("status", "`off` is no status of a dialog (write one of: auto, manual, blocked)".to_owned())
    );
    assert_eq!(misuses(json!({}))[0].0, "step");
}
