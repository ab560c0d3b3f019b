//! What a rehearsal reads: stored deliveries with what became of their events, and what the registry knew of a person when
//! one of their leads came.

use jiff::{SignedDuration, Timestamp};

use super::ordinals::unsigned;
use super::prepare::delivery;
use super::retention::first_id_of;
use super::sql::{Arg, args, list};
use super::{Store, StoreError};
use crate::event::Delivery;
use crate::id::{DeliveryId, LeadId, PersonId, StepId};
use crate::lead::Lead;
use crate::plan::{Action, RecordId};

/// Which deliveries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Received at this moment or later.
    pub from: Option<Timestamp>,
    /// Received before this moment.
    pub to: Option<Timestamp>,
    /// Sent to this source.
    pub source: Option<String>,
}

/// A delivery and its events, as far as it was prepared.
#[derive(Clone, Debug)]
pub struct StoredDelivery {
    /// The request.
    pub delivery: Delivery,
    /// When retention removed its body.
    pub emptied_at: Option<Timestamp>,
    /// Its events by position; empty while it waits, and when it could not be read.
    pub events: Vec<StoredEvent>,
}

/// What became of one event.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    /// Its place in the delivery, from 0.
    pub position: usize,
    /// It repeats an earlier one, so it became nothing.
    pub is_redelivery: bool,
    /// Its lead, and whose that is when the mapping made one of it.
    pub lead: Option<(LeadId, i64, Option<PersonId>)>,
    /// Which of its person's postbacks of its name it is.
    pub ordinal: Option<u64>,
}

/// What the registry knew of a person at a destination when a lead of theirs came.
#[derive(Clone, Debug, Default)]
pub struct Past {
    /// Written steps of the leads before, and the steps of this lead itself, in order.
    pub steps: Vec<PastStep>,
    /// Contacts that were found in the CRM and are theirs, or were made by a step that retention removed.
    pub adopted: Vec<RecordId>,
    /// E.164 phones attached to them, oldest first.
    pub phones: Vec<String>,
    /// Email addresses attached to them, oldest first.
    pub emails: Vec<String>,
    /// Leads before this one that were kept as ours and had gone along with none.
    pub kept: Vec<Lead>,
}

/// A step of the past.
#[derive(Clone, Debug)]
pub struct PastStep {
    /// Ours.
    pub id: StepId,
    /// What was written.
    pub action: Action,
    /// The record that it made or changed.
    pub record: Option<RecordId>,
    /// When.
    pub at: Option<Timestamp>,
    /// It belongs to the lead that is looked at: what it refers to was there, what it made was not.
    pub own: bool,
}

/// An id is given about when its delivery comes.
const BESIDE: SignedDuration = SignedDuration::from_hours(1);

/// The statement that reads a page of deliveries. By id as well, because times have no index.
pub(super) fn stored(also: &str) -> String {
    format!(
        "SELECT id, source, method, query, headers, body, received_at, emptied_at FROM deliveries \
         WHERE state <> 'refused' AND received_at >= $1 AND received_at < $2 AND id >= $4 AND id < $5 {also} \
         ORDER BY id DESC LIMIT $3"
    )
}

