//! From deliveries to leads: what is to be prepared, and what became of it. The writing is in [`super::prepare_work`].

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::task::{JoinHandle, spawn_blocking};

use super::afterwards::ToCome;
use super::event_keys::Keyed;
use super::prepare_work::{PrepareBatch, PrepareOldest, REQUEUED_TOGETHER, RequeueWaiting};
use super::sql::{Arg, Row, args, list};
use super::{Backend, Store, StoreError};
use crate::clock::Clock;
use crate::event::Delivery;
use crate::id::{DeliveryId, EventId, LeadId, PersonId, SyncId};
use crate::lead::{ChatNews, Lead};
use crate::plan::Reason;
use crate::rules::IdentityRules;
use crate::token::{TokenHash, from_hex};

/// A delivery that nobody has prepared yet.
#[derive(Clone, Debug)]
pub struct Received {
    /// The request.
    pub delivery: Delivery,
    /// Hash of the path token that is still to be checked.
    pub unverified_token: Option<TokenHash>,
}

/// What the pure stages made of one delivery.
#[derive(Clone, Debug)]
pub struct PreparedDelivery {
    /// Which.
    pub id: DeliveryId,
    /// What became of it.
    pub result: Prepared,
}

/// What became of a delivery.
#[derive(Clone, Debug)]
pub enum Prepared {
    /// Its events, in order.
    Events(Vec<PreparedEvent>),
    /// It could not be read, and why; kept and shown.
    Unreadable(String),
    /// Its mapping cannot be used now, and why; looked at again when the mapping changes.
    Waiting(String),
    /// Its token turned out wrong.
    Refused(String),
    /// It is a postback: its turn comes once somebody with its click id is known ([`super::postbacks`]).
    Postback(Arrived),
}

/// A postback that nobody has looked for whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// The source it was sent to.
    pub source: String,
    /// Its click id.
    pub click: String,
    /// What happened, lower case.
    pub name: String,
    /// By what a second copy is recognised.
    pub key: String,
    /// Until when.
    pub key_until: Timestamp,
    /// When the delivery came.
    pub received_at: Timestamp,
    /// How long it waits for somebody with its click id.
    pub until: Timestamp,
    /// Version of the workspace that read it.
    pub version: String,
}

/// What makes of a delivery what becomes of it: the pure stages, with the workspace that is active.
pub type Stages = Arc<dyn Fn(&Received) -> PreparedDelivery + Send + Sync>;

/// What the pure stages made of one event. Ids are given beforehand, so that running again changes nothing.
#[derive(Clone, Debug)]
pub struct PreparedEvent {
    /// Of the event.
    pub id: EventId,
    /// Of its lead.
    pub lead_id: LeadId,
    /// Of the person that is made when nobody is known.
    pub fresh_person: PersonId,
    /// Source whose key space the event is in.
    pub source: String,
    /// By what a second copy is recognised.
    pub key: String,
    /// Until when.
    pub key_until: Timestamp,
    /// When the delivery came.
    pub received_at: Timestamp,
    /// Version of the workspace that mapped it.
    pub version: String,
    /// Whose it is, where that is not for its identifiers to say: whoever came with the click id of a postback.
    pub holder: Option<PersonId>,
    /// What the mapping made of it.
    pub outcome: EventOutcome,
    /// What it says of a chat, whatever the mapping made of it.
    pub chat: Option<ChatNews>,
}

impl PreparedEvent {
    pub(super) fn keyed(&self, delivery: DeliveryId, position: usize) -> Keyed<'_> {
        Keyed {
            delivery,
            position,
            event: self.id,
            source: &self.source,
            key: &self.key,
            received_at: self.received_at,
            until: self.key_until,
        }
    }

    pub(super) fn lead(&self) -> Option<&Lead> {
        match &self.outcome {
            EventOutcome::Lead { lead, .. } => Some(lead),
            EventOutcome::Filtered(_) | EventOutcome::NeedsAttention(_) => None,
        }
    }
}

