//! What is known of one person, for people to look at: what is theirs, who they became, what somebody said of them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::corrections::{ContactOf, Given, MOST_NAMED};
use super::facts::{KnownChat, PersonClick, PersonFacts, PersonField};
use super::merges::MERGED;
use super::moved::APART_FROM;
use super::registry::{LEAD_COLUMNS, LeadRow, WITH_SYNC, lead_row, owners, places};
use super::sql::{Arg, Row, args, list};
use super::{Store, StoreError};
use crate::id::{LeadId, MergeId, PersonId};
use crate::lead::{IdentifierKind, Proof};
use crate::resolve::{Decision, Language, Told};

/// A person with all that is known of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Profile {
    /// Ours.
    pub id: PersonId,
    /// As in the newest of their leads that has one.
    pub name: Option<String>,
    /// When they came first.
    pub created_at: Timestamp,
    /// What is theirs, oldest first.
    pub identifiers: Vec<IdentifierRow>,
    /// Shared values that they use beside those whose they are.
    pub shared: Vec<Given>,
    /// Their chats, the one in which something happened last first.
    pub chats: Vec<KnownChat>,
    /// What mappings remember of them, by name.
    pub fields: BTreeMap<String, PersonField>,
    /// Click ids that brought them, the newest first.
    pub clicks: Vec<PersonClick>,
    /// Their contacts in CRMs, oldest first.
    pub contacts: Vec<ContactOf>,
    /// Their newest leads.
    pub leads: Vec<LeadRow>,
    /// How many leads they have.
    pub lead_count: i64,
    /// Who became part of them, and of whom, newest first.
    pub merges: Vec<MergeRow>,
    /// What somebody said about them, newest first.
    pub corrections: Vec<CorrectionRow>,
    /// Who they may be.
    pub possible_duplicates: Vec<PossibleDuplicate>,
    /// Who they are not.
    pub apart: Vec<PersonId>,
}

/// An identifier of a person. Spellings of one are one row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IdentifierRow {
    /// What it is.
    pub kind: IdentifierKind,
    /// What makes it unique.
    pub scope: String,
    /// How it is shown.
    pub value: String,
    /// What stands behind it.
    pub proof: Proof,
    /// When it came first.
    pub first_seen: Timestamp,
    /// When it came last.
    pub seen: Timestamp,
}

/// Two people who became one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MergeRow {
    /// By which it is undone.
    pub id: MergeId,
    /// Who is no more.
    pub from: PersonId,
    /// Who stays.
    pub into: PersonId,
    /// Why, in a sentence.
    pub why: String,
    /// When.
    pub at: Timestamp,
    /// When it was undone.
    pub undone_at: Option<Timestamp>,
}

/// What somebody said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CorrectionRow {
    /// `merge`, `split`, `same`, `not_same` or `erase`.
    pub kind: String,
    /// Of whom.
    pub one: PersonId,
    /// And of whom.
    pub other: Option<PersonId>,
    /// The merge that was made or undone.
    pub merge: Option<MergeId>,
    /// Who said so.
    pub author: Option<String>,
    /// Why.
    pub note: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// Two people who may be one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PossibleDuplicate {
    /// The one.
    pub one: Brief,
    /// The other.
    pub other: Brief,
    /// The lead that showed it.
    pub lead: LeadId,
    /// Why, and why they were not made one at once: a sentence each.
    pub why: Vec<String>,
    /// Since when it is known.
    pub at: Timestamp,
}

/// The place of a pair among all that may be one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DuplicatePlace {
    /// Since when it is known.
    pub at: Timestamp,
    /// The one.
    pub one: PersonId,
    /// The other.
    pub other: PersonId,
}

/// A person in a few words.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Brief {
    /// Ours.
    pub id: String,
    /// As in the newest of their leads that has one.
    pub name: Option<String>,
    /// Their phones, emails, chats and customer ids, as they are shown.
    pub identifiers: Vec<String>,
    /// How many leads they have.
    pub leads: i64,
}

/// Identifiers of a person in a few words.
const FEW: i64 = 6;

