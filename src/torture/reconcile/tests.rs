use serde_json::json;
use uuid::Uuid;

use super::Harm::{
    DoubledContact, DoubledDeal, DoubledLead, DoubledTask, Lost, LostUpdate, Unexpected, WronglyJoined,
};
use super::*;
use crate::sandbox::{Deal, Remark};

fn event(at: i64, human: u64, service: &'static str, phone_given: bool) -> Event {
    Event { at, human, service, phone: phone_given.then(|| phone(human)) }
}

fn lead(at: i64, state: &str) -> Kept {
    let id = LeadId(Uuid::from_u128(u128::try_from(at).unwrap()));
    let lead = LeadFate { id, state: state.to_owned(), cause: None, unsure: false };
    Kept { at: Some(at), state: "prepared".to_owned(), lead: Some(lead) }
}

fn contact(id: u64, human: u64) -> Contact {
    let chat = |service| json!(format!("{service}-{human}"));
    let contact = json!({ "telegram_chat": chat("telegram"), "viber_chat": chat("viber") });
    Contact {
        id,
        name: None,
        phones: vec![phone(human)],
        emails: Vec::new(),
        owner: None,
        fields: contact.as_object().cloned().unwrap(),
        marker: None,
        created_at: jiff::Timestamp::UNIX_EPOCH,
    }
}

fn deal(id: u64, contact_id: u64, at: i64) -> Deal {
    Deal {
        id,
        contact_id,
        title: Some(format!("Lead {at}")),
        pipeline: None,
        stage: None,
        open: true,
        owner: None,
        fields: serde_json::Map::new(),
        marker: None,
        created_at: jiff::Timestamp::UNIX_EPOCH,
    }
}

fn task(id: u64, contact_id: u64, at: i64) -> Remark {
    Remark {
        id,
        contact_id,
        deal_id: None,
        title: Some(format!("Again {at}")),
        text: None,
        kind: None,
        due_at: None,
        owner: None,
        marker: None,
        created_at: jiff::Timestamp::UNIX_EPOCH,
    }
}

/// Human 1 came without a phone, gave it, came back and came back without it; human 2 came once. Event 15 was never
/// acknowledged and never kept.
fn well() -> Facts {
    let mut facts = Facts {
        events: vec![
            event(10, 1, "viber", false),
            event(11, 1, "telegram", true),
            event(12, 1, "viber", true),
            event(13, 1, "telegram", false),
            event(14, 2, "viber", true),
            event(15, 2, "viber", true),
        ],
        acknowledged: (10..=14).collect(),
        kept: vec![
            lead(10, "filtered"),
            lead(11, "synced"),
            lead(12, "synced"),
            lead(13, "synced"),
            lead(14, "synced"),
        ],
        ..Facts::default()
    };
    // A redelivery.
    facts.kept.push(Kept { at: Some(11), state: "prepared".to_owned(), lead: None });
    facts.holdings.contacts = vec![contact(101, 1), contact(102, 2)];
    facts.holdings.deals = vec![deal(201, 101, 11), deal(202, 102, 14)];
    facts.holdings.tasks = vec![task(301, 101, 12), task(302, 101, 13)];
    facts
}

fn state_of(facts: &mut Facts, at: i64) -> &mut LeadFate {
    facts.kept.iter_mut().find(|kept| kept.at == Some(at)).unwrap().lead.as_mut().unwrap()
}

#[test]
fn all_is_well_where_nothing_is_wrong() {
    let verdict = reconcile(&well());
    assert_eq!(verdict.problems, []);
    assert!(Harm::ALL.iter().all(|harm| verdict.harm.get(harm) == Some(&0)), "{:?}", verdict.harm);
    let as_expected = |number| Count { expected: number, found: number };
    assert_eq!((verdict.contacts, verdict.deals), (as_expected(2), as_expected(2)));
    assert_eq!((verdict.tasks, verdict.kept_without_phone), (as_expected(2), 1));
}

