//! The description: what is read of it, what it sends, what it makes of answers, and what it complains about.

use serde_json::{Value, json};

use super::answer::Items;
use super::operation::{KINDS, Op};
use super::reading::{Api, read};
use super::request::Filled;
use crate::crm::http::Verdict;
use crate::map::{Compiled, Files, JsonPath, Reader, Severity, Tree, Values, compile, parse};

/// The smallest description that works.
pub(crate) const SMALL: &str = r#"
destinations:
  crm:
    crm: rest
    url: https://crm.example.com/v1
    operations:
      find_contact_by_phone: { get: /contacts, query: { phone: "{{ phone }}" } }
      find_contact_by_email: none
      get_contact: { get: "/contacts/{{ id }}" }
      create_contact: { post: /contacts, json: { phone: "{{ phone }}" } }
      update_contact: none
      create_deal: none
      create_task: none
      add_note: none
    contact: { phones: $.phones }
"#;

fn compiled(workspace: &str) -> Compiled {
    let files = Files([("workspace.yaml".to_owned(), workspace.to_owned())].into());
    compile(&files, &|_| None, &crate::crm::kinds(), &[])
}

fn problems(workspace: &str) -> Vec<String> {
    compiled(workspace).problems.iter().map(ToString::to_string).collect()
}

/// A description of which only one operation matters.
fn api(operations: &str) -> Api {
    let text = format!("contact: {{ phones: $.phones }}\noperations:\n{operations}\n");
    let reader = Reader::new("a.yaml", &text, &|_| None);
    let Tree { root, .. } = parse(&text);
    let api = read(&reader, &root);
    let ours: Vec<_> = reader.finish().0.into_iter().filter(|problem| problem.line > 2).collect();
    assert!(ours.is_empty(), "{ours:?}");
    api
}

fn filled(op: Op, yaml: &str, values: Value) -> Result<Filled, String> {
    let api = api(&format!("  {}: {yaml}", op.word()));
    api.operations[&op].request.fill(&Values::new(values))
}

#[test]
fn a_small_description_is_enough() {
    assert_eq!(problems(SMALL), Vec::<String>::new());
}

