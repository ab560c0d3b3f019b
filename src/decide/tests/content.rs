//! What is written to records, new and old.

use std::collections::BTreeMap;

use super::*;

#[test]
fn a_new_contact_and_deal_carry_all_that_is_known_and_nothing_empty() {
    let case = Case::with(|case| {
        case.lead.contact.raw_phones = vec![" 12-34 ".into(), "067 123 45 67".into()];
        case.lead.contact.emails = vec![email("olena@example.com")];
        case.lead.contact.fields = Fields::from([
            ("chat".into(), json!("t.me/x")),
            ("city".into(), json!(" ")),
            ("tags".into(), json!([])),
        ]);
        case.lead.deal.pipeline = Some("Main".into());
        case.lead.deal.stage = Some("New".into());
        case.lead.deal.fields = Fields::from([("budget".into(), json!(5)), ("utm".into(), json!(null))]);
        case.person.phones.push("+48601234567".into());
        case.person.emails = vec!["OLENA@example.com".into(), "old@example.com".into()];
    });
    let plan = case.plan();
    let owner = Some("anna".to_owned());
    let expected = ContactFields {
        name: Some("Olena".into()),
        phones: vec!["+380671234567".into(), "12-34".into(), "+48601234567".into()],
        emails: vec!["olena@example.com".into(), "old@example.com".into()],
        owner: owner.clone(),
        fields: Fields::from([("chat".into(), json!("t.me/x"))]),
    };
    assert_eq!(created_contact(&plan), &expected);
    let expected = DealFields {
        title: Some("Lead from sendpulse".into()),
        pipeline: Some("Main".into()),
        stage: Some("New".into()),
        owner,
        fields: Fields::from([("budget".into(), json!(5))]),
    };
    assert_eq!(created_deal(&plan), &expected);
}

#[test]
fn a_nameless_contact_is_called_by_what_is_known() {
    let name = |change: fn(&mut Case)| {
        let case = Case::with(|case| {
            case.lead.contact.name = Some("  ".into());
            case.rules.needs = vec![];
            change(case);
        });
        created_contact(&case.plan()).name.clone().unwrap()
    };
    let nothing = |case: &mut Case| {
        case.lead.contact.phones.clear();
        case.person.phones.clear();
    };
    assert_eq!(name(|_| {}), "+380671234567");
    assert_eq!(name(|case| case.lead.contact.phones.clear()), "+380671234567");
    assert_eq!(
        name(|case| {
            case.lead.contact.phones.clear();
            case.person = PersonView { emails: vec!["o@example.com".into()], ..PersonView::default() };
        }),
        "o@example.com"
    );
    let chat = |case: &mut Case| {
        case.lead.chat = Some(telegram());
        case.lead.contact.phones.clear();
        case.person.phones.clear();
    };
    assert_eq!(name(chat), "4711");
    assert_eq!(name(nothing), "Lead from sendpulse");
}

#[test]
fn kept_leads_go_along_and_fill_what_this_one_lacks() {
    let kept = |chat: &str, note: Option<&str>| {
        let mut kept = bare_lead();
        kept.contact.name = Some("Lena from Telegram".into());
        kept.contact.fields =
            Fields::from([("telegram_chat".into(), json!(chat)), ("city".into(), json!("Lviv"))]);
        kept.note = note.map(str::to_owned);
        kept
    };
    let mut case = Case::with(|case| {
        case.lead.contact.fields =
            Fields::from([("instagram_chat".into(), json!("ig")), ("city".into(), json!("Kyiv"))]);
        case.person.earlier = vec![kept("old", Some("asked for a price")), kept("tg", None)];
    });
    let plan = case.plan();
    let fields = Fields::from([
        ("instagram_chat".into(), json!("ig")),
        ("telegram_chat".into(), json!("tg")),
        ("city".into(), json!("Kyiv")),
    ]);
    assert_eq!(created_contact(&plan).fields, fields);
    assert_eq!(created_contact(&plan).name.as_deref(), Some("Olena"));
    assert_eq!(note(&plan), "asked for a price");
    assert_eq!(codes(&plan), ["no_contact_found", "owner_picked", "earlier_leads", "note_added"]);

    // Also onto a contact that exists, as the rules allow.
    case.found = vec![contact("17", vec![deal("5")])];
    case.rules.update = Update::OnlyEmpty;
    assert_eq!(contact_changes(&case.plan()).fields, fields);
    case.rules.update = Update::None;
    assert!(contact_changes(&case.plan()).is_empty());
}

