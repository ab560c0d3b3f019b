//! What a rehearsal of the rules for people reads: every lead's evidence in the order of all leads, and who was corrected by
//! hand.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::acquaint::key;
use super::sql::{Arg, ROWS_PER_STATEMENT, args, list};
use super::{Store, StoreError};
use crate::id::{LeadId, PersonId};
use crate::lead::{Identifier, Proof};
use crate::resolve::Key;

/// The evidence of a stored lead.
#[derive(Clone, Debug)]
pub struct StoredEvidence {
    /// Its place among all leads.
    pub sequence: i64,
    /// The lead.
    pub lead: LeadId,
    /// Whose it is by now.
    pub person: PersonId,
    /// When its event came.
    pub received_at: Timestamp,
    /// What it says of who it is from.
    pub identifiers: Vec<Identifier>,
    /// The name they gave.
    pub name: Option<String>,
    /// It is a postback: whose it is says its click id, under any rules.
    pub is_postback: bool,
    /// It adds a token to somebody who is looked up.
    pub adds_token: bool,
}

/// The part of a stored lead that says who it is from.
#[derive(Deserialize)]
struct Evidence {
    identifiers: Vec<Identifier>,
    contact: Named,
    #[serde(default)]
    postback: Option<IgnoredAny>,
    #[serde(default)]
    adds_token: bool,
}

#[derive(Deserialize)]
struct Named {
    name: Option<String>,
}

/// People whom somebody corrected by hand.
#[derive(Clone, Debug, Default)]
pub struct Corrected {
    /// They, with the identifiers that they have.
    pub people: BTreeMap<PersonId, Vec<(Key, Proof)>>,
    /// Those of them who were said to be two people.
    pub apart: BTreeSet<(PersonId, PersonId)>,
}

/// The statement that reads a page of evidence.
pub(super) const EVIDENCE: &str = "SELECT sequence, id, person, received_at, lead FROM leads \
     WHERE sequence > $1 AND sequence <= $2 AND lead IS NOT NULL AND person IS NOT NULL ORDER BY sequence LIMIT $3";

impl Store {
    /// The place of the last lead; 0 when there is none.
    pub async fn last_sequence(&self) -> Result<i64, StoreError> {
        let rows = self.read("SELECT COALESCE(MAX(sequence), 0) FROM leads", args![]).await?;
        rows.first().map_or(Ok(0), |row| row.int(0))
    }

    /// The evidence of the leads after one place, up to another, in order.
    pub async fn evidence(
        &self,
        after: i64,
        up_to: i64,
        limit: usize,
    ) -> Result<Vec<StoredEvidence>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = self.read(EVIDENCE, args![after, up_to, limit]).await?;
        rows.iter()
            .map(|row| {
                let Evidence { identifiers, contact, postback, adds_token } = row.json(4)?;
                Ok(StoredEvidence {
                    sequence: row.int(0)?,
                    lead: row.id(1)?,
                    person: row.id(2)?,
                    received_at: row.timestamp(3)?,
                    identifiers,
                    name: contact.name,
                    is_postback: postback.is_some(),
                    adds_token,
                })
            })
            .collect()
    }

    /// Who was merged, split, or said to be or not to be the same, as they are now.
    pub async fn corrected_by_hand(&self) -> Result<Corrected, StoreError> {
        let mut corrected = Corrected::default();
        let sql = "SELECT 'corrected', one, other FROM corrections WHERE kind <> 'erase' \
                   UNION SELECT 'apart', one, other FROM apart";
        for row in self.read(sql, args![]).await? {
            let is_apart = row.text(0)? == "apart";
            let Some(one) = self.present(row.id(1)?).await? else { continue };
            corrected.people.entry(one).or_default();
            let Some(other) = row.optional_id(2)? else { continue };
            let Some(other) = self.present(other).await? else { continue };
            corrected.people.entry(other).or_default();
            if is_apart {
                corrected.apart.insert((one, other));
            }
        }
        let people: Vec<PersonId> = corrected.people.keys().copied().collect();
        for piece in people.chunks(ROWS_PER_STATEMENT) {
            let sql = format!(
                "SELECT kind, scope, value, person, proof FROM identifiers WHERE person IN ({}) \
                 ORDER BY kind, scope, value",
                list(1, piece.len())
            );
            for row in self.read(&sql, piece.iter().map(|person| Arg::from(*person)).collect()).await? {
                let keys = corrected.people.entry(row.id(3)?).or_default();
                keys.push((key(&row)?, row.parsed(4, Proof::parse)?));
            }
        }
        Ok(corrected)
    }
}
