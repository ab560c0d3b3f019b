//! Reads, under its locks, what is known of the people whom a batch of leads names: all that [`crate::resolve`] looks at.
//!
//! The locks are those of [`super::merges`], in the same order.

use std::collections::{BTreeMap, BTreeSet};

use super::StoreError;
use super::merges::{at_last, lock_people};
use super::sql::{Arg, Connection, ROWS_PER_STATEMENT, Row, args, list, placeholders};
use crate::id::PersonId;
use crate::lead::{IdentifierKind, Proof};
use crate::plan::Action;
use crate::resolve::{Key, Known, KnownKey, pair};
use crate::rules::Limits;

/// What is known of some keys and of everybody who has one of them.
pub(super) struct Acquainted {
    pub(super) known: Known,
    /// Those who had become somebody else when they were locked.
    pub(super) became: BTreeMap<PersonId, PersonId>,
}

/// Locks these keys, then everybody who has or uses one, and reads what is known of them; `also` is locked with them.
pub(super) async fn acquaint(
    connection: &mut Connection,
    keys: BTreeSet<Key>,
    also: impl IntoIterator<Item = PersonId>,
    limits: &Limits,
    now: i64,
) -> Result<Acquainted, StoreError> {
    let mut known = Known::default();
    for piece in in_order_of_locks(keys).chunks(ROWS_PER_STATEMENT) {
        lock_keys(connection, &mut known, piece, now).await?;
    }
    read_holders(connection, &mut known).await?;
    let holders = known.keys.values().flat_map(|key| key.holders.iter().copied());
    let people = known.keys.values().map(|key| key.owner).chain(holders).chain(also).collect();
    let (people, became) = lock_people(connection, people).await?;
    known.people = people;
    for key in known.keys.values_mut() {
        key.owner = at_last(&became, key.owner);
        for holder in &mut key.holders {
            *holder = at_last(&became, *holder);
        }
        let mut others = BTreeSet::from([key.owner]);
        key.holders.retain(|holder| others.insert(*holder));
    }
    let people: Vec<PersonId> = known.people.keys().copied().collect();
    for piece in people.chunks(ROWS_PER_STATEMENT) {
        read_keys(connection, &mut known, piece, limits).await?;
        read_records(connection, &mut known, piece).await?;
        read_apart(connection, &mut known, piece).await?;
    }
    if people.len() > 1 {
        for piece in people.chunks(ROWS_PER_STATEMENT) {
            read_deal_owners(connection, &mut known, piece).await?;
        }
    }
    Ok(Acquainted { known, became })
}

/// A key that nobody has yet gets a row without a person: that is its lock. When it was seen last is written with what
/// becomes of it, because [`crate::resolve`] asks how long ago that was.
async fn lock_keys(
    connection: &mut Connection,
    known: &mut Known,
    keys: &[Key],
    now: i64,
) -> Result<(), StoreError> {
    let rows: Vec<Vec<Arg>> =
        keys.iter().map(|key| key_row(key, args![Proof::Claimed.as_str(), now, now])).collect();
    let sql = format!(
        "INSERT INTO identifiers (kind, scope, value, proof, first_seen, seen) VALUES {} \
         ON CONFLICT (kind, scope, value) DO UPDATE SET seen = identifiers.seen \
         RETURNING kind, scope, value, person, proof, seen, users",
        placeholders(&rows)
    );
    for row in connection.fetch(&sql, rows.into_iter().flatten().collect()).await? {
        if let Some(owner) = row.optional_id(3)? {
            let facts = KnownKey {
                owner,
                holders: Vec::new(),
                proof: row.parsed(4, Proof::parse)?,
                seen: row.timestamp(5)?,
                users: row.optional_json(6)?.unwrap_or_default(),
            };
            known.keys.insert(key(&row)?, facts);
        }
    }
    Ok(())
}

/// Who uses these keys beside the one whose they are. Nobody does where fewer than two were ever seen.
async fn read_holders(connection: &mut Connection, known: &mut Known) -> Result<(), StoreError> {
    let shared = known.keys.iter().filter(|(_, facts)| facts.users.count() > 1).map(|(key, _)| key.clone());
    for piece in in_order_of_locks(shared.collect()).chunks(ROWS_PER_STATEMENT) {
        let (among, arguments) = among(piece.iter().map(in_columns));
        let sql =
            format!("SELECT kind, scope, value, person FROM holders WHERE {among} ORDER BY since, person");
        for row in connection.fetch(&sql, arguments).await? {
            if let Some(facts) = known.keys.get_mut(&key(&row)?) {
                facts.holders.push(row.id(3)?);
            }
        }
    }
    Ok(())
}

