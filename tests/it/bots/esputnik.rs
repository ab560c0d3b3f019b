//! eSputnik: imports of contacts that end later, tokens of chats, and what its answers mean.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use leadfold::crm::{Crm, Outcome, connect};
use leadfold::plan::{Call, Step};
use leadfold::rules::Destination;
use serde_json::{Value, json};

use super::stand_in::{Reply, Request, StandIn};
use super::{
    SECRET, call_about, check_answers, check_refused, destination, outcome, outcomes_of, says, step, told,
    words,
};
use crate::crm::fixture::Recorder;

fn account(url: &str) -> Destination {
    destination("esputnik", &[("url", &format!("{url}/api")), ("api_key", SECRET)])
}

fn contact(with: &Value) -> Call {
    call_about("upsert_contact", None, with)
}

fn nth(number: usize) -> Call {
    contact(&json!({ "email": format!("person{number}@example.com") }))
}

fn token(chat: &str, app: &str) -> Call {
    call_about("add_token", Some(chat), &json!({ "app": app, "email": "olena@example.com" }))
}

/// Takes imports, and says how far they are.
async fn importing(state: impl Fn(&Request) -> Value + Send + Sync + 'static) -> (StandIn, Arc<dyn Crm>) {
    let sessions = AtomicUsize::new(0);
    let server = StandIn::start(move |seen| match seen.line().as_str() {
        "POST /api/v1/contacts" => {
            let session = sessions.fetch_add(1, Ordering::SeqCst);
            says(200, json!({ "asyncSessionId": format!("Session-{session}"), "failedContacts": [] }))
        }
        _ => says(200, state(seen)),
    })
    .await;
    let crm = connect(&account(&server.url())).unwrap();
    (server, crm)
}

fn lines(server: &StandIn) -> Vec<String> {
    server.requests().iter().map(Request::line).collect()
}

/// How many contacts each call took.
fn sizes(server: &StandIn) -> Vec<usize> {
    let calls = server.requests();
    let posts = calls.iter().filter(|seen| seen.path == "/api/v1/contacts");
    posts.map(|seen| seen.json()["contacts"].as_array().unwrap().len()).collect()
}

#[tokio::test]
async fn a_contact_is_done_once_its_import_has_ended() {
    let asked = AtomicUsize::new(0);
    let answers = ["STARTED", "IMPORTING", "FINISHED"];
    let (server, crm) =
        importing(move |_| json!({ "status": answers[asked.fetch_add(1, Ordering::SeqCst)] })).await;
    let step = step(contact(&json!({
        "email": "olena@example.com",
        "phone": "+38 (067) 000-00-01",
        "externalCustomerId": "crm-7781",
        "firstName": "Олена",
        "lastName": " ",
        "languageCode": "uk",
        "town": "Київ",
        "fields": { "12346": 7, "12345": "так" },
        "groups": "Telegram",
    })));
    let journal = Recorder::default();
    let first = outcome(&*crm, &step, &journal).await;
    let Outcome::UnderWay { after, why } = &first else { panic!("{first:?}") };
    assert_eq!(after.as_secs(), 2);
    assert!(why.contains("import Session-0 under way"), "{why}");
    assert_eq!(told(&outcome(&*crm, &step, &journal).await).0, "under way");
    assert_eq!(told(&outcome(&*crm, &step, &journal).await).0, "under way");
    assert_eq!(told(&outcome(&*crm, &step, &journal).await).0, "done");
    let status = "GET /api/v1/importstatus/Session-0";
    assert_eq!(lines(&server), ["POST /api/v1/contacts", status, status, status]);
    // Only the import is a write.
    assert_eq!(journal.sent(), [step.id]);
    let seen = server.requests().remove(0);
    assert_eq!(
        seen.header("authorization"),
        "Basic bGVhZGZvbGQ6czNjcmV0LW9mLXRoZS1ib3Q=",
        "leadfold:{SECRET}"
    );
    assert_eq!(
        seen.json(),
        json!({
            "contacts": [{
                "externalCustomerId": "crm-7781",
                "channels": [
                    { "type": "email", "value": "olena@example.com" },
                    { "type": "sms", "value": "380670000001" },
                ],
                "firstName": "Олена",
                "languageCode": "uk",
                "address": { "town": "Київ" },
                "fields": [{ "id": 12345, "value": "так" }, { "id": 12346, "value": "7" }],
            }],
            "dedupeOn": "email_or_sms",
            "contactFields": ["email", "sms", "firstName", "languageCode", "town"],
            "customFieldsIDs": [12345, 12346],
            "groupNames": ["Telegram"],
        })
    );
    assert!(crm.repeatable(&nth(1)));
    // Ended, and forgotten.
    assert_eq!(told(&outcome(&*crm, &step, &journal).await).0, "under way");
    assert_eq!(sizes(&server), [1, 1]);
}

