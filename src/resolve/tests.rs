//! Small worlds, told event by event.

use jiff::SignedDuration;
use uuid::Uuid;

use super::*;
use IdentifierKind::{Chat, CrmId, Email, ExternalCustomer, Phone};

/// Everything that is known, and the next person's number.
mod token;

struct World {
    known: Known,
    rules: IdentityRules,
    next: u128,
    now: Timestamp,
}

/// One event: what it carries.
#[derive(Clone, Default, Debug)]
struct Event {
    name: String,
    identifiers: Vec<Identifier>,
}

fn event(name: &str) -> Event {
    Event { name: name.to_owned(), identifiers: Vec::new() }
}

impl Event {
    fn with(mut self, kind: IdentifierKind, scope: &str, value: &str, proof: Proof) -> Self {
        let (scope, keys) = (scope.to_owned(), vec![value.to_owned()]);
        self.identifiers.push(Identifier { kind, scope, keys, proof });
        self
    }

    fn phone(self, value: &str) -> Self {
        self.with(Phone, "", value, Proof::Claimed)
    }

    fn proven_phone(self, value: &str) -> Self {
        self.with(Phone, "", value, Proof::Proven)
    }

    fn email(self, value: &str) -> Self {
        self.with(Email, "", value, Proof::Claimed)
    }

    fn proven_email(self, value: &str) -> Self {
        self.with(Email, "", value, Proof::Proven)
    }

    fn chat(self, value: &str) -> Self {
        self.with(Chat, "telegram:bot", value, Proof::Claimed)
    }

    fn customer(self, value: &str) -> Self {
        self.with(ExternalCustomer, "shop", value, Proof::Claimed)
    }

    fn hint(self, kind: IdentifierKind, value: &str) -> Self {
        let scope = if kind == ExternalCustomer { "shop" } else { "crm" };
        self.with(kind, scope, value, Proof::Hinted)
    }
}

impl World {
    fn new() -> Self {
        let now = "2026-03-01T09:00:00Z".parse().unwrap();
        Self { known: Known::default(), rules: IdentityRules::default(), next: 0, now }
    }

    fn see(&mut self, event: &Event) -> Resolution {
        self.see_as(event, false)
    }

    /// Sees an event that adds a token, or any other.
    fn see_as(&mut self, event: &Event, adds_token: bool) -> Resolution {
        self.next += 1;
        self.now += SignedDuration::from_secs(1);
        let who =
            Who { identifiers: &event.identifiers, name: NameKey::of(&event.name), at: self.now, adds_token };
        let resolution = resolve(&who, &self.known, &self.rules, person(self.next));
        self.known.learn(&who, &resolution);
        self.holds_together();
        resolution
    }

    /// Sees it and says whose it is, by the number of the event that made the person.
    fn whose(&mut self, event: &Event) -> u128 {
        self.see(event).person.0.as_u128()
    }

    fn pass(&mut self, days: i64) {
        self.now += SignedDuration::from_hours(24 * days);
    }

    fn facts(&mut self, number: u128) -> &mut KnownPerson {
        self.known.people.get_mut(&person(number)).unwrap()
    }

    /// Keys and people say the same of one another, after every event.
    fn holds_together(&self) {
        for (key, known) in &self.known.keys {
            let owner = self.known.people.get(&known.owner);
            assert!(owner.is_some_and(|owner| owner.keys.contains(key)), "{key:?} of {:?}", known.owner);
            for holder in &known.holders {
                assert!(*holder != known.owner && self.known.people[holder].held.contains(key), "{key:?}");
            }
        }
        let owned: usize = self.known.people.values().map(|person| person.keys.len()).sum();
        assert_eq!(owned, self.known.keys.len());
    }
}

fn person(number: u128) -> PersonId {
    PersonId(Uuid::from_u128(number))
}

fn refusals(resolution: &Resolution) -> Vec<&Refusal> {
    let refused = |finding: &'_ Finding| matches!(finding.outcome, decision::Outcome::Refused(_));
    resolution
        .decision
        .findings
        .iter()
        .filter(|finding| refused(finding))
        .filter_map(|finding| match &finding.outcome {
            decision::Outcome::Refused(refusal) => Some(refusal),
            decision::Outcome::Decided | decision::Outcome::Merged(_) => None,
        })
        .collect()
}

