//! Mindbox: the three authorisations of a Telegram subscriber, and what its answers mean.

use leadfold::crm::connect;
use leadfold::map::Files;
use leadfold::plan::Call;
use leadfold::rules::Destination;
use leadfold::workspace::compile_with;
use serde_json::{Value, json};

use super::stand_in::{Reply, StandIn};
use super::{SECRET, call_about, check_answers, check_refused, outcome, says, step, told};
use crate::crm::fixture::Recorder;

const WORKSPACE: &str = r#"
destinations:
  mindbox:
    bot: mindbox
    endpoint_id: Polynia.Telegram
    secret_key: "${KEY}"
    url: {URL}
    timeout: 20s
    operations:
      by_link:
        name: Telegram.AuthorizeByMindboxId
        needs: [mindbox_id, platform_id]
        body: { customer: { ids: { mindboxId: "{{ mindbox_id }}" }, customFields: { platformID: "{{ platform_id }}" } } }
      by_device:
        name: Telegram.AuthorizeByDevice
        needs: [platform_id]
        body: { customer: { customFields: { platformID: "{{ platform_id }}" } } }
      by_phone:
        name: Telegram.AuthorizeByPhone
        body: { customer: { mobilePhone: "{{ phone }}", firstName: "{{ name }}", customFields: { platformID: "{{ platform_id }}" } } }
      Telegram.Subscribed: { mode: async }
"#;

const DEVICE: &str = "1f9c7c0e-5d0b-4a0e-9c2d-5b7a3a6c9e10";

fn account(url: &str) -> Destination {
    of_text(WORKSPACE, url)
}

fn of_text(text: &str, url: &str) -> Destination {
    let (compiled, problems) = compiled(text, url);
    assert_eq!(problems, "");
    compiled
}

fn compiled(text: &str, url: &str) -> (Destination, String) {
    let files = Files([("workspace.yaml".to_owned(), text.replace("{URL}", url))].into());
    let compiled = compile_with(&files, &(std::sync::Arc::new(|_: &str| Some(SECRET.to_owned())) as _));
    let problems: Vec<_> = compiled.problems.iter().map(ToString::to_string).collect();
    (compiled.workspace.destinations["mindbox"].clone(), problems.join("\n"))
}

fn run(with: &Value) -> Call {
    call_about("run", None, with)
}

fn by_link() -> Call {
    run(
        &json!({ "operation": "by_link", "values": { "mindbox_id": "900000417", "platform_id": 700_000_101_u64 } }),
    )
}

fn success() -> Reply {
    says(200, json!({ "status": "Success" }))
}

/// (operation, mode, deviceUUID, body) of the one call.
async fn sent(call: Call) -> (String, String, Option<String>, Value) {
    let server = StandIn::always(success()).await;
    let crm = connect(&account(&server.url())).unwrap();
    let step = step(call);
    let outcome = outcome(&*crm, &step, &Recorder::default()).await;
    assert_eq!(told(&outcome).0, "done", "{outcome:?}");
    let seen = server.requests();
    let [seen] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!(seen.method, "POST");
    assert_eq!(seen.header("authorization"), format!("SecretKey {SECRET}"));
    assert_eq!(seen.header("accept"), "application/json");
    assert_eq!(seen.header("content-type"), "application/json");
    let value = |name: &str| {
        let mut found = seen.pairs().into_iter().filter(|(key, _)| key == name).map(|(_, value)| value);
        let one = found.next();
        assert_eq!(found.next(), None, "{name} stands once");
        one
    };
    assert_eq!(value("endpointId").as_deref(), Some("Polynia.Telegram"));
    assert_eq!(value("transactionId"), Some(step.id.to_string()));
    let mode = seen.path.strip_prefix("/v3/operations/").unwrap().to_owned();
    (value("operation").unwrap(), mode, value("deviceUUID"), seen.json())
}

#[tokio::test]
async fn who_comes_by_a_link_with_a_mindbox_id() {
    let (operation, mode, device, body) = sent(by_link()).await;
    assert_eq!((operation.as_str(), mode.as_str(), device), ("Telegram.AuthorizeByMindboxId", "sync", None));
    let expect = json!({ "customer": { "ids": { "mindboxId": "900000417" }, "customFields": { "platformID": 700_000_101_u64 } } });
    assert_eq!(body, expect);
}

#[tokio::test]
async fn who_comes_from_the_site() {
    let values = json!({ "platform_id": "700000101" });
    let call = run(&json!({ "operation": "by_device", "device": DEVICE, "values": values }));
    let (operation, mode, device, body) = sent(call).await;
    assert_eq!((operation.as_str(), mode.as_str()), ("Telegram.AuthorizeByDevice", "sync"));
    assert_eq!(device.as_deref(), Some(DEVICE));
    assert_eq!(body, json!({ "customer": { "customFields": { "platformID": "700000101" } } }));
}

