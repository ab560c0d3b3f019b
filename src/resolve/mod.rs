//! Whose lead is this? Identifiers and what is known of them in; one person, what to remember, and why out.
//!
//! Deterministic and on exact keys only. A lead always lands on somebody at once. A name alone never joins anybody: names may veto,
//! or decide between two whom keys have found.
//!
//! | step | file |
//! |---|---|
//! | find who has the keys of the event, strongest evidence first | here |
//! | set aside what does not count: shared and forgotten values, clashing customer ids, people that grew too large | `veto.rs` |
//! | choose one person, or make one | here |
//! | the others whom the event also names: make them one with the first, or record the disagreement | `merge.rs` |
//! | what is attached, and to whom a shared value belongs as well | here |
//! | an event that adds a token: one identifier decides, and little is attached | `token.rs` |
//!
//! [`Known::learn`] applies a decision to what is known, so that the next lead sees it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::PersonId;
use crate::lead::{Identifier, IdentifierKind, Lead, Proof};
use crate::normalise::{Agreement, NameKey};
use crate::rules::{IdentifierOrder, IdentityRules};

mod decision;
mod difference;
mod known;
mod merge;
mod partition;
mod sentences;
mod token;
mod veto;

pub use decision::{Decision, Finding, Outcome, RULES_VERSION, Refusal, Rule};
pub use difference::{Difference, Group, Part};
pub use known::{Known, KnownKey, KnownPerson, MOST_NAMES, Users, add_name, pair};
pub use merge::{MergeRule, by_own_link};
pub use partition::{Number, Partition, number};
pub use sentences::{Language, Sentence, Told};

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

/// Who an event says it is from.
#[derive(Clone, Debug)]
pub struct Who<'a> {
    /// The evidence, in the order of the mapping.
    pub identifiers: &'a [Identifier],
    /// The name they gave, as it is compared.
    pub name: NameKey,
    /// When the event came.
    pub at: Timestamp,
    /// The event adds its chat to somebody who is looked up: see [`Lead::adds_token`].
    pub adds_token: bool,
}

impl<'l> Who<'l> {
    /// Who a lead says it is from, that came `at`.
    pub fn of(lead: &'l Lead, at: Timestamp) -> Self {
        let name = NameKey::of(lead.contact.name.as_deref().unwrap_or_default());
        Self { identifiers: &lead.identifiers, name, at, adds_token: lead.adds_token }
    }

    /// Every key that may join people.
    pub fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        joining_keys(self.identifiers)
    }

    /// The customer ids with their namespaces; hints do not count.
    fn customers(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.identifiers
            .iter()
            .filter(|identifier| {
                identifier.kind == IdentifierKind::ExternalCustomer && identifier.proof > Proof::Hinted
            })
            .flat_map(|identifier| {
                identifier.keys.iter().map(|value| (identifier.scope.clone(), value.clone()))
            })
    }

    fn proof_of(&self, key: &Key) -> Proof {
        let same = |identifier: &&Identifier| {
            identifier.kind == key.kind
                && identifier.scope == key.scope
                && identifier.keys.contains(&key.value)
        };
        self.identifiers
            .iter()
            .filter(same)
            .map(|identifier| identifier.proof)
            .max()
            .unwrap_or(Proof::Claimed)
    }
}

/// Whose lead it is and what to remember.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolution {
    /// The person.
    pub person: PersonId,
    /// The person did not exist before.
    pub created: bool,
    /// Keys that now belong to the person.
    pub attach: Vec<Key>,
    /// Shared keys that the person uses as well.
    pub hold: Vec<Key>,
    /// People who turned out to be one.
    pub merges: Vec<Merge>,
    /// People who may be this one, for somebody to look at.
    pub possible_duplicates: Vec<PersonId>,
    /// Why, and why not otherwise.
    pub decision: Decision,
}

