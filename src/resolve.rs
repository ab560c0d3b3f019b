//! Whose lead is this? Identifiers and what is known of them in; one person and what to remember out.
//!
//! Deterministic and on exact keys only. A lead always lands on somebody at once. An identifier that belongs to somebody
//! is never moved to somebody else; the disagreement is recorded instead. Names never join anybody.
//!
//! Vetoes, quarantine of shared values and merging two known people have their place here, between finding the owners and
//! choosing among them; today only an *anonymous* person (nothing but chats, no CRM record) is absorbed, because then
//! nothing that anybody knows of is joined.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::id::PersonId;
use crate::lead::{Identifier, IdentifierKind, mask};
use crate::plan::Reason;
use crate::rules::IdentifierOrder;

/// An identifier's place in the store: kind, scope, one match key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// What it is.
    pub kind: IdentifierKind,
    /// What makes the value unique.
    pub scope: String,
    /// The match key.
    pub value: String,
}

/// What is known before this lead.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Who has which key.
    pub owners: BTreeMap<Key, PersonId>,
    /// Persons of whom nothing but chats is known, and who have no record in any CRM.
    pub anonymous: BTreeSet<PersonId>,
}

/// Whose lead it is and what to remember.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// The person.
    pub person: PersonId,
    /// The person did not exist before.
    pub created: bool,
    /// Keys that now belong to the person.
    pub attach: Vec<Key>,
    /// Anonymous persons who turned out to be this person.
    pub absorb: Vec<PersonId>,
    /// Identifiers that say somebody else, as sentences.
    pub conflicts: Vec<Reason>,
}

/// Every key of these identifiers that may join people.
pub fn joining_keys(identifiers: &[Identifier]) -> impl Iterator<Item = Key> + '_ {
    identifiers.iter().filter(|identifier| joins(identifier.kind)).flat_map(|identifier| {
        identifier.keys.iter().map(|value| Key {
            kind: identifier.kind,
            scope: identifier.scope.clone(),
            value: value.clone(),
        })
    })
}

/// Device and click ids link or attribute; they never say who somebody is.
fn joins(kind: IdentifierKind) -> bool {
    !matches!(kind, IdentifierKind::Device | IdentifierKind::Click)
}

/// Decides whose lead it is. `fresh` is the id of the person to be made when nobody is known.
pub fn resolve(
    identifiers: &[Identifier],
    known: &Known,
    order: &IdentifierOrder,
    fresh: PersonId,
) -> Resolution {
    let keys: Vec<Key> = joining_keys(identifiers).collect();
    let rank = |kind: IdentifierKind| order.0.iter().position(|listed| *listed == kind).unwrap_or(usize::MAX);
    let mut hits: Vec<(&Key, PersonId)> =
        keys.iter().filter_map(|key| Some((key, *known.owners.get(key)?))).collect();
    // Stable: among equals the order of the mapping decides, so the result does not depend on chance.
    hits.sort_by_key(|(key, _)| rank(key.kind));

    let person = hits
        .iter()
        .find(|(_, person)| !known.anonymous.contains(person))
        .or_else(|| hits.first())
        .map_or(fresh, |(_, person)| *person);

    let mut absorb = Vec::new();
    let mut conflicts = Vec::new();
    for (key, owner) in &hits {
        if *owner == person {
            continue;
        }
        if known.anonymous.contains(owner) {
            if !absorb.contains(owner) {
                absorb.push(*owner);
            }
        } else {
            conflicts.push(conflict(key, *owner, hits.iter().find(|(_, decided)| *decided == person)));
        }
    }
    let attach = keys
        .iter()
        .filter(|key| known.owners.get(key).is_none_or(|owner| absorb.contains(owner)))
        .cloned()
        .collect();
    Resolution { person, created: person == fresh, attach, absorb, conflicts }
}

