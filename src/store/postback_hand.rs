//! What people correct about postbacks: a repeat that was none, a counted one that was a repeat, one that shall wait again.
//!
//! Nothing here runs anything twice. A repeat that is counted becomes a lead now; one that is uncounted keeps the lead it
//! has, and what of it is not on its way yet is stopped; counted once more, it gets a number and keeps that lead.

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ordinals::{Ordinals, give_back};
use super::postback_work::{THEIR_TURN, end, keep_postbacks, take_turn};
use super::postbacks::{COLUMNS, Counting, PostbackRow, PostbackState, postback};
use super::prepare::{Arrived, Received, delivery};
use super::prepare_work::insert_leads;
use super::replay_work::FREE;
use super::sql::{Arg, Connection, ROWS_PER_STATEMENT, args, json, list};
use super::{Store, StoreError, Work};
use crate::id::{DeliveryId, EventId, LeadId, PersonId};
use crate::plan::Reason;

/// What became of a postback that somebody corrected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Corrected {
    /// As it stands now.
    pub postback: PostbackRow,
    /// Its lead was made now, and goes its way.
    pub made: bool,
    /// Syncs of its lead that had not begun, and do not any more.
    pub stopped: u64,
    /// Syncs of its lead that had begun or ended: nothing of them is taken back.
    pub left: u64,
}

/// Why a postback is not corrected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotCorrected {
    /// There is none.
    NotThere,
    /// It stands where it is to be, or where this cannot be asked.
    Stands(PostbackState),
    /// Nobody has its click id any more.
    Nobody,
    /// Retention removed its request then.
    Emptied(Timestamp),
}

impl Store {
    /// Counts a repeat, or one that was uncounted.
    pub async fn count_by_hand(
        &self,
        delivery: DeliveryId,
        counting: &Counting,
    ) -> Result<Result<Corrected, NotCorrected>, StoreError> {
        self.write(CountByHand { delivery, counting: counting.clone() }).await
    }

    /// Takes a counted one's number back.
    pub async fn uncount(
        &self,
        delivery: DeliveryId,
        now: Timestamp,
    ) -> Result<Result<Corrected, NotCorrected>, StoreError> {
        self.write(Uncount { delivery, now }).await
    }

    /// Lets a postback that ended without being counted wait again, as long as it had waited from the beginning. Returns how
    /// many do: one or none.
    pub async fn wait_again(
        &self,
        lead: LeadId,
        mut arrived: Arrived,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let waits = arrived.received_at.duration_until(arrived.until);
        arrived.until = now.saturating_add(waits).unwrap_or(Timestamp::MAX);
        let again = self.write(WaitAgain { lead, arrived }).await?;
        self.arrived().notify_one();
        Ok(again)
    }
}

struct CountByHand {
    delivery: DeliveryId,
    counting: Counting,
}

impl Work for CountByHand {
    type Output = Result<Corrected, NotCorrected>;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<Self::Output, StoreError>> {
        Box::pin(async move {
            let Some(row) = find(connection, self.delivery).await? else {
                return Ok(Err(NotCorrected::NotThere));
            };
            let Some(event) = row
                .event_id
                .filter(|_| matches!(row.state, PostbackState::Repeat | PostbackState::Uncounted))
            else {
                return Ok(Err(NotCorrected::Stands(row.state)));
            };
            let holder = match row.person {
                Some(holder) => holder,
                None => match holder_of(connection, &row.click).await? {
                    Some(holder) => holder,
                    None => return Ok(Err(NotCorrected::Nobody)),
                },
            };
            let mut ordinals = Ordinals::load(connection, [holder].into()).await?;
            let ordinal = ordinals.take(holder, &row.event);
            let mut lead = row.lead;
            if lead.is_none() {
                let received = match request(connection, self.delivery).await? {
                    Ok(received) => received,
                    Err(why) => return Ok(Err(why)),
                };
                let outcome = (self.counting.stage)(&received, ordinal);
                let prepared = self.counting.prepared(&received, event, None, Some(holder), outcome);
                let now = self.counting.clock.now().as_millisecond();
                insert_leads(connection, &[&prepared], &self.counting.rules, &*self.counting.clock, now)
                    .await?;
                connection
                    .execute("UPDATE events SET redelivery_of = NULL WHERE id = $1", args![event])
                    .await?;
                lead = Some(prepared.lead_id);
            }
            ordinals.store(connection).await?;
            let (sql, arguments) =
                end(self.delivery, PostbackState::Counted, event, lead, Some(holder), Some(ordinal));
            connection.execute(&sql, arguments).await?;
            corrected(connection, self.delivery, row.lead.is_none(), 0).await.map(Ok)
        })
    }
}