#[tokio::test]
async fn who_gave_a_phone() {
    let values = json!({ "platform_id": "700000101", "phone": "77010000001" });
    let (operation, _, device, body) = sent(run(&json!({ "operation": "by_phone", "values": values }))).await;
    assert_eq!((operation.as_str(), device), ("Telegram.AuthorizeByPhone", None));
    // What is absent is left out.
    assert_eq!(
        body,
        json!({ "customer": { "mobilePhone": "77010000001", "customFields": { "platformID": "700000101" } } })
    );
}

#[tokio::test]
async fn a_body_may_stand_in_the_call() {
    let own = json!({ "customer": { "email": "a@example.com" }, "note": ["{{ mindbox_id }}"] });
    let call = run(&json!({ "operation": "Telegram.Subscribed", "body": own }));
    assert_eq!(sent(call).await, ("Telegram.Subscribed".into(), "async".into(), None, own));
    let call = run(&json!({ "operation": "Telegram.Subscribed" }));
    assert_eq!(sent(call).await.3, json!({}));
}

#[tokio::test]
async fn data_is_data() {
    let values = json!({ "mindbox_id": "{{ platform_id }}\",\"x\":1", "platform_id": "a&operation=Other" });
    let (operation, .., body) = sent(run(&json!({ "operation": "by_link", "values": values }))).await;
    assert_eq!(operation, "Telegram.AuthorizeByMindboxId");
    assert_eq!(body["customer"]["ids"], json!({ "mindboxId": "{{ platform_id }}\",\"x\":1" }));
}

#[tokio::test]
async fn what_cannot_be_meant_is_not_sent() {
    let server = StandIn::always(success()).await;
    let crm = connect(&account(&server.url())).unwrap();
    for (with, says) in [
        (json!({}), "`operation` came out empty"),
        (json!({ "operation": "by_fax" }), "no such operation; write one of Telegram.Subscribed, by_device"),
        (
            json!({ "operation": "by_link", "values": { "platform_id": "7" } }),
            "the call gives no `mindbox_id`",
        ),
        (
            json!({ "operation": "by_link", "values": { "mindbox_id": " ", "platform_id": 7 } }),
            "no `mindbox_id`",
        ),
        (
            json!({ "operation": "by_link", "values": { "mindboxid": 1 } }),
            "does not read `mindboxid`; did you mean `mindbox_id`?",
        ),
        (json!({ "operation": "by_link", "body": { "customer": {} } }), "must give `values` and no `body`"),
        (json!({ "operation": "Telegram.Subscribed", "values": { "a": 1 } }), "no body in the workspace"),
        (json!({ "operation": "by_link", "values": [1] }), "`values` must be a mapping"),
        // A device that came out empty must not make a nameless customer.
        (
            json!({ "operation": "by_device", "device": "", "values": { "platform_id": "7" } }),
            "nameless customer",
        ),
        (json!({ "operation": "by_phone", "values": { "platform_id": "7" } }), "nameless customer"),
        (
            json!({ "operation": "by_device", "device": "900000417", "values": { "platform_id": "7" } }),
            "must be a UUID",
        ),
    ] {
        check_refused(&crm, &server, run(&with), says).await;
    }
}

#[tokio::test]
async fn answers() {
    let status = |status: u16, word: &str| {
        let said = "Операция Telegram.Authorise не найдена";
        says(status, json!({ "status": word, "errorMessage": said, "httpStatusCode": status }))
    };
    let invalid = json!({ "status": "ValidationError", "validationMessages": [
        { "message": "Некорректный номер +77010000001", "location": "/customer/mobilePhone" },
        { "message": format!("not {SECRET}") },
    ]});
    let answers = vec![
        (success(), "done", ""),
        (says(200, json!({ "status": "TransactionAlreadyProcessed" })), "done", ""),
        (says(400, json!({ "status": "TransactionAlreadyProcessed" })), "done", ""),
        (
            says(200, invalid),
            "rejected",
            "by_link: Mindbox found the data invalid: Некорректный номер +77•••01 (at /customer/mobilePhone); not •••",
        ),
        (status(200, "ProtocolError"), "rejected", "не найдена"),
        (status(400, "ProtocolError"), "rejected", "answered 400: Операция Telegram.Authorise не найдена"),
        (status(401, "ProtocolError"), "unauthorised", "check the credentials"),
        (status(403, "ProtocolError"), "unauthorised", "не найдена"),
        (status(404, "ProtocolError"), "rejected", "404"),
        (status(409, "ProtocolError"), "unknown", "409"),
        (status(422, "ProtocolError"), "rejected", "422"),
        (status(429, "ProtocolError"), "retry", "over its rate limit"),
        (status(500, "InternalServerError"), "unknown", "500"),
        (status(503, "InternalServerError"), "unknown", "503"),
        (status(200, "InternalServerError"), "unknown", "Mindbox answered InternalServerError"),
        (Reply::text(200, ""), "unknown", "without a status"),
        (Reply::text(200, "[]"), "unknown", "without a status"),
        (Reply::text(200, "<html>"), "unknown", "not JSON"),
        (Reply::text(400, "<html>"), "rejected", "<html>"),
        (Reply::HangsUp, "unknown", "broke"),
        (Reply::Silence, "unknown", "no answer within"),
    ];
    check_answers(answers, account, |_| by_link()).await;
}

