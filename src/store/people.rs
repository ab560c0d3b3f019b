//! The identity side of the registry: whose a lead is, and what is remembered of them.

use std::collections::{BTreeMap, BTreeSet};

use super::StoreError;
use super::acquaint::{Acquainted, acquaint, among, in_columns, key_row};
use super::merges::{at_last, lock_what_moves, merge_people};
use super::sql::{Connection, args, json};
use crate::clock::Clock;
use crate::id::{LeadId, PersonId};
use crate::lead::{Identifier, IdentifierKind, Lead};
use crate::normalise::NameKey;
use crate::plan::Reason;
use crate::resolve::{Key, Known, Language, Resolution, Who, add_name, joining_keys, pair, resolve};
use crate::rules::IdentityRules;

/// The people that a batch touches, as they change lead by lead.
pub(crate) struct People {
    known: Known,
    rules: IdentityRules,
    /// Those who had become somebody else when they were locked, or do so in this batch.
    became: BTreeMap<PersonId, PersonId>,
    /// Keys that were seen, and how they are shown when that is new.
    seen: BTreeMap<Key, Option<String>>,
    /// Keys that were given out again.
    forgotten: BTreeSet<Key>,
    held: BTreeMap<(Key, PersonId), i64>,
    /// Those who had leads. What they get by a merge is written with the merge, so that it can be undone.
    visited: BTreeMap<PersonId, Visited>,
    merges: Vec<Merge>,
    possible_duplicates: BTreeMap<(PersonId, PersonId), (LeadId, i64)>,
}

struct Visited {
    created_at: i64,
    names: Vec<NameKey>,
    /// New, or with a new name.
    changed: bool,
}

struct Merge {
    from: PersonId,
    into: PersonId,
    reason: Reason,
    moved: Vec<Key>,
}

