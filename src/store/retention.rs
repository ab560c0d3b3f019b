//! What is old goes: first what a request held, later the request with everything that followed from it, children first.
//!
//! One process at a time removes, in small transactions of their own. It holds a *round*: a row that says until when
//! nobody else begins, and that each of its transactions moves on. Whoever was killed in the middle is followed by the
//! next one; nothing is remembered but what is still there.
//!
//! What is never removed by age: people, their identifiers and links (they prevent duplicates), merges, what owner pools
//! remember, and every request of which something is not at its end.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::sql::{Arg, Connection, ROWS_PER_STATEMENT, args, list};
use super::{Failure, Store, StoreError, Work};
use crate::id::DeliveryId;

/// Deliveries that are looked at together, and the most that one transaction touches.
const PAGE: usize = 64;
/// Events that one transaction removes, because a single request may hold a thousand of them. The first request of a
/// transaction goes whatever it holds.
const EVENTS: usize = 128;
/// A key outlives its last moment by this much: processes have clocks of their own, and a request that came in time may
/// still be on its way into the registry.
const GRACE: SignedDuration = SignedDuration::from_hours(1);
/// A process maps with the version that was active when it last looked, and may have stood still since.
const VERSION_GRACE: SignedDuration = SignedDuration::from_hours(24);

/// Requests at their end, by the state of their row.
const EMPTIED: &str = "d.state IN ('prepared', 'refused') AND d.emptied_at IS NULL";
/// A request that could not be read keeps its body as long as its row: the body is all there is of it.
const REMOVED: &str = "d.state IN ('prepared', 'refused', 'unreadable')";
/// The leads of a request that are not at their end.
const NOT_ENDED: &str = "events e JOIN leads l ON l.event = e.id WHERE e.delivery = d.id \
    AND (l.state NOT IN ('mapped', 'filtered') OR EXISTS (SELECT 1 FROM syncs s \
      WHERE s.lead = l.id AND s.state NOT IN ('synced', 'filtered')))";

/// The right to remove what is old, while it is moved on in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round {
    /// Until when nobody else begins: the value of the row, by which we know it as ours.
    until: i64,
}

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Requests whose body, query and headers go.
    Bodies,
    /// Requests that go with everything.
    Rows,
}

/// A page of old requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Old {
    /// Those that may go, oldest first.
    pub ended: Vec<DeliveryId>,
    /// How many stay because something of them is not at its end.
    pub kept: u64,
    /// Where the next page begins; `None` at the end.
    pub next: Option<DeliveryId>,
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Requests that were emptied.
    pub bodies: u64,
    /// Requests that are gone.
    pub deliveries: u64,
    /// Leads that are gone.
    pub leads: u64,
    /// Event keys by which nothing is recognised any more.
    pub keys: u64,
    /// Versions of the workspace that no lead is pinned to.
    pub versions: u64,
}

impl Removed {
    /// Counts another part.
    pub fn add(&mut self, other: Self) {
        let Self { bodies, deliveries, leads, keys, versions } = other;
        self.bodies += bodies;
        self.deliveries += deliveries;
        self.leads += leads;
        self.keys += keys;
        self.versions += versions;
    }
}

/// A transaction of a round.
#[derive(Clone, Debug)]
pub struct Batch {
    /// What is done to them.
    pub what: What,
    /// Which requests. Those of which something is no longer at its end stay; so do the last ones, where all together are
    /// too much for one transaction.
    pub deliveries: Vec<DeliveryId>,
    /// Keys that no request from before this moment can meet any more go.
    pub keys_until: Timestamp,
}

impl Store {
    /// Begins a round when nobody has one and the last is long enough ago; `None` when it is not time yet.
    pub async fn begin_round(&self, now: Timestamp, until: Timestamp) -> Result<Option<Round>, StoreError> {
        let rows = self.read("SELECT value FROM counters WHERE name = 'retention'", args![]).await?;
        let busy_until = rows.first().map_or(Ok(i64::MIN), |row| row.int(0))?;
        // The common case costs no write.
        if busy_until > now.as_millisecond() {
            return Ok(None);
        }
        self.write(BeginRound { now: now.as_millisecond(), until: until.as_millisecond() }).await
    }

