//! What people decide about people by hand: two are one, two were never one, two are not one.
//!
//! Every decision is a row that is never edited; what follows from it is changed in the same transaction. Looking at what
//! would follow is the same work, undone at its end.

mod work;

use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::work::{KeepApart, MakeOne, TakeApart};
use super::moved::pair_row;
use super::sql::args;
use super::{Store, StoreError};
use crate::clock::Clock;
use crate::id::{LeadId, MergeId, PersonId};
use crate::lead::IdentifierKind;

/// Who decides, and whether they only look.
#[derive(Clone)]
pub struct By {
    /// Who says so, in their words.
    pub author: Option<String>,
    /// Why, in their words.
    pub note: Option<String>,
    /// Say what would follow, and change nothing.
    pub only_look: bool,
    /// Time and ids.
    pub clock: Arc<dyn Clock>,
}

/// What makes two people one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Somebody wants it.
    Merge,
    /// Somebody was asked whether they are: the two must be possible duplicates.
    Same,
}

/// Why nothing was decided.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDone {
    /// A person is not in the registry.
    #[error("there is no person {0}; `leadfold people show` finds them by phone, email or chat id")]
    Unknown(PersonId),
    /// A person is somebody else by now, so nobody has looked at the two that are meant.
    #[error(
        "person {person} is part of {into} by now: look at that one (`leadfold people show {into}`), then decide"
    )]
    Became {
        /// Who is no more.
        person: PersonId,
        /// Who they are.
        into: PersonId,
    },
    /// The two are one.
    #[error(
        "both are person {0} already. `leadfold people show {0}` lists how they became one, and `leadfold people split` undoes it"
    )]
    OneAlready(PersonId),
    /// Nobody asked.
    #[error("{0} and {1} are not among the possible duplicates. `leadfold people merge` makes any two one")]
    NotAsked(PersonId, PersonId),
    /// There is no such merge.
    #[error("there is no merge {0}; `leadfold people show <person>` lists the merges of a person")]
    NoMerge(MergeId),
    /// Nobody became one with this person.
    #[error("nobody was merged with person {0}, so there is nothing to split")]
    NothingMerged(PersonId),
    /// Several were.
    #[error(
        "several people became person {person}: name the merge that is wrong, one of\n{}",
        listed(merges)
    )]
    WhichMerge {
        /// With whom.
        person: PersonId,
        /// Each with when, and who became part of them.
        merges: Vec<(MergeId, Timestamp, PersonId)>,
    },
    /// It was undone.
    #[error("merge {merge} was undone on {at}: the two are apart")]
    Undone {
        /// Which.
        merge: MergeId,
        /// When.
        at: Timestamp,
    },
    /// What it moved cannot be read.
    #[error(
        "what merge {0} moved was written by another version of leadfold, and this one cannot read it. Nothing is changed. \
         Run the version that wrote it, or correct the contacts in the CRM by hand"
    )]
    Unreadable(MergeId),
    /// A worker or a CRM has something of theirs in hand.
    #[error("{}", under_way(.0))]
    UnderWay(Vec<UnderWay>),
}

/// A lead that is just being brought to a destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnderWay {
    /// Which.
    pub lead: LeadId,
    /// Where.
    pub destination: String,
    /// How far it is.
    pub state: String,
}

fn under_way(all: &[UnderWay]) -> String {
    let leads: Vec<String> =
        all.iter().map(|one| format!("lead {} at '{}' ({})", one.lead, one.destination, one.state)).collect();
    format!(
        "nothing is changed, because something of theirs is under way to the CRM: {}. Try again once it is there; \
         `leadfold explain` says what it waits for",
        leads.join(", ")
    )
}

