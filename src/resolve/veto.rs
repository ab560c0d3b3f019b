//! When a key does not say who somebody is, although somebody has it.

use super::known::{KnownKey, KnownPerson, age};
use super::{Hit, Key, Known, Refusal, Who};
use crate::id::PersonId;
use crate::lead::{IdentifierKind, Proof};
use crate::normalise::Agreement;
use crate::rules::IdentityRules;

/// Whose the hit is, or why it does not count.
pub(super) fn examine(
    hit: &Hit,
    who: &Who<'_>,
    known: &Known,
    rules: &IdentityRules,
) -> Result<PersonId, Refusal> {
    // Whoever writes 1, 2, 3 … into a link would be everybody by turns.
    if hit.proof == Proof::Hinted {
        return Err(Refusal::OnlyHinted);
    }
    let Some(owned) = known.keys.get(&hit.key) else { return Ok(hit.person) };
    let contact = matches!(hit.key.kind, IdentifierKind::Phone | IdentifierKind::Email);
    if is_shared(&hit.key, owned, rules) {
        return holder(owned, who, known).ok_or(Refusal::Shared { people: owned.users.count() });
    }
    if contact && is_forgotten(owned, &hit.key, who, known, rules) {
        return Err(Refusal::Forgotten { days: age(owned, who.at).as_hours() / 24 });
    }
    let Some(person) = known.people.get(&hit.person) else { return Ok(hit.person) };
    if let Some(namespace) = clash(person, who) {
        return Err(Refusal::OtherCustomer { namespace });
    }
    if contact && is_too_large(person, rules) {
        return Err(Refusal::TooLarge);
    }
    Ok(hit.person)
}

/// Clearly different people use it, so by itself it says nothing of who somebody is.
pub(super) fn is_shared(key: &Key, owned: &KnownKey, rules: &IdentityRules) -> bool {
    matches!(key.kind, IdentifierKind::Phone | IdentifierKind::Email)
        && owned.users.count() >= rules.shared_from
}

/// Of those who use a shared key, the one whose name agrees.
fn holder(owned: &KnownKey, who: &Who<'_>, known: &Known) -> Option<PersonId> {
    let agrees = |person: &PersonId| {
        known.people.get(person).is_some_and(|person| {
            person.compare_name(&who.name) == Agreement::Agree && clash(person, who).is_none()
        })
    };
    std::iter::once(owned.owner).chain(owned.holders.iter().copied()).find(agrees)
}

/// Numbers are given out again: nobody came with it for long, and now somebody of another name does.
pub(super) fn is_forgotten(
    owned: &KnownKey,
    key: &Key,
    who: &Who<'_>,
    known: &Known,
    rules: &IdentityRules,
) -> bool {
    matches!(key.kind, IdentifierKind::Phone | IdentifierKind::Email)
        && age(owned, who.at).unsigned_abs() > rules.forget_after
        && age(owned, who.at).is_positive()
        && known.people.get(&owned.owner).is_some_and(|person| {
            person.compare_name(&who.name) == Agreement::Contradict || clash(person, who).is_some()
        })
}

/// The namespace in which the event and the person have different customer ids: two ids are two customers.
pub(super) fn clash(person: &KnownPerson, who: &Who<'_>) -> Option<String> {
    who.customers().find_map(|(namespace, value)| {
        let mut theirs = person.of(IdentifierKind::ExternalCustomer).filter(|key| key.scope == namespace);
        theirs.any(|key| key.value != value).then_some(namespace)
    })
}

/// Whether they have grown beyond what one human has.
pub(super) fn is_too_large(person: &KnownPerson, rules: &IdentityRules) -> bool {
    person.count(IdentifierKind::Phone) > rules.limits.phones
        || person.count(IdentifierKind::Email) > rules.limits.emails
        || person.count(IdentifierKind::Chat) > rules.limits.chats
        || person.merges > rules.limits.merges
}

/// Why a person takes no further key of this kind.
pub(super) fn limit(person: &KnownPerson, kind: IdentifierKind, rules: &IdentityRules) -> Option<Refusal> {
    let most = match kind {
        IdentifierKind::Phone => rules.limits.phones,
        IdentifierKind::Email => rules.limits.emails,
        // An exact chat is always taken: what is written there is theirs.
        IdentifierKind::Chat
        | IdentifierKind::CrmId
        | IdentifierKind::ExternalCustomer
        | IdentifierKind::Device
        | IdentifierKind::Click => return None,
    };
    (person.count(kind) > most).then_some(Refusal::TooLarge)
}
