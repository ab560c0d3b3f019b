//! What a merge moves from one person to another, and how it goes back.
//!
//! | | when two become one | when the merge is undone |
//! |---|---|---|
//! | identifiers, leads with their syncs, links | become the other's | those that are written down and still the other's go back |
//! | names, values that they share with others | are added to the other's | what only came with them is taken out again |
//! | edges to people whom they are not, or may be | are the other's too | the same |
//! | whatever came since | | stays with who has it |
//!
//! Somebody may have become a third one since. Then the third has it all, and what each merge on the way brought along says
//! whether it is to be taken out there.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::StoreError;
use super::acquaint::{among, in_columns, key, key_row};
use super::merges::present_person;
use super::sql::{Arg, Connection, ROWS_PER_STATEMENT, args, json, list};
use crate::id::{LeadId, PersonId};
use crate::resolve::{Key, MOST_NAMES, pair};

/// What a merge moved, as its row keeps it. What was not written down by earlier versions is empty there, and was not moved
/// by them either.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Moved {
    pub(super) identifiers: BTreeSet<Key>,
    pub(super) leads: Vec<LeadId>,
    /// Destination, kind and record.
    pub(super) links: Vec<(String, String, String)>,
    /// Names that the other did not have.
    #[serde(default)]
    pub(super) names: Vec<Value>,
    /// Shared values that they used, and since when.
    #[serde(default)]
    pub(super) held: Vec<Held>,
    /// People from whom the other is apart since then, because they were.
    #[serde(default)]
    pub(super) apart: BTreeSet<PersonId>,
    /// People who they may have been.
    #[serde(default)]
    pub(super) possible_duplicates: Vec<Possible>,
}

/// A shared value that somebody uses as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Held {
    pub(super) key: Key,
    pub(super) since: i64,
    /// The other did not use it before.
    pub(super) brought: bool,
}

/// Somebody who may be the same human.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Possible {
    pub(super) person: PersonId,
    pub(super) lead: LeadId,
    pub(super) at: i64,
    /// That they may be the other was not known before.
    pub(super) brought: bool,
}

impl Moved {
    /// What belongs to `from` and will be moved to `into`; `also` names keys that were theirs and have moved already.
    pub(super) async fn of(
        connection: &mut Connection,
        from: PersonId,
        into: PersonId,
        also: &[Key],
    ) -> Result<Self, StoreError> {
        let mut moved = Self { identifiers: also.iter().cloned().collect(), ..Self::default() };
        let sql = "SELECT kind, scope, value FROM identifiers WHERE person = $1";
        for row in &connection.fetch(sql, args![from]).await? {
            moved.identifiers.insert(key(row)?);
        }
        let sql = "SELECT id FROM leads WHERE person = $1 ORDER BY id";
        for row in &connection.fetch(sql, args![from]).await? {
            moved.leads.push(row.id(0)?);
        }
        let sql = "SELECT destination, kind, record FROM links WHERE person = $1 ORDER BY destination, kind, record";
        for row in &connection.fetch(sql, args![from]).await? {
            moved.links.push((row.text(0)?, row.text(1)?, row.text(2)?));
        }
        let known = names(connection, into).await?;
        let mut new = names(connection, from).await?;
        new.retain(|name| !known.contains(name));
        new.truncate(MOST_NAMES.saturating_sub(known.len()));
        moved.names = new;
        let theirs: BTreeSet<Key> = held(connection, into).await?.into_iter().map(|(key, _)| key).collect();
        for (key, since) in held(connection, from).await? {
            let brought = !theirs.contains(&key);
            moved.held.push(Held { key, since, brought });
        }
        let known = apart(connection, into).await?;
        moved.apart = apart(connection, from).await?;
        moved.apart.retain(|other| !known.contains(other) && *other != into);
        let known = possible(connection, into).await?;
        for (person, (lead, at)) in possible(connection, from).await? {
            if person != into {
                let brought = !known.contains_key(&person);
                moved.possible_duplicates.push(Possible { person, lead, at, brought });
            }
        }
        Ok(moved)
    }

