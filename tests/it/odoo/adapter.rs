//! The adapter alone, call by call.

use std::time::Duration;

use leadfold::crm::{Crm, Outcome, Query, Remaining};
use leadfold::plan::{Action, ContactFields, DealFields, RecordId, Reference, Step, TaskFields};
use serde_json::{Value, json};

use super::real::Real;
use super::stand_in::{self, StandIn};
use crate::crm::fixture::{Fixture, Recorder, alone, destination, step};

const PHONE: &str = "+380671234567";

/// Ways in which people type one phone into a CRM, and ways that look like it and are not.
const SPELLINGS: [(&str, bool); 12] = [
    ("+380671234567", true),
    ("+38 067 123 45 67", true),
    ("067 123-45-67", true),
    ("(067)1234567", true),
    ("0671234567", true),
    ("8 067 123.45.67", true),
    ("00380 67 123 45 67", true),
    ("тел. 067 123 45 67", true),
    ("067\u{a0}123\u{a0}45\u{a0}67", true),
    ("671234567", false),
    ("067 123 45 68", false),
    ("+48 671 234 567", false),
];

fn by_phone(phone: &str) -> Query {
    Query { phones: vec![phone.to_owned()], ..Query::default() }
}

fn by_link(id: u64) -> Query {
    Query { contact: Some(record(id)), ..Query::default() }
}

fn record(id: u64) -> RecordId {
    RecordId(id.to_string())
}

/// The ids that one query finds.
async fn ids(crm: &dyn Crm, query: Query) -> Vec<u64> {
    let found = crm.find(&[query]).await.remove(0).unwrap();
    found.contacts.into_iter().map(|contact| contact.id.0.parse().unwrap()).collect()
}

/// The first outcome of each of these steps, written together.
async fn write(crm: &dyn Crm, steps: &[Step]) -> Vec<Outcome> {
    let plans: Vec<Remaining<'_>> = steps.iter().map(alone).collect();
    let outcomes = crm.write(&plans, &Recorder::default()).await;
    outcomes.into_iter().map(|mut outcomes| outcomes.remove(0)).collect()
}

fn done(outcome: &Outcome) -> u64 {
    let Outcome::Done(id) = outcome else { panic!("not written: {outcome:?}") };
    id.0.parse().unwrap()
}

/// Why a step was refused.
fn refused(outcome: &Outcome) -> &str {
    let Outcome::Rejected { why } = outcome else { panic!("not refused: {outcome:?}") };
    why
}

fn person(number: u32, fields: &[(&str, Value)]) -> Step {
    step(Action::CreateContact {
        contact: ContactFields {
            name: Some(format!("Person {number}")),
            phones: vec![format!("+38067{number:07}")],
            fields: fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
            ..ContactFields::default()
        },
    })
}

fn deal(contact: u64, deal: DealFields) -> Step {
    let deal = DealFields { title: Some("Lead".into()), ..deal };
    step(Action::CreateDeal { contact: Reference::Record(record(contact)), deal })
}

#[tokio::test]
async fn a_contact_is_found_however_its_phone_was_typed() {
    let Fixture { crm, server } = Fixture::odoo().await;
    let mut expect = Vec::new();
    for (phone, is_found) in SPELLINGS {
        let id = server.add("res.partner", json!({ "name": phone, "phone": phone }));
        expect.extend(is_found.then_some(id));
    }
    assert_eq!(ids(&*crm, by_phone(PHONE)).await, expect);
    assert_eq!(server.calls("res.partner.search_read"), 1, "all of them in one call");
    // Where Odoo knows the country, digits without a trunk prefix are a number of that country.
    let ours = json!({"name": "x", "phone": "50 111 22 33", "country_code": "UA"});
    let theirs = json!({"name": "x", "phone": "50 111 22 33", "country_code": "PL"});
    let (ours, _) = (server.add("res.partner", ours), server.add("res.partner", theirs));
    assert_eq!(ids(&*crm, by_phone("+380501112233")).await, [ours]);
}