#[test]
fn update_policies() {
    use FieldPolicy::{Always, Append, IfEmpty, Never, Newest};
    let values = |theirs: serde_json::Value, ours: serde_json::Value, policy, superseded| {
        let mut case = Case::found(vec![contact("17", vec![])]);
        case.found[0].fields = Fields::from([("f".into(), theirs)]);
        case.lead.contact.fields = Fields::from([("f".into(), ours)]);
        case.rules.update_fields = BTreeMap::from([("f".into(), policy)]);
        case.superseded = superseded;
        contact_changes(&case.plan()).fields.remove("f")
    };
    let check = |theirs, ours, policy, expected: Option<serde_json::Value>| {
        assert_eq!(values(theirs, ours, policy, false), expected);
    };
    // Every policy fills what is empty, but never; none writes what is equal or empty.
    for empty in [json!(null), json!(" "), json!([]), json!([""]), json!({})] {
        for policy in [Always, IfEmpty, Append, Newest] {
            check(empty.clone(), json!("b"), policy, Some(json!("b")));
            check(json!("a"), empty.clone(), policy, None);
        }
        check(empty, json!("b"), Never, None);
    }
    for (theirs, ours) in [
        (json!("a"), json!(" a ")),
        (json!("5"), json!(5)),
        (json!(5.00), json!("5")),
        (json!("5.00"), json!(5)),
        (json!(["x", "y"]), json!(["y", "x"])),
        (json!("x, y"), json!(["x", "y"])),
        (json!(["x"]), json!("x")),
        (json!("true"), json!(true)),
        (json!({"id": 1}), json!({"id": 1})),
    ] {
        check(theirs, ours, Always, None);
    }
    let (big, bigger) = ("9007199254740993", "9007199254740992");
    let number = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    check(number(big), number(bigger), Always, Some(number(bigger)));

    check(json!("a"), json!("b"), Always, Some(json!("b")));
    check(json!("a"), json!("b"), Newest, Some(json!("b")));
    assert_eq!(values(json!("a"), json!("b"), Newest, true), None);
    assert_eq!(values(json!(""), json!("b"), Newest, true), Some(json!("b")));
    check(json!("a"), json!("b"), IfEmpty, None);
    check(json!("a"), json!("b"), Never, None);

    check(json!("a"), json!("b"), Append, Some(json!("a, b")));
    check(json!("+10"), json!("+1"), Append, Some(json!("+10, +1")));
    check(json!("a, b"), json!("b"), Append, None);
    check(json!("a"), json!(["a", "b", "", "b"]), Append, Some(json!("a, b")));
    check(json!(["a"]), json!("b"), Append, Some(json!(["a", "b"])));
    check(json!(["a", "b"]), json!(["b", "a", "c"]), Append, Some(json!(["a", "b", "c"])));
    check(json!(5), json!(6), Append, None);
}

