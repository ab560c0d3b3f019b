//! Botmother: one person at a time, whatever the data says.

use std::sync::Arc;

use leadfold::crm::{Crm, connect};
use leadfold::map::Files;
use leadfold::plan::Call;
use leadfold::rules::Destination;
use leadfold::workspace::compile_with;
use serde_json::{Value, json};

use super::stand_in::{Reply, StandIn};
use super::{call, check_answers, check_refused, destination, outcome, problems, step, told};
use crate::crm::fixture::Recorder;

const TOKEN: &str = "FzD5BZMDpDCCSwZCqCBC-s3cret";
const CHAT: (&str, &str) = ("700000101", "telegram");

async fn listening() -> (StandIn, Arc<dyn Crm>) {
    let server = StandIn::always(Reply::text(200, "ok")).await;
    let bot = connect(&account(&server.url())).unwrap();
    (server, bot)
}

fn account(url: &str) -> Destination {
    let events = json!({ "cart": format!("{url}/api/bot/action/H1bjU9lDm/{TOKEN}") }).to_string();
    destination("botmother", &[("url", url), ("events", &events)])
}

fn event(chat: (&str, &str), with: Value) -> Call {
    call("external_event", chat, with)
}

fn cart() -> Call {
    event(CHAT, json!({ "event": "cart", "data": { "product_name": "Чай травяной 100 г" } }))
}

#[tokio::test]
async fn an_event_is_what_the_vendor_documents() {
    let (server, bot) = listening().await;
    let (step, journal) = (step(cart()), Recorder::default());
    assert_eq!(told(&outcome(&*bot, &step, &journal).await), ("done", step.id.to_string().as_str()));
    assert_eq!(journal.sent(), [step.id]);
    let request = &server.requests()[0];
    assert_eq!(request.line(), format!("POST /api/bot/action/H1bjU9lDm/{TOKEN}"));
    assert_eq!((request.query.as_str(), request.header("content-type")), ("", "application/json"));
    assert_eq!(request.header("authorization"), "");
    let body =
        json!({ "platform": "tg", "users": ["700000101"], "data": { "product_name": "Чай травяной 100 г" } });
    assert_eq!(request.json(), body);
    assert!(!bot.repeatable(&call("external_event", CHAT, json!({}))));
}

/// A mapping whose placeholder came out as anything but one id must not write to a whole base.
#[tokio::test]
async fn nobody_is_not_everybody() {
    let (server, bot) = listening().await;
    for id in [
        "",
        " ",
        "\t",
        "everyone",
        "Everyone",
        " EVERYONE ",
        "[\"700000101\"]",
        "700000101,700000102",
        "any",
        "null",
    ] {
        for channel in ["", "telegram", "viber"] {
            let (journal, step) =
                (Recorder::default(), step(event((id, channel), json!({ "event": "cart" }))));
            let outcome = outcome(&*bot, &step, &journal).await;
            let (kind, why) = told(&outcome);
            assert!(kind == "rejected" && why.contains("`chat` of the call"), "{id:?}: {outcome:?}");
            assert!(journal.sent().is_empty(), "{id:?}");
        }
    }
    let nobody = Call { chat: None, ..event(CHAT, json!({ "event": "cart" })) };
    assert_eq!(told(&outcome(&*bot, &step(nobody), &Recorder::default()).await).0, "rejected");
    // Neither does the data of a lead become a recipient.
    let with =
        json!({ "event": "cart", "users": "everyone", "platform": "any", "data": { "users": "everyone" } });
    outcome(&*bot, &step(event(CHAT, with)), &Recorder::default()).await;
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].json()["users"], json!(["700000101"]));
    assert_eq!(requests[0].json()["platform"], "tg");
}

#[tokio::test]
async fn what_cannot_be_sent_reaches_nobody() {
    let (server, bot) = listening().await;
    for (with, words) in [
        (json!({}), "`event` came out empty"),
        (json!({ "event": "order" }), "`events` of this destination has no `order`; it has cart"),
        (json!({ "event": "cart", "data": "x" }), "`data` holds values by name"),
        (json!({ "event": "cart", "data": { "text": "x".repeat(1_000_000) } }), "Botmother takes 1000000"),
    ] {
        check_refused(&bot, &server, event(CHAT, with), words).await;
    }
}

