//! What only a described CRM has: answers and spellings of every kind, and values that try to be more than values.

use leadfold::crm::{Crm, CrmError, Guarantee, Outcome, Priority, Query};
use leadfold::demo::MAPPINGS;
use leadfold::map::Files;
use leadfold::plan::{Action, ContactFields, RecordId, RecordKind, StepKind, TaskFields};
use leadfold::rules::Destination;
use leadfold::workspace::{compile_with, read_files};
use serde_json::{Value, json};

use super::canned::Canned;
use super::fixture::{Recorder, step};
use super::{EMAIL, PHONE, by_email, by_link, by_phone, contact, deal, ids, note, write};

/// A CRM of another kind than the sandbox: another way to say everything.
const OTHER: &str = r#"
destinations:
  crm:
    crm: rest
    url: "http://{ADDRESS}/api/"
    auth: { header: { X-Key: "${KEY}" } }
    headers: { Accept: application/json }
    timeout: 600ms
    phone_spellings: [digits, national, short]
    operations:
      ping: { get: /me/, name: $.who }
      find_contact_by_phone: { post: /search, json: { where: { phone: "{{ phone }}" } }, items: "$.hits[*]", not_found: { status: 200, when: "{{ hits is none and empty }}" } }
      find_contact_by_email: none
      get_contact: { get: "/people/{{ id }}", items: $.person, not_found: [404, 410] }
      create_contact:
        post: /people
        json: { name: "{{ name }}", phones: [{ number: "{{ phones[0] }}" }, { number: "{{ phones[1] }}" }], note: "for {{ name }}" }
        id: $.person.uid
        duplicate: { status: [409, 200], when: "{{ error == 'exists' }}", id: $.existing }
      update_contact: { put: "/people/{{ id }}/{{ fields.room }}", query: { as: "{{ name }}" }, headers: { X-Name: "{{ fields.header }}" }, json: { name: "{{ name }}" } }
      find_open_deals: { get: /deals, query: { person: "{{ contact }}" }, items: $.deals }
      create_deal: { post: /deals, headers: { Idempotency-Key: "{{ marker }}" }, keyed: true, json: { person: "{{ contact }}", title: "{{ title }}" } }
      update_deal: none
      create_task: { post: /tasks, json: { person: "{{ contact }}", at: "{{ due_unix }}" }, id: none }
      add_note: none
    contact: { id: $.uid, name: "{{ first }} {{ last }}", phones: "$.phones[*].number" }
    deal: { title: $.title, open: "{{ status == 'open' }}" }
    answers:
      refused: { status: 200, when: "{{ ok == false }}" }
      rate_limited: { status: 403, when: "{{ error == 'slow down' }}" }
"#;

const KEY: &str = "s3cret-key";

/// Answers every request alike.
async fn other(status: u16, body: &Value) -> (Canned, std::sync::Arc<dyn Crm>) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let length = body.len();
    let server =
        Canned::start(&format!("HTTP/1.1 {status} x\r\nContent-Length: {length}\r\n\r\n{body}")).await;
    let crm = leadfold::crm::connect(&described(&server.url())).unwrap();
    (server, crm)
}

fn described(url: &str) -> Destination {
    of_text(OTHER, url)
}

fn of_text(text: &str, url: &str) -> Destination {
    let text = text.replace("http://{ADDRESS}", url);
    let files = Files([("workspace.yaml".to_owned(), text)].into());
    let compiled = compile_with(&files, &(std::sync::Arc::new(|_: &str| Some(KEY.to_owned())) as _));
    assert!(compiled.problems.is_empty(), "{:?}", compiled.problems);
    compiled.workspace.destinations["crm"].clone()
}

/// Method and target of each request, and its body.
fn requests(server: &Canned) -> Vec<(String, String)> {
    let requests = server.requests();
    let split = |request: &String| {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().trim_end_matches(" HTTP/1.1").to_owned(), body.to_owned())
    };
    requests.iter().map(split).collect()
}

