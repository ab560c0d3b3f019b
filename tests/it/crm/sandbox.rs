//! What only the sandbox has: batches, life without markers, and its server over HTTP.

use std::time::Duration;

use leadfold::crm::{CrmError, Guarantee, Outcome, Priority, Query, Remaining};
use leadfold::plan::{Action, ContactFields, RecordId, RecordKind, Reference, Step, StepKind};
use leadfold::sandbox::{Faults, Rate, Sandbox, SandboxOptions, Stats};
use serde_json::{Value, json};

use super::fixture::{Fixture, Recorder, SECRET, alone, step};
use super::{
    EMAIL, PHONE, by_email, by_link, by_phone, canned, contact, deal, done, found, ids, note, task, write,
};

fn person(number: u32) -> Action {
    let phones = vec![format!("+38067{number:07}")];
    Action::CreateContact { contact: ContactFields { phones, ..ContactFields::default() } }
}

#[tokio::test]
async fn a_batch_is_one_call() {
    let fixture = Fixture::sandbox(&[("batch", "true")]).await;
    fixture.server.set_faults(Faults { batch: true, ..Faults::default() });
    let crm = &*fixture.crm;
    assert_eq!(crm.batch(), 50);
    let steps: Vec<Step> = (0..50).map(|number| step(person(number))).collect();
    let broken =
        step(Action::UpdateContact { contact: RecordId("99999".into()), changes: ContactFields::default() });
    let plans: Vec<Remaining<'_>> = steps.iter().take(49).chain([&broken]).map(alone).collect();
    let journal = Recorder::default();
    let outcomes = crm.write(&plans, &journal).await;
    let done = outcomes.iter().filter(|outcomes| matches!(outcomes[..], [Outcome::Done(_)])).count();
    assert_eq!(done, 49);
    assert!(matches!(&outcomes[49][..], [Outcome::Rejected { .. }]), "{:?}", outcomes[49]);
    assert_eq!(journal.sent().len(), 50);
    assert_eq!(fixture.server.stats().calls_total, 1);

    let queries: Vec<Query> = (0..49).map(|number| by_phone(&format!("+38067{number:07}"))).collect();
    let answers = crm.find(&queries).await;
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|found| found.contacts.len() == 1)));
    assert_eq!(fixture.server.stats().calls_total, 3, "one call to search, one to read what was found");
}

#[tokio::test]
async fn a_batch_without_an_answer_leaves_every_step_unknown() {
    let fixture = Fixture::sandbox(&[("batch", "true")]).await;
    fixture.server.set_faults(Faults { batch: true, timeout_after: 1.0, ..Faults::default() });
    let steps = [step(person(1)), step(person(2))];
    let plans: Vec<Remaining<'_>> = steps.iter().map(alone).collect();
    let outcomes = fixture.crm.write(&plans, &Recorder::default()).await;
    assert!(
        outcomes.iter().all(|outcomes| matches!(outcomes[..], [Outcome::Unknown { .. }])),
        "{outcomes:?}"
    );
    fixture.server.set_faults(Faults { batch: true, ..Faults::default() });
    let sought: Vec<_> = steps.iter().map(|step| (RecordKind::Contact, step)).collect();
    for answer in fixture.crm.look_up(&sought, Priority::Live).await {
        assert!(answer.as_ref().is_ok_and(|found| found.len() == 1), "{answer:?}");
    }
}

