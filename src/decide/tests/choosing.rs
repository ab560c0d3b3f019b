//! Which contact and which deal a lead lands on.

use std::time::Duration;

use super::*;

#[test]
fn among_several_contacts_one_is_chosen_and_the_others_are_named() {
    let at = |day: i8| now().checked_sub(SignedDuration::from_hours(24 * i64::from(day))).ok();
    let by_phone = |id: &str, deals| contact(id, deals);
    let by_email = |id: &str, deals| FoundContact {
        phones: vec![],
        emails: vec!["Olena@Example.com".into()],
        ..contact(id, deals)
    };
    let aged = |contact: FoundContact, day| FoundContact { created_at: at(day), ..contact };
    let chosen = |found: Vec<FoundContact>, linked: Option<&str>| {
        let mut case = Case::found(found);
        case.person.emails = vec!["olena@example.com".into()];
        case.linked = linked.map(|id| RecordId(id.into()));
        let first = case.plan();
        case.found.reverse();
        assert_eq!(case.plan().steps, first.steps, "the order of the CRM's answer decides nothing");
        first.reasons.iter().map(|reason| reason.text.clone()).collect::<Vec<_>>().join(" ")
    };
    let expect = |reasons: String, sentence: &str| assert!(reasons.contains(sentence), "{reasons}");

    let pair = || vec![aged(by_phone("1", vec![]), 9), aged(by_phone("2", vec![]), 1)];
    expect(chosen(pair(), None), "1 was taken, because it is the oldest.");
    expect(chosen(pair(), Some("2")), "2 was taken, because we brought this person to it before.");
    expect(chosen(pair(), None), "worth merging in the CRM: 2.");
    expect(chosen(pair(), Some("deleted")), "1 was taken, because it is the oldest.");
    let deal_wins = vec![aged(by_phone("1", vec![]), 9), aged(by_email("2", vec![deal("5")]), 1)];
    expect(chosen(deal_wins, None), "2 was taken, because it has an open deal.");
    let phone_wins = vec![aged(by_email("1", vec![]), 9), aged(by_phone("2", vec![]), 1)];
    expect(chosen(phone_wins, None), "2 was taken, because it matches by the stronger identifier.");
}

#[test]
fn the_configured_identifier_order_decides_among_contacts() {
    let mut case = Case::found(vec![
        contact("1", vec![]),
        FoundContact { phones: vec![], emails: vec!["o@example.com".into()], ..contact("2", vec![]) },
    ]);
    case.person.emails = vec!["o@example.com".into()];
    let taken = |case: &Case| case.plan().reasons[0].text.clone();
    assert_eq!(taken(&case), "Contact 1 has this person's phone.");
    case.order = IdentifierOrder(vec![IdentifierKind::Email, IdentifierKind::Phone]);
    assert_eq!(taken(&case), "Contact 2 has this person's email.");
}

#[test]
fn an_open_deal_on_a_second_contact_of_the_person_prevents_another_deal() {
    let mut case = Case::found(vec![contact("1", vec![]), contact("2", vec![deal("5")])]);
    case.linked = Some(RecordId("1".into()));
    let codes =
        ["contact_linked", "several_contacts", "open_deal_on_other_contact", "nothing_differs", "task_left"];
    check(&case, "create task", &codes);
    let record = |id: &str| Reference::Record(RecordId(id.into()));
    let plan = case.plan();
    let Action::CreateTask { contact, deal, .. } = &plan.steps[0].action else { panic!("a task") };
    assert_eq!((contact, deal), (&record("2"), &Some(record("5"))));
}

#[test]
fn disagreeing_identifiers_are_reviewed_or_recorded() {
    let mut case = Case::found(vec![
        contact("1", vec![]),
        FoundContact { phones: vec![], emails: vec!["o@example.com".into()], ..contact("2", vec![]) },
    ]);
    case.person.emails = vec!["o@example.com".into()];
    assert!(codes(&case.plan()).contains(&"phone_and_email_disagree"));
    case.rules.conflict = Conflict::Review;
    let Decision::NeedsAttention { reason, todo } = case.decide() else { panic!("needs attention") };
    assert_eq!(reason.text, "The phone says contact 1, the email says contact 2.");
    assert!(todo.contains("replay"), "{todo}");
    // Our own link settles it, and so does a contact that has both.
    case.linked = Some(RecordId("2".into()));
    assert_eq!(outline(&case.decide()), "create deal");
    case.linked = None;
    case.found[1].phones = case.found[0].phones.clone();
    assert_eq!(outline(&case.decide()), "create deal");

    let mut ours = Case::new();
    ours.conflicts = vec![Reason::new("phone_held_by_other", "The phone belongs to another person.")];
    check(&ours, "create contact, create deal", &["no_contact_found", "owner_picked", "phone_held_by_other"]);
    ours.rules.conflict = Conflict::Review;
    check(&ours, "needs attention conflict", &[]);
}

#[test]
fn what_counts_as_an_open_deal_is_defined() {
    let counted = |change: fn(&mut OpenDeal, &mut FoundDeal)| {
        let mut case = Case::found(vec![contact("17", vec![deal("5")])]);
        change(&mut case.rules.open_deal, &mut case.found[0].deals[0]);
        match outline(&case.decide()).as_str() {
            "create task" => true,
            "create deal" => {
                assert!(codes(&case.plan()).contains(&"deal_not_counted"));
                false
            }
            other => panic!("{other}"),
        }
    };
    assert!(counted(|_, _| {}));
    assert!(counted(|rule, _| rule.pipelines = vec!["Retail".into(), " main".into()]));
    assert!(!counted(|rule, _| rule.pipelines = vec!["Retail".into()]));
    assert!(!counted(|rule, _| rule.stages = vec!["New".into()]));
    assert!(counted(|rule, _| rule.stages = vec!["Talks".into()]));
    assert!(counted(|rule, deal| {
        rule.pipelines = vec!["Retail".into()];
        deal.pipeline = None;
    }));
    assert!(counted(|rule, _| rule.max_age = Some(Duration::from_hours(24))));
    assert!(counted(|rule, deal| {
        rule.max_age = Some(Duration::from_hours(48));
        deal.created_at = Some(now() - SignedDuration::from_hours(47));
    }));
    assert!(!counted(|rule, deal| {
        rule.max_age = Some(Duration::from_hours(48));
        deal.created_at = Some(now() - SignedDuration::from_hours(48));
    }));
}

#[test]
fn of_several_open_deals_the_newest_in_the_leads_pipeline_is_taken() {
    let aged = |id: &str, pipeline: &str, hours| FoundDeal {
        pipeline: Some(pipeline.into()),
        created_at: Some(now() - SignedDuration::from_hours(hours)),
        ..deal(id)
    };
    let deals = vec![aged("1", "Main", 9), aged("2", "Main", 5), aged("3", "Retail", 1)];
    let mut case = Case::found(vec![contact("17", deals)]);
    let taken = |case: &Case| case.plan().reasons[1].text.clone();
    assert_eq!(taken(&case), "Contact 17 has open deal 3, so there is no second one.");
    case.lead.deal.pipeline = Some("main".into());
    assert_eq!(taken(&case), "Contact 17 has open deal 2, so there is no second one.");
    assert!(case.plan().reasons[2].text.ends_with("Left alone: 1, 3."), "{:?}", case.plan().reasons);
}
