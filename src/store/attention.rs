//! What needs somebody, by cause and place: read from indexes that hold nothing else, and counted no further than anybody
//! counts, so that it costs as much as there are causes, however many leads have them.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::sql::args;
use super::{Store, StoreError};
use crate::id::{DeliveryId, LeadId};
use crate::plan::Reason;

/// Rows are counted up to here; there may be more.
pub const COUNTED: i64 = 1_000;
/// Leads that are shown of a cause.
const EXAMPLES: i64 = 3;
/// Newest requests that are looked at one by one.
const NEWEST: i64 = 300;

/// Where something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Where {
    /// On the way from a source: before there was anything to bring anywhere.
    Source,
    /// On the way to a destination.
    Destination,
}

/// Why leads need somebody, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Cause {
    /// What the place is.
    pub at: Where,
    /// Name of the source or destination.
    pub place: String,
    /// The word of the reason, such as `crm_rejected`.
    pub code: String,
}

impl Cause {
    /// As alerts name it: `crm_rejected:crm`.
    pub fn name(&self) -> String {
        format!("{}:{}", self.code, self.place)
    }
}

/// How many, at least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HowMany {
    /// Up to [`COUNTED`].
    pub count: i64,
    /// There are more.
    pub more: bool,
}

impl HowMany {
    fn of(counted: i64) -> Self {
        Self { count: counted.min(COUNTED), more: counted > COUNTED }
    }
}

/// A lead that shows a cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "CauseExample")]
pub struct Example {
    /// Which.
    pub lead: LeadId,
    /// When it came.
    pub received_at: Timestamp,
    /// Who it is from, as mapped.
    pub name: Option<String>,
    /// Its reason in a sentence.
    pub why: String,
}

/// Leads that need somebody for one cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Caused {
    /// Why, and where.
    #[serde(flatten)]
    pub cause: Cause,
    /// How many leads.
    pub leads: HowMany,
    /// When the first of them came.
    pub since: Timestamp,
    /// The newest.
    pub examples: Vec<Example>,
}

/// Requests of one source that never became leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Requests {
    /// From where.
    pub source: String,
    /// How many. Of unreadable ones, among the newest 300 of all sources.
    pub count: HowMany,
    /// When the first of these came.
    pub since: Timestamp,
    /// The newest.
    pub newest: DeliveryId,
    /// Why that one is none.
    pub why: String,
}

/// Leads that are held at a destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeldAt {
    /// Where.
    pub destination: String,
    /// How many.
    pub leads: HowMany,
    /// When the first of them came.
    pub since: Timestamp,
}

/// The word of a reason, as the migration has it in the indexes.
pub(super) const CODE: &str = "SUBSTR(why, 10, LENGTH(SUBSTR(why, 10)) - LENGTH(LTRIM(SUBSTR(why, 10), \
    'abcdefghijklmnopqrstuvwxyz0123456789_')))";

impl Where {
    const ALL: [Self; 2] = [Self::Source, Self::Destination];

    /// Where its rows are, and what names the place.
    fn table(self) -> (&'static str, &'static str) {
        match self {
            Self::Source => ("leads", "source"),
            Self::Destination => ("syncs", "destination"),
        }
    }

    /// The statement that finds its causes: one seek for each word and place, as if the index were a list of them.
    pub(super) fn causes(self) -> String {
        let (table, place) = self.table();
        let of = format!("FROM {table} WHERE state = 'needs-attention'");
        format!(
            "WITH RECURSIVE word (code) AS ( \
               SELECT MIN({CODE}) {of} \
               UNION ALL SELECT (SELECT MIN({CODE}) {of} AND {CODE} > word.code) FROM word \
                 WHERE word.code IS NOT NULL), \
             cause (code, name) AS ( \
               SELECT word.code, (SELECT MIN({place}) {of} AND {CODE} = word.code) FROM word \
                 WHERE word.code IS NOT NULL \
               UNION ALL SELECT cause.code, (SELECT MIN({place}) {of} AND {CODE} = cause.code AND {place} > cause.name) \
                 FROM cause WHERE cause.name IS NOT NULL) \
             SELECT name, code FROM cause WHERE name IS NOT NULL"
        )
    }