fn conflict(key: &Key, owner: PersonId, decided_by: Option<&(&Key, PersonId)>) -> Reason {
    let kind = key.kind.as_str().replace('_', " ");
    let shown = mask(&key.value);
    let text = match decided_by {
        Some((winner, person)) => format!(
            "The {} {} says person {person}, the {kind} {shown} says person {owner}; the {} decided, and the {kind} stays \
             with person {owner}.",
            winner.kind.as_str().replace('_', " "),
            mask(&winner.value),
            winner.kind.as_str().replace('_', " "),
        ),
        None => format!("The {kind} {shown} belongs to person {owner}."),
    };
    Reason::new("identifiers_disagree", text)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::lead::Proof;

    fn person(number: u128) -> PersonId {
        PersonId(Uuid::from_u128(number))
    }

    fn identifier(kind: IdentifierKind, value: &str) -> Identifier {
        let scope = if kind == IdentifierKind::Chat { "sendpulse:bot" } else { "" };
        Identifier { kind, scope: scope.to_owned(), keys: vec![value.to_owned()], proof: Proof::Claimed }
    }

    fn key(kind: IdentifierKind, value: &str) -> Key {
        joining_keys(&[identifier(kind, value)]).next().unwrap()
    }

    fn known(owners: &[(IdentifierKind, &str, u128)], anonymous: &[u128]) -> Known {
        Known {
            owners: owners.iter().map(|(kind, value, owner)| (key(*kind, value), person(*owner))).collect(),
            anonymous: anonymous.iter().map(|number| person(*number)).collect(),
        }
    }

    const FRESH: u128 = 99;

    fn check(ids: &[(IdentifierKind, &str)], known: &Known) -> Resolution {
        let identifiers: Vec<_> = ids.iter().map(|(kind, value)| identifier(*kind, value)).collect();
        resolve(&identifiers, known, &IdentifierOrder::default(), person(FRESH))
    }

    use IdentifierKind::{Chat, Click, Device, Email, Phone};

    #[test]
    fn nobody_known_makes_a_person_with_every_joining_key() {
        let resolution =
            check(&[(Chat, "c1"), (Phone, "+1"), (Device, "d"), (Click, "g")], &Known::default());
        assert_eq!(resolution.person, person(FRESH));
        assert!(resolution.created);
        assert_eq!(resolution.attach, [key(Chat, "c1"), key(Phone, "+1")]);
    }

    #[test]
    fn no_identifier_at_all_makes_a_person() {
        let resolution = check(&[], &Known::default());
        assert!(resolution.created);
        assert!(resolution.attach.is_empty());
    }

    #[test]
    fn a_known_phone_brings_the_new_chat_along() {
        let resolution = check(&[(Chat, "c1"), (Phone, "+1")], &known(&[(Phone, "+1", 1)], &[]));
        assert_eq!(resolution.person, person(1));
        assert!(!resolution.created);
        assert_eq!(resolution.attach, [key(Chat, "c1")]);
    }

    #[test]
    fn phone_says_a_and_email_says_b() {
        let known = known(&[(Phone, "+1", 1), (Email, "b@x.org", 2)], &[]);
        let resolution = check(&[(Email, "b@x.org"), (Phone, "+1")], &known);
        assert_eq!(resolution.person, person(1), "phone outranks email");
        assert_eq!(resolution.conflicts.len(), 1);
        assert!(resolution.attach.is_empty(), "the email is not moved");
        assert!(resolution.absorb.is_empty(), "two known people are not merged");
    }

    #[test]
    fn the_configured_order_decides() {
        let known = known(&[(Phone, "+1", 1), (Email, "b@x.org", 2)], &[]);
        let identifiers = [identifier(Phone, "+1"), identifier(Email, "b@x.org")];
        let order = IdentifierOrder(vec![Email, Phone]);
        assert_eq!(resolve(&identifiers, &known, &order, person(FRESH)).person, person(2));
    }

    #[test]
    fn an_anonymous_chat_is_absorbed_by_the_person_whose_phone_it_gives() {
        let known = known(&[(Chat, "c1", 1), (Phone, "+1", 2)], &[1]);
        let resolution = check(&[(Chat, "c1"), (Phone, "+1")], &known);
        assert_eq!(resolution.person, person(2));
        assert_eq!(resolution.absorb, [person(1)]);
        assert_eq!(resolution.attach, [key(Chat, "c1")]);
        assert!(resolution.conflicts.is_empty());
    }

    #[test]
    fn an_anonymous_person_alone_keeps_its_lead() {
        let known = known(&[(Chat, "c1", 1)], &[1]);
        let resolution = check(&[(Chat, "c1"), (Phone, "+1")], &known);
        assert_eq!(resolution.person, person(1));
        assert!(resolution.absorb.is_empty());
        assert_eq!(resolution.attach, [key(Phone, "+1")]);
    }
}