#[tokio::test]
async fn a_real_odoo_finds_a_contact_however_its_phone_was_typed() {
    let Some(real) = Real::take("a_real_odoo_finds_a_contact_however_its_phone_was_typed").await else {
        return;
    };
    real.remove(json!(["|", ["phone", "=like", "%6%7%1%2%3%4%5%6%"], ["phone_sanitized", "=", PHONE]])).await;
    let contacts: Vec<Value> =
        SPELLINGS.iter().map(|(phone, _)| json!({ "name": phone, "phone": phone })).collect();
    let made = real.call("res.partner", "create", json!({ "vals_list": contacts })).await;
    let made = made.as_array().unwrap().iter().map(|id| id.as_u64().unwrap());
    let expect: Vec<u64> = made.zip(SPELLINGS).filter(|(_, (_, found))| *found).map(|(id, _)| id).collect();
    let crm = leadfold::crm::connect(&real.destination()).unwrap();
    assert_eq!(ids(&*crm, by_phone(PHONE)).await, expect);
    real.remove(json!([["phone", "=like", "%6%7%1%2%3%4%5%6%"]])).await;
}

#[tokio::test]
async fn an_email_is_found_within_its_display_name() {
    let Fixture { crm, server } = Fixture::odoo().await;
    let id = server.add("res.partner", json!({"name": "O", "email": "Olena <Olena@Example.com>"}));
    server.add("res.partner", json!({"name": "P", "email": "petro@example.com"}));
    let query = Query { emails: vec!["olena@example.com".to_owned()], ..Query::default() };
    let found = crm.find(&[query]).await.remove(0).unwrap();
    assert_eq!(found.contacts[0].id, record(id));
    assert_eq!(found.contacts[0].emails, ["olena@example.com"]);
}

#[tokio::test]
async fn archived_is_not_deleted() {
    let Fixture { crm, server } = Fixture::odoo().await;
    let old = server.add("res.partner", json!({"name": "old", "phone": PHONE, "active": false}));
    let answer = crm.find(&[by_link(old), by_link(99_999), by_link(old)]).await;
    let gone: Vec<bool> = answer.iter().map(|found| found.as_ref().unwrap().link_is_gone).collect();
    assert_eq!(gone, [false, true, false]);
    assert_eq!(ids(&*crm, by_phone(PHONE)).await, [old], "better than a second one");
    let new = server.add("res.partner", json!({"name": "new", "phone": "067 123 45 67"}));
    assert_eq!(ids(&*crm, by_phone(PHONE)).await, [new], "an active one goes before it");
    for strange in ["", "abc", "0", "-1", "2147483648", "1e3", "99999999999999999999"] {
        let query = Query { contact: Some(RecordId(strange.into())), ..by_phone(PHONE) };
        let found = crm.find(&[query]).await.remove(0).unwrap();
        assert!(found.link_is_gone && found.contacts.len() == 1, "`{strange}`: {found:?}");
    }
}

#[tokio::test]
async fn only_pending_opportunities_are_open() {
    let Fixture { crm, server } = Fixture::odoo().await;
    let contact = server.add("res.partner", json!({"name": "O", "phone": PHONE}));
    let lead = |kind: &str, status: &str, active: bool| json!({"name": status, "type": kind, "won_status": status, "active": active, "partner_id": contact, "team_id": 1, "stage_id": 1});
    let open = server.add("crm.lead", lead("opportunity", "pending", true));
    server.add("crm.lead", lead("opportunity", "won", true));
    server.add("crm.lead", lead("opportunity", "lost", false));
    server.add("crm.lead", lead("opportunity", "pending", false));
    server.add("crm.lead", lead("lead", "pending", true));
    let contact = crm.find(&[by_phone(PHONE)]).await.remove(0).unwrap().contacts.remove(0);
    let deals: Vec<_> = contact.deals.iter().map(|deal| deal.id.clone()).collect();
    assert_eq!(deals, [record(open)]);
    let deal = &contact.deals[0];
    assert_eq!((deal.pipeline.as_deref(), deal.stage.as_deref()), (Some("Sales"), Some("New")));
}

