use axum::http::StatusCode;
use serde_json::{Value, json};

use super::bots::Asked;
use super::routes::{Input, Operation};
use super::*;

fn state(faults: Faults) -> State {
    State {
        records: Records::default(),
        bots: Bots::default(),
        faults,
        dice: Dice::new(1),
        window: RateWindow::default(),
        tally: Tally::default(),
        truth: Truth::default(),
        account: None,
    }
}

/// Performs `GET /path?query` and the like past the faults; status and body.
fn call(state: &mut State, line: &str, body: impl Into<Value>) -> (u16, Value) {
    let (method, target) = line.split_once(' ').unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (status, body) = state.perform(&Operation::new(method, path, Some(query), Input::Json(&body.into())));
    (status.as_u16(), body)
}

fn ids(answer: &(u16, Value)) -> Vec<u64> {
    assert_eq!(answer.0, StatusCode::OK.as_u16(), "{}", answer.1);
    answer.1["items"].as_array().unwrap().iter().map(|item| item["id"].as_u64().unwrap()).collect()
}

fn contact(state: &mut State, body: Value) -> u64 {
    let (status, body) = call(state, "POST /contacts", body);
    assert_eq!(status, 201, "{body}");
    body["id"].as_u64().unwrap()
}

fn deal(crm: &mut State, contact: u64, stage: &str) -> u64 {
    let (status, body) =
        call(crm, "POST /deals", json!({"contact_id": contact, "title": "d", "stage": stage}));
    assert_eq!(status, 201, "{body}");
    body["id"].as_u64().unwrap()
}

#[test]
fn searches_compare_raw_text() {
    let mut crm = state(Faults::default());
    let id = contact(
        &mut crm,
        json!({"phones": ["+38 067 1234567"], "emails": ["Olena@example.com"], "marker": "m1"}),
    );
    for (query, expect) in [
        ("phone=%2B38+067+1234567", vec![id]),
        ("phone=%2B380671234567", vec![]),
        ("email=Olena%40example.com", vec![id]),
        ("email=olena%40example.com", vec![]),
        ("marker=m1", vec![id]),
        ("marker=m2", vec![]),
    ] {
        let found = call(&mut crm, &format!("GET /contacts?{query}"), Value::Null);
        assert_eq!(ids(&found), expect, "{query}");
    }
    assert_eq!(call(&mut crm, "GET /contacts?phone=1&email=2", Value::Null).0, 422);
    assert_eq!(call(&mut crm, "GET /contacts", Value::Null).0, 422);
}

#[test]
fn searches_lag_and_reads_do_not() {
    let mut crm = state(Faults { search_lag_ms: 600_000, ..Faults::default() });
    let id = contact(&mut crm, json!({"phones": ["+380671234567"], "marker": "m1"}));
    deal(&mut crm, id, "New");
    for query in ["contacts?phone=%2B380671234567", "contacts?marker=m1", "deals?contact_id=1&open=true"] {
        assert_eq!(ids(&call(&mut crm, &format!("GET /{query}"), Value::Null)), Vec::<u64>::new(), "{query}");
    }
    let (status, body) = call(&mut crm, &format!("GET /contacts/{id}?with=open_deals"), Value::Null);
    assert_eq!((status, body["deals"].as_array().map(Vec::len)), (200, Some(1)));
    assert_eq!(call(&mut crm, &format!("GET /contacts/{id}"), Value::Null).1.get("deals"), None);
}

#[test]
fn updates_change_only_what_is_sent() {
    let mut crm = state(Faults::default());
    let id = contact(
        &mut crm,
        json!({"name": "Olena", "phones": ["1"], "fields": {"city": "Lviv", "source": "bot"}}),
    );
    let (_, body) = call(
        &mut crm,
        &format!("PATCH /contacts/{id}"),
        json!({"phones": ["2", "3"], "fields": {"city": "Kyiv"}}),
    );
    assert_eq!((&body["name"], &body["phones"]), (&json!("Olena"), &json!(["2", "3"])));
    assert_eq!(body["fields"], json!({"city": "Kyiv", "source": "bot"}));
    assert_eq!(ids(&call(&mut crm, "GET /contacts?phone=3", Value::Null)), [id]);
}

