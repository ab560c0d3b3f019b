//! When two people whom one event names are one.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::veto::is_too_large;
use super::{Hit, Key, Known, KnownPerson, Merge, Refusal, Who};
use crate::id::PersonId;
use crate::lead::{IdentifierKind, Proof};
use crate::normalise::{Agreement, NameKey};
use crate::rules::IdentityRules;

/// Why two people are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MergeRule {
    /// Nothing but chats was known of one of them, and one of those chats gave an identifier of the other.
    AnonymousChat,
    /// Somebody other than the writer vouches for an identifier of each.
    ProvenBoth,
    /// Their names agree or one has none, and nothing that both have differs.
    NothingDiffers,
    /// Their names agree, and nobody of another name ever gave what names them.
    NamesAgree,
    /// One had no contact at a destination, and the only contact there that holds an identifier of theirs is the other's.
    OneCrmRecord,
}

/// By which rule somebody is one with people who are one already, or why not: nothing may keep them from any of these.
pub(super) fn may_join(
    together: &[PersonId],
    other: PersonId,
    who: &Who<'_>,
    accepted: &[Hit],
    known: &Known,
    rules: &IdentityRules,
) -> Result<MergeRule, Refusal> {
    let mut first = None;
    for one in together {
        let rule = may_merge(*one, other, who, accepted, known, rules)?;
        first.get_or_insert(rule);
    }
    first.ok_or(Refusal::Disagree)
}

/// By which rule the two are one, or why they are not.
fn may_merge(
    one: PersonId,
    other: PersonId,
    who: &Who<'_>,
    accepted: &[Hit],
    known: &Known,
    rules: &IdentityRules,
) -> Result<MergeRule, Refusal> {
    if known.are_apart(one, other) {
        return Err(Refusal::SaidToDiffer);
    }
    let (Some(first), Some(second)) = (known.people.get(&one), known.people.get(&other)) else {
        return Err(Refusal::Disagree);
    };
    if let Some(namespace) = customers_differ(first, second) {
        return Err(Refusal::OtherCustomer { namespace });
    }
    if first.is_anonymous() || second.is_anonymous() {
        return Ok(MergeRule::AnonymousChat);
    }
    if is_too_large(first, rules)
        || is_too_large(second, rules)
        || first.merges + second.merges + 1 > rules.limits.merges
    {
        return Err(Refusal::TooLarge);
    }
    if deals_differ(first, second) {
        return Err(Refusal::DealsOfTwoOwners);
    }
    let proven = |person| accepted.iter().any(|hit| hit.person == person && hit.is_vouched_for());
    if proven(one) && proven(other) {
        return Ok(MergeRule::ProvenBoth);
    }
    if names_allow(first, second, who) {
        if !anything_differs(first, second) {
            return Ok(MergeRule::NothingDiffers);
        }
        // Who has a second phone gives it together with an email that is known, and under the same name.
        let named = |hit: &&Hit| hit.person == one || hit.person == other;
        let of_one_name = |hit: &Hit| known.keys.get(&hit.key).is_some_and(|key| key.users.count() <= 1);
        if names_agree(first, second)
            && accepted.iter().filter(named).all(of_one_name)
            && !records_differ(first, second)
        {
            return Ok(MergeRule::NamesAgree);
        }
    }
    Err(Refusal::Disagree)
}

/// Two people of whom a link of ours proved that they are one: who stays, or what keeps them apart all the same.
pub fn by_own_link(
    one: PersonId,
    other: PersonId,
    at: Timestamp,
    known: &Known,
    rules: &IdentityRules,
) -> Result<Merge, Refusal> {
    let who = Who { identifiers: &[], name: NameKey::of(""), at, adds_token: false };
    // The chat of the one and the user of the other, each of them proved.
    let proven = |person| {
        let key = Key { kind: IdentifierKind::ExternalCustomer, scope: String::new(), value: String::new() };
        Hit { key, proof: Proof::Proven, person }
    };
    let rule = may_merge(one, other, &who, &[proven(one), proven(other)], known, rules)?;
    let (into, from) = survivor(one, other, rule, known);
    Ok(Merge { from, into, rule })
}

/// Who stays, and who is no more: the one who is more than a chat, else the older.
pub(super) fn survivor(
    one: PersonId,
    other: PersonId,
    rule: MergeRule,
    known: &Known,
) -> (PersonId, PersonId) {
    let rank = |person: PersonId| {
        let facts = known.people.get(&person);
        let anonymous = rule == MergeRule::AnonymousChat && facts.is_none_or(KnownPerson::is_anonymous);
        (anonymous, facts.map(|facts| facts.created_at), person)
    };
    if rank(one) <= rank(other) { (one, other) } else { (other, one) }
}

fn customers_differ(first: &KnownPerson, second: &KnownPerson) -> Option<String> {
    first.of(IdentifierKind::ExternalCustomer).find_map(|mine| {
        let mut theirs = second.of(IdentifierKind::ExternalCustomer).filter(|key| key.scope == mine.scope);
        theirs.any(|key| key.value != mine.value).then(|| mine.scope.clone())
    })
}

/// Both have deals at one destination, and different people are responsible for them.
fn deals_differ(first: &KnownPerson, second: &KnownPerson) -> bool {
    first.deal_owners.iter().any(|(destination, owners)| {
        second.deal_owners.get(destination).is_some_and(|others| owners.is_disjoint(others))
    })
}

fn names_allow(first: &KnownPerson, second: &KnownPerson, who: &Who<'_>) -> bool {
    let agree = |one: &KnownPerson, other: &KnownPerson| {
        !one.has_name()
            || !other.has_name()
            || other.names.iter().any(|name| one.compare_name(name) == Agreement::Agree)
    };
    let contradicts = |person: &KnownPerson| person.compare_name(&who.name) == Agreement::Contradict;
    agree(first, second) && !contradicts(first) && !contradicts(second)
}

/// Some of their names agree and none contradict, whichever they gave.
fn names_agree(first: &KnownPerson, second: &KnownPerson) -> bool {
    let compared: Vec<Agreement> =
        first.names.iter().flat_map(|one| second.names.iter().map(move |other| one.compare(other))).collect();
    compared.contains(&Agreement::Agree) && !compared.contains(&Agreement::Contradict)
}

/// Both have something of a kind that one human usually has one of, and it is not the same.
fn anything_differs(first: &KnownPerson, second: &KnownPerson) -> bool {
    let both = |kind| first.count(kind) > 0 && second.count(kind) > 0;
    both(IdentifierKind::Phone) || both(IdentifierKind::Email) || records_differ(first, second)
}

/// Both have a CRM record, or write from two chats with one bot: hardly anybody does.
fn records_differ(first: &KnownPerson, second: &KnownPerson) -> bool {
    let same_bot = first
        .of(IdentifierKind::Chat)
        .any(|mine| second.of(IdentifierKind::Chat).any(|key| key.scope == mine.scope));
    same_bot || (first.count(IdentifierKind::CrmId) > 0 && second.count(IdentifierKind::CrmId) > 0)
}
