//! `SendPulse`: one token for many calls, and what its answers mean.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use leadfold::crm::examine::examine;
use leadfold::crm::{Crm, CrmError, Outcome, connect};
use leadfold::plan::Step;
use leadfold::rules::Destination;
use serde_json::{Value, json};

use super::stand_in::{Reply, Request, StandIn};
use super::{SECRET, call, destination, outcome, patience, problems, step, told};
use crate::crm::fixture::Recorder;

const CONTACT: &str = "666702a5d41b7c0e9f3a1b20";
const TELEGRAM: (&str, &str) = (CONTACT, "telegram");
const TOKEN: &str = "eyJ0eXAi.t0ken-that-was-handed-out";

fn success() -> Reply {
    Reply::json(200, &json!({ "success": true }))
}

fn token(text: &str, expires_in: u64) -> Reply {
    Reply::json(200, &json!({ "access_token": text, "token_type": "Bearer", "expires_in": expires_in }))
}

/// Hands out tokens, and answers calls as it is told.
async fn answering(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> (StandIn, Arc<dyn Crm>) {
    let server = StandIn::start(move |request| match request.path.as_str() {
        "/oauth/access_token" => token(TOKEN, 3600),
        _ => script(request),
    })
    .await;
    let bot = connected(&server.url());
    (server, bot)
}

fn connected(url: &str) -> Arc<dyn Crm> {
    connect(&account(url)).unwrap()
}

fn account(url: &str) -> Destination {
    destination("sendpulse", &[("url", url), ("client_id", "sp_id_7"), ("client_secret", SECRET)])
}

fn tag(chat: (&str, &str)) -> Step {
    step(call("set_tag", chat, json!({ "tag": "CRM" })))
}

fn text(chat: (&str, &str)) -> Step {
    step(call("send_text", chat, json!({ "text": "Вітаємо!" })))
}

fn lines(server: &StandIn) -> Vec<String> {
    server.requests().iter().map(Request::line).collect()
}

#[tokio::test]
async fn a_call_is_what_the_vendor_documents() {
    let (server, bot) = answering(|_| success()).await;
    let (tag, journal) = (tag(TELEGRAM), Recorder::default());
    assert_eq!(told(&outcome(&*bot, &tag, &journal).await), ("done", tag.id.to_string().as_str()));
    assert_eq!(journal.sent(), [tag.id], "the step is journalled, and the fetch of the token is no step");
    let requests = server.requests();
    assert_eq!(lines(&server), ["POST /oauth/access_token", "POST /telegram/contacts/setTag"]);
    let credentials = json!({
        "grant_type": "client_credentials", "client_id": "sp_id_7", "client_secret": SECRET,
    });
    assert_eq!(requests[0].json(), credentials);
    assert_eq!(requests[0].header("authorization"), "");
    assert_eq!(requests[1].json(), json!({ "contact_id": CONTACT, "tags": ["CRM"] }));
    assert_eq!(requests[1].header("authorization"), format!("Bearer {TOKEN}"));
    assert_eq!(requests[1].header("content-type"), "application/json");

    // Once more, as after a lost answer: the token is still good, and the call is the same.
    assert!(bot.repeatable(&call("set_tag", TELEGRAM, json!({ "tag": "CRM" }))));
    outcome(&*bot, &tag, &journal).await;
    let again = &server.requests()[2..];
    assert_eq!((again.len(), &again[0].body), (1, &requests[1].body));
    for (operation, expect) in [
        ("set_tag", true),
        ("delete_tag", true),
        ("set_variable", true),
        ("run_flow", false),
        ("run_trigger", false),
        ("send_text", false),
        ("no_such_operation", false),
    ] {
        assert_eq!(bot.repeatable(&call(operation, TELEGRAM, json!({}))), expect, "{operation}");
    }
}

#[tokio::test]
async fn what_is_not_in_the_journal_is_not_sent() {
    let (server, bot) = answering(|_| success()).await;
    let outcome = outcome(&*bot, &tag(TELEGRAM), &Recorder::broken()).await;
    assert_eq!(told(&outcome).0, "retry", "{outcome:?}");
    assert_eq!(lines(&server), ["POST /oauth/access_token"]);
}

#[tokio::test]
async fn a_call_without_sense_reaches_nobody() {
    let (server, bot) = answering(|_| success()).await;
    for (chat, with, words) in [
        ((CONTACT, ""), json!({ "tag": "CRM" }), "`channel: telegram`"),
        ((CONTACT, "sms"), json!({ "tag": "CRM" }), "no bots in `sms`"),
        (TELEGRAM, json!({}), "`tag` came out empty"),
        (("  ", "telegram"), json!({ "tag": "CRM" }), "names no chat"),
    ] {
        let outcome = outcome(&*bot, &step(call("set_tag", chat, with)), &Recorder::default()).await;
        let (kind, why) = told(&outcome);
        assert!(kind == "rejected" && why.contains(words), "{outcome:?}");
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn answers_are_told_apart() {
    let refusal = |code: u16, errors: Value| json!({ "success": false, "data": null, "errors": errors, "error_code": code });
    let not_active = refusal(400, json!({ "contact_id": ["contact.errors.not_active"] }));
    let blocked = refusal(403, json!({ "message": ["Forbidden: bot was blocked by the user"] }));
    let telegram = "telegram";
    for (channel, reply, expect, words) in [
        (telegram, Reply::json(200, &json!({ "success": true, "data": {} })), "done", ""),
        (telegram, Reply::json(201, &json!({ "success": true })), "done", ""),
        (telegram, Reply::text(204, ""), "done", ""),
        // It hides refusals behind 200.
        (telegram, Reply::json(200, &refusal(422, json!({ "text": ["too long"] }))), "rejected", "too long"),
        (telegram, Reply::json(200, &json!({ "success": false })), "rejected", "send_text"),
        (telegram, Reply::json(200, &refusal(500, json!({}))), "unknown", "500"),
        (telegram, Reply::json(200, &json!({ "result": true })), "unknown", "not whether it was done"),
        (telegram, Reply::text(200, ""), "unknown", "not whether it was done"),
        (telegram, Reply::text(200, "<html>"), "unknown", "not JSON"),
        (
            telegram,
            Reply::json(400, &refusal(400, json!({ "text": ["is required"] }))),
            "rejected",
            "is required",
        ),
        (telegram, Reply::json(400, &not_active), "unreachable", "contact.errors.not_active"),
        ("viber", Reply::json(400, &not_active), "unreachable", ""),
        (telegram, Reply::json(422, &blocked), "unreachable", "blocked by the user"),
        (telegram, Reply::json(403, &blocked), "unreachable", "the bot answered 403: "),
        (telegram, Reply::json(200, &blocked), "unreachable", "blocked by the user"),
        ("messenger", Reply::json(400, &not_active), "rejected", "within a day of the person's last message"),
        (
            "whatsapp",
            Reply::json(400, &refusal(400, json!({ "phone": ["(#1) Contact is not active in 24hours"] }))),
            "rejected",
            "in WhatsApp a bot may write only within a day",
        ),
        ("instagram", Reply::json(422, &refusal(422, json!({}))), "rejected", "approved template"),
        (telegram, Reply::json(403, &json!({ "message": "Access denied" })), "unauthorised", "credentials"),
        (telegram, Reply::json(404, &json!({ "message": "Not found" })), "rejected", "404"),
        (telegram, Reply::json(409, &json!({})), "rejected", "409"),
        (telegram, Reply::text(302, ""), "rejected", "redirects"),
        (telegram, Reply::text(429, "").with("Retry-After", "2"), "retry", "rate limit"),
        (telegram, Reply::json(400, &json!({ "error_code": 2_020_202_020_u64 })), "retry", "rate limit"),
        (telegram, Reply::text(500, "oops"), "unknown", "500"),
        (telegram, Reply::text(502, "<html>"), "unknown", "502"),
        (telegram, Reply::Silence, "unknown", "no answer within"),
        (telegram, Reply::HangsUp, "unknown", "whether it was written is not known"),
    ] {
        let said = format!("{channel} {reply:?}");
        let timeout = patience(&reply);
        let (server, _) = answering(move |_| reply.clone()).await;
        let bot = connect(&Destination { timeout, ..account(&server.url()) }).unwrap();
        let (text, journal) = (text((CONTACT, channel)), Recorder::default());
        let outcome = outcome(&*bot, &text, &journal).await;
        let (kind, why) = told(&outcome);
        assert!(kind == expect && why.contains(words), "{said}: {outcome:?}");
        assert_eq!(journal.sent(), [text.id], "{said}");
        assert_eq!(server.requests().len(), 2, "{said}: nothing is tried again by itself");
        for secret in [SECRET, TOKEN] {
            assert!(!why.contains(secret), "{why}");
        }
    }
}

/// The person reads nothing of a tag, so no window is to blame.
#[tokio::test]
async fn a_window_is_spoken_of_only_where_somebody_is_written_to() {
    let refusal = json!({ "success": false, "errors": { "tags": ["too many"] }, "error_code": 422 });
    let (_server, bot) = answering(move |_| Reply::json(422, &refusal)).await;
    let outcome = outcome(&*bot, &tag((CONTACT, "whatsapp")), &Recorder::default()).await;
    let (kind, why) = told(&outcome);
    assert!(kind == "rejected" && why.contains("too many") && !why.contains("template"), "{why}");
}

#[tokio::test]
async fn a_limit_holds_every_call() {
    let (_server, bot) = answering(|_| Reply::text(429, "").with("Retry-After", "40")).await;
    let answer = outcome(&*bot, &tag(TELEGRAM), &Recorder::default()).await;
    assert!(
        matches!(answer, Outcome::Retry { after: Some(after), .. } if after == Duration::from_secs(40)),
        "{answer:?}"
    );
    let held = bot.usage().held_for.unwrap();
    assert!(held > Duration::from_secs(10) && held <= Duration::from_secs(40), "{held:?}");
}

#[tokio::test]
async fn no_connection_is_surely_not_done() {
    let server = StandIn::always(success()).await;
    let bot = connected(&server.gone().await);
    let journal = Recorder::default();
    let outcome = outcome(&*bot, &tag(TELEGRAM), &journal).await;
    assert!(told(&outcome).0 == "retry" && journal.sent().is_empty(), "{outcome:?}");
}

#[tokio::test]
async fn calls_that_come_together_share_one_token() {
    let (server, bot) = answering(|_| success()).await;
    let steps: Vec<Step> = (0..6).map(|_| tag(TELEGRAM)).collect();
    let journal = Recorder::default();
    let calls = steps.iter().map(|step| outcome(&*bot, step, &journal));
    let outcomes = futures_util::future::join_all(calls).await;
    assert!(outcomes.iter().all(|outcome| told(outcome).0 == "done"), "{outcomes:?}");
    let fetches = lines(&server).iter().filter(|line| line.ends_with("access_token")).count();
    assert_eq!((fetches, server.requests().len()), (1, 7));
    assert_eq!(bot.usage().permits, 7, "the limiter knows of the fetch as well");
}

#[tokio::test]
async fn calls_that_come_together_share_a_failure_too() {
    // Long enough for all of them to wait at the same door.
    let server = StandIn::always(Reply::Silence).await;
    let destination = Destination { timeout: patience(&Reply::Silence), ..account(&server.url()) };
    let bot = connect(&destination).unwrap();
    let steps: Vec<Step> = (0..4).map(|_| tag(TELEGRAM)).collect();
    let journal = Recorder::default();
    let calls = steps.iter().map(|step| outcome(&*bot, step, &journal));
    let outcomes = futures_util::future::join_all(calls).await;
    assert!(outcomes.iter().all(|outcome| told(outcome).0 == "retry"), "{outcomes:?}");
    assert_eq!(lines(&server), ["POST /oauth/access_token"]);
    assert!(journal.sent().is_empty());
    // Whoever comes later asks anew.
    outcome(&*bot, &steps[0], &journal).await;
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn a_token_that_is_over_is_not_used() {
    let server = StandIn::start(|request| match request.path.as_str() {
        "/oauth/access_token" => token("short-lived", 0),
        _ => success(),
    })
    .await;
    let bot = connected(&server.url());
    for _ in 0..2 {
        assert_eq!(told(&outcome(&*bot, &tag(TELEGRAM), &Recorder::default()).await).0, "done");
    }
    let fetches = lines(&server).iter().filter(|line| line.ends_with("access_token")).count();
    assert_eq!(fetches, 2);
}

/// Hands out `token-1`, `token-2` …, and takes only those that `is_good`.
async fn counting(is_good: fn(&str) -> bool) -> (StandIn, Arc<dyn Crm>) {
    let count = AtomicUsize::new(0);
    let server = StandIn::start(move |request| match request.path.as_str() {
        "/oauth/access_token" => token(&format!("token-{}", count.fetch_add(1, Ordering::Relaxed) + 1), 3600),
        _ if is_good(request.header("authorization")) => success(),
        _ => Reply::json(401, &json!({ "message": "Unauthorized!", "error_code": 401 })),
    })
    .await;
    let bot = connected(&server.url());
    (server, bot)
}

#[tokio::test]
async fn a_refused_token_is_renewed_once() {
    let (server, bot) = counting(|header| header == "Bearer token-2").await;
    let (step, journal) = (text(TELEGRAM), Recorder::default());
    let answer = outcome(&*bot, &step, &journal).await;
    assert_eq!(told(&answer).0, "done", "{answer:?}");
    let (fetch, send) = ("POST /oauth/access_token", "POST /telegram/contacts/send");
    assert_eq!(lines(&server), [fetch, send, fetch, send]);
    assert_eq!(journal.sent(), [step.id, step.id], "each request is in the journal before it is made");

    let (server, bot) = counting(|_| false).await;
    let answer = outcome(&*bot, &step, &Recorder::default()).await;
    let (kind, why) = told(&answer);
    assert!(kind == "unauthorised" && why.contains("Unauthorized!"), "{answer:?}");
    assert_eq!(lines(&server), [fetch, send, fetch, send], "and no more");
}

#[tokio::test]
async fn refused_credentials_pause_the_destination() {
    for (reply, expect) in [
        (
            Reply::json(
                401,
                &json!({ "error": "invalid_client", "message": "Client authentication failed" }),
            ),
            "unauthorised",
        ),
        (Reply::json(400, &json!({ "error": "invalid_client" })), "unauthorised"),
        (Reply::json(200, &json!({ "token": "x" })), "unauthorised"),
        (Reply::text(429, ""), "retry"),
        (Reply::text(500, ""), "retry"),
        (Reply::text(200, "<html>"), "retry"),
    ] {
        let said = format!("{reply:?}");
        let server = StandIn::always(reply).await;
        let journal = Recorder::default();
        let outcome = outcome(&*connected(&server.url()), &tag(TELEGRAM), &journal).await;
        let (kind, why) = told(&outcome);
        assert!(kind == expect && why.starts_with("access_token: "), "{said}: {outcome:?}");
        assert!(journal.sent().is_empty() && !why.contains(SECRET), "{said}");
    }
}

/// `doctor --verbose` shows every exchange.
#[tokio::test]
async fn a_token_is_never_shown() {
    let bots = json!({ "success": true, "data": [
        { "id": "1", "name": "Polynia Shop", "channel": "TELEGRAM" },
        { "id": "2", "channel_data": { "name": "Polynia" }, "note": TOKEN }
    ] });
    let (_server, bot) = answering(move |_| Reply::json(200, &bots)).await;
    let examination = examine(&*bot, &[], Duration::from_secs(20)).await;
    assert_eq!(
        examination.reached.answer.as_deref(),
        Ok("2 bots at 127.0.0.1: Polynia Shop (telegram), Polynia")
    );
    let shown = json!(examination.reached.exchanges).to_string();
    assert!(shown.contains("access_token") && shown.contains("client_credentials"), "{shown}");
    assert!(!shown.contains(TOKEN) && !shown.contains(SECRET) && !shown.contains("sp_id_7"), "{shown}");

    let said = json!({ "success": false, "errors": { "token": [format!("{TOKEN} is odd")] } });
    let (_server, bot) = answering(move |_| Reply::json(422, &said)).await;
    let outcome = outcome(&*bot, &tag(TELEGRAM), &Recorder::default()).await;
    assert!(told(&outcome).1.contains("••• is odd"), "{outcome:?}");
}

#[tokio::test]
async fn somebody_elses_server_is_no_sendpulse() {
    let (_server, bot) = answering(|_| Reply::json(200, &json!({ "hello": "world" }))).await;
    assert!(
        matches!(bot.ping().await, Err(CrmError::Rejected { why }) if why.contains("is `url` the API of SendPulse?"))
    );
}

#[test]
fn the_loader_knows_whether_a_variable_is_named() {
    let problems = |call: &str| problems("sendpulse", "client_id: sp_id_7, client_secret: demo", call);
    let nothing = Vec::<String>::new();
    assert_eq!(problems("set_variable: { name: crm_deal, value: \"{{ crm.deal }}\" }"), nothing);
    assert_eq!(problems("set_variable: { id: \"{{ vars_id }}\", value: 7 }"), nothing);
    assert_eq!(
        problems("set_variable: { value: 7 }"),
        ["bot.yaml: neither `name` nor `id` says which variable"]
    );
    assert_eq!(
        problems("set_variable: { name: crm_deal, id: \"{{ vars_id }}\", value: 7 }"),
        ["bot.yaml: `name` and `id` both name a variable; keep one of them"]
    );
    assert_eq!(problems("set_tag: [CRM, \"{{ city }}\"]"), nothing);
    assert_eq!(problems("set_tag: CRM"), nothing);
}