/// The keys of people, and the shared ones that they use. Somebody may have thousands, when they are a reception; more
/// than the limits of one kind and scope say no more.
async fn read_keys(
    connection: &mut Connection,
    known: &mut Known,
    people: &[PersonId],
    limits: &Limits,
) -> Result<(), StoreError> {
    let most = limits.phones.max(limits.emails).max(limits.chats).saturating_add(1);
    let sql = format!(
        "SELECT kind, scope, value, person, 'owned' FROM (SELECT kind, scope, value, person, \
           ROW_NUMBER() OVER (PARTITION BY person, kind, scope ORDER BY value) AS place \
           FROM identifiers WHERE person IN ({})) AS theirs WHERE place <= {most} \
         UNION ALL SELECT kind, scope, value, person, 'held' FROM holders WHERE person IN ({})",
        list(1, people.len()),
        list(1 + people.len(), people.len())
    );
    for row in connection.fetch(&sql, arguments(&[people, people].concat())).await? {
        let Some(person) = known.people.get_mut(&row.id(3)?) else { continue };
        let keys = if row.text(4)? == "owned" { &mut person.keys } else { &mut person.held };
        keys.insert(key(&row)?);
    }
    Ok(())
}

/// Where they have a record.
async fn read_records(
    connection: &mut Connection,
    known: &mut Known,
    people: &[PersonId],
) -> Result<(), StoreError> {
    let sql =
        format!("SELECT DISTINCT person, destination FROM links WHERE person IN ({})", list(1, people.len()));
    for row in connection.fetch(&sql, arguments(people)).await? {
        if let Some(person) = known.people.get_mut(&row.id(0)?) {
            person.records.insert(row.text(1)?);
        }
    }
    Ok(())
}

/// Whom they were said to differ from.
async fn read_apart(
    connection: &mut Connection,
    known: &mut Known,
    people: &[PersonId],
) -> Result<(), StoreError> {
    let sql = format!("SELECT one, other FROM apart WHERE one IN ({})", list(1, people.len()));
    for row in connection.fetch(&sql, arguments(people)).await? {
        known.apart.insert(pair(row.id(0)?, row.id(1)?));
    }
    Ok(())
}

/// Who is responsible for the deals that we made for them. Whose a deal is that was found in the CRM is not written down.
async fn read_deal_owners(
    connection: &mut Connection,
    known: &mut Known,
    people: &[PersonId],
) -> Result<(), StoreError> {
    let sql = format!(
        "SELECT links.person, links.destination, steps.action FROM links JOIN steps ON steps.id = links.step \
         WHERE links.kind = 'deal' AND links.person IN ({})",
        list(1, people.len())
    );
    for row in connection.fetch(&sql, arguments(people)).await? {
        // What another version of leadfold wrote says nothing; the worker that reads the step says that it cannot.
        let Ok(Action::CreateDeal { deal, .. }) = row.json(2) else { continue };
        if let (Some(person), Some(owner)) = (known.people.get_mut(&row.id(0)?), deal.owner) {
            person.deal_owners.entry(row.text(1)?).or_default().insert(owner);
        }
    }
    Ok(())
}

fn arguments(people: &[PersonId]) -> Vec<Arg> {
    people.iter().map(|person| Arg::from(*person)).collect()
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

/// A key as its columns: kind, scope, value.
pub(super) fn in_columns(key: &Key) -> [Arg; 3] {
    [key.kind.as_str().into(), key.scope.as_str().into(), key.value.as_str().into()]
}

/// The row of a key, and what else it has.
pub(super) fn key_row(key: &Key, rest: Vec<Arg>) -> Vec<Arg> {
    in_columns(key).into_iter().chain(rest).collect()
}

/// The condition that a row is of one of these keys, each as its columns, and its arguments: the first of the statement.
pub(super) fn among(keys: impl Iterator<Item = [Arg; 3]>) -> (String, Vec<Arg>) {
    let rows: Vec<Vec<Arg>> = keys.map(Vec::from).collect();
    let condition = format!("(kind, scope, value) IN (VALUES {})", placeholders(&rows));
    (condition, rows.into_iter().flatten().collect())
}
