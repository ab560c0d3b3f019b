//! Making one person of two, and the locks that everybody takes who changes what belongs to whom.
//!
//! The order of locks is the same in every transaction: identifiers, then people, then syncs, each sorted. On SQLite there
//! is one writer and nothing is locked.
//!
//! | at that moment a sync of one of them is … | then |
//! |---|---|
//! | in the queue | those of both go one after another, in the order of all leads |
//! | being decided | its plan is refused when it became the other's, or another of the human's has begun |
//! | planned, and nothing of it sent | its first step is refused, and it is decided anew |
//! | sent | it finishes first, and all others wait for it |
//! | one of two that were sent, and both made a contact | a person is told, once ([`super::doubles`]) |

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;

use super::StoreError;
use super::acquaint::key;
use super::doubles::tell_of_two_contacts;
use super::sql::{Arg, Connection, ROWS_PER_STATEMENT, Row, args, json, list};
use super::syncs::OPEN;
use crate::clock::Clock;
use crate::id::PersonId;
use crate::plan::Reason;
use crate::resolve::{Key, KnownPerson, add_names, pair};

/// Locks these people in the order of their ids, where others write, and follows those who became somebody else before it
/// had them; returns what their rows say of those who are somebody still, and who became whom.
pub(super) async fn lock_people(
    connection: &mut Connection,
    people: BTreeSet<PersonId>,
) -> Result<(HashMap<PersonId, KnownPerson>, BTreeMap<PersonId, PersonId>), StoreError> {
    let (mut known, mut became) = (HashMap::new(), BTreeMap::new());
    let mut wanted: Vec<PersonId> = people.into_iter().collect();
    while !wanted.is_empty() {
        let mut others = BTreeSet::new();
        for piece in wanted.chunks(ROWS_PER_STATEMENT) {
            let sql = format!(
                "SELECT id, merged_into, created_at, names, merges FROM persons WHERE id IN ({}) ORDER BY id {}",
                list(1, piece.len()),
                connection.row_locks("FOR UPDATE")
            );
            for row in connection.fetch(&sql, piece.iter().map(|person| Arg::from(*person)).collect()).await?
            {
                if let Some(into) = row.optional_id(1)? {
                    became.insert(row.id(0)?, into);
                    others.insert(into);
                } else {
                    known.insert(row.id(0)?, known_person(&row)?);
                }
            }
        }
        // A person is only ever merged into one that was not, so this ends.
        wanted = others
            .into_iter()
            .filter(|person| !became.contains_key(person) && !known.contains_key(person))
            .collect();
    }
    Ok((known, became))
}

/// What the row of a person says, from its columns behind the first two.
fn known_person(row: &Row) -> Result<KnownPerson, StoreError> {
    Ok(KnownPerson {
        created_at: row.timestamp(2)?,
        names: row.optional_json(3)?.unwrap_or_default(),
        merges: u32::try_from(row.int(4)?).unwrap_or(u32::MAX),
        ..KnownPerson::default()
    })
}

/// Who a person is, as far as this map goes.
pub(super) fn at_last(became: &BTreeMap<PersonId, PersonId>, mut person: PersonId) -> PersonId {
    while let Some(into) = became.get(&person) {
        person = *into;
    }
    person
}

/// Locks two people and all of their identifiers, and says who they are by now.
pub(super) async fn lock_both(
    connection: &mut Connection,
    one: PersonId,
    other: PersonId,
) -> Result<(PersonId, PersonId), StoreError> {
    if connection.others_write() {
        lock_identifiers(connection, one, other).await?;
        lock_people(connection, BTreeSet::from([one, other])).await?;
    }
    Ok((present_person(connection, one).await?, present_person(connection, other).await?))
}

async fn lock_identifiers(
    connection: &mut Connection,
    one: PersonId,
    other: PersonId,
) -> Result<(), StoreError> {
    // Whoever uses a key is written under the key's lock, as whoever owns it.
    let sql = "SELECT 1 FROM identifiers WHERE person IN ($1, $2) \
         OR (kind, scope, value) IN (SELECT kind, scope, value FROM holders WHERE person IN ($1, $2)) \
         ORDER BY kind, scope, value FOR UPDATE";
    connection.fetch(sql, args![one, other]).await.map(drop)
}

/// Locks what is about to change hands, where others write: identifiers that no lead of this transaction named, and the
/// syncs of both that are under way. A worker that stores something about one of those holds its row, so either the merge
/// sees what it stored, or the worker sees the merge.
pub(super) async fn lock_what_moves(
    connection: &mut Connection,
    from: PersonId,
    into: PersonId,
) -> Result<(), StoreError> {
    if !connection.others_write() {
        return Ok(());
    }
    lock_identifiers(connection, from, from).await?;
    let sql = format!("SELECT 1 FROM syncs WHERE person IN ($1, $2) AND {OPEN} ORDER BY id FOR UPDATE");
    connection.fetch(&sql, args![from, into]).await.map(drop)
}