#[tokio::test]
async fn three_thousand_and_one_contacts_are_two_calls() {
    let (server, crm) = importing(|_| json!({ "status": "FINISHED" })).await;
    assert_eq!(crm.batch(), 3_000);
    let steps: Vec<Step> = (0..3_001).map(|number| step(nth(number))).collect();
    let outcomes = outcomes_of(&*crm, &steps).await;
    assert!(outcomes.iter().all(|outcome| told(outcome).0 == "under way"), "{:?}", words(&outcomes));
    let mut calls = sizes(&server);
    calls.sort_unstable();
    assert_eq!(calls, [1, 3_000]);
    let outcomes = outcomes_of(&*crm, &steps).await;
    for (outcome, step) in outcomes.iter().zip(&steps) {
        assert!(
            matches!(outcome, Outcome::Done(record) if record.0 == step.id.to_string()),
            "each its own: {outcome:?}"
        );
    }
    assert_eq!(server.requests().len(), 4, "each import is asked about once");
}

#[tokio::test]
async fn different_kinds_never_share_a_call() {
    let (server, crm) = importing(|_| json!({ "status": "FINISHED" })).await;
    let all = [
        json!({ "email": "a@example.com", "dedupeOn": "email" }),
        json!({ "email": "b@example.com" }),
        // Fields that another contact has would be emptied in this one.
        json!({ "email": "c@example.com", "dedupeOn": "email", "firstName": "Ivan" }),
        json!({ "email": "d@example.com", "dedupeOn": "email", "fields": { "7": 1 } }),
        json!({ "email": "e@example.com", "dedupeOn": "email", "groups": ["x"] }),
        json!({ "email": "f@example.com", "dedupeOn": "email", "externalCustomerId": 7 }),
        json!({ "email": "g@example.com", "dedupeOn": "email", "lastName": null }),
        json!({ "phone": "380670000001", "dedupeOn": "sms" }),
        json!({ "contactId": "5", "dedupeOn": "id", "firstName": "Ivan" }),
    ];
    let steps: Vec<Step> = all.iter().map(|with| step(contact(with))).collect();
    assert!(outcomes_of(&*crm, &steps).await.iter().all(|outcome| told(outcome).0 == "under way"));
    for seen in server.requests() {
        let body = seen.json();
        let together = body["contacts"].as_array().unwrap();
        let emails: Vec<&str> =
            together.iter().filter_map(|one| one["channels"][0]["value"].as_str()).collect();
        assert!(together.len() == 1 || emails == ["a@example.com", "g@example.com"], "{body}");
        if together.len() == 2 {
            assert_eq!((&body["dedupeOn"], &body["contactFields"]), (&json!("email"), &json!(["email"])));
        }
    }
    assert_eq!(sizes(&server).len(), 8);
}

#[tokio::test]
async fn a_contact_that_fails_fails_alone() {
    // At once, in the answer to the call: here as the one and not as a list of one.
    let server = StandIn::always(says(
        200,
        json!({ "asyncSessionId": "s", "failedContacts":
            { "channels": [{ "type": "email", "value": "PERSON2@example.com" }], "message": "bad +380671234567" } }),
    ))
    .await;
    let crm = connect(&account(&server.url())).unwrap();
    let steps: Vec<Step> = (1..4).map(|number| step(nth(number))).collect();
    let outcomes = outcomes_of(&*crm, &steps).await;
    assert_eq!(words(&outcomes), ["under way", "rejected", "under way"]);
    assert_eq!(told(&outcomes[1]).1, "upsert_contact: eSputnik says: bad +38•••67");

    // Later, when the import has ended.
    let failed = json!({ "channels": [{ "type": "email", "value": "person1@example.com" }] });
    let (_server, crm) =
        importing(move |_| json!({ "status": "FINISHED", "failedContacts": [failed] })).await;
    outcomes_of(&*crm, &steps).await;
    let outcomes = outcomes_of(&*crm, &steps).await;
    assert_eq!(words(&outcomes), ["rejected", "done", "done"]);
    assert!(told(&outcomes[0]).1.contains("does not say why"), "{}", told(&outcomes[0]).1);

    // Somebody whom we did not send: nobody is called done.
    let (_server, crm) =
        importing(|_| json!({ "status": "FINISHED", "failedContacts": [{ "id": 77 }] })).await;
    outcomes_of(&*crm, &steps).await;
    let outcomes = outcomes_of(&*crm, &steps).await;
    assert_eq!(words(&outcomes), ["unknown"; 3]);
    assert!(told(&outcomes[0]).1.contains("does not say whose"), "{}", told(&outcomes[0]).1);
}