    /// The statement that counts the leads of a cause, and gives the place of the first.
    pub(super) fn count(self) -> String {
        let (table, place) = self.table();
        format!(
            "SELECT COUNT(*), MIN(sequence) FROM (SELECT sequence FROM {table} WHERE state = 'needs-attention' \
             AND {place} = $1 AND {CODE} = $2 ORDER BY sequence LIMIT $3) AS counted"
        )
    }

    /// The statement that finds the newest leads of a cause.
    pub(super) fn newest(self) -> String {
        let (table, place) = self.table();
        let lead = match self {
            Self::Source => "id",
            Self::Destination => "lead",
        };
        format!(
            "SELECT leads.id, leads.received_at, leads.lead, newest.why FROM ( \
               SELECT {lead} AS lead, why, sequence FROM {table} WHERE state = 'needs-attention' AND {place} = $1 \
                 AND {CODE} = $2 ORDER BY sequence DESC LIMIT $3) AS newest \
             JOIN leads ON leads.id = newest.lead ORDER BY newest.sequence DESC"
        )
    }
}

/// The newest requests that could not be read.
pub(super) const UNREADABLE: &str = "SELECT source, id, received_at, COALESCE(why, '') FROM deliveries \
    WHERE state = 'unreadable' ORDER BY id DESC LIMIT $1";

/// Sources whose requests wait for their mapping.
pub(super) const WAITING_SOURCES: &str = "WITH RECURSIVE place (name) AS ( \
      SELECT MIN(source) FROM deliveries WHERE state = 'waiting' AND postback = 0 \
      UNION ALL SELECT (SELECT MIN(source) FROM deliveries WHERE state = 'waiting' AND postback = 0 \
        AND source > place.name) FROM place WHERE place.name IS NOT NULL) \
    SELECT name FROM place WHERE name IS NOT NULL";

/// How many requests of a source wait, and when the first of them came.
pub(super) const WAITING: &str = "SELECT COUNT(*), MIN(received_at) FROM (SELECT received_at FROM deliveries \
    WHERE state = 'waiting' AND postback = 0 AND source = $1 ORDER BY id LIMIT $2) AS counted";

/// The newest of them.
pub(super) const NEWEST_WAITING: &str = "SELECT id, COALESCE(why, '') FROM deliveries \
    WHERE state = 'waiting' AND postback = 0 AND source = $1 ORDER BY id DESC LIMIT 1";

/// Destinations with held leads.
pub(super) const HELD_PLACES: &str = "WITH RECURSIVE place (name) AS ( \
      SELECT MIN(destination) FROM syncs WHERE state = 'held' \
      UNION ALL SELECT (SELECT MIN(destination) FROM syncs WHERE state = 'held' AND destination > place.name) \
        FROM place WHERE place.name IS NOT NULL) \
    SELECT name FROM place WHERE name IS NOT NULL";

/// How many leads are held at a destination, and when the first of them came.
pub(super) const HELD: &str = "SELECT COUNT(*), (SELECT leads.received_at FROM syncs JOIN leads ON leads.id = syncs.lead \
      WHERE syncs.state = 'held' AND syncs.destination = $1 ORDER BY syncs.sequence LIMIT 1) \
    FROM (SELECT 1 FROM syncs WHERE state = 'held' AND destination = $1 LIMIT $2) AS counted";

impl Store {
    /// Every cause for which a lead needs somebody.
    pub async fn causes(&self) -> Result<Vec<Cause>, StoreError> {
        let mut causes = Vec::new();
        for at in Where::ALL {
            for row in self.read(&at.causes(), args![]).await? {
                causes.push(Cause { at, place: row.text(0)?, code: row.text(1)? });
            }
        }
        Ok(causes)
    }