    /// Adds to `into` what `from` does not only hand over. What is handed over is moved by [`super::merges`].
    pub(super) async fn bring(
        &self,
        connection: &mut Connection,
        from: PersonId,
        into: PersonId,
        now: i64,
    ) -> Result<(), StoreError> {
        if !self.names.is_empty() {
            let mut all = names(connection, into).await?;
            all.extend(self.names.iter().cloned());
            store_names(connection, into, &all).await?;
        }
        let sql = "UPDATE persons SET merges = merges + 1 + (SELECT gone.merges FROM persons gone WHERE gone.id = $2) \
             WHERE id = $1";
        connection.execute(sql, args![into, from]).await?;
        connection.execute("DELETE FROM holders WHERE person = $1", args![from]).await?;
        hold(connection, into, self.held.iter().filter(|held| held.brought)).await?;
        let edges = self.apart.iter().map(|other| pair_row(into, *other, vec![Arg::from(now)])).collect();
        connection.insert_rows("apart (one, other, since)", edges, "ON CONFLICT DO NOTHING").await?;
        forget_possible(connection, from).await?;
        let new = self.possible_duplicates.iter().filter(|possible| possible.brought);
        let new =
            new.map(|possible| pair_row(into, possible.person, args![possible.lead, possible.at])).collect();
        insert_possible(connection, new).await
    }

    /// Gives back to `from` what `present` still has of it.
    pub(super) async fn give_back(
        &self,
        connection: &mut Connection,
        from: PersonId,
        present: PersonId,
    ) -> Result<(), StoreError> {
        let keys: Vec<&Key> = self.identifiers.iter().collect();
        for piece in keys.chunks(ROWS_PER_STATEMENT) {
            let (among, mut arguments) = among(piece.iter().copied().map(in_columns));
            let next = arguments.len() + 1;
            let sql =
                format!("UPDATE identifiers SET person = ${next} WHERE {among} AND person = ${}", next + 1);
            arguments.extend(args![from, present]);
            connection.execute(&sql, arguments).await?;
        }
        for piece in self.leads.chunks(ROWS_PER_STATEMENT) {
            let leads = list(3, piece.len());
            for sql in [
                // A sync is whose its lead is, so it goes first.
                format!("UPDATE syncs SET person = $1 WHERE person = $2 AND lead IN ({leads})"),
                format!("UPDATE leads SET person = $1 WHERE person = $2 AND id IN ({leads})"),
            ] {
                let mut arguments = args![from, present];
                arguments.extend(piece.iter().map(|lead| Arg::from(*lead)));
                connection.execute(&sql, arguments).await?;
            }
        }
        let links = self.links.iter().map(|(destination, kind, record)| {
            let sql = "UPDATE links SET person = $1 WHERE person = $2 AND destination = $3 AND kind = $4 AND record = $5";
            (sql.to_owned(), args![from, present, destination.as_str(), kind.as_str(), record.as_str()])
        });
        connection.execute_all(links.collect()).await?;
        hold(connection, from, self.held.iter()).await?;
        let mut possible = Vec::new();
        for duplicate in &self.possible_duplicates {
            let other = present_person(connection, duplicate.person).await?;
            if other != from && other != present {
                possible.push(pair_row(from, other, args![duplicate.lead, duplicate.at]));
            }
        }
        insert_possible(connection, possible).await
    }

    /// Takes out of `person`, who has become one with them, what came with them alone.
    pub(super) async fn take_out(
        &self,
        connection: &mut Connection,
        person: PersonId,
        merges: i64,
    ) -> Result<(), StoreError> {
        let mut left = names(connection, person).await?;
        left.retain(|name| !self.names.contains(name));
        store_names(connection, person, &left).await?;
        let sql =
            "UPDATE persons SET merges = CASE WHEN merges > $2 THEN merges - $2 ELSE 0 END WHERE id = $1";
        connection.execute(sql, args![person, merges]).await?;
        let mut statements = Vec::new();
        for held in self.held.iter().filter(|held| held.brought) {
            let mut arguments = args![person];
            arguments.extend(in_columns(&held.key));
            let sql = "DELETE FROM holders WHERE person = $1 AND kind = $2 AND scope = $3 AND value = $4";
            statements.push((sql.to_owned(), arguments));
        }
        for other in &self.apart {
            // Unless somebody said it of these two themselves.
            let sql = "DELETE FROM apart WHERE one = $1 AND other = $2 AND NOT EXISTS (SELECT 1 FROM corrections \
                 WHERE kind = 'not_same' AND corrections.one = $1 AND corrections.other = $2)";
            statements.push((sql.to_owned(), pair_row(person, *other, Vec::new())));
        }
        for possible in self.possible_duplicates.iter().filter(|possible| possible.brought) {
            let sql = "DELETE FROM possible_duplicates WHERE one = $1 AND other = $2 AND lead = $3";
            statements.push((sql.to_owned(), pair_row(person, possible.person, args![possible.lead])));
        }
        connection.execute_all(statements).await
    }

