//! The statements behind [`super`], each a unit of work under the locks of [`merges`](crate::store::merges).

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::{
    Asked, By, ContactOf, Given, KeptApart, MOST_NAMED, MadeOne, NotDone, TakenApart, UnderWay, Written,
};
use crate::id::{LeadId, MergeId, PersonId};
use crate::lead::IdentifierKind;
use crate::plan::Reason;
use crate::resolve::Key;
use crate::store::acquaint::{among, in_columns};
use crate::store::doubles::take_back_two_contacts;
use crate::store::merges::{decide_unsent_anew, lock_both, lock_what_moves, merge_people, present_person};
use crate::store::moved::{Moved, pair_row};
use crate::store::sql::{Arg, Connection, ROWS_PER_STATEMENT, Row, args, json};
use crate::store::syncs::OPEN;
use crate::store::{StoreError, Work};

/// A worker of the present holder of the lease has it in hand.
const IN_HAND: &str = "EXISTS (SELECT 1 FROM leases \
    WHERE leases.destination = syncs.destination AND leases.epoch = syncs.claimed)";

/// Something of its plan was sent.
const BEGUN: &str = "EXISTS (SELECT 1 FROM steps \
    WHERE steps.sync = syncs.id AND steps.past = 0 AND steps.state <> 'planned')";

pub(super) struct MakeOne {
    pub(super) one: PersonId,
    pub(super) other: PersonId,
    pub(super) asked: Asked,
    pub(super) by: By,
}

impl Work for MakeOne {
    type Output = Result<MadeOne, NotDone>;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<Self::Output, StoreError>> {
        Box::pin(async move {
            let (one, other) = match both(connection, self.one, self.other).await? {
                Ok(both) => both,
                Err(not) => return Ok(Err(not)),
            };
            let asked = "SELECT 1 FROM possible_duplicates WHERE one = $1 AND other = $2";
            if self.asked == Asked::Same
                && connection.fetch(asked, pair_row(one, other, Vec::new())).await?.is_empty()
            {
                return Ok(Err(NotDone::NotAsked(one, other)));
            }
            let (into, from) = if rank(connection, one).await? <= rank(connection, other).await? {
                (one, other)
            } else {
                (other, one)
            };
            lock_what_moves(connection, &[(from, into)], &[]).await?;
            let under_way = under_way(connection, from, into, IN_HAND).await?;
            if !under_way.is_empty() {
                return Ok(Err(NotDone::UnderWay(under_way)));
            }
            let contacts = contacts(connection, from, into).await?;
            connection.begin_part().await?;
            let made = self.make_one(connection, from, into, contacts).await?;
            connection.end_part(!self.by.only_look).await?;
            Ok(Ok(made))
        })
    }
}

impl MakeOne {
    async fn make_one(
        &self,
        connection: &mut Connection,
        from: PersonId,
        into: PersonId,
        contacts: Vec<ContactOf>,
    ) -> Result<MadeOne, StoreError> {
        let sql = "DELETE FROM apart WHERE one = $1 AND other = $2 RETURNING since";
        let apart = connection.fetch(sql, pair_row(from, into, Vec::new())).await?;
        let overrules = apart.first().map(|row| row.timestamp(0)).transpose()?;
        let identifiers = count(connection, IDENTIFIERS_OF, args![from]).await?;
        let leads = count(connection, "SELECT COUNT(*) FROM leads WHERE person = $1", args![from]).await?;
        let reason = Reason::new("said_to_be_one", "Somebody said that these two are one human.");
        let merge = merge_people(connection, &*self.by.clock, from, into, &reason, &[]).await?;
        let kind = match self.asked {
            Asked::Merge => "merge",
            Asked::Same => "same",
        };
        correct(connection, kind, [from, into], Some(merge), &self.by).await?;
        let open = open(connection, into, into).await?;
        Ok(MadeOne { merge, from, into, identifiers, leads, open, overrules, contacts })
    }
}

pub(super) struct TakeApart {
    pub(super) merge: MergeId,
    pub(super) by: By,
}

/// A merge as it was written down.
struct Merge {
    id: MergeId,
    from: PersonId,
    into: PersonId,
    moved: Moved,
    at: Timestamp,
}

