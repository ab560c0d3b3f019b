//! Metabot: jobs of its scripts and triggers, and what its answers mean.

use leadfold::crm::connect;
use leadfold::plan::Call;
use leadfold::rules::Destination;
use serde_json::{Value, json};

use super::stand_in::{Reply, StandIn};
use super::{SECRET, call_about, check_answers, check_refused, destination, outcome, says, step, told};
use crate::crm::fixture::Recorder;

fn account(url: &str) -> Destination {
    destination("metabot", &[("url", &format!("{url}/api/v1")), ("bot_id", "77"), ("token", SECRET)])
}

fn schedule(with: &Value) -> Call {
    call_about("schedule_job", Some("243001"), with)
}

fn shipped() -> Call {
    schedule(&json!({ "script_code": "order_status_changed" }))
}

#[tokio::test]
async fn an_order_was_shipped() {
    let server = StandIn::always(says(200, json!({ "success": true }))).await;
    let crm = connect(&account(&server.url())).unwrap();
    let call = schedule(&json!({
        "script_code": "order_status_changed",
        "run_after_sec": "0",
        "script_request_params": { "order_id": 1007, "status": "{{ shipped }}" },
        "add_tags": "crm,paid",
        "remove_tags": ["new"],
    }));
    let outcome = outcome(&*crm, &step(call), &Recorder::default()).await;
    assert_eq!(told(&outcome).0, "done", "{outcome:?}");
    let seen = server.requests();
    let [seen] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!(seen.line(), "POST /api/v1/bots/77/jobs/schedule");
    assert_eq!(seen.header("authentication"), SECRET);
    assert_eq!(seen.header("authorization"), "");
    assert_eq!(
        seen.json(),
        json!({
            "script_code": "order_status_changed",
            "lead_id": 243_001,
            "script_request_params": { "order_id": 1007, "status": "{{ shipped }}" },
            "add_tags": "crm,paid",
            "remove_tags": "new",
            "run_after_sec": 0,
        })
    );
}

#[tokio::test]
async fn the_token_may_stand_in_another_header() {
    let server = StandIn::always(Reply::text(200, "")).await;
    let mut destination = account(&server.url());
    destination.settings.0.insert("auth_header".into(), "Authorization".into());
    destination.settings.0.insert("token".into(), format!("Bearer {SECRET}"));
    let crm = connect(&destination).unwrap();
    assert_eq!(told(&outcome(&*crm, &step(shipped()), &Recorder::default()).await).0, "done");
    assert_eq!(server.requests()[0].header("authorization"), format!("Bearer {SECRET}"));
    assert_eq!(server.requests()[0].header("authentication"), "");

    destination.settings.0.insert("auth_header".into(), "Auth: x".into());
    let refused = connect(&destination).map(drop).unwrap_err().to_string();
    assert!(refused.contains("`auth_header` is no name of a header"), "{refused}");
}

#[tokio::test]
async fn what_cannot_be_meant_is_not_sent() {
    let server = StandIn::always(Reply::text(200, "{}")).await;
    let crm = connect(&account(&server.url())).unwrap();
    let target = json!({ "script_id": 7 });
    for (call, says) in [
        (
            schedule(&json!({})),
            "exactly one of script_code, script_id, trigger_code, trigger_id, and names 0",
        ),
        (schedule(&json!({ "script_id": 7, "trigger_code": "x" })), "names 2"),
        (call_about("schedule_job", None, &target), "names no chat"),
        (call_about("schedule_job", Some(" "), &target), "names no chat"),
        (call_about("schedule_job", Some("6366@LEAD"), &target), "a lead in Metabot is a whole number"),
        (call_about("schedule_job", Some("-1"), &target), "whole number"),
    ] {
        check_refused(&crm, &server, call, says).await;
    }
}

#[tokio::test]
async fn answers() {
    let error = |status: u16| says(status, json!({ "message": format!("no, {SECRET} +380671234567") }));
    let answers = vec![
        (says(200, json!({ "id": 5 })), "done", ""),
        (says(201, json!({ "success": true, "error": null })), "done", ""),
        (Reply::text(204, ""), "done", ""),
        (Reply::text(200, "true"), "done", ""),
        (Reply::text(200, "false"), "rejected", "refuses the job"),
        (says(200, json!({ "success": false, "message": "Lead not found" })), "rejected", "Lead not found"),
        (says(200, json!({ "error": SECRET })), "rejected", "•••"),
        (error(400), "rejected", "+38•••67"),
        (error(401), "unauthorised", "check the credentials"),
        (error(403), "unauthorised", "403"),
        (error(404), "rejected", "404"),
        (error(409), "rejected", "409"),
        (error(422), "rejected", "422"),
        (Reply::text(429, "{}").with("Retry-After", "3"), "retry", "over its rate limit"),
        (error(500), "unknown", "500"),
        (Reply::text(200, "<html>"), "unknown", "not JSON"),
        (Reply::text(302, ""), "rejected", "it redirects"),
        (Reply::HangsUp, "unknown", "broke"),
        (Reply::Silence, "unknown", "no answer within"),
    ];
    check_answers(answers, account, |_| shipped()).await;
}

#[test]
fn a_job_that_may_be_scheduled_is_not_scheduled_again() {
    let crm = connect(&account("http://127.0.0.1:1")).unwrap();
    assert!(!crm.repeatable(&shipped()));
}