/// A checker that cannot find anything is worthless: each kind of harm is done once, and only that is found.
#[test]
fn every_harm_is_found() {
    let check = |what: &str, harm: fn(&mut Facts), expect: &[(Harm, usize)]| {
        let mut facts = well();
        harm(&mut facts);
        let verdict = reconcile(&facts);
        let found: Vec<(Harm, usize)> = verdict
            .harm
            .iter()
            .filter(|(_, times)| **times > 0)
            .map(|(harm, times)| (*harm, *times))
            .collect();
        assert_eq!(found, expect, "{what}: {:#?}", verdict.problems);
    };
    // Lost on the way.
    check("a delivery is gone", |facts| facts.kept.retain(|kept| kept.at != Some(13)), &[(Lost, 1)]);
    check("a lead is gone", |facts| facts.kept[3].lead = None, &[(Lost, 1)]);
    check("an event without a phone is gone", |facts| facts.kept[0].lead = None, &[(Lost, 1)]);
    check("a lead never ends", |facts| state_of(facts, 12).state = "unknown".to_owned(), &[(Lost, 1)]);
    check(
        "a lead with a phone is filtered",
        |facts| state_of(facts, 12).state = "filtered".to_owned(),
        &[(Lost, 1)],
    );
    check("a lead needs a person", |facts| state_of(facts, 12).state = ATTENTION.to_owned(), &[(Lost, 1)]);
    check(
        "what may be there is only excused of a blind CRM",
        |facts| {
            *state_of(facts, 12) =
                LeadFate { unsure: true, state: ATTENTION.to_owned(), ..state_of(facts, 12).clone() }
        },
        &[(Lost, 1)],
    );
    check(
        "what was not acknowledged and is kept counts",
        |facts| facts.kept.push(lead(15, "ready")),
        &[(Lost, 1)],
    );

    // Lost in the CRM.
    check("a task is missing", |facts| drop(facts.holdings.tasks.pop()), &[(Lost, 1)]);
    check("a deal is missing", |facts| drop(facts.holdings.deals.pop()), &[(Lost, 2)]);
    check("a deal was closed", |facts| facts.holdings.deals[0].open = false, &[(Lost, 1)]);
    check(
        "a chat is missing",
        |facts| drop(facts.holdings.contacts[0].fields.shift_remove("viber_chat")),
        &[(LostUpdate, 1)],
    );
    check(
        "a contact and its deal are missing",
        |facts| {
            facts.holdings.contacts.pop();
            facts.holdings.deals.pop();
        },
        &[(Lost, 3)],
    );

    // Doubled.
    check("a lead twice", |facts| facts.kept.push(lead(12, "synced")), &[(DoubledLead, 1)]);
    check("a contact twice", |facts| facts.holdings.contacts.push(contact(103, 2)), &[(DoubledContact, 1)]);
    check(
        "a contact three times",
        |facts| facts.holdings.contacts.extend([contact(103, 2), contact(104, 2)]),
        &[(DoubledContact, 2)],
    );
    check("a deal twice", |facts| facts.holdings.deals.push(deal(203, 101, 11)), &[(DoubledDeal, 1)]);
    check(
        "a deal for each of two contacts",
        |facts| {
            facts.holdings.contacts.push(contact(103, 1));
            facts.holdings.deals.push(deal(203, 103, 11));
        },
        &[(DoubledContact, 1), (DoubledDeal, 1)],
    );
    check("a task twice", |facts| facts.holdings.tasks.push(task(303, 101, 12)), &[(DoubledTask, 1)]);
    check(
        "a task three times",
        |facts| facts.holdings.tasks.extend([task(303, 101, 12), task(304, 101, 12)]),
        &[(DoubledTask, 2)],
    );
    check(
        "a task beside its deal",
        |facts| facts.holdings.tasks.push(task(303, 101, 11)),
        &[(DoubledTask, 1)],
    );

    // Mixed up.
    check(
        "a task on a stranger",
        |facts| facts.holdings.tasks[0].contact_id = 102,
        &[(LostUpdate, 1), (WronglyJoined, 1)],
    );
    check(
        "a phone of a stranger",
        |facts| facts.holdings.contacts[0].phones.push(phone(2)),
        &[(DoubledContact, 1), (DoubledDeal, 1), (WronglyJoined, 1)],
    );
    check("a task of nobody", |facts| facts.holdings.tasks.push(task(303, 101, 99)), &[(Unexpected, 1)]);
    check("a contact of nobody", |facts| facts.holdings.contacts.push(contact(103, 7)), &[(Unexpected, 1)]);
    check(
        "a contact of somebody who gave no phone",
        |facts| {
            facts.events.push(event(16, 3, "viber", false));
            facts.kept.push(lead(16, "filtered"));
            facts.holdings.contacts.push(contact(103, 3));
        },
        &[(Unexpected, 1)],
    );
    check("a request of nobody", |facts| facts.kept.push(lead(99, "synced")), &[(Unexpected, 1)]);
    check(
        "a record of a filtered lead",
        |facts| facts.holdings.tasks.push(task(303, 101, 10)),
        &[(Unexpected, 1)],
    );
}

#[test]
fn what_a_blind_crm_cannot_say_is_left_to_a_person() {
    let mut facts = Facts { blind: true, ..well() };
    let lead = state_of(&mut facts, 12);
    lead.state = ATTENTION.to_owned();
    lead.cause = Some("blind_step_unknown".to_owned());
    lead.unsure = true;
    for tasks in [0, 1] {
        facts.holdings.tasks.retain(|task| task.id == 302);
        facts.holdings.tasks.extend((0..tasks).map(|_| task(301, 101, 12)));
        let verdict = reconcile(&facts);
        assert_eq!((verdict.problems.as_slice(), verdict.left_to_a_person), (&[][..], 1));
        assert_eq!(verdict.needs_attention.get("blind_step_unknown"), Some(&1));
        assert_eq!(verdict.tasks, Count { expected: 1 + tasks, found: 1 + tasks });
    }
    facts.holdings.tasks.push(task(303, 101, 12));
    assert_eq!(reconcile(&facts).harm.get(&DoubledTask), Some(&1), "an excuse for one is none for two");
}