    /// Says when the next round may begin. Nothing happens when the round is another's by now.
    pub async fn end_round(&self, round: Round, next: Timestamp) -> Result<(), StoreError> {
        match self.write(EndRound { round, next: next.as_millisecond() }).await {
            Err(failure) if failure.is_final() => Ok(()),
            ended => ended,
        }
    }

    /// Requests from before a moment, behind `after`.
    pub async fn old(
        &self,
        what: What,
        before: Timestamp,
        after: Option<DeliveryId>,
    ) -> Result<Old, StoreError> {
        let page = i64::try_from(PAGE).unwrap_or(i64::MAX);
        let after = after.unwrap_or(DeliveryId(Uuid::nil()));
        let rows = self.read(&old(what), args![after, first_id_of(before), page]).await?;
        let mut old = Old::default();
        for row in &rows {
            if row.int(1)? == 0 {
                old.ended.push(row.id(0)?);
            } else {
                old.kept += 1;
            }
        }
        if rows.len() == PAGE {
            old.next = rows.last().map(|row| row.id(0)).transpose()?;
        }
        Ok(old)
    }

    /// Before which moment an event key must have ended to be of no use: a request that waits to be prepared still meets
    /// the keys of its time.
    pub async fn keys_until(&self, now: Timestamp) -> Result<Timestamp, StoreError> {
        let rows = self.read(OLDEST_UNPREPARED, args![]).await?;
        let mut until = now;
        for row in &rows {
            until = row.optional_timestamp(0)?.map_or(until, |oldest| until.min(oldest));
        }
        Ok(until.saturating_sub(GRACE).unwrap_or(Timestamp::MIN))
    }

    /// Removes a part of what is old, and moves the round on. The error is final when the round is another's by now.
    pub async fn remove_old(
        &self,
        round: &mut Round,
        batch: Batch,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Removed, StoreError> {
        let until = until.as_millisecond();
        let work = RemoveOld { round: *round, until, batch, now: now.as_millisecond() };
        let removed = self.write(work).await?;
        round.until = until;
        Ok(removed)
    }

    /// Removes versions of the workspace that have not been active since before that moment and that no lead is pinned
    /// to; returns how many.
    pub async fn remove_versions(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.write(RemoveVersions { before }).await
    }
}

/// The statement that finds a page of old requests, each with how many of its leads are not at their end.
pub(super) fn old(what: What) -> String {
    let state = match what {
        What::Bodies => EMPTIED,
        What::Rows => REMOVED,
    };
    format!(
        "SELECT d.id, (SELECT COUNT(*) FROM {NOT_ENDED}) FROM deliveries d \
         WHERE d.id > $1 AND d.id < $2 AND {state} ORDER BY d.id LIMIT $3"
    )
}

/// When the oldest requests came that are not prepared, one row for each reason.
pub(super) const OLDEST_UNPREPARED: &str = "SELECT MIN(received_at) FROM deliveries WHERE state = 'received' \
     UNION ALL SELECT MIN(received_at) FROM deliveries WHERE state = 'waiting'";

/// The smallest id that can have been given at this moment: ids of deliveries begin with their milliseconds.
pub(super) fn first_id_of(moment: Timestamp) -> DeliveryId {
    let millis = u128::try_from(moment.as_millisecond()).unwrap_or(0);
    DeliveryId(Uuid::from_u128(millis << 80))
}

struct BeginRound {
    now: i64,
    until: i64,
}

impl Work for BeginRound {
    type Output = Option<Round>;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<Option<Round>, StoreError>> {
        Box::pin(async move {
            let taken = connection
                .execute(
                    "INSERT INTO counters (name, value) VALUES ('retention', $1) \
                     ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE counters.value <= $2",
                    args![self.until, self.now],
                )
                .await?;
            Ok((taken == 1).then_some(Round { until: self.until }))
        })
    }
}

struct EndRound {
    round: Round,
    next: i64,
}

impl Work for EndRound {
    type Output = ();

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(move_on(connection, self.round, self.next))
    }
}

/// Moves a round on. The value only ever grows while somebody has a round, so nobody takes another's for their own.
async fn move_on(connection: &mut Connection, round: Round, until: i64) -> Result<(), StoreError> {
    let moved = connection
        .execute(
            "UPDATE counters SET value = $1 WHERE name = 'retention' AND value = $2",
            args![until, round.until],
        )
        .await?;
    if moved == 1 {
        Ok(())
    } else {
        Err(StoreError::is_over("another process removes what is old now; this one leaves it to that"))
    }
}