/// Refuses every call with the third person in it.
fn dislikes_the_third(seen: &Request) -> bool {
    seen.json().to_string().contains("person3@")
}

#[tokio::test]
async fn what_is_refused_as_a_whole_goes_again_in_halves() {
    for status in [400, 413, 422] {
        let server = StandIn::start(move |seen| {
            if dislikes_the_third(seen) {
                return says(status, json!({ "errorMessage": "email is wrong" }));
            }
            says(200, json!({ "asyncSessionId": "s" }))
        })
        .await;
        let crm = connect(&account(&server.url())).unwrap();
        let steps: Vec<Step> = (0..8).map(|number| step(nth(number))).collect();
        let outcomes = outcomes_of(&*crm, &steps).await;
        for (number, outcome) in outcomes.iter().enumerate() {
            assert_eq!(told(outcome).0, if number == 3 { "rejected" } else { "under way" }, "{number}");
        }
        assert!(told(&outcomes[3]).1.contains("email is wrong"), "{}", told(&outcomes[3]).1);
        assert_eq!(sizes(&server), [8, 4, 2, 2, 1, 1, 4]);
    }
    // What is no fault of the data would be the same for each.
    for (status, expect) in [(404, "rejected"), (401, "unauthorised"), (503, "unknown"), (429, "retry")] {
        let server = StandIn::always(Reply::text(status, "")).await;
        let crm = connect(&account(&server.url())).unwrap();
        let steps: Vec<Step> = (0..8).map(|number| step(nth(number))).collect();
        assert_eq!(words(&outcomes_of(&*crm, &steps).await), [expect; 8]);
        assert_eq!(sizes(&server), [8]);
    }
}

#[tokio::test]
async fn an_import_that_ends_with_an_error_is_sent_again_in_halves() {
    let server = StandIn::start(|seen| {
        if seen.path == "/api/v1/contacts" {
            let bad = dislikes_the_third(seen);
            return says(200, json!({ "asyncSessionId": if bad { "bad" } else { "good" } }));
        }
        let status = if seen.path.ends_with("/bad") { "ERROR" } else { "FINISHED" };
        says(200, json!({ "status": status, "description": "a name has digits" }))
    })
    .await;
    let crm = connect(&account(&server.url())).unwrap();
    let steps: Vec<Step> = (0..8).map(|number| step(nth(number))).collect();
    let mut ends: Vec<Option<Outcome>> = vec![None; steps.len()];
    for _ in 0..10 {
        let left: Vec<usize> = (0..steps.len()).filter(|number| ends[*number].is_none()).collect();
        let some: Vec<Step> = left.iter().map(|number| steps[*number].clone()).collect();
        let outcomes = outcomes_of(&*crm, &some).await;
        for (number, outcome) in left.into_iter().zip(outcomes) {
            ends[number] = Some(outcome).filter(|outcome| told(outcome).0 != "under way");
        }
    }
    let ends: Vec<Outcome> = ends.into_iter().flatten().collect();
    let expect = ["done", "done", "done", "rejected", "done", "done", "done", "done"];
    assert_eq!(words(&ends), expect);
    assert_eq!(told(&ends[3]).1, "upsert_contact: eSputnik says: a name has digits");
    let mut calls = sizes(&server);
    calls.sort_unstable();
    assert_eq!(calls, [1, 1, 2, 2, 4, 4, 8]);
}