/// Whoever came last, but for those who are somebody else by now.
pub(super) const NEWEST_PEOPLE: &str =
    "SELECT id FROM persons WHERE id < $1 AND merged_into IS NULL ORDER BY id DESC LIMIT $2";

impl Store {
    /// The people who have one of these values, or are one of these ids; those that somebody is by now.
    pub async fn people_of(&self, values: &[String]) -> Result<Vec<PersonId>, StoreError> {
        let named: Vec<PersonId> = values.iter().filter_map(|value| value.parse().ok()).collect();
        let mut people = Vec::new();
        for id in named {
            // A person, or one of their leads.
            let sql = "SELECT id FROM persons WHERE id = $1 UNION SELECT person FROM leads WHERE id = $1 AND person IS NOT NULL";
            for row in self.read(sql, args![id]).await? {
                people.extend(self.present(row.id(0)?).await?);
            }
        }
        if people.is_empty() && !values.is_empty() {
            let sql = format!(
                "{} SELECT DISTINCT id FROM persons WHERE id IN ({}) ORDER BY id",
                places(),
                owners(values.len())
            );
            let arguments = values.iter().map(|value| Arg::from(value.as_str())).collect();
            for row in self.read(&sql, arguments).await? {
                people.push(row.id(0)?);
            }
        }
        if people.is_empty() {
            for value in values {
                people.extend(self.person_of_click(value).await?);
            }
        }
        people.sort_unstable();
        people.dedup();
        Ok(people)
    }

    /// A person with all that is known of them, in English; `None` when there is none with this id.
    pub async fn profile(&self, person: PersonId, leads: i64) -> Result<Option<Profile>, StoreError> {
        self.profile_in(person, leads, Language::English).await
    }