fn update(name: &str, room: &str, header: &str) -> Action {
    let fields = [("room".to_owned(), json!(room)), ("header".to_owned(), json!(header))].into();
    let changes = ContactFields { name: Some(name.into()), fields, ..ContactFields::default() };
    Action::UpdateContact { contact: RecordId("7".into()), changes }
}

async fn outcome(crm: &dyn Crm, action: Action) -> Outcome {
    write(crm, &step(action), &Recorder::default()).await
}

#[tokio::test]
async fn credentials_and_headers_go_with_every_request() {
    let (server, crm) = other(200, &json!({ "who": "Olena" })).await;
    assert_eq!(crm.ping().await, Ok("Olena at 127.0.0.1".to_owned()));
    let request = server.requests().remove(0).to_lowercase();
    assert!(request.starts_with("get /api/me/ http/1.1"), "{request}");
    assert!(
        request.contains("x-key: s3cret-key") && request.contains("accept: application/json"),
        "{request}"
    );
}

#[tokio::test]
async fn spellings_are_tried_until_one_finds_somebody() {
    let nobody = json!({ "hits": [] });
    let (server, crm) = other(200, &nobody).await;
    assert!(crm.find(&[by_phone(PHONE)]).await.remove(0).unwrap().contacts.is_empty());
    let phones: Vec<String> = requests(&server).into_iter().map(|(_, body)| body).collect();
    let asked = |phone: &str| json!({ "where": { "phone": phone } }).to_string();
    assert_eq!(phones, [asked("380671234567"), asked("0671234567"), asked("671234567")]);

    // The answer is the same for deals: it has no list of them, and that is said and not taken for none.
    let hit = json!({ "hits": [{ "uid": 7, "phones": [{ "number": "067 123-45-67" }] }] });
    let (server, crm) = other(200, &hit).await;
    let answer = crm.find(&[by_phone(PHONE)]).await.remove(0);
    assert!(
        matches!(&answer, Err(CrmError::Rejected { why }) if why.contains("find_open_deals")),
        "{answer:?}"
    );
    let asked: Vec<String> = requests(&server).into_iter().map(|(line, _)| line).collect();
    assert_eq!(asked, ["POST /api/search", "POST /api/search", "GET /api/deals?person=7"]);
}

#[tokio::test]
async fn a_hit_is_only_a_candidate() {
    let hits = json!({ "hits": [
        { "uid": 1, "phones": [{ "number": "+48671234567" }] },
        { "uid": 2, "phones": [{ "number": "+380671234560" }] },
        { "uid": 3, "first": "Olena", "last": "K", "phones": [{ "number": "+38 (067) 123 45 67" }] }
    ], "deals": [{ "id": 8, "status": "open", "title": "T" }, { "id": 9, "status": "won" }] });
    let (_server, crm) = other(200, &hits).await;
    let found = crm.find(&[by_phone(PHONE)]).await.remove(0).unwrap();
    assert_eq!(ids(&found.contacts), [RecordId("3".into())]);
    assert_eq!(found.contacts[0].name.as_deref(), Some("Olena K"));
    let deals: Vec<_> = found.contacts[0].deals.iter().map(|deal| deal.id.0.as_str()).collect();
    assert_eq!(deals, ["8"], "what is closed does not count");
}

#[tokio::test]
async fn nobody_is_told_from_a_wrong_address() {
    for (status, body, expect) in [
        (200, json!({ "hits": [] }), true),
        (200, json!({ "empty": true }), true),
        (204, Value::Null, true),
        // A path that does not exist must not make everybody new.
        (404, json!({ "error": "no such path" }), false),
        (200, json!({ "error": "odd" }), false),
        (200, json!({ "ok": false, "hits": [] }), false),
        (200, Value::Null, false),
    ] {
        let (_server, crm) = other(status, &body).await;
        let answer = crm.find(&[by_phone(PHONE)]).await.remove(0);
        assert_eq!(answer.is_ok_and(|found| found.contacts.is_empty()), expect, "{status} {body}");
    }
    for (status, expect) in [(404, true), (410, true), (400, false)] {
        let (_server, crm) = other(status, &json!({ "hits": [] })).await;
        let query = Query { contact: Some(RecordId("7".into())), ..by_email(EMAIL) };
        let answer = crm.find(&[query]).await.remove(0);
        assert_eq!(answer.is_ok_and(|found| found.link_is_gone), expect, "{status}");
    }
}