    /// Leaves out what was of an earlier merge that is undone, and what that one brought on to here.
    pub(super) fn leave_out(&mut self, earlier: &Self, on: &Self) {
        self.identifiers.retain(|key| !earlier.identifiers.contains(key));
        self.leads.retain(|lead| !earlier.leads.contains(lead));
        self.links.retain(|link| !earlier.links.contains(link));
        self.names.retain(|name| !on.names.contains(name));
        self.held.retain(|held| !on.held.iter().any(|gone| gone.brought && gone.key == held.key));
    }

    /// Of what this merge brought, what a later one brought on to somebody else.
    pub(super) fn brought_on_by(&self, later: &Self) -> Self {
        let mut on = self.clone();
        on.names.retain(|name| later.names.contains(name));
        on.held.retain(|held| later.held.iter().any(|other| other.brought && other.key == held.key));
        on.apart.retain(|other| later.apart.contains(other));
        on.possible_duplicates.retain(|possible| {
            later.possible_duplicates.iter().any(|other| other.brought && other.person == possible.person)
        });
        on
    }
}

/// Two people in the order in which pairs are kept, and what else the row has.
pub(super) fn pair_row(one: PersonId, other: PersonId, rest: Vec<Arg>) -> Vec<Arg> {
    let (one, other) = pair(one, other);
    let mut row = args![one, other];
    row.extend(rest);
    row
}

/// Writes down that these may be one: both people, the lead that shows it, and when.
async fn insert_possible(connection: &mut Connection, rows: Vec<Vec<Arg>>) -> Result<(), StoreError> {
    let into = "possible_duplicates (one, other, lead, at)";
    connection.insert_rows(into, rows, "ON CONFLICT DO NOTHING").await
}

async fn forget_possible(connection: &mut Connection, person: PersonId) -> Result<(), StoreError> {
    let sql = "DELETE FROM possible_duplicates WHERE one = $1 OR other = $1";
    connection.execute(sql, args![person]).await.map(drop)
}

async fn names(connection: &mut Connection, person: PersonId) -> Result<Vec<Value>, StoreError> {
    let rows = connection.fetch("SELECT names FROM persons WHERE id = $1", args![person]).await?;
    Ok(rows.first().map(|row| row.optional_json(0)).transpose()?.flatten().unwrap_or_default())
}

async fn store_names(
    connection: &mut Connection,
    person: PersonId,
    names: &[Value],
) -> Result<(), StoreError> {
    let names = if names.is_empty() { None } else { Some(json(&names)?) };
    connection.execute("UPDATE persons SET names = $2 WHERE id = $1", args![person, names]).await.map(drop)
}

async fn held(connection: &mut Connection, person: PersonId) -> Result<Vec<(Key, i64)>, StoreError> {
    let sql = "SELECT kind, scope, value, since FROM holders WHERE person = $1 ORDER BY kind, scope, value";
    let rows = connection.fetch(sql, args![person]).await?;
    rows.iter().map(|row| Ok((key(row)?, row.int(3)?))).collect()
}

async fn hold(
    connection: &mut Connection,
    person: PersonId,
    held: impl Iterator<Item = &Held>,
) -> Result<(), StoreError> {
    let rows = held.map(|held| key_row(&held.key, args![person, held.since]));
    let into = "holders (kind, scope, value, person, since)";
    connection.insert_rows(into, rows.collect(), "ON CONFLICT DO NOTHING").await
}

/// Those of whom somebody said that they are not this person.
pub(super) const APART_FROM: &str =
    "SELECT other FROM apart WHERE one = $1 UNION SELECT one FROM apart WHERE other = $1 ORDER BY 1";

/// Those of whom somebody said that they are somebody else.
pub(super) async fn apart(
    connection: &mut Connection,
    person: PersonId,
) -> Result<BTreeSet<PersonId>, StoreError> {
    let rows = connection.fetch(APART_FROM, args![person]).await?;
    rows.iter().map(|row| row.id(0)).collect()
}

async fn possible(
    connection: &mut Connection,
    person: PersonId,
) -> Result<BTreeMap<PersonId, (LeadId, i64)>, StoreError> {
    let sql = "SELECT other, lead, at FROM possible_duplicates WHERE one = $1 \
         UNION SELECT one, lead, at FROM possible_duplicates WHERE other = $1";
    let rows = connection.fetch(sql, args![person]).await?;
    rows.iter().map(|row| Ok((row.id(0)?, (row.id(1)?, row.int(2)?)))).collect()
}