/// What the mapping made of an event.
#[derive(Clone, Debug)]
pub enum EventOutcome {
    /// A lead.
    Lead {
        /// The lead.
        lead: Box<Lead>,
        /// Index of the branch that held.
        branch: usize,
        /// One per destination.
        syncs: Vec<(SyncId, String)>,
        /// The bots that are called later.
        to_come: Option<ToCome>,
    },
    /// No branch wants it.
    Filtered(Reason),
    /// The mapping failed on it.
    NeedsAttention(Reason),
}

impl EventOutcome {
    /// The state of its lead.
    pub(super) fn state(&self) -> &'static str {
        match self {
            Self::Lead { .. } => "mapped",
            Self::Filtered(_) => "filtered",
            Self::NeedsAttention(_) => "needs-attention",
        }
    }
}

/// How a batch went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrepareCounts {
    /// Deliveries that were still waiting to be prepared.
    pub deliveries: u64,
    /// New events that became leads for at least one destination.
    pub leads: u64,
    /// Events that were seen before.
    pub redeliveries: u64,
    /// New events that no branch wanted.
    pub filtered: u64,
    /// New events on which the mapping failed.
    pub needs_attention: u64,
    /// The new events by source and state of their lead.
    pub by_source: BTreeMap<(String, &'static str), u64>,
}

impl PrepareCounts {
    /// Counts new events by what became of them.
    pub(super) fn add_fresh(&mut self, fresh: &[&PreparedEvent]) {
        for event in fresh {
            let count = match event.outcome {
                EventOutcome::Lead { .. } => &mut self.leads,
                EventOutcome::Filtered(_) => &mut self.filtered,
                EventOutcome::NeedsAttention(_) => &mut self.needs_attention,
            };
            *count += 1;
            *self.by_source.entry((event.source.clone(), event.outcome.state())).or_default() += 1;
        }
    }
}

/// Bytes of the bodies that are prepared together: 128 of the largest that are received by default would be a quarter of
/// a gigabyte on their way here, and each is many times as much once it is read. The first goes whatever its size.
const BYTES: i64 = 4 * 1024 * 1024;
/// Events after which no further delivery is read: one may hold a thousand, and acknowledgements wait for the transaction
/// that stores what became of them (on SQLite), or somebody for its locks.
const EVENTS: usize = 1_000;

/// The statement that reads the oldest deliveries as [`received`] wants them: at most `$1`, and no more than `$2` bytes.
/// `locks` are the row locks of a transaction that prepares them; it locks a row before it knows which of them fit.
pub(super) fn oldest_received(locks: &str) -> String {
    format!(
        "WITH oldest AS (SELECT id, LENGTH(body) AS bytes FROM deliveries WHERE state = 'received' \
           ORDER BY id LIMIT $1 {locks}), \
         counted AS (SELECT id, SUM(bytes) OVER (ORDER BY id) - bytes AS before FROM oldest) \
         SELECT d.id, d.source, d.method, d.query, d.headers, d.body, d.received_at, d.unverified_token \
         FROM counted JOIN deliveries d ON d.id = counted.id WHERE counted.before < $2 ORDER BY d.id"
    )
}

pub(super) fn at_most(limit: usize) -> Vec<Arg> {
    args![i64::try_from(limit).unwrap_or(i64::MAX), BYTES]
}
/// Transactions in which waiting deliveries are let go on, one after another.
const REQUEUES: usize = 8;

impl Store {
    /// The oldest deliveries that are to be prepared, at most so many and as many bytes as are prepared together.
    pub async fn received(&self, limit: usize) -> Result<Vec<Received>, StoreError> {
        let rows = self.read(&oldest_received(""), at_most(limit)).await?;
        rows.iter().map(received).collect()
    }

