//! The rule of eSputnik's tokens, row by row.

use super::*;

impl World {
    fn add(&mut self, event: &Event) -> Resolution {
        self.see_as(event, true)
    }

    /// Whose the token is, by the number of the event that made the person.
    fn owner(&self, token: &str) -> u128 {
        let key = Key { kind: Chat, scope: "telegram:bot".to_owned(), value: token.to_owned() };
        self.known.keys[&key].owner.0.as_u128()
    }
}

impl Event {
    fn contact_id(self, value: &str) -> Self {
        self.with(ExternalCustomer, "esputnik", value, Proof::Claimed)
    }
}

fn token(value: &str) -> Event {
    event("").chat(value)
}

fn attached(resolution: &Resolution) -> Vec<&str> {
    resolution.attach.iter().map(|key| key.value.as_str()).collect()
}

#[test]
fn nobody_is_found_so_somebody_new_has_all_identifiers() {
    let mut world = World::new();
    let added = world.add(&token("t").contact_id("9").customer("A").phone("+1").email("a@x"));
    assert!(added.created);
    assert_eq!(added.decision.rule, Rule::NobodyKnown);
    assert_eq!(attached(&added), ["t", "9", "A", "+1", "a@x"]);
}

#[test]
fn the_first_identifier_that_somebody_has_decides() {
    let world = || {
        let mut world = World::new();
        for event in [
            event("").contact_id("9"),
            event("").customer("A"),
            event("").phone("+1"),
            event("").email("a@x"),
        ] {
            world.see(&event);
        }
        world
    };
    let check = |given: Event, expect: u128, rule: Rule| {
        let mut world = world();
        let added = world.add(&given);
        assert_eq!((added.person.0.as_u128(), added.decision.rule), (expect, rule), "{given:?}");
        assert_eq!((attached(&added), added.merges.len()), (vec!["t"], 0), "{given:?}");
        assert_eq!(world.owner("t"), expect);
    };
    let all = token("t").email("a@x").phone("+1").contact_id("9").customer("A");
    check(all, 1, Rule::ExternalCustomer);
    check(token("t").email("a@x").phone("+1").customer("A"), 2, Rule::ExternalCustomer);
    check(token("t").email("a@x").phone("+1").customer("unknown"), 3, Rule::ClaimedPhone);
    check(token("t").email("a@x").phone("+9").contact_id("8"), 4, Rule::ClaimedEmail);
}

#[test]
fn whoever_is_found_keeps_the_identifiers_that_they_have() {
    let mut world = World::new();
    world.see(&event("").email("a@x"));
    let added = world.add(&token("t").email("a@x").phone("+1").customer("A"));
    assert_eq!(attached(&added), ["t"]);
    // The phone is nobody's: somebody else may have it.
    assert_eq!(world.whose(&event("").phone("+1")), 3);
    // A customer id that differs is no obstacle: whoever calls has looked at their own records.
    world.see(&event("").email("b@x").customer("B"));
    assert_eq!(world.add(&token("u").customer("C").email("b@x")).person, person(4));
}

#[test]
fn the_others_are_left_where_they_are_and_shown() {
    let mut world = World::new();
    world.see(&event("").phone("+1"));
    world.see(&event("").email("b@x"));
    let added = world.add(&token("t").phone("+1").email("b@x"));
    assert_eq!((added.person, refusals(&added)), (person(1), vec![&Refusal::Disagree]));
    assert_eq!(added.possible_duplicates, [person(2)]);
    assert_eq!(added.merges, []);
}

#[test]
fn two_tokens_are_both_kept_and_one_that_is_theirs_changes_nothing() {
    let mut world = World::new();
    world.add(&token("t").email("a@x"));
    world.add(&token("u").email("a@x"));
    assert_eq!((world.owner("t"), world.owner("u")), (1, 1));
    let again = world.add(&token("t").email("a@x"));
    assert!(again.attach.is_empty() && !again.created && again.decision.findings.len() == 1);
}

#[test]
fn a_token_that_another_person_holds_stays_there() {
    let mut world = World::new();
    world.see(&event("").phone("+1").chat("t"));
    world.see(&event("").email("b@x"));
    let found = world.add(&token("t").email("b@x"));
    assert_eq!((found.person, world.owner("t")), (person(2), 1));
    assert_eq!((refusals(&found), found.merges.len()), (vec![&Refusal::Disagree], 0));
    assert_eq!(found.possible_duplicates, [person(1)]);
    let new = world.add(&token("t").email("c@x"));
    assert_eq!((new.person, new.created, world.owner("t")), (person(4), true, 1));
    assert_eq!((attached(&new), &new.possible_duplicates[..]), (vec!["c@x"], &[person(1)][..]));
    // Both proven, and still the caller's word against what is known.
    world.see(&event("").customer("B"));
    assert_eq!(world.add(&token("t").customer("B")).merges, []);
}

#[test]
fn a_chat_of_which_nothing_else_is_known_is_no_other_person() {
    let mut world = World::new();
    world.see(&event("").chat("t"));
    let new = world.add(&token("t").email("a@x"));
    assert_eq!((new.person, new.created, new.decision.rule), (person(1), false, Rule::Chat));
    assert_eq!(attached(&new), ["a@x"]);

    world.see(&event("").chat("u"));
    let found = world.add(&token("u").email("a@x"));
    assert_eq!((found.person, world.owner("u")), (person(1), 1));
    assert_eq!(found.merges.len(), 1);

    world.see(&event("").chat("v"));
    world.known.apart.insert(pair(person(1), person(5)));
    let apart = world.add(&token("v").email("a@x"));
    assert_eq!(
        (apart.person, refusals(&apart), world.owner("v")),
        (person(1), vec![&Refusal::SaidToDiffer], 5)
    );
}

#[test]
fn what_very_many_share_names_nobody() {
    let mut world = World::new();
    for name in ["Olha Petrenko", "Ivan Kovalenko", "Zorian Bondar", "Demyd Shevchenko"] {
        world.see(&event(name).phone("+1"));
    }
    let added = world.add(&token("t").phone("+1"));
    assert!(added.created && matches!(refusals(&added)[..], [Refusal::Shared { .. }]), "{added:?}");
    assert_eq!(added.hold.len(), 1);
}

#[test]
fn a_hint_finds_nobody_and_is_nobodys() {
    let mut world = World::new();
    world.see(&event("").customer("A"));
    let added = world.add(&token("t").hint(ExternalCustomer, "A"));
    assert_eq!((added.created, attached(&added)), (true, vec!["t"]));
}