#[tokio::test]
async fn answers_are_told_apart() {
    let answers = vec![
        (Reply::text(200, ""), "done", ""),
        (Reply::text(200, "ok"), "done", ""),
        (Reply::text(200, "<html>"), "done", ""),
        (Reply::json(201, &json!({ "accepted": 1 })), "done", ""),
        (Reply::text(204, ""), "done", ""),
        (Reply::json(400, &json!({ "message": "users is required" })), "rejected", "users is required"),
        (Reply::text(401, ""), "unauthorised", "credentials"),
        (Reply::text(403, ""), "unauthorised", "credentials"),
        (Reply::text(404, "Not Found"), "rejected", "Not Found"),
        (Reply::text(409, ""), "rejected", "409"),
        (Reply::text(413, ""), "rejected", "413"),
        (Reply::text(422, ""), "rejected", "422"),
        (Reply::text(429, "").with("Retry-After", "7"), "retry", "rate limit"),
        (Reply::text(302, ""), "rejected", "redirects"),
        (Reply::text(500, ""), "unknown", "500"),
        (Reply::Silence, "unknown", "no answer within"),
        (Reply::HangsUp, "unknown", "whether it was written is not known"),
    ];
    check_answers(answers, account, |_| cart()).await;
}

#[tokio::test]
async fn nothing_can_be_asked_of_it() {
    let (server, bot) = listening().await;
    let said = bot.ping().await.unwrap();
    assert_eq!(said, "nothing can be asked of 127.0.0.1 without doing something there");
    assert!(server.requests().is_empty());
}

#[test]
fn an_event_leads_to_botmother_only() {
    let check = |events: &str, words: &str| {
        let error = connect(&destination("botmother", &[("events", events)])).err().unwrap().to_string();
        assert!(error.contains(words) && !error.contains("s3cret"), "{error}");
    };
    check(
        r#"{ "cart": "https://evil.example/api/bot/action/a/s3cret" }"#,
        "does not lead to app.botmother.com",
    );
    check(r#"{ "cart": "http://169.254.169.254/s3cret" }"#, "does not lead to app.botmother.com");
    check(r#"{ "cart": "s3cret" }"#, "event `cart`: this is not the address of an event");
    check("s3cret", "`events` must hold addresses by name");
    check("", "setting `events` is missing");
}

/// The loader says what is wrong with an address at its place, and leaves one from the environment until it is known.
#[test]
fn the_loader_points_at_a_wrong_address() {
    let found = |events: &str| -> Vec<String> {
        let text = format!("destinations:\n  bot:\n    bot: botmother\n    events: {events}\n");
        let files = Files([("workspace.yaml".to_owned(), text)].into());
        let address = format!("https://app.botmother.com/api/bot/action/a/{TOKEN}");
        let compiled = compile_with(&files, &(Arc::new(move |_: &str| Some(address.clone())) as _));
        let destination = compiled.workspace.destinations.get("bot");
        if compiled.problems.is_empty() {
            assert!(connect(destination.unwrap()).is_ok());
        }
        compiled
            .problems
            .iter()
            .map(|problem| format!("{}: {}", problem.span.line, problem.message))
            .collect()
    };
    assert_eq!(found("{ cart: \"${CART}\" }"), Vec::<String>::new());
    assert_eq!(found("{ cart: \"https://app.botmother.com/api/bot/action/a/b\" }"), Vec::<String>::new());
    assert_eq!(
        found("{ cart: \"https://evil.example/a\" }"),
        ["4: event `cart`: its address does not lead to app.botmother.com"]
    );
    assert_eq!(found("{}"), ["4: `events` must hold addresses by name"]);
    assert_eq!(found("here"), ["4: `events` must hold addresses by name"]);
}

#[test]
fn the_loader_knows_the_events() {
    let events = "events: { cart: \"https://app.botmother.com/api/bot/action/a/b\" }";
    let problems = |call: &str| problems("botmother", events, call);
    let nothing = Vec::<String>::new();
    assert_eq!(problems("external_event: { event: cart, data: { name: \"{{ product }}\" } }"), nothing);
    assert_eq!(problems("external_event: cart"), nothing);
    assert_eq!(problems("external_event: \"{{ name }}\""), nothing);
    assert_eq!(problems("external_event: carts"), ["bot.yaml: `events` of destination `bot` has no `carts`"]);
}
