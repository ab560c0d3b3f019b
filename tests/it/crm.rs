//! Conformance: what every CRM in [`DESCRIPTIONS`] must do. A description without a fixture here fails.

mod budget;
mod canned;
pub(crate) mod fixture;
mod rest;
mod sandbox;

use std::time::Duration;

use leadfold::crm::{Crm, CrmError, DESCRIPTIONS, Guarantee, Outcome, Priority, Query};
use leadfold::plan::{
    Action, ContactFields, DealFields, FoundContact, RecordId, RecordKind, Reference, Step, StepKind,
    TaskFields,
};

use self::canned::Canned;
use self::fixture::{Fault, Fixture, Recorder, SECRET, destination, everywhere};

const PHONE: &str = "+380671234567";
const EMAIL: &str = "olena@example.com";

fn contact() -> Action {
    let contact = ContactFields {
        name: Some("Olena".into()),
        phones: vec![PHONE.into()],
        emails: vec![EMAIL.into()],
        owner: Some("anna".into()),
        fields: [("city".to_owned(), "Київ".into())].into(),
    };
    Action::CreateContact { contact }
}

fn deal(contact: &RecordId) -> Action {
    let deal = DealFields {
        title: Some("Заявка".into()),
        pipeline: Some("Основна".into()),
        stage: Some("Нова".into()),
        owner: Some("anna".into()),
        fields: [("utm_source".to_owned(), "bot".into())].into(),
    };
    Action::CreateDeal { contact: Reference::Record(contact.clone()), deal }
}

fn task(contact: &RecordId, deal: &RecordId) -> Action {
    let task = TaskFields {
        title: "Повторна заявка".into(),
        text: "call back".into(),
        kind: Some("call".into()),
        due_at: "2026-11-21T12:00:00Z".parse().unwrap(),
        owner: None,
    };
    let (contact, deal) = (Reference::Record(contact.clone()), Some(Reference::Record(deal.clone())));
    Action::CreateTask { contact, deal, task }
}

fn note(contact: &RecordId) -> Action {
    Action::AddNote { contact: Reference::Record(contact.clone()), deal: None, text: "hello".into() }
}

/// A contact that names nothing whose id an adapter would have to ask for before it writes.
fn bare_contact() -> Action {
    let contact =
        ContactFields { name: Some("Olena".into()), phones: vec![PHONE.into()], ..ContactFields::default() };
    Action::CreateContact { contact }
}

/// Writes one step and gives its outcome.
async fn write(crm: &dyn Crm, step: &Step, journal: &Recorder) -> Outcome {
    let mut outcomes = crm.write(&[fixture::alone(step)], journal).await;
    assert_eq!(outcomes.len(), 1, "one list of outcomes per plan");
    let mut outcomes = outcomes.remove(0);
    assert_eq!(outcomes.len(), 1, "one outcome for the one step");
    outcomes.remove(0)
}

async fn done(crm: &dyn Crm, action: Action) -> RecordId {
    let outcome = write(crm, &fixture::step(action), &Recorder::default()).await;
    let Outcome::Done(id) = outcome else { panic!("not written: {outcome:?}") };
    id
}

/// Asks for the fields that are written here.
fn query() -> Query {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Query { contact_fields: set(&["city", "source"]), deal_fields: set(&["utm_source"]), ..Query::default() }
}

fn by_link(id: &RecordId) -> Query {
    Query { contact: Some(id.clone()), ..query() }
}

pub(crate) fn by_phone(phone: &str) -> Query {
    Query { phones: vec![phone.to_owned()], ..query() }
}

fn by_email(email: &str) -> Query {
    Query { emails: vec![email.to_owned()], ..query() }
}

/// The contacts that one query finds.
async fn found(crm: &dyn Crm, query: Query) -> Vec<FoundContact> {
    crm.find(&[query]).await.remove(0).unwrap().contacts
}

fn ids(contacts: &[FoundContact]) -> Vec<RecordId> {
    contacts.iter().map(|contact| contact.id.clone()).collect()
}

