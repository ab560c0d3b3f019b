//! Leads told again, all in memory: who would be who under these rules.
//!
//! The people of a partition have numbers of its own, in the order in which they first came. Whom somebody corrected by
//! hand is known from the beginning, with the identifiers that they have now, and keeps the leads that they have now:
//! what a person said outranks every rule.

use uuid::Uuid;

use super::{Key, Known, KnownKey, KnownPerson, Merge, Resolution, Users, Who, pair, resolve};
use crate::id::PersonId;
use crate::lead::Proof;
use crate::rules::IdentityRules;

/// The leads so far, by person.
#[derive(Debug)]
pub struct Partition {
    rules: IdentityRules,
    known: Known,
    /// Who each person became, themselves until they are merged.
    became: Vec<u32>,
    /// The person of each lead, when it came.
    people: Vec<u32>,
}

/// A person of a partition, by number.
pub type Number = u32;

impl Partition {
    /// No leads yet.
    pub fn under(rules: IdentityRules) -> Self {
        Self { rules, known: Known::default(), became: Vec::new(), people: Vec::new() }
    }

    /// Somebody who was corrected by hand, with the identifiers that they have.
    pub fn pin(&mut self, keys: impl IntoIterator<Item = (Key, Proof)>) -> Number {
        let number = self.somebody_new();
        let person = id(number);
        let mut known = KnownPerson::default();
        for (key, proof) in keys {
            known.keys.insert(key.clone());
            let key_is = KnownKey {
                owner: person,
                holders: Vec::new(),
                proof,
                seen: jiff::Timestamp::MAX,
                users: Users::default(),
            };
            self.known.keys.insert(key, key_is);
        }
        self.known.people.insert(person, known);
        number
    }

    /// Two who are pinned are two people.
    pub fn keep_apart(&mut self, one: Number, other: Number) {
        self.known.apart.insert(pair(id(one), id(other)));
    }

    /// The next lead of somebody who is pinned: no rule is asked.
    pub fn add_pinned(&mut self, who: &Who<'_>, number: Number) {
        self.known.see(who, id(number));
        self.people.push(number);
    }

    /// The next lead, and why it is whose it is.
    pub fn add(&mut self, who: &Who<'_>) -> Resolution {
        let resolution = resolve(who, &self.known, &self.rules, id(self.next_number()));
        if resolution.created {
            self.somebody_new();
        }
        for Merge { from, into, .. } in &resolution.merges {
            if let Some(became) = self.became.get_mut(place(number(*from))) {
                *became = number(*into);
            }
        }
        self.known.learn(who, &resolution);
        self.people.push(number(resolution.person));
        resolution
    }

    /// What is known by now.
    pub fn known(&self) -> &Known {
        &self.known
    }

    /// Forgets what is known, and says whose each lead is in the end.
    pub fn finish(mut self) -> Vec<Number> {
        drop(self.known);
        let mut people = std::mem::take(&mut self.people);
        for person in &mut people {
            // Who is merged is no longer known, so nobody becomes them afterwards: this ends.
            while let Some(into) = self.became.get(place(*person))
                && into != person
            {
                *person = *into;
            }
        }
        people
    }

    fn next_number(&self) -> Number {
        Number::try_from(self.became.len()).unwrap_or(Number::MAX)
    }

    fn somebody_new(&mut self) -> Number {
        let number = self.next_number();
        self.became.push(number);
        number
    }
}

fn id(number: Number) -> PersonId {
    PersonId(Uuid::from_u128(number.into()))
}

/// The number of a person of a partition.
pub fn number(person: PersonId) -> Number {
    Number::try_from(person.0.as_u128()).unwrap_or(Number::MAX)
}

pub(super) fn place(number: Number) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