#[tokio::test]
async fn an_import_that_never_ends_is_sent_again() {
    let server = StandIn::start(|seen| match seen.path.as_str() {
        "/api/v1/contacts" => says(200, json!({ "asyncSessionId": 5 })),
        _ => says(200, json!({ "status": "IMPORTING" })),
    })
    .await;
    let mut destination = account(&server.url());
    destination.settings.0.insert("import_timeout".into(), "1ms".into());
    let crm = connect(&destination).unwrap();
    let step = step(nth(1));
    let mut outcomes = Vec::new();
    for _ in 0..4 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        outcomes.push(outcome(&*crm, &step, &Recorder::default()).await);
    }
    assert_eq!(words(&outcomes), ["under way", "unknown", "under way", "unknown"]);
    assert!(told(&outcomes[1]).1.contains("import 5 has not ended in 1ms; its contacts are sent again"));
    assert_eq!(sizes(&server), [1, 1]);
}

#[tokio::test]
async fn how_an_import_is_asked_about_may_fail() {
    let error = |status| (says(status, json!({ "errorMessage": format!("no {SECRET}") })), status);
    for ((reply, status), expect, again) in [
        // eSputnik has forgotten it, or does not understand: it is sent anew.
        (error(404), "unknown", 2),
        (error(400), "unknown", 2),
        // It will be told later.
        (error(401), "unauthorised", 1),
        (error(500), "retry", 1),
        ((Reply::text(429, "{}").with("Retry-After", "1"), 429), "retry", 1),
        ((Reply::text(200, "<html>"), 200), "retry", 1),
        ((Reply::text(200, ""), 204), "under way", 1),
    ] {
        let server = StandIn::start(move |seen| match seen.path.as_str() {
            "/api/v1/contacts" => says(200, json!({ "asyncSessionId": "s" })),
            _ => reply.clone(),
        })
        .await;
        let crm = connect(&account(&server.url())).unwrap();
        let step = step(nth(1));
        outcome(&*crm, &step, &Recorder::default()).await;
        let end = outcome(&*crm, &step, &Recorder::default()).await;
        assert_eq!(told(&end).0, expect, "{status}: {}", told(&end).1);
        assert!(!told(&end).1.contains(SECRET), "{}", told(&end).1);
        outcome(&*crm, &step, &Recorder::default()).await;
        assert_eq!(sizes(&server).len(), again, "{status}");
    }
}

#[tokio::test]
async fn tokens_of_one_app_go_together() {
    let server = StandIn::always(Reply::text(200, "")).await;
    let crm = connect(&account(&server.url())).unwrap();
    let with = json!({ "app": "app-1", "contactId": 7, "externalCustomerId": "crm-7781", "phone": "+380670000001",
                       "email": "olena@example.com" });
    let steps = [
        step(call_about("add_token", Some("700000101"), &with)),
        step(token("700000102", "app-2")),
        step(token("700000103", "app-1")),
        step(nth(1)),
    ];
    assert_eq!(words(&outcomes_of(&*crm, &steps).await), ["done", "done", "done", "unknown"]);
    let seen = server.requests();
    let of = |path: &str| {
        let mut calls = seen.iter().filter(|seen| seen.line() == format!("POST {path}"));
        let body = calls.next().unwrap().json();
        assert!(calls.next().is_none(), "one call");
        body
    };
    assert_eq!(
        of("/api/v1/apps/app-1/tokens"),
        json!({ "tokens": [
            { "contactId": 7, "externalCustomerId": "crm-7781", "phone": "380670000001",
              "email": "olena@example.com", "token": "700000101" },
            { "email": "olena@example.com", "token": "700000103" },
        ]})
    );
    assert_eq!(
        of("/api/v1/apps/app-2/tokens"),
        json!({ "tokens": [{ "email": "olena@example.com", "token": "700000102" }] })
    );
    assert!(!crm.repeatable(&token("1", "app-1")), "a token may be added twice");
}

#[tokio::test]
async fn an_app_is_one_part_of_the_address() {
    let server = StandIn::always(Reply::text(200, "")).await;
    let crm = connect(&account(&server.url())).unwrap();
    let end = outcome(&*crm, &step(token("1", "../contacts?x=1")), &Recorder::default()).await;
    assert_eq!(told(&end).0, "done");
    assert_eq!(server.requests()[0].path, "/api/v1/apps/..%2Fcontacts%3Fx=1/tokens");
    assert_eq!(told(&outcome(&*crm, &step(token("1", "..")), &Recorder::default()).await).0, "rejected");
}

