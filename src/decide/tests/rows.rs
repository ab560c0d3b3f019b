//! The rows of the table, the prohibitions, what is needed, and who gets the deal.

use std::time::Duration;

use super::*;

#[test]
fn the_three_rows() {
    check(&Case::new(), "create contact, create deal", &["no_contact_found", "owner_picked"]);
    check(
        &Case::found(vec![contact("17", vec![])]),
        "create deal",
        &["contact_found", "no_open_deal", "nothing_differs", "owner_of_contact"],
    );
    check(
        &Case::found(vec![contact("17", vec![deal("5")])]),
        "create task",
        &["contact_found", "open_deal", "nothing_differs", "task_left"],
    );
}

#[test]
fn the_first_row_gives_contact_and_deal_to_the_owner_whose_turn_it_is() {
    let mut case = Case::new();
    let Decision::Push { plan, .. } = case.next() else { panic!("a plan") };
    assert_eq!(plan.picked_owner.as_deref(), Some("anna"));
    assert_eq!(created_contact(&plan).owner.as_deref(), Some("anna"));
    assert_eq!(created_deal(&plan).owner.as_deref(), Some("anna"));
    assert_eq!(case.plan().picked_owner.as_deref(), Some("boris"));
}

#[test]
fn the_second_row_stays_with_the_owner_of_the_contact() {
    let Decision::Push { plan, turn } = Case::found(vec![contact("17", vec![])]).decide() else {
        panic!("a plan")
    };
    assert_eq!(
        (created_deal(&plan).owner.as_deref(), plan.picked_owner.as_deref(), turn),
        (Some("maria"), None, None)
    );
}

#[test]
fn a_contact_without_owner_gets_its_deal_from_the_pool() {
    let mut found = contact("17", vec![]);
    found.owner = Some(" ".into());
    let plan = Case::found(vec![found]).plan();
    assert_eq!(
        (created_deal(&plan).owner.as_deref(), plan.picked_owner.as_deref()),
        (Some("anna"), Some("anna"))
    );
}

#[test]
fn the_third_row_tells_the_owner_of_the_deal() {
    let mut found = contact("17", vec![deal("5")]);
    assert_eq!(task(&Case::found(vec![found.clone()]).plan()).owner.as_deref(), Some("petro"));
    found.deals[0].owner = Some(" ".into());
    let plan = Case::found(vec![found]).plan();
    assert_eq!(task(&plan).owner.as_deref(), Some("maria"));
    let text = "The person came back: a task for maria, who is responsible for the contact.";
    assert_eq!(plan.reasons.last().unwrap().text, text);
}

#[test]
fn the_prohibitions() {
    let never = |found| {
        Case::with(|case| {
            case.rules.create_deal = CreateDeal::Never;
            case.found = found;
        })
    };
    check(&never(vec![]), "filtered nothing_to_update", &[]);
    let codes = ["contact_found", "no_open_deal", "nothing_differs", "create_deal_never"];
    check(&never(vec![contact("17", vec![])]), "", &codes);
    let codes = ["contact_found", "open_deal", "nothing_differs", "task_left"];
    check(&never(vec![contact("17", vec![deal("5")])]), "create task", &codes);

    let mut silent = Case::found(vec![contact("17", vec![deal("5")])]);
    silent.rules.task_on_repeat = TaskOnRepeat::Never;
    check(&silent, "", &["contact_found", "open_deal", "nothing_differs", "task_off"]);
}

#[test]
fn repeats_inside_the_window_collapse_into_one_task() {
    let after = |minutes: i64| {
        let mut case = Case::found(vec![contact("17", vec![deal("5")])]);
        case.rules.task_on_repeat = TaskOnRepeat::Collapse(Duration::from_mins(15));
        case.last_task_at = Some(now() - SignedDuration::from_mins(minutes));
        case
    };
    let collapsed = ["contact_found", "open_deal", "nothing_differs", "task_collapsed"];
    let left = ["contact_found", "open_deal", "nothing_differs", "task_left"];
    check(&after(0), "", &collapsed);
    check(&after(14), "", &collapsed);
    check(&after(-3), "", &collapsed);
    check(&after(15), "create task", &left);
    let mut first = after(0);
    first.last_task_at = None;
    check(&first, "create task", &left);
    let mut endless = after(1_000_000);
    endless.rules.task_on_repeat = TaskOnRepeat::Collapse(Duration::MAX);
    check(&endless, "", &collapsed);
}