#[tokio::test]
async fn a_value_that_is_no_id_names_no_record() {
    for (uid, expect) in [
        (json!(7), Some("7")),
        (json!(" a-7 "), Some("a-7")),
        (json!(18_446_744_073_709_551_615_u64), Some("18446744073709551615")),
        // How PHP says "no".
        (json!(false), None),
        (json!(true), None),
        (json!(0), None),
        (json!("0"), None),
        (json!(""), None),
        (json!("  "), None),
        (json!(null), None),
        (json!({ "id": 7 }), None),
        (json!([]), None),
    ] {
        let (_server, crm) = other(200, &json!({ "person": { "uid": uid } })).await;
        let made = outcome(&*crm, contact()).await;
        match expect {
            Some(id) => assert_eq!(made, Outcome::Done(RecordId(id.into())), "{uid}"),
            None => assert!(matches!(made, Outcome::Unknown { .. }), "{uid}: {made:?}"),
        }
        let hit = json!({ "hits": [{ "uid": uid, "phones": [{ "number": PHONE }] }], "deals": [] });
        let (_server, crm) = other(200, &hit).await;
        let found = crm.find(&[by_phone(PHONE)]).await.remove(0);
        assert_eq!(found.is_ok(), expect.is_some(), "{uid}: {found:?}");
    }
}

#[tokio::test]
async fn a_crm_that_answers_with_another_contact_than_asked_for_is_not_believed() {
    // It ignores the id, and answers with the first one it has.
    let somebody = json!({ "person": { "uid": 9, "phones": [{ "number": "+380501112233" }] },
        "hits": [{ "uid": 8, "phones": [{ "number": PHONE }] }], "deals": [] });
    let (_server, crm) = other(200, &somebody).await;
    let query = Query { contact: Some(RecordId("7".into())), ..by_phone(PHONE) };
    let found = crm.find(&[query]).await.remove(0).unwrap();
    assert!(found.link_is_gone, "7 is not there, as far as anybody can tell");
    assert_eq!(ids(&found.contacts), [RecordId("8".into())]);

    // The same where the list shows no phones, so that each hit is read whole.
    let bare = json!({ "person": { "uid": 9, "phones": [{ "number": PHONE }] }, "hits": [{ "uid": 8 }] });
    let (_server, crm) = other(200, &bare).await;
    let answer = crm.find(&[by_phone(PHONE)]).await.remove(0);
    assert!(
        matches!(&answer, Err(CrmError::Rejected { why }) if why.contains("get_contact")),
        "nobody found would make a second contact: {answer:?}"
    );
}

#[tokio::test]
async fn a_search_that_answers_with_everybody_is_not_read_one_by_one() {
    let hits: Vec<Value> = (1..1_000).map(|uid| json!({ "uid": uid })).collect();
    let (server, crm) = other(200, &json!({ "hits": hits, "person": { "uid": 1 } })).await;
    let answer = crm.find(&[by_phone(PHONE)]).await.remove(0);
    assert!(
        matches!(&answer, Err(CrmError::Rejected { why }) if why.contains("find_contact_by_phone")),
        "{answer:?}"
    );
    assert!(requests(&server).len() < 30, "{} calls", requests(&server).len());
}

#[tokio::test]
async fn deals_of_others_are_passed_over() {
    let text = OTHER.replace("deal: { title", "deal: { contact: $.person, title");
    let deals = json!([
        { "id": 1, "status": "open", "person": 8 }, { "id": 2, "status": "open", "person": 3 },
        { "id": 3, "status": "open", "person": "3" }, { "id": 4, "status": "open" }
    ]);
    let body = json!({ "hits": [{ "uid": 3, "phones": [{ "number": PHONE }] }], "deals": deals }).to_string();
    let length = body.len();
    let server = Canned::start(&format!("HTTP/1.1 200 x\r\nContent-Length: {length}\r\n\r\n{body}")).await;
    let crm = leadfold::crm::connect(&of_text(&text, &server.url())).unwrap();
    let found = crm.find(&[by_phone(PHONE)]).await.remove(0).unwrap();
    let deals: Vec<_> = found.contacts[0].deals.iter().map(|deal| deal.id.0.as_str()).collect();
    assert_eq!(deals, ["2", "3"], "it does not know the parameter, and answers with everybody's");
}