#[test]
fn nobody_known_makes_a_person_with_every_joining_key() {
    let mut world = World::new();
    let resolution =
        world.see(&event("").chat("c1").phone("+1").with(IdentifierKind::Click, "", "g", Proof::Claimed));
    assert!(resolution.created);
    assert_eq!(resolution.decision.rule, Rule::NobodyKnown);
    assert_eq!(resolution.attach.len(), 2);
    assert_eq!(world.whose(&event("").phone("+1")), 1);
    assert!(world.see(&event("")).created, "nothing says who that is");
}

#[test]
fn a_known_phone_brings_the_new_chat_along() {
    let mut world = World::new();
    world.see(&event("").phone("+1"));
    assert_eq!(world.whose(&event("").chat("c1").phone("+1")), 1);
    assert_eq!(world.whose(&event("").chat("c1")), 1);
}

/// The table "phone says A, email says B": A is 1, B is 2.
#[test]
fn phone_says_one_and_email_says_another() {
    let check = |said: Event, expect: u128| {
        let mut world = World::new();
        world.see(&event("Anna").phone("+1").email("a@x"));
        world.see(&event("Borys").phone("+2").email("b@x").chat("b"));
        let resolution = world.see(&said);
        assert_eq!(resolution.person, person(expect), "{:?}", resolution.decision);
        assert!(resolution.merges.is_empty() && resolution.attach.is_empty());
        let other = person(3 - expect);
        assert_eq!(resolution.possible_duplicates, [other]);
        assert_eq!(refusals(&resolution), [&Refusal::Disagree]);
    };
    check(event("").proven_phone("+1").email("b@x"), 1);
    check(event("").phone("+1").proven_email("b@x"), 2);
    check(event("").phone("+1").email("b@x"), 1);
    check(event("Борис").phone("+1").email("b@x"), 2);
    check(event("Аня").phone("+1").email("b@x"), 1);
    check(event("").email("b@x").phone("+1"), 1);
    check(event("").phone("+1").chat("b"), 2);
}

#[test]
fn two_proofs_of_two_people_make_them_one_and_the_older_stays() {
    let mut world = World::new();
    world.see(&event("Olha").proven_phone("+1").email("a@x"));
    world.see(&event("Оля").chat("c").email("b@x"));
    let resolution = world.see(&event("").chat("c").proven_phone("+1"));
    let merge = Merge { from: person(2), into: person(1), rule: MergeRule::ProvenBoth };
    assert_eq!((resolution.person, resolution.merges.clone()), (person(1), vec![merge]));
    assert_eq!(world.whose(&event("").email("b@x")), 1);
    assert_eq!(world.facts(1).merges, 1);
}

#[test]
fn typed_values_join_two_people_only_when_nothing_differs() {
    let check = |first: Event, second: Event, name: &str, expect: bool| {
        let mut world = World::new();
        world.see(&first.phone("+1"));
        world.see(&second.email("b@x"));
        let resolution = world.see(&event(name).phone("+1").email("b@x"));
        assert_eq!(!resolution.merges.is_empty(), expect, "{:?}", resolution.decision);
        assert_eq!(resolution.person, person(1));
    };
    check(event("Olha Petrenko"), event("Оля"), "", true);
    check(event(""), event(""), "", true);
    check(event("Olha"), event(""), "Olha", true);
    check(event("Olha"), event(""), "Ivan", false);
    check(event("Olha"), event("Ivan"), "", false);
    check(event("Demyd Bondar"), event("Zorian Bondar"), "", false);
    check(event("").email("a@x"), event(""), "", false);
    // Who has two emails is one all the same, when both come under one name.
    check(event("Olha Petrenko").email("a@x"), event("Оля"), "", true);
    check(event("Olha Petrenko").email("a@x"), event(""), "Оля", false);
    check(event("Olha Petrenko").email("a@x"), event("Оля"), "Ivan", false);
    check(event("Olha").email("a@x").chat("c1"), event("Olha").chat("c2"), "", false);
    check(event("").chat("c1"), event("").chat("c2"), "", false);
    check(event("").customer("A-1"), event("").customer("A-2"), "", false);
    check(event("").customer("A-1"), event(""), "", true);
}

