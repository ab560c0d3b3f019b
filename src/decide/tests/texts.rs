//! What people read in the CRM, and what replaces it where the CRM lacks something.

use std::collections::BTreeMap;

use super::*;

#[test]
fn the_default_task_says_where_from_and_what_differs() {
    let mut case = Case::found(vec![contact("17", vec![deal("5")])]);
    case.lead.chat = Some(telegram());
    case.lead.contact.emails = vec![email("olena@example.com")];
    case.lead.contact.fields = Fields::from([("city".into(), json!("Lviv")), ("vip".into(), json!(true))]);
    case.lead.flaws = vec![too_short()];
    case.found[0].fields = Fields::from([("city".into(), json!("Kyiv")), ("vip".into(), json!("true"))]);
    case.rules.update_fields = BTreeMap::from([("email".into(), FieldPolicy::Append)]);
    let plan = case.plan();
    let task = task(&plan);
    assert_eq!(task.title, "Repeat lead: Olena");
    assert_eq!(
        task.text,
        "Source: sendpulse (Kyiv leads)\n\
         Bot: Shop bot (telegram)\n\
         Chat: https://chat.example/4711\n\
         The phone “123” could not be used: too short for a phone number\n\
         The lead and the CRM differ:\n\
         - email: the CRM has nothing, the lead says olena@example.com; written with this lead\n\
         - city: the CRM has Kyiv, the lead says Lviv"
    );
    assert_eq!(task.due_at, now() + SignedDuration::from_hours(1));
}

#[test]
fn a_rendered_task_is_left_as_the_mapping_wrote_it() {
    let mut case = Case::found(vec![contact("17", vec![deal("5")])]);
    let rendered = |due_seconds| TaskPart {
        title: Some("Call back".into()),
        text: Some("Now".into()),
        kind: Some("call".into()),
        due_seconds,
    };
    for (seconds, due_at) in [
        (Some(7200), now() + SignedDuration::from_hours(2)),
        (Some(-5), now()),
        (Some(i64::MAX), Timestamp::MAX),
        (None, now() + SignedDuration::from_hours(1)),
    ] {
        case.lead.task = Some(rendered(seconds));
        let expected = TaskFields {
            title: "Call back".into(),
            text: "Now".into(),
            kind: Some("call".into()),
            due_at,
            owner: Some("petro".into()),
        };
        assert_eq!(task(&case.plan()), &expected);
    }
    case.lead.task = Some(TaskPart { title: Some(" ".into()), ..TaskPart::default() });
    assert_eq!(task(&case.plan()).title, "Repeat lead: Olena");
}

#[test]
fn a_long_value_is_shortened_in_the_default_text() {
    let mut case = Case::found(vec![contact("17", vec![deal("5")])]);
    case.lead.contact.fields = Fields::from([("essay".into(), json!("ї".repeat(60_000)))]);
    let plan = case.plan();
    assert!(task(&plan).text.chars().count() < 400);
    assert!(task(&plan).text.ends_with("ї…"));
}

#[test]
fn notes_follow_the_deal_or_stand_in_the_task() {
    let noted = |found| {
        let mut case = Case::found(found);
        case.lead.note = Some("wants a call".into());
        case
    };
    let repeat = || vec![contact("17", vec![deal("5")])];
    assert_eq!(outline(&noted(vec![]).decide()), "create contact, create deal, add note");
    assert_eq!(outline(&noted(vec![contact("17", vec![])]).decide()), "create deal, add note");
    assert_eq!(outline(&noted(repeat()).decide()), "create task, add note");

    let mut no_notes = noted(repeat());
    no_notes.can.notes = false;
    assert!(task(&no_notes.plan()).text.ends_with("\n\nwants a call"));
    assert!(codes(&no_notes.plan()).contains(&"note_in_task"));
    no_notes.found.clear();
    check(
        &no_notes,
        "create contact, create deal",
        &["no_contact_found", "owner_picked", "note_not_written"],
    );

    let mut collapsed = noted(repeat());
    collapsed.rules.task_on_repeat = TaskOnRepeat::Never;
    assert_eq!(outline(&collapsed.decide()), "add note");
}

#[test]
fn what_a_crm_lacks_is_replaced_and_said() {
    let mut case = Case::found(vec![contact("17", vec![deal("5")])]);
    case.lead.note = Some("wants a call".into());
    case.can.tasks = false;
    check(
        &case,
        "add note",
        &["contact_found", "open_deal", "nothing_differs", "no_tasks_here", "note_added"],
    );
    let text = note(&case.plan()).to_owned();
    assert!(text.starts_with("Repeat lead: Olena\nSource:") && text.ends_with("\n\nwants a call"), "{text}");

    let mut dealless = Case::with(|case| {
        case.can.deals = false;
        case.lead.deal.title = Some("Order from bot".into());
        case.lead.deal.fields = Fields::from([("budget".into(), json!(500))]);
    });
    let codes = ["no_contact_found", "owner_picked", "no_deals_here", "note_added"];
    check(&dealless, "create contact, add note", &codes);
    assert_eq!(note(&dealless.plan()), "Order from bot\nbudget: 500");
    dealless.found = vec![contact("17", vec![])];
    assert_eq!(outline(&dealless.decide()), "create task, add note");
    assert_eq!(task(&dealless.plan()).owner.as_deref(), Some("maria"));
    dealless.can = Capabilities { deals: false, tasks: false, notes: false, ..ALL };
    assert_eq!(outline(&dealless.decide()), "");
}