impl People {
    /// Locks every identifier of these leads, in sorted order, then everybody who has one, and reads what is known of them;
    /// `also` is locked with them. Whoever changes what belongs to whom takes the same locks in the same order.
    pub(crate) async fn load<'l>(
        connection: &mut Connection,
        leads: impl Iterator<Item = &'l Lead>,
        also: impl IntoIterator<Item = PersonId>,
        rules: &IdentityRules,
        now: i64,
    ) -> Result<Self, StoreError> {
        let keys = leads.flat_map(|lead| joining_keys(&lead.identifiers)).collect();
        let Acquainted { known, became } = acquaint(connection, keys, also, &rules.limits, now).await?;
        Ok(Self {
            known,
            rules: rules.clone(),
            became,
            seen: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            held: BTreeMap::new(),
            visited: BTreeMap::new(),
            merges: Vec::new(),
            possible_duplicates: BTreeMap::new(),
        })
    }

    /// Who a person is that was given as `also`.
    pub(crate) fn present(&self, person: PersonId) -> PersonId {
        at_last(&self.became, person)
    }

    /// The ids of a person's chats in a scope; of somebody who has very many, some.
    pub(crate) fn chats_of(&self, person: PersonId, scope: &str) -> Vec<String> {
        let keys = self.known.people.get(&person).into_iter().flat_map(|known| &known.keys);
        let there = keys.filter(|key| key.kind == IdentifierKind::Chat && key.scope == scope);
        there.map(|key| key.value.clone()).collect()
    }

    /// Whose lead this is. Nothing is remembered of it yet.
    pub(crate) fn resolve(&self, who: &Who<'_>, fresh: PersonId) -> Resolution {
        resolve(who, &self.known, &self.rules, fresh)
    }

    /// Remembers what a resolution said, so that the next lead of the batch sees it.
    pub(crate) fn learn(&mut self, id: LeadId, lead: &Lead, who: &Who<'_>, resolution: &Resolution) {
        let (person, at) = (resolution.person, who.at.as_millisecond());
        for (merge, reason) in resolution
            .merges
            .iter()
            .zip(resolution.decision.merges(Language::English, &|person| person.to_string()))
        {
            let moved = self.known.people.get(&merge.from).map(|gone| gone.keys.iter().cloned().collect());
            self.became.insert(merge.from, merge.into);
            self.merges.push(Merge {
                from: merge.from,
                into: merge.into,
                reason,
                moved: moved.unwrap_or_default(),
            });
        }
        for key in &resolution.attach {
            if self.known.keys.contains_key(key) {
                self.held.retain(|(held, _), _| held != key);
                self.forgotten.insert(key.clone());
            }
            self.seen.insert(key.clone(), shown(lead, key));
        }
        self.held.extend(resolution.hold.iter().map(|key| ((key.clone(), person), at)));
        for other in &resolution.possible_duplicates {
            self.possible_duplicates.entry(pair(person, *other)).or_insert((id, at));
        }
        let before = self.known.people.get(&person);
        let visited = self.visited.entry(person).or_insert_with(|| Visited {
            created_at: before.map_or(at, |known| known.created_at.as_millisecond()),
            names: before.map(|known| known.names.clone()).unwrap_or_default(),
            changed: before.is_none(),
        });
        let names = visited.names.len();
        add_name(&mut visited.names, &who.name);
        visited.changed |= visited.names.len() > names;
        self.known.learn(who, resolution);
        for key in who.keys().filter(|key| self.known.keys.contains_key(key)) {
            self.seen.entry(key).or_default();
        }
    }

    /// Stores who is new and who has which identifier, and locks what [`merge`](Self::merge) will move, together with the
    /// syncs of these leads.
    pub(crate) async fn store(
        &self,
        connection: &mut Connection,
        leads: &[LeadId],
    ) -> Result<(), StoreError> {
        let persons = self
            .visited
            .iter()
            .filter(|(_, visited)| visited.changed)
            .map(|(person, visited)| {
                let names = (!visited.names.is_empty()).then(|| json(&visited.names)).transpose()?;
                Ok(args![*person, visited.created_at, names])
            })
            .collect::<Result<_, StoreError>>()?;
        connection
            .insert_rows(
                "persons (id, created_at, names)",
                persons,
                "ON CONFLICT (id) DO UPDATE SET names = excluded.names",
            )
            .await?;
        self.store_keys(connection).await?;
        self.store_holders(connection).await?;
        let duplicates = self.possible_duplicates.iter();
        let duplicates =
            duplicates.map(|((one, other), (lead, at))| args![*one, *other, *lead, *at]).collect();
        connection
            .insert_rows(
                "possible_duplicates (one, other, lead, at)",
                duplicates,
                "ON CONFLICT (one, other) DO NOTHING",
            )
            .await?;
        let merges: Vec<_> = self.merges.iter().map(|merge| (merge.from, merge.into)).collect();
        lock_what_moves(connection, &merges, leads).await
    }

    async fn store_keys(&self, connection: &mut Connection) -> Result<(), StoreError> {
        let mut identifiers = Vec::with_capacity(self.seen.len());
        for (key, shown) in &self.seen {
            let Some(facts) = self.known.keys.get(key) else { continue };
            let users = facts.users.count() > 0;
            let seen = facts.seen.as_millisecond();
            let users = users.then(|| json(&facts.users)).transpose()?;
            let rest = args![facts.owner, shown.clone(), facts.proof.as_str(), seen, seen, users];
            identifiers.push(key_row(key, rest));
        }
        connection
            .insert_rows(
                "identifiers (kind, scope, value, person, shown, proof, first_seen, seen, users)",
                identifiers,
                "ON CONFLICT (kind, scope, value) DO UPDATE SET person = excluded.person, \
                 shown = COALESCE(identifiers.shown, excluded.shown), proof = excluded.proof, \
                 seen = excluded.seen, users = excluded.users",
            )
            .await
    }

    async fn store_holders(&self, connection: &mut Connection) -> Result<(), StoreError> {
        if !self.forgotten.is_empty() {
            let (among, arguments) = among(self.forgotten.iter().map(in_columns));
            connection.execute(&format!("DELETE FROM holders WHERE {among}"), arguments).await?;
        }
        let rows =
            self.held.iter().map(|((key, person), since)| key_row(key, args![*person, *since])).collect();
        connection
            .insert_rows(
                "holders (kind, scope, value, person, since)",
                rows,
                "ON CONFLICT (kind, scope, value, person) DO NOTHING",
            )
            .await
    }

    /// Makes everything of those who turned out to be somebody else the property of who stays, also what this batch stored.
    pub(crate) async fn merge(
        self,
        connection: &mut Connection,
        clock: &dyn Clock,
    ) -> Result<(), StoreError> {
        for merge in &self.merges {
            merge_people(connection, clock, merge.from, merge.into, &merge.reason, &merge.moved).await?;
        }
        Ok(())
    }
}

/// How a key is shown and searched for; `None` for the further match keys of an identifier.
fn shown(lead: &Lead, key: &Key) -> Option<String> {
    let is_main = |identifier: &Identifier| {
        identifier.kind == key.kind
            && identifier.scope == key.scope
            && identifier.keys.first() == Some(&key.value)
    };
    if !lead.identifiers.iter().any(is_main) {
        return None;
    }
    match key.kind {
        IdentifierKind::Email => lead
            .contact
            .emails
            .iter()
            .find(|email| email.match_key.as_deref() == Some(&key.value))
            .map(|email| email.address.clone()),
        IdentifierKind::Phone => lead
            .contact
            .phones
            .iter()
            .find(|phone| phone.match_keys.first() == Some(&key.value))
            .map(|phone| phone.e164.clone()),
        IdentifierKind::CrmId
        | IdentifierKind::ExternalCustomer
        | IdentifierKind::Chat
        | IdentifierKind::Device
        | IdentifierKind::Click => Some(key.value.clone()),
    }
}