#[test]
fn a_second_reading_gives_the_same() {
    let compiled = compiled(SMALL);
    let destination = &compiled.workspace.destinations["crm"];
    let again = super::api(destination).unwrap();
    assert_eq!(again.operations.len(), 3);
    let request = again.operations[&Op::GetContact].request.fill(&Values::new(json!({ "id": "7" }))).unwrap();
    assert_eq!(request.segments, ["contacts", "7"]);
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let check = |from: &str, to: &str, expect: &str| {
        assert!(SMALL.contains(from), "{from}");
        let found = problems(&SMALL.replace(from, to));
        assert!(found.iter().any(|problem| problem.contains(expect)), "{to}: {expect}\n{found:#?}");
    };
    let phone = "get: /contacts, query: { phone: \"{{ phone }}\" }";
    // Names.
    check(
        "get_contact:",
        "get_contacts:",
        "9:7: `get_contacts` is not a key of `operations` (did you mean `get_contact`?)",
    );
    check("get_contact:", "get_contacts:", "`operations` has no `get_contact`");
    check("{{ phone }}\" }", "{{ phon }}\" }", "there is no value `phon` here (did you mean `phone`?)");
    check("{{ phone }}\" }", "{{ phone | digts }}\" }", "there is no filter `digts`");
    check(
        "phones: $.phones",
        "phnoes: $.phones",
        "`phnoes` is not a key of `contact` (did you mean `phones`?)",
    );
    check("phones: $.phones", "phones: \"$.phones[\"", "is not a JSONPath");
    check("phones: $.phones", "phones: phones", "must say where it stands in the answer (write `$.phones`");
    check("phones: $.phones", "name: $.name", "does not say where the phones stand");
    check(
        "query: { phone:",
        "qeury: { phone:",
        "`qeury` is not a key of `find_contact_by_phone` (did you mean `query`?)",
    );
    // Requests.
    check("get: /contacts,", "get: contacts,", "a path begins with a slash");
    check("get: /contacts,", "get: \"/contacts?a=b\",", "a path holds no parameters");
    check("get: /contacts,", "get: /a/../contacts,", "a path cannot have");
    check("get: /contacts,", "get: //contacts,", "a path cannot have");
    check("get: /contacts,", "get: /con%74acts,", "a path is written as it is read");
    check("get: /contacts,", "", "must say one method");
    check("get: /contacts,", "get: /contacts, post: /contacts,", "must say one method");
    check(phone, "get: /contacts", "does not say {{ phone }}");
    check("\"/contacts/{{ id }}\"", "/contacts", "does not say {{ id }}");
    check("{ phone: \"{{ phone }}\" } }\n      u", "{ phone: {{ phone }} } }\n      u", "quotes");
    check(
        "{ phone: \"{{ phone }}\" } }\n      u",
        "{ phone: \"${PHONE}\" } }\n      u",
        "only in fields that hold secrets",
    );
    // Operations that need each other.
    check(
        &format!("find_contact_by_phone: {{ {phone} }}"),
        "find_contact_by_phone: none",
        "cannot be found in this CRM",
    );
    check("create_contact: {", "create_task: {", "`operations` has no `create_contact`");
    check(
        "create_deal: none",
        "create_deal: { post: /deals, json: { contact: \"{{ contact }}\" } }",
        "nothing says which deals are open",
    );
    check("create_contact: {", "create_contact: { keyed: true,", "has no {{ marker }}");
    check(
        "update_contact: none",
        "find_contact_by_marker: { get: /contacts, query: { m: \"{{ marker }}\" } }",
        "`create_contact` writes no marker",
    );
    // What it cannot do.
    check("      create_task: none\n", "", "there is no `create_task`: who comes back leaves a note");
    check("      find_contact_by_email: none\n", "", "people are found by phone only");
    // Everything else.
    check("    contact:", "    auth: { baerer: x }\n    contact:", "did you mean `bearer`?");
    check("    contact:", "    auth: { bearer: x, query: { key: y } }\n    contact:", "must say one way");
    check(
        "    contact:",
        "    auth: { bearer: \"${NOT_SET}\" }\n    contact:",
        "needs the environment variable `NOT_SET`",
    );
    check("    contact:", "    auth: { basic: { user: me } }\n    contact:", "`auth.basic` is not complete");
    check("    contact:", "    phone_spellings: [digts]\n    contact:", "did you mean `digits`?");
    check("    contact:", "    answers: { refused: {} }\n    contact:", "does not say which answers");
    check("    contact:", "    answers: { refused: { when: yes } }\n    contact:", "must be one placeholder");
    check("    contact:", "    answers: { refused: many }\n    contact:", "must be a whole number");
    check("    contact:", "    contact: { id: $.id }\n    contact:", "stands twice");
    check("create_contact: {", "create_contact: { duplicate: { status: 409 },", "`duplicate` has no `id`");
}

#[test]
fn only_warnings_for_what_it_cannot_do() {
    let workspace = SMALL.replace("      add_note: none\n", "").replace("      create_deal: none\n", "");
    let compiled = compiled(&workspace);
    assert!(compiled.is_sound());
    assert_eq!(compiled.problems.len(), 2);
    assert!(
        compiled.problems.iter().all(|problem| problem.severity == Severity::Warning && problem.line == 6),
        "{:?}",
        compiled.problems
    );
}