#[tokio::test]
async fn a_batch_is_one_call_and_a_bad_row_is_refused_alone() {
    let Fixture { crm, server } = Fixture::odoo().await;
    let mut steps: Vec<Step> =
        (0..100).map(|number| person(number, &[("country_id", json!("Ukraine"))])).collect();
    steps[41] = person(41, &[("country_id", json!("Narnia"))]);
    steps[77] = person(77, &[("country_id", json!("Narnia"))]);
    let outcomes = write(&*crm, &steps).await;
    for (index, outcome) in outcomes.iter().enumerate() {
        if [41, 77].contains(&index) {
            assert!(refused(outcome).contains("'Narnia' in field 'country_id'"), "{outcome:?}");
        } else {
            done(outcome);
        }
    }
    assert_eq!(server.count("res.partner"), 98);
    assert_eq!(server.calls("res.partner.load"), 4, "all, the good ones, each bad one");
    // Rows of other columns go by themselves, so that nobody's field is emptied.
    let outcomes = write(&*crm, &[person(200, &[]), person(201, &[("city", json!("Київ"))])]).await;
    assert!(outcomes.iter().all(|outcome| done(outcome) > 0));
    assert_eq!(server.calls("res.partner.load"), 6);

    let queries: Vec<Query> = (0..100).map(|number| by_phone(&format!("+38067{number:07}"))).collect();
    let before = server.calls("res.partner.search_read");
    let found = crm.find(&queries).await;
    assert_eq!(found.iter().filter(|found| found.as_ref().unwrap().contacts.len() == 1).count(), 98);
    assert_eq!(server.calls("res.partner.search_read"), before + 1);
    assert_eq!(server.calls("crm.lead.search_read"), 1);
}

#[tokio::test]
async fn a_row_that_is_named_though_it_is_good_is_written() {
    let Fixture { crm, server } = Fixture::odoo().await;
    let person = |number: u32, city: &str| person(number, &[("city", json!(city))]);
    let outcomes = write(&*crm, &[person(1, "Київ"), person(2, "Київ"), person(3, "Refused")]).await;
    assert!(done(&outcomes[0]) > 0 && done(&outcomes[1]) > 0, "{outcomes:?}");
    assert!(refused(&outcomes[2]).contains("cannot be completed"), "{outcomes:?}");
    assert_eq!(server.count("res.partner"), 2);
}

#[tokio::test]
async fn a_field_that_somebody_removed_stops_nobody() {
    let Fixture { crm, server } = Fixture::odoo().await;
    let contact = server.add("res.partner", json!({"name": "O", "phone": PHONE, "city": "Київ"}));
    crm.describe().await.unwrap();
    server.tables().removed_field = Some("city".to_owned());
    let query = Query { contact_fields: ["city".to_owned()].into(), ..by_phone(PHONE) };
    let found = crm.find(&[query.clone(), query]).await;
    assert!(found.iter().all(|found| found.as_ref().unwrap().contacts[0].id == record(contact)), "{found:?}");
    let why = write(&*crm, &[person(1, &[("city", json!("Київ"))])]).await;
    assert!(refused(&why[0]).starts_with("there is no contact field `city`"), "{why:?}");
}

#[tokio::test]
async fn a_lost_race_is_tried_again() {
    let Fixture { crm, server } = Fixture::odoo().await;
    server.set_faults(stand_in::Faults { conflict: 1.0, ..stand_in::Faults::default() });
    for outcome in write(&*crm, &[person(1, &[]), person(2, &[])]).await {
        assert!(matches!(outcome, Outcome::Retry { .. }), "{outcome:?}");
    }
    assert_eq!((server.count("res.partner"), server.calls("res.partner.load")), (0, 1));
}

#[tokio::test]
async fn a_repeat_leaves_what_somebody_changed_in_the_meantime() {
    let Fixture { crm, server } = Fixture::odoo().await;
    let create = person(1, &[("city", json!("Київ"))]);
    let id = done(&write(&*crm, std::slice::from_ref(&create)).await[0]);
    let edited = json!({"name": "Олена Коваленко", "city": "Львів"});
    server.tables().update("res.partner", id, edited.as_object().unwrap().clone());
    assert_eq!(done(&write(&*crm, &[create]).await[0]), id);
    let tables = server.tables();
    let contact = &tables.records["res.partner"][&id];
    assert_eq!((&contact["name"], &contact["city"]), (&json!("Олена Коваленко"), &json!("Львів")));
}