impl Work for TakeApart {
    type Output = Result<TakenApart, NotDone>;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<Self::Output, StoreError>> {
        Box::pin(async move {
            let sql = "SELECT from_person, into_person FROM merges WHERE id = $1";
            let rows = connection.fetch(sql, args![self.merge]).await?;
            let Some(row) = rows.first() else { return Ok(Err(NotDone::NoMerge(self.merge))) };
            let (from, into) = (row.id(0)?, row.id(1)?);
            let mut present = present_person(connection, into).await?;
            loop {
                lock_both(connection, from, present).await?;
                // Whoever has it all may have become somebody else before we had them.
                let now = present_person(connection, into).await?;
                if now == present {
                    break;
                }
                present = now;
            }
            let sql = "SELECT at FROM corrections WHERE merge = $1 AND kind = 'split'";
            if let Some(row) = connection.fetch(sql, args![self.merge]).await?.first() {
                return Ok(Err(NotDone::Undone { merge: self.merge, at: row.timestamp(0)? }));
            }
            let Some(merge) = load(connection, "id = $1", args![self.merge]).await? else {
                return Ok(Err(NotDone::Unreadable(self.merge)));
            };
            lock_what_moves(connection, &[(from, present)], &[]).await?;
            let under_way = under_way(connection, from, present, &format!("({IN_HAND} OR {BEGUN})")).await?;
            if !under_way.is_empty() {
                return Ok(Err(NotDone::UnderWay(under_way)));
            }
            connection.begin_part().await?;
            let taken = self.take_apart(connection, &merge, present).await?;
            connection.end_part(!self.by.only_look && taken.is_ok()).await?;
            Ok(taken)
        })
    }
}

impl TakeApart {
    async fn take_apart(
        &self,
        connection: &mut Connection,
        merge: &Merge,
        present: PersonId,
    ) -> Result<Result<TakenApart, NotDone>, StoreError> {
        let from = merge.from;
        let now = self.by.clock.now().as_millisecond();
        // Everybody on the way to who has it all now got what came along, and none of them is this person.
        let merges = 1 + number(connection, "SELECT merges FROM persons WHERE id = $1", args![from]).await?;
        let mut came_along = merge.moved.clone();
        let mut holder = merge.into;
        loop {
            came_along.take_out(connection, holder, merges).await?;
            let sql = "INSERT INTO apart (one, other, since) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
            connection.execute(sql, pair_row(from, holder, args![now])).await?;
            let sql = "SELECT merged_into FROM persons WHERE id = $1 AND merged_into IS NOT NULL";
            let next = connection.fetch(sql, args![holder]).await?;
            let Some(next) = next.first() else { break };
            let Some(mut later) = load(connection, "from_person = $1", args![holder]).await? else {
                return Ok(Err(NotDone::Unreadable(merge.id)));
            };
            let on = came_along.brought_on_by(&later.moved);
            // Undoing that one later must not give back what is this person's again.
            later.moved.leave_out(&merge.moved, &on);
            let sql = "UPDATE merges SET moved = $2 WHERE id = $1";
            connection.execute(sql, args![later.id, json(&later.moved)?]).await?;
            came_along = on;
            holder = next.id(0)?;
        }
        connection.execute("UPDATE persons SET merged_into = NULL WHERE id = $1", args![from]).await?;
        merge.moved.give_back(connection, from, present).await?;
        decide_unsent_anew(connection, from, present).await?;
        let asked_to_merge = take_back_two_contacts(connection, from, present, now).await?;
        correct(connection, "split", [from, present], Some(merge.id), &self.by).await?;
        Ok(Ok(TakenApart {
            merge: merge.id,
            from,
            into: present,
            merged_at: merge.at,
            identifiers: count(connection, IDENTIFIERS_OF, args![from]).await?,
            leads: count(connection, "SELECT COUNT(*) FROM leads WHERE person = $1", args![from]).await?,
            open: open(connection, from, present).await?,
            leads_since: leads_since(connection, present, merge.id).await?,
            identifiers_since: identifiers_since(connection, present, merge.at).await?,
            elsewhere: elsewhere(connection, &merge.moved, from).await?,
            written_since: written_since(connection, from, merge.at).await?,
            asked_to_merge,
            contacts: contacts(connection, from, present).await?,
        }))
    }
}

pub(super) struct KeepApart {
    pub(super) one: PersonId,
    pub(super) other: PersonId,
    pub(super) by: By,
}