#[tokio::test]
async fn a_duplicate_is_adopted() {
    let exists = json!({ "error": "exists", "existing": 41 });
    for status in [409, 200] {
        let (_server, crm) = other(status, &exists).await;
        assert_eq!(outcome(&*crm, contact()).await, Outcome::Done(RecordId("41".into())), "{status}");
    }
    let (_server, crm) = other(409, &json!({ "error": "exists" })).await;
    let nameless = outcome(&*crm, contact()).await;
    assert!(matches!(&nameless, Outcome::Rejected { why } if why.contains("`duplicate`")), "{nameless:?}");
    let (_server, crm) = other(409, &json!({ "error": "locked", "existing": 41 })).await;
    let other_conflict = outcome(&*crm, contact()).await;
    assert!(
        matches!(&other_conflict, Outcome::Rejected { why } if why.contains("locked")),
        "{other_conflict:?}"
    );
}

#[tokio::test]
async fn a_200_that_hides_a_failure_is_one() {
    let (_server, crm) = other(200, &json!({ "ok": false, "person": { "uid": 1 } })).await;
    assert!(matches!(outcome(&*crm, contact()).await, Outcome::Rejected { .. }));
    let (_server, crm) = other(403, &json!({ "error": "slow down" })).await;
    assert!(matches!(outcome(&*crm, contact()).await, Outcome::Retry { .. }));
    assert_eq!(crm.usage().rate_limited, 1);
    let (_server, crm) = other(403, &json!({ "error": "no" })).await;
    assert!(matches!(outcome(&*crm, contact()).await, Outcome::Unauthorised { .. }));
    let (_server, crm) = other(201, &json!({ "uid": 1 })).await;
    let unnamed = outcome(&*crm, contact()).await;
    assert!(
        matches!(&unnamed, Outcome::Unknown { why } if why.contains("without a record id")),
        "{unnamed:?}"
    );
}

#[tokio::test]
async fn what_is_not_described_cannot_be_done() {
    let (server, crm) = other(200, &json!({})).await;
    let can = crm.capabilities();
    assert!(can.deals && can.tasks && !can.notes && can.contact_updates && !can.deal_updates);
    let refused = outcome(&*crm, note(&RecordId("7".into()))).await;
    assert!(matches!(&refused, Outcome::Rejected { why } if why.contains("`add_note`")), "{refused:?}");
    assert!(requests(&server).is_empty());
    let by_email = crm.find(&[by_email(EMAIL)]).await.remove(0).unwrap();
    assert!(by_email.contacts.is_empty() && requests(&server).is_empty(), "nobody is asked for an email");
    for (kind, expect) in [
        (StepKind::CreateContact, Guarantee::Findable),
        (StepKind::UpdateContact, Guarantee::Keyed),
        (StepKind::CreateDeal, Guarantee::Keyed),
        (StepKind::CreateTask, Guarantee::Blind),
    ] {
        assert_eq!(crm.guarantee(kind), expect, "{kind:?}");
    }
    let only_email = ContactFields { emails: vec![EMAIL.into()], ..ContactFields::default() };
    let lost = step(Action::CreateContact { contact: only_email });
    let answer = crm.look_up(&[(RecordKind::Contact, &lost)], Priority::Live).await.remove(0);
    assert!(matches!(answer, Err(CrmError::Rejected { .. })), "a person must look: {answer:?}");
}

