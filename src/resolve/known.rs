//! What is known of people before a lead, and how a decision changes it. The store loads the part that a batch touches;
//! a rehearsal and the benchmarks hold all of it in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};

use super::{Key, Resolution, Who};
use crate::id::PersonId;
use crate::lead::{IdentifierKind, Proof};
use crate::normalise::{Agreement, NameKey};

/// Names of a key, and of a person, that are remembered: enough to see that they differ.
pub const MOST_NAMES: usize = 8;

/// Everything that [`resolve`](super::resolve) looks at.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Who has which key, and who used it.
    pub keys: HashMap<Key, KnownKey>,
    /// People, without those who were merged into others.
    pub people: HashMap<PersonId, KnownPerson>,
    /// Pairs that a person said are two people, the smaller id first.
    pub apart: HashSet<(PersonId, PersonId)>,
}

/// What is known of one key.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownKey {
    /// Whose it is.
    pub owner: PersonId,
    /// Others who use it as well, once it is known to be shared.
    pub holders: Vec<PersonId>,
    /// What stands behind it.
    pub proof: Proof,
    /// When it came last.
    pub seen: Timestamp,
    /// Who it was seen with.
    pub users: Users,
}

/// The clearly different people that were seen with one key.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Users {
    /// Names that contradict one another.
    pub names: Vec<NameKey>,
    /// Customer ids with their namespace.
    pub customers: BTreeSet<(String, String)>,
}

/// What is known of one person.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KnownPerson {
    /// When they came first; the older of two stays when they are merged.
    pub created_at: Timestamp,
    /// Their keys.
    pub keys: BTreeSet<Key>,
    /// Shared keys that they use and somebody else had first.
    pub held: BTreeSet<Key>,
    /// Names they gave, the first ones first.
    pub names: Vec<NameKey>,
    /// Destinations where they have a contact record.
    pub records: BTreeSet<String>,
    /// Who is responsible for their deals, by destination.
    pub deal_owners: BTreeMap<String, BTreeSet<String>>,
    /// How many people were merged into them.
    pub merges: u32,
}

impl Users {
    /// How many clearly different people there are at least.
    pub fn count(&self) -> usize {
        let mut by_namespace: BTreeMap<&str, usize> = BTreeMap::new();
        for (namespace, _) in &self.customers {
            *by_namespace.entry(namespace).or_default() += 1;
        }
        by_namespace.into_values().max().unwrap_or(0).max(self.names.len())
    }

    /// Sees it with somebody. A proven phone is theirs whatever they call themselves.
    pub fn see(&mut self, who: &Who<'_>, proof: Proof) {
        if proof < Proof::Proven
            && !who.name.is_empty()
            && self.names.len() < MOST_NAMES
            && self.names.iter().all(|name| name.compare(&who.name) == Agreement::Contradict)
        {
            self.names.push(who.name.clone());
        }
        if self.customers.len() < MOST_NAMES {
            self.customers.extend(who.customers());
        }
    }
}

impl KnownPerson {
    /// Nothing but chats is known, and no CRM has them: nobody would notice if they were somebody else.
    pub fn is_anonymous(&self) -> bool {
        self.records.is_empty()
            && self.held.is_empty()
            && self.keys.iter().all(|key| {
                matches!(key.kind, IdentifierKind::Chat | IdentifierKind::Device | IdentifierKind::Click)
            })
    }

    /// How many of a kind.
    pub fn count(&self, kind: IdentifierKind) -> usize {
        self.of(kind).count()
    }

    pub(super) fn of(&self, kind: IdentifierKind) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(move |key| key.kind == kind)
    }

    /// What their names say about another one.
    pub(super) fn compare_name(&self, name: &NameKey) -> Agreement {
        let mut said = Agreement::Unknown;
        for known in &self.names {
            match known.compare(name) {
                Agreement::Agree => return Agreement::Agree,
                Agreement::Contradict => said = Agreement::Contradict,
                Agreement::Unknown => {}
            }
        }
        said
    }

    pub(super) fn has_name(&self) -> bool {
        !self.names.is_empty()
    }
}