impl Store {
    /// The newest deliveries before one, newest first. Refused ones are left out.
    pub async fn stored_deliveries(
        &self,
        selection: &Selection,
        before: Option<DeliveryId>,
        limit: usize,
    ) -> Result<Vec<StoredDelivery>, StoreError> {
        let (from, to) = (selection.from.unwrap_or(Timestamp::MIN), selection.to.unwrap_or(Timestamp::MAX));
        let mut arguments = args![
            from.as_millisecond(),
            to.as_millisecond(),
            i64::try_from(limit).unwrap_or(i64::MAX),
            first_id_of(from.saturating_sub(BESIDE).unwrap_or(Timestamp::MIN)),
            first_id_of(to.saturating_add(BESIDE).unwrap_or(Timestamp::MAX)),
        ];
        let mut also = String::new();
        if let Some(before) = before {
            arguments.push(before.into());
            also.push_str(" AND id < $6");
        }
        if let Some(source) = &selection.source {
            arguments.push(source.as_str().into());
            also = format!("{also} AND source = ${}", arguments.len());
        }
        let sql = stored(&also);
        let rows = self.read(&sql, arguments).await?;
        let mut deliveries = Vec::with_capacity(rows.len());
        for row in &rows {
            let emptied_at = row.optional_timestamp(7)?;
            deliveries.push(StoredDelivery { delivery: delivery(row)?, emptied_at, events: Vec::new() });
        }
        if deliveries.is_empty() {
            return Ok(deliveries);
        }
        let sql = format!(
            "SELECT events.delivery, events.position, events.redelivery_of, leads.id, leads.sequence, leads.person, \
             postbacks.ordinal FROM events LEFT JOIN leads ON leads.event = events.id \
             LEFT JOIN postbacks ON postbacks.event = events.id WHERE events.delivery IN ({})",
            list(1, deliveries.len())
        );
        let ids = deliveries.iter().map(|stored| Arg::from(stored.delivery.id)).collect();
        for row in self.read(&sql, ids).await? {
            let id: DeliveryId = row.id(0)?;
            let Some(stored) = deliveries.iter_mut().find(|stored| stored.delivery.id == id) else {
                continue;
            };
            let lead = row
                .optional_text(3)?
                .map(|_| Ok::<_, StoreError>((row.id(3)?, row.int(4)?, row.optional_id(5)?)));
            stored.events.push(StoredEvent {
                position: usize::try_from(row.int(1)?).unwrap_or(usize::MAX),
                is_redelivery: row.optional_text(2)?.is_some(),
                lead: lead.transpose()?,
                ordinal: row.optional_int(6)?.map(unsigned),
            });
        }
        Ok(deliveries)
    }

    /// What was known of a person at a destination when their lead with this sequence number came.
    pub async fn past(&self, person: PersonId, destination: &str, sequence: i64) -> Result<Past, StoreError> {
        let rows = self
            .read(
                "SELECT steps.id, steps.action, steps.record, steps.ended_at, syncs.sequence FROM syncs \
                 JOIN steps ON steps.sync = syncs.id \
                 WHERE syncs.person = $1 AND syncs.destination = $2 AND syncs.sequence <= $3 \
                   AND (steps.state = 'done' OR syncs.sequence = $3) \
                 ORDER BY syncs.sequence, steps.position",
                args![person, destination, sequence],
            )
            .await?;
        let steps = rows
            .iter()
            .map(|row| {
                Ok(PastStep {
                    id: row.id(0)?,
                    action: row.json(1)?,
                    record: row.optional_text(2)?.map(RecordId),
                    at: row.optional_timestamp(3)?,
                    own: row.int(4)? == sequence,
                })
            })
            .collect::<Result<_, StoreError>>()?;
        let mut past = Past { steps, ..Past::default() };
        let rows = self
            .read(
                "SELECT 'contact', record, NULL, created_at FROM links \
                   WHERE person = $1 AND destination = $2 AND kind = 'contact' AND (step IS NULL \
                     OR NOT EXISTS (SELECT 1 FROM steps WHERE steps.id = links.step)) \
                 UNION ALL SELECT kind, shown, NULL, first_seen FROM identifiers \
                   WHERE person = $1 AND kind IN ('phone', 'email') AND shown IS NOT NULL \
                 UNION ALL SELECT 'kept', syncs.id, leads.lead, syncs.sequence FROM syncs \
                   JOIN leads ON leads.id = syncs.lead \
                   WHERE syncs.person = $1 AND syncs.destination = $2 AND syncs.sequence < $3 \
                     AND syncs.state = 'filtered' AND syncs.why LIKE '{\"code\":\"needs_%' \
                     AND NOT EXISTS (SELECT 1 FROM syncs AS carrier \
                       WHERE carrier.id = syncs.carried_by AND carrier.sequence < $3) \
                 ORDER BY 4, 2",
                args![person, destination, sequence],
            )
            .await?;
        for row in &rows {
            match row.text(0)?.as_str() {
                "contact" => past.adopted.push(RecordId(row.text(1)?)),
                "phone" => past.phones.push(row.text(1)?),
                "email" => past.emails.push(row.text(1)?),
                "kept" => past.kept.push(row.json(2)?),
                other => return Err(StoreError::damaged(format!("past '{other}'"))),
            }
        }
        Ok(past)
    }
}