#[tokio::test]
async fn names_become_ids_and_a_wrong_one_says_what_there_is() {
    let Fixture { crm, server } = Fixture::odoo().await;
    let contact = server.add("res.partner", json!({"name": "O", "phone": PHONE}));
    let place = |owner: &str, pipeline: Option<&str>, stage: Option<&str>| DealFields {
        owner: Some(owner.into()),
        pipeline: pipeline.map(str::to_owned),
        stage: stage.map(str::to_owned),
        ..DealFields::default()
    };
    let steps = [
        deal(contact, place("anna", Some("Основна"), Some("Нова"))),
        deal(contact, place("Borys", Some("2"), Some("new"))),
        deal(contact, place("7", None, Some("Нова"))),
        deal(contact, place("olena", None, None)),
        deal(contact, place("anna", Some("Хвороба"), None)),
        deal(contact, place("anna", Some("Sales"), Some("Нова"))),
    ];
    let outcomes = write(&*crm, &steps).await;
    let made = |index: usize| server.tables().records["crm.lead"][&done(&outcomes[index])].clone();
    for (index, owner, team, stage) in [(0, 7, json!(2), 2), (1, 8, json!(2), 1), (2, 7, Value::Null, 2)] {
        let deal = made(index);
        let team_is = deal.get("team_id").cloned().unwrap_or_default();
        assert_eq!((&deal["user_id"], team_is, &deal["stage_id"]), (&json!(owner), team, &json!(stage)));
    }
    for (index, expect) in [
        (3, "there is no user `olena` in the CRM; there are Administrator, Anna, Borys, Dana"),
        (4, "there is no pipeline `Хвороба` in the CRM; there are Sales, Основна"),
        (5, "there is no stage `Нова` in the CRM; there is New"),
    ] {
        assert_eq!(refused(&outcomes[index]), expect);
    }
    let unknown = person(1, &[("utm_sorce", json!("x"))]);
    let why = write(&*crm, &[unknown]).await;
    assert!(
        refused(&why[0]).starts_with("there is no contact field `utm_sorce` in the CRM; there are "),
        "{why:?}"
    );

    // What somebody adds in Odoo is known after the next look.
    server.add("crm.team", json!({"name": "Хвороба"}));
    crm.describe().await.unwrap();
    done(&write(&*crm, &[steps[4].clone()]).await[0]);
}

#[tokio::test]
async fn values_are_written_and_read_in_the_form_of_a_mapping() {
    let Fixture { crm, server } = Fixture::odoo().await;
    let fields = [
        ("Country", json!("Ukraine")),
        ("comment", json!("line <one>\nline two")),
        ("telegram_chat", json!("https://t.me/x?a=1&b=2")),
        ("lang", json!(null)),
    ];
    let contact = done(&write(&*crm, &[person(1, &fields)]).await[0]);
    let tags =
        DealFields { fields: [("Tags".to_owned(), json!(["VIP", "Bot"]))].into(), ..DealFields::default() };
    let opportunity = done(&write(&*crm, &[deal(contact, tags)]).await[0]);
    assert_eq!(server.tables().records["crm.lead"][&opportunity]["tag_ids"], json!([1, 2]));
    let asked = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let query = Query {
        contact_fields: asked(&["Country", "comment", "telegram_chat", "lang", "nonsense"]),
        deal_fields: asked(&["Tags"]),
        ..by_link(contact)
    };
    let found = crm.find(&[query]).await.remove(0).unwrap().contacts.remove(0);
    let expect: Vec<(String, Value)> =
        fields.iter().take(3).map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let mut read: Vec<_> = found.fields.into_iter().collect();
    read.sort_by_key(|(name, _)| expect.iter().position(|(known, _)| known == name));
    assert_eq!(read, expect);
    assert_eq!(found.deals[0].fields["Tags"], json!(["VIP", "Bot"]));
    // A reference may be given by its id too.
    let by_id = person(2, &[("country_id", json!(229))]);
    let contact = done(&write(&*crm, &[by_id]).await[0]);
    assert_eq!(server.tables().records["res.partner"][&contact]["country_id"], json!(229));
}

#[tokio::test]
async fn what_has_no_room_is_noted() {
    let Fixture { crm, server } = Fixture::odoo().await;
    let contact = ContactFields {
        name: Some("Olena".into()),
        phones: vec![PHONE.into(), "+380501112233".into()],
        emails: vec!["a@example.com".into(), "b@example.com".into()],
        ..ContactFields::default()
    };
    let id = done(&write(&*crm, &[step(Action::CreateContact { contact })]).await[0]);
    let tables = server.tables();
    let made = &tables.records["res.partner"][&id];
    assert_eq!((&made["phone"], &made["email"]), (&json!(PHONE), &json!("a@example.com")));
    assert_eq!(made["comment"], "<p>+380501112233<br/>b@example.com</p>");
}