impl Work for KeepApart {
    type Output = Result<KeptApart, NotDone>;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<Self::Output, StoreError>> {
        Box::pin(async move {
            let (one, other) = match both(connection, self.one, self.other).await? {
                Ok(both) => both,
                Err(not) => return Ok(Err(not)),
            };
            connection.begin_part().await?;
            let since = self.by.clock.now();
            let sql = "INSERT INTO apart (one, other, since) VALUES ($1, $2, $3) \
                 ON CONFLICT (one, other) DO UPDATE SET since = apart.since RETURNING since";
            let rows = connection.fetch(sql, pair_row(one, other, args![since.as_millisecond()])).await?;
            let since = rows.first().map(|row| row.timestamp(0)).transpose()?.unwrap_or(since);
            let sql = "DELETE FROM possible_duplicates WHERE one = $1 AND other = $2";
            let settled = connection.execute(sql, pair_row(one, other, Vec::new())).await? > 0;
            correct(connection, "not_same", [one, other], None, &self.by).await?;
            connection.end_part(!self.by.only_look).await?;
            Ok(Ok(KeptApart { one, other, since, settled }))
        })
    }
}

/// Locks two people and what they have, if they are those whom somebody has looked at.
async fn both(
    connection: &mut Connection,
    one: PersonId,
    other: PersonId,
) -> Result<Result<(PersonId, PersonId), NotDone>, StoreError> {
    for person in [one, other] {
        if connection.fetch("SELECT 1 FROM persons WHERE id = $1", args![person]).await?.is_empty() {
            return Ok(Err(NotDone::Unknown(person)));
        }
    }
    let (first, second) = lock_both(connection, one, other).await?;
    if first == second {
        return Ok(Err(NotDone::OneAlready(first)));
    }
    for (person, into) in [(one, first), (other, second)] {
        if person != into {
            return Ok(Err(NotDone::Became { person, into }));
        }
    }
    Ok(Ok((one, other)))
}

/// Who of two stays: whoever is more than a chat, else the older.
async fn rank(connection: &mut Connection, person: PersonId) -> Result<(bool, i64, PersonId), StoreError> {
    let sql = "SELECT created_at, CAST(CASE WHEN EXISTS (SELECT 1 FROM identifiers WHERE person = $1 \
           AND kind NOT IN ('chat', 'device', 'click')) OR EXISTS (SELECT 1 FROM links WHERE person = $1) \
         THEN 0 ELSE 1 END AS BIGINT) FROM persons WHERE id = $1";
    let rows = connection.fetch(sql, args![person]).await?;
    let row = rows.first().ok_or_else(|| StoreError::damaged(format!("there is no person {person}")))?;
    Ok((row.int(1)? == 1, row.int(0)?, person))
}

/// The newest merge that fits; `None` when it cannot be read.
async fn load(
    connection: &mut Connection,
    which: &str,
    arguments: Vec<Arg>,
) -> Result<Option<Merge>, StoreError> {
    let sql = format!(
        "SELECT id, from_person, into_person, moved, at FROM merges WHERE {which} ORDER BY id DESC LIMIT 1"
    );
    let rows = connection.fetch(&sql, arguments).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    // Another version may have written it otherwise. Erasing a human leaves it readable, with nothing but ids of leads.
    let Ok(moved) = serde_json::from_str(&row.text(3)?) else { return Ok(None) };
    Ok(Some(Merge { id: row.id(0)?, from: row.id(1)?, into: row.id(2)?, moved, at: row.timestamp(4)? }))
}

async fn under_way(
    connection: &mut Connection,
    one: PersonId,
    other: PersonId,
    which: &str,
) -> Result<Vec<UnderWay>, StoreError> {
    let sql = format!(
        "SELECT lead, destination, state FROM syncs WHERE person IN ($1, $2) AND {OPEN} AND {which} ORDER BY sequence"
    );
    let rows = connection.fetch(&sql, args![one, other]).await?;
    rows.iter()
        .map(|row| Ok(UnderWay { lead: row.id(0)?, destination: row.text(1)?, state: row.text(2)? }))
        .collect()
}

/// Writes down who said what.
async fn correct(
    connection: &mut Connection,
    kind: &str,
    [one, other]: [PersonId; 2],
    merge: Option<MergeId>,
    by: &By,
) -> Result<(), StoreError> {
    let row = args![
        by.clock.new_id().to_string(),
        kind,
        one,
        other,
        merge.map(|merge| merge.to_string()),
        by.author.clone(),
        by.note.clone(),
        by.clock.now().as_millisecond(),
    ];
    let into = "corrections (id, kind, one, other, merge, author, note, at)";
    connection.insert_rows(into, vec![row], "").await
}