    /// The same, and why they may be others in this language.
    pub async fn profile_in(
        &self,
        person: PersonId,
        leads: i64,
        language: Language,
    ) -> Result<Option<Profile>, StoreError> {
        let sql =
            "SELECT created_at, (SELECT COUNT(*) FROM leads WHERE person = $1) FROM persons WHERE id = $1";
        let rows = self.read(sql, args![person]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let PersonFacts { fields, clicks, chats } = self.person_facts(person).await?;
        let sql = format!(
            "SELECT {LEAD_COLUMNS} FROM {WITH_SYNC} WHERE leads.person = $1 ORDER BY leads.sequence DESC LIMIT $2"
        );
        Ok(Some(Profile {
            id: person,
            name: self.name(person).await?,
            created_at: row.timestamp(0)?,
            lead_count: row.int(1)?,
            identifiers: self.identifiers(person).await?,
            shared: self.shared(person).await?,
            chats,
            fields,
            clicks,
            contacts: self.contacts(person).await?,
            leads: self.all(&sql, args![person, leads], lead_row).await?,
            merges: self.merges(person).await?,
            corrections: self.corrections(person).await?,
            possible_duplicates: self.possible_duplicates(Some(person), None, language, MOST_NAMED).await?,
            apart: self.all(APART_FROM, args![person], |row| row.id(0)).await?,
        }))
    }

    async fn all<T>(
        &self,
        sql: &str,
        arguments: Vec<Arg>,
        read: impl Fn(&Row) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        self.read(sql, arguments).await?.iter().map(read).collect()
    }

    async fn name(&self, person: PersonId) -> Result<Option<String>, StoreError> {
        // Quotes inside a value are escaped, so that only the key of a lead reads like this.
        let sql = "SELECT lead FROM leads WHERE person = $1 AND lead LIKE '%\"contact\":{\"name\":\"%' \
             ORDER BY sequence DESC LIMIT 1";
        let leads: Vec<Value> = self.all(sql, args![person], |row| row.json(0)).await?;
        let name = leads.first().and_then(|lead| lead.pointer("/contact/name"));
        Ok(name.and_then(Value::as_str).map(ToOwned::to_owned))
    }

    async fn identifiers(&self, person: PersonId) -> Result<Vec<IdentifierRow>, StoreError> {
        let sql = "SELECT kind, scope, shown, proof, first_seen, seen FROM identifiers \
             WHERE person = $1 AND shown IS NOT NULL ORDER BY first_seen, kind, shown";
        self.all(sql, args![person], |row| {
            Ok(IdentifierRow {
                kind: row.parsed(0, IdentifierKind::parse)?,
                scope: row.text(1)?,
                value: row.text(2)?,
                proof: row.parsed(3, Proof::parse)?,
                first_seen: row.timestamp(4)?,
                seen: row.timestamp(5)?,
            })
        })
        .await
    }

    async fn shared(&self, person: PersonId) -> Result<Vec<Given>, StoreError> {
        let sql = "SELECT i.kind, i.scope, COALESCE(i.shown, i.value), i.person FROM holders h JOIN identifiers i \
             ON i.kind = h.kind AND i.scope = h.scope AND i.value = h.value \
             WHERE h.person = $1 AND i.person IS NOT NULL ORDER BY h.since, i.value";
        self.all(sql, args![person], |row| {
            Ok(Given {
                kind: row.parsed(0, IdentifierKind::parse)?,
                scope: row.text(1)?,
                value: row.text(2)?,
                person: row.id(3)?,
            })
        })
        .await
    }

    async fn contacts(&self, person: PersonId) -> Result<Vec<ContactOf>, StoreError> {
        let sql = "SELECT destination, record FROM links WHERE person = $1 AND kind = 'contact' \
             ORDER BY created_at, destination, record";
        self.all(sql, args![person], |row| {
            Ok(ContactOf { person, destination: row.text(0)?, record: row.text(1)?, url: None })
        })
        .await
    }

    async fn merges(&self, person: PersonId) -> Result<Vec<MergeRow>, StoreError> {
        // Also into those who are part of them. What was undone is told of these as well, and leads on to nobody.
        let sql = format!(
            "{MERGED} SELECT id, from_person, into_person, reason, at, (SELECT MIN(at) FROM corrections \
               WHERE corrections.merge = merges.id AND corrections.kind = 'split') FROM merges \
             WHERE into_person IN (SELECT id FROM merged) OR from_person = $1 ORDER BY id DESC"
        );
        self.all(&sql, args![person], |row| {
            let why: Value = row.json(3)?;
            let text = why.get("text").and_then(Value::as_str).unwrap_or_default();
            Ok(MergeRow {
                id: row.id(0)?,
                from: row.id(1)?,
                into: row.id(2)?,
                why: text.to_owned(),
                at: row.timestamp(4)?,
                undone_at: row.optional_timestamp(5)?,
            })
        })
        .await
    }

    async fn corrections(&self, person: PersonId) -> Result<Vec<CorrectionRow>, StoreError> {
        let sql = "SELECT kind, one, other, merge, author, note, at FROM corrections \
             WHERE one = $1 OR other = $1 ORDER BY id DESC";
        self.all(sql, args![person], |row| {
            Ok(CorrectionRow {
                kind: row.text(0)?,
                one: row.id(1)?,
                other: row.optional_id(2)?,
                merge: row.optional_id(3)?,
                author: row.optional_text(4)?,
                note: row.optional_text(5)?,
                at: row.timestamp(6)?,
            })
        })
        .await
    }

    /// People who may be one, of whom nobody has said whether they are: of one person or of all, behind `after`, oldest
    /// first, and why in this language.
    pub async fn possible_duplicates(
        &self,
        of: Option<PersonId>,
        after: Option<&DuplicatePlace>,
        language: Language,
        limit: i64,
    ) -> Result<Vec<PossibleDuplicate>, StoreError> {
        let mut arguments = args![limit];
        let whose = match (of, after) {
            (Some(person), _) => {
                arguments.push(person.into());
                "(possible.one = $2 OR possible.other = $2) AND"
            }
            (None, Some(after)) => {
                arguments.extend(args![after.at.as_millisecond(), after.one, after.other]);
                "(possible.at, possible.one, possible.other) > ($2, $3, $4) AND"
            }
            (None, None) => "",
        };
        let sql = format!(
            "SELECT possible.one, possible.other, possible.lead, possible.at, leads.decision \
             FROM possible_duplicates possible LEFT JOIN leads ON leads.id = possible.lead \
             WHERE {whose} NOT EXISTS (SELECT 1 FROM apart \
               WHERE apart.one = possible.one AND apart.other = possible.other) \
             ORDER BY possible.at, possible.one, possible.other LIMIT $1"
        );
        let mut found = Vec::new();
        for row in self.read(&sql, arguments).await? {
            let (one, other) = (row.id(0)?, row.id(1)?);
            let why = match row.optional_json::<Decision>(4)? {
                Some(decision) => self.tell(&decision, language).await?.texts(),
                None => Vec::new(),
            };
            found.push(PossibleDuplicate {
                one: self.brief(one).await?,
                other: self.brief(other).await?,
                lead: row.id(2)?,
                why,
                at: row.timestamp(3)?,
            });
        }
        Ok(found)
    }

    /// How many pairs of people may be one; counts no further than `at_most`.
    pub async fn count_possible_duplicates(&self, at_most: i64) -> Result<i64, StoreError> {
        let sql = "SELECT COUNT(*) FROM (SELECT 1 FROM possible_duplicates possible WHERE NOT EXISTS (SELECT 1 FROM apart \
             WHERE apart.one = possible.one AND apart.other = possible.other) LIMIT $1) AS counted";
        self.read(sql, args![at_most]).await?.first().map_or(Ok(0), |row| row.int(0))
    }

    /// People before this one, whoever came last first.
    pub async fn newest_people(
        &self,
        before: Option<PersonId>,
        limit: i64,
    ) -> Result<Vec<Brief>, StoreError> {
        // Ids begin with their moment.
        let before = before.unwrap_or(PersonId(Uuid::max()));
        let mut people = Vec::new();
        for row in self.read(NEWEST_PEOPLE, args![before, limit]).await? {
            people.push(self.brief(row.id(0)?).await?);
        }
        Ok(people)
    }

    /// Why the newest leads of a person are theirs, in this language; nothing of leads of before that was written down.
    pub async fn decisions(
        &self,
        person: PersonId,
        limit: i64,
        language: Language,
    ) -> Result<BTreeMap<LeadId, Told>, StoreError> {
        let sql = "SELECT id, decision FROM leads WHERE person = $1 ORDER BY sequence DESC LIMIT $2";
        let mut decisions = BTreeMap::new();
        for row in self.read(sql, args![person, limit]).await? {
            if let Some(decision) = row.optional_json::<Decision>(1)? {
                decisions.insert(row.id(0)?, self.tell(&decision, language).await?);
            }
        }
        Ok(decisions)
    }

    /// A person in a few words.
    pub async fn brief(&self, person: PersonId) -> Result<Brief, StoreError> {
        let sql = format!(
            "SELECT shown FROM identifiers WHERE person = $1 AND shown IS NOT NULL \
               AND kind NOT IN ({}) ORDER BY first_seen, kind, shown LIMIT {FEW}",
            list(2, 2)
        );
        let (device, click) = (IdentifierKind::Device.as_str(), IdentifierKind::Click.as_str());
        let identifiers = self.all(&sql, args![person, device, click], |row| row.text(0)).await?;
        let sql = format!(
            "SELECT {LEAD_COLUMNS}, (SELECT COUNT(*) FROM leads every WHERE every.person = $1) FROM {WITH_SYNC} \
             WHERE leads.person = $1 ORDER BY leads.sequence DESC LIMIT 1"
        );
        let newest = self.all(&sql, args![person], |row| Ok((lead_row(row)?, row.int(8)?))).await?;
        let newest = newest.into_iter().next();
        let leads = newest.as_ref().map_or(0, |(_, count)| *count);
        let mut name = newest.and_then(|(lead, _)| Some(lead.contact?.get("name")?.as_str()?.to_owned()));
        if name.is_none() && leads > 1 {
            name = self.name(person).await?;
        }
        Ok(Brief { id: person.to_string(), name, identifiers, leads })
    }
}