#[tokio::test]
async fn a_task_is_due_on_the_day_it_is_there() {
    let Fixture { crm, server } = Fixture::odoo().await;
    let contact = server.add("res.partner", json!({"name": "O", "phone": PHONE}));
    let opportunity =
        server.add("crm.lead", json!({"name": "D", "type": "opportunity", "partner_id": contact}));
    let task = |kind: Option<&str>, deal: Option<u64>| {
        step(Action::CreateTask {
            contact: Reference::Record(record(contact)),
            deal: deal.map(|deal| Reference::Record(record(deal))),
            task: TaskFields {
                title: "Повторна заявка".into(),
                text: "phone: <new>\ncity".into(),
                kind: kind.map(str::to_owned),
                // Half past midnight in Kyiv, where the API's user is.
                due_at: "2026-11-20T22:30:00Z".parse().unwrap(),
                owner: Some("anna".into()),
            },
        })
    };
    let steps = [task(Some("call"), Some(opportunity)), task(None, None), task(Some("дзвінок"), None)];
    let outcomes = write(&*crm, &steps).await;
    assert_eq!(
        refused(&outcomes[2]),
        "there is no activity type `дзвінок` in the CRM; there are Call, To-Do"
    );
    let made = |index: usize| server.tables().records["mail.activity"][&done(&outcomes[index])].clone();
    let call = made(0);
    assert_eq!((&call["res_model_id"], &call["res_id"]), (&json!(421), &json!(opportunity)));
    assert_eq!((&call["date_deadline"], &call["user_id"]), (&json!("2026-11-21"), &json!(7)));
    assert_eq!(call["activity_type_id"], json!(2));
    assert_eq!(call["note"], "<p>\u{23f0} 2026-11-21 00:30 EET<br/>phone: &lt;new&gt;<br/>city</p>");
    let other = made(1);
    assert_eq!((&other["res_model_id"], &other["res_id"]), (&json!(90), &json!(contact)));
    assert!(!other.contains_key("activity_type_id"), "Odoo chooses it");
}

#[tokio::test]
async fn an_update_of_a_record_that_is_gone_is_refused_alone() {
    let Fixture { crm, server } = Fixture::odoo().await;
    let contact = server.add("res.partner", json!({"name": "O", "phone": PHONE, "city": "Київ"}));
    let update = |id: u64, city: &str| {
        let fields = [("city".to_owned(), json!(city))].into();
        let changes = ContactFields { fields, ..ContactFields::default() };
        step(Action::UpdateContact { contact: record(id), changes })
    };
    let outcomes = write(&*crm, &[update(contact, "Львів"), update(99_999, "Львів")]).await;
    assert_eq!(done(&outcomes[0]), contact);
    assert!(refused(&outcomes[1]).contains("Unknown database identifier"), "{outcomes:?}");
    let tables = server.tables();
    let read = &tables.records["res.partner"][&contact];
    assert_eq!((&read["city"], &read["phone"]), (&json!("Львів"), &json!(PHONE)), "nothing else changes");
}

#[tokio::test]
async fn it_says_who_it_is_and_where() {
    let server = StandIn::start("key").await;
    let mut destination = destination("odoo", &server.url());
    destination.settings.0.insert("api_key".to_owned(), "key".to_owned());
    let crm = leadfold::crm::connect(&destination).unwrap();
    assert_eq!(crm.ping().await.unwrap(), "Administrator (admin) in database crm of 127.0.0.1");
    let catalog = crm.describe().await.unwrap();
    let users: Vec<_> = catalog.users.iter().flatten().filter_map(|user| user.login.as_deref()).collect();
    assert_eq!(users, ["admin", "anna", "borys", "dana"]);
    let stages: Vec<Vec<&str>> = catalog
        .pipelines
        .iter()
        .flatten()
        .map(|team| team.stages.iter().map(|stage| stage.name.as_str()).collect())
        .collect();
    assert_eq!(stages, [vec!["New"], vec!["New", "Нова"]], "a stage without team is everybody's");
    assert!(catalog.contact_field("create_date").is_err(), "nobody may write this one");
    destination.settings.0.insert("database".to_owned(), "other".to_owned());
    let elsewhere = leadfold::crm::connect(&destination).unwrap();
    let error = elsewhere.ping().await.unwrap_err().to_string();
    assert!(error.contains("ping: the CRM answered 404"), "{error}");
}

#[tokio::test]
async fn a_silent_call_is_as_long_as_its_time() {
    let Fixture { crm, server } = Fixture::odoo().await;
    server.set_faults(stand_in::Faults { timeout_after: 1.0, ..stand_in::Faults::default() });
    let answer = tokio::time::timeout(Duration::from_secs(30), crm.find(&[by_phone(PHONE)])).await.unwrap();
    assert!(answer[0].is_err());
}