#[test]
fn update_covers_every_part_of_contact_and_deal() {
    let case = |update| {
        let mut case = Case::found(vec![contact("17", vec![deal("5")])]);
        case.rules.update = update;
        case.lead.contact.name = Some("Olena K.".into());
        case.lead.contact.phones = vec![phone("+48601234567")];
        case.lead.contact.emails = vec![email("olena@example.com")];
        case.lead.contact.fields = Fields::from([("city".into(), json!("Lviv"))]);
        case.lead.deal = DealPart {
            title: Some("New deal".into()),
            pipeline: Some("Retail".into()),
            stage: Some("New".into()),
            fields: Fields::from([("utm".into(), json!("ad"))]),
        };
        case
    };
    let plan = case(Update::None).plan();
    assert!(contact_changes(&plan).is_empty() && deal_changes(&plan).is_empty());
    assert!(codes(&plan).contains(&"update_off"));

    let plan = case(Update::OnlyEmpty).plan();
    let emails = vec!["olena@example.com".to_owned()];
    let fields = Fields::from([("city".into(), json!("Lviv"))]);
    let expected =
        ContactFields { emails: emails.clone(), fields: fields.clone(), ..ContactFields::default() };
    assert_eq!(contact_changes(&plan), expected);
    let utm = Fields::from([("utm".into(), json!("ad"))]);
    assert_eq!(deal_changes(&plan), DealFields { fields: utm.clone(), ..DealFields::default() });

    let plan = case(Update::All).plan();
    let phones = vec!["+380 67 123 45 67".to_owned(), "+48601234567".to_owned()];
    let expected = ContactFields { name: Some("Olena K.".into()), phones, emails, owner: None, fields };
    assert_eq!(contact_changes(&plan), expected);
    // An open deal is not thrown back to where new deals begin.
    let moved = DealFields { title: Some("New deal".into()), fields: utm, ..DealFields::default() };
    assert_eq!(deal_changes(&plan), moved);
    assert_eq!(codes(&plan).iter().filter(|code| **code == "place_kept").count(), 2);

    let mut explicit = case(Update::None);
    explicit.rules.update_fields = BTreeMap::from([("stage".into(), FieldPolicy::Always)]);
    let stage = DealFields { stage: Some("New".into()), ..DealFields::default() };
    assert_eq!(deal_changes(&explicit.plan()), stage);
}

#[test]
fn phones_are_compared_by_the_line_they_are() {
    let same = |theirs: &str, ours: &str| change::same_phone(theirs, ours);
    for theirs in [
        "+380671234567",
        "+38 (067) 123-45-67",
        "00380 67 1234567",
        "380671234567",
        "067 123 45 67",
        "671234567",
    ] {
        assert!(same(theirs, "+380671234567"), "{theirs}");
    }
    assert!(same("8 (912) 345-67-89", "+79123456789"));
    assert!(same("8 800 555 35 35", "+78005553535"));
    for theirs in ["", "+671234567", "+480671234567", "067 123 45 68", "1234567", "4567", "доб. 12"] {
        assert!(!same(theirs, "+380671234567"), "{theirs}");
    }
    assert!(same("call 12", "call 12") && !same("call 12", "12"));
    assert!(!same("", "+380671234567") && same("12 345 67", "123-4567"));
}

#[test]
fn another_spelling_of_the_same_line_is_not_appended() {
    let mut case = Case::found(vec![contact("17", vec![])]);
    case.rules.update = Update::All;
    case.found[0].phones = vec!["+5511912345678".into()];
    let mut brazil = phone("+551112345678");
    brazil.match_keys.push("+5511912345678".into());
    case.lead.contact.phones = vec![brazil];
    case.lead.contact.raw_phones = vec!["55 11 9123 45678".into()];
    assert!(contact_changes(&case.plan()).is_empty());
}

#[test]
fn a_crm_that_changes_nothing_keeps_its_values_and_the_task_tells_what_differs() {
    let mut case = Case::with(|case| {
        case.rules.update = Update::All;
        case.rules.update_fields = BTreeMap::from([("stage".into(), FieldPolicy::Always)]);
        case.lead.contact.name = Some("Another".into());
        case.lead.deal.title = Some("Another title".into());
        case.lead.deal.stage = Some("Another stage".into());
        case.found = vec![contact("17", vec![deal("5")])];
    });
    assert_eq!(outline(&case.decide()), "update contact, update deal, create task");
    case.can.contact_updates = false;
    assert_eq!(outline(&case.decide()), "update deal, create task");
    case.can.deal_updates = false;
    assert_eq!(outline(&case.decide()), "create task");
    let plan = case.plan();
    assert!(plan.reasons.iter().any(|reason| reason.code == "no_updates_here"), "{:?}", plan.reasons);
    assert!(task(&plan).text.contains("Another"), "{}", task(&plan).text);
}