impl Resolution {
    /// Of a postback: it is whose the click id is. A click id joins nobody, so nothing is attached by it.
    pub fn by_click(click: &str, person: PersonId) -> Self {
        let key = Key { kind: IdentifierKind::Click, scope: String::new(), value: click.to_owned() };
        let findings = vec![Finding::decided(&key, person)];
        Self {
            person,
            created: false,
            attach: Vec::new(),
            hold: Vec::new(),
            merges: Vec::new(),
            possible_duplicates: Vec::new(),
            decision: Decision { rule: Rule::Click, version: RULES_VERSION, findings },
        }
    }
}

/// Two people who are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merge {
    /// Who is no more.
    pub from: PersonId,
    /// Who stays.
    pub into: PersonId,
    /// By which rule.
    pub rule: MergeRule,
}

/// Every key of these identifiers that may join people.
pub fn joining_keys(identifiers: &[Identifier]) -> impl Iterator<Item = Key> + '_ {
    identifiers.iter().filter(|identifier| identifier.kind.joins()).flat_map(keys_of)
}

fn keys_of(identifier: &Identifier) -> impl Iterator<Item = Key> + '_ {
    identifier.keys.iter().map(|value| Key {
        kind: identifier.kind,
        scope: identifier.scope.clone(),
        value: value.clone(),
    })
}

/// A key of the event that somebody has.
#[derive(Clone, Debug)]
struct Hit {
    key: Key,
    proof: Proof,
    person: PersonId,
}

impl Hit {
    /// Somebody other than the writer vouches for it. Two such hits that name two people prove that they are one.
    fn is_vouched_for(&self) -> bool {
        match self.key.kind {
            IdentifierKind::CrmId | IdentifierKind::ExternalCustomer | IdentifierKind::Chat => true,
            IdentifierKind::Phone | IdentifierKind::Email => self.proof == Proof::Proven,
            IdentifierKind::Device | IdentifierKind::Click => false,
        }
    }
}

/// Decides whose lead it is. `fresh` is the id of the person to be made when nobody is known.
pub fn resolve(who: &Who<'_>, known: &Known, rules: &IdentityRules, fresh: PersonId) -> Resolution {
    if who.adds_token {
        return token::look_up(who, known, rules, fresh);
    }
    let mut findings = Vec::new();
    let mut possible_duplicates = Vec::new();
    let mut accepted: Vec<Hit> = Vec::new();
    for hit in hits(who, known, &rules.order) {
        match veto::examine(&hit, who, known, rules) {
            Ok(person) => accepted.push(Hit { person, ..hit }),
            Err(refusal) => {
                if refusal.tells_of_a_duplicate() && !possible_duplicates.contains(&hit.person) {
                    possible_duplicates.push(hit.person);
                }
                findings.push(Finding::refused(&hit.key, hit.person, refusal));
            }
        }
    }
    let chosen = choose(&accepted, who, known);
    let mut person = chosen.as_ref().map_or(fresh, |(hit, _)| hit.person);
    let rule = chosen.as_ref().map_or(Rule::NobodyKnown, |(_, rule)| *rule);
    let mut merges = Vec::new();
    if let Some((first, _)) = &chosen {
        findings.insert(0, Finding::decided(&first.key, first.person));
        let mut seen = BTreeSet::from([first.person]);
        // Whom nothing keeps from the first may still be kept from one who joined since.
        let mut together = vec![first.person];
        for other in accepted.iter().filter(|hit| hit.person != first.person) {
            if !seen.insert(other.person) {
                continue;
            }
            match merge::may_join(&together, other.person, who, &accepted, known, rules) {
                Ok(rule) => {
                    let (into, from) = merge::survivor(person, other.person, rule, known);
                    merges.push(Merge { from, into, rule });
                    person = into;
                    together.push(other.person);
                    findings.push(Finding::merged(&other.key, other.person, rule));
                }
                Err(refusal) => {
                    if refusal.tells_of_a_duplicate() && !possible_duplicates.contains(&other.person) {
                        possible_duplicates.push(other.person);
                    }
                    findings.push(Finding::refused(&other.key, other.person, refusal));
                }
            }
        }
        // A chain of merges ends with who stays in the end.
        for merge in &mut merges {
            merge.into = person;
        }
    }
    possible_duplicates.retain(|other| *other != person && !merges.iter().any(|merge| merge.from == *other));
    let created = chosen.is_none();
    let (attach, hold) = take(who, known, rules, person, &merges, &mut findings);
    let decision = Decision { rule, version: RULES_VERSION, findings };
    Resolution { person, created, attach, hold, merges, possible_duplicates, decision }
}

