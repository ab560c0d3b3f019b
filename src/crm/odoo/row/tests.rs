use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::id::StepId;

const STEP: &str = "0193f000-0000-7000-8000-00000000000a";

fn step(action: Action) -> Step {
    Step { id: STEP.parse::<StepId>().unwrap(), action }
}

fn record(id: &str) -> Reference {
    Reference::Record(RecordId(id.to_owned()))
}

/// The cells of a step that names nothing.
fn cells(action: Action) -> BTreeMap<String, String> {
    let step = step(action);
    assert!(!names_something(&step));
    Row::of(&step, &Names::none()).unwrap().cells
}

fn expected(cells: &[(&str, &str)]) -> BTreeMap<String, String> {
    cells.iter().map(|(column, cell)| ((*column).to_owned(), (*cell).to_owned())).collect()
}

#[test]
fn a_create_carries_the_id_of_its_step() {
    let contact = ContactFields {
        name: Some("Olena".into()),
        phones: vec!["+380671234567".into()],
        ..ContactFields::default()
    };
    let external_id = "leadfold.step_0193f0000000700080000000000000".to_owned() + "0a";
    assert_eq!(
        cells(Action::CreateContact { contact }),
        expected(&[("id", &external_id), ("name", "Olena"), ("phone", "+380671234567")])
    );
    let note = Action::AddNote { contact: record("7"), deal: Some(record("9")), text: "a < b\nc".into() };
    let cells = cells(note);
    assert_eq!((cells["model"].as_str(), cells["res_id"].as_str()), ("crm.lead", "9"));
    assert_eq!(
        (cells["id"].as_str(), cells["body"].as_str()),
        (external_id.as_str(), "<p>a &lt; b<br/>c</p>")
    );
    assert_eq!(external_id.matches('.').count(), 1, "module, dot, name");
}

#[test]
fn an_update_carries_its_record_and_only_what_changes() {
    let changes = ContactFields { emails: vec!["a@example.com".into()], ..ContactFields::default() };
    let update = Action::UpdateContact { contact: RecordId("7".into()), changes };
    assert_eq!(cells(update), expected(&[(".id", "7"), ("email", "a@example.com")]));
}

#[test]
fn what_is_no_record_is_refused_here() {
    for id in ["", "0", "-7", "abc", "7.0", "2147483648"] {
        let update = Action::UpdateDeal { deal: RecordId(id.into()), changes: DealFields::default() };
        assert!(matches!(Row::of(&step(update), &Names::none()), Err(RowError::Wrong(_))), "{id}");
    }
    let waits = Reference::Step(STEP.parse().unwrap());
    let orphan = Action::CreateDeal { contact: waits, deal: DealFields::default() };
    let error = Row::of(&step(orphan), &Names::none()).unwrap_err().to_string();
    assert!(error.contains("has not been written"), "{error}");
}

#[test]
fn values_become_cells() {
    let check = |kind: &str, value: Value, expect: Option<(&str, &str)>| {
        let shape = Shape { kind: kind.to_owned(), relation: None };
        let expect = expect.map(|(column, cell)| (column.to_owned(), cell.to_owned()));
        assert_eq!(cell("f", &shape, &value), expect, "{kind} {value}");
    };
    check("char", json!("  text "), Some(("f", "text")));
    check("char", json!(5), Some(("f", "5")));
    check("char", json!(["a", 1, null, ""]), Some(("f", "a, 1")));
    check("char", json!(null), None);
    check("char", json!(" "), None);
    check("char", json!([]), None);
    check("html", json!("a & b"), Some(("f", "<p>a &amp; b</p>")));
    check("boolean", json!(false), Some(("f", "False")));
    check("boolean", json!(true), Some(("f", "True")));
    check("many2one", json!("Ukraine"), Some(("f", "Ukraine")));
    check("many2one", json!(229), Some(("f/.id", "229")));
    check("many2many", json!(["VIP", "Bot"]), Some(("f", "VIP,Bot")));
    check("char", json!({"a": 1}), Some(("f", "{\"a\":1}")));
}