#[tokio::test]
async fn without_markers_contacts_and_deals_are_found_by_what_they_hold() {
    let fixture = Fixture::sandbox(&[("markers", "false")]).await;
    fixture.server.set_faults(Faults { marker_lookup: false, ..Faults::default() });
    let crm = &*fixture.crm;
    for (kind, expect) in [
        (StepKind::CreateContact, Guarantee::Findable),
        (StepKind::CreateDeal, Guarantee::Findable),
        (StepKind::CreateTask, Guarantee::Blind),
        (StepKind::AddNote, Guarantee::Blind),
        (StepKind::UpdateContact, Guarantee::Keyed),
        (StepKind::UpdateDeal, Guarantee::Keyed),
    ] {
        assert_eq!(crm.guarantee(kind), expect, "{kind:?}");
    }
    let lost = step(contact());
    assert_eq!(crm.look_up(&[(RecordKind::Contact, &lost)], Priority::Live).await, [Ok(vec![])]);
    let id = done(crm, contact()).await;
    assert_eq!(crm.look_up(&[(RecordKind::Contact, &lost)], Priority::Live).await, [Ok(vec![id.clone()])]);
    let lost = step(deal(&id));
    assert_eq!(crm.look_up(&[(RecordKind::Deal, &lost)], Priority::Live).await, [Ok(vec![])]);
    let made = done(crm, deal(&id)).await;
    assert_eq!(crm.look_up(&[(RecordKind::Deal, &lost)], Priority::Live).await, [Ok(vec![made])]);
    let nameless = ContactFields { name: Some("Olena".into()), ..ContactFields::default() };
    let lost = step(Action::CreateContact { contact: nameless });
    let answer = crm.look_up(&[(RecordKind::Contact, &lost)], Priority::Live).await.remove(0);
    assert!(matches!(answer, Err(CrmError::Rejected { .. })), "a person must look: {answer:?}");
}

#[tokio::test]
async fn markers_that_the_crm_does_not_know_are_an_error_and_not_a_none() {
    let fixture = Fixture::sandbox(&[]).await;
    let id = done(&*fixture.crm, contact()).await;
    fixture.server.set_faults(Faults { marker_lookup: false, ..Faults::default() });
    let lost = step(note(&id));
    let answer = fixture.crm.look_up(&[(RecordKind::Note, &lost)], Priority::Live).await.remove(0);
    assert!(matches!(answer, Err(CrmError::Rejected { .. })), "{answer:?}");
}

#[tokio::test]
async fn calls_are_as_few_as_they_can_be() {
    let fixture = Fixture::sandbox(&[]).await;
    let crm = &*fixture.crm;
    assert_eq!(found(crm, by_phone(PHONE)).await, []);
    let id = done(crm, contact()).await;
    let open = done(crm, deal(&id)).await;
    assert_eq!(fixture.server.stats().calls_total, 3, "a new human: search, contact, deal");
    assert_eq!(found(crm, by_link(&id)).await[0].deals[0].id, open);
    done(crm, task(&id, &open)).await;
    assert_eq!(fixture.server.stats().calls_total, 5, "a known one: read with deals, task");
}

#[tokio::test]
async fn a_connection_cut_after_the_request_is_unknown() {
    let fixture = Fixture::sandbox(&[]).await;
    fixture.server.set_faults(Faults { reset: 1.0, ..Faults::default() });
    let mut committed = 0;
    for number in 0..20 {
        let outcome = write(&*fixture.crm, &step(person(number)), &Recorder::default()).await;
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
        committed = fixture.server.stats().contacts;
    }
    assert!((1..20).contains(&committed), "some of the cut calls were committed, some not: {committed}");
}

#[tokio::test]
async fn a_step_that_waits_for_another_is_refused_and_not_sent() {
    let fixture = Fixture::sandbox(&[]).await;
    let other = step(contact());
    let orphan = step(Action::AddNote { contact: Reference::Step(other.id), deal: None, text: "x".into() });
    let journal = Recorder::default();
    let outcome = write(&*fixture.crm, &orphan, &journal).await;
    assert!(matches!(outcome, Outcome::Rejected { .. }), "{outcome:?}");
    assert_eq!((journal.sent().len(), fixture.server.stats().calls_total), (0, 0));
}

#[tokio::test]
async fn values_from_outside_stay_values() {
    let fixture = Fixture::sandbox(&[]).await;
    let crm = &*fixture.crm;
    let evil = "a+b&marker=x/../%2F?#@example.com";
    let emails = vec![evil.to_owned()];
    let id =
        done(crm, Action::CreateContact { contact: ContactFields { emails, ..ContactFields::default() } })
            .await;
    assert_eq!(ids(&found(crm, by_email(evil)).await), [id]);
    for link in ["", ".", ".."] {
        let answer = crm.find(&[by_link(&RecordId(link.into()))]).await.remove(0);
        assert!(matches!(answer, Err(CrmError::Rejected { .. })), "`{link}`: {answer:?}");
    }
    for link in ["../stats", "1/merge_into/2", "%2e%2e", "?with=open_deals"] {
        let answer = crm.find(&[by_link(&RecordId(link.into()))]).await.remove(0).unwrap();
        assert!(answer.link_is_gone && answer.contacts.is_empty(), "{link}: {answer:?}");
    }
}