#[tokio::test]
async fn a_lost_answer_is_made_up_for_with_the_same_transaction() {
    let server = StandIn::always(says(503, json!({ "status": "InternalServerError" }))).await;
    let crm = connect(&account(&server.url())).unwrap();
    let step = step(by_link());
    for _ in 0..2 {
        assert_eq!(told(&outcome(&*crm, &step, &Recorder::default()).await).0, "unknown");
    }
    let (one, two) = (server.requests().remove(0), server.requests().remove(1));
    assert_eq!(one.query, two.query);
    assert_eq!(one.body, two.body);
    assert!(crm.repeatable(&by_link()));
}

#[tokio::test]
async fn a_wait_that_is_asked_for_is_kept() {
    let server = StandIn::always(Reply::text(429, "{}").with("Retry-After", "7")).await;
    let crm = connect(&account(&server.url())).unwrap();
    let outcome = outcome(&*crm, &step(by_link()), &Recorder::default()).await;
    let expect = Some(std::time::Duration::from_secs(7));
    assert!(
        matches!(&outcome, leadfold::crm::Outcome::Retry { after, .. } if *after == expect),
        "{outcome:?}"
    );
}

#[test]
fn what_is_wrong_with_operations_is_said_at_its_place() {
    let check = |operations: &str, expect: &str| {
        let text = format!(
            "destinations:\n  mindbox:\n    bot: mindbox\n    endpoint_id: a\n    secret_key: \"${{KEY}}\"\n    operations:\n      {operations}\n"
        );
        let (destination, problems) = compiled(&text, "");
        assert!(problems.contains(expect), "{problems}");
        let refused = connect(&destination).map(drop).unwrap_err().to_string();
        assert!(refused.contains("destination `mindbox`"), "{refused}");
    };
    check("a: { mode: later }", "`later` is not a possible value of `mode`");
    check("a: { boddy: {} }", "`boddy` is not a key of operation `a`");
    check(
        "a: { needs: [phone], body: { customer: { mobilePhone: \"{{ phne }}\" } } }",
        "nothing in operation `a` reads `phone`",
    );
    check("a: { needs: [phone] }", "nothing in operation `a` reads `phone`");
    check("a: { body: { customer: { email: \"{{ lower() }}\" } } }", "there are no functions");
    check("- a", "must be a mapping");
}

#[test]
fn a_call_of_what_the_workspace_does_not_have_is_said_before_it_is_made() {
    let check = |call: &str, expect: &str| {
        let workspace = "destinations:\n  mindbox:\n    bot: mindbox\n    endpoint_id: a\n    secret_key: \"${KEY}\"\n    operations:\n      \
            by_phone: { needs: [phone], body: { customer: { mobilePhone: \"{{ phone }}\", email: \"{{ email }}\" } } }\n      plain: {}\n";
        let source = format!(
            "source: {{ preset: json, token: t }}\nleads: [ {{ name: a, calls: [ {{ to: mindbox, run: {call} }} ] }} ]\n"
        );
        let files = [("workspace.yaml", workspace.to_owned()), ("bot.yaml", source)];
        let files = Files(files.map(|(name, text)| (name.to_owned(), text)).into());
        let compiled = compile_with(&files, &(std::sync::Arc::new(|_: &str| Some(SECRET.to_owned())) as _));
        let problems: Vec<_> = compiled.problems.iter().map(ToString::to_string).collect();
        let problems = problems.join("\n");
        if expect.is_empty() {
            assert_eq!(problems, "", "{call}");
        } else {
            assert!(problems.starts_with("bot.yaml:2:") && problems.contains(expect), "{call}: {problems}");
        }
    };
    check("{ operation: by_phone, values: { phone: <<phone>> } }", "");
    check("{ operation: by_phone, values: { phone: <<phone>>, email: a } }", "");
    check("{ operation: <<operation>>, values: { nobody: knows } }", "");
    check("{ operation: by_phone, values: <<all>> }", "");
    check("plain", "");
    check("by_phnoe", "`mindbox` has no operation `by_phnoe` (did you mean `by_phone`?)");
    check(
        "register",
        "`mindbox` has no operation `register` (write one of by_phone, plain, or add it under `operations`",
    );
    check(
        "by_phone",
        "operation `by_phone` needs `phone`, and this call does not give it (write it under `values`:",
    );
    check(
        "{ operation: by_phone, values: { phnoe: <<phone>>, phone: 1 } }",
        "nothing in the body of operation `by_phone` reads `phnoe` (did you mean `phone`?)",
    );
    check("{ operation: by_phone, values: 7 }", "`values` of operation `by_phone` holds no names and values");
    check(
        "{ operation: by_phone, body: { a: 1 } }",
        "has its `body` in workspace.yaml, and this call brings another",
    );
    check("{ operation: plain, values: { a: 1 } }", "operation `plain` has no `body` in workspace.yaml");
}