/// Who has the keys of the event, strongest evidence first. Equals keep the order of the mapping, so that nothing depends
/// on chance.
fn hits(who: &Who<'_>, known: &Known, order: &IdentifierOrder) -> Vec<Hit> {
    let place =
        |kind: IdentifierKind| order.0.iter().position(|listed| *listed == kind).unwrap_or(usize::MAX);
    let mut hits = Vec::new();
    for identifier in who.identifiers.iter().filter(|identifier| identifier.kind.joins()) {
        for key in keys_of(identifier) {
            if let Some(known) = known.keys.get(&key) {
                hits.push(Hit { key, proof: identifier.proof, person: known.owner });
            }
        }
    }
    hits.sort_by_key(|hit| {
        let kind = hit.key.kind;
        let own = place(kind);
        let contact = matches!(kind, IdentifierKind::Phone | IdentifierKind::Email);
        // What is proven of the two goes before what is typed of the two.
        let first = if contact && hit.proof == Proof::Proven {
            place(IdentifierKind::Phone).min(place(IdentifierKind::Email))
        } else {
            own
        };
        (hit.proof == Proof::Hinted, first, hit.proof != Proof::Proven, own)
    });
    hits
}

/// The hit that decides: the first of somebody who is more than a chat, unless only typed values speak and the name
/// agrees with exactly one of those whom they name.
fn choose(accepted: &[Hit], who: &Who<'_>, known: &Known) -> Option<(Hit, Rule)> {
    let anonymous = |hit: &&Hit| known.people.get(&hit.person).is_none_or(KnownPerson::is_anonymous);
    let first = accepted.iter().find(|hit| !anonymous(hit)).or_else(|| accepted.first())?;
    if !first.is_vouched_for() {
        let named: BTreeSet<PersonId> =
            accepted.iter().filter(|hit| agrees(hit.person, who, known)).map(|hit| hit.person).collect();
        if named.len() == 1
            && let Some(hit) = accepted.iter().find(|hit| named.contains(&hit.person))
            && hit.person != first.person
        {
            return Some((hit.clone(), Rule::NameDecides));
        }
    }
    Some((first.clone(), Rule::of(first.key.kind, first.proof)))
}

fn agrees(person: PersonId, who: &Who<'_>, known: &Known) -> bool {
    known.people.get(&person).is_some_and(|known| known.compare_name(&who.name) == Agreement::Agree)
}

/// Which keys are the person's from now on, and which shared ones they use as well.
fn take(
    who: &Who<'_>,
    known: &Known,
    rules: &IdentityRules,
    person: PersonId,
    merges: &[Merge],
    findings: &mut Vec<Finding>,
) -> (Vec<Key>, Vec<Key>) {
    let (mut attach, mut hold) = (Vec::new(), Vec::new());
    let now_theirs = |owner: PersonId| owner == person || merges.iter().any(|merge| merge.from == owner);
    let facts = known.people.get(&person);
    for identifier in who.identifiers.iter().filter(|identifier| identifier.kind.joins()) {
        // A hint attaches nothing: whoever made the link up would own the id.
        if identifier.proof == Proof::Hinted {
            continue;
        }
        for key in keys_of(identifier) {
            match known.keys.get(&key) {
                Some(owned) if now_theirs(owned.owner) => {}
                Some(owned) if veto::is_forgotten(owned, &key, who, known, rules) => attach.push(key),
                Some(owned)
                    if owned.users.count() >= rules.shared_from && !owned.holders.contains(&person) =>
                {
                    hold.push(key);
                }
                Some(_) => {}
                None => match facts.and_then(|facts| veto::limit(facts, key.kind, rules)) {
                    None => attach.push(key),
                    Some(refusal) => findings.push(Finding::refused(&key, person, refusal)),
                },
            }
        }
    }
    attach.dedup();
    (attach, hold)
}

#[cfg(test)]
mod tests;
