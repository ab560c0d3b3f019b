//! The identity side of the registry: who has which identifier.

use std::collections::{BTreeMap, BTreeSet};

use super::StoreError;
use super::merges::{at_last, lock_people, lock_what_moves, merge_people};
use super::sql::{Arg, Connection, ROWS_PER_STATEMENT, Row, args, list, placeholders};
use crate::clock::Clock;
use crate::id::{LeadId, PersonId};
use crate::lead::{Identifier, IdentifierKind, Lead, Proof};
use crate::plan::Reason;
use crate::resolve::{Key, Known, Resolution, joining_keys};

/// The people that a batch touches, as they change lead by lead.
pub(crate) struct People {
    pub(crate) known: Known,
    attached: BTreeMap<Key, Attached>,
    created: Vec<PersonId>,
    merges: Vec<Merge>,
    /// Those who had become somebody else when they were locked, or do so in this batch.
    became: BTreeMap<PersonId, PersonId>,
}

struct Attached {
    shown: Option<String>,
    proof: &'static str,
}

struct Merge {
    from: PersonId,
    into: PersonId,
    moved: Vec<Key>,
}

impl People {
    /// Locks every identifier of these leads, in sorted order, then everybody who has one, and reads what is known of them;
    /// `also` is locked with them. Whoever changes what belongs to whom takes the same locks in the same order.
    pub(crate) async fn load<'l>(
        connection: &mut Connection,
        leads: impl Iterator<Item = &'l Lead>,
        also: impl IntoIterator<Item = PersonId>,
        now: i64,
    ) -> Result<Self, StoreError> {
        let keys: BTreeSet<Key> = leads.flat_map(|lead| joining_keys(&lead.identifiers)).collect();
        let mut known = Known::default();
        for piece in in_order_of_locks(keys).chunks(ROWS_PER_STATEMENT) {
            let rows: Vec<Vec<Arg>> = piece
                .iter()
                .map(|key| {
                    args![key.kind.as_str(), key.scope.as_str(), key.value.as_str(), "claimed", now, now]
                })
                .collect();
            let sql = format!(
                "INSERT INTO identifiers (kind, scope, value, proof, first_seen, seen) VALUES {} \
                 ON CONFLICT (kind, scope, value) DO UPDATE SET seen = excluded.seen \
                 RETURNING kind, scope, value, person",
                placeholders(&rows)
            );
            for row in connection.fetch(&sql, rows.into_iter().flatten().collect()).await? {
                if let Some(person) = row.optional_id(3)? {
                    known.owners.insert(key(&row)?, person);
                }
            }
        }
        let became = lock_people(connection, known.owners.values().copied().chain(also).collect()).await?;
        for owner in known.owners.values_mut() {
            *owner = at_last(&became, *owner);
        }
        known.anonymous = anonymous(connection, &known).await?;
        Ok(Self { known, attached: BTreeMap::new(), created: Vec::new(), merges: Vec::new(), became })
    }

    /// Who a person is that was given as `also`.
    pub(crate) fn present(&self, person: PersonId) -> PersonId {
        at_last(&self.became, person)
    }

    /// Remembers what a resolution said, so that the next lead of the batch sees it.
    pub(crate) fn learn(&mut self, lead: &Lead, resolution: &Resolution) {
        let person = resolution.person;
        if resolution.created {
            self.created.push(person);
            self.known.anonymous.insert(person);
        }
        for from in &resolution.absorb {
            let mut moved = Vec::new();
            for (key, owner) in &mut self.known.owners {
                if owner == from {
                    *owner = person;
                    moved.push(key.clone());
                }
            }
            self.known.anonymous.remove(from);
            self.became.insert(*from, person);
            self.merges.push(Merge { from: *from, into: person, moved });
        }
        for key in &resolution.attach {
            self.known.owners.insert(key.clone(), person);
            if key.kind != IdentifierKind::Chat {
                self.known.anonymous.remove(&person);
            }
            self.attached.insert(key.clone(), Attached::of(lead, key));
        }
    }

    /// Stores who is new and who has which identifier, and locks what [`merge`](Self::merge) will move, together with the
    /// syncs of these leads.
    pub(crate) async fn store(
        &self,
        connection: &mut Connection,
        leads: &[LeadId],
        now: i64,
    ) -> Result<(), StoreError> {
        let persons = self.created.iter().map(|person| args![*person, now]).collect();
        connection.insert_rows("persons (id, created_at)", persons, "").await?;
        let identifiers = self
            .attached
            .iter()
            .filter_map(|(key, attached)| {
                let person = *self.known.owners.get(key)?;
                Some(args![
                    key.kind.as_str(),
                    key.scope.as_str(),
                    key.value.as_str(),
                    person,
                    attached.shown.clone(),
                    attached.proof,
                    now,
                    now,
                ])
            })
            .collect();
        connection
            .insert_rows(
                "identifiers (kind, scope, value, person, shown, proof, first_seen, seen)",
                identifiers,
                "ON CONFLICT (kind, scope, value) DO UPDATE SET person = excluded.person, \
                 shown = COALESCE(identifiers.shown, excluded.shown), proof = excluded.proof",
            )
            .await?;
        let merges: Vec<_> = self.merges.iter().map(|merge| (merge.from, merge.into)).collect();
        lock_what_moves(connection, &merges, leads).await
    }

    /// Makes everything of those who were absorbed the property of who absorbed them, also what this batch stored.
    pub(crate) async fn merge(
        self,
        connection: &mut Connection,
        clock: &dyn Clock,
    ) -> Result<(), StoreError> {
        for merge in &self.merges {
            let reason = Reason::new(
                "anonymous_chat_absorbed",
                "Nothing but a chat was known of this person, and that chat now gave an identifier of the other.",
            );
            merge_people(connection, clock, merge.from, merge.into, &reason, &merge.moved).await?;
        }
        Ok(())
    }
}

