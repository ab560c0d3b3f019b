//! The identity side of the registry: who has which identifier, and making one person of two.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::StoreError;
use super::sql::{Arg, Connection, ROWS_PER_STATEMENT, args, json, list, placeholders};
use crate::clock::Clock;
use crate::id::PersonId;
use crate::lead::{Identifier, IdentifierKind, Lead, Proof};
use crate::plan::Reason;
use crate::resolve::{Key, Known, Resolution, joining_keys};

/// The people that a batch touches, as they change lead by lead.
pub(crate) struct People {
    pub(crate) known: Known,
    attached: BTreeMap<Key, Attached>,
    created: Vec<PersonId>,
    merges: Vec<Merge>,
    now: i64,
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
    /// Locks every identifier of the batch, in sorted order, and reads who has it.
    pub(crate) async fn load<'l>(
        connection: &mut Connection,
        leads: impl Iterator<Item = &'l Lead>,
        now: i64,
    ) -> Result<Self, StoreError> {
        let keys: BTreeSet<Key> = leads.flat_map(|lead| joining_keys(&lead.identifiers)).collect();
        let keys: Vec<Key> = keys.into_iter().collect();
        let mut known = Known::default();
        for piece in keys.chunks(ROWS_PER_STATEMENT) {
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
                if row.optional_text(3)?.is_some() {
                    let key = Key {
                        kind: row.parsed(0, IdentifierKind::parse)?,
                        scope: row.text(1)?,
                        value: row.text(2)?,
                    };
                    known.owners.insert(key, row.id(3)?);
                }
            }
        }
        known.anonymous = anonymous(connection, &known).await?;
        Ok(Self { known, attached: BTreeMap::new(), created: Vec::new(), merges: Vec::new(), now })
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

    pub(crate) async fn store(
        self,
        connection: &mut Connection,
        clock: &dyn Clock,
        now: i64,
    ) -> Result<(), StoreError> {
        let persons = self.created.iter().map(|person| args![*person, now]).collect();
        connection.insert_rows("persons (id, created_at)", persons, "").await?;
        for merge in &self.merges {
            let reason = Reason::new(
                "anonymous_chat_absorbed",
                "Nothing but a chat was known of this person, and that chat now gave an identifier of the other.",
            );
            merge_people(connection, clock, merge.from, merge.into, &reason, &merge.moved).await?;
        }
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
                    self.now,
                    self.now,
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
            Some(Proof::Claimed | Proof::Hinted) | None => "claimed",
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

/// Makes everything of one person belong to another, and writes down what moved; `also` names keys that are about to be
/// stored and would have been theirs.
pub(crate) async fn merge_people(
    connection: &mut Connection,
    clock: &dyn Clock,
    from: PersonId,
    into: PersonId,
    reason: &Reason,
    also: &[Key],
) -> Result<(), StoreError> {
    let now = clock.now().as_millisecond();
    let moved = moved(connection, from, also).await?;
    connection
        .execute(
            "INSERT INTO merges (id, from_person, into_person, reason, moved, at) VALUES ($1, $2, $3, $4, $5, $6)",
            args![clock.new_id().to_string(), from, into, json(reason)?, json(&moved)?, now],
        )
        .await?;
    for sql in [
        "UPDATE persons SET merged_into = $1 WHERE id = $2",
        "UPDATE identifiers SET person = $1 WHERE person = $2",
        "UPDATE leads SET person = $1 WHERE person = $2",
        "UPDATE syncs SET person = $1 WHERE person = $2",
        // A person without a record here may have one elsewhere.
        "UPDATE links SET person = $1 WHERE person = $2",
    ] {
        connection.execute(sql, args![into, from]).await?;
    }
    Ok(())
}

/// What a merge moves, so that it can be undone.
#[derive(Serialize)]
struct Moved {
    identifiers: BTreeSet<Key>,
    leads: Vec<String>,
    /// Destination, kind and record.
    links: Vec<(String, String, String)>,
}

async fn moved(connection: &mut Connection, from: PersonId, also: &[Key]) -> Result<Moved, StoreError> {
    let mut identifiers: BTreeSet<Key> = also.iter().cloned().collect();
    let rows =
        connection.fetch("SELECT kind, scope, value FROM identifiers WHERE person = $1", args![from]).await?;
    for row in &rows {
        identifiers.insert(Key {
            kind: row.parsed(0, IdentifierKind::parse)?,
            scope: row.text(1)?,
            value: row.text(2)?,
        });
    }
    let rows = connection.fetch("SELECT id FROM leads WHERE person = $1 ORDER BY id", args![from]).await?;
    let leads = rows.iter().map(|row| row.text(0)).collect::<Result<_, _>>()?;
    let rows = connection
        .fetch(
            "SELECT destination, kind, record FROM links WHERE person = $1 ORDER BY destination, kind, record",
            args![from],
        )
        .await?;
    let links = rows
        .iter()
        .map(|row| Ok((row.text(0)?, row.text(1)?, row.text(2)?)))
        .collect::<Result<_, StoreError>>()?;
    Ok(Moved { identifiers, leads, links })
}

/// Who a person is by now, after every merge.
pub(crate) async fn present_person(
    connection: &mut Connection,
    mut person: PersonId,
) -> Result<PersonId, StoreError> {
    loop {
        let rows = connection
            .fetch("SELECT merged_into FROM persons WHERE id = $1 AND merged_into IS NOT NULL", args![person])
            .await?;
        // A person is only ever merged into one that was not, so this ends.
        match rows.first() {
            Some(row) => person = row.id(0)?,
            None => return Ok(person),
        }
    }
}