#[test]
fn one_name_says_little_about_a_phone_that_others_gave() {
    let mut world = World::new();
    world.see(&event("Olha").phone("+1").email("a@x"));
    world.see(&event("Ivan").phone("+1"));
    world.see(&event("Olha").email("b@x"));
    let resolution = world.see(&event("Olha").phone("+1").email("b@x"));
    assert_eq!(refusals(&resolution), [&Refusal::Disagree]);
}

#[test]
fn deals_of_two_owners_keep_two_people_apart() {
    let mut world = World::new();
    world.see(&event("").proven_phone("+1"));
    world.see(&event("").chat("c").email("b@x"));
    for (number, owner) in [(1, "olha"), (2, "petro")] {
        world.facts(number).deal_owners.entry("crm".to_owned()).or_default().insert(owner.to_owned());
    }
    let resolution = world.see(&event("").chat("c").proven_phone("+1"));
    assert_eq!(refusals(&resolution), [&Refusal::DealsOfTwoOwners]);
}

#[test]
fn an_anonymous_chat_is_absorbed_by_the_person_whose_phone_it_gives() {
    let mut world = World::new();
    world.see(&event("").chat("c1"));
    world.see(&event("").phone("+1"));
    let resolution = world.see(&event("").chat("c1").phone("+1"));
    assert_eq!(resolution.person, person(2), "the one who is more than a chat, although younger");
    assert_eq!(resolution.merges[0].rule, MergeRule::AnonymousChat);
    assert_eq!(world.whose(&event("").chat("c1")), 2);
}

#[test]
fn another_customer_id_is_another_customer() {
    let mut world = World::new();
    world.see(&event("Anna").phone("+1").customer("A-17"));
    let resolution = world.see(&event("Anna").phone("+1").customer("A-44"));
    assert!(resolution.created, "a gym where spouses give one phone");
    assert_eq!(refusals(&resolution), [&Refusal::OtherCustomer { namespace: "shop".to_owned() }]);
    assert_eq!(resolution.possible_duplicates, [person(1)]);
    assert_eq!(world.whose(&event("").customer("A-44").phone("+1")), 2);
    assert_eq!(world.whose(&event("").phone("+1")), 1, "the phone stays with who had it first");
}

#[test]
fn a_phone_of_many_people_joins_only_whose_name_agrees() {
    let mut world = World::new();
    let names = ["Anna", "Borys", "Daria", "Ihor"];
    for name in names {
        // Until it is known to be shared, a typed phone joins.
        assert_eq!(world.whose(&event(name).phone("+1")), 1, "{name}");
    }
    let ruslan = world.see(&event("Ruslan").phone("+1"));
    assert!(ruslan.created);
    assert_eq!(refusals(&ruslan), [&Refusal::Shared { people: 4 }]);
    assert_eq!(ruslan.hold.len(), 1, "it is his as well");
    assert_eq!(world.whose(&event("Русик").phone("+1")), 5, "and the next time he is known by it");
    assert_eq!(world.whose(&event("Anna Petrenko").phone("+1")), 1);
    assert!(world.see(&event("").phone("+1")).created, "without a name it says nothing");
}

/// Whoever is known by a shared phone and a name alone is somebody: nothing but a name would join them with another.
#[test]
fn who_has_nothing_but_a_shared_phone_is_not_anonymous() {
    let mut world = World::new();
    for name in ["Anna", "Borys", "Daria", "Ihor", "Ruslan"] {
        world.see(&event(name).phone("+1"));
    }
    world.see(&event("Olena").email("o@x").phone("+2"));
    let resolution = world.see(&event("Ruslan").phone("+1").email("o@x"));
    assert!(resolution.merges.is_empty(), "{:?}", resolution.decision);
}

/// Two who may each be one with a third need not be one with each other.
#[test]
fn nobody_becomes_one_with_another_by_way_of_a_third() {
    let mut world = World::new();
    world.see(&event("").proven_phone("+1"));
    world.see(&event("").chat("c").email("a@x"));
    world.see(&event("").proven_email("b@x").phone("+3"));
    world.known.apart.insert(pair(person(2), person(3)));
    let resolution = world.see(&event("").chat("c").proven_phone("+1").proven_email("b@x"));
    assert_eq!(resolution.merges.len(), 1, "{:?}", resolution.decision);
    assert!(refusals(&resolution).contains(&&Refusal::SaidToDiffer));
    // And whoever is one with one of them by now is apart from the other as well.
    assert!(world.known.are_apart(resolution.person, person(3)));
}

