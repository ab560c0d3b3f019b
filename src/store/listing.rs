//! The registry as people page through it: leads by source, destination, where they stand, when they came, or found by
//! what somebody typed.
//!
//! However large the registry is, a page costs a bounded number of rows. One condition leads: an index has its leads in the
//! order of the list, and the walk along it begins where the page does. What else is asked for is looked at lead by lead, and
//! after [`LOOKED_AT`] of them the page ends, says so, and tells where to look on. Nothing is counted.

mod walk;

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

pub(super) use self::walk::{BY_ID, Statements, statements};
use super::names::SoughtName;
use super::registry::{LEAD_COLUMNS, LeadRow, WITH_SYNC, lead_row, owners, places};
use super::sql::{Arg, args, list};
use super::{Store, StoreError};
use crate::id::PersonId;
use crate::normalise::spellings;

/// Leads that are looked at for one page. In a large registry each of them is somewhere else in the file, so looking at five
/// times as many took up to sixty milliseconds.
pub const LOOKED_AT: usize = 300;
/// People who share what somebody typed; the walk goes along the leads of each.
const PEOPLE: usize = 200;

/// Where leads stand, as far as people ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Somebody must look.
    NeedsAttention,
    /// Somebody looks again by itself.
    Open,
    /// Decided while the destination only observes.
    Held,
    /// It is there.
    Synced,
    /// A rule ended it.
    Filtered,
}

impl Standing {
    /// All of them, what wants a person first.
    pub const ALL: [Self; 5] = [Self::NeedsAttention, Self::Open, Self::Held, Self::Synced, Self::Filtered];

    /// The word of addresses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NeedsAttention => "needs-attention",
            Self::Open => "open",
            Self::Held => "held",
            Self::Synced => "synced",
            Self::Filtered => "filtered",
        }
    }

    /// Parses [`as_str`](Self::as_str).
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|standing| standing.as_str() == word)
    }

    /// As the partial indexes have it.
    fn of_syncs(self) -> &'static str {
        match self {
            Self::NeedsAttention => "state = 'needs-attention'",
            Self::Open => "state IN ('ready', 'pushing', 'unknown', 'waiting')",
            Self::Held => "state = 'held'",
            Self::Synced => "state = 'synced'",
            Self::Filtered => "state = 'filtered'",
        }
    }

    /// Of leads that ended before there was anything to sync.
    fn of_leads(self) -> Option<&'static str> {
        match self {
            Self::NeedsAttention => Some("state = 'needs-attention'"),
            Self::Filtered => Some("state = 'filtered'"),
            Self::Open | Self::Held | Self::Synced => None,
        }
    }
}

/// Which leads. Everything that is given must hold; nothing given means all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// From this source.
    pub source: Option<String>,
    /// To this destination.
    pub destination: Option<String>,
    /// That stand there; with a destination, on their way to it.
    pub standing: Option<Standing>,
    /// Received at this time or later.
    pub from: Option<Timestamp>,
    /// Received before this time.
    pub to: Option<Timestamp>,
    /// A phone in any spelling, an email, the beginning of a name, a chat id, any id of ours, or a platform's of an event.
    pub text: Option<String>,
    /// Countries of a phone that names none.
    pub regions: Vec<String>,
}

/// A place in a list: that of a lead in the order of all, or of its time of receipt and then that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    received_at: Option<i64>,
    sequence: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.received_at {
            Some(at) => write!(f, "{at}-{}", self.sequence),
            None => write!(f, "{}", self.sequence),
        }
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let place = match (text.parse(), text.split_once('-')) {
            (Ok(sequence), _) => Some((None, sequence)),
            (Err(_), Some((at, sequence))) => at.parse().ok().map(Some).zip(sequence.parse().ok()),
            (Err(_), None) => None,
        };
        let (received_at, sequence) = place.ok_or_else(|| {
            format!("'{text}' is no place in a list; take `next` or `previous` of the page before")
        })?;
        Ok(Self { received_at, sequence })
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Which page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Turn {
    /// The newest.
    #[default]
    Newest,
    /// The next older than this.
    Before(Place),
    /// The next newer than this.
    After(Place),
}

