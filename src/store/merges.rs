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

use super::doubles::tell_of_two_contacts;
use super::moved::Moved;
use super::sql::{Arg, Connection, ROWS_PER_STATEMENT, Row, args, json, list};
use super::syncs::OPEN;
use super::{Store, StoreError};
use crate::clock::Clock;
use crate::id::{LeadId, MergeId, PersonId};
use crate::plan::Reason;
use crate::resolve::{Key, KnownPerson};

/// Part of a statement: `present`, whoever this person is by now. A person is only ever merged into one that was not, so
/// that the path ends.
macro_rules! present {
    ($person:literal) => {
        concat!(
            "path (id, next) AS (SELECT id, merged_into FROM persons WHERE id = ",
            $person,
            " UNION ALL SELECT persons.id, persons.merged_into FROM path JOIN persons ON persons.id = path.next), \
             present (id) AS (SELECT id FROM path WHERE next IS NULL)"
        )
    };
}
pub(super) use present;

/// Part of a statement: `merged`, these people and everybody who is part of them by now. Whoever was merged and is apart
/// again is not among them.
macro_rules! merged {
    ($people:literal) => {
        concat!(
            "merged (id) AS (",
            $people,
            " UNION SELECT merges.from_person FROM merges \
             JOIN merged ON merges.into_person = merged.id JOIN persons ON persons.id = merges.from_person \
             WHERE persons.merged_into = merges.into_person)"
        )
    };
}

/// Asks who a person (`$1`) is by now.
const PRESENT: &str = concat!("WITH RECURSIVE ", present!("$1"), " SELECT id FROM present");

/// Begins a statement that asks for a person (`$1`) and everybody who is part of them: `merged`.
pub(super) const MERGED: &str = concat!("WITH RECURSIVE ", merged!("SELECT id FROM persons WHERE id = $1"));

/// The same of whoever the person is by now, who alone is `present`.
pub(super) const PRESENT_AND_MERGED: &str =
    concat!("WITH RECURSIVE ", present!("$1"), ", ", merged!("SELECT id FROM present"));

impl Store {
    /// Who a person is after all merges; `None` when there is no such person.
    pub async fn present(&self, person: PersonId) -> Result<Option<PersonId>, StoreError> {
        self.read(PRESENT, args![person]).await?.first().map(|row| row.id(0)).transpose()
    }
}

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
    // Whoever uses a key is written under the key's lock, as whoever owns it. One subquery: for an OR with one PostgreSQL
    // walks through all identifiers.
    let sql = "SELECT 1 FROM identifiers WHERE (kind, scope, value) IN ( \
           SELECT kind, scope, value FROM identifiers WHERE person IN ($1, $2) \
           UNION SELECT kind, scope, value FROM holders WHERE person IN ($1, $2)) \
         ORDER BY kind, scope, value FOR UPDATE";
    connection.fetch(sql, args![one, other]).await.map(drop)
}

/// Locks what is about to change hands, where others write: identifiers that no lead of this transaction named, and of
/// both people of each merge the syncs that are under way; with those all syncs of `leads`, in one order. A worker that
/// stores something about one of them holds its row, so either the merge sees what it stored, or the worker sees the merge.
pub(super) async fn lock_what_moves(
    connection: &mut Connection,
    merges: &[(PersonId, PersonId)],
    leads: &[LeadId],
) -> Result<(), StoreError> {
    if !connection.others_write() {
        return Ok(());
    }
    for (from, _) in merges {
        lock_identifiers(connection, *from, *from).await?;
    }
    let people: Vec<Arg> = merges.iter().flat_map(|(from, into)| [*from, *into]).map(Arg::from).collect();
    let of_people = format!("person IN ({}) AND {OPEN}", list(1, people.len()));
    let of_leads = format!("lead IN ({})", list(1 + people.len(), leads.len()));
    let wanted = match (people.is_empty(), leads.is_empty()) {
        (true, true) => return Ok(()),
        (false, true) => of_people,
        (true, false) => of_leads,
        (false, false) => format!("({of_people}) OR {of_leads}"),
    };
    let sql = format!("SELECT 1 FROM syncs WHERE {wanted} ORDER BY id FOR UPDATE");
    let arguments = people.into_iter().chain(leads.iter().map(|lead| Arg::from(*lead))).collect();
    connection.fetch(&sql, arguments).await.map(drop)
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
) -> Result<MergeId, StoreError> {
    let now = clock.now().as_millisecond();
    let merge = MergeId(clock.new_id());
    lock_what_moves(connection, &[(from, into)], &[]).await?;
    let moved = Moved::of(connection, from, into, also).await?;
    connection
        .execute(
            "INSERT INTO merges (id, from_person, into_person, reason, moved, at) VALUES ($1, $2, $3, $4, $5, $6)",
            args![merge, from, into, json(reason)?, json(&moved)?, now],
        )
        .await?;
    moved.bring(connection, from, into, now).await?;
    decide_unsent_anew(connection, from, into).await?;
    for sql in [
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
    tell_of_two_contacts(connection, "$1", args![into], now).await?;
    Ok(merge)
}

/// Drops plans of these two of which nothing was sent: they were made without knowing who is one, or who is not any more.
pub(super) async fn decide_unsent_anew(
    connection: &mut Connection,
    one: PersonId,
    other: PersonId,
) -> Result<(), StoreError> {
    let sql = format!(
        "UPDATE syncs SET state = 'ready' WHERE person IN ($1, $2) AND {OPEN} AND state = 'pushing' \
         AND NOT EXISTS (SELECT 1 FROM steps WHERE steps.sync = syncs.id AND steps.past = 0 AND steps.state <> 'planned')"
    );
    connection.execute(&sql, args![one, other]).await.map(drop)
}

/// Who a person is by now, after every merge.
pub(super) async fn present_person(
    connection: &mut Connection,
    person: PersonId,
) -> Result<PersonId, StoreError> {
    connection.fetch(PRESENT, args![person]).await?.first().map_or(Ok(person), |row| row.id(0))
}