struct Uncount {
    delivery: DeliveryId,
    now: Timestamp,
}

impl Work for Uncount {
    type Output = Result<Corrected, NotCorrected>;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<Self::Output, StoreError>> {
        Box::pin(async move {
            let Some(row) = find(connection, self.delivery).await? else {
                return Ok(Err(NotCorrected::NotThere));
            };
            let (PostbackState::Counted, Some(event), Some(person), Some(ordinal)) =
                (row.state, row.event_id, row.person, row.ordinal)
            else {
                return Ok(Err(NotCorrected::Stands(row.state)));
            };
            give_back(connection, person, &row.event, ordinal).await?;
            let (sql, arguments) =
                end(self.delivery, PostbackState::Uncounted, event, row.lead, Some(person), None);
            connection.execute(&sql, arguments).await?;
            let why = Reason::new(
                "not_counted",
                format!(
                    "On {} somebody said that this postback is a repeat, before this had begun.",
                    self.now
                ),
            );
            let sql = format!(
                "UPDATE syncs SET state = 'filtered', why = $2, updated_at = $3, claimed = 0 WHERE lead = $1 \
                 AND state IN ('ready', 'waiting', 'held') AND {FREE} AND NOT EXISTS (SELECT 1 FROM steps \
                   WHERE steps.sync = syncs.id AND steps.state <> 'planned')"
            );
            let lead = row.lead.map(|lead| lead.to_string());
            let stopped =
                connection.execute(&sql, args![lead.clone(), json(&why)?, self.now.as_millisecond()]).await?;
            let sql = "DELETE FROM steps WHERE state = 'planned' AND sync IN (SELECT id FROM syncs WHERE lead = $1 \
                AND state = 'filtered')";
            connection.execute(sql, args![lead]).await?;
            corrected(connection, self.delivery, false, stopped).await.map(Ok)
        })
    }
}

struct WaitAgain {
    lead: LeadId,
    arrived: Arrived,
}

impl Work for WaitAgain {
    type Output = u64;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move {
            take_turn(connection, "FOR UPDATE").await?;
            // Somebody else may have let it wait, and it may be counted by now.
            let sql = "SELECT events.delivery, events.id FROM leads JOIN events ON events.id = leads.event \
                WHERE leads.id = $1 AND leads.state <> 'mapped' AND NOT EXISTS (SELECT 1 FROM postbacks \
                  WHERE postbacks.delivery = events.delivery AND postbacks.state <> 'ended')";
            let rows = connection.fetch(sql, args![self.lead]).await?;
            let Some(row) = rows.first() else { return Ok(0) };
            let (delivery, event): (DeliveryId, EventId) = (row.id(0)?, row.id(1)?);
            keep_postbacks(connection, [(delivery, &self.arrived)].into_iter()).await?;
            let sql = "UPDATE postbacks SET event = $1, lead = $2 WHERE delivery = $3";
            connection.execute(sql, args![event, self.lead, delivery]).await?;
            let sql = "UPDATE deliveries SET state = 'waiting', why = $1 WHERE id = $2";
            connection.execute(sql, args![THEIR_TURN, delivery]).await?;
            // It is made anew, under the same id, when it is counted or ends again.
            connection.execute("DELETE FROM leads WHERE id = $1", args![self.lead]).await
        })
    }
}