#[tokio::test]
async fn a_key_goes_along_and_ids_may_be_nameless() {
    let (server, crm) = other(201, &json!({ "id": 5 })).await;
    let step = step(deal(&RecordId("7".into())));
    assert_eq!(write(&*crm, &step, &Recorder::default()).await, Outcome::Done(RecordId("5".into())));
    let key = format!("idempotency-key: {}", step.id);
    assert!(server.requests()[0].to_lowercase().contains(&key), "{:?}", server.requests());

    let task = TaskFields {
        title: "t".into(),
        text: "t".into(),
        kind: None,
        due_at: "2026-11-21T12:00:00Z".parse().unwrap(),
        owner: None,
    };
    let contact = leadfold::plan::Reference::Record(RecordId("7".into()));
    let (server, crm) = other(200, &Value::Null).await;
    let done = outcome(&*crm, Action::CreateTask { contact, deal: None, task }).await;
    assert!(matches!(done, Outcome::Done(_)), "{done:?}");
    assert_eq!(requests(&server)[0].1, r#"{"person":"7","at":1795262400}"#);
}

#[tokio::test]
async fn a_marker_is_compared_too() {
    let example = include_str!("../../../mappings/examples/sandbox-rest/workspace.yaml");
    let files = Files([("workspace.yaml".to_owned(), example.to_owned())].into());
    let lost = step(note(&RecordId("7".into())));
    for (items, expect) in [
        (json!([]), Ok(None)),
        (json!([{ "id": 1, "marker": "x" }, { "id": 2, "marker": lost.id.to_string() }]), Ok(Some("2"))),
        // It does not know the parameter, and answers with everything.
        (json!([{ "id": 1 }, { "id": 2 }]), Err("do not carry the marker")),
    ] {
        let body = json!({ "items": items }).to_string();
        let length = body.len();
        let server =
            Canned::start(&format!("HTTP/1.1 200 x\r\nContent-Length: {length}\r\n\r\n{body}")).await;
        let url = server.url();
        let environment = std::sync::Arc::new(move |_: &str| Some(url.clone())) as _;
        let compiled = compile_with(&files, &environment);
        let crm = leadfold::crm::connect(&compiled.workspace.destinations["crm"]).unwrap();
        let answer = crm.look_up(&[(RecordKind::Note, &lost)], Priority::Live).await.remove(0);
        match (answer, expect) {
            (Ok(found), Ok(expect)) => {
                let expect: Vec<_> = expect.into_iter().map(|id: &str| RecordId(id.to_owned())).collect();
                assert_eq!(found, expect, "{body}");
            }
            (Err(error), Err(expect)) => assert!(error.to_string().contains(expect), "{error}"),
            (answer, _) => panic!("{body}: {answer:?}"),
        }
    }
}

#[tokio::test]
async fn a_lost_deal_is_found_by_the_title_that_was_sent() {
    let answer = json!({ "person": { "uid": 7 }, "deals": [
        { "id": 1, "title": "Заявка", "status": "won" }, { "id": 2, "title": "Інша", "status": "open" },
        { "id": 3, "title": "Bot: Заявка", "status": "open" }
    ] });
    let body = answer.to_string();
    let length = body.len();
    let server = Canned::start(&format!("HTTP/1.1 200 x\r\nContent-Length: {length}\r\n\r\n{body}")).await;
    let text =
        OTHER.replace("title: \"{{ title }}\"", "title: \"Bot: {{ title }}\"").replace("keyed: true, ", "");
    let crm = leadfold::crm::connect(&of_text(&text, &server.url())).unwrap();
    assert_eq!(crm.guarantee(StepKind::CreateDeal), Guarantee::Findable);
    let lost = step(deal(&RecordId("7".into())));
    assert_eq!(
        crm.look_up(&[(RecordKind::Deal, &lost)], Priority::Live).await,
        [Ok(vec![RecordId("3".into())])]
    );

    let untitled = OTHER.replace(", title: \"{{ title }}\"", "").replace("keyed: true, ", "");
    let crm = leadfold::crm::connect(&of_text(&untitled, &server.url())).unwrap();
    assert_eq!(crm.guarantee(StepKind::CreateDeal), Guarantee::Blind);
}

#[tokio::test]
async fn hostile_values_stay_values() {
    let hostile = [
        "{{ marker }}",
        "<< id >>",
        "a/../../admin?x=1&y=2#z",
        "\"}],\"admin\":true,\"x\":[{\"",
        "%2e%2e%2f",
        "line\r\nX-Admin: 1\r\n\r\nDELETE / HTTP/1.1",
        "\u{0}\u{7f}\u{202e}",
        &"ї".repeat(20_000),
    ];
    for value in hostile {
        let (server, crm) = other(201, &json!({ "person": { "uid": 1 } })).await;
        let fields = ContactFields {
            name: Some(value.into()),
            phones: vec![value.into()],
            ..ContactFields::default()
        };
        assert_eq!(
            outcome(&*crm, Action::CreateContact { contact: fields }).await,
            Outcome::Done(RecordId("1".into()))
        );
        let sent = requests(&server);
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].0, "POST /api/people");
        let expect =
            json!({ "name": value, "phones": [{ "number": value }], "note": format!("for {value}") });
        assert_eq!(serde_json::from_str::<Value>(&sent[0].1).unwrap(), expect);
    }
    // In a path: one segment, escaped, or no request at all.
    for (room, expect) in [
        ("a/../../admin?x=1#z", Some("PUT /api/people/7/a%2F..%2F..%2Fadmin%3Fx=1%23z?as=n%26m%3D1")),
        ("%2e%2e", Some("PUT /api/people/7/%252e%252e?as=n%26m%3D1")),
        ("{{ id }}", Some("PUT /api/people/7/%7B%7B%20id%20%7D%7D?as=n%26m%3D1")),
        ("\\..\\", Some("PUT /api/people/7/%5C..%5C?as=n%26m%3D1")),
        ("..", None),
        (".", None),
        ("", None),
        ("a\r\nb", None),
        ("\u{0}", None),
    ] {
        let (server, crm) = other(200, &json!({})).await;
        let done = outcome(&*crm, update("n&m=1", room, "h")).await;
        let lines: Vec<String> = requests(&server).into_iter().map(|(line, _)| line).collect();
        if let Some(line) = expect {
            assert_eq!(lines, [line], "{room:?}");
        } else {
            assert!(matches!(done, Outcome::Rejected { .. }), "{room:?}: {done:?}");
            assert!(lines.is_empty(), "{room:?}: {lines:?}");
        }
    }
    // In a header: refused before it is sent.
    let (server, crm) = other(200, &json!({})).await;
    let done = outcome(&*crm, update("n", "r", "a\r\nX-Admin: 1")).await;
    assert!(matches!(done, Outcome::Rejected { .. }) && requests(&server).is_empty(), "{done:?}");
    // An id that the CRM gave us is no better than a lead's value.
    let (server, crm) = other(404, &json!({})).await;
    let answer = crm.find(&[by_link(&RecordId("../users".into()))]).await.remove(0);
    assert!(answer.is_ok());
    assert_eq!(requests(&server)[0].0, "GET /api/people/..%2Fusers");
}

#[test]
fn the_shipped_examples_pass_check() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings");
    let mut examples = 0;
    for entry in std::fs::read_dir(root.join("examples")).unwrap() {
        let folder = entry.unwrap().path();
        let files = read_files(&folder).unwrap();
        let compiled = compile_with(&files, &(std::sync::Arc::new(|_: &str| None) as _));
        assert_eq!(compiled.problems, [], "{:?}", files.0.keys());
        for destination in compiled.workspace.destinations.values() {
            assert!(leadfold::crm::connect(destination).is_ok());
        }
        let tests = leadfold::trial::run(&compiled.workspace, &folder);
        assert!(tests.len() >= 2, "{}: a mapping carries tests", folder.display());
        for test in tests {
            assert_eq!(test.failure, None, "{}: {}", folder.display(), test.name);
        }
        examples += 1;
    }
    assert!(examples >= 3);
    let own = read_files(&root).unwrap().0;
    let built_in = MAPPINGS.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    assert_eq!(own, built_in, "the default workspace is what the demo brings along, and no example");
}