struct RemoveOld {
    round: Round,
    until: i64,
    batch: Batch,
    now: i64,
}

impl Work for RemoveOld {
    type Output = Removed;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<Removed, StoreError>> {
        Box::pin(async move {
            move_on(connection, self.round, self.until).await?;
            let state = match self.batch.what {
                What::Bodies => EMPTIED,
                What::Rows => REMOVED,
            };
            let asked: Vec<Arg> = self.batch.deliveries.iter().map(|id| Arg::from(*id)).collect();
            let mut ended = Vec::with_capacity(asked.len());
            for piece in asked.chunks(ROWS_PER_STATEMENT) {
                let sql = format!(
                    "SELECT d.id FROM deliveries d WHERE d.id IN ({}) AND {state} \
                     AND NOT EXISTS (SELECT 1 FROM {NOT_ENDED}) ORDER BY d.id",
                    list(1, piece.len())
                );
                for row in connection.fetch(&sql, piece.to_vec()).await? {
                    ended.push(Arg::from(row.text(0)?));
                }
            }
            match self.batch.what {
                What::Bodies => self.empty(connection, &ended).await,
                What::Rows => self.remove(connection, &ended).await,
            }
        })
    }
}

impl RemoveOld {
    async fn empty(&self, connection: &mut Connection, deliveries: &[Arg]) -> Result<Removed, StoreError> {
        let mut removed = Removed::default();
        for piece in deliveries.chunks(ROWS_PER_STATEMENT) {
            let sql = format!(
                "UPDATE deliveries SET body = $1, query = NULL, headers = '[]', emptied_at = $2 WHERE id IN ({})",
                list(3, piece.len())
            );
            let mut arguments = args![Vec::new(), self.now];
            arguments.extend_from_slice(piece);
            removed.bodies += connection.execute(&sql, arguments).await?;
            let sql = format!(
                "DELETE FROM event_keys WHERE until < $1 \
                 AND (source, key) IN (SELECT source, key FROM events WHERE delivery IN ({}))",
                list(2, piece.len())
            );
            let mut arguments = args![self.batch.keys_until.as_millisecond()];
            arguments.extend_from_slice(piece);
            removed.keys += connection.execute(&sql, arguments).await?;
        }
        Ok(removed)
    }

    /// Children first. The rows are found before any of them goes, and each statement names them: a plan that joins the
    /// tables instead may be a walk through all of them where the database misjudges how many there are.
    async fn remove(&self, connection: &mut Connection, deliveries: &[Arg]) -> Result<Removed, StoreError> {
        let mut removed = Removed::default();
        let (chosen, events) = with_events(connection, deliveries).await?;
        let leads = ids(connection, "leads", "event", &events).await?;
        let syncs = ids(connection, "syncs", "lead", &leads).await?;
        delete(connection, "steps", "sync", &syncs, "").await?;
        let final_ones = "AND state IN ('synced', 'filtered')";
        let gone = delete(connection, "syncs", "id", &syncs, final_ones).await?;
        removed.leads = delete(connection, "leads", "id", &leads, "").await?;
        let fresh = ids(connection, "syncs", "lead", &leads).await?;
        if usize::try_from(gone) != Ok(syncs.len()) || !fresh.is_empty() {
            // Somebody replayed one of them since we looked: with a new look it is not at its end any more.
            return Err(StoreError {
                message: "a lead was replayed while retention removed it".to_owned(),
                kind: Failure::RunAgain,
            });
        }
        let until = self.batch.keys_until.as_millisecond();
        for piece in events.chunks(ROWS_PER_STATEMENT) {
            // The key of an event lives no longer than the event, whatever retention was when it came.
            let sql = format!(
                "DELETE FROM event_keys WHERE (until < $1 OR event IN ({0})) \
                 AND (source, key) IN (SELECT source, key FROM events WHERE id IN ({0}))",
                list(2, piece.len())
            );
            let mut arguments = args![until];
            arguments.extend_from_slice(piece);
            removed.keys += connection.execute(&sql, arguments).await?;
        }
        delete(connection, "events", "id", &events, "").await?;
        removed.deliveries = delete(connection, "deliveries", "id", &chosen, "").await?;
        Ok(removed)
    }
}