impl Known {
    /// Whether somebody said that these are two people.
    pub fn are_apart(&self, one: PersonId, other: PersonId) -> bool {
        self.apart.contains(&pair(one, other))
    }

    /// What a decision changes, so that the next lead sees it.
    pub fn learn(&mut self, who: &Who<'_>, resolution: &Resolution) {
        let person = resolution.person;
        if resolution.created {
            let new = KnownPerson { created_at: who.at, ..KnownPerson::default() };
            self.people.insert(person, new);
        }
        for merge in &resolution.merges {
            self.merge(merge.from, merge.into);
        }
        for key in &resolution.attach {
            // It was given out again, and what was known of it goes with those who had it.
            if let Some(before) = self.keys.remove(key) {
                for had in before.holders.iter().chain([&before.owner]) {
                    if let Some(had) = self.people.get_mut(had) {
                        had.keys.remove(key);
                        had.held.remove(key);
                    }
                }
            }
            let known = KnownKey {
                owner: person,
                holders: Vec::new(),
                proof: who.proof_of(key),
                seen: who.at,
                users: Users::default(),
            };
            self.keys.insert(key.clone(), known);
        }
        for key in &resolution.hold {
            if let Some(known) = self.keys.get_mut(key)
                && !known.holders.contains(&person)
            {
                known.holders.push(person);
            }
        }
        if let Some(known) = self.people.get_mut(&person) {
            known.held.extend(resolution.hold.iter().cloned());
            known.keys.extend(resolution.attach.iter().cloned());
        }
        self.see(who, person);
    }

    /// Sees the keys and the name of an event, whose it is being settled.
    pub(super) fn see(&mut self, who: &Who<'_>, person: PersonId) {
        for key in who.keys() {
            if let Some(known) = self.keys.get_mut(&key) {
                let proof = who.proof_of(&key);
                known.seen = known.seen.max(who.at);
                known.users.see(who, proof);
                if known.owner == person {
                    known.proof = known.proof.max(proof);
                }
            }
        }
        if let Some(known) = self.people.get_mut(&person) {
            add_name(&mut known.names, &who.name);
        }
    }

    fn merge(&mut self, from: PersonId, into: PersonId) {
        let Some(gone) = self.people.remove(&from) else { return };
        // Whoever is another human than one of the two is another than both.
        let named = |(one, other): &&(PersonId, PersonId)| *one == from || *other == from;
        let others: Vec<PersonId> = self
            .apart
            .iter()
            .filter(named)
            .map(|(one, other)| if *one == from { *other } else { *one })
            .collect();
        self.apart.extend(others.into_iter().map(|other| pair(into, other)));
        for key in &gone.keys {
            if let Some(known) = self.keys.get_mut(key) {
                known.owner = into;
            }
        }
        for key in &gone.held {
            if let Some(known) = self.keys.get_mut(key) {
                known.holders.retain(|holder| *holder != from && *holder != into);
                if known.owner != into {
                    known.holders.push(into);
                }
            }
        }
        let Some(stays) = self.people.get_mut(&into) else { return };
        stays.held.extend(gone.held);
        stays.keys.extend(gone.keys);
        for name in &gone.names {
            add_name(&mut stays.names, name);
        }
        stays.records.extend(gone.records);
        for (destination, owners) in gone.deal_owners {
            stays.deal_owners.entry(destination).or_default().extend(owners);
        }
        stays.merges += gone.merges + 1;
    }
}

/// Adds a name that is not among these yet, while there is room.
pub fn add_name(names: &mut Vec<NameKey>, name: &NameKey) {
    if !name.is_empty() && names.len() < MOST_NAMES && !names.contains(name) {
        names.push(name.clone());
    }
}

/// How long ago a key came last.
pub(super) fn age(known: &KnownKey, now: Timestamp) -> SignedDuration {
    now.duration_since(known.seen)
}

/// A pair in the order in which it is kept.
pub fn pair(one: PersonId, other: PersonId) -> (PersonId, PersonId) {
    if one <= other { (one, other) } else { (other, one) }
}