/// A lead in a list, and how it stands with each of its destinations.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Listed {
    /// The lead.
    #[serde(flatten)]
    pub lead: LeadRow,
    /// One for each destination.
    pub syncs: Vec<ListedSync>,
}

/// How a lead stands with a destination.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ListedSync {
    /// Where it goes.
    pub destination: String,
    /// Where it stands.
    pub state: String,
    /// Why.
    pub why: Option<Value>,
}

/// A page of leads, newest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// They.
    pub leads: Vec<Listed>,
    /// Where newer ones may be; `None` at the newest.
    pub newer: Option<Place>,
    /// Where older ones may be; `None` at the end.
    pub older: Option<Place>,
    /// So many leads were looked at, and there may be more beyond: the page is not full, and not the end either.
    pub looked_at: Option<usize>,
    /// More words begin as the name that was typed than were looked for.
    pub too_many_names: bool,
}

/// What changes when the registry does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pulse {
    /// Leads that there ever were: each new one counts one more.
    pub newest: i64,
    /// Beats of all leases: whoever stores an outcome beats.
    pub beats: i64,
}

/// What somebody typed, as far as the registry knows it.
#[derive(Clone, Debug, Default)]
pub(super) struct Sought {
    /// Places of single leads.
    pub(super) leads: Vec<i64>,
    pub(super) people: Vec<String>,
    pub(super) name: Option<SoughtName>,
}

impl Filter {
    /// Whether its list is in the order of receipt. Otherwise it is in the order of all leads.
    pub(super) fn is_by_receipt(&self) -> bool {
        let dated = self.from.is_some() || self.to.is_some();
        let by_source = self.source.is_some() && self.destination.is_none();
        self.text.is_none() && self.leading_state().is_none() && (dated || by_source)
    }

    /// The state whose index leads. That most leads are synced needs none.
    fn leading_state(&self) -> Option<Standing> {
        self.standing.filter(|standing| *standing != Standing::Synced && self.text.is_none())
    }

    /// Whether a place is one of this list.
    pub fn has(&self, place: Place) -> bool {
        self.is_by_receipt() == place.received_at.is_some()
    }
}

impl Store {
    /// What the registry knows of a text that somebody typed.
    async fn sought(&self, text: &str, regions: &[String]) -> Result<Sought, StoreError> {
        let text = text.trim();
        let rows = self.read(BY_ID, args![text]).await?;
        let mut sought = Sought {
            leads: rows.iter().map(|row| row.int(0)).collect::<Result<_, _>>()?,
            ..Sought::default()
        };
        if text.parse::<uuid::Uuid>().is_ok() {
            sought.people.push(text.to_owned());
        }
        let values = spellings(text, regions);
        let sql = format!(
            "{} SELECT person FROM ({}) AS found WHERE person IS NOT NULL LIMIT {PEOPLE}",
            places(),
            owners(values.len())
        );
        for row in self.read(&sql, values.into_iter().map(Arg::from).collect()).await? {
            sought.people.push(row.text(0)?);
        }
        sought.name = self.sought_name(text).await?;
        Ok(sought)
    }

    /// A page of the leads that a filter lets through; `limit` is at least 1.
    pub async fn listed(&self, filter: &Filter, turn: Turn, limit: usize) -> Result<Page, StoreError> {
        let sought = match &filter.text {
            Some(text) => Some(self.sought(text, &filter.regions).await?),
            None => None,
        };
        let too_many_names =
            sought.as_ref().and_then(|sought| sought.name.as_ref()).is_some_and(|name| name.too_many);
        let Statements { found, how_far, arguments, at_most } =
            statements(filter, sought.as_ref(), turn, limit + 1);
        let rows = self.read(&found, arguments.clone()).await?;
        let mut found: Vec<Place> = Vec::with_capacity(rows.len());
        for row in &rows {
            found.push(Place { received_at: row.optional_int(1)?, sequence: row.int(0)? });
        }
        let mut beyond = (found.len() > limit).then(|| found.get(limit - 1).copied()).flatten();
        found.truncate(limit);
        let mut looked_at = None;
        if beyond.is_none() {
            let rows = self.read(&how_far, arguments).await?;
            if let Some(row) = rows.first()
                && usize::try_from(row.int(2)?).unwrap_or_default() >= at_most
            {
                beyond = Some(Place { received_at: row.optional_int(1)?, sequence: row.int(0)? });
                looked_at = Some(at_most);
            }
        }
        let mut page = Page { looked_at, too_many_names, ..Page::default() };
        let back = match turn {
            Turn::Newest => None,
            // What led here is on the other side, whether anything was found or not.
            Turn::Before(place) | Turn::After(place) => Some(found.first().copied().unwrap_or(place)),
        };
        (page.newer, page.older) = match turn {
            Turn::Newest | Turn::Before(_) => (back, beyond),
            Turn::After(_) => (beyond, back),
        };
        if matches!(turn, Turn::After(_)) {
            found.reverse();
        }
        page.leads = self.leads_at(&found).await?;
        Ok(page)
    }

