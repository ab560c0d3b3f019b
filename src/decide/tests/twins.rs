//! What asks a person to merge several contacts of one human.

use super::*;

/// A human who came back, with one deal, and whose other contacts are these.
fn with_twins(twins: &[&str]) -> Case {
    let mut case = Case::found(vec![contact("17", vec![deal("5")])]);
    case.linked = Some(RecordId("17".into()));
    case.twins = twins.iter().map(|twin| RecordId((*twin).into())).collect();
    case
}

fn on(contact: &str) -> Reference {
    Reference::Record(RecordId(contact.into()))
}

/// The tasks and notes that ask, each as its contact and its text.
fn asks(plan: &Plan) -> Vec<(&'static str, Reference, String)> {
    let asking = plan.steps.iter().filter_map(|step| match &step.action {
        Action::CreateTask { contact, task, .. } => Some(("task", contact.clone(), task.text.clone())),
        Action::AddNote { contact, text, .. } => Some(("note", contact.clone(), text.clone())),
        Action::CreateContact { .. }
        | Action::UpdateContact { .. }
        | Action::CreateDeal { .. }
        | Action::UpdateDeal { .. }
        | Action::Call { .. } => None,
    });
    asking.filter(|(_, _, text)| text.contains("same person")).collect()
}

/// Who has each task.
fn owners(plan: &Plan) -> Vec<Option<&str>> {
    let tasks = plan.steps.iter().filter_map(|step| {
        if let Action::CreateTask { task, .. } = &step.action { Some(task.owner.as_deref()) } else { None }
    });
    tasks.collect()
}

#[test]
fn each_contact_gets_a_note_and_whoever_is_responsible_a_task() {
    let plan = with_twins(&["21", "22"]).plan();
    let asking = asks(&plan);
    let kinds: Vec<_> = asking.iter().map(|(kind, contact, _)| (*kind, contact.clone())).collect();
    let expected =
        [("note", on("17")), ("task", on("21")), ("note", on("21")), ("task", on("22")), ("note", on("22"))];
    assert_eq!(kinds, expected);
    assert!(
        asking.iter().all(|(_, _, text)| text.contains("17") && text.contains("21 and 22")),
        "{asking:?}"
    );
    assert_eq!(owners(&plan), [Some("petro"); 3], "the deal's owner, also for the lead itself");
}

#[test]
fn who_left_is_not_asked() {
    let mut case = with_twins(&["21"]);
    case.inactive = InactiveUsers::new(["petro".to_owned()]);
    assert_eq!(owners(&case.plan()).last(), Some(&Some("maria")), "then the contact's owner");
}

#[test]
fn a_crm_that_lacks_something_is_asked_with_the_rest() {
    let check = |tasks: bool, notes: bool, expect: &[&str]| {
        let mut case = with_twins(&["21"]);
        case.can = Capabilities { tasks, notes, ..ALL };
        let plan = case.plan();
        let kinds: Vec<_> = asks(&plan).into_iter().map(|(kind, _, _)| kind).collect();
        assert_eq!(kinds, expect, "tasks {tasks}, notes {notes}");
        assert_eq!(plan.reasons.iter().any(|reason| reason.code == "twins_told"), !expect.is_empty());
    };
    check(true, true, &["note", "task", "note"]);
    check(true, false, &["task"]);
    check(false, true, &["note", "note"]);
    check(false, false, &[]);
}

#[test]
fn nobody_is_asked_without_a_twin_or_to_merge_a_contact_into_itself() {
    assert_eq!(asks(&with_twins(&[]).plan()), []);
    assert_eq!(asks(&with_twins(&["17"]).plan()), []);
}