    /// Prepares the oldest deliveries that nobody else prepares now, at most so many; all of them or none.
    ///
    /// SQLite has one preparer, and its one writer does not wait for the stages. On PostgreSQL there is one in every process:
    /// each locks deliveries that no other has and runs the stages in the same transaction, so no work is done twice, and
    /// what a process that died had in hand is free at once.
    pub async fn prepare_oldest(
        &self,
        limit: usize,
        stages: Stages,
        rules: IdentityRules,
        clock: Arc<dyn Clock>,
    ) -> Result<PrepareCounts, StoreError> {
        match &self.backend {
            Backend::Sqlite { .. } => {
                let rows = self.read(&oldest_received(""), at_most(limit)).await?;
                if rows.is_empty() {
                    return Ok(PrepareCounts::default());
                }
                let prepared = in_stages(stages, rows).await.map_err(|_| ended_abnormally())??;
                self.prepare(prepared, rules, clock).await
            }
            Backend::Postgres { .. } => self.write(PrepareOldest { limit, stages, rules, clock }).await,
        }
    }

    /// Stores what became of a batch of deliveries, in their order.
    pub async fn prepare(
        &self,
        deliveries: impl Into<Arc<[PreparedDelivery]>>,
        rules: IdentityRules,
        clock: Arc<dyn Clock>,
    ) -> Result<PrepareCounts, StoreError> {
        self.write(PrepareBatch { deliveries: deliveries.into(), rules, clock }).await
    }

    /// Lets waiting deliveries of these sources be prepared: their mapping is readable (again). Costs one small read when
    /// there are none.
    pub async fn requeue_waiting(&self, sources: Vec<String>) -> Result<u64, StoreError> {
        if sources.is_empty() {
            return Ok(0);
        }
        let sql = format!(
            "SELECT 1 FROM deliveries WHERE state = 'waiting' AND postback = 0 AND source IN ({}) LIMIT 1",
            list(1, sources.len())
        );
        let names = sources.iter().map(|source| Arg::from(source.as_str())).collect();
        if self.read(&sql, names).await?.is_empty() {
            return Ok(0);
        }
        let work = RequeueWaiting { sources };
        let mut requeued = 0;
        // Not until none is left: whoever prepares them may find that they have to wait again.
        for _ in 0..REQUEUES {
            let count = self.write(work.clone()).await?;
            requeued += count;
            self.arrived.notify_one();
            if count < REQUEUED_TOGETHER {
                break;
            }
        }
        Ok(requeued)
    }
}

/// Runs the stages on these rows, as far as they go together. On a thread of its own: a large delivery takes seconds, and
/// senders and the beat do not wait for that.
pub(super) fn in_stages(
    stages: Stages,
    rows: Vec<Row>,
) -> JoinHandle<Result<Vec<PreparedDelivery>, StoreError>> {
    spawn_blocking(move || {
        let (mut prepared, mut events) = (Vec::with_capacity(rows.len()), 0);
        for row in rows {
            let delivery = run_stages(&stages, &row)?;
            if let Prepared::Events(of_it) = &delivery.result {
                events += of_it.len();
            }
            prepared.push(delivery);
            if events >= EVENTS {
                break;
            }
        }
        Ok(prepared)
    })
}

pub(super) fn ended_abnormally() -> StoreError {
    StoreError::new("reading deliveries ended abnormally; this is a bug")
}

/// What becomes of the delivery of this row. One that cannot be read from the registry must not stop those behind it.
fn run_stages(stages: &Stages, row: &Row) -> Result<PreparedDelivery, StoreError> {
    let id = row.id(0)?;
    Ok(received(row).map_or_else(
        |failure| PreparedDelivery {
            id,
            result: Prepared::Unreadable(format!("it cannot be read from the registry: {failure}")),
        },
        |received| stages(&received),
    ))
}

/// A delivery from its columns: id, source, method, query, headers, body, time of receipt.
pub(super) fn delivery(row: &Row) -> Result<Delivery, StoreError> {
    Ok(Delivery {
        id: row.id(0)?,
        source: row.text(1)?,
        method: row.text(2)?,
        query: row.optional_text(3)?,
        headers: row.json(4)?,
        body: row.bytes(5)?,
        received_at: row.timestamp(6)?,
    })
}

/// The same and one more column, the hash of the token.
pub(super) fn received(row: &Row) -> Result<Received, StoreError> {
    Ok(Received {
        delivery: delivery(row)?,
        unverified_token: row.optional_text(7)?.map(|_| row.parsed(7, from_hex)).transpose()?,
    })
}