fn listed(merges: &[(MergeId, Timestamp, PersonId)]) -> String {
    let lines = merges.iter().map(|(merge, at, from)| format!("  {merge}  of {at:.0}, person {from}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// A contact in a CRM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContactOf {
    /// Whose it is in the end.
    pub person: PersonId,
    /// Where.
    pub destination: String,
    /// Which.
    pub record: String,
    /// Where people open it, when that is known.
    #[serde(default)]
    pub url: Option<String>,
}

/// Two people who are one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MadeOne {
    /// The row that says so.
    pub merge: MergeId,
    /// Who is no more.
    pub from: PersonId,
    /// Who stays: whoever is more than a chat, else the older.
    pub into: PersonId,
    /// How many identifiers change hands; spellings of one count once.
    pub identifiers: u64,
    /// How many leads do.
    pub leads: u64,
    /// Leads of both that are not in the CRM yet, and go to the one contact.
    pub open: u64,
    /// When somebody had said that they are two people.
    pub overrules: Option<Timestamp>,
    /// Their contacts, before they were one.
    pub contacts: Vec<ContactOf>,
}

/// Two people who are not one any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TakenApart {
    /// The merge that is undone.
    pub merge: MergeId,
    /// Who is there again.
    pub from: PersonId,
    /// Who keeps the rest.
    pub into: PersonId,
    /// When they became one.
    pub merged_at: Timestamp,
    /// How many identifiers go back; spellings of one count once.
    pub identifiers: u64,
    /// How many leads do.
    pub leads: u64,
    /// Leads of both that are not in the CRM yet, and are decided anew.
    pub open: u64,
    /// What came since and stays: leads, the newest first (at most [`MOST_NAMED`]).
    pub leads_since: Vec<LeadId>,
    /// What came since and stays: identifiers.
    pub identifiers_since: Vec<Given>,
    /// What was theirs and is somebody else's by now.
    pub elsewhere: Vec<Given>,
    /// What was written to CRMs, while they were one, of leads that go back.
    pub written_since: Vec<Written>,
    /// Something in a CRM asks somebody to merge their contacts there.
    pub asked_to_merge: bool,
    /// Their contacts, as they are apart.
    pub contacts: Vec<ContactOf>,
}

/// Leads and records that are named one by one; of more, the newest.
pub const MOST_NAMED: i64 = 20;

/// An identifier and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Given {
    /// What it is.
    pub kind: IdentifierKind,
    /// What makes it unique.
    pub scope: String,
    /// How it is shown.
    pub value: String,
    /// Whose it is.
    pub person: PersonId,
}

/// What a step left in a CRM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Written {
    /// Of which lead.
    pub lead: LeadId,
    /// Where.
    pub destination: String,
    /// Such as `create deal`.
    pub kind: String,
    /// The record it made or changed.
    pub record: Option<String>,
}

/// Two people who are not one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeptApart {
    /// The one.
    pub one: PersonId,
    /// The other.
    pub other: PersonId,
    /// Since when somebody has said so.
    pub since: Timestamp,
    /// They were possible duplicates, and are none any more.
    pub settled: bool,
}

impl Store {
    /// Makes one person of two because somebody says so, whatever the rules say.
    pub async fn make_one(
        &self,
        one: PersonId,
        other: PersonId,
        asked: Asked,
        by: By,
    ) -> Result<Result<MadeOne, NotDone>, StoreError> {
        self.write(MakeOne { one, other, asked, by }).await
    }

    /// Undoes a merge: whoever is no more is there again with all that was moved and is still with who took them in, and
    /// nothing joins the two again.
    pub async fn take_apart(
        &self,
        merge: MergeId,
        by: By,
    ) -> Result<Result<TakenApart, NotDone>, StoreError> {
        self.write(TakeApart { merge, by }).await
    }

    /// Two people are two: nothing joins them from now on.
    pub async fn keep_apart(
        &self,
        one: PersonId,
        other: PersonId,
        by: By,
    ) -> Result<Result<KeptApart, NotDone>, StoreError> {
        self.write(KeepApart { one, other, by }).await
    }

    /// Whether somebody said that these are two people.
    pub async fn are_apart(&self, one: PersonId, other: PersonId) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM apart WHERE one = $1 AND other = $2";
        Ok(!self.read(sql, pair_row(one, other, Vec::new())).await?.is_empty())
    }

    /// The merge that is meant by somebody who names a person: theirs, or the only one into them.
    pub async fn merge_of(&self, person: PersonId) -> Result<Result<MergeId, NotDone>, StoreError> {
        let rows = self.read("SELECT merged_into FROM persons WHERE id = $1", args![person]).await?;
        let Some(row) = rows.first() else { return Ok(Err(NotDone::Unknown(person))) };
        let is_part = row.optional_id::<PersonId>(0)?.is_some();
        let place = if is_part { "from_person" } else { "into_person" };
        let sql = format!(
            "SELECT id, at, from_person FROM merges WHERE {place} = $1 AND NOT EXISTS (SELECT 1 FROM corrections \
             WHERE corrections.merge = merges.id AND corrections.kind = 'split') ORDER BY id DESC"
        );
        let rows = self.read(&sql, args![person]).await?;
        let merges: Vec<(MergeId, Timestamp, PersonId)> = rows
            .iter()
            .map(|row| Ok((row.id(0)?, row.timestamp(1)?, row.id(2)?)))
            .collect::<Result<_, StoreError>>()?;
        Ok(match merges.as_slice() {
            [] => Err(NotDone::NothingMerged(person)),
            // A person becomes another once; of earlier ones only the newest counts.
            [(merge, ..)] => Ok(*merge),
            [(merge, ..), ..] if is_part => Ok(*merge),
            _ => Err(NotDone::WhichMerge { person, merges }),
        })
    }
}