/// Erases the postbacks of somebody's click ids, also those that are not counted, with their requests. Whoever comes with
/// such a click id again is somebody new.
pub(super) async fn forget_postbacks(
    connection: &mut Connection,
    person: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let theirs = "SELECT delivery FROM postbacks WHERE person = $1 \
        UNION SELECT postbacks.delivery FROM clicks JOIN postbacks ON postbacks.click = clicks.click WHERE clicks.person = $1";
    let rows = connection.fetch(theirs, args![person]).await?;
    let deliveries: Vec<Arg> = rows.iter().map(|row| row.text(0).map(Arg::from)).collect::<Result<_, _>>()?;
    for piece in deliveries.chunks(ROWS_PER_STATEMENT) {
        let sql = format!(
            "UPDATE deliveries SET body = $1, query = NULL, headers = '[]', emptied_at = COALESCE(emptied_at, $2), \
             why = CASE WHEN state = 'prepared' THEN why ELSE $3 END, \
             state = CASE WHEN state = 'prepared' THEN state ELSE 'refused' END WHERE id IN ({})",
            list(4, piece.len())
        );
        let why = format!("everything personal was erased on {now:.0}; it was a postback that waited");
        let mut arguments = args![Vec::new(), now.as_millisecond(), why];
        arguments.extend_from_slice(piece);
        connection.execute(&sql, arguments).await?;
        let sql = format!("DELETE FROM postbacks WHERE delivery IN ({})", list(1, piece.len()));
        connection.execute(&sql, piece.to_vec()).await?;
    }
    connection.execute("DELETE FROM postback_counts WHERE person = $1", args![person]).await.map(drop)
}

/// The postback of a delivery, once nobody else counts.
async fn find(connection: &mut Connection, delivery: DeliveryId) -> Result<Option<PostbackRow>, StoreError> {
    take_turn(connection, "FOR UPDATE").await?;
    let sql = format!("{COLUMNS} WHERE p.delivery = $1");
    connection.fetch(&sql, args![delivery]).await?.first().map(postback).transpose()
}

async fn holder_of(connection: &mut Connection, click: &str) -> Result<Option<PersonId>, StoreError> {
    let rows = connection.fetch("SELECT person FROM clicks WHERE click = $1", args![click]).await?;
    rows.first().map(|row| row.id(0)).transpose()
}

/// The request of a postback, or why it cannot be mapped.
async fn request(
    connection: &mut Connection,
    id: DeliveryId,
) -> Result<Result<Received, NotCorrected>, StoreError> {
    let sql = "SELECT id, source, method, query, headers, body, received_at, emptied_at FROM deliveries WHERE id = $1";
    let rows = connection.fetch(sql, vec![Arg::from(id)]).await?;
    let Some(row) = rows.first() else { return Ok(Err(NotCorrected::NotThere)) };
    if let Some(at) = row.optional_timestamp(7)? {
        return Ok(Err(NotCorrected::Emptied(at)));
    }
    Ok(Ok(Received { delivery: delivery(row)?, unverified_token: None }))
}

async fn corrected(
    connection: &mut Connection,
    delivery: DeliveryId,
    made: bool,
    stopped: u64,
) -> Result<Corrected, StoreError> {
    let sql = format!("{COLUMNS} WHERE p.delivery = $1");
    let rows = connection.fetch(&sql, args![delivery]).await?;
    let row =
        rows.first().ok_or_else(|| StoreError::damaged("a postback vanished while it was corrected"))?;
    let postback = postback(row)?;
    let lead = postback.lead.map(|lead| lead.to_string());
    let rows = connection.fetch("SELECT COUNT(*) FROM syncs WHERE lead = $1", args![lead]).await?;
    let syncs = rows.first().map_or(Ok(0), |row| row.int(0))?;
    let left = u64::try_from(syncs).unwrap_or_default().saturating_sub(stopped);
    Ok(Corrected { postback, made, stopped, left: if made { 0 } else { left } })
}