#[test]
fn requests_are_filled() {
    let check = |op: Op, yaml: &str, values: Value, expect: Value| {
        let filled = filled(op, yaml, values).unwrap();
        let mut found = json!({ "path": filled.segments, "query": filled.query, "json": filled.json });
        found.as_object_mut().unwrap().retain(|_, part| !part.is_null() && *part != json!([]));
        assert_eq!(found, expect, "{yaml}");
    };
    check(
        Op::FindByPhone,
        "{ get: /a/b, query: { \"q[phone]\": \"{{ phone }}\", limit: 5, none: \"{{ phone.x }}\" } }",
        json!({ "phone": "+380671234567" }),
        json!({ "path": ["a", "b"], "query": [["q[phone]", "+380671234567"], ["limit", "5"]] }),
    );
    check(
        Op::GetContact,
        "{ get: \"/x-{{ id }}/{{ id | upper }}\" }",
        json!({ "id": "a1" }),
        json!({ "path": ["x-a1", "A1"] }),
    );
    // Types stay; what is absent is left out, and a list item with it.
    check(
        Op::CreateContact,
        "{ post: /c, json: { a: \"{{ phones }}\", b: \"{{ name }}\", c: { d: \"{{ name }}\" }, e: 1, f: \"1\", \
         g: [ { t: \"{{ fields.t }}\", k: 1 }, { t: \"{{ fields.u }}\", k: 2 } ], h: \"{{ fields }}\", p: \"{{ phone }}\" } }",
        json!({ "phones": ["+1", "+2"], "phone": "+1", "fields": { "t": 5, "n": [1] } }),
        json!({ "path": ["c"], "json": {
            "a": ["+1", "+2"], "e": 1, "f": "1", "g": [{ "t": 5, "k": 1 }], "h": { "t": 5, "n": [1] }, "p": "+1"
        } }),
    );
    check(
        Op::UpdateContact,
        "{ patch: \"/c/{{ id }}\", json: { name: \"{{ name }}\" } }",
        json!({ "id": "7" }),
        json!({ "path": ["c", "7"], "json": {} }),
    );
    let folder = filled(Op::Ping, "{ get: /api/list/ }", json!({})).unwrap();
    assert!(folder.folder && folder.segments == ["api", "list"]);
    let lost = filled(Op::GetContact, "{ get: \"/c/{{ id }}\" }", json!({}));
    assert_eq!(lost, Err("a part of the path has no value".to_owned()));
}

#[test]
fn values_are_never_templates() {
    for hostile in [
        "{{ marker }}",
        "<< marker >>",
        "$.marker",
        "${HOME}",
        "a/b?c=d#e",
        "../..",
        "\"}, {\"x\": \"",
        "a\r\nX: y",
    ] {
        let request = "{ post: \"/c/{{ fields.a }}\", query: { q: \"{{ name }}\" }, headers: { H: \"{{ name }}\" }, \
                       json: { phone: \"{{ phone }}\", t: \"to {{ name }}\", l: [\"{{ name }}\"], f: \"{{ fields }}\" } }";
        let values = json!({ "name": hostile, "phone": "1", "fields": { "a": hostile }, "marker": "secret" });
        let filled = filled(Op::CreateContact, request, values).unwrap();
        assert_eq!(filled.segments, ["c", hostile]);
        assert_eq!(filled.query, [("q".to_owned(), hostile.to_owned())]);
        let expect =
            json!({ "phone": "1", "t": format!("to {hostile}"), "l": [hostile], "f": { "a": hostile } });
        assert_eq!(filled.json, Some(expect));
    }
}