const IDENTIFIERS_OF: &str = "SELECT COUNT(*) FROM identifiers WHERE person = $1 AND shown IS NOT NULL";

async fn number(connection: &mut Connection, sql: &str, arguments: Vec<Arg>) -> Result<i64, StoreError> {
    let rows = connection.fetch(sql, arguments).await?;
    Ok(rows.first().map(|row| row.int(0)).transpose()?.unwrap_or_default())
}

async fn count(connection: &mut Connection, sql: &str, arguments: Vec<Arg>) -> Result<u64, StoreError> {
    Ok(u64::try_from(number(connection, sql, arguments).await?).unwrap_or_default())
}

async fn open(connection: &mut Connection, one: PersonId, other: PersonId) -> Result<u64, StoreError> {
    let sql = format!("SELECT COUNT(*) FROM syncs WHERE person IN ($1, $2) AND {OPEN}");
    count(connection, &sql, args![one, other]).await
}

async fn contacts(
    connection: &mut Connection,
    one: PersonId,
    other: PersonId,
) -> Result<Vec<ContactOf>, StoreError> {
    let sql = "SELECT person, destination, record FROM links WHERE kind = 'contact' AND person IN ($1, $2) \
         ORDER BY destination, created_at, record";
    let rows = connection.fetch(sql, args![one, other]).await?;
    let contact = |row: &Row| {
        Ok(ContactOf { person: row.id(0)?, destination: row.text(1)?, record: row.text(2)?, url: None })
    };
    rows.iter().map(contact).collect()
}

/// Ids sort by birth, so what came after the merge has a later one.
async fn leads_since(
    connection: &mut Connection,
    person: PersonId,
    merge: MergeId,
) -> Result<Vec<LeadId>, StoreError> {
    let sql = "SELECT id FROM leads WHERE person = $1 AND id > $2 ORDER BY id DESC LIMIT $3";
    let rows = connection.fetch(sql, args![person, merge, MOST_NAMED]).await?;
    rows.iter().map(|row| row.id(0)).collect()
}

async fn identifiers_since(
    connection: &mut Connection,
    person: PersonId,
    at: Timestamp,
) -> Result<Vec<Given>, StoreError> {
    let sql = "SELECT kind, scope, shown, person FROM identifiers WHERE person = $1 AND first_seen >= $2 \
         AND shown IS NOT NULL ORDER BY first_seen DESC, value LIMIT $3";
    given(&connection.fetch(sql, args![person, at.as_millisecond(), MOST_NAMED]).await?)
}

async fn elsewhere(
    connection: &mut Connection,
    moved: &Moved,
    from: PersonId,
) -> Result<Vec<Given>, StoreError> {
    let mut elsewhere = Vec::new();
    let keys: Vec<&Key> = moved.identifiers.iter().collect();
    for piece in keys.chunks(ROWS_PER_STATEMENT) {
        let (among, mut arguments) = among(piece.iter().copied().map(in_columns));
        arguments.push(from.into());
        let sql = format!(
            "SELECT kind, scope, shown, person FROM identifiers WHERE {among} AND person <> ${} \
             AND shown IS NOT NULL ORDER BY kind, scope, value",
            arguments.len()
        );
        elsewhere.extend(given(&connection.fetch(&sql, arguments).await?)?);
    }
    Ok(elsewhere)
}

fn given(rows: &[Row]) -> Result<Vec<Given>, StoreError> {
    rows.iter()
        .map(|row| {
            Ok(Given {
                kind: row.parsed(0, IdentifierKind::parse)?,
                scope: row.text(1)?,
                value: row.text(2)?,
                person: row.id(3)?,
            })
        })
        .collect()
}

async fn written_since(
    connection: &mut Connection,
    person: PersonId,
    at: Timestamp,
) -> Result<Vec<Written>, StoreError> {
    let sql = "SELECT syncs.lead, syncs.destination, steps.kind, steps.record FROM syncs \
         JOIN steps ON steps.sync = syncs.id WHERE syncs.person = $1 AND steps.state = 'done' \
         AND steps.ended_at >= $2 ORDER BY steps.id DESC LIMIT $3";
    let rows = connection.fetch(sql, args![person, at.as_millisecond(), MOST_NAMED]).await?;
    rows.iter()
        .map(|row| {
            Ok(Written {
                lead: row.id(0)?,
                destination: row.text(1)?,
                kind: row.text(2)?,
                record: row.optional_text(3)?,
            })
        })
        .collect()
}
