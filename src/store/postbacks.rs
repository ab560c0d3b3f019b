//! Postbacks: whose they are says a click id, and which of a person's each is says the order in which they arrived.
//!
//! | state | what it means | who looks again |
//! |---|---|---|
//! | arrived | its turn comes | whoever counts: every preparer, one at a time |
//! | waiting | nobody came with its click id | whoever counts, when somebody does or its time is over |
//! | counted | it has its ordinal, and its lead goes its way | |
//! | repeat | the same again within the window, dropped | a person may count it |
//! | uncounted | a person said that it was a repeat; it keeps its lead | a person may count it again |
//! | ended | nobody came with its click id in time | a person may let it wait again |
//!
//! Preparing stores a postback as arrived, in any order and in any number of processes. Counting ([`Store::count_postbacks`])
//! goes in the order of arrival: one transaction at a time, and none past a delivery that nobody has prepared yet. So the
//! ordinals of a person are those of the order in which their postbacks arrived, however many processes there are and
//! whenever the click id was bound. A bound click id is *fresh* until its waiting postbacks have been put back in line; while
//! it is, none of its later ones is counted either.

use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::postback_work::{CountPostbacks, ReadAgain, SetAside};
use super::prepare::{EventOutcome, PrepareCounts, Received};
use super::sql::{Row, args};
use super::{Store, StoreError};
use crate::clock::Clock;
use crate::id::{DeliveryId, EventId, LeadId, PersonId};
use crate::rules::IdentityRules;

/// Postbacks of one source that may wait for their click ids. Beyond it the next ones end at once: they are kept, and can
/// be replayed; so a flood of made-up click ids costs no more than this, and what is kept of any request.
pub const MOST_WAITING: i64 = 10_000;

/// What makes of a postback what becomes of it, once it is its person's so-and-so-many-th of its name.
pub type Numbered = Arc<dyn Fn(&Received, u64) -> EventOutcome + Send + Sync>;

/// What is needed to count.
#[derive(Clone)]
pub struct Counting {
    /// The pure stages, with the workspace that is active.
    pub stage: Numbered,
    /// That version. A postback that another one read is read again.
    pub version: String,
    /// Rules of who is who.
    pub rules: IdentityRules,
    /// Time and ids.
    pub clock: Arc<dyn Clock>,
}

/// Where a postback stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PostbackState {
    /// Its turn comes.
    Arrived,
    /// Nobody came with its click id yet.
    Waiting,
    /// It has its ordinal.
    Counted,
    /// The same again, dropped.
    Repeat,
    /// A person said that it was a repeat.
    Uncounted,
    /// Nobody came with its click id in time.
    Ended,
}

impl PostbackState {
    /// The word in the database and in texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Arrived => "arrived",
            Self::Waiting => "waiting",
            Self::Counted => "counted",
            Self::Repeat => "repeat",
            Self::Uncounted => "uncounted",
            Self::Ended => "ended",
        }
    }

    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Arrived, Self::Waiting, Self::Counted, Self::Repeat, Self::Uncounted, Self::Ended];

    /// Parses [`as_str`](Self::as_str); `None` for any other word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// A postback, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PostbackRow {
    /// The request it came in.
    pub delivery: DeliveryId,
    /// The source it was sent to.
    pub source: String,
    /// Its click id.
    pub click: String,
    /// What happened.
    pub event: String,
    /// Where it stands.
    pub state: PostbackState,
    /// When it came.
    pub received_at: Timestamp,
    /// How long it waits for somebody with its click id.
    pub until: Timestamp,
    /// Its event, once it was looked at.
    pub event_id: Option<EventId>,
    /// Its lead, if it has one.
    pub lead: Option<LeadId>,
    /// Who came with the click id.
    pub person: Option<PersonId>,
    /// Which of the person's it is.
    pub ordinal: Option<u64>,
    /// The lead of the one that it repeats.
    pub repeats: Option<LeadId>,
}

/// How a round of counting went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CountedPostbacks {
    /// Postbacks and click ids of which something changed. While there are some, there may be more.
    pub moved: u64,
    /// Their leads, as preparing counts them.
    pub leads: PrepareCounts,
    /// Deliveries go back to be read by the active version.
    pub read_again: u64,
}