#[test]
fn answers_are_told_apart() {
    let workspace = SMALL.replace(
        "    contact:",
        "    answers:
      refused: [422, { status: 200, when: \"{{ success == false }}\" }]
      rate_limited: { when: \"{{ error.code == 'LIMIT' }}\" }
      not_done: 502
      unclear: { status: 403, when: \"{{ 1 / parts }}\" }
    contact:",
    );
    let api = super::api(&compiled(&workspace).workspace.destinations["crm"]).unwrap();
    let check = |status: u16, body: Value, expect: Option<Verdict>| {
        assert_eq!(api.meanings.judge(status, &body), expect, "{status} {body}");
    };
    check(200, json!({ "id": 1 }), None);
    check(200, json!({ "success": true }), None);
    check(200, json!({ "success": false }), Some(Verdict::Rejected));
    check(201, json!({ "success": false }), None);
    check(422, json!({}), Some(Verdict::Rejected));
    check(422, json!({ "error": { "code": "LIMIT" } }), Some(Verdict::RateLimited));
    check(502, json!(null), Some(Verdict::NotDone));
    check(500, json!("text"), None);
    check(403, json!({ "parts": 0 }), Some(Verdict::Unclear));
    check(403, json!({}), None);
}

#[test]
fn records_stand_where_the_description_says() {
    let items = |path: &str, answer: Value| Items(JsonPath::compile(path).unwrap()).of(&answer);
    assert_eq!(items("$", json!([1, 2])), Some(vec![json!(1), json!(2)]));
    assert_eq!(items("$.data", json!({ "data": { "id": 1 } })), Some(vec![json!({ "id": 1 })]));
    assert_eq!(items("$.data", json!({ "data": [] })), Some(vec![]));
    assert_eq!(items("$.data", json!({ "error": 1 })), None);
    assert_eq!(items("$", Value::Null), None);
    let many: Vec<Value> = (0..20_000).map(|id| json!({ "id": id })).collect();
    assert_eq!(items("$.data", json!({ "data": many })).map(|items| items.len()), Some(20_000));

    let workspace = SMALL.replace(
        "{ phones: $.phones }",
        "{ id: $.uid, name: [\"{{ first }} {{ last }}\", $.first], phones: [\"$.phones[*].number\", $.mobile], owner: $.by.id, \
         created_at: $.at, fields: { chat: $.custom.chat, tags: \"{{ $.tags[*] | join(',') }}\" } }",
    );
    let api = super::api(&compiled(&workspace).workspace.destinations["crm"]).unwrap();
    let contact = |record: Value| api.contact.contact(&Values::new(record));
    let found = contact(json!({
        "uid": 7, "first": "Olena", "last": null, "phones": [{ "number": "067" }, { "number": " " }], "mobile": 50,
        "by": { "id": 3 }, "at": "2026-11-21 12:00:00", "custom": { "chat": "{{ uid }}" }, "tags": ["a", "b"]
    }))
    .unwrap();
    assert_eq!((found.id.0.as_str(), found.name.as_deref()), ("7", Some("Olena")));
    assert_eq!(found.phones, ["067", "50"]);
    assert_eq!(found.owner.as_deref(), Some("3"));
    assert_eq!(found.created_at, Some("2026-11-21T12:00:00Z".parse().unwrap()));
    assert_eq!(json!(found.fields), json!({ "chat": "{{ uid }}", "tags": "a,b" }));
    assert_eq!(contact(json!({ "id": 7 })), None, "an id that stands elsewhere is none");
    for (at, expect) in [
        (json!(1_763_726_400), Some("2025-11-21T12:00:00Z")),
        (json!(1_763_726_400_000_i64), Some("2025-11-21T12:00:00Z")),
        (json!("2025-11-21T14:00:00+02:00"), Some("2025-11-21T12:00:00Z")),
        (json!("yesterday"), None),
        (json!(i64::MIN), None),
    ] {
        let found = contact(json!({ "uid": 1, "at": at })).unwrap();
        assert_eq!(found.created_at, expect.map(|text| text.parse().unwrap()), "{at}");
    }
}

#[test]
fn deals_are_open_unless_they_say_otherwise() {
    let workspace =
        SMALL.replace("    contact:", "    deal: { open: \"{{ status != 'closed' }}\" }\n    contact:");
    let api = super::api(&compiled(&workspace).workspace.destinations["crm"]).unwrap();
    let open = |record: Value| api.deal.is_open(&Values::new(record));
    assert!(open(json!({ "status": "new" })) && open(json!({})) && !open(json!({ "status": "closed" })));
}

#[test]
fn every_operation_has_one_name() {
    let mut words: Vec<&str> = KINDS.iter().map(|kind| kind.word).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), KINDS.len());
    assert!(KINDS.iter().all(|kind| kind.op.word() == kind.word));
}