#[test]
fn nothing_is_created_for_a_lead_without_what_the_rules_need() {
    let needy = |change: fn(&mut Case)| {
        Case::with(|case| {
            case.lead.contact.phones.clear();
            case.person.phones.clear();
            change(case);
        })
    };
    let Decision::Filtered(reason) = needy(|_| {}).decide() else { panic!("filtered") };
    assert_eq!(reason.code, "needs_phone_or_email");
    assert_eq!(
        reason.text,
        "no phone or email: kept, and goes along with this person's first lead that has one"
    );

    let made = "create contact, create deal";
    check(
        &needy(|case| case.lead.contact.raw_phones = vec!["123".into()]),
        "filtered needs_phone_or_email",
        &[],
    );
    check(&needy(|case| case.rules.needs = vec![Need::Chat]), "filtered needs_chat", &[]);
    assert_eq!(outline(&needy(|case| case.rules.needs = vec![Need::Name]).decide()), made);
    assert_eq!(outline(&needy(|case| case.rules.needs = vec![]).decide()), made);
    assert_eq!(outline(&needy(|case| case.person.emails = vec!["o@example.com".into()]).decide()), made);
    assert_eq!(
        outline(&needy(|case| case.lead.contact.emails = vec![email("o@example.com")]).decide()),
        made
    );
    let known = needy(|case| case.found = vec![contact("17", vec![])]);
    assert_eq!(outline(&known.decide()), "create deal");
}

#[test]
fn a_filtered_lead_says_what_was_wrong_with_its_phone() {
    let case = Case::with(|case| {
        case.lead.contact.phones.clear();
        case.person.phones.clear();
        case.lead.flaws = vec![too_short()];
    });
    let Decision::Filtered(reason) = case.decide() else { panic!("filtered") };
    assert!(reason.text.ends_with("(phone: too short for a phone number)"), "{}", reason.text);
}

#[test]
fn a_sticky_owner_is_kept_without_a_turn() {
    let sticky = |owner: &str| Case::with(|case| case.sticky_owner = Some(owner.into())).decide();
    let Decision::Push { plan, turn } = sticky("boris") else { panic!("a plan") };
    assert_eq!((plan.picked_owner.as_deref(), turn), (Some("boris"), None));
    assert_eq!(created_deal(&plan).owner.as_deref(), Some("boris"));
    // Somebody who has left the pool is not somebody to stick to.
    let Decision::Push { plan, turn } = sticky("gone") else { panic!("a plan") };
    assert_eq!((plan.picked_owner.as_deref(), turn.is_some()), (Some("anna"), true));
}

#[test]
fn nobody_available_is_a_fallback_or_a_wait() {
    let mut case = Case::new();
    case.pool().owners.iter_mut().for_each(|owner| owner.away = vec![Days::ALL]);
    let Decision::Waiting { until, reason } = case.decide() else { panic!("waiting") };
    assert_eq!(until, now() + SignedDuration::from_hours(1));
    assert!(reason.text.contains("owner pool sales"), "{}", reason.text);

    case.pool().fallback = Some("chief".into());
    let Decision::Push { plan, turn } = case.decide() else { panic!("a plan") };
    assert_eq!(
        (created_deal(&plan).owner.as_deref(), plan.picked_owner.as_deref(), turn),
        (Some("chief"), None, None)
    );
    // Who needs nobody does not wait for anybody.
    case.pool().fallback = None;
    case.found = vec![contact("17", vec![])];
    assert_eq!(outline(&case.decide()), "create deal");
}

#[test]
fn without_a_pool_the_crm_decides() {
    let plan = Case::with(|case| case.pool = None).plan();
    assert_eq!((created_contact(&plan).owner.as_ref(), plan.picked_owner.as_ref()), (None, None));
    assert_eq!(
        plan.reasons[1].text,
        "The workspace has no owner pool sales: the CRM decides who is responsible."
    );
}