/// The statement that finds out whether there is anything to count.
pub(super) const ANYTHING: &str = "SELECT 1 FROM postbacks WHERE state = 'arrived' \
    UNION ALL SELECT 1 FROM clicks WHERE fresh = 1 \
    UNION ALL SELECT 1 FROM postbacks WHERE state = 'waiting' AND until <= $1 LIMIT 1";

pub(super) const COLUMNS: &str = "SELECT p.delivery, p.source, p.click, p.name, p.state, p.received_at, p.until, p.event, p.lead, \
    p.person, p.ordinal, (SELECT leads.id FROM events JOIN leads ON leads.event = events.redelivery_of \
      WHERE events.id = p.event) FROM postbacks p";

impl Store {
    /// Counts postbacks whose turn has come, at most so many, in the order of arrival; all of them or none. Nothing while
    /// another process counts.
    pub async fn count_postbacks(
        &self,
        limit: usize,
        counting: &Counting,
    ) -> Result<CountedPostbacks, StoreError> {
        let now = counting.clock.now().as_millisecond();
        // The common case costs no write.
        if self.read(ANYTHING, args![now]).await?.is_empty() {
            return Ok(CountedPostbacks::default());
        }
        let counted = self.write(CountPostbacks { limit, counting: counting.clone() }).await?;
        if counted.read_again > 0 {
            self.arrived.notify_one();
        }
        Ok(counted)
    }

    /// Sets the postback aside whose turn is next, as a request that could not be read: the database does not take what it
    /// became, and it must not stop those behind it. Returns its delivery.
    pub async fn set_postback_aside(
        &self,
        counting: &Counting,
        why: String,
    ) -> Result<Option<DeliveryId>, StoreError> {
        self.write(SetAside { counting: counting.clone(), why }).await
    }

    /// Lets the oldest postbacks that wait be read again by the version that is active now, because another one read them:
    /// a click id may stand elsewhere. Returns how many, and how many of them at most go together.
    pub async fn read_postbacks_again(&self, version: &str) -> Result<u64, StoreError> {
        let moved = self.write(ReadAgain { version: version.to_owned() }).await?;
        if moved > 0 {
            self.arrived.notify_one();
        }
        Ok(moved)
    }

    /// Postbacks in a state, behind `after`, oldest first.
    pub async fn postbacks(
        &self,
        state: PostbackState,
        source: Option<&str>,
        after: Option<DeliveryId>,
        limit: i64,
    ) -> Result<Vec<PostbackRow>, StoreError> {
        let after = after.map_or_else(String::new, |after| after.to_string());
        let mut arguments = args![after, limit];
        let mut of_source = String::new();
        if let Some(source) = source {
            arguments.extend(args![source]);
            " AND p.source = $3".clone_into(&mut of_source);
        }
        // The state as a word, because its index is of some of them.
        let sql = format!(
            "{COLUMNS} WHERE p.state = '{}' AND p.delivery > $1 {of_source} ORDER BY p.delivery LIMIT $2",
            state.as_str()
        );
        self.read(&sql, arguments).await?.iter().map(postback).collect()
    }

    /// The postback of this delivery, event or lead.
    pub async fn postback(&self, id: &str) -> Result<Option<PostbackRow>, StoreError> {
        let sql = format!("{COLUMNS} WHERE p.delivery = $1 OR p.event = $1 OR p.lead = $1");
        self.read(&sql, args![id]).await?.first().map(postback).transpose()
    }
}

pub(super) fn postback(row: &Row) -> Result<PostbackRow, StoreError> {
    Ok(PostbackRow {
        delivery: row.id(0)?,
        source: row.text(1)?,
        click: row.text(2)?,
        event: row.text(3)?,
        state: row.parsed(4, PostbackState::parse)?,
        received_at: row.timestamp(5)?,
        until: row.timestamp(6)?,
        event_id: row.optional_id(7)?,
        lead: row.optional_id(8)?,
        person: row.optional_id(9)?,
        ordinal: row.optional_int(10)?.map(super::ordinals::unsigned),
        repeats: row.optional_id(11)?,
    })
}