impl Attached {
    fn of(lead: &Lead, key: &Key) -> Self {
        let identifier: Option<&Identifier> = lead.identifiers.iter().find(|identifier| {
            identifier.kind == key.kind
                && identifier.scope == key.scope
                && identifier.keys.contains(&key.value)
        });
        let main = identifier.is_some_and(|identifier| identifier.keys.first() == Some(&key.value));
        let shown = match key.kind {
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
        };
        let proof = match identifier.map(|identifier| identifier.proof) {
            Some(Proof::Proven) => "proven",
            Some(Proof::Claimed) | None => "claimed",
        };
        Self { shown: shown.filter(|_| main), proof }
    }
}

/// Which of the owners are known by nothing but chats and have no CRM record.
async fn anonymous(connection: &mut Connection, known: &Known) -> Result<BTreeSet<PersonId>, StoreError> {
    let mut anonymous: BTreeSet<PersonId> = known.owners.values().copied().collect();
    let persons: Vec<PersonId> = anonymous.iter().copied().collect();
    for piece in persons.chunks(ROWS_PER_STATEMENT) {
        let ids = list(1, piece.len());
        let sql = format!(
            "SELECT person FROM identifiers WHERE person IN ({ids}) AND kind NOT IN ('chat', 'device', 'click') \
             UNION SELECT person FROM links WHERE person IN ({ids})"
        );
        for row in connection.fetch(&sql, piece.iter().map(|person| Arg::from(*person)).collect()).await? {
            anonymous.remove(&row.id(0)?);
        }
    }
    Ok(anonymous)
}

/// The order in which every transaction locks identifiers: as the database sorts them.
fn in_order_of_locks(keys: BTreeSet<Key>) -> Vec<Key> {
    let mut keys: Vec<Key> = keys.into_iter().collect();
    keys.sort_by(|one, other| {
        let place = |key: &Key| (key.kind.as_str(), key.scope.clone(), key.value.clone());
        place(one).cmp(&place(other))
    });
    keys
}

/// A key from its columns: kind, scope, value.
pub(super) fn key(row: &Row) -> Result<Key, StoreError> {
    Ok(Key { kind: row.parsed(0, IdentifierKind::parse)?, scope: row.text(1)?, value: row.text(2)? })
}