#[tokio::test]
async fn finds_by_each_key() {
    for name in everywhere() {
        let fixture = Fixture::start(name).await;
        let crm = &*fixture.crm;
        let id = done(crm, contact()).await;
        let deal = done(crm, deal(&id)).await;
        for query in [by_link(&id), by_phone(PHONE), by_email(EMAIL)] {
            let contacts = found(crm, query.clone()).await;
            assert_eq!(ids(&contacts), std::slice::from_ref(&id), "{name}: {query:?}");
            assert_eq!(contacts[0].name.as_deref(), Some("Olena"));
            assert_eq!(contacts[0].deals.len(), 1, "{name}: with its open deals");
            assert_eq!(contacts[0].deals[0].id, deal);
        }
        for query in [by_phone("+380671234560"), by_email("someone@example.com"), Query::default()] {
            assert_eq!(found(crm, query).await, [], "{name}");
        }
        // A whole batch is answered in order, and a contact that two values lead to is there once.
        let both = Query { emails: vec![EMAIL.to_owned()], ..by_phone(PHONE) };
        let answers = crm.find(&[by_phone("+380671234560"), both, by_link(&id)]).await;
        let counts: Vec<_> = answers.iter().map(|answer| answer.as_ref().unwrap().contacts.len()).collect();
        assert_eq!(counts, [0, 1, 1], "{name}");
    }
}

#[tokio::test]
async fn a_phone_and_an_email_of_two_contacts_find_both() {
    for name in everywhere() {
        let fixture = Fixture::start(name).await;
        let crm = &*fixture.crm;
        let named = || ContactFields { name: Some("Olena".into()), ..ContactFields::default() };
        let fields = ContactFields { phones: vec![PHONE.into()], ..named() };
        let one = done(crm, Action::CreateContact { contact: fields }).await;
        let fields = ContactFields { emails: vec![EMAIL.into()], ..named() };
        let two = done(crm, Action::CreateContact { contact: fields }).await;
        let query = Query { emails: vec![EMAIL.to_owned()], ..by_phone(PHONE) };
        let mut both = ids(&found(crm, query).await);
        both.sort();
        assert_eq!(both, [one, two], "{name}");
    }
}

#[tokio::test]
async fn writes_and_reads_back() {
    for name in everywhere() {
        let fixture = Fixture::start(name).await;
        let crm = &*fixture.crm;
        let id = done(crm, contact()).await;
        let deal = done(crm, deal(&id)).await;
        done(crm, task(&id, &deal)).await;
        done(crm, note(&id)).await;
        let changes = ContactFields {
            phones: vec![PHONE.into(), "+380501112233".into()],
            fields: [("source".to_owned(), "telegram".into())].into(),
            ..ContactFields::default()
        };
        let updated = done(crm, Action::UpdateContact { contact: id.clone(), changes }).await;
        assert_eq!(updated, id, "{name}: an update gives the record it changed");
        let changes = DealFields { title: Some("Нова назва".into()), ..DealFields::default() };
        done(crm, Action::UpdateDeal { deal: deal.clone(), changes }).await;

        let contact = found(crm, by_link(&id)).await.remove(0);
        assert_eq!(contact.name.as_deref(), Some("Olena"), "what is not sent stays");
        let phones: &[&str] = if crm.capabilities().lists { &[PHONE, "+380501112233"] } else { &[PHONE] };
        assert_eq!(contact.phones, phones);
        assert_eq!(contact.emails, [EMAIL]);
        assert_eq!(contact.owner.as_deref(), Some("anna"));
        assert!(contact.created_at.is_some());
        assert_eq!(contact.fields.get("city"), Some(&"Київ".into()));
        assert_eq!(contact.fields.get("source"), Some(&"telegram".into()));
        let read = contact.deals.first().unwrap();
        assert_eq!((&read.id, read.title.as_deref()), (&deal, Some("Нова назва")));
        assert_eq!((read.pipeline.as_deref(), read.stage.as_deref()), (Some("Основна"), Some("Нова")));
        assert_eq!(
            (read.owner.as_deref(), read.fields.get("utm_source")),
            (Some("anna"), Some(&"bot".into()))
        );
    }
}