#[tokio::test]
async fn settings_change_the_settle_time() {
    let plain = Fixture::sandbox(&[]).await;
    assert_eq!(plain.crm.settle(), Duration::from_secs(3));
    let lagging = Fixture::sandbox(&[("search_lag", "2500ms")]).await;
    assert_eq!(lagging.crm.settle(), Duration::from_millis(5500));
}

/// Reads `GET /stats` and the like.
async fn get(running: &leadfold::sandbox::Running, path: &str) -> Value {
    let (status, body) = canned::request(running.addr(), "GET", path, "", "").await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

#[tokio::test]
async fn the_server_is_steered_over_http() {
    let server = Sandbox::start(SandboxOptions::default()).await.unwrap();
    let addr = server.addr();
    let post = |path: &'static str, body: Value| async move {
        canned::request(addr, "POST", path, "demo", &body.to_string()).await
    };
    assert_eq!(canned::request(addr, "POST", "/contacts", "wrong", "{}").await.0, 401);
    assert_eq!(post("/truth", json!({"olena": [PHONE, EMAIL]})).await.0, 204);
    assert_eq!(post("/contacts", json!({"phones": ["38 067 123 45 67"]})).await.0, 201);
    assert_eq!(post("/contacts", json!({"emails": [EMAIL], "name": "<script>"})).await.0, 201);
    let stats: Stats = serde_json::from_value(get(&server, "/stats").await).unwrap();
    assert_eq!((stats.contacts, stats.duplicate_contacts, stats.unauthorised), (2, 1, 1));
    assert_eq!(stats.calls.get("POST /contacts"), Some(&2));

    let (answered, page) = canned::request(addr, "GET", "/", "", "").await;
    assert!(answered == 200 && page.contains("&lt;script&gt;") && !page.contains("<script>"), "{page}");

    assert_eq!(
        post("/faults", json!({"rate": {"count": 1, "per_ms": 60_000, "retry_after": true}})).await.0,
        200
    );
    assert_eq!(get(&server, "/faults").await["rate"]["count"], json!(1));
    assert_eq!(post("/contacts", json!({})).await.0, 201);
    assert_eq!(post("/contacts", json!({})).await.0, 429);
    assert_eq!(get(&server, "/stats").await["rate_limited"], json!(1), "and the statistics have no limit");
    assert_eq!(post("/faults", json!({"fail_befor": 1})).await.0, 422);
    assert_eq!(post("/faults", json!({"rate": null, "fail_before": 1})).await.0, 200);
    assert_eq!(post("/contacts", json!({})).await.0, 500);
    assert_eq!(post("/reset", json!({})).await.0, 204);
    assert_eq!(get(&server, "/stats").await["contacts"], json!(0));
    server.stop().await;
    assert!(tokio::net::TcpStream::connect(addr).await.is_err(), "the address is free again");
}

#[tokio::test]
async fn a_429_says_how_long_only_when_asked_to() {
    for (retry_after, expect) in [(false, None), (true, Some(Duration::from_mins(1)))] {
        let fixture = Fixture::sandbox(&[]).await;
        let rate = Rate { count: 1, per_ms: 60_000, retry_after };
        fixture.server.set_faults(Faults { rate: Some(rate), ..Faults::default() });
        done(&*fixture.crm, contact()).await;
        let outcome = write(&*fixture.crm, &step(contact()), &Recorder::default()).await;
        let Outcome::Retry { after, .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!(after, expect);
    }
}

#[tokio::test]
async fn a_stopped_server_lets_go_of_silent_calls() {
    let fixture = Fixture::sandbox(&[]).await;
    fixture.server.set_faults(Faults { timeout_after: 1.0, ..Faults::default() });
    let addr = fixture.server.addr();
    let waiting = tokio::spawn(async move {
        let mut stream = tokio::net::TcpStream::connect(addr).await.unwrap();
        let request = format!("GET /users HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SECRET}\r\n\r\n");
        tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        drop(tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer).await);
        answer
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let stopped = tokio::time::timeout(Duration::from_secs(5), fixture.server.stop()).await;
    assert!(stopped.is_ok());
    assert_eq!(waiting.await.unwrap(), Vec::<u8>::new());
}