    /// What stands in the newest lead of a cause; `None` when none has it any more.
    pub async fn newest_reason(&self, cause: &Cause) -> Result<Option<Reason>, StoreError> {
        let arguments = args![cause.place.as_str(), cause.code.as_str(), 1];
        self.read(&cause.at.newest(), arguments).await?.first().map(|row| row.json(3)).transpose()
    }

    /// The leads of a cause; `None` when none has it any more.
    pub async fn caused(&self, cause: Cause) -> Result<Option<Caused>, StoreError> {
        let (place, code) = (cause.place.as_str(), cause.code.as_str());
        let counted = self.read(&cause.at.count(), args![place, code, COUNTED + 1]).await?;
        let Some((count, Some(first))) = counted
            .first()
            .map(|row| Ok::<_, StoreError>((row.int(0)?, row.optional_int(1)?)))
            .transpose()?
        else {
            return Ok(None);
        };
        let first = self.read("SELECT received_at FROM leads WHERE sequence = $1", args![first]).await?;
        let rows = self.read(&cause.at.newest(), args![place, code, EXAMPLES]).await?;
        let mut examples = Vec::new();
        for row in &rows {
            let reason: Reason = row.json(3)?;
            let lead: Option<Value> = row.optional_json(2)?;
            let name = lead.as_ref().and_then(|lead| lead.pointer("/contact/name")).and_then(Value::as_str);
            examples.push(Example {
                lead: row.id(0)?,
                received_at: row.timestamp(1)?,
                name: name.map(str::to_owned),
                why: reason.text,
            });
        }
        let Some(newest) = examples.first().map(|example| example.received_at) else { return Ok(None) };
        let since = first.first().map(|row| row.timestamp(0)).transpose()?.unwrap_or(newest);
        Ok(Some(Caused { cause, leads: HowMany::of(count), since, examples }))
    }

    /// Requests that could not be read, by source; the newest only, whoever wants all goes through the registry.
    pub async fn unreadable_by_source(&self) -> Result<Vec<Requests>, StoreError> {
        let rows = self.read(UNREADABLE, args![NEWEST + 1]).await?;
        let more = i64::try_from(rows.len()).unwrap_or(i64::MAX) > NEWEST;
        let mut found: Vec<Requests> = Vec::new();
        for row in &rows {
            let (source, since) = (row.text(0)?, row.timestamp(2)?);
            if let Some(known) = found.iter_mut().find(|known| known.source == source) {
                known.count.count += 1;
                known.since = known.since.min(since);
                continue;
            }
            let count = HowMany { count: 1, more };
            found.push(Requests { source, count, since, newest: row.id(1)?, why: row.text(3)? });
        }
        Ok(found)
    }

    /// Requests that wait for their mapping, by source.
    pub async fn waiting_by_source(&self) -> Result<Vec<Requests>, StoreError> {
        let mut found = Vec::new();
        for row in self.read(WAITING_SOURCES, args![]).await? {
            let source = row.text(0)?;
            let counted = self.read(WAITING, args![source.as_str(), COUNTED + 1]).await?;
            let newest = self.read(NEWEST_WAITING, args![source.as_str()]).await?;
            // Somebody may have gone on meanwhile.
            let (Some(counted), Some(newest)) = (counted.first(), newest.first()) else { continue };
            let Some(since) = counted.optional_timestamp(1)? else { continue };
            let count = HowMany::of(counted.int(0)?);
            found.push(Requests { source, count, since, newest: newest.id(0)?, why: newest.text(1)? });
        }
        Ok(found)
    }

    /// Held leads, by destination.
    pub async fn held_by_destination(&self) -> Result<Vec<HeldAt>, StoreError> {
        let mut found = Vec::new();
        for row in self.read(HELD_PLACES, args![]).await? {
            let destination = row.text(0)?;
            let counted = self.read(HELD, args![destination.as_str(), COUNTED + 1]).await?;
            let Some(row) = counted.first() else { continue };
            let (leads, Some(since)) = (HowMany::of(row.int(0)?), row.optional_timestamp(1)?) else {
                continue;
            };
            found.push(HeldAt { destination, leads, since });
        }
        Ok(found)
    }
}