#[tokio::test]
async fn a_link_that_is_gone_is_said_and_searched_around() {
    for name in everywhere() {
        let fixture = Fixture::start(name).await;
        let crm = &*fixture.crm;
        let old = done(crm, contact()).await;
        let new = done(crm, contact()).await;
        fixture.merge(&old, &new).await;
        let query = Query { contact: Some(old), ..by_phone(PHONE) };
        let answer = crm.find(&[query]).await.remove(0).unwrap();
        assert!(answer.link_is_gone, "{name}");
        assert_eq!(ids(&answer.contacts), [new], "{name}");
    }
}

#[tokio::test]
async fn the_limiter_holds_after_a_429() {
    for description in DESCRIPTIONS {
        let server =
            Canned::start("HTTP/1.1 429 Too Many\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n").await;
        let crm = leadfold::crm::connect(&destination(description.name, &server.url())).unwrap();
        let outcome = write(&*crm, &fixture::step(bare_contact()), &Recorder::default()).await;
        let Outcome::Retry { after, .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!(after, Some(Duration::from_secs(1)), "{}", description.name);
        let usage = crm.usage();
        assert_eq!((usage.permits, usage.rate_limited), (1, 1));
        assert!(usage.held_for.is_some_and(|left| left > Duration::from_millis(500)), "{usage:?}");

        let began = tokio::time::Instant::now();
        let answer = crm.find(&[by_phone(PHONE)]).await.remove(0);
        assert!(matches!(answer, Err(CrmError::Retry { after: Some(_), .. })), "{answer:?}");
        assert!(began.elapsed() > Duration::from_millis(500), "the next call waited");
    }
}

#[tokio::test]
async fn a_server_error_may_hide_a_commit() {
    for description in DESCRIPTIONS {
        let fixture = Fixture::start(description.name).await;
        fixture.fault(Fault::Fails);
        let journal = Recorder::default();
        let step = fixture::step(bare_contact());
        let outcome = write(&*fixture.crm, &step, &journal).await;
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{}: {outcome:?}", description.name);
        assert_eq!(journal.sent(), [step.id], "{}: journalled before it was sent", description.name);
        let answer = fixture.crm.find(&[by_phone(PHONE)]).await.remove(0);
        assert!(matches!(answer, Err(CrmError::Retry { .. })), "{answer:?}");
    }
}

#[tokio::test]
async fn a_create_that_was_committed_without_an_answer_is_found_again() {
    for description in DESCRIPTIONS {
        let fixture = Fixture::start(description.name).await;
        let crm = &*fixture.crm;
        let person = done(crm, contact()).await;
        let open = done(crm, deal(&person)).await;
        for action in [contact(), deal(&person), task(&person, &open), note(&person)] {
            let kind = action.kind();
            if crm.guarantee(kind) != Guarantee::Findable {
                continue;
            }
            let record = kind.creates().unwrap();
            let (lost, never) = (fixture::step(action.clone()), fixture::step(action));
            fixture.fault(Fault::Silent);
            let outcome = write(crm, &lost, &Recorder::default()).await;
            assert!(
                matches!(outcome, Outcome::Unknown { .. }),
                "{}, {kind:?}: {outcome:?}",
                description.name
            );
            fixture.fault(Fault::None);
            let answers = crm.look_up(&[(record, &lost), (record, &never)], Priority::Live).await;
            assert!(
                answers[0].as_ref().is_ok_and(|found| found.len() == 1),
                "{}, {kind:?}: {:?}",
                description.name,
                answers[0]
            );
            // A second copy, as of a request that arrived late after all, is told as well, behind the first.
            let copy = write(crm, &lost, &Recorder::default()).await;
            let Outcome::Done(copy) = copy else { panic!("not written: {copy:?}") };
            let both = crm.look_up(&[(record, &lost)], Priority::Live).await.remove(0).unwrap();
            assert_eq!(both.first(), answers[0].as_ref().unwrap().first(), "{}, {kind:?}", description.name);
            assert_eq!(both.get(1..), Some(&[copy][..]), "{}, {kind:?}", description.name);
            assert_eq!(answers[1], Ok(Vec::new()), "{}, {kind:?}: this one was never sent", description.name);
        }
    }
}

#[tokio::test]
async fn a_keyed_create_without_an_answer_is_sent_again_and_there_once() {
    for description in DESCRIPTIONS {
        let fixture = Fixture::start(description.name).await;
        let crm = &*fixture.crm;
        let person = done(crm, contact()).await;
        let open = done(crm, deal(&person)).await;
        for action in [contact(), deal(&person), task(&person, &open), note(&person)] {
            let kind = action.kind();
            if crm.guarantee(kind) != Guarantee::Keyed {
                continue;
            }
            let lost = fixture::step(action);
            fixture.fault(Fault::Silent);
            let outcome = write(crm, &lost, &Recorder::default()).await;
            assert!(matches!(outcome, Outcome::Unknown { .. }), "{kind:?}: {outcome:?}");
            fixture.fault(Fault::None);
            let first = write(crm, &lost, &Recorder::default()).await;
            assert!(matches!(first, Outcome::Done(_)), "{kind:?}: {first:?}");
            assert_eq!(
                write(crm, &lost, &Recorder::default()).await,
                first,
                "{}, {kind:?}",
                description.name
            );
        }
        if crm.guarantee(StepKind::CreateContact) == Guarantee::Keyed {
            let contacts = found(crm, by_phone(PHONE)).await;
            assert_eq!(contacts.len(), 2, "{}: the first and the lost one", description.name);
        }
    }
}

#[tokio::test]
async fn refused_credentials_are_told_apart() {
    for description in DESCRIPTIONS {
        let fixture = Fixture::start(description.name).await;
        fixture.fault(Fault::Unauthorised);
        let outcome = write(&*fixture.crm, &fixture::step(bare_contact()), &Recorder::default()).await;
        assert!(matches!(outcome, Outcome::Unauthorised { .. }), "{}: {outcome:?}", description.name);
        let answer = fixture.crm.find(&[by_phone(PHONE)]).await.remove(0);
        assert!(matches!(answer, Err(CrmError::Unauthorised { .. })), "{answer:?}");
        assert!(matches!(fixture.crm.ping().await, Err(CrmError::Unauthorised { .. })));
        fixture.fault(Fault::None);
        assert!(fixture.crm.ping().await.is_ok());
    }
}

#[tokio::test]
async fn what_never_left_may_be_sent_again() {
    for description in DESCRIPTIONS {
        let nobody = Canned::start("").await.gone();
        let crm = leadfold::crm::connect(&destination(description.name, &nobody)).unwrap();
        let outcome = write(&*crm, &fixture::step(bare_contact()), &Recorder::default()).await;
        assert!(matches!(outcome, Outcome::Retry { after: None, .. }), "{}: {outcome:?}", description.name);
        let answer = crm.find(&[by_phone(PHONE)]).await.remove(0);
        assert!(matches!(answer, Err(CrmError::Retry { .. })), "{answer:?}");
    }
}

#[tokio::test]
async fn an_unrecorded_step_is_not_sent() {
    for name in everywhere() {
        let fixture = Fixture::start(name).await;
        let outcome = write(&*fixture.crm, &fixture::step(contact()), &Recorder::broken()).await;
        assert!(matches!(outcome, Outcome::Retry { .. }), "{name}: {outcome:?}");
        assert_eq!(found(&*fixture.crm, by_phone(PHONE)).await, [], "{name}");
    }
}

#[tokio::test]
async fn an_answer_that_is_no_answer_leaves_a_write_unknown() {
    let huge = format!("HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n{}", " ".repeat(5_000_000));
    for (what, answer) in [
        ("breaks off", "HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{\"id\": 1"),
        ("is half JSON", "HTTP/1.1 201 Created\r\nContent-Length: 8\r\n\r\n{\"id\": 1"),
        ("is a page", "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html></html>"),
        ("is empty", "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"),
        ("has no id", "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}"),
        ("is a cut connection", ""),
        ("is no HTTP", "220 mail.example.com ESMTP\r\n"),
        ("is too large", huge.as_str()),
    ] {
        for description in DESCRIPTIONS {
            let server = Canned::start(answer).await;
            let crm = leadfold::crm::connect(&destination(description.name, &server.url())).unwrap();
            let outcome = write(&*crm, &fixture::step(bare_contact()), &Recorder::default()).await;
            assert!(matches!(outcome, Outcome::Unknown { .. }), "{}: {what}: {outcome:?}", description.name);
            let found = crm.find(&[by_phone(PHONE)]).await.remove(0);
            assert!(found.is_err(), "{}: {what}: {found:?}", description.name);
        }
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Canned::start("HTTP/1.1 201 Created\r\nContent-Length: 9\r\n\r\n{\"id\": 1}").await;
    let redirect =
        format!("HTTP/1.1 307 Moved\r\nLocation: {}/contacts\r\nContent-Length: 0\r\n\r\n", elsewhere.url());
    for description in DESCRIPTIONS {
        let server = Canned::start(&redirect).await;
        let crm = leadfold::crm::connect(&destination(description.name, &server.url())).unwrap();
        let outcome = write(&*crm, &fixture::step(bare_contact()), &Recorder::default()).await;
        assert!(matches!(outcome, Outcome::Rejected { .. }), "{}: {outcome:?}", description.name);
    }
    assert_eq!(elsewhere.requests(), Vec::<String>::new());
}

#[tokio::test]
async fn no_text_tells_a_secret() {
    let echo = |status: u16| {
        let body = format!("{{\"message\": \"bad {SECRET}, phone {PHONE}, email {EMAIL}\"}}");
        format!("HTTP/1.1 {status} No\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    let answers = [echo(400), echo(401), echo(403), echo(429), echo(500), String::new(), SECRET.to_owned()];
    for description in DESCRIPTIONS {
        for answer in &answers {
            let server = Canned::start(answer).await;
            let destination = destination(description.name, &server.url());
            let crm = leadfold::crm::connect(&destination).unwrap();
            let texts = [
                format!("{destination:?}"),
                format!("{:?}", write(&*crm, &fixture::step(bare_contact()), &Recorder::default()).await),
                format!("{:?}", crm.find(&[by_phone(PHONE)]).await),
                format!("{:?}", crm.ping().await),
            ];
            assert!(server.requests().iter().any(|request| request.contains(SECRET)), "the secret was used");
            for text in texts {
                for hidden in [SECRET, PHONE, EMAIL] {
                    assert!(!text.contains(hidden), "{}: {hidden} in {text}", description.name);
                }
            }
        }
    }
}

#[test]
fn a_wrong_setting_is_named() {
    for description in DESCRIPTIONS {
        for setting in description.settings.iter().filter(|setting| setting.required) {
            let mut destination = destination(description.name, "http://127.0.0.1:1");
            destination.settings.0.remove(setting.name);
            let error = leadfold::crm::connect(&destination).err().unwrap().to_string();
            assert!(error.contains("`crm`") && error.contains(&format!("`{}`", setting.name)), "{error}");
        }
        for url in ["not an address", "ftp://example.com", "mailto:a@example.com", "/relative"] {
            let error =
                leadfold::crm::connect(&destination(description.name, url)).err().unwrap().to_string();
            assert!(error.contains("`url`"), "{url}: {error}");
        }
    }
    let error =
        leadfold::crm::connect(&destination("sandbocks", "http://127.0.0.1:1")).err().unwrap().to_string();
    assert!(error.contains("sandbocks") && error.contains("sandbox"), "{error}");
}

#[tokio::test]
async fn every_kind_of_step_is_declared() {
    for description in DESCRIPTIONS {
        let fixture = Fixture::start(description.name).await;
        for kind in [StepKind::UpdateContact, StepKind::UpdateDeal] {
            assert_ne!(
                fixture.crm.guarantee(kind),
                Guarantee::Findable,
                "an update makes nothing to be found"
            );
        }
        assert!(fixture.crm.settle() > Duration::ZERO);
        assert!(fixture.crm.batch() > 0 && fixture.crm.concurrency() > 0);
        assert!([RecordKind::Contact, RecordKind::Deal].iter().all(|kind| {
            let create = [StepKind::CreateContact, StepKind::CreateDeal];
            create
                .iter()
                .any(|step| step.creates() == Some(*kind) && fixture.crm.guarantee(*step) != Guarantee::Blind)
        }));
    }
}