#[test]
fn a_closing_stage_closes_the_deal() {
    let mut crm = state(Faults::default());
    let id = contact(&mut crm, json!({}));
    let (open, lost) = (deal(&mut crm, id, "New"), deal(&mut crm, id, "lost"));
    assert_eq!(ids(&call(&mut crm, &format!("GET /deals?contact_id={id}"), Value::Null)), [open, lost]);
    assert_eq!(ids(&call(&mut crm, &format!("GET /deals?contact_id={id}&open=true"), Value::Null)), [open]);
    call(&mut crm, &format!("PATCH /deals/{open}"), json!({"stage": "Won"}));
    assert_eq!(
        ids(&call(&mut crm, &format!("GET /deals?contact_id={id}&open=true"), Value::Null)),
        Vec::<u64>::new()
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut crm = state(Faults::default());
    contact(&mut crm, json!({}));
    for (line, body, expect) in [
        ("POST /deals", json!({"contact_id": 99}), 422),
        ("POST /deals", json!({}), 422),
        ("POST /tasks", json!({"contact_id": 1, "deal_id": 99}), 422),
        ("POST /notes", json!({"contact_id": "1"}), 422),
        ("POST /contacts", json!({"phone": "1"}), 422),
        ("POST /contacts", json!([]), 422),
        ("PATCH /contacts/99", json!({}), 404),
        ("PATCH /deals/99", json!({}), 404),
        ("GET /contacts/99", Value::Null, 404),
        ("GET /contacts/one", Value::Null, 404),
        ("GET /leads", Value::Null, 404),
        ("DELETE /contacts/99", Value::Null, 404),
        ("POST /contacts/1/merge_into/1", Value::Null, 422),
        ("POST /batch", json!({"operations": []}), 404),
    ] {
        assert_eq!(call(&mut crm, line, body.clone()).0, expect, "{line} {body}");
    }
}

#[test]
fn with_an_account_only_its_names_are_taken() {
    let mut crm = state(Faults { batch: true, ..Faults::default() });
    assert_eq!(call(&mut crm, "GET /account", Value::Null), (200, Value::Null));
    let account = json!({
        "users": [{"id": "olha", "name": "Olha K.", "active": true}, {"id": "ivan", "name": null, "active": false}],
        "pipelines": [{"name": "Sales", "stages": ["New", "Won"]}, {"name": "Repairs", "stages": ["In"]}],
        "contact_fields": ["city"],
        "deal_fields": ["utm"],
    });
    crm.account = serde_json::from_value(account.clone()).unwrap();
    assert_eq!(call(&mut crm, "GET /account", Value::Null), (200, account));
    contact(&mut crm, json!({"owner": "ivan", "fields": {"city": "Lviv"}}));
    let new = json!({"contact_id": 1, "pipeline": "Repairs", "stage": "In", "owner": "olha k.", "fields": {"utm": "x"}});
    assert_eq!(call(&mut crm, "POST /deals", new).0, 201);
    assert_eq!(
        call(&mut crm, "POST /deals", json!({"contact_id": 1, "stage": "Won"})).0,
        201,
        "the first pipeline"
    );
    assert_eq!(call(&mut crm, "PATCH /deals/2", json!({"pipeline": "Sales", "stage": "New"})).0, 200);
    for (line, body, names) in [
        ("POST /contacts", json!({"owner": "petro"}), "`owner`: there is no user `petro`"),
        ("POST /contacts", json!({"fields": {"City": 1}}), "`fields`: a contact has no field `City`"),
        ("PATCH /contacts/1", json!({"fields": {"utm": 1}}), "`fields`: a contact has no field `utm`"),
        (
            "POST /deals",
            json!({"contact_id": 1, "pipeline": "Sale"}),
            "`pipeline`: there is no pipeline `Sale`",
        ),
        (
            "POST /deals",
            json!({"contact_id": 1, "pipeline": "Sales", "stage": "In"}),
            "`stage`: there is no stage `In`",
        ),
        ("PATCH /deals/2", json!({"stage": "In"}), "no stage `In` in pipeline `Sales`"),
        (
            "POST /deals",
            json!({"contact_id": 1, "fields": {"city": 1}}),
            "`fields`: a deal has no field `city`",
        ),
        ("POST /tasks", json!({"contact_id": 1, "owner": "petro"}), "`owner`: there is no user `petro`"),
    ] {
        let (status, answer) = call(&mut crm, line, body.clone());
        assert_eq!(status, 422, "{line} {body}");
        assert!(answer["error"].as_str().unwrap().contains(names), "{line} {body}: {answer}");
    }
    assert_eq!((crm.records.contacts.len(), crm.records.deals.len(), crm.records.tasks.len()), (1, 2, 0));
    let users = call(&mut crm, "GET /users", Value::Null).1;
    assert_eq!(users["items"][1]["active"], json!(false));
}

#[test]
fn a_merge_moves_everything() {
    let mut crm = state(Faults::default());
    let (from, into) =
        (contact(&mut crm, json!({"phones": ["1"]})), contact(&mut crm, json!({"emails": ["a@b.c"]})));
    let open = deal(&mut crm, from, "New");
    call(&mut crm, "POST /tasks", json!({"contact_id": from, "title": "t"}));
    assert_eq!(call(&mut crm, &format!("POST /contacts/{from}/merge_into/{into}"), Value::Null).0, 204);
    assert_eq!(call(&mut crm, &format!("GET /contacts/{from}"), Value::Null).0, 404);
    let (_, body) = call(&mut crm, &format!("GET /contacts/{into}?with=open_deals"), Value::Null);
    assert_eq!((&body["phones"], &body["deals"][0]["id"]), (&json!(["1"]), &json!(open)));
    assert_eq!(ids(&call(&mut crm, "GET /contacts?phone=1", Value::Null)), [into]);
    assert_eq!(crm.records.tasks.values().next().map(|task| task.contact_id), Some(into));
}

#[test]
fn a_batch_answers_item_by_item() {
    let mut crm = state(Faults { batch: true, ..Faults::default() });
    let operation = |method, path, body| json!({"method": method, "path": path, "body": body});
    let operations = json!({"operations": [
        operation("POST", "/contacts", json!({"phones": ["1"]})),
        operation("GET", "/contacts?phone=1", Value::Null),
        operation("POST", "/deals", json!({"contact_id": 99})),
        operation("POST", "/batch", json!({"operations": []})),
    ]});
    let (status, body) = call(&mut crm, "POST /batch", operations);
    let statuses: Vec<_> =
        body["results"].as_array().unwrap().iter().map(|item| item["status"].clone()).collect();
    assert_eq!((status, statuses), (200, vec![json!(201), json!(200), json!(422), json!(422)]));
    assert_eq!(body["results"][1]["body"]["items"][0]["id"], json!(1));
    let many = vec![operation("GET", "/users", Value::Null); 51];
    assert_eq!(call(&mut crm, "POST /batch", json!({ "operations": many })).0, 422);
}

#[test]
fn markers_can_be_switched_off() {
    let mut crm = state(Faults { marker_lookup: false, ..Faults::default() });
    for collection in ["contacts", "deals", "tasks", "notes"] {
        assert_eq!(
            call(&mut crm, &format!("GET /{collection}?marker=m"), Value::Null).0,
            404,
            "{collection}"
        );
    }
}

#[test]
fn duplicates_are_told_by_the_truth() {
    let mut crm = state(Faults::default());
    let truth = json!({"olena": ["+380671234567", "olena@example.com", "tg-7"], "petro": ["+380501112233"]});
    crm.truth = serde_json::from_value(truth).unwrap();
    let first = contact(&mut crm, json!({"phones": ["38 (067) 123-45-67"]}));
    let second = contact(&mut crm, json!({"emails": ["OLENA@example.com"]}));
    contact(&mut crm, json!({"fields": {"chat": "tg-7"}}));
    contact(&mut crm, json!({"phones": ["+380501112233"]}));
    let stats = stats::stats(&crm);
    assert_eq!((stats.contacts, stats.duplicate_contacts, stats.wrongly_joined), (4, 2, 0));

    deal(&mut crm, first, "New");
    assert_eq!(stats::stats(&crm).duplicate_deals, 0);
    deal(&mut crm, second, "Lost");
    assert_eq!(stats::stats(&crm).duplicate_deals, 0, "a closed deal is no duplicate");
    deal(&mut crm, second, "New");
    assert_eq!(stats::stats(&crm).duplicate_deals, 1);

    contact(&mut crm, json!({"phones": ["+380501112233"], "emails": ["olena@example.com"]}));
    assert_eq!(stats::stats(&crm).wrongly_joined, 1);
}

#[test]
fn without_a_label_equal_values_tell() {
    let mut crm = state(Faults::default());
    contact(&mut crm, json!({"phones": ["+38 067 123 45 67"]}));
    contact(&mut crm, json!({"emails": ["a@example.com"]}));
    contact(&mut crm, json!({"name": "Olena"}));
    contact(&mut crm, json!({"name": "Olena"}));
    assert_eq!(stats::stats(&crm).duplicate_contacts, 0);
    contact(&mut crm, json!({"phones": ["380671234567"], "emails": ["A@example.com"]}));
    assert_eq!(stats::stats(&crm).duplicate_contacts, 2, "it joins the first two");
}

#[test]
fn the_page_shows_data_as_data() {
    let mut crm = state(Faults::default());
    let evil = "<script>alert('x')</script>\" & \"";
    let id =
        contact(&mut crm, json!({"name": evil, "phones": [evil], "owner": evil, "fields": {evil: evil}}));
    call(&mut crm, "POST /deals", json!({"contact_id": id, "title": evil, "pipeline": evil, "stage": evil}));
    call(&mut crm, "POST /tasks", json!({"contact_id": id, "title": evil}));
    call(&mut crm, "POST /notes", json!({"contact_id": id, "text": evil}));
    let body = json!({ "contact_id": evil, "tags": [evil] });
    let segments = vec!["sendpulse", "telegram", "contacts", "setTag"];
    crm.bots
        .answer(&Asked { method: "POST", segments, query: Vec::new(), body }, jiff::Timestamp::UNIX_EPOCH);
    let html = page::Page(&crm).to_string();
    assert!(!html.contains("<script") && !html.contains("alert('"), "{html}");
    assert_eq!(
        html.matches("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot; &amp; &quot;").count(),
        12
    );
}

#[test]
fn calls_are_counted_by_kind() {
    let kind = |method, path| Operation::new(method, path, None, Input::Bytes(b"")).kind();
    assert_eq!(kind("GET", "/contacts/17"), "GET /contacts/{id}");
    assert_eq!(kind("POST", "/contacts/1/merge_into/2"), "POST /contacts/{id}/merge_into/{id}");
    assert_eq!(kind("GET", "/nonsense/3"), "GET /other/{id}");
    assert_eq!(kind("GET", "/"), "GET");
}
