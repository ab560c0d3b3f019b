//! What became of every request, in bulk: for whoever wants to prove that nothing was lost or doubled.

use super::sql::{Row, args};
use super::{Store, StoreError};
use crate::id::{DeliveryId, LeadId};

/// One request, and what it came to. A request whose lead goes to several destinations is here once for each.
#[derive(Clone, Debug)]
pub struct Fate {
    /// Ours.
    pub delivery: DeliveryId,
    /// As received.
    pub body: Vec<u8>,
    /// Where the delivery stands.
    pub delivery_state: String,
    /// The lead of its event; `None` where it repeats another one, and before it is prepared.
    pub lead: Option<LeadFate>,
}

/// A lead at its end, or on its way there.
#[derive(Clone, Debug)]
pub struct LeadFate {
    /// Ours.
    pub id: LeadId,
    /// Where it stands: the state of its sync, or of the lead itself where it has none.
    pub state: String,
    /// The stable word of why.
    pub cause: Option<String>,
    /// Whether one of its steps was sent and its outcome is not known.
    pub unsure: bool,
}

impl Store {
    /// The fates of at most so many requests after this one, in the order of their arrival.
    pub async fn fates(&self, after: Option<DeliveryId>, limit: i64) -> Result<Vec<Fate>, StoreError> {
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let rows = self
            .read(
                "SELECT kept.id, kept.body, kept.state, leads.id, COALESCE(syncs.state, leads.state), \
                 COALESCE(syncs.why, leads.why), (SELECT COUNT(*) FROM steps \
                   WHERE steps.sync = syncs.id AND steps.state IN ('sent', 'unknown')) \
                 FROM (SELECT id, body, state FROM deliveries WHERE id > $1 ORDER BY id LIMIT $2) AS kept \
                 LEFT JOIN events ON events.delivery = kept.id AND events.redelivery_of IS NULL \
                 LEFT JOIN leads ON leads.event = events.id \
                 LEFT JOIN syncs ON syncs.lead = leads.id ORDER BY kept.id, leads.id, syncs.id",
                args![after, limit],
            )
            .await?;
        rows.iter().map(fate).collect()
    }
}

fn fate(row: &Row) -> Result<Fate, StoreError> {
    let lead = match row.optional_id(3)? {
        None => None,
        Some(id) => Some(LeadFate {
            id,
            state: row.text(4)?,
            cause: row
                .optional_json(5)?
                .and_then(|why: serde_json::Value| why.get("code")?.as_str().map(str::to_owned)),
            unsure: row.int(6)? > 0,
        }),
    };
    Ok(Fate { delivery: row.id(0)?, body: row.bytes(1)?, delivery_state: row.text(2)?, lead })
}