/// Makes everything of one person belong to another, and writes down what moved; `also` names keys that were theirs and
/// have moved already.
pub(super) async fn merge_people(
    connection: &mut Connection,
    clock: &dyn Clock,
    from: PersonId,
    into: PersonId,
    reason: &Reason,
    also: &[Key],
) -> Result<(), StoreError> {
    let now = clock.now().as_millisecond();
    lock_what_moves(connection, from, into).await?;
    let moved = moved(connection, from, also).await?;
    connection
        .execute(
            "INSERT INTO merges (id, from_person, into_person, reason, moved, at) VALUES ($1, $2, $3, $4, $5, $6)",
            args![clock.new_id().to_string(), from, into, json(reason)?, json(&moved)?, now],
        )
        .await?;
    // What was planned without knowing of the other, and not begun, is decided anew.
    let unsent = format!(
        "UPDATE syncs SET state = 'ready' WHERE person IN ($1, $2) AND {OPEN} AND state = 'pushing' \
         AND NOT EXISTS (SELECT 1 FROM steps WHERE steps.sync = syncs.id AND steps.past = 0 AND steps.state <> 'planned')"
    );
    for sql in [
        &*unsent,
        "UPDATE persons SET merged_into = $1 WHERE id = $2",
        "UPDATE identifiers SET person = $1 WHERE person = $2",
        "UPDATE leads SET person = $1 WHERE person = $2",
        // Before the links: a worker that holds one of these may be about to make one.
        "UPDATE syncs SET person = $1 WHERE person = $2",
        // A person without a record here may have one elsewhere.
        "UPDATE links SET person = $1 WHERE person = $2",
    ] {
        connection.execute(sql, args![into, from]).await?;
    }
    merge_rows(connection, from, into).await?;
    merge_holders(connection, from, into).await?;
    merge_pairs(connection, from, into).await?;
    tell_of_two_contacts(connection, "$1", args![into], now).await
}

/// Who stays has both people's names, and one merge more than both.
async fn merge_rows(connection: &mut Connection, from: PersonId, into: PersonId) -> Result<(), StoreError> {
    let sql = "SELECT id, merged_into, created_at, names, merges FROM persons WHERE id IN ($1, $2)";
    let (mut gone, mut stays) = (KnownPerson::default(), KnownPerson::default());
    for row in connection.fetch(sql, args![from, into]).await? {
        if row.id::<PersonId>(0)? == from {
            gone = known_person(&row)?;
        } else {
            stays = known_person(&row)?;
        }
    }
    add_names(&mut stays.names, gone.names);
    let merges = i64::from(stays.merges.saturating_add(gone.merges).saturating_add(1));
    connection
        .execute(
            "UPDATE persons SET names = $2, merges = $3 WHERE id = $1",
            args![into, json(&stays.names)?, merges],
        )
        .await
        .map(drop)
}

/// Who stays uses the shared keys that the other used, but for those that are theirs anyway.
async fn merge_holders(
    connection: &mut Connection,
    from: PersonId,
    into: PersonId,
) -> Result<(), StoreError> {
    let move_them = "INSERT INTO holders (kind, scope, value, person, since) \
         SELECT kind, scope, value, $1, since FROM holders WHERE person = $2 \
         ON CONFLICT (kind, scope, value, person) DO NOTHING";
    connection.execute(move_them, args![into, from]).await?;
    connection.execute("DELETE FROM holders WHERE person = $1", args![from]).await?;
    let theirs = "DELETE FROM holders WHERE person = $1 AND EXISTS (SELECT 1 FROM identifiers \
           WHERE identifiers.kind = holders.kind AND identifiers.scope = holders.scope \
           AND identifiers.value = holders.value AND identifiers.person = holders.person)";
    connection.execute(theirs, args![into]).await.map(drop)
}

/// Whoever is another human than one of the two is another than both, and whoever may be one of them may be the one who
/// stays.
async fn merge_pairs(connection: &mut Connection, from: PersonId, into: PersonId) -> Result<(), StoreError> {
    let of = |table: &str, more: &str| {
        format!("SELECT one, other, {more} FROM {table} WHERE one = $1 OR other = $2 ORDER BY one, other")
    };
    let others = |row: &Row| -> Result<PersonId, StoreError> {
        let (one, other): (PersonId, PersonId) = (row.id(0)?, row.id(1)?);
        Ok(if one == from { other } else { one })
    };
    for row in connection.fetch(&of("apart", "since"), args![from, from]).await? {
        let (one, other) = pair(into, others(&row)?);
        let sql =
            "INSERT INTO apart (one, other, since) VALUES ($1, $2, $3) ON CONFLICT (one, other) DO NOTHING";
        connection.execute(sql, args![one, other, row.int(2)?]).await?;
    }
    for row in connection.fetch(&of("possible_duplicates", "lead, at"), args![from, from]).await? {
        let other = others(&row)?;
        if other != into {
            let (one, other) = pair(into, other);
            let sql = "INSERT INTO possible_duplicates (one, other, lead, at) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (one, other) DO NOTHING";
            connection.execute(sql, args![one, other, row.text(2)?, row.int(3)?]).await?;
        }
    }
    let sql = "DELETE FROM possible_duplicates WHERE one = $1 OR other = $2";
    connection.execute(sql, args![from, from]).await.map(drop)
}

/// What a merge moves, so that it can be undone.
#[derive(Serialize)]
struct Moved {
    identifiers: BTreeSet<Key>,
    /// Shared ones that they used.
    held: BTreeSet<Key>,
    leads: Vec<String>,
    /// Destination, kind and record.
    links: Vec<(String, String, String)>,
}

async fn moved(connection: &mut Connection, from: PersonId, also: &[Key]) -> Result<Moved, StoreError> {
    let mut identifiers: BTreeSet<Key> = also.iter().cloned().collect();
    let rows =
        connection.fetch("SELECT kind, scope, value FROM identifiers WHERE person = $1", args![from]).await?;
    for row in &rows {
        identifiers.insert(key(row)?);
    }
    let rows =
        connection.fetch("SELECT kind, scope, value FROM holders WHERE person = $1", args![from]).await?;
    let held = rows.iter().map(key).collect::<Result<_, _>>()?;
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
    Ok(Moved { identifiers, held, leads, links })
}

/// Who a person is by now, after every merge.
async fn present_person(connection: &mut Connection, mut person: PersonId) -> Result<PersonId, StoreError> {
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