#[tokio::test]
async fn what_cannot_be_meant_is_not_sent() {
    let server = StandIn::always(Reply::text(200, "{}")).await;
    let crm = connect(&account(&server.url())).unwrap();
    for (call, says) in [
        (contact(&json!({})), "nothing to find this contact by"),
        (contact(&json!({ "email": " ", "phone": "+" })), "nothing to find this contact by"),
        (contact(&json!({ "email": "a@example.com", "dedupeOn": "sms" })), "with `dedupeOn: sms`"),
        (contact(&json!({ "email": "a@example.com", "dedupeOn": "name" })), "not `name`"),
        (contact(&json!({ "externalCustomerId": "7" })), "an email, a phone or a name"),
        (contact(&json!({ "contactId": "x", "dedupeOn": "id" })), "`contactId` must be a whole number"),
        (
            contact(&json!({ "email": "a@example.com", "fields": { "city": 1 } })),
            "wants the number of the field",
        ),
        (
            contact(&json!({ "email": "a@example.com", "fields": { "7": [1] } })),
            "field `7` must be one value",
        ),
        (contact(&json!({ "email": "a@example.com", "groups": { "a": 1 } })), "names of segments"),
        (call_about("add_token", Some("7"), &json!({ "email": "a@example.com" })), "`app` came out empty"),
        (call_about("add_token", Some("7"), &json!({ "app": "a", "email": "" })), "whose the chat is"),
        (call_about("add_token", None, &json!({ "app": "a", "email": "a@example.com" })), "names no chat"),
    ] {
        check_refused(&crm, &server, call, says).await;
    }
}

fn errors() -> Vec<(Reply, &'static str, &'static str)> {
    let error =
        |status: u16| says(status, json!({ "errorMessage": format!("no, {SECRET} and olena@example.com") }));
    vec![
        (error(200), "rejected", "eSputnik says: no, ••• and ole•••om"),
        (error(400), "rejected", "answered 400: no, •••"),
        (error(401), "unauthorised", "check the credentials"),
        (error(403), "unauthorised", "403"),
        (error(404), "rejected", "404"),
        (error(409), "rejected", "409"),
        (error(422), "rejected", "422"),
        (Reply::text(429, "{}").with("Retry-After", "3"), "retry", "over its rate limit"),
        (error(500), "unknown", "500"),
        (Reply::text(400, "Bad request"), "rejected", "Bad request"),
        (Reply::HangsUp, "unknown", "broke"),
        (Reply::Silence, "unknown", "no answer within"),
    ]
}

#[tokio::test]
async fn answers() {
    let mut answers = errors();
    answers.extend([
        (says(200, json!({ "asyncSessionId": 7 })), "under way", "import 7"),
        (Reply::text(200, "{}"), "unknown", "without `asyncSessionId`"),
        (Reply::text(200, ""), "unknown", "without `asyncSessionId`"),
        (Reply::text(200, "<html>"), "unknown", "not JSON"),
        (says(200, json!({ "failedContacts": [{ "id": 1 }] })), "rejected", "does not say why"),
    ]);
    check_answers(answers, account, |_| nth(1)).await;
}

#[tokio::test]
async fn answers_to_tokens() {
    let mut answers = errors();
    answers.extend([
        (Reply::text(200, ""), "done", ""),
        (Reply::text(200, "{}"), "done", ""),
        (Reply::text(200, "<html>"), "unknown", "not JSON"),
    ]);
    check_answers(answers, account, |_| token("7", "app")).await;

    // A success that speaks of an error does not say of which token, and a token may not be added twice.
    let server = StandIn::always(says(200, json!({ "errorMessage": "one is wrong" }))).await;
    let crm = connect(&account(&server.url())).unwrap();
    let steps = [step(token("1", "app")), step(token("2", "app"))];
    assert_eq!(words(&outcomes_of(&*crm, &steps).await), ["unknown"; 2]);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn who_the_account_is() {
    let server = StandIn::always(says(200, json!({ "organisationName": "На полке" }))).await;
    let crm = connect(&account(&server.url())).unwrap();
    assert_eq!(crm.ping().await.as_deref(), Ok("На полке at 127.0.0.1"));
    assert_eq!(lines(&server), ["GET /api/v1/account/info"]);
}