/// As many of these deliveries as one transaction removes, with their events.
async fn with_events(
    connection: &mut Connection,
    deliveries: &[Arg],
) -> Result<(Vec<Arg>, Vec<Arg>), StoreError> {
    let mut by_delivery: BTreeMap<String, Vec<Arg>> = BTreeMap::new();
    for piece in deliveries.chunks(ROWS_PER_STATEMENT) {
        let sql = format!("SELECT delivery, id FROM events WHERE delivery IN ({})", list(1, piece.len()));
        for row in connection.fetch(&sql, piece.to_vec()).await? {
            by_delivery.entry(row.text(0)?).or_default().push(Arg::from(row.text(1)?));
        }
    }
    let (mut chosen, mut events) = (Vec::new(), Vec::new());
    for delivery in deliveries {
        let Arg::Text(Some(id)) = delivery else { continue };
        let of_it = by_delivery.remove(id).unwrap_or_default();
        if !chosen.is_empty() && events.len() + of_it.len() > EVENTS {
            break;
        }
        events.extend(of_it);
        chosen.push(delivery.clone());
    }
    Ok((chosen, events))
}

/// The ids of the rows of a table that belong to these.
async fn ids(
    connection: &mut Connection,
    table: &str,
    column: &str,
    of: &[Arg],
) -> Result<Vec<Arg>, StoreError> {
    let mut ids = Vec::new();
    for piece in of.chunks(ROWS_PER_STATEMENT) {
        let sql = format!("SELECT id FROM {table} WHERE {column} IN ({})", list(1, piece.len()));
        for row in connection.fetch(&sql, piece.to_vec()).await? {
            ids.push(Arg::from(row.text(0)?));
        }
    }
    Ok(ids)
}

async fn delete(
    connection: &mut Connection,
    table: &str,
    column: &str,
    of: &[Arg],
    also: &str,
) -> Result<u64, StoreError> {
    let mut deleted = 0;
    for piece in of.chunks(ROWS_PER_STATEMENT) {
        let sql = format!("DELETE FROM {table} WHERE {column} IN ({}) {also}", list(1, piece.len()));
        deleted += connection.execute(&sql, piece.to_vec()).await?;
    }
    Ok(deleted)
}

struct RemoveVersions {
    before: Timestamp,
}

impl Work for RemoveVersions {
    type Output = u64;

    fn run<'a>(&'a self, connection: &'a mut Connection) -> BoxFuture<'a, Result<u64, StoreError>> {
        Box::pin(async move {
            // A lead was mapped after its delivery came, so whatever version made the leads that are left was active
            // after the oldest delivery that is left.
            let rows = connection.fetch("SELECT id FROM deliveries ORDER BY id LIMIT 1", args![]).await?;
            let oldest: Option<DeliveryId> = rows.first().map(|row| row.id(0)).transpose()?;
            let oldest = oldest.and_then(|id| Timestamp::from_millisecond(millis_of(id)).ok());
            let before = oldest.map_or(self.before, |oldest| self.before.min(oldest));
            let before = before.saturating_sub(VERSION_GRACE).unwrap_or(Timestamp::MIN);
            connection
                .execute(
                    "DELETE FROM versions WHERE used_at < $1 AND hash NOT IN (SELECT hash FROM active_version)",
                    args![before.as_millisecond()],
                )
                .await
        })
    }
}

fn millis_of(id: DeliveryId) -> i64 {
    i64::try_from(id.0.as_u128() >> 80).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock as _, ManualClock, SystemClock};

    #[test]
    fn ids_begin_with_their_moment() {
        let now = SystemClock.now();
        for id in [DeliveryId(SystemClock.new_id()), DeliveryId(ManualClock::new(now).new_id())] {
            assert!(first_id_of(now) <= id, "{id}");
            let later = now.checked_add(SignedDuration::from_secs(5)).unwrap();
            assert!(id < first_id_of(later), "{id}");
            assert!(first_id_of(now).to_string() <= id.to_string(), "the database compares texts");
            assert!((millis_of(id) - now.as_millisecond()).abs() < 5_000, "{id}");
        }
        assert_eq!(first_id_of(Timestamp::MIN), DeliveryId(Uuid::nil()));
    }
}