#[test]
fn strict_rules_take_two_names_for_two_people() {
    let mut world = World::new();
    world.rules.shared_from = 2;
    world.see(&event("Anna").phone("+1"));
    world.see(&event("Borys").phone("+1"));
    assert_eq!(world.whose(&event("Daria").phone("+1")), 3);
}

#[test]
fn a_proven_phone_is_theirs_whatever_they_call_themselves() {
    let mut world = World::new();
    for name in ["Anna", "Borys", "Daria", "Ihor", "Ruslan"] {
        assert_eq!(world.whose(&event(name).proven_phone("+1")), 1);
    }
}

#[test]
fn a_number_that_was_given_out_again_is_its_new_owners() {
    let mut world = World::new();
    world.see(&event("Anna").phone("+1").chat("a"));
    world.pass(600);
    let resolution = world.see(&event("Ihor").phone("+1"));
    assert!(resolution.created);
    assert_eq!(refusals(&resolution), [&Refusal::Forgotten { days: 600 }]);
    assert_eq!(resolution.possible_duplicates, [person(1)]);
    assert_eq!(world.whose(&event("").phone("+1")), 2);
    assert_eq!(world.whose(&event("").chat("a")), 1, "Anna is found by what is still hers");
    world.pass(600);
    assert_eq!(world.whose(&event("").phone("+1")), 2, "time alone takes nothing away");
    world.pass(600);
    assert_eq!(world.whose(&event("Игорь").phone("+1")), 2);
}

#[test]
fn enumerating_ids_in_links_takes_over_nobody() {
    let mut world = World::new();
    world.see(&event("Anna").customer("1").phone("+1").chat("anna"));
    world.see(&event("Borys").customer("2").phone("+2"));
    let stranger = world.whose(&event("").chat("stranger").phone("+9"));
    for id in ["1", "2", "3"] {
        let resolution = world.see(&event("").chat("stranger").hint(ExternalCustomer, id));
        assert_eq!(resolution.person.0.as_u128(), stranger, "what is known of the chat goes first");
        assert!(resolution.merges.is_empty() && resolution.attach.is_empty());
    }
    // A new chat is somebody of its own, whether or not whom the link names writes from that bot already.
    for (chat, id) in [("new", "2"), ("other", "1")] {
        let resolution = world.see(&event("").chat(chat).hint(ExternalCustomer, id));
        assert!(resolution.created && resolution.possible_duplicates.is_empty(), "{id}");
        assert_eq!(refusals(&resolution), [&Refusal::OnlyHinted], "{id}");
    }
    // A hint about an id that nobody has makes it nobody's.
    let before = world.known.keys.len();
    world.see(&event("").hint(CrmId, "77"));
    assert_eq!(world.known.keys.len(), before);
}

#[test]
fn somebody_who_grew_too_large_takes_chats_and_nothing_else() {
    let mut world = World::new();
    for number in 0..7 {
        assert_eq!(world.whose(&event("").chat("c").phone(&format!("+{number}"))), 1);
    }
    assert_eq!(world.facts(1).count(Phone), 6, "the seventh is not taken");
    let resolution = world.see(&event("").phone("+1"));
    assert!(resolution.created, "a phone of somebody that large says little");
    assert_eq!(refusals(&resolution), [&Refusal::TooLarge]);
    assert_eq!(world.whose(&event("").chat("c").chat("c2")), 1);
}

#[test]
fn who_was_said_to_differ_is_never_joined() {
    let mut world = World::new();
    world.see(&event("").proven_phone("+1"));
    world.see(&event("").chat("c"));
    world.known.apart.insert(pair(person(2), person(1)));
    let resolution = world.see(&event("").chat("c").proven_phone("+1"));
    assert_eq!(resolution.person, person(1));
    assert_eq!(refusals(&resolution), [&Refusal::SaidToDiffer]);
    assert!(resolution.possible_duplicates.is_empty(), "somebody has looked at them already");
}

#[test]
fn the_configured_order_decides() {
    let mut world = World::new();
    world.rules.order = IdentifierOrder(vec![Email, Phone]);
    world.see(&event("Anna").phone("+1").email("a@x"));
    world.see(&event("Borys").phone("+2").email("b@x"));
    assert_eq!(world.whose(&event("").phone("+1").email("b@x")), 2);
}