    /// The leads at these places, in their order.
    async fn leads_at(&self, found: &[Place]) -> Result<Vec<Listed>, StoreError> {
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let at = list(1, found.len());
        let sql = format!("SELECT {LEAD_COLUMNS} FROM {WITH_SYNC} WHERE leads.sequence IN ({at})");
        let arguments: Vec<Arg> = found.iter().map(|place| Arg::from(place.sequence)).collect();
        let rows = self.read(&sql, arguments).await?;
        let mut leads: Vec<Listed> = rows
            .iter()
            .map(|row| Ok(Listed { lead: lead_row(row)?, syncs: Vec::new() }))
            .collect::<Result<_, StoreError>>()?;
        leads.sort_by_key(|listed| found.iter().position(|place| place.sequence == listed.lead.sequence));
        let sql = format!(
            "SELECT lead, destination, state, why FROM syncs WHERE lead IN ({}) ORDER BY destination",
            list(1, leads.len())
        );
        let arguments = leads.iter().map(|listed| Arg::from(listed.lead.id)).collect();
        for row in self.read(&sql, arguments).await? {
            let lead = row.id(0)?;
            let sync =
                ListedSync { destination: row.text(1)?, state: row.text(2)?, why: row.optional_json(3)? };
            if let Some(listed) = leads.iter_mut().find(|listed| listed.lead.id == lead) {
                listed.syncs.push(sync);
            }
        }
        Ok(leads)
    }

    /// The people of the newest leads with a name that somebody typed, or the beginnings of its words; whoever wrote last first.
    pub async fn people_called(&self, text: &str, limit: usize) -> Result<Vec<PersonId>, StoreError> {
        let name = self.sought_name(text.trim()).await?;
        let Some(sought) = name.map(|name| Sought { name: Some(name), ..Sought::default() }) else {
            return Ok(Vec::new());
        };
        let filter = Filter { text: Some(text.to_owned()), ..Filter::default() };
        let walk = statements(&filter, Some(&sought), Turn::Newest, LOOKED_AT);
        let mut arguments = walk.arguments;
        arguments.push(i64::try_from(limit).unwrap_or(i64::MAX).into());
        let sql = format!(
            "SELECT leads.person, MAX(leads.sequence) AS newest FROM ({}) AS named \
             JOIN leads ON leads.sequence = named.sequence WHERE leads.person IS NOT NULL \
             GROUP BY leads.person ORDER BY newest DESC LIMIT ${}",
            walk.found,
            arguments.len()
        );
        self.read(&sql, arguments).await?.iter().map(|row| row.id(0)).collect()
    }

    /// Whether something has changed, for whoever looks all the time: two rows or so.
    pub async fn pulse(&self) -> Result<Pulse, StoreError> {
        let sql = "SELECT value, (SELECT CAST(COALESCE(SUM(beat), 0) AS BIGINT) FROM leases) FROM counters \
                   WHERE name = 'sequence'";
        let rows = self.read(sql, args![]).await?;
        let row = rows.first().ok_or_else(|| StoreError::damaged("counter 'sequence' is gone"))?;
        Ok(Pulse { newest: row.int(0)?, beats: row.int(1)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        for text in ["7", "-1", "1700000000000-7"] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
        }
        for text in ["", "-", "x", "7-", "-7-", "1-2-3", "1.5"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
